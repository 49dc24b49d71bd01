//! A rendition as it was requested: defaults, presets and negotiation are applied, and no original is needed.
//!
//! A recipe is half of a cache key, so equivalent requests must give equal recipes, and every field must be in
//! [`Recipe::canonical`]: it takes the structs apart without `..`, so that a missing field does not compile.

use tintype_pixels::{Format, Orientation, Rect};

use crate::geometry::{Gravity, Resize, TargetSize};

/// A rendition to make of some original.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The part of the original that is shown, and its size.
    pub geometry: Geometry,
    /// The operations on the pixels of the result.
    pub effects: Effects,
    /// How the result is written.
    pub encode: Encode,
}

/// The part of the original that is shown, and its size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Geometry {
    /// The part of the upright original that is used, before anything else.
    pub rect: Option<Rect>,
    /// Whether borders of one colour are cut off, and how unlike they may be: 1 to 100 percent.
    pub trim: Option<u8>,
    /// `rotate` and then `flip`, as one transformation of the upright original.
    pub turn: Orientation,
    /// The result's size and what of the original it shows.
    pub resize: Resize,
    /// The colour behind transparent pixels and of a padded canvas; `None` is transparent, or white where the format has no
    /// alpha.
    pub background: Option<Rgba>,
}

/// The operations on the pixels of the result, after resizing.
///
/// An operation has its field here and its place in [`Effects::in_order`], which takes the struct apart without `..`: an operation
/// that is not applied does not compile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Gaussian blur: sigma in hundredths of a pixel of the result, 30 to 10000.
    pub blur: Option<u16>,
    /// Sharpening in hundredths, 1 to 1000.
    pub sharpen: Option<u16>,
}

/// One operation on the pixels of the result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// Gaussian blur; sigma in pixels of the result.
    Blur(f32),
    /// Unsharp masking; its amount, 1 is as much as the picture differs from its blurred self.
    Sharpen(f32),
}

impl Effects {
    /// The operations that are asked for, in the order in which they are applied.
    pub fn in_order(&self) -> impl Iterator<Item = Effect> + use<> {
        let Effects { blur, sharpen } = *self;
        let hundredths = |value: u16| f32::from(value) / 100.0;
        let blur = blur.map(|sigma| Effect::Blur(hundredths(sigma)));
        let sharpen = sharpen.map(|amount| Effect::Sharpen(hundredths(amount)));
        [blur, sharpen].into_iter().flatten()
    }

    /// Whether no operation is asked for.
    pub fn is_empty(&self) -> bool {
        self.in_order().next().is_none()
    }
}

/// How the result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
                rect: None,
                trim: None,
                turn: Orientation::UPRIGHT,
                resize: Resize::Native,
                background: None,
            },
            effects: Effects::default(),
            encode: Encode { output, quality, target: None, lossless: false, animated: true, metadata: Metadata::None },
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
        *self == Recipe { encode: Encode { target, ..plain.encode }, ..plain }
    }

    /// The recipe as bytes for a cache key: equal for equal recipes only.
    pub fn canonical(&self) -> Vec<u8> {
        let Recipe { geometry, effects, encode } = self;
        let Geometry { rect, trim, turn, resize, background } = geometry;
        let Effects { blur, sharpen } = effects;
        let Encode { output, quality, target, lossless, animated, metadata } = encode;
        // Debug of these plain enums and integers is exact and unambiguous; EPOCH changes if it ever does not suffice
        let mut text = format!("{:?}", (rect, trim, turn, resize, background));
        // what is not asked for is left out, so that a new field leaves the keys of all other recipes as they are
        let mut effect = |name: &str, value: Option<u16>| {
            if let Some(value) = value {
                text.push_str(&format!("{name}={value};"));
            }
        };
        effect("target", target.map(|target| target.get().into()));
        effect("blur", *blur);
        effect("sharpen", *sharpen);
        text.push_str(&format!("{:?}", (output, quality, lossless, animated, metadata)));
        text.into_bytes()
    }
}

/// For logs and tables: what is out of the ordinary, in the order it is done.
impl std::fmt::Display for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Recipe { geometry, effects, encode } = self;
        let mut parts = Vec::new();
        let mut say = |part: Option<String>| parts.extend(part);
        say(geometry.rect.map(|rect| format!("rect {},{} {}x{}", rect.x, rect.y, rect.width, rect.height)));
        say(geometry.trim.map(|tolerance| format!("trim {tolerance}%")));
        say((geometry.turn != Orientation::UPRIGHT).then(|| format!("turn {}", geometry.turn.to_exif())));
        say(geometry.resize.describe());
        say(effects.blur.map(|sigma| format!("blur {}", f64::from(sigma) / 100.0)));
        say(effects.sharpen.map(|amount| format!("sharpen {}", f64::from(amount) / 100.0)));
        say(geometry.background.map(|Rgba([r, g, b, a])| format!("on {r:02x}{g:02x}{b:02x}{a:02x}")));
        say(Some(match encode.output {
            Output::Original => "original".into(),
            Output::Exactly(format) => format.to_string(),
            Output::Auto(choice) => format!("auto {choice:?}").to_lowercase(),
            Output::Json => "json".into(),
        }));
        say(Some(match encode.target {
            _ if encode.lossless => "lossless".into(),
            Some(target) => format!("target {}", target.get()),
            None => format!("q{}", encode.quality.get()),
        }));
        say((!encode.animated).then(|| "still".into()));
        say((encode.metadata != Metadata::None).then(|| format!("{:?}", encode.metadata).to_lowercase()));
        f.write_str(&parts.join(" "))
    }
}

/// A colour with straight alpha, 8-bit sRGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rgba(pub [u8; 4]);

impl Rgba {
    /// White, opaque.
    pub const WHITE: Rgba = Rgba([255, 255, 255, 255]);
}

/// The format of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// The original's own; where tintype does not write that, JPEG, or PNG where there is alpha.
    Original,
    /// This one.
    Exactly(Format),
    /// Negotiated with the client: the best that it accepts and that can hold the original.
    Auto(Choice),
    /// A description of the original as JSON.
    Json,
}

/// The class of an `Accept` header. All headers fall into few classes, so that one request has few renditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

impl Default for Quality {
    fn default() -> Self {
        Quality(75)
    }
}

/// A SSIMULACRA2 that a result must reach, 40 to 90: 90 is hardly told from the original, 70 has artefacts that are seen side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

impl Default for Target {
    fn default() -> Self {
        Target(75)
    }
}

/// The metadata of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Metadata {
    /// No metadata.
    #[default]
    None,
    /// The EXIF fields that say who made it and who owns it.
    Copyright,
    /// The EXIF block, its orientation set to upright, and the colour profile with the colours as they were. Where the
    /// result cannot carry a profile (AVIF, GIF), or the samples had to be converted (CMYK, 16 bits), they are sRGB.
    Keep,
}

impl Resize {
    /// In a few words; nothing for the native size.
    fn describe(self) -> Option<String> {
        let sides = |target: TargetSize| {
            let side = |length: u32| if length == 0 { "?".into() } else { length.to_string() };
            let enlarge = if target.enlarge { " enlarging" } else { "" };
            format!("{}x{}{enlarge}", side(target.width), side(target.height))
        };
        let at = |gravity: Gravity| match gravity {
            Gravity::CENTER => String::new(),
            Gravity::Smart => " smart".into(),
            Gravity::Point(x, y) => format!(" at {},{}", f64::from(x) / 10_000.0, f64::from(y) / 10_000.0),
        };
        match self {
            Resize::Native => None,
            Resize::Contain(target) => Some(format!("contain {}", sides(target))),
            Resize::Outside(target) => Some(format!("outside {}", sides(target))),
            Resize::Fill(target) => Some(format!("fill {}", sides(target))),
            Resize::Cover(target, gravity) => Some(format!("cover {}{}", sides(target), at(gravity))),
            Resize::Pad(target, gravity) => Some(format!("pad {}{}", sides(target), at(gravity))),
            Resize::Crop(ratio, gravity) => Some(format!("crop {}:{}{}", ratio.width, ratio.height, at(gravity))),
        }
    }

    /// The resize that a target means, in its one canonical form: a mode that cannot differ from `Contain` with these
    /// sides is `Contain`.
    pub fn canonical(self) -> Resize {
        let one_side = |target: &TargetSize| target.width == 0 || target.height == 0;
        match self {
            Resize::Contain(target) if target.width == 0 && target.height == 0 => Resize::Native,
            Resize::Outside(target) | Resize::Fill(target) | Resize::Cover(target, _) if one_side(&target) => {
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
mod tests {
    use super::*;

    #[test]
    fn recipes_that_differ_have_different_keys() {
        let base = || Recipe::new(Output::Original, Quality::default());
        let target = TargetSize { width: 1, height: 1, enlarge: false };
        let geometry = |change: fn(&mut Geometry)| {
            let mut recipe = base();
            change(&mut recipe.geometry);
            recipe
        };
        let effects = |effects| Recipe { effects, ..base() };
        let encode = |change: fn(&mut Encode)| {
            let mut recipe = base();
            change(&mut recipe.encode);
            recipe
        };
        let all = [
            base(),
            geometry(|geometry| geometry.rect = Some(Rect { x: 0, y: 0, width: 1, height: 1 })),
            geometry(|geometry| geometry.trim = Some(1)),
            geometry(|geometry| geometry.turn = Orientation::quarter_turns(1)),
            geometry(|geometry| geometry.background = Some(Rgba::WHITE)),
            base().with_resize(Resize::Contain(target)),
            base().with_resize(Resize::Contain(TargetSize { enlarge: true, ..target })),
            base().with_resize(Resize::Cover(target, Gravity::Smart)),
            base().with_resize(Resize::Cover(target, Gravity::CENTER)),
            effects(Effects { blur: Some(100), ..Effects::default() }),
            effects(Effects { sharpen: Some(100), ..Effects::default() }),
            base().with_output(Output::Json),
            base().with_output(Output::Auto(Choice::Avif)),
            base().with_output(Output::Exactly(Format::Avif)),
            encode(|encode| encode.quality = Quality(81)),
            encode(|encode| encode.target = Target::new(75)),
            encode(|encode| encode.target = Target::new(76)),
            encode(|encode| encode.lossless = true),
            encode(|encode| encode.animated = false),
            encode(|encode| encode.metadata = Metadata::Keep),
        ];
        let keys: std::collections::HashSet<Vec<u8>> = all.iter().map(Recipe::canonical).collect();
        assert_eq!(keys.len(), all.len());
    }

    #[test]
    fn key_of_a_plain_recipe_is_pinned() {
        let recipe = Recipe::new(Output::Exactly(Format::WebP), Quality(75));
        let text = String::from_utf8(recipe.canonical()).expect("text");
        let turn = "Orientation { transpose: false, mirror_x: false, mirror_y: false }";
        // another text makes every cached rendition of every installation anew
        assert_eq!(text, format!("(None, None, {turn}, Native, None)(Exactly(WebP), Quality(75), false, true, None)"));
    }
}
