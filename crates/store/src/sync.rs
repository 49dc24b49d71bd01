//! One way to lock.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. One whose holder panicked still guards what it guards: every change under these locks is made whole or not
/// at all.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
