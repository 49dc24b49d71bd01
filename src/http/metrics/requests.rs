//! Metrics of requests and connections.

use super::load;
use super::text::Text;
use crate::http::problem;
use crate::http::traffic::{Outcome, Traffic};

/// Statuses of images and of errors that are shown from the start; others once they were answered.
const IMAGE_STATUSES: [u16; 3] = [200, 206, 304];
const ERROR_STATUSES: [u16; 16] = [400, 403, 404, 405, 410, 413, 414, 415, 416, 422, 429, 431, 500, 502, 503, 504];

pub(super) fn requests(text: &mut Text, traffic: &Traffic) {
    answers(text, traffic);
    kinds(text, traffic);
    text.counter(
        "requests_abandoned_total",
        "Requests for images whose client disconnected before the answer.",
        load(&traffic.abandoned),
    );
    text.gauge("requests_in_flight", "Requests for images in flight.", traffic.in_flight());
}

/// By status, and by where they came from.
fn answers(text: &mut Text, traffic: &Traffic) {
    let mut family = text.counters(
        "requests_total",
        "Requests for images and requests with an invalid head, by status and by where the answer came from.",
    );
    for (outcome, result) in Outcome::ALL {
        let expected = if outcome == Outcome::Failure { ERROR_STATUSES.as_slice() } else { &IMAGE_STATUSES };
        for code in 100..1000 {
            let count = traffic.finished(outcome).with(code);
            if count > 0 || expected.contains(&code) {
                family.sample(&[("code", &code.to_string()), ("result", result)], count);
            }
        }
    }
    let mut family = text.histograms(
        "request_seconds",
        "Time from the head of a request for an image to the head of its answer, by where the answer came from.",
    );
    for (outcome, result) in Outcome::ALL {
        family.histogram(&[("result", result)], &traffic.finished(outcome).seconds);
    }
    let mut family = text.counters("body_bytes_total", "Bytes of the bodies of images, by where they came from.");
    for (outcome, result) in Outcome::ALL {
        family.sample(&[("result", result)], load(&traffic.finished(outcome).bytes));
    }
    let mut family =
        text.counters("failures_total", "Errors that were answered, under /-/ as well, by type of problem.");
    for (title, count) in traffic.failures() {
        family.sample(&[("kind", &problem::kind(title))], count);
    }
}

/// By their kind.
fn kinds(text: &mut Text, traffic: &Traffic) {
    text.counter(
        "fast_path_answers_total",
        "Requests for images that the fast path answered: hits and 304s out of memory.",
        load(&traffic.fast_path),
    );
    let mut family = text.counters(
        "unknown_params_total",
        "Requests with an unknown parameter that was ignored; html_entity counts those such as amp;height.",
    );
    for (kind, count) in traffic.unknown_params() {
        family.sample(&[("kind", kind)], count);
    }
    let mut family =
        text.counters("foreign_requests_total", "Requests for images with URLs of other systems, by dialect.");
    for (dialect, count) in traffic.foreign() {
        family.sample(&[("dialect", dialect)], count);
    }
    text.counter("preflights_total", "CORS preflight requests that were answered.", load(&traffic.preflights));
    // scrapes and health checks are not traffic; arbitrary paths must not become labels
    let mut family =
        text.counters("admin_requests_total", "Requests under /-/, such as scrapes and uploads, by class of status.");
    for (class, count) in traffic.admin() {
        family.sample(&[("class", class)], count);
    }
}

pub(super) fn connections(text: &mut Text, traffic: &Traffic) {
    text.gauge("connections", "Open connections, idle ones included.", traffic.connections());
    text.counter("connections_total", "Connections that were accepted.", load(&traffic.opened));
    text.counter("received_bytes_total", "Bytes read from connections, heads included.", load(&traffic.received));
    text.counter("sent_bytes_total", "Bytes written to connections, heads included.", load(&traffic.sent));
}
