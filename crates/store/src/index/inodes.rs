//! Entries that are names of one inode. Equal bodies are hard links to one file, whose blocks are counted once.
//!
//! The names of an inode form a ring. One of them carries the blocks and hands them to the next when it is removed, so
//! that the sum over all entries is what the disk holds. A name that has been taken out of the index may still be on
//! the disk for a moment, and with it the inode: blocks are given back when the last such name has been released,
//! in whichever order that happens.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use hashbrown::HashTable;

use super::{Index, Space};

/// A value of the index, which tells the body that its file holds.
pub(crate) trait Value: Copy {
    /// Equal for equal bodies alone.
    type Body: Copy + Eq + Hash;

    fn body(&self) -> Self::Body;
}

/// The number of an inode, folded to four bytes. It is compared between entries of equal bodies only: two of these would
/// have to be different inodes of one fold, which is one chance in 2^32 and costs the account one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Inode(u32);

impl Inode {
    pub(crate) fn new(number: u64) -> Inode {
        // the low and the high half; inodes of most file systems fit in the low one
        Inode((number ^ (number >> 32)) as u32)
    }
}

/// Whether new names may be linked to an inode. The entry in [`Inodes::table`] has it for its whole ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    Open,
    /// The file system allows no further name until one is removed.
    Full,
    /// A read has found it damaged.
    Corrupt,
}

/// The charge for a name that has been taken out of the index, until it is gone from the disk; or a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "its space is counted until it is released"]
pub(crate) struct Charge<B> {
    pub(crate) space: Space,
    /// The inode, where other names of it remained when this one was taken out.
    pub(crate) inode: Option<(B, Inode)>,
}

impl<B> From<Space> for Charge<B> {
    fn from(space: Space) -> Charge<B> {
        Charge { space, inode: None }
    }
}

/// Which entries are names of which inode. Numbers are those of slots.
pub(crate) struct Inodes<B> {
    /// One entry of each inode, found by its body.
    table: HashTable<u32>,
    /// The entries before and after one in its ring. An entry that is alone has no place here and so takes no memory.
    rings: HashMap<u32, Neighbours>,
    /// Names that have been taken out of the index and not been released yet, of inodes that had others.
    leaving: HashMap<(B, Inode), Leaving>,
}

#[derive(Clone, Copy)]
struct Neighbours {
    previous: u32,
    next: u32,
}

#[derive(Default)]
struct Leaving {
    names: u32,
    /// The inode's blocks, where it has no name in the index any more.
    blocks: u64,
}

impl Leaving {
    /// Has these blocks wait for the last name; gives those that need not be counted any more. Where some wait already,
    /// they are the same ones, and had been counted twice.
    fn hold(&mut self, blocks: u64) -> u64 {
        let twice = self.blocks.min(blocks);
        self.blocks = self.blocks.max(blocks);
        twice
    }
}

impl<B> Inodes<B> {
    pub(crate) fn new() -> Inodes<B> {
        Inodes { table: HashTable::new(), rings: HashMap::new(), leaving: HashMap::new() }
    }

    fn set_next(&mut self, slot: u32, next: u32) {
        if let Some(neighbours) = self.rings.get_mut(&slot) {
            neighbours.next = next;
        }
    }

    fn set_previous(&mut self, slot: u32, previous: u32) {
        if let Some(neighbours) = self.rings.get_mut(&slot) {
            neighbours.previous = previous;
        }
    }

    /// Adds an entry to the ring that `member` is in.
    fn join(&mut self, slot: u32, member: u32) {
        let alone = Neighbours { previous: member, next: member };
        let next = self.rings.entry(member).or_insert(alone).next;
        self.set_next(member, slot);
        self.set_previous(next, slot);
        self.rings.insert(slot, Neighbours { previous: member, next });
    }

    /// Takes an entry out of its ring; gives one that remains.
    fn leave(&mut self, slot: u32) -> Option<u32> {
        let Neighbours { previous, next } = self.rings.remove(&slot)?;
        if previous == next {
            self.rings.remove(&next);
        } else {
            self.set_next(previous, next);
            self.set_previous(next, previous);
        }
        Some(next)
    }
}

impl<K: Copy + Eq + Hash, V: Value> Index<K, V> {
    /// How many inodes the entries are names of.
    pub(crate) fn inodes(&self) -> u64 {
        self.inodes.table.len() as u64
    }

    /// An entry whose file holds that body and may be given another name.
    pub(crate) fn with_body(&self, body: &V::Body) -> Option<(K, V)> {
        let is_one = |slot: &u32| {
            let entry = &self.slots[*slot as usize];
            entry.sharing == Sharing::Open && entry.value.body() == *body
        };
        let slot = self.inodes.table.find(self.hasher.hash_one(body), is_one)?;
        let entry = &self.slots[*slot as usize];
        Some((entry.key, entry.value))
    }

    /// Notes that the file of an entry can have no further name for now.
    pub(crate) fn note_full(&mut self, key: &K) {
        self.set_sharing(key, Sharing::Full);
    }

    /// Notes that the file of an entry is damaged, and so under all of its names.
    pub(crate) fn note_corrupt(&mut self, key: &K) {
        self.set_sharing(key, Sharing::Corrupt);
    }

    fn set_sharing(&mut self, key: &K, sharing: Sharing) {
        let Some(slot) = self.find(key) else { return };
        let (body, inode) = self.inode_of(slot);
        if let Some(first) = self.first_of(&body, inode) {
            self.slots[first as usize].sharing = sharing;
        }
    }

    fn inode_of(&self, slot: u32) -> (V::Body, Inode) {
        let entry = &self.slots[slot as usize];
        (entry.value.body(), entry.inode)
    }

    /// The entry that stands for an inode in the table.
    fn first_of(&self, body: &V::Body, inode: Inode) -> Option<u32> {
        let is_it = |slot: &u32| self.inode_of(*slot) == (*body, inode);
        self.inodes.table.find(self.hasher.hash_one(body), is_it).copied()
    }

    /// Makes an entry a name of its inode; gives the blocks that are to be counted for it. Where the inode has names
    /// already, they carry its blocks.
    pub(crate) fn attach(&mut self, slot: u32) -> u64 {
        let (body, inode) = self.inode_of(slot);
        if let Some(first) = self.first_of(&body, inode) {
            self.inodes.join(slot, first);
            self.slots[slot as usize].blocks = 0;
            return 0;
        }
        let (hasher, slots) = (&self.hasher, &self.slots);
        let hash = |slot: &u32| hasher.hash_one(slots[*slot as usize].value.body());
        self.inodes.table.insert_unique(hasher.hash_one(body), slot, hash);
        self.slots[slot as usize].blocks.into()
    }

    /// Undoes [`Index::attach`]; `true` where the inode has other names, one of which carries the blocks from now on. The
    /// entry is in no list.
    pub(crate) fn detach(&mut self, slot: u32) -> bool {
        let (body, inode) = self.inode_of(slot);
        let hash = self.hasher.hash_one(body);
        let next = self.inodes.leave(slot);
        let Some(next) = next else {
            if let Ok(found) = self.inodes.table.find_entry(hash, |other| *other == slot) {
                found.remove();
            }
            return false;
        };
        if let Some(first) = self.first_of(&body, inode) {
            let sharing = self.slots[first as usize].sharing;
            let heir = if first == slot { next } else { first };
            if let Some(place) = self.inodes.table.find_mut(hash, |other| *other == first) {
                *place = heir;
            }
            // a name less is room for one more
            let sharing = if sharing == Sharing::Full { Sharing::Open } else { sharing };
            self.slots[heir as usize].sharing = sharing;
        }
        let blocks = std::mem::take(&mut self.slots[slot as usize].blocks);
        let heir = &mut self.slots[next as usize];
        heir.blocks += blocks;
        let segment = heir.segment;
        self.list(segment).space.blocks += u64::from(blocks);
        true
    }

    /// The charge for a name that has just been detached, until it is released.
    pub(crate) fn charge(&mut self, slot: u32, blocks: u32, has_others: bool) -> Charge<V::Body> {
        let at = self.inode_of(slot);
        if has_others {
            self.inodes.leaving.entry(at).or_default().names += 1;
        } else if let Some(leaving) = self.inodes.leaving.get_mut(&at) {
            // the last of the index, but not of the disk
            leaving.names += 1;
            let free = leaving.hold(blocks.into());
            self.used.subtract(Space { blocks: free, files: 0 });
        } else {
            return Space::file(blocks.into()).into();
        }
        Charge { space: Space::file(0), inode: Some(at) }
    }

    /// The space that is free now that the name of that charge is gone, or is no longer counted for it. With `takes_over`, the
    /// blocks that wait for the last name are had at once, by an entry that carries them from now on.
    pub(crate) fn settle(&mut self, charge: Charge<V::Body>, takes_over: bool) -> Space {
        let mut space = charge.space;
        if let Some(at) = charge.inode
            && let Some(leaving) = self.inodes.leaving.get_mut(&at)
        {
            leaving.names -= 1;
            if leaving.names == 0 || takes_over {
                space.blocks += std::mem::take(&mut leaving.blocks);
            }
            if leaving.names == 0 {
                self.inodes.leaving.remove(&at);
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
            let carries = former > 0 || !self.inodes.rings.contains_key(&slot);
            if carries {
                self.slots[slot as usize].blocks = blocks;
                self.used.subtract(Space { blocks: former.into(), files: 0 });
                self.used.add(Space { blocks: blocks.into(), files: 0 });
            }
            return;
        }
        if !self.detach(slot) {
            let free = match self.inodes.leaving.get_mut(&at) {
                Some(leaving) => leaving.hold(former.into()),
                None => former.into(),
            };
            self.used.subtract(Space { blocks: free, files: 0 });
        }
        let entry = &mut self.slots[slot as usize];
        (entry.inode, entry.blocks, entry.sharing) = (inode, blocks, Sharing::Open);
        let counted = self.attach(slot);
        self.used.add(Space { blocks: counted, files: 0 });
    }
}
