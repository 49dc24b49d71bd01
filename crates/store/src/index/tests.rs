//! The index compared with a simple model, and its rules one by one.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::{Index, Inode, Removed, Space};
use crate::Key;
use crate::layout::Record;
use crate::testing::Extension;

/// A value with a number of its own and the body of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Value {
    number: u64,
    body: u32,
}

impl super::Value for Value {
    type Body = u32;

    fn body(&self) -> u32 {
        self.body
    }
}

/// A value whose body no other has.
fn alone(key: u32) -> Value {
    Value { number: 0, body: key }
}

/// The operations on an index. Inodes 0 to 14 hold one of five bodies each.
#[derive(Clone, Debug)]
enum Step {
    Write {
        key: u8,
        inode: u8,
    },
    Find {
        key: u8,
        inode: u8,
    },
    Touch {
        key: u8,
        now: u32,
    },
    Remove {
        key: u8,
    },
    Release {
        which: usize,
    },
    /// Taken out to make room, and then not to be removed.
    Stuck,
    Fixed {
        blocks: u64,
    },
    Describe {
        key: u8,
        shift: u8,
        stamp: u32,
        used: bool,
    },
    Order,
    Corrupt {
        key: u8,
    },
    Full {
        key: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (key, inode) = (0..40_u8, 0..15_u8);
    prop_oneof![
        8 => (key.clone(), inode.clone()).prop_map(|(key, inode)| Step::Write { key, inode }),
        4 => (key.clone(), inode).prop_map(|(key, inode)| Step::Find { key, inode }),
        4 => (key.clone(), 0..10_000_u32).prop_map(|(key, now)| Step::Touch { key, now }),
        3 => key.clone().prop_map(|key| Step::Remove { key }),
        2 => any::<usize>().prop_map(|which| Step::Release { which }),
        1 => Just(Step::Stuck),
        1 => (0..20_u64).prop_map(|blocks| Step::Fixed { blocks }),
        2 => (key.clone(), 0..3_u8, 0..10_000_u32, any::<bool>())
            .prop_map(|(key, shift, stamp, used)| Step::Describe { key, shift, stamp, used }),
        1 => Just(Step::Order),
        1 => key.clone().prop_map(|key| Step::Corrupt { key }),
        2 => key.prop_map(|key| Step::Full { key }),
    ]
}

/// A disk: names with their inodes, and the space of each inode.
#[derive(Default)]
struct Disk {
    /// In the index: the number of its value, its inode, and whether its place in the order is known.
    entries: HashMap<u8, (u64, u8, bool)>,
    /// Taken out and not released.
    waiting: Vec<(Removed<u8, Value>, u8)>,
    corrupt: HashSet<u8>,
    /// Inodes that get no further link until one is removed.
    full: HashSet<u8>,
    fixed: u64,
}

fn blocks_of(inode: u8) -> u32 {
    u32::from(inode % 7)
}

fn body_of(inode: u8) -> u32 {
    u32::from(inode % 5)
}

impl Disk {
    fn take(&mut self, key: u8) -> Option<(u64, u8)> {
        let (number, inode, _) = self.entries.remove(&key)?;
        self.full.remove(&inode);
        self.forget_marks();
        Some((number, inode))
    }

    /// The record of an inode ends with its last entry.
    fn forget_marks(&mut self) {
        let entries = &self.entries;
        self.corrupt.retain(|inode| entries.values().any(|(_, other, _)| other == inode));
    }

    /// Blocks, each inode once, and names.
    fn taken(&self) -> Space {
        let inodes: HashSet<u8> =
            self.entries.values().map(|entry| entry.1).chain(self.waiting.iter().map(|removed| removed.1)).collect();
        let blocks = self.fixed + inodes.into_iter().map(|inode| u64::from(blocks_of(inode))).sum::<u64>();
        Space { blocks, files: (self.entries.len() + self.waiting.len()) as u64 }
    }
}

proptest! {
    #[test]
    fn used_space_is_never_below_the_disk_and_exact_at_rest(steps in proptest::collection::vec(step(), 1..200)) {
        let bound = Space { blocks: 30, files: 25 };
        let mut index: Index<u8, Value> = Index::new(bound);
        let mut disk = Disk::default();
        for (number, step) in (0_u64..).zip(steps) {
            match step {
                Step::Write { key, inode } => {
                    let blocks = blocks_of(inode);
                    let space = Space::file(u64::from(blocks) + 1);
                    let mut reserved = index.reserve(space);
                    while !reserved {
                        let Some(gone) = index.evict() else { break };
                        prop_assert_eq!(disk.take(gone.key).map(|taken| taken.0), Some(gone.value.number));
                        index.release(gone.charge);
                        reserved = index.reserve(space);
                    }
                    if reserved {
                        prop_assert!(index.used().blocks <= bound.blocks && index.used().files <= bound.files);
                        let value = Value { number, body: body_of(inode) };
                        let former = index.commit(key, value, space, (Inode::new(inode.into()), blocks), 5);
                        let taken = disk.take(key);
                        prop_assert_eq!(former.map(|former| former.value.number), taken.map(|taken| taken.0));
                        if let (Some(former), Some((_, inode))) = (former, taken) {
                            disk.waiting.push((former, inode));
                        }
                        disk.entries.insert(key, (number, inode, true));
                    }
                }
                Step::Find { key, inode } => {
                    let value = Value { number, body: body_of(inode) };
                    let is_new = index.add_found(key, value, (Inode::new(inode.into()), blocks_of(inode)));
                    prop_assert_eq!(is_new, !disk.entries.contains_key(&key));
                    disk.entries.entry(key).or_insert((number, inode, false));
                }
                Step::Touch { key, now } => {
                    index.touch(&key, now);
                    prop_assert!(!index.touch(&key, now), "once is enough");
                    if let Some(entry) = disk.entries.get_mut(&key) {
                        entry.2 = true;
                    }
                }
                Step::Remove { key } => match (index.remove(&key), disk.take(key)) {
                    (Some(removed), Some((number, inode))) => {
                        prop_assert_eq!(removed.value.number, number);
                        disk.waiting.push((removed, inode));
                    }
                    (None, None) => {}
                    (removed, entry) => prop_assert!(false, "{:?} {:?}", removed, entry),
                },
                Step::Release { which } => {
                    if !disk.waiting.is_empty() {
                        let (removed, _) = disk.waiting.swap_remove(which % disk.waiting.len());
                        index.release(removed.charge);
                    }
                }
                Step::Stuck => {
                    if let Some(victim) = index.evict() {
                        let taken = disk.take(victim.key);
                        prop_assert!(index.restore(victim).is_none());
                        if let Some((number, inode)) = taken {
                            disk.entries.insert(victim.key, (number, inode, false));
                        }
                    }
                }
                Step::Fixed { blocks } => {
                    disk.fixed = blocks;
                    index.set_fixed(Space { blocks, files: 0 });
                }
                Step::Describe { key, shift, stamp, used } => {
                    let Some(entry) = disk.entries.get_mut(&key) else { continue };
                    // the folder may have named another inode than a look at the file does
                    let inode = entry.1 % 5 + 5 * shift;
                    index.set_details(&key, (Inode::new(inode.into()), blocks_of(inode)), stamp, used);
                    if !entry.2 && entry.1 != inode {
                        disk.full.remove(&entry.1);
                        entry.1 = inode;
                    }
                    disk.forget_marks();
                }
                Step::Order => {
                    let mut order = index.unordered();
                    order.sort_unstable_by(|a, b| b.cmp(a));
                    index.order(&order);
                    prop_assert!(index.unordered().is_empty());
                    disk.entries.values_mut().for_each(|entry| entry.2 = true);
                }
                Step::Corrupt { key } => {
                    index.mark_corrupt(&key);
                    disk.corrupt.extend(disk.entries.get(&key).map(|entry| entry.1));
                }
                Step::Full { key } => {
                    index.mark_full(&key);
                    disk.full.extend(disk.entries.get(&key).map(|entry| entry.1));
                }
            }
            let (used, taken) = (index.used(), disk.taken());
            prop_assert!(used.blocks >= taken.blocks, "{:?} of {:?}", used, taken);
            prop_assert_eq!(used.files, taken.files);
            if disk.waiting.is_empty() {
                prop_assert_eq!(used, taken);
            }
            prop_assert_eq!(index.len(), disk.entries.len());
            for (key, (number, ..)) in &disk.entries {
                prop_assert_eq!(index.get(key).map(|value| value.number), Some(*number));
            }
            let inodes: HashSet<u8> = disk.entries.values().map(|entry| entry.1).collect();
            prop_assert_eq!(index.inodes(), inodes.len() as u64);
            for body in 0..5 {
                let is_sound = |inode: &&u8| !disk.corrupt.contains(*inode) && !disk.full.contains(*inode);
                let mut sound = inodes.iter().filter(|inode| body_of(**inode) == body).filter(is_sound);
                match index.linkable(&body) {
                    Some((key, _)) => prop_assert!(sound.any(|inode| *inode == disk.entries[&key].1)),
                    None => prop_assert_eq!(sound.next(), None),
                }
            }
        }
        // everything goes, each once, and no space is used any more
        let mut gone = 0;
        while let Some(removed) = index.evict() {
            prop_assert!(disk.take(removed.key).is_some());
            index.release(removed.charge);
            gone += 1;
            prop_assert!(gone <= 40);
        }
        for (removed, _) in disk.waiting.drain(..) {
            index.release(removed.charge);
        }
        prop_assert_eq!(index.used(), disk.taken());
    }
}

/// An index with names 0 to `names` of one inode of five blocks.
fn with_names(names: u32) -> Index<u32, Value> {
    let mut index = Index::new(Space { blocks: 1000, files: 1000 });
    for key in 0..names {
        assert!(index.reserve(Space::file(6)));
        assert!(index.commit(key, alone(7), Space::file(6), (Inode::new(3), 5), 0).is_none());
    }
    index
}

#[test]
fn blocks_are_free_once_the_last_link_is_released() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let mut index = with_names(3);
        assert_eq!(index.used(), Space { blocks: 5, files: 3 });
        // all are out of the index before the first is gone
        let mut removed: Vec<_> = (0..3).map(|key| index.remove(&key)).collect();
        for (number, which) in order.into_iter().enumerate() {
            assert_eq!(index.used(), Space { blocks: 5, files: 3 - number as u64 });
            let freed = index.release(removed[which].take().expect("it was there").charge);
            let expected = if number == 2 { Space { blocks: 5, files: 1 } } else { Space::default() };
            assert_eq!(freed, expected);
        }
        assert_eq!(index.used(), Space::default());
    }
}

#[test]
fn full_inode_is_linkable_after_a_removal() {
    let mut index = with_names(3);
    let (key, _) = index.linkable(&7).expect("three names");
    index.mark_full(&key);
    assert!(index.linkable(&7).is_none());
    // another file of the same body is as good
    assert!(index.add_found(9, alone(7), (Inode::new(4), 5)));
    assert_eq!(index.linkable(&7).map(|(key, _)| key), Some(9));
    assert_eq!(index.used().blocks, 10);
    let removed = index.remove(&9).expect("it is there");
    index.release(removed.charge);
    let removed = index.remove(&1).expect("it is there");
    index.release(removed.charge);
    assert!(index.linkable(&7).is_some());
}

#[test]
fn corrupt_inode_is_never_linkable() {
    let mut index = with_names(4);
    index.mark_corrupt(&2);
    for key in 0..4 {
        assert!(index.linkable(&7).is_none());
        let removed = index.remove(&key).expect("it is there");
        index.release(removed.charge);
    }
}

/// As on a file system without hard links: the test does not end in time if inodes of one body are searched one by one.
#[test]
fn body_may_have_as_many_inodes_as_files() {
    const FILES: u32 = 500_000;
    let mut index = Index::new(Space { blocks: FILES.into(), files: FILES.into() });
    for key in 0..FILES {
        assert!(index.add_found(key, alone(7), (Inode::new(key.into()), 1)));
    }
    assert_eq!((index.inodes(), index.used().blocks), (FILES.into(), FILES.into()));
    for key in 0..FILES {
        let (linkable, _) = index.linkable(&7).expect("one that is left");
        match key % 3 {
            0 => index.mark_full(&linkable),
            1 => index.mark_corrupt(&linkable),
            _ => {}
        }
        let removed = index.remove(&linkable).expect("it is there");
        assert_eq!(index.release(removed.charge), Space::file(1));
    }
    assert_eq!((index.inodes(), index.used(), index.linkable(&7)), (0, Space::default(), None));
}

#[test]
fn entry_takes_at_most_96_bytes() {
    // a million of them are 96 MB, and 5 to 10 MB in each of the two tables
    const { assert!(Index::<Key, Record<Extension>>::ENTRY <= 96) };
}

#[test]
fn evicted_entry_is_protected_when_it_returns() {
    let mut index: Index<u32, Value> = Index::new(Space { blocks: 10, files: 10 });
    let write = |index: &mut Index<u32, Value>, key| {
        while !index.reserve(Space::file(1)) {
            let gone = index.evict().expect("something");
            index.release(gone.charge);
        }
        assert!(index.commit(key, alone(key), Space::file(1), (Inode::new(key.into()), 1), 0).is_none());
    };
    write(&mut index, 0);
    (1..50).for_each(|key| write(&mut index, key));
    assert!(index.get(&0).is_none());
    write(&mut index, 0);
    (50..1000).for_each(|key| write(&mut index, key));
    assert!(index.get(&0).is_some());
}

#[test]
fn replaced_entry_keeps_its_segment() {
    for (is_used, last) in [(false, 2), (true, 1)] {
        let mut index: Index<u32, Value> = Index::new(Space { blocks: 10, files: 10 });
        let write = |index: &mut Index<u32, Value>, key, inode| {
            assert!(index.reserve(Space::file(1)));
            index.commit(key, alone(inode), Space::file(1), (Inode::new(inode.into()), 1), 0)
        };
        assert!(write(&mut index, 1, 1).is_none());
        if is_used {
            index.touch(&1, 0);
        }
        let former = write(&mut index, 1, 3).expect("one of that key");
        index.release(former.charge);
        assert!(write(&mut index, 2, 2).is_none());
        let gone: Vec<u32> = std::iter::from_fn(|| index.evict().map(|removed| removed.key)).collect();
        assert_eq!(gone.last(), Some(&last));
    }
}

#[test]
fn order_survives_in_file_times() {
    let mut index: Index<u32, Value> = Index::new(Space { blocks: 100, files: 100 });
    for key in 0..20 {
        assert!(index.add_found(key, alone(key), (Inode::new(key.into()), 1)));
    }
    // in no order; 3 and 4 were used again; 7 is used before its stamp is known
    assert!(index.touch(&7, 1000));
    for key in (0..20).rev() {
        index.set_details(&key, (Inode::new(key.into()), 1), 100 + (key * 7) % 20, key == 3 || key == 4);
    }
    let mut order = index.unordered();
    order.sort_unstable_by(|a, b| b.cmp(a));
    index.order(&order);
    let mut expected: Vec<u32> = (0..20).filter(|key| ![3, 4, 7].contains(key)).collect();
    expected.sort_by_key(|key| (key * 7) % 20);
    // 3 has the stamp 101 and 4 has 108; 7 was used after both
    expected.extend([3, 4, 7]);
    let gone: Vec<u32> = std::iter::from_fn(|| index.evict().map(|removed| removed.key)).collect();
    assert_eq!(gone, expected);
}

#[test]
fn entry_whose_key_came_back_is_not_restored() {
    let mut index = Index::new(Space { blocks: 100, files: 10 });
    let write = |index: &mut Index<u32, Value>, inode: u32| {
        assert!(index.reserve(Space::file(3)));
        assert_eq!(index.commit(1, alone(inode), Space::file(3), (Inode::new(inode.into()), 3), 0), None);
    };
    write(&mut index, 1);
    let victim = index.evict().expect("an entry");
    // while the file is being removed, and cannot be
    write(&mut index, 2);
    let left = index.restore(victim).expect("its key has another entry");
    assert_eq!(index.used(), Space { blocks: 6, files: 2 }, "both files are there");
    index.release(left.charge);
    assert_eq!(index.used(), Space::file(3));
}
