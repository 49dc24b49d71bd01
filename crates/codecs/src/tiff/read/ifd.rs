//! The structure of classic TIFF and BigTIFF: the file header, image file directories (IFDs) and their fields.
//!
//! Fields are not copied: a field borrows its values from the file, and exists only if all of them lie in the file, so that huge counts cost
//! no memory.

use super::Failure;
use tintype_pixels::exif;

/// libtiff refuses directories with more entries; real ones have 15 to 60.
const MAX_ENTRIES: u64 = 4096;

/// The file, its byte order and version (TIFF 6.0 §2, BigTIFF).
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) big_endian: bool,
    /// Whether it is BigTIFF, where offsets and counts have 8 bytes.
    is_big_tiff: bool,
}

impl<'a> File<'a> {
    /// Reads the file header; the file, and the offset of the first IFD.
    pub(super) fn open(bytes: &'a [u8]) -> Result<(File<'a>, u64), Failure> {
        let truncated = || Failure::malformed("its file header is truncated");
        let big_endian = match bytes.get(..2) {
            Some(b"II") => false,
            Some(b"MM") => true,
            _ => return Err(Failure::malformed("it has no TIFF byte order mark")),
        };
        let mut file = File { bytes, big_endian, is_big_tiff: false };
        let first = match file.u16(2).ok_or_else(truncated)? {
            42 => file.offset(4),
            43 => {
                file.is_big_tiff = true;
                if (file.u16(4), file.u16(6)) != (Some(8), Some(0)) {
                    return Err(Failure::malformed("its BigTIFF header is invalid"));
                }
                file.offset(8)
            }
            other => return Err(Failure::malformed(format!("its version is {other}, not 42 or 43"))),
        };
        Ok((file, first.ok_or_else(truncated)?))
    }

    /// The IFD at an offset.
    pub(super) fn directory(&self, at: u64) -> Result<Directory<'a>, Failure> {
        let entries = self.entries(at).ok_or_else(|| Failure::malformed("its first IFD is truncated"))?;
        Ok(Directory { file: *self, entries })
    }

    /// The entries of the IFD at an offset.
    fn entries(&self, at: u64) -> Option<&'a [u8]> {
        let (count, start) = if self.is_big_tiff {
            (self.u64(at)?, at.checked_add(8)?)
        } else {
            (self.u16(at)?.into(), at.checked_add(2)?)
        };
        if count == 0 || count > MAX_ENTRIES {
            return None;
        }
        self.slice(start, count * self.entry_length() as u64)
    }

    fn entry_length(&self) -> usize {
        if self.is_big_tiff { 20 } else { 12 }
    }

    /// Bytes of the file, if all are in it.
    pub(super) fn slice(&self, at: u64, length: u64) -> Option<&'a [u8]> {
        let end = usize::try_from(at.checked_add(length)?).ok()?;
        self.bytes.get(at as usize..end)
    }

    fn u16(&self, at: u64) -> Option<u16> {
        Some(unsigned(self.slice(at, 2)?, self.big_endian) as u16)
    }

    fn u64(&self, at: u64) -> Option<u64> {
        Some(unsigned(self.slice(at, 8)?, self.big_endian))
    }

    /// An offset, of 4 or 8 bytes.
    fn offset(&self, at: u64) -> Option<u64> {
        Some(unsigned(self.slice(at, if self.is_big_tiff { 8 } else { 4 })?, self.big_endian))
    }
}

/// An unsigned number of up to 8 bytes.
pub(super) fn unsigned(bytes: &[u8], big_endian: bool) -> u64 {
    let append = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
    if big_endian { bytes.iter().fold(0, append) } else { bytes.iter().rev().fold(0, append) }
}

/// An image file directory (TIFF 6.0 §2).
pub(super) struct Directory<'a> {
    file: File<'a>,
    entries: &'a [u8],
}

impl<'a> Directory<'a> {
    /// The first field with a tag, as in libtiff.
    ///
    /// # Errors
    /// [`Failure::Malformed`] where its values lie outside of the file.
    pub(super) fn field(&self, tag: u16) -> Result<Option<Field<'a>>, Failure> {
        let big_endian = self.file.big_endian;
        let mut entries = self.entries.chunks_exact(self.file.entry_length());
        let Some(entry) = entries.find(|entry| unsigned(&entry[..2], big_endian) == u64::from(tag)) else {
            return Ok(None);
        };
        let data = self.values(entry).ok_or_else(|| Failure::malformed(format!("its tag {tag} has no value")))?;
        Ok(Some(Field { kind: unsigned(&entry[2..4], big_endian) as u16, data, big_endian }))
    }

    /// A field that is not essential; an invalid one counts as missing.
    pub(super) fn optional(&self, tag: u16) -> Option<Field<'a>> {
        self.field(tag).ok().flatten()
    }

    /// All valid fields with their tags, in the order of the file.
    pub(super) fn fields(&self) -> impl Iterator<Item = (u16, Field<'a>)> {
        let big_endian = self.file.big_endian;
        self.entries.chunks_exact(self.file.entry_length()).filter_map(move |entry| {
            let kind = unsigned(&entry[2..4], big_endian) as u16;
            Some((unsigned(&entry[..2], big_endian) as u16, Field { kind, data: self.values(entry)?, big_endian }))
        })
    }

    /// The first value of a field.
    pub(super) fn number(&self, tag: u16) -> Result<Option<u64>, Failure> {
        let Some(field) = self.field(tag)? else { return Ok(None) };
        field.get(0).map(Some).ok_or_else(|| Failure::malformed(format!("its tag {tag} is not a number")))
    }

    /// The values of an entry: in the entry itself where they fit, else at its offset.
    fn values(&self, entry: &'a [u8]) -> Option<&'a [u8]> {
        let (count, inline) = entry[4..].split_at((entry.len() - 4) / 2);
        let size = size_of(unsigned(&entry[2..4], self.file.big_endian) as u16)?;
        let length = unsigned(count, self.file.big_endian).checked_mul(size)?;
        if length == 0 {
            return None;
        }
        if length <= inline.len() as u64 {
            return Some(&inline[..length as usize]);
        }
        self.file.slice(unsigned(inline, self.file.big_endian), length)
    }
}

/// Bytes of a value of a type (TIFF 6.0 §2 "Types", supplement 1 for IFD, BigTIFF for 16 to 18).
fn size_of(kind: u16) -> Option<u64> {
    match kind {
        13 => Some(4),
        16..=18 => Some(8),
        _ => exif::size_of(kind).map(|bytes| bytes as u64),
    }
}

/// The values of one field.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) kind: u16,
    /// All values, in the byte order of the file.
    pub(super) data: &'a [u8],
    big_endian: bool,
}

impl Field<'_> {
    pub(super) fn len(&self) -> usize {
        self.data.len() / self.size()
    }

    /// A non-negative value of an integer type.
    pub(super) fn get(&self, index: usize) -> Option<u64> {
        let size = self.size();
        let value = unsigned(self.data.get(index.checked_mul(size)?..)?.get(..size)?, self.big_endian);
        match self.kind {
            1 | 3 | 4 | 7 | 13 | 16 | 18 => Some(value),
            6 | 8 | 9 | 17 => (value >> (size * 8 - 1) == 0).then_some(value),
            _ => None,
        }
    }

    /// A finite value of any numeric type.
    pub(super) fn real(&self, index: usize) -> Option<f64> {
        let size = self.size();
        let bytes = self.data.get(index.checked_mul(size)?..)?.get(..size)?;
        let bits = unsigned(bytes, self.big_endian);
        match self.kind {
            5 => {
                let (above, below) = bytes.split_at(4);
                Some(unsigned(above, self.big_endian) as f64 / unsigned(below, self.big_endian) as f64)
            }
            11 => Some(f32::from_bits(bits as u32).into()),
            12 => Some(f64::from_bits(bits)),
            _ => self.get(index).map(|value| value as f64),
        }
        .filter(|value| value.is_finite())
    }

    fn size(&self) -> usize {
        size_of(self.kind).unwrap_or(1) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BYTE, LONG, TestFile};
    use super::*;

    fn with_field(kind: u16, values: &[u64]) -> Vec<u8> {
        TestFile::new((1, 1), &[8], 1, &[0]).with_kind(700, kind, values).build()
    }

    fn field(bytes: &[u8], tag: u16) -> Result<Option<Field<'_>>, Failure> {
        let (file, first) = File::open(bytes)?;
        file.directory(first)?.field(tag)
    }

    #[test]
    fn file_headers_are_validated() {
        for (bytes, is_good) in [
            (&b"II\x2A\0\x08\0\0\0"[..], true),
            (b"MM\0\x2A\0\0\0\x08", true),
            (b"II\x2B\0\x08\0\0\0\x10\0\0\0\0\0\0\0", true),
            (b"II\x2B\0\x04\0\0\0\x10\0\0\0\0\0\0\0", false),
            (b"II\x2A\0\x08\0\0", false),
            (b"IM\x2A\0\x08\0\0\0", false),
            (b"II\x2C\0\x08\0\0\0", false),
            (b"", false),
        ] {
            assert_eq!(File::open(bytes).is_ok(), is_good, "{bytes:?}");
        }
    }

    #[test]
    fn field_values_are_read() {
        for (kind, values) in [(BYTE, &[1, 2][..]), (BYTE, &[1; 9]), (LONG, &[7]), (LONG, &[7, 8, 9]), (16, &[1 << 40])]
        {
            let bytes = with_field(kind, values);
            let found = field(&bytes, 700).expect("a good file").expect("a field");
            assert_eq!(found.len(), values.len());
            let read: Vec<_> = (0..values.len()).filter_map(|index| found.get(index)).collect();
            assert_eq!(read, values);
            assert_eq!(found.get(values.len()), None);
            assert_eq!(found.real(0), Some(values[0] as f64));
        }
    }

    #[test]
    fn values_outside_of_the_file_are_an_error() {
        let mut bytes = with_field(LONG, &[1, 2, 3]);
        assert!(field(&bytes, 700).is_ok_and(|field| field.is_some()));
        // the strip's fields and the end of the chain follow the entry
        let at = bytes.len() - 4 - 2 * 12 - 4;
        bytes[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(field(&bytes, 700).is_err());
    }
}
