//! The cache compared with a simple model, under random sequences of events.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::shared::SharedTier;
use super::shared::tests::written;
use super::testsuite::taken;
use super::{Cache, Config, Found, Key, Purge, name_again, rendition_key, shared};
use crate::bucket::memory::{Faults, MemoryBucket};
use crate::bucket::{Bucket, Error};
use crate::render::recipe::{Output, Quality};
use crate::render::{Content, Encoded, Format, Recipe, Settings};
use crate::source::{ImageId, Version};

/// An operation on a cache.
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
    /// Every object in the bucket has a bit flipped.
    DamageBucket,
    /// The bucket answers nothing but errors from now on, or answers again.
    Fail {
        fails: bool,
    },
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
        1 => Just(Event::DamageBucket),
        1 => any::<bool>().prop_map(|fails| Event::Fail { fails }),
    ]
}

fn original(number: u8) -> ImageId {
    ImageId::parse(&format!("/{}/{number}.jpg", number % 2)).expect("a name")
}

fn key(number: u8, variant: u8) -> Key {
    let version = Version { identity: [variant; 32], modified: Some(std::time::SystemTime::UNIX_EPOCH), length: 1 };
    let recipe = Recipe::new(Output::Original, Quality::new(80).expect("in range"));
    rendition_key(&original(number), &version, &recipe, &Settings::default())
}

/// The renditions in a folder, sorted.
fn bodies(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for folder in std::fs::read_dir(dir.join("v2")).expect("readable").flatten() {
        let Ok(entries) = std::fs::read_dir(folder.path()) else { continue };
        all.extend(entries.flatten().map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name_again(name).is_some()
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

/// Does something to a rendition, unless the scan at the start has removed it as damaged.
fn damage(dir: &Path, which: usize, how: Damage) -> std::io::Result<()> {
    let all = bodies(dir);
    if all.is_empty() {
        return Ok(());
    }
    let path = &all[which % all.len()];
    let mut bytes = std::fs::read(path)?;
    // a removed rendition does not come back
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

fn open(dir: &Path, max_files: u64, memory: u64, bucket: Option<&Arc<MemoryBucket>>) -> Arc<Cache<&'static str>> {
    let (dir, max_bytes) = (Some(dir.to_owned()), 1 << 30);
    let cache = Cache::new(&Config { dir, max_bytes, max_files, min_free: 0, memory });
    if let Some(bucket) = bucket {
        cache.share(SharedTier::new(Arc::clone(bucket) as Arc<dyn Bucket>, shared::Config::default()));
    }
    Arc::new(cache)
}

/// Purges here and in the bucket, which answers meanwhile.
fn purge(cache: &Cache<&'static str>, runtime: &Runtime, bucket: Option<&Arc<MemoryBucket>>, what: &Purge) {
    cache.purge(what);
    if let (Some(bucket), Some(tier)) = (bucket, cache.shared()) {
        bucket.set(Faults::default());
        runtime.block_on(tier.purge(what)).expect("purged");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn last_body_is_served_after_any_sequence_of_events(
        events in proptest::collection::vec(event(), 1..60), max_files in prop_oneof![Just(9), Just(1000)],
        memory in prop_oneof![Just(0), Just(1 << 20)], is_shared in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let dir = tempfile::tempdir().expect("a folder");
        let bucket = is_shared.then(Arc::<MemoryBucket>::default);
        let mut cache = open(dir.path(), max_files, memory, bucket.as_ref());
        // the latest rendition of each key, and the keys without later operations
        let mut made: HashMap<(u8, u8), Vec<u8>> = HashMap::new();
        let mut sound: HashSet<(u8, u8)> = HashSet::new();
        // all renditions of each key since its last purge: the bucket may have any of them
        let mut ever: HashMap<(u8, u8), HashSet<Vec<u8>>> = HashMap::new();
        let mut foreign = 0;
        let is_damaged = events.iter().any(|event| matches!(event, Event::Damage { .. }));
        for (number, event) in events.into_iter().enumerate() {
            match event {
                Event::Ask { original: of, variant } => {
                    // most are like others, so that they share files
                    let fresh = match number % 3 {
                        0 => format!("{of} {variant} made at {number}").into_bytes(),
                        _ => format!("one of two: {}", number % 2).into_bytes(),
                    };
                    let body = fresh.clone();
                    let (id, key) = (original(of), key(of, variant));
                    let make = move |_| async move { Ok(Encoded { bytes: body, content: Content::Image(Format::WebP), damaged: false, kind: None }) };
                    let (got, found) = runtime.block_on(cache.get_or_make(&id, key, make)).expect("it does not fail");
                    if let Found::Made { stored, .. } = found {
                        prop_assert!(stored, "{}", number);
                        prop_assert!(max_files < 1000 || !sound.contains(&(of, variant)), "lost at {}", number);
                        ever.entry((of, variant)).or_default().insert(fresh.clone());
                        made.insert((of, variant), fresh);
                        sound.insert((of, variant));
                    }
                    if found == Found::Shared {
                        prop_assert!(ever[&(of, variant)].contains(&got.bytes[..]), "{}", number);
                        made.insert((of, variant), got.bytes.to_vec());
                    }
                    prop_assert_eq!(Some(&got.bytes[..]), made.get(&(of, variant)).map(|bytes| &bytes[..]));
                    if let Some(tier) = cache.shared() {
                        runtime.block_on(written(tier));
                    }
                }
                Event::Purge { original: of } => {
                    purge(&cache, &runtime, bucket.as_ref(), &Purge::Original(original(of)));
                    made.retain(|(other, _), _| *other != of);
                    ever.retain(|(other, _), _| *other != of);
                    sound.retain(|(other, _)| *other != of);
                }
                Event::PurgeFolder { folder } => {
                    purge(&cache, &runtime, bucket.as_ref(), &Purge::Folder(format!("{folder}/")));
                    made.retain(|(other, _), _| other % 2 != folder);
                    ever.retain(|(other, _), _| other % 2 != folder);
                    sound.retain(|(other, _)| other % 2 != folder);
                }
                Event::Restart => {
                    drop(cache);
                    cache = open(dir.path(), max_files, memory, bucket.as_ref());
                }
                Event::Kill { which } => {
                    drop(cache);
                    unfinish(dir.path(), which);
                    cache = open(dir.path(), max_files, memory, bucket.as_ref());
                }
                Event::DamageBucket => if let Some(bucket) = &bucket {
                    bucket.damage(|bytes| if let Some(byte) = bytes.first_mut() { *byte ^= 1 });
                },
                Event::Fail { fails } => if let Some(bucket) = &bucket {
                    let error = fails.then_some(Error::Status(500));
                    bucket.set(Faults { error, ..Faults::default() });
                },
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
        cache.flush();
        while cache.usage().scanned < 1.0 {
            std::thread::yield_now();
        }
        let (usage, (bytes, files)) = (cache.usage(), taken(dir.path()));
        // foreign files lie in the same folder and are not counted
        let (bytes, files) = (bytes - foreign * 4096, files - foreign);
        prop_assert!(usage.bytes >= bytes && usage.files >= files, "{:?} of {} {}", usage, bytes, files);
        if !is_damaged {
            prop_assert_eq!((usage.bytes, usage.files), (bytes, files));
        }
        for number in 1..=foreign {
            let path = dir.path().join(format!("v2/foreign-{number}"));
            prop_assert!(path.exists());
        }
    }
}
