//! Limits and encoder defaults: everything that shapes a rendition besides the original and the recipe.

use serde::{Deserialize, Serialize};

use tintype_codecs::Encoding;
use tintype_pixels::{Format, Limits};

use crate::overlay::Overlays;

/// Changes whenever the same original and recipe give other bytes than before, so that cached results of older code
/// are never taken for new ones. A test pins digests of small renditions beside it.
pub const EPOCH: u32 = 13;

/// The settings that every rendition of this process is made under.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The longest side of a result in pixels; larger requests are scaled down.
    pub max_dimension: u32,
    /// The most pixels of a result that is larger than its original; larger ones are scaled down to it.
    pub max_enlarged: u64,
    /// The most pixels of an original, all frames together.
    pub max_pixels: u64,
    /// The most frames of an original.
    pub max_frames: u32,
    /// The most bytes that decoding one original may take, by the estimate from its header.
    pub max_memory: u64,
    /// The formats that originals may have.
    pub formats_in: Vec<Format>,
    /// Whether the original is sent where converting it only made it larger.
    pub smallest_wins: bool,
    /// Whether originals whose pixel data ends early or fails a checksum are refused rather than shown as far as they go.
    pub refuse_damaged: bool,
    /// Whether pixels are averaged as light (linear) or as they are coded (sRGB).
    pub linear: bool,
    /// How many times as many pixels as are wanted a decoder that scales down must leave on each side: 1 or 2.
    pub oversampling: u32,
    /// How results are encoded.
    pub encoding: Encoding,
    /// The treatment of SVG originals.
    pub svg: SvgMode,
    /// The digest of the fonts that text in SVGs is drawn with.
    pub fonts: u64,
    /// The files of overlays. Recipes have their digests; a worker process is sent the one that a render needs.
    #[serde(skip)]
    pub overlays: Overlays,
}

/// The treatment of SVG originals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SvgMode {
    /// They are drawn where a format of pixels is named, and sent as they are elsewhere.
    #[default]
    Rasterise,
    /// They are sent as they are, and nothing else is made of them.
    Pass,
    /// They are refused.
    Refuse,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            max_dimension: 8192,
            max_enlarged: 4_000_000,
            max_pixels: 100_000_000,
            max_frames: 1000,
            max_memory: 512 << 20,
            formats_in: Format::all().filter(|&format| format != Format::Heic).collect(),
            smallest_wins: true,
            refuse_damaged: false,
            linear: false,
            oversampling: 2,
            encoding: Encoding::default(),
            svg: SvgMode::default(),
            fonts: 0,
            overlays: Overlays::default(),
        }
    }
}

impl Settings {
    /// The limits that originals are admitted under.
    pub fn limits(&self) -> Limits {
        let Settings { max_pixels, max_frames, max_memory, .. } = *self;
        Limits { max_pixels, max_frames, max_memory }
    }

    /// Whether originals of that format are taken.
    pub fn accepts(&self, format: Format) -> bool {
        // HEIC is always passed on to the codec that refuses it with its own reason
        format == Format::Heic
            || self.formats_in.contains(&format) && !(format == Format::Svg && self.svg == SvgMode::Refuse)
    }

    /// Whether SVG originals are drawn.
    pub fn draws_svg(&self) -> bool {
        cfg!(feature = "svg") && self.svg == SvgMode::Rasterise
    }

    /// The settings that shape bytes, for a cache key. Limits on originals are not among them: they refuse, and what they leave out
    /// of a result is in the recipe ([`LeftOut`](crate::recipe::LeftOut)).
    pub fn canonical(&self) -> Vec<u8> {
        let Settings {
            max_dimension,
            max_enlarged,
            max_pixels: _,
            max_frames: _,
            max_memory: _,
            formats_in: _,
            smallest_wins,
            refuse_damaged,
            linear,
            oversampling,
            encoding: Encoding { effort, avif },
            // a drawn SVG has a recipe of its own, which has the fonts
            svg: _,
            fonts: _,
            // a recipe has the digest of its own
            overlays: _,
        } = self;
        // a refusal makes no picture, but a picture of a damaged original must not be found where it is to be refused
        let strict = if *refuse_damaged { " strict" } else { "" };
        format!(
            "{EPOCH} {max_dimension} {max_enlarged} {smallest_wins} {linear} {oversampling} {effort:?} {avif:?}{strict}"
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_codecs::Effort;

    /// A setting that shapes bytes and is in no key has renditions of before served for ever.
    #[test]
    fn key_has_every_setting_that_shapes_bytes() {
        let base = Settings::default;
        let dense = Encoding { effort: Effort::Dense, ..Encoding::default() };
        let all = [
            base(),
            Settings { max_dimension: 8191, ..base() },
            Settings { max_enlarged: 4_000_001, ..base() },
            Settings { smallest_wins: false, ..base() },
            Settings { refuse_damaged: true, ..base() },
            Settings { linear: true, ..base() },
            Settings { oversampling: 1, ..base() },
            Settings { encoding: dense, ..base() },
        ];
        let keys: std::collections::HashSet<Vec<u8>> = all.iter().map(Settings::canonical).collect();
        assert_eq!(keys.len(), all.len());
        for refusing in [
            Settings { max_pixels: 1, ..base() },
            Settings { max_frames: 1, ..base() },
            Settings { max_memory: 1, ..base() },
            Settings { formats_in: Vec::new(), ..base() },
        ] {
            assert_eq!(refusing.canonical(), base().canonical());
        }
    }

    #[cfg(all(feature = "native", feature = "ravif"))]
    #[test]
    fn key_has_the_encoder_of_avif() {
        use tintype_codecs::AvifEncoder::{Libaom, Ravif};
        let key = |avif| {
            let encoding = Encoding { avif, ..Encoding::default() };
            Settings { encoding, ..Settings::default() }.canonical()
        };
        assert_ne!(key(Libaom), key(Ravif));
    }
}
