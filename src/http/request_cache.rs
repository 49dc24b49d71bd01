//! The headers that a recipe depends on, and requests that were parsed before: parsing a URL and writing the headers of its
//! answer is most of the CPU of a hit, and both depend on little.
//!
//! An entry is what a policy makes of a URL, an `Accept` header and those client hints that the URL depends on, signature
//! included. The entry without hints says which these are. So the cache belongs to the policy and is dropped with it
//! ([`LiveConfig`](super::state::LiveConfig)). Conditions that depend on time (`expires`) or on the original (its version) are
//! checked on every request.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Write;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderValue, Uri, header};

use super::headers::PreparedHeaders;
use crate::dialect::hints::HEADERS;
use crate::dialect::{Error, Hints, Policy, Target, UnknownParam, native};
use crate::service::KeyMemo;

/// Bytes of the whole cache, estimated.
const MAX_BYTES: u64 = 8 << 20;

/// Bytes of an entry in addition to its text: the target, the headers, and the cache's own bookkeeping.
const ENTRY_BYTES: usize = 3072;

/// The longest URL with its `Accept` header that is cached, in bytes.
const MAX_TEXT_BYTES: usize = 1024;

/// Requests without an error, by URL, `Accept` header and client hints.
pub(super) struct RequestCache(moka::sync::Cache<Box<str>, Arc<ParsedRequest>>);

pub(super) struct ParsedRequest {
    pub(super) target: Target,
    /// The cache key of the target's rendition.
    pub(super) key: KeyMemo,
    /// The kind of unknown parameters that were ignored.
    pub(super) unknown: Option<UnknownParam>,
    /// The headers of the last answer.
    pub(super) headers: ArcSwapOption<PreparedHeaders>,
}

impl Default for RequestCache {
    fn default() -> RequestCache {
        let builder = moka::sync::Cache::<Box<str>, Arc<ParsedRequest>>::builder().max_capacity(MAX_BYTES);
        RequestCache(builder.weigher(|text, _| u32::try_from(text.len() + ENTRY_BYTES).unwrap_or(u32::MAX)).build())
    }
}

thread_local! {
    /// The text that was looked up last, for its allocation.
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

impl RequestCache {
    /// A request as `policy` parses it at `now`, in unix seconds.
    ///
    /// # Errors
    /// The errors of [`Policy::target_for`]; they are not cached.
    pub(super) fn get_or_parse(
        &self, policy: &Policy, uri: &Uri, accept: &str, hints: Hints, now: u64,
    ) -> Result<Arc<ParsedRequest>, Error> {
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        if let Some(request) = self.find(target, accept, hints) {
            return if request.has_expired(now) { Err(Error::Expired) } else { Ok(request) };
        }
        let request = parse(policy, uri, accept, hints, now)?;
        let used = request.target.hints.of(hints);
        let none = Hints::default();
        if used != none && self.entry(target, accept, none).is_none() {
            self.insert(target, accept, none, &parse(policy, uri, accept, none, now)?);
        }
        self.insert(target, accept, used, &request);
        Ok(request)
    }

    /// A request that was parsed before and has not expired at `now`. `target` is path and query exactly as they were sent.
    pub(super) fn get(&self, target: &str, accept: &str, hints: Hints, now: u64) -> Option<Arc<ParsedRequest>> {
        self.find(target, accept, hints).filter(|request| !request.has_expired(now))
    }

    fn find(&self, target: &str, accept: &str, hints: Hints) -> Option<Arc<ParsedRequest>> {
        let request = self.entry(target, accept, Hints::default())?;
        let used = request.target.hints.of(hints);
        if used == Hints::default() { Some(request) } else { self.entry(target, accept, used) }
    }

    fn entry(&self, target: &str, accept: &str, hints: Hints) -> Option<Arc<ParsedRequest>> {
        with_text(target, accept, hints, |text| self.0.get(text?))
    }

    fn insert(&self, target: &str, accept: &str, hints: Hints, request: &Arc<ParsedRequest>) {
        with_text(target, accept, hints, |text| {
            if let Some(text) = text {
                self.0.insert(text.into(), Arc::clone(request));
            }
        });
    }
}

impl ParsedRequest {
    fn has_expired(&self, now: u64) -> bool {
        self.target.expires.is_some_and(|expires| expires < now)
    }
}

/// Calls `lookup` with the key of a URL, an `Accept` header and hints; `None` where they are too long to be cached.
fn with_text<T>(target: &str, accept: &str, hints: Hints, lookup: impl FnOnce(Option<&str>) -> T) -> T {
    if target.len() + 1 + accept.len() > MAX_TEXT_BYTES {
        return lookup(None);
    }
    TEXT.with_borrow_mut(|text| {
        text.clear();
        text.push_str(target);
        // no URL has a line feed
        text.push('\n');
        text.push_str(accept);
        if hints != Hints::default() {
            // writing to memory does not fail
            let _ = write!(text, "\n{hints:?}");
        }
        lookup(Some(text))
    })
}

fn parse(policy: &Policy, uri: &Uri, accept: &str, hints: Hints, now: u64) -> Result<Arc<ParsedRequest>, Error> {
    let target = policy.target_for(uri.path(), uri.query(), accept, hints, now)?;
    let is_native = target.dialect == native::NAME;
    let unknown = is_native.then(|| UnknownParam::among(uri.query().unwrap_or_default())).flatten();
    let key = KeyMemo::clamped_from(target.requested);
    Ok(Arc::new(ParsedRequest { target, key, unknown, headers: ArcSwapOption::empty() }))
}

/// The client hints of a request.
pub(super) fn hints(headers: &HeaderMap) -> Hints {
    Hints::parse(HEADERS.map(|name| headers.get(name).map(HeaderValue::as_bytes)))
}

/// The value of `Accept`; several lines are joined (RFC 9110 §5.3).
pub(super) fn accept(headers: &HeaderMap) -> Cow<'_, str> {
    let mut values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let Some(first) = values.next() else { return Cow::Borrowed("") };
    values.fold(Cow::Borrowed(first), |joined, next| Cow::Owned(format!("{joined},{next}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Config;
    use crate::dialect::policy::tests::config;
    use crate::render::Format;

    const NONE: Hints = Hints { width: None, viewport_width: None, dpr: None, save_data: false };

    fn policy() -> Policy {
        let config = Config { formats: vec![Format::WebP], client_hints: true, max_dimension: 1000, ..config() };
        Policy::new(config).expect("no presets")
    }

    #[test]
    fn entry_is_one_of_accept_and_of_the_hints_that_the_url_depends_on() {
        let (cache, policy) = (RequestCache::default(), policy());
        let get = |url: &'static str, accept: &str, hints: Hints| {
            cache.get_or_parse(&policy, &Uri::from_static(url), accept, hints, 0).expect("a good URL")
        };
        let width = |width: u32| Hints { width: Some(width), ..NONE };
        let saving = |width: u32| Hints { width: Some(width), save_data: true, ..NONE };
        const PLAIN: &str = "/a.jpg?width=100&format=auto";
        const AUTO: &str = "/a.jpg?width=auto";
        for (url, one, other, is_same) in [
            (PLAIN, ("", NONE), ("", saving(300)), true),
            (PLAIN, ("", NONE), ("image/webp", NONE), false),
            (AUTO, ("", width(300)), ("", saving(300)), true),
            (AUTO, ("", width(300)), ("", width(500)), false),
            (AUTO, ("", width(300)), ("", NONE), false),
        ] {
            let [first, second, again] = [one, other, one].map(|(accept, hints)| get(url, accept, hints));
            assert!(Arc::ptr_eq(&first, &again), "{url} {one:?}");
            assert_eq!(Arc::ptr_eq(&first, &second), is_same, "{url} {one:?} {other:?}");
            assert_eq!(first.target.recipe == second.target.recipe, is_same, "{url} {one:?} {other:?}");
        }
    }

    #[test]
    fn expired_and_invalid_and_long_requests_are_not_answered_from_the_cache() {
        const URL: &str = "/a.jpg?width=100&expires=50";
        let (cache, policy) = (RequestCache::default(), policy());
        let parse = |url: &str, now| cache.get_or_parse(&policy, &url.parse().expect("a URL"), "", NONE, now);
        assert!(parse(URL, 50).is_ok());
        assert!(cache.get(URL, "", NONE, 50).is_some());
        assert!(cache.get(URL, "", NONE, 51).is_none());
        assert!(matches!(parse(URL, 51), Err(Error::Expired)));
        assert!(parse("/a.jpg?width=0", 0).is_err());
        assert!(cache.get("/a.jpg?width=0", "", NONE, 0).is_none());
        let long = format!("/a.jpg?width=100&utm={}", "x".repeat(MAX_TEXT_BYTES));
        assert!(parse(&long, 0).is_ok());
        assert!(cache.get(&long, "", NONE, 0).is_none());
    }
}
