//! The decisions of a plan for people, and the score of one result against another.

use tintype_pixels::{Error, Format, Info, Region, Result, Size};

use crate::passthrough::can_send_original;
use crate::plan::{DecodeMode, Plan};
use crate::recipe::Recipe;
use crate::score;
use crate::settings::Settings;
use crate::target::decoded;

/// The decisions of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The format of the result.
    pub format: Format,
    /// Formats that are tried beside it where the picture is a drawing, of which the smallest file is the result.
    pub drawing_formats: Vec<Format>,
    /// The part that is shown, in pixels of the picture as it is displayed; `None` where the pixels decide.
    pub crop: Option<Region>,
    /// Pixels of the result for each of the part that is shown, along both sides.
    pub scale: (f64, f64),
    /// Eighths of the full size at which it is decoded.
    pub decode_eighths: u32,
    /// How it is decoded, where no other render needs it.
    pub mode: DecodeMode,
    /// The size of the result.
    pub size: Size,
    /// Frames of the result.
    pub frames: u32,
    /// Whether the encoder's number is searched for, so that the result reaches the score that is asked for.
    pub searches: bool,
    /// Whether the original's own bytes are sent where they are fewer than those of the result.
    pub may_be_original: bool,
}

/// The decisions for an original with that header.
///
/// # Errors
/// As [`Plan::new`].
pub fn explain(info: &Info, recipe: &Recipe, settings: &Settings) -> Result<Explanation> {
    let plan = Plan::new(info, recipe, settings)?;
    let viewport = &plan.viewport;
    let fitted = viewport.fit(viewport.region);
    let crop = (!viewport.inspects_pixels(&fitted)).then(|| fitted.window(viewport.region));
    let (width, height) = (f64::from(fitted.size.width), f64::from(fitted.size.height));
    let mode = plan.mode(false);
    Ok(Explanation {
        format: plan.format,
        drawing_formats: plan.drawing_formats.to_vec(),
        crop,
        scale: (width / fitted.shown.0, height / fitted.shown.1),
        decode_eighths: plan.options(mode).scale.eighths(),
        mode,
        size: plan.canvas,
        frames: plan.frames(),
        searches: plan.searches,
        may_be_original: settings.smallest_wins && can_send_original(info, &plan),
    })
}

/// The SSIMULACRA2 of a still picture against an exact one of the same size, both as files; `None` for pictures that are too small
/// or differ in size.
///
/// # Errors
/// [`Error::UnknownFormat`], and those of the decoders.
pub fn compare(exact: &[u8], made: &[u8], settings: &Settings) -> Result<Option<f64>> {
    let pixels = |file: &[u8]| decoded(file, Format::sniff(file).ok_or(Error::UnknownFormat)?, settings.limits());
    Ok(score::in_parts(&pixels(exact)?, &pixels(made)?))
}

/// Bytes of memory that [`compare`] takes for each pixel, and the files.
pub const COMPARE_MEMORY: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Resize, TargetSize};
    use crate::recipe::{Output, Quality};

    fn photo() -> Vec<u8> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/photos/coffee-444.jpg");
        std::fs::read(path).expect("a photograph")
    }

    fn resized(width: u32, output: Output) -> Recipe {
        let size = TargetSize { width, height: 0, enlarge: false };
        Recipe::new(output, Quality::default()).with_resize(Resize::Contain(size))
    }

    #[test]
    fn explanation_has_the_numbers_of_the_plan() {
        let (photo, settings) = (photo(), Settings::default());
        let info = crate::probe(&photo).expect("a header");
        let recipe = resized(info.size.width / 4, Output::Exactly(Format::WebP));
        let explained = explain(&info, &recipe, &settings).expect("possible");
        assert_eq!((explained.format, explained.size.width), (Format::WebP, info.size.width / 4));
        assert_eq!((explained.scale.0, explained.decode_eighths), (0.25, 4));
        let crop = explained.crop.expect("all of it");
        assert_eq!((crop.width, crop.height), (f64::from(info.size.width), f64::from(info.size.height)));
        assert!(!explained.may_be_original && !explained.searches);
    }

    #[test]
    fn score_falls_with_the_quality() {
        let (photo, settings) = (photo(), Settings::default());
        let made = |output: Output, quality: u8, lossless: bool| {
            let mut recipe = resized(200, output);
            recipe.encode.quality = Quality::new(quality).expect("in range");
            recipe.encode.lossless = lossless;
            crate::render(&photo, &recipe, &settings, &mut |_| true).expect("a picture").bytes
        };
        let exact = made(Output::Exactly(Format::Png), 75, true);
        let score = |file: &[u8]| compare(&exact, file, &settings).expect("pictures").expect("of that size");
        let [high, low] = [90, 30].map(|quality| score(&made(Output::Exactly(Format::Jpeg), quality, false)));
        assert!(score(&exact) > 99.0 && high > low + 10.0 && high < 99.0, "{high} {low}");
        assert_eq!(compare(&exact, &photo, &settings).expect("pictures"), None);
        assert!(compare(&exact, b"no picture", &settings).is_err());
    }
}
