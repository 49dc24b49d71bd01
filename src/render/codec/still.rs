//! The plain still formats, BMP, PNM and QOI, through the crate `image`.

mod runs;

use std::borrow::Cow;
use std::io::Cursor;

use image::{ColorType, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{Codec, Cost, Decoded, Info, Integrity, Plan, Sink};
use crate::render::error::{Error, Result};
use crate::render::format::Format;
use crate::render::geometry::Size;
use crate::render::ops::colour;
use crate::render::pixels::{Pixels, grey_to_rgb};

/// Reads one of the plain formats.
pub(crate) struct Still(pub(crate) Format);

/// What a decoder may allocate besides the pixels that were accounted for.
const HEADROOM: u64 = 16 << 20;

impl Still {
    fn image_format(&self) -> ImageFormat {
        match self.0 {
            Format::Pnm => ImageFormat::Pnm,
            Format::Qoi => ImageFormat::Qoi,
            _ => ImageFormat::Bmp,
        }
    }

    fn open<'a>(&self, original: Cow<'a, [u8]>, max_alloc: u64) -> Result<impl ImageDecoder + use<'a>> {
        let mut reader = ImageReader::with_format(Cursor::new(original), self.image_format());
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(max_alloc);
        reader.limits(limits);
        reader.into_decoder().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: image::ImageError) -> Error {
        match error {
            image::ImageError::Unsupported(error) => Error::unsupported(self.0, error.to_string()),
            image::ImageError::Limits(error) => Error::Limit(error.to_string()),
            error => Error::malformed(self.0, error),
        }
    }
}

impl Codec for Still {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let decoder = self.open(Cow::Borrowed(original), HEADROOM)?;
        let (width, height) = decoder.dimensions();
        let mut info = Info::new(self.0, Size::new(width, height));
        info.has_alpha = decoder.color_type().has_alpha();
        info.cost =
            Cost { per_stored_pixel: 2.0 * f64::from(decoder.color_type().bytes_per_pixel()), per_decoded_pixel: 5.0 };
        Ok(info)
    }

    fn decode(&self, original: &[u8], info: &Info, plan: &Plan<'_>, sink: Sink<'_>) -> Result<Integrity> {
        let plain = if self.0 == Format::Bmp { runs::expanded(original, info.size)? } else { None };
        let decoder = self.open(plain.map_or(Cow::Borrowed(original), Cow::Owned), plan.memory() + HEADROOM)?;
        let kind = decoder.color_type();
        let length = usize::try_from(decoder.total_bytes()).map_err(|error| Error::malformed(self.0, error))?;
        let mut samples = vec![0; length];
        decoder.read_image(&mut samples).map_err(|error| self.failed(error))?;
        let (channels, data) = self.to_rgb(samples, kind)?;
        sink(Decoded::still(Pixels::new(self.0, info.size, channels, data)?, None))?;
        Ok(Integrity::Whole)
    }
}

impl Still {
    /// Any layout of samples (native byte order) as 8-bit RGB or RGBA; none of these formats carries a profile.
    fn to_rgb(&self, samples: Vec<u8>, kind: ColorType) -> Result<(usize, Vec<u8>)> {
        let channels = if kind.has_alpha() { 4 } else { 3 };
        Ok(match kind {
            ColorType::Rgb8 | ColorType::Rgba8 => (channels, samples),
            ColorType::L8 | ColorType::La8 => (channels, grey_to_rgb(&samples, channels - 2)),
            ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16 => {
                let (pairs, _) = samples.as_chunks::<2>();
                let wide: Vec<u16> = pairs.iter().map(|&pair| u16::from_ne_bytes(pair)).collect();
                let wide = if kind.has_color() { wide } else { grey_to_rgb(&wide, channels - 2) };
                (channels, colour::to_srgb8(&wide, channels, None))
            }
            other => return Err(Error::unsupported(self.0, format!("its samples are {other:?}"))),
        })
    }
}
