//! imgproxy and thumbor: the dialects with settings that can be invalid; and the keys of all dialects that are in files.

use std::sync::Arc;

use super::{InvalidDialect, invalid};
use crate::config::dialects::{Dialects, Imgproxy, NegotiatedFormat, Thumbor, ThumborFlavour, ThumborHash};
use crate::dialect::foreign::{OverlayNames, Sources, imgproxy, thumbor};
use crate::dialect::{Dialect, Mount};

/// The fewest characters of a signature: imagor reads a shorter one as a part of the path.
const MIN_SIGNATURE: u8 = 8;

/// The mounts of imgproxy and thumbor.
pub(super) fn mounts(
    settings: &Dialects, sources: &Sources, overlays: &OverlayNames,
) -> Result<Vec<Mount>, InvalidDialect> {
    let mut mounts = Vec::new();
    if !settings.imgproxy.mount.is_empty() {
        let dialect = imgproxy(&settings.imgproxy, sources)?;
        mounts.push(Mount { prefix: settings.imgproxy.mount.clone(), dialect });
    }
    if !settings.thumbor.mount.is_empty() {
        let dialect = thumbor(&settings.thumbor, sources, overlays)?;
        mounts.push(Mount { prefix: settings.thumbor.mount.clone(), dialect });
    }
    Ok(mounts)
}

/// imgproxy, as its settings say.
fn imgproxy(settings: &Imgproxy, sources: &Sources) -> Result<Arc<dyn Dialect>, InvalidDialect> {
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
        watermark,
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
        watermark: watermark.clone(),
    }))
}

/// thumbor or imagor, as the settings say.
fn thumbor(settings: &Thumbor, sources: &Sources, overlays: &OverlayNames) -> Result<Arc<dyn Dialect>, InvalidDialect> {
    let setting = |name: &str| format!("dialects.thumbor.{name}");
    let Thumbor { keys, keys_file, r#unsafe, algorithm, truncate, flavour, mount: _ } = settings;
    if keys.is_empty() && keys_file.as_os_str().is_empty() && !r#unsafe {
        return Err(invalid(setting("keys"), "without a key, and with unsafe = false, no URL is answered"));
    }
    if (1..MIN_SIGNATURE).contains(truncate) {
        return Err(invalid(setting("truncate"), format!("it is 0, or at least {MIN_SIGNATURE}")));
    }
    let hash = match algorithm {
        ThumborHash::Sha1 => thumbor::Hash::Sha1,
        ThumborHash::Sha256 => thumbor::Hash::Sha256,
        ThumborHash::Sha512 => thumbor::Hash::Sha512,
    };
    Ok(Arc::new(thumbor::Thumbor {
        sources: sources.clone(),
        overlays: overlays.clone(),
        keys: thumbor::Keys::new(keys, hash, *truncate).map_err(|why| invalid(setting("keys"), why))?,
        allows_unsafe: *r#unsafe,
        flavour: match flavour {
            ThumborFlavour::Thumbor => thumbor::Flavour::Thumbor,
            ThumborFlavour::Imagor => thumbor::Flavour::Imagor,
        },
    }))
}

/// Whether the keys of a dialect are in a file, which is read after the settings are checked.
pub(super) fn waits_for_keys(settings: &Dialects, dialect: &str) -> bool {
    match dialect {
        "imgproxy" => !settings.imgproxy.keys_file.as_os_str().is_empty(),
        "thumbor" => !settings.thumbor.keys_file.as_os_str().is_empty() && !settings.thumbor.r#unsafe,
        "imgix" => !settings.imgix.token_file.as_os_str().is_empty(),
        _ => false,
    }
}
