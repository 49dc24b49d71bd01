//! WebP: read through the crate `image-webp`, which is Rust all through, written through libwebp (crate `webp`).

use std::io::Cursor;

use image_webp::{LoopCount, WebPDecoder};

use super::{Codec, Cost, Decoded, Info, Loops, Picture, Plan, Sink};
use crate::render::error::{Error, Result};
use crate::render::format::Format;
use crate::render::geometry::Size;
use crate::render::ops::colour::Profile;
use crate::render::pixels::Pixels;
use crate::render::quality;

/// Reads and writes WebP.
pub(crate) struct WebP;

const FORMAT: Format = Format::WebP;

/// libwebp's effort, 0 to 6. At equal SSIMULACRA2, 2 takes 0.34 to 0.54 of the time of 4, libwebp's default, for 1
/// percent fewer to 5 percent more bytes (geometric means of eight photographs).
const METHOD: i32 = 2;

/// What the decoder may allocate besides the pixels: profiles and metadata.
const HEADROOM: usize = 16 << 20;

impl WebP {
    fn open(original: &[u8], memory: usize) -> Result<WebPDecoder<Cursor<&[u8]>>> {
        let mut decoder = WebPDecoder::new(Cursor::new(original)).map_err(failed)?;
        decoder.set_memory_limit(memory);
        Ok(decoder)
    }
}

fn failed(error: image_webp::DecodingError) -> Error {
    Error::malformed(FORMAT, error)
}

impl Codec for WebP {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let mut decoder = WebP::open(original, HEADROOM)?;
        let (width, height) = decoder.dimensions();
        let profile = decoder.icc_profile().ok().flatten().and_then(|icc| Profile::from_icc(&icc));
        let exif = decoder.exif_metadata().ok().flatten();
        let mut info = Info::new(FORMAT, Size::new(width, height)).with_exif(exif).with_profile(profile.as_ref());
        info.has_metadata |= decoder.xmp_metadata().ok().flatten().is_some();
        info.has_alpha = decoder.has_alpha();
        if decoder.is_animated() {
            info.frames = decoder.num_frames();
            info.loops = match decoder.loop_count() {
                LoopCount::Forever => Loops::Forever,
                LoopCount::Times(times) => Loops::Times(times.get()),
            };
            // frames need not cover the canvas
            info.has_alpha = true;
        }
        info.cost = Cost { per_stored_pixel: 3.0, per_decoded_pixel: if info.frames > 1 { 12.0 } else { 5.0 } };
        Ok(info)
    }

    fn decode(&self, original: &[u8], info: &Info, plan: &Plan<'_>, sink: Sink<'_>) -> Result<()> {
        let mut decoder = WebP::open(original, plan.memory() as usize + HEADROOM)?;
        let profile = decoder.icc_profile().ok().flatten().and_then(|icc| Profile::from_icc(&icc));
        let channels = if decoder.has_alpha() { 4 } else { 3 };
        let length = decoder.output_buffer_size().ok_or_else(|| Error::malformed(FORMAT, "it is too large"))?;
        let mut samples = vec![0; length];
        if !decoder.is_animated() {
            decoder.read_image(&mut samples).map_err(failed)?;
            return sink(Decoded::still(Pixels::new(FORMAT, info.size, channels, samples)?, profile));
        }
        for _ in 0..plan.frames {
            let delay = decoder.read_frame(&mut samples).map_err(failed)?;
            let pixels = Pixels::new(FORMAT, info.size, channels, samples.clone())?;
            sink(Decoded { delay, ..Decoded::still(pixels, profile.clone()) })?;
        }
        Ok(())
    }

    fn encode(&self, picture: &Picture) -> Result<Vec<u8>> {
        let config = config(picture)?;
        if picture.frames.len() > 1 {
            return animated(picture, &config);
        }
        let pixels = picture.first();
        let encoded = encoder(pixels)
            .encode_advanced(&config)
            .map_err(|error| Error::Encode { format: FORMAT, reason: format!("{error:?}") })?;
        Ok(with_exif(encoded.to_vec(), pixels, picture.exif.as_deref()))
    }
}

fn encoder(pixels: &Pixels) -> ::webp::Encoder<'_> {
    let Size { width, height } = pixels.size;
    if pixels.has_alpha() {
        ::webp::Encoder::from_rgba(&pixels.data, width, height)
    } else {
        ::webp::Encoder::from_rgb(&pixels.data, width, height)
    }
}

fn config(picture: &Picture) -> Result<::webp::WebPConfig> {
    let mut config = ::webp::WebPConfig::new()
        .map_err(|()| Error::Encode { format: FORMAT, reason: "libwebp has another version than its header".into() })?;
    config.method = METHOD;
    if picture.lossless {
        config.lossless = 1;
        config.quality = 75.0;
        // the colour under transparent pixels is part of what must survive
        config.exact = 1;
    } else {
        config.quality = quality::webp(picture.quality);
        config.alpha_quality = 90;
    }
    Ok(config)
}

fn animated(picture: &Picture, config: &::webp::WebPConfig) -> Result<Vec<u8>> {
    let Size { width, height } = picture.first().size;
    let mut encoder = ::webp::AnimEncoder::new(width, height, config);
    encoder.set_loop_count(match picture.loops {
        Loops::Forever => 0,
        Loops::Times(times) => times.into(),
    });
    encoder.set_bgcolor([0, 0, 0, 0]);
    let mut at: i32 = 0;
    for frame in &picture.frames {
        let pixels = &frame.pixels;
        let added = if pixels.has_alpha() {
            ::webp::AnimFrame::from_rgba(&pixels.data, width, height, at)
        } else {
            ::webp::AnimFrame::from_rgb(&pixels.data, width, height, at)
        };
        encoder.add_frame(added);
        at = at.saturating_add(frame.delay.min(i32::MAX as u32) as i32);
    }
    let encoded =
        encoder.try_encode().map_err(|error| Error::Encode { format: FORMAT, reason: format!("{error:?}") })?;
    Ok(encoded.to_vec())
}

/// Puts an EXIF chunk behind the picture, which needs the extended layout (RFC 9649 §2.7).
fn with_exif(webp: Vec<u8>, pixels: &Pixels, exif: Option<&[u8]>) -> Vec<u8> {
    const HAS_ALPHA: u8 = 0x10;
    const HAS_EXIF: u8 = 0x08;
    let Some(exif) = exif else { return webp };
    let mut out = b"RIFF\0\0\0\0WEBP".to_vec();
    if webp.get(12..16) == Some(b"VP8X") {
        out.extend(&webp[12..]);
        out[20] |= HAS_EXIF;
    } else {
        out.extend(b"VP8X");
        out.extend(10u32.to_le_bytes());
        out.extend([HAS_EXIF | if pixels.has_alpha() { HAS_ALPHA } else { 0 }, 0, 0, 0]);
        out.extend(&(pixels.size.width - 1).to_le_bytes()[..3]);
        out.extend(&(pixels.size.height - 1).to_le_bytes()[..3]);
        out.extend(&webp[12..]);
    }
    out.extend(b"EXIF");
    out.extend((exif.len() as u32).to_le_bytes());
    out.extend(exif);
    out.extend(std::iter::repeat_n(0, exif.len() % 2));
    let size = out.len() as u32 - 8;
    out[4..8].copy_from_slice(&size.to_le_bytes());
    out
}
