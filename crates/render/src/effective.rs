//! The recipe reduced to its effect on one original. Requests for the same image of an original, such as all widths above its own,
//! become one recipe, with one key and one file in the cache.
//!
//! [`render_from`](super::render_from) applies the reduction itself, so a recipe and its reduced form make the same
//! bytes by construction.

use tintype_pixels::{Format, Info, Rect, Region, Size};

use crate::geometry::{Fitted, Gravity, Resize, TargetSize};
use crate::kind;
use crate::metadata;
use crate::passthrough::can_send_original;
use crate::plan::Plan;
use crate::recipe::{Effects, Encode, Geometry, Metadata, Output, Quality, Recipe, Rgba};
use crate::settings::Settings;

impl Recipe {
    /// This recipe in its one form for an original with that header: sizes clamped, operations without effect left out,
    /// the format chosen. Reducing twice changes nothing. A recipe that cannot be made stays as it is.
    #[must_use]
    pub fn effective(&self, info: &Info, settings: &Settings) -> Recipe {
        match Plan::new(info, self, settings) {
            // a description has no size and no format
            Ok(_) if self.encode.output == Output::Json => self.clone(),
            Ok(plan) => reduced(&plan, info, settings).unwrap_or_else(|| self.clone()),
            Err(_) => self.clone(),
        }
    }

    /// For an effective recipe whose result may be the original itself, since that may be smaller: the recipe of what it
    /// is compared with, which others may ask for by the format's name.
    pub fn with_chosen_format(&self, info: &Info, settings: &Settings) -> Option<Recipe> {
        if !matches!(self.encode.output, Output::Auto(_) | Output::Original) {
            return None;
        }
        let plan = Plan::new(info, self, settings).ok().filter(|plan| plan.drawing_formats.is_empty())?;
        let exact = self.clone().with_output(Output::Exactly(plan.format));
        let is_same = is_same(&plan, &Plan::new(info, &exact, settings).ok()?);
        is_same.then(|| exact.effective(info, settings))
    }

    /// For a recipe whose format the pixels decide: the effective recipe that names the format that they decided for, and gives the
    /// same file.
    pub fn with_format_chosen_by_pixels(&self, format: Format, info: &Info, settings: &Settings) -> Option<Recipe> {
        let plan = Plan::new(info, self, settings).ok().filter(|plan| !plan.drawing_formats.is_empty())?;
        // it may be the original itself
        if format == info.format && can_send_original(info, &plan) {
            return None;
        }
        let exact = self.clone().with_output(Output::Exactly(format));
        let exact_plan = Plan::new(info, &exact, settings).ok()?;
        let is_same = is_same_picture(&plan, &exact_plan)
            && (plan.searches, plan.keeps_profile()) == (exact_plan.searches, exact_plan.keeps_profile());
        is_same.then(|| exact.effective(info, settings))
    }

    /// The recipe of an original that is passed through as it is, in whatever size and quality.
    #[must_use]
    pub fn passthrough() -> Recipe {
        Recipe::new(Output::Original, Quality::default())
    }

    /// Whether an SVG is passed through: always, unless a format of pixels is named.
    pub fn passes_svg_through(&self) -> bool {
        matches!(self.encode.output, Output::Original | Output::Auto(_))
    }
}

/// The reduced recipe; `None` where a step would change the picture, which the checks at its end rule out.
fn reduced(plan: &Plan<'_>, info: &Info, settings: &Settings) -> Option<Recipe> {
    let Recipe { geometry, effects, encode } = plan.recipe();
    let Geometry { rect, trim, turn, resize: _, background } = *geometry;
    // every operation has an effect, whatever the original
    let Effects { blur, sharpen } = *effects;
    let upright = info.orientation.apply(info.size);
    let sized = Recipe {
        geometry: Geometry {
            rect: rect.and_then(|rect| clipped(rect, upright)),
            trim,
            turn,
            resize: resize(plan),
            background,
        },
        effects: Effects { blur, sharpen },
        encode: Encode { animated: encode.animated || info.frames == 1, ..*encode },
    };
    let sized_plan = Plan::new(info, &sized, settings).ok().filter(|new| is_same(plan, new))?;
    let has_same_alternative = |new: &Plan<'_>| can_send_original(info, new) == can_send_original(info, &sized_plan);
    let exact = sized.clone().with_output(Output::Exactly(plan.format));
    let chosen = match Plan::new(info, &exact, settings) {
        // the pixels decide between several formats
        _ if !plan.drawing_formats.is_empty() => sized,
        Ok(new) if is_same(plan, &new) && (!settings.smallest_wins || has_same_alternative(&new)) => exact,
        // the original may be sent in place of what was chosen, or a moving PNG is meant
        _ => sized,
    };
    let result = without_unused_fields(chosen, plan, info);
    let result_plan = Plan::new(info, &result, settings).ok()?;
    is_same(plan, &result_plan).then_some(result)
}

/// The part of a rectangle that lies in the picture; `None` where that is all of it.
fn clipped(rect: Rect, size: Size) -> Option<Rect> {
    let (width, height) = (rect.width.min(size.width - rect.x), rect.height.min(size.height - rect.y));
    let whole = Rect { x: 0, y: 0, width: size.width, height: size.height };
    Some(Rect { width, height, ..rect }).filter(|rect| *rect != whole)
}

/// The simplest resize with the same result.
fn resize(plan: &Plan<'_>) -> Resize {
    let viewport = &plan.viewport;
    let Geometry { trim, resize, .. } = viewport.recipe.geometry;
    if trim.is_some() {
        return beyond_trim(resize, viewport.region);
    }
    let fitted = viewport.fit(viewport.region);
    let Size { width, height } = fitted.canvas;
    let target = |width, height, enlarge| TargetSize { width, height, enlarge };
    let at = gravity(&fitted, viewport.region);
    let candidates = [
        Resize::Native,
        Resize::Contain(target(width, 0, false)),
        Resize::Contain(target(0, height, false)),
        Resize::Contain(target(width, 0, true)),
        Resize::Contain(target(0, height, true)),
        Resize::Fill(target(width, height, false)),
        Resize::Fill(target(width, height, true)),
        Resize::Cover(target(width, height, false), at),
        Resize::Cover(target(width, height, true), at),
        Resize::Pad(target(width, height, false), at),
        Resize::Pad(target(width, height, true), at),
    ];
    let fits =
        |candidate: &Resize| is_same_fit(&viewport.fit_as(*candidate, viewport.region), &fitted, viewport.region);
    candidates.into_iter().find(fits).unwrap_or(resize)
}

/// The part that trimming leaves is known from the pixels only; but it is not larger than all.
fn beyond_trim(resize: Resize, region: Region) -> Resize {
    let is_beyond = |side: u32, all: f64| side == 0 || f64::from(side) >= all;
    match resize {
        Resize::Contain(target)
            if !target.enlarge && is_beyond(target.width, region.width) && is_beyond(target.height, region.height) =>
        {
            Resize::Native
        }
        resize => resize,
    }
}

/// The gravity with the middle on each axis along which nothing is cut off or left over.
fn gravity(fitted: &Fitted, region: Region) -> Gravity {
    let is_free = |shown: f64, all: f64, size: u32, canvas: u32| shown < all || size < canvas;
    let across = is_free(fitted.shown.0, region.width, fitted.size.width, fitted.canvas.width);
    let down = is_free(fitted.shown.1, region.height, fitted.size.height, fitted.canvas.height);
    match fitted.gravity {
        Gravity::Point(x, y) => Gravity::Point(if across { x } else { 5000 }, if down { y } else { 5000 }),
        Gravity::Smart if across || down => Gravity::Smart,
        Gravity::Smart => Gravity::CENTER,
    }
}

fn is_same_fit(one: &Fitted, other: &Fitted, region: Region) -> bool {
    (one.shown, one.size, one.canvas) == (other.shown, other.size, other.canvas)
        && gravity(one, region) == gravity(other, region)
}

/// Whether two plans for one original show the same in the same format.
fn is_same(one: &Plan<'_>, other: &Plan<'_>) -> bool {
    one.format == other.format && is_same_picture(one, other)
}

/// Whether two plans for one original show the same.
fn is_same_picture(one: &Plan<'_>, other: &Plan<'_>) -> bool {
    let fits = || {
        is_same_fit(
            &one.viewport.fit(one.viewport.region),
            &other.viewport.fit(other.viewport.region),
            one.viewport.region,
        )
    };
    one.viewport.region == other.viewport.region
        && one.viewport.orientation == other.viewport.orientation
        && one.frames() == other.frames()
        && (one.recipe().geometry.trim.is_some() || fits())
}

/// Without the fields that do nothing in the format of the result, or for this original.
fn without_unused_fields(recipe: Recipe, plan: &Plan<'_>, info: &Info) -> Recipe {
    let Recipe { geometry, effects, encode } = recipe;
    let is_padded = matches!(geometry.resize, Resize::Pad(..));
    let background = geometry.background.filter(|_| info.has_alpha || is_padded);
    let Output::Exactly(format) = encode.output else {
        return Recipe { geometry: Geometry { background, ..geometry }, effects, encode };
    };
    // these encoders have no use for a number
    let is_exact = format.ignores_quality();
    // a PNG of few colours has a palette that only comes near them, unless it must be exact
    let may_lose = plan.frames() == 1 && (kind::is_asked(info) || info.is_indexed);
    let lossless = encode.lossless && (!is_exact || format == Format::Png && may_lose);
    let target = encode.target.filter(|_| !encode.lossless && !is_exact);
    let quality = if lossless || is_exact || target.is_some() { Quality::default() } else { encode.quality };
    // a format without alpha is laid over white by itself
    let background = background.filter(|colour| format.supports_alpha() || *colour != Rgba::WHITE);
    let keeps_profile = encode.metadata == Metadata::Keep && info.has_profile && plan.keeps_profile();
    let keeps_exif = metadata::exif(encode.metadata, info).is_some();
    let metadata = if keeps_profile || keeps_exif { encode.metadata } else { Metadata::None };
    // animated or not, such a format shows the first frame
    let animated = encode.animated || (plan.frames() == 1 && !format.supports_animation());
    Recipe {
        geometry: Geometry { background, ..geometry },
        effects,
        encode: Encode { lossless, quality, target, metadata, animated, ..encode },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::recipe::Choice;
    use tintype_pixels::Orientation;

    fn photo(width: u32, height: u32) -> Info {
        Info::new(Format::Jpeg, Size::new(width, height))
    }

    fn contain(width: u32, height: u32) -> Resize {
        Resize::Contain(TargetSize { width, height, enlarge: false })
    }

    fn recipe(output: Output, resize: Resize) -> Recipe {
        Recipe::new(output, Quality::default()).with_resize(resize)
    }

    fn reduce(recipe: &Recipe, info: &Info) -> Recipe {
        recipe.effective(info, &Settings::default())
    }

    #[test]
    fn equivalent_requests_have_equal_recipes() {
        let webp = Output::Exactly(Format::WebP);
        let box_of = |width, height, enlarge| TargetSize { width, height, enlarge };
        let info = photo(1000, 500);
        for (resizes, expected) in [
            (vec![contain(1000, 0), contain(1001, 0), contain(0, 500), contain(4000, 4000)], Resize::Native),
            (vec![Resize::Cover(box_of(2000, 1000, false), Gravity::Smart)], Resize::Native),
            (vec![Resize::Fill(box_of(3000, 1500, false))], Resize::Native),
            (vec![contain(1000, 700), Resize::Outside(box_of(900, 500, false))], Resize::Native),
            (
                vec![
                    contain(300, 0),
                    contain(0, 150),
                    contain(300, 150),
                    contain(300, 900),
                    Resize::Cover(box_of(300, 150, false), Gravity::Point(0, 0)),
                    Resize::Fill(box_of(300, 150, true)),
                    Resize::Pad(box_of(300, 150, false), Gravity::Point(0, 0)),
                ],
                contain(300, 0),
            ),
            (
                vec![
                    Resize::Cover(box_of(200, 200, false), Gravity::Point(0, 5000)),
                    Resize::Cover(box_of(200, 200, true), Gravity::Point(0, 0)),
                ],
                Resize::Cover(box_of(200, 200, false), Gravity::Point(0, 5000)),
            ),
            (
                vec![contain(1001, 0)].into_iter().map(|_| Resize::Contain(box_of(2000, 0, true))).collect(),
                Resize::Contain(box_of(2000, 0, true)),
            ),
        ] {
            for resize in resizes {
                let reduced = reduce(&recipe(webp, resize), &info);
                assert_eq!(reduced.geometry.resize, expected, "{resize:?}");
            }
        }
    }

    #[test]
    fn negotiated_format_becomes_exact() {
        let info = photo(1000, 500);
        for (choice, format) in [
            (Choice::Avif, Format::Avif),
            (Choice::AvifStill, Format::Avif),
            (Choice::WebP, Format::WebP),
            (Choice::Baseline, Format::Jpeg),
        ] {
            let auto = recipe(Output::Auto(choice), contain(300, 0));
            assert_eq!(reduce(&auto, &info), recipe(Output::Exactly(format), contain(300, 0)));
        }
        // the original itself may be the smallest, which a format that was named rules out
        let auto = recipe(Output::Auto(Choice::Avif), Resize::Native);
        assert_eq!(reduce(&auto, &info), auto);
        let avif = recipe(Output::Exactly(Format::Avif), Resize::Native);
        assert_eq!(auto.with_chosen_format(&info, &Settings::default()), Some(avif.clone()));
        assert_eq!(avif.with_chosen_format(&info, &Settings::default()), None);
        let original = recipe(Output::Original, Resize::Native);
        assert_eq!(reduce(&original, &info), recipe(Output::Exactly(Format::Jpeg), Resize::Native));
    }

    #[test]
    fn fields_without_effect_are_reset() {
        let info = photo(1000, 500);
        let base = recipe(Output::Exactly(Format::Jpeg), contain(300, 0));
        let geometry = |geometry| Recipe { geometry, ..base.clone() };
        let encode = |encode| Recipe { encode, ..base.clone() };
        let rect = |x, width| Some(Rect { x, y: 0, width, height: 500 });
        for same in [
            geometry(Geometry { background: Some(Rgba([1, 2, 3, 255])), ..base.geometry }),
            encode(Encode { metadata: Metadata::Keep, ..base.encode }),
            encode(Encode { animated: false, ..base.encode }),
            geometry(Geometry { rect: rect(0, 5000), ..base.geometry }),
        ] {
            assert_eq!(reduce(&same, &info), base, "{same:?}");
        }
        let png = base.clone().with_output(Output::Exactly(Format::Png));
        let quality = Quality::new(31).expect("a quality");
        let other = Recipe { encode: Encode { quality, lossless: true, ..png.encode }, ..png.clone() };
        assert_eq!(reduce(&other, &info), png);
        let part = geometry(Geometry { rect: rect(10, 5000), ..base.geometry });
        assert_eq!(reduce(&part, &info).geometry.rect, rect(10, 990));
        let alpha = Info { has_alpha: true, ..Info::new(Format::Png, Size::new(1000, 500)) };
        let red = geometry(Geometry { background: Some(Rgba([255, 0, 0, 255])), ..base.geometry });
        assert_eq!(reduce(&red, &alpha), red);
        let white = geometry(Geometry { background: Some(Rgba::WHITE), ..base.geometry });
        assert_eq!(reduce(&white, &alpha), base);
    }

    #[test]
    fn size_after_trim_is_kept_unless_larger_than_the_original() {
        let info = photo(1000, 500);
        let trim = |resize| {
            let mut recipe = recipe(Output::Exactly(Format::WebP), resize);
            recipe.geometry.trim = Some(10);
            recipe
        };
        assert_eq!(reduce(&trim(contain(1200, 0)), &info), trim(Resize::Native));
        assert_eq!(reduce(&trim(contain(900, 0)), &info), trim(contain(900, 0)));
    }

    fn resizes() -> impl Strategy<Value = Resize> {
        (0_usize..7, 0_u32..3000, 0_u32..3000, any::<bool>(), 0_u16..=10_000, 0_u16..=10_000, any::<bool>()).prop_map(
            |(kind, width, height, enlarge, x, y, smart)| {
                let wish = TargetSize { width, height, enlarge };
                let gravity = if smart { Gravity::Smart } else { Gravity::Point(x, y) };
                [
                    Resize::Native,
                    Resize::Contain(wish),
                    Resize::Outside(wish),
                    Resize::Fill(wish),
                    Resize::Cover(wish, gravity),
                    Resize::Pad(wish, gravity),
                    Resize::Contain(wish),
                ][kind]
                    .canonical()
            },
        )
    }

    proptest! {
        #[test]
        fn reduction_is_idempotent_and_keeps_the_image(
            width in 1_u32..4000, height in 1_u32..4000, resize in resizes(), exif in 0_u32..9, turns in 0_u32..4,
            rect in proptest::option::of((0_u32..2000, 0_u32..2000, 1_u32..3000, 1_u32..3000)),
            output in 0_usize..8, has_alpha: bool, lossless: bool,
        ) {
            let info = Info { orientation: Orientation::from_exif(exif), has_alpha, ..photo(width, height) };
            let output = [
                Output::Original, Output::Exactly(Format::Jpeg), Output::Exactly(Format::Png), Output::Exactly(Format::WebP),
                Output::Auto(Choice::Avif), Output::Auto(Choice::AvifStill), Output::Auto(Choice::WebP), Output::Auto(Choice::Baseline),
            ][output];
            let mut recipe = recipe(output, resize);
            recipe.geometry.rect = rect.map(|(x, y, width, height)| Rect { x, y, width, height });
            recipe.geometry.turn = Orientation::quarter_turns(turns);
            recipe.encode.lossless = lossless && !matches!(output, Output::Exactly(Format::Jpeg));
            let settings = Settings::default();
            let reduced = recipe.effective(&info, &settings);
            prop_assert_eq!(&reduced.effective(&info, &settings), &reduced);
            if let Ok(plan) = Plan::new(&info, &recipe, &settings) {
                let new = Plan::new(&info, &reduced, &settings).expect("what could be made still can");
                prop_assert_eq!((plan.format, plan.frames(), plan.canvas), (new.format, new.frames(), new.canvas));
                let (plan, new) = (plan.viewport, new.viewport);
                prop_assert_eq!(plan.region, new.region);
                let (one, other) = (plan.fit(plan.region), new.fit(new.region));
                prop_assert_eq!((one.shown, one.size), (other.shown, other.size));
                prop_assert_eq!(one.offset(), other.offset());
                if one.gravity != Gravity::Smart {
                    prop_assert_eq!(one.window(plan.region), other.window(new.region));
                }
            }
        }
    }
}
