//! `format=dominant` and `format=lqip`: what a page shows until the picture has loaded, as pictures of their own.

use tintype_codecs::{Codec, EncodeInput, PictureData, PictureKind};
use tintype_pixels::{Format, Frame, Pixels, Result, Size};

use crate::encoded::{Content, Encoded};
use crate::json::thumbnail_of;
use crate::{ops, placeholder};

/// Sigma of the blur of a placeholder, in its pixels.
const SIGMA: f32 = 1.0;

/// libwebp's quality of a placeholder: higher ones are larger, and look the same once they are stretched over a page.
const QUALITY: f32 = 40.0;

/// One pixel of the colour that a description calls dominant, as a PNG.
pub(crate) fn dominant(picture: &Pixels, damaged: bool) -> Result<Encoded> {
    let colour = placeholder::dominant_color(&*thumbnail_of(picture)?);
    let pixels = Pixels::filled(Size::new(1, 1), &colour);
    encoded(Format::Png, EncodeInput { lossless: true, ..EncodeInput::new(still(pixels), 100.0) }, damaged)
}

/// A blurred picture of at most [`LQIP_SIDE`](crate::viewport::LQIP_SIDE) pixels a side, as a lossy WebP.
pub(crate) fn lqip(picture: &Pixels, damaged: bool) -> Result<Encoded> {
    let mut pixels = picture.clone();
    ops::blur::blur(&mut pixels, SIGMA);
    encoded(Format::WebP, EncodeInput::new(still(pixels), QUALITY), damaged)
}

fn still(pixels: Pixels) -> PictureData {
    PictureData::Frames(vec![Frame { pixels, delay: 0 }])
}

fn encoded(format: Format, picture: EncodeInput, damaged: bool) -> Result<Encoded> {
    let bytes = tintype_codecs::of(format).encode(&picture, &mut || true)?;
    Ok(Encoded { bytes, content: Content::Image(format), damaged, kind: Some(PictureKind::Photo) })
}
