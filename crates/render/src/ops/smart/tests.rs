//! Crops of made pictures, whose saliency is known.

use super::*;
use proptest::prelude::*;
use tintype_pixels::Size;

fn picture(width: u32, height: u32, channels: usize, at: impl Fn(u32, u32) -> [u8; 4]) -> Pixels {
    let mut data = Vec::new();
    for y in 0..height {
        for x in 0..width {
            data.extend(&at(x, y)[..channels]);
        }
    }
    Pixels { size: Size::new(width, height), channels, data }
}

const GREY: [u8; 4] = [128, 128, 128, 255];
const FACE: [u8; 4] = [224, 172, 136, 255];
const DARK_FACE: [u8; 4] = [98, 68, 50, 255];

/// A chequered patch of 20 × 20 pixels, or else grey.
fn patch(left: u32, top: u32) -> impl Fn(u32, u32) -> [u8; 4] {
    move |x, y| {
        let inside = (left..left + 20).contains(&x) && (top..top + 20).contains(&y);
        match (inside, (x / 3 + y / 3) % 2) {
            (false, _) => GREY,
            (_, 0) => [255, 255, 255, 255],
            _ => [30, 30, 30, 255],
        }
    }
}

fn ellipse(cx: f64, cy: f64, inside: [u8; 4]) -> impl Fn(u32, u32) -> [u8; 4] {
    move |x, y| {
        let (dx, dy) = ((f64::from(x) + 0.5 - cx) / 12.0, (f64::from(y) + 0.5 - cy) / 16.0);
        if dx * dx + dy * dy < 1.0 { inside } else { GREY }
    }
}

fn grass(x: u32, y: u32) -> [u8; 4] {
    let n = (x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77)).wrapping_mul(0x2C1B_3C6D) >> 27;
    [60 + n as u8, 90 + n as u8, 50, 255]
}

#[test]
fn crop_moves_to_the_detail() {
    type At = Box<dyn Fn(u32, u32) -> [u8; 4]>;
    // (what, picture of 160 × 100, crop, the x and y it may start at)
    type Row = (&'static str, At, (f64, f64), [f64; 2], [f64; 2]);
    let table: Vec<Row> = vec![
        ("patch left", Box::new(patch(5, 40)), (100.0, 100.0), [0.0, 5.0], [0.0, 0.0]),
        ("patch right", Box::new(patch(135, 40)), (100.0, 100.0), [55.0, 60.0], [0.0, 0.0]),
        ("patch top", Box::new(patch(70, 0)), (160.0, 50.0), [0.0, 0.0], [0.0, 0.0]),
        ("patch bottom", Box::new(patch(70, 78)), (160.0, 50.0), [0.0, 0.0], [45.0, 50.0]),
        ("patch in a corner", Box::new(patch(130, 70)), (60.0, 50.0), [90.0, 100.0], [40.0, 50.0]),
        ("face left", Box::new(ellipse(30.0, 50.0, FACE)), (100.0, 100.0), [0.0, 15.0], [0.0, 0.0]),
        ("face right", Box::new(ellipse(130.0, 50.0, FACE)), (62.5, 100.0), [85.0, 97.5], [0.0, 0.0]),
        ("dark face", Box::new(ellipse(130.0, 50.0, DARK_FACE)), (62.5, 100.0), [85.0, 97.5], [0.0, 0.0]),
        (
            "a face rather than a grey ball",
            Box::new(|x, y| {
                if x < 80 { ellipse(40.0, 50.0, [172, 172, 172, 255])(x, y) } else { ellipse(120.0, 50.0, FACE)(x, y) }
            }),
            (70.0, 100.0),
            [72.0, 90.0],
            [0.0, 0.0],
        ),
        (
            "a face in the grass",
            Box::new(|x, y| {
                let face = ellipse(125.0, 50.0, FACE)(x, y);
                if face == GREY { grass(x, y) } else { face }
            }),
            (70.0, 100.0),
            [76.0, 90.0],
            [0.0, 0.0],
        ),
        (
            "something red",
            Box::new(|x, y| {
                if x < 80 {
                    ellipse(40.0, 50.0, [72, 72, 72, 255])(x, y)
                } else {
                    ellipse(120.0, 50.0, [200, 20, 30, 255])(x, y)
                }
            }),
            (70.0, 100.0),
            [72.0, 90.0],
            [0.0, 0.0],
        ),
        ("nothing", Box::new(|_, _| GREY), (70.0, 100.0), [45.0, 45.0], [0.0, 0.0]),
        ("nothing, a crop of odd size", Box::new(|_, _| GREY), (71.5, 33.3), [44.25, 44.25], [33.35, 33.35]),
        ("all the same grass", Box::new(grass), (100.0, 100.0), [15.0, 45.0], [0.0, 0.0]),
        ("middle", Box::new(patch(70, 40)), (100.0, 100.0), [30.0, 30.0], [0.0, 0.0]),
        (
            "the same on both sides",
            Box::new(|x, y| patch(5, 40)(x.min(159 - x), y)),
            (60.0, 100.0),
            [50.0, 50.0],
            [0.0, 0.0],
        ),
        ("no room", Box::new(patch(5, 40)), (160.0, 100.0), [0.0, 0.0], [0.0, 0.0]),
        ("too large", Box::new(patch(5, 40)), (1e9, f64::NAN), [0.0, 0.0], [0.0, 0.0]),
    ];
    for (what, at, (w, h), xs, ys) in table {
        for channels in [3, 4] {
            let (x, y) = focus(&picture(160, 100, channels, &at), w, h);
            assert!((xs[0]..=xs[1]).contains(&x), "{what}: x = {x}");
            // a hair's breadth for what cannot be written in binary
            let near = ys[0] - 1e-9..=ys[1] + 1e-9;
            assert!(near.contains(&y), "{what}: y = {y}");
        }
    }
}

#[test]
fn object_that_fits_is_wholly_inside() {
    // a face that fits in is wholly inside, wherever it is
    for cx in (13..=147).step_by(7) {
        let p = picture(160, 100, 3, ellipse(f64::from(cx), 50.0, FACE));
        let (x, _) = focus(&p, 60.0, 100.0);
        let (left, right) = (f64::from(cx) - 12.0, f64::from(cx) + 12.0);
        assert!(x <= left && right <= x + 60.0, "face at {cx}, crop at {x}");
    }
}

#[test]
fn transparent_pixels_do_not_count() {
    let p = picture(160, 100, 4, |x, y| {
        let [r, g, b, _] = patch(5, 40)(x, y);
        if x < 80 { [r, g, b, 0] } else { patch(120, 40)(x, y) }
    });
    let (x, _) = focus(&p, 100.0, 100.0);
    assert!(x > 40.0, "{x}");
}

#[test]
fn colours_of_skin() {
    for (rgb, is) in [
        ([224, 172, 136], true),
        ([255, 219, 190], true),
        ([198, 134, 100], true),
        ([141, 85, 60], true),
        ([98, 68, 50], true),
        ([128, 128, 128], false),
        ([255, 255, 255], false),
        ([0, 0, 0], false),
        ([60, 120, 50], false),
        ([90, 140, 220], false),
        ([220, 20, 20], false),
    ] {
        let score = skin(rgb.map(|v| f32::from(v as u8) / 255.0));
        assert_eq!(score > 0.3, is, "{rgb:?}: {score}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn within_range_and_mirrored_alike(
        w in 1u32..40, h in 1u32..40, alpha: bool, share_w in 0.0f64..1.2, share_h in 0.0f64..1.2,
        seed: u32
    ) {
        let at = |x: u32, y: u32| {
            (seed ^ x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77))
                .wrapping_mul(0x2C1B_3C6D)
                .to_le_bytes()
        };
        let channels = if alpha { 4 } else { 3 };
        let (cw, ch) = (f64::from(w) * share_w, f64::from(h) * share_h);
        let (x, y) = focus(&picture(w, h, channels, at), cw, ch);
        let room = ((f64::from(w) - cw).max(0.0), (f64::from(h) - ch).max(0.0));
        prop_assert!((0.0..=room.0).contains(&x), "{} of {}", x, room.0);
        prop_assert!((0.0..=room.1).contains(&y), "{} of {}", y, room.1);

        let mirrored = picture(w, h, channels, |x, y| at(w - 1 - x, h - 1 - y));
        let (mx, my) = focus(&mirrored, cw, ch);
        prop_assert!((mx - (room.0 - x)).abs() < 1e-6, "{} {} of {}", x, mx, room.0);
        prop_assert!((my - (room.1 - y)).abs() < 1e-6, "{} {} of {}", y, my, room.1);
    }
}
