//! Purges of the bucket: all renditions of an original are one listing, and the originals below a folder are listed by their
//! markers.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::super::Purge;
use super::counters::Event;
use super::{MAX_BYTES, SharedTier, markers, object};
use crate::bucket::{Error, Listed};
use crate::source::ImageId;

/// Names in one listing.
const PAGE: usize = 1000;

/// Objects that are removed at a time.
const CONCURRENT: usize = 16;

/// The limits of one request.
const LIST_LIMIT: Duration = Duration::from_secs(10);
const DELETE_LIMIT: Duration = Duration::from_secs(5);

/// A marker is removed if it was written this long before the purge: another server may have written a younger one since it
/// knows of the purge, and count on it.
const MARKER_AGE: Duration = Duration::from_secs(60);

impl SharedTier {
    /// From now on nothing of the purged originals that was begun before is written to the bucket, and for some time nothing is
    /// taken from there that another server may have written before it knew of the purge.
    pub(crate) fn note_purge(&self, what: &Purge) {
        // in this order: what is handed over in the meantime finds the stamp, or is dropped here
        self.stamps.note(what);
        self.drop_purged(what);
        match what {
            Purge::Original(id) => self.marked.invalidate(id),
            // a marker that is written twice does no harm
            Purge::Folder(_) => self.marked.invalidate_all(),
        }
        self.in_bucket.invalidate_all();
    }

    /// Removes the renditions from the bucket and returns their number. Objects that other servers are writing at the time are
    /// removed by a second call some seconds later. The breaker is not asked.
    ///
    /// # Errors
    /// The first error of the bucket; what was not reached stays there.
    pub(crate) async fn purge(self: &Arc<Self>, what: &Purge) -> Result<u64, Error> {
        match what {
            Purge::Original(id) => {
                let removed = self.purge_renditions(id).await?;
                self.remove_marker(what, id).await?;
                Ok(removed)
            }
            Purge::Folder(prefix) if prefix.is_empty() => {
                let removed = self.remove_below(object::FOLDER, |_| true).await?;
                self.remove_below(markers::FOLDER, |marker| self.is_settled(what, marker)).await?;
                Ok(removed)
            }
            Purge::Folder(prefix) => self.purge_folder(what, &markers::folder(prefix)).await,
        }
    }

    async fn purge_renditions(self: &Arc<Self>, id: &ImageId) -> Result<u64, Error> {
        self.remove_below(&object::folder(id), |_| true).await
    }

    async fn purge_folder(self: &Arc<Self>, what: &Purge, folder: &str) -> Result<u64, Error> {
        let mut removed = 0;
        let mut after = None;
        loop {
            let page = self.list(folder, after.as_deref()).await?;
            let Some(last) = page.last() else { return Ok(removed) };
            after = Some(last.name.clone());
            removed += self.purge_originals(&page).await?;
            let settled = page.into_iter().filter(|marker| self.is_settled(what, marker));
            self.remove_all(settled.map(|marker| marker.name)).await?;
        }
    }

    /// Removes the renditions of the originals with these markers.
    async fn purge_originals(self: &Arc<Self>, page: &[Listed]) -> Result<u64, Error> {
        let originals = page.iter().filter_map(|marker| markers::original(&marker.name));
        sum(originals.map(|id| {
            let tier = Arc::clone(self);
            async move { tier.purge_renditions(&id).await }
        }))
        .await
    }

    /// Removes the objects below a folder that are selected; returns their number.
    async fn remove_below(self: &Arc<Self>, folder: &str, selects: impl Fn(&Listed) -> bool) -> Result<u64, Error> {
        let mut removed = 0;
        let mut after = None;
        loop {
            let page = self.list(folder, after.as_deref()).await?;
            // a store may still list what was removed, so the next listing begins after it
            let Some(last) = page.last() else { return Ok(removed) };
            after = Some(last.name.clone());
            removed += self.remove_all(page.into_iter().filter(&selects).map(|object| object.name)).await?;
        }
    }

    async fn remove_all(self: &Arc<Self>, names: impl Iterator<Item = String>) -> Result<u64, Error> {
        sum(names.map(|name| {
            let tier = Arc::clone(self);
            async move { tier.delete(&name).await.map(|()| 1) }
        }))
        .await
    }

    async fn remove_marker(&self, what: &Purge, id: &ImageId) -> Result<(), Error> {
        let Some(name) = markers::name(id) else { return Ok(()) };
        let limited = tokio::time::timeout(LIST_LIMIT, self.bucket.get(&name, None, MAX_BYTES));
        match limited.await.unwrap_or(Err(Error::TimedOut)) {
            Ok(marker) => {
                let listed = Listed { name, length: 0, modified: marker.modified };
                if self.is_settled(what, &listed) { self.delete(&listed.name).await } else { Ok(()) }
            }
            Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether a marker was there long before the purge.
    fn is_settled(&self, what: &Purge, marker: &Listed) -> bool {
        let noted = self.stamps.of(what).map_or_else(std::time::SystemTime::now, |stamp| stamp.time);
        marker.modified + MARKER_AGE < noted
    }

    async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Listed>, Error> {
        let limited = tokio::time::timeout(LIST_LIMIT, self.bucket.list(folder, after, PAGE));
        let listed = limited.await.unwrap_or(Err(Error::TimedOut));
        self.counters.count(match &listed {
            Ok(_) => Event::ListDone,
            Err(Error::TimedOut) => Event::ListTimeout,
            Err(_) => Event::ListError,
        });
        listed
    }

    /// Removes one object.
    pub(super) async fn delete(&self, name: &str) -> Result<(), Error> {
        let deleted =
            tokio::time::timeout(DELETE_LIMIT, self.bucket.delete(name)).await.unwrap_or(Err(Error::TimedOut));
        self.counters.count(match &deleted {
            Ok(()) => Event::DeleteDone,
            Err(Error::TimedOut) => Event::DeleteTimeout,
            Err(_) => Event::DeleteError,
        });
        deleted
    }
}

/// The sum of the results of these, a few of which run at a time.
async fn sum<F>(removals: impl Iterator<Item = F>) -> Result<u64, Error>
where
    F: Future<Output = Result<u64, Error>> + Send + 'static,
{
    let mut removed = 0;
    let mut tasks = JoinSet::new();
    for removal in removals {
        if tasks.len() >= CONCURRENT {
            removed += joined(&mut tasks).await?;
        }
        tasks.spawn(removal);
    }
    while !tasks.is_empty() {
        removed += joined(&mut tasks).await?;
    }
    Ok(removed)
}

/// The number of removed objects of a task that has ended.
async fn joined(tasks: &mut JoinSet<Result<u64, Error>>) -> Result<u64, Error> {
    match tasks.join_next().await {
        None => Ok(0),
        Some(Ok(removed)) => removed,
        Some(Err(ended)) => Err(Error::Unavailable(std::io::Error::other(ended).into())),
    }
}
