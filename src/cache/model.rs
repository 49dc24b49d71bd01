//! The cache and its index against models that are too simple to be wrong, under whatever sequence of events.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;

use super::index::{Index, Removed, Space};
use super::{Cache, Config, Found, Key, Purge, layout};
use crate::render::recipe::{Output, Quality};
use crate::render::{Content, Encoded, Format, Recipe, Settings};
use crate::source::{ImageId, Version};

/// What can happen to a cache.
#[derive(Clone, Debug)]
enum Event {
    Ask {
        original: u8,
        variant: u8,
    },
    Purge {
        original: u8,
    },
    PurgeFolder {
        folder: u8,
    },
    Restart,
    /// Killed between staging and renaming one of them.
    Kill {
        which: usize,
    },
    Damage {
        which: usize,
        how: Damage,
    },
    Foreign,
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip(usize),
    Cut,
    Empty,
    Longer,
    Remove,
    SwapWithNext,
}

fn event() -> impl Strategy<Value = Event> {
    let damage = prop_oneof![
        any::<usize>().prop_map(Damage::Flip),
        Just(Damage::Cut),
        Just(Damage::Empty),
        Just(Damage::Longer),
        Just(Damage::Remove),
        Just(Damage::SwapWithNext),
    ];
    prop_oneof![
        20 => (0..4_u8, 0..6_u8).prop_map(|(original, variant)| Event::Ask { original, variant }),
        1 => (0..4_u8).prop_map(|original| Event::Purge { original }),
        1 => (0..2_u8).prop_map(|folder| Event::PurgeFolder { folder }),
        2 => Just(Event::Restart),
        2 => any::<usize>().prop_map(|which| Event::Kill { which }),
        4 => (any::<usize>(), damage).prop_map(|(which, how)| Event::Damage { which, how }),
        1 => Just(Event::Foreign),
    ]
}

fn original(number: u8) -> ImageId {
    ImageId::parse(&format!("/{}/{number}.jpg", number % 2)).expect("a name")
}

fn key(number: u8, variant: u8) -> Key {
    let version = Version { identity: [variant; 32], modified: std::time::SystemTime::UNIX_EPOCH, length: 1 };
    let recipe = Recipe::new(Output::Original, Quality::new(80).expect("in range"));
    Key::new(&original(number), &version, &recipe, &Settings::default())
}

/// The renditions in a folder, sorted.
fn bodies(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for folder in std::fs::read_dir(dir.join("v2")).expect("readable").flatten() {
        let Ok(entries) = std::fs::read_dir(folder.path()) else { continue };
        all.extend(entries.flatten().map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            layout::parse(name).is_some()
        }));
    }
    all.sort();
    all
}

/// Leaves a folder as a kill between staging and renaming does.
fn unfinish(dir: &Path, which: usize) {
    let all = bodies(dir);
    if !all.is_empty() {
        let path = &all[which % all.len()];
        let name = path.file_name().expect("a name").to_str().expect("text");
        std::fs::rename(path, dir.join(format!("v2/staging/ffff-{name}"))).expect("moved");
    }
}

/// Does something to a rendition, unless the survey that follows a start, which removes what is damaged, was quicker.
fn damage(dir: &Path, which: usize, how: Damage) -> std::io::Result<()> {
    let all = bodies(dir);
    if all.is_empty() {
        return Ok(());
    }
    let path = &all[which % all.len()];
    let mut bytes = std::fs::read(path)?;
    // what was removed does not come back
    let write =
        |path: &Path, bytes: &[u8]| std::fs::OpenOptions::new().write(true).truncate(true).open(path)?.write_all(bytes);
    match how {
        Damage::Flip(bit) if !bytes.is_empty() => {
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            write(path, &bytes)
        }
        Damage::Flip(_) | Damage::Empty => write(path, b""),
        Damage::Cut => write(path, &bytes[..bytes.len() / 2]),
        Damage::Longer => {
            bytes.push(0);
            write(path, &bytes)
        }
        Damage::Remove => std::fs::remove_file(path),
        Damage::SwapWithNext => {
            let other = &all[which.wrapping_add(1) % all.len()];
            write(path, &std::fs::read(other)?)?;
            write(other, &bytes)
        }
    }
}

fn open(dir: &Path, max_files: u64, memory: u64) -> Arc<Cache<&'static str>> {
    let (dir, max_bytes) = (Some(dir.to_owned()), 1 << 30);
    Arc::new(Cache::new(&Config { dir, max_bytes, max_files, min_free: 0, memory }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_only_what_was_made_last_is_served(
        events in proptest::collection::vec(event(), 1..60), max_files in prop_oneof![Just(9), Just(1000)],
        memory in prop_oneof![Just(0), Just(1 << 20)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let dir = tempfile::tempdir().expect("a folder");
        let mut cache = open(dir.path(), max_files, memory);
        // what was made last for each key, and which of them nothing has been done to
        let mut made: HashMap<(u8, u8), Vec<u8>> = HashMap::new();
        let mut sound: HashSet<(u8, u8)> = HashSet::new();
        let mut foreign = 0;
        for (number, event) in events.into_iter().enumerate() {
            match event {
                Event::Ask { original: of, variant } => {
                    let fresh = format!("{of} {variant} made at {number}").into_bytes();
                    let body = fresh.clone();
                    let (id, key) = (original(of), key(of, variant));
                    let make = move |_| async move { Ok(Encoded { bytes: body, content: Content::Image(Format::WebP) }) };
                    let (got, found) = runtime.block_on(cache.get_or_make(&id, key, make)).expect("it does not fail");
                    if let Found::Made { stored, .. } = found {
                        prop_assert!(stored, "{}", number);
                        prop_assert!(max_files < 1000 || !sound.contains(&(of, variant)), "lost at {}", number);
                        made.insert((of, variant), fresh);
                        sound.insert((of, variant));
                    }
                    prop_assert_eq!(Some(&got.bytes[..]), made.get(&(of, variant)).map(|bytes| &bytes[..]));
                }
                Event::Purge { original: of } => {
                    cache.purge(&Purge::Original(original(of)));
                    made.retain(|(other, _), _| *other != of);
                    sound.retain(|(other, _)| *other != of);
                }
                Event::PurgeFolder { folder } => {
                    cache.purge(&Purge::Folder(format!("{folder}/")));
                    made.retain(|(other, _), _| other % 2 != folder);
                    sound.retain(|(other, _)| other % 2 != folder);
                }
                Event::Restart => {
                    drop(cache);
                    cache = open(dir.path(), max_files, memory);
                }
                Event::Kill { which } => {
                    drop(cache);
                    unfinish(dir.path(), which);
                    cache = open(dir.path(), max_files, memory);
                }
                Event::Damage { which, how } => {
                    cache.flush();
                    match damage(dir.path(), which, how) {
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                        done => done.expect("damaged"),
                    }
                    // it is not known here which
                    sound.clear();
                }
                Event::Foreign => {
                    foreign += 1;
                    std::fs::write(dir.path().join(format!("v2/foreign-{foreign}")), b"mine").expect("written");
                }
            }
            prop_assert!(bodies(dir.path()).len() as u64 + 2 <= max_files);
        }
        for number in 1..=foreign {
            let path = dir.path().join(format!("v2/foreign-{number}"));
            prop_assert!(path.exists());
        }
    }
}

/// What can happen to an index.
#[derive(Clone, Debug)]
enum Step {
    Write { key: u8, blocks: u64, real: u32 },
    Find { key: u8, blocks: u32 },
    Touch { key: u8, now: u32 },
    Remove { key: u8 },
    Release,
    Fixed { blocks: u64 },
    Describe { key: u8, blocks: u32, stamp: u32, used: bool },
    Order,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..40_u8;
    prop_oneof![
        8 => (key.clone(), 1..9_u64, 0..9_u32).prop_map(|(key, blocks, real)| Step::Write { key, blocks, real }),
        2 => (key.clone(), 0..9_u32).prop_map(|(key, blocks)| Step::Find { key, blocks }),
        4 => (key.clone(), 0..10_000_u32).prop_map(|(key, now)| Step::Touch { key, now }),
        2 => key.clone().prop_map(|key| Step::Remove { key }),
        2 => Just(Step::Release),
        1 => (0..20_u64).prop_map(|blocks| Step::Fixed { blocks }),
        2 => (key, 0..9_u32, 0..10_000_u32, any::<bool>())
            .prop_map(|(key, blocks, stamp, used)| Step::Describe { key, blocks, stamp, used }),
        1 => Just(Step::Order),
    ]
}

proptest! {
    #[test]
    fn the_account_is_the_sum_of_its_parts(steps in proptest::collection::vec(step(), 1..200)) {
        let bound = Space { blocks: 100, files: 25 };
        let mut index: Index<u8, u64> = Index::new(bound);
        let mut entries: HashMap<u8, (u64, u64)> = HashMap::new();
        let mut waiting: Vec<Removed<u8, u64>> = Vec::new();
        let mut fixed = 0;
        for (number, step) in (0_u64..).zip(steps) {
            match step {
                Step::Write { key, blocks, real } => {
                    // what is written takes at most what was reserved
                    let (space, real) = (Space::file(blocks), real.min(u32::try_from(blocks).expect("small")));
                    let mut reserved = index.reserve(space);
                    while !reserved {
                        let Some(gone) = index.evict() else { break };
                        prop_assert_eq!(entries.remove(&gone.key), Some((gone.value, gone.space.blocks)));
                        index.release(gone.space);
                        reserved = index.reserve(space);
                    }
                    if reserved {
                        prop_assert!(index.used().blocks <= bound.blocks && index.used().files <= bound.files);
                        if let Some(former) = index.commit(key, number, space, real, 5) {
                            prop_assert_eq!(entries.remove(&key), Some((former.value, former.space.blocks)));
                            waiting.push(former);
                        }
                        entries.insert(key, (number, real.into()));
                    }
                }
                Step::Find { key, blocks } => {
                    prop_assert_eq!(index.found(key, number, blocks), !entries.contains_key(&key));
                    entries.entry(key).or_insert((number, blocks.into()));
                }
                Step::Touch { key, now } => {
                    index.touch(&key, now);
                    prop_assert!(!index.touch(&key, now), "once is enough");
                }
                Step::Remove { key } => match (index.remove(&key), entries.remove(&key)) {
                    (Some(removed), Some(entry)) => {
                        prop_assert_eq!((removed.value, removed.space.blocks), entry);
                        waiting.push(removed);
                    }
                    (None, None) => {}
                    (removed, entry) => prop_assert!(false, "{:?} {:?}", removed, entry),
                },
                Step::Release => {
                    if let Some(removed) = waiting.pop() {
                        index.release(removed.space);
                    }
                }
                Step::Fixed { blocks } => {
                    fixed = blocks;
                    index.set_fixed(Space { blocks, files: 0 });
                }
                Step::Describe { key, blocks, stamp, used } => {
                    let before = index.used().blocks;
                    index.describe(&key, blocks, stamp, used);
                    if let Some(entry) = entries.get_mut(&key)
                        && index.used().blocks != before
                    {
                        entry.1 = blocks.into();
                    }
                }
                Step::Order => {
                    let mut order = index.unplaced();
                    order.sort_unstable_by(|a, b| b.cmp(a));
                    index.place(&order);
                    prop_assert!(index.unplaced().is_empty());
                }
            }
            let sum = |spaces: &mut dyn Iterator<Item = u64>| spaces.sum::<u64>();
            let blocks = fixed
                + sum(&mut entries.values().map(|entry| entry.1))
                + sum(&mut waiting.iter().map(|removed| removed.space.blocks));
            prop_assert_eq!(index.used(), Space { blocks, files: (entries.len() + waiting.len()) as u64 });
            prop_assert_eq!(index.len(), entries.len());
            for (key, (value, _)) in &entries {
                prop_assert_eq!(index.get(key), Some(*value));
            }
        }
        // everything goes, each once
        let mut gone = 0;
        while let Some(removed) = index.evict() {
            prop_assert!(entries.remove(&removed.key).is_some());
            gone += 1;
            prop_assert!(gone <= 40);
        }
        prop_assert!(entries.is_empty());
    }
}

#[test]
fn what_went_lately_is_protected_when_it_comes_back() {
    let mut index: Index<u32, ()> = Index::new(Space { blocks: 10, files: 10 });
    let write = |index: &mut Index<u32, ()>, key| {
        while !index.reserve(Space::file(1)) {
            let gone = index.evict().expect("something");
            index.release(gone.space);
        }
        assert!(index.commit(key, (), Space::file(1), 1, 0).is_none());
    };
    write(&mut index, 0);
    (1..50).for_each(|key| write(&mut index, key));
    assert!(index.get(&0).is_none());
    write(&mut index, 0);
    (50..1000).for_each(|key| write(&mut index, key));
    assert!(index.get(&0).is_some());
}

#[test]
fn the_order_survives_in_the_stamps() {
    let mut index: Index<u32, ()> = Index::new(Space { blocks: 100, files: 100 });
    for key in 0..20 {
        assert!(index.found(key, (), 1));
    }
    // in no order; 3 and 4 were used again; 7 is used before its stamp is known
    assert!(index.touch(&7, 1000));
    for key in (0..20).rev() {
        index.describe(&key, 1, 100 + (key * 7) % 20, key == 3 || key == 4);
    }
    let mut order = index.unplaced();
    order.sort_unstable_by(|a, b| b.cmp(a));
    index.place(&order);
    let mut expected: Vec<u32> = (0..20).filter(|key| ![3, 4, 7].contains(key)).collect();
    expected.sort_by_key(|key| (key * 7) % 20);
    // 3 has the stamp 101 and 4 has 108; 7 was used after both
    expected.extend([3, 4, 7]);
    let gone: Vec<u32> = std::iter::from_fn(|| index.evict().map(|removed| removed.key)).collect();
    assert_eq!(gone, expected);
}
