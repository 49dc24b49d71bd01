//! Codecs: what each format's header says, its pixels, and how it is written. One file a format; this one has what
//! they share and says which serves which.
//!
//! Every decoder here stands behind two gates: [`Plan`] before, which only exists where the header was within limits,
//! and [`guarded`] around, which turns a panic in a codec into damage in the file that caused it.

mod avif;
mod bmp;
mod canvas;
pub(crate) mod gif;
mod ico;
pub(crate) mod jpeg;
mod jxl;
mod lzw;
mod palette;
pub(crate) mod png;
mod pnm;
mod qoi;
mod refused;
mod samples;
#[cfg(test)]
mod testing;
mod tiff;
mod webp;

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use super::error::{Error, Result};
use super::format::Format;
use super::geometry::{Orientation, Size};
use super::ops::Rows;
use super::ops::colour::Profile;
use super::pixels::{Frame, Pixels, Planes, Samples};
use super::plan::Plan;
use super::settings::Encoding;

/// What reads and writes the formats in this build, for people.
pub const BACKENDS: &[&str] = &[
    jpeg::BACKEND,
    "webp: libwebp (writing), image-webp (reading); its own for lossy pictures that are opaque or made smaller",
    avif::BACKEND,
    "jxl: jxl-oxide (reading)",
    "resize: fast_image_resize",
];

/// What an original is, by its header alone.
#[derive(Clone, Debug)]
pub struct Info {
    /// What it is.
    pub format: Format,
    /// The picture's size as it is stored, before the orientation.
    pub size: Size,
    /// What brings it upright.
    pub orientation: Orientation,
    /// How many pictures it shows one after the other; 1 where it stands still.
    pub frames: u32,
    /// How often a moving picture plays.
    pub loops: Loops,
    /// Whether any pixel may be transparent.
    pub has_alpha: bool,
    /// Whether its colours are stated to be anything else than plain sRGB.
    pub has_profile: bool,
    /// The name that its colour profile has for itself.
    pub profile_name: Option<String>,
    /// Whether it carries EXIF, XMP or comments.
    pub has_metadata: bool,
    /// Its EXIF block.
    pub exif: Option<Vec<u8>>,
    /// To how many eighths of its size its decoder can scale it while decoding, fewest first; 8 is the last.
    pub eighths: &'static [u32],
    /// How many times as many pixels as from others a scaled picture must have to be resized from: means of squares blur
    /// what transforms keep.
    pub(crate) margin: f64,
    /// Whether its decoder smooths the edges between blocks, and can leave that out.
    pub(crate) smooths: bool,
    /// Whether its decoder can leave out what is outside of a part, where it gives planes.
    pub(crate) decodes_parts: bool,
    /// Of the eighths those of which its decoder can make several at once, where it gives planes.
    pub(crate) together: &'static [u32],
    /// How its decoder gives its rows one after the other, if it does.
    pub(crate) streamed: Option<Streamed>,
    /// Bytes of memory that decoding takes for each pixel of the original whatever the scale, and for each pixel
    /// that comes out.
    pub cost: Cost,
}

/// A picture whose rows come one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streamed {
    /// Samples of a pixel.
    pub(crate) channels: usize,
    /// Bytes that the decoder holds beside the rows that it gives.
    pub(crate) held: u64,
}

/// Bytes of memory a decoder needs.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// For each pixel of the original, however small it is decoded.
    pub per_stored_pixel: f64,
    /// For each pixel that is decoded.
    pub per_decoded_pixel: f64,
}

/// How often a moving picture plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loops {
    /// Without end.
    Forever,
    /// That many times in all, at least once.
    Times(u16),
}

impl Info {
    /// An upright, opaque, sRGB still picture of that size: what most headers say.
    pub(crate) fn new(format: Format, size: Size) -> Info {
        Info {
            format,
            size,
            orientation: Orientation::UPRIGHT,
            frames: 1,
            loops: Loops::Forever,
            has_alpha: false,
            has_profile: false,
            profile_name: None,
            has_metadata: false,
            exif: None,
            eighths: &[8],
            margin: 1.0,
            smooths: false,
            decodes_parts: false,
            together: &[],
            streamed: None,
            cost: Cost { per_stored_pixel: 1.0, per_decoded_pixel: 5.0 },
        }
    }

    /// Takes in an EXIF block, and with it the orientation.
    pub(crate) fn with_exif(mut self, exif: Option<Vec<u8>>) -> Info {
        if let Some(exif) = exif {
            self.orientation = super::exif::orientation(&exif);
            self.has_metadata = true;
            self.exif = Some(exif);
        }
        self
    }

    /// Takes in a colour profile.
    pub(crate) fn with_profile(mut self, profile: Option<&Profile>) -> Info {
        self.has_profile = profile.is_some();
        self.profile_name = profile.and_then(Profile::name);
        self
    }

    /// The size as displayed, orientation applied.
    pub fn displayed(&self) -> Size {
        self.orientation.apply(self.size)
    }

    /// Bytes that decoding one frame holds at most, at so many eighths of its size, by estimate.
    pub(crate) fn decoded_bytes(&self, eighths: u32) -> u64 {
        let stored = self.size.pixels() as f64;
        // some files are not scaled as planned, but to the next half
        let eighths = eighths.next_power_of_two();
        let decoded = stored * f64::from(eighths * eighths) / 64.0;
        (stored * self.cost.per_stored_pixel + decoded * self.cost.per_decoded_pixel) as u64
    }
}

/// Whether all data of a picture was there. Decoders show damaged files as browsers do and say so here; whether such a
/// picture is used is the caller's decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Integrity {
    /// Every pixel is what the file says. Optional parts, trailers and end markers may be missing or wrong.
    #[default]
    Whole,
    /// Pixel data ends early, or fails a checksum; the text says where, without the format's name.
    Damaged(Cow<'static, str>),
}

impl Integrity {
    pub(crate) fn is_damaged(&self) -> bool {
        matches!(self, Integrity::Damaged(_))
    }

    /// The first damage of the two.
    pub(crate) fn and(self, other: Integrity) -> Integrity {
        if self.is_damaged() { self } else { other }
    }

    /// Turns damage into a failure.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the picture is damaged.
    pub(crate) fn require_whole(&self, format: Format) -> Result<()> {
        match self {
            Integrity::Whole => Ok(()),
            Integrity::Damaged(reason) => Err(Error::malformed(format, reason)),
        }
    }
}

/// One picture as it comes from a decoder: stored orientation, the original's own colours.
#[derive(Debug)]
pub struct Decoded {
    pub(crate) samples: Samples,
    /// The colours that the samples mean; `None` is sRGB.
    pub(crate) profile: Option<Profile>,
    /// To how many eighths the decoder scaled it: its picture has ceil(width * eighths / 8) columns, and the last may be
    /// part of one.
    pub(crate) eighths: u32,
    /// Where in that picture this begins: columns and rows before it were left out.
    pub(crate) origin: (u32, u32),
    /// How long it is shown, in milliseconds.
    pub(crate) delay: u32,
    /// Whether all of its data was there, where the picture is the only one.
    pub(crate) integrity: Integrity,
}

impl Decoded {
    /// Of a whole picture in planes the part that a plan needs, which is what decoding that part alone gives.
    pub(crate) fn part(self: Arc<Decoded>, plan: &Plan<'_>) -> Arc<Decoded> {
        match (plan.part, &self.samples) {
            (Some(part), Samples::Planes(planes))
                if self.eighths == plan.eighths && planes.size == plan.stored.eighths(plan.eighths) =>
            {
                let (samples, profile) = (Samples::Planes(planes.cut(part)), self.profile.clone());
                let integrity = self.integrity.clone();
                Arc::new(Decoded { samples, profile, origin: (part.x, part.y), integrity, ..*self })
            }
            _ => self,
        }
    }

    pub(crate) fn still(pixels: Pixels, profile: Option<Profile>) -> Decoded {
        // an alpha channel that hides nothing goes at once: three channels resize and encode for less
        Decoded {
            samples: Samples::Packed(pixels.without_opaque_alpha()),
            profile,
            eighths: 8,
            origin: (0, 0),
            delay: 0,
            integrity: Integrity::Whole,
        }
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> u64 {
        match &self.samples {
            Samples::Packed(pixels) => pixels.data.len() as u64,
            Samples::Planes(planes) => Planes::bytes(planes.size, planes.sharing) as u64,
        }
    }
}

/// Takes each decoded picture in turn.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(Decoded) -> Result<()>;

/// Takes the rows of a picture, in the colours of a profile.
pub(crate) type RowSink<'a> = &'a mut dyn FnMut(&mut dyn Rows, Option<Profile>) -> Result<()>;

/// What an encoder is given: pictures in sRGB or in `profile`, all of one size, and how to write them.
pub(crate) struct Picture {
    pub(crate) shown: Shown,
    pub(crate) loops: Loops,
    /// How good, in the encoder's own numbers: 1 to 100, more is better.
    pub(crate) quality: f32,
    pub(crate) lossless: bool,
    /// By what, and how hard to try.
    pub(crate) encoding: Encoding,
    /// An EXIF block to write along.
    pub(crate) exif: Option<Vec<u8>>,
    /// The ICC profile that the pixels are in, for formats that carry one; `None` is sRGB.
    pub(crate) profile: Option<Arc<[u8]>>,
}

/// What an encoder is given to write.
pub(crate) enum Shown {
    /// Pictures one after the other, at least one.
    Frames(Vec<Frame>),
    /// One picture, luma and chroma apart and chroma halved; only for codecs that take them.
    Planes(Planes),
}

impl Picture {
    /// The pictures.
    ///
    /// # Panics
    /// Where planes were given to a codec that does not take them.
    pub(crate) fn frames(&self) -> &[Frame] {
        match &self.shown {
            Shown::Frames(frames) => frames,
            Shown::Planes(_) => unreachable!("only codecs that take planes are given them"),
        }
    }

    /// Whether it may be written without colour: it has none, and no profile, since that would be one of colours.
    pub(crate) fn is_grey(&self) -> bool {
        let has_no_colour = || match &self.shown {
            Shown::Frames(frames) => frames.iter().all(|frame| frame.pixels.is_grey()),
            Shown::Planes(planes) => planes.is_grey(),
        };
        self.profile.is_none() && has_no_colour()
    }

    pub(crate) fn first(&self) -> &Pixels {
        &self.frames()[0].pixels
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> Size {
        match &self.shown {
            Shown::Frames(frames) => frames[0].pixels.size,
            Shown::Planes(planes) => planes.size,
        }
    }
}

/// Asked now and then by encoders that can be stopped half-way; `false` ends them with [`Error::Cancelled`].
pub(crate) type GoOn<'a> = &'a mut dyn FnMut() -> bool;

/// A format's reader and writer.
///
/// `probe` reads the header only: it allocates no pixels and takes well under a millisecond. `decode` gives the sink
/// `plan.frames` pictures in order. Of a damaged file it gives what browsers show: the only picture with its missing parts
/// as decoders leave them, or the whole frames of an animation, at least one, and it returns [`Integrity::Damaged`].
/// Features that a codec lacks are [`Error::Unsupported`].
pub(crate) trait Codec: Sync {
    fn probe(&self, original: &[u8]) -> Result<Info>;

    fn decode(&self, original: &[u8], info: &Info, plan: &Plan<'_>, sink: Sink<'_>) -> Result<Integrity>;

    /// Decodes the only picture as planned, and behind it the same at such of the other eighths of its size as come of the
    /// same work; each is what it is when it is planned by itself.
    fn decode_several(&self, original: &[u8], info: &Info, plan: &Plan<'_>, _others: &[u32]) -> Result<Vec<Decoded>> {
        let mut found = None;
        let integrity = self.decode(original, info, plan, &mut |decoded| {
            found = Some(decoded);
            Ok(())
        })?;
        let found = found.map(|decoded| vec![Decoded { integrity, ..decoded }]);
        found.ok_or_else(|| Error::malformed(info.format, "it holds no picture"))
    }

    /// Gives the sink the rows of the only picture, where the header says that it can. Damage behind the rows that the sink
    /// takes is found, too. The rows of a damaged picture are those that decoding it whole gives.
    fn stream(&self, _original: &[u8], info: &Info, _sink: RowSink<'_>) -> Result<Integrity> {
        Err(Error::malformed(info.format, "it is not read by rows"))
    }

    /// Whether a lossy picture of that size is better handed over as planes.
    fn takes_planes(&self, _size: Size, _encoding: Encoding) -> bool {
        false
    }

    fn encode(&self, _picture: &Picture, _go_on: GoOn<'_>) -> Result<Vec<u8>> {
        Err(Error::Impossible("this format is read but not written".into()))
    }
}

/// The codec that serves a format.
pub(crate) fn of(format: Format) -> Guarded {
    Guarded(
        format,
        match format {
            Format::Jpeg => &jpeg::Jpeg,
            Format::Png => &png::Png,
            Format::Gif => &gif::Gif,
            Format::WebP => &webp::WebP,
            Format::Avif => &avif::Avif,
            Format::Bmp => &bmp::Bmp,
            Format::Tiff => &tiff::Tiff,
            Format::Ico => &ico::Ico,
            Format::Pnm => &pnm::Pnm,
            Format::Qoi => &qoi::Qoi,
            Format::Jxl => &jxl::Jxl,
            Format::Heic => &refused::Refused(Format::Heic, "no decoder for HEVC pictures is free to use"),
            Format::Svg => {
                &refused::Refused(Format::Svg, "SVG is passed through untouched and has no pixels to change")
            }
        },
    )
}

/// A codec whose panics are contained: the file that caused one is damaged as far as anybody is concerned.
#[derive(Clone, Copy)]
pub(crate) struct Guarded(Format, &'static dyn Codec);

impl Guarded {
    pub(crate) fn probe(&self, original: &[u8]) -> Result<Info> {
        guarded(self.0, || self.1.probe(original))
    }

    pub(crate) fn decode(&self, original: &[u8], info: &Info, plan: &Plan<'_>, sink: Sink<'_>) -> Result<Integrity> {
        guarded(self.0, || self.1.decode(original, info, plan, sink))
    }

    pub(crate) fn decode_several(
        &self, original: &[u8], info: &Info, plan: &Plan<'_>, others: &[u32],
    ) -> Result<Vec<Decoded>> {
        guarded(self.0, || self.1.decode_several(original, info, plan, others))
    }

    pub(crate) fn stream(&self, original: &[u8], info: &Info, sink: RowSink<'_>) -> Result<Integrity> {
        guarded(self.0, || self.1.stream(original, info, sink))
    }

    pub(crate) fn takes_planes(&self, size: Size, encoding: Encoding) -> bool {
        self.1.takes_planes(size, encoding)
    }

    pub(crate) fn encode(&self, picture: &Picture, go_on: GoOn<'_>) -> Result<Vec<u8>> {
        guarded(self.0, || self.1.encode(picture, go_on))
    }
}

fn guarded<T>(format: Format, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // unwind safe: whatever the codec left half done is dropped here, nothing outlives the call
    std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(Error::malformed(format, format!("the codec gave up ({text})")))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::render::pixels::Sharing;
    use crate::render::settings::{AvifEncoder, Effort};

    fn picture(shown: Shown, encoding: Encoding, quality: f32) -> Picture {
        Picture { shown, loops: Loops::Forever, quality, lossless: false, encoding, exif: None, profile: None }
    }

    /// Samples that are neither flat nor all alike.
    fn samples(length: usize, seed: u32) -> Vec<u8> {
        (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) as u8).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        // what the bindings to C are given comes from here: any size, odd ones above all, and any samples
        #[test]
        fn whatever_size_is_encoded_comes_back(
            width in 1_u32..70, height in 1_u32..70, seed: u32, quality in 0.0_f32..100.0, channels in 3_usize..5,
        ) {
            let size = Size::new(width, height);
            let data = samples(size.pixels() as usize * channels, seed);
            let planes = samples(Planes::bytes(size, Some(Sharing::HALVED)), seed);
            let encoding = Encoding { effort: Effort::Fast, avif: AvifEncoder::default() };
            for format in [Format::WebP, Format::Avif, Format::Jpeg] {
                let pixels = Pixels { size, channels, data: data.clone() };
                let shown = Shown::Frames(vec![Frame { pixels, delay: 0 }]);
                let packed = of(format).encode(&picture(shown, encoding, quality.max(1.0)), &mut || true);
                let probed = of(format).probe(&packed.expect("encoded")).expect("what was encoded");
                prop_assert_eq!(probed.size, size);
                prop_assert_eq!(probed.has_alpha, channels == 4 && format.has_alpha() && data.chunks(4).any(|p| p[3] < 255));
                if of(format).takes_planes(size, encoding) {
                    let planes = Planes::new(size, Some(Sharing::HALVED), planes.clone());
                    let encoded = of(format).encode(&picture(Shown::Planes(planes), encoding, quality.max(1.0)), &mut || true);
                    prop_assert_eq!(of(format).probe(&encoded.expect("encoded")).expect("what was encoded").size, size);
                }
            }
        }
    }
}
