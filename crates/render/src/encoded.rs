//! A finished rendition.

use serde::{Deserialize, Serialize};

use tintype_codecs::PictureKind;
use tintype_pixels::Format;

/// A finished rendition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The file.
    pub bytes: Vec<u8>,
    /// The content type of the bytes.
    pub content: Content,
    /// Whether the original is damaged, so that parts of the image may be missing.
    pub damaged: bool,
    /// The kind of the picture; `None` where no pixels were made.
    pub kind: Option<PictureKind>,
}

impl Encoded {
    pub(crate) fn whole(bytes: Vec<u8>, content: Content) -> Encoded {
        Encoded { bytes, content, damaged: false, kind: None }
    }
}

/// The content of a rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Content {
    /// A picture of that format.
    Image(Format),
    /// A description of the original.
    Json,
}

impl Content {
    /// The media type for `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            Content::Image(format) => format.media_type(),
            Content::Json => "application/json",
        }
    }

    /// The file name extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Content::Image(format) => format.extension(),
            Content::Json => "json",
        }
    }

    /// The content of that extension, as [`Content::extension`] writes it.
    pub fn from_extension(extension: &str) -> Option<Content> {
        if extension == "json" {
            return Some(Content::Json);
        }
        Format::all().find(|format| format.extension() == extension).map(Content::Image)
    }
}
