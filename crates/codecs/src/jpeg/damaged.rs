//! Tests of damaged and unusual files: the outcome of each kind of damage, and the same picture at each scale.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use proptest::prelude::*;
use proptest::sample::Index;

use super::{Jpeg, SCALES};
use crate::codec::Codec;
use tintype_jpeg::STANDARD_HUFFMAN_TABLES;
use tintype_jpeg::marker::{self, RST0};
use tintype_jpeg::structure::FileStructure;
use tintype_jpeg::verify::verify;
use tintype_pixels::DctScale;
use tintype_pixels::Samples;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::{DecodeOptions, PixelLayout};
use tintype_pixels::{Decoded, Integrity};

#[cfg(feature = "native")]
mod compared_with_libjpeg;

const EOI: &[u8] = &[0xFF, marker::EOI];

/// A picture of 120 by 96 pixels with texture and 4:2:0 chroma: 8 by 6 MCUs.
fn encoded(interval: u16, progressive: bool) -> Vec<u8> {
    let sample = |x: u32, y: u32, channel: u32| (2 * x + 3 * y + 60 * channel + (x * y) % 7 * 9) as u8 / 2 + 40;
    let pixels = (0..96).flat_map(|y| (0..120).map(move |x| (x, y)));
    let samples: Vec<u8> = pixels.flat_map(|(x, y)| (0..3).map(move |channel| sample(x, y, channel))).collect();
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 80);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_restart_interval(interval);
    encoder.set_progressive(progressive);
    encoder.encode(&samples, 120, 96, ColorType::Rgb).expect("encoded");
    file
}

fn found(file: &[u8], marker: u8) -> Vec<usize> {
    memchr::memmem::find_iter(file, &[0xFF, marker]).collect()
}

/// The offset of the entropy-coded data of the first scan.
fn data(file: &[u8]) -> usize {
    let at = found(file, 0xDA)[0];
    at + 2 + usize::from(file[at + 3])
}

/// The file with `removed` bytes at `at` replaced by `with`.
fn spliced(file: &[u8], at: usize, removed: usize, with: &[u8]) -> Vec<u8> {
    [&file[..at], with, &file[at + removed..]].concat()
}

/// The file without the segments of a marker.
fn without(file: &[u8], marker: u8) -> Vec<u8> {
    let mut out = file[..2].to_vec();
    let mut at = 2;
    while file[at + 1] != 0xDA {
        let end = at + 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
        if file[at + 1] != marker {
            out.extend(&file[at..end]);
        }
        at = end;
    }
    out.extend(&file[at..]);
    out
}

/// Decodes the file at a scale, and at `others` in the same pass.
fn decoded(file: &[u8], scale: DctScale, others: &[DctScale]) -> Result<Vec<Decoded>> {
    let info = Jpeg.probe(file)?;
    let admitted = crate::testing::LIMITS.admit(&info, 1, "decoding", info.decoded_bytes(DctScale::FULL))?;
    let options = DecodeOptions { scale, layout: PixelLayout::YCbCr, ..DecodeOptions::FULL };
    // others are requested only if one pass yields them
    let is_shared = |scale: &DctScale| info.caps.shared_scales.contains(scale);
    let others: Vec<DctScale> = others.iter().copied().filter(|other| is_shared(&scale) && is_shared(other)).collect();
    Jpeg.decode_several(file, &admitted, &options, &others)
}

/// The outcome of decoding a file.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Whole,
    Damaged,
    Refused,
    Unsupported,
}

fn outcome(file: &[u8], scale: DctScale) -> (Outcome, String) {
    match decoded(file, scale, &[]) {
        Ok(decoded) => match &decoded[0].integrity {
            Integrity::Whole => (Outcome::Whole, String::new()),
            Integrity::Damaged(reason) => (Outcome::Damaged, reason.to_string()),
        },
        Err(Error::Malformed { reason, .. }) => (Outcome::Refused, reason),
        Err(Error::Unsupported { reason, .. }) => (Outcome::Unsupported, reason),
        Err(error) => panic!("{error}"),
    }
}

fn samples(decoded: &Decoded) -> Vec<u8> {
    match &decoded.samples {
        Samples::Packed(pixels) => pixels.data.clone(),
        Samples::Planes(planes) => planes.all().iter().flat_map(|plane| plane.data).copied().collect(),
    }
}

/// Each kind of damage and unusual structure, with the expected outcome.
fn cases() -> Vec<(&'static str, Vec<u8>, Outcome)> {
    use Outcome::{Damaged, Refused, Unsupported, Whole};
    let (plain, restarts, progressive) = (encoded(0, false), encoded(4, false), encoded(0, true));
    let end = plain.len() - 2;
    let start = data(&plain);
    let middle = (start + end) / 2;
    let in_middle = |bytes: &[u8]| spliced(&plain, middle, 0, bytes);
    let at_end = |bytes: &[u8]| [&plain[..end], bytes].concat();
    let in_front = |bytes: &[u8]| spliced(&plain, 2, 0, bytes);
    let with_transform = |transform: u8| {
        let adobe = [&[0xFF, 0xEE, 0, 14][..], b"Adobe", &[0, 100, 0, 0, 0, 0, transform]].concat();
        spliced(&without(&plain, 0xE0), 2, 0, &adobe)
    };
    // no RST marker is found in entropy-coded data, where a zero byte follows 0xFF
    let marks: Vec<usize> = (0..8).flat_map(|number| found(&restarts, RST0 + number)).collect();
    let mark = marks[marks.len() / 2];
    let renumbered = marks.iter().fold(restarts.clone(), |file, &at| spliced(&file, at, 2, &[0xFF, RST0]));
    let last = *marks.iter().max().expect("restarts");
    let scans = found(&progressive, 0xDA);
    let tables = |scan: usize| {
        let tables = progressive[..scans[scan]].windows(2).rposition(|pair| pair == [0xFF, 0xC4]);
        tables.filter(|&at| at > scans[scan - 1]).unwrap_or(scans[scan])
    };
    let late = (scans[scans.len() - 1] + progressive.len()) / 2;
    let frame = found(&plain, 0xC0)[0];
    vec![
        ("undamaged", plain.clone(), Whole),
        ("undamaged, with restarts", restarts.clone(), Whole),
        ("undamaged, progressive", progressive.clone(), Whole),
        // damage outside of the entropy-coded data
        ("no end marker", at_end(b""), Whole),
        ("zeros for an end marker", at_end(&[0; 300]), Whole),
        ("text for an end marker", at_end(b"no end marker"), Whole),
        ("half an end marker", at_end(&[0xFF]), Whole),
        ("text before the end marker", [&at_end(b"text")[..], EOI].concat(), Whole),
        ("another file in place of the end marker", at_end(&plain), Whole),
        ("another scan in place of the end marker", at_end(&plain[found(&plain, 0xDA)[0]..]), Whole),
        ("a reserved marker before the end marker", [&at_end(&[0xFF, 0x3C])[..], EOI].concat(), Whole),
        ("an invalid Huffman table before the end marker", at_end(&[0xFF, 0xC4, 0, 5, 1, 2, 3, 0xFF, 0xD9]), Whole),
        ("no end marker, progressive", progressive[..progressive.len() - 2].to_vec(), Whole),
        ("zeros for an end marker, progressive", [&progressive[..progressive.len() - 2], &[0; 99]].concat(), Whole),
        ("a spectral selection of 0 to 0", spliced(&plain, start - 3, 3, &[0, 0, 0]), Whole),
        ("an invalid spectral selection and bit position", spliced(&plain, start - 3, 3, &[63, 63, 0x55]), Whole),
        ("Adobe transform 2 of three components", with_transform(2), Whole),
        ("Adobe transform 9", with_transform(9), Whole),
        ("another version of JFIF", spliced(&plain, found(&plain, 0xE0)[0] + 9, 1, &[7]), Whole),
        ("bytes between segments", in_front(b"bytes"), Whole),
        ("a segment of length 0", in_front(&[0xFF, 0xE5, 0, 0]), Whole),
        ("a segment with too short a length", in_front(&[0xFF, 0xE5, 0, 3, 1, 2, 3]), Whole),
        ("missing chunks of a profile", in_front(b"\xFF\xE2\0\x11ICC_PROFILE\0\x02\x03x"), Whole),
        ("no Huffman tables", without(&plain, 0xC4), Whole),
        ("zeros before a restart marker", spliced(&restarts, mark, 0, &[0; 3]), Whole),
        // damage in the entropy-coded data
        ("cut in the middle", plain[..middle].to_vec(), Damaged),
        ("cut before the last MCUs", plain[..end - 20].to_vec(), Damaged),
        ("an end marker in the middle", in_middle(EOI), Damaged),
        ("a file in the middle", in_middle(&plain), Damaged),
        ("a reserved marker in the middle", in_middle(&[0xFF, 0x3C]), Damaged),
        ("a frame header in the middle", in_middle(&[0xFF, 0xC0]), Damaged),
        ("a frame header of another process in the middle", in_middle(&[0xFF, 0xC5]), Damaged),
        ("a restart marker without a restart interval", in_middle(&[0xFF, RST0 + 3]), Damaged),
        ("an invalid Huffman code", spliced(&plain, end - 200, 16, &[0xFF, 0].repeat(8)), Damaged),
        ("an end marker in place of the last restart marker", spliced(&restarts, last, 2, EOI), Damaged),
        ("a missing restart marker", spliced(&restarts, mark, 2, b""), Damaged),
        ("restart markers that are all RST0", renumbered, Damaged),
        ("bytes before a restart marker", spliced(&restarts, mark, 0, b"20 unexpected bytes."), Damaged),
        ("with restarts, cut", restarts[..mark + 5].to_vec(), Damaged),
        ("a reserved marker before a restart marker", spliced(&restarts, mark - 4, 0, &[0xFF, 0x3C]), Damaged),
        ("progressive, cut in the last scan", progressive[..late].to_vec(), Damaged),
        ("progressive, cut behind a scan", progressive[..tables(scans.len() - 1)].to_vec(), Damaged),
        ("progressive, a file in the last scan", spliced(&progressive, late, 0, &plain), Damaged),
        // no picture
        ("no frame header", plain[..frame].to_vec(), Refused),
        ("no scan", plain[..start - 12].to_vec(), Refused),
        ("no entropy-coded data", plain[..start].to_vec(), Refused),
        ("no quantisation tables", without(&plain, 0xDB), Refused),
        ("an invalid Huffman table", in_front(&[0xFF, 0xC4, 0, 5, 1, 2, 3]), Refused),
        ("no height", spliced(&plain, frame + 5, 2, &[0, 0]), Refused),
        ("a reserved marker in front", in_front(&[0xFF, 0x3C]), Refused),
        // unsupported processes
        ("12 bits", spliced(&plain, frame + 4, 1, &[12]), Unsupported),
        ("a differential frame", spliced(&plain, frame + 1, 1, &[0xC5]), Unsupported),
    ]
}

/// Cases that libjpeg decodes and `jpeg-decoder` refuses.
const REFUSED_BY_JPEG_DECODER: [&str; 7] = [
    "with restarts, cut",
    "an invalid Huffman code",
    "an end marker in place of the last restart marker",
    "a missing restart marker",
    "restart markers that are all RST0",
    "bytes before a restart marker",
    "a reserved marker before a restart marker",
];

#[test]
fn damaged_files_have_the_outcome_of_browsers() {
    for (name, file, expected) in cases() {
        for scale in SCALES {
            let (outcome, reason) = outcome(&file, scale);
            let may_refuse = cfg!(not(feature = "native")) && REFUSED_BY_JPEG_DECODER.contains(&name);
            let as_expected = outcome == expected || may_refuse && outcome == Outcome::Refused;
            assert!(as_expected, "{name} at {scale}: {outcome:?}, {reason}");
        }
    }
}

#[test]
fn unusual_files_look_like_undamaged_ones() {
    let (undamaged, restarts, progressive) = (encoded(0, false), encoded(4, false), encoded(0, true));
    for (name, file, expected) in cases() {
        if expected != Outcome::Whole {
            continue;
        }
        for scale in [1, 2, 4, 8].map(DctScale::new) {
            let own = decoded(&file, scale, &[]).expect(name);
            let alike = [&undamaged, &restarts, &progressive].into_iter().any(|undamaged| {
                let undamaged = decoded(undamaged, scale, &[]).expect("an undamaged file");
                let pairs = || samples(&own[0]).into_iter().zip(samples(&undamaged[0]));
                // our inverse DCT and the library's differ slightly
                samples(&own[0]).len() == samples(&undamaged[0]).len()
                    && pairs().map(|(a, b)| u64::from(a.abs_diff(b))).sum::<u64>() <= 8 * pairs().count() as u64
            });
            assert!(alike, "{name} at {scale}");
        }
    }
}

#[test]
fn damage_is_reported_with_its_row() {
    let plain = encoded(0, false);
    let middle = (data(&plain) + plain.len()) / 2;
    let (_, reason) = outcome(&plain[..middle], DctScale::FULL);
    let row: u32 = reason
        .strip_prefix("the image data ends at row ")
        .and_then(|rest| rest.strip_suffix(" of 96"))
        .and_then(|row| row.parse().ok())
        .unwrap_or_else(|| panic!("{reason}"));
    assert!((16..=80).contains(&row) && row.is_multiple_of(16), "{reason}");
}

#[test]
fn rows_before_the_damage_equal_those_of_the_undamaged_file() {
    let plain = encoded(0, false);
    let middle = (data(&plain) + plain.len()) / 2;
    let undamaged = samples(&decoded(&plain, DctScale::FULL, &[]).expect("an undamaged file")[0]);
    let shown = samples(&decoded(&plain[..middle], DctScale::FULL, &[]).expect("a cut file")[0]);
    let rows = 120 * 16;
    assert_eq!(undamaged[..rows], shown[..rows]);
    assert_ne!(undamaged, shown);
}

#[test]
fn standard_huffman_tables_decode_a_file_without_tables() {
    let plain = encoded(0, false);
    assert!(
        FileStructure::read(&without(&plain, 0xC4))
            .is_some_and(|file| verify(&without(&plain, 0xC4), &file, true).is_ok())
    );
    assert_eq!(STANDARD_HUFFMAN_TABLES.len(), 4 * 17 + 2 * 12 + 2 * 162);
}

/// Whether changes enlarged the size in the frame header so that decoding takes long.
fn is_large(file: &[u8]) -> bool {
    Jpeg.probe(file).is_ok_and(|info| info.size.pixels() > 1 << 18)
}

fn same(a: &Decoded, b: &Decoded) -> bool {
    (a.scale, a.origin, &a.integrity) == (b.scale, b.origin, &b.integrity) && samples(a) == samples(b)
}

/// Changes to a file: truncated, and with bytes replaced, inserted or removed.
fn changes() -> impl Strategy<Value = (Option<Index>, Vec<(Index, u8, u8)>)> {
    (prop::option::weighted(0.4, any::<Index>()), prop::collection::vec((any::<Index>(), any::<u8>(), 0_u8..4), 0..4))
}

/// The file with changes, most of them in the entropy-coded data.
fn changed(mut file: Vec<u8>, (cut, changes): (Option<Index>, Vec<(Index, u8, u8)>)) -> Vec<u8> {
    let start = data(&file);
    for (at, byte, how) in changes {
        let from = if byte % 8 == 0 { 2 } else { start.min(file.len() - 1) };
        let at = from + at.index(file.len() - from);
        match how {
            0 => file.insert(at, byte),
            1 if file.len() > start + 4 => drop(file.remove(at)),
            2 => file[at] ^= 1 << (byte % 8),
            _ => file[at] = byte,
        }
    }
    if let Some(cut) = cut {
        file.truncate(start - 4 + cut.index(file.len() + 4 - start));
    }
    file
}

fn files() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec![(0, false), (3, false), (0, true)])
        .prop_map(|(interval, progressive)| encoded(interval, progressive))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn damaged_file_is_the_same_picture_alone_and_with_other_scales(
        file in files(), changes in changes(), scales in prop::sample::subsequence(&SCALES[..], 1..=SCALES.len()).prop_shuffle(),
    ) {
        let file = changed(file, changes);
        prop_assume!(!is_large(&file));
        let together = decoded(&file, scales[0], &scales[1..]);
        if let Ok(together) = &together {
            // the first result may have another scale than the requested one
            for (at, one) in together.iter().enumerate() {
                let wanted = if at == 0 { scales[0] } else { one.scale };
                let alone = decoded(&file, wanted, &[]);
                prop_assert!(alone.is_ok_and(|alone| same(&alone[0], one)), "{wanted} of {scales:?}");
            }
        } else {
            prop_assert!(decoded(&file, scales[0], &[]).is_err());
        }
    }

    #[test]
    fn truncated_file_is_never_whole(file in files(), cut in any::<Index>()) {
        let start = data(&file);
        // the last bytes of data may hold padding bits only, and the smallest MCU takes few bits
        let file = &file[..start + cut.index(file.len() - start - 8)];
        prop_assert_ne!(outcome(file, DctScale::FULL).0, Outcome::Whole);
    }
}
