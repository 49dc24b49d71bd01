//! The index under many schedules of a random scheduler.

use std::collections::BTreeMap;

use shuttle::sync::{Arc, Mutex, MutexGuard};
use shuttle::thread;

use super::{Index, Inode, Removed, Space};

const SCHEDULES: usize = 2000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic")
}

/// A name on the disk: the inode that it is of, and the body that this holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    inode: u64,
    body: u32,
}

impl super::Value for Name {
    type Body = u32;

    fn body(&self) -> u32 {
        self.body
    }
}

/// The real state of the disk: the names of each inode, of two blocks each.
#[derive(Default)]
struct Names {
    inodes: BTreeMap<u64, (u32, u32)>,
    next: u64,
}

impl Names {
    /// Another name of an inode with that body, where there is one; otherwise a new inode.
    fn write(&mut self, body: u32) -> Name {
        let known = self.inodes.iter_mut().find(|(_, (other, _))| *other == body);
        if let Some((inode, (_, names))) = known {
            *names += 1;
            return Name { inode: *inode, body };
        }
        self.next += 1;
        self.inodes.insert(self.next, (body, 1));
        Name { inode: self.next, body }
    }

    fn remove(&mut self, name: Name) {
        let (_, names) = self.inodes.get_mut(&name.inode).expect("it is there");
        *names -= 1;
        if *names == 0 {
            self.inodes.remove(&name.inode);
        }
    }

    fn blocks(&self) -> u64 {
        self.inodes.len() as u64 * 2
    }
}

#[test]
fn concurrent_writes_links_and_removals_stay_within_the_bound() {
    let store = || {
        let bound = Space { blocks: 8, files: 4 };
        let index: Arc<Mutex<Index<u32, Name>>> = Arc::new(Mutex::new(Index::new(bound)));
        let disk = Arc::new(Mutex::new(Names::default()));
        // gone from the disk before it is released
        let remove = |index: &Mutex<Index<u32, Name>>, disk: &Mutex<Names>, removed: Removed<u32, Name>| {
            lock(disk).remove(removed.value);
            lock(index).release(removed.charge);
        };
        let writer = |first: u32| {
            let (index, disk) = (Arc::clone(&index), Arc::clone(&disk));
            thread::spawn(move || {
                for key in first..first + 4 {
                    let space = Space::file(3);
                    loop {
                        let victim = {
                            let mut index = lock(&index);
                            if index.reserve(space) {
                                break;
                            }
                            index.evict()
                        };
                        match victim {
                            Some(victim) => remove(&index, &disk, victim),
                            None => thread::yield_now(),
                        }
                    }
                    let name = {
                        let mut disk = lock(&disk);
                        let name = disk.write(key % 2);
                        assert!(disk.blocks() <= bound.blocks, "{} blocks on disk", disk.blocks());
                        name
                    };
                    let former = lock(&index).commit(key % 3, name, space, (Inode::new(name.inode), 2), key);
                    if let Some(former) = former {
                        remove(&index, &disk, former);
                    }
                    let used = lock(&index).used().blocks;
                    assert!(used <= bound.blocks, "{used} blocks are counted");
                }
            })
        };
        let writers = [writer(0), writer(100)];
        let remover = {
            let (index, disk) = (Arc::clone(&index), Arc::clone(&disk));
            thread::spawn(move || {
                for key in 0..3 {
                    let removed = lock(&index).remove(&key);
                    if let Some(removed) = removed {
                        remove(&index, &disk, removed);
                    }
                    lock(&index).touch(&2, key);
                }
            })
        };
        for thread in writers.into_iter().chain([remover]) {
            thread.join().expect("no panic");
        }
        assert_eq!(lock(&index).used().blocks, lock(&disk).blocks());
    };
    shuttle::check_random(store, SCHEDULES);
}
