//! The nearest colour of a palette.

use super::space::{self, LEVEL, Point, distance};

/// Points in ascending order of luma, so that a search ends where luma alone is too far away.
pub(super) struct Points {
    sorted: Vec<(Point, u8)>,
    /// For each level of luma the first point that is not darker.
    starts: [u16; 257],
}

impl Points {
    /// Of at most 256 points.
    pub(super) fn new(points: &[Point]) -> Points {
        let mut sorted: Vec<(Point, u8)> = points.iter().copied().zip(0..=255).collect();
        sorted.sort_unstable_by_key(|&(point, index)| (point[0], index));
        let start =
            |level: usize| sorted.partition_point(|(point, _)| i32::from(point[0]) < level as i32 * LEVEL as i32);
        let starts = std::array::from_fn(|level| start(level) as u16);
        Points { sorted, starts }
    }

    /// The index of the nearest point and its squared distance. Of several the one that is met first from the point's own luma.
    pub(super) fn nearest(&self, point: Point) -> (u8, u32) {
        let level = (i32::from(point[0]) / LEVEL as i32).clamp(0, 255) as usize;
        let (below, above) = self.sorted.split_at(self.starts[level].into());
        let (mut best, mut nearest) = (0, u32::MAX);
        let (mut below, mut above) = (below.iter().rev(), above.iter());
        let mut is_open = [true; 2];
        while is_open[0] || is_open[1] {
            for (side, is_open) in is_open.iter_mut().enumerate() {
                if !*is_open {
                    continue;
                }
                let next = if side == 0 { above.next() } else { below.next() };
                let Some(&(candidate, index)) = next else {
                    *is_open = false;
                    continue;
                };
                let luma = i32::from(candidate[0]) - i32::from(point[0]);
                // on the near side of its own level it comes nearer yet
                if (luma * luma) as u32 >= nearest && (luma > 0) == (side == 0) {
                    *is_open = false;
                    continue;
                }
                let distance = distance(candidate, point);
                if distance < nearest {
                    (best, nearest) = (index, distance);
                }
            }
        }
        (best, nearest)
    }
}

/// Finds the nearest colours of a palette, and remembers the last ones.
pub(crate) struct Nearest {
    points: Points,
    /// Colours with their index and distance, by the hash of the colour.
    cache: Vec<([u8; 4], u8, u32)>,
}

const CACHED: usize = 1 << 12;

impl Nearest {
    /// Of at most 256 colours, at least one.
    pub(crate) fn new(palette: &[[u8; 4]]) -> Nearest {
        let points: Vec<Point> = palette.iter().map(|&colour| space::point(colour)).collect();
        let points = Points::new(&points);
        // the first slot's colour is found in it
        let (index, distance) = points.nearest(space::point([0; 4]));
        Nearest { points, cache: vec![([0; 4], index, distance); CACHED] }
    }

    /// The index of the nearest colour and the squared distance to it.
    pub(crate) fn find(&mut self, colour: [u8; 4]) -> (u8, u32) {
        let slot = (u32::from_le_bytes(colour).wrapping_mul(0x9E37_79B1) >> 20) as usize;
        let (cached, index, distance) = self.cache[slot];
        if cached == colour {
            return (index, distance);
        }
        let (index, distance) = self.points.nearest(space::point(colour));
        self.cache[slot] = (colour, index, distance);
        (index, distance)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn search_finds_the_least_distance(
            palette in prop::collection::vec(any::<[u8; 4]>(), 1..257), pixels in prop::collection::vec(any::<[u8; 4]>(), 1..200),
            spread in 0_u32..8,
        ) {
            let narrow = |colour: [u8; 4]| colour.map(|level| level >> spread);
            let palette: Vec<[u8; 4]> = palette.into_iter().map(narrow).collect();
            let mut nearest = Nearest::new(&palette);
            for pixel in pixels.iter().chain(&pixels).map(|&pixel| narrow(pixel)) {
                let (index, found) = nearest.find(pixel);
                let to = |colour: [u8; 4]| distance(space::point(colour), space::point(pixel));
                prop_assert_eq!(to(palette[usize::from(index)]), found);
                prop_assert_eq!(palette.iter().map(|&colour| to(colour)).min(), Some(found));
            }
        }
    }
}
