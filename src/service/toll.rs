//! What a request is asked for before something is rendered for it. Whoever finds what is there already, or what is being
//! made for another, pays nothing: it costs nothing either.

use std::sync::OnceLock;
use std::time::Duration;

/// Says whether one more render may be made for whoever asks, or how long it is until then.
type Ask = Box<dyn Fn() -> Result<(), Duration> + Send + Sync>;

/// One request's toll, paid at most once however often the request begins anew.
pub struct Toll {
    ask: Ask,
    answer: OnceLock<Result<(), Duration>>,
}

impl Toll {
    /// A toll that `ask` decides upon.
    pub fn new(ask: impl Fn() -> Result<(), Duration> + Send + Sync + 'static) -> Toll {
        Toll { ask: Box::new(ask), answer: OnceLock::new() }
    }

    pub(super) fn pay(&self) -> Result<(), Duration> {
        *self.answer.get_or_init(|| (self.ask)())
    }

    /// Whether it was asked for and could not be paid.
    pub(super) fn is_unpaid(&self) -> bool {
        matches!(self.answer.get(), Some(Err(_)))
    }
}
