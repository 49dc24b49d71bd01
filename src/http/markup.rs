//! Markup for an original, for the playground and `tintype srcset`: what the original is decides the widths.

use std::sync::Arc;

use crate::dialect::markup::{Kind, Layout, Markup, escape};
use crate::dialect::native::params::RequestedFormat;
use crate::dialect::{self, Params, Policy};
use crate::render::{self, Explanation, Format, Info, Recipe, Size};
use crate::service::explain::Facts;
use crate::service::{self, KeyMemo, Payload, Service};
use crate::source::ImageId;

/// The markup that is asked for.
pub(crate) struct Wanted {
    /// The original.
    pub(crate) id: ImageId,
    /// The parameters of all URLs; width and height are those on the page.
    pub(crate) params: Params,
    pub(crate) kind: Kind,
    pub(crate) layout: Layout,
    /// The attribute `sizes`; `None` for the one of the layout.
    pub(crate) sizes: Option<String>,
    /// Whether there is a placeholder.
    pub(crate) lqip: bool,
    /// Scheme and host in front of every URL; may be empty.
    pub(crate) base: String,
    /// Whether URLs are signed, where there are keys.
    pub(crate) signs: bool,
}

/// Why there is no markup.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The original cannot be read.
    #[error(transparent)]
    Service(#[from] service::Error),
    /// The parameters are wrong.
    #[error(transparent)]
    Params(#[from] dialect::Error),
}

/// The widest size on a page of an original without a width.
const WIDEST_SHOWN: u32 = 1920;

/// Writes markup for an original.
///
/// # Errors
/// [`Error`].
pub(crate) async fn write(service: &Arc<Service>, policy: &Policy, wanted: Wanted) -> Result<String, Error> {
    let (_, facts) = service.facts(&wanted.id).await?;
    let Facts::Raster(info) = facts else { return of_svg(policy, &wanted) };
    let settings = service.settings();
    let plan = |params: &Params| -> Result<Explanation, Error> {
        let recipe = policy.recipe_of(params)?;
        Ok(render::explain(&info, &recipe, &settings).map_err(service::Error::from)?)
    };
    let params = params(&wanted.params);
    let shown = plan(&params)?.size;
    let has_size = params.width.is_some() || params.height.is_some();
    let shown = if has_size { shown } else { within(shown, WIDEST_SHOWN) };
    let largest = unenlarged(&plan(&at_most(&params, policy.config().max_dimension))?, &info);
    let placeholder = if wanted.lqip { placeholder(service, &wanted.id).await? } else { None };
    // all URLs differ in their widths only, so that they are valid if this one is
    policy.native_url(&wanted.id, &params, wanted.signs)?;
    let url = |params: &Params| {
        let url = policy.native_url(&wanted.id, params, wanted.signs).unwrap_or_default();
        format!("{}{url}", wanted.base)
    };
    let formats = formats(policy, &info);
    let markup = Markup {
        url: &url,
        params,
        shown,
        largest,
        kind: wanted.kind,
        layout: wanted.layout,
        sizes: wanted.sizes.filter(|sizes| !sizes.trim().is_empty()),
        allowed: &policy.config().widths,
        formats: &formats,
        placeholder: placeholder.as_deref(),
    };
    Ok(markup.text())
}

/// The parameters that a page has use for: densities are written by the markup, and a description is no picture.
fn params(params: &Params) -> Params {
    let format = params.format.filter(|format| *format != RequestedFormat::Json);
    Params { dpr: None, format, ..params.clone() }
}

/// The same, as large as it may be.
fn at_most(params: &Params, max_dimension: u32) -> Params {
    let scaled = |height: u32, width: u32| {
        (f64::from(height) * f64::from(max_dimension) / f64::from(width)).round().clamp(1.0, f64::from(max_dimension))
    };
    match (params.width, params.height) {
        (Some(width), Some(height)) => {
            Params { width: Some(max_dimension), height: Some(scaled(height, width) as u32), ..params.clone() }
        }
        _ => Params { width: Some(max_dimension), height: None, ..params.clone() },
    }
}

/// The size of a result that shows no pixel of the original larger than it is.
fn unenlarged(plan: &Explanation, info: &Info) -> Size {
    let enlarged = plan.scale.0.max(plan.scale.1).max(1.0);
    let width = (f64::from(plan.size.width) / enlarged).round() as u32;
    // a canvas is not limited by the picture on it
    within(plan.size, width.min(info.size.width.max(info.size.height)))
}

/// A size no wider than that, in its ratio.
fn within(size: Size, width: u32) -> Size {
    if size.width <= width {
        return size;
    }
    let height = f64::from(size.height) * f64::from(width) / f64::from(size.width);
    Size::new(width, height.round().max(1.0) as u32)
}

/// The formats of `<picture>`, best first; the last is shown by every browser.
fn formats(policy: &Policy, info: &Info) -> Vec<Format> {
    let moves = info.frames > 1;
    let last = match info.format {
        Format::Gif if moves => Format::Gif,
        _ if info.has_alpha => Format::Png,
        _ => Format::Jpeg,
    };
    let better = policy.config().formats.iter().copied().filter(|format| !moves || format.supports_animation());
    better.chain([last]).collect()
}

/// A tiny picture as a data URI, from the description of the original.
async fn placeholder(service: &Arc<Service>, id: &ImageId) -> Result<Option<String>, Error> {
    let (settings, memo) = (service.settings(), KeyMemo::default());
    let answer = service.rendition(&settings, id, &Recipe::description(), &memo, || None).await?;
    let Payload::Memory { bytes, .. } = answer.payload else { return Ok(None) };
    let description: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    Ok(description["placeholder"].as_str().map(str::to_owned))
}

/// A vector scales by itself.
fn of_svg(policy: &Policy, wanted: &Wanted) -> Result<String, Error> {
    let url = format!("{}{}", wanted.base, policy.native_url(&wanted.id, &Params::default(), wanted.signs)?);
    Ok(match wanted.kind {
        Kind::Srcset | Kind::Picture => {
            format!("<img src=\"{}\" alt=\"\" loading=\"lazy\" decoding=\"async\">", escape(&url))
        }
        Kind::ImageSet => format!("background-image: url(\"{url}\");"),
        Kind::Curl => format!("curl -fsSOJ '{}'", url.replace('\'', "%27")),
    })
}
