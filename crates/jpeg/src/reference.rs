//! libjpeg-turbo as the reference of the tests.

use std::borrow::Cow;

use tintype_pixels::{ChromaSubsampling, DctScale, Planes, Size};
use turbojpeg::{Colorspace, DecompressHeader, Decompressor, Error, ScalingFactor, Subsamp, YuvImage};

use crate::integrity::is_warning;
use crate::repair::without_extraneous_data;

/// The image by libjpeg-turbo: its size, its subsampling, and its planes at that scale, or the warning where data is damaged. `None`
/// for files that have no planes of Y′CbCr.
pub(crate) fn decode_reference(
    original: &[u8], scale: DctScale,
) -> Option<(Size, Option<ChromaSubsampling>, Result<Planes, String>)> {
    let mut decoder = Decompressor::new().expect("memory");
    let factor = ScalingFactor::new(scale.eighths() as usize, 8);
    decoder.set_scaling_factor(factor).expect("a scale it has");
    let (header, original) = open(&mut decoder, original)?;
    let subsampling = subsampling(&header)?;
    let size = Size::new(header.width as u32, header.height as u32);
    let scaled = Size::new(factor.scale(header.width) as u32, factor.scale(header.height) as u32);
    let mut samples = vec![0; Planes::bytes(scaled, subsampling)];
    let image = YuvImage {
        pixels: &mut samples[..],
        width: scaled.width as usize,
        align: 1,
        height: scaled.height as usize,
        subsamp: header.subsamp,
    };
    let planes = match decoder.decompress_to_yuv(&original, image) {
        Err(error) if !error.to_string().contains("extraneous bytes") => Err(error.to_string()),
        _ => Ok(Planes::new(scaled, subsampling, samples).edges_repeated()),
    };
    Some((size, subsampling, planes))
}

/// Reads the header; a file with extraneous data is read without it.
fn open<'a>(decoder: &mut Decompressor, original: &'a [u8]) -> Option<(DecompressHeader, Cow<'a, [u8]>)> {
    match decoder.read_header(original) {
        Ok(header) => Some((header, Cow::Borrowed(original))),
        Err(Error::TurboJpegError(text)) if is_warning(&text) => {
            let clean = without_extraneous_data(original);
            Some((decoder.read_header(&clean).ok()?, Cow::Owned(clean)))
        }
        Err(_) => None,
    }
}

fn subsampling(header: &DecompressHeader) -> Option<Option<ChromaSubsampling>> {
    let factors = match (header.colorspace, header.subsamp) {
        (Colorspace::Gray, Subsamp::Gray) => return Some(None),
        (Colorspace::YCbCr, Subsamp::None) => (1, 1),
        (Colorspace::YCbCr, Subsamp::Sub2x1) => (2, 1),
        (Colorspace::YCbCr, Subsamp::Sub1x2) => (1, 2),
        (Colorspace::YCbCr, Subsamp::Sub2x2) => (2, 2),
        _ => return None,
    };
    Some(Some(ChromaSubsampling { across: factors.0, down: factors.1 }))
}
