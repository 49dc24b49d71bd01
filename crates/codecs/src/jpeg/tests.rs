//! Tests of the encoder that hold for both libraries.

use tintype_jpeg::header::Header;
#[cfg(feature = "native")]
use tintype_pixels::{ChromaSubsampling, Planes};
use tintype_pixels::{Frame, Pixels, Size};

use super::*;
#[cfg(feature = "native")]
use crate::Effort;
use crate::testing::decode_checked;
use crate::{PictureData, PictureKind};

const SIZE: Size = Size::new(300, 260);

fn input(pixels: Pixels, quality: f32) -> EncodeInput {
    EncodeInput::new(PictureData::Frames(vec![Frame { pixels, delay: 0 }]), quality)
}

/// Stripes of one column: chroma that halving destroys.
fn stripes(colours: [[u8; 3]; 2]) -> Pixels {
    let data = (0..SIZE.pixels() as usize).flat_map(|at| colours[at % 2]).collect();
    Pixels { size: SIZE, channels: 3, data }
}

fn encoded(input: &EncodeInput) -> (Vec<u8>, Header) {
    let file = Jpeg.encode(input, &mut || true).expect("encoded");
    let header = Header::read(&file).expect("a header");
    (file, header)
}

/// The largest difference of a sample.
fn error(file: &[u8], original: &Pixels) -> u8 {
    let (frames, _) = decode_checked(&Jpeg, file, false).expect("decoded");
    frames[0].data.iter().zip(&original.data).map(|(a, b)| a.abs_diff(*b)).max().expect("samples")
}

#[test]
fn file_of_several_scans_is_admitted_with_its_coefficients() {
    // a frame of three components in 4:4:4, and the beginning of the header of the first scan
    let frame = b"\xFF\xD8\xFF\xC0\0\x11\x08\0\x10\0\x10\x03\x01\x11\0\x02\x11\0\x03\x11\0";
    let file = |ns: u8| [&frame[..], b"\xFF\xDA\0", &[6 + 2 * ns, ns]].concat();
    for (ns, expected) in [(3, 0.1), (1, 6.1)] {
        let bytes = Jpeg.probe(&file(ns)).expect("a header").caps.memory.per_stored_pixel;
        assert!((bytes - expected).abs() < 1e-6, "{bytes} with {ns} components in the first scan");
    }
}

#[test]
fn chroma_is_halved_in_photographs_below_quality_90() {
    let red_on_white = || stripes([[255, 0, 0], [255, 255, 255]]);
    for (quality, kind, samples) in [
        (89.9, PictureKind::Photo, 1.5),
        (90.0, PictureKind::Photo, 3.0),
        (20.0, PictureKind::Drawing, 3.0),
        (100.0, PictureKind::Photo, 3.0),
    ] {
        let input = EncodeInput { kind, ..input(red_on_white(), quality) };
        let (_, header) = encoded(&input);
        assert_eq!(header.samples_per_pixel, samples, "{quality}, {kind:?}");
        let accepts = Jpeg.accepts_ycbcr(SIZE, Encoding::default(), quality);
        assert_eq!(accepts, cfg!(feature = "native") && quality < 90.0);
    }
}

#[test]
fn quality_100_keeps_stripes_of_chroma() {
    let pixels = stripes([[255, 0, 0], [30, 60, 200]]);
    let (file, _) = encoded(&input(pixels.clone(), 100.0));
    assert!(error(&file, &pixels) <= 2, "{}", error(&file, &pixels));
}

#[test]
fn grey_picture_has_one_component_at_every_quality() {
    let pixels = stripes([[0, 0, 0], [200, 200, 200]]);
    for quality in [10.0, 100.0] {
        assert_eq!(encoded(&input(pixels.clone(), quality)).1.components, 1);
    }
    let (file, _) = encoded(&input(pixels.clone(), 100.0));
    assert!(error(&file, &pixels) <= 1);
}

#[cfg(feature = "native")]
#[test]
fn later_efforts_write_large_pictures_in_scans() {
    let large = stripes([[255, 0, 0], [30, 60, 200]]);
    let small = large.cut(0, 0, Size::new(200, 200));
    for (effort, pixels, is_progressive) in
        [(Effort::Fast, &large, false), (Effort::Balanced, &large, true), (Effort::Balanced, &small, false)]
    {
        let mut input = input(pixels.clone(), 75.0);
        input.encoding.effort = effort;
        assert_eq!(encoded(&input).1.progressive, is_progressive, "{effort:?}, {}", pixels.size);
    }
}

/// A photograph.
#[cfg(feature = "native")]
fn photograph() -> Pixels {
    let file = tintype_testing::testdata("photos/chelsea.png");
    let (mut frames, _) = decode_checked(&crate::png::Png, &file, false).expect("decoded");
    frames.pop().expect("a picture")
}

#[cfg(feature = "native")]
fn dense(input: EncodeInput) -> EncodeInput {
    EncodeInput { encoding: Encoding { effort: Effort::Dense, ..input.encoding }, ..input }
}

#[cfg(feature = "native")]
#[test]
fn dense_file_is_smaller_than_a_balanced_one_of_the_same_tables() {
    let photograph = photograph();
    for (quality, kind) in [(50.0, PictureKind::Photo), (75.0, PictureKind::Photo), (92.0, PictureKind::Drawing)] {
        let mut input = EncodeInput { kind, ..input(photograph.clone(), quality) };
        input.encoding.effort = Effort::Balanced;
        let balanced = encoded(&input).0;
        let input = dense(input);
        let dense = encoded(&input).0;
        assert!(dense.len() * 100 < balanced.len() * 95, "{} and {} bytes at {quality}", dense.len(), balanced.len());
        assert!(dense == encoded(&input).0, "the same bytes again");
        let [dense, balanced] = [dense, balanced].map(|file| squared_error(&file, &photograph));
        assert!(dense < balanced * 1.5, "errors of {dense} and {balanced} at {quality}");
    }
}

/// The mean squared error of the samples.
#[cfg(feature = "native")]
fn squared_error(file: &[u8], original: &Pixels) -> f64 {
    let (frames, _) = decode_checked(&Jpeg, file, false).expect("decoded");
    let squares = frames[0].data.iter().zip(&original.data).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    squares.sum::<f64>() / original.data.len() as f64
}

#[cfg(feature = "native")]
#[test]
fn dense_file_of_every_layout_is_decoded_alike_by_both_decoders() {
    use tintype_pixels::DctScale;

    let photograph = photograph();
    for (width, height) in [(1, 1), (7, 9), (8, 8), (17, 33), (300, 260)] {
        let size = Size::new(width, height);
        let colour = photograph.cut(100, 20, size);
        let grey: Vec<u8> = colour.data.iter().step_by(3).flat_map(|&level| [level; 3]).collect();
        let grey = Pixels { size, channels: 3, data: grey };
        let planes = PictureData::Planes(tintype_pixels::ycbcr::planes(&colour, ChromaSubsampling::S420));
        let luma = PictureData::Planes(Planes::new(size, None, grey.grey()));
        let drawing = EncodeInput { kind: PictureKind::Drawing, ..input(colour.clone(), 80.0) };
        for (name, input, samples) in [
            ("4:2:0", input(colour.clone(), 80.0), 1.5),
            ("4:4:4", drawing, 3.0),
            ("with alpha", input(colour.clone().with_alpha(), 80.0), 1.5),
            ("grey", input(grey, 80.0), 1.0),
            ("planes", EncodeInput::new(planes, 80.0), 1.5),
            ("luma", EncodeInput::new(luma, 80.0), 1.0),
        ] {
            let (file, header) = encoded(&dense(input));
            assert_eq!((header.size, header.samples_per_pixel), (size, samples), "{name}, {size}");
            assert_eq!(header.progressive, size.pixels() > 65_536, "{name}, {size}");
            let own = tintype_jpeg::decode(&file, DctScale::FULL).expect("decoded");
            let library = by_libjpeg(&file, size, own.subsampling);
            let planes = own.edges_repeated();
            // the inverse DCT of libjpeg has whole numbers, ours has not
            let is_near = |own: &[u8], library: &[u8]| own.iter().zip(library).all(|(a, b)| a.abs_diff(*b) <= 1);
            let equal = planes.all().iter().zip(library.all()).all(|(own, library)| is_near(own.data, library.data));
            assert!(equal, "{name}, {size}");
        }
    }
}

/// A file as libjpeg-turbo decodes it.
#[cfg(feature = "native")]
fn by_libjpeg(file: &[u8], size: Size, subsampling: Option<ChromaSubsampling>) -> Planes {
    let subsamp = turbojpeg::read_header(file).expect("a header").subsamp;
    let mut samples = vec![0; Planes::bytes(size, subsampling)];
    let (width, height) = (size.width as usize, size.height as usize);
    let image = turbojpeg::YuvImage { pixels: &mut samples[..], width, align: 1, height, subsamp };
    let mut decompressor = turbojpeg::Decompressor::new().expect("a decompressor");
    decompressor.decompress_to_yuv(file, image).expect("decoded");
    Planes::new(size, subsampling, samples).edges_repeated()
}

#[cfg(feature = "native")]
#[test]
fn dense_encoder_is_cancelled_at_any_call() {
    let input = dense(input(photograph(), 75.0));
    let mut calls = 0;
    Jpeg.encode(&input, &mut || {
        calls += 1;
        true
    })
    .expect("encoded");
    // rows of blocks of luma and chroma, counted and quantised
    assert_eq!(calls, 2 * (38 + 2 * 19));
    for last in [1, 40, calls / 2 + 1, calls] {
        let mut count = 0;
        let result = Jpeg.encode(&input, &mut || {
            count += 1;
            count < last
        });
        assert!(matches!(result, Err(tintype_pixels::Error::Cancelled)) && count == last, "{result:?} at {last}");
    }
}

#[cfg(feature = "native")]
#[test]
fn dense_file_of_quality_100_has_every_coefficient() {
    let mut input = input(photograph(), 100.0);
    let [balanced, dense] = [Effort::Balanced, Effort::Dense].map(|effort| {
        input.encoding.effort = effort;
        encoded(&input).0
    });
    assert!(dense == balanced);
}

#[cfg(feature = "native")]
#[test]
fn planes_without_chroma_are_written_as_one_component() {
    let planes = Planes::new(SIZE, None, vec![90; SIZE.pixels() as usize]);
    assert_eq!(encoded(&EncodeInput::new(PictureData::Planes(planes), 75.0)).1.components, 1);
    // even with a profile, which only keeps pictures of packed pixels in colour
    let planes = Planes::new(SIZE, Some(ChromaSubsampling::S420), vec![90; SIZE.pixels() as usize * 3 / 2]);
    assert_eq!(encoded(&EncodeInput::new(PictureData::Planes(planes), 75.0)).1.components, 3);
}
