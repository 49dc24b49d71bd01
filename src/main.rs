//! The program: hands its arguments to [`tintype::cli::main`].

use std::process::ExitCode;

/// Pictures are large, and come and go on many threads. Under a mixed load of 300 renders, four at a time, glibc's allocator
/// held 490 MB at the end and gave nothing back; jemalloc held 192 MB, and 83 MB ten seconds later, for 4 to 7 percent more
/// CPU time; mimalloc held 236 and 96 MB for 14 percent more. How soon jemalloc gives back is set in `.cargo/config.toml`.
#[cfg(feature = "native")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tintype::cli::main()
}
