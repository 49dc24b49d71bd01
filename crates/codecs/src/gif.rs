//! GIF, written through the crate `gif`; its frames are read in `frames.rs`.
//!
//! The header says nothing about how many frames follow: the blocks have to be walked, which is done without
//! decompressing any.

#[cfg(test)]
mod cases;
mod frames;

use ::gif::{DisposalMethod, Repeat};
use color_quant::NeuQuant;

use frames::{Frames, Indexed, Lines};

use super::canvas::{Blend, Canvas};
use super::palette::Palette;
use crate::codec::{Codec, KeepGoing, RowSink, Sink};
use crate::picture::Picture;
use tintype_pixels::Pixels;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::format::Format;
use tintype_pixels::geometry::Size;
use tintype_pixels::{Admitted, DecodeMemory, DecodeOptions, Decoded, Info, Integrity, Loops, RowDecoding};

/// Reads and writes GIF.
pub(crate) struct Gif;

const FORMAT: Format = Format::Gif;

/// So many pixels more than the canvas a frame may have, most of which is not seen.
const BEYOND: u64 = 1 << 20;

impl Codec for Gif {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let outline = Outline::read(original)?;
        let mut info = Info::new(FORMAT, outline.size);
        info.frames = outline.frames;
        info.loops = outline.loops;
        info.has_alpha = outline.has_alpha;
        info.has_metadata = outline.has_comment;
        // the canvas, what it is restored to, and the copy that goes out, 4 bytes each; places of the palette, as they were
        // sent and in order; codes, 2 bytes at most in a buffer that grows by doubling; and where frames come and go
        // between results that stay, gaps, as measured
        let gaps = if outline.frames > 1 { 16.0 } else { 0.0 };
        info.caps.memory = DecodeMemory { per_stored_pixel: 0.0, per_decoded_pixel: 24.0 + gaps };
        info.caps.rows = Some(outline.streamed());
        Ok(info)
    }

    fn decode(
        &self, original: &[u8], admitted: &Admitted<'_>, _options: &DecodeOptions, sink: Sink<'_>,
    ) -> Result<Integrity> {
        let info = admitted.info();
        let mut frames = Frames::open(original, info.size.pixels() + BEYOND);
        let mut canvas = Canvas::new(info.size);
        let mut line: Vec<u8> = Vec::new();
        for number in 0..admitted.frames() {
            let frame = match frames.next() {
                Err(Error::Malformed { reason, .. }) if number > 0 => {
                    return Ok(lost(number, admitted.frames(), &reason));
                }
                frame => frame?,
            };
            if info.frames == 1 && frame.indices.is_empty() {
                return Err(Error::malformed(FORMAT, "its only frame has no pixels"));
            }
            let integrity = frame.integrity();
            // whole frames only, but for the first
            if integrity.is_damaged() && number > 0 {
                return Ok(lost(number, admitted.frames(), "its image data end early"));
            }
            let width = frame.area.size.width as usize;
            canvas.draw_rows(frame.area, Blend::Over, frame.dispose, |row, columns, target| {
                line.resize(columns * 4, 0);
                let indices = &frame.indices[row * width..][..columns];
                for (pixel, &index) in line.as_chunks_mut().0.iter_mut().zip(indices) {
                    *pixel = frame.colours[usize::from(index)];
                }
                target(&line);
            });
            let delay = frame.delay;
            // what comes next takes the most memory
            drop(frame);
            sink(Decoded { delay, ..Decoded::still(canvas.shown(), None) })?;
            if integrity.is_damaged() {
                return Ok(integrity);
            }
        }
        Ok(Integrity::Whole)
    }

    fn stream(&self, original: &[u8], admitted: &Admitted<'_>, sink: RowSink<'_>) -> Result<Integrity> {
        let info = admitted.info();
        let frame = Frames::open(original, info.size.pixels() + BEYOND).next()?;
        if info.frames == 1 && frame.indices.is_empty() {
            return Err(Error::malformed(FORMAT, "its only frame has no pixels"));
        }
        let integrity = frame.integrity();
        // what blocks say of it twice may not be what was announced, and rows that did not come are transparent
        let announced = info.caps.rows.map_or(4, |streamed| streamed.channels);
        let channels = if frame.has_hole || integrity.is_damaged() { 4 } else { announced };
        sink(&mut Lines::new(frame, info.size, channels), None)?;
        Ok(integrity)
    }

    fn has_end(&self, original: &[u8]) -> bool {
        Outline::read(original).is_ok_and(|outline| outline.has_end)
    }

    fn encode(&self, picture: &Picture, _go_on: KeepGoing<'_>) -> Result<Vec<u8>> {
        let failed = |error: ::gif::EncodingError| Error::Encode { format: FORMAT, reason: error.to_string() };
        let size = picture.first().size;
        let side = |length: u32| {
            u16::try_from(length).map_err(|_| Error::Impossible("GIF holds at most 65535 pixels a side".into()))
        };
        let (width, height) = (side(size.width)?, side(size.height)?);
        let mut out = Vec::new();
        let shown = picture.frames();
        let mut late = 0;
        let mut frames: Vec<::gif::Frame<'_>> = Vec::with_capacity(shown.len());
        for (frame, next) in shown.iter().zip(shown.iter().cycle().skip(1)) {
            // where the next one is transparent this one must not show through
            let goes = shown.len() > 1 && has_holes(&next.pixels);
            let mut encoded = encoded_frame(&frame.pixels, width, height, goes);
            encoded.delay = hundredths(frame.delay, &mut late);
            frames.push(encoded);
        }
        // the first frame's palette is the global one: some readers take a local palette for the default one
        let palette = frames[0].palette.take().unwrap_or_default();
        let mut encoder = ::gif::Encoder::new(&mut out, width, height, &palette).map_err(failed)?;
        if picture.frames().len() > 1 {
            let repeat = match picture.loops {
                Loops::Forever => Repeat::Infinite,
                // the block counts what follows the first showing
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
}

impl Indexed {
    /// Whether all of its rows came.
    fn integrity(&self) -> Integrity {
        if self.came >= self.rows {
            return Integrity::Whole;
        }
        let (came, rows) = (self.came, self.rows);
        Integrity::Damaged(format!("the image data end early or are damaged: {came} of {rows} rows came").into())
    }
}

/// An animation of which so many frames came.
fn lost(came: u32, of: u32, reason: &str) -> Integrity {
    Integrity::Damaged(format!("{reason}: {came} of {of} frames came").into())
}

/// Alpha below which a pixel is not there at all: GIF knows nothing in between.
const OPAQUE: u8 = 128;

fn has_holes(pixels: &Pixels) -> bool {
    pixels.has_alpha() && pixels.data.chunks_exact(4).any(|pixel| pixel[3] < OPAQUE)
}

/// How long a frame is shown, in hundredths of a second. What rounding adds or leaves out the frames behind it make up for,
/// but never in less than two: most viewers take one for ten.
fn hundredths(delay: u32, late: &mut i64) -> u16 {
    let wished = i64::from(delay) - *late;
    let least = if delay > 10 { 2 } else { 0 };
    let shown = ((wished + 5).div_euclid(10)).clamp(least, u16::MAX.into());
    // what is longer than GIF can say is cut
    *late = (shown * 10 - wished).max(-10);
    shown as u16
}

/// A whole picture as one frame, with a palette of its own. What `goes` after it was shown becomes transparent, for which
/// some readers want a transparent colour even where no pixel has it.
fn encoded_frame(pixels: &Pixels, width: u16, height: u16, goes: bool) -> ::gif::Frame<'static> {
    let holes = goes || has_holes(pixels);
    let most = if holes { 255 } else { 256 };
    // gone through three times rather than held: it would be as much again as the picture
    let colours = || {
        let colour =
            |pixel: &[u8]| pixel.get(3).is_none_or(|&alpha| alpha >= OPAQUE).then(|| [pixel[0], pixel[1], pixel[2]]);
        pixels.data.chunks_exact(pixels.channels).map(colour)
    };
    let exact = Palette::exact(colours().flatten().map(|[r, g, b]| [r, g, b, 255]), most);
    let (mut palette, indices): (Vec<u8>, Vec<u8>) = if let Some(exact) = exact {
        let beyond = exact.colours().len() as u8;
        let indices = colours().map(|colour| colour.map_or(beyond, |[r, g, b]| exact.place([r, g, b, 255])));
        (exact.colours().iter().flat_map(|colour| &colour[..3]).copied().collect(), indices.collect())
    } else {
        let mut opaque = Vec::with_capacity(pixels.size.pixels() as usize * 4);
        opaque.extend(colours().flatten().flat_map(|[r, g, b]| [r, g, b, 255]));
        let quantised = NeuQuant::new(sampling(opaque.len() / 4), most, &opaque);
        let index = |[r, g, b]: [u8; 3]| quantised.index_of(&[r, g, b, 255]) as u8;
        let indices = colours().map(|colour| colour.map_or(most as u8, index));
        (quantised.color_map_rgb(), indices.collect())
    };
    let transparent = holes.then_some((palette.len() / 3) as u8);
    if holes {
        palette.extend([0; 3]);
    }
    ::gif::Frame {
        width,
        height,
        buffer: indices.into(),
        palette: Some(palette),
        transparent,
        dispose: if goes { DisposalMethod::Background } else { DisposalMethod::Keep },
        ..::gif::Frame::default()
    }
}

/// NeuQuant's sampling factor: 1 looks at every pixel, 30 at every thirtieth. 10 is the usual compromise, but of a small
/// picture it has to see all, to find its colours.
fn sampling(pixels: usize) -> i32 {
    const ENOUGH: usize = 10_000;
    (pixels / ENOUGH).clamp(1, 10) as i32
}

/// What the blocks say (GIF89a §§17 to 27).
struct Outline {
    size: Size,
    frames: u32,
    loops: Loops,
    has_alpha: bool,
    /// Bytes of the first frame as it is held: a place for each pixel, and the codes.
    held: u64,
    has_comment: bool,
    has_end: bool,
}

impl Outline {
    fn read(bytes: &[u8]) -> Result<Outline> {
        let cut = || Error::malformed(FORMAT, "it is cut off");
        let &[w0, w1, h0, h1, flags, _, _] = bytes.get(6..13).ok_or_else(cut)? else { return Err(cut()) };
        let screen = Size::new(u16::from_le_bytes([w0, w1]).into(), u16::from_le_bytes([h0, h1]).into());
        let mut outline = Outline {
            size: screen,
            frames: 0,
            loops: Loops::Times(1),
            has_alpha: false,
            held: 0,
            has_comment: false,
            has_end: false,
        };
        let global = colour_table(flags);
        let mut at = 13 + global;
        let mut transparent = false;
        // a file without a trailer is as whole as its last complete frame; a frame that is cut off counts, and its decoder says so
        while let Some(&block) = bytes.get(at) {
            match block {
                0x21 => {
                    let Some(&label) = bytes.get(at + 1) else { break };
                    let body = bytes.get(at + 2..).unwrap_or_default();
                    match label {
                        0xF9 => transparent = last_sub_block(body).first().is_some_and(|flags| flags & 1 == 1),
                        0xFE => outline.has_comment = true,
                        0xFF if body.get(1..12) == Some(b"NETSCAPE2.0") => outline.read_repetitions(body),
                        // XMP and whatever else applications leave
                        0xFF => outline.has_comment = true,
                        _ => {}
                    }
                    let Some(next) = skip_sub_blocks(bytes, at + 2) else { break };
                    at = next;
                }
                0x2C => {
                    let Some(&[l0, l1, t0, t1, w0, w1, h0, h1, flags]) = bytes.get(at + 1..at + 10) else { break };
                    let short = |low, high| u32::from(u16::from_le_bytes([low, high]));
                    let whole = (short(l0, l1), short(t0, t1)) == (0, 0)
                        && short(w0, w1) >= screen.width
                        && short(h0, h1) >= screen.height;
                    if outline.frames == 0 {
                        outline.has_alpha = !whole;
                        // browsers let a first frame that is larger than the screen have its room
                        let extent = Size::new(short(l0, l1) + short(w0, w1), short(t0, t1) + short(h0, h1));
                        outline.size = Size::new(screen.width.max(extent.width), screen.height.max(extent.height));
                    }
                    outline.has_alpha |= transparent;
                    transparent = false;
                    // one byte of code size stands before the data
                    let size = at + 10 + colour_table(flags);
                    let next = skip_sub_blocks(bytes, size + 1);
                    if outline.frames == 0 {
                        let pixels = u64::from(short(w0, w1)) * u64::from(short(h0, h1));
                        // once in order, and once as they were sent; codes in a buffer that grows by doubling
                        let codes = frames::buffered(pixels).min((next.unwrap_or(bytes.len()) - at) as u64);
                        outline.held = 2 * pixels + 3 * codes;
                    }
                    outline.frames += 1;
                    let Some(next) = next else { break };
                    at = next;
                }
                _ => {
                    outline.has_end = true;
                    break;
                }
            }
        }
        if outline.frames == 0 {
            return Err(Error::malformed(FORMAT, "it holds no picture"));
        }
        Ok(outline)
    }

    /// How the first frame's rows come.
    fn streamed(&self) -> RowDecoding {
        let channels = if self.has_alpha { 4 } else { 3 };
        RowDecoding { channels, memory: self.held }
    }

    /// The NETSCAPE2.0 application block: how often the animation is repeated after its first showing, 0 for ever.
    fn read_repetitions(&mut self, body: &[u8]) {
        if body.get(1..12) == Some(b"NETSCAPE2.0")
            && body.get(12..14) == Some(&[3, 1])
            && let Some(&[low, high]) = body.get(14..16)
        {
            self.loops = match u16::from_le_bytes([low, high]) {
                0 => Loops::Forever,
                repeats => Loops::Times(repeats.saturating_add(1)),
            };
        }
    }
}

/// Bytes of the colour table that a screen's or a frame's flags announce.
fn colour_table(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// The last of the sub-blocks that these bytes begin with; of a control extension it is the one that counts.
fn last_sub_block(bytes: &[u8]) -> &[u8] {
    let (mut last, mut rest) = (&[][..], bytes);
    while let Some((&length, behind)) = rest.split_first()
        && length > 0
    {
        let Some((block, behind)) = behind.split_at_checked(length.into()) else { break };
        (last, rest) = (block, behind);
    }
    last
}

/// Where the sub-blocks that begin at `at` end; `None` where the file ends first.
fn skip_sub_blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1 + length;
        if length == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ::gif::{ColorOutput, DecodeOptions};

    use super::*;
    use crate::Shown;
    use crate::canvas::{Area, Dispose};
    use crate::encoding::Encoding;
    use tintype_pixels::Frame;

    fn written_and_read(frames: Vec<Frame>) -> Vec<Frame> {
        let picture = Picture {
            shown: Shown::Frames(frames),
            loops: Loops::Forever,
            quality: 80.0,
            lossless: false,
            encoding: Encoding::default(),
            exif: None,
            profile: None,
        };
        let file = Gif.encode(&picture, &mut || true).expect("encoded");
        let mut decoder = DecodeOptions::new();
        decoder.set_color_output(ColorOutput::RGBA);
        let mut decoder = decoder.read_info(Cursor::new(file)).expect("a GIF");
        let mut canvas = Canvas::new(picture.size());
        let mut read = Vec::new();
        while let Some(frame) = decoder.read_next_frame().expect("a frame") {
            let area = Area { left: 0, top: 0, size: picture.size() };
            let goes = frame.dispose == DisposalMethod::Background;
            assert!(!goes || frame.transparent.is_some(), "what goes names a transparent colour");
            canvas.draw(area, &frame.buffer, Blend::Over, if goes { Dispose::Clear } else { Dispose::Keep });
            read.push(Frame { pixels: canvas.shown(), delay: u32::from(frame.delay) * 10 });
        }
        read
    }

    #[test]
    fn frames_come_back_with_their_holes() {
        let size = Size::new(20, 20);
        let red = Pixels::filled(size, &[255, 0, 0]);
        let mut holed = Pixels::filled(size, &[0, 255, 0, 255]);
        for (at, pixel) in holed.data.chunks_exact_mut(4).enumerate() {
            // every alpha there is, and more colours than fit a palette
            pixel[3] = (at % 256) as u8;
            pixel[0] = (at / 2) as u8;
            pixel[2] = (at * 7) as u8;
        }
        let colourful = Pixels { size, channels: 3, data: (0..1200).map(|at| (at * 31 % 251) as u8).collect() };
        let frames = [&red, &holed, &colourful, &red].map(|pixels| Frame { pixels: pixels.clone(), delay: 40 });
        let read = written_and_read(frames.to_vec());
        assert_eq!(read.len(), 4);
        for (number, (written, read)) in frames.iter().zip(&read).enumerate() {
            let written = written.pixels.clone().with_alpha();
            let mut off = 0;
            for (written, read) in written.data.chunks_exact(4).zip(read.pixels.data.chunks_exact(4)) {
                assert_eq!(read[3], if written[3] < OPAQUE { 0 } else { 255 }, "frame {number}");
                if read[3] == 255 {
                    off += written.iter().zip(read).take(3).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
                }
            }
            assert!(off / 1200 <= 6, "frame {number}: {off}");
        }
    }

    #[test]
    fn as_many_colours_as_there_are_places_are_exact() {
        let colour = |at: u32| [at as u8, 255 - at as u8, 7];
        let opaque = Pixels { size: Size::new(16, 16), channels: 3, data: (0..256).flat_map(colour).collect() };
        let mut holed = opaque.clone().with_alpha();
        holed.data[..4].fill(0);
        for pixels in [opaque, holed] {
            let read = written_and_read(vec![Frame { pixels: pixels.clone(), delay: 0 }]);
            assert!(read[0].pixels.data == pixels.with_alpha().data);
        }
    }

    #[test]
    fn delays_add_up() {
        let rounded = |delays: &[u32]| {
            let mut late = 0;
            delays.iter().map(|&delay| hundredths(delay, &mut late)).collect::<Vec<_>>()
        };
        assert_eq!(rounded(&[5, 10, 20, 70]), [1, 1, 2, 7]);
        assert_eq!(rounded(&[33, 33, 34, 33, 33, 34]), [3, 4, 3, 3, 4, 3]);
        assert_eq!(rounded(&[16, 17, 17, 50]), [2, 2, 2, 4], "nothing under two");
        assert_eq!(rounded(&[105, 105]), [11, 10]);
        assert_eq!(rounded(&[1_000_000, 40]), [u16::MAX, 5]);
    }
}
