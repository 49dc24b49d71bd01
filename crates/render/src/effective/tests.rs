//! Recipes that come to the same image of an original are one.

use proptest::prelude::*;

use super::*;
use crate::geometry::{Area, Offset, Padding};
use crate::recipe::Choice;
use crate::testing::{areas, options, resizes};
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
        (vec![Resize::Contain(box_of(2000, 0, true))], Resize::Contain(box_of(2000, 0, true))),
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
fn animation_of_a_format_that_is_not_written_animated_stays_animated() {
    for format in [Format::Avif, Format::Jxl] {
        let mut info = Info { frames: 5, ..Info::new(format, Size::new(100, 50)) };
        let made = |output: Output, info: &Info| match reduce(&recipe(output, contain(40, 0)), info).encode.output {
            Output::Exactly(format) => format,
            output => panic!("{output:?}"),
        };
        assert_eq!(made(Output::Original, &info), Format::WebP);
        for choice in [Choice::Avif, Choice::WebP] {
            assert_eq!(made(Output::Auto(choice), &info), Format::WebP);
        }
        for choice in [Choice::AvifStill, Choice::Baseline] {
            assert_eq!(made(Output::Auto(choice), &info), Format::Gif);
        }
        assert_eq!(made(Output::Exactly(Format::Avif), &info), Format::Avif);
        info.frames = 1;
        // a still may be a drawing, so that the pixels decide; the plan is that of a photograph
        let still = recipe(Output::Auto(Choice::Baseline), contain(40, 0));
        assert_eq!(Plan::new(&info, &still, &Settings::default()).expect("possible").format, Format::Jpeg);
    }
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
    for translucent in [
        Info::new(Format::Gif, Size::new(1000, 500)),
        Info { frames: 2, ..Info::new(Format::Png, Size::new(1000, 500)) },
    ] {
        assert_eq!(reduce(&red, &translucent).geometry.background, red.geometry.background, "{}", translucent.format);
    }
    let white = geometry(Geometry { background: Some(Rgba::WHITE), ..base.geometry });
    assert_eq!(reduce(&white, &alpha), base);
}

#[test]
fn what_limits_leave_out_is_in_the_recipe() {
    let size = Size::new(4000, 3000);
    let (jpeg, png) = (Info::new(Format::Jpeg, size), Info::new(Format::Png, size));
    let long = Info { frames: 2000, ..Info::new(Format::Gif, Size::new(10, 10)) };
    let webp = recipe(Output::Exactly(Format::WebP), Resize::Native);
    let encode = Encode { target: Some(Default::default()), ..webp.encode };
    let target = Recipe { encode, ..webp.clone() };
    let auto = recipe(Output::Auto(Choice::Avif), Resize::Native);
    let none = LeftOut::default();
    for (info, recipe, memory, expected) in [
        (&png, &webp, 256_u64, LeftOut { kind: true, ..none }),
        (&jpeg, &webp, 256, none),
        (&jpeg, &target, 512, LeftOut { search: true, ..none }),
        // what is chosen may be the original, so that the format stays open
        (&jpeg, &auto, 400, LeftOut { formats: 1, ..none }),
        (&png, &auto, 600, LeftOut { kind: true, drawing_formats: true, ..none }),
        (&long, &Recipe::description(), 512, LeftOut { frames: true, ..none }),
    ] {
        let low = Settings { max_memory: memory << 20, ..Settings::default() };
        let high = Settings { max_memory: 4 << 30, max_frames: 5000, ..Settings::default() };
        let [low, high] = [low, high].map(|settings| {
            let reduced = recipe.effective(info, &settings);
            assert_eq!(reduced.effective(info, &settings), reduced);
            reduced
        });
        assert_eq!((low.left_out, high.left_out), (expected, none), "{} {recipe}", info.format);
        assert_eq!(low.canonical() == high.canonical(), expected == none);
        assert_eq!(low.only_recodes(), high.only_recodes());
    }
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

#[test]
fn options_and_areas_become_plain() {
    let info = Info { orientation: Orientation::from_exif(6), ..photo(500, 1000) };
    let webp = Output::Exactly(Format::WebP);
    let target = |width, height| TargetSize { width, height, enlarge: false };
    let check = |change: fn(&mut Geometry), resize: Resize, expected: Recipe| {
        let mut recipe = recipe(webp, resize);
        change(&mut recipe.geometry);
        assert_eq!(reduce(&recipe, &info), expected, "{recipe}");
    };
    let part = |rect| Recipe {
        geometry: Geometry { rect, ..recipe(webp, Resize::Native).geometry },
        ..recipe(webp, Resize::Native)
    };
    let inset = Padding { top: 100, right: 200, ..Padding::NONE };
    check(
        |geometry| geometry.area = Some(Area::Inset(Padding { top: 100, right: 200, ..Padding::NONE })),
        Resize::Native,
        part(Some(Rect { x: 0, y: 100, width: 800, height: 400 })),
    );
    check(|geometry| geometry.area = Some(Area::Inset(Padding::NONE)), Resize::Native, part(None));
    check(|geometry| geometry.orient = Some(Orientation::from_exif(6)), Resize::Native, part(None));
    let (pad, double) =
        (Resize::Pad(target(300, 300), Gravity::CENTER), Resize::Pad(target(600, 600), Gravity::CENTER));
    check(|geometry| geometry.options.dpr = 200, pad, recipe(webp, double));
    let small = Resize::Cover(target(200, 200), Gravity::CENTER);
    check(|geometry| geometry.options.limit = Limit::Sides, small, recipe(webp, small));
    check(|geometry| geometry.options.limit = Limit::Box, contain(300, 300), recipe(webp, contain(300, 0)));
    check(|geometry| geometry.options.offset = Offset { x: 0, y: 70_000 }, small, recipe(webp, small));
    check(|geometry| geometry.canvas = Some(Rgba::WHITE), small, recipe(webp, small));
    // the original has 1.25 times the pixels of the box, and so much of the ratio has an effect
    let mut padded = recipe(webp, contain(800, 0));
    padded.geometry.options = ResizeOptions { dpr: 250, padding: inset, ..ResizeOptions::default() };
    let mut plain = recipe(webp, Resize::Native);
    plain.geometry.options.padding = Padding { top: 125, right: 250, bottom: 0, left: 0 };
    assert_eq!(reduce(&padded, &info), plain);
}

proptest! {
    #[test]
    fn reduction_is_idempotent_and_keeps_the_image(
        width in 1_u32..4000, height in 1_u32..4000, resize in resizes(), exif in 0_u32..9, turns in 0_u32..4,
        options in proptest::option::of(options()), canvas in proptest::option::of(0_u8..3),
        orient in proptest::option::of(1_u32..9), area in proptest::option::of(areas()),
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
        recipe.geometry.options = options.unwrap_or_default().canonical(resize);
        recipe.geometry.canvas = canvas.map(|colour| Rgba([255, 255, 255, 127 * colour + colour / 2]));
        recipe.geometry.orient = orient.map(Orientation::from_exif);
        recipe.geometry.area = area;
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
            prop_assert_eq!((one.padding, one.outer()), (other.padding, other.outer()));
            if one.gravity != Gravity::Smart {
                prop_assert_eq!(one.window(plan.region), other.window(new.region));
            }
        }
    }
}
