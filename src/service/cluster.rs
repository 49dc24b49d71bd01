//! The other servers of a cluster: their purges, which are read from the journal in the shared bucket, and requests to them.
//!
//! Renditions on disk are sent only once the purges that the folder missed are applied: after the start, and whenever the
//! folder was opened again. Until then they are rendered, or taken from the bucket.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::task::JoinSet;

use super::Service;
use super::purge::{Nodes, Unreached, on_thread};
use crate::bucket;
use crate::cache::journal::{Counters, Journal, Position, PositionFile, RECENT};
use crate::cache::{self, Purge};
use crate::net::peer::Peer;

/// The time limit of a request to another server.
const TELL: Duration = Duration::from_secs(1);

/// How long the first requests wait for the journal.
const CATCH_UP: Duration = Duration::from_secs(2);

/// An entry that was written longer ago than this may be read after the server that wrote it has swept the bucket.
const LATE: Duration = Duration::from_secs(3);

/// How often the position is written where nothing was applied.
const PERSIST: Duration = Duration::from_secs(30);

/// How often old entries are looked for.
const CLEAN: Duration = Duration::from_secs(3600);

/// The settings of a server that is one of several.
#[derive(Clone, Debug)]
pub struct Config {
    /// The other servers.
    pub peers: Vec<PeerUrl>,
    /// The interval at which the journal is read.
    pub poll: Duration,
    /// The name of the shared bucket, which the position in the journal belongs to.
    pub bucket: String,
}

/// The URL of another server: scheme and authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerUrl(Uri);

/// A text that is no URL of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a URL such as \"http://10.0.0.2:8080\", without credentials, a path or a query")]
pub struct InvalidPeer(String);

impl FromStr for PeerUrl {
    type Err = InvalidPeer;

    fn from_str(text: &str) -> Result<PeerUrl, InvalidPeer> {
        let invalid = || InvalidPeer(without_credentials(text));
        let url = text.parse::<Uri>().map_err(|_| invalid())?;
        let authority = url.authority().map_or("", |authority| authority.as_str());
        let is_server = matches!(url.scheme_str(), Some("http" | "https"))
            && !url.host().unwrap_or_default().is_empty()
            && !authority.contains('@')
            && url.path() == "/"
            && url.query().is_none();
        if is_server { Ok(PeerUrl(url)) } else { Err(invalid()) }
    }
}

/// The text without what may be a password.
fn without_credentials(text: &str) -> String {
    text.rsplit_once('@').map_or(text, |(_, rest)| rest).to_owned()
}

impl std::fmt::Display for PeerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.to_string().trim_end_matches('/'))
    }
}

impl PeerUrl {
    /// A client of that server.
    ///
    /// # Errors
    /// If it needs TLS and the system has no root certificates.
    pub(crate) fn client(&self) -> std::io::Result<Peer> {
        Peer::new(self.0.clone()).map_err(std::io::Error::other)
    }
}

/// The other servers.
pub(super) struct Cluster {
    /// `None` where no bucket is shared.
    journal: Option<Journal>,
    /// `None` where renditions are in memory only.
    position: Option<PositionFile>,
    peers: Vec<(PeerUrl, Arc<Peer>)>,
    poll: Duration,
}

impl Cluster {
    pub(super) fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// Tells the other servers of a purge, all at the same time.
    pub(super) async fn tell(&self, what: &Purge, token: &str) -> Nodes {
        let target = target(what);
        let mut requests = JoinSet::new();
        for (url, peer) in self.peers.clone() {
            let (target, token) = (target.clone(), token.to_owned());
            requests.spawn(async move {
                let why = match peer.send(Method::POST, &target, &token, TELL).await {
                    Ok(answer) if answer.status == StatusCode::OK => None,
                    Ok(answer) => Some(format!("status {}", answer.status.as_u16())),
                    Err(error) => Some(error.to_string()),
                };
                (url.to_string(), why)
            });
        }
        let mut nodes = Nodes::default();
        while let Some(Ok((url, why))) = requests.join_next().await {
            match why {
                None => nodes.told += 1,
                Some(why) => {
                    tracing::warn!(url, why, "a purge did not reach another server");
                    nodes.failed.push(url);
                }
            }
        }
        nodes.failed.sort();
        nodes
    }
}

/// The request target that purges one server.
fn target(what: &Purge) -> String {
    let path = match what {
        Purge::Original(id) => id.as_str(),
        Purge::Folder(prefix) if prefix.is_empty() => "/",
        Purge::Folder(prefix) => prefix,
    };
    format!("/-/purge?path={}&local=1", utf8_percent_encode(path, NON_ALPHANUMERIC))
}

/// The state of the journal of purges.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct JournalStats {
    /// The time since it was last read to its end; zero where no bucket is shared.
    pub(crate) lag: Duration,
    pub(crate) written: u64,
    pub(crate) applied: u64,
    pub(crate) skipped: u64,
}

impl Service {
    /// Makes this server one of several; called before the first request and after [`Service::share`]. A second call has
    /// no effect.
    ///
    /// # Errors
    /// If another server needs TLS and the system has no root certificates.
    pub(crate) fn join_cluster(&self, config: Config) -> std::io::Result<()> {
        let Config { peers, poll, bucket } = config;
        let peers = peers.into_iter().map(|url| Ok((url.clone(), Arc::new(url.client()?))));
        let cluster = Cluster {
            peers: peers.collect::<std::io::Result<_>>()?,
            journal: self.shared().map(|tier| Journal::new(Arc::clone(tier.bucket()))),
            position: self.cache_config().dir.as_ref().map(|dir| PositionFile::new(dir, &bucket)),
            poll,
        };
        if cluster.journal.is_some() && cluster.position.is_some() {
            self.cache.distrust_disk();
            self.source.require_confirmation(true);
        }
        // the first one stays
        let _ = self.cluster.set(cluster);
        Ok(())
    }

    /// Reads the journal of purges for at most two seconds, and goes on reading it in a task; returns when requests can be
    /// answered.
    pub(crate) async fn follow_purges(self: &Arc<Self>) {
        if self.cluster.get().and_then(Cluster::journal).is_none() {
            return;
        }
        let mut follower = Follower::default();
        if tokio::time::timeout(CATCH_UP, follower.read_logged(self)).await.is_err() {
            follower.fail(&bucket::Error::TimedOut.into());
        }
        tokio::spawn(follower.run(Arc::downgrade(self)));
    }

    /// The state of the journal of purges.
    pub(crate) fn journal_stats(&self) -> JournalStats {
        let Some(journal) = self.cluster.get().and_then(Cluster::journal) else { return JournalStats::default() };
        let Counters { written, applied, skipped } = journal.counters();
        let [written, applied, skipped] =
            [written, applied, skipped].map(|counter| counter.load(std::sync::atomic::Ordering::Relaxed));
        JournalStats { lag: journal.lag(), written, applied, skipped }
    }
}

/// Why the purges of other servers are not applied.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the journal of purges cannot be read: {0}")]
    Read(#[from] bucket::Error),
    #[error("the purges of other servers cannot be applied: {0}")]
    Apply(Unreached),
}

/// Reads the journal again and again.
#[derive(Default)]
struct Follower {
    /// Whether the journal was read once.
    has_read: bool,
    is_failing: bool,
    persisted: Option<Instant>,
    cleaned: Option<Instant>,
}

impl Follower {
    async fn run(mut self, service: Weak<Service>) {
        loop {
            let Some(poll) = service.upgrade().and_then(|service| Some(service.cluster.get()?.poll)) else { return };
            tokio::time::sleep(jittered(poll)).await;
            let Some(service) = service.upgrade() else { return };
            self.read_logged(&service).await;
        }
    }

    async fn read_logged(&mut self, service: &Arc<Service>) {
        let Some(cluster) = service.cluster.get() else { return };
        let Some(journal) = cluster.journal() else { return };
        match self.read(service, cluster, journal).await {
            Ok(()) if self.is_failing => {
                tracing::info!("the journal of purges is read again");
                self.is_failing = false;
            }
            Ok(()) => {}
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &Error) {
        if !self.is_failing {
            let disk = if self.has_read { "" } else { "; renditions on disk are not used until then" };
            tracing::warn!(%error, "purges of other servers are not applied; it is tried again{disk}");
            self.is_failing = true;
        }
    }

    async fn read(&mut self, service: &Arc<Service>, cluster: &Cluster, journal: &Journal) -> Result<(), Error> {
        let opening = service.cache.disk_opening();
        let is_trusted = service.cache.trusts_disk();
        if let (Some(file), Some(_), false) = (&cluster.position, opening, is_trusted) {
            resume(service, journal, file).await?;
        }
        let (lag, now) = (journal.lag(), Position::now());
        let unread = journal.unread().await?;
        self.apply(service, &unread.purges, lag, now).await?;
        let is_due = !unread.purges.is_empty()
            || !is_trusted
            || self.persisted.is_none_or(|persisted| persisted.elapsed() > PERSIST);
        let position = journal.applied(unread);
        self.has_read = true;
        if let (Some(file), Some(opening)) = (&cluster.position, opening)
            && is_due
            && service.cache.disk_opening() == Some(opening)
        {
            // files that could not be removed are found again at the next start, which has to apply their purges again
            if !service.cache.has_undeleted() {
                persist(file, position).await;
                self.persisted = Some(Instant::now());
            }
            service.cache.trust_disk(opening);
            service.source.require_confirmation(false);
        }
        if self.cleaned.is_none_or(|cleaned| cleaned.elapsed() > CLEAN) {
            self.cleaned = Some(Instant::now());
            delete_old(journal);
        }
        Ok(())
    }

    /// Applies purges to this server, all at once: missed ones may be thousands, of a few originals.
    async fn apply(
        &self, service: &Arc<Service>, purges: &[(Position, Purge)], lag: Duration, now: Position,
    ) -> Result<(), Error> {
        if purges.is_empty() {
            return Ok(());
        }
        tracing::debug!(?purges, "applying purges of other servers");
        let all = purges.iter().map(|(_, what)| what.clone()).collect();
        match service.purge_own(all).await.unreached {
            // their files are not in the index, so they are not sent before the next start, which applies the purge again
            None | Some(Unreached::Files { unlisted: 0, .. }) => {}
            Some(unreached) => return Err(Error::Apply(unreached)),
        }
        service.sweep_later(late(purges, self.has_read.then_some(lag), now));
        Ok(())
    }
}

/// The purges after which the bucket may have renditions that were written since the server which wrote them swept it. `lag` is
/// the time since the journal was read before; `None` at the start.
fn late(purges: &[(Position, Purge)], lag: Option<Duration>, now: Position) -> Vec<Purge> {
    let is_late = |position: Position| lag.map_or(position > now.before(RECENT), |lag| lag > LATE);
    purges.iter().filter(|(position, _)| is_late(*position)).map(|(_, what)| what.clone()).collect()
}

/// Deletes entries that are no longer kept, in a task: reading the journal must not wait for it, nor end with its errors.
fn delete_old(journal: &Journal) {
    let deletion = journal.delete_old();
    tokio::spawn(async move {
        if let Err(error) = deletion.await {
            tracing::warn!(%error, "old entries of the journal of purges cannot be deleted");
        }
    });
}

/// Has the journal read from the position of the folder. A folder that missed entries which are no longer kept is emptied.
async fn resume(service: &Arc<Service>, journal: &Journal, file: &PositionFile) -> Result<(), Error> {
    let own = file.clone();
    let position = on_thread(move || own.read()).await.flatten();
    match position.filter(|position| position.is_kept()) {
        Some(position) => journal.resume(position),
        None => {
            let now = Position::now();
            let own = Arc::clone(service);
            let purged = on_thread(move || {
                own.source.forget_below("");
                own.cache.purge_own(&[Purge::Folder(String::new())])
            });
            let Some(purged) = purged.await else { return Err(Error::Apply(Unreached::NotRun)) };
            let cache::Purged { renditions, undeleted, unlisted } = purged;
            if renditions > 0 {
                tracing::warn!(
                    renditions,
                    "purged all: it is not known which purges of other servers the cache folder missed"
                );
            }
            if unlisted > 0 {
                return Err(Error::Apply(Unreached::Files { undeleted, unlisted }));
            }
            journal.resume(now);
            if !service.cache.has_undeleted() {
                persist(file, now).await;
            }
        }
    }
    Ok(())
}

async fn persist(file: &PositionFile, position: Position) {
    let file = file.clone();
    let written = on_thread(move || file.write(position)).await;
    if let Some(Err(error)) = written {
        tracing::warn!(%error, "cannot write the position in the journal of purges into the cache folder");
    }
}

/// A duration changed by up to a tenth, so that servers do not ask together.
fn jittered(duration: Duration) -> Duration {
    let random = (RandomState::new().build_hasher().finish() % 1000) as f64;
    duration.mul_f64(0.9 + random / 1000.0 * 0.2)
}

#[cfg(test)]
mod tests;
