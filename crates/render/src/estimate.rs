//! The estimate of a render's memory and time, from the original's header and the recipe, before anything is decoded. Admission
//! uses it.

use std::time::Duration;

use tintype_pixels::{Info, Result};

use crate::cost;
use crate::plan::{Plan, admit_all_frames};
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
    let (decoded, made) = (info.size.pixels() as f64 * frames, plan.largest as f64 * frames);
    let is_exact = cost::is_exact(plan.format, &recipe.encode);
    let time = match info.caps.vector {
        Some(vector) => {
            let time = cost::render_time(info, plan.format, is_exact, settings.encoding, 0.0, made);
            time + cost::drawing_time(vector, made)
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
    let admitted = admit_all_frames(info, settings)?;
    let decoded = info.size.pixels() as f64 * f64::from(info.frames);
    let time = cost::render_time(info, info.format, false, settings.encoding, decoded, 0.0);
    Ok(of(info, length, admitted.memory(), time))
}

fn of(info: &Info, length: u64, memory: u64, time: f64) -> Estimate {
    let memory = memory.saturating_add(length + cost::FIXED_MEMORY + cost::fixed_memory(info));
    Estimate { memory, time: Duration::from_nanos(time as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Resize, TargetSize};
    use crate::recipe::Quality;
    use tintype_pixels::{DctScale, Format, Region, Size, VectorDrawing};

    fn recipe(format: Format, resize: Resize, trim: Option<u8>) -> Recipe {
        let mut recipe = Recipe::new(Output::Exactly(format), Quality::default()).with_resize(resize);
        recipe.geometry.trim = trim;
        recipe
    }

    fn memory(info: &Info, recipe: &Recipe) -> u64 {
        estimate(info, 0, recipe, &Settings::default()).expect("within the limits").memory
    }

    #[test]
    fn trimmed_picture_is_estimated_at_the_largest_that_may_be_left() {
        let strip = Info::new(Format::Png, Size::new(2000, 40));
        let enlarged = Resize::Contain(TargetSize { width: 2000, height: 0, enlarge: true });
        let [whole, trimmed] = [None, Some(10)].map(|trim| recipe(Format::Avif, enlarged, trim));
        // a square of 2000 pixels a side, which is the most that may be enlarged to
        assert!(memory(&strip, &trimmed) > 4_000_000 * 60 && memory(&strip, &whole) < 80_000 * 200);
        let time = |recipe| estimate(&strip, 0, recipe, &Settings::default()).expect("within the limits").time;
        assert!(time(&trimmed) > time(&whole) * 10);
        // no side is longer than requested, nor than in the original
        let photo = Info::new(Format::Png, Size::new(4000, 3000));
        let small = Resize::Contain(TargetSize { width: 300, height: 0, enlarge: false });
        let decoded = photo.decoding_bytes(DctScale::FULL, 1);
        let more = memory(&photo, &recipe(Format::WebP, small, Some(10))) - decoded;
        assert!(more < 12_000_000 * 8 + 300 * 3000 * 80 + (64 << 20), "{more}");
    }

    #[test]
    fn trimmed_svg_has_no_more_pixels_than_are_estimated() {
        let mut info = Info::new(Format::Svg, Size::new(1_000_000, 10_000));
        info.caps.vector = Some(VectorDrawing { memory: 0, layers: 14, time: 0, has_text: false });
        let wide = Resize::Contain(TargetSize { width: 8000, height: 0, enlarge: false });
        let (recipe, settings) = (recipe(Format::WebP, wide, Some(10)), Settings::default());
        let plan = Plan::new(&info, &recipe, &settings).expect("within the limits");
        let left = Region { x: 0.0, y: 0.0, width: 10_254.0, height: 10_000.0 };
        let drawn = plan.viewport.fit(left).outer();
        assert!(drawn.pixels() <= plan.largest && plan.largest <= settings.max_enlarged, "{drawn}");
        assert!(plan.memory() > drawn.pixels() * (15 * 4 + 4));
    }

    #[test]
    fn stretched_picture_is_estimated_with_what_lies_between_the_passes() {
        let fill = |width, height| recipe(Format::Png, Resize::Fill(TargetSize { width, height, enlarge: true }), None);
        let info = Info::new(Format::Bmp, Size::new(4000, 3000));
        let between = 4000 * 3000 * 4;
        let narrow = memory(&info, &fill(1, 3000)) - memory(&info, &fill(4, 3));
        assert!(narrow > between * 9 / 10 && narrow < between * 11 / 10, "{narrow}");
        // rows come first, so that nothing is held that is larger than the picture
        let wide = Info::new(Format::Bmp, Size::new(60_000, 2));
        assert!(memory(&wide, &fill(1, 8192)) < 16 << 20);
    }
}
