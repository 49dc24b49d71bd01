//! The settings that stay as they were at the start, a struct for each section of the file, with their defaults. They
//! size what is made once: listeners, workers, the cache.
//!
//! The comment of a field is what users read about it, in `tintype config --default` and in `docs/configuration.md`: one or two
//! sentences with the unit.

use std::path::{Path, PathBuf};
use std::time::Duration;

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use super::units::{Bytes, Mode, Span};
use crate::render;

/// Every setting that needs a restart.
#[derive(Clone, Debug, Default, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct FixedSettings {
    /// Listeners and connections.
    pub server: Server,
    /// Where originals live.
    pub source: Source,
    /// Where results are kept.
    pub cache: Cache,
    /// What is never exceeded, and how long things may take.
    pub limits: Limits,
    /// Who may ask for what.
    pub security: Security,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where images are served: `host:port` or `unix:/path`.
    pub listen: String,
    /// Where health, metrics and administration (`/-/`) are served; empty for the main listener.
    pub admin_listen: String,
    /// The permissions of a socket at `unix:/path`.
    pub socket_mode: Mode,
    /// The most connections; 0 is as many as there are files for.
    pub max_connections: usize,
    /// Proxies that are believed about whom a request is from: addresses, networks, and `unix:` for whoever comes over a socket.
    pub real_ip_from: Vec<String>,
    /// The header that those proxies say it in.
    pub real_ip_header: String,
    /// Below which path nginx sends files of the cache itself (X-Accel-Redirect); empty for none.
    pub x_accel: String,
    /// How long after SIGTERM new connections are still taken, while `/-/ready` says 503, so that a balancer looks elsewhere first.
    pub drain_delay: Span,
    /// How long a request's head may take.
    pub header_timeout: Span,
    /// How long a client may take nothing of its answer, before it is let go.
    pub send_timeout: Span,
    /// How long a connection may wait for its next request. It should be longer than the proxy keeps its own.
    pub idle_timeout: Span,
    /// How long requests in flight may take after SIGTERM.
    pub shutdown_timeout: Span,
}

/// `[source]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// The folder with originals.
    pub root: PathBuf,
    /// Folders outside of `root` that symbolic links in it may lead to, such as `shared/` of a deployment; elsewhere a link is
    /// a 404.
    pub links: Vec<PathBuf>,
    /// The most bytes of an original; larger ones are refused with 413.
    pub max_bytes: Bytes,
    /// How long it is believed that an original is as it was; `0s` looks at it on every request.
    pub revalidate: Span,
    /// The formats that originals may have.
    pub formats_in: Vec<String>,
}

/// `[cache]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// The folder for results. Where none is named, $CACHE_DIRECTORY, this one or $XDG_CACHE_HOME/tintype, the first that can
    /// be written. "none" keeps results in memory alone, for a read-only container; a folder of that name is "./none".
    pub dir: PathBuf,
    /// The most bytes that it takes on disk.
    pub max_bytes: Bytes,
    /// The most files in it.
    pub max_files: u64,
    /// Free bytes of the file system that are left to others.
    pub min_free: Bytes,
    /// The most bytes of results held in memory.
    pub memory: Bytes,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The most bytes of memory that renders may take, all together; what one alone would take more than is a 422.
    pub memory: Bytes,
    /// The most bytes of decoded originals that concurrent renders share; 0 shares none.
    pub decode_cache: Bytes,
    /// Renders at a time; 0 for one on each core.
    pub workers: usize,
    /// Renders that may wait; one more is refused with 503.
    pub queue: usize,
    /// What is sent for one that is refused: a 503 (`refuse`), or the untouched `original`, to be kept for ten seconds, if
    /// it is at most 2 MB and URLs need not be signed.
    pub overload: Overload,
    /// How long an image may take, waiting included; then it is a 504.
    pub deadline: Span,
    /// Renders that one client may cause in a second, 429 beyond; 0 for any number.
    pub rate: u32,
    /// Renders that one client may cause at once, after a while of none.
    pub burst: u32,
    /// Uploads at a time.
    pub uploads: usize,
    /// How long an upload may take to arrive.
    pub upload_timeout: Span,
}

/// What is sent for what there is no room to render.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Overload {
    /// 503.
    #[default]
    Refuse,
    /// The untouched original, to be kept for ten seconds, if it is at most 2 MB and every browser shows it; not where URLs
    /// must be signed, since whoever may have a small picture need not be allowed the whole one.
    Original,
}

/// `[security]`
#[derive(Clone, Debug, Default, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// Whether originals are taken in at `/-/upload`.
    pub upload: bool,
    /// Whether beacons at `/-/log` are logged.
    pub log_beacons: bool,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            listen: "127.0.0.1:8080".into(),
            admin_listen: String::new(),
            socket_mode: Mode(0o660),
            max_connections: 0,
            real_ip_from: Vec::new(),
            real_ip_header: "X-Forwarded-For".into(),
            x_accel: String::new(),
            drain_delay: Span(Duration::ZERO),
            header_timeout: Span(Duration::from_secs(10)),
            send_timeout: Span(Duration::from_secs(30)),
            // nginx keeps its own for 60 seconds by default, and it should be the one who closes
            idle_timeout: Span(Duration::from_secs(75)),
            shutdown_timeout: Span(Duration::from_secs(25)),
        }
    }
}

impl Default for Source {
    fn default() -> Self {
        let formats_in = render::Settings::default().formats_in.iter().map(|format| format.name().to_owned()).collect();
        Source {
            root: ".".into(),
            links: Vec::new(),
            max_bytes: Bytes(64 << 20),
            revalidate: Span(Duration::ZERO),
            formats_in,
        }
    }
}

impl Cache {
    /// The folder; `None` where results are kept in memory alone.
    pub fn folder(&self) -> Option<&Path> {
        // a folder of that name is written ./none, which is another path
        (self.dir.as_os_str() != "none").then_some(self.dir.as_path())
    }
}

impl Default for Cache {
    fn default() -> Self {
        Cache {
            dir: "/var/cache/tintype".into(),
            max_bytes: Bytes(10 << 30),
            max_files: 1_000_000,
            min_free: Bytes(1 << 30),
            memory: Bytes(64 << 20),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let settings = render::Settings::default();
        Limits {
            memory: Bytes(settings.max_memory),
            decode_cache: Bytes(64 << 20),
            workers: 0,
            queue: 128,
            overload: Overload::default(),
            deadline: Span(Duration::from_secs(30)),
            rate: 0,
            burst: 50,
            uploads: 4,
            upload_timeout: Span(Duration::from_secs(60)),
        }
    }
}
