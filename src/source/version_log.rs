//! The versions of remote originals on disk, so that cached renditions outlive a restart while the origin is down: a file
//! of checksummed records, which is only appended to or replaced.
//!
//! A record is the length of its payload, a checksum of length and payload, and the payload. The first names the origin: the
//! file of another one is void. A file that ends within a record was cut by a crash, and is used up to there; one with any
//! other irregularity is void, since the record of a removal may be what was lost.

mod record;

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub(super) use record::{Change, Entry};
use record::{Records, decode, frame, record};

use crate::sync;

/// The name of the file, and of the one that is locked by the process that writes it.
const FILE: &str = "versions";
const LOCK: &str = "versions.lock";

/// The first record begins so; a change of the format takes the next number.
const MAGIC: &[u8] = b"tintype versions 1";

/// Longer files are rewritten or, at the start, void.
const MAX_BYTES: u64 = 256 << 20;

/// Records beyond twice the number of versions, before the file is rewritten.
const MIN_SURPLUS: u64 = 1024;

/// The file, while this process may write it.
pub(super) struct VersionLog {
    dir: PathBuf,
    origin: String,
    file: Mutex<Option<Open>>,
}

struct Open {
    file: File,
    /// Held as long as this process writes the file.
    lock: File,
    records: u64,
    bytes: u64,
    /// Records that are appended while the file is rewritten.
    rewriting: Option<Vec<u8>>,
}

impl VersionLog {
    /// Opens the file of an origin in a folder, and reads its changes in order. Without changes where the file is new,
    /// another origin's or void.
    ///
    /// # Errors
    /// If the folder cannot be written, or another process writes the file.
    pub(super) fn open(dir: &Path, origin: &str) -> Result<(VersionLog, Vec<Change>)> {
        std::fs::DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
        let lock = options().open(dir.join(LOCK))?;
        lock.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => Error::new(ErrorKind::ResourceBusy, "another process uses it"),
            std::fs::TryLockError::Error(error) => error,
        })?;
        let changes = read(&dir.join(FILE), origin)?;
        let log = VersionLog { dir: dir.to_owned(), origin: origin.to_owned(), file: Mutex::new(None) };
        let records: Vec<u8> = changes.iter().flat_map(record).flatten().collect();
        let file = log.replace(&records)?;
        let (records, bytes) = (changes.len() as u64, records.len() as u64);
        *sync::lock(&log.file) = Some(Open { file, lock, records, bytes, rewriting: None });
        Ok((log, changes))
    }

    /// Appends a change. One that cannot be written makes the file void: what was removed must not come back.
    pub(super) fn append(&self, change: &Change) {
        let Some(record) = record(change) else { return };
        let mut file = sync::lock(&self.file);
        let Some(open) = file.as_mut() else { return };
        if let Err(error) = open.append(&record) {
            self.give_up(&mut file, &error);
        }
    }

    /// Waits until what was appended survives a power failure.
    pub(super) fn sync(&self) {
        let mut file = sync::lock(&self.file);
        let synced = file.as_ref().map_or(Ok(()), |open| open.file.sync_data());
        if let Err(error) = synced {
            self.give_up(&mut file, &error);
        }
    }

    /// Whether the file should be rewritten for so many versions; then [`VersionLog::rewrite`] is to be called.
    pub(super) fn begin_rewrite(&self, versions: u64) -> bool {
        let mut file = sync::lock(&self.file);
        let Some(open) = file.as_mut().filter(|open| open.rewriting.is_none()) else { return false };
        let is_large = open.bytes > MAX_BYTES / 2 && open.records > MIN_SURPLUS;
        let is_due = open.records > 2 * versions + MIN_SURPLUS || is_large;
        if is_due {
            open.rewriting = Some(Vec::new());
        }
        is_due
    }

    /// Rewrites the file with these changes and those that were appended since [`VersionLog::begin_rewrite`]. Blocks.
    pub(super) fn rewrite(&self, changes: impl Iterator<Item = Change>) {
        let mut count = 0;
        let mut records = Vec::new();
        for record in changes.filter_map(|change| record(&change)) {
            records.extend_from_slice(&record);
            count += 1;
        }
        let written = self.write_new(&records);
        let mut file = sync::lock(&self.file);
        let Some(open) = file.as_mut() else { return };
        let later = open.rewriting.take().unwrap_or_default();
        let replaced = written.and_then(|mut new| {
            new.write_all(&later)?;
            self.publish()?;
            Ok(new)
        });
        match replaced {
            Ok(new) => {
                open.file = new;
                (open.records, open.bytes) = (count, (records.len() + later.len()) as u64);
            }
            Err(error) => {
                // the former file is still complete; it is tried again when as much has been appended
                tracing::warn!(dir = %self.dir.display(), %error, "the versions of originals cannot be rewritten");
                open.records = 0;
            }
        }
    }

    /// Puts a file with these records in the place of the former one.
    fn replace(&self, records: &[u8]) -> Result<File> {
        let file = self.write_new(records)?;
        self.publish()?;
        Ok(file)
    }

    fn write_new(&self, records: &[u8]) -> Result<File> {
        let path = self.new_path();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = options().create_new(true).open(path)?;
        let mut first = Vec::new();
        frame(&mut first, &[MAGIC, self.origin.as_bytes()].concat());
        file.write_all(&first)?;
        file.write_all(records)?;
        file.sync_data()?;
        Ok(file)
    }

    fn publish(&self) -> Result<()> {
        std::fs::rename(self.new_path(), self.dir.join(FILE))?;
        // what is appended from now on is in the new file, whose name has to survive a power failure, too
        File::open(&self.dir)?.sync_all()
    }

    fn new_path(&self) -> PathBuf {
        self.dir.join(format!("{FILE}.new"))
    }

    /// Removes the file, which lacks a change, and writes it no more.
    fn give_up(&self, file: &mut Option<Open>, error: &Error) {
        let path = self.dir.join(FILE);
        tracing::warn!(path = %path.display(), %error, "versions of originals are not recorded any more");
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::error!(path = %path.display(), %error, "remove this file: its versions are outdated");
        }
        *file = None;
    }
}

impl Open {
    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.file.write_all(record)?;
        self.records += 1;
        self.bytes += record.len() as u64;
        if let Some(later) = &mut self.rewriting {
            later.extend_from_slice(record);
        }
        Ok(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // closing it would do; this also reaches the copy that a forked child has
        let _ = self.lock.unlock();
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o640);
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    options
}

/// The changes in a file of that origin.
fn read(path: &Path, origin: &str) -> Result<Vec<Change>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let Some(changes) = parse(&bytes, origin) else {
        tracing::warn!(path = %path.display(), "the recorded versions of originals are damaged or another origin's, and not used");
        return Ok(Vec::new());
    };
    Ok(changes)
}

/// The changes in the bytes of a file; `None` where it is void.
fn parse(bytes: &[u8], origin: &str) -> Option<Vec<Change>> {
    if bytes.len() as u64 > MAX_BYTES {
        return None;
    }
    let mut records = Records(bytes);
    let first = records.next()??;
    if first.strip_prefix(MAGIC) != Some(origin.as_bytes()) {
        return None;
    }
    records.map(|payload| payload.and_then(decode)).collect()
}

#[cfg(test)]
mod tests;
