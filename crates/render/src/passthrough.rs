//! Whether an original may be sent in place of a rendition.

use tintype_pixels::{Format, Info, Orientation};

use crate::plan::Plan;
use crate::recipe::{Choice, Output};

/// Whether sending the original instead would change nothing that was asked for: it needs no turning and no colour
/// conversion, carries nothing that should be removed, and is in a format the client takes.
pub(crate) fn can_send_original(info: &Info, plan: &Plan<'_>) -> bool {
    let recipe = plan.recipe();
    let acceptable = match recipe.encode.output {
        Output::Exactly(format) => format == info.format,
        Output::Original => true,
        Output::Auto(choice) => match info.format {
            format if format.is_universal() => true,
            // an animated WebP is sent to every client
            Format::WebP => plan.format == Format::WebP || matches!(choice, Choice::Avif | Choice::WebP),
            format => format == plan.format,
        },
        Output::Json | Output::Dominant | Output::Lqip => false,
    };
    let pristine = info.orientation == Orientation::UPRIGHT && !info.has_profile && !info.has_metadata;
    let same_size = info.size.width.max(info.size.height) <= plan.viewport.max_dimension;
    let stays = info.frames == plan.frames() || recipe.encode.animated && info.format.supports_animation();
    acceptable && pristine && same_size && stays && recipe.only_recodes()
}
