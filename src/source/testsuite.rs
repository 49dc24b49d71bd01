//! The suite that every [`Source`] passes.

use super::{Error, Files, ImageId, Source};

/// A source under test, and a way to change what is in it.
pub(super) trait Fixture {
    /// Whether an original that is open is in memory, so that a change does not reach it.
    const IS_IN_MEMORY: bool = false;

    fn new(max_bytes: u64) -> Self;
    fn put(&self, name: &str, bytes: &[u8]);
    fn delete(&self, name: &str);
    fn source(&self) -> &dyn Source;
}

/// A source that reads what a folder holds.
pub(super) trait OverFiles: Source {
    fn over(files: Files) -> Self;
}

/// Such a source, and the folder.
pub(super) struct Folder<S> {
    pub(super) dir: tempfile::TempDir,
    pub(super) source: S,
}

impl<S> Folder<S> {
    pub(super) fn with(max_bytes: u64, source: impl FnOnce(Files) -> S) -> Folder<S> {
        let dir = tempfile::tempdir().expect("a folder");
        let files = Files::new(dir.path(), max_bytes).expect("a source");
        Folder { dir, source: source(files) }
    }
}

impl<S: Source> Folder<S> {
    /// The bytes of an original.
    pub(super) async fn fetch(&self, name: &str) -> Result<Vec<u8>, Error> {
        let id = ImageId::parse(&format!("/{name}")).expect("a name");
        self.source.fetch(&id).await.map(|original| original.bytes.to_vec())
    }
}

impl<S: OverFiles> Fixture for Folder<S> {
    fn new(max_bytes: u64) -> Folder<S> {
        Folder::with(max_bytes, S::over)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, bytes).expect("a file");
    }

    fn delete(&self, name: &str) {
        std::fs::remove_file(self.dir.path().join(name)).expect("it was there");
    }

    fn source(&self) -> &dyn Source {
        &self.source
    }
}

pub(super) async fn run<F: Fixture>() {
    let fixture = F::new(8);
    let source = fixture.source();
    let id = |name: &str| ImageId::parse(name).expect("a name");

    assert!(matches!(source.version(&id("/a.jpg")).await, Err(Error::NotFound)));
    assert!(matches!(source.fetch(&id("/a.jpg")).await, Err(Error::NotFound)));
    assert!(matches!(source.open(&id("/a.jpg")).await, Err(Error::NotFound)));

    fixture.put("a.jpg", b"one");
    fixture.put("sub/b c.jpg", b"");
    let first = source.version(&id("/a.jpg")).await.expect("it is there");
    let fetched = source.fetch(&id("/a.jpg")).await.expect("it is there");
    assert_eq!((&fetched.bytes[..], fetched.version), (&b"one"[..], first));
    assert_eq!(source.version(&id("/a.jpg")).await.expect("it is there"), first, "a version is steady");
    assert!(source.fetch(&id("/sub/b%20c.jpg")).await.expect("it is there").bytes.is_empty());

    fixture.put("a.jpg", b"longer");
    let second = source.fetch(&id("/a.jpg")).await.expect("it is there");
    assert_eq!(&second.bytes[..], b"longer");
    assert_ne!(second.version, first, "other bytes are another version");

    let opened = source.open(&id("/a.jpg")).await.expect("it is there");
    assert_eq!(opened.version, second.version);
    assert_eq!(opened.read(2..5).read_to_end().await.expect("it is not changed"), b"nge");
    let opened = source.open(&id("/a.jpg")).await.expect("it is there");
    fixture.put("a.jpg", b"other!");
    match (opened.read(0..6).read_to_end().await, F::IS_IN_MEMORY) {
        (Err(Error::Changing), false) => {}
        (Ok(read), true) => assert_eq!(read, b"longer"),
        (read, _) => panic!("{read:?} is not one version"),
    }
    let opened = source.open(&id("/sub/b%20c.jpg")).await.expect("it is there");
    fixture.delete("sub/b c.jpg");
    assert!(opened.read(0..1).read_to_end().await.expect("nothing").is_empty());

    fixture.put("big.jpg", b"nine bytes");
    let too_large = |error| matches!(error, Err(Error::TooLarge { bytes: 10, limit: 8 }));
    assert!(too_large(source.version(&id("/big.jpg")).await.map(|_| ())));
    assert!(too_large(source.fetch(&id("/big.jpg")).await.map(|_| ())));
    assert!(too_large(source.open(&id("/big.jpg")).await.map(|_| ())));

    fixture.delete("a.jpg");
    assert!(matches!(source.fetch(&id("/a.jpg")).await, Err(Error::NotFound)));
}
