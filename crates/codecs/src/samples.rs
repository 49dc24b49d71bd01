//! Decoded pixels as the AVIF, JPEG XL and TIFF readers hand them over: interleaved RGB or RGBA, 8 or 16 bits a sample.

use tintype_pixels::Pixels;
use tintype_pixels::colour::{self, Profile};
use tintype_pixels::error::Result;
use tintype_pixels::format::Format;
use tintype_pixels::geometry::Size;

/// Interleaved samples, full range: 0 is none, the type's maximum is all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Samples {
    /// 8 bits a sample.
    Eight(Vec<u8>),
    /// 16 bits a sample, in the machine's byte order.
    Sixteen(Vec<u16>),
}

/// A decoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Pixels a row.
    pub(crate) width: u32,
    /// Rows.
    pub(crate) height: u32,
    /// Samples a pixel: 3 is RGB, 4 is RGBA.
    pub(crate) channels: u8,
    /// Whether the colour samples are already multiplied by alpha.
    pub(crate) premultiplied: bool,
    /// `width * height * channels` samples, row by row from the top.
    pub(crate) samples: Samples,
}

impl Decoded {
    /// As 8-bit pixels with straight alpha. 16-bit samples are converted to sRGB while they have their precision, so
    /// that no profile is left to apply.
    pub(crate) fn into_pixels(self, format: Format, profile: Option<Profile>) -> Result<(Pixels, Option<Profile>)> {
        let (size, channels) = (Size::new(self.width, self.height), usize::from(self.channels));
        let (mut data, left) = match self.samples {
            Samples::Eight(data) => (data, profile),
            Samples::Sixteen(wide) => (colour::to_srgb8(&wide, channels, profile.as_ref()), None),
        };
        if self.premultiplied && channels == 4 {
            data.chunks_exact_mut(4).for_each(divide_by_alpha);
        }
        Ok((Pixels::new(format, size, channels, data)?, left))
    }
}

fn divide_by_alpha(pixel: &mut [u8]) {
    let alpha = u32::from(pixel[3]);
    for sample in &mut pixel[..3] {
        // where nothing is to be seen any colour will do
        *sample = (u32::from(*sample) * 255 + alpha / 2).checked_div(alpha).unwrap_or(0).min(255) as u8;
    }
}
