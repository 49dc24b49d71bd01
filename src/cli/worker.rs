//! `tintype render-worker`: the process that renders, which the service starts.

use std::process::ExitCode;

use clap::Args;

use crate::service::isolated::worker;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Whether it renders in idle time
    #[arg(long)]
    idle: bool,
}

/// To be called while the process has one thread, which is why it prints its error itself.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match worker::serve(arguments.idle) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tintype: {error}");
            ExitCode::FAILURE
        }
    }
}
