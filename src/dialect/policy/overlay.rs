//! Overlays: from their names to the pictures of the settings, and the one that the settings put on every result.

use super::{Config, Policy};
use crate::dialect::native::params::{NO_OVERLAY, Params, defaults};
use crate::dialect::native::query;
use crate::dialect::{Error, InvalidParam, nearest};
use crate::render::recipe::Overlay;

/// The overlay that the settings put on every result, if they name one.
///
/// # Errors
/// The reason why it is invalid.
pub(super) fn required(config: &Config) -> Result<Option<Params>, String> {
    if config.overlay.is_empty() {
        return Ok(None);
    }
    let parsed = query::parse(&config.overlay).map_err(|params| Error::InvalidParams(params).to_string())?;
    let mut others = parsed.params.clone();
    clear(&mut others);
    let is_overlay_alone = parsed.unknown.is_empty() && others == Params::default();
    if !is_overlay_alone || parsed.params.overlay.is_none() {
        return Err(
            "it is a query of overlay, overlay_position, overlay_offset, overlay_opacity and overlay_scale".into()
        );
    }
    check(config, &parsed.params)?;
    Ok(Some(parsed.params))
}

/// Whether the overlay that parameters name is one of the settings.
///
/// # Errors
/// A sentence with the known names.
pub(super) fn check(config: &Config, params: &Params) -> Result<(), String> {
    match &params.overlay {
        Some(name) if name != NO_OVERLAY && !config.overlays.contains_key(name) => {
            Err(format!("there is no overlay {name}: overlay is {}", known(config)))
        }
        _ => Ok(()),
    }
}

/// The names of overlays, for people.
fn known(config: &Config) -> String {
    let names: Vec<&str> = config.overlays.keys().map(String::as_str).collect();
    match names.is_empty() {
        true => "none: the settings have no [overlays]".into(),
        false => format!("none, or one of the settings: {}", names.join(", ")),
    }
}

/// Leaves out every parameter of the overlay.
pub(super) fn clear(params: &mut Params) {
    params.overlay = None;
    clear_details(params);
}

fn clear_details(params: &mut Params) {
    params.overlay_position = None;
    params.overlay_offset = None;
    params.overlay_opacity = None;
    params.overlay_scale = None;
}

impl Policy {
    /// Puts the overlay of the settings in the place of the URL's own, unless a valid signature covers that. Whether it did.
    pub(super) fn require_overlay(&self, params: &mut Params, is_signed: bool) -> bool {
        let Some(required) = self.overlay.as_ref().filter(|_| !(is_signed && params.overlay.is_some())) else {
            return false;
        };
        clear(params);
        *params = std::mem::take(params).or(required);
        true
    }

    /// Without what means nothing: the details of no overlay, and defaults. Where the settings require an overlay, `none` means
    /// something.
    pub(super) fn normal_overlay(&self, params: &mut Params) {
        if self.overlay.is_none() && params.overlay.as_deref() == Some(NO_OVERLAY) {
            params.overlay = None;
        }
        if params.overlay.as_deref().is_none_or(|name| name == NO_OVERLAY) {
            return clear_details(params);
        }
        super::drop_default(&mut params.overlay_position, defaults::OVERLAY_POSITION);
        super::drop_default(&mut params.overlay_offset, defaults::OFFSET);
        super::drop_default(&mut params.overlay_opacity, defaults::OVERLAY_OPACITY);
    }

    /// The overlay that parameters mean.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] with the known names where there is none of that name.
    pub(super) fn overlay_of(&self, params: &Params) -> Result<Option<Overlay>, Error> {
        let Some(name) = params.overlay.as_deref().filter(|name| *name != NO_OVERLAY) else { return Ok(None) };
        let Some(&id) = self.config.overlays.get(name) else {
            let near = nearest(name, self.config.overlays.keys().map(String::as_str)).map(str::to_owned);
            return Err(Error::InvalidParams(InvalidParam::new("overlay", name, known(&self.config), near).into()));
        };
        Ok(Some(Overlay {
            id,
            place: params.overlay_position.unwrap_or(defaults::OVERLAY_POSITION),
            offset: params.overlay_offset.unwrap_or(defaults::OFFSET),
            opacity: params.overlay_opacity.unwrap_or(defaults::OVERLAY_OPACITY),
            scale: params.overlay_scale,
        }))
    }
}
