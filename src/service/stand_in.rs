//! Originals in the place of renditions that there is no room to make.

use std::sync::Arc;

use super::{Answer, Service};
use crate::render::recipe::Output;
use crate::render::{Content, Format, Recipe};
use crate::source::ImageId;

/// The most bytes of one.
const LONGEST: u64 = 2_000_000;

impl Service {
    /// The original in the place of a rendition that there is no room to make: where it is at most [`LONGEST`] bytes, and
    /// every browser shows it. It needs no room of its own, as it is sent from its file.
    pub async fn stand_in(self: &Arc<Self>, id: &ImageId, recipe: &Recipe) -> Option<Answer> {
        let version = self.source.version(id).await.ok()?;
        if recipe.output == Output::Json || version.length > LONGEST {
            return None;
        }
        let answer = self.original(id).await.ok()?;
        let is_shown = matches!(
            answer.content,
            Content::Image(Format::Jpeg | Format::Png | Format::Gif | Format::WebP | Format::Svg)
        );
        is_shown.then_some(answer)
    }
}
