//! Why an icon has no picture, and the integers of its headers.

/// The reason that a file has no picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A feature that is not supported; the file may be valid.
    Unsupported(String),
    /// Damage.
    Malformed(String),
    /// More pixels than allowed.
    Limit(String),
}

pub(super) fn malformed(text: impl Into<String>) -> Failure {
    Failure::Malformed(text.into())
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|&bytes| u16::from_le_bytes(bytes))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|&bytes| u32::from_le_bytes(bytes))
}
