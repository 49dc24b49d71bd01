//! Lists the originals of a folder, page by page: names that a URL could have, in their order.
//!
//! Entries and time are bounded, and so is memory: of the names behind the cursor only those of the page are held.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{Dir, DirEntry, FileType, OFlags, Stat};

use super::root::{Root, RootPath};
use super::stat::{from_errno, unsigned};
use super::{Error, id};
use crate::clock;

/// Entries of folders that one page may look at.
const MAX_ENTRIES: usize = 100_000;

/// How long one page may take.
const MAX_TIME: Duration = Duration::from_secs(2);

/// Folders within a folder that a search goes into.
const MAX_DEPTH: usize = 32;

/// The folders of one page.
const MAX_FOLDERS: usize = 1000;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// Lists the originals beneath a root. Blocks.
pub struct Listing {
    root: Arc<Root>,
    linked: Arc<[RootPath]>,
}

/// The page that is asked for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// A folder: empty, or names that end with a slash.
    pub folder: String,
    /// Part of a path, in any case; with it, folders within the folder are searched, too.
    pub search: String,
    /// The path that the page before ended with.
    pub after: String,
    /// Originals on the page.
    pub limit: usize,
}

/// Whether a file of that name is listed.
pub type Filter = fn(&str) -> bool;

/// One page of originals.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Names of the folders within the folder, sorted; on the first page without a search only.
    pub folders: Vec<String>,
    /// Sorted by path.
    pub originals: Vec<Listed>,
    /// Whether more originals follow.
    pub has_more: bool,
    /// Whether a bound ended the search before all entries were looked at.
    pub is_incomplete: bool,
}

/// One original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name in the source.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// The last change in seconds since 1970.
    pub modified: u64,
}

impl Listing {
    pub(super) fn new(root: Arc<Root>, linked: Arc<[RootPath]>) -> Listing {
        Listing { root, linked }
    }

    /// The page of a query.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such folder, or its name is not one that a URL could have.
    pub fn page(&self, query: &Query, filter: Filter) -> Result<Page, Error> {
        let names = query.folder.strip_suffix('/').unwrap_or_default();
        if !query.folder.is_empty() && !names.split('/').all(id::is_valid_segment) {
            return Err(Error::NotFound);
        }
        let mut walk = Walk::new(self, query, filter);
        walk.folder(&query.folder, 0)?;
        Ok(walk.into_page())
    }

    fn open(&self, folder: &str) -> Result<Dir, Error> {
        let path = if folder.is_empty() { "." } else { folder };
        let file = self.root.open(Path::new(path), FOLDER, &self.linked).map_err(from_errno)?;
        Dir::new(file).map_err(from_errno)
    }

    /// The metadata of what a path leads to.
    fn stat(&self, path: &str) -> Option<Stat> {
        let file = self.root.open(Path::new(path), OFlags::PATH, &self.linked).ok()?;
        rustix::fs::fstat(file).ok()
    }
}

/// The state of one page while folders are read.
struct Walk<'a> {
    listing: &'a Listing,
    query: &'a Query,
    filter: Filter,
    search: String,
    entries: usize,
    end: Instant,
    page: Page,
    /// The smallest paths behind the cursor, one more than the page has.
    found: BTreeMap<String, Listed>,
}

impl<'a> Walk<'a> {
    fn new(listing: &'a Listing, query: &'a Query, filter: Filter) -> Walk<'a> {
        let (search, end) = (query.search.to_lowercase(), clock::instant() + MAX_TIME);
        Walk { listing, query, filter, search, entries: 0, end, page: Page::default(), found: BTreeMap::new() }
    }

    fn folder(&mut self, folder: &str, depth: usize) -> Result<(), Error> {
        let dir = self.listing.open(folder)?;
        for entry in dir {
            let Ok(entry) = entry else { break };
            if !self.may_go_on() {
                break;
            }
            if let Some(name) = entry.file_name().to_str().ok().filter(|name| id::is_valid_segment(name)) {
                self.entry(folder, name, &entry, depth);
            }
        }
        Ok(())
    }

    /// Counts an entry; `false` once a bound is reached.
    fn may_go_on(&mut self) -> bool {
        self.entries += 1;
        self.page.is_incomplete |= self.entries > MAX_ENTRIES || Instant::now() > self.end;
        !self.page.is_incomplete
    }

    fn entry(&mut self, folder: &str, name: &str, entry: &DirEntry, depth: usize) {
        let path = format!("{folder}{name}");
        let (kind, is_link) = match entry.file_type() {
            FileType::Symlink | FileType::Unknown => {
                let kind = self.listing.stat(&path).map(|stat| FileType::from_raw_mode(stat.st_mode));
                (kind, entry.file_type() == FileType::Symlink)
            }
            kind => (Some(kind), false),
        };
        match kind {
            // a link may lead to a folder above
            Some(FileType::Directory) if !self.search.is_empty() && (is_link || depth == MAX_DEPTH) => {}
            Some(FileType::Directory) if !self.search.is_empty() => {
                // a folder that may not be read has nothing to list
                let _ = self.folder(&format!("{path}/"), depth + 1);
            }
            Some(FileType::Directory) if self.query.after.is_empty() && self.page.folders.len() < MAX_FOLDERS => {
                self.page.folders.push(name.to_owned());
            }
            Some(FileType::RegularFile) if (self.filter)(name) => self.original(path),
            _ => {}
        }
    }

    /// Keeps an original if it belongs on the page.
    fn original(&mut self, path: String) {
        let last = self.found.last_key_value().filter(|_| self.found.len() > self.query.limit);
        if path <= self.query.after
            || last.is_some_and(|(last, _)| path > *last)
            || !path.to_lowercase().contains(&self.search)
        {
            return;
        }
        // it may be gone again
        let Some(stat) = self.listing.stat(&path) else { return };
        let (bytes, modified) = (unsigned(stat.st_size), unsigned(stat.st_mtime));
        self.found.insert(path.clone(), Listed { path, bytes, modified });
        if self.found.len() > self.query.limit + 1 {
            self.found.pop_last();
        }
    }

    fn into_page(self) -> Page {
        let has_more = self.found.len() > self.query.limit;
        let originals = self.found.into_values().take(self.query.limit).collect();
        let mut page = Page { originals, has_more, ..self.page };
        page.folders.sort_unstable();
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Files, Source};

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn with(names: &[&str]) -> Folder {
            let folder = Folder(tempfile::tempdir().expect("a folder"));
            for name in names {
                let path = folder.0.path().join(name);
                std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
                std::fs::write(path, "12345").expect("a file");
            }
            folder
        }

        fn page(&self, query: Query) -> Result<Page, Error> {
            Files::new(self.0.path(), 100)
                .expect("a source")
                .listing()
                .expect("it lists")
                .page(&query, |name| !name.ends_with(".txt"))
        }

        fn paths(&self, folder: &str, search: &str, after: &str, limit: usize) -> Vec<String> {
            let query = Query { folder: folder.into(), search: search.into(), after: after.into(), limit };
            self.page(query).expect("a page").originals.into_iter().map(|listed| listed.path).collect()
        }
    }

    #[test]
    fn only_names_of_originals_are_listed() {
        let hostile = "<img src=x onerror=alert(1)>.png";
        let folder = Folder::with(&["b.jpg", "a.png", ".hidden.jpg", ".git/c.jpg", "x/d.webp", "notes.txt", hostile]);
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.0.path().join("fifo.jpg"), rustix::fs::Mode::RUSR).expect("fifo");
        let page = folder.page(Query { limit: 10, ..Query::default() }).expect("a page");
        assert_eq!(page.folders, ["x"]);
        let paths: Vec<&str> = page.originals.iter().map(|listed| listed.path.as_str()).collect();
        assert_eq!(paths, [hostile, "a.png", "b.jpg"]);
        assert_eq!(page.originals[0].bytes, 5);
        assert!(page.originals[0].modified > 0 && !page.has_more && !page.is_incomplete);
    }

    #[test]
    fn pages_join_without_gap_or_repetition() {
        let names: Vec<String> = (0..25).map(|number| format!("{number:02}.jpg")).collect();
        let folder = Folder::with(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = folder.page(Query { after, limit: 7, ..Query::default() }).expect("a page");
            all.extend(page.originals.into_iter().map(|listed| listed.path));
            after = all.last().cloned().expect("at least one");
            if !page.has_more {
                break;
            }
        }
        assert_eq!(all, names);
    }

    #[test]
    fn search_goes_into_folders_and_ignores_case() {
        let folder = Folder::with(&["Cat.jpg", "a/cats/one.jpg", "a/dog.jpg", "b/CAT.png"]);
        assert_eq!(folder.paths("", "cat", "", 10), ["Cat.jpg", "a/cats/one.jpg", "b/CAT.png"]);
        assert_eq!(folder.paths("a/", "cat", "", 10), ["a/cats/one.jpg"]);
        assert_eq!(folder.paths("", "cat", "Cat.jpg", 1), ["a/cats/one.jpg"]);
    }

    #[test]
    fn listing_stays_beneath_the_root() {
        let outside = Folder::with(&["secret.jpg"]);
        let folder = Folder::with(&["a.jpg", "in/b.jpg"]);
        let link = |target: &Path, name: &str| {
            std::os::unix::fs::symlink(target, folder.0.path().join(name)).expect("a link");
        };
        link(outside.0.path(), "out");
        link(&outside.0.path().join("secret.jpg"), "out.jpg");
        link(Path::new("in"), "again");
        link(Path::new("."), "in/loop");
        let page = folder.page(Query { limit: 10, ..Query::default() }).expect("a page");
        assert_eq!(page.folders, ["again", "in"]);
        assert_eq!(folder.paths("", "", "", 10), ["a.jpg"]);
        assert_eq!(folder.paths("again/", "", "", 10), ["again/b.jpg"]);
        assert_eq!(folder.paths("", "jpg", "", 10), ["a.jpg", "in/b.jpg"]);
        for name in ["out/", "../", "/", "in/../", ".git/", "absent/", "a.jpg/", "in"] {
            let query = Query { folder: name.into(), limit: 10, ..Query::default() };
            let page = folder.page(query);
            assert!(matches!(page, Err(Error::NotFound)), "{name}: {page:?}");
        }
    }
}
