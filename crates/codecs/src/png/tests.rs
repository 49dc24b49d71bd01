//! Malformed PNG files, and the decoded pictures: the table of `header.rs`, row by row.

use ::png::{BitDepth, ColorType};

use super::Png;
use crate::codec::Codec;
use crate::testing::decode_checked;
use tintype_pixels::Integrity;
use tintype_pixels::Pixels;
use tintype_pixels::error::Error;

mod apng;
mod damage;

const SIDE: u32 = 24;

/// A chunk with its CRC.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut chunk = [&(data.len() as u32).to_be_bytes()[..], kind, data].concat();
    chunk.extend(crc32fast::hash(&chunk[4..]).to_be_bytes());
    chunk
}

/// A chunk with a wrong CRC.
fn wrong_crc(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut chunk = chunk(kind, data);
    if let Some(last) = chunk.last_mut() {
        *last ^= 1;
    }
    chunk
}

fn sample(at: u32) -> u8 {
    (at * at / 11 + at / 3 * 5) as u8
}

/// Colour type, bit depth, and whether it is interlaced.
#[derive(Clone, Copy, Debug)]
struct Kind(ColorType, u8, bool);

const KINDS: [Kind; 8] = [
    Kind(ColorType::Rgb, 8, false),
    Kind(ColorType::Rgba, 8, false),
    Kind(ColorType::Grayscale, 8, false),
    Kind(ColorType::Grayscale, 2, false),
    Kind(ColorType::Indexed, 4, false),
    Kind(ColorType::Rgb, 16, false),
    Kind(ColorType::Rgba, 8, true),
    Kind(ColorType::Indexed, 4, true),
];

/// A file without IEND: signature, IHDR and PLTE, and the zlib data.
struct Parts {
    before: Vec<u8>,
    data: Vec<u8>,
}

const END: [u8; 12] = [0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xAE, 0x42, 0x60, 0x82];

fn header(Kind(colours, depth, interlaced): Kind) -> Vec<u8> {
    let sides = [SIDE.to_be_bytes(), SIDE.to_be_bytes()].concat();
    let ihdr = [&sides[..], &[depth, colours as u8, 0, 0, interlaced.into()]].concat();
    [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &ihdr)].concat()
}

/// Sixteen colours.
fn palette() -> Vec<u8> {
    (0..48).map(|at| (at * 5) as u8).collect()
}

/// Stored zlib blocks, so that truncated data are truncated rows.
fn deflated(raw: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(raw).expect("written");
    encoder.finish().expect("finished")
}

/// Scanlines of filter type None, of the image or of its passes.
fn raw(Kind(colours, depth, interlaced): Kind) -> Vec<u8> {
    let bits = colours.samples() * usize::from(depth);
    let pixel = |x: u32, y: u32| -> Vec<u8> {
        let bytes = bits.div_ceil(8).max(1) as u32;
        (0..bytes).map(|at| sample((y * SIDE + x) * bytes + at)).collect()
    };
    let row = |columns: &[u32], y: u32| -> Vec<u8> {
        let mut row = vec![0];
        if bits >= 8 {
            columns.iter().for_each(|&x| row.extend(pixel(x, y)));
        } else {
            let each = 8 / bits;
            row.extend(columns.chunks(each).map(|columns| {
                let places = columns.iter().map(|&x| pixel(x, y)[0] & ((1 << bits) - 1));
                places.zip(1..).fold(0, |byte, (place, at)| byte | place << (8 - bits * at))
            }));
        }
        row
    };
    let passes = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
    let passes = if interlaced { &passes[..] } else { &[[0, 0, 1, 1]] };
    let mut raw = Vec::new();
    for &[left, top, across, down] in passes {
        let columns: Vec<u32> = (left..SIDE).step_by(across as usize).collect();
        (top..SIDE).step_by(down as usize).for_each(|y| raw.extend(row(&columns, y)));
    }
    raw
}

fn parts(kind: Kind) -> Parts {
    let mut before = header(kind);
    if kind.0 == ColorType::Indexed {
        before.extend(chunk(b"PLTE", &palette()));
    }
    Parts { before, data: deflated(&raw(kind)) }
}

impl Parts {
    /// IDAT chunks of `length` bytes.
    fn split(&self, length: usize) -> Vec<u8> {
        self.data.chunks(length).flat_map(|data| chunk(b"IDAT", data)).collect()
    }

    fn with(&self, extra: &[u8]) -> Vec<u8> {
        [&self.before[..], extra, &self.split(200), &END].concat()
    }

    fn whole(&self) -> Vec<u8> {
        self.with(&[])
    }
}

fn one(file: &[u8]) -> (Pixels, Integrity) {
    let (mut pixels, integrity) = decode_checked(&Png, file, false).expect("a picture");
    (pixels.remove(0), integrity)
}

/// The pixels as decoded by the crate `png`.
fn decode_by_library(file: &[u8]) -> Pixels {
    let mut decoder = ::png::Decoder::new(std::io::Cursor::new(file));
    decoder.set_transformations(::png::Transformations::EXPAND);
    let mut reader = decoder.read_info().expect("a header");
    let mut data = vec![0; reader.output_buffer_size().expect("it fits")];
    let info = reader.next_frame(&mut data).expect("a picture");
    if info.bit_depth == BitDepth::Sixteen {
        let wide: Vec<u16> = data.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair)).collect();
        data = wide.into_iter().map(tintype_pixels::colour::narrow).collect();
    }
    let samples = info.color_type.samples();
    let data = if samples < 3 { tintype_pixels::pixels::grey_to_rgb(&data, samples) } else { data };
    Pixels {
        size: tintype_pixels::geometry::Size::new(info.width, info.height),
        channels: if samples.is_multiple_of(2) { 4 } else { 3 },
        data,
    }
}

#[test]
fn valid_files_decode_as_by_the_library() {
    for kind in KINDS {
        for with_trns in [false, true] {
            let trns: &[u8] = match kind.0 {
                ColorType::Grayscale => &[0, 2],
                ColorType::Rgb => &[0, 5, 0, 5, 0, 5],
                ColorType::Indexed => &[0, 90, 255],
                _ => continue,
            };
            let file = parts(kind).with(&if with_trns { chunk(b"tRNS", trns) } else { Vec::new() });
            let (pixels, integrity) = one(&file);
            assert_eq!(integrity, Integrity::Whole, "{kind:?}");
            assert!(pixels.with_alpha().data == decode_by_library(&file).with_alpha().data, "{kind:?} {with_trns}");
        }
    }
    for (path, file) in crate::testing::originals(|bytes| bytes.starts_with(b"\x89PNG")) {
        let path = path.display().to_string();
        let mut decoder = ::png::Decoder::new(std::io::Cursor::new(&file[..]));
        decoder.set_transformations(::png::Transformations::EXPAND);
        // 16-bit pictures with a profile are converted
        let Ok(mut reader) = decoder.read_info() else { continue };
        let size = reader.info().size();
        if u64::from(size.0) * u64::from(size.1) > 1 << 21 || Png.probe(&file).is_ok_and(|info| info.has_profile) {
            continue;
        }
        let mut data = vec![0; reader.output_buffer_size().expect("it fits")];
        if reader.next_frame(&mut data).is_ok() && reader.info().animation_control().is_none() {
            let (pixels, _) = one(&file);
            assert!(pixels.with_alpha().data == decode_by_library(&file).with_alpha().data, "{path}");
        }
    }
}

#[test]
fn libpng_warnings_do_not_change_the_picture() {
    let icc = [&b"name\0\0"[..], &deflated(b"no profile")].concat();
    for kind in KINDS {
        let parts = parts(kind);
        let (expected, _) = one(&parts.whole());
        let (before, data) = (&parts.before[..], parts.split(200));
        let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
        let mut case = |name: &str, file: Vec<&[u8]>| cases.push((name.to_owned(), file.concat()));
        case("no IEND", vec![before, &data]);
        case("an IEND with a wrong checksum", vec![before, &data, &END[..11], &[0]]);
        case("an IEND that is cut off", vec![before, &data, &END[..6]]);
        case("an IEND with data", vec![before, &data, &chunk(b"IEND", b"abc")]);
        case("bytes behind the end", vec![before, &data, &END, b"garbage IDAT"]);
        case("another picture behind the end", vec![before, &data, &END, &parts.whole()]);
        case("the last checksum cut off", vec![before, &data[..data.len() - 4]]);
        case(
            "a chunk between the data",
            vec![before, &parts.split(90)[..102], &chunk(b"tEXt", b"a\0b"), &parts.split(90)[102..], &END],
        );
        case("an empty chunk of data", vec![before, &chunk(b"IDAT", b""), &data, &END]);
        case("an unknown critical chunk behind the data", vec![before, &data, &chunk(b"ABCD", b"x"), &END]);
        case("a chunk before the header", vec![&before[..8], &chunk(b"tEXt", b"a\0b"), &before[8..], &data, &END]);
        let more = deflated(&[raw(kind), vec![7; 500]].concat());
        case("more data than pixels", vec![before, &chunk(b"IDAT", &more), &END]);
        case("no checksum of zlib", vec![before, &chunk(b"IDAT", &parts.data[..parts.data.len() - 4]), &END]);
        let ancillary: [(&[u8; 4], &[u8]); 14] = [
            (b"gAMA", &[0, 0, 1, 1]),
            (b"cHRM", &[1; 32]),
            (b"sRGB", &[0]),
            (b"pHYs", &[0, 0, 11, 19, 0, 0, 11, 19, 1]),
            (b"sBIT", &[8, 8, 8]),
            (b"bKGD", &[0, 1, 0, 1, 0, 1]),
            (b"zTXt", b"k\0\0junk"),
            (b"iTXt", b"k\0\0\0\0\0v"),
            (b"tIME", &[7, 1, 1, 1, 1, 1, 1]),
            (b"iCCP", &icc),
            (b"eXIf", b"II*\0\x08\0\0\0\0\0\0\0\0\0"),
            (b"cICP", &[1, 13, 0, 1]),
            (b"acTL", &[0, 0, 0, 1, 0, 0, 0, 0]),
            (b"tRNS", &[0, 1, 0, 1, 0, 1]),
        ];
        for (name, data) in ancillary {
            let junk = vec![0xFE; data.len()];
            let named = |what: &str| format!("{} {what}", String::from_utf8_lossy(name));
            cases.push((named("with a wrong checksum"), parts.with(&wrong_crc(name, data))));
            cases.push((named("without data"), parts.with(&chunk(name, b""))));
            cases.push((named("behind the data"), [before, &parts.split(200), &chunk(name, data), &END].concat()));
            if !matches!(name, b"tRNS" | b"eXIf") {
                cases.push((named("of junk"), parts.with(&chunk(name, &junk))));
            }
            if !matches!(name, b"tRNS" | b"gAMA" | b"cHRM") {
                cases.push((named("twice"), parts.with(&[chunk(name, data), chunk(name, data)].concat())));
            }
        }
        for (name, file) in cases {
            let shown = decode_checked(&Png, &file, false);
            let (pixels, integrity) = shown.unwrap_or_else(|error| panic!("{kind:?}, {name}: {error}"));
            assert_eq!(integrity, Integrity::Whole, "{kind:?}, {name}");
            assert!(pixels[0].clone().with_alpha().data == expected.clone().with_alpha().data, "{kind:?}, {name}");
        }
    }
}

#[test]
fn transparent_grey_has_the_bits_of_its_depth() {
    for (depth, grey) in [(1, 1_u8), (2, 2), (4, 9), (8, 90)] {
        let parts = parts(Kind(ColorType::Grayscale, depth, false));
        let shown = |trns: u16| one(&parts.with(&chunk(b"tRNS", &trns.to_be_bytes()))).0;
        let expected = shown(grey.into());
        assert!(expected.has_alpha(), "{depth} bits");
        assert!(shown(u16::MAX << depth | u16::from(grey)).data == expected.data, "{depth} bits");
    }
}

#[test]
fn first_profile_counts_even_if_it_is_invalid() {
    let data = |icc: &[u8]| [&b"name\0\0"[..], &deflated(icc)].concat();
    let valid = data(&moxcms::ColorProfile::new_display_p3().encode().expect("written"));
    let (valid, invalid) = (chunk(b"iCCP", &valid), chunk(b"iCCP", &data(b"no profile")));
    let ignored = wrong_crc(b"iCCP", &data(b"no profile"));
    for (name, chunks, expected) in [
        ("valid", valid.clone(), true),
        ("invalid and valid", [&invalid[..], &valid].concat(), false),
        ("wrong CRC and valid", [&ignored[..], &valid].concat(), true),
        ("valid and invalid", [&valid[..], &invalid].concat(), true),
    ] {
        let info = Png.probe(&parts(KINDS[0]).with(&chunks)).expect(name);
        assert_eq!(info.has_profile, expected, "{name}");
    }
}

#[test]
fn libpng_errors_before_idat_are_refused() {
    let rgb = parts(KINDS[0]);
    let ihdr = |change: fn(&mut Vec<u8>)| {
        let mut data = rgb.before[16..29].to_vec();
        change(&mut data);
        [&rgb.before[..8], &chunk(b"IHDR", &data), &rgb.split(200), &END].concat()
    };
    let indexed = header(Kind(ColorType::Indexed, 4, false));
    let data = parts(Kind(ColorType::Indexed, 4, false)).split(200);
    let cases = [
        ("a wrong checksum of the header", [&rgb.before[..28], &[9, 9, 9, 9, 9], &rgb.split(200), &END].concat()),
        ("a long header", ihdr(|data| data.push(0))),
        ("no width", ihdr(|data| data[..4].fill(0))),
        ("an impossible depth", ihdr(|data| data[8] = 3)),
        ("two headers", [&rgb.before[..], &rgb.before[8..], &rgb.split(200), &END].concat()),
        ("no data", [&rgb.before[..], &END].concat()),
        ("empty data", [&rgb.before[..], &chunk(b"IDAT", b""), &END].concat()),
        ("no palette", [&indexed[..], &data, &END].concat()),
        ("a palette with a wrong checksum", [&indexed[..], &wrong_crc(b"PLTE", &palette()), &data, &END].concat()),
        ("a palette behind the data", [&indexed[..], &data, &chunk(b"PLTE", &palette()), &END].concat()),
        ("an invalid zlib header", [&rgb.before[..], &chunk(b"IDAT", &[0x79; 50]), &END].concat()),
    ];
    for (name, file) in cases {
        let error = decode_checked(&Png, &file, false).expect_err(name);
        assert!(matches!(error, Error::Malformed { .. }), "{name}: {error}");
    }
    for (name, file) in [
        ("an unknown critical chunk", rgb.with(&chunk(b"ABCD", b"x"))),
        ("an unknown filter method", ihdr(|data| data[11] = 64)),
    ] {
        let error = decode_checked(&Png, &file, false).expect_err(name);
        assert!(matches!(error, Error::Unsupported { .. }), "{name}: {error}");
    }
}

#[test]
fn palettes_of_odd_lengths_are_used_partly() {
    let kind = Kind(ColorType::Indexed, 4, false);
    let parts = parts(kind);
    let (expected, _) = one(&parts.whole());
    let with = |palette: &[u8]| one(&[&header(kind)[..], &chunk(b"PLTE", palette), &parts.split(200), &END].concat()).0;
    assert_eq!(with(&[palette(), vec![0; 721]].concat()).data, expected.data, "257 colours");
    assert_eq!(with(&[palette(), vec![1]].concat()).data, expected.data, "not a multiple of three");
    let short = with(&palette()[..24]);
    let pairs = short.data.chunks_exact(3).zip(expected.data.chunks_exact(3));
    assert!(pairs.clone().any(|(short, _)| short == [0; 3]), "indices behind the palette are black");
    assert!(pairs.clone().all(|(short, whole)| short == whole || short == [0; 3]));
    // PLTE of truecolour pictures is a suggested palette
    let rgb = self::parts(KINDS[0]);
    let (expected, _) = one(&rgb.whole());
    for palette in [vec![0; 771], vec![0; 10], Vec::new()] {
        assert_eq!(one(&rgb.with(&chunk(b"PLTE", &palette))).0.data, expected.data);
        assert_eq!(one(&rgb.with(&wrong_crc(b"PLTE", &palette))).0.data, expected.data);
    }
}
