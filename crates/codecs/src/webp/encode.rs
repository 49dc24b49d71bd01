//! Encoding WebP by libwebp.

use ::webp::WebPConfig;

use super::{FORMAT, mux, planes};
use crate::canvas::Area;
use crate::codec::ShouldContinue;
use crate::encoding::{Effort, PictureKind};
use crate::{EncodeInput, PictureData};
use tintype_codec_sys::libwebp;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::geometry::Size;
use tintype_pixels::{Loops, Pixels};

/// libwebp's method, 0 to 6. At equal SSIMULACRA2, 2 takes 0.4 of the time of 4, libwebp's default, for 5 to 7 percent more bytes; 6
/// takes twice the time of 4 for 2 to 4 percent fewer. At method 2, fewer segments, weaker or stronger filters and noise shaping
/// all cost bytes, so the other settings are the defaults.
fn method(effort: Effort) -> i32 {
    match effort {
        Effort::Fast => 2,
        Effort::Balanced => 3,
        Effort::Dense => 6,
    }
}

/// Writes a still picture or an animation.
///
/// # Errors
/// [`Error::Encode`], [`Error::Cancelled`].
pub(super) fn encode(input: &EncodeInput, should_continue: ShouldContinue<'_>) -> Result<Vec<u8>> {
    let config = config(input)?;
    let (has_alpha, webp) = match &input.data {
        PictureData::Planes(planes) => {
            let planes = planes::to_limited_range(planes);
            (false, encode_bitstream(&libwebp::Input::Planes(&planes), &config, should_continue)?)
        }
        PictureData::Frames(frames) => match &frames[..] {
            [one] => (one.pixels.has_alpha(), encode_still(&one.pixels, &config, should_continue)?),
            _ => return encode_animation(input, &config, should_continue),
        },
    };
    if input.exif.is_none() && input.profile.is_none() {
        return Ok(webp);
    }
    Ok(mux::extended(input, has_alpha, None, mux::bitstream(&webp)))
}

/// Up to this many pixels, lossy and lossless coding are both tried: icons and thumbnails of few colours are often smaller without
/// loss, and lossy coding halves the resolution of their chroma.
pub(super) const TRY_BOTH: u64 = 64 * 64;

/// Bytes by which a lossless file may exceed the lossy one and still be preferred; both fit one packet.
const LOSSLESS_MARGIN: usize = 256;

/// Encodes one picture; a whole file in the simple or extended format.
fn encode_still(pixels: &Pixels, config: &WebPConfig, should_continue: ShouldContinue<'_>) -> Result<Vec<u8>> {
    let lossy = encode_bitstream(&libwebp::Input::Packed(pixels), config, should_continue)?;
    if config.lossless == 1 || pixels.size.pixels() > TRY_BOTH {
        return Ok(lossy);
    }
    let mut lossless = *config;
    set_lossless(&mut lossless);
    let exact = encode_bitstream(&libwebp::Input::Packed(pixels), &lossless, should_continue)?;
    Ok(if exact.len() <= lossy.len() + LOSSLESS_MARGIN { exact } else { lossy })
}

/// Runs libwebp.
pub(super) fn encode_bitstream(
    shown: &libwebp::Input<'_>, config: &WebPConfig, should_continue: ShouldContinue<'_>,
) -> Result<Vec<u8>> {
    libwebp::encode(shown, config, should_continue).map_err(|failure| match failure {
        libwebp::EncodeError::Cancelled => Error::Cancelled,
        libwebp::EncodeError::Library(reason) => Error::Encode { format: FORMAT, reason },
    })
}

pub(super) fn config(input: &EncodeInput) -> Result<WebPConfig> {
    let mut config = WebPConfig::new()
        .map_err(|()| Error::Encode { format: FORMAT, reason: "libwebp has another version than its header".into() })?;
    config.method = method(input.encoding.effort);
    config.thread_level = i32::from(input.threads > 1);
    if input.lossless || is_exact(input.quality) {
        set_lossless(&mut config);
    } else {
        config.quality = input.quality;
        config.alpha_quality = 90;
        // chroma that follows edges of colour although it has half their resolution: text in colour on code scores 81 for 58 at 80, for
        // up to a fifth more bytes and 2.5 times the CPU; photographs gain nothing below 75
        config.use_sharp_yuv = i32::from(input.kind == PictureKind::Drawing);
    }
    Ok(config)
}

/// Whether every pixel is kept, as lossless coding alone does: lossy coding halves the resolution of chroma at any quality.
pub(super) fn is_exact(quality: f32) -> bool {
    quality >= 100.0
}

/// Selects lossless coding.
pub(super) fn set_lossless(config: &mut WebPConfig) {
    config.lossless = 1;
    // with the quality below: 5 to 50 percent fewer bytes than method 2 at 25, about as many as method 2 at 85
    config.method = config.method.max(4);
    // in lossless mode this is the effort
    config.quality = 75.0;
    // keeps the colour of transparent pixels
    config.exact = 1;
}

/// Writes every frame as an `ANMF` chunk with the rectangle that changed (RFC 9649 §2.7.1.1).
///
/// libwebp's `WebPAnimEncoder` is not used since it merges equal frames, and clients may rely on the number of frames.
fn encode_animation(input: &EncodeInput, config: &WebPConfig, should_continue: ShouldContinue<'_>) -> Result<Vec<u8>> {
    let size = input.first().size;
    let loops = match input.loops {
        Loops::Forever => 0,
        Loops::Times(times) => times,
    };
    let mut body = Vec::new();
    let mut has_alpha = false;
    let mut previous: Option<&Pixels> = None;
    for frame in input.frames() {
        let area = previous.map_or_else(|| Area::all(size), |previous| changed(previous, &frame.pixels));
        let part = frame.pixels.cut(area.left, area.top, area.size).without_opaque_alpha();
        has_alpha |= part.has_alpha();
        let webp = encode_still(&part, config, should_continue)?;
        let data = mux::bitstream(&webp);
        // blending method "do not blend", disposal method "do not dispose"
        const DO_NOT_BLEND: u8 = 0x02;
        body.extend(b"ANMF");
        body.extend((data.len() as u32 + 16).to_le_bytes());
        for number in
            [area.left / 2, area.top / 2, area.size.width - 1, area.size.height - 1, frame.delay.min(0xFF_FFFF)]
        {
            body.extend(&number.to_le_bytes()[..3]);
        }
        body.push(DO_NOT_BLEND);
        body.extend(data);
        previous = Some(&frame.pixels);
    }
    Ok(mux::extended(input, has_alpha, Some(loops), &body))
}

/// The rectangle in which a frame differs from the previous one, with an even left and top as `ANMF` requires; a single pixel where
/// the frames are equal.
fn changed(before: &Pixels, after: &Pixels) -> Area {
    let Area { left, top, size } = Area::changed(before, after).unwrap_or(Area::ONE);
    let size = Size::new(size.width + (left & 1), size.height + (top & 1));
    Area { left: left & !1, top: top & !1, size }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image_webp::{LoopCount, WebPDecoder};

    use super::*;

    use tintype_pixels::Frame;

    fn dot(x: usize) -> Pixels {
        let mut pixels = Pixels::filled(Size::new(20, 10), &[10, 200, 30]);
        pixels.data[(3 * 20 + x) * 3..][..3].copy_from_slice(&[250, 0, 0]);
        pixels
    }

    #[test]
    fn animation_keeps_frame_count_delays_and_pixels() {
        let delays = [50, 100, 150, 70];
        let sources = [dot(5), dot(5), dot(17), Pixels::filled(Size::new(20, 10), &[0, 0, 0, 0])];
        let frames =
            sources.iter().zip(delays).map(|(pixels, delay)| Frame { pixels: pixels.clone(), delay }).collect();
        let input = EncodeInput {
            loops: Loops::Times(3),
            lossless: true,
            ..EncodeInput::new(PictureData::Frames(frames), 80.0)
        };
        let webp = encode(&input, &mut || true).expect("encoded");
        let mut decoder = WebPDecoder::new(Cursor::new(&webp)).expect("a WebP");
        assert_eq!((decoder.num_frames(), decoder.dimensions()), (4, (20, 10)));
        assert_eq!(decoder.loop_count(), LoopCount::Times(3.try_into().expect("not 0")));
        let mut canvas = vec![0; decoder.output_buffer_size().expect("it fits")];
        for (frame, delay) in sources.iter().zip(delays) {
            assert_eq!(decoder.read_frame(&mut canvas).expect("a frame"), delay);
            let alpha = if frame.has_alpha() { 0 } else { 255 };
            assert!(canvas.chunks_exact(4).all(|pixel| pixel[3] == alpha));
            if alpha == 255 {
                let same = canvas.chunks_exact(4).zip(frame.data.chunks_exact(3)).all(|(a, b)| a[..3] == *b);
                assert!(same, "frame of {delay} ms");
            }
        }
    }

    /// Lines of red on blue, larger than what is tried without loss in any case.
    fn lines() -> Pixels {
        let pixel = |at: usize| if (at % 100 + at / 100) % 7 < 2 { [230, 10, 20] } else { [10, 20, 200] };
        Pixels { size: Size::new(100, 100), channels: 3, data: (0..10_000).flat_map(pixel).collect() }
    }

    fn encoded(pixels: &Pixels, quality: f32, kind: PictureKind) -> (usize, Vec<u8>) {
        let data = PictureData::Frames(vec![Frame { pixels: pixels.clone(), delay: 0 }]);
        let webp = encode(&EncodeInput { kind, ..EncodeInput::new(data, quality) }, &mut || true).expect("encoded");
        let mut decoder = WebPDecoder::new(Cursor::new(&webp)).expect("a WebP");
        let mut samples = vec![0; decoder.output_buffer_size().expect("it fits")];
        decoder.read_image(&mut samples).expect("a picture");
        (webp.len(), samples)
    }

    #[test]
    fn quality_100_keeps_every_pixel() {
        let pixels = lines();
        for kind in [PictureKind::Photo, PictureKind::Drawing] {
            assert_eq!(encoded(&pixels, 100.0, kind).1, pixels.data, "{kind:?}");
            assert_ne!(encoded(&pixels, 99.0, kind).1, pixels.data, "{kind:?}");
        }
    }

    #[test]
    fn chroma_of_drawings_follows_edges() {
        let pixels = lines();
        let error = |kind| {
            let (_, samples) = encoded(&pixels, 85.0, kind);
            samples.iter().zip(&pixels.data).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum::<u64>()
        };
        let (plain, sharp) = (error(PictureKind::Photo), error(PictureKind::Drawing));
        assert!(sharp * 10 < plain * 9, "{sharp} : {plain}");
    }

    #[test]
    fn encoder_stops_when_told() {
        let pixels = Pixels::filled(Size::new(300, 300), &[1, 2, 3]);
        let data = PictureData::Frames(vec![Frame { pixels, delay: 0 }]);
        let input = EncodeInput::new(data, 80.0);
        let mut calls = 0;
        let result = encode(&input, &mut || {
            calls += 1;
            calls < 3
        });
        assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
        assert_eq!(calls, 3);
    }

    #[test]
    fn changed_rectangle_has_even_origin() {
        let area = changed(&dot(5), &dot(17));
        assert_eq!((area.left, area.top, area.size), (4, 2, Size::new(14, 2)));
        assert_eq!(changed(&dot(5), &dot(5)).size, Size::new(1, 1));
    }
}
