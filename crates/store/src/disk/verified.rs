//! Verified reads, and files that are verified for a proxy which sends them itself.
//!
//! The store does not see what a proxy reads. So a file is verified before its path is given away: by its digest at most
//! every [`VALID_FOR`], and each time that it is the same inode, unchanged since. A file that decays on its medium within that
//! time, without a write, goes unnoticed.

use std::io::{ErrorKind, Result};
use std::time::{Duration, SystemTime};

use tokio::io::AsyncReadExt;

use super::{Disk, FAN_OUT, Shared, lock};
use crate::folder::FileInfo;
use crate::layout::{self, Record};
use crate::{Attributes, Digest, Key, StoredFile};

/// How long a verification is valid.
const VALID_FOR: Duration = Duration::from_secs(600);

/// The number of remembered verifications.
const CAPACITY: u64 = 100_000;

/// The identity of a verified file: its inode and ctime.
type Identity = (u64, i64, i64);

/// The files that were verified lately.
pub(crate) struct VerifiedFiles(moka::sync::Cache<Key, Identity>);

impl Default for VerifiedFiles {
    fn default() -> Self {
        VerifiedFiles(moka::sync::Cache::builder().max_capacity(CAPACITY).time_to_live(VALID_FOR).build())
    }
}

impl<A: Attributes> Disk<A> {
    /// The file of that key, verified, once it has its final name.
    pub(crate) async fn file(&self, key: Key) -> Option<StoredFile<A>> {
        let shared = &self.shared;
        shared.list_folder(key.first_byte() % FAN_OUT);
        let record = lock(&shared.index).get(&key)?;
        let path = layout::path(key, &record);
        // before the read: a later change is another identity the next time
        let seen = shared.folder.file_info(&path).ok().filter(|info| is_whole(info, &record)).map(|info| info.identity);
        if seen.is_none() || shared.verified.0.get(&key) != seen {
            // removes a damaged file
            shared.read_verified(key, &record).await?;
            if let Some(identity) = seen.filter(|identity| is_stable(*identity)) {
                shared.verified.0.insert(key, identity);
            }
        }
        shared.touch(key);
        let Record { digest, length, attributes } = record;
        Some(StoredFile { path: format!("v{}/{path}", layout::VERSION), length: length.into(), digest, attributes })
    }
}

fn is_whole<A: Attributes>(info: &FileInfo, record: &Record<A>) -> bool {
    info.is_file && info.length == u64::from(record.length)
}

/// Whether a later change would show: file times advance with the kernel's clock tick, 1 to 10 ms.
fn is_stable((_, seconds, nanoseconds): Identity) -> bool {
    const TICK: i128 = 20_000_000;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let changed = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    i128::try_from(now.as_nanos()).is_ok_and(|now| now - changed >= TICK)
}

impl<A: Attributes> Shared<A> {
    /// The bytes of a file, verified. A damaged or missing file is removed from the index.
    pub(crate) async fn read_verified(&self, key: Key, record: &Record<A>) -> Option<Vec<u8>> {
        match self.read(key, record).await {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                self.remove_corrupt(key, record);
                None
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // removed by others: its space is free
                self.forget(key, record);
                None
            }
            Err(error) => {
                // the file still takes its space
                if let Some(suppressed) = self.unreadable.allow() {
                    let file = layout::path(key, record);
                    tracing::warn!(%file, %error, suppressed, "a cached file cannot be read");
                }
                None
            }
        }
    }

    /// Reads a file; [`ErrorKind::InvalidData`] where it does not hold what its name says.
    async fn read(&self, key: Key, record: &Record<A>) -> Result<Vec<u8>> {
        let length = u64::from(record.length);
        let file = self.folder.read(&layout::path(key, record), length)?;
        let mut bytes = Vec::with_capacity(record.length as usize);
        tokio::fs::File::from_std(file).take(length + 1).read_to_end(&mut bytes).await?;
        let is_right = bytes.len() as u64 == length && Digest::of(&bytes) == record.digest;
        if is_right { Ok(bytes) } else { Err(ErrorKind::InvalidData.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Extension;

    #[test]
    fn change_of_this_moment_is_not_stable() {
        let at = |ago: Duration| {
            let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970") - ago;
            (1, i64::try_from(time.as_secs()).expect("this century"), i64::from(time.subsec_nanos()))
        };
        // a busy machine may let 20 ms pass between the two
        assert!((0..100).any(|_| !is_stable(at(Duration::ZERO))));
        assert!(is_stable(at(Duration::from_millis(20))));
        assert!(is_stable(at(Duration::from_secs(100))));
        let (inode, seconds, nanoseconds) = at(Duration::ZERO);
        assert!(!is_stable((inode, seconds + 10, nanoseconds)), "a time in the future");
        assert!(!is_stable((inode, seconds, nanoseconds + 1_000_000_000)), "nanoseconds count");
    }

    #[test]
    fn files_of_the_right_length_are_whole() {
        let record = Record { digest: Digest::of(b"text"), length: 4, attributes: Extension::WebP };
        let info = |is_file, length| FileInfo {
            is_file,
            length,
            blocks: 1,
            seconds: 0,
            is_marked: false,
            identity: (1, 0, 0),
            links: 1,
        };
        assert!(is_whole(&info(true, 4), &record));
        assert!(!is_whole(&info(true, 5), &record) && !is_whole(&info(false, 4), &record));
    }
}
