//! [`Params`] to [`Recipe`]: signature, preset, defaults, allowed widths, negotiation.

mod geometry;
mod overlay;
mod reading;
mod recipe;

use std::collections::BTreeMap;

pub use reading::Reading;

use super::mounts::{Found, Mounts};
use super::native::params::{Params, RequestedFormat, RequestedQuality, defaults};
use super::native::{self, query};
use super::signature::Keys;
use super::{Dialect, Error, Hints, InvalidParam, InvalidParams, Statement, Target};
use crate::render::Format;
use crate::render::recipe::{OverlayId, Quality, Target as Score};
use crate::source::ImageId;

/// The settings for URLs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Of URLs without `quality`.
    pub quality: Quality,
    /// Of `quality=auto`.
    pub target: Score,
    /// The formats that `format=auto` may choose, best first.
    pub formats: Vec<Format>,
    /// Whether `width=auto` takes the width from client hints.
    pub client_hints: bool,
    /// The highest quality where the client sends `Save-Data: on` and the URL states none.
    pub save_data_quality: Option<Quality>,
    /// The longest side of a result in pixels; larger requests are scaled down to it.
    pub max_dimension: u32,
    /// The allowed widths in pixels, in any order; empty allows all.
    pub widths: Vec<u32>,
    /// The treatment of other widths.
    pub snap: Snap,
    /// Whether an unknown parameter is an error.
    pub reject_unknown: bool,
    /// Sets of parameters by name, each as a query.
    pub presets: BTreeMap<String, String>,
    /// Overlays by name.
    pub overlays: BTreeMap<String, OverlayId>,
    /// The overlay of every result whose URL is not signed, as a query; empty for none.
    pub overlay: String,
    /// Signing keys.
    pub keys: Keys,
    /// Whether a URL must be signed.
    pub require_signature: bool,
    /// Where each dialect is mounted.
    pub mounts: Mounts,
}

/// The treatment of a width that is not allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Snap {
    /// It is served; all widths are allowed.
    #[default]
    Off,
    /// The next larger allowed width is served.
    Up,
    /// It is a 400.
    Reject,
}

/// [`Config`], validated.
#[derive(Debug)]
pub struct Policy {
    config: Config,
    presets: BTreeMap<String, Params>,
    /// The overlay that the settings require.
    overlay: Option<Params>,
}

/// A query of the settings whose parameters are invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuery {
    /// A preset.
    #[error("preset {name}: {reason}")]
    Preset {
        /// Its name in the settings.
        name: String,
        /// Why it is invalid.
        reason: String,
    },
    /// The overlay of every result.
    #[error("{0}")]
    Overlay(String),
}

impl Policy {
    /// Validates the settings.
    ///
    /// # Errors
    /// [`InvalidQuery`] where the parameters of a preset are invalid, it refers to another preset, or an overlay is not one of the
    /// settings.
    pub fn new(mut config: Config) -> Result<Policy, InvalidQuery> {
        config.widths.sort_unstable();
        let mut presets = BTreeMap::new();
        for (name, text) in &config.presets {
            let invalid = |reason: String| InvalidQuery::Preset { name: name.clone(), reason };
            let parsed = query::parse(text).map_err(|params| invalid(Error::InvalidParams(params).to_string()))?;
            if let Some((name, value)) = parsed.unknown.first() {
                return Err(invalid(query::unknown(name, value).to_string()));
            }
            if parsed.params.preset.is_some() || parsed.params.s.is_some() || parsed.params.expires.is_some() {
                return Err(invalid("preset, s and expires are not allowed in a preset".into()));
            }
            overlay::check(&config, &parsed.params).map_err(invalid)?;
            presets.insert(name.clone(), parsed.params);
        }
        let overlay = overlay::required(&config).map_err(InvalidQuery::Overlay)?;
        Ok(Policy { config, presets, overlay })
    }

    /// The target of a request: path and query as they were sent, the Accept headers joined by commas, and the time in unix
    /// seconds.
    ///
    /// # Errors
    /// All of [`Error`].
    pub fn target(&self, path: &str, query: Option<&str>, accept: &str, now: u64) -> Result<Target, Error> {
        self.target_for(path, query, accept, Hints::default(), now)
    }

    /// The same for a client that sends these hints.
    ///
    /// # Errors
    /// All of [`Error`].
    pub fn target_for(
        &self, path: &str, query: Option<&str>, accept: &str, hints: Hints, now: u64,
    ) -> Result<Target, Error> {
        let (dialect, rest) = match self.config.mounts.find(path)? {
            Found::Native(rest) => (None, rest),
            Found::Foreign(dialect, rest) => (Some(dialect), rest),
        };
        let Statement { id, params, refuses_svg, is_signed, completes_name } = match dialect {
            Some(dialect) => dialect.read(rest, query, now)?,
            None => self.read_native(rest, query, now)?,
        };
        let expires = params.expires;
        let asks_for_rendition = params.asks_for_rendition();
        let is_native_signed = params.s.is_some();
        let mut params = self.apply_preset(params)?;
        let hints = self.apply_hints(&mut params, hints)?;
        let requested = geometry::requested(self.config.max_dimension, &params).filter(|_| asks_for_rendition);
        let is_snapped = self.snap_width(&mut params)?;
        // the canonical URL is a native one
        let snapped = (is_snapped && dialect.is_none()).then(|| self.snapped(rest, &params, is_native_signed));
        // an original as it is has no overlay, so it becomes a rendition
        let renders = self.require_overlay(&mut params, is_signed || is_native_signed) || asks_for_rendition;
        let (download, immutable) = (params.download.clone(), params.v.is_some());
        let negotiable = requested_format(&params) == RequestedFormat::Auto;
        let recipe = renders.then(|| self.recipe(&params, accept)).transpose()?;
        let negotiable = negotiable && recipe.is_some();
        let dialect = dialect.map_or(native::NAME, Dialect::name);
        let native_prefix = self.config.mounts.native_prefix().unwrap_or_default().to_owned();
        Ok(Target {
            id,
            negotiable,
            hints,
            requested: requested.filter(|_| !is_snapped),
            recipe,
            snapped,
            native_prefix,
            download,
            completes_name,
            immutable,
            expires,
            dialect,
            refuses_svg,
        })
    }

    /// Reads the path behind the mount and the query of a native URL.
    fn read_native(&self, path: &str, query: Option<&str>, now: u64) -> Result<Statement, Error> {
        let parsed = query::parse(query.unwrap_or_default()).map_err(Error::InvalidParams)?;
        self.check_signature(path, &parsed.params)?;
        if parsed.params.expires.is_some_and(|expires| expires < now) {
            return Err(Error::Expired);
        }
        self.check_unknown(&parsed.unknown)?;
        let id = ImageId::parse(path).map_err(|_| Error::InvalidName)?;
        Ok(Statement::new(id, parsed.params))
    }

    /// The name of the dialect of a path, valid or not.
    pub fn dialect(&self, path: &str) -> &'static str {
        match self.config.mounts.find(path) {
            Ok(Found::Foreign(dialect, _)) => dialect.name(),
            _ => native::NAME,
        }
    }

    /// The path of an original's native URL; without a prefix where native URLs are off.
    pub fn native_path(&self, id: &ImageId) -> String {
        format!("{}{}", self.config.mounts.native_prefix().unwrap_or_default(), id.to_path())
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where each dialect is mounted.
    pub fn mounts(&self) -> &Mounts {
        &self.config.mounts
    }

    /// Whether clients may have originals without a signature: by native URLs, or, where these are off, by all dialects that are
    /// mounted. A signature for a small rendition is none for the original.
    pub fn originals_are_open(&self) -> bool {
        let Config { require_signature, mounts, .. } = &self.config;
        let is_open = mounts.native_prefix().is_some() || mounts.foreign().all(|(_, dialect)| dialect.is_unsigned());
        !require_signature && is_open
    }

    /// Whether a URL, valid or not, leaves the format to negotiation, by itself or by its preset. Errors for such a URL vary
    /// by Accept, too.
    pub fn negotiates_format(&self, path: &str, query: Option<&str>) -> bool {
        if let Ok(Found::Foreign(dialect, rest)) = self.config.mounts.find(path) {
            return dialect.negotiates_format(rest, query);
        }
        let query = query.unwrap_or_default();
        let is_auto = |preset: &Params| requested_format(preset) == RequestedFormat::Auto;
        let by_preset = |name: String| self.presets.get(&name).is_some_and(is_auto);
        query::negotiates_format(query) || query::preset_name(query).is_some_and(by_preset)
    }

    /// The signed form of a path and a query; `None` where there is no key.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] where the URL would be refused with any signature.
    pub fn sign(&self, path: &str, query: &str) -> Result<Option<String>, Error> {
        let Found::Native(rest) = self.config.mounts.find(path)? else { return Ok(None) };
        let parsed = query::parse(query).map_err(Error::InvalidParams)?;
        self.check_unknown(&parsed.unknown)?;
        let canonical = self.signed_text(&parsed.params);
        let Some(signature) = self.config.keys.sign(rest, &canonical) else { return Ok(None) };
        let separator = if canonical.is_empty() { "" } else { "&" };
        Ok(Some(format!("{path}?{canonical}{separator}s={signature}")))
    }

    fn check_unknown(&self, unknown: &[(String, String)]) -> Result<(), Error> {
        let mut invalid = InvalidParams::default();
        if self.config.reject_unknown {
            unknown.iter().for_each(|(name, value)| invalid.add(|| query::unknown(name, value)));
        }
        invalid.into_result().map_err(Error::InvalidParams)
    }

    /// Whether a signature is that of a path and of parameters: of their normal form, or of the form that they are stated in.
    ///
    /// The normal form depends on settings that change (`output.quality`, `limits.max_dimension`), and [`Policy::sign`] prints
    /// the text that it signs. So the signature of a published URL stays valid as that of the stated form.
    fn is_signature_of(&self, path: &str, params: &Params, signature: &str) -> bool {
        let Config { keys, .. } = &self.config;
        let (normal, stated) = (self.signed_text(params), query::canonical(params, &["s"]));
        keys.verify(path, &normal, signature) || normal != stated && keys.verify(path, &stated, signature)
    }

    /// Runs before any file is opened. A wrong signature is an error also where none is required.
    fn check_signature(&self, path: &str, params: &Params) -> Result<(), Error> {
        match &params.s {
            Some(signature) if self.is_signature_of(path, params, signature) => Ok(()),
            Some(_) => Err(Error::Signature("the signature does not match this path and these parameters")),
            None if self.config.require_signature => Err(Error::Signature("this server answers signed URLs only")),
            None => Ok(()),
        }
    }

    /// The signed text: the canonical query with `v`, `expires` and `download`, without the signature.
    ///
    /// A signature must not be valid for two answers. So defaults stay in the text where leaving them out would change the
    /// answer: beside a preset, which may set the parameter, and where they alone ask for a rendition, since a query
    /// without parameters asks for the original's own bytes, metadata included.
    fn signed_text(&self, params: &Params) -> String {
        let mut normal = self.normal(params.clone());
        // whether it has an effect is a setting
        normal.overlay.clone_from(&params.overlay);
        let defaults_matter = params.preset.is_some() || params.asks_for_rendition() && !normal.asks_for_rendition();
        query::canonical(if defaults_matter { params } else { &normal }, &["s"])
    }

    /// The query of the canonical URL of a snapped one, signed with the same `expires` if that was signed.
    fn snapped(&self, path: &str, params: &Params, is_signed: bool) -> String {
        if !is_signed {
            return self.canonical(params);
        }
        let query = query::canonical(&self.normal(params.clone()), &["s", "v", "download"]);
        match self.config.keys.sign(path, &query) {
            Some(signature) => format!("{query}&s={signature}"),
            None => query,
        }
    }

    /// The query that names the rendition, with the preset applied.
    fn canonical(&self, params: &Params) -> String {
        query::canonical(&self.normal(params.clone()), &["s", "v", "expires", "download"])
    }

    /// Without values that equal their default, and with `dpr` applied to the sides.
    fn normal(&self, mut params: Params) -> Params {
        geometry::apply_dpr(&mut params, self.config.max_dimension);
        if params.auto.is_some_and(|auto| auto.format) && params.format.is_none() {
            params.format = Some(RequestedFormat::Auto);
        }
        params.auto = None;
        let fit = geometry::default_fit(&params);
        drop_default(&mut params.fit, fit);
        drop_default(&mut params.limit, defaults::LIMIT);
        drop_default(&mut params.position, defaults::POSITION);
        drop_default(&mut params.offset, defaults::OFFSET);
        drop_default(&mut params.padding, defaults::PADDING);
        drop_default(&mut params.inset, defaults::INSET);
        if params.quality == Some(RequestedQuality::Auto) {
            // what is lossless reaches every target
            params.target = (params.lossless != Some(true)).then_some(self.config.target);
            params.quality = None;
        }
        drop_default(&mut params.quality, RequestedQuality::Number(self.config.quality));
        drop_default(&mut params.lossless, defaults::LOSSLESS);
        drop_default(&mut params.enlarge, defaults::ENLARGE);
        drop_default(&mut params.rotate, defaults::ROTATE);
        drop_default(&mut params.sharpen, defaults::SHARPEN);
        drop_default(&mut params.pixelate, defaults::PIXELATE);
        for factor in [&mut params.brightness, &mut params.contrast, &mut params.saturation, &mut params.gamma] {
            drop_default(factor, defaults::FACTOR);
        }
        drop_default(&mut params.greyscale, defaults::GREYSCALE);
        drop_default(&mut params.trim, defaults::TRIM);
        drop_default(&mut params.animated, defaults::ANIMATED);
        drop_default(&mut params.metadata, defaults::METADATA);
        self.normal_overlay(&mut params);
        params
    }

    /// The parameters of the preset fill those that the URL leaves out.
    fn apply_preset(&self, mut params: Params) -> Result<Params, Error> {
        let Some(name) = params.preset.take() else { return Ok(params) };
        match self.presets.get(&name) {
            Some(preset) => Ok(params.clone().or(&without_overridden(&params, preset))),
            None => {
                let did_you_mean = super::nearest(&name, self.presets.keys().map(String::as_str)).map(str::to_owned);
                let allowed = "the name of a preset in the settings".into();
                let invalid = InvalidParam { name: "preset".into(), value: name, allowed, did_you_mean };
                Err(Error::InvalidParams(invalid.into()))
            }
        }
    }

    /// Multiplies everything in pixels of the result by `dpr`.
    pub(super) fn fold_dpr(&self, params: &mut Params) {
        if params.dpr.is_some() {
            geometry::fold_dpr(params, self.config.max_dimension);
        }
    }

    /// Changes the width to an allowed one; `true` where that changed it.
    fn snap_width(&self, params: &mut Params) -> Result<bool, Error> {
        let is_any_width = self.config.snap == Snap::Off || self.config.widths.is_empty();
        if is_any_width {
            geometry::apply_dpr(params, self.config.max_dimension);
            return Ok(false);
        }
        // the widths that are allowed are those of results
        geometry::fold_dpr(params, self.config.max_dimension);
        let (Some(width), Some(&top)) = (params.width, self.config.widths.last()) else { return Ok(false) };
        if self.config.widths.contains(&width) {
            return Ok(false);
        }
        let next = self.config.widths.iter().copied().find(|&allowed| allowed >= width);
        if self.config.snap == Snap::Reject {
            let widths = self.config.widths.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            let nearest = Some(next.unwrap_or(top).to_string());
            let invalid = InvalidParam::new("width", &width.to_string(), format!("one of {widths}"), nearest);
            return Err(Error::InvalidParams(invalid.into()));
        }
        let snapped = next.unwrap_or(top);
        // a box keeps its ratio
        if let Some(height) = params.height {
            let scaled = f64::from(height) * f64::from(snapped) / f64::from(width);
            params.height = Some((scaled.round() as u32).clamp(1, self.config.max_dimension));
        }
        params.width = Some(snapped);
        Ok(true)
    }
}

/// The preset without the parameters that the URL overrides by others: of quality, of the format and of the part that is shown.
fn without_overridden(params: &Params, preset: &Params) -> Params {
    let mut preset = preset.clone();
    if params.target.is_some() {
        (preset.quality, preset.lossless) = (None, None);
    } else if params.quality.is_some() || params.lossless == Some(true) {
        preset.target = None;
    }
    // `auto=format` is `format=auto`
    if params.auto.is_some_and(|auto| auto.format) {
        preset.format = None;
    }
    let has_inset = params.inset.is_some_and(|inset| inset != defaults::INSET);
    if params.rect.is_some() || params.window.is_some() || has_inset {
        (preset.rect, preset.window, preset.inset) = (None, None, None);
    }
    preset
}

/// Leaves a value out that equals its default.
fn drop_default<T: PartialEq>(value: &mut Option<T>, default: T) {
    if value.as_ref() == Some(&default) {
        *value = None;
    }
}

fn requested_format(params: &Params) -> RequestedFormat {
    match params.format {
        Some(format) => format,
        None if params.auto.is_some_and(|auto| auto.format) => RequestedFormat::Auto,
        None => RequestedFormat::Original,
    }
}

/// The error for a parameter that is valid alone, but not with the others.
fn conflict(name: &str, value: &str, allowed: &str) -> Error {
    Error::InvalidParams(InvalidParam::new(name, value, allowed, None).into())
}

#[cfg(test)]
pub(crate) mod tests;
