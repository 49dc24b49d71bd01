//! Space: reservations within the bounds, free space that is left to others, and eviction.

use std::io::Result;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::scan::Phase;
use super::write::WriteError;
use super::{Attributes, FIXED_LEGACY, Shared, lock};
use crate::folder::BLOCK;
use crate::index::Space;
use crate::layout;

/// Inodes of the file system that are always left to others, where it has many; otherwise a sixteenth.
const MIN_FREE_FILES: u64 = 1024;

/// How long an eviction right after the start waits until the order of use is known.
const ORDER_TIMEOUT: Duration = Duration::from_millis(200);

impl<A: Attributes> Shared<A> {
    /// Reserves space; evicts files where there is none.
    pub(crate) fn reserve_space(&self, space: Space) -> std::result::Result<(), WriteError> {
        loop {
            let fits_when_empty = {
                let mut index = lock(&self.index);
                if index.reserve(space) {
                    return Ok(());
                }
                index.fits_when_empty(space)
            };
            if !fits_when_empty && lock(&self.legacy).is_empty() {
                return Err(WriteError::NoSpace("it is larger than the bounds of the cache".into()));
            }
            if self.evict_one()?.is_none() {
                return Err(WriteError::NoSpace("nothing in it can be removed".into()));
            }
        }
    }

    /// Evicts files until the file system has that much space and `min_free` besides.
    pub(crate) fn ensure_free_space(&self, space: Space) -> std::result::Result<(), WriteError> {
        let short = self.missing_free_space(space)?;
        if short == Space::default() {
            return Ok(());
        }
        self.evict(short)?;
        let short = self.missing_free_space(space)?;
        if short == Space::default() {
            return Ok(());
        }
        let (bytes, files) = (short.blocks * BLOCK, short.files);
        let text =
            format!("its file system lacks {bytes} bytes and {files} files of the free space that is left to others");
        Err(WriteError::NoSpace(text))
    }

    fn missing_free_space(&self, space: Space) -> Result<Space> {
        let free = self.folder.free()?;
        let bytes = self.min_free.saturating_add(space.blocks * BLOCK).saturating_sub(free.bytes);
        let files = free.files.map_or(0, |files| {
            let least = MIN_FREE_FILES.min(files.all / 16);
            (least + space.files).saturating_sub(files.free)
        });
        Ok(Space { blocks: bytes.div_ceil(BLOCK), files })
    }

    /// Evicts files until that much is freed, or none is left.
    pub(crate) fn evict(&self, space: Space) -> std::result::Result<(), WriteError> {
        let mut freed = Space::default();
        while freed.blocks < space.blocks || freed.files < space.files {
            let Some(part) = self.evict_one()? else { return Ok(()) };
            freed = Space { blocks: freed.blocks + part.blocks, files: freed.files + part.files };
        }
        Ok(())
    }

    /// Evicts the file that goes first; returns the blocks and inodes that this frees: none where the inode has other links.
    /// `None` where there is no file, or it cannot be removed.
    pub(crate) fn evict_one(&self) -> std::result::Result<Option<Space>, WriteError> {
        let mut legacy = lock(&self.legacy);
        if !legacy.is_empty() {
            let before = legacy.space();
            let removed = legacy.remove_one::<A>();
            self.set_fixed(FIXED_LEGACY, legacy.space());
            if let Err(error) = &removed
                && let Some(suppressed) = self.undeletable.allow()
            {
                tracing::warn!(%error, suppressed, "files of an older layout cannot be removed; they stay counted");
            }
            if removed.unwrap_or(false) {
                self.counters.evicted.fetch_add(1, Ordering::Relaxed);
                let after = legacy.space();
                let (blocks, files) = (before.blocks - after.blocks, before.files - after.files);
                return Ok(Some(Space { blocks, files }));
            }
        }
        drop(legacy);
        if !self.wait_for_phase(Phase::Ready, ORDER_TIMEOUT) {
            return Err(WriteError::NoSpace("the least recently used files are not known yet".into()));
        }
        let Some(victim) = lock(&self.index).evict() else { return Ok(None) };
        let file = layout::path(victim.key, &victim.value);
        if let Err(error) = self.folder.remove(&file) {
            if let Some(suppressed) = self.undeletable.allow() {
                tracing::warn!(%file, %error, suppressed, "a cached file cannot be removed to make room");
            }
            let left = lock(&self.index).restore(victim);
            // written again meanwhile: removed later
            lock(&self.undeleted).extend(left.map(|left| (file, left.charge)));
            return Ok(None);
        }
        let freed = lock(&self.index).release(victim.charge);
        self.counters.evicted.fetch_add(1, Ordering::Relaxed);
        Ok(Some(freed))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::Config;
    use crate::disk::Disk;
    use crate::testing::{Extension, body, file, files, object, poll};

    fn open(dir: &Path, min_free: u64) -> Disk<Extension> {
        let config = Config { dir: None, max_bytes: 1 << 30, max_files: 10_000, min_free };
        let disk = Disk::open(dir, &config, Arc::default()).expect("a folder");
        poll(|| disk.usage().scanned == 1.0);
        disk
    }

    /// Six files of a block each.
    async fn filled(dir: &Path) -> Disk<Extension> {
        let disk = open(dir, 0);
        for number in 0..6 {
            let (path, key) = file("a", number);
            assert!(disk.put(path, key, &object(body(number))).await);
        }
        disk.flush();
        disk
    }

    #[tokio::test]
    async fn as_many_files_are_evicted_as_blocks_or_inodes_need() {
        for (blocks, inodes, left) in [(0, 0, 6), (1, 0, 5), (0, 2, 4), (3, 1, 3), (1, 3, 3), (100, 0, 0)] {
            let dir = tempfile::tempdir().expect("a folder");
            let disk = filled(dir.path()).await;
            disk.shared.evict(Space { blocks, files: inodes }).expect("they can be removed");
            assert_eq!(files(dir.path()).len(), left, "{blocks} blocks, {inodes} inodes");
        }
    }

    #[tokio::test]
    async fn eviction_says_what_it_frees() {
        let dir = tempfile::tempdir().expect("a folder");
        let disk = filled(dir.path()).await;
        let freed = disk.shared.evict_one().expect("it can be removed").expect("there is one");
        assert_eq!((freed.blocks, freed.files), (1, 1));
        drop(disk);
        // the same files as those of an older layout
        std::fs::rename(dir.path().join("v2"), dir.path().join("v1")).expect("moved");
        let disk = open(dir.path(), 0);
        for left in (0..5).rev() {
            let freed = disk.shared.evict_one().expect("it can be removed").expect("there is one");
            assert_eq!((freed.blocks, freed.files), (1, 1));
            assert_eq!(files(dir.path()).len(), left);
        }
        assert!(disk.shared.evict_one().expect("nothing fails").is_none());
    }

    #[tokio::test]
    async fn free_space_is_left_to_others() {
        let dir = tempfile::tempdir().expect("a folder");
        // other processes write to the file system meanwhile, so the numbers have a gigabyte to spare
        let free = open(dir.path(), 0).shared.folder.free().expect("its free space").bytes;
        let disk = open(dir.path(), free.saturating_sub(1 << 30));
        let missing = |bytes: u64| disk.shared.missing_free_space(Space { blocks: bytes / BLOCK, files: 1 });
        assert_eq!(missing(BLOCK).expect("it is known"), Space::default());
        let blocks = missing(3 << 30).expect("it is known").blocks;
        assert!((1 << 30..3 << 30).contains(&(blocks * BLOCK)), "{blocks}");
        // where inodes are numbered, a part of them is left as well; others may take some between the two calls
        let is_close = || {
            let Some(inodes) = disk.shared.folder.free().expect("its free space").files else { return true };
            let least = MIN_FREE_FILES.min(inodes.all / 16);
            let missing = disk.shared.missing_free_space(Space { blocks: 1, files: inodes.free + 10_000 });
            (least + 5000..least + 15_000).contains(&missing.expect("it is known").files)
        };
        assert!((0..10).any(|_| is_close()));
        assert!(disk.shared.ensure_free_space(Space::file(1)).is_ok());
        let Err(WriteError::NoSpace(text)) = disk.shared.ensure_free_space(Space::file((3 << 30) / BLOCK)) else {
            panic!("there is less");
        };
        let bytes = text.strip_prefix("its file system lacks ").and_then(|rest| rest.split(' ').next()?.parse().ok());
        assert!(bytes.is_some_and(|bytes: u64| (1 << 30..3 << 30).contains(&bytes)), "{text}");
    }
}
