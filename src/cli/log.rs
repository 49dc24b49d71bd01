//! The log of `serve`, on standard error: lines for people on a terminal, JSON anywhere else.
//!
//! All lines go through one writer that never blocks: requests, signals and health checks must not wait for a reader that
//! has stopped.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::sync::Arc;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::http::LogWriter;

/// The filter unless `RUST_LOG` is set. The JPEG XL decoder logs damaged files as its own errors.
const DEFAULT_FILTER: &str = "info,jxl_oxide=off,jxl_bitstream=off,jxl_coding=off,jxl_frame=off,jxl_image=off,jxl_modular=off,\
    jxl_render=off,jxl_vardct=off";

pub(super) struct Log {
    pub(super) writer: Arc<LogWriter>,
    pub(super) as_json: bool,
}

impl Log {
    /// Installs the global subscriber and the panic hook. To be called once.
    pub(super) fn start() -> std::io::Result<Log> {
        let as_json = !std::io::stderr().is_terminal();
        let writer = Arc::new(LogWriter::to_stderr(as_json)?);
        let lines = fmt::layer().log_internal_errors(false).with_writer(Arc::clone(&writer));
        let lines = if as_json { lines.json().flatten_event(true).boxed() } else { lines.boxed() };
        // a filter of the whole, which disables call sites for good; one of the layer would be asked at each event
        tracing_subscriber::registry().with(filter()).with(lines).init();
        std::panic::set_hook(Box::new(log_panic));
        Ok(Log { writer, as_json })
    }
}

/// Which lines are logged: `RUST_LOG`, levels by target such as `info,tintype::http=debug`, if it is set and valid.
fn filter() -> Targets {
    let from_environment = crate::config::log_filter().and_then(|filter| filter.parse().ok());
    from_environment.unwrap_or_else(|| DEFAULT_FILTER.parse().expect("a constant that a test parses"))
}

/// Logs a panic. The default hook writes to standard error itself, and blocks where that is full.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    // disabled unless RUST_BACKTRACE is set
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    let thread = std::thread::current();
    tracing::error!(target: "tintype::panic", thread = thread.name(), backtrace, "{panic}");
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn default_filter_logs_info_and_drops_decoder_noise() {
        let filter: Targets = DEFAULT_FILTER.parse().expect("a list of levels by target");
        assert!(filter.would_enable("tintype::http", &Level::INFO));
        assert!(!filter.would_enable("tintype::http", &Level::DEBUG));
        assert!(!filter.would_enable("jxl_frame", &Level::ERROR));
    }
}
