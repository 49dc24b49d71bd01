//! Damage as libjpeg-turbo reports and conceals it, compared with our checks and decoders.

use turbojpeg::{Decompressor, Transform, TransformOp, Transformer, YuvImage};

use super::*;
use tintype_jpeg::verify::FaultKind;

/// The warning or error of the library from decoding the whole file.
fn library_error(file: &[u8]) -> Option<String> {
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

/// The same coefficients in progressive scans with successive approximation.
fn to_progressive(sequential: &[u8]) -> Vec<u8> {
    let mut transform = Transform::op(TransformOp::None);
    transform.progressive = true;
    Transformer::new().expect("memory").transform_to_vec(&transform, sequential).expect("an undamaged file")
}

#[test]
fn missing_scan_is_damage() {
    let undamaged = to_progressive(&encoded(0, false));
    let starts = found(&undamaged, 0xDA);
    for at in 1..starts.len() - 1 {
        let tables = |at: usize| {
            let tables = undamaged[..starts[at]].windows(2).rposition(|pair| pair == [0xFF, 0xC4]);
            tables.filter(|&table| table > starts[at - 1]).unwrap_or(starts[at])
        };
        let missing = [&undamaged[..tables(at)], &undamaged[tables(at + 1)..]].concat();
        // a file with fewer scans may be valid; one in which a later scan refines the missing one is not
        if library_error(&missing).is_some() {
            assert_eq!(outcome(&missing, DctScale::FULL).0, Outcome::Damaged, "without scan {at}");
        }
        let cut = outcome(&undamaged[..tables(at)], DctScale::FULL);
        assert_eq!(cut, (Outcome::Damaged, "it ends before its last scan".into()), "cut before scan {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn verify_finds_the_faults_that_the_library_warns_of(
        file in files(), refined in any::<bool>(), changes in changes(),
    ) {
        let file = changed(if refined { to_progressive(&file) } else { file }, changes);
        prop_assume!(!is_large(&file));
        let Some(read) = FileStructure::read(&file) else { return Ok(()) };
        let found = verify(&file, &read, false);
        match library_error(&file) {
            // the library's fast path does not report invalid Huffman codes
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
    fn refined_scans_are_the_same_picture_alone_and_with_other_scales(
        changes in changes(), scales in prop::sample::subsequence(&SCALES[..], 1..=SCALES.len()).prop_shuffle(),
    ) {
        let file = changed(to_progressive(&encoded(0, false)), changes);
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

/// The library gets the unrepaired bytes.
#[test]
fn damaged_file_decodes_to_the_samples_of_the_library() {
    for (name, file, expected) in cases() {
        if expected != Outcome::Damaged
            || library_error(&file).is_none_or(|text| !tintype_jpeg::integrity::is_warning(&text))
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
