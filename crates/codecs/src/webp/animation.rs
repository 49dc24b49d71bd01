//! The frames of an animated WebP (RFC 9649 §2.7.1.1). `image-webp` decodes each as a file of its own. They are composed here, since
//! that crate ignores disposal methods and rounds blended levels down.

use super::container::{self, Container, Frame};
use super::{FORMAT, Integrity};
use crate::canvas::{Area, Blend, Canvas, Disposal};
use tintype_pixels::Pixels;
use tintype_pixels::error::{Error, Result};

/// Passes the first `count` frames, composed on the canvas, to `show` with their delay in milliseconds. Stops before the first damaged
/// frame; of a damaged first frame the decodable rows are passed.
pub(super) fn frames(
    container: &Container<'_>, count: u32, memory: usize, show: &mut dyn FnMut(Pixels, u32) -> Result<()>,
) -> Result<Integrity> {
    let mut canvas = Canvas::new(container.size);
    let frames = container::frames(container.chunks).take(count as usize);
    let mut shown = 0;
    for frame in frames {
        let decoded = frame
            .ok_or_else(|| Error::malformed(FORMAT, "an ANMF chunk has no header"))
            .and_then(|frame| Ok((decode_frame(&frame, container, memory)?, frame)));
        let ((pixels, integrity), Frame { left, top, size, flags, delay, .. }) = match decoded {
            Ok(((_, Integrity::Damaged(reason)), _)) if shown > 0 => return Ok(incomplete(shown, &reason)),
            Err(Error::Malformed { reason, .. }) if shown > 0 => return Ok(incomplete(shown, &reason)),
            decoded => decoded?,
        };
        let blend = if flags & 2 == 0 { Blend::Over } else { Blend::Source };
        let dispose = if flags & 1 == 0 { Disposal::None } else { Disposal::Background };
        canvas.draw(Area { left, top, size }, &pixels.with_alpha().data, blend, dispose);
        show(canvas.snapshot(), delay)?;
        shown += 1;
        if integrity.is_damaged() {
            return Ok(integrity);
        }
    }
    if shown < count {
        return Err(Error::malformed(FORMAT, "it ends before its last frame"));
    }
    Ok(if container.is_cut { incomplete(shown, "the file ends early") } else { Integrity::Whole })
}

fn incomplete(shown: u32, reason: &str) -> Integrity {
    Integrity::Damaged(format!("{reason}: {shown} frames decoded").into())
}

/// Decodes a frame without composing it.
fn decode_frame(frame: &Frame<'_>, container: &Container<'_>, memory: usize) -> Result<(Pixels, Integrity)> {
    let image = frame.image.ok_or_else(|| Error::malformed(FORMAT, "an ANMF chunk has no bitstream"))?;
    let (right, bottom) = (frame.left + frame.size.width, frame.top + frame.size.height);
    if right > container.size.width || bottom > container.size.height {
        return Err(Error::malformed(FORMAT, "a frame lies outside of the canvas"));
    }
    if image.size()? != frame.size {
        return Err(Error::malformed(FORMAT, "a frame states two different sizes"));
    }
    super::decode_full_size(&image, frame.size, memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tintype_codec_sys::libwebp;
    use tintype_pixels::geometry::Size;

    /// The payload of `ANMF` for a lossless frame of one colour.
    fn frame(left: u32, top: u32, size: Size, colour: &[u8], flags: u8) -> Vec<u8> {
        let pixels = Pixels::filled(size, colour);
        let mut config = webp::WebPConfig::new().expect("a configuration");
        super::super::encode::set_lossless(&mut config);
        let file = libwebp::encode(&libwebp::Input::Packed(&pixels), &config, &mut || true).unwrap_or_default();
        let mut data = Vec::new();
        for number in [left / 2, top / 2, size.width - 1, size.height - 1, 40] {
            data.extend(&number.to_le_bytes()[..3]);
        }
        data.push(flags);
        data.extend(super::super::mux::bitstream(&file));
        data
    }

    #[test]
    fn disposal_and_blending_follow_the_flags() {
        const OVER: u8 = 0;
        const DISPOSE: u8 = 1;
        const DO_NOT_BLEND: u8 = 2;
        let size = Size::new(4, 2);
        let half = Size::new(2, 2);
        let frames_of_it = [
            frame(0, 0, size, &[255, 0, 0], DISPOSE | DO_NOT_BLEND),
            frame(2, 0, half, &[0, 255, 0, 255], OVER),
            frame(0, 0, half, &[0, 0, 255, 128], OVER | DISPOSE),
            frame(2, 0, half, &[9, 9, 9, 0], OVER),
            frame(2, 0, half, &[255, 255, 255, 128], OVER | DISPOSE),
            frame(2, 0, half, &[0, 0, 0, 0], DO_NOT_BLEND),
        ];
        let mut file = b"RIFF\0\0\0\0WEBP".to_vec();
        super::super::mux::put_chunk(&mut file, b"VP8X", &super::super::mux::vp8x_payload(size, 0x12));
        for data in &frames_of_it {
            super::super::mux::put_chunk(&mut file, b"ANMF", data);
        }
        let mut seen = Vec::new();
        let container = Container::read(&file).expect("a container");
        frames(&container, 6, 1 << 20, &mut |pixels, delay| {
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
        assert!(frames(&container, 7, 1 << 20, &mut |_, _| Ok(())).is_err(), "only six frames");
        // a frame outside of the canvas, and a bitstream larger than ANMF says
        let small = Container { size: Size::new(3, 2), ..Container::read(&file).expect("a container") };
        assert!(frames(&small, 6, 1 << 20, &mut |_, _| Ok(())).is_err(), "outside of the canvas");
        let mut config = webp::WebPConfig::new().expect("a configuration");
        config.quality = 50.0;
        let picture = Pixels::filled(Size::new(40, 40), &[9, 9, 9]);
        let large = libwebp::encode(&libwebp::Input::Packed(&picture), &config, &mut || true).unwrap_or_default();
        let mut file = b"RIFF\0\0\0\0WEBP".to_vec();
        super::super::mux::put_chunk(&mut file, b"VP8X", &super::super::mux::vp8x_payload(size, 0x12));
        let mut chunks = frame(0, 0, Size::new(1, 1), &[0, 0, 0], 0)[..16].to_vec();
        super::super::mux::put_chunk(&mut chunks, b"ALPH", &[0, 255]);
        chunks.extend(super::super::mux::bitstream(&large));
        super::super::mux::put_chunk(&mut file, b"ANMF", &chunks);
        let container = Container::read(&file).expect("a container");
        let refused = frames(&container, 1, 1 << 20, &mut |_, _| Ok(())).expect_err("larger than ANMF says");
        assert!(refused.to_string().contains("two different sizes"), "{refused}");
    }
}
