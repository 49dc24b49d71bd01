//! The faces of the installed fonts, and how a document's families select among them. They are loaded once a process, since workers
//! can open no file later.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use resvg::usvg::FontResolver;
use resvg::usvg::fontdb::{Database, ID, Source};
use tintype_codec_sys::mapping;

use super::fonts::installed;

/// Characters of one document for which all fonts are searched, where those that the document names lack them.
const MAX_FALLBACKS: usize = 64;

/// The families that generic names stand for where they are installed, best first.
const SERIF: [&str; 6] = ["Liberation Serif", "DejaVu Serif", "Noto Serif", "Tinos", "FreeSerif", "Times New Roman"];
const SANS_SERIF: [&str; 6] = ["Liberation Sans", "DejaVu Sans", "Noto Sans", "Arimo", "FreeSans", "Arial"];
const MONOSPACE: [&str; 6] =
    ["Liberation Mono", "DejaVu Sans Mono", "Noto Sans Mono", "Noto Mono", "FreeMono", "Courier New"];

static LOADED: OnceLock<Arc<Database>> = OnceLock::new();

/// How the bytes of fonts are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FontMemory {
    /// Mapped: processes share them, and only what is touched is read. For a process that may end when a file is truncated.
    Mapped,
    /// Read into the memory of the process.
    Owned,
}

/// Loads the installed fonts for all SVGs that this process draws, where that was not done before. Returns the number of faces.
pub fn load_fonts(memory: FontMemory) -> usize {
    LOADED.get_or_init(|| Arc::new(database(memory))).len()
}

/// The fonts of this process.
pub(super) fn loaded() -> Arc<Database> {
    Arc::clone(LOADED.get_or_init(|| Arc::new(database(FontMemory::Owned))))
}

fn database(memory: FontMemory) -> Database {
    let mut database = Database::new();
    // all of them, however long it takes: keys have the digest of all
    for (path, length) in installed().into_iter().flat_map(|files| files.iter()) {
        // one that cannot be read, or is no font, is left out
        if let Some(source) = source(path, length, memory) {
            database.load_font_source(source);
        }
    }
    choose_generic_families(&mut database);
    database
}

/// The bytes of a file; `None` where it is another one than was found, by its length.
fn source(path: &Path, length: u64, memory: FontMemory) -> Option<Source> {
    let bytes: Arc<dyn AsRef<[u8]> + Sync + Send> = match memory {
        FontMemory::Mapped => Arc::new(mapping::map(&File::open(path).ok()?).ok()?),
        FontMemory::Owned => Arc::new(fs::read(path).ok()?),
    };
    let is_same = (*bytes).as_ref().len() as u64 == length;
    is_same.then_some(Source::Binary(bytes))
}

/// Generic names stand for families that are installed: a preferred one, or else the first of that kind.
fn choose_generic_families(database: &mut Database) {
    let families: Vec<(String, bool)> =
        database.faces().filter_map(|face| Some((face.families.first()?.0.clone(), face.monospaced))).collect();
    let choose = |preferred: &[&str], fits: &dyn Fn(&(String, bool)) -> bool| {
        let named = preferred.iter().find(|name| families.iter().any(|(family, _)| family == *name));
        let any = || families.iter().find(|family| fits(family)).or(families.first()).map(|(family, _)| family.clone());
        named.map(|name| (*name).to_owned()).or_else(any)
    };
    let is_serif = |(name, mono): &(String, bool)| !mono && name.contains("Serif");
    if let Some(family) = choose(&SERIF, &is_serif) {
        database.set_serif_family(family);
    }
    if let Some(family) = choose(&SANS_SERIF, &|(_, mono)| !mono) {
        database.set_sans_serif_family(family.clone());
        database.set_cursive_family(family.clone());
        database.set_fantasy_family(family);
    }
    if let Some(family) = choose(&MONOSPACE, &|(_, mono)| *mono) {
        database.set_monospace_family(family);
    }
}

/// Fonts by name as resvg selects them. All fonts are searched for a character that the named ones lack, but for a bounded number of
/// characters: a search reads tables of every font. What is found depends on the style of the first font, too.
pub(super) fn resolver() -> FontResolver<'static> {
    let known: Mutex<HashMap<(char, Option<ID>), Option<ID>>> = Mutex::default();
    FontResolver {
        select_font: FontResolver::default_font_selector(),
        select_fallback: Box::new(move |c, used, database| {
            let mut known = known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let key = (c, used.first().copied());
            if let Some(id) = known.get(&key) {
                return id.filter(|id| !used.contains(id));
            }
            if known.len() >= MAX_FALLBACKS {
                return None;
            }
            let id = FontResolver::default_fallback_selector()(c, used, database);
            known.insert(key, id);
            id
        }),
    }
}
