//! Deleting entries that no server needs any more.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{FOLDER, Journal, KEPT, KEPT_LONGER, PAGE, Position, READS, in_time, panicked, time};
use crate::bucket::{Bucket, Error};

impl Journal {
    /// Deletes entries that are no longer kept; returns how many. May be run in a task.
    ///
    /// # Errors
    /// The first error of the bucket.
    pub(crate) fn delete_old(&self) -> impl Future<Output = Result<usize, Error>> + Send + use<> {
        let bucket = Arc::clone(&self.bucket);
        async move {
            let oldest = Position::now().before(KEPT + KEPT_LONGER);
            let mut deleted = 0;
            loop {
                let page = in_time(bucket.list(FOLDER, None, PAGE)).await?;
                let names = page.into_iter().map(|object| object.name);
                let old: Vec<String> = names.filter(|name| time(name).is_some_and(|time| time < oldest)).collect();
                for some in old.chunks(READS) {
                    delete(&bucket, some).await?;
                }
                deleted += old.len();
                if old.len() < PAGE {
                    return Ok(deleted);
                }
            }
        }
    }
}

/// Deletes objects, all at the same time.
async fn delete(bucket: &Arc<dyn Bucket>, names: &[String]) -> Result<(), Error> {
    let mut deletes = JoinSet::new();
    for name in names {
        let (bucket, name) = (Arc::clone(bucket), name.clone());
        deletes.spawn(async move { in_time(bucket.delete(&name)).await });
    }
    while let Some(deleted) = deletes.join_next().await {
        deleted.map_err(panicked)??;
    }
    Ok(())
}
