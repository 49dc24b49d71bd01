//! What to make, without knowing from what: every default filled in, every choice made that needs no original.
//!
//! A recipe is half of a cache key, so two ways to say one wish must be one recipe, and every field must be in
//! [`Recipe::canonical`]: it takes the struct apart without `..`, so that a field left out does not compile.

use super::format::Format;
use super::geometry::{Gravity, Orientation, Rect, Resize, Wish};

/// A rendition to make of some original.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The part of the upright original that is used, before anything else.
    pub rect: Option<Rect>,
    /// Whether borders of one colour are cut off, and how unlike they may be: 1 to 100 percent.
    pub trim: Option<u8>,
    /// `rotate` and then `flip`, as one turn of the upright original.
    pub turn: Orientation,
    /// The result's size and what of the original it shows.
    pub resize: Resize,
    /// Gaussian blur: sigma in hundredths of a pixel of the result, 30 to 10000.
    pub blur: Option<u16>,
    /// Sharpening in hundredths, 1 to 1000.
    pub sharpen: Option<u16>,
    /// What stands behind transparent pixels and on a padded canvas; `None` is transparent, or white where the
    /// format has no alpha.
    pub background: Option<Rgba>,
    /// In which format.
    pub output: Output,
    /// How good a lossy result must look, 1 to 100.
    pub quality: Quality,
    /// Whether the pixels must survive exactly.
    pub lossless: bool,
    /// Whether a moving original may move.
    pub animated: bool,
    /// What of the original's metadata is kept.
    pub metadata: Metadata,
}

impl Recipe {
    /// A rendition that only brings the original into `output` at `quality`.
    pub fn new(output: Output, quality: Quality) -> Recipe {
        Recipe {
            rect: None,
            trim: None,
            turn: Orientation::UPRIGHT,
            resize: Resize::Native,
            blur: None,
            sharpen: None,
            background: None,
            output,
            quality,
            lossless: false,
            animated: true,
            metadata: Metadata::None,
        }
    }

    /// Whether nothing but a format and a quality is asked for.
    pub fn only_recodes(&self) -> bool {
        let Recipe { output, quality, .. } = *self;
        *self == Recipe::new(output, quality)
    }

    /// The recipe as bytes for a cache key: equal for equal recipes only.
    pub fn canonical(&self) -> Vec<u8> {
        let Recipe {
            rect,
            trim,
            turn,
            resize,
            blur,
            sharpen,
            background,
            output,
            quality,
            lossless,
            animated,
            metadata,
        } = self;
        // Debug of these plain enums and integers is exact and unambiguous; EPOCH changes if it ever does not suffice
        let parts = (rect, trim, turn, resize, blur, sharpen, background);
        let rest = (output, quality, lossless, animated, metadata);
        format!("{parts:?}{rest:?}").into_bytes()
    }
}

/// For logs and tables: what is out of the ordinary, in the order it is done.
impl std::fmt::Display for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        let mut say = |said: Option<String>| parts.extend(said);
        say(self.rect.map(|rect| format!("rect {},{} {}x{}", rect.x, rect.y, rect.width, rect.height)));
        say(self.trim.map(|tolerance| format!("trim {tolerance}%")));
        say((self.turn != Orientation::UPRIGHT).then(|| format!("turn {}", self.turn.to_exif())));
        say(self.resize.describe());
        say(self.blur.map(|sigma| format!("blur {}", f64::from(sigma) / 100.0)));
        say(self.sharpen.map(|amount| format!("sharpen {}", f64::from(amount) / 100.0)));
        say(self.background.map(|Rgba([r, g, b, a])| format!("on {r:02x}{g:02x}{b:02x}{a:02x}")));
        say(Some(match self.output {
            Output::Original => "original".into(),
            Output::Exactly(format) => format.to_string(),
            Output::Auto(choice) => format!("auto {choice:?}").to_lowercase(),
            Output::Json => "json".into(),
        }));
        say(Some(if self.lossless { "lossless".into() } else { format!("q{}", self.quality.get()) }));
        say((!self.animated).then(|| "still".into()));
        say((self.metadata != Metadata::None).then(|| format!("{:?}", self.metadata).to_lowercase()));
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
    /// No picture: what the original is, as JSON.
    Json,
}

/// What a client accepts, reduced to what makes a difference. Three classes, so that all `Accept` headers of the world
/// make at most three renditions of one wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// AVIF for pictures that stand still, WebP for those that move.
    Avif,
    /// AVIF for pictures that stand still, the baseline for those that move, and never WebP. The service replaces this by
    /// [`Choice::Avif`] or [`Choice::Baseline`] where the original's format and whether it moves make no difference.
    AvifStill,
    /// WebP.
    WebP,
    /// JPEG, or PNG where there is alpha; the original's own format where it moves.
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

/// What of the original's metadata goes into the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Metadata {
    /// Nothing.
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
        let sides = |wish: Wish| {
            let side = |length: u32| if length == 0 { "?".into() } else { length.to_string() };
            let enlarge = if wish.enlarge { " enlarging" } else { "" };
            format!("{}x{}{enlarge}", side(wish.width), side(wish.height))
        };
        let at = |gravity: Gravity| match gravity {
            Gravity::CENTER => String::new(),
            Gravity::Smart => " smart".into(),
            Gravity::Point(x, y) => format!(" at {},{}", f64::from(x) / 10_000.0, f64::from(y) / 10_000.0),
        };
        match self {
            Resize::Native => None,
            Resize::Contain(wish) => Some(format!("contain {}", sides(wish))),
            Resize::Outside(wish) => Some(format!("outside {}", sides(wish))),
            Resize::Fill(wish) => Some(format!("fill {}", sides(wish))),
            Resize::Cover(wish, gravity) => Some(format!("cover {}{}", sides(wish), at(gravity))),
            Resize::Pad(wish, gravity) => Some(format!("pad {}{}", sides(wish), at(gravity))),
            Resize::Crop(ratio, gravity) => Some(format!("crop {}:{}{}", ratio.width, ratio.height, at(gravity))),
        }
    }

    /// The resize that a wish means, in its one canonical form: a mode that cannot differ from `Contain` with these
    /// sides is `Contain`.
    pub fn canonical(self) -> Resize {
        let one_side = |wish: &Wish| wish.width == 0 || wish.height == 0;
        match self {
            Resize::Contain(wish) if wish.width == 0 && wish.height == 0 => Resize::Native,
            Resize::Outside(wish) | Resize::Fill(wish) | Resize::Cover(wish, _) if one_side(&wish) => {
                Resize::Contain(wish).canonical()
            }
            Resize::Pad(wish, _) if wish.width == 0 && wish.height == 0 => Resize::Native,
            // a canvas has no pixels to look at
            Resize::Pad(wish, Gravity::Smart) => Resize::Pad(wish, Gravity::CENTER),
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
        let rect = Rect { x: 0, y: 0, width: 1, height: 1 };
        let wish = Wish { width: 1, height: 1, enlarge: false };
        let all = [
            base(),
            Recipe { rect: Some(rect), ..base() },
            Recipe { trim: Some(1), ..base() },
            Recipe { turn: Orientation::quarter_turns(1), ..base() },
            Recipe { resize: Resize::Contain(wish), ..base() },
            Recipe { resize: Resize::Contain(Wish { enlarge: true, ..wish }), ..base() },
            Recipe { resize: Resize::Cover(wish, Gravity::Smart), ..base() },
            Recipe { resize: Resize::Cover(wish, Gravity::CENTER), ..base() },
            Recipe { blur: Some(100), ..base() },
            Recipe { sharpen: Some(100), ..base() },
            Recipe { background: Some(Rgba::WHITE), ..base() },
            Recipe { output: Output::Json, ..base() },
            Recipe { output: Output::Auto(Choice::Avif), ..base() },
            Recipe { output: Output::Exactly(Format::Avif), ..base() },
            Recipe { quality: Quality(81), ..base() },
            Recipe { lossless: true, ..base() },
            Recipe { animated: false, ..base() },
            Recipe { metadata: Metadata::Keep, ..base() },
        ];
        let keys: std::collections::HashSet<Vec<u8>> = all.iter().map(Recipe::canonical).collect();
        assert_eq!(keys.len(), all.len());
    }
}
