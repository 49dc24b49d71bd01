//! The two lists of the segmented LRU, linked through the slots.

use std::hash::Hash;

use super::{Index, Slot, Space, Value};

/// The end of a list.
pub(super) const NIL: u32 = u32::MAX;

/// The share of the bounds that the protected segment may take, in tenths.
const PROTECTED_TENTHS: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// The slot is free.
    Free,
    Probation,
    Protected,
}

#[derive(Clone, Copy)]
pub(super) struct List {
    pub(super) newest: u32,
    pub(super) oldest: u32,
    pub(super) space: Space,
}

pub(super) const EMPTY: List = List { newest: NIL, oldest: NIL, space: Space { blocks: 0, files: 0 } };

impl<K: Copy + Eq + Hash, V: Value> Index<K, V> {
    /// Moves the oldest entries of the protected segment back while it exceeds its share.
    pub(super) fn demote(&mut self) {
        let share = |bound: u64| bound / 10 * PROTECTED_TENTHS + bound % 10 * PROTECTED_TENTHS / 10;
        let bound = Space { blocks: share(self.bound.blocks), files: share(self.bound.files) };
        while !self.protected.space.fits(bound) && self.protected.oldest != NIL {
            let slot = self.protected.oldest;
            self.unlink(slot);
            self.link_newest(slot, Segment::Probation);
        }
    }

    pub(super) fn list(&mut self, segment: Segment) -> &mut List {
        match segment {
            Segment::Protected => &mut self.protected,
            Segment::Probation | Segment::Free => &mut self.probation,
        }
    }

    pub(super) fn link_newest(&mut self, slot: u32, segment: Segment) {
        let next = self.list(segment).newest;
        self.link(slot, segment, NIL, next);
    }

    pub(super) fn link_oldest(&mut self, slot: u32, segment: Segment) {
        let next = self.list(segment).oldest;
        self.link(slot, segment, next, NIL);
    }

    pub(super) fn link(&mut self, slot: u32, segment: Segment, newer: u32, older: u32) {
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
        if newer == NIL {
            list.newest = slot;
        }
        if older == NIL {
            list.oldest = slot;
        }
        list.space.add(space);
    }

    pub(super) fn unlink(&mut self, slot: u32) {
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
