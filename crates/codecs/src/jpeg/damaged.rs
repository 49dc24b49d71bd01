//! Tests of files that are damaged or odd: what each kind comes to, and that it is one picture however it is asked for.

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

const EOI: &[u8] = &[0xFF, marker::EOI];

/// A picture of 120 by 96 pixels with texture, chroma halved both ways: 8 by 6 units.
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

/// Where the data of the first scan begins.
fn data(file: &[u8]) -> usize {
    let at = found(file, 0xDA)[0];
    at + 2 + usize::from(file[at + 3])
}

/// The file with other bytes in the place of so many.
fn spliced(file: &[u8], at: usize, removed: usize, with: &[u8]) -> Vec<u8> {
    [&file[..at], with, &file[at + removed..]].concat()
}

/// The file without its segments of that kind.
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

/// Decodes it at that scale, and along with it at others.
fn decoded(file: &[u8], scale: DctScale, others: &[DctScale]) -> Result<Vec<Decoded>> {
    let info = Jpeg.probe(file)?;
    let admitted = crate::testing::LIMITS.admit(&info, 1, "decoding", info.decoded_bytes(DctScale::FULL))?;
    let options = DecodeOptions { scale, layout: PixelLayout::YCbCr, ..DecodeOptions::FULL };
    // others are only asked for where they come along
    let come_along = |scale: &DctScale| info.caps.shared_scales.contains(scale);
    let others: Vec<DctScale> =
        others.iter().copied().filter(|other| come_along(&scale) && come_along(other)).collect();
    Jpeg.decode_several(file, &admitted, &options, &others)
}

/// The outcome for a file.
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

/// Every kind of damage and oddity, with what is to become of it.
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
    // none of them stands for a code in data, as zeros are stuffed in
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
        ("sound", plain.clone(), Whole),
        ("sound, with restarts", restarts.clone(), Whole),
        ("sound, progressive", progressive.clone(), Whole),
        // around the data
        ("no end marker", at_end(b""), Whole),
        ("zeros for an end marker", at_end(&[0; 300]), Whole),
        ("text for an end marker", at_end(b"no end marker"), Whole),
        ("half an end marker", at_end(&[0xFF]), Whole),
        ("text before the end marker", [&at_end(b"text")[..], EOI].concat(), Whole),
        ("another file in place of the end marker", at_end(&plain), Whole),
        ("another scan in place of the end marker", at_end(&plain[found(&plain, 0xDA)[0]..]), Whole),
        ("a marker that does not exist before the end marker", [&at_end(&[0xFF, 0x3C])[..], EOI].concat(), Whole),
        ("broken tables before the end marker", at_end(&[0xFF, 0xC4, 0, 5, 1, 2, 3, 0xFF, 0xD9]), Whole),
        ("no end marker, progressive", progressive[..progressive.len() - 2].to_vec(), Whole),
        ("zeros for an end marker, progressive", [&progressive[..progressive.len() - 2], &[0; 99]].concat(), Whole),
        ("a scan of no band", spliced(&plain, start - 3, 3, &[0, 0, 0]), Whole),
        ("a scan of all bands and bits", spliced(&plain, start - 3, 3, &[63, 63, 0x55]), Whole),
        ("Adobe transform 2 of three components", with_transform(2), Whole),
        ("Adobe transform 9", with_transform(9), Whole),
        ("another version of JFIF", spliced(&plain, found(&plain, 0xE0)[0] + 9, 1, &[7]), Whole),
        ("bytes between segments", in_front(b"bytes"), Whole),
        ("a segment of length 0", in_front(&[0xFF, 0xE5, 0, 0]), Whole),
        ("a segment of too short a length", in_front(&[0xFF, 0xE5, 0, 3, 1, 2, 3]), Whole),
        ("pieces of a profile that are missing", in_front(b"\xFF\xE2\0\x11ICC_PROFILE\0\x02\x03x"), Whole),
        ("no tables of codes", without(&plain, 0xC4), Whole),
        ("zeros before a restart", spliced(&restarts, mark, 0, &[0; 3]), Whole),
        // the data
        ("cut in the middle", plain[..middle].to_vec(), Damaged),
        ("cut before the last units", plain[..end - 20].to_vec(), Damaged),
        ("an end marker in the middle", in_middle(EOI), Damaged),
        ("a file in the middle", in_middle(&plain), Damaged),
        ("a marker that does not exist in the middle", in_middle(&[0xFF, 0x3C]), Damaged),
        ("a frame in the middle", in_middle(&[0xFF, 0xC0]), Damaged),
        ("a frame of another kind in the middle", in_middle(&[0xFF, 0xC5]), Damaged),
        ("a restart where there are none", in_middle(&[0xFF, RST0 + 3]), Damaged),
        ("bits that are no code", spliced(&plain, end - 200, 16, &[0xFF, 0].repeat(8)), Damaged),
        ("an end marker for the last restart", spliced(&restarts, last, 2, EOI), Damaged),
        ("a restart without its marker", spliced(&restarts, mark, 2, b""), Damaged),
        ("restarts that are all the first", renumbered, Damaged),
        ("bytes before a restart", spliced(&restarts, mark, 0, b"bytes of nobody here"), Damaged),
        ("with restarts, cut", restarts[..mark + 5].to_vec(), Damaged),
        ("a marker that does not exist before a restart", spliced(&restarts, mark - 4, 0, &[0xFF, 0x3C]), Damaged),
        ("progressive, cut in the last scan", progressive[..late].to_vec(), Damaged),
        ("progressive, cut behind a scan", progressive[..tables(scans.len() - 1)].to_vec(), Damaged),
        ("progressive, a file in the last scan", spliced(&progressive, late, 0, &plain), Damaged),
        // nothing to be seen
        ("no frame", plain[..frame].to_vec(), Refused),
        ("no scan", plain[..start - 12].to_vec(), Refused),
        ("no data", plain[..start].to_vec(), Refused),
        ("no quantisation tables", without(&plain, 0xDB), Refused),
        ("tables of codes that are none", in_front(&[0xFF, 0xC4, 0, 5, 1, 2, 3]), Refused),
        ("no height", spliced(&plain, frame + 5, 2, &[0, 0]), Refused),
        ("a marker that does not exist in front", in_front(&[0xFF, 0x3C]), Refused),
        // not done here
        ("12 bits", spliced(&plain, frame + 4, 1, &[12]), Unsupported),
        ("differences of frames", spliced(&plain, frame + 1, 1, &[0xC5]), Unsupported),
    ]
}

/// Files that libjpeg shows and `jpeg-decoder` refuses.
const REFUSED_IN_RUST: [&str; 7] = [
    "with restarts, cut",
    "bits that are no code",
    "an end marker for the last restart",
    "a restart without its marker",
    "restarts that are all the first",
    "bytes before a restart",
    "a marker that does not exist before a restart",
];

#[test]
fn files_that_are_odd_or_damaged_are_shown_as_browsers_show_them() {
    for (name, file, expected) in cases() {
        for scale in SCALES {
            let (outcome, reason) = outcome(&file, scale);
            let may_refuse = cfg!(not(feature = "native")) && REFUSED_IN_RUST.contains(&name);
            let as_expected = outcome == expected || may_refuse && outcome == Outcome::Refused;
            assert!(as_expected, "{name} at {scale}: {outcome:?}, {reason}");
        }
    }
}

#[test]
fn whole_files_look_like_the_sound_one() {
    let (sound, restarts, progressive) = (encoded(0, false), encoded(4, false), encoded(0, true));
    for (name, file, expected) in cases() {
        if expected != Outcome::Whole {
            continue;
        }
        for scale in [1, 2, 4, 8].map(DctScale::new) {
            let own = decoded(&file, scale, &[]).expect(name);
            let alike = [&sound, &restarts, &progressive].into_iter().any(|sound| {
                let sound = decoded(sound, scale, &[]).expect("a sound file");
                let pairs = || samples(&own[0]).into_iter().zip(samples(&sound[0]));
                // ours and the library's transforms differ a little
                samples(&own[0]).len() == samples(&sound[0]).len()
                    && pairs().map(|(a, b)| u64::from(a.abs_diff(b))).sum::<u64>() <= 8 * pairs().count() as u64
            });
            assert!(alike, "{name} at {scale}");
        }
    }
}

#[test]
fn damage_is_told_by_its_place() {
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
fn rows_before_the_damage_are_those_of_the_sound_file() {
    let plain = encoded(0, false);
    let middle = (data(&plain) + plain.len()) / 2;
    let sound = samples(&decoded(&plain, DctScale::FULL, &[]).expect("a sound file")[0]);
    let shown = samples(&decoded(&plain[..middle], DctScale::FULL, &[]).expect("a cut file")[0]);
    let rows = 120 * 16;
    assert_eq!(sound[..rows], shown[..rows]);
    assert_ne!(sound, shown);
}

#[test]
fn standard_codes_are_those_that_encoders_write() {
    let plain = encoded(0, false);
    assert!(
        FileStructure::read(&without(&plain, 0xC4))
            .is_some_and(|file| verify(&without(&plain, 0xC4), &file, true).is_ok())
    );
    assert_eq!(STANDARD_HUFFMAN_TABLES.len(), 4 * 17 + 2 * 12 + 2 * 162);
}

/// Whether changes have made a file of that much more that decoding it would take long.
fn is_large(file: &[u8]) -> bool {
    Jpeg.probe(file).is_ok_and(|info| info.size.pixels() > 1 << 18)
}

fn same(a: &Decoded, b: &Decoded) -> bool {
    (a.scale, a.origin, &a.integrity) == (b.scale, b.origin, &b.integrity) && samples(a) == samples(b)
}

/// Changes to a file: cut somewhere, or with bytes that are others, new or gone.
fn changes() -> impl Strategy<Value = (Option<Index>, Vec<(Index, u8, u8)>)> {
    (prop::option::weighted(0.4, any::<Index>()), prop::collection::vec((any::<Index>(), any::<u8>(), 0_u8..4), 0..4))
}

/// The file with them, of which those in front of the data are fewer.
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
    fn a_damaged_file_is_one_picture_at_each_scale(
        file in files(), changes in changes(), scales in prop::sample::subsequence(&SCALES[..], 1..=SCALES.len()).prop_shuffle(),
    ) {
        let file = changed(file, changes);
        prop_assume!(!is_large(&file));
        let together = decoded(&file, scales[0], &scales[1..]);
        if let Ok(together) = &together {
            // the first is what is asked for, though it may be of another scale
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
    fn a_file_that_is_cut_is_never_whole(file in files(), cut in any::<Index>()) {
        let start = data(&file);
        // of what is before the last two bytes of data, the least that a unit takes may be filling
        let file = &file[..start + cut.index(file.len() - start - 8)];
        prop_assert_ne!(outcome(file, DctScale::FULL).0, Outcome::Whole);
    }
}

#[cfg(feature = "native")]
mod beside_the_library {
    use turbojpeg::{Decompressor, Transform, TransformOp, Transformer, YuvImage};

    use super::*;
    use tintype_jpeg::verify::FaultKind;

    /// The library's warning or error about all of a file.
    fn complaint(file: &[u8]) -> Option<String> {
        let told = |error| match error {
            turbojpeg::Error::TurboJpegError(text) => text,
            error => error.to_string(),
        };
        let mut decoder = Decompressor::new().expect("memory");
        let header = match decoder.read_header(file) {
            Ok(header) => header,
            Err(error) => return Some(told(error)),
        };
        let (width, height, subsamp) = (header.width, header.height, header.subsamp);
        let Ok(length) = turbojpeg::yuv_pixels_len(width, 1, height, subsamp) else { return Some(String::new()) };
        let mut pixels = vec![0; length];
        let image = YuvImage { pixels: &mut pixels[..], width, align: 1, height, subsamp };
        decoder.decompress_to_yuv(file, image).err().map(told)
    }

    /// The same coefficients in scans that refine each other.
    fn in_scans(sequential: &[u8]) -> Vec<u8> {
        let mut transform = Transform::op(TransformOp::None);
        transform.progressive = true;
        Transformer::new().expect("memory").transform_to_vec(&transform, sequential).expect("a sound file")
    }

    #[test]
    fn scans_that_do_not_fit_are_damage() {
        let sound = in_scans(&encoded(0, false));
        let starts = found(&sound, 0xDA);
        for at in 1..starts.len() - 1 {
            let tables = |at: usize| {
                let tables = sound[..starts[at]].windows(2).rposition(|pair| pair == [0xFF, 0xC4]);
                tables.filter(|&table| table > starts[at - 1]).unwrap_or(starts[at])
            };
            let missing = [&sound[..tables(at)], &sound[tables(at + 1)..]].concat();
            // a file with fewer scans may be meant so; one in which a later scan needs the one that is missing is not
            if complaint(&missing).is_some() {
                assert_eq!(outcome(&missing, DctScale::FULL).0, Outcome::Damaged, "without scan {at}");
            }
            let cut = outcome(&sound[..tables(at)], DctScale::FULL);
            assert_eq!(cut, (Outcome::Damaged, "it ends before its last scan".into()), "cut before scan {at}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

        #[test]
        fn faults_are_found_where_the_library_warns(
            file in files(), refined in any::<bool>(), changes in changes(),
        ) {
            let file = changed(if refined { in_scans(&file) } else { file }, changes);
            prop_assume!(!is_large(&file));
            let Some(read) = FileStructure::read(&file) else { return Ok(()) };
            let found = verify(&file, &read, false);
            match complaint(&file) {
                // its fast way through codes says nothing of those that do not exist
                None => prop_assert!(found.is_ok() || found.is_err_and(|fault| fault.kind == FaultKind::BadCode), "{found:?}"),
                Some(text) if text.contains("premature end of data") => {
                    prop_assert!(found.is_err_and(|fault| fault.kind != FaultKind::BadProgression), "{found:?}");
                }
                Some(text) if text.contains("bad Huffman") || text.contains("instead of RST") => {
                    prop_assert!(found.is_err(), "{text}");
                }
                Some(_) => {}
            }
        }

        #[test]
        fn refined_scans_are_one_picture_at_each_scale(
            changes in changes(), scales in prop::sample::subsequence(&SCALES[..], 1..=SCALES.len()).prop_shuffle(),
        ) {
            let file = changed(in_scans(&encoded(0, false)), changes);
            prop_assume!(!is_large(&file));
            if let Ok(together) = decoded(&file, scales[0], &scales[1..]) {
                for (at, one) in together.iter().enumerate() {
                    let wanted = if at == 0 { scales[0] } else { one.scale };
                    let alone = decoded(&file, wanted, &[]);
                    prop_assert!(alone.is_ok_and(|alone| same(&alone[0], one)), "{wanted} of {scales:?}");
                }
            }
        }
    }

    /// A damaged file is decoded to what the library shows of it, from the bytes as they are.
    #[test]
    fn damage_looks_as_the_library_shows_it() {
        for (name, file, expected) in cases() {
            if expected != Outcome::Damaged
                || complaint(&file).is_none_or(|text| !tintype_jpeg::integrity::is_warning(&text))
            {
                continue;
            }
            let ours = decoded(&file, DctScale::FULL, &[]).expect(name);
            let mut decoder = Decompressor::new().expect("memory");
            let mut pixels = vec![0; 120 * 96 * 3 / 2];
            let subsamp = turbojpeg::Subsamp::Sub2x2;
            let image = YuvImage { pixels: &mut pixels[..], width: 120, align: 1, height: 96, subsamp };
            decoder.decompress_to_yuv(&file, image).expect_err("a warning");
            assert_eq!(samples(&ours[0]), pixels, "{name}");
        }
    }
}
