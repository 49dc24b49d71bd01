//! Item locations (`iloc`, ISO/IEC 14496-12, 8.11.3).

use super::failure::{Failure, Result};
use crate::boxes::Reader;

/// The most extents of all items together.
pub(super) const MAX_EXTENTS: usize = 16_384;

/// An extent of an item, relative to the start of its source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    offset: u64,
    /// In bytes; 0 is up to the end of the source.
    length: u64,
}

/// The construction method of an item (`iloc`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Source {
    #[default]
    /// The file (0).
    File,
    /// The `idat` box (1).
    ItemData,
    /// Other items (2), or an unknown method.
    Other(u16),
}

impl Extent {
    pub(super) fn slice<'a>(&self, source: &'a [u8]) -> Result<&'a [u8]> {
        let start = usize::try_from(self.offset).ok();
        let tail = start.and_then(|start| source.get(start..));
        let length = usize::try_from(self.length).ok();
        match (tail, length) {
            (Some(tail), Some(0)) => Ok(tail),
            (Some(tail), Some(length)) => tail.get(..length).ok_or_else(truncated),
            _ => Err(truncated()),
        }
    }
}

pub(super) fn truncated() -> Failure {
    "the file is truncated: image data are missing".into()
}

/// Concatenates extents. Their total length is limited to that of their source, so that
/// overlapping extents cannot amplify a small file.
pub(super) fn join(extents: &[Extent], source: &[u8]) -> Result<Vec<u8>> {
    let mut joined = Vec::new();
    for extent in extents {
        let part = extent.slice(source)?;
        if joined.len() + part.len() > source.len() {
            return Err("extents overlap".into());
        }
        joined.extend_from_slice(part);
    }
    Ok(joined)
}

/// Field sizes of an `iloc` box, in bytes.
pub(super) struct LocationLayout {
    pub(super) version: u8,
    pub(super) offset_bytes: u8,
    pub(super) length_bytes: u8,
    pub(super) base_bytes: u8,
    pub(super) index_bytes: u8,
}

impl LocationLayout {
    pub(super) fn parse_item(&self, body: &mut Reader<'_>) -> Result<(Source, Vec<Extent>)> {
        let method = if self.version > 0 { body.u16()? & 15 } else { 0 };
        // as in libavif, data is always in this file
        let _data_reference = body.u16()?;
        let source = match method {
            0 => Source::File,
            1 => Source::ItemData,
            method => Source::Other(method),
        };
        let base = body.sized(self.base_bytes)?;
        let count = usize::from(body.u16()?);
        if count > MAX_EXTENTS {
            return Err(format!("item of {count} extents").into());
        }
        let mut extents = Vec::with_capacity(count);
        for _ in 0..count {
            body.sized(self.index_bytes)?;
            let offset = body.sized(self.offset_bytes)?;
            let offset = base.checked_add(offset).ok_or("extent offset overflows")?;
            let length = body.sized(self.length_bytes)?;
            extents.push(Extent { offset, length });
        }
        Ok((source, extents))
    }
}
