//! The driver of both programs: `TINTYPE_FUZZ` names the target that libFuzzer runs.

use std::collections::HashSet;
use std::panic::Location;
use std::sync::{Mutex, PoisonError};

/// The targets of a program, by name.
type Table = &'static [(&'static str, fn(&[u8]))];

/// The target that was asked for.
pub(crate) fn target(tables: &[Table]) -> fn(&[u8]) {
    print_panics_once();
    let name = std::env::var("TINTYPE_FUZZ").unwrap_or_default();
    let all = || tables.iter().copied().flatten();
    all().find(|(this, _)| *this == name).map(|&(_, target)| target).unwrap_or_else(|| {
        let names: Vec<&str> = all().map(|(name, _)| *name).collect();
        eprintln!("TINTYPE_FUZZ is {name:?}; there are {}", names.join(" "));
        std::process::exit(2);
    })
}

/// A codec's panic is caught where codecs are called, and is its file's fault. libFuzzer's own hook would end the program
/// before that; what is caught nowhere still ends it.
fn print_panics_once() {
    static SEEN: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(Location::to_string).unwrap_or_default();
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.get_or_insert_default().insert(place) {
            eprintln!("panic: {panic}");
        }
    }));
}
