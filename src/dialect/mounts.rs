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
    #[error("{0:?} is below /-/, which is reserved")]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::foreign::{Sources, cloudflare, imgproxy};

    fn mounts(native: &str, prefixes: &[&str]) -> Result<Mounts, InvalidMount> {
        let dialects: [Arc<dyn Dialect>; 2] = [
            Arc::new(imgproxy::Imgproxy::new(Sources::default())),
            Arc::new(cloudflare::Cloudflare { sources: Sources::default() }),
        ];
        let mount = |(prefix, dialect): (&&str, Arc<dyn Dialect>)| Mount { prefix: (*prefix).to_owned(), dialect };
        Mounts::new(native, prefixes.iter().zip(dialects).map(mount).collect(), None)
    }

    /// The dialect of a path and what is behind its mount.
    fn found(mounts: &Mounts, path: &str) -> Option<(&'static str, String)> {
        match mounts.find(path) {
            Ok(Found::Native(rest)) => Some(("native", rest.to_owned())),
            Ok(Found::Foreign(dialect, rest)) => Some((dialect.name(), rest.to_owned())),
            Err(_) => None,
        }
    }

    #[test]
    fn longest_prefix_that_ends_with_a_segment_has_the_path() {
        let nested = mounts("/", &["/a", "/a/b"]).expect("good mounts");
        for (path, dialect, rest) in [
            ("/a/x.jpg", "imgproxy", "/x.jpg"),
            ("/a", "imgproxy", ""),
            ("/a/b/x.jpg", "cloudflare", "/x.jpg"),
            ("/a/bc/x.jpg", "imgproxy", "/bc/x.jpg"),
            ("/ab/x.jpg", "native", "/ab/x.jpg"),
            // bytes are compared, as they were sent
            ("/%61/x.jpg", "native", "/%61/x.jpg"),
            ("/A/x.jpg", "native", "/A/x.jpg"),
            ("//a/x.jpg", "native", "//a/x.jpg"),
            ("/a//b/x.jpg", "imgproxy", "//b/x.jpg"),
        ] {
            assert_eq!(found(&nested, path), Some((dialect, rest.to_owned())), "{path}");
        }
    }

    #[test]
    fn mount_at_the_root_leaves_what_longer_ones_have() {
        let root = mounts("/native", &["/", "/cdn-cgi/image"]).expect("good mounts");
        assert_eq!(found(&root, "/x/y.jpg"), Some(("imgproxy", "/x/y.jpg".into())));
        assert_eq!(found(&root, "/native/y.jpg"), Some(("native", "/y.jpg".into())));
        assert_eq!(found(&root, "/cdn-cgi/image/w=3/y.jpg"), Some(("cloudflare", "/w=3/y.jpg".into())));
        let foreign_only = mounts("", &["/a"]).expect("good mounts");
        assert_eq!(found(&foreign_only, "/b/y.jpg"), None);
    }

    #[test]
    fn prefixes_that_cannot_be_told_apart_are_refused() {
        for (native, prefixes, expected) in [
            ("/", ["/", "/b"], InvalidMount::Twice("/".into())),
            ("/", ["/a", "/a"], InvalidMount::Twice("/a".into())),
            ("/a", ["/a", "/b"], InvalidMount::Twice("/a".into())),
            ("/", ["a", "/b"], InvalidMount::Prefix("a".into())),
            ("/", ["/a/", "/b"], InvalidMount::Prefix("/a/".into())),
            ("/", ["/-/a", "/b"], InvalidMount::Reserved("/-/a".into())),
        ] {
            assert_eq!(mounts(native, &prefixes).err(), Some(expected), "{prefixes:?}");
        }
        assert!(mounts("", &["/", "/b"]).is_ok());
    }
}
