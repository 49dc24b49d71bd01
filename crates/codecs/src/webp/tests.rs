//! Malformed and unusual WebP files, and the pictures that are decoded from them.

use proptest::prelude::*;

use super::container::{Container, Content, Image};
use super::encode::set_lossless;
use super::mux::{self, ALPHA, put_chunk, vp8x_payload};
use super::{FORMAT, WebP};
use crate::codec::Codec;
use crate::testing::decode_checked;
use tintype_codec_sys::libwebp;
use tintype_pixels::Integrity;
use tintype_pixels::Pixels;
use tintype_pixels::error::Error;
use tintype_pixels::geometry::Size;

/// The payloads of `VP8 ` and `ALPH` of a lossy still picture.
pub(super) fn lossy(file: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    match Container::read(file).ok()?.content {
        Content::Still(Image::Lossy { frame, alpha }) => Some((frame, alpha)),
        _ => None,
    }
}

const SIZE: Size = Size { width: 60, height: 56 };

fn picture(has_alpha: bool) -> Pixels {
    let pixel = |at: u32| {
        let (x, y) = (at % SIZE.width, at / SIZE.width);
        // noise, so that the lossless data are long
        let noise = |seed: u32| at.wrapping_mul(at + seed).wrapping_mul(2_654_435_761) >> 28;
        [
            (x * 3 + noise(1)) as u8,
            (y * 4 + noise(5)) as u8,
            (x + y + noise(9)) as u8,
            if has_alpha { (x * 4) as u8 } else { 255 },
        ]
    };
    let data = (0..SIZE.pixels() as u32).flat_map(pixel).collect();
    Pixels { size: SIZE, channels: 4, data }
}

fn written(has_alpha: bool, lossless: bool) -> Vec<u8> {
    let mut config = webp::WebPConfig::new().expect("a configuration");
    if lossless {
        set_lossless(&mut config);
    } else {
        config.quality = 90.0;
    }
    libwebp::encode(&libwebp::Input::Packed(&picture(has_alpha)), &config, &mut || true).unwrap_or_default()
}

/// The payload of the first chunk of that name.
fn data(file: &[u8], name: &[u8; 4]) -> Vec<u8> {
    let at = file.windows(4).position(|bytes| bytes == name).expect("a chunk");
    let length = u32::from_le_bytes(file[at + 4..at + 8].try_into().expect("four"));
    file[at + 8..][..length as usize].to_vec()
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut chunk = Vec::new();
    put_chunk(&mut chunk, name, data);
    chunk
}

fn riff(chunks: &[&[u8]]) -> Vec<u8> {
    mux::riff(&chunks.concat())
}

/// A `VP8X` chunk with these flags.
fn extended(flags: u8) -> Vec<u8> {
    chunk(b"VP8X", &vp8x_payload(SIZE, flags))
}

struct Chunks {
    lossy: Vec<u8>,
    lossless: Vec<u8>,
    alpha: Vec<u8>,
    under_alpha: Vec<u8>,
}

fn chunks() -> Chunks {
    let with_alpha = written(true, false);
    Chunks {
        lossy: chunk(b"VP8 ", &data(&written(false, false), b"VP8 ")),
        lossless: chunk(b"VP8L", &data(&written(true, true), b"VP8L")),
        alpha: chunk(b"ALPH", &data(&with_alpha, b"ALPH")),
        under_alpha: chunk(b"VP8 ", &data(&with_alpha, b"VP8 ")),
    }
}

fn one(name: &str, file: &[u8]) -> (Pixels, Integrity) {
    let (mut pixels, integrity) = decode_checked(&WebP, file, false).unwrap_or_else(|error| panic!("{name}: {error}"));
    (pixels.remove(0).with_alpha(), integrity)
}

/// A chunk of odd length without its padding byte.
fn unpadded(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let data = if data.len().is_multiple_of(2) { [data, &[0]].concat() } else { data.to_vec() };
    [&name[..], &(data.len() as u32).to_le_bytes(), &data].concat()
}

#[test]
fn container_is_read_by_its_chunks_whatever_flags_and_order() {
    let Chunks { lossy, lossless, alpha, under_alpha } = chunks();
    let exif = chunk(b"EXIF", b"II*\0\x08\0\0\0\0\0\0\0\0\0");
    let (unknown, profile, texts) = (chunk(b"ABCD", b"12345"), chunk(b"ICCP", b"no profile"), chunk(b"XMP ", b"<x/>"));
    let with_size = |file: Vec<u8>, by: i32| {
        let size = (file.len() as i32 - 8 + by) as u32;
        [&file[..4], &size.to_le_bytes(), &file[8..]].concat()
    };
    let simple = riff(&[&lossy]);
    let opaque = one("a sound file", &simple).0;
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    let mut case = |name: &str, file: Vec<u8>| cases.push((name.to_owned(), file));
    for flags in [0x00, 0x02, 0x04, 0x08, 0x10, 0x20, 0x3E, 0xC1, 0xFF] {
        case(&format!("flags {flags:#x} and nothing of it"), riff(&[&extended(flags), &lossy]));
    }
    case("unknown chunks first", riff(&[&unknown, &lossy]));
    case("unknown chunks before the header", riff(&[&unknown, &extended(0), &lossy]));
    case("unknown chunks behind the header", riff(&[&extended(0), &unknown, &lossy]));
    case("unknown chunks last", riff(&[&lossy, &unknown]));
    case("a profile behind the picture", riff(&[&extended(0x20), &lossy, &profile]));
    case("EXIF before the picture", riff(&[&extended(0x08), &exif, &lossy]));
    case("EXIF without a flag", riff(&[&extended(0), &lossy, &exif]));
    case("EXIF without a header", riff(&[&lossy, &exif]));
    case("EXIF and a profile first, without a header", riff(&[&exif, &profile, &lossy]));
    case("texts without a flag", riff(&[&extended(0), &texts, &lossy]));
    case("two headers", riff(&[&extended(0), &extended(0), &lossy]));
    case("a header behind the picture", riff(&[&lossy, &extended(0)]));
    case("two pictures", riff(&[&extended(0), &lossy, &lossless]));
    case("another canvas", riff(&[&chunk(b"VP8X", &vp8x_payload(Size::new(7, 900), 0)), &lossy]));
    case("a long header", riff(&[&chunk(b"VP8X", &[0; 14]), &lossy]));
    case("a short header", riff(&[&chunk(b"VP8X", &[0; 3]), &lossy]));
    for by in [-4000, -20, -9, -3, -2, -1, 1, 2, 3, 10, 5000, i32::MAX - 60_000] {
        case(&format!("a length that is off by {by}"), with_size(simple.clone(), by));
        case(
            &format!("an extended file's length that is off by {by}"),
            with_size(riff(&[&extended(8), &lossy, &exif]), by),
        );
    }
    case("bytes behind the end", [&simple[..], b"garbage behind the end"].concat());
    case("one byte behind the end", [&simple[..], &[0]].concat());
    case("another file behind the end", [&simple[..], &riff(&[&lossless])].concat());
    let lossy_data = &lossy[8..];
    case("no padding at the end", riff(&[&unpadded(b"VP8 ", lossy_data)]));
    case("no padding before EXIF", riff(&[&extended(8), &unpadded(b"VP8 ", lossy_data), &exif]));
    case("no padding before the picture", riff(&[&extended(8), &unpadded(b"EXIF", b"12345"), &lossy]));
    case("a picture in lower case", riff(&[&chunk(b"vp8 ", lossy_data)]));
    case("a header in lower case", riff(&[&chunk(b"vp8x", &vp8x_payload(SIZE, 0)), &lossy]));
    case("EXIF in lower case", riff(&[&extended(8), &lossy, &chunk(b"exif", &exif[8..])]));
    case("a profile in lower case", riff(&[&extended(0x20), &chunk(b"iccp", b"no"), &lossy]));
    case("a profile that is cut off", {
        let file = riff(&[&extended(0x20), &lossy, &profile]);
        file[..file.len() - 3].to_vec()
    });
    for (name, file) in &cases {
        let (pixels, integrity) = one(name, file);
        assert_eq!(integrity, Integrity::Whole, "{name}");
        assert!(pixels.data == opaque.data, "{name}");
    }

    let coloured = one("without loss", &riff(&[&lossless])).0;
    assert!(coloured.data == picture(true).data);
    for (name, file) in [
        ("alpha that no flag announces", riff(&[&extended(0), &lossless])),
        ("alpha that a flag announces", riff(&[&extended(ALPHA), &lossless])),
        ("alpha twice", riff(&[&extended(ALPHA), &alpha, &lossless])),
        ("in lower case", riff(&[&chunk(b"vp8l", &lossless[8..])])),
    ] {
        let (pixels, integrity) = one(name, &file);
        assert!(integrity == Integrity::Whole && pixels.data == coloured.data, "{name}");
    }
    let seen = one("alpha apart", &riff(&[&extended(ALPHA), &alpha, &under_alpha])).0;
    let hidden = one("alpha left out", &riff(&[&under_alpha])).0;
    assert!(
        seen.data.chunks_exact(4).map(|pixel| pixel[3]).eq(picture(true).data.chunks_exact(4).map(|pixel| pixel[3]))
    );
    for (name, file, expected) in [
        ("behind the picture", riff(&[&extended(ALPHA), &under_alpha, &alpha]), &seen),
        ("twice", riff(&[&extended(ALPHA), &alpha, &alpha, &under_alpha]), &seen),
        ("unknown chunks between", riff(&[&extended(ALPHA), &alpha, &unknown, &under_alpha]), &seen),
        ("EXIF between", riff(&[&extended(ALPHA | 8), &alpha, &exif, &under_alpha]), &seen),
        ("without a header", riff(&[&alpha, &under_alpha]), &seen),
        ("without its flag", riff(&[&extended(0), &alpha, &under_alpha]), &hidden),
        ("in lower case", riff(&[&extended(ALPHA), &chunk(b"alph", &alpha[8..]), &under_alpha]), &hidden),
    ] {
        let (pixels, integrity) = one(name, &file);
        assert!(integrity == Integrity::Whole && pixels.data == expected.data, "alpha {name}");
    }
}

#[test]
fn file_without_decodable_picture_is_refused() {
    let Chunks { lossy, alpha, under_alpha, .. } = chunks();
    let cases = [
        ("no chunks", riff(&[])),
        ("only a header", riff(&[&extended(0)])),
        ("an empty picture", riff(&[&chunk(b"VP8 ", b"")])),
        ("a picture of no size", riff(&[&chunk(b"VP8 ", &[0x10, 0, 0, 0x9D, 1, 0x2A, 0, 0, 0, 0])])),
        ("cut off in the picture's header", riff(&[&lossy])[..25].to_vec()),
        ("garbage", riff(&[&chunk(b"VP8L", b"garbage garbage")])),
        ("a damaged alpha", riff(&[&extended(ALPHA), &chunk(b"ALPH", &alpha[8..20]), &under_alpha])),
        ("no header and frames", riff(&[&chunk(b"ANMF", &[0; 40])])),
    ];
    for (name, file) in cases {
        assert!(matches!(decode_checked(&WebP, &file, true), Err(Error::Malformed { format: FORMAT, .. })), "{name}");
    }
}

#[test]
fn truncated_picture_keeps_its_complete_rows() {
    for (has_alpha, lossless) in [(false, false), (true, false), (false, true), (true, true)] {
        let file = written(has_alpha, lossless);
        let name = if lossless { b"VP8L" } else { b"VP8 " };
        let whole = data(&file, name);
        let start = file.len() - whole.len() - whole.len() % 2;
        let (expected, _) = one("a sound file", &file);
        for percent in [60, 75, 90] {
            let cut = whole.len() * percent / 100;
            let truncated = file[..start + cut].to_vec();
            let mut short = truncated.clone();
            short[start - 4..start].copy_from_slice(&(cut as u32).to_le_bytes());
            for (how, file) in [("cut off", truncated), ("short", short)] {
                let case = format!("{percent} % of {name:?}, {has_alpha}, {how}");
                let (pixels, integrity) = one(&case, &file);
                assert!(integrity.is_damaged(), "{case}");
                let stride = SIZE.width as usize * 4;
                let missing = if has_alpha { [0, 0, 0, 0] } else { [0, 0, 0, 255] };
                let is_missing = |row: &&[u8]| {
                    if has_alpha {
                        row.chunks_exact(4).all(|pixel| pixel[3] == 0)
                    } else {
                        row.chunks_exact(4).all(|pixel| *pixel == missing)
                    }
                };
                let rows = SIZE.height as usize - pixels.data.chunks_exact(stride).rev().take_while(is_missing).count();
                assert!((6..SIZE.height as usize).contains(&rows), "{case}: {rows} rows");
                // chroma is interpolated otherwise than by image-webp
                let most = if lossless { 0 } else { 40 };
                let pairs = pixels.data[..rows * stride].iter().zip(&expected.data);
                let worst = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap_or_default();
                assert!(worst <= most, "{case}: {worst}");
            }
        }
    }
}

fn frame(flags: u8, size: Size, chunks: &[u8]) -> Vec<u8> {
    let numbers = [0, 0, size.width - 1, size.height - 1, 40].map(|number: u32| number.to_le_bytes());
    let header: Vec<u8> = numbers.iter().flat_map(|number| number[..3].to_vec()).chain([flags]).collect();
    chunk(b"ANMF", &[&header, chunks].concat())
}

#[test]
fn animation_is_decoded_up_to_the_first_damaged_frame() {
    let Chunks { lossy, lossless, .. } = chunks();
    let parameters = chunk(b"ANIM", &[0, 0, 0, 0, 3, 0]);
    let (first, second) = (frame(2, SIZE, &lossless), frame(2, SIZE, &lossy));
    let short = frame(2, SIZE, &chunk(b"VP8 ", &lossy[8..lossy.len() / 2]));
    let unknown = chunk(b"ABCD", b"12345");
    let (moves, all) = (extended(0x12), || riff(&[&extended(0x12), &parameters, &first, &second, &first]));
    let cases: [(&str, Vec<u8>, usize, bool); 20] = [
        ("as it should be", all(), 3, false),
        ("no parameters", riff(&[&moves, &first, &second]), 2, false),
        ("parameters last", riff(&[&moves, &first, &second, &parameters]), 2, false),
        ("short parameters", riff(&[&moves, &chunk(b"ANIM", &[0; 3]), &first, &second]), 2, false),
        ("no flag", riff(&[&extended(0), &parameters, &first, &second]), 2, false),
        ("no flag and a still picture", riff(&[&extended(0), &lossless, &parameters, &first, &second]), 1, false),
        ("a flag and a still picture, too", riff(&[&moves, &lossy, &parameters, &first, &second]), 2, false),
        ("unknown chunks between", riff(&[&moves, &parameters, &first, &unknown, &second]), 2, false),
        (
            "unknown chunks within",
            riff(&[&moves, &parameters, &frame(2, SIZE, &[&unknown[..], &lossless].concat()), &second]),
            2,
            false,
        ),
        ("a profile last", riff(&[&moves, &parameters, &first, &second, &chunk(b"ICCP", b"no")]), 2, false),
        ("bytes behind the end", [all(), b"garbage".to_vec()].concat(), 3, false),
        ("cut off in the third", all()[..all().len() - 90].to_vec(), 2, true),
        ("cut off behind the second", all()[..all().len() - first.len()].to_vec(), 2, true),
        ("cut off in the first", all()[..all().len() - first.len() - second.len() - 12].to_vec(), 1, true),
        ("the second is short", riff(&[&moves, &parameters, &first, &short, &first]), 1, true),
        ("the first is short", riff(&[&moves, &parameters, &short, &first]), 1, true),
        ("the second has no picture", riff(&[&moves, &parameters, &first, &frame(2, SIZE, &[]), &first]), 1, true),
        ("the second has no header", riff(&[&moves, &parameters, &first, &chunk(b"ANMF", &[0; 9]), &first]), 1, true),
        (
            "the second is of another size",
            riff(&[&moves, &parameters, &first, &frame(2, Size::new(8, 8), &lossy)]),
            1,
            true,
        ),
        (
            "garbage in the second",
            riff(&[&moves, &parameters, &first, &frame(2, SIZE, &chunk(b"VP8 ", &[7; 99]))]),
            1,
            true,
        ),
    ];
    for (name, file, frames, damaged) in cases {
        let (decoded, integrity) = decode_checked(&WebP, &file, true).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((decoded.len(), integrity.is_damaged()), (frames, damaged), "{name}: {integrity:?}");
        if !name.contains("first is") && !name.contains("in the first") {
            assert!(decoded[0].clone().with_alpha().data == picture(true).data, "{name}");
        }
    }
    let info = WebP.probe(&all()).expect("a header");
    assert_eq!((info.frames, info.loops), (3, tintype_pixels::Loops::Times(3)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_chunks_give_pictures_of_the_announced_size_or_an_error(
        order in Just((0..6).collect::<Vec<usize>>()).prop_shuffle(), count in 1_usize..7, animated: bool, flags: u8,
        cut in any::<prop::sample::Index>(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let Chunks { lossy, lossless, alpha, under_alpha } = chunks();
        let all = [
            extended(flags), alpha, lossy, lossless.clone(), frame(0, SIZE, &under_alpha), frame(1, SIZE, &lossless),
        ];
        let some: Vec<&[u8]> = order.iter().take(count).map(|&at| &all[at][..]).collect();
        let mut file = riff(&some);
        for (place, byte) in flips {
            let place = place.index(file.len());
            file[place] = byte;
        }
        file.truncate(cut.index(file.len() * 2).min(file.len()));
        // pictures stay small
        if WebP.probe(&file).is_ok_and(|info| info.size.pixels() <= 1 << 12) {
            let _ = decode_checked(&WebP, &file, animated);
        }
    }
}
