//! `tintype render-worker`: the process that renders, which the service starts.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::service::isolated::worker;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Whether it renders in idle time
    #[arg(long)]
    idle: bool,
    /// A folder of fonts; may be repeated
    #[arg(long)]
    fonts: Vec<PathBuf>,
}

/// To be called while the process has one thread, which is why it prints its error itself.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match worker::serve(arguments.idle, &arguments.fonts) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tintype: {error}");
            ExitCode::FAILURE
        }
    }
}
