//! Dialects whose URLs have signatures of their own.

use std::sync::Arc;

use super::{InvalidDialect, invalid};
use crate::config::dialects::{Dialects, Imgproxy, NegotiatedFormat};
use crate::dialect::Dialect;
use crate::dialect::foreign::{Sources, imgproxy};

/// imgproxy, as its settings say.
pub(super) fn imgproxy(settings: &Imgproxy, sources: &Sources) -> Result<Arc<dyn Dialect>, InvalidDialect> {
    let setting = |name: &str| format!("dialects.imgproxy.{name}");
    let Imgproxy {
        keys,
        salts,
        signature_size,
        separator,
        base_url,
        only_presets,
        auto,
        presets,
        mount: _,
        keys_file: _,
    } = settings;
    let keys = imgproxy::Keys::new(keys, salts, *signature_size).map_err(|why| match why {
        imgproxy::InvalidKeys::Key => invalid(setting("keys"), why),
        imgproxy::InvalidKeys::Salt | imgproxy::InvalidKeys::Count => invalid(setting("salts"), why),
        imgproxy::InvalidKeys::Size => invalid(setting("signature_size"), why),
    })?;
    if separator.is_empty() || separator.contains(['/', '?', '%']) {
        return Err(invalid(setting("separator"), "it is a text without /, ? and %"));
    }
    Ok(Arc::new(imgproxy::Imgproxy {
        sources: sources.clone(),
        keys,
        separator: separator.clone(),
        base_url: base_url.clone(),
        only_presets: *only_presets,
        auto: match auto {
            NegotiatedFormat::Off => imgproxy::Negotiation::Off,
            NegotiatedFormat::Prefer => imgproxy::Negotiation::Prefer,
            NegotiatedFormat::Enforce => imgproxy::Negotiation::Enforce,
        },
        presets: imgproxy::Presets::new(presets, separator).map_err(|why| invalid(setting("presets"), why))?,
    }))
}

/// Whether the keys of a dialect are in a file, which is read after the settings are checked.
pub(super) fn waits_for_keys(settings: &Dialects, dialect: &str) -> bool {
    match dialect {
        "imgproxy" => !settings.imgproxy.keys_file.as_os_str().is_empty(),
        _ => false,
    }
}
