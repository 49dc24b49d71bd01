//! Overlays: a picture of the operator over the result, by the operator *over* of Porter and Duff (1984) on straight alpha.

use tintype_pixels::colour::{from_srgb, to_srgb};
use tintype_pixels::{Pixels, Profile, Rect, Region, Result, Samples, Size};

use super::orient::orient;
use super::{planes, resize};
use crate::geometry::Offset;
use crate::overlay::OverlayFile;
use crate::recipe::{Overlay, OverlayPlace};

/// An overlay in the size and the colours in which it is drawn, its opacity in its alpha.
pub(crate) struct Stamp {
    pixels: Pixels,
    place: OverlayPlace,
    offset: Offset,
}

impl Stamp {
    /// Decodes and resizes an overlay for pictures of `picture` pixels, in the colours of `profile`, or in sRGB.
    ///
    /// # Errors
    /// Those of its decoder, which read it before.
    pub(crate) fn new(
        overlay: &Overlay, file: &OverlayFile, picture: Size, profile: Option<&Profile>, linear: bool,
    ) -> Result<Stamp> {
        let (info, decoded) = file.decode()?;
        let pixels = match decoded.samples {
            Samples::Packed(pixels) => pixels,
            Samples::Planes(planes) => planes::to_rgb(&planes, Region::whole(planes.size), None, planes.size)?,
        };
        let pixels = orient(pixels, info.orientation);
        let all = Region::whole(pixels.size);
        let pixels = resize::resize(pixels, all, None, overlay.size_on(picture), linear)?;
        let pixels = match decoded.profile.filter(|profile| !profile.is_srgb()) {
            Some(its) => to_srgb(pixels, &its),
            None => pixels,
        };
        let pixels = match profile {
            Some(profile) => from_srgb(pixels, profile),
            None => pixels,
        };
        let mut pixels = pixels.with_alpha();
        if overlay.opacity < 100 {
            let faded = |alpha: u8| ((u32::from(alpha) * u32::from(overlay.opacity) + 50) / 100) as u8;
            pixels.data.iter_mut().skip(3).step_by(4).for_each(|alpha| *alpha = faded(*alpha));
        }
        Ok(Stamp { pixels, place: overlay.place, offset: overlay.offset })
    }

    /// Draws it on the part of `pixels` that the picture takes; what is beyond that part is cut off.
    pub(crate) fn draw(&self, pixels: &mut Pixels, picture: Rect) {
        let size = self.pixels.size;
        let shift = |offset: i32, all: u32| match offset.unsigned_abs() >= Offset::PIXEL {
            true => f64::from(offset) / f64::from(Offset::PIXEL),
            false => f64::from(offset) / f64::from(Offset::PIXEL) * f64::from(all),
        };
        let (x, y) = (shift(self.offset.x, picture.width), shift(self.offset.y, picture.height));
        match self.place {
            OverlayPlace::At(across, down) => {
                let left = aligned(across, picture.width, size.width, x);
                self.draw_at(pixels, picture, left, aligned(down, picture.height, size.height, y));
            }
            OverlayPlace::Repeat => {
                // tiles that lie within each other would be as many as there are pixels
                let step =
                    |side: u32, gap: f64| (i64::from(side) + gap.round() as i64).max(i64::from(side.div_ceil(2)));
                let (across, down) = (step(size.width, x).max(1), step(size.height, y).max(1));
                for top in tiles(picture.height, size.height, down) {
                    for left in tiles(picture.width, size.width, across) {
                        self.draw_at(pixels, picture, left, top);
                    }
                }
            }
        }
    }

    /// Draws it once, with its corner at `left`, `top` of the picture.
    fn draw_at(&self, pixels: &mut Pixels, picture: Rect, left: i64, top: i64) {
        let Size { width, height } = self.pixels.size;
        let (from_x, columns) = visible(left, width, picture.width);
        let (from_y, rows) = visible(top, height, picture.height);
        if columns == 0 || rows == 0 {
            return;
        }
        let to_x = (i64::from(picture.x) + left) as isize + from_x as isize;
        let to_y = (i64::from(picture.y) + top) as isize + from_y as isize;
        let (channels, stride) = (pixels.channels, pixels.stride());
        for row in 0..rows {
            let start = (to_y as usize + row) * stride + to_x as usize * channels;
            let to = &mut pixels.data[start..start + columns * channels];
            let start = (from_y + row) * self.pixels.stride() + from_x * 4;
            over(to, channels, &self.pixels.data[start..start + columns * 4]);
        }
    }
}

/// The left or the top edge of an overlay of `own` pixels along a side of `all`: aligned, and then moved inward.
fn aligned(at: u16, all: u32, own: u32, shift: f64) -> i64 {
    let free = f64::from(all.saturating_sub(own)) * f64::from(at) / 10_000.0;
    // from the far edge inward is to the left and up
    let shift = if at == 10_000 { -shift } else { shift };
    (free.floor() + shift.round()) as i64
}

/// Where tiles of `own` pixels begin along a side of `all`, one of which is in its middle.
fn tiles(all: u32, own: u32, step: i64) -> impl Iterator<Item = i64> {
    let middle = i64::from(all.saturating_sub(own)) / 2;
    // the first may begin before the picture
    let first = middle.rem_euclid(step) - step;
    (first..i64::from(all)).step_by(usize::try_from(step).unwrap_or(usize::MAX))
}

/// The first pixel of `own` that is seen where it begins at `start` of `all` pixels, and how many are.
fn visible(start: i64, own: u32, all: u32) -> (usize, usize) {
    let first = (-start).max(0);
    let end = i64::from(own).min(i64::from(all) - start);
    (first as usize, (end - first).max(0) as usize)
}

/// A row of straight RGBA over a row of pixels.
fn over(to: &mut [u8], channels: usize, from: &[u8]) {
    if channels == 3 {
        for (to, from) in to.chunks_exact_mut(3).zip(from.chunks_exact(4)) {
            blend(to, from, u32::from(from[3]));
        }
        return;
    }
    for (to, from) in to.chunks_exact_mut(4).zip(from.chunks_exact(4)) {
        match (from[3], to[3]) {
            (0, _) => {}
            (alpha, 255) => blend(to, from, u32::from(alpha)),
            (alpha, behind) => blend_translucent(to, from, u32::from(alpha), u32::from(behind)),
        }
    }
}

/// A colour over an opaque one.
fn blend(to: &mut [u8], from: &[u8], alpha: u32) {
    for (to, from) in to[..3].iter_mut().zip(from) {
        let sum = u32::from(*from) * alpha + u32::from(*to) * (255 - alpha);
        // rounded division by 255
        *to = ((sum + 128 + ((sum + 128) >> 8)) >> 8) as u8;
    }
}

/// A colour over a translucent one; `alpha` is not 0.
fn blend_translucent(to: &mut [u8], from: &[u8], alpha: u32, behind: u32) {
    // in 1/255 of levels
    let (front, back) = (alpha * 255, behind * (255 - alpha));
    let all = front + back;
    for (to, from) in to[..3].iter_mut().zip(from) {
        *to = ((u32::from(*from) * front + u32::from(*to) * back + all / 2) / all) as u8;
    }
    to[3] = ((all + 127) / 255) as u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(size: (u32, u32), pixel: [u8; 4], place: OverlayPlace, offset: (i32, i32)) -> Stamp {
        let offset = Offset { x: offset.0, y: offset.1 };
        Stamp { pixels: Pixels::filled(Size::new(size.0, size.1), &pixel), place, offset }
    }

    /// The columns and rows that a stamp changes on a black picture of 10 × 8 with a frame of one pixel.
    fn drawn(stamp: &Stamp) -> Vec<(u32, u32)> {
        let mut pixels = Pixels::filled(Size::new(12, 10), &[0; 3]);
        stamp.draw(&mut pixels, Rect { x: 1, y: 1, width: 10, height: 8 });
        let changed = pixels.data.chunks_exact(3).enumerate().filter(|(_, pixel)| pixel[0] > 0);
        changed.map(|(at, _)| (at as u32 % 12 - 1, at as u32 / 12 - 1)).collect()
    }

    #[test]
    fn overlay_is_aligned_and_moved_inward() {
        const PIXEL: i32 = 10_000;
        let check = |at: (u16, u16), offset: (i32, i32), expected: &[(u32, u32)]| {
            let stamp = stamp((2, 1), [255; 4], OverlayPlace::At(at.0, at.1), offset);
            assert_eq!(drawn(&stamp), expected, "{at:?} + {offset:?}");
        };
        check((0, 0), (0, 0), &[(0, 0), (1, 0)]);
        check((10_000, 10_000), (0, 0), &[(8, 7), (9, 7)]);
        check((10_000, 10_000), (3 * PIXEL, PIXEL), &[(5, 6), (6, 6)]);
        check((0, 0), (3 * PIXEL, PIXEL), &[(3, 1), (4, 1)]);
        check((5000, 5000), (PIXEL, -PIXEL), &[(5, 2), (6, 2)]);
        // a share of the picture
        check((0, 0), (5000, 2500), &[(5, 2), (6, 2)]);
        // what is beyond the picture is cut off
        check((0, 10_000), (-PIXEL, -PIXEL), &[]);
        check((0, 0), (-PIXEL, 0), &[(0, 0)]);
        check((10_000, 0), (-PIXEL, 0), &[(9, 0)]);
    }

    #[test]
    fn tiles_are_within_the_picture() {
        let tiles = drawn(&stamp((4, 3), [255; 4], OverlayPlace::Repeat, (10_000, 10_000)));
        // one at 3, 2, and those around it
        assert!(tiles.iter().all(|&(x, y)| (x + 2) % 5 < 4 && (y + 2) % 4 < 3));
        assert_eq!(tiles.len(), 8 * 6, "{tiles:?}");
        assert_eq!(drawn(&stamp((3, 3), [255; 4], OverlayPlace::Repeat, (-900_000, -900_000))).len(), 80);
    }

    #[test]
    fn colours_are_laid_over_each_other() {
        let check = |under: &[u8], pixel: [u8; 4], expected: &[u8]| {
            let mut pixels = Pixels::filled(Size::new(1, 1), under);
            let stamp = stamp((1, 1), pixel, OverlayPlace::At(0, 0), (0, 0));
            stamp.draw(&mut pixels, Rect { x: 0, y: 0, width: 1, height: 1 });
            assert_eq!(pixels.data, expected, "{pixel:?} over {under:?}");
        };
        check(&[10, 20, 30], [200, 100, 0, 255], &[200, 100, 0]);
        check(&[10, 20, 30], [200, 100, 0, 0], &[10, 20, 30]);
        check(&[0, 100, 255], [255, 100, 0, 51], &[51, 100, 204]);
        check(&[0, 100, 255, 255], [255, 100, 0, 51], &[51, 100, 204, 255]);
        check(&[9, 9, 9, 0], [200, 100, 0, 77], &[200, 100, 0, 77]);
        check(&[0, 0, 0, 128], [255, 255, 255, 128], &[170, 170, 170, 192]);
        check(&[7, 8, 9, 10], [1, 2, 3, 0], &[7, 8, 9, 10]);
    }
}
