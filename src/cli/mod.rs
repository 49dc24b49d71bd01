//! The commands, and the only place that builds everything. Exit codes: 0 (success), 1 (failure), 2 (usage or settings
//! error).

mod build;
mod cache;
mod check;
mod client;
mod config;
mod convert;
mod explain;
mod healthcheck;
mod log;
mod manual;
mod purge;
mod reload;
mod serve;
mod sign;
mod sockets;
mod srcset;
mod supervisor;
mod warm;
mod worker;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{ConfigError, Flag, Loaded};

/// The end of `tintype --help`.
const HELP: &str = "\
Settings come from --config FILE and from variables TINTYPE_SECTION_KEY; tintype config shows those in effect and where
each comes from. tintype serve --help lists variables and signals.

Exit status: 0 success, 1 failure, 2 wrong arguments or settings.";

/// On-demand images: resized, converted and cached behind nginx.
#[derive(Debug, Parser)]
#[command(name = "tintype", version, about, after_help = HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the images of a folder.
    Serve(serve::Arguments),
    /// Convert an image file as the service would.
    Convert(convert::Arguments),
    /// Check settings, permissions and limits, and print how to fix problems.
    Check(check::Arguments),
    /// Purge all renditions of an original or a folder from a running server.
    Purge(purge::Arguments),
    /// Render images before visitors request them (cache warming).
    Warm(warm::Arguments),
    /// Show statistics of the cache folder, or verify it.
    Cache(cache::Arguments),
    /// Explain a URL: what it means and what a request for it would do.
    Explain(explain::Arguments),
    /// Print HTML for an original: srcset, sizes, placeholder.
    Srcset(srcset::Arguments),
    /// Sign URLs.
    Sign(sign::Arguments),
    /// Show the settings in effect and where each comes from.
    Config(config::Arguments),
    /// Check that a running server responds, for containers.
    Healthcheck(healthcheck::Arguments),
    /// Render for the service, which starts this process (isolation).
    #[command(hide = true)]
    RenderWorker(worker::Arguments),
    /// Write manual pages to a folder.
    #[command(hide = true)]
    Man(manual::Pages),
    /// Print a completion script for a shell.
    #[command(hide = true)]
    Completions(manual::Completions),
}

/// The options of every command.
#[derive(Args, Debug)]
struct Common {
    /// Settings file (TOML) [default: none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Common {
    fn load(&self, flags: &[Flag]) -> Result<Loaded, UsageError> {
        Ok(crate::config::load(self.config.as_deref(), flags)?)
    }
}

/// Writes to standard output. A closed pipe is no error.
fn print(text: &str) -> std::io::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// The time limit of the error message.
const ERROR_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes to standard error, which may be a pipe that is full and not read: the exit waits a bounded time only.
fn print_error(text: String) {
    let (done, written) = std::sync::mpsc::channel();
    let write = move || {
        // errors have nowhere to go
        let _ = writeln!(std::io::stderr(), "{text}");
        let _ = done.send(());
    };
    if std::thread::Builder::new().spawn(write).is_ok() {
        let _ = written.recv_timeout(ERROR_TIMEOUT);
    }
}

/// A wrong argument or setting: exit code 2, where every other failure is 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

impl From<ConfigError> for UsageError {
    fn from(invalid: ConfigError) -> UsageError {
        UsageError(invalid.to_string())
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
        Command::Explain(arguments) => explain::run(arguments),
        Command::Srcset(arguments) => srcset::run(arguments),
        Command::Sign(arguments) => sign::run(arguments),
        Command::Config(arguments) => config::run(arguments),
        Command::Healthcheck(arguments) => healthcheck::run(arguments),
        Command::RenderWorker(arguments) => return worker::run(&arguments),
        Command::Man(arguments) => manual::write_pages(arguments, Cli::command()),
        Command::Completions(arguments) => manual::print_completions(arguments, Cli::command()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(format!("tintype: {error:#}"));
            ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
        }
    }
}
