//! Placeholders that a page shows until an image has loaded: its dominant colour, or a few dozen bytes
//! that decode to a blurred preview (ThumbHash, BlurHash).
//!
//! Surprising: BlurHash has no idea of alpha and reads the bytes of an RGBA picture as though
//! all were opaque, so that a cut-out logo comes out in whatever colour its editor left in the
//! transparent parts. Here they are filled with the mean of what is visible first, which is what
//! ThumbHash does by itself.
//!
//! All three take a thumbnail; the two hashes reduce anything larger than they need by
//! themselves, but at the cost of reading it.
//!
//! Sources: E. Wallace, ThumbHash (2023), <https://evanw.github.io/thumbhash/>; D. Ågren /
//! Wolt, BlurHash (2018), <https://github.com/woltapp/blurhash/blob/master/Algorithm.md>.

use tintype_pixels::Pixels;

/// Longest side, in pixels, that a ThumbHash is made from; the crate panics beyond it.
pub(crate) const THUMBHASH_SIDE: usize = 100;
/// Components of a BlurHash, horizontally × vertically: Wolt's own suggestion, 28 characters.
pub(crate) const BLURHASH_COMPONENTS: (u32, u32) = (4, 3);

/// A BlurHash is made from at least so many pixels a side, and at most twice as many.
///
/// Its cosines are sampled at the left edges of pixels instead of their middles, so that even
/// a picture of a single colour seems to get darker from the left to the right, and from the
/// top to the bottom: each wave comes out `2 / side` of the colour too strong. Repeating pixels
/// makes that small.
const BLURHASH_SIDE: usize = 128;

/// The colour (R, G, B) that most of the picture has, more or less.
///
/// That is the mean of the fullest 3 × 3 × 3 buckets in a histogram of 32 × 32 × 32, pixels
/// counting by their alpha. It is a colour that does occur, unlike the mean of the whole
/// picture, which for a red and green one is brown. A picture that is transparent throughout
/// has none; it gives black.
pub(crate) fn dominant_color(pixels: &Pixels) -> [u8; 3] {
    /// Weight, and weighted sums of red, green and blue.
    type Bucket = [u64; 4];
    const BITS: usize = 5;
    const SIDE: usize = 1 << BITS;
    let mut buckets: Vec<Bucket> = vec![[0; 4]; SIDE * SIDE * SIDE];
    for px in pixels.data.chunks_exact(pixels.channels) {
        let weight = px.get(3).map_or(255, |a| u64::from(*a));
        let at = px[..3].iter().fold(0, |at, v| at * SIDE + usize::from(*v >> (8 - BITS)));
        buckets[at][0] += weight;
        for c in 0..3 {
            buckets[at][c + 1] += weight * u64::from(px[c]);
        }
    }

    // A colour next to a bucket's edge is spread over two buckets (up to eight) by the least
    // noise, and would lose against a less common one in the middle of its own; hence the
    // neighbours. The bucket itself decides between equal neighbourhoods.
    let around = |at: usize| -> Bucket {
        let (r, g, b) = (at / SIDE / SIDE, at / SIDE % SIDE, at % SIDE);
        let near = |v: usize| v.saturating_sub(1)..=(v + 1).min(SIDE - 1);
        let mut sum = [0; 4];
        for r in near(r) {
            for g in near(g) {
                for b in near(b) {
                    for (sum, v) in sum.iter_mut().zip(buckets[(r * SIDE + g) * SIDE + b]) {
                        *sum += v;
                    }
                }
            }
        }
        sum
    };
    let mut best = ([0; 4], 0);
    for (at, bucket) in buckets.iter().enumerate().filter(|(_, b)| b[0] > 0) {
        let sum = around(at);
        if (sum[0], bucket[0]) > (best.0[0], best.1) {
            best = (sum, bucket[0]);
        }
    }
    let [weight, r, g, b] = best.0;
    [r, g, b].map(|v| ((v + weight / 2).checked_div(weight).unwrap_or(0)) as u8)
}

/// The picture's ThumbHash, 5 to 25 bytes, which knows its shape and alpha.
///
/// Empty for a picture without pixels.
pub(crate) fn thumbhash(pixels: &Pixels) -> Vec<u8> {
    let (w, h) = (pixels.size.width as usize, pixels.size.height as usize);
    if w == 0 || h == 0 {
        return Vec::new();
    }
    let longest = w.max(h);
    let fit = |side: usize| {
        if longest <= THUMBHASH_SIDE { side } else { ((side * THUMBHASH_SIDE + longest / 2) / longest).max(1) }
    };
    let (w, h) = (fit(w), fit(h));
    ::thumbhash::rgba_to_thumb_hash(w, h, resample(pixels, w, h).as_flattened())
}

/// The picture's BlurHash of [`BLURHASH_COMPONENTS`], always 28 characters, which neither knows
/// its shape nor its alpha.
///
/// Empty for a picture without pixels.
pub(crate) fn blurhash(pixels: &Pixels) -> String {
    if pixels.size.width == 0 || pixels.size.height == 0 {
        return String::new();
    }
    // By whole factors up, so that all pixels count the same, or else down to the limit.
    let fit = |side: usize| {
        if side < BLURHASH_SIDE { side * BLURHASH_SIDE.div_ceil(side) } else { side.min(2 * BLURHASH_SIDE) }
    };
    let (w, h) = (fit(pixels.size.width as usize), fit(pixels.size.height as usize));
    let mut rgba = resample(pixels, w, h);
    fill_transparent(&mut rgba);
    let (across, down) = BLURHASH_COMPONENTS;
    // it fails for more than 9 components only
    ::blurhash::encode(across, down, w as u32, h as u32, rgba.as_flattened()).unwrap_or_default()
}

/// RGBA of another size. Each pixel is the mean of the whole pixels it covers (at least one),
/// weighted by alpha: good enough for what is blurred beyond recognition anyway.
fn resample(pixels: &Pixels, width: usize, height: usize) -> Vec<[u8; 4]> {
    let (from_w, from_h) = (pixels.size.width as usize, pixels.size.height as usize);
    let rgba = |px: &[u8]| [px[0], px[1], px[2], px.get(3).copied().unwrap_or(255)];
    let cover = |i: usize, from: usize, to: usize| {
        let first = i * from / to;
        first..((i + 1) * from / to).max(first + 1)
    };
    let mut out = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let columns = cover(x, from_w, width);
            let mut sum = [0_u64; 4];
            let mut count = 0;
            for row in cover(y, from_h, height) {
                let at = (row * from_w + columns.start) * pixels.channels;
                let run = &pixels.data[at..][..columns.len() * pixels.channels];
                for px in run.chunks_exact(pixels.channels) {
                    let [r, g, b, a] = rgba(px).map(u64::from);
                    for (sum, v) in sum.iter_mut().zip([r * a, g * a, b * a, a]) {
                        *sum += v;
                    }
                    count += 1;
                }
            }
            let [r, g, b, a] = sum;
            let colour = |v: u64| ((v + a / 2).checked_div(a).unwrap_or(0)) as u8;
            out.push([colour(r), colour(g), colour(b), ((a + count / 2) / count) as u8]);
        }
    }
    out
}

/// Lays the picture on the mean colour of its visible parts, or black if there are none.
fn fill_transparent(rgba: &mut [[u8; 4]]) {
    let mut sum = [0_u64; 4];
    for [r, g, b, a] in rgba.iter().map(|px| px.map(u64::from)) {
        for (sum, v) in sum.iter_mut().zip([r * a, g * a, b * a, a]) {
            *sum += v;
        }
    }
    let mean = [0, 1, 2].map(|c| sum[c].checked_div(sum[3]).unwrap_or(0));
    for px in rgba.iter_mut().filter(|px| px[3] < 255) {
        let alpha = u64::from(px[3]);
        for c in 0..3 {
            let mixed = u64::from(px[c]) * alpha + mean[c] * (255 - alpha);
            px[c] = ((mixed + 127) / 255) as u8;
        }
        px[3] = 255;
    }
}

#[cfg(test)]
mod tests {
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

    const RED: [u8; 4] = [200, 30, 40, 255];
    const BLUE: [u8; 4] = [20, 60, 180, 255];
    const CLEAR: [u8; 4] = [0, 255, 0, 0];

    #[test]
    fn dominant_colours() {
        type At = fn(u32, u32) -> [u8; 4];
        // (picture of 40 × 30, channels, colour, how far it may be off)
        let table: [(At, usize, [u8; 3], u8); 9] = [
            (|_, _| RED, 3, [200, 30, 40], 0),
            (|_, _| [255, 255, 255, 255], 3, [255, 255, 255], 0),
            (|x, _| if x < 24 { RED } else { BLUE }, 3, [200, 30, 40], 0),
            (|x, _| if x < 16 { RED } else { BLUE }, 4, [20, 60, 180], 0),
            // noise across the edge of a bucket (128) against a flat colour
            (
                |x, y| match x {
                    ..18 => RED,
                    _ => [124 + (x % 8) as u8, 124 + (y % 8) as u8, 124 + ((x + y) % 8) as u8, 255],
                },
                3,
                [128, 128, 128],
                2,
            ),
            // transparent pixels do not count, translucent ones count little
            (|x, _| if x < 4 { RED } else { CLEAR }, 4, [200, 30, 40], 0),
            (|x, _| if x < 10 { RED } else { [20, 60, 180, 50] }, 4, [200, 30, 40], 0),
            (|_, _| CLEAR, 4, [0, 0, 0], 0),
            // a gradient with a flat part
            (
                |x, _| {
                    if x < 8 { BLUE } else { [(x * 6) as u8, 0, 0, 255] }
                },
                3,
                [20, 60, 180],
                0,
            ),
        ];
        for (i, (at, channels, colour, off)) in table.into_iter().enumerate() {
            let got = dominant_color(&picture(40, 30, channels, at));
            let near = got.iter().zip(colour).all(|(a, b)| a.abs_diff(b) <= off);
            assert!(near, "row {i}: {got:?} is not {colour:?}");
        }
    }

    #[test]
    fn thumbhash_has_shape_colour_and_alpha() {
        type At = fn(u32, u32) -> [u8; 4];
        let half: At = |x, _| if x % 2 == 0 { RED } else { CLEAR };
        // (width, height, picture, ratio, mean colour and alpha)
        let table: [(u32, u32, At, f32, [f32; 4]); 5] = [
            (90, 60, |_, _| RED, 7.0 / 5.0, [200.0, 30.0, 40.0, 255.0]),
            (60, 90, |_, _| BLUE, 5.0 / 7.0, [20.0, 60.0, 180.0, 255.0]),
            (400, 300, |_, _| BLUE, 7.0 / 5.0, [20.0, 60.0, 180.0, 255.0]),
            (50, 50, half, 1.0, [200.0, 30.0, 40.0, 127.5]),
            (1, 1, |_, _| RED, 1.0, [200.0, 30.0, 40.0, 255.0]),
        ];
        for (w, h, at, ratio, mean) in table {
            let hash = thumbhash(&picture(w, h, 4, at));
            assert!((5..=25).contains(&hash.len()), "{} bytes", hash.len());
            let got = ::thumbhash::thumb_hash_to_approximate_aspect_ratio(&hash).expect("a whole hash");
            assert!((got - ratio).abs() < 0.01, "{w} × {h}: {got}");
            let (r, g, b, a) = ::thumbhash::thumb_hash_to_average_rgba(&hash).expect("a whole hash");
            for (got, want) in [r, g, b, a].into_iter().zip(mean) {
                assert!((got * 255.0 - want).abs() < 12.0, "{w} × {h}: {got} for {want}");
            }
        }
    }

    #[test]
    fn blurhash_decodes_to_the_picture() {
        type At = fn(u32, u32) -> [u8; 4];
        // (size, picture, colour at the left and at the right)
        type Row = (u32, u32, At, [i32; 3], [i32; 3]);
        let table: [Row; 6] = [
            (40, 30, |_, _| RED, [200, 30, 40], [200, 30, 40]),
            (1, 1, |_, _| RED, [200, 30, 40], [200, 30, 40]),
            (1, 7, |_, _| BLUE, [20, 60, 180], [20, 60, 180]),
            (300, 5, |_, _| BLUE, [20, 60, 180], [20, 60, 180]),
            (40, 30, |x, _| if x < 20 { RED } else { BLUE }, [200, 30, 40], [20, 60, 180]),
            // the green of what is transparent must not show
            (40, 30, |x, _| if x < 20 { RED } else { CLEAR }, [200, 30, 40], [200, 30, 40]),
        ];
        for (w, h, at, left, right) in table {
            let hash = blurhash(&picture(w, h, 4, at));
            assert_eq!(hash.len(), 28);
            assert!(hash.starts_with('L'), "{hash}: 4 × 3 components");
            let shown = ::blurhash::decode(&hash, 32, 32, 1.0).expect("a whole hash");
            for (x, colour) in [(4, left), (27, right)] {
                let px = &shown[(16 * 32 + x) * 4..][..3];
                let near = px.iter().zip(colour).all(|(a, b)| (i32::from(*a) - b).abs() <= 40);
                assert!(near, "{w} × {h}: {px:?} is not {colour:?}");
            }
        }
    }

    #[test]
    fn empty_picture_has_no_placeholder() {
        for (width, height) in [(0, 0), (0, 5), (5, 0)] {
            let p = Pixels { size: Size::new(width, height), channels: 3, data: Vec::new() };
            assert_eq!(dominant_color(&p), [0, 0, 0]);
            assert_eq!(thumbhash(&p), Vec::<u8>::new());
            assert_eq!(blurhash(&p), "");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Any shape gives hashes that decode.
        #[test]
        fn any_picture_has_all_three(w in 1u32..130, h in 1u32..130, thin: bool, alpha: bool, seed: u32) {
            let h = if thin { 1 } else { h };
            let p = picture(w, h, if alpha { 4 } else { 3 }, |x, y| {
                (seed ^ x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77))
                    .wrapping_mul(0x2C1B_3C6D)
                    .to_le_bytes()
            });
            dominant_color(&p);
            prop_assert!(::thumbhash::thumb_hash_to_average_rgba(&thumbhash(&p)).is_ok());
            prop_assert!(::blurhash::decode(&blurhash(&p), 8, 8, 1.0).is_ok());
        }

        /// The dominant colour is within a neighbourhood of colours that occur.
        #[test]
        fn dominant_colour_occurs_in_the_picture(
            colours in prop::collection::vec(any::<[u8; 3]>(), 1..20)
        ) {
            let p = Pixels { size: Size::new(colours.len() as u32, 1), channels: 3,
                data: colours.concat(),};
            let got = dominant_color(&p);
            prop_assert!(colours.iter().any(|c| c.iter().zip(got).all(|(a, b)| a.abs_diff(b) < 24)));
        }
    }
}
