//! Lists originals, on a thread of its own: folders may be large, and their disk slow.

use tokio::sync::Semaphore;

use super::purge::on_thread;
use super::{Error, Service};
use crate::source::{self, Filter, Page, Query};

/// Pages that are listed at the same time; others wait.
static PAGES: Semaphore = Semaphore::const_new(2);

impl Service {
    /// One page of originals, of files whose names `filter` admits; `None` where the source cannot list.
    pub async fn list(&self, query: Query, filter: Filter) -> Option<Result<Page, Error>> {
        let listing = self.source.listing()?;
        // closed by nobody
        let permit = PAGES.acquire().await.ok()?;
        let page = on_thread(move || {
            let page = listing.page(&query, filter);
            drop(permit);
            page
        });
        Some(page.await.unwrap_or(Err(source::Error::NotFound)).map_err(Error::from))
    }
}
