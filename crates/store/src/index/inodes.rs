//! Entries that are hard links to one inode. Files with equal bodies share an inode, whose blocks are counted once.
//!
//! The links of an inode form a ring. One of them carries the blocks and passes them on when it is removed, so that the sum
//! over all entries is what the disk holds. A link that was removed from the index is unlinked from the disk a moment later:
//! the blocks are released with the last such link, in whichever order they go.
//!
//! A body has more than one inode beyond the maximum number of links, and as many as files where the file system has no hard
//! links. Its inodes are never searched one by one: those that may get more links form a second ring, and one of them is found
//! by the body alone.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use hashbrown::HashTable;

use super::{Index, Space};

/// A value of the index. It has the identity of its file's body.
pub(crate) trait Value: Copy {
    /// Equal only for equal bodies.
    type Body: Copy + Eq + Hash;

    fn body(&self) -> Self::Body;
}

/// An inode number, folded to four bytes. It is compared only between entries of equal bodies: two inodes of one body with the
/// same fold, a chance of one in 2^32, would miscount one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Inode(u32);

impl Inode {
    pub(crate) fn new(number: u64) -> Inode {
        // most file systems use the low half only
        Inode((number ^ (number >> 32)) as u32)
    }
}

/// Whether an inode may get more links. The first entry of its ring has the state for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    Linkable,
    /// The file system allows no further link until one is removed.
    Full,
    /// A read found it damaged.
    Corrupt,
}

/// The space of a link that was removed from the index and not from the disk yet, or of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "its space is counted until it is released"]
pub(crate) struct Charge<B> {
    pub(crate) space: Space,
    /// The inode, where it had other links when this one was removed.
    pub(crate) inode: Option<(B, Inode)>,
}

impl<B> From<Space> for Charge<B> {
    fn from(space: Space) -> Charge<B> {
        Charge { space, inode: None }
    }
}

/// The links of each inode. Entries are slot numbers.
pub(crate) struct Inodes<B> {
    /// The first entry of one inode of each body, by the body. It may get more links if any inode of the body may.
    primary: HashTable<u32>,
    /// The first entries of all other inodes, by body and inode.
    others: HashTable<u32>,
    /// The links of an inode.
    rings: Rings,
    /// First entries of the inodes of a body that may get more links.
    siblings: Rings,
    /// Links that were removed from the index and not released yet, of inodes that had others.
    unlinked: HashMap<(B, Inode), Unlinked>,
}

/// Entries in rings, each in one at most, with their neighbours. A single entry is not in here, so most take no memory.
#[derive(Default)]
struct Rings(HashMap<u32, Neighbours>);

#[derive(Clone, Copy)]
struct Neighbours {
    previous: u32,
    next: u32,
}

impl Rings {
    fn set_next(&mut self, slot: u32, next: u32) {
        if let Some(neighbours) = self.0.get_mut(&slot) {
            neighbours.next = next;
        }
    }

    fn set_previous(&mut self, slot: u32, previous: u32) {
        if let Some(neighbours) = self.0.get_mut(&slot) {
            neighbours.previous = previous;
        }
    }

    /// Adds an entry to the ring of `member`.
    fn join(&mut self, slot: u32, member: u32) {
        let alone = Neighbours { previous: member, next: member };
        let next = self.0.entry(member).or_insert(alone).next;
        self.set_next(member, slot);
        self.set_previous(next, slot);
        self.0.insert(slot, Neighbours { previous: member, next });
    }

    /// Removes an entry from its ring; returns one that remains.
    fn remove(&mut self, slot: u32) -> Option<u32> {
        let Neighbours { previous, next } = self.0.remove(&slot)?;
        if previous == next {
            self.0.remove(&next);
        } else {
            self.set_next(previous, next);
            self.set_previous(next, previous);
        }
        Some(next)
    }
}

#[derive(Default)]
struct Unlinked {
    links: u32,
    /// The inode's blocks, once it has no link in the index.
    blocks: u64,
}

impl Unlinked {
    /// Keeps these blocks until the last link is released; returns the blocks that were counted twice, since they are kept
    /// already.
    fn hold(&mut self, blocks: u64) -> u64 {
        let twice = self.blocks.min(blocks);
        self.blocks = self.blocks.max(blocks);
        twice
    }
}

impl<B> Inodes<B> {
    pub(crate) fn new() -> Inodes<B> {
        Inodes {
            primary: HashTable::new(),
            others: HashTable::new(),
            rings: Rings::default(),
            siblings: Rings::default(),
            unlinked: HashMap::new(),
        }
    }
}

impl<K: Copy + Eq + Hash, V: Value> Index<K, V> {
    /// The number of inodes.
    pub(crate) fn inodes(&self) -> u64 {
        (self.inodes.primary.len() + self.inodes.others.len()) as u64
    }

    /// An entry whose file has that body and may get another link.
    pub(crate) fn linkable(&self, body: &V::Body) -> Option<(K, V)> {
        let entry = &self.slots[self.primary_of(body)? as usize];
        (entry.link_state == LinkState::Linkable).then_some((entry.key, entry.value))
    }

    /// Notes that the file of an entry has the maximum number of links.
    pub(crate) fn mark_full(&mut self, key: &K) {
        self.set_link_state(key, LinkState::Full);
    }

    /// Notes that the file of an entry is damaged, which all of its links share.
    pub(crate) fn mark_corrupt(&mut self, key: &K) {
        self.set_link_state(key, LinkState::Corrupt);
    }

    fn set_link_state(&mut self, key: &K, link_state: LinkState) {
        let Some(slot) = self.find(key) else { return };
        // damage stays
        if let Some(first) = self.first_of(self.inode_of(slot))
            && self.slots[first as usize].link_state != LinkState::Corrupt
        {
            self.replace_first(first, first, link_state);
        }
    }

    fn inode_of(&self, slot: u32) -> (V::Body, Inode) {
        let entry = &self.slots[slot as usize];
        (entry.value.body(), entry.inode)
    }

    /// The first entry of a body's primary inode.
    fn primary_of(&self, body: &V::Body) -> Option<u32> {
        let is_it = |slot: &u32| self.slots[*slot as usize].value.body() == *body;
        self.inodes.primary.find(self.hasher.hash_one(body), is_it).copied()
    }

    /// The first entry of an inode.
    fn first_of(&self, at: (V::Body, Inode)) -> Option<u32> {
        let primary = self.primary_of(&at.0).filter(|slot| self.inode_of(*slot) == at);
        let other = || self.inodes.others.find(self.hasher.hash_one(at), |slot| self.inode_of(*slot) == at).copied();
        primary.or_else(other)
    }

    /// Adds the first entry of an inode.
    fn add_first(&mut self, slot: u32) {
        let (body, _) = self.inode_of(slot);
        let (hasher, slots) = (&self.hasher, &self.slots);
        let is_linkable = |slot: u32| slots[slot as usize].link_state == LinkState::Linkable;
        let primary = self.primary_of(&body);
        let Some(primary) = primary else {
            let hash = |slot: &u32| hasher.hash_one(slots[*slot as usize].value.body());
            self.inodes.primary.insert_unique(hasher.hash_one(body), slot, hash);
            return;
        };
        let mut other = slot;
        if is_linkable(slot) {
            if is_linkable(primary) {
                self.inodes.siblings.join(slot, primary);
            } else if let Some(place) = self.inodes.primary.find_mut(hasher.hash_one(body), |place| *place == primary) {
                other = std::mem::replace(place, slot);
            }
        }
        let hash = |slot: &u32| {
            let entry = &slots[*slot as usize];
            hasher.hash_one((entry.value.body(), entry.inode))
        };
        self.inodes.others.insert_unique(hash(&other), other, hash);
    }

    /// Removes the first entry of an inode.
    fn remove_first(&mut self, slot: u32) {
        let (body, _) = self.inode_of(slot);
        let sibling = self.inodes.siblings.remove(slot);
        let other = match self.inodes.primary.find_entry(self.hasher.hash_one(body), |place| *place == slot) {
            Ok(mut found) => {
                let Some(sibling) = sibling else {
                    found.remove();
                    return;
                };
                *found.get_mut() = sibling;
                sibling
            }
            Err(_) => slot,
        };
        let hash = self.hasher.hash_one(self.inode_of(other));
        if let Ok(found) = self.inodes.others.find_entry(hash, |place| *place == other) {
            found.remove();
        }
    }

    /// Makes `heir` the first entry of an inode in place of `first`, in that state.
    fn replace_first(&mut self, first: u32, heir: u32, link_state: LinkState) {
        self.remove_first(first);
        self.slots[heir as usize].link_state = link_state;
        self.add_first(heir);
    }

    /// Adds an entry to its inode; returns the blocks to count for it: none where the inode has entries already, one of which
    /// carries them.
    pub(crate) fn attach(&mut self, slot: u32) -> u64 {
        if let Some(first) = self.first_of(self.inode_of(slot)) {
            self.inodes.rings.join(slot, first);
            self.slots[slot as usize].blocks = 0;
            return 0;
        }
        self.add_first(slot);
        self.slots[slot as usize].blocks.into()
    }

    /// Removes an entry, which is in no list, from its inode. `true` where the inode has other entries, one of which carries
    /// the blocks from now on.
    pub(crate) fn detach(&mut self, slot: u32) -> bool {
        let first = self.first_of(self.inode_of(slot));
        let next = self.inodes.rings.remove(slot);
        let Some(next) = next else {
            self.remove_first(slot);
            return false;
        };
        if let Some(first) = first {
            let link_state = self.slots[first as usize].link_state;
            // one link less: another may be added
            let now = if link_state == LinkState::Full { LinkState::Linkable } else { link_state };
            let heir = if first == slot { next } else { first };
            if (first, link_state) != (heir, now) {
                self.replace_first(first, heir, now);
            }
        }
        let blocks = std::mem::take(&mut self.slots[slot as usize].blocks);
        let heir = &mut self.slots[next as usize];
        heir.blocks += blocks;
        let segment = heir.segment;
        self.list(segment).space.blocks += u64::from(blocks);
        true
    }

    /// The charge for an entry that was just detached.
    pub(crate) fn charge(&mut self, slot: u32, blocks: u32, has_others: bool) -> Charge<V::Body> {
        let at = self.inode_of(slot);
        if has_others {
            self.inodes.unlinked.entry(at).or_default().links += 1;
        } else if let Some(unlinked) = self.inodes.unlinked.get_mut(&at) {
            // the last link in the index, but not on the disk
            unlinked.links += 1;
            let free = unlinked.hold(blocks.into());
            self.used.subtract(Space { blocks: free, files: 0 });
        } else {
            return Space::file(blocks.into()).into();
        }
        Charge { space: Space::file(0), inode: Some(at) }
    }

    /// The space that is free once the link of that charge is gone. With `takes_over`, an entry carries the inode's blocks again,
    /// which otherwise are kept until the last link is released.
    pub(crate) fn settle(&mut self, charge: Charge<V::Body>, takes_over: bool) -> Space {
        let mut space = charge.space;
        if let Some(at) = charge.inode
            && let Some(unlinked) = self.inodes.unlinked.get_mut(&at)
        {
            unlinked.links -= 1;
            if unlinked.links == 0 || takes_over {
                space.blocks += std::mem::take(&mut unlinked.blocks);
            }
            if unlinked.links == 0 {
                self.inodes.unlinked.remove(&at);
            }
        }
        space
    }

    /// Corrects the inode and the size of an entry that is in no list.
    pub(crate) fn reattach(&mut self, slot: u32, inode: Inode, blocks: u32) {
        let entry = &self.slots[slot as usize];
        let (former, is_same) = (entry.blocks, entry.inode == inode);
        let at = self.inode_of(slot);
        if is_same {
            let carries = former > 0 || !self.inodes.rings.0.contains_key(&slot);
            if carries {
                self.slots[slot as usize].blocks = blocks;
                self.used.subtract(Space { blocks: former.into(), files: 0 });
                self.used.add(Space { blocks: blocks.into(), files: 0 });
            }
            return;
        }
        if !self.detach(slot) {
            let free = match self.inodes.unlinked.get_mut(&at) {
                Some(unlinked) => unlinked.hold(former.into()),
                None => former.into(),
            };
            self.used.subtract(Space { blocks: free, files: 0 });
        }
        let entry = &mut self.slots[slot as usize];
        (entry.inode, entry.blocks, entry.link_state) = (inode, blocks, LinkState::Linkable);
        let counted = self.attach(slot);
        self.used.add(Space { blocks: counted, files: 0 });
    }
}
