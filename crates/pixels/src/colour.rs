//! Colours: from what the original's samples mean to sRGB.
//!
//! Conversion runs on the resized picture wherever the samples have 8 bits: it costs a fifteenth there of what it costs
//! on a 12-megapixel original. Profiles that cannot be read count as absent, as they do in browsers.

mod hdr;
mod profile;

use std::cell::RefCell;
use std::sync::Arc;

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformExecutor, TransformOptions};

use crate::pixels::Pixels;
use profile::contained;
pub use profile::{ColourModel, Profile};

impl Profile {
    /// The embedded ICC profile, or one of the colours that code points state, if it describes RGB samples such as results have and
    /// can be converted from: a profile that readers ignore is not passed on to them.
    pub fn rgb_icc(&self) -> Option<Arc<[u8]>> {
        let icc = self.icc().cloned().or_else(|| self.icc_of_code_points())?;
        (!self.is_grey() && !matches!(conversion(self, 3), Conversion::Impossible)).then_some(icc)
    }

    /// Whether opaque pixels in it are sRGB as they are: most profiles in photographs are sRGB under some name.
    pub fn is_srgb(&self) -> bool {
        !self.is_grey() && !matches!(conversion(self, 3), Conversion::By(_))
    }

    /// The 256 sRGB values of a grey profile's 256 samples.
    fn grey_curve(&self) -> Option<[u8; 256]> {
        let profile = self.parsed()?;
        let transform =
            contained(|| profile.create_transform_8bit(Layout::Gray, &srgb(), Layout::Rgb, options()).ok())?;
        let levels: Vec<u8> = (0..=255).collect();
        let mut rgb = vec![0; 256 * 3];
        transform.transform(&levels, &mut rgb).ok()?;
        let mut curve = [0; 256];
        for (level, pixel) in curve.iter_mut().zip(rgb.chunks_exact(3)) {
            *level = pixel[0];
        }
        Some(curve)
    }
}

fn srgb() -> ColorProfile {
    ColorProfile::new_srgb()
}

fn options() -> TransformOptions {
    TransformOptions::default()
}

/// Converts 8-bit pixels to sRGB. A profile that no transform can be made from leaves them as they are.
pub fn to_srgb(pixels: Pixels, profile: &Profile) -> Pixels {
    if profile.is_grey() {
        return match profile.grey_curve() {
            Some(curve) => with_curve(pixels, &curve),
            None => pixels,
        };
    }
    let Conversion::By(transform) = conversion(profile, pixels.channels) else { return pixels };
    let mut data = vec![0; pixels.data.len()];
    match transform.transform(&pixels.data, &mut data) {
        Ok(()) => Pixels { data, ..pixels },
        Err(_) => pixels,
    }
}

/// Converts 8-bit sRGB pixels into the colours of a profile for RGB. One that no transform can be made to leaves them as they are.
pub fn from_srgb(pixels: Pixels, profile: &Profile) -> Pixels {
    let layout = if pixels.channels == 4 { Layout::Rgba } else { Layout::Rgb };
    let transform = profile
        .parsed()
        .and_then(|profile| contained(|| srgb().create_transform_8bit(layout, profile, layout, options()).ok()));
    let mut data = vec![0; pixels.data.len()];
    match transform.map(|transform| transform.transform(&pixels.data, &mut data)) {
        Some(Ok(())) => Pixels { data, ..pixels },
        _ => pixels,
    }
}

type Transform<S> = Arc<dyn TransformExecutor<S> + Send + Sync>;

/// How many transforms a thread keeps: cameras of a make share their profile, and a site has few of them.
const TRANSFORMS: usize = 8;

/// The meaning of a profile for 8-bit pixels.
#[derive(Clone)]
enum Conversion {
    /// They are sRGB as they are.
    None,
    /// No transform can be made from it, so that it counts as absent.
    Impossible,
    By(Transform<u8>),
}

/// A conversion as it is kept: the profile and the number of channels it is for.
type Known = (Arc<[u8]>, usize, Conversion);

thread_local! {
    /// The conversions used last, the latest at the end. Making one takes as long as converting half a megapixel.
    static KNOWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

/// The transform of 8-bit pixels of that many channels into sRGB.
fn conversion(profile: &Profile, channels: usize) -> Conversion {
    let Some(icc) = profile.icc() else { return new_conversion(profile, channels) };
    KNOWN.with_borrow_mut(|known| {
        let found = known.iter().position(|(its, for_channels, _)| for_channels == &channels && its == icc);
        let entry = match found {
            Some(at) => known.remove(at),
            None => (Arc::clone(icc), channels, new_conversion(profile, channels)),
        };
        if known.len() >= TRANSFORMS {
            known.remove(0);
        }
        let conversion = entry.2.clone();
        known.push(entry);
        conversion
    })
}

fn new_conversion(profile: &Profile, channels: usize) -> Conversion {
    if let Some(tone_map) = profile.tone_map(channels) {
        return Conversion::By(tone_map);
    }
    let layout = if channels == 4 { Layout::Rgba } else { Layout::Rgb };
    let made = profile
        .parsed()
        .and_then(|profile| contained(|| profile.create_transform_8bit(layout, &srgb(), layout, options()).ok()));
    match made {
        None => Conversion::Impossible,
        Some(transform) if is_identity(&*transform, channels) => Conversion::None,
        Some(transform) => Conversion::By(transform),
    }
}

/// Converts 16-bit samples (native byte order) to 8-bit sRGB at their full precision.
pub fn to_srgb8(samples: &[u16], channels: usize, profile: Option<&Profile>) -> Vec<u8> {
    Narrowing::new(channels, profile).apply(samples)
}

/// How 16-bit samples become 8-bit sRGB, for pictures that come in parts.
pub struct Narrowing {
    channels: usize,
    by: By,
}

enum By {
    /// Only the precision changes.
    Precision,
    /// The curve of a profile for grey.
    Curve(Box<[u8; 256]>),
    Transform(Transform<u16>),
}

impl Narrowing {
    /// Out of the colours of a profile; one that no transform can be made from leaves them as they are.
    pub fn new(channels: usize, profile: Option<&Profile>) -> Narrowing {
        let layout = if channels == 4 { Layout::Rgba } else { Layout::Rgb };
        let by = match profile {
            None => By::Precision,
            Some(profile) if profile.is_grey() => {
                profile.grey_curve().map_or(By::Precision, |curve| By::Curve(Box::new(curve)))
            }
            Some(profile) => {
                let transform = profile.tone_map(channels).map(|tone_map| tone_map as Transform<u16>);
                let made = || {
                    profile.parsed().and_then(|profile| {
                        contained(|| profile.create_transform_16bit(layout, &srgb(), layout, options()).ok())
                    })
                };
                transform.or_else(made).map_or(By::Precision, By::Transform)
            }
        };
        Narrowing { channels, by }
    }

    /// Whole pixels.
    pub fn apply(&self, samples: &[u16]) -> Vec<u8> {
        let narrow = |samples: &[u16]| samples.iter().map(|&sample| narrow(sample)).collect();
        match &self.by {
            By::Precision => narrow(samples),
            By::Curve(curve) => {
                let mut data: Vec<u8> = narrow(samples);
                apply_curve(&mut data, self.channels, curve);
                data
            }
            By::Transform(transform) => {
                let mut converted = vec![0; samples.len()];
                match transform.transform(samples, &mut converted) {
                    Ok(()) => narrow(&converted),
                    Err(_) => narrow(samples),
                }
            }
        }
    }
}

/// The nearest of 256 levels to one of 65536.
pub fn narrow(sample: u16) -> u8 {
    // exact for all 65536 values: 65535 is 255 × 257
    ((u32::from(sample) + 128) / 257) as u8
}

/// Converts CMYK samples, four bytes a pixel, to sRGB, and needs no memory but that of the result.
///
/// `inverted` says that 255 is no ink rather than full ink. With an ICC profile for inks the colours are those of that
/// press; without one they are the plain product that every other program shows.
pub fn cmyk_to_rgb(mut inks: Vec<u8>, inverted: bool, icc: Option<&[u8]>) -> Vec<u8> {
    if inverted {
        inks.iter_mut().for_each(|ink| *ink = 255 - *ink);
    }
    if let Some(rgb) = icc.and_then(|icc| by_press(&inks, icc)) {
        return rgb;
    }
    inks.chunks_exact(4)
        .flat_map(|ink| {
            let [c, m, y, k] = [ink[0], ink[1], ink[2], ink[3]].map(|ink| 255 - u32::from(ink));
            [c, m, y].map(|light| ((light * k + 127) / 255) as u8)
        })
        .collect()
}

fn by_press(inks: &[u8], icc: &[u8]) -> Option<Vec<u8>> {
    let convert = || {
        let profile = ColorProfile::new_from_slice(icc).ok()?;
        if profile.color_space != DataColorSpace::Cmyk {
            return None;
        }
        // the perceptual intent maps the press's black to black; without compensation of the black point, which is not
        // to be had here, the colorimetric one leaves it a grey
        let transform = profile.create_transform_8bit(Layout::Rgba, &srgb(), Layout::Rgb, options()).ok()?;
        let mut rgb = vec![0; inks.len() / 4 * 3];
        transform.transform(inks, &mut rgb).ok()?;
        Some(rgb)
    };
    contained(convert)
}

fn with_curve(mut pixels: Pixels, curve: &[u8; 256]) -> Pixels {
    let channels = pixels.channels;
    apply_curve(&mut pixels.data, channels, curve);
    pixels
}

fn apply_curve(data: &mut [u8], channels: usize, curve: &[u8; 256]) {
    for pixel in data.chunks_exact_mut(channels) {
        for sample in &mut pixel[..3] {
            *sample = curve[usize::from(*sample)];
        }
    }
}

/// Whether a transform changes nothing that can be seen: most profiles in photographs are sRGB under some name.
fn is_identity(transform: &(dyn TransformExecutor<u8> + Send + Sync), channels: usize) -> bool {
    const LEVELS: [u8; 7] = [0, 16, 64, 128, 180, 220, 255];
    let mut probe = Vec::new();
    for r in LEVELS {
        for g in LEVELS {
            for b in LEVELS {
                probe.extend([r, g, b]);
                probe.extend(std::iter::repeat_n(255, channels - 3));
            }
        }
    }
    let mut out = vec![0; probe.len()];
    transform.transform(&probe, &mut out).is_ok() && probe.iter().zip(&out).all(|(a, b)| a.abs_diff(*b) <= 1)
}

#[cfg(test)]
mod tests;
