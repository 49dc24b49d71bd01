//! The journal of purges: objects in the shared bucket, so that every server applies the purges of all, also those that were
//! made while it was stopped or had no connection.
//!
//! An entry is an object `purge/{time}-{server}`, whose body says what is purged. A server lists the entries that are later
//! than its position, the time of its last listing, less an allowance for clocks that differ. The position is kept beside
//! the cache folder's files, and applies to them.

mod deletion;
mod position;

pub(crate) use position::PositionFile;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::Purge;
use crate::bucket::{Bucket, Condition, Error, NewObject, Object};
use crate::source::ImageId;
use crate::sync;

/// The folder of the entries in the bucket.
const FOLDER: &str = "purge";

/// The version of the entries' format.
const VERSION: u8 = 1;

/// How far the clocks of two servers may differ, the time of a write included.
const LOOK_BACK: Duration = Duration::from_secs(60);

/// The same for every [`LONG_EVERY`]th listing, so that entries of a clock that differs more are late, not lost.
const LONG_LOOK_BACK: Duration = Duration::from_secs(600);
const LONG_EVERY: u64 = 30;

/// How long entries are kept: an older position tells nothing.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// Entries are deleted so much later than [`KEPT`], since clocks differ.
const KEPT_LONGER: Duration = Duration::from_secs(3600);

/// At the start, entries that are younger may be of a server that ended before it purged the bucket.
pub(crate) const RECENT: Duration = Duration::from_secs(600);

/// Objects of one listing.
const PAGE: usize = 1000;

/// More entries than these are applied as a purge of everything; [`RECENT`] ones, up to that number, also one by one.
const MAX_UNREAD: usize = 10_000;

/// Names of entries that are remembered. An entry that is applied again does no harm.
const MAX_SEEN: usize = 100_000;

/// Concurrent reads, the limit of bytes of an entry, and the time limit of one request.
const READS: usize = 16;
const MAX_BYTES: u64 = 64 << 10;
const REQUEST: Duration = Duration::from_secs(5);

/// A place in the journal, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(u64);

impl Position {
    /// The present.
    pub(crate) fn now() -> Position {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Position(nanoseconds(since))
    }

    pub(crate) fn before(self, duration: Duration) -> Position {
        Position(self.0.saturating_sub(nanoseconds(duration)))
    }

    /// Whether all entries since then are still kept.
    pub(crate) fn is_kept(self) -> bool {
        self >= Position::now().before(KEPT)
    }

    /// The position of this text; `None` if it is none, as after a power failure.
    pub(crate) fn parse(text: &str) -> Option<Position> {
        let is_number = text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { text.parse().ok().map(Position) } else { None }
    }

    /// The name that is smaller than those of all later entries.
    fn name(self) -> String {
        format!("{FOLDER}/{self}")
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:020}", self.0)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The body of an entry.
#[derive(Deserialize, Serialize)]
struct Entry {
    version: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    folder: Option<String>,
}

impl Entry {
    fn of(what: &Purge) -> Entry {
        let (original, folder) = match what {
            Purge::Original(id) => (Some(id.as_str().to_owned()), None),
            Purge::Folder(prefix) => (None, Some(prefix.clone())),
        };
        Entry { version: VERSION, original, folder }
    }

    fn purge(self) -> Option<Purge> {
        match self {
            Entry { version: VERSION, original: Some(name), folder: None } => {
                ImageId::of(&name).ok().map(Purge::Original)
            }
            Entry { version: VERSION, original: None, folder: Some(prefix) } => {
                let is_valid =
                    prefix.is_empty() || prefix.strip_suffix('/').is_some_and(|name| ImageId::of(name).is_ok());
                is_valid.then_some(Purge::Folder(prefix))
            }
            _ => None,
        }
    }
}

/// The journal in a bucket, as one server reads and writes it.
pub(crate) struct Journal {
    bucket: Arc<dyn Bucket>,
    /// A part of this process's names.
    server: String,
    state: Mutex<State>,
    reads: AtomicU64,
    counters: Counters,
}

struct State {
    position: Position,
    /// No listing begins before it.
    floor: Position,
    /// Entries that were applied or skipped, and that a later listing may have.
    seen: BTreeSet<String>,
    /// Own entries whose purge is not finished.
    unfinished: BTreeSet<Position>,
    /// When the journal was last read to its end, or the start.
    read: Instant,
}

/// Entries so far.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) written: AtomicU64,
    pub(crate) applied: AtomicU64,
    /// Invalid ones.
    pub(crate) skipped: AtomicU64,
}

/// The entries that a listing has found, in the order of their times.
pub(crate) struct Unread {
    /// The purges, and when they were written; the one of everything, in place of too many others, at no time.
    pub(crate) purges: Vec<(Position, Purge)>,
    names: Vec<String>,
    skipped: u64,
    began: Position,
}

/// An own entry. The position stays before it until this is dropped, so that a process which ends before its purge is
/// finished applies it at the next start.
pub(crate) struct Written<'a> {
    journal: &'a Journal,
    position: Position,
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        sync::lock(&self.journal.state).unfinished.remove(&self.position);
    }
}

impl Journal {
    /// The journal in that bucket, from now on.
    pub(crate) fn new(bucket: Arc<dyn Bucket>) -> Journal {
        let position = Position::now();
        Journal {
            bucket,
            server: format!("{:016x}", RandomState::new().build_hasher().finish()),
            state: Mutex::new(State {
                position,
                floor: position.before(LOOK_BACK),
                seen: BTreeSet::new(),
                unfinished: BTreeSet::new(),
                read: Instant::now(),
            }),
            reads: AtomicU64::new(0),
            counters: Counters::default(),
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The time since the journal was last read to its end.
    pub(crate) fn lag(&self) -> Duration {
        sync::lock(&self.state).read.elapsed()
    }

    /// Reads again from that position on, which may be earlier than the present one.
    pub(crate) fn resume(&self, position: Position) {
        let mut state = sync::lock(&self.state);
        state.position = position.min(Position::now());
        state.floor = state.position.before(LOOK_BACK);
        state.seen.clear();
    }

    /// Writes an entry. Returns once it is durable.
    ///
    /// # Errors
    /// The errors of the bucket; the entry may have been written nevertheless.
    pub(crate) async fn write(&self, what: &Purge) -> Result<Written<'_>, Error> {
        let written = self.begin();
        let body = serde_json::to_vec(&Entry::of(what)).unwrap_or_default();
        let object = NewObject {
            bytes: body.into(),
            media_type: "application/json",
            cache_control: Some("no-store"),
            metadata: Vec::new(),
        };
        let name = format!("{}-{}", written.position.name(), self.server);
        in_time(self.bucket.put(&name, object, Condition::None)).await?;
        self.counters.written.fetch_add(1, Ordering::Relaxed);
        Ok(written)
    }

    /// Takes the time of an own entry, which is not applied when it is listed.
    fn begin(&self) -> Written<'_> {
        let mut state = sync::lock(&self.state);
        let mut position = Position::now();
        while !state.unfinished.insert(position) {
            position.0 += 1;
        }
        state.seen.insert(format!("{}-{}", position.name(), self.server));
        Written { journal: self, position }
    }

    /// The entries that are neither applied nor skipped.
    ///
    /// # Errors
    /// The errors of the bucket.
    pub(crate) async fn unread(&self) -> Result<Unread, Error> {
        let began = Position::now();
        let mut names = Vec::new();
        let mut after = self.look_back().name();
        loop {
            let page = in_time(self.bucket.list(FOLDER, Some(&after), PAGE)).await?;
            let is_last = page.len() < PAGE;
            let Some(last) = page.last() else { break };
            after = last.name.clone();
            let state = sync::lock(&self.state);
            names.extend(page.into_iter().map(|object| object.name).filter(|name| !state.seen.contains(name)));
            if is_last {
                break;
            }
        }
        let (mut purges, mut skipped) = (Vec::new(), 0);
        let mut one_by_one = &names[..];
        if names.len() > MAX_UNREAD {
            tracing::warn!(entries = names.len(), "too many purges to apply one by one: all renditions are purged");
            // the servers that wrote them have purged the bucket long ago, except for the recent ones
            purges.push((Position(0), Purge::Folder(String::new())));
            let recent = began.before(RECENT).name();
            let first = names.partition_point(|name| *name < recent).max(names.len() - MAX_UNREAD);
            one_by_one = &names[first..];
        }
        for some in one_by_one.chunks(READS) {
            for (name, purge) in self.read(some).await? {
                match purge {
                    Some(purge) => purges.push(purge),
                    None => {
                        tracing::warn!(object = name, "skipped: this object is no entry of the journal of purges");
                        skipped += 1;
                    }
                }
            }
        }
        purges.sort_by_key(|(position, _)| *position);
        Ok(Unread { purges, names, skipped, began })
    }

    /// Where the next listing begins.
    fn look_back(&self) -> Position {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        let duration = if reads % LONG_EVERY == LONG_EVERY - 1 { LONG_LOOK_BACK } else { LOOK_BACK };
        let State { position, floor, .. } = &*sync::lock(&self.state);
        position.before(duration).max(*floor)
    }

    /// The purges of some entries; `None` for those that are not valid.
    async fn read(&self, names: &[String]) -> Result<Vec<(String, Option<(Position, Purge)>)>, Error> {
        let mut reads = JoinSet::new();
        for name in names {
            let (bucket, name) = (Arc::clone(&self.bucket), name.clone());
            reads.spawn(async move {
                let object = in_time(bucket.get(&name, None, MAX_BYTES)).await;
                (name, object)
            });
        }
        let mut purges = Vec::new();
        while let Some(read) = reads.join_next().await {
            let (name, object) = read.map_err(panicked)?;
            match object {
                Ok(object) => purges.push((name.clone(), parse(&name, &object))),
                Err(Error::TooLarge { .. }) => purges.push((name, None)),
                // another server has deleted it as too old
                Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(purges)
    }

    /// Notes that these entries are applied; returns the position.
    pub(crate) fn applied(&self, unread: Unread) -> Position {
        let Unread { purges, names, skipped, began } = unread;
        self.counters.applied.fetch_add(purges.len() as u64, Ordering::Relaxed);
        self.counters.skipped.fetch_add(skipped, Ordering::Relaxed);
        let mut state = sync::lock(&self.state);
        state.position = state.unfinished.first().map_or(began, |first| began.min(*first));
        state.read = Instant::now();
        state.seen.extend(names);
        let oldest = state.position.before(LONG_LOOK_BACK).max(state.floor).name();
        state.seen = state.seen.split_off(&oldest);
        while state.seen.len() > MAX_SEEN {
            state.seen.pop_first();
        }
        state.position
    }
}

/// The error for a task that ended without a result.
fn panicked(ended: tokio::task::JoinError) -> Error {
    Error::Unavailable(Arc::new(std::io::Error::other(ended)))
}

/// The purge of an entry; `None` if it is not valid.
fn parse(name: &str, object: &Object) -> Option<(Position, Purge)> {
    let entry: Entry = serde_json::from_slice(&object.bytes).ok()?;
    Some((time(name)?, entry.purge()?))
}

/// The time in the name of an entry.
fn time(name: &str) -> Option<Position> {
    let (time, server) = name.strip_prefix(FOLDER)?.strip_prefix('/')?.split_once('-')?;
    let is_server = (1..=64).contains(&server.len()) && server.bytes().all(|byte| byte.is_ascii_alphanumeric());
    Position::parse(time).filter(|_| is_server)
}

async fn in_time<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(REQUEST, request).await.unwrap_or(Err(Error::TimedOut))
}

#[cfg(test)]
mod tests;
