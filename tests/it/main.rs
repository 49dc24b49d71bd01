//! Integration tests, one binary so that the program is linked once. Each module is a subject:
//! `cargo test --test it -- socket::` runs those of `socket.rs`. `tests/README.md` is the map.

mod check;
mod clients;
mod cluster;
mod commands;
mod common;
mod connections;
mod corpus;
mod cors;
mod deploy;
mod fast_path;
mod faults;
mod fuzz;
mod golden;
mod hits;
mod layers;
mod lifecycle;
mod memory;
mod nginx;
mod operations;
mod originals;
mod origins;
mod readme;
mod regressions;
mod reload;
mod renditions;
mod requests;
mod shared;
mod socket;
mod stalled;
mod target;
mod upgrades;
mod uploads;
mod urls;
mod warm;
mod wire;
