//! The control chunks of APNG (PNG, third edition, §11.3.6).

use super::chunk::{Chunk, chunks};
use crate::canvas::{Area, Blend, Disposal};
use tintype_pixels::geometry::Size;

/// The acTL chunk, and the frames that are in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Animation {
    /// Frames with data, at most `stated`.
    pub(super) frames: u32,
    /// `num_frames`.
    pub(super) stated: u32,
    /// `num_plays`; 0 is forever.
    pub(super) plays: u32,
}

/// A frame: its fcTL chunk, and the first chunk of its data.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) area: Area,
    pub(super) blend: Blend,
    pub(super) disposal: Disposal,
    /// In milliseconds.
    pub(super) delay: u32,
    pub(super) data: Chunk,
}

/// The APNG chunks are invalid or out of order, so that only the static image is shown.
#[derive(Debug)]
pub(super) struct OutOfOrder;

/// Iterates over the frames of a file.
pub(super) struct Frames<'a> {
    file: &'a [u8],
    size: Size,
    chunks: Box<dyn Iterator<Item = Chunk> + 'a>,
    /// The sequence number expected of the next fcTL or fdAT chunk.
    next: u32,
    /// The fcTL chunk before the data of the next frame.
    control: Option<[u8; 26]>,
    /// Whether an IDAT chunk was met.
    has_idat: bool,
    /// Whether further fdAT chunks of the last frame may follow.
    is_within: bool,
}

impl<'a> Frames<'a> {
    pub(super) fn of(file: &'a [u8], size: Size) -> Frames<'a> {
        Frames {
            file,
            size,
            chunks: Box::new(chunks(file).take_while(|chunk| chunk.kind != *b"IEND")),
            next: 0,
            control: None,
            has_idat: false,
            is_within: false,
        }
    }

    /// The next frame with data.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, OutOfOrder> {
        while let Some(chunk) = self.chunks.next() {
            let found = match &chunk.kind {
                b"fcTL" => self.read_control(&chunk)?,
                b"IDAT" if !self.has_idat => {
                    self.has_idat = true;
                    // without an fcTL chunk before it, the static image is no frame
                    self.control.take().map(|control| self.frame(&control, chunk)).transpose()?
                }
                b"fdAT" => self.read_data(chunk)?,
                _ => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn read_control(&mut self, chunk: &Chunk) -> Result<Option<Frame>, OutOfOrder> {
        // a truncated fcTL chunk has no data behind it
        if chunk.is_cut || self.control.is_some() || !chunk.has_valid_crc(self.file) {
            return if chunk.is_cut { Ok(None) } else { Err(OutOfOrder) };
        }
        let control: [u8; 26] = self.file[chunk.data.clone()].try_into().map_err(|_| OutOfOrder)?;
        self.check_sequence_number(&control)?;
        self.control = Some(control);
        self.is_within = false;
        Ok(None)
    }

    fn read_data(&mut self, chunk: Chunk) -> Result<Option<Frame>, OutOfOrder> {
        let Some(number) = self.file[chunk.data.clone()].first_chunk::<4>() else {
            return if chunk.is_cut { Ok(None) } else { Err(OutOfOrder) };
        };
        self.check_sequence_number(number)?;
        match self.control.take() {
            Some(control) if self.has_idat => {
                self.is_within = true;
                self.frame(&control, chunk).map(Some)
            }
            None if self.is_within => Ok(None),
            _ => Err(OutOfOrder),
        }
    }

    /// Checks the sequence number at the start of a chunk.
    fn check_sequence_number(&mut self, data: &[u8]) -> Result<(), OutOfOrder> {
        let number = data.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let is_next = number == Some(self.next);
        self.next = self.next.wrapping_add(1);
        if is_next { Ok(()) } else { Err(OutOfOrder) }
    }

    fn frame(&self, control: &[u8; 26], data: Chunk) -> Result<Frame, OutOfOrder> {
        let number = |at: usize| u32::from_be_bytes([control[at], control[at + 1], control[at + 2], control[at + 3]]);
        let short = |at: usize| u32::from(u16::from_be_bytes([control[at], control[at + 1]]));
        let area = Area { left: number(12), top: number(16), size: Size::new(number(4), number(8)) };
        let within =
            |from: u32, length: u32, all: u32| length > 0 && from.checked_add(length).is_some_and(|end| end <= all);
        let fits =
            within(area.left, area.size.width, self.size.width) && within(area.top, area.size.height, self.size.height);
        // the static image covers the canvas
        if !fits || data.kind == *b"IDAT" && area.size != self.size {
            return Err(OutOfOrder);
        }
        let disposal = match control[24] {
            0 => Disposal::None,
            1 => Disposal::Background,
            2 => Disposal::Previous,
            _ => return Err(OutOfOrder),
        };
        let blend = match control[25] {
            0 => Blend::Source,
            1 => Blend::Over,
            _ => return Err(OutOfOrder),
        };
        // a denominator of 0 stands for 100
        let per_second = if short(22) == 0 { 100 } else { short(22) };
        let delay = (short(20) * 1000 + per_second / 2) / per_second;
        Ok(Frame { area, blend, disposal, delay, data })
    }
}

/// Counts the frames with data, up to the stated number. `None` where chunks are out of order, or there is no frame.
pub(super) fn validate(file: &[u8], stated: Animation, size: Size) -> Option<Animation> {
    let mut frames = Frames::of(file, size);
    let mut count = 0;
    while count < stated.stated && frames.next().ok()?.is_some() {
        count += 1;
    }
    (count > 0).then_some(Animation { frames: count, ..stated })
}

impl Animation {
    /// Whether the file ends before the stated number of frames; one with IEND has a wrong count instead.
    pub(super) fn is_truncated(&self, file: &[u8]) -> bool {
        self.frames < self.stated && chunks(file).all(|chunk| chunk.kind != *b"IEND")
    }
}
