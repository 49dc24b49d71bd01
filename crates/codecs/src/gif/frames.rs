//! The frames of a GIF, one after the other (GIF89a §§17 to 24). Codes are read by `lzw.rs`.
//!
//! A frame is shown as far as it came, whole rows only. Of an interlaced one each missing row is shown as the one above that
//! came, as in browsers.

use weezl::{BitOrder, decode::Configuration};

use super::{FORMAT, colour_table, last_sub_block, skip_sub_blocks};
use crate::canvas::{Area, Dispose};
use crate::lzw::{self, Order};
use tintype_pixels::Rows;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::geometry::Size;

/// The frames one after the other, with places of their palettes for pixels.
pub(super) struct Frames<'a> {
    file: &'a [u8],
    /// Where the next block begins.
    at: usize,
    global: &'a [u8],
    /// The most pixels that a frame may have.
    most: u64,
}

/// One frame.
pub(super) struct Indexed {
    /// Where it is on the canvas, as far as it came.
    pub(super) area: Area,
    /// A place of the palette for each pixel, rows from the top, packed.
    pub(super) indices: Vec<u8>,
    /// The colour of each, red, green, blue and alpha.
    pub(super) colours: [[u8; 4]; 256],
    /// Whether one of the palette's colours stands for none.
    pub(super) has_hole: bool,
    /// What becomes of it before the next one is drawn.
    pub(super) dispose: Dispose,
    /// How long it is shown, in milliseconds.
    pub(super) delay: u32,
    /// How many rows it should have.
    pub(super) rows: u32,
    /// How many of them came.
    pub(super) came: u32,
}

/// The fields of a control extension for the frame behind it (§23).
#[derive(Clone, Copy, Default)]
struct Control {
    flags: u8,
    /// In hundredths of a second.
    delay: u16,
    transparent: u8,
}

impl Control {
    fn of(block: &[u8]) -> Option<Control> {
        let &[flags, low, high, transparent, ..] = block else { return None };
        Some(Control { flags, delay: u16::from_le_bytes([low, high]), transparent })
    }

    /// The place that stands for no colour.
    fn hole(self) -> Option<u8> {
        (self.flags & 1 == 1).then_some(self.transparent)
    }

    fn dispose(self) -> Dispose {
        match self.flags >> 2 & 7 {
            2 => Dispose::Clear,
            3 => Dispose::Restore,
            _ => Dispose::Keep,
        }
    }
}

impl<'a> Frames<'a> {
    pub(super) fn open(file: &'a [u8], most: u64) -> Frames<'a> {
        let global = colour_table(file.get(10).copied().unwrap_or_default());
        Frames { file, at: 13 + global, global: file.get(13..13 + global).unwrap_or_default(), most }
    }

    /// The next frame.
    ///
    /// # Errors
    /// [`Error::Malformed`] where there is none, or none of its rows came.
    pub(super) fn next(&mut self) -> Result<Indexed> {
        let mut control = Control::default();
        loop {
            match self.file.get(self.at) {
                Some(0x21) => {
                    let body = self.file.get(self.at + 2..).unwrap_or_default();
                    if self.file.get(self.at + 1) == Some(&0xF9) {
                        // of what is said twice the last counts
                        control = Control::of(last_sub_block(body)).unwrap_or_default();
                    }
                    self.at = skip_sub_blocks(self.file, self.at + 2).ok_or_else(ends)?;
                }
                Some(0x2C) => return self.frame(control),
                _ => return Err(ends()),
            }
        }
    }

    fn frame(&mut self, control: Control) -> Result<Indexed> {
        let descriptor = self.file.get(self.at + 1..self.at + 10).and_then(<[u8]>::first_chunk::<9>);
        let &[l0, l1, t0, t1, w0, w1, h0, h1, flags] = descriptor.ok_or_else(ends)?;
        let short = |low, high| u32::from(u16::from_le_bytes([low, high]));
        let size = Size::new(short(w0, w1), short(h0, h1));
        if size.pixels() > self.most {
            return Err(Error::malformed(FORMAT, format!("it has a frame of {size} pixels, far beyond its size")));
        }
        let table = self.at + 10;
        let local = self.file.get(table..table + colour_table(flags)).ok_or_else(ends)?;
        let (&literal_bits, data) =
            self.file.get(table + local.len()..).and_then(<[u8]>::split_first).ok_or_else(ends)?;
        let mut sent = vec![0; size.pixels() as usize];
        let filled = decompressed(literal_bits, data, size, &mut sent);
        let came = filled.checked_div(size.width as usize).unwrap_or_default() as u32;
        if came == 0 && size.pixels() > 0 {
            return Err(Error::malformed(FORMAT, "a frame has no image data"));
        }
        self.at = skip_sub_blocks(self.file, table + local.len() + 1).unwrap_or(self.file.len());
        let is_interlaced = flags & 0x40 != 0;
        let (indices, shown) = if is_interlaced { in_order(&sent, size, came) } else { (sent, came) };
        let palette = if flags & 0x80 == 0 { self.global } else { local };
        Ok(Indexed {
            area: Area { left: short(l0, l1), top: short(t0, t1), size: Size::new(size.width, shown) },
            indices,
            colours: colours(palette, control.hole()),
            has_hole: control.hole().is_some(),
            dispose: control.dispose(),
            delay: u32::from(control.delay) * 10,
            rows: size.height,
            came,
        })
    }
}

fn ends() -> Error {
    Error::malformed(FORMAT, "it ends before its last frame")
}

/// The colour of each place: black where the palette has none, as in browsers.
fn colours(palette: &[u8], hole: Option<u8>) -> [[u8; 4]; 256] {
    let mut colours = [[0, 0, 0, 255]; 256];
    for (colour, &[red, green, blue]) in colours.iter_mut().zip(palette.as_chunks().0) {
        *colour = [red, green, blue, 255];
    }
    if let Some(hole) = hole {
        colours[usize::from(hole)][3] = 0;
    }
    colours
}

/// Decompresses the sub-blocks of a frame of that size, as far as they go, and says how many pixels that fills.
fn decompressed(literal_bits: u8, data: &[u8], size: Size, out: &mut [u8]) -> usize {
    let most = buffered(size.pixels()).min(data.len() as u64) as usize;
    let mut codes = Vec::with_capacity(most);
    let mut rest = data;
    while let Some((&length, behind)) = rest.split_first()
        && length > 0
        && codes.len() < most
    {
        let (block, behind) = behind.split_at(usize::from(length).min(behind.len()));
        codes.extend_from_slice(&block[..block.len().min(most - codes.len())]);
        rest = behind;
    }
    match literal_bits {
        2..=8 => lzw::decode_some(Order::LowFirst, literal_bits, &codes, out),
        // of no use for pictures, and yet met
        0 | 1 | 9..=11 => by_library(literal_bits, &codes, out),
        _ => 0,
    }
}

fn by_library(literal_bits: u8, codes: &[u8], out: &mut [u8]) -> usize {
    let mut decoder = Configuration::new(BitOrder::Lsb, literal_bits).with_yield_on_full_buffer(true).build();
    let (mut read, mut written) = (0, 0);
    while written < out.len() {
        let step = decoder.decode_bytes(&codes[read..], &mut out[written..]);
        (read, written) = (read + step.consumed_in, written + step.consumed_out);
        if step.status.is_err() || step.consumed_in == 0 && step.consumed_out == 0 {
            break;
        }
    }
    written
}

/// The most bytes of codes that are copied for a frame of so many pixels: a code has 12 bits at most and stands for a pixel or
/// more. Junk, or codes that only start anew, are cut off behind that.
pub(super) fn buffered(pixels: u64) -> u64 {
    2 * pixels + (1 << 20)
}

/// Rows that were sent in four passes (GIF89a, Appendix E), of which so many came, in order; and how many are shown.
fn in_order(sent: &[u8], size: Size, came: u32) -> (Vec<u8>, u32) {
    let (width, height) = (size.width as usize, size.height as usize);
    let mut ordered = vec![0; sent.len()];
    // for each row, where it came
    let mut places = vec![None; height];
    let passes = [(0, 8), (4, 8), (2, 4), (1, 2)];
    let rows = passes.into_iter().flat_map(|(first, step)| (first..height).step_by(step));
    rows.take(came as usize).enumerate().for_each(|(place, row)| places[row] = Some(place));
    let mut shown = 0;
    for (row, to) in ordered.chunks_exact_mut(width.max(1)).enumerate() {
        let above = [1, 2, 4, 8].into_iter().find_map(|step| places[row / step * step]);
        let Some(place) = above else { break };
        to.copy_from_slice(&sent[place * width..][..width]);
        shown += 1;
    }
    (ordered, if width == 0 { size.height } else { shown })
}

/// The rows of the canvas with its first frame.
pub(super) struct Lines {
    frame: Indexed,
    size: Size,
    channels: usize,
    /// The next one.
    row: u32,
}

impl Lines {
    /// Of a canvas of that size.
    pub(super) fn new(frame: Indexed, size: Size, channels: usize) -> Lines {
        Lines { frame, size, channels, row: 0 }
    }
}

impl Rows for Lines {
    fn size(&self) -> Size {
        self.size
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn read(&mut self, out: &mut [u8]) -> Result<()> {
        let Indexed { area, indices, colours, .. } = &self.frame;
        let width = area.size.width as usize;
        let (left, seen) = (area.left as usize, width.min(self.size.width.saturating_sub(area.left) as usize));
        for line in out.chunks_exact_mut(self.size.width as usize * self.channels) {
            let row = self.row.checked_sub(area.top).filter(|&row| row < area.size.height);
            self.row += 1;
            if row.is_none() || seen < self.size.width as usize {
                line.fill(0);
            }
            let Some(row) = row.filter(|_| seen > 0) else { continue };
            let indices = &indices[row as usize * width..][..seen];
            let line = &mut line[left * self.channels..];
            match self.channels {
                3 => {
                    for (pixel, &index) in line.as_chunks_mut::<3>().0.iter_mut().zip(indices) {
                        let [red, green, blue, _] = colours[usize::from(index)];
                        *pixel = [red, green, blue];
                    }
                }
                _ => {
                    for (pixel, &index) in line.as_chunks_mut::<4>().0.iter_mut().zip(indices) {
                        *pixel = match colours[usize::from(index)] {
                            [.., 0] => [0; 4],
                            colour => colour,
                        };
                    }
                }
            }
        }
        Ok(())
    }

    fn skip(&mut self, rows: u32) -> Result<()> {
        self.row += rows;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ::gif::{ColorOutput, DisposalMethod, MemoryLimit};
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::super::Gif;
    use super::*;
    use crate::canvas::{Blend, Canvas};
    use crate::codec::Codec;
    use crate::testing::{LIMITS, decode, originals, packed};
    use tintype_pixels::{DctScale, Pixels};

    fn disposal(method: DisposalMethod) -> Dispose {
        match method {
            DisposalMethod::Any | DisposalMethod::Keep => Dispose::Keep,
            DisposalMethod::Background => Dispose::Clear,
            DisposalMethod::Previous => Dispose::Restore,
        }
    }

    /// What the crate shows, so many frames at most.
    fn by_library(original: &[u8], size: Size, frames: u32) -> Option<Vec<Pixels>> {
        let mut options = ::gif::DecodeOptions::new();
        options.set_color_output(ColorOutput::Indexed);
        options.allow_unknown_blocks(true);
        options.set_memory_limit(MemoryLimit::Unlimited);
        let mut reader = options.read_info(Cursor::new(original)).ok()?;
        let mut canvas = Canvas::new(size);
        let mut shown = Vec::new();
        for _ in 0..frames {
            let global: Option<Vec<u8>> = reader.global_palette().map(<[u8]>::to_vec);
            let frame = reader.read_next_frame().ok()??;
            let palette = frame.palette.as_deref().or(global.as_deref()).unwrap_or_default();
            let colours = colours(palette, frame.transparent);
            let rgba: Vec<u8> = frame.buffer.iter().flat_map(|&index| colours[usize::from(index)]).collect();
            let area = Area {
                left: frame.left.into(),
                top: frame.top.into(),
                size: Size::new(frame.width.into(), frame.height.into()),
            };
            canvas.draw(area, &rgba, Blend::Over, disposal(frame.dispose));
            shown.push(canvas.shown());
        }
        Some(shown)
    }

    /// Holds the first frame, whole and in rows, to be what the crate shows, if it does. `false` where there is none.
    fn check(name: &str, original: &[u8]) -> bool {
        let Ok(info) = Gif.probe(original) else { return false };
        if info.size.pixels() > 1 << 24 {
            return false;
        }
        let expected = by_library(original, info.size, 1).and_then(|mut shown| shown.pop());
        let Ok(admitted) = LIMITS.admit(&info, 1, "decoding", info.decoded_bytes(DctScale::FULL)) else { return false };
        let decoded = decode(&Gif, original, false);
        let mut rows = Vec::new();
        let streamed = Gif.stream(original, &admitted, &mut |lines, _| {
            rows.resize(info.size.pixels() as usize * lines.channels(), 0);
            lines.read(&mut rows)
        });
        assert_eq!(decoded.is_ok(), streamed.is_ok(), "{name}");
        assert!(decoded.is_ok() || expected.is_none(), "{name} is refused");
        let Ok((mut frames, _)) = decoded else { return false };
        let whole = packed(frames.remove(0)).with_alpha();
        let channels = rows.len() / info.size.pixels() as usize;
        let rows = Pixels { size: info.size, channels, data: rows };
        assert!(rows.with_alpha().data == whole.data, "{name}: in rows of {channels}");
        // the crate refuses frames whose codes go on and mean nothing, when all pixels are there
        assert!(expected.is_none_or(|expected| expected.data == whole.data), "{name}");
        true
    }

    #[test]
    fn files_are_shown_as_the_library_shows_them() {
        let (mut shown, mut moved) = (0, 0);
        for (path, original) in originals(|bytes| bytes.starts_with(b"GIF8")) {
            let name = path.display().to_string();
            shown += u32::from(check(&name, &original));
            let Ok(info) = Gif.probe(&original) else { continue };
            let Ok((decoded, integrity)) = decode(&Gif, &original, true) else { continue };
            let mut frames = by_library(&original, info.size, info.frames).unwrap_or_default().into_iter();
            for ours in decoded {
                let ours = packed(ours).with_alpha();
                assert!(frames.next().is_none_or(|frame| frame.data == ours.data), "{name}");
                moved += 1;
            }
            assert!(frames.next().is_none(), "{name}: {integrity:?}");
        }
        assert!(shown >= 3 && moved >= 6, "{shown}, {moved}");
    }

    /// A frame of 20 by 20 pixels as the crate writes it.
    fn small(transparent: Option<u8>) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = ::gif::Encoder::new(&mut file, 20, 20, &[9; 768]).expect("a header");
        let buffer = (0..400).map(|at| at as u8).collect::<Vec<u8>>().into();
        let frame = ::gif::Frame { width: 20, height: 20, transparent, buffer, ..::gif::Frame::default() };
        encoder.write_frame(&frame).expect("a frame");
        drop(encoder);
        file
    }

    #[test]
    fn of_what_is_said_twice_the_last_counts() {
        // in front of the image: behind the header and the palette
        let (at, file) = (13 + 768, small(None));
        let opaque = [0, 0, 0, 0];
        for (first, last) in [(opaque, [1, 0, 0, 7]), ([1, 0, 0, 7], opaque)] {
            let control = [&[0x21, 0xF9, 4][..], &first, &[4], &last, &[0]].concat();
            // the crate's own control block would be the last word
            let image = at + file[at..].iter().position(|&byte| byte == 0x2C).expect("an image");
            let file = [&file[..at], &control, &file[image..]].concat();
            assert!(check("said twice", &file));
            assert_eq!(Gif.probe(&file).expect("a GIF").has_alpha, last != opaque);
        }
    }

    #[test]
    fn junk_behind_the_codes_is_not_held() {
        let file = small(Some(7));
        let end = file.len() - 2;
        let junk: Vec<u8> = std::iter::once(255).chain([1; 255]).cycle().take(256 * 40_000).collect();
        let file = [&file[..end], &junk, &file[end..]].concat();
        assert!(buffered(400 + 20 * 20) < junk.len() as u64);
        assert!(check("junk", &file));
        assert!(Gif.probe(&file).expect("a GIF").caps.rows.expect("rows").memory < 8 << 20);
    }

    proptest! {
        #[test]
        fn whatever_a_file_says_it_is_shown_as_the_library_shows_it(
            (width, height) in (1_u16..40, 1_u16..40), (left, top) in (0_u16..9, 0_u16..9), screen in 1_u16..50,
            colours in 1_usize..=256, interlaced: bool, hole in prop::option::of(any::<u8>()),
            local: bool, beyond in 0_u16..3, seed: u32,
            damage in prop::collection::vec((any::<Index>(), any::<u8>()), 0..3),
        ) {
            let palette: Vec<u8> = (0..colours * 3).map(|at| (at * 37) as u8).collect();
            let indices: Vec<u8> = (0..u32::from(width) * u32::from(height))
                .map(|at| ((at.wrapping_mul(seed | 1) >> 20) as u16 % (colours as u16 + beyond)).min(255) as u8)
                .collect();
            let mut file = Vec::new();
            let mut encoder = ::gif::Encoder::new(&mut file, screen, screen, if local { &[] } else { &palette })?;
            encoder.write_frame(&::gif::Frame {
                width,
                height,
                left,
                top,
                interlaced,
                transparent: hole,
                palette: local.then(|| palette.clone()),
                buffer: indices.into(),
                ..::gif::Frame::default()
            })?;
            drop(encoder);
            prop_assert!(check("as written", &file));
            for (place, byte) in damage {
                let place = place.index(file.len());
                file[place] = byte;
            }
            check("damaged", &file);
        }
    }
}
