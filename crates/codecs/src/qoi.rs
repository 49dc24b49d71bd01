//! QOI (the QOI specification 1.0). Missing pixels of a truncated file are zeros; the end marker is not required.

use crate::codec::{Codec, Sink};
use tintype_pixels::Pixels;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::format::Format;
use tintype_pixels::geometry::Size;
use tintype_pixels::{Admitted, DecodeMemory, DecodeOptions, Decoded, Info, Integrity};

/// Decodes QOI.
pub(crate) struct Qoi;

const FORMAT: Format = Format::Qoi;

/// Bytes of the header.
const HEADER: usize = 14;

impl Codec for Qoi {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let (size, channels) = header(original)?;
        let mut info = Info::new(FORMAT, size);
        info.has_alpha = channels == 4;
        info.caps.memory = DecodeMemory { per_stored_pixel: 2.0 * channels as f64, per_decoded_pixel: 5.0 };
        Ok(info)
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, _options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        let info = admitted.info();
        let (size, channels) = header(original)?;
        let mut samples = vec![0; size.pixels() as usize * channels];
        let decoded = decode_chunks(&original[HEADER..], channels, &mut samples);
        let integrity = match decoded as u64 {
            0 => return Err(Error::malformed(FORMAT, "it is truncated before its first pixel")),
            decoded if decoded < size.pixels() => {
                let row = decoded / u64::from(size.width);
                Integrity::Damaged(format!("the pixels end in row {row} of {}", size.height).into())
            }
            _ => Integrity::Whole,
        };
        sink(Decoded::still(Pixels::new(FORMAT, info.size, channels, samples)?, None))?;
        Ok(integrity)
    }
}

/// Size and number of channels by the header.
fn header(original: &[u8]) -> Result<(Size, usize)> {
    let damaged = |reason: String| Error::malformed(FORMAT, reason);
    let Some(&[b'q', b'o', b'i', b'f', w3, w2, w1, w0, h3, h2, h1, h0, channels, _]) = original.first_chunk::<HEADER>()
    else {
        return Err(damaged("its header is truncated".into()));
    };
    let size = Size::new(u32::from_be_bytes([w3, w2, w1, w0]), u32::from_be_bytes([h3, h2, h1, h0]));
    if size.pixels() == 0 || !matches!(channels, 3 | 4) {
        return Err(damaged(format!("its header says {size} pixels of {channels} channels")));
    }
    Ok((size, channels.into()))
}

/// Decodes chunks until the data end or all pixels are written; the number of pixels.
fn decode_chunks(mut data: &[u8], channels: usize, samples: &mut [u8]) -> usize {
    let mut pixel = [0, 0, 0, 255_u8];
    let mut index = [[0; 4]; 64];
    let total = samples.len() / channels;
    let mut out = samples.chunks_exact_mut(channels);
    let mut decoded = 0;
    while decoded < total {
        let Some((next, run, rest)) = decode_chunk(data, pixel, &index) else { break };
        (pixel, data) = (next, rest);
        let [r, g, b, a] = pixel.map(usize::from);
        index[(r * 3 + g * 5 + b * 7 + a * 11) % 64] = pixel;
        let count = run.min(total - decoded);
        out.by_ref().take(count).for_each(|sample| sample.copy_from_slice(&pixel[..channels]));
        decoded += count;
    }
    decoded
}

/// Decodes the chunk at the start of `data`: the pixel, its run length, and the data behind it.
fn decode_chunk<'a>(data: &'a [u8], previous: [u8; 4], index: &[[u8; 4]; 64]) -> Option<([u8; 4], usize, &'a [u8])> {
    let [r, g, b, a] = previous;
    let diff = |byte: u8, shift: u8| (byte >> shift & 3).wrapping_sub(2);
    Some(match data {
        // QOI_OP_RGB
        &[0xFE, r, g, b, ref rest @ ..] => ([r, g, b, a], 1, rest),
        // QOI_OP_RGBA
        &[0xFF, r, g, b, a, ref rest @ ..] => ([r, g, b, a], 1, rest),
        [0xFE | 0xFF, ..] => return None,
        // QOI_OP_INDEX
        &[at @ 0..0x40, ref rest @ ..] => (index[usize::from(at)], 1, rest),
        // QOI_OP_DIFF
        &[byte @ 0x40..0x80, ref rest @ ..] => {
            let pixel =
                [r.wrapping_add(diff(byte, 4)), g.wrapping_add(diff(byte, 2)), b.wrapping_add(diff(byte, 0)), a];
            (pixel, 1, rest)
        }
        // QOI_OP_LUMA
        &[byte @ 0x80..0xC0, others, ref rest @ ..] => {
            let diff_green = (byte & 63).wrapping_sub(32);
            let diff = |nibble: u8| diff_green.wrapping_add(nibble).wrapping_sub(8);
            let pixel =
                [r.wrapping_add(diff(others >> 4)), g.wrapping_add(diff_green), b.wrapping_add(diff(others & 15)), a];
            (pixel, 1, rest)
        }
        // QOI_OP_RUN
        &[byte @ 0xC0..=0xFD, ref rest @ ..] => (previous, usize::from(byte & 63) + 1, rest),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{decode, packed};

    fn file(width: u32, height: u32, channels: u8, data: &[u8]) -> Vec<u8> {
        [&b"qoif"[..], &width.to_be_bytes(), &height.to_be_bytes(), &[channels, 0], data].concat()
    }

    fn decoded(file: &[u8]) -> Result<(Vec<u8>, bool)> {
        let (mut all, integrity) = decode(&Qoi, file, false)?;
        Ok((packed(all.remove(0)).data, integrity == Integrity::Whole))
    }

    #[test]
    fn every_chunk_tag_is_decoded() {
        const END: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 1];
        let table: Vec<(&str, Vec<u8>, Vec<u8>)> = vec![
            ("QOI_OP_RGB", file(1, 1, 3, &[0xFE, 1, 2, 3]), vec![1, 2, 3]),
            ("QOI_OP_RGBA", file(1, 1, 4, &[0xFF, 1, 2, 3, 4]), vec![1, 2, 3, 4]),
            ("QOI_OP_RUN", file(2, 1, 3, &[0xC1]), vec![0; 6]),
            ("QOI_OP_DIFF", file(1, 1, 3, &[0x40 | 0b11_10_01]), vec![1, 0, 255]),
            ("QOI_OP_LUMA", file(1, 1, 3, &[0x80 | 35, 0x97]), vec![4, 3, 2]),
            (
                "QOI_OP_INDEX",
                file(3, 1, 3, &[0xFE, 1, 0, 0, 0xFE, 9, 9, 9, (3 + 255 * 11 % 64) as u8 % 64]),
                vec![1, 0, 0, 9, 9, 9, 1, 0, 0],
            ),
        ];
        for (name, file, expected) in table {
            let with_end = [&file[..], &END].concat();
            assert_eq!(decoded(&with_end).expect(name), (expected.clone(), true), "{name}");
            assert_eq!(decoded(&file).expect(name), (expected, true), "{name}, without an end");
        }
    }

    #[test]
    fn truncated_file_keeps_its_pixels() {
        let whole = file(1, 2, 3, &[0xFE, 1, 2, 3, 0xFE, 4, 5, 6]);
        for (length, expected) in [
            (8, Some((vec![1, 2, 3, 4, 5, 6], true))),
            (7, Some((vec![1, 2, 3, 0, 0, 0], false))),
            (3, None),
            (0, None),
        ] {
            match (decoded(&whole[..HEADER + length]), expected) {
                (Ok(decoded), Some(expected)) => assert_eq!(decoded, expected, "{length}"),
                (Err(Error::Malformed { .. }), None) => {}
                (other, _) => panic!("{length}: {other:?}"),
            }
        }
        for header in [file(0, 1, 3, &[]), file(1, 1, 5, &[]), b"qoif".to_vec()] {
            assert!(matches!(Qoi.probe(&header), Err(Error::Malformed { .. })));
        }
    }

    proptest! {
        #[test]
        fn random_data_never_panic(data in prop::collection::vec(any::<u8>(), 0..80), channels in 3_u8..5) {
            if let Ok((samples, whole)) = decoded(&file(5, 7, channels, &data)) {
                prop_assert!([3, 4].map(|channels| 5 * 7 * channels).contains(&samples.len()), "{}", samples.len());
                prop_assert!(!whole || !data.is_empty());
            }
        }
    }
}
