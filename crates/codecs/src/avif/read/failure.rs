//! The error of the AVIF reader.

use std::fmt::Display;

/// The reason why a file cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The file may be valid, but uses an unsupported feature.
    Unsupported(String),
    /// The file is damaged or truncated.
    Damaged(String),
}

impl Failure {
    pub(super) fn unsupported(feature: impl Display) -> Self {
        Self::Unsupported(format!("{feature} is not supported"))
    }
}

/// The parsers of boxes and AV1 headers return damage as text.
impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Damaged(text)
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Self::Damaged(text.to_owned())
    }
}

pub(super) type Result<T> = std::result::Result<T, Failure>;
