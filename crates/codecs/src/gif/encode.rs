//! Writing GIF through the crate `gif`: one colour table a frame, exact where the frame has at most 256 colours, quantised by
//! NeuQuant where it has more.

use ::gif::{DisposalMethod, Repeat};
use color_quant::NeuQuant;

use super::FORMAT;
use crate::EncodeInput;
use crate::palette::Palette;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::{Loops, Pixels};

/// Writes all frames as full-screen images.
///
/// # Errors
/// [`Error::Impossible`] for a side of more than 65535 pixels, [`Error::Encode`].
pub(super) fn encode(input: &EncodeInput) -> Result<Vec<u8>> {
    let failed = |error: ::gif::EncodingError| Error::Encode { format: FORMAT, reason: error.to_string() };
    let size = input.first().size;
    let side = |length: u32| {
        u16::try_from(length).map_err(|_| Error::Impossible("GIF holds at most 65535 pixels a side".into()))
    };
    let (width, height) = (side(size.width)?, side(size.height)?);
    let mut out = Vec::new();
    let sources = input.frames();
    let mut delay_error = 0;
    let mut frames: Vec<::gif::Frame<'_>> = Vec::with_capacity(sources.len());
    for (frame, next) in sources.iter().zip(sources.iter().cycle().skip(1)) {
        // a frame must not show through the transparent pixels of the next one
        let is_disposed = sources.len() > 1 && has_transparent(&next.pixels);
        let mut encoded = encode_frame(&frame.pixels, width, height, is_disposed);
        encoded.delay = centiseconds(frame.delay, &mut delay_error);
        frames.push(encoded);
    }
    // the first frame's colour table is the global one: some readers take a local one for the default
    let palette = frames[0].palette.take().unwrap_or_default();
    let mut encoder = ::gif::Encoder::new(&mut out, width, height, &palette).map_err(failed)?;
    if sources.len() > 1 {
        let repeat = match input.loops {
            Loops::Forever => Repeat::Infinite,
            // NETSCAPE2.0 counts the repetitions behind the first showing
            Loops::Times(times) => Repeat::Finite(times.saturating_sub(1)),
        };
        encoder.set_repeat(repeat).map_err(failed)?;
    }
    for frame in &frames {
        encoder.write_frame(frame).map_err(failed)?;
    }
    drop(encoder);
    Ok(out)
}

/// Pixels of a lower alpha become transparent; GIF has no partial transparency.
const OPAQUE: u8 = 128;

fn has_transparent(pixels: &Pixels) -> bool {
    pixels.has_alpha() && pixels.data.chunks_exact(4).any(|pixel| pixel[3] < OPAQUE)
}

/// A delay in hundredths of a second, from milliseconds. The rounding error, in milliseconds, is carried over to the next frame.
/// Delays over 10 ms become 2 at least: most viewers show a delay of 1 as 10.
fn centiseconds(delay: u32, error: &mut i64) -> u16 {
    let exact = i64::from(delay) - *error;
    let least = if delay > 10 { 2 } else { 0 };
    let rounded = ((exact + 5).div_euclid(10)).clamp(least, u16::MAX.into());
    // a delay longer than 655.35 s is cut, and not carried over
    *error = (rounded * 10 - exact).max(-10);
    rounded as u16
}

/// A full-screen frame with a local colour table. `is_disposed` selects the disposal method "restore to background", for which
/// some readers want a transparent colour index even where no pixel has it.
fn encode_frame(pixels: &Pixels, width: u16, height: u16, is_disposed: bool) -> ::gif::Frame<'static> {
    let is_transparent = is_disposed || has_transparent(pixels);
    let max_colours = if is_transparent { 255 } else { 256 };
    // iterated three times rather than collected, which would take as much memory as the picture
    let colours = || {
        let colour =
            |pixel: &[u8]| pixel.get(3).is_none_or(|&alpha| alpha >= OPAQUE).then(|| [pixel[0], pixel[1], pixel[2]]);
        pixels.data.chunks_exact(pixels.channels).map(colour)
    };
    let exact = Palette::exact(colours().flatten().map(|[r, g, b]| [r, g, b, 255]), max_colours);
    let (mut palette, indices): (Vec<u8>, Vec<u8>) = if let Some(exact) = exact {
        let transparent = exact.colours().len() as u8;
        let indices = colours().map(|colour| colour.map_or(transparent, |[r, g, b]| exact.index([r, g, b, 255])));
        (exact.colours().iter().flat_map(|colour| &colour[..3]).copied().collect(), indices.collect())
    } else {
        let mut opaque = Vec::with_capacity(pixels.size.pixels() as usize * 4);
        opaque.extend(colours().flatten().flat_map(|[r, g, b]| [r, g, b, 255]));
        let quantised = NeuQuant::new(sample_factor(opaque.len() / 4), max_colours, &opaque);
        let index = |[r, g, b]: [u8; 3]| quantised.index_of(&[r, g, b, 255]) as u8;
        let indices = colours().map(|colour| colour.map_or(max_colours as u8, index));
        (quantised.color_map_rgb(), indices.collect())
    };
    let transparent = is_transparent.then_some((palette.len() / 3) as u8);
    if is_transparent {
        palette.extend([0; 3]);
    }
    ::gif::Frame {
        width,
        height,
        buffer: indices.into(),
        palette: Some(palette),
        transparent,
        dispose: if is_disposed { DisposalMethod::Background } else { DisposalMethod::Keep },
        ..::gif::Frame::default()
    }
}

/// NeuQuant's sampling factor: 1 reads every pixel, 30 every thirtieth. 10 is the usual compromise, but it misses colours of small
/// pictures.
fn sample_factor(pixels: usize) -> i32 {
    const ENOUGH: usize = 10_000;
    (pixels / ENOUGH).clamp(1, 10) as i32
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ::gif::{ColorOutput, DecodeOptions};

    use super::super::Gif;
    use super::*;
    use crate::PictureData;
    use crate::canvas::{Area, Blend, Canvas, Disposal};
    use crate::codec::Codec;

    use tintype_pixels::{Frame, Size};

    fn round_trip(frames: Vec<Frame>) -> Vec<Frame> {
        let input = EncodeInput::new(PictureData::Frames(frames), 80.0);
        let file = Gif.encode(&input, &mut || true).expect("encoded");
        let mut decoder = DecodeOptions::new();
        decoder.set_color_output(ColorOutput::RGBA);
        let mut decoder = decoder.read_info(Cursor::new(file)).expect("a GIF");
        let mut canvas = Canvas::new(input.size());
        let mut read = Vec::new();
        while let Some(frame) = decoder.read_next_frame().expect("a frame") {
            let area = Area { left: 0, top: 0, size: input.size() };
            let is_disposed = frame.dispose == DisposalMethod::Background;
            assert!(!is_disposed || frame.transparent.is_some(), "disposed frames have a transparent colour");
            canvas.draw(
                area,
                &frame.buffer,
                Blend::Over,
                if is_disposed { Disposal::Background } else { Disposal::None },
            );
            read.push(Frame { pixels: canvas.snapshot(), delay: u32::from(frame.delay) * 10 });
        }
        read
    }

    #[test]
    fn animation_round_trip_keeps_transparent_pixels() {
        let size = Size::new(20, 20);
        let red = Pixels::filled(size, &[255, 0, 0]);
        let mut translucent = Pixels::filled(size, &[0, 255, 0, 255]);
        for (at, pixel) in translucent.data.chunks_exact_mut(4).enumerate() {
            // every value of alpha, and more colours than fit a colour table
            pixel[3] = (at % 256) as u8;
            pixel[0] = (at / 2) as u8;
            pixel[2] = (at * 7) as u8;
        }
        let colourful = Pixels { size, channels: 3, data: (0..1200).map(|at| (at * 31 % 251) as u8).collect() };
        let frames = [&red, &translucent, &colourful, &red].map(|pixels| Frame { pixels: pixels.clone(), delay: 40 });
        let read = round_trip(frames.to_vec());
        assert_eq!(read.len(), 4);
        for (number, (written, read)) in frames.iter().zip(&read).enumerate() {
            let written = written.pixels.clone().with_alpha();
            let mut difference = 0;
            for (written, read) in written.data.chunks_exact(4).zip(read.pixels.data.chunks_exact(4)) {
                assert_eq!(read[3], if written[3] < OPAQUE { 0 } else { 255 }, "frame {number}");
                if read[3] == 255 {
                    difference += written.iter().zip(read).take(3).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
                }
            }
            assert!(difference / 1200 <= 6, "frame {number}: {difference}");
        }
    }

    #[test]
    fn colours_that_fit_the_table_are_exact() {
        let colour = |at: u32| [at as u8, 255 - at as u8, 7];
        let opaque = Pixels { size: Size::new(16, 16), channels: 3, data: (0..256).flat_map(colour).collect() };
        let mut translucent = opaque.clone().with_alpha();
        translucent.data[..4].fill(0);
        for pixels in [opaque, translucent] {
            let read = round_trip(vec![Frame { pixels: pixels.clone(), delay: 0 }]);
            assert!(read[0].pixels.data == pixels.with_alpha().data);
        }
    }

    #[test]
    fn rounding_errors_of_delays_are_carried_over() {
        let rounded = |delays: &[u32]| {
            let mut error = 0;
            delays.iter().map(|&delay| centiseconds(delay, &mut error)).collect::<Vec<_>>()
        };
        assert_eq!(rounded(&[5, 10, 20, 70]), [1, 1, 2, 7]);
        assert_eq!(rounded(&[33, 33, 34, 33, 33, 34]), [3, 4, 3, 3, 4, 3]);
        assert_eq!(rounded(&[16, 17, 17, 50]), [2, 2, 2, 4], "2 at least");
        assert_eq!(rounded(&[105, 105]), [11, 10]);
        assert_eq!(rounded(&[1_000_000, 40]), [u16::MAX, 5]);
    }
}
