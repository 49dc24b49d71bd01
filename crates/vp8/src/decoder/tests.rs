//! The decoder against the one of `image-webp`, plane for plane.

use image_webp::vp8::Vp8Decoder;
use proptest::prelude::*;

use super::*;

/// The planes by image-webp.
fn expected(data: &[u8]) -> Option<[Vec<u8>; 3]> {
    let frame = Vp8Decoder::decode_frame(data).ok()?;
    Some([frame.ybuf, frame.ubuf, frame.vbuf])
}

/// The `VP8 ` chunk of a still WebP file (RFC 9649 §2.5).
fn frame(file: &[u8]) -> Option<&[u8]> {
    let mut rest = file.get(12..)?;
    loop {
        let (head, body) = rest.split_first_chunk::<8>()?;
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        match &head[..4] {
            b"VP8 " => return body.get(..length),
            b"VP8X" | b"ALPH" | b"ICCP" | b"EXIF" | b"XMP " => rest = body.get(length.next_multiple_of(2)..)?,
            _ => return None,
        }
    }
}

fn check(name: &str, data: &[u8]) -> bool {
    let Some(ours) = decode(data, DctScale::FULL) else { return false };
    let theirs = expected(data).unwrap_or_else(|| panic!("{name}: image-webp refuses it"));
    for (number, (ours, theirs)) in ours.planes.iter().zip(&theirs).enumerate() {
        let first = ours.iter().zip(theirs).position(|(a, b)| a != b);
        assert!(first.is_none() && ours.len() == theirs.len(), "{name}: plane {number} at {first:?}");
    }
    true
}

#[test]
fn testdata_decodes_as_by_image_webp() {
    let mut count = 0;
    for (path, bytes) in tintype_testing::originals(|bytes| bytes.get(8..12) == Some(b"WEBP")) {
        if let Some(frame) = frame(&bytes) {
            count += u32::from(check(&path.display().to_string(), frame));
        }
    }
    // the files of testdata
    assert!(count >= 3, "{count}");
}

#[test]
fn kept_inputs_of_the_fuzz_target_decode_as_by_image_webp() {
    let inputs = tintype_testing::fuzz_inputs("vp8-planes");
    let decoded = inputs.iter().filter(|data| check("an input", data)).count();
    // those written by hand
    assert!(decoded >= 3, "{decoded}");
}

/// A frame by libwebp.
fn encode(
    (width, height): (u32, u32), quality: f32, method: i32, sharpness: i32, simple: bool, unfiltered: bool, seed: u32,
) -> Vec<u8> {
    let size = Size::new(width, height);
    let sample = |at: u32| {
        let (x, y) = (at / 3 % width, at / 3 / width);
        let noise = (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 26) as u8;
        ((x * 5 + y * 3 + at % 3 * 40) as u8 / 2).wrapping_add(if (x + y) % 32 < 9 { noise } else { 0 })
    };
    let pixels = tintype_pixels::Pixels { size, channels: 3, data: (0..width * height * 3).map(sample).collect() };
    let mut config = webp::WebPConfig::new().expect("a configuration");
    (config.quality, config.method, config.filter_sharpness) = (quality, method, sharpness);
    config.filter_type = i32::from(!simple);
    config.partitions = (seed % 4) as i32;
    if unfiltered {
        (config.filter_strength, config.autofilter) = (0, 0);
    }
    let shown = tintype_codec_sys::libwebp::Input::Packed(&pixels);
    let file = tintype_codec_sys::libwebp::encode(&shown, &config, &mut || true).unwrap_or_default();
    frame(&file).expect("a lossy file").to_vec()
}

/// A frame whose lower rows have no coefficients, and need nothing of the partitions of tokens that are missing.
#[test]
fn partial_frame_has_no_more_rows_than_its_height() {
    let mut complete = 0;
    for height in 17..=32 {
        let size = Size::new(64, height);
        let noise = |at: u32| (at.wrapping_mul(2_654_435_761) >> 25) as u8;
        let sample = |at: u32| if at / 3 / 64 < 4 { 64 + noise(at) } else { 128 };
        let pixels = tintype_pixels::Pixels { size, channels: 3, data: (0..64 * height * 3).map(sample).collect() };
        let mut config = webp::WebPConfig::new().expect("a configuration");
        // methods from 3 on write one partition
        (config.partitions, config.method) = (3, 2);
        for (strength, quality) in [(0, 20.0), (60, 20.0), (60, 60.0), (60, 90.0)] {
            (config.filter_strength, config.quality) = (strength, quality);
            let shown = tintype_codec_sys::libwebp::Input::Packed(&pixels);
            let file = tintype_codec_sys::libwebp::encode(&shown, &config, &mut || true).unwrap_or_default();
            let data = frame(&file).expect("a lossy file");
            assert!(decode_planes(data, size, true).is_some(), "undamaged");
            for cut in 0..64.min(data.len()) {
                let cut = &data[..data.len() - cut];
                let Some((planes, rows)) = decode_partial(cut, size, true) else { continue };
                assert!(rows <= height, "{rows} rows of {height}");
                if rows == height && decode_planes(cut, size, true).is_none() {
                    complete += 1;
                    let last = (height as usize - 1) * 64;
                    assert!(
                        planes[0][last..last + 64].iter().all(|&luma| luma > 16),
                        "the last row of {height} is black"
                    );
                }
            }
        }
    }
    assert!(complete > 0, "no frame came whole without its last partitions");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn frame_damaged_or_not_decodes_as_by_image_webp(
        width in 1_u32..90, height in 1_u32..90, quality in 0.0_f32..100.0, method in 0..5, sharpness in 0..8,
        simple: bool, seed: u32, damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in any::<prop::sample::Index>(), is_cut: bool,
    ) {
        let mut data = encode((width, height), quality, method, sharpness, simple, false, seed);
        prop_assert!(check("undamaged", &data));
        for (place, value) in damage {
            let place = place.index(data.len());
            data[place] = value;
        }
        if is_cut {
            data.truncate(cut.index(data.len()));
        }
        // no frame of gigabytes
        if data.get(6..10).is_some_and(|size| size[1] < 2 && size[3] < 2) {
            check("damaged", &data);
        }
    }

    #[test]
    fn scaled_frame_is_the_box_mean_of_the_unfiltered_frame(
        width in 1_u32..90, height in 1_u32..90, quality in 0.0_f32..100.0, method in 0..5, seed: u32,
        scale in prop::sample::select(vec![1_u32, 2, 4]).prop_map(DctScale::new),
    ) {
        let data = encode((width, height), quality, method, 0, false, true, seed);
        let size = Size::new(width, height);
        let whole = decode(&data, DctScale::FULL).expect("undamaged").planes;
        let scaled = decode(&data, scale).expect("undamaged");
        prop_assert_eq!(scaled.size, size.scaled(scale));
        prop_assert_eq!(scaled.planes[0].len() % scaled.stride(), 0);
        let factor = 8 / scale.eighths();
        for (number, (whole, scaled)) in whole.iter().zip(&scaled.planes).enumerate() {
            let side = macroblock_side(number) as u32;
            let (stride, share) = (size.width.div_ceil(16) * side, 16 / side);
            let (last_column, last_row) = (size.width.div_ceil(share) - 1, size.height.div_ceil(share) - 1);
            let pixel = |x: u32, y: u32| u32::from(whole[(y.min(last_row) * stride + x.min(last_column)) as usize]);
            for (at, &found) in (0..).zip(scaled) {
                let (x, y) = (at % (stride / factor) * factor, at / (stride / factor) * factor);
                let sum: u32 = (0..factor * factor).map(|i| pixel(x + i % factor, y + i / factor)).sum();
                prop_assert_eq!(u32::from(found), (sum + factor * factor / 2) / (factor * factor), "plane {} at {}", number, at);
            }
        }
    }
}
