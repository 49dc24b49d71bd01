//! Workers that behave, and workers that do not.

#[path = "../support/mod.rs"]
mod support;

mod deeds;
mod layers;
mod misdeeds;
mod pool;
