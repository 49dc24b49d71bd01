//! The checks of a worker's answers: decoded images and results are those that were asked for.

use crate::render::plan::Plan;
use crate::render::{self, Content, Encoded, Format, wire};
use crate::service::renderer::RenderInput;

/// Whether decoded images begin with the one that was asked for, and none comes twice.
pub(super) fn are_as_asked<T: PartialEq>(made: &[T], wanted: T) -> bool {
    made.first() == Some(&wanted) && made.iter().enumerate().all(|(at, key)| !made[..at].contains(key))
}

/// Whether a result has the format and the size that were asked for. Its header is parsed by safe Rust.
pub(super) fn is_as_asked(work: &RenderInput<'_>, encoded: &Encoded) -> bool {
    let format = work.info.map_or(Format::Svg, |info| info.format);
    wire::can_have(work.recipe, format, encoded.content) && has_planned_size(work, encoded)
}

fn has_planned_size(work: &RenderInput<'_>, encoded: &Encoded) -> bool {
    let (Some(info), Content::Image(_)) = (work.info, encoded.content) else { return true };
    // trimming depends on the pixels, and the original may be the smallest result
    if work.recipe.geometry.trim.is_some() || encoded.bytes == work.original {
        return true;
    }
    let (plan, made) = (Plan::new(info, work.recipe, work.settings), render::probe(&encoded.bytes));
    plan.is_ok_and(|plan| made.is_ok_and(|made| made.displayed() == plan.result_size()))
}
