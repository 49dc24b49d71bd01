//! The settings of dialects: where the URLs of other systems are answered, and with which keys.
//!
//! The doc comment of a field is the users' documentation, as in `fixed.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use super::units::StringList;

/// `[dialects]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dialects {
    /// Prefix of native URLs; `""` switches them off.
    pub native: String,
    /// Addresses under which other systems' URLs name our own originals, such as `"https://www.example.com"`: the path behind one is
    /// a path below `source.root`.
    pub bases: StringList,
    /// Whether dialects without keys may be mounted although `security.require_signature` holds.
    pub unsigned: bool,
    /// Paths of your own, tried in this order: a table each, with `match` such as `"/resize/{size}/{path}"` and `query`, native
    /// parameters of all its URLs.
    pub paths: Vec<PathTemplate>,
    /// imgproxy.
    pub imgproxy: Imgproxy,
    /// Cloudflare Images.
    pub cloudflare: Cloudflare,
    /// ipx, as Nuxt Image uses it.
    pub ipx: Ipx,
    /// thumbor and imagor.
    pub thumbor: Thumbor,
    /// imgix.
    pub imgix: Imgix,
    /// The image optimiser of Next.js.
    pub next: Next,
    /// wsrv.nl, formerly images.weserv.nl.
    pub wsrv: Wsrv,
}

/// A template of `[[dialects.paths]]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PathTemplate {
    /// The path with placeholders.
    #[serde(rename = "match")]
    pub path: String,
    /// Native parameters.
    pub query: String,
}

/// `[dialects.imgproxy]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Imgproxy {
    /// Prefix of its URLs, such as `"/imgproxy"`; `""` is off.
    pub mount: String,
    /// Keys (`IMGPROXY_KEY`) in hexadecimal; any of them verifies, and without one no URL is signed.
    pub keys: Vec<String>,
    /// Salts (`IMGPROXY_SALT`) in hexadecimal, one for each key.
    pub salts: Vec<String>,
    /// File with more keys, one per line with its salt behind a colon; a name without a slash is a systemd credential.
    pub keys_file: PathBuf,
    /// Bytes of the signature, 1 to 32 (`IMGPROXY_SIGNATURE_SIZE`).
    pub signature_size: u8,
    /// Text between an option and its arguments (`IMGPROXY_ARGUMENTS_SEPARATOR`).
    pub separator: String,
    /// Text in front of every source (`IMGPROXY_BASE_URL`).
    pub base_url: String,
    /// Whether URLs may name presets only (`IMGPROXY_ONLY_PRESETS`).
    pub only_presets: bool,
    /// Negotiation of the format: `off`, `prefer` where the URL names none, or `enforce` in any case.
    pub auto: NegotiatedFormat,
    /// Options by name, such as `thumb = "rs:fill:96:96"` (`IMGPROXY_PRESETS`); `default` applies to every URL first.
    pub presets: BTreeMap<String, String>,
    /// Name of the overlay of `[overlays]` that is its watermark (`IMGPROXY_WATERMARK_PATH`).
    pub watermark: String,
}

/// When imgproxy's URLs have their format negotiated.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NegotiatedFormat {
    /// Never.
    #[default]
    Off,
    /// Where the URL names no format.
    Prefer,
    /// Also where it names one.
    Enforce,
}

/// `[dialects.cloudflare]`
#[derive(Clone, Debug, Default, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cloudflare {
    /// Prefix of its URLs, such as `"/cdn-cgi/image"`; `""` is off.
    pub mount: String,
}

/// `[dialects.ipx]`
#[derive(Clone, Debug, Default, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ipx {
    /// Prefix of its URLs, such as `"/_ipx"`; `""` is off.
    pub mount: String,
}

/// `[dialects.wsrv]`
#[derive(Clone, Debug, Default, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wsrv {
    /// Prefix of its URLs, such as `"/wsrv"`; `""` is off.
    pub mount: String,
}

/// `[dialects.thumbor]`
#[derive(Clone, Debug, Default, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thumbor {
    /// Prefix of its URLs, such as `"/thumbor"`; `""` is off.
    pub mount: String,
    /// Keys (`SECURITY_KEY`); any of them verifies.
    pub keys: Vec<String>,
    /// File with more keys, one per line; a name without a slash is a systemd credential.
    pub keys_file: PathBuf,
    /// Whether URLs with `unsafe` for a signature are answered (`ALLOW_UNSAFE_URL`).
    pub r#unsafe: bool,
    /// Hash of the signature: thumbor's `sha1`, or imagor's `sha256` and `sha512`.
    pub algorithm: ThumborHash,
    /// Characters of the signature, 0 for all (`IMAGOR_SIGNER_TRUNCATE`).
    pub truncate: u8,
    /// Which of the two decides where their URLs differ.
    pub flavour: ThumborFlavour,
}

/// The hash of thumbor's and imagor's signatures.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ThumborHash {
    /// HMAC-SHA1.
    #[default]
    Sha1,
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA512.
    Sha512,
}

/// thumbor or imagor.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ThumborFlavour {
    /// thumbor.
    #[default]
    Thumbor,
    /// imagor.
    Imagor,
}

/// `[dialects.imgix]`
#[derive(Clone, Debug, Default, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Imgix {
    /// Prefix of its URLs, such as `"/imgix"`; `""` is off.
    pub mount: String,
    /// Token of the source; with one every URL must be signed.
    pub token: String,
    /// File with that token instead; a name without a slash is a systemd credential.
    pub token_file: PathBuf,
}

/// `[dialects.next]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Next {
    /// Path of its URLs, such as `"/_next/image"`; `""` is off.
    pub mount: String,
    /// Allowed widths (`deviceSizes` and `imageSizes`); empty allows all.
    pub widths: Vec<u32>,
    /// Allowed qualities (`qualities`); empty allows 1 to 100.
    pub qualities: Vec<u32>,
}

impl Default for Dialects {
    fn default() -> Self {
        Dialects {
            native: "/".into(),
            bases: StringList::from(""),
            unsigned: false,
            paths: Vec::new(),
            imgproxy: Imgproxy::default(),
            cloudflare: Cloudflare::default(),
            ipx: Ipx::default(),
            thumbor: Thumbor::default(),
            imgix: Imgix::default(),
            next: Next::default(),
            wsrv: Wsrv::default(),
        }
    }
}

impl Default for Imgproxy {
    fn default() -> Self {
        Imgproxy {
            mount: String::new(),
            keys: Vec::new(),
            salts: Vec::new(),
            keys_file: PathBuf::new(),
            signature_size: 32,
            separator: ":".into(),
            base_url: String::new(),
            only_presets: false,
            auto: NegotiatedFormat::default(),
            presets: BTreeMap::new(),
            watermark: "watermark".into(),
        }
    }
}

impl Default for Next {
    fn default() -> Self {
        Next {
            mount: String::new(),
            widths: vec![640, 750, 828, 1080, 1200, 1920, 2048, 3840, 32, 48, 64, 96, 128, 256, 384],
            qualities: vec![75],
        }
    }
}
