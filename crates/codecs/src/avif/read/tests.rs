//! Whole files: the selected picture of a container, tolerated damage, and the error of refused files.

use proptest::prelude::*;

use super::testing::{
    BLUE, File, Item, RED, Track, alpha_type, assert_corners, assert_flat, boxed, clap, coded, coded_alpha,
    decode_file, ispe, nclx, pixel, primary_data,
};
use super::*;
use tintype_pixels::error::Error;

/// Two layers, a red one of 32x24 and a blue one of 64x48.
const LAYERED: &[u8] = include_bytes!("../../../../../testdata/avif/layered.avif");
/// 10 bits of YCgCo-Re, lossless.
const YCGCO_RE: &[u8] = include_bytes!("../../../../../testdata/avif/ycgco-re.avif");

const ALPHA: u8 = 100;
const TRANSLUCENT_RED: [u8; 4] = [RED[0], RED[1], RED[2], ALPHA];

fn operating_point(index: u8) -> Vec<u8> {
    boxed(b"a1op", &[index])
}

fn layer(layer: u16) -> Vec<u8> {
    boxed(b"lsel", &layer.to_be_bytes())
}

/// A red picture of 64x48.
fn still() -> Item {
    Item::av1(1, coded(64, 48, RED)).with(ispe(64, 48))
}

/// The alpha item of [`still`].
fn alpha() -> Item {
    Item::av1(2, coded_alpha(64, 48, ALPHA)).with(alpha_type())
}

fn with_alpha(colour: Item, alpha: Item) -> File {
    File::of_items(vec![colour, alpha]).references(b"auxl", 2, &[1])
}

#[test]
fn selected_layer_is_shown() {
    let data = primary_data(LAYERED).0;
    let item = |size: (u32, u32)| Item::av1(1, data.clone()).with(ispe(size.0, size.1));
    let (whole, half) = ((64, 48), (32, 24));
    let table = [
        ("neither", item(whole), whole, BLUE),
        ("the highest layer", item(whole).essential(layer(0xffff)), whole, BLUE),
        ("layer 1", item(whole).essential(layer(1)), whole, BLUE),
        ("layer 0", item(half).essential(layer(0)), half, RED),
        ("layer 0 in the size of the whole", item(whole).essential(layer(0)), whole, RED),
        ("operating point 1", item(half).essential(operating_point(1)), half, RED),
        ("operating point 1, larger", item(whole).essential(operating_point(1)), whole, RED),
        ("a missing operating point", item(whole).essential(operating_point(9)), whole, BLUE),
        ("operating point and layer", item(half).essential(operating_point(0)).essential(layer(0)), half, RED),
        ("another size", item((50, 61)), (50, 61), BLUE),
    ];
    for (name, item, size, colour) in table {
        assert_flat(name, &File::of_items(vec![item]).to_bytes(), size, &colour);
    }
    for absent in [2, 3, 4, 300] {
        let file = File::of_items(vec![item(whole).essential(layer(absent))]).to_bytes();
        assert!(matches!(decode_file(&file), Err(Failure::Damaged(_))), "{absent}");
    }
}

#[test]
fn lower_layer_is_shown_where_the_item_has_no_other() {
    let data = primary_data(LAYERED).0;
    // the second layer is the last OBU, of 28 bytes, its header of two bytes and a size
    let first = &data[..data.len() - 31];
    let item = |data: &[u8]| Item::av1(1, data.to_vec()).with(ispe(64, 48));
    assert_flat("first layer", &File::of_items(vec![item(first)]).to_bytes(), (64, 48), &RED);
    for length in [data.len() - 1, data.len() - 27, first.len() + 1] {
        let file = File::of_items(vec![item(&data[..length])]).to_bytes();
        assert!(matches!(decode_file(&file), Err(Failure::Damaged(_))), "{length}");
    }
}

#[test]
fn lossless_ycgco_re_is_exact() {
    let (header, decoded) = decode_file(YCGCO_RE).expect("a picture");
    assert_eq!((header.width, header.height, header.depth), (16, 12, 8));
    for (x, y) in (0..12).flat_map(|y| (0..16).map(move |x| (x, y))) {
        let wanted = [x * 17 % 256, y * 23 % 256, x * y * 5 % 256].map(|sample| sample as u8);
        assert_eq!(pixel(&decoded, x, y), wanted, "{x}, {y}");
    }
}

#[test]
fn unusual_files_are_shown() {
    let picture = |item: Item| File::of_items(vec![item]);
    let bare = || Item::av1(1, coded(64, 48, RED));
    let trailing = |tail: &[u8]| Item::av1(1, [&coded(64, 48, RED), tail].concat()).with(ispe(64, 48));
    let unknown = || boxed(b"zzzz", &[1, 2, 3]);
    let table: [(&str, File, &[u8]); 22] = [
        ("plain", picture(still()), &RED),
        ("data in idat", picture(still().method(1)), &RED),
        ("no ispe", picture(bare()), &RED),
        ("an unknown property", picture(still().with(unknown())), &RED),
        ("a damaged property", picture(still().with(boxed(b"colr", b"ncl"))), &RED),
        ("a crop beyond the picture", picture(still().essential(clap([65, 1, 48, 1, 0, 1, 0, 1]))), &RED),
        ("a crop without denominator", picture(still().essential(clap([32, 0, 48, 1, 0, 1, 0, 1]))), &RED),
        ("zeros behind the frame", picture(trailing(&[0; 50])), &RED),
        ("noise behind the frame", picture(trailing(&[0xff; 50])), &RED),
        ("a cut OBU behind the frame", picture(trailing(&[0x2a, 0x7f, 1, 2])), &RED),
        ("a cut frame behind the frame", picture(trailing(&[0x32, 0x7f, 1, 2])), &RED),
        ("a second picture behind the frame", picture(trailing(&coded(32, 32, BLUE))), &RED),
        ("a damaged box behind the others", File { tail: vec![0, 0, 9, 9, b'f'], ..picture(still()) }, &RED),
        (
            "a cut box behind the others",
            File { tail: vec![0, 0, 9, 9, b'm', b'd', b'a', b't'], ..picture(still()) },
            &RED,
        ),
        ("a box without size", File { tail: vec![0, 0, 0, 3, b'f', b'r', b'e', b'e'], ..picture(still()) }, &RED),
        ("free boxes", File { tail: boxed(b"free", &[1; 30]), ..picture(still()) }, &RED),
        (
            "a damaged box in meta",
            File { meta_tail: vec![0, 0, 9, 9, b'f', b'r', b'e', b'e'], ..picture(still()) },
            &RED,
        ),
        ("an unknown box in meta", File { meta_tail: unknown(), ..picture(still()) }, &RED),
        ("alpha without ispe", with_alpha(still(), alpha()), &TRANSLUCENT_RED),
        (
            "alpha of half the size",
            with_alpha(still(), Item::av1(2, coded_alpha(32, 24, ALPHA)).with(alpha_type()).with(ispe(32, 24))),
            &TRANSLUCENT_RED,
        ),
        ("alpha with an unsupported essential property", with_alpha(still(), alpha().essential(unknown())), &RED),
        ("a missing alpha item", File::of_items(vec![still()]).references(b"auxl", 2, &[1]), &RED),
    ];
    for (name, file, colour) in table {
        assert_flat(name, &file.to_bytes(), (64, 48), colour);
    }
    // the size in the container takes precedence
    for size in [(64, 96), (200, 48), (63, 47), (1, 1), (16, 12)] {
        let file = picture(bare().with(ispe(size.0, size.1))).to_bytes();
        assert_flat(&format!("{size:?}"), &file, size, &RED);
    }
}

/// A grid of 2x1 tiles of 64x64, red and blue; IDs 4 and 5 are free for alpha.
fn grid(size: (u16, u16)) -> File {
    let tile = |id, colour| Item::av1(id, coded(64, 64, colour)).with(ispe(64, 64));
    let grid = Item::grid(1, (2, 1), size).with(ispe(size.0.into(), size.1.into()));
    File::of_items(vec![grid, tile(2, RED), tile(3, BLUE)]).references(b"dimg", 1, &[2, 3])
}

#[test]
fn grid_is_assembled_from_its_tiles() {
    let translucent = |rgb: [u8; 3], alpha| [rgb[0], rgb[1], rgb[2], alpha];
    let (red, blue): (&[u8], &[u8]) = (&RED, &BLUE);
    for size in [(128, 64), (127, 63), (100, 20), (65, 1)] {
        assert_corners("opaque", &grid(size).to_bytes(), (size.0.into(), size.1.into()), [red, blue, red, blue]);
    }
    let mut other_ispe = grid((128, 64));
    other_ispe.items[0].properties = vec![(ispe(64, 64), false)];
    assert_corners("another ispe", &other_ispe.to_bytes(), (128, 64), [red, blue, red, blue]);

    // alpha of each tile, of the grid as a grid, and of the grid as one picture
    let (left, right) = (translucent(RED, 40), translucent(BLUE, 200));
    let alpha = |id, value| Item::av1(id, coded_alpha(64, 64, value)).with(ispe(64, 64)).with(alpha_type());
    let mut file = grid((100, 64));
    file.items.extend([alpha(4, 40), alpha(5, 200)]);
    let of_tiles = file.clone().references(b"auxl", 4, &[2]).references(b"auxl", 5, &[3]);
    assert_corners("of tiles", &of_tiles.to_bytes(), (100, 64), [&left, &right, &left, &right]);
    let of_one_tile = file.clone().references(b"auxl", 4, &[2]);
    assert_corners("of one tile", &of_one_tile.to_bytes(), (100, 64), [red, blue, red, blue]);
    file.items.push(Item::grid(6, (2, 1), (100, 64)).with(ispe(100, 64)).with(alpha_type()));
    let of_grid = file.references(b"dimg", 6, &[4, 5]).references(b"auxl", 6, &[1]);
    assert_corners("of a grid", &of_grid.to_bytes(), (100, 64), [&left, &right, &left, &right]);
    let mut file = grid((100, 64));
    file.items.push(Item::av1(4, coded_alpha(100, 64, 40)).with(alpha_type()));
    let (left, right) = (translucent(RED, 40), translucent(BLUE, 40));
    let of_picture = file.references(b"auxl", 4, &[1]);
    assert_corners("of a picture", &of_picture.to_bytes(), (100, 64), [&left, &right, &left, &right]);
}

#[test]
fn grid_of_layered_tiles_shows_the_selected_layer() {
    let data = primary_data(LAYERED).0;
    for (selected, colour) in [(0, RED), (1, BLUE), (0xffff, BLUE)] {
        let tile = |id| Item::av1(id, data.clone()).with(ispe(64, 48)).essential(layer(selected));
        let grid = Item::grid(1, (1, 2), (64, 90)).with(ispe(64, 90));
        let file = File::of_items(vec![grid, tile(2), tile(3)]).references(b"dimg", 1, &[2, 3]);
        assert_flat(&format!("layer {selected}"), &file.to_bytes(), (64, 90), &colour);
    }
}

#[test]
fn unsupported_features_are_not_reported_as_damage() {
    let picture = |item: Item| File::of_items(vec![item]);
    let derived = |kind| {
        let items = vec![Item::new(9, kind, vec![0; 20]).with(ispe(64, 48)), still()];
        File::of_items(items).references(b"dimg", 9, &[1])
    };
    let mut nested = grid((128, 64));
    nested.items[1] = Item::grid(2, (1, 1), (64, 64)).with(ispe(64, 64));
    let mut foreign = grid((128, 64));
    foreign.items[1].kind = *b"hvc1";
    let turned = Item { properties: vec![(boxed(b"irot", &[1]), true), (alpha_type(), false)], ..alpha() };
    let table = [
        ("an item of type iovl", derived(b"iovl")),
        ("an item of type iden", derived(b"iden")),
        ("an item of type tmap", derived(b"tmap")),
        ("an item of type hvc1", picture(Item { kind: *b"hvc1", ..still() })),
        ("a tile of type grid", nested),
        ("a tile of type hvc1", foreign),
        ("the essential property zzzz", picture(still().essential(boxed(b"zzzz", &[])))),
        ("construction method 2 of item data", picture(still().method(2))),
        ("the colour matrix 14", picture(still().with(nclx([9, 16, 14])))),
        ("the colour matrix 10", picture(still().with(nclx([9, 14, 10])))),
        // the encoder of builds without native codecs does not subsample chroma
        #[cfg(feature = "native")]
        ("the identity matrix with subsampled chroma", picture(still().with(nclx([1, 13, 0])))),
        ("alpha that is transformed otherwise than the colour", with_alpha(still(), turned)),
    ];
    for (feature, file) in table {
        let found = decode_file(&file.to_bytes()).map(|_| ());
        assert_eq!(found, Err(Failure::Unsupported(format!("{feature} is not supported"))));
    }
}

#[test]
fn codec_maps_damage_and_unsupported_features_to_different_errors() {
    let layered = |selected| File::of_items(vec![Item::av1(1, primary_data(LAYERED).0).essential(layer(selected))]);
    let unsupported = File::of_items(vec![Item::new(1, b"iovl", vec![0; 20]).with(ispe(64, 48))]);
    let probe =
        |file: File| crate::codec::Codec::probe(&crate::formats::of(tintype_pixels::Format::Avif), &file.to_bytes());
    assert!(probe(layered(1)).is_ok());
    assert!(matches!(probe(layered(2)), Err(Error::Malformed { .. })));
    let Err(Error::Unsupported { reason, .. }) = probe(unsupported) else { panic!("iovl is read") };
    assert_eq!(reason, "an item of type iovl is not supported");
}

#[test]
fn truncated_or_inconsistent_files_are_refused() {
    let data = coded(64, 48, RED);
    let picture = |data: &[u8]| File::of_items(vec![Item::av1(1, data.to_vec()).with(ispe(64, 48))]).to_bytes();
    for length in 0..data.len() {
        assert!(matches!(decode_file(&picture(&data[..length])), Err(Failure::Damaged(_))), "{length}");
    }
    // the data of the last item are at the end of the file
    let whole = File::of_items(vec![still()]).to_bytes();
    for length in 0..whole.len() {
        assert!(!matches!(probe(&whole[..length]), Err(Failure::Unsupported(_))), "{length}");
    }
    let table = [
        ("no items", File { brand: *b"avif", ..File::of_tracks(Vec::new()) }),
        ("an empty picture", File::of_items(vec![Item::av1(1, data.clone()).with(ispe(0, 48))])),
        ("an empty item", File::of_items(vec![Item::av1(1, Vec::new()).with(ispe(64, 48)).method(1)])),
        ("a damaged essential property", File::of_items(vec![still().essential(boxed(b"irot", &[]))])),
        ("a missing primary item", File { primary: Some(7), ..File::of_items(vec![still()]) }),
        ("a grid of fewer tiles", File { references: Vec::new(), ..grid((128, 64)) }),
        ("a grid that tiles do not cover", grid((129, 64))),
        ("a grid of a tile too many", grid((64, 64))),
    ];
    for (name, file) in table {
        assert!(matches!(decode_file(&file.to_bytes()), Err(Failure::Damaged(_))), "{name}");
    }
}

#[test]
fn files_without_boxes_are_refused() {
    for bytes in [&b""[..], b"\0\0\0\x08ftyp", b"\0\0\0\x10ftypavif\0\0\0\0", &[0xff; 64]] {
        assert!(matches!(probe(bytes), Err(Failure::Damaged(_))));
    }
}

/// A grid of 10x10 tiles that state a size of 8 pixels a side.
fn grid_of_frames((width, height): (u32, u32)) -> Vec<u8> {
    let data = coded(width, height, RED);
    let ids = (2..102).collect::<Vec<_>>();
    let tiles = ids.iter().map(|&id| Item::av1(id, data.clone()).with(ispe(8, 8)));
    let items = [Item::grid(1, (10, 10), (80, 80))].into_iter().chain(tiles).collect();
    File::of_items(items).references(b"dimg", 1, &ids).to_bytes()
}

/// A sequence of so many frames that are larger than its track states.
fn sequence_of_frames(frames: usize) -> Vec<u8> {
    let track = Track { repeats: frames, ..Track::new(1, (1, 1), coded(64, 48, RED)) };
    File::of_tracks(vec![track]).to_bytes()
}

#[test]
fn frames_out_of_proportion_to_the_picture_are_refused() {
    let alpha = |(width, height): (u32, u32)| {
        let alpha = Item::av1(2, coded_alpha(width, height, ALPHA)).with(alpha_type()).with(ispe(width, height));
        with_alpha(still(), alpha).to_bytes()
    };
    let table = [
        ("tiles of a few pixels", grid_of_frames((64, 64)), true),
        ("tiles of many pixels", grid_of_frames((128, 96)), false),
        ("a short sequence", sequence_of_frames(300), true),
        ("a long sequence", sequence_of_frames(400), false),
        ("alpha of a few pixels", alpha((640, 480)), true),
        ("alpha of many pixels", alpha((1100, 1000)), false),
    ];
    for (name, file, is_read) in table {
        match probe(&file) {
            Ok(_) => assert!(is_read, "{name}"),
            Err(Failure::Damaged(reason)) => assert!(!is_read && reason.contains("are coded"), "{name}: {reason}"),
            Err(failure) => panic!("{name}: {failure:?}"),
        }
    }
}

#[test]
fn tile_that_states_a_huge_size_is_shown_without_its_columns() {
    let tile = Item::av1(2, coded(64, 48, RED)).with(ispe(u32::MAX, 48));
    let file = File::of_items(vec![Item::grid(1, (1, 1), (64, 48)), tile]).references(b"dimg", 1, &[2]);
    assert_flat("one column", &file.to_bytes(), (64, 48), &RED);
}

#[test]
fn memory_estimate_includes_coded_frames() {
    // libaom codes photographs with 10 bits a sample
    let pixel = if cfg!(feature = "native") { 20 } else { 10 };
    let bytes = |item: Item| probe(&File::of_items(vec![item]).to_bytes()).expect("a header").decoded_bytes;
    assert_eq!(bytes(still()), pixel * 64 * 48);
    // a small picture of large frames, and a large one of small frames
    assert_eq!(bytes(Item::av1(1, coded(64, 48, RED)).with(ispe(2, 2))), pixel * 64 * 48);
    assert_eq!(bytes(Item::av1(1, coded(64, 48, RED)).with(ispe(640, 480))), pixel * 640 * 480);
    // the second layer refers to the first one
    assert_eq!(bytes(Item::av1(1, primary_data(LAYERED).0).with(ispe(64, 48))), 13 * 64 * 48);
}

/// Reads the header, and the pixels where they are few.
fn read_small(file: &[u8]) {
    if let Ok(header) = probe(file)
        && header.decoded_bytes < 1 << 24
    {
        let _ = decode(file, &header);
    }
}

proptest! {
    #[test]
    fn damaged_file_never_panics(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in any::<prop::sample::Index>(), kind in 0..3_usize,
    ) {
        let data = || primary_data(LAYERED).0;
        let mut file = match kind {
            0 => {
                let colour = Item::av1(1, data()).with(ispe(64, 48)).essential(layer(1));
                with_alpha(colour, Item::av1(2, data()).with(alpha_type()).essential(clap([9, 1, 9, 1, 1, 1, 1, 1])))
            }
            1 => {
                let tile = |id| Item::av1(id, data()).with(ispe(64, 48));
                let grid = Item::grid(1, (2, 1), (128, 48)).with(ispe(128, 48));
                File::of_items(vec![grid, tile(2), tile(3)]).references(b"dimg", 1, &[2, 3])
            }
            _ => File::of_tracks(vec![Track::new(1, (64, 48), data()), Track::new(2, (0, 0), data()).references(b"auxl", 1)]),
        }
        .to_bytes();
        for (index, value) in changes {
            *index.get_mut(&mut file) = value;
        }
        read_small(&file);
        file.truncate(end.index(file.len()));
        read_small(&file);
    }
}
