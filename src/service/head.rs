//! Headers read from the beginning of originals, so that a rendition on disk is found without reading its original and
//! without waiting for a worker.

use super::{Error, Head, Service};
use crate::render::{self, Settings};
use crate::source::{self, ImageId, Version};

/// Bytes in which the header of nearly every JPEG lies, profile and EXIF included.
const BEGINNING: u64 = 64 << 10;

impl Service {
    /// Reads the header of an original where its beginning says enough. Otherwise it stays unknown, and is read by a worker
    /// when there is something to render; failures show there.
    pub(super) async fn learn_head(&self, id: &ImageId, version: Version, settings: &Settings) {
        if version.length > BEGINNING
            && self.heads.get(&version).is_none()
            && let Ok(Some(head)) = self.head_of_beginning(id, version, settings).await
        {
            self.heads.insert(version, head);
        }
    }

    async fn head_of_beginning(
        &self, id: &ImageId, version: Version, settings: &Settings,
    ) -> Result<Option<Head>, Error> {
        let beginning = self.read(id, version, 0..BEGINNING).await?.read_to_end().await?;
        let last = self.read(id, version, version.length - 2..version.length).await?.read_to_end().await?;
        let last = <[u8; 2]>::try_from(&last[..]).map_err(|_| source::Error::Changing)?;
        let info = render::head_of_beginning(&beginning, last, settings);
        Ok(info.map(|info| Head::Picture(info.into())))
    }
}
