//! The URLs of wsrv.nl, formerly images.weserv.nl: `/?url=…&w=…`, as unpic and Nuxt Image print them.
//!
//! The original is an address below an entry of `bases`. As there, of two options with one name the first has an effect, and
//! unknown ones are ignored.

mod draft;
mod table;
#[cfg(test)]
mod tests;

use draft::Draft;
use table::{INDEX, OPTIONS};

use super::meaning::invalid;
use super::options::{self, OptionDoc};
use super::source::Sources;
use super::values::{form_decode, pairs};
use crate::dialect::{Dialect, Error, Statement};
use crate::source::ImageId;

/// The dialect of wsrv.nl.
#[derive(Clone, Debug)]
pub struct Wsrv {
    /// The addresses of our own originals.
    pub sources: Sources,
}

impl Dialect for Wsrv {
    fn name(&self) -> &'static str {
        "wsrv"
    }

    fn read(&self, rest: &str, query: Option<&str>, _now: u64) -> Result<Statement, Error> {
        if !matches!(rest, "" | "/") {
            return Err(Error::InvalidName);
        }
        let draft = parse(query.unwrap_or_default())?;
        let params = draft.meaning()?.into_params();
        let url = draft
            .url
            .filter(|url| !url.is_empty())
            .ok_or_else(|| invalid("url", "", "it is required: the address of the original"))?;
        Ok(Statement::new(self.original(&url)?, params))
    }

    fn negotiates_format(&self, _rest: &str, _query: Option<&str>) -> bool {
        false
    }

    fn options(&self) -> Vec<OptionDoc> {
        options::docs(OPTIONS)
    }

    fn write(&self, id: &crate::source::ImageId, params: &crate::dialect::Params) -> Vec<String> {
        super::write::wsrv(self.sources.first_base(), id, params)
    }

    fn is_unsigned(&self) -> bool {
        true
    }
}

impl Wsrv {
    /// The original of an address with or without a scheme: it is never a path of its own.
    fn original(&self, url: &str) -> Result<ImageId, Error> {
        let url = url.strip_prefix("ssl:").unwrap_or(url);
        let has_scheme = ["http:/", "https:/"]
            .iter()
            .any(|scheme| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
        if has_scheme {
            return self.sources.id(url);
        }
        self.sources.id_below_host(url.strip_prefix("//").unwrap_or(url))
    }
}

fn parse(query: &str) -> Result<Draft, Error> {
    let mut draft = Draft::default();
    // one name for each option, so that it has no more entries than the table
    let mut seen: Vec<&'static str> = Vec::new();
    for (name, value) in pairs(query) {
        let Some(option) = INDEX.find(name) else { continue };
        if seen.contains(&option.name) {
            continue;
        }
        seen.push(option.name);
        let value = value.unwrap_or_default();
        let decoded = form_decode(value).ok_or_else(|| match name {
            "url" => Error::InvalidName,
            _ => invalid(name, value, "it is percent-encoded UTF-8"),
        });
        option.apply(&mut draft, name, &decoded?)?;
    }
    Ok(draft)
}
