//! The facts that the service has of an original and a rendition, as JSON.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::Report;
use crate::cache::{self, Digest, Place};
use crate::dialect::Target;
use crate::render::plan::DecodeMode;
use crate::render::{Clamp, Settings};
use crate::service::explain::{Facts, Rendition};
use crate::source::Version;

/// The target of a URL, beside its original.
pub(super) fn target(target: &Target) -> Value {
    let Target { id: _, recipe, negotiable, hints, snapped, native_prefix: _, download, immutable, expires, .. } =
        target;
    json!({
        "recipe": recipe.as_ref().map(ToString::to_string),
        "negotiable": negotiable,
        "hints": hints.headers().collect::<Vec<_>>(),
        "canonical": snapped,
        "download": download,
        "immutable": immutable,
        "expires": expires,
    })
}

pub(super) fn original(version: &Version, header: Option<&Facts>, cached: Option<cache::Facts>, stale: bool) -> Value {
    let mut original = json!({
        "bytes": version.length,
        "version": blake3::Hash::from(version.identity).to_hex()[..16],
        "modified": version.modified.and_then(|time| Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())),
        "stale": stale,
        // known once something was rendered
        "damaged": cached.map(|facts| facts.damaged),
        "format": header.map(|header| header.format().name()),
    });
    if let Some(Facts::Raster(info)) = header {
        let size = info.displayed();
        original["width"] = size.width.into();
        original["height"] = size.height.into();
        original["animated"] = (info.frames > 1).into();
        original["frames"] = info.frames.into();
        original["orientation"] = info.orientation.to_exif().into();
        original["has_alpha"] = info.has_alpha.into();
        original["profile"] = match (&info.profile_name, info.has_profile) {
            (Some(name), _) => name.as_str().into(),
            (None, true) => "unnamed".into(),
            (None, false) => Value::Null,
        };
        original["has_metadata"] = info.has_metadata.into();
    }
    original
}

/// The limit that makes the result smaller than requested.
pub(super) fn clamp(target: &Target, header: Option<&Facts>, settings: &Settings) -> Option<Clamp> {
    let Some(Facts::Raster(info)) = header else { return None };
    Clamp::of(info, target.recipe.as_ref()?, target.requested, settings)
}

pub(super) fn plan(rendition: &Rendition, clamp: Option<Clamp>) -> Value {
    let Some(plan) = &rendition.plan else { return Value::Null };
    let tenths = |value: f64| (value * 10.0).round() / 10.0;
    let crop = plan.crop.map(|crop| {
        json!({
            "x": tenths(crop.x), "y": tenths(crop.y), "width": tenths(crop.width), "height": tenths(crop.height),
        })
    });
    let scale = [plan.scale.0, plan.scale.1].map(|scale| (scale * 10_000.0).round() / 10_000.0);
    json!({
        "width": plan.size.width,
        "height": plan.size.height,
        "frames": plan.frames,
        "format": plan.format.name(),
        "tries": plan.drawing_formats.iter().map(|format| format.name()).collect::<Vec<_>>(),
        "crop": crop,
        "scale": scale,
        "decode_scale": format!("{}/8", plan.decode_eighths),
        "decodes": mode(plan.mode),
        "searches": plan.searches,
        "may_be_original": rendition.may_be_original,
        "clamped": clamp.map(|Clamp { limit, bound, requested, size: _ }| {
            json!({ "by": limit.name(), "bound": bound, "width": requested.width, "height": requested.height })
        }),
    })
}

fn mode(mode: DecodeMode) -> &'static str {
    match mode {
        DecodeMode::Drawn => "drawn",
        DecodeMode::Rows => "rows",
        DecodeMode::Region => "region",
        DecodeMode::Whole => "whole",
        DecodeMode::SharedWhole => "shared",
    }
}

pub(super) fn estimate(rendition: &Rendition) -> Value {
    let Some(estimate) = rendition.estimate else { return Value::Null };
    json!({
        "memory_bytes": estimate.memory,
        "time_ms": (estimate.time.as_secs_f64() * 10_000.0).round() / 10.0,
        "class": if rendition.is_heavy { "heavy" } else { "light" },
    })
}

/// The place of the answer in the cache; of an original, its validator.
pub(super) fn cache(rendition: Option<&Rendition>, digest: Option<Digest>) -> Value {
    let etag = |digest: Digest| format!("\"{}\"", digest.to_hex());
    let Some(rendition) = rendition else {
        return digest.map_or(Value::Null, |digest| json!({ "state": "original", "etag": etag(digest) }));
    };
    let facts = rendition.cached.and_then(|peek| peek.facts);
    json!({
        "key": rendition.key.to_hex(),
        "state": place(rendition),
        "bytes": facts.map(|facts| facts.length),
        "etag": facts.map(|facts| etag(facts.digest)),
        "content": facts.map(|facts| facts.content.media_type()),
    })
}

fn place(rendition: &Rendition) -> &'static str {
    match rendition.cached.map(|peek| peek.place) {
        Some(Place::Memory) => "memory",
        Some(Place::Disk) => "disk",
        Some(Place::Shared) => "shared",
        None => "absent",
    }
}

/// The steps from the recipe to the cache.
pub(super) fn steps(report: &mut Report, rendition: &Rendition, clamp: Option<Clamp>) {
    report.step("recipe", rendition.recipe.to_string(), "the parameters in their one form for this original");
    if let Some(plan) = &rendition.plan {
        let size = format!("{}x{}", plan.size.width, plan.size.height);
        let why = match clamp {
            Some(Clamp { limit, bound, requested, .. }) => {
                format!("{requested} would be over the limit {} ({bound})", limit.name())
            }
            None => "after crop, fit and limits".into(),
        };
        report.step("size", size, why);
        let why = match plan.decode_eighths {
            8 => "all pixels are needed",
            _ => "the decoder leaves out what the result cannot show",
        };
        report.step("decode", format!("{} at {}/8", mode(plan.mode), plan.decode_eighths), why);
    }
    if rendition.may_be_original {
        report.step("smallest", "the original, perhaps", "output.smallest_wins: it is sent if the rendition is larger");
    }
    let why = match rendition.cached.map(|peek| peek.place) {
        Some(Place::Memory) => "it is sent from memory",
        Some(Place::Disk) => "it is read from disk",
        Some(Place::Shared) => "it is in the shared bucket, as far as is known",
        None => "it would be rendered",
    };
    report.step("cache", place(rendition), why);
}
