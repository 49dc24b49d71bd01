//! A URL as it is read, for people: its parameters as they stand there and as they count.

use super::Policy;
use crate::dialect::mounts::Found;
use crate::dialect::native::query;
use crate::dialect::native::{self, PARAMETERS, Params};
use crate::dialect::{Dialect, Error, Hints, Statement};
use crate::render::Recipe;
use crate::source::ImageId;

/// The reading of a URL, whether or not it would be answered.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The name of the original.
    pub id: ImageId,
    /// The parameters that the URL states, in native terms.
    pub params: Params,
    /// The same with preset, allowed widths and `dpr` applied, without defaults.
    pub effective: Params,
    /// Names and values that are ignored.
    pub unknown: Vec<(String, String)>,
}

impl Policy {
    /// Reads a URL at a time in unix seconds. The signature of a native URL is not checked; [`Policy::target`] does.
    ///
    /// # Errors
    /// All of [`Error`].
    pub fn reading(&self, path: &str, query: Option<&str>, now: u64) -> Result<Reading, Error> {
        let (statement, unknown) = match self.config.mounts.find(path)? {
            Found::Foreign(dialect, rest) => (dialect.read(rest, query, now)?, Vec::new()),
            Found::Native(rest) => {
                let parsed = query::parse(query.unwrap_or_default()).map_err(Error::InvalidParams)?;
                let id = ImageId::parse(rest).map_err(|_| Error::InvalidName)?;
                (Statement::new(id, parsed.params), parsed.unknown)
            }
        };
        let Statement { id, params, refuses_svg: _, is_signed, completes_name: _ } = statement;
        let is_signed = is_signed || params.s.is_some();
        let mut effective = self.apply_preset(params.clone())?;
        self.apply_hints(&mut effective, Hints::default())?;
        self.snap_width(&mut effective)?;
        self.require_overlay(&mut effective, is_signed);
        Ok(Reading { id, params, effective: self.normal(effective), unknown })
    }

    /// The recipe of parameters without a signature, for a client that takes every format.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] where they do not fit together.
    pub fn recipe_of(&self, params: &Params) -> Result<Recipe, Error> {
        let mut params = self.apply_preset(params.clone())?;
        self.require_overlay(&mut params, false);
        self.recipe(&self.normal(params), ACCEPT)
    }

    /// The URL of native parameters, signed where there are keys and `signs`.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] where it would be refused.
    pub fn native_url(&self, id: &ImageId, params: &Params, signs: bool) -> Result<String, Error> {
        let (path, query) = (self.native_path(id), query::canonical(params, &["s"]));
        let signed = if signs { self.sign(&path, &query)? } else { None };
        let separator = if query.is_empty() { "" } else { "?" };
        Ok(signed.unwrap_or_else(|| format!("{path}{separator}{query}")))
    }

    /// The URLs of a rendition: the native one, and one for each mounted dialect that has words for all of it.
    pub fn urls(&self, id: &ImageId, params: &Params) -> Vec<(&'static str, String)> {
        let query = query::canonical(params, &["s", "expires"]);
        let separator = if query.is_empty() { "" } else { "?" };
        let native = format!("{}{separator}{query}", self.native_path(id));
        let mut urls = Vec::new();
        if self.config.mounts.native_prefix().is_some() {
            urls.push((native::NAME, native));
        }
        for (mount, dialect) in self.config.mounts.foreign() {
            let url = self.foreign_url(mount, dialect, id, params);
            urls.extend(url.map(|url| (dialect.name(), url)));
        }
        urls
    }

    /// The URL of a dialect that means the same recipe.
    fn foreign_url(&self, mount: &str, dialect: &dyn Dialect, id: &ImageId, params: &Params) -> Option<String> {
        let recipe = |params: &Params| self.recipe(params, ACCEPT).ok();
        let wanted = recipe(params)?;
        let is_same = |written: &String| {
            let (rest, query) = written.split_once('?').map_or((&**written, None), |(rest, query)| (rest, Some(query)));
            // where the dialect has keys, it refuses a URL without a signature, which is the operator's to give
            dialect.read(rest, query, 0).is_ok_and(|read| {
                read.id == *id && recipe(&self.normal(read.params)).is_some_and(|recipe| recipe == wanted)
            })
        };
        let written = dialect.write(id, params).into_iter().find(is_same)?;
        Some(format!("{}{written}", mount.trim_end_matches('/')))
    }
}

/// A client that takes every format: recipes of two URLs are compared for it.
const ACCEPT: &str = "image/avif,image/webp,*/*";

impl Params {
    /// The stated parameters in canonical form, in the order of the table.
    pub fn stated(&self) -> impl Iterator<Item = (&'static str, String)> {
        PARAMETERS.iter().filter_map(|parameter| Some((parameter.name, parameter.value(self)?)))
    }
}
