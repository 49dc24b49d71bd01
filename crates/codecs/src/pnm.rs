//! PNM (PBM, PGM, PPM and PAM) by the crate `image`. Missing samples of a truncated binary file are zeros.

use std::cell::Cell;
use std::io::{BufRead, Read};

use image::codecs::pnm::PnmDecoder;
use image::{ColorType, ImageDecoder};

use crate::codec::{Codec, Sink};
use tintype_pixels::colour;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::format::Format;
use tintype_pixels::geometry::Size;
use tintype_pixels::{Admitted, DecodeMemory, DecodeOptions, Decoded, Info, Integrity};
use tintype_pixels::{Pixels, pixels::grey_to_rgb};

/// Decodes PNM.
pub(crate) struct Pnm;

const FORMAT: Format = Format::Pnm;

/// Bytes that the decoder may allocate besides the admitted memory.
const HEADROOM: u64 = 16 << 20;

impl Codec for Pnm {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let decoder = PnmDecoder::new(original).map_err(failed)?;
        let (width, height) = decoder.dimensions();
        let mut info = Info::new(FORMAT, Size::new(width, height));
        info.has_alpha = decoder.color_type().has_alpha();
        info.caps.memory = DecodeMemory {
            per_stored_pixel: 2.0 * f64::from(decoder.color_type().bytes_per_pixel()),
            per_decoded_pixel: 5.0,
        };
        Ok(info)
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, _options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        let info = admitted.info();
        let (remaining, padding, is_padded) = (Cell::new(original.len()), Cell::new(0), Cell::new(false));
        let file = Padded { rest: original, is_padded: &is_padded, remaining: &remaining, padding: &padding };
        let decoder = PnmDecoder::new(file).map_err(failed)?;
        is_padded.set(matches!(original.get(1), Some(b'4'..=b'7')));
        let kind = decoder.color_type();
        let length = decoder.total_bytes();
        if length > admitted.memory() + HEADROOM {
            return Err(Error::Limit(format!("{length} bytes of pixels")));
        }
        if remaining.get() == 0 {
            return Err(Error::malformed(FORMAT, "it is truncated before its first sample"));
        }
        let mut samples = vec![0; usize::try_from(length).map_err(|error| Error::malformed(FORMAT, error))?];
        decoder.read_image(&mut samples).map_err(failed)?;
        let integrity = match padding.get() {
            0 => Integrity::Whole,
            missing => Integrity::Damaged(format!("{missing} bytes of its samples are missing").into()),
        };
        let (channels, data) = to_rgb(samples, kind)?;
        sink(Decoded::still(Pixels::new(FORMAT, info.size, channels, data)?, None))?;
        Ok(integrity)
    }
}

/// A reader of a file, and of zeros behind it, which are counted.
struct Padded<'a> {
    rest: &'a [u8],
    /// Whether zeros follow: for the samples of the binary formats. Behind a header they would never end, since its last line or
    /// comment reaches to a line feed or the end of the file.
    is_padded: &'a Cell<bool>,
    /// Unread bytes of the file.
    remaining: &'a Cell<usize>,
    /// Zeros that were read.
    padding: &'a Cell<u64>,
}

impl BufRead for Padded<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        const ZEROS: [u8; 4096] = [0; 4096];
        Ok(if self.rest.is_empty() && self.is_padded.get() { &ZEROS } else { self.rest })
    }

    fn consume(&mut self, amount: usize) {
        match self.rest.split_at_checked(amount) {
            Some((_, rest)) if !self.rest.is_empty() => self.rest = rest,
            _ if self.is_padded.get() => self.padding.set(self.padding.get() + amount as u64),
            _ => {}
        }
        self.remaining.set(self.rest.len());
    }
}

impl Read for Padded<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let ready = self.fill_buf()?;
        let length = ready.len().min(out.len());
        out[..length].copy_from_slice(&ready[..length]);
        self.consume(length);
        Ok(length)
    }
}

fn failed(error: image::ImageError) -> Error {
    match error {
        image::ImageError::Unsupported(error) => Error::unsupported(FORMAT, error.to_string()),
        image::ImageError::Limits(error) => Error::Limit(error.to_string()),
        error => Error::malformed(FORMAT, error),
    }
}

/// Converts samples, in native byte order, to 8-bit RGB or RGBA.
fn to_rgb(samples: Vec<u8>, kind: ColorType) -> Result<(usize, Vec<u8>)> {
    let channels = if kind.has_alpha() { 4 } else { 3 };
    Ok(match kind {
        ColorType::Rgb8 | ColorType::Rgba8 => (channels, samples),
        ColorType::L8 | ColorType::La8 => (channels, grey_to_rgb(&samples, channels - 2)),
        ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16 => {
            let (pairs, _) = samples.as_chunks::<2>();
            let mut wide: Vec<u16> = pairs.iter().map(|&pair| u16::from_ne_bytes(pair)).collect();
            // no more than two copies are held at a time
            drop(samples);
            if !kind.has_color() {
                wide = grey_to_rgb(&wide, channels - 2);
            }
            (channels, colour::to_srgb8(&wide, channels, None))
        }
        other => return Err(Error::unsupported(FORMAT, format!("its samples are {other:?}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{decode, packed};

    fn decoded(file: &[u8]) -> Result<(Vec<u8>, bool)> {
        let (mut all, integrity) = decode(&Pnm, file, false)?;
        Ok((packed(all.remove(0)).data, integrity == Integrity::Whole))
    }

    #[test]
    fn truncated_file_keeps_its_samples() {
        let table: Vec<(&str, &[u8], Option<(Vec<u8>, bool)>)> = vec![
            ("whole", b"P6 2 1 255\nabcdef", Some((b"abcdef".to_vec(), true))),
            ("with trailing bytes", b"P6 2 1 255\nabcdefghi", Some((b"abcdef".to_vec(), true))),
            ("truncated", b"P6 2 1 255\nabcd", Some((b"abcd\0\0".to_vec(), false))),
            ("grey, truncated", b"P5 2 1 255\na", Some((b"aaa\0\0\0".to_vec(), false))),
            ("no pixels", b"P6 2 1 255\n", None),
            ("no header", b"P6 2", None),
            // the ends of these headers are the end of the file
            ("no pixels, no line feed", b"P6 1 1 255", None),
            ("a comment in the last number", b"P6 1 1 255#", None),
            ("a comment in the last number, one bit", b"P4 1 1#", None),
            ("pam, no line feed", b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR", None),
            ("plain", b"P2 2 1 255\n7 8", Some((vec![7, 7, 7, 8, 8, 8], true))),
            ("plain, truncated", b"P2 2 1 255\n7", None),
        ];
        for (name, file, expected) in table {
            match (decoded(file), expected) {
                (Ok(decoded), Some(expected)) => assert_eq!(decoded, expected, "{name}"),
                (Err(Error::Malformed { .. }), None) => {}
                (other, _) => panic!("{name}: {other:?}"),
            }
        }
    }
}
