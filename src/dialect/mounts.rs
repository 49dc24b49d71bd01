//! Mounts: the prefix of a path decides which dialect reads the URL.

use std::sync::Arc;

use super::foreign::templates::Templates;
use super::{Dialect, Error};

/// The prefixes and their dialects.
#[derive(Clone, Debug)]
pub struct Mounts {
    /// The prefix of native URLs; `None` where they are off.
    native: Option<String>,
    /// Foreign dialects, the longest prefix first.
    foreign: Vec<Mount>,
    /// Paths of the operator's own.
    templates: Option<Arc<Templates>>,
}

/// A dialect and its prefix.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Begins with `/` and does not end with one, unless it is `/`.
    pub prefix: String,
    /// The dialect.
    pub dialect: Arc<dyn Dialect>,
}

/// The dialect of a path, and what is behind its mount.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// A native URL.
    Native(&'a str),
    /// Another.
    Foreign(&'a dyn Dialect, &'a str),
}

/// Mounts that cannot be told apart, or are no prefixes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMount {
    /// It is no prefix.
    #[error("{0:?} is not a prefix such as \"/imgproxy\": it begins with / and does not end with one")]
    Prefix(String),
    /// It is part of the administration.
    #[error("{0:?} is below /-/, which no dialect has")]
    Reserved(String),
    /// Two dialects have it.
    #[error("{0:?} is the mount of two dialects")]
    Twice(String),
}

impl Default for Mounts {
    /// Native URLs alone, at `/`.
    fn default() -> Mounts {
        Mounts { native: Some("/".into()), foreign: Vec::new(), templates: None }
    }
}

impl Mounts {
    /// Native URLs at `native`, which is empty to switch them off, and foreign dialects.
    ///
    /// # Errors
    /// [`InvalidMount`].
    pub fn new(native: &str, mut foreign: Vec<Mount>, templates: Option<Templates>) -> Result<Mounts, InvalidMount> {
        let mut prefixes: Vec<&str> = foreign.iter().map(|mount| mount.prefix.as_str()).collect();
        prefixes.extend(Some(native).filter(|native| !native.is_empty()));
        prefixes.iter().try_for_each(|prefix| check(prefix))?;
        prefixes.sort_unstable();
        if let Some(pair) = prefixes.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(InvalidMount::Twice(pair[0].into()));
        }
        foreign.sort_by_key(|mount| std::cmp::Reverse(mount.prefix.len()));
        let native = Some(native.to_owned()).filter(|native| !native.is_empty());
        Ok(Mounts { native, foreign, templates: templates.map(Arc::new) })
    }

    /// The dialect of a path as it was sent: the longest prefix that fits, and before native URLs the templates.
    ///
    /// # Errors
    /// [`Error::InvalidName`] where no dialect has the path.
    pub fn find<'a>(&'a self, path: &'a str) -> Result<Found<'a>, Error> {
        let native = self.native.as_deref().and_then(|prefix| Some((prefix.len(), behind(path, prefix)?)));
        let longer = |mount: &&Mount| native.is_none_or(|(length, _)| mount.prefix.len() > length);
        let mounts = self.foreign.iter().filter(longer);
        if let Some((mount, rest)) = mounts.filter_map(|mount| Some((mount, behind(path, &mount.prefix)?))).next() {
            return Ok(Found::Foreign(&*mount.dialect, rest));
        }
        if let Some(templates) = self.templates.as_deref().filter(|templates| templates.has(path)) {
            return Ok(Found::Foreign(templates, path));
        }
        native.map(|(_, rest)| Found::Native(rest)).ok_or(Error::InvalidName)
    }

    /// Whether a path is the health check of a dialect.
    pub fn is_health_check(&self, path: &str) -> bool {
        // so that hardly any other path is looked up twice
        path.ends_with("/health")
            && matches!(self.find(path), Ok(Found::Foreign(dialect, rest)) if dialect.is_health_check(rest))
    }

    /// The prefix of native URLs, without a slash at its end.
    pub fn native_prefix(&self) -> Option<&str> {
        self.native.as_deref().map(|prefix| prefix.trim_end_matches('/'))
    }

    /// Every foreign dialect with its prefix; templates have none.
    pub fn foreign(&self) -> impl Iterator<Item = (&str, &dyn Dialect)> {
        let templates = self.templates.as_deref().map(|templates| ("", templates as &dyn Dialect));
        self.foreign.iter().map(|mount| (mount.prefix.as_str(), &*mount.dialect)).chain(templates)
    }
}

fn check(prefix: &str) -> Result<(), InvalidMount> {
    let is_plain = |c: char| c.is_ascii_graphic() && !"?#%".contains(c);
    let is_prefix = prefix == "/"
        || prefix.starts_with('/') && !prefix.ends_with('/') && !prefix.contains("//") && prefix.chars().all(is_plain);
    match () {
        () if !is_prefix => Err(InvalidMount::Prefix(prefix.into())),
        () if prefix == "/-" || prefix.starts_with("/-/") => Err(InvalidMount::Reserved(prefix.into())),
        () => Ok(()),
    }
}

/// The part of a path behind a prefix that ends where a segment does, with the slash in front.
fn behind<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    if prefix == "/" {
        return Some(path);
    }
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}
