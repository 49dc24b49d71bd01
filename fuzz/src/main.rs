//! One program for all targets. `run` builds and starts it.

#![no_main]

mod decoders;
mod driver;
mod targets;

use std::sync::LazyLock;

use libfuzzer_sys::{Corpus, fuzz_target};

static TARGET: LazyLock<fn(&[u8])> =
    LazyLock::new(|| driver::target(&[targets::TARGETS, targets::parsers::TARGETS, decoders::TARGETS]));

fuzz_target!(|data: &[u8]| -> Corpus {
    TARGET(data);
    Corpus::Keep
});
