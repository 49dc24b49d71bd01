//! Decoding the frames of a GIF to colour indices (GIF89a §§18 to 23). LZW is in `lzw.rs`.
//!
//! A frame whose data end early keeps its complete rows. Of an interlaced one each missing row repeats the nearest decoded row
//! above, as in browsers.

use weezl::{BitOrder, decode::Configuration};

use super::FORMAT;
use super::blocks::{
    EXTENSION, GRAPHIC_CONTROL, GraphicControl, IMAGE, SCREEN_END, colour_table_length, max_codes, skip_sub_blocks,
};
use crate::canvas::{Area, Disposal};
use crate::lzw::{self, Order};
use tintype_pixels::Integrity;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::geometry::Size;

/// Decodes the frames of a file in order.
pub(super) struct Frames<'a> {
    file: &'a [u8],
    /// The position of the next block.
    at: usize,
    global_table: &'a [u8],
    /// The most pixels that a frame may have.
    max_pixels: u64,
}

/// A frame before its colour table is applied.
pub(super) struct IndexedFrame {
    /// Its rectangle on the logical screen, without missing rows.
    pub(super) area: Area,
    /// Colour indices, `area.size` of them, from the top row on.
    pub(super) indices: Vec<u8>,
    /// RGBA of every index.
    pub(super) colours: [[u8; 4]; 256],
    /// Whether one of the indices is transparent.
    pub(super) is_transparent: bool,
    /// Its disposal method.
    pub(super) disposal: Disposal,
    /// In milliseconds.
    pub(super) delay: u32,
    /// Rows by the image descriptor.
    rows: u32,
    /// Rows that were decoded.
    decoded_rows: u32,
}

impl IndexedFrame {
    /// Whether all rows were decoded.
    pub(super) fn integrity(&self) -> Integrity {
        if self.decoded_rows >= self.rows {
            return Integrity::Whole;
        }
        let (decoded, rows) = (self.decoded_rows, self.rows);
        Integrity::Damaged(format!("the image data end early or are damaged: {decoded} of {rows} rows decoded").into())
    }
}

impl<'a> Frames<'a> {
    pub(super) fn open(file: &'a [u8], max_pixels: u64) -> Frames<'a> {
        let at = SCREEN_END + colour_table_length(file.get(10).copied().unwrap_or_default());
        Frames { file, at, global_table: file.get(SCREEN_END..at).unwrap_or_default(), max_pixels }
    }

    /// Decodes the next frame.
    ///
    /// # Errors
    /// [`Error::Malformed`] where there is none, or none of its rows can be decoded.
    pub(super) fn next(&mut self) -> Result<IndexedFrame> {
        let mut control = GraphicControl::default();
        loop {
            match self.file.get(self.at) {
                Some(&EXTENSION) => {
                    let body = self.file.get(self.at + 2..).unwrap_or_default();
                    if self.file.get(self.at + 1) == Some(&GRAPHIC_CONTROL) {
                        control = GraphicControl::read(body);
                    }
                    self.at = skip_sub_blocks(self.file, self.at + 2).ok_or_else(ends_early)?;
                }
                Some(&IMAGE) => return self.read_image(control),
                _ => return Err(ends_early()),
            }
        }
    }

    fn read_image(&mut self, control: GraphicControl) -> Result<IndexedFrame> {
        let descriptor = self.file.get(self.at + 1..self.at + 10).and_then(<[u8]>::first_chunk::<9>);
        let &[l0, l1, t0, t1, w0, w1, h0, h1, flags] = descriptor.ok_or_else(ends_early)?;
        let short = |low, high| u32::from(u16::from_le_bytes([low, high]));
        let size = Size::new(short(w0, w1), short(h0, h1));
        if size.pixels() > self.max_pixels {
            return Err(Error::malformed(FORMAT, format!("an image of {size} pixels exceeds the logical screen")));
        }
        let table = self.at + 10;
        let local = self.file.get(table..table + colour_table_length(flags)).ok_or_else(ends_early)?;
        let (&min_code_size, data) =
            self.file.get(table + local.len()..).and_then(<[u8]>::split_first).ok_or_else(ends_early)?;
        let mut indices = vec![0; size.pixels() as usize];
        let filled = decompress(min_code_size, data, &mut indices);
        // rows without pixels are complete
        let decoded_rows = filled.checked_div(size.width as usize).map_or(size.height, |rows| rows as u32);
        if decoded_rows == 0 && size.pixels() > 0 {
            return Err(Error::malformed(FORMAT, "an image has no data"));
        }
        self.at = skip_sub_blocks(self.file, table + local.len() + 1).unwrap_or(self.file.len());
        let is_interlaced = flags & 0x40 != 0;
        let (indices, rows) =
            if is_interlaced { deinterlace(&indices, size, decoded_rows) } else { (indices, decoded_rows) };
        let table = if flags & 0x80 == 0 { self.global_table } else { local };
        Ok(IndexedFrame {
            area: Area { left: short(l0, l1), top: short(t0, t1), size: Size::new(size.width, rows) },
            indices,
            colours: colours(table, control.transparent_index()),
            is_transparent: control.transparent_index().is_some(),
            disposal: control.disposal(),
            delay: u32::from(control.delay) * 10,
            rows: size.height,
            decoded_rows,
        })
    }
}

fn ends_early() -> Error {
    Error::malformed(FORMAT, "it ends before its last frame")
}

/// RGBA of every index. Indices behind the end of the table are black, as in browsers.
fn colours(table: &[u8], transparent: Option<u8>) -> [[u8; 4]; 256] {
    let mut colours = [[0, 0, 0, 255]; 256];
    for (colour, &[red, green, blue]) in colours.iter_mut().zip(table.as_chunks().0) {
        *colour = [red, green, blue, 255];
    }
    if let Some(index) = transparent {
        colours[usize::from(index)][3] = 0;
    }
    colours
}

/// Decompresses the sub-blocks at the start of `data` into `out` as far as they go; the number of indices written.
fn decompress(min_code_size: u8, data: &[u8], out: &mut [u8]) -> usize {
    let most = max_codes(out.len() as u64).min(data.len() as u64) as usize;
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
    match min_code_size {
        2..=8 => lzw::decode_partial(Order::LsbFirst, min_code_size, &codes, out),
        // forbidden (GIF89a, Appendix F), but they occur
        0 | 1 | 9..=11 => decompress_by_weezl(min_code_size, &codes, out),
        _ => 0,
    }
}

fn decompress_by_weezl(min_code_size: u8, codes: &[u8], out: &mut [u8]) -> usize {
    let mut decoder = Configuration::new(BitOrder::Lsb, min_code_size).with_yield_on_full_buffer(true).build();
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

/// The first `decoded_rows` rows of the four passes (GIF89a, Appendix E) in order from the top, with missing rows filled in, and the
/// number of rows up to the last one that can be filled.
fn deinterlace(indices: &[u8], size: Size, decoded_rows: u32) -> (Vec<u8>, u32) {
    let (width, height) = (size.width as usize, size.height as usize);
    let mut ordered = vec![0; indices.len()];
    // for each row its number in the stream
    let mut sent_as = vec![None; height];
    let passes = [(0, 8), (4, 8), (2, 4), (1, 2)];
    let rows = passes.into_iter().flat_map(|(first, step)| (first..height).step_by(step));
    rows.take(decoded_rows as usize).enumerate().for_each(|(number, row)| sent_as[row] = Some(number));
    let mut filled = 0;
    for (row, to) in ordered.chunks_exact_mut(width.max(1)).enumerate() {
        let nearest = [1, 2, 4, 8].into_iter().find_map(|step| sent_as[row / step * step]);
        let Some(number) = nearest else { break };
        to.copy_from_slice(&indices[number * width..][..width]);
        filled += 1;
    }
    (ordered, if width == 0 { decoded_rows } else { filled })
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

    fn disposal(method: DisposalMethod) -> Disposal {
        match method {
            DisposalMethod::Any | DisposalMethod::Keep => Disposal::None,
            DisposalMethod::Background => Disposal::Background,
            DisposalMethod::Previous => Disposal::Previous,
        }
    }

    /// The first `frames` frames as the crate `gif` decodes them.
    fn decode_by_library(original: &[u8], size: Size, frames: u32) -> Option<Vec<Pixels>> {
        let mut options = ::gif::DecodeOptions::new();
        options.set_color_output(ColorOutput::Indexed);
        options.allow_unknown_blocks(true);
        options.set_memory_limit(MemoryLimit::Unlimited);
        let mut reader = options.read_info(Cursor::new(original)).ok()?;
        let mut canvas = Canvas::new(size);
        let mut decoded = Vec::new();
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
            decoded.push(canvas.snapshot());
        }
        Some(decoded)
    }

    /// Asserts that the first frame, decoded whole and by rows, is what the crate `gif` decodes, unless that fails. `false` where there is
    /// no frame.
    fn check(name: &str, original: &[u8]) -> bool {
        let Ok(info) = Gif.probe(original) else { return false };
        if info.size.pixels() > 1 << 24 {
            return false;
        }
        let expected = decode_by_library(original, info.size, 1).and_then(|mut frames| frames.pop());
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
        assert!(rows.with_alpha().data == whole.data, "{name}: rows of {channels} channels");
        // the crate refuses frames with invalid codes behind the last pixel
        assert!(expected.is_none_or(|expected| expected.data == whole.data), "{name}");
        true
    }

    #[test]
    fn corpus_files_decode_as_by_the_library() {
        let (mut files, mut frame_count) = (0, 0);
        for (path, original) in originals(|bytes| bytes.starts_with(b"GIF8")) {
            let name = path.display().to_string();
            files += u32::from(check(&name, &original));
            let Ok(info) = Gif.probe(&original) else { continue };
            let Ok((decoded, integrity)) = decode(&Gif, &original, true) else { continue };
            let mut frames = decode_by_library(&original, info.size, info.frames).unwrap_or_default().into_iter();
            for ours in decoded {
                let ours = packed(ours).with_alpha();
                assert!(frames.next().is_none_or(|frame| frame.data == ours.data), "{name}");
                frame_count += 1;
            }
            assert!(frames.next().is_none(), "{name}: {integrity:?}");
        }
        assert!(files >= 3 && frame_count >= 6, "{files}, {frame_count}");
    }

    /// A file of 20 by 20 pixels, written by the crate `gif`.
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
    fn last_sub_block_of_a_graphic_control_extension_counts() {
        // behind the header and the global colour table
        let (at, file) = (13 + 768, small(None));
        let opaque = [0, 0, 0, 0];
        for (first, last) in [(opaque, [1, 0, 0, 7]), ([1, 0, 0, 7], opaque)] {
            let control = [&[0x21, 0xF9, 4][..], &first, &[4], &last, &[0]].concat();
            // the extension that the crate writes would come last
            let image = at + file[at..].iter().position(|&byte| byte == 0x2C).expect("an image");
            let file = [&file[..at], &control, &file[image..]].concat();
            assert!(check("two sub-blocks", &file));
            assert_eq!(Gif.probe(&file).expect("a GIF").has_alpha, last != opaque);
        }
    }

    #[test]
    fn junk_behind_the_codes_is_not_buffered() {
        let file = small(Some(7));
        let end = file.len() - 2;
        let junk: Vec<u8> = std::iter::once(255).chain([1; 255]).cycle().take(256 * 40_000).collect();
        let file = [&file[..end], &junk, &file[end..]].concat();
        assert!(max_codes(400 + 20 * 20) < junk.len() as u64);
        assert!(check("junk", &file));
        assert!(Gif.probe(&file).expect("a GIF").caps.rows.expect("rows").memory < 8 << 20);
    }

    proptest! {
        #[test]
        fn random_files_decode_as_by_the_library(
            (width, height) in (1_u16..40, 1_u16..40), (left, top) in (0_u16..9, 0_u16..9), screen in 1_u16..50,
            colours in 1_usize..=256, interlaced: bool, transparent in prop::option::of(any::<u8>()),
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
                transparent,
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
