//! Originals in place of renditions that the queue refuses.

use std::sync::Arc;

use super::{Answer, Service};
use crate::render::{Content, Format, Recipe};
use crate::source::ImageId;

/// Larger originals are not sent in place of a rendition.
const MAX_BYTES: u64 = 2_000_000;

impl Service {
    /// The original in place of a rendition, if it has at most `MAX_BYTES` and a format that every browser shows. It takes
    /// no worker, since it is streamed from its file, or from memory if its source is remote.
    pub async fn overload_fallback(self: &Arc<Self>, id: &ImageId, recipe: &Recipe) -> Option<Answer> {
        let version = self.source.version(id).await.ok()?;
        // to fetch it would add to the overload
        let is_local = self.source.is_local(id, version);
        // a placeholder is no picture, and the original has no overlay
        let has_no_fallback = recipe.encode.output.is_placeholder() || recipe.overlay.is_some();
        if has_no_fallback || version.length > MAX_BYTES || !is_local {
            return None;
        }
        let answer = self.original(id).await.ok()?;
        let is_web_format = matches!(
            answer.content,
            Content::Image(Format::Jpeg | Format::Png | Format::Gif | Format::WebP | Format::Svg)
        );
        is_web_format.then_some(answer)
    }
}
