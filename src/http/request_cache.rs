//! Requests that were parsed before: parsing a URL and writing the headers of its answer is most of the CPU of a hit, and
//! both depend on little.
//!
//! An entry is what a policy makes of a URL and an `Accept` header, signature included. So the cache belongs to the
//! policy and is dropped with it ([`LiveConfig`](super::state::LiveConfig)). Conditions that depend on time (`expires`) or on
//! the original (its version) are checked on every request.

use std::cell::RefCell;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::Uri;

use super::headers::PreparedHeaders;
use crate::dialect::{Error, Policy, Target, UnknownParam, native};
use crate::service::KeyMemo;

/// Bytes of the whole cache, estimated.
const MAX_BYTES: u64 = 8 << 20;

/// Bytes of an entry in addition to its text: the target, the headers, and the cache's own bookkeeping.
const ENTRY_BYTES: usize = 3072;

/// The longest URL with its `Accept` header that is cached, in bytes.
const MAX_TEXT_BYTES: usize = 1024;

/// Requests without an error, by URL and `Accept` header.
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
    /// The errors of [`Policy::target`]; they are not cached.
    pub(super) fn get_or_parse(
        &self, policy: &Policy, uri: &Uri, accept: &str, now: u64,
    ) -> Result<Arc<ParsedRequest>, Error> {
        with_text(uri.path_and_query().map_or("", |target| target.as_str()), accept, |text| {
            let Some(text) = text else { return parse(policy, uri, accept, now) };
            if let Some(request) = self.0.get(text) {
                return if request.has_expired(now) { Err(Error::Expired) } else { Ok(request) };
            }
            let request = parse(policy, uri, accept, now)?;
            self.0.insert(text.into(), Arc::clone(&request));
            Ok(request)
        })
    }

    /// A request that was parsed before and has not expired at `now`. `target` is path and query exactly as they were sent.
    pub(super) fn get(&self, target: &str, accept: &str, now: u64) -> Option<Arc<ParsedRequest>> {
        with_text(target, accept, |text| self.0.get(text?)).filter(|request| !request.has_expired(now))
    }
}

impl ParsedRequest {
    fn has_expired(&self, now: u64) -> bool {
        self.target.expires.is_some_and(|expires| expires < now)
    }
}

/// Calls `lookup` with the key of a URL and an `Accept` header; `None` where they are too long to be cached.
fn with_text<T>(target: &str, accept: &str, lookup: impl FnOnce(Option<&str>) -> T) -> T {
    if target.len() + 1 + accept.len() > MAX_TEXT_BYTES {
        return lookup(None);
    }
    TEXT.with_borrow_mut(|text| {
        text.clear();
        text.push_str(target);
        // no URL has a line feed
        text.push('\n');
        text.push_str(accept);
        lookup(Some(text))
    })
}

fn parse(policy: &Policy, uri: &Uri, accept: &str, now: u64) -> Result<Arc<ParsedRequest>, Error> {
    let target = policy.target(uri.path(), uri.query(), accept, now)?;
    let is_native = target.dialect == native::NAME;
    let unknown = is_native.then(|| UnknownParam::among(uri.query().unwrap_or_default())).flatten();
    Ok(Arc::new(ParsedRequest { target, key: KeyMemo::default(), unknown, headers: ArcSwapOption::empty() }))
}
