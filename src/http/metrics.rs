//! `/-/metrics`: everything that is counted, as Prometheus reads it.
//!
//! `docs/metrics.md` is made from this text, and the dashboard and the alerts in `deploy/` are held to it by tests.

mod process;
mod text;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use http::header;

use self::text::Text;
use super::traffic::{Outcome, Traffic};
use super::{State, problem};
use crate::cache::FolderState;
use crate::render::{Content, Format};
use crate::service::Service;
use crate::service::workers::Class;

/// All metrics.
pub(super) async fn metrics(Shared(state): Shared<State>) -> Response {
    let mut text = Text::default();
    requests(&mut text, &state.traffic);
    renders(&mut text, &state.service);
    cache(&mut text, &state.service);
    program(&mut text, &state);
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4"), (header::CACHE_CONTROL, "no-store")];
    (headers, text.finish()).into_response()
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Statuses of images, and of failures to give one; others are told once they were answered.
const OF_IMAGES: [u16; 3] = [200, 206, 304];
const OF_FAILURES: [u16; 16] = [400, 403, 404, 405, 410, 413, 414, 415, 416, 422, 429, 431, 500, 502, 503, 504];

fn requests(text: &mut Text, traffic: &Traffic) {
    let mut family = text.counters(
        "requests_total",
        "Requests for images, or with heads that are none, by status and by where the answer came from.",
    );
    for (outcome, result) in Outcome::ALL {
        let expected = if outcome == Outcome::Failure { OF_FAILURES.as_slice() } else { &OF_IMAGES };
        for code in 100..1000 {
            let count = traffic.ended(outcome).with(code);
            if count > 0 || expected.contains(&code) {
                family.sample(&[("code", &code.to_string()), ("result", result)], count);
            }
        }
    }
    let mut family =
        text.histograms("request_seconds", "From a request's head to its answer's, by where it came from.");
    for (outcome, result) in Outcome::ALL {
        family.histogram(&[("result", result)], &traffic.ended(outcome).seconds);
    }
    let mut family = text.counters("body_bytes_total", "Bytes of the bodies of answers, by where they came from.");
    for (outcome, result) in Outcome::ALL {
        family.sample(&[("result", result)], load(&traffic.ended(outcome).bytes));
    }
    let mut family =
        text.counters("failures_total", "Requests that failed, those under /-/ as well, by the type of the problem.");
    for (title, count) in traffic.failures() {
        family.sample(&[("kind", &problem::kind(title))], count);
    }
    text.counter(
        "fast_path_answers_total",
        "Requests for images that were answered from memory before the HTTP library saw them.",
        load(&traffic.fast_path),
    );
    let mut family = text.counters(
        "unknown_params_total",
        "Requests with a parameter that is not known and was ignored; an HTML entity is one such as amp;height.",
    );
    for (kind, count) in traffic.unknown_params() {
        family.sample(&[("kind", kind)], count);
    }
    text.counter(
        "preflights_total",
        "Preflight requests of browsers (CORS) that were answered.",
        load(&traffic.preflights),
    );
    // scrapes and health checks are no traffic, and their paths no labels
    let mut family =
        text.counters("admin_requests_total", "Requests under /-/, such as scrapes and uploads, by class of status.");
    for (class, count) in traffic.beside() {
        family.sample(&[("class", class)], count);
    }
    text.counter(
        "requests_abandoned_total",
        "Requests for images whose client left before the answer.",
        load(&traffic.abandoned),
    );
    text.gauge("requests_in_flight", "Requests for images that are being answered.", traffic.in_flight());
    text.gauge("connections", "Connections that are open, idle ones too.", traffic.connections());
    text.counter("connections_total", "Connections that came in.", load(&traffic.opened));
    text.counter("received_bytes_total", "Bytes read from connections, heads included.", load(&traffic.received));
    text.counter("sent_bytes_total", "Bytes written to connections, heads included.", load(&traffic.sent));
}

fn renders(text: &mut Text, service: &Service) {
    let (stats, workers) = (service.stats(), service.workers());
    let mut family = text.counters("answers_total", "Renditions had, by where they came from.");
    for (result, counter) in [
        ("memory", &stats.memory_hits),
        ("disk", &stats.disk_hits),
        ("miss", &stats.misses),
        ("collapsed", &stats.collapsed),
    ] {
        family.sample(&[("result", result)], load(counter));
    }
    text.counter("renders_total", "Renders begun.", load(&stats.renders));
    text.counter(
        "renders_damaged_total",
        "Renders of originals whose pixel data is truncated or corrupt.",
        load(&stats.damaged),
    );
    text.counter(
        "renders_cancelled_total",
        "Renders cancelled or not started because all their clients had left.",
        load(&stats.cancelled),
    );
    text.counter(
        "renders_refused_total",
        "Renders refused because the queue was full or the wait too long.",
        workers.refused(),
    );
    text.counter("uploads_total", "Uploaded originals.", load(&stats.uploads));
    text.counter(
        "originals_cut_off_total",
        "Answers with an original that ended early because it was changed in place meanwhile.",
        load(&stats.cut_off),
    );
    text.gauge(
        "originals_buffered_bytes",
        "Bytes of originals that were read to be sent, and have not been sent yet.",
        service.buffered_bytes(),
    );
    let mut family = text.histograms("stage_seconds", "What the time of finished renders went to, by stage.");
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
    // an original may be its own smallest rendition, in whichever format it has
    let is_told = |format: &Format| format.is_output() || load(&stats.rendered(Content::Image(*format)).renditions) > 0;
    let contents = || {
        let images = Format::all().filter(is_told).map(|format| (format.name(), Content::Image(format)));
        images.chain([("json", Content::Json)]).map(|(name, content)| (name, stats.rendered(content)))
    };
    let mut family = text.counters("rendered_total", "Renders finished, by the format of the result.");
    contents().for_each(|(name, made)| family.sample(&[("format", name)], load(&made.renditions)));
    let mut family = text.counters("rendered_bytes_total", "Bytes of what was rendered, by its format.");
    contents().for_each(|(name, made)| family.sample(&[("format", name)], load(&made.bytes)));
    let mut family = text.counters(
        "rendered_original_bytes_total",
        "Bytes of the originals of what was rendered, by the result's format.",
    );
    contents().for_each(|(name, made)| family.sample(&[("format", name)], load(&made.original_bytes)));
    let mut family = text.gauges(
        "rendered_saved_bytes",
        "Bytes of originals less those of their renditions; below 0 where these are larger.",
    );
    contents().for_each(|(name, made)| {
        let (before, after) = (load(&made.original_bytes), load(&made.bytes));
        family.sample(&[("format", name)], i128::from(before) - i128::from(after));
    });
    text.gauge("workers", "Renders that may run at a time.", workers.count());
    text.gauge("workers_busy", "Running renders.", workers.busy());
    text.gauge("queue_length", "Waiting renders.", workers.waiting());
    text.gauge("queue_max_length", "Renders that may wait; one more is refused.", service.bounds().queue);
    let mut family = text.gauges(
        "queue_class_length",
        "Waiting renders by class: light, or heavy (AVIF, lossless, very large originals).",
    );
    family.sample(&[("class", "light")], workers.waiting_in(Class::Light));
    family.sample(&[("class", "heavy")], workers.waiting_in(Class::Heavy));
    text.gauge("render_memory_bytes", "Bytes of memory granted to running renders.", workers.memory());
    text.gauge(
        "render_memory_max_bytes",
        "Bytes of memory that all renders may take together.",
        service.bounds().memory,
    );
    text.gauge(
        "decoded_bytes",
        "Bytes of decoded originals kept for a moment or put by for those being decoded.",
        service.decoded_bytes(),
    );
    text.gauge("decoded_max_bytes", "The most bytes of decoded originals kept.", service.bounds().decoded);
}

fn cache(text: &mut Text, service: &Service) {
    let (stats, usage, bounds) = (service.cache_stats(), service.cache_usage(), service.cache_config());
    let (memory_entries, memory_bytes) = service.cache_memory();
    let (sealed_files, sealed_bytes) = service.sealed_memory();
    let folder = service.cache_folder_state();
    for (name, help, value) in [
        ("cache_files", "Files of the cache, with those being written or removed.", usage.files),
        ("cache_max_files", "The most files that it may have.", bounds.max_files),
        ("cache_bodies", "Bodies in these files; equal ones take their space once.", usage.bodies),
        ("cache_bytes", "Bytes of the cache folder, in whole blocks.", usage.bytes),
        ("cache_max_bytes", "The most bytes that it may take.", bounds.max_bytes),
        ("cache_foreign_files", "Files in the cache folder that are not tintype's.", usage.foreign),
        ("cache_pending_bytes", "Bytes waiting to be written.", usage.pending),
        ("cache_memory_entries", "Renditions held in memory.", memory_entries),
        ("cache_memory_bytes", "Bytes held in memory.", memory_bytes),
        ("cache_memory_max_bytes", "The most bytes held in memory.", bounds.memory),
        ("sealed_files", "Renditions in memory that have a file descriptor, with those being sent.", sealed_files),
        ("sealed_bytes", "Bytes that they take; they do not show in resident memory.", sealed_bytes),
        ("cache_writable", "Whether this process can keep renditions on disk.", u64::from(folder == FolderState::Open)),
    ] {
        text.gauge(name, help, value);
    }
    let mut family = text.gauges("cache_state", "1 for how this process has the cache folder, 0 for the other ways.");
    for (state, name) in FolderState::ALL {
        family.sample(&[("state", name)], u8::from(state == folder));
    }
    text.gauge("cache_scan_progress", "How much of the folder has been read in, from 0 to 1.", usage.scanned);
    for (name, help, counter) in [
        ("cache_stored_total", "Renditions kept on disk, linked ones too.", &stats.stored),
        ("cache_linked_total", "Renditions that became another name of a file with equal bytes.", &stats.linked),
        ("cache_not_stored_total", "Renditions that could not be written.", &stats.not_stored),
        ("cache_evicted_total", "Files removed to make room.", &stats.evicted),
        ("cache_corrupt_total", "Files found damaged and removed.", &stats.corrupt),
        ("cache_strays_total", "Files that killed processes left unfinished, removed.", &stats.strays),
    ] {
        text.counter(name, help, load(counter));
    }
}

fn program(text: &mut Text, state: &State) {
    text.counter(
        "log_lines_dropped_total",
        "Lines of the log that were dropped because standard error did not take them.",
        state.log.as_ref().map_or(0, |log| log.dropped()),
    );
    let codecs = if cfg!(feature = "native") { "native" } else { "pure" };
    text.gauges("build_info", "1, for what this program is.")
        .sample(&[("version", env!("CARGO_PKG_VERSION")), ("codecs", codecs)], 1);
    let since = state.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    text.gauge("process_start_time_seconds", "When it started, in unix seconds.", since.as_secs_f64());
    process::write(text);
}
