//! Handing files over to the staging thread, and what is known of a file while it is being written.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use super::write::StageJob;
use super::{Disk, FAN_OUT, Pending, Shared, lock};
use crate::layout::Record;
use crate::{Attributes, Digest, Entry, Key, Object};

/// Bytes of files waiting to be staged; more are not stored.
const QUEUE_BYTES: u64 = 64 << 20;

/// How long [`Disk::put`] waits for a file to be staged. That takes well under a millisecond unless the disk is in trouble, and
/// then the response should not wait for it.
const STAGE_TIMEOUT: Duration = Duration::from_millis(250);

impl<A: Attributes> Disk<A> {
    /// Length, digest and attributes of the file of that key.
    pub(crate) fn entry(&self, key: Key) -> Option<Entry<A>> {
        self.shared.list_folder(key.first_byte() % FAN_OUT);
        self.shared.entry(&lock(&self.shared.pending), key)
    }

    /// Hands a file over to be written. `true` once it would survive this process; `false` where it will not be stored, or where
    /// that is not known within [`STAGE_TIMEOUT`].
    pub(crate) async fn put(&self, original: &str, key: Key, object: &Arc<Object<A>>) -> bool {
        self.hand_over(original, key, object, None, || true).await
    }

    /// As [`Disk::put`], unless `is_valid` returns false, which is asked under the lock that a purge takes.
    pub(crate) async fn put_if(
        &self, original: &str, key: Key, object: &Arc<Object<A>>, is_valid: impl Fn() -> bool,
    ) -> bool {
        self.hand_over(original, key, object, None, is_valid).await
    }

    /// As [`Disk::put`], in place of the file of that key with the digest `current`; `false` where there is none, or it is not
    /// written yet.
    pub(crate) async fn replace(&self, original: &str, key: Key, current: Digest, object: &Arc<Object<A>>) -> bool {
        self.shared.list_folder(key.first_byte() % FAN_OUT);
        self.hand_over(original, key, object, Some(current), || true).await
    }

    async fn hand_over(
        &self, original: &str, key: Key, object: &Arc<Object<A>>, replaces: Option<Digest>, is_valid: impl Fn() -> bool,
    ) -> bool {
        let shared = &self.shared;
        let length = object.bytes.len() as u64;
        let queued = shared.pending_bytes.fetch_add(length, Ordering::Relaxed) + length;
        let (staged, wait) = oneshot::channel();
        let mut is_current = true;
        let accepted = queued <= QUEUE_BYTES.max(length) && {
            let original: Arc<str> = original.into();
            // held until the job is sent: a purge takes it first, and then waits for the jobs that were sent
            let mut pending = lock(&shared.pending);
            is_current = is_valid();
            is_current &= replaces.is_none_or(|current| {
                let record = lock(&shared.index).get(&key);
                !pending.contains_key(&key) && record.is_some_and(|record| record.digest == current)
            });
            let job = StageJob::stage(Arc::clone(&original), key, Arc::clone(object), replaces, staged);
            let is_sent = is_current && self.stage.as_ref().is_some_and(|stage| stage.try_send(job).is_ok());
            if is_sent {
                // the threads look for it under the lock; a former put of the key, which may be reported as stored, is
                // replaced by one that will be written alone
                pending.insert(key, Pending { original, object: Arc::clone(object) });
            }
            is_sent
        };
        if !accepted {
            shared.pending_bytes.fetch_sub(length, Ordering::Relaxed);
            shared.counters.not_stored.fetch_add(u64::from(is_current), Ordering::Relaxed);
            return false;
        }
        matches!(tokio::time::timeout(STAGE_TIMEOUT, wait).await, Ok(Ok(())))
    }
}

impl<A: Attributes> Shared<A> {
    /// Length, digest and attributes of the file of that key, by the files that are being written and the index.
    fn entry(&self, pending: &HashMap<Key, Pending<A>>, key: Key) -> Option<Entry<A>> {
        if let Some(Pending { object, .. }) = pending.get(&key) {
            let Object { bytes, digest, attributes } = &**object;
            return Some(Entry { length: bytes.len() as u64, digest: *digest, attributes: *attributes });
        }
        let Record { digest, length, attributes } = lock(&self.index).get(&key)?;
        Some(Entry { length: length.into(), digest, attributes })
    }

    /// Drops a file that will not be written.
    pub(crate) fn cancel_pending(&self, key: Key, object: &Arc<Object<A>>) {
        let mut pending = lock(&self.pending);
        if pending.get(&key).is_some_and(|pending| Arc::ptr_eq(&pending.object, object)) {
            pending.remove(&key);
        }
        self.pending_bytes.fetch_sub(object.bytes.len() as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
