//! The attributes of a rendition in its file's name: an extension, preceded by `damaged` where the original is, or by the
//! name of the upgrade that the rendition had.

use std::borrow::Cow;

use crate::render::Content;

/// A way to encode a rendition again after its first answer, for fewer bytes at the same quality. Each is worth more work
/// than those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Upgrade {
    /// With the effort `balanced`.
    Balanced,
    /// With the effort `dense`.
    Dense,
}

impl Upgrade {
    /// Each of them.
    pub const ALL: [Upgrade; 2] = [Upgrade::Balanced, Upgrade::Dense];

    /// The name in files and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Upgrade::Balanced => "balanced",
            Upgrade::Dense => "dense",
        }
    }
}

/// The attributes of a rendition, known without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    /// The media type.
    pub(super) content: Content,
    /// Whether its original is damaged. Such a rendition is never upgraded.
    pub(super) damaged: bool,
    /// The last upgrade that was tried, also where the former bytes were kept.
    pub(super) upgrade: Option<Upgrade>,
}

/// Before the extension.
const DAMAGED: &str = "damaged";

impl tintype_store::Attributes for Attributes {
    fn to_suffix(&self) -> Cow<'static, str> {
        let extension = self.content.extension();
        let mark = if self.damaged { Some(DAMAGED) } else { self.upgrade.map(Upgrade::name) };
        mark.map_or(extension.into(), |mark| format!("{mark}.{extension}").into())
    }

    fn from_suffix(suffix: &str) -> Option<Attributes> {
        let (mark, extension) = match suffix.split_once('.') {
            Some((mark, extension)) => (Some(mark), extension),
            None => (None, suffix),
        };
        let upgrade = Upgrade::ALL.into_iter().find(|upgrade| Some(upgrade.name()) == mark);
        let damaged = mark == Some(DAMAGED);
        let is_known = mark.is_none() || damaged || upgrade.is_some();
        let content = Content::from_extension(extension).filter(|_| is_known)?;
        Some(Attributes { content, damaged, upgrade })
    }
}

#[cfg(test)]
mod tests {
    use tintype_store::Attributes as _;

    use super::*;
    use crate::render::Format;

    #[test]
    fn only_suffixes_that_are_written_are_parsed() {
        let marks = [(false, None), (true, None)].into_iter().chain(Upgrade::ALL.map(|upgrade| (false, Some(upgrade))));
        for (damaged, upgrade) in marks {
            for content in Format::all().map(Content::Image).chain([Content::Json]) {
                let attributes = Attributes { content, damaged, upgrade };
                assert_eq!(Attributes::from_suffix(&attributes.to_suffix()), Some(attributes));
            }
        }
        for suffix in [
            "",
            "html",
            "WEBP",
            "damaged",
            "damaged.",
            "damaged.damaged.webp",
            "damaged.dense.webp",
            "dense.balanced.webp",
            "Dense.webp",
            "fast.webp",
            "whole.webp",
            "webp.",
            ".webp",
        ] {
            assert_eq!(Attributes::from_suffix(suffix), None, "{suffix}");
        }
    }
}
