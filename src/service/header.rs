//! Headers of originals. They are read from the first bytes of a file where those suffice, so that a rendition on disk is
//! found without reading its original and without a worker.

use std::sync::Arc;

use super::{Error, Service};
use crate::render::{self, Recipe, Settings};
use crate::render::{Content, Info};
use crate::source::{self, ImageId, Version};

/// Contains the header of nearly every JPEG, profile and EXIF included.
const PREFIX_BYTES: u64 = 64 << 10;

/// Memory of a header without profile name and EXIF.
const HEADER_BYTES: usize = 300;

/// The header of one version of an original.
#[derive(Clone, Debug)]
pub(super) enum Header {
    /// Of an image that is decoded or drawn.
    Raster(Arc<Info>),
    /// An SVG that is sent as it is, and not drawn.
    Svg,
}

impl Header {
    /// The canonical form of the recipe for an original with this header.
    pub(super) fn effective(&self, recipe: &Recipe, settings: &Settings) -> Recipe {
        match self {
            Header::Raster(info) => recipe.effective(info, settings),
            Header::Svg if recipe.passes_svg_through() => Recipe::passthrough(),
            Header::Svg => recipe.clone(),
        }
    }

    pub(super) fn info(&self) -> Option<&Arc<Info>> {
        match self {
            Header::Raster(info) => Some(info),
            Header::Svg => None,
        }
    }

    /// Bytes of memory; EXIF makes some headers large.
    pub(super) fn weight(_: &Version, header: &Header) -> u32 {
        let Header::Raster(info) = header else { return HEADER_BYTES as u32 };
        let more = info.exif.as_ref().map_or(0, Vec::len) + info.profile_name.as_ref().map_or(0, String::len);
        u32::try_from(HEADER_BYTES + more).unwrap_or(u32::MAX)
    }
}

impl Service {
    /// Reads and remembers the header of an original where its first bytes suffice. Otherwise, and on failure, the worker
    /// that renders it reads the header.
    pub(super) async fn read_header(&self, id: &ImageId, version: Version, settings: &Settings) {
        if version.length > PREFIX_BYTES
            && self.headers.get(&version).is_none()
            && let Ok(Some(header)) = self.header_of_prefix(id, version, settings).await
        {
            self.headers.insert(version, header);
        }
    }

    async fn header_of_prefix(
        &self, id: &ImageId, version: Version, settings: &Settings,
    ) -> Result<Option<Header>, Error> {
        let prefix = self.read(id, version, 0..PREFIX_BYTES).await?.read_to_end().await?;
        let last = self.read(id, version, version.length - 2..version.length).await?.read_to_end().await?;
        let last = <[u8; 2]>::try_from(&last[..]).map_err(|_| source::Error::Changing)?;
        let info = render::head_of_beginning(&prefix, last, settings);
        Ok(info.map(|info| Header::Raster(info.into())))
    }

    /// The canonical form of the recipe for the original, where its header is known.
    pub(super) fn effective(&self, version: Version, settings: &Settings, recipe: &Recipe) -> Option<Recipe> {
        Some(self.headers.get(&version)?.effective(recipe, settings))
    }

    /// The recipe that names the format that was chosen by the pixels, and gives the same file.
    pub(super) fn exact(
        &self, version: Version, settings: &Settings, recipe: &Recipe, content: Content,
    ) -> Option<Recipe> {
        let Content::Image(format) = content else { return None };
        recipe.with_format_chosen_by_pixels(format, self.headers.get(&version)?.info()?, settings)
    }

    /// The recipe whose result is compared with the original, where the original may be the smaller of the two.
    pub(super) fn compared(&self, version: Version, settings: &Settings, recipe: &Recipe) -> Option<Recipe> {
        recipe.with_chosen_format(self.headers.get(&version)?.info()?, settings)
    }
}
