//! Files read in chunks, so that sending one takes bounded memory, whatever its size.
//!
//! After each chunk is read, the file is checked to be unchanged. sendfile(2) would save a copy, but sends what the file
//! holds when the packet leaves. Bytes in the page cache are read in place; only a read that has to wait for the disk goes
//! to another thread.

use std::fs::File;
use std::io::{IoSliceMut, Seek, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use rustix::fs::Stat;
use rustix::io::ReadWriteFlags;
use tokio::io::AsyncReadExt;

use super::stat::{stat, unavailable, unsigned};
use super::{BoxFuture, Chunks, Error, Reader};

/// The bounds of a chunk's length: chunks shrink as the budget is used up.
const MAX_CHUNK: usize = 128 * 1024;
const MIN_CHUNK: usize = 8 * 1024;

/// Bytes of all chunks together, above which new ones have the minimum length.
const BUDGET: usize = 32 << 20;

/// A chunk takes at most this fraction of the rest of the budget.
const FRACTION: usize = 16;

/// Bytes of all chunks that exist.
static BUFFERED: AtomicUsize = AtomicUsize::new(0);

/// Bytes of originals that have been read and not been sent yet.
pub fn buffered_bytes() -> u64 {
    BUFFERED.load(Ordering::Relaxed) as u64
}

/// An open file and its state at that time.
pub(super) struct FileReader {
    file: File,
    state: FileState,
}

impl FileReader {
    /// Reads `file`, of which `stat` was taken after opening it.
    pub(super) fn new(file: File, stat: &Stat) -> FileReader {
        FileReader { file, state: FileState::of(stat) }
    }
}

impl Reader for FileReader {
    fn read(self: Box<Self>, range: Range<u64>) -> Chunks {
        let FileReader { file, state } = *self;
        Chunks::new(FileChunks { step: Step::Idle(file), state, range })
    }
}

/// Metadata that change with a file's content.
#[derive(Clone, Copy, PartialEq, Eq)]
struct FileState {
    content: Content,
    /// ctime.
    changed: (u64, u64),
    links: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Content {
    device: u64,
    inode: u64,
    size: u64,
    modified: (u64, u64),
}

impl FileState {
    fn of(stat: &Stat) -> FileState {
        let content = Content {
            device: unsigned(stat.st_dev),
            inode: unsigned(stat.st_ino),
            size: unsigned(stat.st_size),
            modified: (unsigned(stat.st_mtime), unsigned(stat.st_mtime_nsec)),
        };
        FileState {
            content,
            changed: (unsigned(stat.st_ctime), unsigned(stat.st_ctime_nsec)),
            links: unsigned(stat.st_nlink),
        }
    }

    /// Whether a file that was in the state `self` has the same content in the state `now`.
    ///
    /// ctime moves when the file loses its name, as one does that is replaced by another; the number of links then moves
    /// as well. ctime alone says that the content may have been exchanged and mtime set back.
    fn is_same_content(&self, now: &FileState) -> bool {
        self.content == now.content && (self.changed == now.changed || self.links != now.links)
    }
}

/// A stream of a range of a file.
struct FileChunks {
    step: Step,
    state: FileState,
    /// The range that is still to be read.
    range: Range<u64>,
}

enum Step {
    Idle(File),
    /// A read waits for the disk.
    Waiting(BoxFuture<'static, (File, std::io::Result<Chunk>)>),
    Ended,
}

impl Stream for FileChunks {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let (file, read) = match std::mem::replace(&mut this.step, Step::Ended) {
            Step::Ended => return Poll::Ready(None),
            Step::Idle(_) if this.range.is_empty() => return Poll::Ready(None),
            Step::Idle(file) => {
                let left = this.range.end - this.range.start;
                let length = next_length(left, BUFFERED.load(Ordering::Relaxed));
                match read_from_page_cache(&file, this.range.start, length) {
                    Some(chunk) => (file, Ok(chunk)),
                    None => {
                        this.step = Step::Waiting(Box::pin(read_from_disk(file, this.range.start, length)));
                        return self.poll_next(context);
                    }
                }
            }
            Step::Waiting(mut reading) => match reading.as_mut().poll(context) {
                Poll::Ready(read) => read,
                Poll::Pending => {
                    this.step = Step::Waiting(reading);
                    return Poll::Pending;
                }
            },
        };
        let checked = read.map_err(unavailable).and_then(|chunk| this.verify(&file, chunk));
        if checked.is_ok() {
            this.step = Step::Idle(file);
        }
        Poll::Ready(Some(checked))
    }
}

impl FileChunks {
    /// The bytes of a chunk, if the file has not changed since it was opened.
    fn verify(&mut self, file: &File, chunk: Chunk) -> Result<Bytes, Error> {
        let now = FileState::of(&stat(file)?);
        // an empty read before the end: the file is being truncated
        if chunk.0.is_empty() || !self.state.is_same_content(&now) {
            return Err(Error::Changing);
        }
        self.state = now;
        self.range.start += chunk.0.len() as u64;
        Ok(Bytes::from_owner(chunk))
    }
}

/// A buffer that is counted in [`BUFFERED`] until it is dropped.
struct Chunk(Vec<u8>);

impl Chunk {
    fn new(bytes: Vec<u8>) -> Chunk {
        BUFFERED.fetch_add(bytes.capacity(), Ordering::Relaxed);
        Chunk(bytes)
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        BUFFERED.fetch_sub(self.0.capacity(), Ordering::Relaxed);
    }
}

/// The length of the next chunk, of `left` remaining bytes, while all chunks have `buffered` bytes.
fn next_length(left: u64, buffered: usize) -> usize {
    let most = (BUDGET.saturating_sub(buffered) / FRACTION).clamp(MIN_CHUNK, MAX_CHUNK);
    usize::try_from(left).unwrap_or(usize::MAX).min(most)
}

/// Reads what the page cache has of it; `None` where the read might wait for the disk, or the file system cannot tell.
fn read_from_page_cache(file: &File, offset: u64, length: usize) -> Option<Chunk> {
    let mut bytes = vec![0; length];
    let read = rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut bytes)], offset, ReadWriteFlags::NOWAIT).ok()?;
    bytes.truncate(read);
    (read > 0).then(|| Chunk::new(bytes))
}

async fn read_from_disk(mut file: File, offset: u64, length: usize) -> (File, std::io::Result<Chunk>) {
    // each reader has its own open file, so moving the position affects no other
    if let Err(error) = file.seek(SeekFrom::Start(offset)) {
        return (file, Err(error));
    }
    let mut file = tokio::fs::File::from_std(file);
    file.set_max_buf_size(length);
    let mut bytes = Vec::with_capacity(length);
    let read = (&mut file).take(length as u64).read_to_end(&mut bytes).await;
    (file.into_std().await, read.map(|_| Chunk::new(bytes)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    use super::super::{Files, ImageId, Source};
    use super::*;

    const LENGTH: usize = 3 * MAX_CHUNK + 5;

    fn content() -> Vec<u8> {
        (0..LENGTH as u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    /// A folder with `a.jpg`, and that file opened.
    async fn opened(dir: &Path) -> (File, super::super::Opened) {
        std::fs::write(dir.join("a.jpg"), content()).expect("a file");
        let files = Files::new(dir, 1 << 30).expect("a source");
        let id = ImageId::parse("/a.jpg").expect("a name");
        let opened = files.open(&id).await.expect("it is there");
        (File::options().write(true).open(dir.join("a.jpg")).expect("the file"), opened)
    }

    #[tokio::test]
    async fn range_is_read_in_bounded_chunks() {
        let dir = tempfile::tempdir().expect("a folder");
        for range in [0..LENGTH, 0..0, 5..6, 1..MAX_CHUNK + 1, LENGTH - 1..LENGTH, LENGTH..LENGTH] {
            let (_, opened) = opened(dir.path()).await;
            let mut chunks = opened.read(range.start as u64..range.end as u64);
            let mut all = Vec::new();
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.expect("it is not changed");
                assert!(!chunk.is_empty() && chunk.len() <= MAX_CHUNK, "{range:?}: {}", chunk.len());
                all.extend_from_slice(&chunk);
            }
            assert!(all == content()[range.clone()], "{range:?}");
            assert!(chunks.next().await.is_none());
        }
        let (_, opened) = opened(dir.path()).await;
        let beyond = opened.read(LENGTH as u64 - 2..u64::MAX).read_to_end().await.expect("it is not changed");
        assert_eq!(beyond, content()[LENGTH - 2..]);
    }

    #[tokio::test]
    async fn disk_and_page_cache_reads_are_equal() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("a"), content()).expect("a file");
        for (offset, length, expected) in [(0, 10, 0..10), (7, 1000, 7..1007), (LENGTH - 3, 10, LENGTH - 3..LENGTH)] {
            let file = File::open(dir.path().join("a")).expect("the file");
            if let Some(chunk) = read_from_page_cache(&file, offset as u64, length) {
                assert!(content()[expected.clone()].starts_with(&chunk.0), "{expected:?}");
            }
            let (_, chunk) = read_from_disk(file, offset as u64, length).await;
            assert_eq!(chunk.expect("it is there").0, content()[expected]);
        }
    }

    #[tokio::test]
    async fn file_changed_in_place_ends_with_an_error() {
        type Change = fn(&File);
        let changes: [(&str, Change); 4] = [
            ("overwritten", |file| file.write_all_at(b"x", 0).expect("written")),
            ("overwritten behind", |file| file.write_all_at(b"x", LENGTH as u64 - 1).expect("written")),
            ("cut", |file| file.set_len(LENGTH as u64 - 1).expect("cut")),
            ("overwritten, and its time set back", |file| {
                let modified = file.metadata().expect("metadata").modified().expect("a time");
                file.write_all_at(b"x", LENGTH as u64 - 1).expect("written");
                file.set_modified(modified).expect("set");
            }),
        ];
        for (what, change) in changes {
            let dir = tempfile::tempdir().expect("a folder");
            let (file, opened) = opened(dir.path()).await;
            let mut chunks = opened.read(0..LENGTH as u64);
            let first = chunks.next().await.expect("a chunk").expect("it is not changed yet");
            change(&file);
            assert!(matches!(chunks.next().await, Some(Err(Error::Changing))), "{what}");
            assert!(chunks.next().await.is_none(), "{what}");
            assert!(content().starts_with(&first));
        }
    }

    #[tokio::test]
    async fn unlinked_or_replaced_file_is_read_to_the_end() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 3] = [
            ("replaced", |path| {
                std::fs::write(path.with_extension("new"), b"another").expect("a file");
                std::fs::rename(path.with_extension("new"), path).expect("renamed");
            }),
            ("removed", |path| std::fs::remove_file(path).expect("removed")),
            ("linked", |path| std::fs::hard_link(path, path.with_extension("copy")).expect("linked")),
        ];
        for (what, change) in changes {
            let dir = tempfile::tempdir().expect("a folder");
            let (_, opened) = opened(dir.path()).await;
            let mut chunks = opened.read(0..LENGTH as u64);
            let mut all = chunks.next().await.expect("a chunk").expect("it is not changed yet").to_vec();
            change(&dir.path().join("a.jpg"));
            all.extend(chunks.read_to_end().await.unwrap_or_else(|error| panic!("{what}: {error}")));
            assert!(all == content(), "{what}");
        }
    }

    #[test]
    fn chunks_shrink_as_the_budget_is_used_up() {
        let check = |free: usize, left: u64, expected: usize| {
            assert_eq!(next_length(left, BUDGET - free), expected, "{free} {left}");
        };
        check(BUDGET, u64::MAX, MAX_CHUNK);
        check(BUDGET / 2, 7, 7);
        check(FRACTION * 2 * MIN_CHUNK, u64::MAX, 2 * MIN_CHUNK);
        check(0, u64::MAX, MIN_CHUNK);
        assert_eq!(next_length(u64::MAX, usize::MAX), MIN_CHUNK);
    }
}
