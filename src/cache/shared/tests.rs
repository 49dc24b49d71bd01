//! The tier over a bucket in memory, with faults.
