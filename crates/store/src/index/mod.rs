//! The index of a bounded store: its entries, the space they take, and the order of eviction.
//!
//! Pure bookkeeping without I/O or a clock. Space is reserved before a byte is written and released after it is free, so the
//! index never counts less than the disk holds. Each link counts as a file; the blocks of an inode count once, however many
//! links it has (`inodes.rs`).
//!
//! Eviction is a segmented LRU (Karedla, Love and Wherry, "Caching strategies to improve disk system performance", 1994). A
//! new entry is in the probationary segment, whose entries go first; a hit moves it to the protected segment. A flood of
//! files that are requested once passes through the first segment and leaves the second alone. A ghost list, as in 2Q
//! (Johnson and Shasha, "2Q: a low overhead high performance buffer management replacement algorithm", 1994), has the keys
//! that were evicted lately: such an entry is protected as soon as it comes back, or a flood could keep out files that are
//! requested steadily but slowly.

mod ghosts;
mod inodes;
#[cfg(test)]
mod interleavings;
mod segments;
#[cfg(test)]
mod tests;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};

use hashbrown::HashTable;

use ghosts::GhostList;
pub(crate) use inodes::{Charge, Inode, Value};
use inodes::{Inodes, LinkState};
use segments::{EMPTY, List, NIL, Segment};

/// Seconds until a further use of an entry is marked on its file again.
const MARK_INTERVAL: u32 = 3600;

/// An amount of disk space: blocks, and files (each link is one).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) blocks: u64,
    pub(crate) files: u64,
}

impl Space {
    pub(crate) fn file(blocks: u64) -> Space {
        Space { blocks, files: 1 }
    }

    fn add(&mut self, other: Space) {
        self.blocks += other.blocks;
        self.files += other.files;
    }

    fn subtract(&mut self, other: Space) {
        debug_assert!(self.blocks >= other.blocks && self.files >= other.files, "{self:?} less {other:?}");
        self.blocks = self.blocks.saturating_sub(other.blocks);
        self.files = self.files.saturating_sub(other.files);
    }

    fn fits(self, bound: Space) -> bool {
        self.blocks <= bound.blocks && self.files <= bound.files
    }
}

struct Slot<K, V> {
    key: K,
    value: V,
    /// The blocks of its inode in one of the inode's entries; 0 in the others.
    blocks: u32,
    inode: Inode,
    /// Neighbours in its segment: more and less recently used.
    newer: u32,
    older: u32,
    /// The time of the last use that is marked on the file, in seconds since 1970.
    stamp: u32,
    segment: Segment,
    /// Whether its place in the order is known: it was written or used since the start, or its file's time was read.
    is_ordered: bool,
    /// Whether the file has a mark of use.
    is_marked: bool,
    /// Whether its inode may get more links.
    link_state: LinkState,
}

/// An entry that was removed from the index. Its space is counted until [`Index::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "its space is counted until it is released"]
pub(crate) struct Removed<K, V: Value> {
    pub(crate) key: K,
    pub(crate) value: V,
    pub(crate) charge: Charge<V::Body>,
    inode: Inode,
}

/// The index. Times are seconds since 1970.
pub(crate) struct Index<K, V: Value> {
    table: HashTable<u32>,
    slots: Vec<Slot<K, V>>,
    free: Vec<u32>,
    hasher: RandomState,
    probation: List,
    protected: List,
    ghosts: GhostList,
    inodes: Inodes<V::Body>,
    bound: Space,
    /// The space of entries, reservations, removed entries that were not released, and `fixed`.
    used: Space,
    /// The space that the store takes besides its entries.
    fixed: Space,
}

impl<K: Copy + Eq + Hash, V: Value> Index<K, V> {
    /// Bytes of memory for an entry, besides those in the hash tables.
    #[cfg(test)]
    pub(crate) const ENTRY: usize = size_of::<Slot<K, V>>();

    pub(crate) fn new(bound: Space) -> Index<K, V> {
        Index {
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            hasher: RandomState::new(),
            probation: EMPTY,
            protected: EMPTY,
            ghosts: GhostList::default(),
            inodes: Inodes::new(),
            bound,
            used: Space::default(),
            fixed: Space::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// The space that is taken now.
    pub(crate) fn used(&self) -> Space {
        self.used
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.find(key).map(|slot| self.slots[slot as usize].value)
    }

    /// Notes a use of an entry; `true` where it should be marked on the file.
    pub(crate) fn touch(&mut self, key: &K, now: u32) -> bool {
        let Some(slot) = self.find(key) else { return false };
        let entry = &mut self.slots[slot as usize];
        // times lie in the future after the clock was set back
        let due = !entry.is_marked || now.abs_diff(entry.stamp) >= MARK_INTERVAL;
        entry.is_ordered = true;
        if due {
            entry.stamp = now;
            entry.is_marked = true;
        }
        self.unlink(slot);
        self.link_newest(slot, Segment::Protected);
        self.demote();
        due
    }

    /// Reserves space; `false` where it does not fit, and then nothing changes.
    pub(crate) fn reserve(&mut self, space: Space) -> bool {
        let mut after = self.used;
        after.add(space);
        let fits = after.fits(self.bound);
        if fits {
            self.used = after;
        }
        fits
    }

    /// Whether that much would fit into an empty store.
    pub(crate) fn fits_when_empty(&self, space: Space) -> bool {
        let mut least = self.fixed;
        least.add(space);
        least.fits(self.bound)
    }

    /// Whether more space is taken than the bound.
    pub(crate) fn exceeds_bound(&self) -> bool {
        !self.used.fits(self.bound)
    }

    /// Removes the entry that goes first.
    pub(crate) fn evict(&mut self) -> Option<Removed<K, V>> {
        let slot = if self.probation.oldest != NIL { self.probation.oldest } else { self.protected.oldest };
        (slot != NIL).then(|| {
            let removed = self.take(slot);
            self.ghosts.add(self.hasher.hash_one(removed.key), self.len());
            removed
        })
    }

    /// Adds an entry again whose file could not be removed; it goes first. Returns it where its key has another entry by now.
    pub(crate) fn restore(&mut self, removed: Removed<K, V>) -> Option<Removed<K, V>> {
        if self.find(&removed.key).is_some() {
            return Some(removed);
        }
        let counted = self.settle(removed.charge, true);
        self.used.subtract(counted);
        // the blocks of slots are a u32
        let blocks = u32::try_from(counted.blocks).unwrap_or(u32::MAX);
        self.insert(removed.key, removed.value, blocks, removed.inode, 0, false);
        None
    }

    /// Releases a reservation or the space of a removed entry; returns the blocks and inodes that this frees.
    pub(crate) fn release(&mut self, charge: impl Into<Charge<V::Body>>) -> Space {
        let charge = charge.into();
        let is_shared = charge.inode.is_some();
        let space = self.settle(charge, false);
        self.used.subtract(space);
        let frees_inode = !is_shared || space.blocks > 0;
        Space { blocks: space.blocks, files: u64::from(frees_inode) }
    }

    /// Replaces a reservation by an entry that was written or linked; the blocks of a linked file are not counted again. An
    /// entry of the same key is removed and returned; the new one is in the same segment.
    pub(crate) fn commit(
        &mut self, key: K, value: V, reserved: Space, (inode, blocks): (Inode, u32), now: u32,
    ) -> Option<Removed<K, V>> {
        let was_protected = self.find(&key).is_some_and(|slot| self.slots[slot as usize].segment == Segment::Protected);
        let former = self.remove(&key);
        self.used.subtract(reserved);
        self.insert(key, value, blocks, inode, now, true);
        if (self.ghosts.remove(self.hasher.hash_one(key)) || was_protected)
            && let Some(slot) = self.find(&key)
        {
            self.unlink(slot);
            self.link_newest(slot, Segment::Protected);
            self.demote();
        }
        former
    }

    /// Adds a file that was found in the folder, to go first; `false` where its key is known.
    pub(crate) fn add_found(&mut self, key: K, value: V, (inode, blocks): (Inode, u32)) -> bool {
        if self.find(&key).is_some() {
            return false;
        }
        self.insert(key, value, blocks, inode, 0, false);
        true
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, key: &K) -> Option<Removed<K, V>> {
        let slot = self.find(key)?;
        Some(self.take(slot))
    }

    /// Sets the space that the store takes besides its entries.
    pub(crate) fn set_fixed(&mut self, fixed: Space) {
        self.used.subtract(self.fixed);
        self.fixed = fixed;
        self.used.add(fixed);
    }

    /// Sets what was read of a found file: its inode and blocks, the time of its last use, and whether it has a mark of use.
    pub(crate) fn set_details(&mut self, key: &K, (inode, blocks): (Inode, u32), stamp: u32, used: bool) {
        let Some(slot) = self.find(key) else { return };
        if self.slots[slot as usize].is_ordered {
            return;
        }
        self.unlink(slot);
        self.reattach(slot, inode, blocks);
        let entry = &mut self.slots[slot as usize];
        entry.stamp = stamp;
        entry.is_marked = used;
        self.link_oldest(slot, if used { Segment::Protected } else { Segment::Probation });
    }

    /// The entries whose place in the order is not known yet, as time and slot; to be sorted for [`Index::order`].
    pub(crate) fn unordered(&self) -> Vec<(u32, u32)> {
        let unordered = |(at, slot): (usize, &Slot<K, V>)| {
            // there are fewer slots than a u32 can number: insert() sees to that
            (slot.segment != Segment::Free && !slot.is_ordered).then_some((slot.stamp, at as u32))
        };
        self.slots.iter().enumerate().filter_map(unordered).collect()
    }

    /// Puts entries behind all others of their segment, in this order: most recently used first.
    pub(crate) fn order(&mut self, sorted: &[(u32, u32)]) {
        for &(stamp, slot) in sorted {
            let entry = &mut self.slots[slot as usize];
            // used, evicted or replaced in the meantime
            if entry.segment == Segment::Free || entry.is_ordered || entry.stamp != stamp {
                continue;
            }
            entry.is_ordered = true;
            let segment = entry.segment;
            self.unlink(slot);
            self.link_oldest(slot, segment);
        }
        self.demote();
    }

    /// The entries of at most `count` slots from slot `from` on, and the slot to continue at.
    pub(crate) fn entries(&self, from: usize, count: usize) -> (Vec<(K, V)>, Option<usize>) {
        self.entries_of(from, count, |_| true)
    }

    /// The same, of the selected keys.
    pub(crate) fn entries_of(
        &self, from: usize, count: usize, is_selected: impl Fn(&K) -> bool,
    ) -> (Vec<(K, V)>, Option<usize>) {
        let end = from.saturating_add(count).min(self.slots.len());
        let part = self.slots.get(from..end).unwrap_or_default();
        let selected = part.iter().filter(|slot| slot.segment != Segment::Free && is_selected(&slot.key));
        (selected.map(|slot| (slot.key, slot.value)).collect(), (end < self.slots.len()).then_some(end))
    }

    fn find(&self, key: &K) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.table.find(hash, |slot| self.slots[*slot as usize].key == *key).copied()
    }

    /// Adds an entry and counts it.
    fn insert(&mut self, key: K, value: V, blocks: u32, inode: Inode, stamp: u32, is_ordered: bool) {
        let (newer, older, segment, is_marked, link_state) = (NIL, NIL, Segment::Free, false, LinkState::Linkable);
        let entry = Slot { key, value, blocks, inode, newer, older, stamp, segment, is_ordered, is_marked, link_state };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = entry;
                slot
            }
            None => {
                let slot = u32::try_from(self.slots.len()).ok().filter(|slot| *slot != NIL);
                let slot = slot.expect("max_files is below 2^32");
                if self.slots.len() == self.slots.capacity() {
                    // by an eighth instead of doubling: a million entries take a hundred megabytes
                    self.slots.reserve_exact(self.slots.len() / 8 + 1024);
                }
                self.slots.push(entry);
                slot
            }
        };
        let (hasher, slots) = (&self.hasher, &self.slots);
        self.table.insert_unique(hasher.hash_one(key), slot, |slot| hasher.hash_one(slots[*slot as usize].key));
        let counted = self.attach(slot);
        self.used.add(Space::file(counted));
        if is_ordered {
            self.link_newest(slot, Segment::Probation);
        } else {
            self.link_oldest(slot, Segment::Probation);
        }
    }

    fn take(&mut self, slot: u32) -> Removed<K, V> {
        self.unlink(slot);
        let blocks = self.slots[slot as usize].blocks;
        let has_others = self.detach(slot);
        let charge = self.charge(slot, blocks, has_others);
        let entry = &mut self.slots[slot as usize];
        entry.segment = Segment::Free;
        let removed = Removed { key: entry.key, value: entry.value, charge, inode: entry.inode };
        let hash = self.hasher.hash_one(removed.key);
        if let Ok(found) = self.table.find_entry(hash, |other| *other == slot) {
            found.remove();
        }
        self.free.push(slot);
        removed
    }
}
