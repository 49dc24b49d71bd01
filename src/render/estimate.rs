//! What a render will take of the machine, by the original's header and the recipe, before anything is decoded. Whoever
//! hands out memory and cores goes by it.

use std::time::Duration;

use super::codec::Info;
use super::error::Result;
use super::format::Format;
use super::plan::Plan;
use super::recipe::{Output, Recipe};
use super::settings::Settings;

/// What one render takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Bytes of memory at most, the original among them.
    pub memory: u64,
    /// Time of one core, as it was on the machine where the figures below were measured. Others are faster or slower, so
    /// it is the ratio between two renders that counts.
    pub time: Duration,
}

/// What neither pixels nor the original take: tables of codecs, small buffers, what an allocator rounds up.
pub const FIXED_MEMORY: u64 = 4 << 20;

/// What does not depend on pixels: opening, parsing, starting an encoder.
const FIXED_NANOSECONDS: f64 = 500_000.0;

/// What rendering an original of `length` bytes with that header will take.
///
/// # Errors
/// As [`Plan::new`]: what is over a limit will not be rendered.
pub fn estimate(info: &Info, length: u64, recipe: &Recipe, settings: &Settings) -> Result<Estimate> {
    let estimate = of(info, length, &Plan::new(info, recipe, settings)?);
    if recipe.output != Output::Json || info.frames == 1 {
        return Ok(estimate);
    }
    // a description looks at every frame, unless all of them are over a limit
    Ok(match estimate_check(info, length, settings) {
        Ok(check) => Estimate { memory: estimate.memory.max(check.memory), time: estimate.time + check.time },
        Err(_) => estimate,
    })
}

/// What decoding all of it to make nothing of it will take.
///
/// # Errors
/// Where it is over a limit.
pub fn estimate_check(info: &Info, length: u64, settings: &Settings) -> Result<Estimate> {
    let recipe = super::check::everything();
    Ok(of(info, length, &Plan::to_decode(info, &recipe, settings)?))
}

fn of(info: &Info, length: u64, plan: &Plan<'_>) -> Estimate {
    let frames = f64::from(plan.frames);
    let decoded = info.size.pixels() as f64 * frames;
    let made = plan.canvas.pixels() as f64 * frames;
    let time = FIXED_NANOSECONDS + decoded * decoding(info) + made * encoding(plan);
    Estimate { memory: length + plan.memory() + FIXED_MEMORY + fixed(info), time: Duration::from_nanos(time as u64) }
}

/// Bytes that an original takes whatever its size: the tables of a profile's transform, and a large codec's own.
fn fixed(info: &Info) -> u64 {
    let profile = if info.has_profile { 3 << 20 } else { 0 };
    profile + if info.format == Format::Jxl { 1 << 20 } else { 0 }
}

/// Nanoseconds for each pixel of the original.
fn decoding(info: &Info) -> f64 {
    match info.format {
        // its coefficients are kept until the last of several scans
        Format::Jpeg if info.cost.per_stored_pixel > 1.0 => 8.0,
        Format::Jpeg => 2.5,
        Format::Png | Format::Gif | Format::Ico => 10.0,
        Format::WebP => 15.0,
        Format::Avif => 25.0,
        Format::Jxl => 60.0,
        _ => 8.0,
    }
}

/// Nanoseconds for each pixel of the result, resizing included.
fn encoding(plan: &Plan<'_>) -> f64 {
    match plan.format {
        Format::Avif => 250.0,
        Format::WebP if plan.recipe.lossless => 550.0,
        Format::WebP => 70.0,
        Format::Png => 40.0,
        Format::Gif => 100.0,
        _ => 20.0,
    }
}
