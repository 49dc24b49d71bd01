//! The program: hands its arguments to [`tintype::cli::main`].

use std::process::ExitCode;

/// Images are large and are allocated and freed on many threads. After a mixed load of 300 renders, four at a time, glibc's
/// allocator held 490 MB and returned nothing to the system; jemalloc held 192 MB, and 83 MB ten seconds later, for 4 to 7 %
/// more CPU time; mimalloc held 236 and 96 MB for 14 % more. `.cargo/config.toml` sets how soon jemalloc returns memory.
#[cfg(feature = "native")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tintype::cli::main()
}
