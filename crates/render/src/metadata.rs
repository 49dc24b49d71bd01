//! The metadata of a rendition.

use tintype_pixels::{Info, exif};

use crate::recipe::Metadata;

/// The EXIF block of the rendition, if any.
pub(crate) fn exif(metadata: Metadata, info: &Info) -> Option<Vec<u8>> {
    let exif = info.exif.as_deref()?;
    match metadata {
        Metadata::None => None,
        Metadata::Copyright => exif::copyright(exif),
        Metadata::Keep => exif::upright(exif),
    }
}
