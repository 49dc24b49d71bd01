//! Chunks of a PNG file (PNG, third edition, §5.3).

use std::ops::Range;

/// Bytes of the signature.
pub(super) const SIGNATURE: usize = 8;

/// Bytes of length and chunk type.
pub(super) const HEAD: usize = 8;

/// Bytes of the CRC.
pub(super) const CRC: usize = 4;

/// A chunk (§5.3), by its position in the file.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) kind: [u8; 4],
    /// The range of its data, as far as they are in the file.
    pub(super) data: Range<usize>,
    /// Whether the file ends before its data do.
    pub(super) is_cut: bool,
}

impl Chunk {
    /// The position of the next chunk.
    pub(super) fn end(&self) -> usize {
        self.data.end.saturating_add(CRC)
    }

    /// Whether its CRC is in the file and matches.
    pub(super) fn has_valid_crc(&self, file: &[u8]) -> bool {
        let stated = file.get(self.data.end..self.data.end + CRC);
        !self.is_cut && stated == Some(&crc32fast::hash(&file[self.data.start - 4..self.data.end]).to_be_bytes())
    }

    /// Whether decoders must know it.
    pub(super) fn is_critical(&self) -> bool {
        // the ancillary bit (§5.4)
        self.kind[0] & 0x20 == 0
    }
}

/// The chunk at `at`, of whatever type; `None` at the end of the file.
pub(super) fn chunk(file: &[u8], at: usize) -> Option<Chunk> {
    let &[a, b, c, d, ref kind @ ..] = file.get(at..at.checked_add(HEAD)?)?.first_chunk::<HEAD>()?;
    let start = at + HEAD;
    let stated = u32::from_be_bytes([a, b, c, d]) as usize;
    let length = stated.min(file.len() - start);
    Some(Chunk { kind: *kind, data: start..start + length, is_cut: length < stated })
}

/// The chunks of a file, up to the first that is cut off.
pub(super) fn chunks(file: &[u8]) -> impl Iterator<Item = Chunk> {
    let mut at = SIGNATURE;
    std::iter::from_fn(move || {
        let chunk = chunk(file, at)?;
        at = chunk.end();
        Some(chunk)
    })
}
