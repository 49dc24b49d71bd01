//! The space in which colours are compared.
//!
//! Three coordinates are luma and the weighted differences of blue and red to it. Their weights were tried with SSIMULACRA2.
//! A translucent colour is taken as it looks on grey, with its alpha as the fourth coordinate: the squared distance is then the
//! mean of those on black and on white, where two colours differ most.

/// A colour, in coordinates of [`LEVEL`] a level of luma.
pub(super) type Point = [i16; 4];

/// Units of a level of luma.
pub(crate) const LEVEL: u32 = 8;

/// The distance in alpha between opaque and translucent, and between translucent and transparent colours, beyond that of their
/// levels. It is above every distance of colours, so that neither is taken for the other.
const CLASS: i32 = 8192;

/// The coordinates of a colour with straight alpha.
pub(super) fn point([r, g, b, alpha]: [u8; 4]) -> Point {
    if alpha == 0 {
        return [0, 0, 0, -CLASS as i16];
    }
    let alpha = i32::from(alpha);
    // eight times the level on middle grey
    let on_grey = |level: u8| (LEVEL as i32 * (i32::from(level) * alpha + 127 * (255 - alpha)) + 127) / 255;
    let [r, g, b] = [r, g, b].map(on_grey);
    let luma = (77 * r + 150 * g + 29 * b) >> 8;
    let class = if alpha == 255 { CLASS } else { 0 };
    [luma, (b - luma) * CB / 64, (r - luma) * CR / 64, alpha * LEVEL as i32 / 2 + class].map(|value| value as i16)
}

/// Weights of the differences of blue and red to luma, in 64ths.
const CB: i32 = 36;
const CR: i32 = 34;

/// The squared distance of two points.
#[inline(always)]
pub(super) fn distance(one: Point, other: Point) -> u32 {
    let mut sum = 0;
    for axis in 0..4 {
        let difference = i32::from(one[axis]) - i32::from(other[axis]);
        sum += (difference * difference) as u32;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opaque_colours_are_apart() {
        // a cube of neighbours anywhere
        for base in [0, 90, 200_u8] {
            let level = |at: u32, axis: u32| base + (at / 5_u32.pow(axis) % 5) as u8;
            let colours: Vec<[u8; 4]> = (0..125).map(|at| [level(at, 0), level(at, 1), level(at, 2), 255]).collect();
            for (at, one) in colours.iter().enumerate() {
                assert!(colours[at + 1..].iter().all(|other| distance(point(*one), point(*other)) > 0), "{one:?}");
            }
        }
        let level = |grey: u8| point([grey, grey, grey, 255]);
        assert_eq!(distance(level(99), level(100)), LEVEL.pow(2));
    }

    #[test]
    fn classes_of_alpha_are_farther_apart_than_any_colours() {
        let corners = (0..8_u8).map(|bits| [0, 1, 2].map(|channel| if bits >> channel & 1 == 1 { 255 } else { 0 }));
        let colours: Vec<[u8; 3]> = corners.collect();
        let points = |alphas: &'static [u8]| {
            let of = move |&[r, g, b]: &[u8; 3]| alphas.iter().map(move |&alpha| point([r, g, b, alpha]));
            colours.iter().flat_map(of).collect::<Vec<_>>()
        };
        let classes = [points(&[0]), points(&[1, 128, 254]), points(&[255])];
        let most = |one: &[Point], other: &[Point]| {
            one.iter().flat_map(|one| other.iter().map(|other| distance(*one, *other))).max().expect("points")
        };
        let least = |one: &[Point], other: &[Point]| {
            one.iter().flat_map(|one| other.iter().map(|other| distance(*one, *other))).min().expect("points")
        };
        for (at, class) in classes.iter().enumerate() {
            for other in classes.iter().skip(at + 1) {
                assert!(most(class, class) < least(class, other), "class {at}");
            }
        }
    }
}
