//! `GET /-/playground/settings`: everything that the page offers, from the table of parameters and the settings.

use axum::Json;
use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::dialect::Policy;
use crate::dialect::native::{self, Control, PARAMETERS, Parameter};
use crate::http::state::State;

pub(super) async fn settings(Shared(state): Shared<State>) -> Response {
    let live = state.live.load();
    let policy = &live.config.policy;
    let parameters: Vec<Value> = PARAMETERS.iter().map(|parameter| described(parameter, policy)).collect();
    let native = policy.mounts().native_prefix().map(|prefix| json!({ "name": native::NAME, "mount": prefix }));
    let foreign = policy.mounts().foreign();
    let foreign = foreign.map(|(mount, dialect)| json!({ "name": dialect.name(), "mount": mount }));
    let has_uploads = state.config.upload && !live.config.admin_token.is_empty();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "parameters": parameters,
        "dialects": native.into_iter().chain(foreign).collect::<Vec<_>>(),
        "uploads": has_uploads && state.service.upload_limit().is_some(),
        "widths": policy.config().widths,
    }))
    .into_response()
}

/// A row of the table as the page shows it.
fn described(parameter: &Parameter, policy: &Policy) -> Value {
    let config = policy.config();
    let (kind, range) = match parameter.control {
        Control::Side => ("integer", Some((json!(1), json!(config.max_dimension)))),
        Control::Integer(min, max) => ("integer", Some((json!(min), json!(max)))),
        Control::Decimal(min, max) => ("decimal", Some((hundredths(min), hundredths(max)))),
        Control::Colour => ("colour", None),
        Control::Point => ("position", None),
        Control::Preset | Control::Overlay => ("choice", None),
        Control::Plain if parameter.is_switch => ("switch", None),
        Control::Plain if parameter.words().next().is_some() => ("choice", None),
        Control::Plain => ("text", None),
    };
    let values: Vec<&str> = match parameter.control {
        Control::Preset => config.presets.keys().map(String::as_str).collect(),
        Control::Overlay => config.overlays.keys().map(String::as_str).collect(),
        _ => parameter.words().collect(),
    };
    let (min, max) = range.unzip();
    json!({
        "name": parameter.name,
        "aliases": parameter.aliases,
        "kind": kind,
        "values": values,
        "min": min,
        "max": max,
        "default": Some(parameter.default()).filter(|default| default != "–"),
        "group": parameter.group.name(),
        "help": parameter.about,
        "allowed": parameter.allowed,
    })
}

/// The decimal that was meant, which no `f32` is.
fn hundredths(value: f32) -> Value {
    json!((f64::from(value) * 100.0).round() / 100.0)
}
