//! The program: hands its arguments to [`tintype::cli::main`].

use std::process::ExitCode;

fn main() -> ExitCode {
    tintype::cli::main()
}
