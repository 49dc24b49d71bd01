//! GIF. Frames are decoded in `frames.rs`, files are written in `encode.rs`.

mod blocks;
mod colours;
mod encode;
mod frames;
mod lzw_encoder;
mod rows;
mod screen;
#[cfg(test)]
mod tests;
mod write;

use blocks::Outline;
use frames::{Frames, IndexedFrame};
use rows::FrameRows;

use super::canvas::{Blend, Canvas};
use crate::codec::{Codec, RowSink, ShouldContinue, Sink};
use crate::encode_input::EncodeInput;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::format::Format;
use tintype_pixels::{Admitted, DecodeMemory, DecodeOptions, Decoded, Info, Integrity};

/// Reads and writes GIF.
pub(crate) struct Gif;

const FORMAT: Format = Format::Gif;

/// Pixels that a frame may have in excess of the logical screen.
const MAX_EXCESS: u64 = 1 << 20;

impl Codec for Gif {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let outline = Outline::read(original)?;
        let mut info = Info::new(FORMAT, outline.size);
        info.frames = outline.frames;
        info.loops = outline.loops;
        (info.has_alpha, info.is_indexed) = (outline.has_alpha, true);
        info.has_metadata = outline.has_metadata;
        // 4 bytes each for the canvas, its saved copy and the snapshot; colour indices as sent and deinterlaced; LZW codes, 2
        // bytes at most in a buffer that grows by doubling. Fragmentation between the frames of an animation was measured
        let fragmentation = if outline.frames > 1 { 16.0 } else { 0.0 };
        info.caps.memory = DecodeMemory { per_stored_pixel: 0.0, per_decoded_pixel: 24.0 + fragmentation };
        info.caps.rows = Some(outline.row_decoding());
        Ok(info)
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, _options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        let info = admitted.info();
        let mut frames = Frames::open(original, info.size.pixels() + MAX_EXCESS);
        let mut canvas = Canvas::new(info.size);
        for number in 0..admitted.frames() {
            let frame = match frames.next() {
                Err(Error::Malformed { reason, .. }) if number > 0 => {
                    return Ok(incomplete(number, admitted.frames(), &reason));
                }
                frame => frame?,
            };
            check_has_pixels(info, &frame)?;
            let integrity = frame.integrity();
            // partial frames are shown only in the first place
            if integrity.is_damaged() && number > 0 {
                return Ok(incomplete(number, admitted.frames(), "its image data end early"));
            }
            draw(&mut canvas, &frame);
            let delay = frame.delay;
            // the snapshot is the peak of memory
            drop(frame);
            sink(Decoded { delay, ..Decoded::still(canvas.snapshot(), None) })?;
            if integrity.is_damaged() {
                return Ok(integrity);
            }
        }
        Ok(Integrity::Whole)
    }

    fn stream(&self, original: &[u8], admitted: &Admitted<'_>, sink: RowSink<'_>) -> Result<Integrity> {
        let info = admitted.info();
        let frame = Frames::open(original, info.size.pixels() + MAX_EXCESS).next()?;
        check_has_pixels(info, &frame)?;
        let integrity = frame.integrity();
        // a second graphic control extension may add transparency that was not announced, and missing rows are transparent
        let announced = info.caps.rows.map_or(4, |rows| rows.channels);
        let channels = if frame.is_transparent || integrity.is_damaged() { 4 } else { announced };
        sink(&mut FrameRows::new(frame, info.size, channels), None)?;
        Ok(integrity)
    }

    fn has_end(&self, original: &[u8]) -> bool {
        Outline::read(original).is_ok_and(|outline| outline.has_trailer)
    }

    fn encode(&self, input: &EncodeInput, _should_continue: ShouldContinue<'_>) -> Result<Vec<u8>> {
        encode::encode(input)
    }
}

/// An empty frame is an error in a still picture and shows nothing in an animation.
fn check_has_pixels(info: &Info, frame: &IndexedFrame) -> Result<()> {
    if info.frames == 1 && frame.indices.is_empty() {
        return Err(Error::malformed(FORMAT, "its only image has no pixels"));
    }
    Ok(())
}

/// Composes a frame on the logical screen.
fn draw(canvas: &mut Canvas, frame: &IndexedFrame) {
    let width = frame.area.size.width as usize;
    let mut line: Vec<u8> = Vec::new();
    canvas.draw_rows(frame.area, Blend::Over, frame.disposal, |row, columns, target| {
        line.resize(columns * 4, 0);
        let indices = &frame.indices[row * width..][..columns];
        for (pixel, &index) in line.as_chunks_mut().0.iter_mut().zip(indices) {
            *pixel = frame.colours[usize::from(index)];
        }
        target(&line);
    });
}

/// The integrity of an animation of which only the first `decoded` frames are complete.
fn incomplete(decoded: u32, of: u32, reason: &str) -> Integrity {
    Integrity::Damaged(format!("{reason}: {decoded} of {of} frames decoded").into())
}
