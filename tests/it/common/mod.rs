//! What the tests of the built program share: starting `tintype`, and a small HTTP/1.1 client that shows an answer
//! exactly as it came. A client library would repair or hide what these tests are about.

pub(crate) mod inside;
pub(crate) mod need;
pub(crate) mod nginx;
pub(crate) mod random;
pub(crate) mod site;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before the test fails. Nothing waits this long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The pictures that come with the project.
pub(crate) fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// The corpus of real and hostile images, where it is there: in `TINTYPE_CORPUS`, or in `shared/corpus` beside the project.
pub(crate) fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let named = std::env::var_os("TINTYPE_CORPUS").map(PathBuf::from);
    named.or(Some(beside)).filter(|path| path.join("MANIFEST.tsv").is_file())
}

/// Files that browsers show, out of public reports, where they are there: in `cases` beside the corpus.
pub(crate) fn cases() -> Option<PathBuf> {
    corpus().and_then(|corpus| Some(corpus.parent()?.join("cases"))).filter(|cases| cases.is_dir())
}

/// The built program, without any settings of whoever runs the tests.
pub(crate) fn tintype() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tintype"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TINTYPE_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs the program to its end: its exit code and what it said on standard error.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> (Option<i32>, Output, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // beside the reading, since both pipes can be full at once
    let writing = std::thread::spawn(move || match stdin.write_all(&input) {
        // it need not read what it has no use for
        Err(error) if error.kind() != ErrorKind::BrokenPipe => panic!("writing to the program: {error}"),
        _ => {}
    });
    let output = child.wait_with_output().expect("the program ends");
    writing.join().expect("it is written");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), output, said)
}

/// Asks again and again until there is something, and fails loudly if there never is.
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

/// That command, told to serve: `tintype` itself, or a program that runs it in circumstances of its own.
pub(crate) fn serve(
    mut command: Command, root: &Path, cache: &Path, listen: &str, settings: &[(&str, &str)],
) -> Command {
    command.arg("serve").arg(root).arg("--cache-dir").arg(cache).args(["--listen", listen]);
    command.envs(settings.iter().copied());
    command
}

/// Where a server is asked.
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

    /// `tintype serve` on that address, with more settings from the environment.
    pub(crate) fn start_with(root: &Path, cache: &Path, listen: &str, settings: &[(&str, &str)]) -> Server {
        Server::spawn(serve(tintype(), root, cache, listen, settings))
            .unwrap_or_else(|log| panic!("tintype did not say where it listens:\n{log}"))
    }

    /// Starts that command, which ends up as `tintype serve`; what was said where it does not come to listen.
    pub(crate) fn spawn(command: Command) -> Result<Server, String> {
        Server::spawn_with(command, Stdio::null())
    }

    /// The same with that standard input.
    pub(crate) fn spawn_with(mut command: Command, stdin: Stdio) -> Result<Server, String> {
        // what the tests are told is no setting of the server's
        command.env_remove("TINTYPE_FAULTS");
        let mut child = command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let log = Arc::<Mutex<String>>::default();
        let (say, ready) = mpsc::channel();
        let kept = Arc::clone(&log);
        // to the end, or the server would stand still at a full pipe
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

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has said on standard error so far.
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

    /// A client over TCP that sends this and takes next to nothing of what it gets.
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

    /// Ends it as systemd and Docker would.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // both fail only if it has ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("tintype said:\n{}", self.log());
        }
    }
}

trait Stream: Read + Write {
    fn give_up_after(&self, patience: Duration) -> std::io::Result<()>;
}

impl Stream for TcpStream {
    fn give_up_after(&self, patience: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

impl Stream for UnixStream {
    fn give_up_after(&self, patience: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

/// One connection; several requests may go over it.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    /// What has been read and belongs to no answer yet.
    ahead: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: &Address) -> Connection {
        Connection::try_open(address).unwrap_or_else(|error| panic!("connecting to {address:?}: {error}"))
    }

    pub(crate) fn try_open(address: &Address) -> std::io::Result<Connection> {
        let stream: Box<dyn Stream> = match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Address::Unix(path) => Box::new(UnixStream::connect(path)?),
        };
        stream.give_up_after(PATIENCE)?;
        Ok(Connection { stream, ahead: Vec::new() })
    }

    /// Sends these bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Sends as much of these bytes as the server takes; it may hang up meanwhile.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                panic!("writing: {error}")
            }
            _ => {}
        }
    }

    /// Sends a request. The target is not changed in any way.
    pub(crate) fn send_request(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n");
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        self.send(format!("{head}\r\n").as_bytes());
    }

    /// Sends a request and reads its answer.
    pub(crate) fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.send_request(method, target, headers);
        self.receive(method)
    }

    /// Reads the answer to a request of that method: its head, and as much body as the head says.
    pub(crate) fn receive(&mut self, method: &str) -> Answer {
        let end = loop {
            if let Some(at) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            assert!(self.read_more(), "the connection ended within a head: {:?}", text(&self.ahead));
        };
        let rest = self.ahead.split_off(end + 4);
        let head = text(&std::mem::replace(&mut self.ahead, rest));
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let mut answer = Answer { status: status.unwrap_or_else(|| panic!("{head}")), head, body: Vec::new() };
        let bodiless = method == "HEAD" || answer.status == 304 || answer.status == 204;
        let length = match answer.try_header("content-length") {
            _ if bodiless => 0,
            Some(length) => length.parse().expect("a number"),
            None => panic!("an answer without a length: {}", answer.head),
        };
        while self.ahead.len() < length {
            assert!(self.read_more(), "the connection ended within a body: {}", answer.head);
        }
        let rest = self.ahead.split_off(length);
        answer.body = std::mem::replace(&mut self.ahead, rest);
        answer
    }

    /// Everything up to the end of the connection, which has to come.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.read_more() {}
        std::mem::take(&mut self.ahead)
    }

    /// Whether the server leaves the connection alone for that long: neither ends it nor says anything.
    pub(crate) fn stays_open_for(&mut self, time: Duration) -> bool {
        self.stream.give_up_after(time).expect("an open socket");
        let read = self.stream.read(&mut [0]);
        self.stream.give_up_after(PATIENCE).expect("an open socket");
        read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    /// Reads once; false at the end of the connection.
    fn read_more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.ahead.extend_from_slice(&buffer[..count]);
                true
            }
            // bytes that the server will not read any more make the end a reset
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("reading: {error}"),
        }
    }
}

/// An answer as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status line and the headers, byte for byte.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header, or the values of several joined by commas.
    pub(crate) fn try_header(&self, name: &str) -> Option<String> {
        let lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        let values: Vec<&str> =
            lines.filter(|(this, _)| this.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The same; panics where the header is missing.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> String {
        self.try_header(name).unwrap_or_else(|| panic!("no {name} in:\n{}", self.head))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        text(&self.body)
    }

    /// Format, width and height of the picture in the body.
    #[track_caller]
    pub(crate) fn picture(&self) -> (tintype::render::Format, u32, u32) {
        assert_eq!(self.status, 200, "{}{}", self.head, self.text());
        let info = tintype::render::probe(&self.body).expect("a picture");
        (info.format, info.size.width, info.size.height)
    }

    /// Fails unless this is a problem of that status, told as RFC 9457 says.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{}{}", self.head, self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body: serde_json::Value = serde_json::from_slice(&self.body).expect("JSON");
        assert_eq!(body["status"], status);
        assert!(["type", "title", "detail", "instance"].iter().all(|name| body[name].is_string()), "{body}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
