//! URLs that were read before, with what was made of them: reading one and writing the headers of its answer is most of
//! what a hit takes, and both depend on little.
//!
//! What is remembered is what a policy makes of a URL and an Accept header, signature and all, so it is remembered beside
//! the policy and forgotten with it; what changes with time, and with the original, is looked at every time.

use std::cell::RefCell;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::Uri;

use super::headers::Ready;
use crate::dialect::{Error, Policy, Target, UnknownParam};
use crate::service::KeyMemo;

/// Bytes of all that is remembered, estimated.
const BYTES: u64 = 8 << 20;

/// What one takes beside its text: the target, the headers, and what the memory of them needs for itself.
const EACH: usize = 3072;

/// The longest URL with its Accept header that is remembered.
const LONGEST: usize = 1024;

/// URLs that are good.
pub(super) struct Known(moka::sync::Cache<Box<str>, Arc<Read>>);

/// A URL that was read.
pub(super) struct Read {
    /// What it asks for.
    pub(super) target: Target,
    /// The key of what it asks for.
    pub(super) key: KeyMemo,
    /// How it says what is not known, and was ignored.
    pub(super) unknown: Option<UnknownParam>,
    /// The headers of its answer when it was last asked for.
    pub(super) ready: ArcSwapOption<Ready>,
}

impl Default for Known {
    fn default() -> Known {
        let builder = moka::sync::Cache::<Box<str>, Arc<Read>>::builder().max_capacity(BYTES);
        Known(builder.weigher(|text, _| u32::try_from(text.len() + EACH).unwrap_or(u32::MAX)).build())
    }
}

thread_local! {
    /// What was looked up last, for its allocation.
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Known {
    /// What `policy` makes of a URL and an Accept header at that time, in unix seconds.
    ///
    /// # Errors
    /// Those of [`Policy::target`]; they are not remembered.
    pub(super) fn read(&self, policy: &Policy, uri: &Uri, accept: &str, now: u64) -> Result<Arc<Read>, Error> {
        with_text(uri.path_and_query().map_or("", |target| target.as_str()), accept, |text| {
            let Some(text) = text else { return read(policy, uri, accept, now) };
            if let Some(read) = self.0.get(text) {
                return if read.is_over(now) { Err(Error::Expired) } else { Ok(read) };
            }
            let read = read(policy, uri, accept, now)?;
            self.0.insert(text.into(), Arc::clone(&read));
            Ok(read)
        })
    }

    /// What was made of a URL, its path and query just as they were sent, and an Accept header, if they were read before
    /// and hold at that time.
    pub(super) fn recall(&self, target: &str, accept: &str, now: u64) -> Option<Arc<Read>> {
        with_text(target, accept, |text| self.0.get(text?)).filter(|read| !read.is_over(now))
    }
}

impl Read {
    fn is_over(&self, now: u64) -> bool {
        self.target.expires.is_some_and(|expires| expires < now)
    }
}

/// Runs `look` with what a URL and an Accept header are remembered by; `None` where they are too long for it.
fn with_text<T>(target: &str, accept: &str, look: impl FnOnce(Option<&str>) -> T) -> T {
    if target.len() + 1 + accept.len() > LONGEST {
        return look(None);
    }
    TEXT.with_borrow_mut(|text| {
        text.clear();
        text.push_str(target);
        // no URL has a line feed
        text.push('\n');
        text.push_str(accept);
        look(Some(text))
    })
}

fn read(policy: &Policy, uri: &Uri, accept: &str, now: u64) -> Result<Arc<Read>, Error> {
    let target = policy.target(uri.path(), uri.query(), accept, now)?;
    let unknown = UnknownParam::among(uri.query().unwrap_or_default());
    Ok(Arc::new(Read { target, key: KeyMemo::default(), unknown, ready: ArcSwapOption::empty() }))
}
