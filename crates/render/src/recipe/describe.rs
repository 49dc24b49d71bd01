//! Recipes in words, for logs and tables.

use tintype_pixels::Orientation;

use super::{Effect, Effects, Metadata, Output, Overlay, OverlayPlace, Recipe, Rgba};
use crate::geometry::{Area, Gravity, Length, Limit, Offset, Padding, Resize, ResizeOptions, TargetSize};

/// For logs and tables: what is out of the ordinary, in the order it is done.
impl std::fmt::Display for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Recipe { geometry, effects, overlay, encode, fonts: _, left_out: _ } = self;
        let mut parts = Vec::new();
        let mut say = |part: Option<String>| parts.extend(part);
        say(geometry.orient.map(|orientation| format!("orient {}", orientation.to_exif())));
        say(geometry.area.map(Area::describe));
        say(geometry.rect.map(|rect| format!("rect {},{} {}x{}", rect.x, rect.y, rect.width, rect.height)));
        say(geometry.trim.map(|tolerance| format!("trim {tolerance}%")));
        say((geometry.turn != Orientation::UPRIGHT).then(|| format!("turn {}", geometry.turn.to_exif())));
        say(geometry.resize.describe());
        geometry.options.describe(&mut say);
        effects.describe(&mut say);
        say(overlay.map(describe_overlay));
        say(geometry.canvas.map(|colour| format!("canvas {}", hex(colour))));
        say(geometry.background.map(|colour| format!("on {}", hex(colour))));
        say(Some(match encode.output {
            Output::Original => "original".into(),
            Output::Exactly(format) => format.to_string(),
            Output::Auto(choice) => format!("auto {choice:?}").to_lowercase(),
            Output::Json => "json".into(),
            Output::Dominant => "dominant".into(),
            Output::Lqip => "lqip".into(),
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

fn hex(Rgba([r, g, b, a]): Rgba) -> String {
    format!("{r:02x}{g:02x}{b:02x}{a:02x}")
}

impl Resize {
    /// In a few words; nothing for the native size.
    fn describe(self) -> Option<String> {
        let sides = |target: TargetSize| {
            let side = |length: u32| if length == 0 { "?".into() } else { length.to_string() };
            let enlarge = if target.enlarge { " enlarging" } else { "" };
            format!("{}x{}{enlarge}", side(target.width), side(target.height))
        };
        match self {
            Resize::Native => None,
            Resize::Contain(target) => Some(format!("contain {}", sides(target))),
            Resize::Outside(target) => Some(format!("outside {}", sides(target))),
            Resize::Fill(target) => Some(format!("fill {}", sides(target))),
            Resize::Cover(target, gravity) => Some(format!("cover {}{}", sides(target), at(gravity))),
            Resize::Pad(target, gravity) => Some(format!("pad {}{}", sides(target), at(gravity))),
            Resize::Auto(target, gravity) => Some(format!("auto {}{}", sides(target), at(gravity))),
            Resize::Crop(ratio, gravity) => Some(format!("crop {}:{}{}", ratio.width, ratio.height, at(gravity))),
        }
    }
}

impl Effects {
    /// Each operation that is asked for.
    fn describe(&self, say: &mut impl FnMut(Option<String>)) {
        for effect in self.in_order() {
            let hundredths = |name: &str, value: u16| format!("{name} {}", f64::from(value) / 100.0);
            say(Some(match effect {
                // in the decimals of the request
                Effect::Blur(_) => hundredths("blur", self.blur.unwrap_or_default()),
                Effect::Sharpen(_) => hundredths("sharpen", self.sharpen.unwrap_or_default()),
                Effect::Pixelate(side) => format!("pixelate {side}"),
                Effect::Brightness(factor) => hundredths("brightness", factor),
                Effect::Contrast(factor) => hundredths("contrast", factor),
                Effect::Saturation(factor) => hundredths("saturation", factor),
                Effect::Gamma(factor) => hundredths("gamma", factor),
                Effect::Greyscale => "greyscale".into(),
                Effect::Tint([r, g, b]) => format!("tint {r:02x}{g:02x}{b:02x}"),
            }));
        }
    }
}

/// The first bytes of its digest, its place and its size.
fn describe_overlay(overlay: Overlay) -> String {
    let Overlay { id, place, offset, opacity, scale } = overlay;
    let digest: String = id.digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let place = match place {
        OverlayPlace::At(x, y) => at(Gravity::Point(x, y)),
        OverlayPlace::Repeat => " repeated".into(),
    };
    let offset = describe_offset(offset).map(|offset| format!(" + {offset}")).unwrap_or_default();
    let percent = |share: u16| f64::from(share) / 100.0;
    let scale = scale.map(|scale| format!(" {}%x{}%", percent(scale.width), percent(scale.height)));
    let opacity = if opacity < 100 { format!(" opacity {opacity}%") } else { String::new() };
    format!("overlay {digest}{place}{offset}{}{opacity}", scale.unwrap_or_default())
}

impl Area {
    fn describe(self) -> String {
        let length = |length: Length| match length {
            Length::Pixels(pixels) => pixels.to_string(),
            Length::Share(share) => format!("{}%", f64::from(share) / 100.0),
        };
        match self {
            Area::Rect { x, y, width, height } => {
                format!("rect {},{} {}x{}", length(x), length(y), length(width), length(height))
            }
            Area::Window { width, height, gravity, offset } => {
                let offset = describe_offset(offset).map(|offset| format!(" + {offset}"));
                format!("window {}x{}{}{}", length(width), length(height), at(gravity), offset.unwrap_or_default())
            }
            Area::Inset(sides) => format!("inset {}", describe_sides(sides)),
        }
    }
}

/// A position other than the centre.
fn at(gravity: Gravity) -> String {
    match gravity {
        Gravity::CENTER => String::new(),
        Gravity::Smart => " smart".into(),
        Gravity::Point(x, y) => format!(" at {},{}", f64::from(x) / 10_000.0, f64::from(y) / 10_000.0),
    }
}

fn describe_offset(offset: Offset) -> Option<String> {
    let units = |offset: i32| f64::from(offset) / 10_000.0;
    (offset != Offset::NONE).then(|| format!("{},{}", units(offset.x), units(offset.y)))
}

fn describe_sides(Padding { top, right, bottom, left }: Padding) -> String {
    [top, right, bottom, left].map(|side| side.to_string()).join(",")
}

impl ResizeOptions {
    /// Each option that is not the default.
    fn describe(self, say: &mut impl FnMut(Option<String>)) {
        let ResizeOptions { limit, dpr, offset, padding } = self;
        say((limit != Limit::Ratio).then(|| format!("limit {}", limit.name())));
        say((dpr != ResizeOptions::default().dpr).then(|| format!("dpr {}", f64::from(dpr) / 100.0)));
        say(describe_offset(offset).map(|offset| format!("offset {offset}")));
        say((!padding.is_none()).then(|| format!("padding {}", describe_sides(padding))));
    }
}
