//! What the tests of codecs share.

use tintype_pixels::pixels::grey_to_rgb;
use tintype_pixels::{DctScale, DecodeOptions, Decoded, Integrity, Limits, Pixels, Result, Samples};

use crate::codec::Codec;

pub(crate) use tintype_testing::originals;

/// Limits that no file of the tests passes.
pub(crate) const LIMITS: Limits = Limits { max_pixels: 100_000_000, max_frames: 1000, max_memory: 512 << 20 };

/// The frames of a file at full size, all of them or the first, and whether all of its data was there.
pub(crate) fn decode(codec: &dyn Codec, file: &[u8], animated: bool) -> Result<(Vec<Decoded>, Integrity)> {
    let info = codec.probe(file)?;
    let frames = if animated { info.frames } else { 1 };
    let admitted = LIMITS.admit(&info, frames, "decoding", info.decoded_bytes(DctScale::FULL))?;
    let mut all = Vec::new();
    let integrity = codec.decode(file, &admitted, &DecodeOptions::FULL, &mut |decoded| {
        all.push(decoded);
        Ok(())
    })?;
    Ok((all, integrity))
}

/// The pixels of a frame that is not in planes.
pub(crate) fn packed(decoded: Decoded) -> Pixels {
    let Samples::Packed(pixels) = decoded.samples else { panic!("planes where pixels were asked for") };
    pixels
}

/// The pictures of a small file, all of them or the one that stands for it, and whether all of its data was there. Where the codec
/// returns rows, too, the rows of the only picture are compared with the whole.
pub(crate) fn shown(codec: &dyn Codec, file: &[u8], animated: bool) -> Result<(Vec<Pixels>, Integrity)> {
    let info = codec.probe(file)?;
    let frames = if animated { info.frames } else { 1 };
    let admitted = LIMITS.admit(&info, frames, "decoding", info.decoded_bytes(DctScale::FULL))?;
    let mut shown = Vec::new();
    let decoded = codec.decode(file, &admitted, &DecodeOptions::FULL, &mut |decoded| {
        shown.push(packed(decoded));
        Ok(())
    });
    if info.caps.rows.is_some() && frames == 1 {
        let mut rows = None;
        let streamed = codec.stream(file, &admitted, &mut |lines, _| {
            let channels = lines.channels();
            let mut data = vec![0; info.size.pixels() as usize * channels];
            lines.read(&mut data)?;
            let data = if channels == 1 { grey_to_rgb(&data, 1) } else { data };
            rows = Some(Pixels { size: info.size, channels: channels.max(3), data });
            Ok(())
        });
        match (&decoded, &streamed) {
            (Ok(whole), Ok(streamed)) => {
                assert_eq!(whole, streamed);
                let [whole, rows] = [shown.last().cloned(), rows].map(|pixels| pixels.expect("a picture").with_alpha());
                assert!(whole.data == rows.data, "rows are those of the whole picture");
            }
            _ => assert!(decoded.is_err() && streamed.is_err(), "{decoded:?}, {streamed:?}"),
        }
    }
    let integrity = decoded?;
    assert!(shown.iter().all(|pixels| pixels.size == info.size), "of the size that was announced");
    let is_complete = shown.len() == frames as usize;
    assert!(is_complete || integrity.is_damaged() && !shown.is_empty(), "{} of {frames}", shown.len());
    Ok((shown, integrity))
}
