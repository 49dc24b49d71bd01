//! The interface to a place of remote originals: one conditional GET.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{BoxFuture, Error, ImageId, UploadStore};

/// A place from which originals are fetched over the network: an HTTP origin, or a bucket.
pub(super) trait Remote: Send + Sync {
    /// Fetches an original, unless it is unchanged by these conditions. Time, bytes and concurrency are limited here.
    fn get<'a>(&'a self, id: &'a ImageId, conditions: Option<&'a Conditions>) -> BoxFuture<'a, Result<Answer, Error>>;

    /// The place without credentials, such as a URL. It is part of every version.
    fn name(&self) -> &str;

    /// Requests that wait because too many are under way.
    fn waiting(&self) -> u64;

    /// Stores uploads; `None` where none are accepted.
    fn upload_store(&self) -> Option<UploadStore> {
        None
    }
}

/// A limit on the requests to one place that are under way.
pub(super) struct RequestLimit {
    requests: Semaphore,
    waiting: AtomicU64,
}

impl RequestLimit {
    pub(super) fn new(requests: usize) -> RequestLimit {
        RequestLimit { requests: Semaphore::new(requests), waiting: AtomicU64::new(0) }
    }

    /// Waits until one more request may begin, which ends when the permit is dropped.
    pub(super) async fn acquire(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.requests.try_acquire() {
            return Some(permit);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        // the semaphore is never closed
        self.requests.acquire().await.ok()
    }

    pub(super) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Counts one that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicU64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The answer to a request for an original.
#[derive(Debug)]
pub(super) enum Answer {
    /// The original is unchanged by the conditions that were sent. `None` where the lifetime is that of the former answer.
    NotModified(Option<Lifetime>),
    /// All of it.
    Whole(Fetched),
}

/// An original as it was received.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) bytes: Bytes,
    /// For the next request; `None` where the validators could miss a change.
    pub(super) conditions: Option<Conditions>,
    pub(super) modified: Option<SystemTime>,
    pub(super) lifetime: Lifetime,
}

/// How long an answer may be used, by its `Cache-Control` (RFC 9111 §5.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// `s-maxage`, or `max-age`.
    pub(super) max_age: Option<Duration>,
    /// `must-revalidate` or `proxy-revalidate`: it is not used stale.
    pub(super) must_revalidate: bool,
    /// `no-store` or `no-cache`.
    pub(super) uncacheable: bool,
}

impl Lifetime {
    /// The lifetime in the head of an answer; `None` where it has no `Cache-Control`.
    pub(super) fn of(headers: &HeaderMap) -> Option<Lifetime> {
        let mut lifetime = headers.contains_key(header::CACHE_CONTROL).then(Lifetime::default)?;
        let mut shared = None;
        let lines = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
        for directive in lines.flat_map(|line| line.split(',')) {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let seconds = || value.trim().trim_matches('"').parse().ok().map(Duration::from_secs);
            match name.trim().to_ascii_lowercase().as_str() {
                "max-age" => lifetime.max_age = seconds(),
                "s-maxage" => shared = seconds(),
                "must-revalidate" | "proxy-revalidate" => lifetime.must_revalidate = true,
                "no-store" | "no-cache" => lifetime.uncacheable = true,
                _ => {}
            }
        }
        let age = headers.get(header::AGE).and_then(|age| age.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        lifetime.max_age = shared.or(lifetime.max_age).map(|max| max.saturating_sub(age.unwrap_or_default()));
        Some(lifetime)
    }
}

/// The headers of a conditional request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conditions {
    pub(super) etag: Option<HeaderValue>,
    pub(super) last_modified: Option<HeaderValue>,
}

impl Conditions {
    /// Conditions by a strong ETag, quotes included.
    pub(super) fn etag(etag: HeaderValue) -> Conditions {
        Conditions { etag: Some(etag), last_modified: None }
    }

    /// A strong ETag is trusted. A weak one and Last-Modified are if the original was at least two seconds old when it was
    /// sent: it may have changed twice within a second (RFC 9110 §8.8.2.2).
    pub(super) fn of(headers: &HeaderMap) -> Option<Conditions> {
        let etag = headers.get(header::ETAG).filter(|etag| etag.as_bytes().ends_with(b"\"")).cloned();
        if let Some(etag) = etag.as_ref().filter(|etag| etag.as_bytes().starts_with(b"\"")) {
            return Some(Conditions::etag(etag.clone()));
        }
        let age = date(headers, header::DATE)?.duration_since(date(headers, header::LAST_MODIFIED)?).ok()?;
        let last_modified = headers.get(header::LAST_MODIFIED).cloned();
        (age >= Duration::from_secs(2)).then_some(Conditions { etag, last_modified })
    }
}

/// The value of a header that is a date.
pub(super) fn date(headers: &HeaderMap, name: header::HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetime_is_that_of_shared_caches_without_the_age() {
        let check = |lines: &[(&'static str, &'static str)], expected: Option<(Option<u64>, bool, bool)>| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let found = Lifetime::of(&headers);
            let found = found.map(|Lifetime { max_age, must_revalidate, uncacheable }| {
                (max_age.map(|age| age.as_secs()), must_revalidate, uncacheable)
            });
            assert_eq!(found, expected, "{lines:?}");
        };
        check(&[("age", "1")], None);
        check(&[("cache-control", "public")], Some((None, false, false)));
        check(&[("cache-control", "Max-Age=60, public"), ("age", "20")], Some((Some(40), false, false)));
        check(&[("cache-control", "s-maxage=5, max-age=\"60\"")], Some((Some(5), false, false)));
        check(&[("cache-control", "max-age=60"), ("cache-control", "must-revalidate")], Some((Some(60), true, false)));
        check(&[("cache-control", "max-age=5, proxy-revalidate"), ("age", "9")], Some((Some(0), true, false)));
        check(&[("cache-control", "no-store")], Some((None, false, true)));
        check(&[("cache-control", "no-cache=\"a\", max-age=-1")], Some((None, false, true)));
        check(&[("cache-control", "max-age=x, =,,")], Some((None, false, false)));
    }

    #[tokio::test]
    async fn requests_above_the_limit_wait_and_are_counted() {
        let limit = std::sync::Arc::new(RequestLimit::new(1));
        let first = limit.acquire().await;
        let waits = std::sync::Arc::clone(&limit);
        let second = tokio::spawn(async move { waits.acquire().await.is_some() });
        while limit.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        drop(first);
        assert!(second.await.expect("no panic"));
        assert_eq!(limit.waiting(), 0);
        let permit = limit.acquire().await;
        assert!(tokio::time::timeout(Duration::from_millis(1), limit.acquire()).await.is_err());
        assert_eq!(limit.waiting(), 0, "one that leaves does not wait");
        drop(permit);
    }
}
