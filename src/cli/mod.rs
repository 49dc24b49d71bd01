//! The commands, and the only place that builds everything. Exit codes: 0, 1 (it failed), 2 (asked wrongly).

mod build;
mod cache;
mod check;
mod client;
mod config;
mod convert;
mod healthcheck;
mod log;
mod manual;
mod purge;
mod reload;
mod serve;
mod sign;
mod sockets;
mod supervisor;
mod warm;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{Flag, Invalid, Loaded};

/// On-demand images: resized, converted and cached behind nginx.
#[derive(Debug, Parser)]
#[command(name = "tintype", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the images of a folder.
    Serve(serve::Arguments),
    /// Convert one file into another with the same pipeline.
    Convert(convert::Arguments),
    /// Look for whatever could stop the service from working, and say what would mend it.
    Check(check::Arguments),
    /// Drop every rendition of an original, or of a folder, from a running server.
    Purge(purge::Arguments),
    /// Have renditions made before they are asked for.
    Warm(warm::Arguments),
    /// Look at the cache folder.
    Cache(cache::Arguments),
    /// Sign a URL.
    Sign(sign::Arguments),
    /// Show the settings in effect and where each came from.
    Config(config::Arguments),
    /// Ask a running server whether it lives, for containers.
    Healthcheck(healthcheck::Arguments),
    /// Write the manual's pages into a folder.
    #[command(hide = true)]
    Man(manual::Pages),
    /// Print what a shell needs to complete commands and options.
    #[command(hide = true)]
    Completions(manual::Completions),
}

/// What every command takes.
#[derive(Args, Debug)]
struct Common {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Common {
    fn load(&self, flags: &[Flag]) -> Result<Loaded, Wrong> {
        Ok(crate::config::load(self.config.as_deref(), flags)?)
    }
}

/// Says something on standard output, to whoever still listens.
fn say(text: &str) -> std::io::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// How long the reason for a failure may take to be written.
const COMPLAINING: Duration = Duration::from_secs(1);

/// Says on standard error why it failed. Where that is full and not read, the end is not held up for long.
fn complain(text: String) {
    let (done, written) = std::sync::mpsc::channel();
    let write = move || {
        // fails if nobody can read it, or nobody waits any more
        let _ = writeln!(std::io::stderr(), "{text}");
        let _ = done.send(());
    };
    if std::thread::Builder::new().spawn(write).is_ok() {
        let _ = written.recv_timeout(COMPLAINING);
    }
}

/// Asked wrongly: exit code 2, where every other failure is 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Wrong(String);

impl From<Invalid> for Wrong {
    fn from(invalid: Invalid) -> Wrong {
        Wrong(invalid.to_string())
    }
}

/// Runs the command that this process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Convert(arguments) => convert::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Purge(arguments) => purge::run(arguments),
        Command::Warm(arguments) => warm::run(arguments),
        Command::Cache(arguments) => cache::run(arguments),
        Command::Sign(arguments) => sign::run(arguments),
        Command::Config(arguments) => config::run(arguments),
        Command::Healthcheck(arguments) => healthcheck::run(arguments),
        Command::Man(arguments) => manual::write_pages(arguments, Cli::command()),
        Command::Completions(arguments) => manual::print_completions(arguments, Cli::command()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format!("tintype: {error:#}"));
            ExitCode::from(if error.is::<Wrong>() { 2 } else { 1 })
        }
    }
}
