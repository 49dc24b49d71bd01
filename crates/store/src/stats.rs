//! A look at a cache folder from outside: what lies in it, and whether every body is what its name says. Only reads, so
//! it is safe while a service uses the folder.

use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind, Read, Result};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::folder::{BLOCK, Facts, Folder};
use crate::key::PathHash;
use crate::layout::{self, FAN_OUT, Record};
use crate::original_paths;
use crate::{Attributes, Digest, Key};

/// What lies in a cache folder.
#[derive(Debug, Default)]
pub struct Survey {
    /// Renditions.
    pub entries: u64,
    /// Bytes that they take on disk, in whole blocks, with the folders that they lie in.
    pub bytes: u64,
    /// Bytes of their bodies, each once.
    pub length: u64,
    /// Bodies that several renditions share.
    pub shared: u64,
    /// Renditions that share their body with another.
    pub sharing: u64,
    /// Files that are being written, or were when their process was killed.
    pub staged: u64,
    /// Files that are not tintype's.
    pub foreign: u64,
    /// How long ago the least and the most recently used one was used, as far as that is written down.
    pub ages: Option<(Duration, Duration)>,
    /// What each original's renditions take, the largest first.
    pub originals: Vec<Share>,
}

/// The space of one original's renditions. A body that they share with each other counts once; one that they share with those
/// of another original counts for both.
#[derive(Debug, Default)]
pub struct Share {
    /// Its path; `None` where it is not known.
    pub name: Option<String>,
    /// Renditions.
    pub entries: u64,
    /// Bytes on disk, in whole blocks.
    pub bytes: u64,
}

/// A rendition that is not what its name says.
#[derive(Debug)]
pub struct Damaged {
    /// Its path in the cache folder.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

fn open(dir: &Path) -> Result<Folder> {
    Folder::open(&dir.join(format!("v{}", layout::VERSION)))
}

/// The renditions in one fan-out folder, and how many files there are not ours.
fn entries<A: Attributes>(folder: &Folder, number: u8) -> Result<(Vec<(Key, Record<A>)>, u64, u64)> {
    let (mut entries, mut foreign) = (Vec::new(), 0);
    let listed = folder.list(&layout::folder(number), |name, is_file| {
        match name.to_str().ok().and_then(layout::parse).filter(|(key, _)| is_file && layout::is_in(*key, number)) {
            Some(entry) => entries.push(entry),
            None => foreign += 1,
        }
    });
    match listed {
        Ok(blocks) => Ok((entries, foreign, blocks)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((entries, 0, 0)),
        Err(error) => Err(error),
    }
}

/// Looks through a cache folder. A rendition that goes while it looks is not counted.
///
/// # Errors
/// Where the folder is not there or cannot be read.
pub fn survey<A: Attributes>(dir: &Path) -> Result<Survey> {
    let folder = open(dir)?;
    let mut survey = Survey::default();
    let mut shares: HashMap<PathHash, Share> = HashMap::new();
    // inodes with several names, and which originals have one of them
    let (mut seen, mut seen_of) = (HashSet::new(), HashSet::new());
    let mut times: Option<(u32, u32)> = None;
    for number in 0..FAN_OUT {
        let (entries, foreign, blocks) = entries::<A>(&folder, number)?;
        survey.foreign += foreign;
        survey.bytes += blocks * BLOCK;
        for (key, record) in entries {
            let Ok(facts) = folder.facts(&layout::path(key, &record)) else { continue };
            let Facts { is_file: true, blocks, seconds, names, .. } = facts else { continue };
            let (bytes, inode, is_shared) = (blocks * BLOCK, facts.inode(), names > 1);
            survey.entries += 1;
            survey.sharing += u64::from(is_shared);
            if !is_shared || seen.insert(inode) {
                survey.bytes += bytes;
                survey.length += u64::from(record.length);
                survey.shared += u64::from(is_shared);
            }
            let (first, last) = times.unwrap_or((seconds, seconds));
            times = Some((first.min(seconds), last.max(seconds)));
            let share = shares.entry(key.original()).or_default();
            share.entries += 1;
            if !is_shared || seen_of.insert((key.original(), inode)) {
                share.bytes += bytes;
            }
        }
    }
    folder.list(layout::STAGING, |name, _| {
        if name.to_str().is_ok_and(|name| layout::parse_staged::<A>(name).is_some()) {
            survey.staged += 1;
        } else {
            survey.foreign += 1;
        }
    })?;
    original_paths::read(&folder, |name| {
        if let Some(share) = shares.get_mut(&PathHash::of(name)) {
            share.name = Some(name.to_owned());
        }
    })?;
    let ago = |seconds: u32| {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.into());
        SystemTime::now().duration_since(then).unwrap_or_default()
    };
    survey.ages = times.map(|(first, last)| (ago(first), ago(last)));
    survey.originals = shares.into_values().collect();
    survey.originals.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    Ok(survey)
}

/// Reads every rendition and compares it with its name. `progress` is told how many of how many have been read.
///
/// # Errors
/// Where the folder is not there or cannot be listed.
pub fn verify<A: Attributes>(dir: &Path, mut progress: impl FnMut(u64, u64)) -> Result<(u64, Vec<Damaged>)> {
    let folder = open(dir)?;
    let mut all = Vec::new();
    for number in 0..FAN_OUT {
        all.extend(entries::<A>(&folder, number)?.0);
    }
    let (mut read, mut damaged) = (0, Vec::new());
    // files with several names are read once
    let mut known: HashMap<(u64, Digest), Option<String>> = HashMap::new();
    for (done, (key, record)) in (0..).zip(&all) {
        progress(done, all.len() as u64);
        let path = layout::path(*key, record);
        match check(&folder, &path, record, &mut known) {
            Ok(None) => read += 1,
            Ok(Some(reason)) => damaged.push(Damaged { path: format!("v{}/{path}", layout::VERSION), reason }),
            // evicted meanwhile
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                damaged.push(Damaged { path: format!("v{}/{path}", layout::VERSION), reason: error.to_string() });
            }
        }
    }
    progress(all.len() as u64, all.len() as u64);
    Ok((read, damaged))
}

/// What is wrong with a rendition.
fn check<A: Attributes>(
    folder: &Folder, path: &str, record: &Record<A>, known: &mut HashMap<(u64, Digest), Option<String>>,
) -> Result<Option<String>> {
    let facts = folder.facts(path)?;
    let Facts { is_file, length, names, .. } = facts;
    if !is_file {
        return Ok(Some("it is not a regular file".into()));
    }
    if names > 1 {
        let at = (facts.inode(), record.digest);
        if let Some(reason) = known.get(&at) {
            return Ok(reason.clone());
        }
        let reason = check_bytes(folder, path, record, length)?;
        known.insert(at, reason.clone());
        return Ok(reason);
    }
    check_bytes(folder, path, record, length)
}

fn check_bytes<A: Attributes>(folder: &Folder, path: &str, record: &Record<A>, length: u64) -> Result<Option<String>> {
    if length != u64::from(record.length) {
        return Ok(Some(format!("it has {length} bytes and should have {}", record.length)));
    }
    let mut bytes = Vec::new();
    folder.read(path, record.length.into())?.read_to_end(&mut bytes)?;
    let is_right = Digest::of(&bytes) == record.digest;
    Ok((!is_right).then(|| "its bytes are not those that were written".into()))
}
