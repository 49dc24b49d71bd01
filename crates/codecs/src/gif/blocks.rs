//! The block structure of a GIF (GIF89a §§15 to 27).
//!
//! The header does not count the frames, so probing walks all blocks; no image data is decompressed.

use super::FORMAT;
use crate::canvas::Disposal;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::geometry::Size;
use tintype_pixels::{Loops, RowDecoding};

/// Introduces an extension (§23).
pub(super) const EXTENSION: u8 = 0x21;

/// Introduces an image descriptor (§20).
pub(super) const IMAGE: u8 = 0x2C;

/// Labels of extensions.
pub(super) const GRAPHIC_CONTROL: u8 = 0xF9;
const COMMENT: u8 = 0xFE;
pub(super) const APPLICATION: u8 = 0xFF;

/// Header and logical screen descriptor, in bytes.
pub(super) const SCREEN_END: usize = 13;

/// The result of walking the blocks.
pub(super) struct Outline {
    /// The logical screen, extended to the first image where that is larger, as browsers do.
    pub(super) size: Size,
    pub(super) frames: u32,
    pub(super) loops: Loops,
    pub(super) has_alpha: bool,
    /// Bytes that decoding the first frame holds: colour indices and LZW codes.
    pub(super) memory: u64,
    /// Whether there are comments, XMP or other application data.
    pub(super) has_metadata: bool,
    pub(super) has_trailer: bool,
    /// The graphic control extension before the next image.
    control: GraphicControl,
    /// Whether the screen may have transparent pixels when the next image is drawn.
    is_clear: bool,
}

/// The fields of a graphic control extension (§23).
#[derive(Clone, Copy, Default)]
pub(super) struct GraphicControl {
    flags: u8,
    /// In hundredths of a second.
    pub(super) delay: u16,
    transparent_index: u8,
}

impl GraphicControl {
    /// Reads the sub-blocks at the start of `body`, of which the last one counts; the default where it is too short.
    pub(super) fn read(body: &[u8]) -> GraphicControl {
        let &[flags, low, high, transparent_index, ..] = last_sub_block(body) else { return GraphicControl::default() };
        GraphicControl { flags, delay: u16::from_le_bytes([low, high]), transparent_index }
    }

    pub(super) fn transparent_index(self) -> Option<u8> {
        (self.flags & 1 == 1).then_some(self.transparent_index)
    }

    pub(super) fn disposal(self) -> Disposal {
        match self.flags >> 2 & 7 {
            2 => Disposal::Background,
            3 => Disposal::Previous,
            _ => Disposal::None,
        }
    }
}

impl Outline {
    /// # Errors
    /// [`Error::Malformed`] for a file without an image.
    pub(super) fn read(file: &[u8]) -> Result<Outline> {
        let truncated = || Error::malformed(FORMAT, "its logical screen descriptor is truncated");
        let &[w0, w1, h0, h1, flags, _, _] = file.get(6..SCREEN_END).ok_or_else(truncated)? else {
            return Err(truncated());
        };
        let screen = Size::new(u16::from_le_bytes([w0, w1]).into(), u16::from_le_bytes([h0, h1]).into());
        let mut outline = Outline {
            size: screen,
            frames: 0,
            loops: Loops::Times(1),
            has_alpha: false,
            memory: 0,
            has_metadata: false,
            has_trailer: false,
            control: GraphicControl::default(),
            is_clear: true,
        };
        let mut at = SCREEN_END + colour_table_length(flags);
        // a missing trailer is no damage; a frame that is cut off counts, and its decoder reports it
        while let Some(&block) = file.get(at) {
            let next = match block {
                EXTENSION => outline.read_extension(file, at),
                IMAGE => outline.read_image(file, at, screen),
                _ => {
                    outline.has_trailer = true;
                    break;
                }
            };
            let Some(next) = next else { break };
            at = next;
        }
        if outline.frames == 0 {
            return Err(Error::malformed(FORMAT, "it has no image"));
        }
        Ok(outline)
    }

    /// Reads the extension at `at`; the position of the next block, or `None` at the end of the file.
    fn read_extension(&mut self, file: &[u8], at: usize) -> Option<usize> {
        let &label = file.get(at + 1)?;
        let body = file.get(at + 2..).unwrap_or_default();
        match label {
            GRAPHIC_CONTROL => self.control = GraphicControl::read(body),
            APPLICATION if body.get(1..12) == Some(b"NETSCAPE2.0") => self.read_repetitions(body),
            APPLICATION | COMMENT => self.has_metadata = true,
            _ => {}
        }
        skip_sub_blocks(file, at + 2)
    }

    /// The NETSCAPE2.0 application extension: repetitions behind the first showing, 0 is forever.
    fn read_repetitions(&mut self, body: &[u8]) {
        if body.get(12..14) == Some(&[3, 1])
            && let Some(&[low, high]) = body.get(14..16)
        {
            self.loops = match u16::from_le_bytes([low, high]) {
                0 => Loops::Forever,
                repeats => Loops::Times(repeats.saturating_add(1)),
            };
        }
    }

    /// Reads the image descriptor at `at` and skips its data; the position of the next block, or `None` at the end of the file.
    fn read_image(&mut self, file: &[u8], at: usize, screen: Size) -> Option<usize> {
        let &[l0, l1, t0, t1, w0, w1, h0, h1, flags] = file.get(at + 1..at + 10)? else { return None };
        let short = |low, high| u32::from(u16::from_le_bytes([low, high]));
        let (left, top, size) = (short(l0, l1), short(t0, t1), Size::new(short(w0, w1), short(h0, h1)));
        // the byte before the sub-blocks is the LZW minimum code size
        let next = skip_sub_blocks(file, at + 10 + colour_table_length(flags) + 1);
        if self.frames == 0 {
            self.size = Size::new(screen.width.max(left + size.width), screen.height.max(top + size.height));
            // colour indices as sent and deinterlaced; codes in a buffer that grows by doubling
            let codes = max_codes(size.pixels()).min((next.unwrap_or(file.len()) - at) as u64);
            self.memory = 2 * size.pixels() + 3 * codes;
        }
        let control = std::mem::take(&mut self.control);
        let covers = (left, top) == (0, 0) && size.width >= self.size.width && size.height >= self.size.height;
        let leaves_clear = self.is_clear && !covers;
        self.has_alpha |= leaves_clear || control.transparent_index().is_some();
        self.is_clear = match control.disposal() {
            Disposal::Background => true,
            Disposal::Previous => self.is_clear,
            Disposal::None => leaves_clear,
        };
        self.frames += 1;
        next
    }

    /// How the rows of the first frame are decoded.
    pub(super) fn row_decoding(&self) -> RowDecoding {
        let channels = if self.has_alpha { 4 } else { 3 };
        RowDecoding { channels, memory: self.memory }
    }
}

/// Bytes of the colour table that the packed fields of a logical screen or an image descriptor announce.
pub(super) fn colour_table_length(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// The last of the sub-blocks at the start of `bytes`.
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

/// The position behind the sub-blocks at `at` and their terminator; `None` where the file ends first.
pub(super) fn skip_sub_blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1 + length;
        if length == 0 {
            return Some(at);
        }
    }
}

/// The most bytes of LZW codes that are buffered for a frame of so many pixels: a code has 12 bits at most and writes at least one
/// pixel. More data is junk or clear codes.
pub(super) fn max_codes(pixels: u64) -> u64 {
    2 * pixels + (1 << 20)
}
