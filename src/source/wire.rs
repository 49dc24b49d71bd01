//! The client that fetches originals over HTTP: one GET with limits on time, head and body. Redirects are followed here, so
//! that each address is checked; proxies in the environment are not used, since they would resolve names themselves.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;

use super::origin::{Origin, redirect};
use super::stat::unavailable;
use super::transport::{Answer, Conditions, Fetched, Lifetime, Remote, RequestLimit, date};
use super::{BoxFuture, Error, ImageId};
use crate::net;
use crate::net::connect::{ConnectError, Connector};

/// Redirects of one request.
const MAX_REDIRECTS: usize = 3;

/// The limits of a response's head.
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_HEADERS: usize = 100;

/// Requests at a time, and idle connections that are kept.
const MAX_REQUESTS: usize = 64;
const MAX_IDLE: usize = 16;
const IDLE_CONNECTION: Duration = Duration::from_secs(30);

/// Bytes of bodies that are being received.
const MAX_RECEIVING: u64 = 128 << 20;

/// The unit of the semaphore of [`MAX_RECEIVING`].
const KIB: u64 = 1 << 10;

/// The bounds of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Until the head of the response.
    pub(super) head: Duration,
    /// Between two chunks of the body.
    pub(super) idle: Duration,
    /// The whole request, redirects and the wait for a free place included.
    pub(super) whole: Duration,
    /// Of the body.
    pub(super) max_bytes: u64,
}

impl Limits {
    /// The defaults for originals of so many bytes.
    pub(super) fn new(max_bytes: u64) -> Limits {
        let [head, idle, whole] = [10, 5, 20].map(Duration::from_secs);
        Limits { head, idle, whole, max_bytes }
    }
}

/// A client of one origin.
pub(super) struct Client {
    http: legacy::Client<Connector, Empty<Bytes>>,
    origin: Origin,
    /// The origin without its credentials.
    name: String,
    limits: Limits,
    requests: RequestLimit,
    receiving: Semaphore,
}

impl Client {
    /// A client of that origin.
    ///
    /// # Errors
    /// If the origin needs TLS and the system has no root certificates.
    pub(super) fn new(origin: Origin, limits: Limits) -> Result<Client, ConnectError> {
        let connector = Connector::new(origin.url())?;
        Ok(Client::over(connector, origin, limits))
    }

    fn over(connector: Connector, origin: Origin, limits: Limits) -> Client {
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(MAX_IDLE)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .http1_max_headers(MAX_HEADERS)
            .build(connector);
        let receiving = Semaphore::new(kib(MAX_RECEIVING.max(limits.max_bytes)) as usize);
        Client { http, name: origin.to_string(), origin, limits, requests: RequestLimit::new(MAX_REQUESTS), receiving }
    }

    async fn follow(&self, id: &ImageId, conditions: Option<&Conditions>) -> Result<Answer, Error> {
        let mut url = self.origin.url_of(id).ok_or(Error::NotFound)?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(&url, conditions).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return self.receive(response, conditions.is_some()).await;
            }
            let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
            url = location.and_then(|location| redirect(&url, location)).ok_or_else(|| invalid("no valid redirect"))?;
        }
        Err(invalid("more than three redirects"))
    }

    async fn send(&self, url: &Uri, conditions: Option<&Conditions>) -> Result<Response<Incoming>, Error> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = url.clone();
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("image/*,*/*;q=0.8"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("tintype/", env!("CARGO_PKG_VERSION"))));
        if let Some(authorization) = self.origin.authorization(url) {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        if let Some(Conditions { etag, last_modified }) = conditions {
            etag.iter().for_each(|etag| drop(headers.insert(header::IF_NONE_MATCH, etag.clone())));
            last_modified.iter().for_each(|date| drop(headers.insert(header::IF_MODIFIED_SINCE, date.clone())));
        }
        let response = tokio::time::timeout(self.limits.head, self.http.request(request)).await;
        response.map_err(|_| Error::TimedOut)?.map_err(request_error)
    }

    async fn receive(&self, response: Response<Incoming>, is_conditional: bool) -> Result<Answer, Error> {
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if is_conditional => {
                return Ok(Answer::NotModified(Lifetime::of(response.headers())));
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Error::NotFound),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                return Err(Error::Credentials);
            }
            status => return Err(Error::Status(status.as_u16())),
        }
        let headers = response.headers();
        if headers.get_all(header::CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
            return Err(invalid("a Content-Encoding that was not asked for"));
        }
        let (conditions, modified) = (Conditions::of(headers), date(headers, header::LAST_MODIFIED));
        let lifetime = Lifetime::of(headers).unwrap_or_default();
        let bytes = self.body(response.into_body()).await?;
        Ok(Answer::Whole(Fetched { bytes, conditions, modified, lifetime }))
    }

    /// The whole body; one without a length is counted as it arrives.
    async fn body(&self, mut body: Incoming) -> Result<Bytes, Error> {
        let (length, limit) = (body.size_hint().exact(), self.limits.max_bytes);
        let too_large = |bytes| Error::TooLarge { bytes, limit };
        if let Some(bytes) = length.filter(|&bytes| bytes > limit) {
            return Err(too_large(bytes));
        }
        // an unknown length may be any; the semaphore is never closed
        let _receiving = self.receiving.acquire_many(kib(length.unwrap_or(limit))).await;
        let mut bytes = Vec::with_capacity(length.unwrap_or(0) as usize);
        loop {
            let frame = tokio::time::timeout(self.limits.idle, body.frame()).await.map_err(|_| Error::TimedOut)?;
            let Some(frame) = frame else { return Ok(bytes.into()) };
            let Ok(chunk) = frame.map_err(|error| unavailable(net::with_causes(&error)))?.into_data() else {
                continue;
            };
            let now = (bytes.len() + chunk.len()) as u64;
            if now > limit {
                return Err(too_large(now));
            }
            bytes.extend_from_slice(&chunk);
        }
    }
}

impl Remote for Client {
    fn get<'a>(&'a self, id: &'a ImageId, conditions: Option<&'a Conditions>) -> BoxFuture<'a, Result<Answer, Error>> {
        let answer = async move {
            let _request = self.requests.acquire().await;
            self.follow(id, conditions).await
        };
        Box::pin(async move { tokio::time::timeout(self.limits.whole, answer).await.unwrap_or(Err(Error::TimedOut)) })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn waiting(&self) -> u64 {
        self.requests.waiting()
    }
}

/// So many bytes in KiB, at least one.
fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(KIB).max(1)).unwrap_or(u32::MAX)
}

/// An answer that no original can be taken from.
fn invalid(found: &'static str) -> Error {
    unavailable(std::io::Error::new(std::io::ErrorKind::InvalidData, format!("the origin sent {found}")))
}

fn request_error(error: legacy::Error) -> Error {
    match error.source().and_then(|cause| cause.downcast_ref::<ConnectError>()) {
        Some(ConnectError::Refused(why)) => Error::Refused(why.clone()),
        Some(ConnectError::TimedOut) => Error::TimedOut,
        Some(ConnectError::Io(error)) => Error::Unavailable(error.clone()),
        None => unavailable(net::with_causes(&error)),
    }
}

#[cfg(test)]
mod tests;
