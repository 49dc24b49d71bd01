//! The settings that SIGHUP changes while the service runs, a struct for each section of the file, with their defaults.
//! A setting is live because it is a field here: requests read these through one pointer, which is exchanged.
//!
//! The comment of a field is what users read about it, as in `fixed.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use super::units::StringList;
use crate::dialect::Snap;
use crate::render;
use crate::render::recipe::Quality;

/// Every setting that takes effect on SIGHUP.
#[derive(Clone, Debug, Default, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveSettings {
    /// What answers say of themselves.
    pub server: Server,
    /// How originals are read.
    pub source: Source,
    /// The largest originals and results.
    pub limits: Limits,
    /// What results are like where a URL does not say.
    pub output: Output,
    /// Keys and tokens.
    pub security: Security,
    /// Names for sets of parameters, each written as a query: `?preset=avatar` stands for them, and what a URL says besides goes
    /// before.
    pub presets: BTreeMap<String, String>,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Whether answers say what the time went to, in a `Server-Timing` header.
    pub server_timing: bool,
    /// Whether hits and 304s out of memory are answered before the HTTP library (hyper) sees the request, for a quarter less
    /// CPU. `false` sends every request through the library; the answers are the same.
    pub fast_path: bool,
    /// Pages of which sites may read images with a script (CORS): `"*"` for all, `""` for none, or a list of origins such as
    /// `"https://www.example.com"`. Showing them needs no permission.
    pub allow_origin: StringList,
}

/// `[source]`
#[derive(Clone, Debug, Default, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// Whether an original whose pixel data ends early or fails a checksum is shown as far as browsers would (`show`), to be
    /// kept for a minute, or refused with 422 (`refuse`).
    pub damaged: Damaged,
}

/// The answer for an original whose pixel data ends early or fails a checksum.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Damaged {
    /// The picture as far as browsers show it.
    #[default]
    Show,
    /// 422.
    Refuse,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The longest side of a result, in pixels; larger wishes are scaled down to it.
    pub max_dimension: u32,
    /// The most pixels of a result that is larger than its original; larger ones are scaled down to it.
    pub max_enlarged: u64,
    /// The most pixels of an original, all frames together; more are refused with 422.
    pub max_pixels: u64,
    /// The most frames of an original.
    pub max_frames: u32,
}

/// `[output]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Output {
    /// The quality where a URL says none, 1 to 100 on one scale for all formats.
    pub quality: u16,
    /// What `format=auto` may choose beside the baseline, best first: `avif` and `webp`.
    pub formats: Vec<String>,
    /// The widths that may be had, in pixels; empty for all. Who gives a height alone is not held to them.
    pub widths: Vec<u32>,
    /// What becomes of other widths: made all the same, the next larger one instead, or an error.
    pub snap: Snap,
    /// Whether the original is sent where converting it only made it larger.
    pub smallest_wins: bool,
    /// Whether pixels are averaged as light, which keeps thin bright lines brighter; it takes a quarter to three quarters
    /// more time. What a decoder of JPEG or WebP scales away beforehand is averaged as it is coded.
    pub linear: bool,
    /// How many times as many pixels as are wanted a JPEG decoder that scales down leaves on each side: 2, or 1 for speed.
    pub oversampling: u32,
    /// How hard encoders try; `dense` is for what is made ahead of time.
    pub effort: Effort,
    /// Which encoder writes AVIF; `auto` is the better one of this build.
    pub avif: AvifEncoder,
    /// What becomes of parameters that tintype does not know.
    pub unknown_params: UnknownParams,
}

/// How hard encoders try.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// Somebody waits for it.
    #[default]
    Fast,
    /// Fewer bytes for the same look, for several times the work.
    Dense,
}

/// Which encoder writes AVIF.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AvifEncoder {
    /// The better one of this build.
    #[default]
    Auto,
    /// libaom.
    #[cfg(feature = "native")]
    Libaom,
    /// ravif.
    Ravif,
}

/// What becomes of parameters that tintype does not know.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownParams {
    /// They are as if they were absent.
    #[default]
    Ignore,
    /// They are an error.
    Reject,
}

/// `[security]`
#[derive(Clone, Debug, Default, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// Signing keys of at least 16 bytes, the one that signs first.
    pub keys: Vec<String>,
    /// A file with more signing keys, one a line; a bare name is one of systemd's credentials.
    pub keys_file: PathBuf,
    /// Whether URLs must be signed; with any key they must, unless this says otherwise.
    pub require_signature: bool,
    /// The bearer token that purges and uploads must bring along; empty switches both off.
    pub admin_token: String,
    /// A file with that token instead; a bare name is one of systemd's credentials.
    pub admin_token_file: PathBuf,
}

impl Default for Server {
    fn default() -> Self {
        Server { server_timing: false, fast_path: true, allow_origin: StringList::from("*") }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let settings = render::Settings::default();
        Limits {
            max_dimension: settings.max_dimension,
            max_enlarged: settings.max_enlarged,
            max_pixels: settings.max_pixels,
            max_frames: settings.max_frames,
        }
    }
}

impl Default for Output {
    fn default() -> Self {
        let settings = render::Settings::default();
        Output {
            quality: Quality::default().get().into(),
            formats: vec!["avif".into(), "webp".into()],
            widths: Vec::new(),
            snap: Snap::default(),
            smallest_wins: settings.smallest_wins,
            linear: settings.linear,
            oversampling: settings.oversampling,
            effort: Effort::default(),
            avif: AvifEncoder::default(),
            unknown_params: UnknownParams::default(),
        }
    }
}
