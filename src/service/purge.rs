//! Purges, in an order after which nothing comes back: the entry in the journal and this server, the shared bucket, the other
//! servers at once, and the bucket once more for what was being written there.

use std::sync::Arc;
use std::time::Duration;

use super::Service;
use crate::bucket;
use crate::cache::shared::SharedTier;
use crate::cache::{self, Purge};

/// When the bucket is purged again: another server that reads the journal late may be writing until then.
const SWEEP: Duration = Duration::from_secs(5);

/// The time limit of a purge of the bucket whose entry the journal did not take; the sweep goes on after it.
const WITHOUT_JOURNAL: Duration = Duration::from_secs(2);

/// How often that is tried.
const SWEEPS: u32 = 5;

/// A purge as far as it was carried out.
#[derive(Clone, Debug, Default)]
pub struct Purged {
    /// Renditions on this server or in the shared bucket, whichever are more.
    pub renditions: u64,
    /// The other servers; `None` where the settings name none and no bucket is shared.
    pub nodes: Option<Nodes>,
}

/// The other servers that are told of a purge.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    /// Servers that have carried it out.
    pub told: usize,
    /// The URLs of those that have not, and will read it in the journal.
    pub failed: Vec<String>,
}

/// A purge that did not reach all it had to: renditions may come back.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the purge is not complete, and has to be repeated: {why}")]
pub struct Incomplete {
    /// The part that was done.
    pub purged: Purged,
    /// The files, servers and buckets that were not reached, and why.
    pub why: String,
}

/// A purge of this server's renditions alone.
#[derive(Debug)]
pub(super) struct OwnPurge {
    pub(super) renditions: u64,
    /// Why it has to be repeated, if it has.
    pub(super) unreached: Option<Unreached>,
}

impl Service {
    /// Removes renditions from this server, from the shared bucket and from the other servers, and what the sources know of
    /// their originals. `token` is the admin token, which the other servers have as well. Goes on where the client leaves.
    ///
    /// # Errors
    /// [`Incomplete`] where files on this server cannot be removed, or the shared bucket, or another server without a shared
    /// bucket, was not reached.
    pub async fn purge(self: &Arc<Self>, what: Purge, token: &str) -> Result<Purged, Incomplete> {
        if self.cluster.get().is_none() {
            return self.purge_local(what).await;
        }
        let (service, token) = (Arc::clone(self), token.to_owned());
        let purge = tokio::spawn(async move { service.purge_everywhere(what, &token).await });
        purge.await.unwrap_or_else(|ended| Err(Incomplete { purged: Purged::default(), why: ended.to_string() }))
    }

    async fn purge_everywhere(self: Arc<Self>, what: Purge, token: &str) -> Result<Purged, Incomplete> {
        let Some(cluster) = self.cluster.get() else { return self.purge_local(what).await };
        let write = async {
            match cluster.journal() {
                Some(journal) => journal.write(&what).await.map(Some),
                None => Ok(None),
            }
        };
        // a store that hangs does not delay the purge of this server
        let (written, own) = tokio::join!(write, self.purge_own(vec![what.clone()]));
        let OwnPurge { mut renditions, unreached } = own;
        let mut unreached = Vec::from_iter(unreached);
        // a store that did not take the entry is not waited for a second time
        let limit = if written.is_ok() { Duration::MAX } else { WITHOUT_JOURNAL };
        // from now on the position may pass the entry
        unreached.extend(written.map(drop).err().map(Unreached::Journal));
        match self.purge_shared(&what, limit).await {
            Ok(shared) => renditions = renditions.max(shared),
            Err(error) => unreached.push(Unreached::Bucket(error)),
        }
        let nodes = cluster.tell(&what, token).await;
        if cluster.journal().is_none() && !nodes.failed.is_empty() {
            unreached.push(Unreached::Servers(nodes.failed.join(" ")));
        }
        complete(Purged { renditions, nodes: Some(nodes) }, &unreached)
    }

    /// Removes renditions from the shared bucket now, and again once what is being written there has arrived.
    async fn purge_shared(&self, what: &Purge, limit: Duration) -> Result<u64, bucket::Error> {
        let Some(tier) = self.shared() else { return Ok(0) };
        let purged = tokio::time::timeout(limit, tier.purge(what)).await.unwrap_or(Err(bucket::Error::TimedOut));
        self.sweep_later(vec![what.clone()]);
        purged
    }

    /// Purges the shared bucket in a task, when what is being written there now has arrived.
    pub(super) fn sweep_later(&self, purges: Vec<Purge>) {
        let Some(tier) = self.shared().cloned().filter(|_| !purges.is_empty()) else { return };
        tokio::spawn(async move {
            tokio::time::sleep(SWEEP).await;
            for what in &purges {
                sweep(&tier, what).await;
            }
        });
    }

    /// As [`Service::purge`], on this server alone.
    ///
    /// # Errors
    /// [`Incomplete`] where files cannot be removed.
    pub async fn purge_local(self: &Arc<Self>, what: Purge) -> Result<Purged, Incomplete> {
        let OwnPurge { renditions, unreached } = self.purge_own(vec![what]).await;
        complete(Purged { renditions, nodes: None }, unreached.as_slice())
    }

    /// Removes the renditions of several purges from this server, and what its source knows of their originals.
    pub(super) async fn purge_own(self: &Arc<Self>, purges: Vec<Purge>) -> OwnPurge {
        let service = Arc::clone(self);
        // removing many files takes long, and must not wait for a worker
        let purged = on_thread(move || {
            for what in &purges {
                match what {
                    Purge::Original(id) => service.source.forget(id),
                    Purge::Folder(prefix) => service.source.forget_below(prefix),
                }
            }
            service.cache.purge_all(&purges)
        });
        match purged.await {
            None => OwnPurge { renditions: 0, unreached: Some(Unreached::NotRun) },
            Some(cache::Purged { renditions, undeleted, unlisted }) => {
                let is_incomplete = undeleted + unlisted > 0;
                OwnPurge { renditions, unreached: is_incomplete.then_some(Unreached::Files { undeleted, unlisted }) }
            }
        }
    }
}

/// The result of a purge, and what it did not reach.
fn complete(purged: Purged, unreached: &[Unreached]) -> Result<Purged, Incomplete> {
    if unreached.is_empty() {
        return Ok(purged);
    }
    let why: Vec<String> = unreached.iter().map(Unreached::to_string).collect();
    Err(Incomplete { purged, why: why.join("; ") })
}

/// Purges the shared bucket, if need be again and again.
async fn sweep(tier: &Arc<SharedTier>, what: &Purge) {
    for _ in 1..SWEEPS {
        if tier.purge(what).await.is_ok() {
            return;
        }
        tokio::time::sleep(SWEEP).await;
    }
    if let Err(error) = tier.purge(what).await {
        tracing::warn!(?what, %error, "purged renditions may still be in the shared bucket");
    }
}

/// The copies that a purge did not reach.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreached {
    #[error("no thread could be started for it on this server")]
    NotRun,
    #[error(
        "{undeleted} files of this server's cache folder cannot be removed, and {unlisted} folders cannot be listed"
    )]
    Files { undeleted: usize, unlisted: usize },
    #[error("the journal of purges in the shared bucket was not written ({0})")]
    Journal(bucket::Error),
    #[error("the shared bucket was not purged ({0})")]
    Bucket(bucket::Error),
    #[error("these servers were not reached: {0}")]
    Servers(String),
}

/// Runs blocking work on a thread of its own; `None` if none can be started, or it panicked. The work goes on where the caller is
/// dropped.
pub(super) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, wait) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("purge".into()).spawn(move || {
        // the caller may be gone
        let _ = done.send(work());
    });
    thread.inspect_err(|error| tracing::error!(%error, "cannot start a thread")).ok()?;
    wait.await.ok()
}
