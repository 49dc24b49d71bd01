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
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
        .crop(region.x, region.y, region.width, region.height)
        .use_alpha(pixels.has_alpha());
    if linear { in_linear_light(pixels, size, &options) } else { as_coded(pixels, size, &options) }
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

fn as_coded(pixels: &Pixels, size: Size, options: &ResizeOptions) -> Result<Pixels> {
    let kind = if pixels.has_alpha() { PixelType::U8x4 } else { PixelType::U8x3 };
    let from = ImageRef::new(pixels.size.width, pixels.size.height, &pixels.data, kind).map_err(internal)?;
    let mut to = Image::new(size.width, size.height, kind);
    run(&from, &mut to, options)?;
    Ok(Pixels { size, channels: pixels.channels, data: to.into_vec() })
}

/// By way of 16-bit linear light: 8 bits would band in the shadows.
fn in_linear_light(pixels: &Pixels, size: Size, options: &ResizeOptions) -> Result<Pixels> {
    static MAPPER: LazyLock<PixelComponentMapper> = LazyLock::new(create_srgb_mapper);

    let (narrow, wide) =
        if pixels.has_alpha() { (PixelType::U8x4, PixelType::U16x4) } else { (PixelType::U8x3, PixelType::U16x3) };
    let coded = ImageRef::new(pixels.size.width, pixels.size.height, &pixels.data, narrow).map_err(internal)?;
    let mut light = Image::new(pixels.size.width, pixels.size.height, wide);
    MAPPER.forward_map(&coded, &mut light).map_err(internal)?;
    let mut resized = Image::new(size.width, size.height, wide);
    run(&light, &mut resized, options)?;
    let mut to = Image::new(size.width, size.height, narrow);
    MAPPER.backward_map(&resized, &mut to).map_err(internal)?;
    Ok(Pixels { size, channels: pixels.channels, data: to.into_vec() })
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
