//! Pictures in an SVG: only those that it carries itself as `data:` are drawn, within bounds. A name of a file or an address is
//! never followed.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use data_url::DataUrl;
use resvg::usvg::{ImageHrefResolver, ImageKind, Options, Tree};
use tintype_pixels::colour::to_srgb;
use tintype_pixels::{DecodeOptions, Format, Frame, Info, Limits, Pixels, Samples, VectorDrawing};

use super::style::{MAX_STEPS, Meter};
use super::{complexity, xml};
use crate::codec::Codec;
use crate::encode_input::{EncodeInput, PictureData};
use crate::formats;

/// Pictures of one document, those inside its pictures included.
pub(super) const MAX_IMAGES: u64 = 100;
/// Pixels of all of them.
const MAX_PIXELS: u64 = 16_000_000;
/// Bytes of memory, and nanoseconds, that all of them take.
pub(super) const MAX_MEMORY: u64 = 384 << 20;
pub(super) const MAX_TIME: u64 = 3_000_000_000;
/// Documents in each other.
pub(super) const MAX_NESTED: u64 = 2;

/// Bytes of a pixel beside those of decoding it: as PNG, which is kept, and as it is read again to be drawn.
const BYTES_PER_PIXEL: u64 = 12;
/// Nanoseconds to decode a pixel and to write it as PNG, and to decode a byte of a URL.
const TIME_PER_PIXEL: u64 = 100;
const TIME_PER_BYTE: u64 = 2;

/// A picture that was not looked at.
const HEAVIEST: VectorDrawing = VectorDrawing { memory: MAX_MEMORY, layers: 0, time: MAX_TIME, has_text: true };

/// The pictures that are looked at while their document is measured.
#[derive(Clone, Copy)]
pub(super) struct Pictures<'a> {
    /// How many more; what follows is taken for the heaviest.
    pub(super) left: &'a Cell<u64>,
    /// Documents that may lie in each other.
    pub(super) levels: u64,
}

impl Pictures<'_> {
    /// The cost of a picture; `None` where the URL has none that is drawn.
    pub(super) fn measure(self, url: &str, meter: &Meter) -> Option<VectorDrawing> {
        let data = DataUrl::process(url).ok()?;
        let Some(left) = self.left.get().checked_sub(1) else { return Some(HEAVIEST) };
        self.left.set(left);
        let (data, _) = data.decode_to_vec().ok()?;
        let cost = match Format::sniff(&data)? {
            Format::Svg => {
                let inside = Pictures { levels: self.levels.checked_sub(1)?, ..self };
                let document = xml::parse(std::str::from_utf8(&data).ok()?).ok()?;
                complexity::measure_with(&document, meter, Some(inside)).ok()?
            }
            format => cost(&formats::of(format).probe(&data).ok()?),
        };
        Some(VectorDrawing { time: cost.time.saturating_add(url.len() as u64 * TIME_PER_BYTE), ..cost })
    }
}

/// The cost of a picture of pixels.
fn cost(info: &Info) -> VectorDrawing {
    let pixels = info.size.pixels();
    let decoded = info.decoded_bytes(DecodeOptions::FULL.scale);
    VectorDrawing {
        memory: decoded.saturating_add(pixels.saturating_mul(BYTES_PER_PIXEL)),
        layers: 0,
        time: pixels.saturating_mul(TIME_PER_PIXEL),
        has_text: false,
    }
}

/// The remaining bounds while one document is parsed.
#[derive(Debug)]
pub(super) struct Budget {
    images: AtomicU64,
    pixels: AtomicU64,
    memory: AtomicU64,
    time: AtomicU64,
    /// Of style sheets.
    steps: AtomicU64,
    nested: AtomicU64,
}

impl Budget {
    pub(super) fn new() -> Arc<Budget> {
        Arc::new(Budget {
            images: AtomicU64::new(MAX_IMAGES),
            pixels: AtomicU64::new(MAX_PIXELS),
            memory: AtomicU64::new(MAX_MEMORY),
            time: AtomicU64::new(MAX_TIME),
            steps: AtomicU64::new(MAX_STEPS),
            nested: AtomicU64::new(MAX_NESTED),
        })
    }

    /// A resolver of what `image` and `feImage` refer to.
    pub(super) fn resolver(self: Arc<Budget>) -> ImageHrefResolver<'static> {
        ImageHrefResolver {
            resolve_data: Box::new(move |_, data, options| {
                take(&self.images, 1)?;
                take(&self.time, data.len() as u64 * TIME_PER_BYTE)?;
                match Format::sniff(&data)? {
                    Format::Svg => {
                        take(&self.nested, 1)?;
                        let tree = self.tree(&data, options);
                        self.nested.fetch_add(1, Ordering::Relaxed);
                        tree.map(ImageKind::SVG)
                    }
                    format => self.raster(format, &data),
                }
            }),
            resolve_string: Box::new(|_, _| None),
        }
    }

    /// A document within the document, under the same bounds. Pictures in it are taken from the budget by themselves.
    fn tree(&self, data: &[u8], options: &Options<'_>) -> Option<Tree> {
        let document = xml::parse(std::str::from_utf8(data).ok()?).ok()?;
        let meter = Meter::new(self.steps.load(Ordering::Relaxed));
        let cost = complexity::measure_with(&document, &meter, None);
        self.steps.store(meter.left(), Ordering::Relaxed);
        self.take(cost.ok()?)?;
        Tree::from_data_nested(data, options).ok()
    }

    /// A picture of pixels, decoded as an original would be, and passed on as PNG, which loses nothing.
    fn raster(&self, format: Format, data: &[u8]) -> Option<ImageKind> {
        let codec = formats::of(format);
        let info = codec.probe(data).ok()?;
        let limits = Limits { max_pixels: MAX_PIXELS, max_frames: 1, max_memory: MAX_MEMORY };
        let admitted = limits.admit(&info, 1, "drawing", info.decoded_bytes(DecodeOptions::FULL.scale)).ok()?;
        take(&self.pixels, info.size.pixels())?;
        self.take(cost(&info))?;
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

    fn take(&self, cost: VectorDrawing) -> Option<()> {
        take(&self.memory, cost.memory)?;
        take(&self.time, cost.time)
    }
}

fn png(pixels: Pixels) -> Option<Vec<u8>> {
    let frames = PictureData::Frames(vec![Frame { pixels, delay: 0 }]);
    let input = EncodeInput { lossless: true, ..EncodeInput::new(frames, 100.0) };
    formats::of(Format::Png).encode(&input, &mut || true).ok()
}

/// Takes a number from what is left; `None`, and nothing is taken, where that is less.
fn take(left: &AtomicU64, number: u64) -> Option<()> {
    let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(number));
    taken.is_ok().then_some(())
}
