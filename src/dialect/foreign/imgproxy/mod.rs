//! The URLs of imgproxy: `/{signature}/{options…}/{source}`, each option a name and arguments.
//!
//! | module | what it holds |
//! |---|---|
//! | [`keys`] | signatures |
//! | [`table`] | the options |
//! | [`readers`] | the arguments of each |
//! | [`draft`] | their values in imgproxy's terms |
//! | [`gravity`] | the values of gravities |
//! | [`presets`] | options by name |
//! | [`sizes`] | the native parameters of a draft |

mod draft;
mod gravity;
mod keys;
mod presets;
mod readers;
mod sizes;
mod table;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

use self::draft::{Draft, Resizing};
pub use self::keys::{InvalidKeys, Keys};
pub use self::presets::{InvalidPreset, Presets};
use self::table::OPTIONS;
use super::meaning::invalid;
use super::options::{self, OptionDoc};
use super::source::Sources;
use super::values::percent_decode;
use crate::dialect::native::params::RequestedFormat;
use crate::dialect::{Dialect, Error, InvalidParam, Statement, nearest};

/// The dialect of imgproxy.
#[derive(Clone, Debug)]
pub struct Imgproxy {
    /// The addresses of our own originals.
    pub sources: Sources,
    /// Pairs of key and salt; without one no URL is signed.
    pub keys: Keys,
    /// The text between an option and its arguments.
    pub separator: String,
    /// The text in front of every source.
    pub base_url: String,
    /// Whether URLs may name presets only.
    pub only_presets: bool,
    /// When the format is negotiated.
    pub auto: Negotiation,
    /// Options by name.
    pub presets: Presets,
    /// The name of the overlay that is its watermark.
    pub watermark: String,
}

/// When the format of a result is negotiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Negotiation {
    /// Never.
    #[default]
    Off,
    /// Where the URL names no format.
    Prefer,
    /// Also where it names one.
    Enforce,
}

/// The most options that the presets of one URL may have in all: a URL has room for a thousand names.
const MAX_OF_PRESETS: usize = 1024;

/// A source may have any bits behind its last byte, as in the decoder of Go.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

impl Dialect for Imgproxy {
    fn name(&self) -> &'static str {
        "imgproxy"
    }

    fn read(&self, rest: &str, _query: Option<&str>, now: u64) -> Result<Statement, Error> {
        let path = repaired(rest);
        let (signature, signed) = split(&path)?;
        if signature == "info" {
            return Err(invalid("info", "", "not an operation of this server; natively `format=json`"));
        }
        self.check_signature(signature, signed)?;
        Ok(Statement { is_signed: !self.keys.is_empty(), ..self.statement(signed, now)? })
    }

    fn negotiates_format(&self, rest: &str, _query: Option<&str>) -> bool {
        let path = repaired(rest);
        match split(&path).and_then(|(_, signed)| self.statement(signed, 0)) {
            Ok(statement) => statement.params.format == Some(RequestedFormat::Auto),
            Err(_) => self.auto != Negotiation::Off,
        }
    }

    fn is_health_check(&self, rest: &str) -> bool {
        rest == "/health"
    }

    fn options(&self) -> Vec<OptionDoc> {
        options::docs(OPTIONS)
    }

    fn write(&self, id: &crate::source::ImageId, params: &crate::dialect::Params) -> Vec<String> {
        super::write::imgproxy(id, params)
    }

    fn is_unsigned(&self) -> bool {
        self.keys.is_empty()
    }

    fn sign(&self, rest: &str) -> Option<String> {
        Some(format!("/{}{rest}", self.keys.sign(&repaired(rest))?))
    }
}

impl Imgproxy {
    /// The dialect as imgproxy is without configuration.
    pub fn new(sources: Sources) -> Imgproxy {
        Imgproxy {
            sources,
            keys: Keys::default(),
            separator: ":".into(),
            base_url: String::new(),
            only_presets: false,
            auto: Negotiation::Off,
            presets: Presets::default(),
            watermark: "watermark".into(),
        }
    }

    fn check_signature(&self, signature: &str, signed: &str) -> Result<(), Error> {
        match self.keys.is_empty() {
            true if signature.contains(':') => {
                Err(Error::Signature("the signature is missing: an option is in its place"))
            }
            true => Ok(()),
            false if self.keys.verify(signed, signature) => Ok(()),
            false => Err(Error::Signature("the signature does not match this path")),
        }
    }

    /// Reads a path behind its signature.
    fn statement(&self, signed: &str, now: u64) -> Result<Statement, Error> {
        let mut draft = Draft::new(&self.separator);
        if self.presets.get(presets::DEFAULT).is_some() {
            self.apply_presets(&mut draft, "preset", presets::DEFAULT)?;
        }
        let rest = signed.strip_prefix('/').unwrap_or_default();
        let rest =
            if self.only_presets { self.read_presets(&mut draft, rest)? } else { self.read_options(&mut draft, rest)? };
        let (source, format) = source(rest)?;
        if let Some(format) = format.filter(|_| !draft.raw) {
            readers::format(&mut draft, "extension", &format)?;
        }
        if draft.expires > 0 && draft.expires < now {
            return Err(Error::Expired);
        }
        let source = match source.strip_prefix(self.base_url.as_str()) {
            Some(_) => source,
            None => format!("{}{source}", self.base_url),
        };
        let id = self.sources.id(&source)?;
        let meaning = draft.meaning(&id, self.auto, &self.watermark)?;
        Ok(Statement { completes_name: true, ..Statement::new(id, meaning.into_params()) })
    }

    /// Reads options up to the first segment that has no separator, and returns what begins there.
    fn read_options<'a>(&self, draft: &mut Draft, path: &'a str) -> Result<&'a str, Error> {
        let mut rest = path;
        if let Some(kind) = rest.split('/').next().filter(|segment| Resizing::of(segment).is_some()) {
            return Err(invalid(
                "path",
                kind,
                "options as in rs:fit:300:300: the basic URLs of imgproxy 2 are not answered",
            ));
        }
        while let Some((name, value)) = rest.split('/').next().and_then(|segment| segment.split_once(&self.separator)) {
            match presets::is_preset(name) {
                true => self.apply_presets(draft, name, value)?,
                false => presets::apply(draft, name, value)?,
            }
            rest = rest.split_once('/').map_or("", |(_, rest)| rest);
        }
        Ok(rest)
    }

    /// Reads the names of presets, which are the first segment, and returns what follows.
    fn read_presets<'a>(&self, draft: &mut Draft, path: &'a str) -> Result<&'a str, Error> {
        let (names, rest) = path.split_once('/').unwrap_or((path, ""));
        self.apply_presets(draft, "preset", names)?;
        Ok(rest)
    }

    fn apply_presets(&self, draft: &mut Draft, option: &str, names: &str) -> Result<(), Error> {
        for name in names.split(&self.separator).filter(|name| !name.is_empty()) {
            let Some(options) = self.presets.get(name) else {
                let near = nearest(name, self.presets.names()).map(str::to_owned);
                let allowed = "the name of a preset in `dialects.imgproxy.presets`";
                return Err(Error::InvalidParams(InvalidParam::new(option, name, allowed, near).into()));
            };
            draft.of_presets += options.len();
            if draft.of_presets > MAX_OF_PRESETS {
                let allowed = format!("presets with at most {MAX_OF_PRESETS} options in all");
                return Err(invalid(option, name, allowed));
            }
            options.iter().try_for_each(|(option, value)| presets::apply(draft, option, value))?;
        }
        Ok(())
    }
}

/// The path with what proxies change put right: `%3A` in options, and merged slashes in a plain source. The result is what clients
/// sign.
fn repaired(rest: &str) -> Cow<'_, str> {
    const PLAIN: &str = "/plain/";
    let rest = rest.split('?').next().unwrap_or_default();
    let (options, source) = match rest.find(PLAIN) {
        Some(at) => (&rest[..at], Some(&rest[at + PLAIN.len()..])),
        None => (rest, None),
    };
    let slashes = source.and_then(lost_slashes);
    if slashes.is_none() && !options.contains("%3A") {
        return Cow::Borrowed(rest);
    }
    let options = options.replace("%3A", ":");
    Cow::Owned(match (source, slashes) {
        (None, _) => options,
        (Some(source), None) => format!("{options}{PLAIN}{source}"),
        (Some(_), Some((scheme, slashes, path))) => format!("{options}{PLAIN}{scheme}:{slashes}{path}"),
    })
}

/// The scheme, the slashes that should be there, and the rest, where only one of the slashes is there.
fn lost_slashes(source: &str) -> Option<(&str, &'static str, &str)> {
    let (scheme, path) = source.split_once(":/")?;
    let is_scheme =
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let is_merged = is_scheme && !path.is_empty() && !path.starts_with('/');
    is_merged.then_some((scheme, if scheme == "local" { "///" } else { "//" }, path))
}

/// The first segment of a path, and the rest with its slash.
fn split(path: &str) -> Result<(&str, &str), Error> {
    let path = path.strip_prefix('/').filter(|path| !path.is_empty()).ok_or(Error::InvalidName)?;
    Ok(path.find('/').map_or((path, ""), |at| path.split_at(at)))
}

/// The decoded source and the format behind it.
fn source(text: &str) -> Result<(String, Option<String>), Error> {
    if let Some(plain) = text.strip_prefix("plain/") {
        let (source, format) = with_format(plain, '@')?;
        return Ok((percent_decode(source).ok_or(Error::InvalidName)?.into_owned(), format));
    }
    if text == "enc" || text.starts_with("enc/") {
        return Err(invalid("source", text, "plain/ or base64url: encrypted sources are not read"));
    }
    let joined: String = text.split('/').collect();
    let (encoded, format) = with_format(&joined, '.')?;
    let bytes = BASE64.decode(encoded.trim_end_matches('='));
    let bytes = bytes.map_err(|_| invalid("source", text, "base64url, or plain/ and a percent-encoded source"))?;
    Ok((String::from_utf8(bytes).map_err(|_| Error::InvalidName)?, format))
}

/// A source and the format that stands behind it.
fn with_format(text: &str, separator: char) -> Result<(&str, Option<String>), Error> {
    let mut parts = text.split(separator);
    let source = parts.next().unwrap_or_default();
    let format = parts.next().filter(|format| !format.is_empty()).map(str::to_owned);
    match () {
        () if source.is_empty() => Err(invalid("source", text, "it is missing")),
        () if parts.next().is_some() => {
            Err(invalid("source", text, format!("at most one {separator} before a format")))
        }
        () => Ok((source, format)),
    }
}
