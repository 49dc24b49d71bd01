//! A rendition as it was requested: defaults, presets and negotiation are applied, and no original is needed.
//!
//! A recipe is half of a cache key, so equivalent requests must give equal recipes, and every field must be in
//! [`Recipe::canonical`]: it takes the structs apart without `..`, so that a missing field does not compile.

use serde::{Deserialize, Serialize};

use tintype_pixels::{Format, Orientation, Rect, Size};

mod describe;
mod effects;
mod overlay;

use crate::geometry::{Area, Gravity, Limit, Offset, Padding, Resize, ResizeOptions, Sizing, TargetSize};

pub use effects::{Effect, Effects};
pub use overlay::{Overlay, OverlayId, OverlayPlace, OverlayScale};

/// A rendition to make of some original.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The part of the original that is shown, and its size.
    pub geometry: Geometry,
    /// The operations on the pixels of the result.
    pub effects: Effects,
    /// The picture that is put on it.
    pub overlay: Option<Overlay>,
    /// How the result is written.
    pub encode: Encode,
    /// The digest of the fonts that a drawn SVG is made with, 0 for one without text; `None` for all that is not drawn. Set by
    /// [`Recipe::effective`] alone.
    pub fonts: Option<u64>,
    /// Steps that its render does without. Set by [`Recipe::effective`] alone.
    pub left_out: LeftOut,
}

/// Steps that limits leave no room for, so that the result is another one than under higher limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeftOut {
    /// The search for the quality that reaches the target.
    pub search: bool,
    /// The look at the pixels that tells drawings from photographs.
    pub kind: bool,
    /// The other formats that a drawing is tried in.
    pub drawing_formats: bool,
    /// How many better formats were passed over, where the format is open.
    pub formats: u8,
    /// The check of the frames behind the first, for a description.
    pub frames: bool,
}

/// The part of the original that is shown, and its size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Geometry {
    /// The orientation that the original is taken to have in place of its own.
    pub orient: Option<Orientation>,
    /// The part of the upright original that is used, before anything else.
    pub rect: Option<Rect>,
    /// The same relative to the size of the original, in place of `rect`.
    pub area: Option<Area>,
    /// Whether borders of one colour are cut off, and how unlike they may be: 1 to 100 percent.
    pub trim: Option<u8>,
    /// `rotate` and then `flip`, as one transformation of the upright original.
    pub turn: Orientation,
    /// The result's size and what of the original it shows.
    pub resize: Resize,
    /// The limit, the device pixel ratio, the offset and the padding of that size.
    pub options: ResizeOptions,
    /// The colour of the canvas and of the padding; `None` is the background's.
    pub canvas: Option<Rgba>,
    /// The colour behind transparent pixels and of a padded canvas; `None` is transparent, or white where the format has no
    /// alpha.
    pub background: Option<Rgba>,
}

impl Geometry {
    /// The part of an upright original of that size that is used, in pixels; it may reach beyond the original.
    pub fn part(&self, upright: Size) -> Option<Rect> {
        self.area.map(|area| area.of(upright)).or(self.rect)
    }

    /// Whether a part of the original is cut out before anything else.
    pub(crate) fn is_cut(&self) -> bool {
        self.rect.is_some() || self.area.is_some() || self.trim.is_some()
    }

    /// The resize with its options.
    pub fn sizing(&self) -> Sizing {
        Sizing { resize: self.resize, options: self.options }
    }
}

/// How the result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encode {
    /// In which format.
    pub output: Output,
    /// How good a lossy result must look, 1 to 100; without effect where there is a target.
    pub quality: Quality,
    /// The score that a lossy result must reach.
    pub target: Option<Target>,
    /// Whether the pixels must survive exactly.
    pub lossless: bool,
    /// Whether an animated original stays animated.
    pub animated: bool,
    /// The metadata that is kept.
    pub metadata: Metadata,
}

impl Recipe {
    /// A rendition that only brings the original into `output` at `quality`.
    pub fn new(output: Output, quality: Quality) -> Recipe {
        Recipe {
            geometry: Geometry {
                orient: None,
                rect: None,
                area: None,
                trim: None,
                turn: Orientation::UPRIGHT,
                resize: Resize::Native,
                options: ResizeOptions::default(),
                canvas: None,
                background: None,
            },
            effects: Effects::default(),
            overlay: None,
            encode: Encode { output, quality, target: None, lossless: false, animated: true, metadata: Metadata::None },
            fonts: None,
            left_out: LeftOut::default(),
        }
    }

    /// The same recipe with another resize.
    #[must_use]
    pub fn with_resize(self, resize: Resize) -> Recipe {
        Recipe { geometry: Geometry { resize, ..self.geometry }, ..self }
    }

    /// The same recipe with another output.
    #[must_use]
    pub fn with_output(self, output: Output) -> Recipe {
        Recipe { encode: Encode { output, ..self.encode }, ..self }
    }

    /// Whether nothing but a format and a quality is asked for.
    pub fn only_recodes(&self) -> bool {
        let Encode { output, quality, target, .. } = self.encode;
        let plain = Recipe::new(output, quality);
        *self == Recipe { encode: Encode { target, ..plain.encode }, left_out: self.left_out, ..plain }
    }

    /// The recipe as bytes for a cache key: equal for equal recipes only.
    pub fn canonical(&self) -> Vec<u8> {
        let Recipe { geometry, effects, overlay, encode, fonts, left_out } = self;
        let Geometry { orient, rect, area, trim, turn, resize, options, canvas, background } = geometry;
        let ResizeOptions { limit, dpr, offset, padding } = options;
        let Effects { blur, sharpen, pixelate, brightness, contrast, saturation, gamma, greyscale, tint } = effects;
        let Encode { output, quality, target, lossless, animated, metadata } = encode;
        // Debug of these plain enums and integers is exact and unambiguous; EPOCH changes if it ever does not suffice
        let mut text = format!("{:?}", (rect, trim, turn, resize, background));
        // options that are not asked for are left out, so that a new field leaves the keys of all other recipes as they are
        let mut extra = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                text.push_str(&format!("{name}={value};"));
            }
        };
        extra("orient", orient.map(|orientation| orientation.to_exif().to_string()));
        extra("area", area.map(|area| format!("{area:?}")));
        extra("limit", (*limit != Limit::Ratio).then(|| limit.name().into()));
        extra("dpr", (*dpr != ResizeOptions::default().dpr).then(|| dpr.to_string()));
        extra("offset", (*offset != Offset::NONE).then(|| format!("{offset:?}")));
        extra("padding", (*padding != Padding::NONE).then(|| format!("{padding:?}")));
        extra("canvas", canvas.map(|colour| format!("{colour:?}")));
        extra("target", target.map(|target| target.get().to_string()));
        extra("blur", blur.map(|sigma| sigma.to_string()));
        extra("sharpen", sharpen.map(|amount| amount.to_string()));
        extra("pixelate", pixelate.map(|side| side.to_string()));
        extra("brightness", brightness.map(|factor| factor.to_string()));
        extra("contrast", contrast.map(|factor| factor.to_string()));
        extra("saturation", saturation.map(|factor| factor.to_string()));
        extra("gamma", gamma.map(|factor| factor.to_string()));
        extra("greyscale", greyscale.then(|| "true".into()));
        extra("fonts", fonts.map(|digest| digest.to_string()));
        extra("tint", tint.map(|colour| format!("{colour:?}")));
        extra("overlay", overlay.map(|overlay| format!("{overlay:?}")));
        extra("left_out", (*left_out != LeftOut::default()).then(|| format!("{left_out:?}")));
        text.push_str(&format!("{:?}", (output, quality, lossless, animated, metadata)));
        text.into_bytes()
    }
}

/// A colour with straight alpha, 8-bit sRGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rgba(pub [u8; 4]);

impl Rgba {
    /// White, opaque.
    pub const WHITE: Rgba = Rgba([255, 255, 255, 255]);
}

/// The format of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Output {
    /// The original's own; where tintype does not write that, JPEG, or PNG where there is alpha.
    Original,
    /// This one.
    Exactly(Format),
    /// Negotiated with the client: the best that it accepts and that can hold the original.
    Auto(Choice),
    /// A description of the original as JSON.
    Json,
    /// One pixel of the dominant colour, as a PNG.
    Dominant,
    /// A blurred picture of few pixels (low-quality image placeholder), as a WebP.
    Lqip,
}

impl Output {
    /// Whether it stands for the picture until that has loaded, rather than being one.
    pub fn is_placeholder(self) -> bool {
        match self {
            Output::Original | Output::Exactly(_) | Output::Auto(_) => false,
            Output::Json | Output::Dominant | Output::Lqip => true,
        }
    }
}

/// The class of an `Accept` header. All headers fall into few classes, so that one request has few renditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Choice {
    /// AVIF for still images, WebP for animations.
    Avif,
    /// AVIF for still images, the baseline for animations, and never WebP. The service replaces this by
    /// [`Choice::Avif`] or [`Choice::Baseline`] where the original's format and whether it moves make no difference.
    AvifStill,
    /// WebP.
    WebP,
    /// JPEG, or PNG for images with alpha; the original's own format for animations.
    Baseline,
}

/// Perceptual quality, 1 to 100, on one scale for all formats; JPEG's familiar numbers are the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8")]
pub struct Quality(u8);

impl Quality {
    /// A quality of 1 to 100.
    pub const fn new(value: u8) -> Option<Quality> {
        if value >= 1 && value <= 100 { Some(Quality(value)) } else { None }
    }

    /// The number, 1 to 100.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Quality {
    type Error = &'static str;

    fn try_from(value: u8) -> Result<Quality, &'static str> {
        Quality::new(value).ok_or("a quality is 1 to 100")
    }
}

impl Default for Quality {
    fn default() -> Self {
        Quality(75)
    }
}

/// A SSIMULACRA2 that a result must reach, 40 to 90: 90 is hardly told from the original, 70 has artefacts that are seen side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8")]
pub struct Target(u8);

impl Target {
    /// A score of 40 to 90.
    pub const fn new(value: u8) -> Option<Target> {
        if value >= 40 && value <= 90 { Some(Target(value)) } else { None }
    }

    /// The score, 40 to 90.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Target {
    type Error = &'static str;

    fn try_from(value: u8) -> Result<Target, &'static str> {
        Target::new(value).ok_or("a target is 40 to 90")
    }
}

impl Default for Target {
    fn default() -> Self {
        Target(75)
    }
}

/// The metadata of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Metadata {
    /// No metadata.
    #[default]
    None,
    /// The EXIF fields that say who made it and who owns it.
    Copyright,
    /// The EXIF block, its orientation set to upright, and the colour profile with the colours as they were. Where the
    /// result cannot carry a profile (GIF), or the samples had to be converted (CMYK, HDR, PNG of 16 bits), they are sRGB.
    Keep,
}

impl Resize {
    /// The resize that a target means, in its one canonical form: a mode that cannot differ from `Contain` with these
    /// sides is `Contain`.
    pub fn canonical(self) -> Resize {
        let one_side = |target: &TargetSize| target.width == 0 || target.height == 0;
        match self {
            Resize::Contain(target) if target.width == 0 && target.height == 0 => Resize::Native,
            Resize::Outside(target) | Resize::Fill(target) | Resize::Cover(target, _) | Resize::Auto(target, _)
                if one_side(&target) =>
            {
                Resize::Contain(target).canonical()
            }
            Resize::Pad(target, _) if target.width == 0 && target.height == 0 => Resize::Native,
            // a canvas has no pixels to look at
            Resize::Pad(target, Gravity::Smart) => Resize::Pad(target, Gravity::CENTER),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
