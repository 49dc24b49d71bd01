//! The locks that this module's pure parts are built on, named in one place: a test replaces them by ones whose every
//! interleaving it can try.

pub(super) use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Locks. One whose holder panicked still guards what it guards: every change under these locks is made whole or not
/// at all.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
