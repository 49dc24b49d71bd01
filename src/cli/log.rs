//! The log of `serve`, on standard error: lines for people on a terminal, JSON anywhere else.
//!
//! All lines go through one writer that never blocks: requests, signals and health checks must not wait for a reader that
//! has stopped.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;

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
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
        let log = tracing_subscriber::fmt().log_internal_errors(false);
        let log = log.with_env_filter(filter).with_writer(Arc::clone(&writer));
        if as_json {
            log.json().flatten_event(true).init()
        } else {
            log.init()
        }
        std::panic::set_hook(Box::new(log_panic));
        Ok(Log { writer, as_json })
    }
}

/// Logs a panic. The default hook writes to standard error itself, and blocks where that is full.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    // disabled unless RUST_BACKTRACE is set
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    let thread = std::thread::current();
    tracing::error!(target: "tintype::panic", thread = thread.name(), backtrace, "{panic}");
}
