//! Resampling with Lanczos3, from any part of a picture, edges between pixels included.
//!
//! A part with fractional edges is not a luxury: after a decoder has scaled a picture of 4031 columns down by 4, its
//! 1008 columns stand for 1007.75, and resizing all 1008 shifts and stretches the picture enough to be seen.

use std::cell::RefCell;
use std::sync::LazyLock;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{
    FilterType, PixelComponentMapper, PixelType, ResizeAlg, ResizeOptions, Resizer, create_srgb_mapper,
};

use crate::render::error::{Error, Result};
use crate::render::format::Format;
use crate::render::geometry::{Region, Size};
use crate::render::pixels::Pixels;

thread_local! {
    /// Keeps its coefficient and intermediate buffers from one picture to the next.
    static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
}

/// Resamples `region` of a picture to `size`. Alpha is premultiplied meanwhile, so that the colour of what cannot be
/// seen does not bleed into what can. `linear` averages light instead of its sRGB code.
pub(crate) fn resize(pixels: Pixels, region: Region, size: Size, linear: bool) -> Result<Pixels> {
    if region == Region::whole(pixels.size) && size == pixels.size {
        return Ok(pixels);
    }
    resized(&pixels, region, size, linear)
}

/// The same of a picture that is still needed.
pub(crate) fn resized(pixels: &Pixels, region: Region, size: Size, linear: bool) -> Result<Pixels> {
    let region = inside(region, pixels.size);
    let same_scale = region.width == f64::from(size.width) && region.height == f64::from(size.height);
    if same_scale && region.x.fract() == 0.0 && region.y.fract() == 0.0 {
        // at its own scale, rows are copied and nothing is resampled
        return Ok(pixels.cut(region.x as u32, region.y as u32, size));
    }
    if linear { in_linear_light(pixels, region, size) } else { as_coded(pixels, region, size) }
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

fn as_coded(pixels: &Pixels, region: Region, size: Size) -> Result<Pixels> {
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
        .crop(region.x, region.y, region.width, region.height)
        .use_alpha(pixels.has_alpha());
    let kind = if pixels.has_alpha() { PixelType::U8x4 } else { PixelType::U8x3 };
    let from = ImageRef::new(pixels.size.width, pixels.size.height, &pixels.data, kind).map_err(internal)?;
    let mut to = Image::new(size.width, size.height, kind);
    run(&from, &mut to, &options)?;
    Ok(Pixels { size, channels: pixels.channels, data: to.into_vec() })
}

/// Rows of a result that are made at a time in linear light, where each stands for `down` of the picture. More rows would
/// take more memory, and fewer more time, since neighbouring bands read some of the same rows.
fn band(down: f64) -> u32 {
    (384.0 / down).clamp(8.0, 64.0) as u32
}

/// How far a result's row reads the picture up and down: as far as the filter reaches, and a row for rounding.
fn reach(down: f64) -> f64 {
    3.0 * down.max(1.0) + 1.0
}

/// Bytes that making a result in linear light holds beside the picture and the result, at most.
pub(in crate::render) fn light_bytes(stored: Size, down: f64) -> u64 {
    let rows = (f64::from(band(down)) * down + 2.0 * reach(down) + 2.0).min(f64::from(stored.height));
    // four samples as they are coded, and four of light
    (rows * f64::from(stored.width) * 12.0) as u64
}

/// The rows of a picture of 8 bits a sample, one by one.
pub(super) trait Rows {
    /// Columns and rows.
    fn size(&self) -> Size;

    /// Samples of a pixel: 3 of red, green and blue, and one of alpha where there is any.
    fn channels(&self) -> usize;

    /// Puts one row into `row`, of as many bytes as it has samples.
    fn read(&mut self, y: u32, row: &mut [u8]);
}

impl Rows for &Pixels {
    fn size(&self) -> Size {
        self.size
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn read(&mut self, y: u32, row: &mut [u8]) {
        row.copy_from_slice(&self.data[y as usize * self.stride()..][..self.stride()]);
    }
}

/// Resamples a region as light, by way of 16 bits a sample: 8 would band in the shadows. A band of rows at a time, so
/// that what is twice or four times as large as the picture is never held whole.
pub(super) fn in_linear_light(rows: impl Rows, region: Region, size: Size) -> Result<Pixels> {
    let rows_at_once = band(region.height / f64::from(size.height));
    in_bands(rows, region, size, rows_at_once)
}

fn in_bands(mut rows: impl Rows, region: Region, size: Size, rows_at_once: u32) -> Result<Pixels> {
    static MAPPER: LazyLock<PixelComponentMapper> = LazyLock::new(create_srgb_mapper);
    let (stored, channels) = (rows.size(), rows.channels());
    let (narrow, wide) =
        if channels == 4 { (PixelType::U8x4, PixelType::U16x4) } else { (PixelType::U8x3, PixelType::U16x3) };
    let stride = size.width as usize * channels;
    let mut data = vec![0; stride * size.height as usize];
    let down = region.height / f64::from(size.height);
    // one window for all bands: fresh memory for each would have to be cleared each time
    let window = ((f64::from(rows_at_once) * down + 2.0 * reach(down) + 2.0) as u32).min(stored.height);
    let mut coded = Image::new(stored.width, window, narrow);
    let mut light = Image::new(stored.width, window, wide);
    let bands = data.chunks_mut(stride * rows_at_once as usize);
    for (top, band) in (0_u32..).step_by(rows_at_once as usize).zip(bands) {
        let made = (band.len() / stride) as u32;
        let (from, height) = (region.y + f64::from(top) * down, f64::from(made) * down);
        let first = ((from - reach(down)).max(0.0) as u32).min(stored.height - window);
        let samples = coded.buffer_mut().chunks_exact_mut(stored.width as usize * channels);
        (first..).zip(samples).for_each(|(y, row)| rows.read(y, row));
        MAPPER.forward_map(&coded, &mut light).map_err(internal)?;
        let from = from - f64::from(first);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
            .crop(region.x, from, region.width, height.min(f64::from(window) - from))
            .use_alpha(channels == 4);
        let mut resized = Image::new(size.width, made, wide);
        run(&light, &mut resized, &options)?;
        let mut to = Image::from_slice_u8(size.width, made, band, narrow).map_err(internal)?;
        MAPPER.backward_map(&resized, &mut to).map_err(internal)?;
    }
    Ok(Pixels { size, channels, data })
}

pub(super) fn run(
    from: &impl fast_image_resize::IntoImageView, to: &mut Image<'_>, options: &ResizeOptions,
) -> Result<()> {
    RESIZER.with_borrow_mut(|resizer| resizer.resize(from, to, options)).map_err(internal)
}

/// The resizer refuses only regions and buffers that do not match, which were worked out here.
pub(super) fn internal(error: impl std::fmt::Display) -> Error {
    Error::Encode { format: Format::Png, reason: format!("resizing: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;

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
