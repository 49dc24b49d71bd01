//! Pictures in an SVG: only those that it carries itself as `data:` are drawn, within bounds. A name of a file or an address is
//! never followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use resvg::usvg::roxmltree::Document;
use resvg::usvg::{ImageHrefResolver, ImageKind, Options, Tree};
use tintype_pixels::colour::to_srgb;
use tintype_pixels::{DecodeOptions, Format, Frame, Limits, Pixels, Samples};

use super::complexity;
use crate::codec::Codec;
use crate::encode_input::{EncodeInput, PictureData};
use crate::formats;

/// Pictures of one document, those inside its pictures included.
const MAX_IMAGES: usize = 100;
/// Pixels of all of them.
const MAX_PIXELS: u64 = 16_000_000;
/// Bytes of memory to decode one.
const MAX_MEMORY: u64 = 256 << 20;
/// Documents in each other.
const MAX_NESTED: usize = 2;

/// The remaining bounds while one document is parsed.
#[derive(Debug)]
pub(super) struct Budget {
    images: AtomicUsize,
    pixels: AtomicU64,
    nested: AtomicUsize,
}

impl Budget {
    pub(super) fn new() -> Arc<Budget> {
        let (images, pixels) = (AtomicUsize::new(MAX_IMAGES), AtomicU64::new(MAX_PIXELS));
        Arc::new(Budget { images, pixels, nested: AtomicUsize::new(MAX_NESTED) })
    }

    /// A resolver of what `image` and `feImage` refer to.
    pub(super) fn resolver(self: Arc<Budget>) -> ImageHrefResolver<'static> {
        ImageHrefResolver {
            resolve_data: Box::new(move |_, data, options| {
                take(&self.images, 1)?;
                match Format::sniff(&data)? {
                    Format::Svg => self.nested(&data, options),
                    format => self.raster(format, &data),
                }
            }),
            resolve_string: Box::new(|_, _| None),
        }
    }

    /// A document within the document, under the same bounds.
    fn nested(&self, data: &[u8], options: &Options<'_>) -> Option<ImageKind> {
        take(&self.nested, 1)?;
        let text = std::str::from_utf8(data).ok()?;
        let document: Document<'_> = complexity::parse(text).ok()?;
        complexity::measure(&document).ok()?;
        let tree = Tree::from_data_nested(data, options).ok();
        self.nested.fetch_add(1, Ordering::Relaxed);
        tree.map(ImageKind::SVG)
    }

    /// A picture of pixels, decoded as an original would be, and passed on as PNG, which loses nothing.
    fn raster(&self, format: Format, data: &[u8]) -> Option<ImageKind> {
        let codec = formats::of(format);
        let info = codec.probe(data).ok()?;
        let left = self.pixels.load(Ordering::Relaxed);
        let limits = Limits { max_pixels: left, max_frames: 1, max_memory: MAX_MEMORY };
        let admitted = limits.admit(&info, 1, "drawing", info.decoded_bytes(DecodeOptions::FULL.scale)).ok()?;
        self.pixels.fetch_sub(info.size.pixels().min(left), Ordering::Relaxed);
        let mut pixels = None;
        codec
            .decode(data, &admitted, &DecodeOptions::FULL, &mut |decoded| {
                if let Samples::Packed(packed) = decoded.samples {
                    pixels = Some(match &decoded.profile {
                        Some(profile) => to_srgb(packed, profile),
                        None => packed,
                    });
                }
                Ok(())
            })
            .ok()?;
        png(pixels?).map(|png| ImageKind::PNG(Arc::new(png)))
    }
}

fn png(pixels: Pixels) -> Option<Vec<u8>> {
    let frames = PictureData::Frames(vec![Frame { pixels, delay: 0 }]);
    let input = EncodeInput { lossless: true, ..EncodeInput::new(frames, 100.0) };
    formats::of(Format::Png).encode(&input, &mut || true).ok()
}

/// Takes one from what is left; `None` where nothing is.
fn take(left: &AtomicUsize, number: usize) -> Option<()> {
    let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(number));
    taken.is_ok().then_some(())
}
