//! Statistics and verification of a folder, read-only and so safe while a service uses it.

use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind, Read, Result};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::folder::{BLOCK, FileInfo, Folder};
use crate::key::PathHash;
use crate::layout::{self, FAN_OUT, Record};
use crate::original_paths;
use crate::{Attributes, Digest, Key};

/// Statistics of a folder.
#[derive(Debug, Default)]
pub struct FolderStats {
    /// Stored files.
    pub entries: u64,
    /// Bytes that they take on disk, in whole blocks, with their folders.
    pub bytes: u64,
    /// Bytes of their bodies, equal ones counted once.
    pub length: u64,
    /// Bodies with several links.
    pub shared: u64,
    /// Files that share their body with another.
    pub sharing: u64,
    /// Files that are being written, or were left by a killed process.
    pub staged: u64,
    /// Files that are not the store's.
    pub foreign: u64,
    /// The ages of the last use of the least and of the most recently used file.
    pub ages: Option<(Duration, Duration)>,
    /// The space of each original's files, largest first.
    pub originals: Vec<Share>,
}

/// The space of one original's files. A body that they share counts once; one that they share with files of another original
/// counts for both.
#[derive(Debug, Default)]
pub struct Share {
    /// The original's path; `None` where it is not known.
    pub path: Option<String>,
    /// Files.
    pub entries: u64,
    /// Bytes on disk, in whole blocks.
    pub bytes: u64,
}

/// A file that does not hold what its name says.
#[derive(Debug)]
pub struct Damaged {
    /// Its path below the folder.
    pub path: String,
    /// The reason.
    pub reason: String,
}

fn open(dir: &Path) -> Result<Folder> {
    Folder::open(&dir.join(format!("v{}", layout::VERSION)))
}

/// The files in one fan-out folder, the number of other files, and the blocks of the folder.
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

/// Reads the statistics of a folder. A file that is removed in the meantime is not counted.
///
/// # Errors
/// Where the folder is missing or cannot be read.
pub fn folder_stats<A: Attributes>(dir: &Path) -> Result<FolderStats> {
    let folder = open(dir)?;
    let mut stats = FolderStats::default();
    let mut shares: HashMap<PathHash, Share> = HashMap::new();
    // inodes with several links, and those of each original
    let (mut seen, mut seen_of) = (HashSet::new(), HashSet::new());
    let mut times: Option<(u32, u32)> = None;
    for number in 0..FAN_OUT {
        let (entries, foreign, blocks) = entries::<A>(&folder, number)?;
        stats.foreign += foreign;
        stats.bytes += blocks * BLOCK;
        for (key, record) in entries {
            let Ok(info) = folder.file_info(&layout::path(key, &record)) else { continue };
            let FileInfo { is_file: true, blocks, seconds, links, .. } = info else { continue };
            let (bytes, inode, is_shared) = (blocks * BLOCK, info.inode(), links > 1);
            stats.entries += 1;
            stats.sharing += u64::from(is_shared);
            if !is_shared || seen.insert(inode) {
                stats.bytes += bytes;
                stats.length += u64::from(record.length);
                stats.shared += u64::from(is_shared);
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
            stats.staged += 1;
        } else {
            stats.foreign += 1;
        }
    })?;
    original_paths::read(&folder, |path| {
        if let Some(share) = shares.get_mut(&PathHash::of(path)) {
            share.path = Some(path.to_owned());
        }
    })?;
    let ago = |seconds: u32| {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.into());
        SystemTime::now().duration_since(then).unwrap_or_default()
    };
    stats.ages = times.map(|(first, last)| (ago(first), ago(last)));
    stats.originals = shares.into_values().collect();
    stats.originals.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    Ok(stats)
}

/// Reads every file and compares it with its name. `progress` gets the number of files read and of all. Returns the number of
/// intact files, and the damaged ones.
///
/// # Errors
/// Where the folder is missing or cannot be listed.
pub fn verify<A: Attributes>(dir: &Path, mut progress: impl FnMut(u64, u64)) -> Result<(u64, Vec<Damaged>)> {
    let folder = open(dir)?;
    let mut all = Vec::new();
    for number in 0..FAN_OUT {
        all.extend(entries::<A>(&folder, number)?.0);
    }
    let (mut read, mut damaged) = (0, Vec::new());
    // an inode is read once
    let mut known: HashMap<(u64, Digest), Option<String>> = HashMap::new();
    for (done, (key, record)) in (0..).zip(&all) {
        progress(done, all.len() as u64);
        let path = layout::path(*key, record);
        match check(&folder, &path, record, &mut known) {
            Ok(None) => read += 1,
            Ok(Some(reason)) => damaged.push(Damaged { path: format!("v{}/{path}", layout::VERSION), reason }),
            // evicted in the meantime
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                damaged.push(Damaged { path: format!("v{}/{path}", layout::VERSION), reason: error.to_string() });
            }
        }
    }
    progress(all.len() as u64, all.len() as u64);
    Ok((read, damaged))
}

/// Why a file does not hold what its name says.
fn check<A: Attributes>(
    folder: &Folder, path: &str, record: &Record<A>, known: &mut HashMap<(u64, Digest), Option<String>>,
) -> Result<Option<String>> {
    let info = folder.file_info(path)?;
    let FileInfo { is_file, length, links, .. } = info;
    if !is_file {
        return Ok(Some("it is not a regular file".into()));
    }
    if links > 1 {
        let at = (info.inode(), record.digest);
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
    let is_intact = Digest::of(&bytes) == record.digest;
    Ok((!is_intact).then(|| "its bytes are not those that were written".into()))
}
