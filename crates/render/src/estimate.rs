//! The estimate of a render's memory and time, from the original's header and the recipe, before anything is decoded. Admission
//! uses it.

use std::time::Duration;

use tintype_pixels::{DctScale, Info, Result};

use crate::cost;
use crate::plan::Plan;
use crate::recipe::{Output, Recipe};
use crate::settings::Settings;

/// The estimated cost of one render.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Bytes of memory at most, the original among them.
    pub memory: u64,
    /// Time of one core, as it was on the machine where the figures were measured. Others are faster or slower, so it is the ratio
    /// between two renders that counts.
    pub time: Duration,
}

/// Estimates the render of an original of `length` bytes with that header.
///
/// # Errors
/// As [`Plan::new`]: what is over a limit will not be rendered.
pub fn estimate(info: &Info, length: u64, recipe: &Recipe, settings: &Settings) -> Result<Estimate> {
    if info.is_vector() && recipe.passes_svg_through() {
        return Ok(of(info, length, 0, cost::FIXED_TIME));
    }
    let plan = Plan::new(info, recipe, settings)?;
    let frames = f64::from(plan.frames());
    let (decoded, made) = (info.size.pixels() as f64 * frames, plan.canvas.pixels() as f64 * frames);
    let is_exact = cost::is_exact(plan.format, &recipe.encode);
    let time = match info.caps.vector {
        Some(vector) => {
            let time = cost::render_time(info, plan.format, is_exact, settings.encoding, 0.0, made);
            time + cost::drawing_time(vector, plan.canvas)
        }
        None => cost::render_time(info, plan.format, is_exact, settings.encoding, decoded, made),
    };
    let time = if plan.searches { time + cost::search_time(plan.format, settings.encoding, made) } else { time };
    let overlay = recipe.overlay.map_or(0.0, |overlay| cost::overlay_time(overlay.id.size(), made));
    let estimate = of(info, length, plan.memory(), time + overlay);
    if recipe.encode.output != Output::Json || info.frames == 1 {
        return Ok(estimate);
    }
    // a description looks at every frame, unless all of them are over a limit
    Ok(match estimate_check(info, length, settings) {
        Ok(check) => Estimate { memory: estimate.memory.max(check.memory), time: estimate.time + check.time },
        Err(_) => estimate,
    })
}

/// Whether the encoder of a render is faster with a second thread, so that [`Progress::threads`](crate::Progress::threads) will be asked.
pub fn gains_by_threads(info: &Info, recipe: &Recipe, settings: &Settings) -> bool {
    let gains = |plan: Plan<'_>| cost::gains_by_threads(plan.format, settings.encoding, plan.canvas);
    Plan::new(info, recipe, settings).is_ok_and(gains)
}

/// Estimates the validation of an original of `length` bytes by [`check`](crate::check()).
///
/// # Errors
/// Where it is over a limit.
pub fn estimate_check(info: &Info, length: u64, settings: &Settings) -> Result<Estimate> {
    if info.is_vector() {
        // it is read, not drawn
        return Ok(of(info, length, 0, cost::FIXED_TIME));
    }
    let admitted =
        settings.limits().admit(info, info.frames, "decoding", info.decoding_bytes(DctScale::FULL, info.frames))?;
    let decoded = info.size.pixels() as f64 * f64::from(info.frames);
    let time = cost::render_time(info, info.format, false, settings.encoding, decoded, 0.0);
    Ok(of(info, length, admitted.memory(), time))
}

fn of(info: &Info, length: u64, memory: u64, time: f64) -> Estimate {
    let memory = length + memory + cost::FIXED_MEMORY + cost::fixed_memory(info);
    Estimate { memory, time: Duration::from_nanos(time as u64) }
}
