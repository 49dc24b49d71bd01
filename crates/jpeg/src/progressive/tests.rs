//! The decoder against libjpeg-turbo and the sequential one.

use proptest::prelude::*;

use super::file::Scan;
use super::*;
use crate::SCALES;
use crate::marker::{DHT, SOS};
use crate::reference::decode_reference;
use crate::testing::{
    SAMPLINGS, changed, changes, check_region, check_several, check_several_changed, decode_one, difference, encode,
    is_close, is_same, originals, regions, scales, to_progressive,
};
use crate::{header::Header, sequential};
use tintype_pixels::{ChromaSubsampling, Rect, Size};

fn all(_: &Scan<'_>, _: DctScale) -> bool {
    true
}

fn planes(
    original: &[u8], size: Size, subsampling: Option<ChromaSubsampling>, scale: DctScale, region: Option<Rect>,
) -> Option<Planes> {
    decode_one(super::planes, original, size, subsampling, scale, region)
}

/// The planes of all scans.
fn planes_of_all_scans(
    original: &[u8], size: Size, subsampling: Option<ChromaSubsampling>, scale: DctScale,
) -> Option<Planes> {
    decode_one(|original, request| planes_of_scans(original, request, all), original, size, subsampling, scale, None)
}

#[test]
fn progressive_file_equals_sequential_file_of_same_coefficients() {
    for (width, height) in [(1, 1), (7, 9), (8, 8), (17, 33), (63, 5), (64, 64), (65, 130), (131, 18), (300, 200)] {
        for sampling in SAMPLINGS {
            for (interval, quality) in [(0, 30), (0, 90), (3, 98)] {
                let sequential = encode(width, height, sampling, interval, quality);
                let progressive = to_progressive(&sequential);
                for scale in SCALES {
                    let case = format!("{width}x{height}, {sampling:?}, restarts {interval}, {quality}, {scale}");
                    let (size, subsampling, _) = decode_reference(&sequential, scale).expect("planes");
                    let expected =
                        decode_one(sequential::planes, &sequential, size, subsampling, scale, None).expect("decoded");
                    let decoded = planes_of_all_scans(&progressive, size, subsampling, scale);
                    let decoded = decoded.unwrap_or_else(|| panic!("{case}: not decoded"));
                    assert_eq!(difference(&decoded, &expected), (0.0, 0), "{case}");
                }
            }
        }
    }
}

#[test]
fn testdata_decodes_as_by_libjpeg_turbo() {
    let mut count = 0;
    for (path, original) in originals() {
        if !Header::read(&original).is_ok_and(|header| header.progressive) {
            continue;
        }
        for scale in SCALES {
            let Some((size, subsampling, reference)) = decode_reference(&original, scale) else { continue };
            let Some(decoded) = planes_of_all_scans(&original, size, subsampling, scale) else { continue };
            let reference = reference.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let difference = difference(&decoded, &reference);
            assert!(is_close(scale, size, difference), "{} at {scale}: {difference:?}", path.display());
            count += 1;
        }
    }
    assert!(count >= 3, "{count}");
}

#[test]
fn invisible_scans_are_skipped() {
    let original = to_progressive(&encode(120, 90, SAMPLINGS[4], 0, 90));
    let file = File::read(&original).expect("an undamaged file");
    let count = |scale| {
        let set = ScanSet::new(&file, DctScale::new(scale), contributes);
        set.is_needed.into_iter().filter(|&is_needed| is_needed).count()
    };
    // of ten: at 1/8 the two of DC, at 2/8 all but the last bits of AC, at 4/8 all but those of chroma
    assert_eq!((file.scans.len(), [1, 2, 4, 6].map(count)), (10, [2, 7, 8, 10]));
    for (scale, mean) in [(1, 0.0), (2, 3.0), (3, 1.0), (4, 1.0), (6, 0.0), (8, 0.0)] {
        let scale = DctScale::new(scale);
        let all =
            planes_of_all_scans(&original, file.frame.size, Some(ChromaSubsampling::S420), scale).expect("planes");
        let decoded = planes(&original, file.frame.size, Some(ChromaSubsampling::S420), scale, None).expect("planes");
        let difference = difference(&decoded, &all);
        assert!(difference.0 <= mean, "{scale}: {difference:?}");
    }
}

#[test]
fn scale_that_skips_a_scan_before_one_it_needs_is_left_out() {
    let original = to_progressive(&encode(120, 90, SAMPLINGS[4], 0, 90));
    let file = File::read(&original).expect("an undamaged file");
    let ends: Vec<usize> = file.scans.iter().map(|scan| scan.data_end).collect();
    // the last AC bit of chroma, which 4/8 skips, before that of DC, which it needs
    let (dc, chroma) = (&original[ends[5]..ends[6]], &original[ends[6]..ends[7]]);
    let swapped = [&original[..ends[5]], chroma, dc, &original[ends[7]..]].concat();
    for (file, count) in [(&original, 2), (&swapped, 1)] {
        let (size, subsampling) = (Size::new(120, 90), Some(ChromaSubsampling::S420));
        for (scales, count) in [([4, 6], count), ([6, 4], count), ([8, 6], 2)] {
            let scales = scales.map(DctScale::new);
            let decoded = check_several(super::planes, file, size, subsampling, &scales).expect("the same");
            assert_eq!(decoded, count, "{scales:?}");
        }
    }
}

#[test]
fn regions_equal_those_of_the_whole_image() {
    for (width, height) in [(9, 300), (400, 33), (333, 201)] {
        for sampling in SAMPLINGS {
            let file = to_progressive(&encode(width, height, sampling, 0, 90));
            for scale in SCALES {
                let (size, subsampling, _) = decode_reference(&file, scale).expect("planes");
                let whole = planes(&file, size, subsampling, scale, None).expect("decoded");
                for region in regions(size.scaled(scale), scale) {
                    let decoded = planes(&file, size, subsampling, scale, Some(region)).expect("decoded");
                    assert!(
                        is_same(&decoded, &whole.cut(region)),
                        "{width}x{height}, {sampling:?}, {scale}: {region:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn damaged_or_unsupported_file_is_refused() {
    let valid = to_progressive(&encode(40, 30, SAMPLINGS[4], 0, 80));
    let size = Size::new(40, 30);
    let is_decoded =
        |file: &[u8]| planes_of_all_scans(file, size, Some(ChromaSubsampling::S420), DctScale::new(4)).is_some();
    assert!(is_decoded(&valid));
    for length in 0..valid.len() {
        assert!(!is_decoded(&valid[..length]), "{length} bytes");
    }
    assert!(is_decoded(&[&valid[..], b"more"].concat()));
    // each scan once left out, and once twice
    let starts: Vec<usize> = memchr::memmem::find_iter(&valid, &[0xFF, SOS]).collect();
    let ends: Vec<usize> = starts[1..].iter().copied().chain([valid.len() - 2]).collect();
    for (&start, &end) in starts.iter().zip(&ends) {
        let end = memchr::memmem::find(&valid[start..end], &[0xFF, DHT]).map_or(end, |at| start + at);
        assert!(!is_decoded(&[&valid[..start], &valid[end..]].concat()), "without the scan at {start}");
        assert!(!is_decoded(&[&valid[..end], &valid[start..]].concat()), "twice the scan at {start}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    // not at 1/8, where all but the DC scans are skipped, damaged or not
    #[test]
    fn file_refused_by_libjpeg_turbo_is_refused(
        kind in 0..SAMPLINGS.len(), interval in 0_u16..4, scale in prop::sample::select(&SCALES[1..]),
        changes in changes(),
    ) {
        let file = changed(to_progressive(&encode(50, 37, SAMPLINGS[kind], interval, 70)), changes);
        if let Some((size, subsampling, reference)) = decode_reference(&file, scale)
            // limits are the caller's
            && size.pixels() < 1 << 20
            && let Some(decoded) = planes_of_all_scans(&file, size, subsampling, scale)
        {
            prop_assert_eq!(reference.expect("accepted, too").size, decoded.size);
        }
    }

    #[test]
    fn damage_outside_of_region_is_found(
        kind in 0..SAMPLINGS.len(), interval in 0_u16..4, scale in prop::sample::select(&SCALES[..]),
        changes in changes(), which in any::<prop::sample::Index>(),
    ) {
        let file = changed(to_progressive(&encode(300, 90, SAMPLINGS[kind], interval, 70)), changes);
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
        let file = to_progressive(&encode(90, 57, SAMPLINGS[kind], interval, 70));
        check_several_changed(super::planes, file, &scales, changes)?;
    }
}
