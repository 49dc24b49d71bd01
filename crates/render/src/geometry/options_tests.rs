//! Fits with options: the reduced device pixel ratio, limits, offsets and padding.

use super::tests::{enlarging, target};
use super::*;

#[test]
fn enlarging_concerns_boxes_only() {
    let options = ResizeOptions { dpr: 150, ..ResizeOptions::default() };
    let (small, large, g) = (target(30, 20), enlarging(30, 20), Gravity::Point(1, 2));
    let crop = Resize::Crop(Ratio { width: 3, height: 2 }, g);
    for (resize, expected) in [
        (Resize::Native, Resize::Native),
        (crop, crop),
        (Resize::Contain(small), Resize::Contain(large)),
        (Resize::Outside(small), Resize::Outside(large)),
        (Resize::Fill(small), Resize::Fill(large)),
        (Resize::Cover(small, g), Resize::Cover(large, g)),
        (Resize::Pad(small, g), Resize::Pad(large, g)),
        (Resize::Auto(small, g), Resize::Auto(large, g)),
    ] {
        assert_eq!(Sizing { resize, options }.enlarging(), Sizing { resize: expected, options });
    }
}

#[test]
fn results_have_at_most_so_many_pixels() {
    let size = |fitted: Fitted| (fitted.outer().width, fitted.outer().height);
    let large = Resize::Contain(enlarging(1000, 1000));
    assert_eq!(size(large.fit_within(100.0, 100.0, 8192, 250_000)), (500, 500));
    // as many as the original has
    assert_eq!(size(large.fit_within(100.0, 100.0, 8192, 5000)), (100, 100));
    assert_eq!(size(large.fit_within(100.0, 100.0, 8192, 1_000_000)), (1000, 1000));
    for from in [(4000.0, 1000.0), (1000.0, 4000.0)] {
        let (across, down) = size(Sizing::from(Resize::Native).fit_to_pixels(from.0, from.1, 8192, 1_000_000.0));
        assert_eq!((across.max(down), across.min(down)), (2000, 500));
        assert_eq!(across > down, from.0 > from.1);
    }
    assert_eq!(size(Sizing::from(Resize::Native).fit_to_pixels(4000.0, 1000.0, 300, 1_000_000.0)), (300, 75));
}

#[test]
fn largest_sides_are_those_of_the_box_or_the_picture() {
    let g = Gravity::CENTER;
    let check = |resize: Resize, dpr: u16, padding: Padding, expected: (u32, u32)| {
        let options = ResizeOptions { dpr, padding, ..ResizeOptions::default() };
        let largest = Sizing { resize, options }.largest(4000.0, 3000.0, 8192);
        assert_eq!((largest.width, largest.height), expected, "{resize:?} {dpr} {padding:?}");
    };
    let none = Padding::NONE;
    check(Resize::Native, 100, none, (4000, 3000));
    check(Resize::Native, 200, none, (4000, 3000));
    check(Resize::Crop(Ratio { width: 3, height: 2 }, g), 100, none, (4000, 3000));
    for resize in [
        Resize::Contain,
        Resize::Fill,
        |target| Resize::Cover(target, Gravity::CENTER),
        |target| Resize::Auto(target, Gravity::CENTER),
    ] {
        check(resize(target(800, 600)), 100, none, (800, 600));
        // a ratio above 1 makes the box larger; one below 1 may be made up for
        check(resize(target(800, 600)), 200, none, (1600, 1200));
        check(resize(target(800, 600)), 50, none, (800, 600));
        check(resize(target(5000, 600)), 100, none, (4000, 600));
        check(resize(target(800, 5000)), 100, none, (800, 3000));
        check(resize(enlarging(5000, 9000)), 100, none, (5000, 8192));
    }
    check(Resize::Contain(target(800, 0)), 100, none, (800, 3000));
    check(Resize::Contain(enlarging(0, 600)), 100, none, (8192, 600));
    check(Resize::Outside(target(800, 600)), 100, none, (4000, 3000));
    check(Resize::Outside(enlarging(800, 600)), 100, none, (8192, 8192));
    check(Resize::Pad(target(5000, 600), g), 100, none, (5000, 600));
    let sides = Padding { top: 1, right: 2, bottom: 4, left: 8 };
    check(Resize::Contain(target(800, 600)), 100, sides, (810, 605));
    check(Resize::Contain(target(800, 600)), 200, sides, (1620, 1210));
    check(Resize::Pad(target(8190, 600), g), 100, sides, (8192, 605));
}

#[test]
fn device_pixel_ratio_is_reduced_with_the_box() {
    let g = Gravity::CENTER;
    // by the padding of 10 pixels: the ratio that is left
    let check = |resize: Resize,
                 limit: Limit,
                 dpr: u16,
                 from: (f64, f64),
                 size: (u32, u32),
                 canvas: (u32, u32),
                 padding: u16| {
        let sides = Padding { top: 10, right: 10, bottom: 10, left: 10 };
        let options = ResizeOptions { limit, dpr, padding: sides, ..ResizeOptions::default() };
        let fitted = Sizing { resize, options }.fit(from.0, from.1, 8192);
        let got = ((fitted.size.width, fitted.size.height), (fitted.canvas.width, fitted.canvas.height));
        let Padding { top, right, bottom, left } = fitted.padding;
        let outer = (canvas.0 + 2 * u32::from(padding), canvas.1 + 2 * u32::from(padding));
        assert_eq!((got, [top, right, bottom, left]), ((size, canvas), [padding; 4]), "{resize:?} {limit:?} {dpr}");
        assert_eq!((fitted.outer().width, fitted.outer().height), outer);
    };
    let photo = (400.0, 300.0);
    check(Resize::Native, Limit::Ratio, 200, photo, (400, 300), (400, 300), 10);
    check(Resize::Native, Limit::Ratio, 50, photo, (400, 300), (400, 300), 5);
    // smaller than the picture: the ratio is reduced where the box becomes larger
    check(Resize::Contain(target(200, 200)), Limit::Ratio, 200, (1000.0, 500.0), (400, 200), (400, 200), 20);
    check(Resize::Contain(target(200, 200)), Limit::Ratio, 500, (600.0, 300.0), (600, 300), (600, 300), 30);
    check(Resize::Contain(target(200, 200)), Limit::Ratio, 50, (1000.0, 500.0), (100, 50), (100, 50), 5);
    // larger than the picture
    check(Resize::Contain(target(800, 600)), Limit::Ratio, 200, photo, (400, 300), (400, 300), 10);
    check(Resize::Contain(target(800, 600)), Limit::Ratio, 25, photo, (200, 150), (200, 150), 5);
    check(Resize::Contain(target(400, 300)), Limit::Ratio, 100, photo, (400, 300), (400, 300), 10);
    check(Resize::Contain(enlarging(800, 600)), Limit::Ratio, 150, photo, (1200, 900), (1200, 900), 15);
    check(Resize::Outside(target(200, 200)), Limit::Ratio, 100, photo, (267, 200), (267, 200), 10);
    check(Resize::Outside(target(100, 200)), Limit::Ratio, 50, photo, (133, 100), (133, 100), 5);
    // a canvas is not reduced below the box; halves are rounded to even
    check(Resize::Pad(target(800, 600), g), Limit::Ratio, 25, photo, (200, 150), (200, 150), 2);
    check(Resize::Pad(target(800, 600), g), Limit::Ratio, 50, photo, (400, 300), (400, 300), 5);
    check(Resize::Pad(target(800, 800), g), Limit::Ratio, 200, photo, (400, 300), (800, 800), 10);
    // within the picture on both sides
    check(Resize::Contain(target(800, 400)), Limit::Box, 100, photo, (267, 200), (267, 200), 5);
    check(Resize::Contain(target(800, 400)), Limit::Box, 25, photo, (133, 100), (133, 100), 2);
    check(Resize::Contain(target(400, 800)), Limit::Box, 100, (300.0, 400.0), (200, 267), (200, 267), 5);
    check(Resize::Contain(target(200, 100)), Limit::Box, 100, photo, (133, 100), (133, 100), 10);
    check(Resize::Pad(target(800, 400), g), Limit::Box, 100, photo, (267, 200), (400, 200), 5);
    // each side by itself
    check(Resize::Cover(target(800, 200), g), Limit::Sides, 100, photo, (400, 200), (400, 200), 10);
    check(Resize::Cover(target(200, 800), g), Limit::Sides, 100, photo, (200, 300), (200, 300), 10);
    check(Resize::Cover(target(800, 200), g), Limit::Sides, 25, photo, (200, 100), (200, 100), 5);
    check(Resize::Cover(target(150, 250), g), Limit::Sides, 200, photo, (180, 300), (180, 300), 12);
    check(Resize::Fill(target(800, 200)), Limit::Sides, 100, photo, (400, 200), (400, 200), 10);
    check(Resize::Fill(target(200, 800)), Limit::Sides, 100, photo, (200, 300), (200, 300), 10);
    check(Resize::Fill(target(800, 200)), Limit::Ratio, 100, photo, (400, 100), (400, 100), 10);
    check(Resize::Cover(enlarging(800, 200), g), Limit::Sides, 100, photo, (800, 200), (800, 200), 10);
    check(Resize::Fill(enlarging(800, 200)), Limit::Sides, 100, photo, (800, 200), (800, 200), 10);
    // squares count as wide
    check(Resize::Auto(target(100, 50), g), Limit::Ratio, 100, (300.0, 300.0), (100, 50), (100, 50), 10);
    check(Resize::Auto(target(100, 100), g), Limit::Ratio, 100, photo, (100, 100), (100, 100), 10);
    check(Resize::Auto(target(50, 100), g), Limit::Ratio, 100, photo, (50, 38), (50, 38), 10);
    check(Resize::Auto(target(50, 100), g), Limit::Ratio, 100, (300.0, 400.0), (50, 100), (50, 100), 10);
}

#[test]
fn parts_by_sides_are_as_large_as_they_are_shown() {
    let check = |target: TargetSize, dpr: u16, from: (f64, f64), shown: (f64, f64)| {
        let options = ResizeOptions { limit: Limit::Sides, dpr, ..ResizeOptions::default() };
        let gravity = Gravity::Point(1, 2);
        let fitted = Sizing { resize: Resize::Cover(target, gravity), options }.fit(from.0, from.1, 8192);
        assert_eq!((fitted.shown, fitted.gravity), (shown, gravity), "{target:?} {dpr} of {from:?}");
    };
    check(target(800, 200), 100, (400.0, 300.0), (400.0, 200.0));
    check(target(200, 800), 100, (400.0, 300.0), (200.0, 300.0));
    check(target(800, 200), 25, (400.0, 300.0), (400.0, 200.0));
    check(target(200, 800), 25, (300.0, 400.0), (200.0, 400.0));
    // all rows, though the last one has no pixel of its own
    check(target(1200, 300), 10, (400.0, 301.0), (400.0, 301.0));
    // no part is wider than the picture, none narrower than a pixel
    check(target(800, 300), 100, (400.0, 300.0), (400.0, 300.0));
    check(target(150, 250), 200, (400.0, 300.0), (180.0, 300.0));
}

#[test]
fn offsets_are_distances_in_the_original() {
    let g = Gravity::CENTER;
    let pixels = |x: i32, y: i32| Offset { x: x * 10_000, y: y * 10_000 };
    let check = |resize: Resize, dpr: u16, offset: Offset, from: (f64, f64), shift: (f64, f64)| {
        let options = ResizeOptions { dpr, offset, ..ResizeOptions::default() };
        let fitted = Sizing { resize, options }.fit(from.0, from.1, 8192);
        assert_eq!(fitted.shift, shift, "{resize:?} {dpr} {offset:?} of {from:?}");
    };
    // a pixel of the result is 2.5 of the original; along the other side nothing is cut off
    let (wide, high) = ((1000.0, 750.0), (750.0, 1000.0));
    check(Resize::Cover(target(300, 300), g), 100, pixels(30, 40), wide, (75.0, 0.0));
    check(Resize::Cover(target(300, 300), g), 100, pixels(30, 40), high, (0.0, 100.0));
    check(Resize::Cover(target(150, 150), g), 200, pixels(30, 40), wide, (150.0, 0.0));
    check(Resize::Cover(target(300, 300), g), 100, Offset { x: 1000, y: -2000 }, wide, (100.0, 0.0));
    check(Resize::Cover(target(300, 300), g), 100, Offset { x: 1000, y: -2000 }, high, (0.0, -200.0));
    check(Resize::Cover(target(300, 300), Gravity::Point(10_000, 10_000)), 100, pixels(30, 40), wide, (-75.0, 0.0));
    check(Resize::Crop(Ratio { width: 1, height: 1 }, g), 100, pixels(30, 40), wide, (30.0, 0.0));
    check(Resize::Cover(target(400, 300), g), 100, pixels(30, 40), wide, (0.0, 0.0));
    // on a canvas in its pixels
    check(Resize::Pad(target(800, 800), g), 100, pixels(30, 40), (400.0, 300.0), (30.0, 40.0));
    check(Resize::Pad(target(800, 800), g), 50, pixels(30, 40), (400.0, 300.0), (0.0, 20.0));
    check(Resize::Pad(target(400, 800), g), 100, pixels(30, 40), (400.0, 300.0), (0.0, 40.0));
    check(Resize::Pad(target(800, 300), g), 100, pixels(30, 40), (400.0, 300.0), (30.0, 0.0));
    check(Resize::Pad(target(800, 600), g), 100, Offset { x: 1000, y: 2000 }, (400.0, 300.0), (80.0, 120.0));
    check(Resize::Pad(target(800, 600), Gravity::Smart), 100, pixels(30, 40), (400.0, 300.0), (0.0, 0.0));
}

#[test]
fn canvas_and_padding_are_reduced_together() {
    let check = |resize: Resize, padding: Padding, max: u32, canvas: (u32, u32), reduced: Padding| {
        let options = ResizeOptions { padding, ..ResizeOptions::default() };
        let fitted = Sizing { resize, options }.fit(4000.0, 3000.0, max);
        assert_eq!(
            ((fitted.canvas.width, fitted.canvas.height), fitted.padding),
            (canvas, reduced),
            "{resize:?} {max}"
        );
    };
    let even = |length| Padding { top: length, right: length, bottom: length, left: length };
    let (wide, high) = (Resize::Contain(target(800, 600)), Resize::Fill(target(600, 800)));
    check(wide, even(10), 820, (800, 600), even(10));
    check(wide, even(10), 410, (400, 300), even(5));
    check(high, even(10), 410, (300, 400), even(5));
    check(wide, Padding { right: 800, ..Padding::NONE }, 800, (400, 300), Padding { right: 400, ..Padding::NONE });
    // halves of padding are cut off, and what is left is for the canvas
    check(wide, even(15), 415, (400, 300), even(7));
    check(wide, Padding::NONE, 400, (400, 300), Padding::NONE);
    // boxes and canvases that are too large keep their ratio
    let g = Gravity::CENTER;
    check(Resize::Cover(enlarging(9000, 4500), g), Padding::NONE, 900, (900, 450), Padding::NONE);
    check(Resize::Cover(enlarging(4500, 9000), g), Padding::NONE, 900, (450, 900), Padding::NONE);
    check(Resize::Pad(target(2000, 1000), g), Padding::NONE, 1000, (1000, 500), Padding::NONE);
    check(Resize::Pad(target(1000, 2000), g), Padding::NONE, 1000, (500, 1000), Padding::NONE);
    check(Resize::Pad(target(0, 600), g), Padding::NONE, 8192, (800, 600), Padding::NONE);
    check(Resize::Pad(target(800, 0), g), Padding::NONE, 8192, (800, 600), Padding::NONE);
}

#[test]
fn distances_in_pixels_are_multiplied_and_shares_are_not() {
    let offset = |x, y| Offset { x, y };
    for (x, y, in_pixels) in [(9999, -9999, false), (10_000, 0, true), (0, -10_000, true), (-20_000, 30_000, true)] {
        assert_eq!(offset(x, y).is_in_pixels(), in_pixels, "{x} {y}");
    }
    for (from, factor, expected) in [
        (offset(20_000, -30_000), 2.0, offset(40_000, -60_000)),
        (offset(5000, -9999), 3.0, offset(5000, -9999)),
        (offset(5000, 20_000), 1.5, offset(5000, 30_000)),
        // a pixel at least, so that it does not become a share, and the longest side at most
        (offset(20_000, -20_000), 0.25, offset(10_000, -10_000)),
        (offset(655_350_000, -600_000_000), 2.0, offset(655_350_000, -655_350_000)),
    ] {
        assert_eq!(from.times(factor), expected, "{from:?} times {factor}");
    }
}

#[test]
fn padding_is_multiplied_and_added() {
    let padding = Padding { top: 1, right: 5, bottom: 7, left: 60_000 };
    assert_eq!(padding.times(0.5), Padding { top: 0, right: 2, bottom: 4, left: 30_000 });
    assert_eq!(padding.times(2.0), Padding { top: 2, right: 10, bottom: 14, left: u16::MAX });
    assert_eq!(padding.around(Size::new(100, 200)), Size::new(60_105, 208));
    assert_eq!(padding.around(Size::new(u32::MAX, 200)), Size::new(u32::MAX, 208));
    assert!(Padding::NONE.is_none() && !padding.is_none() && !Padding { left: 1, ..Padding::NONE }.is_none());
}

#[test]
fn options_that_cannot_matter_are_dropped() {
    let g = Gravity::CENTER;
    let (both, wide, high) = (target(30, 20), target(30, 0), target(0, 20));
    let offset = Offset { x: 1, y: 2 };
    let padding = Padding { top: 1, ..Padding::NONE };
    for (limit, name) in [(Limit::Ratio, "ratio"), (Limit::Sides, "sides"), (Limit::Box, "box")] {
        assert_eq!(limit.name(), name);
        for (resize, kept, is_placed) in [
            (Resize::Native, Limit::Ratio, false),
            (Resize::Crop(Ratio { width: 3, height: 2 }, g), Limit::Ratio, true),
            (Resize::Contain(both), Limit::Box, false),
            (Resize::Outside(both), Limit::Ratio, false),
            (Resize::Fill(both), Limit::Sides, false),
            (Resize::Cover(both, g), Limit::Sides, true),
            (Resize::Pad(both, g), Limit::Box, true),
            (Resize::Auto(both, g), Limit::Sides, true),
            // there is no box, or it may be larger than the picture
            (Resize::Contain(wide), Limit::Ratio, false),
            (Resize::Contain(high), Limit::Ratio, false),
            (Resize::Pad(wide, g), Limit::Ratio, true),
            (Resize::Fill(enlarging(30, 20)), Limit::Ratio, false),
            (Resize::Pad(enlarging(30, 20), g), Limit::Ratio, true),
        ] {
            let canonical = ResizeOptions { limit, dpr: 150, offset, padding }.canonical(resize);
            let limit = if limit == kept { limit } else { Limit::Ratio };
            let offset = if is_placed { offset } else { Offset::NONE };
            assert_eq!(canonical, ResizeOptions { limit, dpr: 150, offset, padding }, "{resize:?} {name}");
        }
    }
}
