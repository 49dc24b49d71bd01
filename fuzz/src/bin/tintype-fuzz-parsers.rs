//! The targets of `parsers` alone. `run` builds and starts it.

#![no_main]

#[path = "../driver.rs"]
mod driver;
#[path = "../parsers.rs"]
mod parsers;

use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| driver::target(&[parsers::TARGETS]));

fuzz_target!(|data: &[u8]| -> Corpus {
    TARGET(data);
    Corpus::Keep
});
