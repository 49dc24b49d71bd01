//! SVG originals that are drawn: text in the fonts of a setting, keys that have the fonts, hostile files of the corpus.

use std::time::{Duration, Instant};

use crate::common::need::needs;
use crate::common::{corpus, run, testdata, tintype};
use tintype::render::recipe::{Output, Quality};
use tintype::render::{self, Error, Format, Recipe, Settings};

/// The pixels of `text.svg`, drawn by the program with the fonts of a folder: RGBA, 120 × 60.
fn text(fonts: &str, options: &[&str]) -> image::RgbaImage {
    let mut command = tintype();
    command.env("TINTYPE_SOURCE_FONTS", testdata().join(fonts)).arg("convert").args(options);
    let (code, output, stderr) = run(command.arg(testdata().join("svg/text.svg")).args(["-", "--format=png"]), b"");
    assert_eq!(code, Some(0), "{stderr}");
    image::load_from_memory(&output.stdout).expect("a PNG").into_rgba8()
}

#[test]
fn text_is_drawn_in_the_fonts_of_the_setting() {
    for options in [&[][..], &["--isolate"]] {
        let picture = text("svg", options);
        assert_eq!(picture.dimensions(), (120, 60));
        let at = |x, y| picture.get_pixel(x, y).0;
        // a full square, half of one, a triangle, and a square with a hole
        assert_eq!([at(20, 12), at(40, 12), at(72, 26)], [[30, 60, 200, 255]; 3], "{options:?}");
        assert_eq!([at(55, 12), at(63, 10), at(97, 18)], [[0; 4]; 3], "{options:?}");
        // a family that is not installed, and the generic one after it
        assert_eq!([at(75, 45), at(95, 45)], [[0, 0, 0, 255], [30, 160, 60, 255]], "{options:?}");
        let without = text("photos", options);
        assert!(without.pixels().all(|pixel| pixel.0 == [0; 4]), "{options:?}");
    }
}

#[test]
fn keys_of_svgs_with_text_have_the_fonts() {
    let png = Recipe::new(Output::Exactly(Format::Png), Quality::default());
    let key = |name: &str, fonts| {
        let original = std::fs::read(testdata().join(name)).expect("a file");
        let settings = Settings { fonts, ..Settings::default() };
        let info = render::head(&original, &settings).expect("a header").expect("it is drawn");
        let recipe = png.effective(&info, &settings);
        assert_eq!(recipe.effective(&info, &settings), recipe, "reducing twice changes nothing");
        recipe.canonical()
    };
    assert_ne!(key("svg/text.svg", 1), key("svg/text.svg", 2));
    assert_eq!(key("svg/shapes.svg", 1), key("svg/shapes.svg", 2));
    // what was drawn is not found where it may not be
    assert_ne!(key("svg/shapes.svg", 1), png.canonical());
}

#[test]
fn hostile_svgs_of_the_corpus_are_refused_or_drawn_in_time() {
    needs!(Corpus);
    let folder = corpus().expect("the test needs it").join("svg-hostile");
    let recipe = Recipe::new(Output::Exactly(Format::Png), Quality::default());
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        let original = std::fs::read(&path).expect("a file");
        let started = Instant::now();
        let result = render::render(&original, &recipe, &Settings::default(), &mut |_| true);
        let took = started.elapsed();
        println!("{took:?} {}: {:?}", path.display(), result.as_ref().map(|made| made.bytes.len()));
        let is_refusal = |error: &Error| {
            matches!(error, Error::UnknownFormat | Error::Malformed { .. } | Error::Limit(_))
                && !error.to_string().contains("panicked")
        };
        assert!(result.as_ref().map_or_else(is_refusal, |_| true), "{}: {result:?}", path.display());
        // tens of milliseconds on a machine that has nothing else to do
        assert!(took < Duration::from_secs(2), "{} took {took:?}", path.display());
        seen += 1;
    }
    assert!(seen > 30, "{seen} files");
}
