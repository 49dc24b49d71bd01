//! `/-/metrics`: all counters, in the text format of Prometheus.
//!
//! `docs/metrics.md` is generated from this text, and tests check the dashboard and the alerts in `deploy/` against it.

mod process;
mod requests;
mod text;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::header;
use tintype_isolation::Reason;

use self::text::Text;
use super::state::State;
use crate::cache::FolderState;
use crate::cache::shared::{Counters, Event, SharedTier};
use crate::render::{Content, Format, PictureKind};
use crate::service::cluster::JournalStats;
use crate::service::renderer::Isolation;
use crate::service::stats::Stats;
use crate::service::workers::Class;
use crate::service::{Service, UpgradeOutcome};
use crate::source::RemoteStats;

/// The handler.
pub(super) async fn metrics(Shared(state): Shared<State>) -> Response {
    let mut text = Text::default();
    requests::requests(&mut text, &state.traffic);
    requests::connections(&mut text, &state.traffic);
    renders(&mut text, &state.service);
    isolation(&mut text, state.service.isolation());
    results(&mut text, state.service.stats());
    upgrades(&mut text, &state.service);
    queue(&mut text, &state.service);
    source(&mut text, &state.service);
    cache(&mut text, &state.service);
    shared(&mut text, state.service.shared().map(|tier| &**tier));
    journal(&mut text, &state.service);
    program(&mut text, &state);
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4"), (header::CACHE_CONTROL, "no-store")];
    (headers, text.finish()).into_response()
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn renders(text: &mut Text, service: &Service) {
    let (stats, workers) = (service.stats(), service.workers());
    let mut family = text.counters("answers_total", "Renditions that requests got, by where they came from.");
    for (result, counter) in [
        ("memory", &stats.memory_hits),
        ("disk", &stats.disk_hits),
        ("shared", &stats.shared_hits),
        ("miss", &stats.misses),
        ("collapsed", &stats.collapsed),
    ] {
        family.sample(&[("result", result)], load(counter));
    }
    text.counter("renders_total", "Renders that were started.", load(&stats.renders));
    let mut family = text.counters("pictures_total", "Finished renders, by what the picture shows.");
    for kind in [PictureKind::Photo, PictureKind::Drawing] {
        family.sample(&[("kind", kind.name())], load(stats.of_kind(kind)));
    }
    text.counter(
        "renders_damaged_total",
        "Renders of originals whose pixel data is truncated or corrupt, and that are shown as far as possible.",
        load(&stats.damaged),
    );
    text.counter(
        "renders_cancelled_total",
        "Renders that were cancelled, or not started, because all clients had disconnected.",
        load(&stats.cancelled),
    );
    text.counter("renders_refused_total", "Renders that were refused because of overload.", workers.refused());
    text.counter("uploads_total", "Originals that were uploaded.", load(&stats.uploads));
    text.counter(
        "originals_cut_off_total",
        "Answers with an original that were cut off because the file changed meanwhile.",
        load(&stats.cut_off),
    );
    text.gauge(
        "originals_buffered_bytes",
        "Bytes of originals that were read and not sent yet.",
        service.buffered_bytes(),
    );
    let mut family = text.histograms("stage_seconds", "Time of finished renders, by stage.");
    let stages = &stats.stages;
    for (stage, histogram) in [
        ("queue", &stages.queue),
        ("source", &stages.source),
        ("decode", &stages.decode),
        ("resize", &stages.resize),
        ("encode", &stages.encode),
    ] {
        family.histogram(&[("stage", stage)], histogram);
    }
}

/// Zeros where this process renders.
fn isolation(text: &mut Text, isolation: Option<Isolation>) {
    let mut family =
        text.gauges("isolation", "1 for each layer that holds in the processes that render, 0 for the others.");
    let (landlock, seccomp) = isolation.as_ref().map_or((false, false), |isolation| isolation.layers());
    family.sample(&[("layer", "landlock")], u8::from(landlock));
    family.sample(&[("layer", "seccomp")], u8::from(seccomp));
    let stats = isolation.map(|isolation| isolation.stats).unwrap_or_default();
    text.counter("workers_started_total", "Worker processes that were started, recycled ones included.", stats.started);
    text.counter(
        "workers_recycled_total",
        "Worker processes that were replaced for their age or size.",
        stats.recycled,
    );
    text.counter("worker_failed_starts_total", "Worker processes that could not be started.", stats.failed_starts);
    let mut family = text.counters(
        "worker_deaths_total",
        "Worker processes that died or were killed, by reason; cancelled and deadline stopped an encoder.",
    );
    for reason in Reason::LABELS {
        family.sample(&[("reason", reason)], stats.deaths.get(reason).copied().unwrap_or(0));
    }
}

fn results(text: &mut Text, stats: &Stats) {
    // the original may be the smallest result, in any format
    let is_shown =
        |format: &Format| format.is_output() || load(&stats.rendered(Content::Image(*format)).renditions) > 0;
    let contents = || {
        let images = Format::all().filter(is_shown).map(|format| (format.name(), Content::Image(format)));
        images.chain([("json", Content::Json)]).map(|(name, content)| (name, stats.rendered(content)))
    };
    let mut family = text.counters("rendered_total", "Renders that were finished, by format of the result.");
    contents().for_each(|(name, made)| family.sample(&[("format", name)], load(&made.renditions)));
    let mut family = text.counters("rendered_bytes_total", "Bytes of results, by format.");
    contents().for_each(|(name, made)| family.sample(&[("format", name)], load(&made.bytes)));
    let mut family =
        text.counters("rendered_original_bytes_total", "Bytes of the originals of results, by format of the result.");
    contents().for_each(|(name, made)| family.sample(&[("format", name)], load(&made.original_bytes)));
    let mut family = text.gauges(
        "rendered_saved_bytes",
        "Bytes of originals minus bytes of their results, by format of the result; negative if results are larger.",
    );
    contents().for_each(|(name, made)| {
        let (before, after) = (load(&made.original_bytes), load(&made.bytes));
        family.sample(&[("format", name)], i128::from(before) - i128::from(after));
    });
}

fn upgrades(text: &mut Text, service: &Service) {
    let stats = service.stats();
    let mut family = text.counters(
        "upgrades_total",
        "Renditions that were encoded again in idle time, by result; kept ones would not have become smaller.",
    );
    for (result, counter) in UpgradeOutcome::NAMES.into_iter().zip(&stats.upgrades) {
        family.sample(&[("result", result)], load(counter));
    }
    text.counter("upgrade_saved_bytes_total", "Bytes that upgrades saved of the files.", load(&stats.upgrade_saved));
    text.counter(
        "upgrade_cpu_seconds_total",
        "CPU time of upgrades, those without a result included.",
        load(&stats.upgrade_cpu) as f64 / 1e9,
    );
    text.gauge("upgrade_candidates", "Renditions that wait for an upgrade.", service.upgrade_candidates());
}

fn queue(text: &mut Text, service: &Service) {
    let workers = service.workers();
    text.gauge("workers", "Concurrent renders at most.", workers.count());
    text.gauge("workers_busy", "Renders that are running.", workers.busy());
    text.gauge("queue_length", "Renders that are waiting for a worker.", workers.waiting());
    text.gauge("queue_max_length", "Renders that may wait at most; more are refused.", service.bounds().queue);
    let mut family = text.gauges("queue_class_length", "Renders that are waiting for a worker, by class of work.");
    family.sample(&[("class", "light")], workers.waiting_in(Class::Light));
    family.sample(&[("class", "heavy")], workers.waiting_in(Class::Heavy));
    text.gauge("render_memory_bytes", "Bytes of memory that are reserved by running renders.", workers.memory());
    text.gauge(
        "render_memory_max_bytes",
        "Bytes of memory that all renders may reserve at most.",
        service.bounds().memory,
    );
    text.gauge(
        "decode_cache_bytes",
        "Bytes of decoded originals that concurrent renders share, or that are reserved for them.",
        service.decode_cache_bytes(),
    );
    text.gauge("decode_cache_max_bytes", "Bytes of the decode cache at most.", service.bounds().decode_cache);
}

/// Zeros where originals are in a folder.
fn source(text: &mut Text, service: &Service) {
    let RemoteStats { requests, waiting, is_sick, cached, max_cached_bytes } =
        service.remote_stats().unwrap_or_default();
    let mut family = text.counters(
        "source_requests_total",
        "Requests to the origin of originals, by kind and by result: its status, or why there was none.",
    );
    for (kind, result, count) in requests.all() {
        family.sample(&[("kind", kind), ("result", result)], count);
    }
    text.counter(
        "source_stale_served_total",
        "Answers whose original may have changed, since its origin fails.",
        load(&service.stats().stale),
    );
    for (name, help, value) in [
        ("source_fetches_waiting", "Requests to the origin that wait because too many are under way.", waiting),
        ("source_sick", "1 if the origin fails and is only asked now and then, 0 otherwise.", u64::from(is_sick)),
        ("source_cache_files", "Originals of the origin that are kept on disk.", cached.files),
        ("source_cache_bytes", "Bytes of these originals, in whole blocks.", cached.bytes),
        ("source_cache_max_bytes", "Bytes of these originals at most.", max_cached_bytes),
    ] {
        text.gauge(name, help, value);
    }
}

fn cache(text: &mut Text, service: &Service) {
    let (stats, usage, bounds) = (service.cache_stats(), service.cache_usage(), service.cache_config());
    let (memory_entries, memory_bytes) = service.cache_memory();
    let (memfd_files, memfd_bytes) = service.memfd_usage();
    let folder = service.cache_folder_state();
    for (name, help, value) in [
        ("cache_files", "Files of the cache, including those being written or removed.", usage.files),
        ("cache_max_files", "Files of the cache at most.", bounds.max_files),
        ("cache_bodies", "Bodies in these files; equal ones are stored once.", usage.bodies),
        ("cache_bytes", "Bytes of the cache folder, in whole blocks.", usage.bytes),
        ("cache_max_bytes", "Bytes of the cache folder at most.", bounds.max_bytes),
        ("cache_foreign_files", "Files in the cache folder that do not belong to tintype.", usage.foreign),
        ("cache_pending_bytes", "Bytes that are waiting to be written.", usage.pending),
        ("cache_memory_entries", "Renditions in memory.", memory_entries),
        ("cache_memory_bytes", "Bytes of renditions in memory.", memory_bytes),
        ("cache_memory_max_bytes", "Bytes of renditions in memory at most.", bounds.memory),
        (
            "memfd_files",
            "Renditions in memory that have a file descriptor (memfd), including those being sent.",
            memfd_files,
        ),
        ("memfd_bytes", "Bytes of these memfds, which are not part of resident memory.", memfd_bytes),
        (
            "cache_writable",
            "1 if this process can store renditions on disk, 0 otherwise.",
            u64::from(folder == FolderState::Open),
        ),
    ] {
        text.gauge(name, help, value);
    }
    let mut family = text.gauges("cache_state", "1 for the state of the cache folder, 0 for the other states.");
    for (state, name) in FolderState::ALL {
        family.sample(&[("state", name)], u8::from(state == folder));
    }
    text.gauge(
        "cache_scan_progress",
        "How much of the cache folder was read since the start, from 0 to 1.",
        usage.scanned,
    );
    for (name, help, counter) in [
        ("cache_stored_total", "Renditions that were stored on disk, including linked ones.", &stats.stored),
        (
            "cache_linked_total",
            "Renditions that were stored as another name of a file with equal bytes.",
            &stats.linked,
        ),
        ("cache_not_stored_total", "Renditions that could not be written.", &stats.not_stored),
        ("cache_evicted_total", "Files that were evicted.", &stats.evicted),
        ("cache_corrupt_total", "Files that were found corrupt and removed.", &stats.corrupt),
        ("cache_strays_total", "Unfinished files of killed processes that were removed.", &stats.strays),
    ] {
        text.counter(name, help, load(counter));
    }
}

/// Zeros where nothing is shared.
fn shared(text: &mut Text, tier: Option<&SharedTier>) {
    let counters = tier.map(SharedTier::counters);
    let mut family = text.counters(
        "shared_requests_total",
        "Requests to the shared bucket, by operation and result; skipped ones were not sent. mark is the record of an original's name.",
    );
    for (event, operation, result) in Event::ALL {
        let count = counters.map_or(0, |counters| counters.of(event));
        family.sample(&[("op", operation), ("result", result)], count);
    }
    text.counter(
        "shared_hedged_total",
        "Renders that started because the shared bucket did not answer in time.",
        counters.map_or(0, Counters::hedged),
    );
    text.gauge(
        "shared_queue_bytes",
        "Bytes of results that wait to be written to the shared bucket.",
        tier.map_or(0, SharedTier::queue_bytes),
    );
    let mut family = text.gauges(
        "shared_open",
        "1 while the shared bucket is not asked since it failed (an open circuit breaker), by operation, 0 otherwise.",
    );
    family.sample(&[("op", "get")], u8::from(tier.is_some_and(SharedTier::is_open)));
    family.sample(&[("op", "put")], u8::from(tier.is_some_and(SharedTier::is_open_for_writes)));
}

/// Zeros where no bucket is shared.
fn journal(text: &mut Text, service: &Service) {
    let JournalStats { lag, written, applied, skipped } = service.journal_stats();
    text.gauge(
        "purge_journal_lag_seconds",
        "Time since the purges of other servers were last read from the shared bucket.",
        lag.as_secs_f64(),
    );
    let mut family = text.counters(
        "purge_journal_entries_total",
        "Entries of the journal of purges: written for the other servers, applied here, or skipped since they are not valid.",
    );
    for (result, count) in [("written", written), ("applied", applied), ("skipped", skipped)] {
        family.sample(&[("result", result)], count);
    }
}

fn program(text: &mut Text, state: &State) {
    text.counter(
        "log_lines_dropped_total",
        "Log lines that were dropped because standard error was not read fast enough.",
        state.log.as_ref().map_or(0, |log| log.dropped()),
    );
    let codecs = if cfg!(feature = "native") { "native" } else { "pure" };
    text.gauges("build_info", "1, labelled with the version and the codecs of this build.")
        .sample(&[("version", env!("CARGO_PKG_VERSION")), ("codecs", codecs)], 1);
    let since = state.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    text.gauge("process_start_time_seconds", "Start time of the process, in unix seconds.", since.as_secs_f64());
    process::write(text);
}
