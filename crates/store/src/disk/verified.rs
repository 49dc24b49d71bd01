//! Renditions as files, for a proxy that sends them itself.
//!
//! What a proxy reads is not seen here, so a file is checked before its name is given away: against its digest when that
//! was not done lately, and every time for being the very file that was checked then. What stays open is a file that
//! decays on its medium, within [`CHECKED_FOR`], without anything being written to it.

use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

use super::{Disk, FAN_OUT, Shared, lock};
use crate::folder::Facts;
use crate::layout::{self, Record};
use crate::{Attributes, Key, StoredFile};

/// How long a file that was read and found right is taken to be so.
const CHECKED_FOR: Duration = Duration::from_secs(600);

/// Of how many files that is remembered.
const CHECKED: u64 = 100_000;

/// Which file was checked: its inode, and when that was last changed in any way.
type Identity = (u64, i64, i64);

/// The files that were read and found right.
pub(crate) struct Checked(moka::sync::Cache<Key, Identity>);

impl Default for Checked {
    fn default() -> Self {
        Checked(moka::sync::Cache::builder().max_capacity(CHECKED).time_to_live(CHECKED_FOR).build())
    }
}

impl<A: Attributes> Disk<A> {
    /// The file of that key, if it has its final name already and holds what that says.
    pub(crate) async fn stored(&self, key: Key) -> Option<StoredFile<A>> {
        let shared = &self.shared;
        shared.list(key.first_byte() % FAN_OUT);
        let record = lock(&shared.index).get(&key)?;
        let path = layout::path(key, &record);
        // looked at before it is read: what changes meanwhile is another file the next time
        let seen = shared.folder.facts(&path).ok().filter(|facts| is_whole(facts, &record)).map(|facts| facts.identity);
        if seen.is_none() || shared.checked.0.get(&key) != seen {
            // tells what is wrong with it, and does what is to be done about it
            shared.checked(key, &record).await?;
            if let Some(identity) = seen.filter(|identity| is_settled(*identity)) {
                shared.checked.0.insert(key, identity);
            }
        }
        shared.touch(key);
        let Record { digest, length, attributes } = record;
        Some(StoredFile { path: format!("v{}/{path}", layout::VERSION), length: length.into(), digest, attributes })
    }
}

fn is_whole<A: Attributes>(facts: &Facts, record: &Record<A>) -> bool {
    facts.is_file && facts.length == u64::from(record.length)
}

/// Whether a change from now on would show: the times of files advance with the kernel's clock tick, 1 to 10 ms.
fn is_settled((_, seconds, nanoseconds): Identity) -> bool {
    const TICK: i128 = 20_000_000;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let changed = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    i128::try_from(now.as_nanos()).is_ok_and(|now| now - changed >= TICK)
}

impl<A: Attributes> Shared<A> {
    /// The bytes of a rendition, checked against its name. Anything wrong with it makes it absent, for good.
    pub(crate) async fn checked(&self, key: Key, record: &Record<A>) -> Option<Vec<u8>> {
        match self.read(key, record).await {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                self.drop_corrupt(key, record);
                None
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // someone else's doing; what it took is free
                self.forget(key, record);
                None
            }
            Err(error) => {
                // it is made again; but what cannot be read now is still there and takes its space
                if let Some(others) = self.unreadable.say() {
                    let file = layout::path(key, record);
                    tracing::warn!(%file, %error, others, "a cached file cannot be read");
                }
                None
            }
        }
    }
}
