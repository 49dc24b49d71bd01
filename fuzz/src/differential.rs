//! Targets that compare two ways to the same answer: the fast path with hyper's, and a query with its canonical form.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use tintype::dialect::native::query;
use tintype::http::server::{Listener, Timeouts, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::world::{WORLD, new_app};

/// Two servers with the same image behind every name: one answers hits by the fast path, the other by hyper alone.
struct Pair {
    runtime: tokio::runtime::Runtime,
    /// The sockets, that of the fast path first.
    sockets: [PathBuf; 2],
    _folder: tempfile::TempDir,
}

thread_local! {
    static PAIR: RefCell<Pair> = RefCell::new(Pair::new());
}

impl Pair {
    fn new() -> Pair {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let sockets = [true, false].map(|fast_path| {
            let socket = folder.path().join(format!("{fast_path}.socket"));
            let app = new_app(&folder.path().join(fast_path.to_string()), fast_path);
            let address = format!("unix:{}", socket.display());
            let listener = runtime.block_on(Listener::bind(&address, 0o600)).expect("a socket");
            let timeout = Duration::from_secs(5);
            let timeouts = Timeouts { header: timeout, send: timeout, idle: timeout };
            let permits = Arc::new(tokio::sync::Semaphore::new(8));
            runtime.spawn(serve(listener, app, permits, timeouts, std::future::pending(), timeout));
            socket
        });
        Pair { runtime, sockets, _folder: folder }
    }

    /// The bytes of one connection that a server sends for those of a client.
    fn talk(&self, socket: &Path, sent: &[u8]) -> Vec<u8> {
        self.runtime.block_on(async {
            let mut stream = UnixStream::connect(socket).await.expect("it listens");
            // the server may have closed it already
            let _ = stream.write_all(sent).await;
            let _ = stream.shutdown().await;
            let mut received = Vec::new();
            let _ = stream.read_to_end(&mut received).await;
            received
        })
    }
}

/// Bytes of a connection, sent to both servers: first for what is not cached, then for what is in memory.
pub(super) fn fast_path(data: &[u8]) {
    PAIR.with_borrow(|pair| {
        for _ in 0..2 {
            let [fast, slow] = pair.sockets.each_ref().map(|socket| constant(&pair.talk(socket, data)));
            assert_eq!(fast, slow);
        }
    });
}

/// The lines of answers without what differs from request to request.
fn constant(received: &[u8]) -> Vec<String> {
    const DIFFERENT: [&str; 5] = ["date: ", "x-request-id: ", "cache-status: ", "content-length: ", "server-timing: "];
    let text = String::from_utf8_lossy(received);
    let lines = text.split("\r\n").filter(|line| !DIFFERENT.iter().any(|name| line.starts_with(name)));
    lines.map(without_identifier).collect()
}

/// A line without the identifier of a request, which problems have.
fn without_identifier(line: &str) -> String {
    match line.split_once("urn:request:") {
        Some((before, after)) => format!("{before}{}", after.trim_start_matches(|c: char| c != '"')),
        None => line.to_owned(),
    }
}

/// A query and its canonical form have the same answer: status, headers that describe it, and body.
pub(super) fn canonical(data: &[u8]) {
    // what follows `#` is no part of a query
    let Some(text) = std::str::from_utf8(data).ok().filter(|text| !text.contains('#')) else { return };
    let Ok(parsed) = query::parse(text) else { return };
    let canonical = query::canonical(&parsed.params, &[]);
    if let (Some(one), Some(other)) = (answer(text), answer(&canonical)) {
        assert_eq!(one, other, "{text} and {canonical}");
    }
}

/// An answer's status, entity tag, media type, `Vary` and body.
type Answer = (StatusCode, [Option<http::HeaderValue>; 3], Bytes);

/// The answer to a query; `None` where it is no part of a URL, and for problems, whose text repeats the query.
fn answer(query: &str) -> Option<Answer> {
    let url = format!("/a.png?{query}");
    let request = Request::get(&url).header(header::ACCEPT, "image/webp").body(Body::empty()).ok()?;
    WORLD.with_borrow(|world| {
        let (parts, body) = world.runtime.block_on(async {
            let (parts, body) = world.app.answer(request).await.into_parts();
            (parts, body.collect().await.expect("a body in memory").to_bytes())
        });
        let headers = [header::ETAG, header::CONTENT_TYPE, header::VARY].map(|name| parts.headers.get(name).cloned());
        let is_problem = parts.status.is_client_error() || parts.status.is_server_error();
        Some((parts.status, headers, if is_problem { Bytes::new() } else { body }))
    })
}
