//! Chooses which part of a picture to keep when it is cropped to another shape.
//!
//! Every pixel of a small thumbnail is given a saliency: how much of an edge it lies on, whether
//! it has the colour of skin, how saturated it is. The crop goes where it holds the most, found
//! by trying every position on an integral image.
//!
//! Surprising: the crop is scored *twice*, once whole and once for its middle two thirds. An
//! object counts double when it is well inside, so that a face is not cut off at the neck just
//! because half of it already beats the sky. The middle reaches beyond all the lines of thirds,
//! and thus stands in for the rule of thirds without giving each pixel of each candidate a
//! weight of its own.
//!
//! Sources: J. Wagner, smartcrop.js (2014) for the features and the colour of skin;
//! F. Crow, "Summed-area tables for texture mapping" (SIGGRAPH 1984) for the integral image;
//! ITU-R BT.601-7 for luma. No model, no chance: the same pixels give the same crop.

use tintype_pixels::Pixels;

/// Longest side, in pixels, that the thumbnail should have. More is slower and no better, for
/// beyond it grain and grass begin to count as detail.
pub(crate) const THUMBNAIL_SIDE: u32 = 160;

/// Colour of skin as a direction in RGB (smartcrop's). Light and dark skin differ in brightness
/// far more than in hue, and beyond [`DARKEST`] brightness is not looked at.
const SKIN: [f32; 3] = [0.78, 0.57, 0.44];
/// Cosine of the angle to [`SKIN`] at which a colour begins to be skin; at 1 it is fully so.
const SKIN_FROM: f32 = 0.98;
/// Beneath this brightness (0..=1, greatest channel) a hue is noise.
const DARKEST: f32 = 0.15;
/// Saturation (of HSL, 0..=1) from which a colour stands out.
const SATURATED_FROM: f32 = 0.4;

/// The weights of edges, skin and saturation, each on a scale of 0..=1.
const DETAIL_WEIGHT: f32 = 1.0;
const SKIN_WEIGHT: f32 = 1.8;
const SATURATION_WEIGHT: f32 = 0.3;
/// Skin and saturation count by the detail around them plus this: a face has features, a
/// sandy beach has none, but a smooth cheek should not be worth nothing either. At 0.2
/// an orange sky drew the crop away from what stood before it.
const FLAT: f32 = 0.08;
/// Sobel magnitude, as a share of the greatest possible, that is worth half of full detail. The
/// strongest edges of a picture are often mere silhouettes and must not outbid the rest.
const HALF_DETAIL: f32 = 0.1;
/// The extra weight of the middle two thirds of a crop.
const MIDDLE_WEIGHT: f64 = 1.0;
/// Share of its score that a crop loses when it lies as far from the centre as it can.
const OFF_CENTRE: f64 = 0.05;

/// Scores this near to the best (relative) are ties, as their sums are rounded differently.
const TIE: f64 = 1e-6;

/// The top-left corner (x, y) of the most salient crop, in thumbnail pixels.
///
/// `pixels` is a thumbnail of at most [`THUMBNAIL_SIDE`] pixels a side; `crop_w` × `crop_h` is
/// the crop's size in the thumbnail's pixels, more than the thumbnail counting as all of it.
/// The result lies in `0.0..=width - crop_w` and `0.0..=height - crop_h`.
///
/// Of equally good crops the one nearest to the centre is taken; where there are equally good
/// ones on either side, the centre itself is. So a picture without features is cropped at its
/// centre, and so is a symmetrical one: mirroring a picture mirrors its crop.
pub(crate) fn focus(pixels: &Pixels, crop_w: f64, crop_h: f64) -> (f64, f64) {
    let (width, height) = (f64::from(pixels.size.width), f64::from(pixels.size.height));
    // NaN becomes the whole side
    let crop_w = if crop_w < width { crop_w.max(0.0) } else { width };
    let crop_h = if crop_h < height { crop_h.max(0.0) } else { height };
    let (columns, rows) = (steps(width - crop_w), steps(height - crop_h));
    let centre = ((width - crop_w) / 2.0, (height - crop_h) / 2.0);
    if columns.len() * rows.len() <= 1 {
        return centre;
    }
    let sums = Sums::of(pixels);

    let mut scores = Vec::with_capacity(columns.len() * rows.len());
    for y in &rows {
        for x in &columns {
            let whole = sums.rect(*x, *y, crop_w, crop_h);
            let middle = sums.rect(x + crop_w / 6.0, y + crop_h / 6.0, crop_w * 2.0 / 3.0, crop_h * 2.0 / 3.0);
            let off = |at: f64, centre: f64| {
                if centre > 0.0 { (at - centre) / centre } else { 0.0 }
            };
            let off = off(*x, centre.0).powi(2) + off(*y, centre.1).powi(2);
            let score = (whole + MIDDLE_WEIGHT * middle) * (1.0 - OFF_CENTRE / 2.0 * off);
            scores.push((score, *x, *y));
        }
    }
    let best = scores.iter().map(|s| s.0).fold(0.0, f64::max);
    let mut tied = scores.iter().filter(|s| s.0 >= best * (1.0 - TIE));
    // the box around all that are tied, and its point nearest to the centre
    let Some(&(_, x, y)) = tied.next() else {
        return centre;
    };
    let ((mut left, mut right), (mut top, mut bottom)) = ((x, x), (y, y));
    for &(_, x, y) in tied {
        (left, right) = (left.min(x), right.max(x));
        (top, bottom) = (top.min(y), bottom.max(y));
    }
    (centre.0.clamp(left, right), centre.1.clamp(top, bottom))
}

/// Positions to try in `0.0..=room`: the centre, every whole pixel from it, and both ends.
fn steps(room: f64) -> Vec<f64> {
    let centre = room / 2.0;
    let whole = centre.floor() as i64;
    let mut all: Vec<f64> = (-whole..=whole).map(|k| centre + k as f64).collect();
    if centre > whole as f64 {
        all.insert(0, 0.0);
        all.push(room);
    }
    all
}

/// An integral image: `sums[y × (width + 1) + x]` is the saliency of all pixels above `y` and
/// left of `x`.
struct Sums {
    width: usize,
    height: usize,
    /// In whole numbers, so that mirror images have the same sums to the last bit.
    sums: Vec<u64>,
}

impl Sums {
    fn of(pixels: &Pixels) -> Self {
        let (width, height) = (pixels.size.width as usize, pixels.size.height as usize);
        let salient = saliency(pixels);
        let mut sums = vec![0; (width + 1) * (height + 1)];
        for y in 0..height {
            let mut row = 0;
            for x in 0..width {
                row += u64::from(salient[y * width + x]);
                sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + row;
            }
        }
        Self { width, height, sums }
    }

    /// The sum over a rectangle; pixels it cuts through count by the share that is inside.
    fn rect(&self, x: f64, y: f64, w: f64, h: f64) -> f64 {
        self.above_left(x + w, y + h) - self.above_left(x, y + h) - self.above_left(x + w, y) + self.above_left(x, y)
    }

    /// Between whole pixels the integral of a picture made of squares is bilinear.
    fn above_left(&self, x: f64, y: f64) -> f64 {
        let column = (x as usize).min(self.width - 1);
        let row = (y as usize).min(self.height - 1);
        let (fx, fy) = ((x - column as f64).clamp(0.0, 1.0), (y - row as f64).clamp(0.0, 1.0));
        let at = row * (self.width + 1) + column;
        let below = at + self.width + 1;
        let [a, b, c, d] = [at, at + 1, below, below + 1].map(|i| self.sums[i] as f64);
        let top = a + (b - a) * fx;
        let bottom = c + (d - c) * fx;
        top + (bottom - top) * fy
    }
}

/// The saliency of each pixel, 0..=4096 × the sum of all weights.
fn saliency(pixels: &Pixels) -> Vec<u32> {
    let (width, height) = (pixels.size.width as usize, pixels.size.height as usize);
    let colours: Vec<[f32; 4]> = pixels
        .data
        .chunks_exact(pixels.channels)
        .map(|px| {
            let alpha = px.get(3).map_or(1.0, |a| f32::from(*a) / 255.0);
            let [r, g, b] = [px[0], px[1], px[2]].map(|v| f32::from(v) / 255.0);
            [r, g, b, alpha]
        })
        .collect();
    // transparent pixels are laid on mid-grey: nothing there to see, and the outline of a
    // cut-out object counts whether it is light or dark
    let luma: Vec<f32> =
        colours.iter().map(|[r, g, b, a]| (0.299 * r + 0.587 * g + 0.114 * b) * a + 0.5 * (1.0 - a)).collect();
    let mut out = Vec::with_capacity(colours.len());
    for y in 0..height {
        // at the edges the picture goes on with its outermost pixels
        let above = &luma[y.saturating_sub(1) * width..][..width];
        let here = &luma[y * width..][..width];
        let below = &luma[(y + 1).min(height - 1) * width..][..width];
        for x in 0..width {
            let (l, r) = (x.saturating_sub(1), (x + 1).min(width - 1));
            // each sum is ordered so that a mirrored picture gives the same to the last bit
            let dx = (above[r] - above[l]) + (below[r] - below[l]) + 2.0 * (here[r] - here[l]);
            let dy = (below[l] - above[l]) + (below[r] - above[r]) + 2.0 * (below[x] - above[x]);
            // the greatest possible of either is 4
            let edge = (dx * dx + dy * dy).sqrt() / 4.0;
            let detail = edge / (edge + HALF_DETAIL) * (1.0 + HALF_DETAIL);
            let [r, g, b, alpha] = colours[y * width + x];
            let worth = DETAIL_WEIGHT * detail
                + alpha * (detail + FLAT) * (SKIN_WEIGHT * skin([r, g, b]) + SATURATION_WEIGHT * saturation([r, g, b]));
            out.push((worth * 4096.0) as u32);
        }
    }
    out
}

/// How much a colour (0..=1 each) is that of skin, 0..=1.
fn skin(rgb: [f32; 3]) -> f32 {
    let brightest = rgb[0].max(rgb[1]).max(rgb[2]);
    if brightest < DARKEST {
        return 0.0;
    }
    let dot = |a: [f32; 3], b: [f32; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let cosine = dot(rgb, SKIN) / (dot(rgb, rgb) * dot(SKIN, SKIN)).sqrt();
    ((cosine - SKIN_FROM) / (1.0 - SKIN_FROM)).clamp(0.0, 1.0)
}

/// Saturation in HSL beyond [`SATURATED_FROM`], 0..=1; nothing for the very dark and very
/// light, where a level or two already make a pure colour.
fn saturation(rgb: [f32; 3]) -> f32 {
    let max = rgb[0].max(rgb[1]).max(rgb[2]);
    let min = rgb[0].min(rgb[1]).min(rgb[2]);
    let lightness = (max + min) / 2.0;
    if max == min || !(0.05..=0.9).contains(&lightness) {
        return 0.0;
    }
    let saturation = (max - min) / (1.0 - (2.0 * lightness - 1.0).abs());
    ((saturation - SATURATED_FROM) / (1.0 - SATURATED_FROM)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests;
