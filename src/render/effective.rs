//! The recipe reduced to its effect on one original. Requests that come to the same picture of an original, such as all
//! widths above its own, are then one recipe, with one key and one file in the cache.
//!
//! [`render_from`](super::render_from) applies the reduction itself, so a recipe and its reduced form make the same
//! bytes by construction, whoever reduces.

use super::codec::Info;
use super::exif;
use super::format::Format;
use super::geometry::{Fitted, Gravity, Rect, Region, Resize, Size, Wish};
use super::original_will_do;
use super::plan::Plan;
use super::recipe::{Metadata, Output, Quality, Recipe, Rgba};
use super::settings::Settings;

impl Recipe {
    /// This recipe in its one form for an original with that header: sizes clamped, operations without effect left out,
    /// the format chosen. Reducing twice changes nothing. A recipe that cannot be made stays as it is.
    #[must_use]
    pub fn effective(&self, info: &Info, settings: &Settings) -> Recipe {
        match Plan::new(info, self, settings) {
            // a description has no size and no format
            Ok(_) if self.output == Output::Json => self.clone(),
            Ok(plan) => reduced(&plan, info, settings).unwrap_or_else(|| self.clone()),
            Err(_) => self.clone(),
        }
    }

    /// For an effective recipe whose result may be the original itself, since that may be smaller: the recipe of what it
    /// is compared with, which others may ask for by the format's name.
    pub fn compared(&self, info: &Info, settings: &Settings) -> Option<Recipe> {
        if !matches!(self.output, Output::Auto(_) | Output::Original) {
            return None;
        }
        let plan = Plan::new(info, self, settings).ok()?;
        let exact = Recipe { output: Output::Exactly(plan.format), ..self.clone() };
        let is_same = is_same(&plan, &Plan::new(info, &exact, settings).ok()?);
        is_same.then(|| exact.effective(info, settings))
    }

    /// The recipe of an original that is passed through as it is, in whatever size and quality.
    #[must_use]
    pub fn passthrough() -> Recipe {
        Recipe::new(Output::Original, Quality::default())
    }

    /// Whether an SVG is passed through: always, unless a format of pixels is named.
    pub fn passes_svg_through(&self) -> bool {
        matches!(self.output, Output::Original | Output::Auto(_))
    }
}

/// The reduced recipe; `None` where a step would change the picture, which the checks at its end rule out.
fn reduced(plan: &Plan<'_>, info: &Info, settings: &Settings) -> Option<Recipe> {
    let Recipe {
        rect,
        trim,
        turn,
        resize: _,
        blur,
        sharpen,
        background: _,
        output: _,
        quality: _,
        lossless: _,
        animated: _,
        metadata: _,
    } = *plan.recipe;
    let upright = info.orientation.apply(info.size);
    let sized = Recipe {
        rect: rect.and_then(|rect| clipped(rect, upright)),
        trim,
        turn,
        resize: resize(plan),
        blur,
        sharpen,
        animated: plan.recipe.animated || info.frames == 1,
        ..plan.recipe.clone()
    };
    let sized_plan = Plan::new(info, &sized, settings).ok().filter(|new| is_same(plan, new))?;
    let has_same_rival = |new: &Plan<'_>| original_will_do(info, new) == original_will_do(info, &sized_plan);
    let exact = Recipe { output: Output::Exactly(plan.format), ..sized.clone() };
    let chosen = match Plan::new(info, &exact, settings) {
        Ok(new) if is_same(plan, &new) && (!settings.smallest_wins || has_same_rival(&new)) => exact,
        // the original may be sent in place of what was chosen, or a moving PNG is meant
        _ => sized,
    };
    let result = without_idle_parts(chosen, plan, info);
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
    let resize = plan.recipe.resize;
    if plan.recipe.trim.is_some() {
        return beyond_trim(resize, plan.region);
    }
    let fitted = plan.fit(plan.region);
    let Size { width, height } = fitted.canvas;
    let wish = |width, height, enlarge| Wish { width, height, enlarge };
    let at = gravity(&fitted, plan.region);
    let candidates = [
        Resize::Native,
        Resize::Contain(wish(width, 0, false)),
        Resize::Contain(wish(0, height, false)),
        Resize::Contain(wish(width, 0, true)),
        Resize::Contain(wish(0, height, true)),
        Resize::Fill(wish(width, height, false)),
        Resize::Fill(wish(width, height, true)),
        Resize::Cover(wish(width, height, false), at),
        Resize::Cover(wish(width, height, true), at),
        Resize::Pad(wish(width, height, false), at),
        Resize::Pad(wish(width, height, true), at),
    ];
    let fits = |candidate: &Resize| is_same_fit(&plan.fit_as(*candidate, plan.region), &fitted, plan.region);
    candidates.into_iter().find(fits).unwrap_or(resize)
}

/// The part that trimming leaves is known from the pixels only; but it is not larger than all.
fn beyond_trim(resize: Resize, region: Region) -> Resize {
    let is_beyond = |side: u32, all: f64| side == 0 || f64::from(side) >= all;
    match resize {
        Resize::Contain(wish)
            if !wish.enlarge && is_beyond(wish.width, region.width) && is_beyond(wish.height, region.height) =>
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
    let fits = || is_same_fit(&one.fit(one.region), &other.fit(other.region), one.region);
    one.region == other.region
        && one.orientation == other.orientation
        && (one.format, one.frames) == (other.format, other.frames)
        && (one.recipe.trim.is_some() || fits())
}

/// Without the fields that do nothing in the format of the result, or for this original.
fn without_idle_parts(recipe: Recipe, plan: &Plan<'_>, info: &Info) -> Recipe {
    let is_padded = matches!(recipe.resize, Resize::Pad(..));
    let Output::Exactly(format) = recipe.output else {
        let background = recipe.background.filter(|_| info.has_alpha || is_padded);
        return Recipe { background, ..recipe };
    };
    // these encoders keep every pixel, or have no use for a number
    let is_exact = matches!(format, Format::Png | Format::Gif);
    let lossless = recipe.lossless && !is_exact;
    let quality = if lossless || is_exact { Quality::default() } else { recipe.quality };
    let background = recipe.background.filter(|color| {
        // a format without alpha is laid over white by itself
        (info.has_alpha || is_padded) && (format.has_alpha() || *color != Rgba::WHITE)
    });
    let keeps_profile = recipe.metadata == Metadata::Keep && info.has_profile && plan.keeps_profile();
    let keeps_exif = exif::kept(recipe.metadata, info).is_some();
    let metadata = if keeps_profile || keeps_exif { recipe.metadata } else { Metadata::None };
    // moving or not, such a format shows the first frame
    let animated = recipe.animated || (plan.frames == 1 && !format.can_move());
    Recipe { lossless, quality, background, metadata, animated, ..recipe }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::render::geometry::Orientation;
    use crate::render::recipe::Choice;

    fn photo(width: u32, height: u32) -> Info {
        Info::new(Format::Jpeg, Size::new(width, height))
    }

    fn contain(width: u32, height: u32) -> Resize {
        Resize::Contain(Wish { width, height, enlarge: false })
    }

    fn recipe(output: Output, resize: Resize) -> Recipe {
        Recipe { resize, ..Recipe::new(output, Quality::default()) }
    }

    fn reduce(recipe: &Recipe, info: &Info) -> Recipe {
        recipe.effective(info, &Settings::default())
    }

    #[test]
    fn requests_for_the_same_picture_have_one_recipe() {
        let webp = Output::Exactly(Format::WebP);
        let box_of = |width, height, enlarge| Wish { width, height, enlarge };
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
                assert_eq!(reduced.resize, expected, "{resize:?}");
            }
        }
    }

    #[test]
    fn the_chosen_format_is_named() {
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
        assert_eq!(auto.compared(&info, &Settings::default()), Some(avif.clone()));
        assert_eq!(avif.compared(&info, &Settings::default()), None);
        let original = recipe(Output::Original, Resize::Native);
        assert_eq!(reduce(&original, &info), recipe(Output::Exactly(Format::Jpeg), Resize::Native));
    }

    #[test]
    fn fields_without_effect_are_left_out() {
        let info = photo(1000, 500);
        let base = recipe(Output::Exactly(Format::Jpeg), contain(300, 0));
        for same in [
            Recipe { background: Some(Rgba([1, 2, 3, 255])), ..base.clone() },
            Recipe { metadata: Metadata::Keep, ..base.clone() },
            Recipe { animated: false, ..base.clone() },
            Recipe { rect: Some(Rect { x: 0, y: 0, width: 5000, height: 500 }), ..base.clone() },
        ] {
            assert_eq!(reduce(&same, &info), base, "{same:?}");
        }
        let png = recipe(Output::Exactly(Format::Png), contain(300, 0));
        let other = Recipe { quality: Quality::new(31).expect("a quality"), lossless: true, ..png.clone() };
        assert_eq!(reduce(&other, &info), png);
        let part = Recipe { rect: Some(Rect { x: 10, y: 0, width: 5000, height: 500 }), ..base.clone() };
        let rect = reduce(&part, &info).rect;
        assert_eq!(rect, Some(Rect { x: 10, y: 0, width: 990, height: 500 }));
        let alpha = Info { has_alpha: true, ..Info::new(Format::Png, Size::new(1000, 500)) };
        let red = Recipe { background: Some(Rgba([255, 0, 0, 255])), ..base.clone() };
        assert_eq!(reduce(&red, &alpha), red);
        assert_eq!(reduce(&Recipe { background: Some(Rgba::WHITE), ..base.clone() }, &alpha), base);
    }

    #[test]
    fn trimmed_pictures_keep_their_size_unless_it_is_beyond_all() {
        let info = photo(1000, 500);
        let trim = |resize| Recipe { trim: Some(10), ..recipe(Output::Exactly(Format::WebP), resize) };
        assert_eq!(reduce(&trim(contain(1200, 0)), &info), trim(Resize::Native));
        assert_eq!(reduce(&trim(contain(900, 0)), &info), trim(contain(900, 0)));
    }

    fn resizes() -> impl Strategy<Value = Resize> {
        (0_usize..7, 0_u32..3000, 0_u32..3000, any::<bool>(), 0_u16..=10_000, 0_u16..=10_000, any::<bool>()).prop_map(
            |(kind, width, height, enlarge, x, y, smart)| {
                let wish = Wish { width, height, enlarge };
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
        fn reduced_recipes_show_the_same_and_stay_as_they_are(
            width in 1_u32..4000, height in 1_u32..4000, resize in resizes(), exif in 0_u32..9, turns in 0_u32..4,
            rect in proptest::option::of((0_u32..2000, 0_u32..2000, 1_u32..3000, 1_u32..3000)),
            output in 0_usize..8, has_alpha: bool, lossless: bool,
        ) {
            let info = Info { orientation: Orientation::from_exif(exif), has_alpha, ..photo(width, height) };
            let output = [
                Output::Original, Output::Exactly(Format::Jpeg), Output::Exactly(Format::Png), Output::Exactly(Format::WebP),
                Output::Auto(Choice::Avif), Output::Auto(Choice::AvifStill), Output::Auto(Choice::WebP), Output::Auto(Choice::Baseline),
            ][output];
            let recipe = Recipe {
                rect: rect.map(|(x, y, width, height)| Rect { x, y, width, height }),
                turn: Orientation::quarter_turns(turns),
                lossless: lossless && !matches!(output, Output::Exactly(Format::Jpeg)),
                ..recipe(output, resize)
            };
            let settings = Settings::default();
            let reduced = recipe.effective(&info, &settings);
            prop_assert_eq!(&reduced.effective(&info, &settings), &reduced);
            if let Ok(plan) = Plan::new(&info, &recipe, &settings) {
                let new = Plan::new(&info, &reduced, &settings).expect("what could be made still can");
                prop_assert_eq!((plan.format, plan.frames, plan.canvas), (new.format, new.frames, new.canvas));
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
