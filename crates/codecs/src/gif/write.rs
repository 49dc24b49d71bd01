//! Writes the blocks of a GIF (GIF89a §§17 to 27).

use super::blocks::{APPLICATION, EXTENSION, GRAPHIC_CONTROL, IMAGE};
use crate::canvas::Area;
use tintype_pixels::Loops;

/// A colour table, and the index of transparent pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColourTable {
    /// At most 256 with the transparent one.
    pub(super) colours: Vec<[u8; 3]>,
    pub(super) transparent: Option<u8>,
}

impl ColourTable {
    /// The bits of an index; a table is filled up to a power of two.
    fn bits(&self) -> u32 {
        let length = self.colours.len().max(self.transparent.map_or(0, |index| usize::from(index) + 1));
        length.max(2).next_power_of_two().ilog2()
    }

    /// Bytes in a file.
    pub(super) fn bytes(&self) -> usize {
        3 << self.bits()
    }

    fn write(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.bytes();
        out.extend(self.colours.as_flattened());
        out.resize(end, 0);
    }

    /// The packed fields of a descriptor that is followed by the table.
    fn flags(&self) -> u8 {
        0x80 | (self.bits() as u8 - 1)
    }
}

/// Header, logical screen descriptor, global colour table, and the number of plays of an animation.
pub(super) fn file_start(out: &mut Vec<u8>, size: [u16; 2], table: &ColourTable, loops: Option<Loops>) {
    out.extend(b"GIF89a");
    out.extend(size.map(u16::to_le_bytes).as_flattened());
    // colour resolution as many bits as an index; the background colour is ignored by browsers
    let flags = table.flags();
    out.extend([flags | (flags & 7) << 4, 0, 0]);
    table.write(out);
    let repetitions = match loops {
        Some(Loops::Forever) => Some(0),
        // NETSCAPE2.0 counts the repetitions behind the first showing
        Some(Loops::Times(times)) if times > 1 => Some(times - 1),
        _ => None,
    };
    if let Some(repetitions) = repetitions {
        out.extend([EXTENSION, APPLICATION, 11]);
        out.extend(b"NETSCAPE2.0\x03\x01");
        out.extend(repetitions.to_le_bytes());
        out.push(0);
    }
}

/// Graphic control extension, image descriptor, and the local colour table if there is one. `delay` is in hundredths of a second.
pub(super) fn frame_start(
    out: &mut Vec<u8>, area: Area, delay: u16, is_disposed: bool, transparent: Option<u8>, local: Option<&ColourTable>,
) {
    // disposal methods: 1 leaves the frame in place, 2 restores the background
    let disposal = if is_disposed { 2 << 2 } else { 1 << 2 };
    let [low, high] = delay.to_le_bytes();
    out.extend([EXTENSION, GRAPHIC_CONTROL, 4, disposal | u8::from(transparent.is_some()), low, high]);
    out.extend([transparent.unwrap_or(0), 0, IMAGE]);
    let Area { left, top, size } = area;
    out.extend([left, top, size.width, size.height].map(|length| (length as u16).to_le_bytes()).as_flattened());
    out.push(local.map_or(0, ColourTable::flags));
    if let Some(table) = local {
        table.write(out);
    }
}

/// The trailer.
pub(super) fn file_end(out: &mut Vec<u8>) {
    out.push(b';');
}
