//! Resampling with Lanczos3, from any part of a picture, edges between pixels included.
//!
//! A part with fractional edges is not a luxury: after a decoder has scaled a picture of 4031 columns down by 4, its
//! 1008 columns stand for 1007.75, and resizing all 1008 shifts and stretches the picture enough to be seen.

use std::cell::RefCell;
use std::sync::LazyLock;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::pixels::{U8, U8x3, U8x4, U16, U16x3, U16x4};
use fast_image_resize::{
    FilterType, IntoImageView, IntoImageViewMut, MulDiv, PixelComponentMapper, PixelTrait, PixelType, ResizeAlg,
    ResizeError, ResizeOptions, Resizer, create_srgb_mapper,
};

use crate::bands::{CUT_AT_ONCE, bands, is_rows_first, linear_rows_at_once, reach, rows_at_once, window};
use crate::geometry::{Resize, TargetSize};
use tintype_pixels::error::{Error, Result};
use tintype_pixels::format::Format;
use tintype_pixels::pixels::grey_to_rgb;
use tintype_pixels::{Pixels, Rows};
use tintype_pixels::{Rect, Region, Size};

/// Bytes of a thread's intermediate buffers that are kept from one picture to the next: enough for most. No estimate has them.
const MAX_KEPT_BUFFERS: usize = 8 << 20;

thread_local! {
    /// Keeps its coefficient and intermediate buffers from one picture to the next, which otherwise would have to be cleared.
    static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
}

/// Resamples `region` of a picture to `size`. Alpha is premultiplied meanwhile, so that the colour of transparent pixels does not bleed
/// into visible ones. `linear` averages light instead of its sRGB code.
///
/// The filter reads beyond the region, but not beyond `within`, if given: pixels outside of it were cut off.
pub(crate) fn resize(pixels: Pixels, region: Region, within: Option<Rect>, size: Size, linear: bool) -> Result<Pixels> {
    if region == Region::whole(pixels.size) && size == pixels.size {
        return Ok(pixels);
    }
    resized(&pixels, region, within, size, linear)
}

/// [`resize`] of a borrowed image.
pub(crate) fn resized(
    pixels: &Pixels, region: Region, within: Option<Rect>, size: Size, linear: bool,
) -> Result<Pixels> {
    let region = inside(region, pixels.size);
    let same_scale = region.width == f64::from(size.width) && region.height == f64::from(size.height);
    if same_scale && region.x.fract() == 0.0 && region.y.fract() == 0.0 {
        // at its own scale, rows are copied and nothing is resampled
        return Ok(pixels.cut(region.x as u32, region.y as u32, size));
    }
    // only cut or premultiplied rows have to be copied
    if within.is_some() || pixels.has_alpha() && !linear {
        streamed(&mut PixelRows { pixels, next: 0 }, region, within, size, linear)
    } else if linear {
        in_linear_light(pixels, region, size)
    } else {
        as_coded(pixels, region, size)
    }
}

/// Scales an image down to fit a square of `side` pixels.
pub(crate) fn thumbnail(pixels: &Pixels, side: u32) -> Result<Pixels> {
    let target = TargetSize { width: side, height: side, enlarge: false };
    let size = Resize::Contain(target).fit(pixels.size.width.into(), pixels.size.height.into(), side).size;
    resized(pixels, Region::whole(pixels.size), None, size, false)
}

/// The region with rounding errors at the far edges taken back, since the resizer refuses what lies outside.
pub(super) fn inside(region: Region, size: Size) -> Region {
    let x = region.x.clamp(0.0, f64::from(size.width));
    let y = region.y.clamp(0.0, f64::from(size.height));
    Region {
        x,
        y,
        width: region.width.min(f64::from(size.width) - x),
        height: region.height.min(f64::from(size.height) - y),
    }
}

/// Resamples rows as they come, without ever holding all of them: the result is that of [`resized`].
pub(crate) fn streamed(
    rows: &mut dyn Rows, region: Region, within: Option<Rect>, size: Size, linear: bool,
) -> Result<Pixels> {
    if let Some(within) = within {
        let region = Region { x: region.x - f64::from(within.x), y: region.y - f64::from(within.y), ..region };
        return streamed(&mut Cut::new(rows, within)?, region, None, size, linear);
    }
    let region = inside(region, rows.size());
    let has_alpha = rows.channels() == 4;
    if linear {
        in_linear_light(Window::new(rows, false), region, size)
    } else {
        as_coded(Window::new(rows, has_alpha), region, size)
    }
}

/// A part of rows.
pub(super) struct Cut<'a> {
    rows: &'a mut dyn Rows,
    part: Rect,
    whole: Vec<u8>,
}

impl<'a> Cut<'a> {
    /// That part of rows of which none has been read.
    pub(super) fn new(rows: &'a mut dyn Rows, part: Rect) -> Result<Cut<'a>> {
        rows.skip(part.y)?;
        Ok(Cut { rows, part, whole: Vec::new() })
    }
}

impl Rows for Cut<'_> {
    fn size(&self) -> Size {
        Size::new(self.part.width, self.part.height)
    }

    fn channels(&self) -> usize {
        self.rows.channels()
    }

    fn read(&mut self, out: &mut [u8]) -> Result<()> {
        let (width, channels) = (self.rows.size().width as usize, self.rows.channels());
        if self.part.width as usize == width {
            return self.rows.read(out);
        }
        let (left, stride) = (self.part.x as usize * channels, self.part.width as usize * channels);
        for out in out.chunks_mut(stride * CUT_AT_ONCE) {
            self.whole.resize(out.len() / stride * width * channels, 0);
            self.rows.read(&mut self.whole)?;
            for (to, whole) in out.chunks_exact_mut(stride).zip(self.whole.chunks_exact(width * channels)) {
                to.copy_from_slice(&whole[left..left + stride]);
            }
        }
        Ok(())
    }

    fn skip(&mut self, rows: u32) -> Result<()> {
        self.rows.skip(rows)
    }
}

/// A picture some rows at a time.
pub(super) trait Windows {
    /// Columns and rows of the picture.
    fn size(&self) -> Size;

    /// Samples of a pixel.
    fn channels(&self) -> usize;

    /// Whether colours are multiplied with alpha.
    fn is_premultiplied(&self) -> bool;

    /// `count` rows, packed, of which the first is `first`: always the same count, and no first that lies above the one before.
    ///
    /// # Errors
    /// For a file in which damage comes to light.
    fn rows(&mut self, first: u32, count: u32) -> Result<&[u8]>;
}

/// A picture that is there.
impl Windows for &Pixels {
    fn size(&self) -> Size {
        self.size
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn is_premultiplied(&self) -> bool {
        false
    }

    fn rows(&mut self, first: u32, count: u32) -> Result<&[u8]> {
        let stride = self.stride();
        Ok(&self.data[first as usize * stride..][..count as usize * stride])
    }
}

/// Rows that come one after the other, as many of them as are needed together.
pub(super) struct Window<'a> {
    rows: &'a mut dyn Rows,
    premultiplies: bool,
    held: Vec<u8>,
    /// The row after the last that is held.
    next: u32,
}

impl<'a> Window<'a> {
    pub(super) fn new(rows: &'a mut dyn Rows, premultiplies: bool) -> Window<'a> {
        Window { rows, premultiplies, held: Vec::new(), next: 0 }
    }
}

impl Windows for Window<'_> {
    fn size(&self) -> Size {
        self.rows.size()
    }

    fn channels(&self) -> usize {
        self.rows.channels()
    }

    fn is_premultiplied(&self) -> bool {
        self.premultiplies
    }

    fn rows(&mut self, first: u32, count: u32) -> Result<&[u8]> {
        let width = self.rows.size().width;
        let stride = width as usize * self.rows.channels();
        self.held.resize(count as usize * stride, 0);
        // rows that are there and stay
        let stay = self.next.saturating_sub(first).min(count);
        if stay == 0 {
            self.rows.skip(first - self.next)?;
        } else {
            let held = count as usize * stride;
            self.held.copy_within(held - stay as usize * stride.., 0);
        }
        let new = &mut self.held[stay as usize * stride..];
        self.rows.read(new)?;
        // most pictures with an alpha channel hide nothing
        if self.premultiplies && new.chunks_exact(4).any(|pixel| pixel[3] != 255) {
            let mut new = Image::from_slice_u8(width, count - stay, new, PixelType::U8x4).map_err(internal)?;
            MulDiv::new().multiply_alpha_inplace_typed::<U8x4>(&mut view_mut(&mut new)?).map_err(internal)?;
        }
        self.next = first + count;
        Ok(&self.held)
    }
}

/// The rows of a picture that is there.
struct PixelRows<'a> {
    pixels: &'a Pixels,
    next: u32,
}

impl Rows for PixelRows<'_> {
    fn size(&self) -> Size {
        self.pixels.size
    }

    fn channels(&self) -> usize {
        self.pixels.channels
    }

    fn read(&mut self, out: &mut [u8]) -> Result<()> {
        let stride = self.pixels.stride();
        out.copy_from_slice(&self.pixels.data[self.next as usize * stride..][..out.len()]);
        self.skip((out.len() / stride) as u32)
    }

    fn skip(&mut self, rows: u32) -> Result<()> {
        self.next += rows;
        Ok(())
    }
}

/// Resamples a region of coded samples.
fn as_coded(mut windows: impl Windows, region: Region, size: Size) -> Result<Pixels> {
    let channels = windows.channels();
    let mut resized = match is_rows_first((region.width, region.height), size) {
        true => rows_first(&mut windows, region, size)?,
        false => columns_first(&mut windows, region, size)?,
    };
    if windows.is_premultiplied() {
        MulDiv::new().divide_alpha_inplace_typed::<U8x4>(&mut view_mut(&mut resized)?).map_err(internal)?;
    }
    release_buffers();
    Ok(coloured(size, channels, resized.into_vec()))
}

/// Resamples a region, first down the columns, a band of rows after the other, then along the rows of the result.
fn columns_first(windows: &mut impl Windows, region: Region, size: Size) -> Result<Image<'static>> {
    let (stored, channels) = (windows.size(), windows.channels());
    let (kind, _) = kinds(channels);
    let (across, down) = (region.width / f64::from(size.width), region.height / f64::from(size.height));
    // columns that are read
    let left = (region.x - reach(across)).max(0.0) as u32;
    let right = ((region.x + region.width + reach(across)).ceil() as u32).min(stored.width);
    let tall = Size::new(right - left, size.height);
    let mut narrowed = vec![0; tall.pixels() as usize * channels];
    let rows_at_once = rows_at_once(stored, down);
    let count = window(stored, down, rows_at_once);
    let rows = narrowed.chunks_mut(tall.width as usize * channels * rows_at_once as usize);
    for (band, rows) in bands(stored, region, size, rows_at_once, count).zip(rows) {
        let from = ImageRef::new(stored.width, count, windows.rows(band.first, count)?, kind).map_err(internal)?;
        let mut to = Image::from_slice_u8(tall.width, band.made, rows, kind).map_err(internal)?;
        run(&from, &mut to, &lanczos().crop(left.into(), band.from, tall.width.into(), band.height))?;
    }
    let from = ImageRef::new(tall.width, tall.height, &narrowed, kind).map_err(internal)?;
    let mut to = Image::new(size.width, size.height, kind);
    let x = region.x - f64::from(left);
    let width = region.width.min(f64::from(tall.width) - x);
    run(&from, &mut to, &lanczos().crop(x, 0.0, width, size.height.into()))?;
    Ok(to)
}

/// Resamples a region, first along the rows, some at a time, then down the columns of the result.
fn rows_first(windows: &mut impl Windows, region: Region, size: Size) -> Result<Image<'static>> {
    let (stored, channels) = (windows.size(), windows.channels());
    let (kind, _) = kinds(channels);
    let (top, height) = rows_read(region, stored);
    let stride = size.width as usize * channels;
    let mut shortened = vec![0; stride * height as usize];
    let count = rows_at_once(stored, 1.0).min(height);
    for first in (0..height).step_by(count as usize) {
        // a window always has as many rows, so that the last one begins within the one before
        let first = first.min(height - count);
        let from = ImageRef::new(stored.width, count, windows.rows(top + first, count)?, kind).map_err(internal)?;
        let rows = &mut shortened[first as usize * stride..][..count as usize * stride];
        let mut to = Image::from_slice_u8(size.width, count, rows, kind).map_err(internal)?;
        run(&from, &mut to, &lanczos().crop(region.x, 0.0, region.width, count.into()))?;
    }
    let from = ImageRef::new(size.width, height, &shortened, kind).map_err(internal)?;
    let mut to = Image::new(size.width, size.height, kind);
    run(&from, &mut to, &down_columns(region, size, top, height))?;
    Ok(to)
}

/// The first row that the filter reads for a region that becomes higher, and how many there are.
pub(super) fn rows_read(region: Region, stored: Size) -> (u32, u32) {
    let top = (region.y - reach(1.0)).max(0.0) as u32;
    let bottom = ((region.y + region.height + reach(1.0)).ceil() as u32).min(stored.height);
    (top, bottom - top)
}

/// The second pass of a resize whose rows are short already: `height` of them, of which the first is row `top` of the picture.
pub(super) fn down_columns(region: Region, size: Size, top: u32, height: u32) -> ResizeOptions {
    let y = region.y - f64::from(top);
    lanczos().crop(0.0, y, size.width.into(), region.height.min(f64::from(height) - y))
}

/// Lanczos3 of samples as they are.
pub(super) fn lanczos() -> ResizeOptions {
    ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3)).use_alpha(false)
}

/// Frees the buffers that a large picture has made large.
pub(super) fn release_buffers() {
    RESIZER.with_borrow_mut(|resizer| {
        if resizer.size_of_internal_buffers() > MAX_KEPT_BUFFERS {
            resizer.reset_internal_buffers();
        }
    });
}

/// The resizer's pixel types for a number of channels, at 8 and at 16 bits a sample.
fn kinds(channels: usize) -> (PixelType, PixelType) {
    match channels {
        1 => (PixelType::U8, PixelType::U16),
        4 => (PixelType::U8x4, PixelType::U16x4),
        _ => (PixelType::U8x3, PixelType::U16x3),
    }
}

/// A result, of which grey is red, green and blue from here on.
fn coloured(size: Size, channels: usize, data: Vec<u8>) -> Pixels {
    match channels {
        1 => Pixels { size, channels: 3, data: grey_to_rgb(&data, 1) },
        _ => Pixels { size, channels, data },
    }
}

/// Resamples a region as light, by way of 16 bits a sample: 8 would band in the shadows. A band of rows at a time, so
/// that what is twice or four times as large as the picture is never held whole.
pub(super) fn in_linear_light(windows: impl Windows, region: Region, size: Size) -> Result<Pixels> {
    let rows_at_once = linear_rows_at_once(region.height / f64::from(size.height));
    in_bands(windows, region, size, rows_at_once)
}

fn in_bands(mut windows: impl Windows, region: Region, size: Size, rows_at_once: u32) -> Result<Pixels> {
    static MAPPER: LazyLock<PixelComponentMapper> = LazyLock::new(create_srgb_mapper);
    let (stored, channels) = (windows.size(), windows.channels());
    let (narrow, wide) = kinds(channels);
    let stride = size.width as usize * channels;
    let mut data = vec![0; stride * size.height as usize];
    let count = window(stored, region.height / f64::from(size.height), rows_at_once);
    // one for all bands: fresh memory for each would have to be cleared each time
    let mut light = Image::new(stored.width, count, wide);
    let options = lanczos().use_alpha(channels == 4);
    let rows = data.chunks_mut(stride * rows_at_once as usize);
    for (band, rows) in bands(stored, region, size, rows_at_once, count).zip(rows) {
        let coded = ImageRef::new(stored.width, count, windows.rows(band.first, count)?, narrow).map_err(internal)?;
        MAPPER.forward_map(&coded, &mut light).map_err(internal)?;
        let mut resized = Image::new(size.width, band.made, wide);
        let light = ImageRef::new(stored.width, count, light.buffer(), wide).map_err(internal)?;
        run(&light, &mut resized, &options.crop(region.x, band.from, region.width, band.height))?;
        let mut to = Image::from_slice_u8(size.width, band.made, rows, narrow).map_err(internal)?;
        MAPPER.backward_map(&resized, &mut to).map_err(internal)?;
    }
    release_buffers();
    Ok(coloured(size, channels, data))
}

/// Resizes by the function for the type of these pixels. The resizer's own choice links all thirteen types, which are
/// 2 MB of the program.
pub(super) fn run(from: &ImageRef<'_>, to: &mut Image<'_>, options: &ResizeOptions) -> Result<()> {
    match to.pixel_type() {
        PixelType::U8 => run_typed::<U8>(from, to, options),
        PixelType::U8x3 => run_typed::<U8x3>(from, to, options),
        PixelType::U8x4 => run_typed::<U8x4>(from, to, options),
        PixelType::U16 => run_typed::<U16>(from, to, options),
        PixelType::U16x3 => run_typed::<U16x3>(from, to, options),
        PixelType::U16x4 => run_typed::<U16x4>(from, to, options),
        // `kinds` names all
        _ => Err(internal(ResizeError::PixelTypesAreDifferent)),
    }
}

fn run_typed<P: PixelTrait>(from: &ImageRef<'_>, to: &mut Image<'_>, options: &ResizeOptions) -> Result<()> {
    let from = from.image_view::<P>().ok_or_else(|| internal(ResizeError::PixelTypesAreDifferent))?;
    let mut to = view_mut::<P>(to)?;
    RESIZER.with_borrow_mut(|resizer| resizer.resize_typed(&from, &mut to, options)).map_err(internal)
}

fn view_mut<P: PixelTrait>(image: &mut Image<'_>) -> Result<impl fast_image_resize::ImageViewMut<Pixel = P>> {
    image.image_view_mut::<P>().ok_or_else(|| internal(ResizeError::PixelTypesAreDifferent))
}

/// The resizer refuses only regions and buffers that do not match, which were worked out here.
pub(super) fn internal(error: impl std::fmt::Display) -> Error {
    Error::Encode { format: Format::Png, reason: format!("resizing: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::planes;
    use tintype_pixels::Planes;

    /// Opaque pixels that change little from one to the next.
    fn smooth(size: Size) -> Pixels {
        let level =
            |x: u32, y: u32| (128.0 + 60.0 * (f64::from(x) / 9.0).sin() + 40.0 * (f64::from(y) / 3.0).cos()) as u8;
        let all = (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y)));
        let data = all.flat_map(|(x, y)| [level(x, y), level(y, x), 200 - level(x, y) / 2]).collect();
        Pixels { size, channels: 3, data }
    }

    #[test]
    fn order_of_passes_makes_no_other_picture() {
        for (stored, region, size) in [
            (Size::new(90, 11), Region { x: 3.5, y: 2.25, width: 80.0, height: 5.75 }, Size::new(7, 40)),
            (Size::new(90, 11), Region::whole(Size::new(90, 11)), Size::new(1, 300)),
            // the last window of rows begins within the one before
            (Size::new(60_000, 5), Region::whole(Size::new(60_000, 5)), Size::new(3, 40)),
        ] {
            let pixels = smooth(stored);
            assert!(is_rows_first((region.width, region.height), size), "{region:?} to {size}");
            let columns = columns_first(&mut &pixels, region, size).expect("resampled").into_vec();
            let rows = as_coded(&pixels, region, size).expect("resampled").data;
            let off = rows.iter().zip(&columns).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(off <= Some(2), "{region:?} to {size}: {off:?}");
            let rows_of = &mut PixelRows { pixels: &pixels, next: 0 };
            assert!(
                streamed(rows_of, region, None, size, false).expect("resampled").data == rows,
                "{region:?} to {size}"
            );
            // luma is red here
            let planes = Planes::new(stored, None, pixels.data.iter().step_by(3).copied().collect());
            let luma = planes::to_rgb(&planes, region, None, size).expect("resampled").data;
            let off = luma.iter().step_by(3).zip(rows.iter().step_by(3)).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(off <= Some(2), "planes, {region:?} to {size}: {off:?}");
        }
    }

    #[test]
    fn large_intermediate_buffers_are_freed() {
        // 20 MB between the passes
        let planes = Planes::new(Size::new(10_000, 2200), None, vec![9; 22_000_000]);
        planes::to_rgb(&planes, Region::whole(planes.size), None, Size::new(9000, 2000)).expect("resampled");
        let kept = RESIZER.with_borrow(Resizer::size_of_internal_buffers);
        assert!(kept <= MAX_KEPT_BUFFERS, "{kept} bytes");
    }

    #[test]
    fn light_in_bands_is_the_light_of_the_whole() {
        for channels in [3, 4] {
            let stored = Size::new(90, 211);
            let sample = |at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8;
            let data = (0..stored.pixels() as u32 * channels).map(sample).collect();
            let pixels = Pixels::new(Format::Png, stored, channels as usize, data).expect("pixels");
            for (region, size) in [
                (Region::whole(stored), Size::new(30, 70)),
                (Region { x: 3.5, y: 20.25, width: 80.0, height: 190.75 }, Size::new(41, 97)),
                (Region { x: 0.0, y: 0.0, width: 90.0, height: 50.0 }, Size::new(120, 133)),
                (Region { x: 10.0, y: 100.0, width: 5.0, height: 111.0 }, Size::new(2, 1)),
            ] {
                let whole = in_bands(&pixels, region, size, size.height).expect("resampled");
                for rows_at_once in [1, 7, 64] {
                    let bands = in_bands(&pixels, region, size, rows_at_once).expect("resampled");
                    let off = whole.data.iter().zip(&bands.data).map(|(a, b)| a.abs_diff(*b)).max();
                    assert!(off <= Some(1), "{region:?} to {size}, {rows_at_once} rows at once: {off:?}");
                }
            }
        }
    }
}
