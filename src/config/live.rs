//! The settings that SIGHUP applies while the service runs, a struct for each section of the file, with their defaults. A
//! setting is live because it is a field here: a reload replaces the pointer through which requests read all of them.
//!
//! The doc comment of a field is the users' documentation, as in `fixed.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use super::dialects::Dialects;
use super::overlays::OverlaySetting;
use super::units::{CpuTime, StringList};
use crate::dialect::Snap;
use crate::render;
use crate::render::recipe::{Quality, Target};

/// Every setting that takes effect on SIGHUP.
#[derive(Clone, Debug, Default, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveSettings {
    /// Headers of responses, and the fast path.
    pub server: Server,
    /// Damaged originals.
    pub source: Source,
    /// Maximum dimensions.
    pub limits: Limits,
    /// Defaults of renditions, and what URLs may ask for.
    pub output: Output,
    /// Keys and tokens.
    pub security: Security,
    /// The URLs of other systems.
    pub dialects: Dialects,
    /// Named sets of parameters, each written as a query: `?preset=avatar` stands for them. Parameters of the URL take
    /// precedence.
    pub presets: BTreeMap<String, String>,
    /// Pictures that `?overlay=NAME` puts on results, each by the path of its file, of at most 4 MiB and 4 million pixels, in any format
    /// that is read; a relative path is relative to this file. A changed file takes effect on SIGHUP.
    pub overlays: BTreeMap<String, OverlaySetting>,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Whether responses have a `Server-Timing` header with the time of each step.
    pub server_timing: bool,
    /// Whether hits and 304s out of memory are answered before the HTTP library (hyper) sees the request, for a quarter less
    /// CPU. `false` sends every request through the library; the answers are the same.
    pub fast_path: bool,
    /// Sites whose scripts may read images (CORS): `"*"` for all, `""` for none, or a list of origins such as
    /// `"https://www.example.com"`. Displaying images needs no permission.
    pub allow_origin: StringList,
}

/// `[source]`
#[derive(Clone, Debug, Default, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// Originals whose pixel data is truncated or fails a checksum: `show` renders what browsers would show, cached for a minute;
    /// `refuse` answers 422.
    pub damaged: Damaged,
    /// SVG originals: `rasterise` draws them where a URL names a format of pixels, such as `format=png`, and sends them as they are
    /// elsewhere; `pass` only sends them as they are; `refuse` answers 415.
    pub svg: Svg,
}

/// The treatment of SVG originals.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Svg {
    /// Drawn where a format of pixels is named.
    #[default]
    Rasterise,
    /// Sent as they are.
    Pass,
    /// 415.
    Refuse,
}

/// The treatment of originals whose pixel data is truncated or fails a checksum.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Damaged {
    /// Render what browsers would show.
    #[default]
    Show,
    /// 422.
    Refuse,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Maximum width and height of a rendition, in pixels; larger requests are scaled down to it.
    pub max_dimension: u32,
    /// Maximum number of pixels of a rendition larger than its original; larger requests are scaled down to it.
    pub max_enlarged: u64,
    /// Maximum number of pixels of an original, all frames together; larger ones are refused with 422.
    pub max_pixels: u64,
    /// Maximum number of frames of an original; longer animations are refused with 422.
    pub max_frames: u32,
}

/// `[output]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Output {
    /// Default quality, 1 to 100 on one scale for all formats.
    pub quality: u16,
    /// SSIMULACRA2 that `quality=auto` reaches, 40 to 90: 90 is hardly told from the original, 70 has artefacts that are seen side
    /// by side.
    pub target: u16,
    /// Formats that `format=auto` may choose in addition to the baseline, in order of preference: `avif` and `webp`.
    pub formats: Vec<String>,
    /// Allowed widths, in pixels; empty allows all. They do not apply to URLs with a height only.
    pub widths: Vec<u32>,
    /// Other widths are rendered as well (`off`), replaced by the next larger allowed width (`up`), or an error (`reject`).
    pub snap: Snap,
    /// Whether `width=auto` takes the width from the client hints of the browser (`Sec-CH-Width`, `Sec-CH-Viewport-Width`,
    /// `Sec-CH-DPR`), rounded up to one of `widths`, or to a multiple of 100 pixels. Answers then vary by these headers.
    pub client_hints: bool,
    /// Maximum quality, 1 to 100, for clients that send `Save-Data: on`, of URLs that state none; 0 ignores the header. Answers to
    /// such URLs then vary by it.
    pub save_data_quality: u16,
    /// The overlay that every image has, as a query such as `"overlay=logo&overlay_position=bottom-right"`; empty for none. Only a URL
    /// with a valid signature may state another one, or `overlay=none`. Originals are not sent unchanged then, and SVGs are drawn.
    pub overlay: String,
    /// Whether the original is sent if its conversion would only be larger.
    pub smallest_wins: bool,
    /// Whether images are resized in linear light, which keeps thin bright lines bright and takes 25 to 75 % more time. Scaling
    /// within the JPEG and WebP decoders is not affected.
    pub linear: bool,
    /// Minimum factor between the size that the JPEG decoder scales to and the size of the rendition: 2, or 1 for speed.
    pub oversampling: u32,
    /// Effort of encoders; `balanced` and `dense` give smaller files for a few and for many times the work.
    pub effort: Effort,
    /// Whether images that are requested again and again are encoded again while a core is idle, at the same quality with a higher
    /// `effort`, and replaced where that saves at least 3 %. An image then changes its ETag.
    pub upgrade: Upgrade,
    /// Maximum CPU time a day (UTC) of these upgrades; a share is of all workers.
    pub upgrade_cpu: CpuTime,
    /// Picture in answers without an image: the original is missing, cannot be fetched or cannot be decoded. It is rendered as the URL
    /// asks. A relative path is one from the folder of the settings file; empty for none.
    pub fallback: PathBuf,
    /// Status of these answers: that of the error (`keep`), or 200.
    pub fallback_status: FallbackStatus,
    /// AVIF encoder; `auto` is the best one of this build.
    pub avif: AvifEncoder,
    /// Whether unknown parameters are ignored or an error.
    pub unknown_params: UnknownParams,
}

/// The status of answers with the fallback picture.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FallbackStatus {
    /// That of the error.
    #[default]
    Keep,
    /// 200.
    #[serde(rename = "200")]
    Ok,
}

/// The effort of encoders.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// For images that a visitor waits for.
    #[default]
    Fast,
    /// Smaller files of the same quality, for a few times the work.
    Balanced,
    /// The smallest files of the same quality, for many times the work.
    Dense,
}

/// When images are encoded again with a higher effort.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Upgrade {
    /// Never.
    #[default]
    Off,
    /// While a core is idle.
    Idle,
}

/// The AVIF encoder.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AvifEncoder {
    /// The best one of this build.
    #[default]
    Auto,
    /// libaom, in builds with the feature `native`.
    Libaom,
    /// ravif, in builds with the feature `ravif`.
    Ravif,
}

/// The treatment of unknown parameters.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownParams {
    /// They have no effect.
    #[default]
    Ignore,
    /// 400.
    Reject,
}

/// `[security]`
#[derive(Clone, Debug, Default, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// Keys of signed URLs, each of at least 16 bytes; the first one signs, all are accepted.
    pub keys: Vec<String>,
    /// File with more keys, one per line; a name without a slash is a systemd credential.
    pub keys_file: PathBuf,
    /// Whether URLs must be signed; `true` by default if there is a key.
    pub require_signature: bool,
    /// Bearer token of purges and uploads; empty switches both off.
    pub admin_token: String,
    /// File with that token instead; a name without a slash is a systemd credential.
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
            target: Target::default().get().into(),
            formats: vec!["avif".into(), "webp".into()],
            widths: Vec::new(),
            snap: Snap::default(),
            client_hints: false,
            save_data_quality: 0,
            overlay: String::new(),
            smallest_wins: settings.smallest_wins,
            linear: settings.linear,
            oversampling: settings.oversampling,
            effort: Effort::default(),
            upgrade: Upgrade::default(),
            upgrade_cpu: CpuTime::Share(10),
            fallback: PathBuf::new(),
            fallback_status: FallbackStatus::default(),
            avif: AvifEncoder::default(),
            unknown_params: UnknownParams::default(),
        }
    }
}
