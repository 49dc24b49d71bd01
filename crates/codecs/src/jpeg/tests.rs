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

#[cfg(feature = "native")]
#[test]
fn planes_without_chroma_are_written_as_one_component() {
    let planes = Planes::new(SIZE, None, vec![90; SIZE.pixels() as usize]);
    assert_eq!(encoded(&EncodeInput::new(PictureData::Planes(planes), 75.0)).1.components, 1);
    // even with a profile, which only keeps pictures of packed pixels in colour
    let planes = Planes::new(SIZE, Some(ChromaSubsampling::S420), vec![90; SIZE.pixels() as usize * 3 / 2]);
    assert_eq!(encoded(&EncodeInput::new(PictureData::Planes(planes), 75.0)).1.components, 3);
}
