//! Counters in Prometheus' text format (version 0.0.4).

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::header;

use super::State;

/// All metrics. Every name begins with `tintype_`.
pub(super) async fn metrics(Shared(state): Shared<State>) -> Response {
    let service = &state.service;
    let (stats, cache, workers) = (service.stats(), service.cache_stats(), service.workers());
    let (usage, bounds) = (service.cache_usage(), service.cache_config());
    let (memory_entries, memory_bytes) = service.cache_memory();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let seconds = |counter: &AtomicU64| count(counter) as f64 / 1e6;

    let mut text = Text::default();
    text.head("answers_total", "counter", "Renditions answered, by where they came from.");
    for (result, counter) in [
        ("memory", &stats.memory_hits),
        ("disk", &stats.disk_hits),
        ("miss", &stats.misses),
        ("collapsed", &stats.collapsed),
    ] {
        text.value("answers_total", &format!("{{result=\"{result}\"}}"), count(counter) as f64);
    }
    text.one("renders_total", "counter", "Renders begun.", count(&stats.renders) as f64);
    text.one("uploads_total", "counter", "Originals taken in.", count(&stats.uploads) as f64);
    text.head("render_seconds_total", "counter", "Time spent rendering, by stage.");
    for (stage, counter) in [("decode", &stats.decode_us), ("resize", &stats.resize_us), ("encode", &stats.encode_us)] {
        text.value("render_seconds_total", &format!("{{stage=\"{stage}\"}}"), seconds(counter));
    }
    text.one("workers", "gauge", "Renders that may run at a time.", workers.count() as f64);
    text.one("workers_busy", "gauge", "Renders running.", workers.busy() as f64);
    text.one("queue_length", "gauge", "Renders waiting for a worker.", workers.waiting() as f64);
    for (name, help, value) in [
        ("cache_files", "Files of the cache, with those being written or removed.", usage.files),
        ("cache_max_files", "The most files that it may have.", bounds.max_files),
        ("cache_bytes", "Bytes of the cache folder, in whole blocks.", usage.bytes),
        ("cache_max_bytes", "The most bytes that it may take.", bounds.max_bytes),
        ("cache_foreign_files", "Files in the cache folder that are not tintype's.", usage.foreign),
        ("cache_pending_bytes", "Bytes waiting to be written.", usage.pending),
        ("cache_memory_entries", "Renditions held in memory.", memory_entries),
        ("cache_memory_bytes", "Bytes held in memory.", memory_bytes),
        ("cache_memory_max_bytes", "The most bytes held in memory.", bounds.memory),
        ("decoded_bytes", "Bytes of decoded originals kept for a moment.", service.decoded_bytes()),
        ("cache_writable", "Whether renditions can be kept on disk.", service.is_cache_writable().into()),
    ] {
        text.one(name, "gauge", help, value as f64);
    }
    text.one("cache_scan_progress", "gauge", "How much of the folder has been read in, from 0 to 1.", usage.scanned);
    for (name, help, counter) in [
        ("cache_stored_total", "Renditions written to disk.", &cache.stored),
        ("cache_not_stored_total", "Renditions that could not be written.", &cache.not_stored),
        ("cache_evicted_total", "Files removed to make room.", &cache.evicted),
        ("cache_corrupt_total", "Files found damaged and removed.", &cache.corrupt),
        ("cache_strays_total", "Files that killed processes left unfinished, removed.", &cache.strays),
    ] {
        text.one(name, "counter", help, count(counter) as f64);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4"), (header::CACHE_CONTROL, "no-store")], text.0).into_response()
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // writing to a String does not fail
        let _ = writeln!(self.0, "# HELP tintype_{name} {help}\n# TYPE tintype_{name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "tintype_{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        self.value(name, "", value);
    }
}
