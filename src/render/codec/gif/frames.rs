//! The frames of a GIF: the blocks are walked by the crate `gif`, and codes are read by `lzw.rs`. From a frame on that is odd the
//! crate reads those, too.

use std::io::Cursor;
use std::num::NonZeroU64;

use ::gif::{ColorOutput, DecodeOptions, DisposalMethod, MemoryLimit};

use super::FORMAT;
use crate::render::codec::canvas::{Area, Dispose};
use crate::render::codec::lzw::{self, Order};
use crate::render::error::{Error, Result};
use crate::render::geometry::Size;
use crate::render::ops::Rows;

/// The frames one after the other, with places of their palettes for pixels.
pub(super) struct Frames<'a> {
    original: &'a [u8],
    reader: ::gif::Decoder<Cursor<&'a [u8]>>,
    /// How many were given out.
    given: usize,
    /// Whether the reader decompresses, too: from a frame on whose codes are odd.
    decompresses: bool,
    /// The most pixels that a frame may have.
    most: u64,
}

/// One frame.
pub(super) struct Indexed {
    /// Where it is on the canvas.
    pub(super) area: Area,
    /// A place of the palette for each pixel, rows from the top, packed.
    pub(super) indices: Vec<u8>,
    /// What is shown for each, red, green, blue and alpha: nothing where the palette has no colour.
    pub(super) colours: [[u8; 4]; 256],
    /// Whether one of the palette's colours stands for none.
    pub(super) has_hole: bool,
    /// What becomes of it before the next one is drawn.
    pub(super) dispose: Dispose,
    /// How long it is shown, in milliseconds.
    pub(super) delay: u32,
}

impl<'a> Frames<'a> {
    pub(super) fn open(original: &'a [u8], most: u64) -> Result<Frames<'a>> {
        Ok(Frames { original, reader: reader(original, false, buffered(most))?, given: 0, decompresses: false, most })
    }

    pub(super) fn next(&mut self) -> Result<Indexed> {
        let frame = match self.decompressed() {
            Some(frame) => frame,
            None => self.decompressed_by_reader()?,
        };
        self.given += 1;
        Ok(frame)
    }

    /// The next frame, but for one that is odd and those behind it.
    fn decompressed(&mut self) -> Option<Indexed> {
        if self.decompresses {
            return None;
        }
        let global: Option<Vec<u8>> = self.reader.global_palette().map(<[u8]>::to_vec);
        let frame = self.reader.read_next_frame().ok()??;
        let mut indexed = Indexed::empty(frame, global.as_deref(), self.most).ok()?;
        let (&literal_bits, codes) = frame.buffer.split_first()?;
        let size = indexed.area.size;
        let mut sent = vec![0; size.pixels() as usize];
        // one without pixels is the crate's to refuse
        let is_sound = !sent.is_empty() && lzw::decode(Order::LowFirst, literal_bits, codes, &mut sent).is_some();
        indexed.indices = if frame.interlaced { in_order(&sent, size) } else { sent };
        is_sound.then_some(indexed)
    }

    fn decompressed_by_reader(&mut self) -> Result<Indexed> {
        if !self.decompresses {
            self.decompresses = true;
            self.reader = reader(self.original, true, self.most + METADATA)?;
            for _ in 0..self.given {
                self.reader.next_frame_info().map_err(failed)?;
            }
        }
        let global: Option<Vec<u8>> = self.reader.global_palette().map(<[u8]>::to_vec);
        let Some(frame) = self.reader.next_frame_info().map_err(failed)? else {
            return Err(Error::malformed(FORMAT, "it ends before its last frame"));
        };
        let mut indexed = Indexed::empty(frame, global.as_deref(), self.most)?;
        indexed.indices = vec![0; indexed.area.size.pixels() as usize];
        self.reader.read_into_buffer(&mut indexed.indices).map_err(failed)?;
        Ok(indexed)
    }
}

impl Indexed {
    /// What is said of a frame, without its pixels.
    fn empty(frame: &::gif::Frame<'_>, global: Option<&[u8]>, most: u64) -> Result<Indexed> {
        let size = Size::new(frame.width.into(), frame.height.into());
        if size.pixels() > most {
            return Err(Error::malformed(FORMAT, format!("it has a frame of {size} pixels, far beyond its size")));
        }
        let mut colours = [[0; 4]; 256];
        let palette = frame.palette.as_deref().or(global).unwrap_or_default();
        for (index, (colour, &[red, green, blue])) in colours.iter_mut().zip(palette.as_chunks().0).enumerate() {
            let is_hole = frame.transparent.is_some_and(|transparent| usize::from(transparent) == index);
            *colour = [red, green, blue, if is_hole { 0 } else { 255 }];
        }
        Ok(Indexed {
            area: Area { left: frame.left.into(), top: frame.top.into(), size },
            indices: Vec::new(),
            colours,
            has_hole: frame.transparent.is_some(),
            dispose: disposal(frame.dispose),
            delay: u32::from(frame.delay) * 10,
        })
    }
}

fn disposal(method: DisposalMethod) -> Dispose {
    match method {
        DisposalMethod::Any | DisposalMethod::Keep => Dispose::Keep,
        DisposalMethod::Background => Dispose::Clear,
        DisposalMethod::Previous => Dispose::Restore,
    }
}

/// The most bytes of codes that are copied for a frame of so many pixels: a code has 12 bits at most and stands for a pixel or
/// more. A frame that is sent in more, junk or codes that only start anew, is left to the crate.
pub(super) fn buffered(pixels: u64) -> u64 {
    2 * pixels + (1 << 20)
}

/// The most that the crate copies of a file's metadata.
const METADATA: u64 = 4 << 20;

/// What walks the blocks, and where it is told to decompresses the frames; it copies no block, no codes, and no frame of more
/// bytes than `most`.
fn reader(original: &[u8], decompresses: bool, most: u64) -> Result<::gif::Decoder<Cursor<&[u8]>>> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.skip_frame_decoding(!decompresses);
    options.allow_unknown_blocks(true);
    options.set_memory_limit(NonZeroU64::new(most).map_or(MemoryLimit::Unlimited, MemoryLimit::Bytes));
    options.read_info(Cursor::new(original)).map_err(failed)
}

/// Rows that were sent in four passes (GIF89a, Appendix E).
fn in_order(sent: &[u8], size: Size) -> Vec<u8> {
    let (width, height) = (size.width as usize, size.height as usize);
    let mut ordered = vec![0; sent.len()];
    let passes = [(0, 8), (4, 8), (2, 4), (1, 2)];
    let rows = passes.into_iter().flat_map(|(first, step)| (first..height).step_by(step));
    for (row, sent) in rows.zip(sent.chunks_exact(width.max(1))) {
        ordered[row * width..][..width].copy_from_slice(sent);
    }
    ordered
}

fn failed(error: ::gif::DecodingError) -> Error {
    Error::malformed(FORMAT, error)
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
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::super::Gif;
    use super::*;
    use crate::render::codec::canvas::{Blend, Canvas};
    use crate::render::codec::testing::originals;
    use crate::render::codec::{Codec, Plan};
    use crate::render::pixels::{Pixels, Samples};
    use crate::render::recipe::{Output, Quality, Recipe};
    use crate::render::settings::Settings;

    /// What the crate shows, so many frames at most.
    fn by_library(original: &[u8], size: Size, frames: u32) -> Option<Vec<Pixels>> {
        let mut options = DecodeOptions::new();
        options.set_color_output(ColorOutput::RGBA);
        options.allow_unknown_blocks(true);
        options.set_memory_limit(MemoryLimit::Unlimited);
        let mut reader = options.read_info(Cursor::new(original)).ok()?;
        let mut canvas = Canvas::new(size);
        let mut shown = Vec::new();
        for _ in 0..frames {
            let frame = reader.read_next_frame().ok()??;
            let area = Area {
                left: frame.left.into(),
                top: frame.top.into(),
                size: Size::new(frame.width.into(), frame.height.into()),
            };
            canvas.draw(area, &frame.buffer, Blend::Over, disposal(frame.dispose));
            shown.push(canvas.shown());
        }
        Some(shown)
    }

    fn moving() -> (Recipe, Settings) {
        (Recipe::new(Output::Original, Quality::default()), Settings::default())
    }

    /// Holds the first frame, whole and in rows, to be what the crate shows, if it does. `false` where there is none.
    fn check(name: &str, original: &[u8]) -> bool {
        let Ok(info) = Gif.probe(original) else { return false };
        if info.size.pixels() > 1 << 24 {
            return false;
        }
        let expected = by_library(original, info.size, 1).and_then(|mut shown| shown.pop());
        let (recipe, settings) = moving();
        let recipe = Recipe { animated: false, ..recipe };
        let Ok(plan) = Plan::new(&info, &recipe, &settings) else { return false };
        let mut whole = None;
        let decoded = Gif.decode(original, &info, &plan, &mut |decoded| {
            whole = Some(decoded.samples);
            Ok(())
        });
        let mut rows = Vec::new();
        let streamed = Gif.stream(original, &info, &mut |lines, _| {
            rows.resize(info.size.pixels() as usize * lines.channels(), 0);
            lines.read(&mut rows)
        });
        assert_eq!(decoded.is_ok(), streamed.is_ok(), "{name}");
        assert!(decoded.is_ok() || expected.is_none(), "{name} is refused");
        let Some(Samples::Packed(whole)) = whole else { return false };
        let whole = whole.with_alpha();
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
            let (recipe, settings) = moving();
            let Ok(plan) = Plan::new(&info, &recipe, &settings) else { continue };
            let mut frames = by_library(&original, info.size, plan.frames).unwrap_or_default().into_iter();
            let decoded = Gif.decode(&original, &info, &plan, &mut |decoded| {
                let Samples::Packed(ours) = decoded.samples else { panic!("{name}: planes") };
                assert!(frames.next().is_none_or(|frame| frame.data == ours.with_alpha().data), "{name}");
                moved += 1;
                Ok(())
            });
            assert!(frames.next().is_none(), "{name}: {decoded:?}");
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
        assert!(Gif.probe(&file).expect("a GIF").streamed.expect("rows").held < 8 << 20);
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
