//! Luma and chroma resampled apart, which is a third less work than doing it with red, green and blue, and no conversion
//! at all where the result keeps them apart too.
//!
//! Two traps lie here, and each has its test. A decoder that scaled down gives one more column than there is picture for
//! (`ops/resize.rs` says it of regions in general). And a result of 427 rows has 214 rows of halved chroma, which stand
//! for 428 rows of luma: chroma is read from a region that reaches half a row further than the luma does, beyond the
//! edge of the original if need be. Stretching the 427 rows over them instead shifts the colours visibly.

use std::borrow::Cow;

use super::resize::{down_columns, inside, internal, lanczos, release_buffers, rows_read, run, streamed};
use crate::bands::is_rows_first;
use tintype_pixels::Rows;
use tintype_pixels::error::Result;
use tintype_pixels::planes::NO_COLOUR;
use tintype_pixels::ycbcr;
use tintype_pixels::{ChromaSubsampling, Pixels, Plane, Planes};
use tintype_pixels::{Rect, Region, Size};

use fast_image_resize::PixelType;
use fast_image_resize::images::{Image, ImageRef};

/// Resamples a region of planes to planes of `size` with halved chroma, or without colour. The filter reaches no further than `within`.
pub(crate) fn resized(
    planes: &Planes, region: Region, within: Option<Rect>, size: Size, has_colour: bool,
) -> Result<Planes> {
    let halves = Size::new(size.width.div_ceil(2), size.height.div_ceil(2));
    let mut data = Vec::with_capacity(Planes::bytes(size, Some(ChromaSubsampling::S420)));
    let (luma, stored) = planes.luma();
    append(&mut data, luma, stored, region, within, size)?;
    if size.width % 2 + size.height % 2 > 0 {
        // at the result's size this is little to copy
        let luma = Plane { data: &data, stride: size.width as usize };
        data = extended(luma, size, Size::new(halves.width * 2, halves.height * 2));
    }
    let beyond = |length: f64, seen: u32, half: u32| length * f64::from(half * 2) / f64::from(seen);
    let region = Region {
        width: beyond(region.width, size.width, halves.width),
        height: beyond(region.height, size.height, halves.height),
        ..region
    };
    match planes.subsampling.filter(|_| has_colour) {
        None => data.resize(data.len() + 2 * halves.pixels() as usize, NO_COLOUR),
        Some(subsampling) => {
            let ([cb, cr], stored) = planes.chroma();
            let (region, within) =
                (shared(region, subsampling), within.map(|rect| chroma_part(rect, subsampling, stored)));
            for plane in [cb, cr] {
                append(&mut data, plane, stored, region, within, halves)?;
            }
        }
    }
    Ok(Planes::new(size, Some(ChromaSubsampling::S420), data))
}

/// Resamples a region of planes as light to RGB of `size`.
pub(crate) fn to_rgb_as_light(planes: &Planes, region: Region, within: Option<Rect>, size: Size) -> Result<Pixels> {
    streamed(&mut Upsampled::of(planes), region, within, size, true)
}

/// Planes as rows of red, green and blue, with chroma between its samples on straight lines.
struct Upsampled<'a> {
    planes: &'a Planes,
    /// A row of chroma between two rows, a quarter of a level being one.
    between: Vec<u16>,
    /// Rows of Cb and of Cr at luma's resolution.
    rows: [Vec<u8>; 2],
    /// The row that comes next.
    next: u32,
}

impl Upsampled<'_> {
    fn of(planes: &Planes) -> Upsampled<'_> {
        let (_, chroma) = planes.chroma();
        let row = vec![NO_COLOUR; planes.size.width as usize];
        Upsampled { planes, between: vec![0; chroma.width as usize], rows: [row.clone(), row], next: 0 }
    }

    /// Makes the rows of chroma that belong to a row of luma.
    fn make(&mut self, y: u32) {
        let Some(ChromaSubsampling { across, down }) = self.planes.subsampling else { return };
        let (chroma, size) = self.planes.chroma();
        let near = y / down;
        // a chroma sample lies between the two rows that share it: each row is a quarter of the way to a neighbour
        let far = match (down, y % 2) {
            (2, 0) => near.saturating_sub(1),
            (2, _) => (near + 1).min(size.height - 1),
            _ => near,
        };
        for (plane, out) in chroma.iter().zip(&mut self.rows) {
            let row = |at: u32| &plane.data[at as usize * plane.stride..][..size.width as usize];
            for ((between, &near), &far) in self.between.iter_mut().zip(row(near)).zip(row(far)) {
                *between = 3 * u16::from(near) + u16::from(far);
            }
            let between = &self.between[..];
            if across != 2 {
                out.iter_mut().zip(between).for_each(|(out, &level)| *out = ((level + 2) / 4) as u8);
                continue;
            }
            let level = |near: u16, far: u16| ((3 * near + far + 8) / 16) as u8;
            let (pairs, rest) = out.as_chunks_mut::<2>();
            let last = between.len() - 1;
            for (at, pair) in pairs.iter_mut().enumerate().skip(1) {
                let (left, right) = (between[at - 1], between[(at + 1).min(last)]);
                *pair = [level(between[at], left), level(between[at], right)];
            }
            if let Some(first) = pairs.first_mut() {
                *first = [level(between[0], between[0]), level(between[0], between[1.min(last)])];
            }
            if let [alone] = rest {
                *alone = level(between[last], between[last.saturating_sub(1)]);
            }
        }
    }
}

impl Rows for Upsampled<'_> {
    fn size(&self) -> Size {
        self.planes.size
    }

    fn channels(&self) -> usize {
        3
    }

    fn read(&mut self, out: &mut [u8]) -> Result<()> {
        let width = self.planes.size.width as usize;
        let (luma, _) = self.planes.luma();
        for row in out.chunks_exact_mut(width * 3) {
            self.make(self.next);
            let luma = &luma.data[self.next as usize * luma.stride..][..width];
            ycbcr::write_rgb(row, luma, &self.rows[0], &self.rows[1]);
            self.next += 1;
        }
        Ok(())
    }

    fn skip(&mut self, rows: u32) -> Result<()> {
        self.next += rows;
        Ok(())
    }
}

/// Resamples a region of planes to RGB of `size`, chroma straight to the result's own resolution.
pub(crate) fn to_rgb(planes: &Planes, region: Region, within: Option<Rect>, size: Size) -> Result<Pixels> {
    let mut luma = Vec::new();
    let (plane, stored) = planes.luma();
    append(&mut luma, plane, stored, region, within, size)?;
    let mut chroma = [Vec::new(), Vec::new()];
    if let Some(subsampling) = planes.subsampling {
        let (two, stored) = planes.chroma();
        let (region, within) = (shared(region, subsampling), within.map(|rect| chroma_part(rect, subsampling, stored)));
        for (to, plane) in chroma.iter_mut().zip(two) {
            append(to, plane, stored, region, within, size)?;
        }
    }
    let data = match chroma {
        [cb, cr] if planes.subsampling.is_some() => ycbcr::to_rgb(&luma, &cb, &cr),
        _ => luma.iter().flat_map(|&level| [level; 3]).collect(),
    };
    Ok(Pixels { size, channels: 3, data })
}

/// Where a region of luma lies in chroma.
fn shared(region: Region, ChromaSubsampling { across, down }: ChromaSubsampling) -> Region {
    let (across, down) = (f64::from(across), f64::from(down));
    Region { x: region.x / across, y: region.y / down, width: region.width / across, height: region.height / down }
}

/// Chroma that a part of luma shares.
fn chroma_part(part: Rect, ChromaSubsampling { across, down }: ChromaSubsampling, stored: Size) -> Rect {
    let (x, y) = (part.x / across, part.y / down);
    let (right, bottom) = ((part.x + part.width).div_ceil(across), (part.y + part.height).div_ceil(down));
    Rect { x, y, width: right.min(stored.width) - x, height: bottom.min(stored.height) - y }
}

/// Resamples a region of one plane, which may reach beyond its right and lower edges, and adds the rows to `out`.
fn append(
    out: &mut Vec<u8>, plane: Plane<'_>, stored: Size, region: Region, within: Option<Rect>, size: Size,
) -> Result<()> {
    if let Some(Rect { x, y, width, height }) = within {
        let plane = Plane { data: &plane.data[y as usize * plane.stride + x as usize..], ..plane };
        let region = Region { x: region.x - f64::from(x), y: region.y - f64::from(y), ..region };
        return append(out, plane, Size::new(width, height), region, None, size);
    }
    let at_own_scale = region.width == f64::from(size.width) && region.height == f64::from(size.height);
    let (plane, stored) = reaching(plane, stored, region);
    if at_own_scale && region.x.fract() == 0.0 && region.y.fract() == 0.0 {
        let (left, top) = (region.x as usize, region.y as usize);
        for row in plane.chunks_exact(stored.width as usize).skip(top).take(size.height as usize) {
            out.extend_from_slice(&row[left..left + size.width as usize]);
        }
        return Ok(());
    }
    let region = inside(region, stored);
    let from = ImageRef::new(stored.width, stored.height, &plane, PixelType::U8).map_err(internal)?;
    let start = out.len();
    out.resize(start + size.pixels() as usize, 0);
    let mut to = Image::from_slice_u8(size.width, size.height, &mut out[start..], PixelType::U8).map_err(internal)?;
    if is_rows_first((region.width, region.height), size) {
        let (top, height) = rows_read(region, stored);
        let mut shortened = Image::new(size.width, height, PixelType::U8);
        run(&from, &mut shortened, &lanczos().crop(region.x, top.into(), region.width, height.into()))?;
        let from = ImageRef::new(size.width, height, shortened.buffer(), PixelType::U8).map_err(internal)?;
        run(&from, &mut to, &down_columns(region, size, top, height))?;
    } else {
        run(&from, &mut to, &lanczos().crop(region.x, region.y, region.width, region.height))?;
    }
    release_buffers();
    Ok(())
}

/// The plane with packed rows, its last column and row repeated until the region lies within it.
fn reaching(plane: Plane<'_>, stored: Size, region: Region) -> (Cow<'_, [u8]>, Size) {
    // an excess below this is a rounding error
    const ROUNDING: f64 = 1e-6;
    let needed = |far: f64, stored: u32| stored.max((far - ROUNDING).ceil() as u32);
    let wanted =
        Size::new(needed(region.x + region.width, stored.width), needed(region.y + region.height, stored.height));
    if wanted == stored && plane.stride == stored.width as usize {
        return (Cow::Borrowed(&plane.data[..stored.pixels() as usize]), stored);
    }
    (Cow::Owned(extended(plane, stored, wanted)), wanted)
}

/// A copy of a plane with its last column and row repeated up to a size.
fn extended(plane: Plane<'_>, stored: Size, wanted: Size) -> Vec<u8> {
    let columns = stored.width as usize;
    let mut data = Vec::with_capacity(wanted.pixels() as usize);
    for row in 0..stored.height as usize {
        let row = &plane.data[row * plane.stride..][..columns];
        data.extend_from_slice(row);
        data.resize(data.len() + (wanted.width - stored.width) as usize, row[columns - 1]);
    }
    let last = data.len() - wanted.width as usize;
    for _ in stored.height..wanted.height {
        data.extend_from_within(last..last + wanted.width as usize);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Planes whose luma rises by one a column and whose Cb does by two a column of chroma: along with luma.
    fn slope(size: Size, subsampling: ChromaSubsampling) -> Planes {
        let mut data = Vec::new();
        let chroma = Size::new(size.width.div_ceil(subsampling.across), size.height.div_ceil(subsampling.down));
        for _ in 0..chroma.height * subsampling.down {
            data.extend((0..chroma.width * subsampling.across).map(|x| x as u8));
        }
        for plane in 0..2 {
            for y in 0..chroma.height {
                // in the middle of the luma it is shared by
                let middle = |at: u32, by: u32| (at * by) as f64 + (f64::from(by) - 1.0) / 2.0;
                data.extend((0..chroma.width).map(|x| {
                    let at = if plane == 0 { middle(x, subsampling.across) } else { middle(y, subsampling.down) };
                    (at + 0.5) as u8
                }));
            }
        }
        Planes::new(size, Some(subsampling), data)
    }

    #[test]
    fn chroma_between_its_samples_stays_with_luma() {
        for (width, height) in [(1, 1), (2, 3), (7, 5), (64, 33), (131, 90)] {
            for (across, down) in [(1, 1), (2, 1), (1, 2), (2, 2)] {
                let planes = slope(Size::new(width, height), ChromaSubsampling { across, down });
                let mut upsampled = Upsampled::of(&planes);
                for y in 0..height {
                    upsampled.make(y);
                    let near = |found: u8, at: u32| u32::from(found).abs_diff(at) <= 1;
                    let [cb, cr] = &upsampled.rows;
                    let all = (0..width).zip(cb).zip(cr);
                    for ((x, &cb), &cr) in all {
                        assert!(
                            near(cb, x) && near(cr, y),
                            "{width}x{height} by {across}x{down}: {cb},{cr} at {x},{y}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn chroma_stays_with_luma_at_odd_sizes() {
        // (original, result): chroma of a result that is odd stands for a column more than there is
        for (side, result) in [(200, 100), (201, 67), (199, 33), (200, 41), (120, 7), (90, 45)] {
            for subsampling in [
                ChromaSubsampling::S420,
                ChromaSubsampling { across: 2, down: 1 },
                ChromaSubsampling { across: 1, down: 1 },
            ] {
                let planes = slope(Size::new(side, side), subsampling);
                let region = Region { x: 0.0, y: 0.0, width: side.into(), height: side.into() };
                let small = resized(&planes, region, None, Size::new(result, result), true).expect("resized");
                let ([cb, cr], size) = small.chroma();
                let scale = f64::from(side) / f64::from(result);
                for at in 2..size.width.saturating_sub(3) as usize {
                    // the middle of the luma that this sample is shared by, in the original
                    let expected = (at as f64 * 2.0 + 1.0) * scale - 0.5;
                    for got in [cb.data[cb.stride * 3 + at], cr.data[cr.stride * at + 3]] {
                        let off = f64::from(got) - expected;
                        assert!(off.abs() <= 1.3, "{side} to {result}, {subsampling:?}, sample {at}: off by {off}");
                    }
                }
            }
        }
    }

    #[test]
    fn planes_at_their_own_size_are_copied() {
        for side in [64, 65] {
            let planes = slope(Size::new(side, side), ChromaSubsampling::S420);
            let region = Region { x: 0.0, y: 0.0, width: side.into(), height: side.into() };
            let same = resized(&planes, region, None, planes.size, true).expect("resized");
            // of luma only what is part of the picture
            let cut = |planes: &Planes| {
                let (luma, chroma) = (planes.luma().0, planes.chroma().0);
                let rows = luma.data.chunks_exact(luma.stride).take(side as usize);
                let seen: Vec<u8> = rows.flat_map(|row| &row[..side as usize]).copied().collect();
                (seen, chroma.map(|plane| plane.data.to_vec()))
            };
            assert!(cut(&same) == cut(&planes), "{side}");
        }
    }
}
