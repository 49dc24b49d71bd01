//! Image data that are truncated or corrupt.

use proptest::prelude::*;

use super::*;

#[test]
fn truncated_and_corrupt_data_keep_the_rows_before() {
    for kind in KINDS {
        let parts = parts(kind);
        let whole = parts.whole();
        let (expected, _) = one(&whole);
        let length = parts.data.len();
        let mut flipped = parts.data.clone();
        flipped[length / 2] ^= 0x10;
        let mut adler = parts.data.clone();
        adler[length - 1] ^= 1;
        let short = deflated(&raw(kind)[..raw(kind).len() / 2]);
        let mut filter = raw(kind);
        // the row in the middle, where rows have one length
        let line = filter.len() / SIDE as usize;
        filter[line * (SIDE as usize / 2)] = 9;
        let cases: [(&str, Vec<u8>, bool); 8] = [
            ("the file is cut off", whole[..parts.before.len() + length * 6 / 10].to_vec(), false),
            (
                "the data are cut off",
                [&parts.before[..], &chunk(b"IDAT", &parts.data[..length / 2]), &END].concat(),
                false,
            ),
            (
                "a chunk is missing",
                [&parts.before[..], &parts.split(length / 2 + 1)[..length / 2 + 13], &END].concat(),
                false,
            ),
            ("a bit is wrong", [&parts.before[..], &chunk(b"IDAT", &flipped), &END].concat(), false),
            ("zlib's checksum is wrong", [&parts.before[..], &chunk(b"IDAT", &adler), &END].concat(), true),
            ("a checksum is wrong", [&parts.before[..], &wrong_crc(b"IDAT", &parts.data), &END].concat(), true),
            ("fewer rows", [&parts.before[..], &chunk(b"IDAT", &short), &END].concat(), false),
            ("an unknown filter", [&parts.before[..], &chunk(b"IDAT", &deflated(&filter)), &END].concat(), false),
        ];
        for (name, file, all) in cases {
            if kind.2 && name == "an unknown filter" {
                continue;
            }
            let shown = decode_checked(&Png, &file, false);
            let (shown, integrity) = shown.unwrap_or_else(|error| panic!("{kind:?}, {name}: {error}"));
            assert!(integrity.is_damaged(), "{kind:?}, {name}");
            let shown = &shown[0];
            if all {
                assert!(shown.data == expected.data, "{kind:?}, {name}");
            } else if !kind.2 && name != "a bit is wrong" {
                let expected = if shown.channels == 4 { expected.clone().with_alpha() } else { expected.clone() };
                let same = shown.rows().zip(expected.rows()).take_while(|(a, b)| a == b).count();
                assert!(same >= 3, "{kind:?}, {name}: {same} rows");
                let rest = &shown.data[same * shown.stride()..];
                assert!(rest.iter().all(|&sample| sample == 0), "{kind:?}, {name}: {same} rows");
            } else if kind.2 && shown.channels == 4 && name == "the file is cut off" {
                let filled = shown.data.chunks_exact(4).filter(|pixel| **pixel != [0; 4]).count();
                assert!(filled > shown.data.len() / 5, "{kind:?}: complete passes fill the picture");
            }
        }
    }
}

proptest! {
    #[test]
    fn random_damage_gives_pictures_of_the_announced_size_or_an_error(
        kind in prop::sample::select(KINDS.to_vec()), animated: bool, cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), fixes_crcs: bool,
        order in Just((0..6).collect::<Vec<usize>>()).prop_shuffle(), shuffles: bool,
    ) {
        use super::apng::{colour, control, count, data};
        let parts = parts(kind);
        let all = (SIDE, SIDE);
        let mut chunks = [
            count(3), control(0, all, (0, 0)), parts.split(150), control(1, (5, 5), (1, 1)),
            data(2, &colour((5, 5), [9, 9, 9])), control(3, all, (0, 0)),
        ].to_vec();
        if shuffles {
            chunks = order.into_iter().map(|at| chunks[at].clone()).collect();
        }
        let mut file = [&parts.before[..], &chunks.concat(), &data(4, &parts.data), &END].concat();
        for (place, byte) in flips {
            // the size is kept, so that pictures are small
            let place = 24 + place.index(file.len() - 24);
            file[place] = byte;
        }
        if fixes_crcs {
            let mut at = 8;
            while let Some(chunk) = super::super::chunk::chunk(&file, at).filter(|chunk| chunk.end() <= file.len()) {
                let checksum = crc32fast::hash(&file[chunk.data.start - 4..chunk.data.end]).to_be_bytes();
                file[chunk.data.end..chunk.end()].copy_from_slice(&checksum);
                at = chunk.end();
            }
        }
        file.truncate(cut.index(file.len() * 2).min(file.len()));
        let _ = decode_checked(&Png, &file, animated);
    }
}
