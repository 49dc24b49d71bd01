//! Files match their container's statements, are exact at quality 100, and have the same bytes for any number of threads.

use super::*;
use crate::avif::Avif;
use crate::avif::read::parse_sequence_header;
use crate::encoding::{Effort, PictureKind};
use crate::testing::{decode, packed};
use tintype_pixels::Frame;

/// Strokes of saturated colours on white, two pixels wide, with a gradient below; alpha fades from left to right.
fn strokes(size: Size, channels: usize) -> Pixels {
    const COLOURS: [[u8; 3]; 4] = [[220, 0, 0], [0, 0, 255], [0, 128, 0], [255, 0, 255]];
    let mut pixels = Pixels::filled(size, &[255, 255, 255, 255][..channels]);
    for (at, pixel) in pixels.data.chunks_exact_mut(channels).enumerate() {
        let (x, y) = (at % size.width as usize, at / size.width as usize);
        if y * 3 > size.height as usize * 2 {
            pixel[..3].copy_from_slice(&[x as u8, (x * 3 / 2) as u8, y as u8]);
        } else if (x + y / 3) % 7 < 2 {
            pixel[..3].copy_from_slice(&COLOURS[(x / 7 + y / 16) % 4]);
        }
        if let Some(alpha) = pixel.get_mut(3) {
            *alpha = (x * 255 / size.width as usize) as u8;
        }
    }
    pixels
}

fn input(pixels: Pixels, kind: PictureKind, effort: Effort, quality: f32) -> EncodeInput {
    let mut input = EncodeInput::new(PictureData::Frames(vec![Frame { pixels, delay: 0 }]), quality);
    input.kind = kind;
    input.encoding.effort = effort;
    input
}

fn encode(input: &EncodeInput) -> Vec<u8> {
    Libaom.encode(input).expect("encoded")
}

fn decoded(file: &[u8]) -> Pixels {
    let (mut frames, _) = decode(&Avif, file, false).expect("decoded");
    packed(frames.remove(0))
}

/// The mean square error of the colours.
fn error(a: &Pixels, b: &Pixels) -> f64 {
    let square = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b)).powi(2);
    a.data.iter().zip(&b.data).map(square).sum::<f64>() / a.data.len() as f64
}

#[test]
fn container_says_what_is_coded() {
    // kind and quality; profile and depth, whether chroma is subsampled
    let cases = [
        (PictureKind::Photo, 80.0, 0, 10, true),
        (PictureKind::Drawing, 80.0, 1, 8, false),
        (PictureKind::Photo, 100.0, 1, 10, false),
        (PictureKind::Drawing, 100.0, 1, 10, false),
    ];
    for (kind, quality, profile, depth, is_420) in cases {
        let input = input(strokes(Size::new(33, 18), 4), kind, Effort::Fast, quality);
        let (settings, pixels) = (Settings::of(&input), input.first());
        let streams = if depth == 10 { encode_pixels::<u16> } else { encode_pixels::<u8> }(pixels, &settings);
        let streams = streams.expect("encoded");
        let alpha = streams.alpha.as_deref().expect("alpha");
        assert_eq!(sequence_header(&streams.colour), (profile, depth, false), "{kind:?} at {quality}");
        assert_eq!(sequence_header(alpha), (0, depth, true), "{kind:?} at {quality}");
        let file = encode(&input);
        // AV1 in ISOBMFF §2.3.3: version, profile and level, then high bit depth, monochrome and subsampling
        let is_high = u8::from(depth == 10) << 6;
        let colour = [0x81, profile << 5 | 31, is_high | if is_420 { 0b1100 } else { 0 }];
        assert_eq!(prefixes::<3>(&file, b"av1C", 0), [colour, [0x81, 31, is_high | 0b1_1100]], "{kind:?} at {quality}");
        // the number of channels, and the depth of the first
        assert_eq!(prefixes::<2>(&file, b"pixi", 4), [[3, depth], [1, depth]], "{kind:?} at {quality}");
    }
}

/// Profile, depth, and whether it is monochrome, by the header that a stream begins with.
fn sequence_header(stream: &[u8]) -> (u8, u8, bool) {
    // an OBU of type 1 with a size of one byte (AV1 §5.3.2)
    assert_eq!(stream[0], 0x0A);
    let header = parse_sequence_header(&stream[2..]).expect("a sequence header");
    (stream[2] >> 5, header.depth, header.monochrome)
}

/// The bytes at an offset in all boxes of a type.
fn prefixes<const N: usize>(file: &[u8], kind: &[u8; 4], offset: usize) -> Vec<[u8; N]> {
    let names = file.windows(4).enumerate().filter(|(_, name)| name == kind);
    names.map(|(at, _)| file[at + 4 + offset..][..N].try_into().expect("a box of that length")).collect()
}

#[test]
fn quality_100_keeps_every_pixel() {
    let mut every_colour = Pixels::filled(Size::new(64, 64), &[0, 0, 0]);
    for (at, pixel) in every_colour.data.chunks_exact_mut(3).enumerate() {
        pixel.copy_from_slice(&[at >> 8, at >> 4 & 15, at & 15].map(|step| (step * 17) as u8));
    }
    let pictures = [every_colour, strokes(Size::new(61, 47), 3), strokes(Size::new(61, 47), 4)];
    for pixels in pictures {
        for kind in [PictureKind::Photo, PictureKind::Drawing] {
            let file = encode(&input(pixels.clone(), kind, Effort::Fast, 100.0));
            let shown = |pixels: Pixels| -> Vec<u8> {
                // the colour of transparent pixels is not kept
                let channels = pixels.channels;
                pixels
                    .data
                    .chunks_exact(channels)
                    .filter(|pixel| channels == 3 || pixel[3] > 0)
                    .flatten()
                    .copied()
                    .collect()
            };
            assert!(
                shown(decoded(&file)) == shown(pixels.clone()),
                "{kind:?} of {channels}",
                channels = pixels.channels
            );
        }
    }
}

#[test]
fn quality_below_100_is_lossy() {
    let pixels = strokes(Size::new(61, 47), 3);
    let file = encode(&input(pixels.clone(), PictureKind::Drawing, Effort::Fast, 99.9));
    assert!(decoded(&file) != pixels);
}

#[test]
fn drawing_keeps_colour_of_thin_strokes() {
    let pixels = strokes(Size::new(96, 64), 3);
    for effort in [Effort::Fast, Effort::Balanced, Effort::Dense] {
        let error_of = |kind| error(&decoded(&encode(&input(pixels.clone(), kind, effort, 80.0))), &pixels);
        let (photo, drawing) = (error_of(PictureKind::Photo), error_of(PictureKind::Drawing));
        assert!(drawing * 20.0 < photo, "{effort:?}: {drawing} and {photo}");
    }
}

#[test]
fn bytes_are_the_same_for_any_number_of_threads() {
    for (size, channels) in [(Size::new(200, 150), 3), (Size::new(131, 197), 4)] {
        for kind in [PictureKind::Photo, PictureKind::Drawing] {
            for effort in [Effort::Fast, Effort::Balanced, Effort::Dense] {
                let files = [1, 2, 4].map(|threads| {
                    encode(&EncodeInput { threads, ..input(strokes(size, channels), kind, effort, 60.0) })
                });
                assert!(files[0] == files[1] && files[0] == files[2], "{size} {kind:?} {effort:?}");
            }
        }
    }
}
