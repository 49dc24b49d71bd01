//! ICO and CUR: the largest image of the file.

mod bitmap;
mod failure;
mod read;

use read::Payload;

use super::png::Png;
use crate::codec::{Codec, Sink};
use tintype_pixels::Pixels;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::format::Format;
use tintype_pixels::geometry::Size;
use tintype_pixels::{Admitted, DecodeMemory, DecodeOptions, Decoded, Info, Integrity};

/// Decodes icons and cursors.
pub(crate) struct Ico;

const FORMAT: Format = Format::Ico;

impl Codec for Ico {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let (width, height, png) = read::probe(original).map_err(failed)?;
        let mut info = Info::new(FORMAT, Size::new(width, height));
        info.has_alpha = true;
        // that of a PNG depends on its depth; its damage is reported when it is decoded
        let of_png = png.and_then(|png| Png.probe(png).ok()).map(|info| info.caps.memory);
        info.caps.memory = of_png.unwrap_or(DecodeMemory { per_stored_pixel: 1.0, per_decoded_pixel: 10.0 });
        Ok(info)
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        let info = admitted.info();
        match read::decode(original, info.size.pixels()).map_err(failed)? {
            Payload::Png(png) => Png.decode(png, &admitted.embedded(&Png.probe(png)?)?, options, sink),
            Payload::Pixels { width, height, rgba, missing } => {
                let integrity = missing.map_or(Integrity::Whole, |missing| Integrity::Damaged(missing.into()));
                sink(Decoded::still(Pixels::new(FORMAT, Size::new(width, height), 4, rgba)?, None))?;
                Ok(integrity)
            }
        }
    }
}

fn failed(failure: read::Failure) -> Error {
    match failure {
        read::Failure::Unsupported(reason) => Error::unsupported(FORMAT, reason),
        read::Failure::Malformed(reason) => Error::malformed(FORMAT, reason),
        read::Failure::Limit(reason) => Error::Limit(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_estimate_of_an_embedded_png_is_its_own() {
        for (depth, bytes) in [(::png::BitDepth::Eight, 1), (::png::BitDepth::Sixteen, 2)] {
            let mut file = Vec::new();
            let mut encoder = ::png::Encoder::new(&mut file, 3, 2);
            encoder.set_color(::png::ColorType::Rgba);
            encoder.set_depth(depth);
            let mut writer = encoder.write_header().expect("a header");
            writer.write_image_data(&vec![7; 3 * 2 * 4 * bytes]).expect("pixels");
            writer.finish().expect("a file");
            let entry = [&[0; 8][..], &(file.len() as u32).to_le_bytes(), &22_u32.to_le_bytes()].concat();
            let icon = [&[0, 0, 1, 0, 1, 0][..], &entry, &file].concat();
            let [icon, png] = [Ico.probe(&icon), Png.probe(&file)].map(|info| info.expect("a header").caps.memory);
            assert_eq!(icon.per_stored_pixel, png.per_stored_pixel, "{depth:?}");
            assert_eq!(icon.per_decoded_pixel, png.per_decoded_pixel, "{depth:?}");
        }
    }
}
