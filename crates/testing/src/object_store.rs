//! A real object store for tests: SeaweedFS, which `tests/cluster/install` puts below `tests/cluster/bin`, or the one that
//! `TINTYPE_OBJECT_STORE` names by its URL, such as `tests/cluster/ceph` starts. Its bucket must exist.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// The credentials of every store that is started here.
pub const ACCESS_KEY: &str = "tintypekey";
/// The same.
pub const SECRET_KEY: &str = "tintypesecret123";
/// A bucket that exists.
pub const BUCKET: &str = "tintype";

const NOT_OURS: &str = "a store that was started here";

/// A running object store on a free port, which ends with the value.
pub struct ObjectStore {
    address: SocketAddr,
    /// A prefix that no other run uses.
    prefix: String,
    /// `None` where the environment names the store.
    started: Option<Started>,
}

/// A store that was started here.
struct Started {
    process: Child,
    filer: u16,
    folder: PathBuf,
    arguments: Vec<String>,
}

/// The program of the store, where it is installed.
pub fn program() -> Option<PathBuf> {
    let path = crate::workspace().join("tests/cluster/bin/weed");
    path.is_file().then_some(path)
}

/// Whether there is no store. Then a line says what the test of this thread needs, as `make test` counts it.
///
/// # Panics
/// Where `TINTYPE_REQUIRE` names the store and it is not installed.
pub fn is_missing() -> bool {
    let is_missing = program().is_none() && std::env::var_os("TINTYPE_OBJECT_STORE").is_none();
    if is_missing {
        let required = std::env::var("TINTYPE_REQUIRE").unwrap_or_default();
        let is_required = required.split_whitespace().any(|need| need == "weed");
        assert!(!is_required, "TINTYPE_REQUIRE names weed, which is not there");
        let thread = std::thread::current();
        let line = format!("skipped: {} needs weed\n", thread.name().unwrap_or("a test"));
        // past libtest, which captures only what `print!` writes; nobody may be reading
        let _ = std::io::stdout().write_all(line.as_bytes());
    }
    is_missing
}

impl ObjectStore {
    /// Starts a store with an empty bucket; `None` where the program is not installed.
    ///
    /// # Panics
    /// Where it does not answer within a minute.
    pub fn start() -> Option<ObjectStore> {
        if let Ok(url) = std::env::var("TINTYPE_OBJECT_STORE") {
            let address = url.strip_prefix("http://").and_then(|address| address.parse().ok());
            let address = address.expect("TINTYPE_OBJECT_STORE is a URL such as http://127.0.0.1:17480");
            return Some(ObjectStore { address, prefix: prefix(), started: None });
        }
        let program = program()?;
        let [s3, master, volume, filer, ports @ ..] = free_ports::<8>();
        let folder = std::env::temp_dir().join(format!("tintype-object-store-{}-{s3}", std::process::id()));
        std::fs::create_dir_all(folder.join("data")).expect("a folder");
        let identities = format!(
            r#"{{"identities":[{{"name":"tintype","credentials":[{{"accessKey":"{ACCESS_KEY}","secretKey":"{SECRET_KEY}"}}],
            "actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
        );
        std::fs::write(folder.join("s3.json"), identities).expect("written");
        let fixed = "server -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir=data -filer -s3 -s3.config=s3.json -master.telemetry=false \
            -master.volumeSizeLimitMB=64 -volume.max=50 -s3.port.iceberg=0 -s3.port.lance=0 \
            -s3.allowDeleteBucketNotEmpty=true";
        let parts = [
            ("s3", s3, ports[0]),
            ("master", master, ports[1]),
            ("volume", volume, ports[2]),
            ("filer", filer, ports[3]),
        ];
        let ports = parts
            .iter()
            .flat_map(|(part, port, grpc)| [format!("-{part}.port={port}"), format!("-{part}.port.grpc={grpc}")]);
        let socket = format!("-filer.localSocket={}", folder.join("filer.sock").display());
        let arguments: Vec<String> = fixed.split_whitespace().map(str::to_owned).chain(ports).chain([socket]).collect();
        let process = spawn(&program, &folder, &arguments);
        let address = ([127, 0, 0, 1], s3).into();
        let store =
            ObjectStore { address, prefix: prefix(), started: Some(Started { process, filer, folder, arguments }) };
        store.wait_for_bucket();
        Some(store)
    }

    /// The same, unless [`is_missing`] says so.
    ///
    /// # Panics
    /// As both.
    pub fn start_or_skip() -> Option<ObjectStore> {
        if is_missing() { None } else { ObjectStore::start() }
    }

    /// Kills it, as a power failure does.
    ///
    /// # Panics
    /// Where it cannot be waited for, or the environment names the store.
    pub fn kill(&mut self) {
        let process = &mut self.started.as_mut().expect(NOT_OURS).process;
        // it may have ended
        let _ = process.kill();
        process.wait().expect("it has ended");
    }

    /// Starts it again after [`ObjectStore::kill`], on the same port and with the same objects.
    ///
    /// # Panics
    /// Where it does not answer within a minute, or the environment names the store.
    pub fn restart(&mut self) {
        let started = self.started.as_mut().expect(NOT_OURS);
        started.process = spawn(&program().expect("it was there"), &started.folder, &started.arguments);
        self.wait_for_bucket();
    }

    /// The URL of its S3 interface.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The location of a folder of the bucket that this value alone uses, such as `s3://tintype/…/results`.
    pub fn location(&self, folder: &str) -> String {
        format!("s3://{BUCKET}/{}/{folder}", self.prefix)
    }

    /// The address of its S3 interface.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends it a signal, such as `STOP` and `CONT`.
    ///
    /// # Panics
    /// Where there is no `kill`, or the environment names the store.
    pub fn signal(&self, name: &str) {
        let process = &self.started.as_ref().expect(NOT_OURS).process;
        let status = Command::new("kill").arg(format!("-{name}")).arg(process.id().to_string()).status();
        assert!(status.expect("kill runs").success());
    }

    /// Creates the bucket, which fails until all parts of the store have found each other.
    fn wait_for_bucket(&self) {
        let Some(Started { filer, folder, .. }) = &self.started else { return };
        let began = Instant::now();
        let is_ready = || {
            put(*filer, &format!("/buckets/{BUCKET}/ready")).starts_with("HTTP/1.1 20")
                // without a signature
                && put(self.address.port(), "/").starts_with("HTTP/1.1 4")
        };
        while !is_ready() {
            let log = folder.display();
            assert!(began.elapsed() < Duration::from_secs(60), "the object store does not start; its log is in {log}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn prefix() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", since.as_nanos(), std::process::id())
}

/// Starts the program in a folder, with its log there.
fn spawn(program: &Path, folder: &Path, arguments: &[String]) -> Child {
    let log = std::fs::File::create(folder.join("log")).expect("a log");
    let mut command = Command::new(program);
    command.current_dir(folder).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().expect("the store starts")
}

/// Puts a file, and returns the answer or nothing. The store's own interface needs no signature, and creates folders.
fn put(port: u16, path: &str) -> String {
    let mut answer = String::new();
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return answer };
    let request = format!(
        "PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nready"
    );
    let sent =
        stream.set_read_timeout(Some(Duration::from_secs(5))).and_then(|()| stream.write_all(request.as_bytes()));
    // it may be starting
    let _ = sent.and_then(|()| stream.read_to_string(&mut answer));
    answer
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        let Some(Started { process, folder, .. }) = &mut self.started else { return };
        // it may have ended
        let _ = process.kill();
        let _ = process.wait();
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// Free ports, each another.
fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
    held.each_ref().map(|listener| listener.local_addr().expect("an address").port())
}
