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
