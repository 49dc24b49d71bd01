//! The index and the account of a bounded store: the entries of the folder, the space they take, and the order of eviction.
//!
//! Pure bookkeeping: no clock, no files. Space is reserved before anything is written and given back only after it is
//! really free, so the account is never below what the disk holds. Every name counts as a file; the blocks of an inode
//! that several names share count once (`inodes.rs`). The order is a segmented LRU (Karedla, Love and
//! Wherry, "Caching strategies to improve disk system performance", 1994): what was asked for once waits in a
//! probationary segment and goes first; what was asked for again is protected. A flood of things that nobody asks for
//! twice passes through the first segment and leaves the second alone. What went is remembered for a while, as in 2Q
//! (Johnson and Shasha, "2Q: a low overhead high performance buffer management replacement algorithm", 1994): asked for
//! again it is protected at once, or a flood could keep a set of things out that is asked for steadily but slowly.

mod inodes;
#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod tests;

use std::collections::hash_map::RandomState;
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, Hash};

use hashbrown::HashTable;

pub(crate) use inodes::{Charge, Inode, Value};
use inodes::{Inodes, Sharing};

/// The end of a list.
const NONE: u32 = u32::MAX;

/// How much of the bounds the protected segment may take, in tenths.
const PROTECTED: u64 = 8;

/// How many of those that went are remembered, for each entry; and at least and at most.
const REMEMBERED: usize = 4;
const REMEMBERED_LEAST: usize = 1 << 12;
const REMEMBERED_MOST: usize = 1 << 20;

/// After how many seconds it is worth writing down again that an entry was used.
const WRITE_DOWN: u32 = 3600;

/// An amount of disk: blocks, and files (that is, names).
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    /// The slot is free.
    Free,
    Probation,
    Protected,
}

struct Slot<K, V> {
    key: K,
    value: V,
    /// The space of its inode, in one of the inode's names; 0 in the others.
    blocks: u32,
    /// The inode that it is a name of.
    inode: Inode,
    /// Towards the more recently used, and towards the less.
    newer: u32,
    older: u32,
    /// When its use was last written down, in seconds since 1970.
    stamp: u32,
    segment: Segment,
    /// Whether it was written or used since the index was made, so that its place is known without its stamp.
    placed: bool,
    /// Whether the file says that it was used.
    marked: bool,
    /// Whether others may be linked to the same inode.
    sharing: Sharing,
}

#[derive(Clone, Copy)]
struct List {
    newest: u32,
    oldest: u32,
    space: Space,
}

const EMPTY: List = List { newest: NONE, oldest: NONE, space: Space { blocks: 0, files: 0 } };

/// Digests of the keys of what was evicted lately.
#[derive(Default)]
struct Gone {
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Gone {
    fn add(&mut self, digest: u64, most: usize) {
        if self.known.insert(digest) {
            self.order.push_back(digest);
        }
        while self.order.len() > most {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    fn remove(&mut self, digest: u64) -> bool {
        // its place in the order stays, and may cost a later one of the same key some of its time
        self.known.remove(&digest)
    }
}

/// An entry that has been taken out of the index and is counted until its charge is given back with [`Index::release`].
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
    gone: Gone,
    inodes: Inodes<V::Body>,
    bound: Space,
    /// All that is taken: entries, reservations, what was removed and not released, and `fixed`.
    used: Space,
    /// The space that the store takes beside its entries.
    fixed: Space,
}

impl<K: Copy + Eq + Hash, V: Value> Index<K, V> {
    /// Bytes of memory for an entry, beside its places in the tables.
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
            gone: Gone::default(),
            inodes: Inodes::new(),
            bound,
            used: Space::default(),
            fixed: Space::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// All that is taken at present.
    pub(crate) fn used(&self) -> Space {
        self.used
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.find(key).map(|slot| self.slots[slot as usize].value)
    }

    /// Notes that an entry was used; `true` where that should be written down with the file.
    pub(crate) fn touch(&mut self, key: &K, now: u32) -> bool {
        let Some(slot) = self.find(key) else { return false };
        let entry = &mut self.slots[slot as usize];
        // a clock that was set back leaves stamps of the future
        let write_down = !entry.marked || now.abs_diff(entry.stamp) >= WRITE_DOWN;
        entry.placed = true;
        if write_down {
            entry.stamp = now;
            entry.marked = true;
        }
        self.unlink(slot);
        self.link_newest(slot, Segment::Protected);
        self.demote();
        write_down
    }

    /// Sets space aside for something to be written; `false` where there is none, and then nothing is changed.
    pub(crate) fn reserve(&mut self, space: Space) -> bool {
        let mut after = self.used;
        after.add(space);
        let fits = after.fits(self.bound);
        if fits {
            self.used = after;
        }
        fits
    }

    /// Whether that much would fit if there were no entries at all.
    pub(crate) fn could_hold(&self, space: Space) -> bool {
        let mut least = self.fixed;
        least.add(space);
        least.fits(self.bound)
    }

    /// Whether more is taken than may be.
    pub(crate) fn is_over(&self) -> bool {
        !self.used.fits(self.bound)
    }

    /// Takes out what should go first.
    pub(crate) fn evict(&mut self) -> Option<Removed<K, V>> {
        let slot = if self.probation.oldest != NONE { self.probation.oldest } else { self.protected.oldest };
        (slot != NONE).then(|| {
            let removed = self.take(slot);
            let most = (self.len() * REMEMBERED).clamp(REMEMBERED_LEAST, REMEMBERED_MOST);
            self.gone.add(self.hasher.hash_one(removed.key), most);
            removed
        })
    }

    /// Puts back, to go first, what was taken out and could not be removed.
    pub(crate) fn put_back(&mut self, removed: Removed<K, V>) {
        if self.find(&removed.key).is_none() {
            let counted = self.settle(removed.charge, true);
            self.used.subtract(counted);
            // it came out of slots, whose blocks are a u32
            let blocks = u32::try_from(counted.blocks).unwrap_or(u32::MAX);
            self.insert(removed.key, removed.value, blocks, removed.inode, 0, false);
        }
    }

    /// Gives back space that was reserved and not used, or that something removed no longer takes; gives the blocks and
    /// inodes that are free by that.
    pub(crate) fn release(&mut self, charge: impl Into<Charge<V::Body>>) -> Space {
        let charge = charge.into();
        let is_shared = charge.inode.is_some();
        let space = self.settle(charge, false);
        self.used.subtract(space);
        let frees_inode = !is_shared || space.blocks > 0;
        Space { blocks: space.blocks, files: u64::from(frees_inode) }
    }

    /// Replaces a reservation by the entry that was written, or linked to a file that was there: what that takes is not
    /// counted again. An entry of the same key is taken out.
    pub(crate) fn commit(
        &mut self, key: K, value: V, reserved: Space, (inode, blocks): (Inode, u32), now: u32,
    ) -> Option<Removed<K, V>> {
        let former = self.remove(&key);
        self.used.subtract(reserved);
        self.insert(key, value, blocks, inode, now, true);
        if self.gone.remove(self.hasher.hash_one(key))
            && let Some(slot) = self.find(&key)
        {
            self.unlink(slot);
            self.link_newest(slot, Segment::Protected);
            self.demote();
        }
        former
    }

    /// Adds what was found in the folder, behind everything else; `false` where its key is known.
    pub(crate) fn found(&mut self, key: K, value: V, (inode, blocks): (Inode, u32)) -> bool {
        if self.find(&key).is_some() {
            return false;
        }
        self.insert(key, value, blocks, inode, 0, false);
        true
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: &K) -> Option<Removed<K, V>> {
        let slot = self.find(key)?;
        Some(self.take(slot))
    }

    /// Sets what the store takes beside its entries.
    pub(crate) fn set_fixed(&mut self, fixed: Space) {
        self.used.subtract(self.fixed);
        self.fixed = fixed;
        self.used.add(fixed);
    }

    /// Corrects what is known of an entry that was found: its inode and size, when it was last used, and whether more
    /// than once.
    pub(crate) fn describe(&mut self, key: &K, (inode, blocks): (Inode, u32), stamp: u32, used: bool) {
        let Some(slot) = self.find(key) else { return };
        if self.slots[slot as usize].placed {
            return;
        }
        self.unlink(slot);
        self.reattach(slot, inode, blocks);
        let entry = &mut self.slots[slot as usize];
        entry.stamp = stamp;
        entry.marked = used;
        self.link_oldest(slot, if used { Segment::Protected } else { Segment::Probation });
    }

    /// The entries whose place is not known yet, with their stamps. To be sorted and handed to [`Index::place`].
    pub(crate) fn unplaced(&self) -> Vec<(u32, u32)> {
        let unplaced = |(at, slot): (usize, &Slot<K, V>)| {
            // there are fewer slots than a u32 can number: insert() sees to that
            (slot.segment != Segment::Free && !slot.placed).then_some((slot.stamp, at as u32))
        };
        self.slots.iter().enumerate().filter_map(unplaced).collect()
    }

    /// Puts entries behind all others of their segment, in this order: the most recently used first.
    pub(crate) fn place(&mut self, sorted: &[(u32, u32)]) {
        for &(stamp, slot) in sorted {
            let entry = &mut self.slots[slot as usize];
            // used, evicted or replaced meanwhile
            if entry.segment == Segment::Free || entry.placed || entry.stamp != stamp {
                continue;
            }
            entry.placed = true;
            let segment = entry.segment;
            self.unlink(slot);
            self.link_oldest(slot, segment);
        }
        self.demote();
    }

    /// All entries from slot `from` on, at most `count` slots; the second value is where to go on.
    pub(crate) fn some(&self, from: usize, count: usize) -> (Vec<(K, V)>, Option<usize>) {
        let end = from.saturating_add(count).min(self.slots.len());
        let part = self.slots.get(from..end).unwrap_or_default();
        let entries = part.iter().filter(|slot| slot.segment != Segment::Free).map(|slot| (slot.key, slot.value));
        (entries.collect(), (end < self.slots.len()).then_some(end))
    }

    fn find(&self, key: &K) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.table.find(hash, |slot| self.slots[*slot as usize].key == *key).copied()
    }

    /// Adds an entry and counts it.
    fn insert(&mut self, key: K, value: V, blocks: u32, inode: Inode, stamp: u32, placed: bool) {
        let (newer, older, segment, marked, sharing) = (NONE, NONE, Segment::Free, false, Sharing::Open);
        let entry = Slot { key, value, blocks, inode, newer, older, stamp, segment, placed, marked, sharing };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = entry;
                slot
            }
            None => {
                let slot = u32::try_from(self.slots.len()).ok().filter(|slot| *slot != NONE);
                let slot = slot.expect("max_files is bounded below four thousand million");
                if self.slots.len() == self.slots.capacity() {
                    // by an eighth, not by doubling: a million entries are a hundred megabytes
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
        if placed {
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

    /// Moves what the protected segment has too much of back into the first.
    fn demote(&mut self) {
        let share = |bound: u64| bound / 10 * PROTECTED + bound % 10 * PROTECTED / 10;
        let bound = Space { blocks: share(self.bound.blocks), files: share(self.bound.files) };
        while !self.protected.space.fits(bound) && self.protected.oldest != NONE {
            let slot = self.protected.oldest;
            self.unlink(slot);
            self.link_newest(slot, Segment::Probation);
        }
    }

    fn list(&mut self, segment: Segment) -> &mut List {
        match segment {
            Segment::Protected => &mut self.protected,
            Segment::Probation | Segment::Free => &mut self.probation,
        }
    }

    fn link_newest(&mut self, slot: u32, segment: Segment) {
        let next = self.list(segment).newest;
        self.link(slot, segment, NONE, next);
    }

    fn link_oldest(&mut self, slot: u32, segment: Segment) {
        let next = self.list(segment).oldest;
        self.link(slot, segment, next, NONE);
    }

    fn link(&mut self, slot: u32, segment: Segment, newer: u32, older: u32) {
        let entry = &mut self.slots[slot as usize];
        (entry.segment, entry.newer, entry.older) = (segment, newer, older);
        let space = Space::file(entry.blocks.into());
        if let Some(newer) = self.slots.get_mut(newer as usize) {
            newer.older = slot;
        }
        if let Some(older) = self.slots.get_mut(older as usize) {
            older.newer = slot;
        }
        let list = self.list(segment);
        if newer == NONE {
            list.newest = slot;
        }
        if older == NONE {
            list.oldest = slot;
        }
        list.space.add(space);
    }

    fn unlink(&mut self, slot: u32) {
        let Slot { newer, older, segment, blocks, .. } = self.slots[slot as usize];
        if let Some(newer) = self.slots.get_mut(newer as usize) {
            newer.older = older;
        }
        if let Some(older) = self.slots.get_mut(older as usize) {
            older.newer = newer;
        }
        let list = self.list(segment);
        if list.newest == slot {
            list.newest = older;
        }
        if list.oldest == slot {
            list.oldest = newer;
        }
        list.space.subtract(Space::file(blocks.into()));
    }
}
