//! Workers with good jobs, with faults, and in pools.

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod good_jobs;
mod layers;
mod pool;
