//! One connection: the layers of its stream, and hyper on top.
//!
//! hyper's connection is driven here rather than by hyper-util, whose builder has no timeout for headers; hyper's own counts
//! from the previous answer on, so that it would close idle connections as well ([`TimeoutStream`] tells the two apart).

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use super::listener::Accepted;
use crate::http::app::App;
use crate::http::fast_path::FastPath;
use crate::http::host;
use crate::http::response_body::BackpressureBody;
use crate::http::stream::{
    ConnectionState, CountedStream, HalfCloseStream, RefusalStream, TimeoutStream, Timeouts, TrackedBody, Transport,
};
use crate::http::traffic::Streamed;

/// The longest head of a request, in bytes: a URL of 8 KiB, the headers, and room to answer 414 for a longer URL. A longer
/// head, or more than hyper's hundred headers, is a 431.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How long an idle connection is given for one more request when the server stops.
const LAST_REQUEST: Duration = Duration::from_millis(100);

/// Serves a connection to its end. Once `ended` is true, the next answer is the last.
pub(super) async fn serve(socket: Accepted, app: App, timeouts: Timeouts, mut ended: watch::Receiver<bool>) {
    let state = ConnectionState::default();
    let fast_path = FastPath::new(app.clone());
    let socket: Box<dyn Transport> = match socket {
        Accepted::Tcp(socket) => Box::new(fast_path.socket(socket)),
        Accepted::Unix(socket) => Box::new(fast_path.socket(socket)),
    };
    let stream = CountedStream::new(socket, app.connect());
    let stream = HalfCloseStream::new(stream, state.clone());
    let stream = TimeoutStream::new(stream, state.clone(), timeouts);
    let stream = fast_path.stream(stream, state.clone());
    let stream = RefusalStream::new(stream, state.clone(), |bare, has_line| app.refuse_head(bare, has_line));
    let service = service_fn(|request| respond(&app, &fast_path, &state, request));
    let mut builder = http1::Builder::new();
    // half-closed clients get their answer; `HalfCloseStream` notices those that have disconnected
    builder.max_buf_size(MAX_HEAD_BYTES).half_close(true);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let done = tokio::select! {
        biased;
        done = connection.as_mut() => Some(done),
        // the guard of the watch must not live on: the server waits until all receivers are dropped
        _ = ended.wait_for(|ended| *ended) => None,
    };
    let done = match done {
        Some(done) => done,
        None => {
            // Closing an idle connection loses a request that is under way. So it is given a moment for one more, whose answer
            // says `Connection: close` (RFC 9112 §9.6)
            state.drain();
            loop {
                let before = (state.requests(), state.bodies());
                match tokio::time::timeout(LAST_REQUEST, connection.as_mut()).await {
                    Ok(done) => break done,
                    Err(_) if (state.requests(), state.bodies()) == before => {
                        connection.as_mut().graceful_shutdown();
                        break connection.await;
                    }
                    Err(_) => {}
                }
            }
        }
    };
    if let Err(error) = done {
        // debug: clients disconnect all the time
        tracing::debug!(%error, "a connection ended early");
        if error.is_parse() {
            app.log_refusal(&error.to_string());
            if !state.is_refused() {
                app.count_unanswered_head();
            }
        }
    }
}

/// Answers one request for hyper.
async fn respond(
    app: &App, fast_path: &FastPath, state: &ConnectionState, request: Request<Incoming>,
) -> Result<Response<TrackedBody>, Infallible> {
    state.begin_answer();
    let mut response = answer(app, state, request).await;
    if response.extensions_mut().remove::<Streamed>().is_some() {
        response = response.map(|body| Body::new(BackpressureBody::new(body)));
    }
    fast_path.send(&mut response);
    if state.is_draining() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    state.end_answer();
    Ok(response.map(|body| TrackedBody { body, state: state.clone() }))
}

/// Answers one request, if its head says unambiguously which host it is for and where it ends.
async fn answer(app: &App, state: &ConnectionState, request: Request<Incoming>) -> Response<Body> {
    let headers = request.headers();
    // a proxy in front may take another host from a request with two, or with an invalid one
    if !host::is_valid(request.version(), request.uri(), headers) {
        state.refuse();
        return app.refuse_host(&request);
    }
    // with both Transfer-Encoding and Content-Length, hyper ignores the latter. A proxy in front may go by the other one, and would take what lies between
    // the two ends for a request, or the other way round: request smuggling (RFC 9112 §6.1)
    let is_ambiguous = headers.contains_key(header::TRANSFER_ENCODING);
    let mut response = app.answer(request).await;
    if is_ambiguous {
        state.refuse();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
