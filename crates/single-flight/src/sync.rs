//! The locks of this crate. Its own tests replace them by the scheduler's, which tries many interleavings of every lock
//! operation. `cfg(test)` is set for this crate's test binary alone: dependent crates get the standard ones.

use std::sync::PoisonError;

#[cfg(test)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(test))]
pub(crate) use std::sync::{Mutex, MutexGuard};

/// Locks, also where a holder panicked: every change under these locks is complete before anything can panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
