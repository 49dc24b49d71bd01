//! The rate limit of one request's renders. Hits and joins to a running render are free.

use std::sync::OnceLock;
use std::time::Duration;

/// `Err` with the time until the client may render again.
type Limiter = Box<dyn Fn() -> Result<(), Duration> + Send + Sync>;

/// The rate limit check of one request. It is made at most once, however often the request starts over.
pub struct RateLimitCheck {
    limiter: Limiter,
    result: OnceLock<Result<(), Duration>>,
}

impl RateLimitCheck {
    /// A check that asks `limiter` when the first render is needed.
    pub fn new(limiter: impl Fn() -> Result<(), Duration> + Send + Sync + 'static) -> RateLimitCheck {
        RateLimitCheck { limiter: Box::new(limiter), result: OnceLock::new() }
    }

    pub(super) fn acquire(&self) -> Result<(), Duration> {
        *self.result.get_or_init(|| (self.limiter)())
    }

    /// Whether the check was made and failed.
    pub(super) fn is_limited(&self) -> bool {
        matches!(self.result.get(), Some(Err(_)))
    }
}
