//! Whether a result is smaller than was requested because of a limit, by the header of its original.

use tintype_pixels::{Format, Info, Size};

use crate::encoded::Content;
use crate::geometry::{Resize, Sizing};
use crate::plan::Plan;
use crate::recipe::Recipe;
use crate::settings::Settings;

/// The longest side in pixels of a request without limits.
pub const UNLIMITED: u32 = 1 << 30;

/// A result that is smaller than requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clamp {
    /// The limit.
    pub limit: ClampLimit,
    /// Its value: pixels of a side, or of the whole result where it is [`ClampLimit::Enlarged`] or [`ClampLimit::Pixels`].
    pub bound: u64,
    /// The size without the limit; the original's own where none is requested.
    pub requested: Size,
    /// The size of the result.
    pub size: Size,
}

/// A limit on the size of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClampLimit {
    /// [`Settings::max_dimension`].
    Dimension,
    /// [`Settings::max_enlarged`].
    Enlarged,
    /// [`Settings::max_pixels`], of a drawn vector picture.
    Pixels,
    /// The longest side that the format of the result can express.
    Format(Format),
}

impl ClampLimit {
    /// The name of the setting, or of the format.
    pub fn name(self) -> &'static str {
        match self {
            ClampLimit::Dimension => "max_dimension",
            ClampLimit::Enlarged => "max_enlarged",
            ClampLimit::Pixels => "max_pixels",
            ClampLimit::Format(format) => format.name(),
        }
    }
}

impl Clamp {
    /// The clamp of a result; `None` where it has the requested size, or where the pixels decide the size (`trim`). `requested`
    /// is the sizing of the URL where the recipe has a smaller one.
    pub fn of(info: &Info, recipe: &Recipe, requested: Option<Sizing>, settings: &Settings) -> Option<Clamp> {
        if is_undecided(recipe) {
            return None;
        }
        let plan = Plan::new(info, recipe, settings).ok()?;
        let viewport = &plan.viewport;
        let (region, longest) = (viewport.region, viewport.max_dimension);
        let sizing = viewport.scaling(requested.unwrap_or(recipe.geometry.sizing()));
        let fit = |max: u32| sizing.fit(region.width, region.height, max).outer();
        let (size, requested, sides) = (plan.canvas, fit(UNLIMITED), fit(longest));
        if size.width >= requested.width && size.height >= requested.height {
            return None;
        }
        let (limit, bound) = match () {
            // rounding of a side is no limit
            () if size.width + 1 < sides.width || size.height + 1 < sides.height => {
                (if viewport.is_vector { ClampLimit::Pixels } else { ClampLimit::Enlarged }, viewport.max_enlarged)
            }
            () if longest < settings.max_dimension => (ClampLimit::Format(plan.format), longest.into()),
            () => (ClampLimit::Dimension, longest.into()),
        };
        Some(Clamp { limit, bound, requested, size })
    }

    /// Whether a result of that type and size may be smaller than requested, whatever its original: `false` where it is not at
    /// any limit.
    pub fn is_possible(
        recipe: &Recipe, requested: Option<Sizing>, content: Content, size: Size, settings: &Settings,
    ) -> bool {
        let Content::Image(format) = content else { return false };
        let Size { width, height } = size;
        let is_at_side = width.max(height) >= settings.max_dimension.min(format.longest_side());
        // a result at that limit has at most one row or column less than it
        let is_at = |limit: u64| size.pixels() * 4 >= limit;
        let is_at_pixels =
            may_enlarge(recipe.geometry.resize) && is_at(settings.max_enlarged) || is_at(settings.max_pixels);
        let is_padded = !recipe.geometry.options.padding.is_none();
        !is_undecided(recipe) && (requested.is_some() || is_at_side || is_at_pixels || is_padded)
    }
}

/// Whether there is no size to compare: that of a description, of a placeholder, or one that the pixels decide.
fn is_undecided(recipe: &Recipe) -> bool {
    recipe.encode.output.is_placeholder() || recipe.geometry.trim.is_some()
}

/// Whether the result may have more pixels than the original.
fn may_enlarge(resize: Resize) -> bool {
    match resize {
        Resize::Native | Resize::Crop(..) => false,
        // its canvas is as large as requested
        Resize::Pad(..) => true,
        Resize::Contain(target) | Resize::Outside(target) | Resize::Fill(target) => target.enlarge,
        Resize::Cover(target, _) | Resize::Auto(target, _) => target.enlarge,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Padding, TargetSize};
    use crate::recipe::{Output, Quality};
    use tintype_pixels::VectorDrawing;

    fn info(width: u32, height: u32) -> Info {
        Info::new(Format::Png, Size::new(width, height))
    }

    /// An SVG of that size.
    fn drawing(width: u32, height: u32) -> Info {
        let mut info = Info::new(Format::Svg, Size::new(width, height));
        info.caps.vector = Some(VectorDrawing { memory: 0, layers: 0, time: 0, has_text: false });
        info
    }

    fn recipe(resize: Resize, output: Output) -> Recipe {
        Recipe::new(output, Quality::default()).with_resize(resize)
    }

    fn contain(width: u32, height: u32, enlarge: bool) -> Resize {
        Resize::Contain(TargetSize { width, height, enlarge })
    }

    #[test]
    fn clamp_names_the_limit_and_both_sizes() {
        let webp = Output::Exactly(Format::WebP);
        let check = |(width, height), resize, max_dimension, expected: Option<(&str, u64, &str, &str)>| {
            let settings = Settings { max_dimension, ..Settings::default() };
            let (info, recipe) = (info(width, height), recipe(resize, webp));
            let clamp = Clamp::of(&info, &recipe, None, &settings);
            let got = clamp
                .map(|clamp| (clamp.limit.name(), clamp.bound, clamp.requested.to_string(), clamp.size.to_string()));
            let expected = expected.map(|(name, bound, from, to)| (name, bound, from.to_owned(), to.to_owned()));
            assert_eq!(got, expected, "{width}x{height} {resize:?}");
        };
        check((800, 20_000), Resize::Native, 8192, Some(("max_dimension", 8192, "800x20000", "328x8192")));
        check((800, 20_000), contain(400, 0, false), 8192, Some(("max_dimension", 8192, "400x10000", "328x8192")));
        check((800, 20_000), contain(0, 8192, false), 8192, None);
        check((800, 20_000), contain(300, 0, false), 8192, None);
        check((800, 600), contain(5000, 0, false), 8192, None);
        check((800, 600), contain(5000, 0, true), 8192, Some(("max_enlarged", 4_000_000, "5000x3750", "2309x1732")));
        check((100, 100), contain(1500, 0, true), 8192, None);
        for output in [Output::Dominant, Output::Lqip] {
            let placeholder = recipe(Resize::Native, output);
            assert_eq!(Clamp::of(&info(800, 600), &placeholder, None, &Settings::default()), None);
        }
    }

    #[test]
    fn clamp_of_a_drawn_svg_is_that_of_the_size_that_it_would_be_drawn_at() {
        let check = |resize, max_pixels, expected: Option<(&str, u64, &str, &str)>| {
            let settings = Settings { max_pixels, ..Settings::default() };
            let (info, recipe) = (drawing(240, 40), recipe(resize, Output::Exactly(Format::Png)));
            let clamp = Clamp::of(&info, &recipe, None, &settings);
            if let Some(Clamp { size, .. }) = clamp {
                assert!(Clamp::is_possible(&recipe, None, Content::Image(Format::Png), size, &settings), "{resize:?}");
            }
            let got = clamp
                .map(|clamp| (clamp.limit.name(), clamp.bound, clamp.requested.to_string(), clamp.size.to_string()));
            let expected = expected.map(|(name, bound, from, to)| (name, bound, from.to_owned(), to.to_owned()));
            assert_eq!(got, expected, "{resize:?}");
        };
        check(contain(9000, 0, false), 100_000_000, Some(("max_dimension", 8192, "9000x1500", "8192x1365")));
        check(contain(6000, 0, false), 1_500_000, Some(("max_pixels", 1_500_000, "6000x1000", "3000x500")));
        check(contain(6000, 0, false), 100_000_000, None);
        check(Resize::Native, 100_000_000, None);
    }

    #[test]
    fn clamp_of_the_url_is_told_although_the_recipe_has_the_smaller_box() {
        let settings = Settings::default();
        let requested = Some(contain(9000, 4500, false).into());
        let clamp = |width, height| {
            let (info, recipe) =
                (info(width, height), recipe(contain(8192, 4096, false), Output::Exactly(Format::Jpeg)));
            Clamp::of(&info, &recipe, requested, &settings)
                .map(|clamp| (clamp.requested.to_string(), clamp.size.to_string()))
        };
        assert_eq!(clamp(4000, 8000), Some(("2250x4500".into(), "2048x4096".into())));
        assert_eq!(clamp(800, 600), None);
    }

    #[test]
    fn result_away_from_every_limit_is_not_clamped() {
        let settings = Settings { max_dimension: 2000, max_enlarged: 1_000_000, ..Settings::default() };
        let recipes = [
            Resize::Native,
            contain(700, 0, false),
            contain(0, 1900, true),
            Resize::Cover(TargetSize { width: 1500, height: 1500, enlarge: true }, crate::geometry::Gravity::CENTER),
        ];
        let mut clamped = 0;
        for (width, height) in [(100, 30), (30, 4000), (4000, 30), (1999, 2000), (3000, 3000), (900, 900)] {
            for resize in recipes {
                for padding in [Padding::NONE, Padding { top: 40, right: 0, bottom: 40, left: 0 }] {
                    let mut recipe = recipe(resize, Output::Exactly(Format::Png));
                    recipe.geometry.options.padding = padding;
                    let clamp = Clamp::of(&info(width, height), &recipe, None, &settings);
                    let content = Content::Image(Format::Png);
                    if let Some(Clamp { size, .. }) = clamp {
                        clamped += 1;
                        assert!(
                            Clamp::is_possible(&recipe, None, content, size, &settings),
                            "{recipe} of {width}x{height}"
                        );
                    }
                }
            }
        }
        assert!(clamped > 10, "{clamped}");
    }
}
