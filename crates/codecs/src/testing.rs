//! Helpers of the codecs' tests.

use tintype_pixels::pixels::grey_to_rgb;
use tintype_pixels::{DctScale, DecodeOptions, Decoded, Integrity, Limits, Pixels, Result, Samples};

use crate::codec::Codec;

pub(crate) use tintype_testing::originals;

/// Limits above every test file.
pub(crate) const LIMITS: Limits = Limits { max_pixels: 100_000_000, max_frames: 1000, max_memory: 512 << 20 };

/// The frames of a file at full size, all or the first, and the integrity.
pub(crate) fn decode(codec: &dyn Codec, file: &[u8], animated: bool) -> Result<(Vec<Decoded>, Integrity)> {
    let info = codec.probe(file)?;
    let frames = if animated { info.frames } else { 1 };
    let admitted = LIMITS.admit(&info, frames, "decoding", info.decoding_bytes(DctScale::FULL, frames))?;
    let mut all = Vec::new();
    let integrity = codec.decode(file, &admitted, &DecodeOptions::FULL, &mut |decoded| {
        all.push(decoded);
        Ok(())
    })?;
    Ok((all, integrity))
}

/// The interleaved pixels of a frame.
pub(crate) fn packed(decoded: Decoded) -> Pixels {
    let Samples::Packed(pixels) = decoded.samples else { panic!("planes instead of interleaved pixels") };
    pixels
}

/// The frames of a small file, all or the first, and the integrity. Asserts that they have the announced size, that undamaged
/// ones have no alpha that was not announced, and that decoding by rows, where the codec can, gives the same picture.
pub(crate) fn decode_checked(codec: &dyn Codec, file: &[u8], animated: bool) -> Result<(Vec<Pixels>, Integrity)> {
    let info = codec.probe(file)?;
    let frames = if animated { info.frames } else { 1 };
    let admitted = LIMITS.admit(&info, frames, "decoding", info.decoding_bytes(DctScale::FULL, frames))?;
    let mut frames_decoded = Vec::new();
    let decoded = codec.decode(file, &admitted, &DecodeOptions::FULL, &mut |decoded| {
        frames_decoded.push(packed(decoded));
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
                let [whole, rows] =
                    [frames_decoded.last().cloned(), rows].map(|pixels| pixels.expect("a picture").with_alpha());
                assert!(whole.data == rows.data, "rows equal the picture decoded whole");
            }
            _ => assert!(decoded.is_err() && streamed.is_err(), "{decoded:?}, {streamed:?}"),
        }
    }
    let integrity = decoded?;
    assert!(frames_decoded.iter().all(|pixels| pixels.size == info.size), "the announced size");
    let is_opaque = !frames_decoded.iter().any(Pixels::has_alpha);
    assert!(info.has_alpha || is_opaque || integrity.is_damaged(), "the header says that nothing is transparent");
    let is_complete = frames_decoded.len() == frames as usize;
    assert!(
        is_complete || integrity.is_damaged() && !frames_decoded.is_empty(),
        "{} of {frames}",
        frames_decoded.len()
    );
    Ok((frames_decoded, integrity))
}
