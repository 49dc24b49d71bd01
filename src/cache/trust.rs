//! Whether renditions on disk may be sent: not before the purges that this process or the folder missed are applied to them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Cache;

/// The opening of the folder whose renditions may be sent.
pub(super) struct Trust(AtomicU64);

/// Any opening.
const ANY: u64 = u64::MAX;

impl Default for Trust {
    fn default() -> Trust {
        Trust(AtomicU64::new(ANY))
    }
}

impl<E: Clone + Send + Sync + 'static> Cache<E> {
    /// Sends no rendition from disk until [`Cache::trust_disk`]. Renditions that are made are stored meanwhile.
    pub(crate) fn distrust_disk(&self) {
        // openings are counted from one
        self.trust.0.store(0, Ordering::SeqCst);
    }

    /// Sends renditions from disk as long as the folder stays open since that opening.
    pub(crate) fn trust_disk(&self, opening: u64) {
        self.trust.0.store(opening, Ordering::SeqCst);
    }

    /// The number of the opening of the folder; `None` while this process does not have it.
    pub(crate) fn disk_opening(&self) -> Option<u64> {
        self.store.opened()
    }

    /// Whether renditions on disk may be sent. Asked after a rendition was found, since the folder may be opened again at any
    /// time.
    pub(crate) fn trusts_disk(&self) -> bool {
        match self.trust.0.load(Ordering::SeqCst) {
            ANY => true,
            opening => self.store.opened() == Some(opening),
        }
    }
}
