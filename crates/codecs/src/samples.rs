//! The output of the AVIF, JPEG XL and TIFF readers: interleaved RGB or RGBA, 8 or 16 bits a sample.

use tintype_pixels::Pixels;
use tintype_pixels::colour::{Narrowing, Profile};
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
        let is_premultiplied = self.premultiplied && channels == 4;
        let (data, remaining) = match self.samples {
            Samples::Eight(mut data) => {
                if is_premultiplied {
                    data.as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| unpremultiply(pixel, u8::MAX));
                }
                (data, profile)
            }
            Samples::Sixteen(mut samples) => {
                // a profile is that of straight colours
                if is_premultiplied {
                    samples.as_chunks_mut::<4>().0.iter_mut().for_each(|pixel| unpremultiply(pixel, u16::MAX));
                }
                let keeps_profile = keeps_profile && profile.as_ref().is_some_and(|p| p.rgb_icc().is_some());
                let narrowing = Narrowing::new(channels, profile.as_ref().filter(|_| !keeps_profile));
                let mut data = Vec::with_capacity(samples.len());
                // by rows, of which copies are made
                for row in samples.chunks(size.width.max(1) as usize * channels) {
                    data.extend(narrowing.apply(row));
                }
                (data, profile.filter(|_| keeps_profile))
            }
        };
        Ok((Pixels::new(format, size, channels, data)?, remaining))
    }
}

/// Divides the colours of a pixel by its alpha, of which `most` is opaque.
fn unpremultiply<T: Copy + Into<u32> + TryFrom<u32>>(pixel: &mut [T; 4], most: T) {
    let (alpha, largest): (u32, u32) = (pixel[3].into(), most.into());
    for sample in &mut pixel[..3] {
        let stored: u32 = (*sample).into();
        // the colour of fully transparent pixels is arbitrary
        let straight = (stored * largest + alpha / 2).checked_div(alpha).unwrap_or(0);
        *sample = T::try_from(straight).unwrap_or(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(samples: Samples) -> Decoded {
        Decoded { width: 1, height: 1, channels: 4, premultiplied: true, samples }
    }

    #[test]
    fn samples_are_divided_by_alpha_before_their_profile_is_applied() {
        // BT.709 primaries and linear light; 0.2 is level 124 of sRGB
        let linear = Profile::from_cicp(1, 8, 0).expect("a profile");
        let half = |keeps_profile| {
            let samples = Samples::Sixteen(vec![6554, 6554, 6554, 32768]);
            decoded(samples).into_pixels(Format::Avif, Some(linear.clone()), keeps_profile).expect("a pixel")
        };
        let (pixels, remaining) = half(false);
        assert!(remaining.is_none() && pixels.data[..3].iter().all(|&level| level.abs_diff(124) <= 1), "{pixels:?}");
        let (pixels, remaining) = half(true);
        assert!(remaining.is_some() && pixels.data == [51, 51, 51, 128], "{pixels:?}");
    }

    #[test]
    fn samples_without_a_profile_are_divided_with_all_their_bits() {
        for (samples, expected) in [
            (Samples::Eight(vec![50, 200, 0, 100]), [128, 255, 0, 100]),
            (Samples::Eight(vec![9, 9, 9, 0]), [0, 0, 0, 0]),
            // 1.5 levels of 3 are half of all light
            (Samples::Sixteen(vec![386, 771, 0, 771]), [128, 255, 0, 3]),
            (Samples::Sixteen(vec![u16::MAX; 4]), [255; 4]),
            (Samples::Sixteen(vec![9, 9, 9, 0]), [0, 0, 0, 0]),
        ] {
            let (pixels, _) = decoded(samples.clone()).into_pixels(Format::Jxl, None, false).expect("a pixel");
            assert_eq!(pixels.data, expected, "{samples:?}");
        }
    }
}
