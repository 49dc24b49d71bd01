//! A promised score: the quality number is searched for at which the file that is made reaches a SSIMULACRA2.
//!
//! One number gives files whose scores differ by several points from picture to picture. The search starts at the number that
//! photographs need on average and needs two or three encodings to come within one point, four at most. It stays near that number:
//! noise would need very large files for any score, and smooth gradients reach it where steps become visible.
//!
//! The number found for one width of a picture is no start for the next one: files must not depend on earlier requests.

use std::ops::RangeInclusive;

use tintype_codecs::{Codec, EncodeInput, PictureData};
use tintype_pixels::{
    DctScale, DecodeOptions, Error, Format, Limits, PixelLayout, Pixels, Rect, Region, Result, Samples,
};

use crate::ops;
use crate::progress::Progress;
use crate::quality::{number_for_score, own_number};
use crate::recipe::Target;
use crate::score::Reference;

/// How far from the number of an average photograph others are tried, on the common scale.
const REACH: f32 = 30.0;

/// The numbers of the common scale that are tried at all.
const BOUNDS: RangeInclusive<f32> = 10.0..=95.0;

/// Encodings of one picture at most.
const TRIES: usize = 4;

/// How far a score may be from its target.
const TOLERANCE: f64 = 1.0;

/// Points of the score for one of the common scale, on average.
const SLOPE: f64 = 0.5;

/// The largest step on the common scale.
const LONGEST_STEP: f64 = 20.0;

struct Try {
    number: f32,
    score: f64,
    bytes: Vec<u8>,
}

/// Encodes a still picture such that its score is the target's, or as near as the bounds and four tries allow. A picture that is
/// too small to be measured gets the number of an average photograph.
///
/// # Errors
/// [`Error::Encode`], [`Error::Cancelled`].
pub(crate) fn encode(
    format: Format, picture: &mut EncodeInput, target: Target, limits: Limits, progress: &mut dyn Progress,
) -> Result<Vec<u8>> {
    let wanted = f64::from(target.get());
    let mut number = number_for_score(target);
    let bounds = bounds(number);
    let reference = reference(&picture.data)?;
    let mut tries: Vec<Try> = Vec::new();
    loop {
        picture.quality = own_number(format, number, picture.encoding, picture.kind);
        let bytes = tintype_codecs::of(format).encode(picture, &mut || progress.keep_going())?;
        let Some(reference) = &reference else { return Ok(bytes) };
        if !progress.keep_going() {
            return Err(Error::Cancelled);
        }
        let made = decoded(&bytes, format, limits)?;
        let Some(score) = reference.score(&made) else { return Ok(bytes) };
        tries.push(Try { number, score, bytes });
        match next(&tries, wanted, &bounds) {
            Some(next) if tries.len() < TRIES => number = next,
            _ => return Ok(best(tries, wanted)),
        }
    }
}

fn bounds(number: f32) -> RangeInclusive<f32> {
    (number - REACH).max(*BOUNDS.start())..=(number + REACH).min(*BOUNDS.end())
}

/// The next number to try; `None` where the last one will do, or no other would be better.
fn next(tries: &[Try], wanted: f64, bounds: &RangeInclusive<f32>) -> Option<f32> {
    let last = tries.last()?;
    if (last.score - wanted).abs() <= TOLERANCE {
        return None;
    }
    let below = tries.iter().filter(|one| one.score < wanted).max_by(|a, b| a.number.total_cmp(&b.number));
    let above = tries.iter().filter(|one| one.score >= wanted).min_by(|a, b| a.number.total_cmp(&b.number));
    let number = match (below, above) {
        (Some(below), Some(above)) if below.number < above.number => {
            let part = ((wanted - below.score) / (above.score - below.score)).clamp(0.1, 0.9);
            f64::from(below.number) + part * f64::from(above.number - below.number)
        }
        _ => {
            let slope = match tries {
                [.., before, last] => (last.score - before.score) / f64::from(last.number - before.number),
                _ => SLOPE,
            };
            // a curve that hardly rises would be followed too far
            let step = (wanted - last.score) / slope.max(SLOPE / 4.0);
            f64::from(last.number) + step.clamp(-LONGEST_STEP, LONGEST_STEP)
        }
    };
    let number = (number as f32).clamp(*bounds.start(), *bounds.end());
    // less than a step of any encoder
    let is_new = tries.iter().all(|one| (one.number - number).abs() >= 0.25);
    is_new.then_some(number)
}

/// The smallest file that reaches the target, or else the one of the highest score.
fn best(tries: Vec<Try>, wanted: f64) -> Vec<u8> {
    let reaches = |one: &Try| one.score >= wanted - TOLERANCE;
    let best = match tries.iter().any(reaches) {
        true => tries.into_iter().filter(reaches).min_by_key(|one| one.bytes.len()),
        false => tries.into_iter().max_by(|a, b| a.score.total_cmp(&b.score)),
    };
    best.map(|one| one.bytes).unwrap_or_default()
}

/// The pixels that files are compared with; `None` for a picture that is too small.
fn reference(data: &PictureData) -> Result<Option<Reference>> {
    Ok(match data {
        PictureData::Frames(frames) => Reference::new(&frames[0].pixels),
        PictureData::Planes(planes) => Reference::new(&to_rgb(planes)?),
    })
}

fn to_rgb(planes: &tintype_pixels::Planes) -> Result<Pixels> {
    ops::planes::to_rgb(planes, Region::whole(planes.size), None::<Rect>, planes.size)
}

/// The pixels of a still file that was made here, however many: the bounds on pixels are for originals.
///
/// # Errors
/// The errors of the decoder.
pub(crate) fn decoded(file: &[u8], format: Format, limits: Limits) -> Result<Pixels> {
    let codec = tintype_codecs::of(format);
    let info = codec.probe(file)?;
    let limits = Limits { max_pixels: u64::MAX, ..limits };
    let admitted = limits.admit(&info, 1, "decoding", info.decoded_bytes(DctScale::FULL))?;
    let options = DecodeOptions { layout: PixelLayout::Rgb, keeps_profile: true, ..DecodeOptions::FULL };
    let mut found = None;
    codec.decode(file, &admitted, &options, &mut |decoded| {
        found = Some(decoded.samples);
        Ok(())
    })?;
    match found {
        Some(Samples::Packed(pixels)) => Ok(pixels),
        Some(Samples::Planes(planes)) => to_rgb(&planes),
        None => Err(Error::Encode { format, reason: "the encoded file has no pixels".into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(all: &[(f32, f64)]) -> Vec<Try> {
        let of = |&(number, score): &(f32, f64)| Try { number, score, bytes: vec![0; (number * 10.0) as usize] };
        all.iter().map(of).collect()
    }

    #[test]
    fn search_steps_towards_the_target_and_stops_there() {
        let next = |all: &[(f32, f64)]| next(&tries(all), 75.0, &(45.0..=92.0));
        assert_eq!(next(&[(70.0, 75.9)]), None);
        assert_eq!(next(&[(70.0, 72.0)]), Some(76.0));
        assert_eq!(next(&[(70.0, 79.0)]), Some(62.0));
        // far off: no step is longer than 20
        assert_eq!(next(&[(50.0, 20.0)]), Some(70.0));
        // between two tries
        assert_eq!(next(&[(70.0, 71.0), (80.0, 79.0)]), Some(75.0));
        // a curve so flat or so steep that it would be left stays within the bracket
        assert_eq!(next(&[(70.0, 20.0), (80.0, 76.5)]), Some(79.0));
        assert_eq!(next(&[(90.0, 70.0), (92.0, 71.0)]), None, "no better number is allowed");
    }

    #[test]
    fn smallest_file_that_reaches_the_target_is_kept() {
        let best = |all: &[(f32, f64)]| best(tries(all), 75.0).len();
        assert_eq!(best(&[(70.0, 73.0), (80.0, 79.0), (76.0, 75.2)]), 760);
        assert_eq!(best(&[(70.0, 74.2), (80.0, 79.0)]), 700, "within the tolerance");
        assert_eq!(best(&[(92.0, 60.0), (70.0, 50.0)]), 920);
    }
}
