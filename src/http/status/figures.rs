//! All numbers of the status page at one time.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::cache::FolderState;
use crate::http::history::{Failure, INTERVAL, Sample, Slow};
use crate::http::state::State;

/// The numbers of one page.
pub(super) struct Figures {
    pub(super) uptime: u64,
    pub(super) is_draining: bool,
    pub(super) folder: &'static str,
    pub(super) now: Sample,
    /// At equal distances, the oldest first.
    pub(super) samples: Vec<Sample>,
    pub(super) connections: u64,
    pub(super) in_flight: u64,
    pub(super) refused: u64,
    pub(super) bounds: Bounds,
    pub(super) files: u64,
    pub(super) hot: (u64, u64),
    pub(super) errors: Vec<Failure>,
    pub(super) slowest: Vec<Slow>,
    /// Whether purges are possible.
    pub(super) can_purge: bool,
}

/// The bounds that the numbers are compared with.
pub(super) struct Bounds {
    pub(super) workers: u64,
    pub(super) queue: u64,
    pub(super) memory: u64,
    pub(super) disk: u64,
    pub(super) files: u64,
    pub(super) hot: u64,
}

impl Figures {
    pub(super) fn of(state: &State) -> Figures {
        let (service, traffic) = (&state.service, &state.traffic);
        let (limits, cache) = (service.bounds(), service.cache_config());
        let now = Sample::now(traffic, service);
        let samples = state.history.samples();
        let folder = service.cache_folder_state();
        Figures {
            uptime: SystemTime::now().duration_since(state.started).map_or(0, |since| since.as_secs()),
            is_draining: state.draining.load(Ordering::Relaxed),
            folder: match folder {
                FolderState::Open => "open",
                FolderState::InUse => "in use by another process",
                FolderState::Unusable => "unusable",
                FolderState::None => "none: results are in memory only",
            },
            now,
            samples,
            connections: traffic.connections(),
            in_flight: traffic.in_flight(),
            refused: service.workers().refused(),
            bounds: Bounds {
                workers: service.workers().count() as u64,
                queue: limits.queue as u64,
                memory: limits.memory,
                disk: if folder == FolderState::None { 0 } else { cache.max_bytes },
                files: cache.max_files,
                hot: cache.memory,
            },
            files: service.cache_usage().files,
            hot: service.cache_memory(),
            errors: state.history.errors(),
            slowest: state.history.slowest(),
            can_purge: !state.live.load().config.admin_token.is_empty(),
        }
    }

    /// The share of renditions that were found since the start.
    pub(super) fn hit_ratio(&self) -> Option<f64> {
        self.now.hit_ratio(&Sample::default())
    }

    pub(super) fn to_json(&self) -> Value {
        let Figures { now, bounds, .. } = self;
        let of = |used: u64, bound: u64| json!({ "used": used, "bound": bound });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": self.uptime,
            "draining": self.is_draining,
            "cache_folder": self.folder,
            "requests": now.requests,
            "hits": now.hits,
            "misses": now.misses,
            "originals": now.originals,
            "failures": now.failures,
            "renders": now.renders,
            "refused": self.refused,
            "sent_bytes": now.sent,
            "hit_ratio": self.hit_ratio(),
            "connections": self.connections,
            "in_flight": self.in_flight,
            "workers": of(now.busy, bounds.workers),
            "queue": of(now.waiting, bounds.queue),
            "memory": of(now.memory, bounds.memory),
            "disk": of(now.disk, bounds.disk),
            "files": of(self.files, bounds.files),
            "hot": { "renditions": self.hot.0, "used": self.hot.1, "bound": bounds.hot },
            "sample_seconds": INTERVAL.as_secs(),
            "samples": self.samples.iter().map(sample).collect::<Vec<_>>(),
            "errors": self.errors.iter().map(error).collect::<Vec<_>>(),
            "slowest": self.slowest.iter().map(slow).collect::<Vec<_>>(),
        })
    }
}

fn sample(sample: &Sample) -> Value {
    let Sample { requests, hits, misses, failures, renders, sent, waiting, busy, memory, disk, originals } = *sample;
    json!({
        "requests": requests, "hits": hits, "misses": misses, "originals": originals, "failures": failures,
        "renders": renders, "sent_bytes": sent, "waiting": waiting, "busy": busy, "memory_bytes": memory,
        "disk_bytes": disk,
    })
}

fn error(failure: &Failure) -> Value {
    let Failure { time, status, title, url, detail } = failure;
    let time = httpdate::fmt_http_date(*time);
    json!({ "time": time, "status": status, "title": title, "url": url, "detail": detail })
}

fn slow(slow: &Slow) -> Value {
    let Slow { id, longest, renders } = slow;
    json!({ "path": id, "longest_ms": longest.as_millis() as u64, "renders": renders })
}
