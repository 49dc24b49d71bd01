//! Colour profiles: where they come from, and what is parsed of them.

use std::sync::{Arc, OnceLock};

use moxcms::{CicpProfile, ColorPrimaries, ColorProfile, DataColorSpace, ProfileText, ToneReprCurve};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hdr::{HdrTransfer, ToneMap};
use crate::wire::{self, LONGEST_NAME};

/// The kind of samples of a picture, as a profile names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColourModel {
    /// One sample of luminance.
    Grey,
    /// Red, green and blue.
    Rgb,
    /// Cyan, magenta, yellow and black.
    Cmyk,
}

impl ColourModel {
    /// That of pixels of so many components without alpha.
    pub fn of(components: u8) -> ColourModel {
        match components {
            1 => ColourModel::Grey,
            4 => ColourModel::Cmyk,
            _ => ColourModel::Rgb,
        }
    }

    /// Whether an ICC profile can be meant for samples of this kind, by its header (ICC.1:2022, §7.2.8). Decoders ignore any
    /// other: it is left over from another version of the image. Browsers accept an RGB profile for grey images, too, and apply it to
    /// three equal samples; libpng warns of it.
    pub fn is_of(self, icc: &[u8]) -> bool {
        let kind = icc.get(16..20).unwrap_or_default();
        match self {
            ColourModel::Grey => kind == b"GRAY" || kind == b"RGB ",
            ColourModel::Rgb => kind == b"RGB ",
            ColourModel::Cmyk => kind == b"CMYK",
        }
    }
}

/// The colour space of an image's samples: RGB or grey.
///
/// It is sent to another process as its source. The receiver parses it where it converts colours, so that a process that only passes
/// it on does not run a parser on it.
#[derive(Clone)]
pub struct Profile(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) source: Source,
    /// The parsed source; `None` where it cannot be parsed, so that the profile counts as absent.
    pub(super) parsed: OnceLock<Option<ColorProfile>>,
}

/// The origin of a profile: bytes of a file, or numbers that describe it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Source {
    /// The embedded profile itself.
    Icc(#[serde(with = "wire::bytes")] Arc<[u8]>),
    /// Values of gAMA and cHRM: white, red, green, blue.
    Gamma(f32, [(f32, f32); 4]),
    /// Colour primaries and transfer characteristics of ITU-T H.273.
    Cicp(u8, u8),
    /// PQ or HLG, colour primaries, and the peak luminance of the picture in 0.0001 cd/m², 0 where it is not known.
    Hdr(HdrTransfer, u8, u32),
}

impl Source {
    /// Bytes of an embedded profile.
    pub(super) fn bytes(&self) -> usize {
        if let Source::Icc(icc) = self { icc.len() } else { 0 }
    }

    fn parse(&self) -> Option<ColorProfile> {
        match *self {
            Source::Icc(ref icc) => parse_icc(icc),
            Source::Gamma(gamma, chromaticities) => profile_of_gamma(gamma, chromaticities),
            Source::Cicp(primaries, transfer) => profile_of_cicp(primaries, transfer),
            // converted by a tone mapping of our own
            Source::Hdr(..) => None,
        }
    }
}

fn parse_icc(icc: &[u8]) -> Option<ColorProfile> {
    let mut profile = contained(|| ColorProfile::new_from_slice(icc).ok())?;
    // curves and a matrix lead to XYZ, whatever the header says
    let tables = [&profile.lut_a_to_b_perceptual, &profile.lut_a_to_b_colorimetric, &profile.lut_a_to_b_saturation];
    if tables.iter().all(|table| table.is_none()) {
        profile.pcs = DataColorSpace::Xyz;
    }
    let known = matches!(profile.color_space, DataColorSpace::Rgb | DataColorSpace::Gray);
    known.then_some(profile)
}

fn profile_of_gamma(gamma: f32, [white, red, green, blue]: [(f32, f32); 4]) -> Option<ColorProfile> {
    let sane = |(x, y): (f32, f32)| x > 0.0 && y > 0.0 && x + y <= 1.0001;
    if ![white, red, green, blue].into_iter().all(sane) {
        return None;
    }
    let point = |(x, y)| moxcms::Chromaticity { x, y };
    let primaries = ColorPrimaries { red: point(red), green: point(green), blue: point(blue) };
    let mut profile = ColorProfile::new_srgb();
    profile.update_rgb_colorimetry(point(white).to_xyyb(), primaries);
    if !(0.1..=10.0).contains(&gamma) {
        return None;
    }
    let curve = ToneReprCurve::Parametric(vec![1.0 / gamma]);
    profile.red_trc = Some(curve.clone());
    profile.green_trc = Some(curve.clone());
    profile.blue_trc = Some(curve);
    profile.cicp = None;
    Some(profile)
}

fn profile_of_cicp(primaries: u8, transfer: u8) -> Option<ColorProfile> {
    // 1 is BT.709 and 2 unspecified; 13 is sRGB, and pictures tagged with video's curves are made to be shown as sRGB
    let plain_curve = matches!(transfer, 1 | 2 | 6 | 13 | 14 | 15);
    if matches!(primaries, 1 | 2) && plain_curve {
        return None;
    }
    let cicp = CicpProfile {
        color_primaries: primaries.try_into().ok()?,
        transfer_characteristics: if plain_curve { 13 } else { transfer }.try_into().ok()?,
        matrix_coefficients: moxcms::MatrixCoefficients::Identity,
        full_range: true,
    };
    contained(|| Some(ColorProfile::new_from_cicp(cicp)))
}

impl Profile {
    /// Reads an ICC profile (ICC.1:2022); `None` where it is damaged or describes neither RGB nor grey.
    pub fn from_icc(icc: &[u8]) -> Option<Profile> {
        let parsed = parse_icc(icc)?;
        Some(Profile::parsed_from(Source::Icc(icc.into()), parsed))
    }

    /// The colour space that PNG's gAMA and cHRM chunks describe: samples are light to the power of `gamma`;
    /// chromaticities are white, red, green, blue, each x and y.
    pub fn from_gamma(gamma: f32, chromaticities: [(f32, f32); 4]) -> Option<Profile> {
        let parsed = profile_of_gamma(gamma, chromaticities)?;
        Some(Profile::parsed_from(Source::Gamma(gamma, chromaticities), parsed))
    }

    /// The colour space of coded values (ITU-T H.273): colour primaries and transfer characteristics. `None` where they
    /// are sRGB's own or unspecified. `peak` is the peak luminance of a PQ or HLG picture in 0.0001 cd/m², 0 where it is not known.
    pub fn from_cicp(primaries: u8, transfer: u8, peak: u32) -> Option<Profile> {
        if let Some(transfer) = HdrTransfer::of_cicp(transfer) {
            let source = Source::Hdr(transfer, primaries, peak);
            return Some(Profile(Arc::new(Inner { source, parsed: OnceLock::from(None) })));
        }
        let parsed = profile_of_cicp(primaries, transfer)?;
        Some(Profile::parsed_from(Source::Cicp(primaries, transfer), parsed))
    }

    pub(super) fn parsed_from(source: Source, parsed: ColorProfile) -> Profile {
        Profile(Arc::new(Inner { source, parsed: OnceLock::from(Some(parsed)) }))
    }

    pub(super) fn parsed(&self) -> Option<&ColorProfile> {
        self.0.parsed.get_or_init(|| self.0.source.parse()).as_ref()
    }

    pub(super) fn source(&self) -> &Source {
        &self.0.source
    }

    pub(super) fn icc(&self) -> Option<&Arc<[u8]>> {
        match &self.0.source {
            Source::Icc(icc) => Some(icc),
            Source::Gamma(..) | Source::Cicp(..) | Source::Hdr(..) => None,
        }
    }

    /// An ICC profile of code points; the same bytes each time.
    pub(super) fn icc_of_code_points(&self) -> Option<Arc<[u8]>> {
        if !matches!(self.0.source, Source::Cicp(..)) {
            return None;
        }
        // year, month, day, hours, minutes and seconds (ICC.1:2022, §4.2), for which the writer takes the current time
        const CREATED: [u8; 12] = [7, 228, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0];
        let profile = self.parsed()?;
        let mut icc = contained(|| profile.encode().ok())?;
        icc.get_mut(24..36)?.copy_from_slice(&CREATED);
        Some(icc.into())
    }

    /// Whether it is PQ or HLG.
    pub fn is_hdr(&self) -> bool {
        matches!(self.0.source, Source::Hdr(..))
    }

    /// The conversion of PQ or HLG to sRGB, for pixels of that many channels; `None` for other profiles.
    pub(super) fn tone_map(&self, channels: usize) -> Option<Arc<ToneMap>> {
        match self.0.source {
            Source::Hdr(transfer, primaries, peak) => {
                ToneMap::new(channels, transfer, primaries, peak as f32 / 10_000.0)
            }
            _ => None,
        }
    }

    /// The name that the profile has for itself.
    pub fn name(&self) -> Option<String> {
        self.icc()?;
        let name = self.parsed()?.description.as_ref().map(text);
        name.filter(|name| !name.is_empty())
    }

    pub(super) fn is_grey(&self) -> bool {
        self.parsed().is_some_and(|profile| profile.color_space == DataColorSpace::Gray)
    }
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0.source {
            Source::Icc(icc) => write!(f, "Profile(ICC of {} bytes)", icc.len()),
            Source::Gamma(gamma, _) => write!(f, "Profile(gamma {gamma})"),
            Source::Cicp(primaries, transfer) => write!(f, "Profile(CICP {primaries}/{transfer})"),
            Source::Hdr(transfer, primaries, _) => write!(f, "Profile({transfer:?}, primaries {primaries})"),
        }
    }
}

impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.source.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Profile, D::Error> {
        let source = Source::deserialize(deserializer)?;
        Ok(Profile(Arc::new(Inner { source, parsed: OnceLock::new() })))
    }
}

fn text(text: &ProfileText) -> String {
    let text = match text {
        ProfileText::PlainString(text) => text.as_str(),
        ProfileText::Localizable(all) => all.first().map_or("", |text| text.value.as_str()),
        ProfileText::Description(description) => description.ascii_string.as_str(),
    };
    text.trim_matches(|c: char| c.is_control() || c.is_whitespace()).chars().take(LONGEST_NAME).collect()
}

/// The parser and the transforms are another project's code on untrusted bytes: a panic in it is a profile that cannot be
/// read.
pub(super) fn contained<T>(work: impl FnOnce() -> Option<T>) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).ok().flatten()
}
