//! The output of the AVIF, JPEG XL and TIFF readers: interleaved RGB or RGBA, 8 or 16 bits a sample.

use tintype_pixels::Pixels;
use tintype_pixels::colour::{self, Profile};
use tintype_pixels::error::Result;
use tintype_pixels::format::Format;
use tintype_pixels::geometry::Size;

/// Interleaved full-range samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Samples {
    /// 8 bits a sample.
    Eight(Vec<u8>),
    /// 16 bits a sample, in native byte order.
    Sixteen(Vec<u16>),
}

/// A decoded picture in its own colour space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// In pixels.
    pub(crate) width: u32,
    /// In pixels.
    pub(crate) height: u32,
    /// 3 is RGB, 4 is RGBA.
    pub(crate) channels: u8,
    /// Whether the colour samples are already multiplied by alpha.
    pub(crate) premultiplied: bool,
    /// `width * height * channels` samples, from the top row on.
    pub(crate) samples: Samples,
}

impl Decoded {
    /// 8-bit pixels with straight alpha, and the profile that remains to be applied. 16-bit samples are converted to sRGB here, at
    /// full precision, unless their profile is kept and results can carry it.
    pub(crate) fn into_pixels(
        self, format: Format, profile: Option<Profile>, keeps_profile: bool,
    ) -> Result<(Pixels, Option<Profile>)> {
        let (size, channels) = (Size::new(self.width, self.height), usize::from(self.channels));
        let (mut data, remaining) = match self.samples {
            Samples::Eight(data) => (data, profile),
            Samples::Sixteen(samples) if keeps_profile && profile.as_ref().is_some_and(|p| p.rgb_icc().is_some()) => {
                (colour::to_srgb8(&samples, channels, None), profile)
            }
            Samples::Sixteen(samples) => (colour::to_srgb8(&samples, channels, profile.as_ref()), None),
        };
        if self.premultiplied && channels == 4 {
            data.chunks_exact_mut(4).for_each(unpremultiply);
        }
        Ok((Pixels::new(format, size, channels, data)?, remaining))
    }
}

fn unpremultiply(pixel: &mut [u8]) {
    let alpha = u32::from(pixel[3]);
    for sample in &mut pixel[..3] {
        // the colour of fully transparent pixels is arbitrary
        *sample = (u32::from(*sample) * 255 + alpha / 2).checked_div(alpha).unwrap_or(0).min(255) as u8;
    }
}
