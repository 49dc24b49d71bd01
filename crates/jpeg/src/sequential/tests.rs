//! The decoder against libjpeg-turbo.

use jpeg_encoder::SamplingFactor;
use proptest::prelude::*;

use super::*;
use crate::SCALES;
use crate::header::Header;
use crate::reference::decode_reference;
use crate::testing::{
    SAMPLINGS, changed, changes, check_region, check_several_changed, decode_one, difference, encode, is_close,
    is_same, originals, regions, scales,
};
use tintype_pixels::{ChromaSubsampling, Rect, Size};

fn planes(
    original: &[u8], size: Size, subsampling: Option<ChromaSubsampling>, scale: DctScale, region: Option<Rect>,
) -> Option<Planes> {
    decode_one(super::planes, original, size, subsampling, scale, region)
}

#[test]
fn testdata_decodes_as_by_libjpeg_turbo() {
    let mut count = 0;
    for (path, original) in originals() {
        if Header::read(&original).is_ok_and(|header| header.progressive) {
            continue;
        }
        for scale in SCALES {
            let Some((size, subsampling, reference)) = decode_reference(&original, scale) else { continue };
            let Some(decoded) = planes(&original, size, subsampling, scale, None) else { continue };
            let reference = reference.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let difference = difference(&decoded, &reference);
            assert!(is_close(scale, size, difference), "{} at {scale}: {difference:?}", path.display());
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn odd_sizes_decode_as_by_libjpeg_turbo() {
    for (width, height) in [(1, 1), (7, 9), (8, 8), (9, 7), (16, 16), (17, 33), (63, 5), (64, 64), (65, 130), (131, 18)]
    {
        for (sampling, interval) in
            SAMPLINGS.iter().flat_map(|&sampling| [0, 1, 2, 7].map(|interval| (sampling, interval)))
        {
            let file = encode(width, height, sampling, interval, 90);
            for scale in SCALES {
                let case = format!("{width}x{height}, {sampling:?}, restarts {interval}, {scale}");
                let (size, subsampling, reference) = decode_reference(&file, scale).expect("planes");
                let decoded =
                    planes(&file, size, subsampling, scale, None).unwrap_or_else(|| panic!("{case}: not decoded"));
                let difference = difference(&decoded, &reference.expect("an undamaged file"));
                assert!(difference.0 <= 4.0 && is_close(scale, size, difference), "{case}: {difference:?}");
            }
        }
    }
}

#[test]
fn regions_equal_those_of_the_whole_image() {
    for (width, height) in [(9, 300), (400, 33), (555, 301)] {
        for (sampling, interval) in SAMPLINGS.iter().flat_map(|&sampling| [0, 5].map(|interval| (sampling, interval))) {
            let file = encode(width, height, sampling, interval, 90);
            for scale in SCALES {
                let case = format!("{width}x{height}, {sampling:?}, restarts {interval}, {scale}");
                let (size, subsampling, _) = decode_reference(&file, scale).expect("planes");
                let whole = planes(&file, size, subsampling, scale, None).expect("decoded");
                for region in regions(size.scaled(scale), scale) {
                    let decoded = planes(&file, size, subsampling, scale, Some(region)).expect("decoded");
                    assert!(is_same(&decoded, &whole.cut(region)), "{case}: {region:?}");
                }
            }
        }
    }
}

#[test]
fn damaged_or_unsupported_file_is_refused() {
    let valid = encode(40, 30, Some(SamplingFactor::F_2_2), 0, 80);
    let is_decoded =
        |file: &[u8]| planes(file, Size::new(40, 30), Some(ChromaSubsampling::S420), DctScale::new(4), None).is_some();
    assert!(is_decoded(&valid));
    let end = valid.len() - 2;
    for (what, file) in [
        ("truncated", valid[..end].to_vec()),
        ("a fill byte before the end", [&valid[..end], &[0xFF, 0xFF, 0xD9]].concat()),
        ("extraneous data", [&valid[..end], &[0x55, 0xFF, 0xD9]].concat()),
        ("a restart at the end", [&valid[..end], &[0xFF, 0xD0, 0xFF, 0xD9]].concat()),
        ("a second scan", [&valid[..end], &[0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0xFF, 0xD9]].concat()),
    ] {
        assert!(!is_decoded(&file), "{what}");
    }
    for length in 0..end {
        assert!(!is_decoded(&valid[..length]), "{length} bytes");
    }
    // data behind EOI is ignored
    assert!(is_decoded(&[&valid[..], b"more"].concat()));
    let progressive = tintype_testing::testdata("photos/astronaut-progressive.jpg");
    assert!(Scan::read(&progressive).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn file_refused_by_libjpeg_turbo_is_refused(
        kind in 0..SAMPLINGS.len(), interval in 0_u16..4, scale in prop::sample::select(&SCALES[..]),
        changes in changes(),
    ) {
        let file = changed(encode(50, 37, SAMPLINGS[kind], interval, 70), changes);
        if let Some((size, subsampling, reference)) = decode_reference(&file, scale)
            // limits are the caller's
            && size.pixels() < 1 << 20
            && let Some(decoded) = planes(&file, size, subsampling, scale, None)
        {
            prop_assert_eq!(reference.expect("accepted, too").size, decoded.size);
        }
    }

    #[test]
    fn damage_outside_of_region_is_found(
        kind in 0..SAMPLINGS.len(), interval in 0_u16..4, scale in prop::sample::select(&SCALES[..]),
        changes in changes(), which in any::<prop::sample::Index>(),
    ) {
        let file = changed(encode(300, 90, SAMPLINGS[kind], interval, 70), changes);
        if let Some((size, subsampling, _)) = decode_reference(&file, scale)
            && size.pixels() < 1 << 18
        {
            check_region(size, scale, which, |region| planes(&file, size, subsampling, scale, region))?;
        }
    }

    #[test]
    fn several_scales_equal_those_decoded_alone(
        kind in 0..SAMPLINGS.len(), interval in 0_u16..4, scales in scales(),
        changes in prop_oneof![1 => Just(Vec::new()), 3 => changes()],
    ) {
        let file = encode(90, 57, SAMPLINGS[kind], interval, 70);
        check_several_changed(super::planes, file, &scales, changes)?;
    }
}
