//! A builder of small TIFF files.
//!
//! Strips come first and the IFD last, as from most writers.

/// A file to build; StripOffsets and StripByteCounts are added in the end.
#[derive(Clone, Default)]
pub(super) struct TestFile {
    pub(super) big_endian: bool,
    /// BigTIFF.
    pub(super) wide: bool,
    pub(super) fields: Vec<(u16, u16, Vec<u64>)>,
    pub(super) strips: Vec<Vec<u8>>,
}

pub(super) const BYTE: u16 = 1;
pub(super) const SHORT: u16 = 3;
pub(super) const LONG: u16 = 4;

impl TestFile {
    /// An image with ImageWidth, ImageLength, BitsPerSample and PhotometricInterpretation, in one strip.
    pub(super) fn new(size: (u64, u64), bits: &[u64], photometric: u64, strip: &[u8]) -> TestFile {
        let made = TestFile { strips: vec![strip.to_vec()], ..TestFile::default() };
        let made = made.with(256, &[size.0]).with(257, &[size.1]).with(258, bits);
        made.with(262, &[photometric]).with(277, &[bits.len() as u64])
    }

    /// Sets a field of type SHORT.
    pub(super) fn with(self, tag: u16, values: &[u64]) -> TestFile {
        self.with_kind(tag, SHORT, values)
    }

    pub(super) fn with_kind(mut self, tag: u16, kind: u16, values: &[u64]) -> TestFile {
        self.without(tag);
        self.fields.push((tag, kind, values.to_vec()));
        self
    }

    pub(super) fn without(&mut self, tag: u16) {
        self.fields.retain(|field| field.0 != tag);
    }

    pub(super) fn strips(mut self, strips: &[&[u8]]) -> TestFile {
        self.strips = strips.iter().map(|strip| strip.to_vec()).collect();
        self
    }

    pub(super) fn big_endian(mut self) -> TestFile {
        self.big_endian = true;
        self
    }

    pub(super) fn wide(mut self) -> TestFile {
        self.wide = true;
        self
    }

    /// The bytes of the file.
    pub(super) fn build(&self) -> Vec<u8> {
        let mut made = self.clone();
        let mut out = if self.wide { vec![0; 16] } else { vec![0; 8] };
        let (mut offsets, mut counts) = (Vec::new(), Vec::new());
        for strip in &self.strips {
            offsets.push(out.len() as u64);
            counts.push(strip.len() as u64);
            out.extend(strip);
        }
        for (tags, values) in [([273, 324], offsets), ([279, 325], counts)] {
            if !made.fields.iter().any(|field| tags.contains(&field.0)) {
                made = made.with_kind(tags[0], LONG, &values);
            }
        }
        made.directory(&mut out);
        out
    }

    fn directory(&self, out: &mut Vec<u8>) {
        let inline = if self.wide { 8 } else { 4 };
        let mut entries = Vec::new();
        for (tag, kind, values) in &self.fields {
            let size = match *kind {
                BYTE | 2 | 7 => 1,
                SHORT => 2,
                LONG => 4,
                _ => 8,
            };
            let mut data: Vec<u8> = values.iter().flat_map(|&value| self.number(value, size)).collect();
            if data.len() > inline {
                let at = out.len() as u64;
                out.append(&mut data);
                data = self.number(at, inline);
            }
            data.resize(inline, 0);
            entries.extend(self.number((*tag).into(), 2));
            entries.extend(self.number((*kind).into(), 2));
            entries.extend(self.number(values.len() as u64, inline));
            entries.extend(data);
        }
        let at = out.len() as u64;
        out.extend(self.number(self.fields.len() as u64, if self.wide { 8 } else { 2 }));
        out.extend(entries);
        out.extend(self.number(0, inline));
        let mark = if self.big_endian { *b"MM" } else { *b"II" };
        let header = if self.wide {
            [self.number(43, 2), self.number(8, 2), self.number(0, 2), self.number(at, 8)].concat()
        } else {
            [self.number(42, 2), self.number(at, 4)].concat()
        };
        out[..2].copy_from_slice(&mark);
        out[2..2 + header.len()].copy_from_slice(&header);
    }

    fn number(&self, value: u64, size: usize) -> Vec<u8> {
        if self.big_endian { value.to_be_bytes()[8 - size..].to_vec() } else { value.to_le_bytes()[..size].to_vec() }
    }
}
