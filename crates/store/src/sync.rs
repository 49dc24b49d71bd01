//! Locking.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also where a holder panicked: every change under these locks is complete before anything can panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
