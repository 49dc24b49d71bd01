//! The answer of the fast path.

use std::cell::RefCell;
use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};

use super::super::access::{self, Entry};
use super::super::app::App;
use super::super::conditions;
use super::super::headers::{self, PreparedHeaders};
use super::super::request_id::{self, X_REQUEST_ID};
use super::super::traffic::Outcome;
use super::head::PlainRequest;
use crate::cache::MemfdBytes;
use crate::clock;
use crate::dialect::native;
use crate::render::{Content, Format};
use crate::service::Payload;

/// The body of an answer; empty in a 304.
#[derive(Default)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
    /// The file that holds the bytes.
    pub(super) memfd: Option<MemfdBytes>,
}

/// The answer to a plain request whose rendition is in memory; its head is written to `head`. `None` leaves the request to
/// the slow path.
pub(super) fn answer(app: &App, request: &PlainRequest<'_>, head: &mut Vec<u8>) -> Option<Body> {
    let state = app.state();
    let live = state.live.load();
    if !app.serves_images() || !live.config.fast_path || live.config.server_timing || state.x_accel.is_some() {
        return None;
    }
    let started = Instant::now();
    let now = clock::seconds();
    let parsed = live.requests.get(request.target, request.accept, request.hints, now)?;
    let target = &parsed.target;
    let answer = state.service.in_memory(&live.settings, &target.id, target.recipe.as_ref()?, &parsed.key)?;
    if target.refuses_svg && answer.content == Content::Image(Format::Svg) {
        return None;
    }
    let modified = answer.modified.map(headers::whole_seconds);
    let prepared = headers::prepare(target, &answer, modified, &parsed.headers);
    let is_unchanged = request.is_conditional()
        && conditions::is_not_modified(request.if_none_match(), request.if_modified_since, prepared.etag(), modified);
    let Payload::Memory { bytes, memfd } = answer.payload else { return None };
    let (status, body) = match is_unchanged {
        true => (StatusCode::NOT_MODIFIED, Body::default()),
        false => (StatusCode::OK, Body { bytes, memfd }),
    };

    write_status(head, status, &prepared);
    let varies_by_origin = live.config.allow_origin.extend_vary(head);
    let id = write_line(head, X_REQUEST_ID.as_str(), |head| match request.id {
        Some(id) => head.extend_from_slice(id.as_bytes()),
        None => request_id::write_new(head),
    });
    live.config.allow_origin.write(head, varies_by_origin, request.origin);
    write_line(head, header::DATE.as_str(), |head| write_date(head, now));
    head.extend_from_slice(b"\r\n");

    state.traffic.fast_path.fetch_add(1, Ordering::Relaxed);
    state.traffic.count_unknown(parsed.unknown);
    let dialect = Some(target.dialect).filter(|name| *name != native::NAME);
    dialect.into_iter().for_each(|name| state.traffic.count_dialect(name));
    state.traffic.record(started, status, Outcome::of(answer.found), body.bytes.len() as u64);
    if access::is_enabled() {
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        let entry = Entry {
            id: std::str::from_utf8(&head[id]).unwrap_or("-"),
            client: state.proxies.client_by(app.peer(), request.forwarded.iter().copied()),
            method: "GET",
            path,
            query,
            status,
            // none of those in the log is in a 304
            headers: if is_unchanged { &HeaderMap::new() } else { prepared.headers() },
            duration: started.elapsed(),
            dialect,
        };
        entry.write(state.access.as_deref());
    }
    Some(body)
}

/// Writes the status line and the prepared headers (RFC 9112 §4).
fn write_status(head: &mut Vec<u8>, status: StatusCode, prepared: &PreparedHeaders) {
    head.clear();
    let (line, headers): (&[u8], _) = match status {
        StatusCode::NOT_MODIFIED => (b"HTTP/1.1 304 Not Modified\r\n", prepared.not_modified_lines()),
        _ => (b"HTTP/1.1 200 OK\r\n", prepared.lines()),
    };
    head.extend_from_slice(line);
    head.extend_from_slice(headers);
}

/// Writes a header line; returns where its value stands.
fn write_line(head: &mut Vec<u8>, name: &str, value: impl FnOnce(&mut Vec<u8>)) -> std::ops::Range<usize> {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    let start = head.len();
    value(head);
    let end = head.len();
    head.extend_from_slice(b"\r\n");
    start..end
}

/// Writes a time in unix seconds as the value of `Date` (RFC 9110 §6.6.1).
fn write_date(out: &mut Vec<u8>, now: u64) {
    thread_local! {
        /// The second that was written last, and its text.
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != now {
            text.clear();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(now);
            // writing to memory does not fail
            let _ = write!(text, "{}", httpdate::HttpDate::from(time));
            *second = now;
        }
        out.extend_from_slice(text.as_bytes());
    });
}
