//! Helpers: the built program as a command and as a server.

mod client;
pub(crate) mod in_process;
pub(crate) mod need;
pub(crate) mod nginx;
pub(crate) mod quarters;
pub(crate) mod random;
pub(crate) mod site;
pub(crate) mod tls;

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

pub(crate) use client::{Answer, Connection};
use rustix::process::{Pid, Signal, kill_process};

/// The time after which a wait fails the test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A temporary folder.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The folder of test pictures.
pub(crate) fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// The corpus of real and hostile images: `TINTYPE_CORPUS`, or `shared/corpus` beside the project.
pub(crate) fn corpus() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let named = std::env::var_os("TINTYPE_CORPUS").map(PathBuf::from);
    named.or(Some(default)).filter(|path| path.join("MANIFEST.tsv").is_file())
}

/// Files of public bug reports, which browsers show: `cases` beside the corpus.
pub(crate) fn cases() -> Option<PathBuf> {
    corpus().and_then(|corpus| Some(corpus.parent()?.join("cases"))).filter(|cases| cases.is_dir())
}

/// The built program, or that of `TINTYPE_PROGRAM`, without the settings of the environment that runs the tests.
pub(crate) fn tintype() -> Command {
    let built = || env!("CARGO_BIN_EXE_tintype").into();
    let mut command = Command::new(std::env::var_os("TINTYPE_PROGRAM").unwrap_or_else(built));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TINTYPE_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs the program to its end: exit code, output, and standard error as text.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> (Option<i32>, Output, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // in a thread, since both pipes can be full at once
    let writing = std::thread::spawn(move || match stdin.write_all(&input) {
        // the program may not read all of it
        Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("writing to the program: {error}"),
        _ => {}
    });
    let output = child.wait_with_output().expect("the program ends");
    writing.join().expect("it is written");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), output, stderr)
}

/// Calls `look` until it returns a value; panics after `PATIENCE`.
pub(crate) fn poll<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Adds the arguments of `serve` to a command: `tintype` itself, or a program that runs it.
pub(crate) fn serve(
    mut command: Command, root: &Path, cache: &Path, listen: &str, settings: &[(&str, &str)],
) -> Command {
    command.arg("serve").arg(root).arg("--cache-dir").arg(cache).args(["--listen", listen]);
    command.envs(settings.iter().copied());
    command
}

/// The address of a server.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A running server; killed when it goes out of scope.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: Address,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// `tintype serve` on a free port.
    pub(crate) fn start(root: &Path, cache: &Path) -> Server {
        Server::start_with(root, cache, "127.0.0.1:0", &[])
    }

    /// `tintype serve` on that address, with settings as environment variables.
    pub(crate) fn start_with(root: &Path, cache: &Path, listen: &str, settings: &[(&str, &str)]) -> Server {
        Server::spawn(serve(tintype(), root, cache, listen, settings))
            .unwrap_or_else(|log| panic!("tintype did not say where it listens:\n{log}"))
    }

    /// Starts a command that becomes `tintype serve`; its log where it ends before it listens.
    pub(crate) fn spawn(command: Command) -> Result<Server, String> {
        Server::spawn_with(command, Stdio::null())
    }

    /// The same with that standard input.
    pub(crate) fn spawn_with(mut command: Command, stdin: Stdio) -> Result<Server, String> {
        // a variable of the tests, not a setting
        command.env_remove("TINTYPE_FAULTS");
        let mut child = command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let log = Arc::<Mutex<String>>::default();
        let (say, ready) = mpsc::channel();
        let kept = Arc::clone(&log);
        // to the end: a full pipe would stall the server
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if let Some(url) = line.strip_prefix("listening on http://") {
                    // the test may have given up
                    let _ = say.send(url.to_owned());
                }
                let mut kept = kept.lock().expect("no panic while it is held");
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let mut server = Server { child, address: Address::Unix(PathBuf::new()), log };
        let Ok(url) = ready.recv_timeout(PATIENCE) else { return Err(server.log()) };
        server.address = match url.strip_prefix("unix:") {
            Some(path) => Address::Unix(path.into()),
            None => Address::Tcp(url.trim_end_matches('/').parse().expect("an address and a port")),
        };
        Ok(server)
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("no panic while it is held").clone()
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(&self.address)
    }

    /// One GET on a connection of its own.
    pub(crate) fn get(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.connect().ask("GET", target, headers)
    }

    /// A client over TCP with a small window that sends a request and reads nothing.
    pub(crate) fn stuck(&self, request: &str) -> TcpStream {
        let Address::Tcp(address) = self.address else { panic!("not on TCP") };
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small window");
        socket.connect(&address.into()).expect("a connection");
        let mut stream = TcpStream::from(socket);
        stream.write_all(request.as_bytes()).expect("the server reads");
        stream
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/-/metrics", &[]).text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in:\n{text}")).parse().expect("a number")
    }

    /// Waits until a metric has at least that value.
    pub(crate) fn wait_for(&self, name: &str, least: f64) {
        poll(&format!("{name} {least}"), || (self.metric(name) >= least).then_some(()));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is ours and runs");
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is ours").is_some()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        poll("the end of tintype", || self.child.try_wait().expect("it is ours"))
    }

    /// Sends SIGTERM, as systemd and Docker do, and waits.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // both fail if it has ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("tintype said:\n{}", self.log());
        }
    }
}
