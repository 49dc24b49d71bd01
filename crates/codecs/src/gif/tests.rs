//! Malformed and unusual GIF files, and the frames that are decoded from them.

use proptest::prelude::*;

use super::Gif;
use crate::codec::Codec;
use crate::testing::decode_checked;
use tintype_pixels::Pixels;

const SIDE: usize = 16;

/// Header, logical screen descriptor and a global colour table of 16 colours.
fn header(width: u16, height: u16) -> Vec<u8> {
    let palette = (0..16).flat_map(|index| [index * 16, 255 - index * 16, 7]);
    let size = [width.to_le_bytes(), height.to_le_bytes()].concat();
    [&b"GIF89a"[..], &size, &[0x83, 0, 0]].concat().into_iter().chain(palette).collect()
}

fn codes(pixels: &[u8]) -> Vec<u8> {
    weezl::encode::Encoder::new(weezl::BitOrder::Lsb, 4).encode(pixels).expect("encoded")
}

fn sub_blocks(data: &[u8]) -> Vec<u8> {
    data.chunks(255).flat_map(|block| [&[block.len() as u8][..], block].concat()).chain([0]).collect()
}

/// Graphic control extension and image of 16 by 16 pixels.
fn frame_of(data: &[u8], interlaced: bool) -> Vec<u8> {
    let flags = if interlaced { 0x40 } else { 0 };
    [&[0x21, 0xF9, 4, 4, 5, 0, 0, 0, 0x2C, 0, 0, 0, 0, 16, 0, 16, 0, flags, 4][..], &sub_blocks(data)].concat()
}

fn pixels(seed: usize) -> Vec<u8> {
    (0..SIDE * SIDE).map(|at| ((at * at / 7 + at / 3 * seed) % 16) as u8).collect()
}

fn frame(seed: usize) -> Vec<u8> {
    frame_of(&codes(&pixels(seed)), false)
}

fn file(blocks: &[&[u8]]) -> Vec<u8> {
    [&header(16, 16)[..], &blocks.concat()].concat()
}

/// The number of rows from the top that are not transparent; asserts that they are the expected ones.
fn rows(pixels: &Pixels, expected: &[u8]) -> usize {
    let pixels = pixels.clone().with_alpha();
    let is_visible = |row: usize| {
        let row = &pixels.data[row * SIDE * 4..][..SIDE * 4];
        row.iter().any(|&sample| sample != 0)
    };
    let count = (0..SIDE).take_while(|&row| is_visible(row)).count();
    for (at, pixel) in pixels.data.chunks_exact(4).enumerate() {
        let index = expected[at];
        let expected = if at / SIDE < count { [index * 16, 255 - index * 16, 7, 255] } else { [0; 4] };
        assert_eq!(pixel, expected, "pixel {at}");
    }
    count
}

#[test]
fn unusual_blocks_and_ends_are_no_damage() {
    let [first, second] = [frame(3), frame(5)];
    let without_terminator = &first[..first.len() - 1];
    let without_end_code = {
        let data = codes(&pixels(3));
        frame_of(&data[..data.len() - 1], false)
    };
    let cases: [(&str, Vec<u8>, usize); 12] = [
        ("no trailer", file(&[&first]), 1),
        ("no trailer behind two frames", file(&[&first, &second]), 2),
        ("no block terminator", file(&[without_terminator]), 1),
        ("no end code", file(&[&without_end_code, b";"]), 1),
        ("bytes behind the trailer", file(&[&first, b";garbage\x2c\x21"]), 1),
        ("garbage in place of the trailer", file(&[&first, b"garbage"]), 1),
        ("a graphic control extension without an image", file(&[&first, &[0x21, 0xF9, 4, 0, 0, 0, 0, 0]]), 1),
        ("a truncated graphic control extension", file(&[&first, &[0x21, 0xF9, 4, 0]]), 1),
        ("an extension without a label", file(&[&first, &[0x21]]), 1),
        ("a truncated image descriptor", file(&[&first, &second[..12]]), 1),
        ("a truncated comment", file(&[&first, &[0x21, 0xFE, 9, 1]]), 1),
        ("more codes than pixels", file(&[&frame_of(&codes(&[pixels(3), pixels(3)].concat()), false), b";"]), 1),
    ];
    for (name, file, frames) in cases {
        let (decoded, integrity) = decode_checked(&Gif, &file, true).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!integrity.is_damaged(), "{name}: {integrity:?}");
        assert_eq!(decoded.len(), frames, "{name}");
        assert_eq!(rows(&decoded[0], &pixels(3)), SIDE, "{name}");
    }
}

#[test]
fn screen_smaller_than_the_first_image_is_extended() {
    for (width, height) in [(0, 0), (0, 16), (16, 0), (3, 2)] {
        let (decoded, integrity) =
            decode_checked(&Gif, &[header(width, height), frame(3)].concat(), true).expect("a picture");
        assert!(!integrity.is_damaged() && rows(&decoded[0], &pixels(3)) == SIDE, "{width}x{height}");
    }
}

#[test]
fn truncated_data_keep_their_complete_rows() {
    let data = codes(&pixels(3));
    let mut garbage = data.clone();
    garbage[60..].fill(0xFF);
    let whole = file(&[&frame(3)]);
    let cases = [
        ("the file is truncated", whole[..whole.len() - 60].to_vec()),
        ("the data are truncated", file(&[&frame_of(&data[..60], false), b";"])),
        ("the codes end", file(&[&frame_of(&codes(&pixels(3)[..SIDE * 9 + 5]), false), b";"])),
        ("invalid codes", file(&[&frame_of(&garbage, false), b";"])),
    ];
    for (name, file) in cases {
        let (decoded, integrity) = decode_checked(&Gif, &file, true).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(integrity.is_damaged(), "{name}");
        let rows = rows(&decoded[0], &pixels(3));
        assert!((4..SIDE).contains(&rows), "{name}: {rows} rows");
    }
    let without_pixels = [0x2C, 0, 0, 0, 0, 0, 0, 16, 0, 0, 4, 0];
    assert!(decode_checked(&Gif, &file(&[&without_pixels, b";"]), true).is_err());
    for nothing in [file(&[&frame_of(&[], false), b";"]), file(&[&frame_of(&data[..2], false), b";"]), file(&[b";"])] {
        assert!(decode_checked(&Gif, &nothing, true).is_err());
    }
}

#[test]
fn missing_interlaced_rows_repeat_the_row_above() {
    let ordered = pixels(3);
    let passes = [(0, 8), (4, 8), (2, 4), (1, 2)].into_iter().flat_map(|(first, step)| (first..SIDE).step_by(step));
    let sent: Vec<u8> = passes.flat_map(|row| ordered[row * SIDE..][..SIDE].to_vec()).collect();
    for (sent_rows, from) in
        [(1, [0, 0, 0, 0]), (2, [0, 0, 0, 0]), (4, [0, 0, 0, 0]), (6, [0, 0, 2, 2]), (8, [0, 0, 2, 2])]
    {
        let file = file(&[&frame_of(&codes(&sent[..sent_rows * SIDE]), true), b";"]);
        let (decoded, integrity) = decode_checked(&Gif, &file, true).expect("rows");
        assert!(integrity.is_damaged());
        let decoded = decoded[0].clone().with_alpha();
        let visible_rows = if sent_rows == 1 { 8 } else { SIDE };
        for (row, from) in from.into_iter().enumerate() {
            let expected: Vec<u8> = ordered[from * SIDE..][..SIDE]
                .iter()
                .flat_map(|index| [index * 16, 255 - index * 16, 7, 255])
                .collect();
            assert_eq!(decoded.data[row * SIDE * 4..][..SIDE * 4], expected, "row {row} of {sent_rows}");
        }
        let visible = decoded.data.chunks_exact(SIDE * 4).filter(|row| row[3] == 255).count();
        assert_eq!(visible, visible_rows, "{sent_rows} rows were sent");
    }
}

#[test]
fn animation_is_decoded_up_to_the_first_damaged_frame() {
    let data = codes(&pixels(5));
    let short = frame_of(&data[..data.len() / 2], false);
    let garbage = frame_of(&[0xFF; 90], false);
    let second = frame(5);
    let cases: [(&str, Vec<u8>, usize, bool); 9] = [
        ("the last frame is short", file(&[&frame(3), &second, &short, b";"]), 2, true),
        ("the last frame is garbage", file(&[&frame(3), &second, &garbage, b";"]), 2, true),
        ("a middle frame is short", file(&[&frame(3), &short, &second, b";"]), 1, true),
        ("the first frame is short", file(&[&frame_of(&codes(&pixels(3))[..70], false), &second, b";"]), 1, true),
        ("the last frame is truncated", file(&[&frame(3), &second, &second[..second.len() - 30]]), 2, true),
        (
            "a frame without pixels",
            file(&[&frame(3), &[0x2C, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0], &second, b";"]),
            3,
            false,
        ),
        (
            "a frame without columns",
            file(&[&frame(3), &[0x2C, 0, 0, 0, 0, 0, 0, 16, 0, 0, 4, 0], &second, b";"]),
            3,
            false,
        ),
        (
            "an interlaced frame without columns",
            file(&[&frame(3), &[0x2C, 0, 0, 0, 0, 0, 0, 16, 0, 0x40, 4, 0], &second, b";"]),
            3,
            false,
        ),
        (
            "a frame outside of the screen",
            {
                let mut outside = frame(5);
                outside[9] = 40;
                file(&[&frame(3), &outside, b";"])
            },
            2,
            false,
        ),
    ];
    for (name, file, frames, damaged) in cases {
        let (decoded, integrity) = decode_checked(&Gif, &file, true).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((decoded.len(), integrity.is_damaged()), (frames, damaged), "{name}: {integrity:?}");
    }
}

/// The disposal of a frame without a transparent colour, and whether it covers the screen; others have one pixel.
type Disposed = (u8, bool);

#[test]
fn disposed_frames_make_an_animation_transparent() {
    let table: [(&[Disposed], bool); 11] = [
        (&[(0, true), (0, false)], false),
        (&[(1, true), (0, false)], false),
        (&[(2, true), (0, false)], true),
        (&[(3, true), (0, false)], true),
        (&[(2, true), (0, true)], false),
        (&[(3, true), (3, true), (0, false)], true),
        (&[(0, true), (2, false), (0, false)], true),
        (&[(0, true), (3, false), (0, false)], false),
        (&[(2, true), (0, true), (3, false), (0, false)], false),
        (&[(0, false), (0, true)], true),
        (&[(2, true)], false),
    ];
    for (frames, expected) in table {
        let mut blocks = Vec::new();
        for (number, &(disposal, is_whole)) in frames.iter().enumerate() {
            let mut block = frame(3);
            if !is_whole {
                // each at another place
                let descriptor = [number as u8, 0, 0, 0, 1, 0, 1, 0, 0, 4];
                block = [&block[..9], &descriptor, &sub_blocks(&codes(&[3]))].concat();
            }
            block[3] = disposal << 2;
            blocks.extend(block);
        }
        let file = file(&[&blocks, b";"]);
        // asserts that the header announces transparent pixels
        let (decoded, _) = decode_checked(&Gif, &file, true).expect("frames");
        assert_eq!(decoded.iter().any(Pixels::has_alpha), expected, "{frames:?}");
        assert_eq!(Gif.probe(&file).expect("a header").has_alpha, expected, "{frames:?}");
    }
}

proptest! {
    #[test]
    fn random_damage_gives_frames_of_the_announced_size_or_an_error(
        cut in any::<prop::sample::Index>(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        interlaced: bool, animated: bool,
    ) {
        let mut file = file(&[&frame(3), &frame_of(&codes(&pixels(5)), interlaced), &frame(7), b";"]);
        for (place, byte) in flips {
            let place = place.index(file.len());
            file[place] = byte;
        }
        file.truncate(cut.index(file.len() * 2).min(file.len()));
        // images stay small
        if file.get(6..10).is_some_and(|size| size[1] < 2 && size[3] < 2) && !file[10..].windows(9).any(|block| {
            block[0] == 0x2C && (block[2] > 1 || block[4] > 1 || block[6] > 1 || block[8] > 1)
        }) {
            let _ = decode_checked(&Gif, &file, animated);
        }
    }
}
