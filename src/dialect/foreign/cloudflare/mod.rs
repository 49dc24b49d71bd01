//! The URLs of Cloudflare Images: `/cdn-cgi/image/{options}/{source}`, options being `name=value` with commas between them.
//!
//! No URL is signed. An option that does not exist is an error, as there.

mod draft;
mod table;
#[cfg(test)]
mod tests;

use self::draft::Draft;
use self::table::{INDEX, OPTIONS};
use super::meaning::{Meaning, invalid};
use super::options::{self, OptionDoc};
use super::source::Sources;
use super::values::percent_decode;
use crate::dialect::{Dialect, Error, Statement};

/// The dialect of Cloudflare Images.
#[derive(Clone, Debug)]
pub struct Cloudflare {
    /// The addresses of our own originals.
    pub sources: Sources,
}

impl Dialect for Cloudflare {
    fn name(&self) -> &'static str {
        "cloudflare"
    }

    fn read(&self, rest: &str, _query: Option<&str>, _now: u64) -> Result<Statement, Error> {
        let (options, source) = split(rest);
        if options.is_empty() {
            return Err(invalid("options", "", "at least one option with = and a value"));
        }
        let mut draft = Draft::default();
        for (name, value) in pairs(options) {
            let value = value.ok_or_else(|| invalid(name, "", "an option with = and a value"))?;
            let decoded = percent_decode(value).ok_or_else(|| invalid(name, value, "percent-encoded UTF-8"))?;
            match INDEX.find(name) {
                Some(option) => option.apply(&mut draft, name, &decoded)?,
                None => return Err(options::unknown(OPTIONS, name, &decoded)),
            }
        }
        if source.is_empty() {
            return Err(invalid("source", "", "a path or an address behind the options"));
        }
        let id = self.sources.id(&percent_decode(source).ok_or(Error::InvalidName)?)?;
        Ok(Statement::new(id, draft.meaning()?.into_params()))
    }

    fn negotiates_format(&self, rest: &str, _query: Option<&str>) -> bool {
        let format = pairs(split(rest).0).filter(|(name, _)| matches!(*name, "format" | "f")).last();
        format.and_then(|(_, value)| percent_decode(value?)).is_some_and(|value| value == "auto")
    }

    fn options(&self) -> Vec<OptionDoc> {
        options::docs(OPTIONS)
    }

    fn write(&self, id: &crate::source::ImageId, params: &crate::dialect::Params) -> Vec<String> {
        super::write::cloudflare(id, params)
    }

    fn is_unsigned(&self) -> bool {
        true
    }
}

/// The options and the source of a path, each empty where it is missing.
fn split(rest: &str) -> (&str, &str) {
    let path = rest.split('?').next().and_then(|path| path.strip_prefix('/')).unwrap_or_default();
    path.split_once('/').unwrap_or((path, ""))
}

/// Names and values, not decoded; a name without `=` has no value.
fn pairs(options: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    options.split(',').map(|pair| match pair.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (pair, None),
    })
}
