//! The attributes of a rendition in its file's name: an extension, preceded by `damaged` where the original is.

use std::borrow::Cow;

use crate::render::Content;

/// The media type of a rendition, and whether its original is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) content: Content,
    pub(super) damaged: bool,
}

/// Before the extension.
const DAMAGED: &str = "damaged.";

impl tintype_store::Attributes for Attributes {
    fn to_suffix(&self) -> Cow<'static, str> {
        let extension = self.content.extension();
        if self.damaged { format!("{DAMAGED}{extension}").into() } else { extension.into() }
    }

    fn from_suffix(suffix: &str) -> Option<Attributes> {
        let (extension, damaged) = match suffix.strip_prefix(DAMAGED) {
            Some(extension) => (extension, true),
            None => (suffix, false),
        };
        Some(Attributes { content: Content::from_extension(extension)?, damaged })
    }
}

#[cfg(test)]
mod tests {
    use tintype_store::Attributes as _;

    use super::*;
    use crate::render::Format;

    #[test]
    fn only_suffixes_that_are_written_are_parsed() {
        for content in Format::all().map(Content::Image).chain([Content::Json]) {
            for damaged in [false, true] {
                let attributes = Attributes { content, damaged };
                assert_eq!(Attributes::from_suffix(&attributes.to_suffix()), Some(attributes));
            }
        }
        for suffix in
            ["", "html", "WEBP", "damaged", "damaged.", "damaged.damaged.webp", "whole.webp", "webp.", ".webp"]
        {
            assert_eq!(Attributes::from_suffix(suffix), None, "{suffix}");
        }
    }
}
