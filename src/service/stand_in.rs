//! Originals in the place of renditions that there is no room to make.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Answer, Service};
use crate::render::recipe::Output;
use crate::render::{Content, Format, Recipe};
use crate::source::ImageId;

/// The most bytes of one.
const LONGEST: u64 = 2_000_000;

/// Kibibytes of all that are being sent.
const ROOM: usize = 64 * 1024;

/// Room for all that are being sent.
pub(super) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ROOM))
}

impl Service {
    /// The original in the place of a rendition that there is no room to make: where it is at most [`LONGEST`] bytes, every
    /// browser shows it, and not too much of that kind is being sent already.
    pub async fn stand_in(&self, id: &ImageId, recipe: &Recipe) -> Option<Answer> {
        let version = self.source.version(id).await.ok()?;
        if recipe.output == Output::Json || version.length > LONGEST {
            return None;
        }
        let kibibytes = u32::try_from(version.length / 1024 + 1).ok()?;
        let held = Arc::clone(&self.stand_ins).try_acquire_many_owned(kibibytes).ok()?;
        let answer = self.original(id).await.ok()?;
        let is_shown = matches!(
            answer.content,
            Content::Image(Format::Jpeg | Format::Png | Format::Gif | Format::WebP | Format::Svg)
        );
        // its bytes hold the room until the last of them has been sent
        let bytes = Bytes::from_owner(StandIn { bytes: answer.bytes, _held: held });
        is_shown.then_some(Answer { bytes, ..answer })
    }
}

/// Bytes of an original that stands in for a rendition.
struct StandIn {
    bytes: Bytes,
    _held: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for StandIn {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
