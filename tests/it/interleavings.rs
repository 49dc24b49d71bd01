//! The parts of the cache that threads meet in, under every schedule that a random scheduler finds: the same source as in
//! the library, built on locks that hand over where the scheduler says so.

// what these tests do not call, and what the library hands on
#[allow(dead_code, unreachable_pub)]
#[path = "../../src/cache/flight.rs"]
mod flight;
#[allow(dead_code)]
#[path = "../../src/cache/index/mod.rs"]
mod index;

/// The library's locks, as the scheduler has them.
mod sync {
    pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard};

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

use std::collections::BTreeMap;

use flight::Flights;
use index::{Index, Inode, Removed, Space};
use shuttle::future::block_on;
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::thread;
use sync::{Arc, Mutex, lock};

/// How many schedules each is tried under.
const SCHEDULES: usize = 2000;

#[test]
fn a_crowd_makes_it_once_and_everyone_gets_it() {
    let crowd = || {
        let flights: Arc<Flights<u8, (), u64>> = Arc::new(Flights::new());
        let made = Arc::new(AtomicU64::new(0));
        let ask = |patient: bool| {
            let (flights, made) = (Arc::clone(&flights), Arc::clone(&made));
            thread::spawn(move || {
                let (waiter, pilot) = flights.join(1, ());
                let work = pilot.map(|pilot| {
                    thread::spawn(move || {
                        let number = made.fetch_add(1, Ordering::SeqCst) + 1;
                        pilot.land(number);
                    })
                });
                let got = patient.then(|| block_on(waiter));
                if let Some(work) = work {
                    work.join().expect("no panic");
                }
                got
            })
        };
        let all: Vec<_> = [true, false, true, true].map(ask).into_iter().collect();
        for one in all {
            if let Some(got) = one.join().expect("no panic") {
                // a flight that began after another had landed is one more
                let number = got.expect("it landed");
                assert!((1..=made.load(Ordering::SeqCst)).contains(&number));
            }
        }
    };
    shuttle::check_random(crowd, SCHEDULES);
}

#[test]
fn a_pilot_that_is_lost_leaves_nobody_waiting() {
    let crowd = || {
        let flights: Arc<Flights<u8, (), u64>> = Arc::new(Flights::new());
        let (waiter, pilot) = flights.join(1, ());
        let pilot = pilot.expect("the first one leads");
        let (second, none) = flights.join(1, ());
        assert!(none.is_none());
        let waiting = thread::spawn(move || block_on(second));
        let losing = thread::spawn(move || drop(pilot));
        let joining = {
            let flights = Arc::clone(&flights);
            thread::spawn(move || match flights.join(1, ()) {
                (waiter, None) => block_on(waiter).is_none(),
                // the lost one is out of the map before anyone is told
                (waiter, Some(pilot)) => {
                    pilot.land(7);
                    block_on(waiter) == Some(7)
                }
            })
        };
        assert_eq!(block_on(waiter), None);
        assert_eq!(waiting.join().expect("no panic"), None);
        losing.join().expect("no panic");
        assert!(joining.join().expect("no panic"));
    };
    shuttle::check_random(crowd, SCHEDULES);
}

#[test]
fn whoever_works_learns_that_nobody_waits() {
    let crowd = || {
        let flights: Arc<Flights<u8, (), u64>> = Arc::new(Flights::new());
        let (first, pilot) = flights.join(1, ());
        let pilot = pilot.expect("the first one leads");
        let (second, _) = flights.join(1, ());
        let askers = pilot.askers();
        assert!(!askers.are_gone());
        let working = thread::spawn(move || {
            // ends, whenever they leave
            block_on(askers.leave());
            let none = askers.are_gone();
            pilot.land(1);
            none
        });
        let leaving = [first, second].map(|waiter| thread::spawn(move || drop(waiter)));
        for one in leaving {
            one.join().expect("no panic");
        }
        assert!(working.join().expect("no panic"));
    };
    shuttle::check_random(crowd, SCHEDULES);
}

#[test]
fn what_is_disowned_while_it_is_made_is_not_kept() {
    let purge = || {
        let flights: Arc<Flights<u8, &'static str, u64>> = Arc::new(Flights::new());
        let kept = Arc::new(Mutex::new(false));
        let (_waiter, pilot) = flights.join(1, "a");
        let pilot = pilot.expect("the first one leads");
        let making = {
            let kept = Arc::clone(&kept);
            thread::spawn(move || {
                if pilot.keeps() {
                    *lock(&kept) = true;
                    // purged between the question and the keeping
                    if !pilot.keeps() {
                        *lock(&kept) = false;
                    }
                }
                pilot.land(1);
            })
        };
        let purging = {
            let (flights, kept) = (Arc::clone(&flights), Arc::clone(&kept));
            thread::spawn(move || {
                flights.disown(|label| *label == "a");
                *lock(&kept) = false;
            })
        };
        purging.join().expect("no panic");
        making.join().expect("no panic");
        assert!(!*lock(&kept));
    };
    shuttle::check_random(purge, SCHEDULES);
}

/// A name on the disk: the inode that it is of, and the body that this holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    inode: u64,
    body: u32,
}

impl index::Value for Name {
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
fn the_bound_holds_whoever_writes_links_and_removes_at_once() {
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
                    assert!(used <= bound.blocks, "{used} blocks in the account");
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
