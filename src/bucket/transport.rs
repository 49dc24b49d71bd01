//! The HTTP client of object stores: this program's own connections, so that their addresses are checked, with limits on time
//! that the library leaves to its client.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, Uri};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::Error;
use crate::net::connect::{ConnectError, Connector};
use crate::net::{self, BoxFuture};

/// Until the head of a response, and between two chunks of its body. Callers limit the whole request.
const HEAD: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(5);

/// Bytes of a request in a second at least.
const MIN_SENT: u64 = 1 << 20;

/// The limits of a response's head.
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 100;

/// Idle connections that are kept, and how long.
const MAX_IDLE: usize = 16;
const IDLE_CONNECTION: Duration = Duration::from_secs(30);

/// Sends the requests of one store.
#[derive(Clone)]
pub(super) struct Transport(legacy::Client<Connector, HttpRequestBody>);

impl Transport {
    /// A client of the store at that URL.
    ///
    /// # Errors
    /// If the store needs TLS and the system has no root certificates.
    pub(super) fn new(endpoint: &Uri) -> Result<Transport, ConnectError> {
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(MAX_IDLE)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .http1_max_headers(MAX_HEADERS)
            .build(Connector::new(endpoint)?);
        Ok(Transport(client))
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transport")
    }
}

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Transport {
    // as async-trait writes it
    fn call<'life0, 'async_trait>(
        &'life0 self, request: HttpRequest,
    ) -> BoxFuture<'async_trait, Result<HttpResponse, HttpError>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let sending = Duration::from_secs(request.body().content_length() as u64 / MIN_SENT);
            let response = timeout(HEAD + sending, self.0.request(request)).await;
            let response = response.map_err(|_| failed(Error::TimedOut))?.map_err(|error| failed(of_client(error)))?;
            let status = response.status();
            // the library has no type for these
            if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
                return Err(failed(Error::Status(status.as_u16())));
            }
            Ok(response.map(|body| HttpResponseBody::new(TimedBody { body, limit: Box::pin(sleep(IDLE)) })))
        })
    }
}

/// An error that the library carries to [`super::cloud`]; none is worth a repetition to it.
fn failed(error: Error) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, error)
}

fn of_client(error: legacy::Error) -> Error {
    match std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<ConnectError>()) {
        Some(ConnectError::Refused(why)) => Error::Refused(why.clone()),
        Some(ConnectError::TimedOut) => Error::TimedOut,
        Some(ConnectError::Io(error)) => Error::Unavailable(error.clone()),
        None => Error::Unavailable(net::with_causes(&error).into()),
    }
}

/// A body whose chunks arrive in time.
struct TimedBody {
    body: Incoming,
    limit: Pin<Box<Sleep>>,
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>, context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let TimedBody { body, limit } = &mut *self;
        if let Poll::Ready(frame) = pin!(body).poll_frame(context) {
            limit.as_mut().reset(Instant::now() + IDLE);
            let unavailable = |error| failed(Error::Unavailable(net::with_causes(&error).into()));
            return Poll::Ready(frame.map(|frame| frame.map_err(unavailable)));
        }
        ready!(limit.as_mut().poll(context));
        Poll::Ready(Some(Err(failed(Error::TimedOut))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
