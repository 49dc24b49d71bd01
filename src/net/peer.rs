//! Requests to another server of the operator: without a body, with a limit on time.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connect::{ConnectError, Connector};

/// The limit of bytes of an answer's body.
const MAX_BODY: usize = 64 << 10;

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// A client of one server.
pub(crate) struct Peer {
    /// Scheme and authority.
    url: Uri,
    http: legacy::Client<Connector, Empty<Bytes>>,
}

/// The answer of a server.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) date: Option<SystemTime>,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error("{0}")]
    Failed(String),
}

impl Peer {
    /// A client of the server at that URL, of which scheme and authority are used.
    ///
    /// # Errors
    /// If it needs TLS and the system has no root certificates.
    pub(crate) fn new(url: Uri) -> Result<Peer, ConnectError> {
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(Connector::new(&url)?);
        Ok(Peer { url, http })
    }

    /// Sends a request for that path and query, with a bearer token unless that is empty.
    ///
    /// # Errors
    /// Where no whole answer arrives in time.
    pub(crate) async fn send(
        &self, method: Method, target: &str, token: &str, limit: Duration,
    ) -> Result<Answer, PeerError> {
        let request = self.request(method, target, token).map_err(|error| PeerError::Failed(error.to_string()))?;
        tokio::time::timeout(limit, self.exchange(request)).await.unwrap_or(Err(PeerError::TimedOut(limit)))
    }

    fn request(&self, method: Method, target: &str, token: &str) -> Result<Request<Empty<Bytes>>, http::Error> {
        let mut parts = self.url.clone().into_parts();
        parts.path_and_query = Some(target.parse()?);
        let mut request = Request::builder().method(method).uri(Uri::from_parts(parts)?).body(Empty::new())?;
        let agent = HeaderValue::from_static(concat!("tintype/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(header::USER_AGENT, agent);
        if !token.is_empty() {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }

    async fn exchange(&self, request: Request<Empty<Bytes>>) -> Result<Answer, PeerError> {
        let response = self.http.request(request).await.map_err(|error| PeerError::Failed(cause(&error)))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(|error| PeerError::Failed(error.to_string()))?.to_bytes();
        let date = head.headers.get(header::DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        Ok(Answer { status: head.status, date, body })
    }
}

/// The last cause of an error; those before it say only that the client failed.
fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}
