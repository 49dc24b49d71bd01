//! The reasons for which a file gives no picture.

use std::fmt::Display;

/// The reason for which a file gives no picture, as a message for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The file may be valid and uses a feature that is not implemented.
    Unsupported(String),
    /// The file is damaged or cut.
    Damaged(String),
}

impl Failure {
    pub(super) fn unsupported(feature: impl Display) -> Self {
        Self::Unsupported(format!("{feature} is not supported"))
    }
}

/// The parsers of boxes and AV1 headers report damage as plain text.
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
