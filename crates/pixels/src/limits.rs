//! The check that every original passes before any of its pixels is decoded.
//!
//! Decoders take an [`Admitted`], and [`Limits::admit`] is the only function that makes one.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::geometry::{DctScale, Rect, Size};
use crate::info::Info;

/// Upper bounds for one original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pixels of an original, all of its frames together.
    pub max_pixels: u64,
    /// Frames of an original.
    pub max_frames: u32,
    /// Bytes of memory that decoding and resizing one original may take, by the estimate from its header.
    pub max_memory: u64,
}

impl Limits {
    /// Checks what a header says against the limits on size: `frames` are the frames that are decoded.
    ///
    /// # Errors
    /// [`Error::Limit`] for too many pixels or frames, [`Error::Malformed`] for a side of 0 pixels.
    pub fn check(&self, info: &Info, frames: u32) -> Result<()> {
        let Size { width, height } = info.size;
        if width == 0 || height == 0 {
            return Err(Error::malformed(info.format, format!("its header says {width}x{height} pixels")));
        }
        if info.frames > self.max_frames && frames > 1 {
            return Err(Error::Limit(format!("it has {} frames; {} are allowed", info.frames, self.max_frames)));
        }
        if info.is_vector() {
            // its pixels are those of the result
            return Ok(());
        }
        let pixels = info.size.pixels().saturating_mul(frames.into());
        if pixels > self.max_pixels {
            let what = if frames > 1 { format!("{frames} frames of {}", info.size) } else { info.size.to_string() };
            let limit = self.max_pixels;
            return Err(Error::Limit(format!("it has {what} pixels, {pixels} in all; {limit} are allowed")));
        }
        Ok(())
    }

    /// Admits an original to decoding: `frames` of its frames, for a purpose (`making`, `decoding`) that takes `memory` bytes.
    ///
    /// # Errors
    /// As [`Limits::check`], and [`Error::Limit`] where the memory is more than is allowed.
    pub fn admit<'a>(&self, info: &'a Info, frames: u32, purpose: &str, memory: u64) -> Result<Admitted<'a>> {
        self.check(info, frames)?;
        if memory > self.max_memory {
            let (needed, allowed) = (memory.div_ceil(1 << 20), self.max_memory >> 20);
            return Err(Error::Limit(format!(
                "{purpose} it takes about {needed} MiB of memory; {allowed} MiB are allowed"
            )));
        }
        Ok(Admitted { info, frames, memory })
    }
}

/// An original whose header was within every limit: the ticket to its pixels.
#[derive(Clone, Copy, Debug)]
pub struct Admitted<'a> {
    info: &'a Info,
    frames: u32,
    memory: u64,
}

impl<'a> Admitted<'a> {
    /// The original's header.
    pub fn info(&self) -> &'a Info {
        self.info
    }

    /// Number of frames to decode, from the first; at least 1.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Bytes of memory that decoding and resizing hold at most, by estimate.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// The same admission for a picture embedded in the original, such as a PNG in an icon. Its header must state the size that
    /// the container's header stated.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the two sizes differ.
    pub fn embedded<'b>(&self, info: &'b Info) -> Result<Admitted<'b>> {
        if info.size != self.info.size {
            return Err(Error::malformed(self.info.format, "it states two different sizes"));
        }
        Ok(Admitted { info, frames: self.frames, memory: self.memory })
    }
}

/// How a decoder returns samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PixelLayout {
    /// Red, green and blue interleaved, and alpha where there is any.
    #[default]
    Rgb,
    /// Planes of luma and chroma, where the file has them so.
    YCbCr,
}

/// The options of a decoding. A decoder that lacks a capability ([`DecoderCaps`](crate::DecoderCaps)) ignores the option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeOptions {
    /// One of [`DecoderCaps::scales`](crate::DecoderCaps::scales).
    pub scale: DctScale,
    /// Whether the loop filter between blocks is skipped.
    pub skip_loop_filter: bool,
    /// How samples are returned.
    pub layout: PixelLayout,
    /// The region to decode alone, in pixels of the scaled picture; `None` decodes all of it.
    pub region: Option<Rect>,
    /// Whether 16-bit samples stay in the colours of their profile, where a result can carry it along. Otherwise they may become
    /// sRGB while they still have their full precision.
    pub keeps_profile: bool,
}

impl DecodeOptions {
    /// The whole picture at full size, as interleaved pixels.
    pub const FULL: DecodeOptions = DecodeOptions {
        scale: DctScale::FULL,
        skip_loop_filter: false,
        layout: PixelLayout::Rgb,
        region: None,
        keeps_profile: false,
    };
}
