//! Sizes, windows and canvases that fits give.

use super::*;

pub(super) fn target(width: u32, height: u32) -> TargetSize {
    TargetSize { width, height, enlarge: false }
}

pub(super) fn enlarging(width: u32, height: u32) -> TargetSize {
    TargetSize { width, height, enlarge: true }
}

#[test]
fn crop_at_native_scale_is_not_resampled() {
    for side in 1..400 {
        for (size, from) in [((600, side), (600.0, 400.0)), ((side, 400), (600.0, 400.0))] {
            let fitted = Resize::Cover(target(size.0, size.1), Gravity::CENTER).fit(from.0, from.1, 8192);
            assert!(!fitted.resamples(), "{size:?} of {from:?}: {:?}", fitted.shown);
        }
    }
}

#[test]
fn resize_modes_give_expected_sizes() {
    let check = |resize: Resize, from: (u32, u32), size: (u32, u32), canvas: (u32, u32)| {
        let fitted = resize.fit(from.0.into(), from.1.into(), 8192);
        let got = ((fitted.size.width, fitted.size.height), (fitted.canvas.width, fitted.canvas.height));
        assert_eq!(got, (size, canvas), "{resize:?} of {from:?}");
    };
    let c = Gravity::CENTER;
    check(Resize::Native, (4000, 3000), (4000, 3000), (4000, 3000));
    check(Resize::Native, (20_000, 100), (8192, 41), (8192, 41));
    check(Resize::Contain(target(800, 0)), (4000, 3000), (800, 600), (800, 600));
    check(Resize::Contain(target(0, 600)), (4000, 3000), (800, 600), (800, 600));
    check(Resize::Contain(target(113, 0)), (200, 100), (113, 57), (113, 57));
    check(Resize::Contain(target(82, 0)), (400, 300), (82, 62), (82, 62));
    check(Resize::Contain(target(0, 138)), (300, 400), (104, 138), (104, 138));
    check(Resize::Contain(target(800, 800)), (3000, 4000), (600, 800), (600, 800));
    check(Resize::Contain(target(800, 0)), (333, 500), (333, 500), (333, 500));
    check(Resize::Contain(enlarging(800, 0)), (400, 333), (800, 666), (800, 666));
    check(Resize::Contain(target(10, 0)), (4000, 2), (10, 1), (10, 1));
    check(Resize::Contain(target(100, 0)), (10, 5000), (10, 5000), (10, 5000));
    check(Resize::Contain(enlarging(100, 0)), (10, 5000), (16, 8192), (16, 8192));
    check(Resize::Outside(target(800, 800)), (4000, 3000), (1067, 800), (1067, 800));
    check(Resize::Outside(target(800, 800)), (1000, 400), (1000, 400), (1000, 400));
    check(Resize::Fill(target(100, 300)), (4000, 3000), (100, 300), (100, 300));
    check(Resize::Fill(target(8000, 3000)), (4000, 3000), (4000, 1500), (4000, 1500));
    check(Resize::Cover(target(500, 500), c), (4000, 3000), (500, 500), (500, 500));
    check(Resize::Cover(target(900, 900), c), (1000, 750), (750, 750), (750, 750));
    check(Resize::Cover(enlarging(900, 900), c), (1000, 750), (900, 900), (900, 900));
    let tall = Ratio::new(7, 10).expect("a ratio");
    check(Resize::Crop(tall, c), (354, 355), (249, 355), (249, 355));
    check(Resize::Crop(tall, c), (400, 45), (32, 45), (32, 45));
    // halves are rounded up
    let (wide, high) = (Ratio::new(2, 1).expect("a ratio"), Ratio::new(1, 2).expect("a ratio"));
    check(Resize::Crop(wide, c), (401, 300), (401, 201), (401, 201));
    check(Resize::Crop(high, c), (300, 401), (201, 401), (201, 401));
    check(Resize::Pad(target(800, 800), c), (4000, 3000), (800, 600), (800, 800));
    check(Resize::Pad(target(800, 800), c), (400, 300), (400, 300), (800, 800));
    check(Resize::Pad(enlarging(800, 800), c), (400, 300), (800, 600), (800, 800));
    check(Resize::Pad(target(800, 0), c), (400, 300), (400, 300), (800, 600));
    check(Resize::Crop(Ratio { width: 1, height: 1 }, c), (4000, 3000), (3000, 3000), (3000, 3000));
    check(Resize::Crop(Ratio { width: 16, height: 9 }, c), (4000, 3000), (4000, 2250), (4000, 2250));
}

#[test]
fn crop_windows_stay_inside_the_original() {
    let region = Region::whole(Size::new(1000, 750));
    let fitted = Resize::Cover(target(750, 750), Gravity::CENTER).fit(1000.0, 750.0, 8192);
    assert_eq!(fitted.window(region), Region { x: 125.0, y: 0.0, width: 750.0, height: 750.0 });
    let fitted = Resize::Cover(target(300, 300), Gravity::Point(10_000, 0)).fit(1000.0, 750.0, 8192);
    assert_eq!(fitted.window(region), Region { x: 250.0, y: 0.0, width: 750.0, height: 750.0 });
    let fitted = Resize::Cover(target(300, 300), Gravity::Point(4000, 0)).fit(1000.0, 750.0, 8192);
    assert_eq!(fitted.window(region), Region { x: 25.0, y: 0.0, width: 750.0, height: 750.0 });
}

#[test]
fn padding_follows_gravity() {
    let check = |gravity: Gravity, expected: (u32, u32)| {
        assert_eq!(Resize::Pad(target(100, 100), gravity).fit(50.0, 20.0, 8192).offset(), expected);
    };
    check(Gravity::CENTER, (25, 40));
    check(Gravity::Point(0, 0), (0, 0));
    check(Gravity::Point(10_000, 10_000), (50, 80));
}

#[test]
fn ratios_are_in_lowest_terms() {
    let parts = |width, height| Ratio::new(width, height).map(<(u32, u32)>::from);
    assert_eq!(parts(1920, 1080), Some((16, 9)));
    assert_eq!(parts(1080, 1920), Some((9, 16)));
    assert_eq!(parts(7, 7), Some((1, 1)));
    assert_eq!(parts(7, 5), Some((7, 5)));
    assert_eq!((parts(0, 5), parts(5, 0), parts(0, 0)), (None, None, None));
    assert_eq!(Ratio::try_from((16, 9)).map(Ratio::value), Ok(16.0 / 9.0));
    for parts in [(32, 18), (0, 1), (1, 0)] {
        assert!(Ratio::try_from(parts).is_err(), "{parts:?}");
    }
}

#[test]
fn scaled_parts_are_resampled() {
    for (size, resamples) in [((300, 400), false), ((300, 200), true), ((150, 200), true), ((600, 300), false)] {
        let fitted = Resize::Cover(target(size.0, size.1), Gravity::CENTER).fit(600.0, 400.0, 8192);
        assert_eq!(fitted.resamples(), resamples, "{size:?}: {:?}", fitted.shown);
    }
    assert!(Resize::Fill(target(600, 200)).fit(600.0, 400.0, 8192).resamples(), "one side is enough");
    assert!(Resize::Fill(target(300, 400)).fit(600.0, 400.0, 8192).resamples(), "one side is enough");
}

#[test]
fn window_lies_in_its_region() {
    let check = |size: (u32, u32), at: (f64, f64), expected: (f64, f64)| {
        let shown = (300.0, 200.0);
        let fitted = Fitted::whole(shown, Size::new(size.0, size.1));
        let region = Region { x: 7.0, y: 9.0, width: 600.0, height: 500.0 };
        let (x, y) = expected;
        let window = Region { x, y, width: 300.0, height: 200.0 };
        assert_eq!(fitted.window_at(region, at.0, at.1), window, "{size:?} at {at:?}");
    };
    // what is copied lies on whole pixels
    check((300, 200), (10.4, 20.6), (17.0, 30.0));
    check((150, 200), (10.4, 20.6), (17.4, 29.6));
    check((300, 100), (10.4, 20.6), (17.4, 29.6));
    // beyond the edges
    check((150, 100), (-5.0, -1.0), (7.0, 9.0));
    check((150, 100), (301.0, 400.0), (307.0, 309.0));

    // gravity and shift together
    let fitted = Fitted { shift: (20.0, -30.0), ..Fitted::whole((300.0, 200.0), Size::new(150, 100)) };
    let region = Region { x: 7.0, y: 9.0, width: 600.0, height: 500.0 };
    assert_eq!(
        fitted.window(region),
        Region { x: 7.0 + 150.0 + 20.0, y: 9.0 + 150.0 - 30.0, width: 300.0, height: 200.0 }
    );
    let canvas = Size::new(190, 180);
    let padded = Fitted { canvas, shift: (2.5, -3.5), ..Fitted::whole((300.0, 200.0), Size::new(150, 100)) };
    assert_eq!(padded.offset(), (20 + 2, 40 - 4));
    assert_eq!(Fitted { shift: (900.0, -900.0), ..padded }.offset(), (40, 0));
}

proptest::proptest! {
    #[test]
    fn no_fit_passes_its_limits(
        w in 1u32..70_000, h in 1u32..70_000, ww in 0u32..9000, wh in 0u32..9000,
        enlarge: bool, x in 0u16..=10_000, y in 0u16..=10_000, kind in 0usize..6,
    ) {
        let target = TargetSize { width: ww, height: wh, enlarge };
        let both = TargetSize { width: ww.max(1), height: wh.max(1), enlarge };
        let g = Gravity::Point(x, y);
        let ratio = Ratio::new(ww.max(1), wh.max(1)).expect("no side is 0");
        let resize = [
            Resize::Contain(target), Resize::Outside(both), Resize::Fill(both),
            Resize::Cover(both, g), Resize::Pad(both, g), Resize::Crop(ratio, g),
        ][kind];
        let fitted = resize.fit(w.into(), h.into(), 8192);
        let within = resize.fit_within(w.into(), h.into(), 8192, 1_000_000);
        assert!(within.canvas.pixels() <= fitted.canvas.pixels().min(1_000_000.max(u64::from(w) * u64::from(h))));
        if within != fitted {
            assert!(within.canvas.pixels() > 900_000 || within.canvas.width.min(within.canvas.height) < 20, "{within:?}");
        }
        assert!(fitted.canvas.width <= 8192 && fitted.canvas.height <= 8192);
        assert!(fitted.size.width >= 1 && fitted.size.height >= 1);
        assert!(fitted.size.width <= fitted.canvas.width && fitted.size.height <= fitted.canvas.height);
        let window = fitted.window(Region::whole(Size::new(w, h)));
        assert!(window.x >= 0.0 && window.y >= 0.0);
        assert!(window.x + window.width <= f64::from(w) + 1e-6, "{window:?}");
        assert!(window.y + window.height <= f64::from(h) + 1e-6, "{window:?}");
        if !enlarge {
            assert!(fitted.size.width <= w.max(1) && fitted.size.height <= h.max(1), "{fitted:?}");
        }
        if let Resize::Contain(_) = resize {
            // the ratio is kept within half a pixel of either side
            let exact = f64::from(fitted.size.width) * f64::from(h) / f64::from(w);
            let other = f64::from(fitted.size.height) * f64::from(w) / f64::from(h);
            let close = (exact - f64::from(fitted.size.height)).abs() <= 0.51 + 0.5 * f64::from(h) / f64::from(w)
                || (other - f64::from(fitted.size.width)).abs() <= 0.51 + 0.5 * f64::from(w) / f64::from(h);
            assert!(close || fitted.size.width == 1 || fitted.size.height == 1, "{fitted:?}");
        }
    }

    #[test]
    fn no_part_has_longer_sides_than_the_largest(
        w in 1u32..20_000, h in 1u32..20_000, part in (0.0f64..1.0, 0.0f64..1.0), ww in 0u32..9000, wh in 0u32..9000,
        enlarge: bool, kind in 0usize..8, limit in 0usize..3, dpr in 10u16..=500,
        sides in [0u16..2000, 0u16..2000, 0u16..2000, 0u16..2000],
    ) {
        let target = TargetSize { width: ww, height: wh, enlarge };
        let g = Gravity::CENTER;
        let resize = [
            Resize::Contain(target), Resize::Outside(target), Resize::Fill(target), Resize::Cover(target, g),
            Resize::Pad(target, g), Resize::Auto(target, g), Resize::Native, Resize::Crop(Ratio { width: 3, height: 2 }, g),
        ][kind].canonical();
        let [top, right, bottom, left] = sides;
        let limit = [Limit::Ratio, Limit::Sides, Limit::Box][limit];
        let options = ResizeOptions { limit, dpr, padding: Padding { top, right, bottom, left }, ..ResizeOptions::default() };
        let sizing = Sizing { resize, options: options.canonical(resize) };
        let largest = sizing.largest(w.into(), h.into(), 8192);
        let side = |all: u32, share: f64| (f64::from(all) * share).floor().max(1.0);
        let outer = sizing.fit(side(w, part.0), side(h, part.1), 8192).outer();
        assert!(outer.width <= largest.width && outer.height <= largest.height, "{outer} of at most {largest}");
    }

    #[test]
    fn options_keep_results_within_limits(
        w in 1u32..20_000, h in 1u32..20_000, ww in 1u32..9000, wh in 1u32..9000, enlarge: bool,
        x in 0u16..=10_000, y in 0u16..=10_000, kind in 0usize..8, limit in 0usize..3, dpr in 10u16..=500,
        sides in [0u16..2000, 0u16..2000, 0u16..2000, 0u16..2000], offset in (-9_000_000i32..9_000_000, -10_000i32..10_000),
    ) {
        let target = TargetSize { width: ww, height: wh, enlarge };
        let g = Gravity::Point(x, y);
        let resize = [
            Resize::Contain(target), Resize::Outside(target), Resize::Fill(target), Resize::Cover(target, g),
            Resize::Pad(target, g), Resize::Auto(target, g), Resize::Native, Resize::Crop(Ratio { width: 3, height: 2 }, g),
        ][kind];
        let limit = [Limit::Ratio, Limit::Sides, Limit::Box][limit];
        let [top, right, bottom, left] = sides;
        let offset = Offset { x: offset.0, y: offset.1 };
        let options = ResizeOptions { limit, dpr, offset, padding: Padding { top, right, bottom, left } };
        let sizing = Sizing { resize, options: options.canonical(resize) };
        let fitted = sizing.fit(w.into(), h.into(), 8192);
        let within = sizing.fit_within(w.into(), h.into(), 8192, 1_000_000);
        assert!(within.outer().pixels() <= 1_000_000.max(u64::from(w) * u64::from(h)));
        for fitted in [fitted, within] {
            let (size, canvas, outer) = (fitted.size, fitted.canvas, fitted.outer());
            assert!(outer.width <= 8192 && outer.height <= 8192, "{fitted:?}");
            assert!(size.width >= 1 && size.height >= 1 && size.width <= canvas.width && size.height <= canvas.height);
            let (left, top) = fitted.offset();
            assert!(left + size.width <= canvas.width && top + size.height <= canvas.height, "{fitted:?}");
            let window = fitted.window(Region::whole(Size::new(w, h)));
            assert!(window.x >= 0.0 && window.x + window.width <= f64::from(w) + 1e-6, "{window:?}");
            assert!(window.y >= 0.0 && window.y + window.height <= f64::from(h) + 1e-6, "{window:?}");
            if limit == Limit::Sides && !enlarge && matches!(resize, Resize::Cover(..) | Resize::Fill(_)) {
                // an original that is too small for the box makes up for a ratio below 1
                let requested = |side: u32| (f64::from(side) * f64::from(dpr.max(100)) / 100.0).round() as u32;
                assert!(size.width <= w.min(requested(ww)) && size.height <= h.min(requested(wh)), "{fitted:?}");
            }
        }
    }
}
