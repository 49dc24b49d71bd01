//! Colours: from what the original's samples mean to sRGB.
//!
//! Conversion runs on the resized picture wherever the samples have 8 bits: it costs a fifteenth there of what it costs
//! on a 12-megapixel original. Profiles that cannot be read count as absent, as they do in browsers.

mod hdr;
mod profile;

use std::cell::RefCell;
use std::sync::Arc;
use std::thread::LocalKey;

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformExecutor, TransformOptions};

use crate::pixels::Pixels;
pub use profile::{ColourModel, Profile};
use profile::{Source, contained};

impl Profile {
    /// The embedded ICC profile, or one of the colours that code points state, if it describes RGB samples such as results have and
    /// can be converted from: a profile that readers ignore is not passed on to them.
    pub fn rgb_icc(&self) -> Option<Arc<[u8]>> {
        if self.is_grey() || matches!(conversion(self, 3), Conversion::Impossible) {
            return None;
        }
        self.icc().cloned().or_else(|| self.icc_of_code_points())
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

    /// The 8-bit sRGB values of its 65536 samples of 16 bits.
    fn wide_grey_curve(&self) -> Option<Arc<[u8]>> {
        let profile = self.parsed()?;
        let transform =
            contained(|| profile.create_transform_16bit(Layout::Gray, &srgb(), Layout::Rgb, options()).ok())?;
        let levels: Vec<u16> = (0..=u16::MAX).collect();
        let mut rgb = vec![0; levels.len() * 3];
        transform.transform(&levels, &mut rgb).ok()?;
        Some(rgb.chunks_exact(3).map(|pixel| narrow(pixel[0])).collect())
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
    let transform = match conversion(profile, pixels.channels) {
        Conversion::None | Conversion::Impossible => return pixels,
        Conversion::ByCurve(curve) => return with_curve(pixels, &curve),
        Conversion::By(transform) => transform,
    };
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

/// The meaning of a profile for 8-bit pixels.
#[derive(Clone)]
enum Conversion {
    /// They are sRGB as they are.
    None,
    /// No transform can be made from it, so that it counts as absent.
    Impossible,
    /// The curve of a profile for grey.
    ByCurve(Arc<[u8; 256]>),
    By(Transform<u8>),
}

/// Conversions of 8-bit pixels that a thread keeps: cameras of a make share their profile, and a site has few of them.
const MAX_CONVERSIONS: usize = 8;

/// Those of 16 bits, whose tables are a megabyte: one, for the frames of an animation.
const MAX_WIDE_CONVERSIONS: usize = 1;

/// Bytes of the profiles of kept conversions: a file of 5 KB may have one of 4 MiB, compressed.
const MAX_PROFILE_BYTES: usize = 4 << 20;

/// A conversion, and what it was made for.
struct Cached<C> {
    source: Source,
    channels: usize,
    conversion: C,
}

/// The conversions used last, the latest at the end.
type Cache<C> = RefCell<Vec<Cached<C>>>;

thread_local! {
    // making one takes as long as converting half a megapixel
    static CONVERSIONS: Cache<Conversion> = const { RefCell::new(Vec::new()) };
    static WIDE_CONVERSIONS: Cache<WideConversion> = const { RefCell::new(Vec::new()) };
}

/// The conversion of a profile for that many channels, from the cache or else from `make`, which must not use the cache.
fn cached<C: Clone + 'static>(
    cache: &'static LocalKey<Cache<C>>, most: usize, profile: &Profile, channels: usize, make: impl FnOnce() -> C,
) -> C {
    let source = profile.source();
    cache.with_borrow_mut(|cached| {
        let found = cached.iter().position(|one| one.channels == channels && one.source == *source);
        let entry = match found {
            Some(at) => cached.remove(at),
            None => Cached { source: source.clone(), channels, conversion: make() },
        };
        let conversion = entry.conversion.clone();
        cached.push(entry);
        let mut bytes: usize = cached.iter().map(|one| one.source.bytes()).sum();
        while cached.len() > most || bytes > MAX_PROFILE_BYTES {
            bytes -= cached.remove(0).source.bytes();
        }
        conversion
    })
}

/// The conversion of 8-bit pixels of that many channels into sRGB.
fn conversion(profile: &Profile, channels: usize) -> Conversion {
    cached(&CONVERSIONS, MAX_CONVERSIONS, profile, channels, || new_conversion(profile, channels))
}

fn new_conversion(profile: &Profile, channels: usize) -> Conversion {
    if let Some(tone_map) = profile.tone_map(channels) {
        return Conversion::By(tone_map);
    }
    if profile.is_grey() {
        let curve = profile.grey_curve();
        return curve.map_or(Conversion::Impossible, |curve| Conversion::ByCurve(Arc::new(curve)));
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
    conversion: WideConversion,
}

/// The meaning of a profile for 16-bit samples.
#[derive(Clone)]
enum WideConversion {
    /// Only the precision changes.
    Precision,
    /// The curve of a profile for grey: 8-bit sRGB of each sample.
    ByCurve(Arc<[u8]>),
    By(Transform<u16>),
}

impl Narrowing {
    /// Out of the colours of a profile; one that no transform can be made from leaves them as they are.
    pub fn new(channels: usize, profile: Option<&Profile>) -> Narrowing {
        let of = |profile: &Profile| {
            cached(&WIDE_CONVERSIONS, MAX_WIDE_CONVERSIONS, profile, channels, || new_wide(profile, channels))
        };
        Narrowing { channels, conversion: profile.map_or(WideConversion::Precision, of) }
    }

    /// Whole pixels.
    pub fn apply(&self, samples: &[u16]) -> Vec<u8> {
        let narrow = |samples: &[u16]| samples.iter().map(|&sample| narrow(sample)).collect();
        match &self.conversion {
            WideConversion::Precision => narrow(samples),
            WideConversion::ByCurve(curve) => {
                let mut data: Vec<u8> = narrow(samples);
                let pixels = data.chunks_exact_mut(self.channels).zip(samples.chunks_exact(self.channels));
                for (pixel, samples) in pixels {
                    for (level, &sample) in pixel[..3].iter_mut().zip(samples) {
                        *level = curve[usize::from(sample)];
                    }
                }
                data
            }
            WideConversion::By(transform) => {
                let mut converted = vec![0; samples.len()];
                match transform.transform(samples, &mut converted) {
                    Ok(()) => narrow(&converted),
                    Err(_) => narrow(samples),
                }
            }
        }
    }
}

fn new_wide(profile: &Profile, channels: usize) -> WideConversion {
    if let Some(tone_map) = profile.tone_map(channels) {
        return WideConversion::By(tone_map);
    }
    if profile.is_grey() {
        return profile.wide_grey_curve().map_or(WideConversion::Precision, WideConversion::ByCurve);
    }
    let layout = if channels == 4 { Layout::Rgba } else { Layout::Rgb };
    let made = profile
        .parsed()
        .and_then(|profile| contained(|| profile.create_transform_16bit(layout, &srgb(), layout, options()).ok()));
    made.map_or(WideConversion::Precision, WideConversion::By)
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
