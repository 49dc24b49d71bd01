//! The control chunks of APNG (PNG, third edition, §11.3.6).

use super::header::{Chunk, chunks};
use crate::canvas::{Area, Blend, Dispose};
use tintype_pixels::geometry::Size;

/// The animation as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Animation {
    /// How many frames there are data of.
    pub(super) frames: u32,
    /// How many frames the file says it has.
    pub(super) stated: u32,
    /// How often it is played, 0 for ever.
    pub(super) plays: u32,
}

/// A frame: how it is shown, and where its first chunk of data begins.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) area: Area,
    pub(super) blend: Blend,
    pub(super) dispose: Dispose,
    /// How long it is shown, in milliseconds.
    pub(super) delay: u32,
    pub(super) data: Chunk,
}

/// The chunks of an animation are not as they have to be, so that only the still picture is shown.
#[derive(Debug)]
pub(super) struct OutOfOrder;

/// The frames of a file, with canvas of that size, in order.
pub(super) struct Frames<'a> {
    file: &'a [u8],
    size: Size,
    chunks: Box<dyn Iterator<Item = Chunk> + 'a>,
    /// The number that the next chunk of the animation must have.
    next: u32,
    /// The control of the frame whose data are to come.
    control: Option<[u8; 26]>,
    /// Whether the data of the still picture have begun.
    has_still: bool,
    /// Whether chunks with data of a frame that was given may follow.
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
            has_still: false,
            is_within: false,
        }
    }

    /// The next frame of which there are any data.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, OutOfOrder> {
        while let Some(chunk) = self.chunks.next() {
            let found = match &chunk.kind {
                b"fcTL" => self.take_control(&chunk)?,
                b"IDAT" if !self.has_still => {
                    self.has_still = true;
                    // without a control of its own it is for viewers that know no animation
                    self.control.take().map(|control| self.frame(&control, chunk)).transpose()?
                }
                b"fdAT" => self.take_data(chunk)?,
                _ => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn take_control(&mut self, chunk: &Chunk) -> Result<Option<Frame>, OutOfOrder> {
        // one whose end is missing controls nothing that is there
        if chunk.is_cut || self.control.is_some() || !chunk.is_sound(self.file) {
            return if chunk.is_cut { Ok(None) } else { Err(OutOfOrder) };
        }
        let control: [u8; 26] = self.file[chunk.data.clone()].try_into().map_err(|_| OutOfOrder)?;
        self.count(&control)?;
        self.control = Some(control);
        self.is_within = false;
        Ok(None)
    }

    fn take_data(&mut self, chunk: Chunk) -> Result<Option<Frame>, OutOfOrder> {
        let Some(number) = self.file[chunk.data.clone()].first_chunk::<4>() else {
            return if chunk.is_cut { Ok(None) } else { Err(OutOfOrder) };
        };
        self.count(number)?;
        match self.control.take() {
            Some(control) if self.has_still => {
                self.is_within = true;
                self.frame(&control, chunk).map(Some)
            }
            None if self.is_within => Ok(None),
            _ => Err(OutOfOrder),
        }
    }

    /// Holds the number that a chunk begins with to be the next.
    fn count(&mut self, data: &[u8]) -> Result<(), OutOfOrder> {
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
        // the still picture is one of the whole canvas
        if !fits || data.kind == *b"IDAT" && area.size != self.size {
            return Err(OutOfOrder);
        }
        let dispose = match control[24] {
            0 => Dispose::Keep,
            1 => Dispose::Clear,
            2 => Dispose::Restore,
            _ => return Err(OutOfOrder),
        };
        let blend = match control[25] {
            0 => Blend::Replace,
            1 => Blend::Over,
            _ => return Err(OutOfOrder),
        };
        // a denominator of 0 stands for 100
        let per_second = if short(22) == 0 { 100 } else { short(22) };
        let delay = (short(20) * 1000 + per_second / 2) / per_second;
        Ok(Frame { area, blend, dispose, delay, data })
    }
}

/// The animation as it can be shown: with as many frames as there are data of, up to those that are stated. `None` where its
/// chunks are out of order, or it has no frame.
pub(super) fn checked(file: &[u8], stated: Animation, size: Size) -> Option<Animation> {
    let mut frames = Frames::of(file, size);
    let mut count = 0;
    while count < stated.stated && frames.next().ok()?.is_some() {
        count += 1;
    }
    (count > 0).then_some(Animation { frames: count, ..stated })
}

impl Animation {
    /// Whether the file ends before it has as many frames as it says. One that goes on to its end mark only miscounts.
    pub(super) fn is_cut_off(&self, file: &[u8]) -> bool {
        self.frames < self.stated && chunks(file).all(|chunk| chunk.kind != *b"IEND")
    }
}
