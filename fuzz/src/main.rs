//! One program for all targets: `TINTYPE_FUZZ` names the one that libFuzzer drives. `run` builds and starts it.

#![no_main]

mod decoders;
mod targets;

use std::collections::HashSet;
use std::panic::Location;
use std::sync::{LazyLock, Mutex};

use libfuzzer_sys::{Corpus, fuzz_target};

/// The target that was asked for.
static TARGET: LazyLock<targets::Target> = LazyLock::new(|| {
    tell_of_panics_once();
    let name = std::env::var("TINTYPE_FUZZ").unwrap_or_default();
    let all = || targets::TARGETS.iter().chain(decoders::TARGETS);
    all().find(|(this, _)| *this == name).map(|&(_, target)| target).unwrap_or_else(|| {
        let names: Vec<&str> = all().map(|(name, _)| *name).collect();
        eprintln!("TINTYPE_FUZZ is {name:?}; there are {}", names.join(" "));
        std::process::exit(2);
    })
});

/// A codec's panic is caught where codecs are called, and is its file's fault. libFuzzer's own hook would end the program
/// before that; what is caught nowhere still ends it.
fn tell_of_panics_once() {
    static SEEN: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(Location::to_string).unwrap_or_default();
        let mut seen = SEEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if seen.get_or_insert_default().insert(place) {
            eprintln!("panic: {panic}");
        }
    }));
}

fuzz_target!(|data: &[u8]| -> Corpus {
    TARGET(data);
    Corpus::Keep
});
