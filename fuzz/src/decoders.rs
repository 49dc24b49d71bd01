//! Targets that compare tintype's own decoders with the libraries that they stand for, plane by plane. `crates/jpeg` and
//! `crates/vp8` replay the inputs of the corpus in their tests.

use image_webp::vp8::Vp8Decoder;
use tintype_pixels::{DctScale, Planes};
use turbojpeg::{Colorspace, Decompressor, ScalingFactor, Subsamp, YuvImage};

use crate::targets::parsers::Target;

/// Targets by name.
pub(crate) const TARGETS: &[(&str, Target)] = &[("jpeg-planes", jpeg), ("vp8-planes", vp8)];

/// Columns and rows of the largest frame that is decoded.
const SIDE: usize = 256;

/// A JPEG file that is decoded here is decoded by libjpeg-turbo, too, to planes of the same size, and at 1/8 to the same ones.
fn jpeg(data: &[u8]) {
    let mut library = Decompressor::new().expect("memory");
    // a header with a warning is left to the targets of whole files
    let Ok(header) = library.read_header(data) else { return };
    if header.width.max(header.height) > SIDE {
        return;
    }
    let is_grey = header.colorspace == Colorspace::Gray;
    let is_compared = match header.subsamp {
        Subsamp::Gray => is_grey,
        Subsamp::None | Subsamp::Sub2x1 | Subsamp::Sub1x2 | Subsamp::Sub2x2 => header.colorspace == Colorspace::YCbCr,
        _ => false,
    };
    let is_progressive = data.windows(2).any(|pair| pair == [0xFF, 0xC2]);
    for scale in tintype_jpeg::SCALES {
        let Some(ours) = tintype_jpeg::decode(data, scale) else { continue };
        let factor = ScalingFactor::new(scale.eighths() as usize, 8);
        let (width, height) = (factor.scale(header.width), factor.scale(header.height));
        assert_eq!((ours.size.width as usize, ours.size.height as usize), (width, height), "{scale}");
        // scans that a scale does not need are skipped, with the damage in them
        if !is_compared || is_progressive {
            continue;
        }
        library.set_scaling_factor(factor).expect("a scale it has");
        let mut samples = vec![0; Planes::<u8>::samples(ours.size, ours.subsampling)];
        let image = YuvImage { pixels: &mut samples[..], width, align: 1, height, subsamp: header.subsamp };
        let decoded = library.decompress_to_yuv(data, image);
        assert!(decoded.is_ok(), "{scale}: {decoded:?}");
        let theirs = Planes::new(ours.size, ours.subsampling, samples).edges_repeated();
        let is_same = ours.all().iter().zip(&theirs.all()).all(|(ours, theirs)| ours.data == theirs.data);
        assert!(is_same || scale != DctScale::new(1), "the planes differ at {scale}");
    }
}

/// A key frame that is decoded here is decoded by image-webp, too, to the same planes.
fn vp8(data: &[u8]) {
    if !tintype_vp8::frame_size(data).is_some_and(|size| (size.width.max(size.height) as usize) <= SIDE) {
        return;
    }
    let Some(ours) = tintype_vp8::decode(data, DctScale::FULL) else { return };
    let theirs = Vp8Decoder::decode_frame(data).expect("image-webp accepts what is accepted here");
    assert!(ours.planes == [theirs.ybuf, theirs.ubuf, theirs.vbuf], "the planes differ");
}
