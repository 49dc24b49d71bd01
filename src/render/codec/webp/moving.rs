//! The frames of a moving WebP (RFC 9649 §2.7.1.1). The library decodes each as a file of its own; they are laid over each
//! other here, since it keeps what a frame says should go and blends a level too low.

use std::io::Cursor;

use image_webp::WebPDecoder;

use super::super::canvas::{Area, Blend, Canvas, Dispose};
use super::{FORMAT, HEADROOM, failed};
use crate::render::error::{Error, Result};
use crate::render::geometry::Size;
use crate::render::pixels::Pixels;

/// A chunk: its name, what is in it, and what comes behind it.
fn chunk(bytes: &[u8]) -> Option<([u8; 4], &[u8], &[u8])> {
    let (&[a, b, c, d, e, f, g, h], rest) = bytes.split_first_chunk()?;
    let length = u32::from_le_bytes([e, f, g, h]) as usize;
    let data = rest.get(..length)?;
    // the byte that makes up for an odd length may be left out at the end
    Some(([a, b, c, d], data, rest.get(length + length % 2..).unwrap_or_default()))
}

/// Shows the first `count` frames on the whole canvas, one after the other, with how long each is shown, in milliseconds.
pub(super) fn frames(
    original: &[u8], size: Size, count: u32, memory: usize, show: &mut dyn FnMut(Pixels, u32) -> Result<()>,
) -> Result<()> {
    let mut canvas = Canvas::new(size);
    let mut rest = original.get(12..).unwrap_or_default();
    let mut shown = 0;
    while shown < count {
        let Some((name, data, next)) = chunk(rest) else {
            return Err(Error::malformed(FORMAT, "it ends before its last frame"));
        };
        rest = next;
        if &name != b"ANMF" {
            continue;
        }
        let (area, flags, delay, picture) =
            header(data).ok_or_else(|| Error::malformed(FORMAT, "a frame has no header"))?;
        let (right, bottom) = (area.left + area.size.width, area.top + area.size.height);
        if right > size.width || bottom > size.height {
            return Err(Error::malformed(FORMAT, "a frame lies outside of the picture"));
        }
        let pixels = decoded(picture, area.size, memory)?.with_alpha();
        let blend = if flags & 2 == 0 { Blend::Over } else { Blend::Replace };
        let dispose = if flags & 1 == 0 { Dispose::Keep } else { Dispose::Clear };
        canvas.draw(area, &pixels.data, blend, dispose);
        show(canvas.shown(), delay)?;
        shown += 1;
    }
    Ok(())
}

/// Where a frame lies, its flags, how long it is shown, and its chunks.
fn header(data: &[u8]) -> Option<(Area, u8, u32, &[u8])> {
    let (header, chunks) = data.split_first_chunk::<16>()?;
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], 0]);
    let size = Size::new(number(6) + 1, number(9) + 1);
    Some((Area { left: number(0) * 2, top: number(3) * 2, size }, header[15], number(12), chunks))
}

/// The pixels of a frame.
fn decoded(mut chunks: &[u8], size: Size, memory: usize) -> Result<Pixels> {
    let (mut alpha, mut picture) = (None, None);
    while let Some((name, data, next)) = chunk(chunks) {
        match &name {
            b"ALPH" => alpha = alpha.or(Some(data)),
            b"VP8 " | b"VP8L" => picture = picture.or(Some((name, data))),
            _ => {}
        }
        chunks = next;
    }
    let (name, data) = picture.ok_or_else(|| Error::malformed(FORMAT, "a frame has no picture"))?;
    if &name == b"VP8 " {
        super::check_size(data, size)?;
    }
    let mut of_its_own = Vec::new();
    if let Some(alpha) = alpha.filter(|_| &name == b"VP8 ") {
        super::put_chunk(&mut of_its_own, b"VP8X", &super::canvas_header(size, super::ALPHA));
        super::put_chunk(&mut of_its_own, b"ALPH", alpha);
    }
    super::put_chunk(&mut of_its_own, &name, data);
    let mut decoder = WebPDecoder::new(Cursor::new(super::riff(&of_its_own))).map_err(failed)?;
    decoder.set_memory_limit(memory + HEADROOM);
    if decoder.dimensions() != (size.width, size.height) {
        return Err(Error::malformed(FORMAT, "a frame states two different sizes"));
    }
    let length = decoder.output_buffer_size().ok_or_else(|| Error::malformed(FORMAT, "a frame is too large"))?;
    let mut samples = vec![0; length];
    decoder.read_image(&mut samples).map_err(failed)?;
    Pixels::new(FORMAT, size, if decoder.has_alpha() { 4 } else { 3 }, samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::codec::webp::libwebp;

    /// A frame of one colour, coded without loss.
    fn frame(left: u32, top: u32, size: Size, colour: &[u8], flags: u8) -> Vec<u8> {
        let pixels = Pixels::filled(size, colour);
        let mut config = webp::WebPConfig::new().expect("a configuration");
        super::super::set_lossless(&mut config);
        let file = libwebp::encode(&libwebp::Shown::Packed(&pixels), &config, &mut || true).unwrap_or_default();
        let mut data = Vec::new();
        for number in [left / 2, top / 2, size.width - 1, size.height - 1, 40] {
            data.extend(&number.to_le_bytes()[..3]);
        }
        data.push(flags);
        data.extend(super::super::bitstream(&file));
        data
    }

    #[test]
    fn frames_go_and_blend_as_they_say() {
        const OVER: u8 = 0;
        const GOES: u8 = 1;
        const REPLACES: u8 = 2;
        let size = Size::new(4, 2);
        let half = Size::new(2, 2);
        let frames_of_it = [
            frame(0, 0, size, &[255, 0, 0], GOES | REPLACES),
            frame(2, 0, half, &[0, 255, 0, 255], OVER),
            frame(0, 0, half, &[0, 0, 255, 128], OVER | GOES),
            frame(2, 0, half, &[9, 9, 9, 0], OVER),
            frame(2, 0, half, &[255, 255, 255, 128], OVER | GOES),
            frame(2, 0, half, &[0, 0, 0, 0], REPLACES),
        ];
        let mut file = b"RIFF\0\0\0\0WEBP".to_vec();
        super::super::put_chunk(&mut file, b"VP8X", &super::super::canvas_header(size, 0x12));
        for data in &frames_of_it {
            super::super::put_chunk(&mut file, b"ANMF", data);
        }
        let mut seen = Vec::new();
        frames(&file, size, 6, 1 << 20, &mut |pixels, delay| {
            assert_eq!(delay, 40);
            seen.push((pixels.data[..4].to_vec(), pixels.data[8..12].to_vec()));
            Ok(())
        })
        .expect("six frames");
        let none = || vec![0, 0, 0, 0];
        let expected = [
            (vec![255, 0, 0, 255], vec![255, 0, 0, 255]),
            (none(), vec![0, 255, 0, 255]),
            (vec![0, 0, 255, 128], vec![0, 255, 0, 255]),
            (none(), vec![0, 255, 0, 255]),
            (none(), vec![128, 255, 128, 255]),
            (none(), none()),
        ];
        assert_eq!(seen, expected);
        // a frame that says less than it is
        let mut config = webp::WebPConfig::new().expect("a configuration");
        config.quality = 50.0;
        let picture = Pixels::filled(Size::new(40, 40), &[9, 9, 9]);
        let large = libwebp::encode(&libwebp::Shown::Packed(&picture), &config, &mut || true).unwrap_or_default();
        let mut chunks = Vec::new();
        super::super::put_chunk(&mut chunks, b"ALPH", &[0, 255]);
        chunks.extend(super::super::bitstream(&large));
        let refused = decoded(&chunks, Size::new(1, 1), 1 << 20).expect_err("larger than it says");
        assert!(refused.to_string().contains("two different sizes"), "{refused}");
        assert!(frames(&file, size, 7, 1 << 20, &mut |_, _| Ok(())).is_err(), "there are six");
        assert!(frames(&file, Size::new(3, 2), 6, 1 << 20, &mut |_, _| Ok(())).is_err(), "beyond the canvas");
    }
}
