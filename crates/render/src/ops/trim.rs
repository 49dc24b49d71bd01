//! Finds the border around a picture's subject, so that it can be cut off.
//!
//! Surprising: only the top-left pixel says what border is. A picture whose left border is
//! white and whose right border is black keeps the black one. That is what `trim` means in
//! sharp, imgix and ImageMagick, and asking all four corners would cut letters off a logo that
//! happens to touch one of them.

use tintype_pixels::Pixels;

/// The rectangle (x, y, width, height), in pixels, that remains when borders like the top-left
/// pixel are taken away.
///
/// `tolerance` is in percent of the full range, 0..=100 (more counts as 100): a pixel is border
/// if none of its channels, alpha among them, differs from the top-left pixel's by more than
/// `tolerance × 255 / 100` levels, rounded down. The colour of a fully transparent pixel means
/// nothing, so where either of two is fully transparent only their alpha is compared.
///
/// A picture that is border throughout is returned whole, as there would be nothing left.
pub(crate) fn bounds(pixels: &Pixels, tolerance: u8) -> (u32, u32, u32, u32) {
    let found = if pixels.channels == 4 { find::<4>(pixels, tolerance) } else { find::<3>(pixels, tolerance) };
    found.unwrap_or((0, 0, pixels.size.width, pixels.size.height))
}

fn find<const C: usize>(pixels: &Pixels, tolerance: u8) -> Option<(u32, u32, u32, u32)> {
    let width = pixels.size.width as usize;
    let all = pixels.data.as_chunks::<C>().0;
    let border = *all.first()?;
    let most = (u32::from(tolerance.min(100)) * 255 / 100) as u8;
    let differs = |px: &[u8; C]| differs(px, &border, most);

    let top = all.iter().position(differs)? / width;
    let bottom = all.iter().rposition(differs)? / width;
    // By rows, as that is how they lie in memory; each row is searched only as far as it could
    // still widen what is known.
    let (mut left, mut right) = (width, 0);
    for row in all[top * width..(bottom + 1) * width].chunks_exact(width) {
        if let Some(x) = row[..left].iter().position(differs) {
            left = x;
        }
        if let Some(x) = row[right..].iter().rposition(differs) {
            right += x;
        }
    }
    Some((left as u32, top as u32, (right + 1 - left) as u32, (bottom + 1 - top) as u32))
}

fn differs<const C: usize>(a: &[u8; C], b: &[u8; C], most: u8) -> bool {
    if C == 4 && (a[C - 1] == 0 || b[C - 1] == 0) {
        return a[C - 1].abs_diff(b[C - 1]) > most;
    }
    a.iter().zip(b).any(|(a, b)| a.abs_diff(*b) > most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tintype_pixels::Size;

    /// A picture drawn in letters: a pixel each, rows apart by spaces.
    fn drawn(rows: &str, channels: usize) -> Pixels {
        let rows: Vec<&str> = rows.split_whitespace().collect();
        let data = rows.iter().flat_map(|r| r.bytes()).flat_map(|letter| {
            let px = match letter {
                b'.' => [255, 255, 255, 255], // white
                b',' => [250, 252, 255, 255], // nearly white
                b'#' => [10, 20, 30, 255],    // dark
                b'b' => [255, 255, 250, 255], // five off in one channel
                b't' => [0, 0, 0, 0],         // nothing
                b'u' => [90, 200, 3, 0],      // nothing, of another colour
                b'v' => [90, 200, 3, 5],      // next to nothing
                other => panic!("no colour for {other}"),
            };
            px.into_iter().take(channels)
        });
        Pixels { size: Size::new(rows[0].len() as u32, rows.len() as u32), channels, data: data.collect() }
    }

    #[test]
    fn borders() {
        // (picture, channels, tolerance, what remains)
        let table = [
            (".", 3, 0, (0, 0, 1, 1)),
            ("#", 4, 100, (0, 0, 1, 1)),
            ("...... ...... ......", 3, 0, (0, 0, 6, 3)),
            ("...... ..#... ......", 3, 0, (2, 1, 1, 1)),
            ("...... .#..#. ......", 4, 0, (1, 1, 4, 1)),
            ("...#.. .#.... .....#", 3, 0, (1, 0, 5, 3)),
            // the subject reaches the edges
            (".##### ###### ######", 3, 0, (0, 0, 6, 3)),
            // tolerance: 5 levels of 255 are within 2 % (5.1), not within 1 % (2.55)
            (".,,,. ,.#.b .....", 3, 0, (0, 0, 5, 2)),
            (".,,,. ,.#.b .....", 3, 1, (0, 0, 5, 2)),
            (".,,,. ,.#.b .....", 3, 2, (2, 1, 1, 1)),
            (".,,,. ,.#.b .....", 3, 100, (0, 0, 5, 3)),
            (".,,,. ,.#.b .....", 3, 255, (0, 0, 5, 3)),
            // only the top-left pixel says what border is
            ("..#### ..####", 3, 0, (2, 0, 4, 2)),
            ("####.. ####..", 3, 0, (4, 0, 2, 2)),
            // transparent pixels are equal
            ("tutu u..t tutu", 4, 0, (1, 1, 2, 1)),
            ("utut tutu", 4, 0, (0, 0, 4, 2)),
            ("tvtu v..t tutv", 4, 0, (0, 0, 4, 3)),
            ("tvtu v..t tutv", 4, 2, (1, 1, 2, 1)),
            ("vtuv v..u tutv", 4, 2, (1, 1, 2, 1)),
            // a single line
            ("..##.", 3, 0, (2, 0, 2, 1)),
            (". # # .", 3, 0, (0, 1, 1, 2)),
        ];
        for (rows, channels, tolerance, remains) in table {
            assert_eq!(bounds(&drawn(rows, channels), tolerance), remains, "{rows}, {tolerance} %");
        }
    }

    #[test]
    fn empty_picture_has_no_bounds() {
        let p = Pixels { size: Size::new(0, 0), channels: 3, data: Vec::new() };
        assert_eq!(bounds(&p, 10), (0, 0, 0, 0));
    }

    proptest! {
        /// The rectangle lies inside, everything outside it is border, and none of its four
        /// sides could be moved in.
        #[test]
        fn tight(
            w in 1u32..12, h in 1u32..12, alpha: bool, tolerance in 0u8..=100,
            seed in prop::collection::vec(0u8..4, 144)
        ) {
            let channels = if alpha { 4 } else { 3 };
            let shades = [[0, 0, 0, 0], [0, 0, 0, 255], [20, 0, 0, 255], [255, 9, 9, 128]];
            let p = Pixels { size: Size::new(w, h), channels,
                data: (0..(w * h) as usize)
                    // mostly border, else there is nothing to find
                    .flat_map(|i| shades[if i % 3 == 0 { seed[i] } else { seed[0] } as usize]
                        .into_iter().take(channels))
                    .collect(),};
            let (x, y, bw, bh) = bounds(&p, tolerance);
            prop_assert!(bw >= 1 && bh >= 1 && x + bw <= w && y + bh <= h);
            let most = (u32::from(tolerance) * 255 / 100) as u8;
            let subject = |px: u32, py: u32| {
                let at = |i: u32| &p.data[i as usize * channels..][..channels];
                let (a, b) = (at(py * w + px), at(0));
                let hidden = alpha && (a[3] == 0 || b[3] == 0);
                a.iter().zip(b).skip(if hidden { 3 } else { 0 }).any(|(a, b)| a.abs_diff(*b) > most)
            };
            let found: Vec<(u32, u32)> = (0..h).flat_map(|py| (0..w).map(move |px| (px, py)))
                .filter(|(px, py)| subject(*px, *py)).collect();
            let min = |f: fn(&(u32, u32)) -> u32| found.iter().map(f).min();
            let max = |f: fn(&(u32, u32)) -> u32| found.iter().map(f).max();
            if found.is_empty() {
                prop_assert_eq!((x, y, bw, bh), (0, 0, w, h));
            } else {
                prop_assert_eq!((Some(x), Some(y)), (min(|p| p.0), min(|p| p.1)));
                prop_assert_eq!((Some(x + bw - 1), Some(y + bh - 1)), (max(|p| p.0), max(|p| p.1)));
            }
        }
    }
}
