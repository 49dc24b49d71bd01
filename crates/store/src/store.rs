//! The folder of a store: opened, given up when it is removed, and tried again twice a second.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::disk::Disk;
use crate::{Attributes, Config, Counters, Digest, Entry, Key, Object, Purged, Selection, StoredFile, Usage};

/// How often the folder is looked after, and one that cannot be used is tried again.
const TICK: Duration = Duration::from_millis(500);

/// A bounded store of files. Failures of its folder are logged and counted here; callers see a file that
/// is not there or was not stored.
pub struct Store<A: Attributes> {
    inner: Arc<Inner<A>>,
    /// Ends the maintenance thread when it is dropped.
    maintenance: Option<(Sender<()>, JoinHandle<()>)>,
}

/// The folder, as it is now.
struct Inner<A: Attributes> {
    state: RwLock<State<A>>,
    /// How often it was opened.
    opened: AtomicU64,
    config: Config,
    counters: Arc<Counters>,
}

enum State<A: Attributes> {
    /// The settings name no folder.
    None,
    /// This process has it.
    Open(Arc<Disk<A>>),
    /// Another process has it.
    InUse,
    /// It cannot be used.
    Unusable,
}

/// Whether a store can use its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderState {
    /// Files are read from it and written to it.
    Open,
    /// Another process has it: files are neither read from it nor written to it until that process ends.
    InUse,
    /// It cannot be opened, or the last write failed.
    Unusable,
    /// The settings name no folder.
    None,
}

impl FolderState {
    /// Each state with its name in metrics.
    pub const ALL: [(FolderState, &str); 4] = [
        (FolderState::Open, "open"),
        (FolderState::InUse, "in_use"),
        (FolderState::Unusable, "unusable"),
        (FolderState::None, "none"),
    ];
}

impl<A: Attributes> Inner<A> {
    fn disk(&self) -> Option<Arc<Disk<A>>> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open(disk) => Some(Arc::clone(disk)),
            State::None | State::InUse | State::Unusable => None,
        }
    }

    fn set(&self, state: State<A>) {
        let former = std::mem::replace(&mut *self.state.write().unwrap_or_else(PoisonError::into_inner), state);
        // closing a folder takes time, and no request should wait for the lock meanwhile
        drop(former);
    }

    /// Tries to open the folder. `is_first` where it has not been tried before.
    fn open(&self, is_first: bool) {
        let Some(path) = &self.config.dir else {
            self.set(State::None);
            return;
        };
        let dir = path.display();
        match Disk::open(path, &self.config, Arc::clone(&self.counters)) {
            Ok(disk) => {
                if !is_first {
                    tracing::info!(%dir, "the cache folder is usable again");
                }
                // before its files can be found
                self.opened.fetch_add(1, Ordering::SeqCst);
                self.set(State::Open(Arc::new(disk)));
            }
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                if !matches!(*self.state.read().unwrap_or_else(PoisonError::into_inner), State::InUse) {
                    tracing::warn!(%dir, "another process uses the cache folder; serving goes on without it until that process ends");
                    self.set(State::InUse);
                }
            }
            Err(error) => {
                if is_first || !matches!(*self.state.read().unwrap_or_else(PoisonError::into_inner), State::Unusable) {
                    tracing::warn!(%dir, %error, "the cache folder cannot be used; serving goes on without it");
                    self.set(State::Unusable);
                }
            }
        }
    }

    fn tick(&self) {
        match self.disk() {
            Some(disk) => {
                disk.tick();
                if disk.is_lost() {
                    drop(disk);
                    self.set(State::Unusable);
                    self.open(false);
                }
            }
            None => self.open(false),
        }
    }
}

impl<A: Attributes> Store<A> {
    /// A store in the folder of `config`. Where that cannot be used, this is logged, it is tried again twice a second, and
    /// until then nothing is stored and nothing found.
    pub fn new(config: Config) -> Store<A> {
        let inner = Arc::new(Inner {
            state: RwLock::new(State::Unusable),
            opened: AtomicU64::new(0),
            config,
            counters: Arc::default(),
        });
        inner.open(true);
        let maintenance = inner.config.dir.is_some().then(|| maintain(Arc::clone(&inner))).flatten();
        Store { inner, maintenance }
    }

    /// The file of that key, verified. A damaged one is removed.
    pub async fn get(&self, key: Key) -> Option<Arc<Object<A>>> {
        self.inner.disk()?.get(key).await
    }

    /// Whether the index has that key; the file is not looked at.
    pub fn contains(&self, key: Key) -> bool {
        self.inner.disk().is_some_and(|disk| disk.contains(key))
    }

    /// The index's entry of that key, files that are being written included; the file is not looked at.
    pub fn entry(&self, key: Key) -> Option<Entry<A>> {
        self.inner.disk()?.entry(key)
    }

    /// The path of that key's file for another program to read. It was verified now or within the last ten minutes, and
    /// is checked to be the same inode since. It may be evicted before it is opened.
    pub async fn file(&self, key: Key) -> Option<StoredFile<A>> {
        self.inner.disk()?.file(key).await
    }

    /// Hands over a file of the original at `path` to be written. `true` once it would survive this process; `false` where
    /// it will not be stored, or where that is not known within a quarter of a second.
    pub async fn put(&self, path: &str, key: Key, object: &Arc<Object<A>>) -> bool {
        match self.inner.disk() {
            Some(disk) => disk.put(path, key, object).await,
            None => false,
        }
    }

    /// Hands over a file like [`Store::put`], unless `is_valid` returns false. A caller that makes it return false before it
    /// purges finds nothing in the store afterwards that was handed over before.
    pub async fn put_if(&self, path: &str, key: Key, object: &Arc<Object<A>>, is_valid: impl Fn() -> bool) -> bool {
        match self.inner.disk() {
            Some(disk) => disk.put_if(path, key, object, is_valid).await,
            None => false,
        }
    }

    /// Hands over a file like [`Store::put`] if the one of that key has the digest `current`, both now and when it takes its
    /// place: a file that was purged, evicted or replaced in the meantime does not come back. A file that is still being
    /// written is not replaced.
    pub async fn replace(&self, path: &str, key: Key, current: Digest, object: &Arc<Object<A>>) -> bool {
        match self.inner.disk() {
            Some(disk) => disk.replace(path, key, current, object).await,
            None => false,
        }
    }

    /// Notes a use of the file for eviction.
    pub fn touch(&self, key: Key) {
        if let Some(disk) = self.inner.disk() {
            disk.touch(key);
        }
    }

    /// Removes one file, also one that is being written.
    pub fn remove(&self, key: Key) {
        if let Some(disk) = self.inner.disk() {
            disk.remove(key);
        }
    }

    /// Removes the selected files, those being written too.
    pub fn purge(&self, selection: &Selection<'_>) -> Purged {
        self.inner.disk().map(|disk| disk.purge(selection)).unwrap_or_default()
    }

    /// Files that were removed from the index and cannot be removed from the folder at present.
    pub fn undeleted(&self) -> usize {
        self.inner.disk().map_or(0, |disk| disk.undeleted())
    }

    /// Waits until everything handed over so far is on disk.
    pub fn flush(&self) {
        if let Some(disk) = self.inner.disk() {
            disk.flush();
        }
    }

    /// Whether the folder can be used. After a write that failed, the maintenance thread writes a file twice a second to find
    /// out; this does no I/O.
    pub fn folder_state(&self) -> FolderState {
        match &*self.inner.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::None => FolderState::None,
            State::Open(disk) if disk.is_writable() => FolderState::Open,
            State::InUse => FolderState::InUse,
            State::Open(_) | State::Unusable => FolderState::Unusable,
        }
    }

    /// How often the folder was opened; `None` while this process does not have it. Files that are found after this number
    /// was read may be those of a later opening, which changed the number before.
    pub fn opened(&self) -> Option<u64> {
        self.inner.disk().map(|_| self.inner.opened.load(Ordering::SeqCst))
    }

    /// Whether this process can store files now.
    pub fn is_writable(&self) -> bool {
        self.folder_state() == FolderState::Open
    }

    /// How full the folder is, as far as it has been read; zeros while this process does not have it.
    pub fn usage(&self) -> Usage {
        self.inner.disk().map_or_else(Usage::default, |disk| disk.usage())
    }

    /// Counters of events.
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }
}

impl<A: Attributes> Drop for Store<A> {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.maintenance.take() {
            drop(end);
            // a panic in it was printed
            let _ = thread.join();
        }
    }
}

/// Starts the thread that looks after the folder until the sender is dropped.
fn maintain<A: Attributes>(inner: Arc<Inner<A>>) -> Option<(Sender<()>, JoinHandle<()>)> {
    let (end, ended) = channel();
    let work = move || {
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            inner.tick();
        }
    };
    let thread = std::thread::Builder::new().name("cache-maintain".into()).spawn(work);
    let thread = thread.inspect_err(|error| tracing::warn!(%error, "cannot start the cache maintenance thread"));
    Some((end, thread.ok()?))
}
