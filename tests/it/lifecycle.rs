//! Shutdown and restart: with a stalled log, under load, with inherited sockets.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Address, Answer, Connection, PATIENCE, Server, folder, poll, serve, testdata, tintype};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};

/// The longest a shutdown may take: it waits a second for the log, and another for renders.
const END: Duration = Duration::from_secs(5);

/// A server whose standard error is a full pipe that nobody reads.
struct Stalled {
    child: Child,
    address: Address,
    /// Keeps the pipe open.
    stderr: std::io::PipeReader,
    _folder: tempfile::TempDir,
}

impl Stalled {
    fn start(settings: &[(&str, &str)]) -> Stalled {
        let folder = folder();
        let socket = folder.path().join("tintype.sock");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        fill(&writer);
        let listen = format!("unix:{}", socket.display());
        let mut command = serve(tintype(), &testdata(), &folder.path().join("cache"), &listen, settings);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer).spawn().expect("it starts");
        let address = Address::Unix(socket);
        poll("it listens", || Connection::try_open(&address).ok());
        Stalled { child, address, stderr: reader, _folder: folder }
    }

    fn get(&self, target: &str) -> Answer {
        Connection::open(&self.address).ask("GET", target, &[])
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is ours and runs");
    }

    /// The exit status, and the time until then.
    fn wait(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        let status = poll("the end", || self.child.try_wait().expect("it is ours"));
        (status, begun.elapsed())
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        // both fail if it has ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fills a pipe.
fn fill(pipe: &std::io::PipeWriter) {
    let flags = fcntl_getfl(pipe).expect("a pipe has flags");
    fcntl_setfl(pipe, flags | OFlags::NONBLOCK).expect("they can be set");
    let mut pipe_writer = pipe;
    loop {
        match pipe_writer.write(&[b'x'; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("writing into the pipe: {error}"),
        }
    }
    fcntl_setfl(pipe, flags).expect("they can be set");
}

const BEACONS: &[(&str, &str)] = &[("TINTYPE_SECURITY_LOG_BEACONS", "true")];

#[test]
fn stalled_log_answers_requests_and_ends_on_sigterm() {
    for (settings, level) in [(&[][..], "info"), (BEACONS, "info"), (BEACONS, "debug"), (&[], "error")] {
        let settings = [settings, &[("RUST_LOG", level)]].concat();
        let mut server = Stalled::start(&settings);
        for round in 0..200 {
            let target = format!("/generated/grey.png?width={}&format=png", 1 + round % 20);
            assert_eq!(server.get(&target).status, 200, "{settings:?}: {target}");
            if settings.len() > 1 {
                // more than the pipe and the runtime's threads hold; some exceed the rate limit
                let line = [("Content-Length", "2000"), ("Content-Type", "text/plain")];
                let mut connection = Connection::open(&server.address);
                connection.send_request("POST", "/-/log", &line);
                connection.send(&[b'b'; 2000]);
                assert!(matches!(connection.receive("POST").status, 204 | 429), "{settings:?}");
            }
        }
        assert_eq!(server.get("/-/live").status, 200);
        assert_eq!(server.get("/-/ready").status, 200);
        server.signal(Signal::TERM);
        let (status, took) = server.wait();
        println!("{settings:?}: ended after {took:?}");
        assert!(status.success(), "{settings:?}: {status}");
        assert!(took < END, "{settings:?}: {took:?}");
    }
}

#[test]
fn second_sigterm_ends_at_once_with_a_stalled_log() {
    let mut server = Stalled::start(BEACONS);
    // a request with half of its body is waited for
    let mut waiting = Connection::open(&server.address);
    waiting.send(b"POST /-/log HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    assert_eq!(server.get("/-/live").status, 200);
    server.signal(Signal::TERM);
    poll("it does not listen any more", || Connection::try_open(&server.address).is_err().then_some(()));
    assert!(server.child.try_wait().expect("it is ours").is_none(), "the request in flight is not waited for");
    server.signal(Signal::TERM);
    let (status, took) = server.wait();
    println!("ended {took:?} after the second signal");
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn lines_that_a_stalled_log_drops_are_counted_and_reported() {
    let mut server = Stalled::start(&[]);
    let long = "x".repeat(7000);
    let dropped = || {
        let text = server.get("/-/metrics").text();
        let value = text.lines().find_map(|line| line.strip_prefix("tintype_log_lines_dropped_total "));
        value.expect("the metric").parse::<u64>().expect("a number")
    };
    // lines of 7 kB: the writer buffers 4 MiB and one batch
    let mut connection = Connection::open(&server.address);
    let begun = Instant::now();
    while dropped() < 10 {
        for _ in 0..100 {
            assert_eq!(connection.ask("GET", &format!("/no.png?{long}"), &[]).status, 404);
        }
        assert!(begun.elapsed() < PATIENCE, "lines are not dropped");
    }
    // now the log is read, and reports how many lines were dropped
    let reader = std::mem::replace(&mut server.stderr, std::io::pipe().expect("a pipe").0);
    let reading = std::thread::spawn(move || {
        let mut all = String::new();
        File::from(OwnedFd::from(reader)).read_to_string(&mut all).expect("text");
        all
    });
    server.signal(Signal::TERM);
    let (status, _) = server.wait();
    assert!(status.success(), "{status}");
    let all = reading.join().expect("read");
    let lines = all.trim_start_matches('x').lines().filter_map(|line| serde_json::from_str(line).ok());
    let lines: Vec<serde_json::Value> = lines.collect();
    let losses: Vec<_> = lines.iter().filter(|line| line["target"] == "tintype::log").collect();
    let lost: u64 = losses.iter().filter_map(|line| line["lines"].as_u64()).sum();
    assert!(lost >= 10, "{losses:?} of {} lines", lines.len());
    assert!(lines.iter().any(|line| line["message"] == "stopped"), "what is logged at the end is written");
}

#[test]
fn failed_start_ends_with_a_stalled_log() {
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    fill(&writer);
    let folder = folder();
    let nowhere = PathBuf::from("/nowhere/at/all");
    let mut command = serve(tintype(), &nowhere, folder.path(), "127.0.0.1:0", &[]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer).spawn().expect("it starts");
    let begun = Instant::now();
    let status = poll("the end", || child.try_wait().expect("it is ours"));
    assert_eq!(status.code(), Some(1));
    assert!(begun.elapsed() < END, "{:?}", begun.elapsed());
}

/// A listening socket as systemd keeps it across starts of the service.
struct Activator {
    socket: OwnedFd,
    address: Address,
    folder: tempfile::TempDir,
}

impl Activator {
    fn tcp() -> Activator {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = Address::Tcp(listener.local_addr().expect("its address"));
        Activator { socket: listener.into(), address, folder: folder() }
    }

    fn unix() -> Activator {
        let folder = folder();
        let path = folder.path().join("tintype.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        Activator { socket: listener.into(), address: Address::Unix(path), folder }
    }

    /// A server that inherits the socket as descriptor 3 under that name.
    fn start(&self, name: &str, settings: &[(&str, &str)]) -> Server {
        // `exec` keeps the process id of the shell
        let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(tintype().get_program());
        command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", name);
        let socket = self.socket.try_clone().expect("a descriptor");
        let command = serve(command, &testdata(), &self.folder.path().join("cache"), "127.0.0.1:0", settings);
        Server::spawn_with(command, socket.into())
            .unwrap_or_else(|log| panic!("it did not say where it listens:\n{log}"))
    }
}

/// Requests an image in a loop over kept connections, and counts the answers until `stop`. Panics where one
/// is missing.
fn ask_on(address: &Address, stop: &AtomicBool, served: &AtomicU64) {
    let mut connection = None;
    while !stop.load(Ordering::Relaxed) {
        let mut open = connection.take().unwrap_or_else(|| Connection::open(address));
        let answer = open.ask("GET", "/generated/grey.png?width=20&format=png", &[]);
        assert_eq!(answer.status, 200, "{}", answer.head);
        served.fetch_add(1, Ordering::Relaxed);
        if answer.try_header("connection").as_deref() != Some("close") {
            connection = Some(open);
        }
    }
}

#[test]
fn restart_with_an_inherited_socket_loses_no_request() {
    for activator in [Activator::tcp(), Activator::unix()] {
        let mut server = activator.start("tintype", &[]);
        let (stop, served) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| ask_on(&activator.address, &stop, &served))).collect();
            let more = |count: u64| {
                let goal = served.load(Ordering::Relaxed) + count;
                let failed = || clients.iter().any(std::thread::ScopedJoinHandle::is_finished);
                poll("clients are served", || (failed() || served.load(Ordering::Relaxed) >= goal).then_some(()));
            };
            for _ in 0..3 {
                more(200);
                server.signal(Signal::TERM);
                assert!(server.wait().success());
                server = activator.start("tintype", &[]);
            }
            more(200);
            stop.store(true, Ordering::Relaxed);
        });
        assert!(served.load(Ordering::Relaxed) >= 800);
        assert!(server.log().contains("sockets come from the service manager"), "{}", server.log());
        assert!(server.stop().success());
        if let Address::Unix(path) = &activator.address {
            assert!(path.exists(), "the socket is the service manager's");
        }
    }
}

#[test]
fn inherited_socket_for_administration_is_apart() {
    let activator = Activator::tcp();
    let server = activator.start("admin", &[]);
    assert_ne!(format!("{:?}", server.address), format!("{:?}", activator.address));
    assert_eq!(server.get("/-/ready", &[]).status, 404);
    assert_eq!(server.get("/generated/grey.png?width=20", &[]).status, 200);
    let mut admin = Connection::open(&activator.address);
    assert_eq!(admin.ask("GET", "/-/ready", &[]).status, 200);
    assert_eq!(admin.ask("GET", "/generated/grey.png?width=20", &[]).status, 404);
}

#[test]
fn inherited_descriptor_that_does_not_listen_is_refused() {
    let mut activator = Activator::tcp();
    let (one, _other) = UnixStream::pair().expect("a pair");
    activator.socket = one.into();
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(tintype().get_program());
    let command = serve(command, &testdata(), &activator.folder.path().join("cache"), "127.0.0.1:0", &[]);
    let Err(log) = Server::spawn_with(command, activator.socket.into()) else { panic!("it started") };
    assert!(log.contains("socket 3 (unknown) in LISTEN_FDS cannot be used"), "{log}");
}

#[test]
fn sockets_of_another_process_are_not_taken() {
    let folder = folder();
    let settings = [("LISTEN_PID", "1"), ("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "tintype")];
    let server = Server::start_with(&testdata(), folder.path(), "127.0.0.1:0", &settings);
    assert_eq!(server.get("/-/ready", &[]).status, 200);
}

#[test]
fn drain_delay_takes_new_connections_and_is_not_ready() {
    let folder = folder();
    let delay = [("TINTYPE_SERVER_DRAIN_DELAY", "60s")];
    let mut server = Server::start_with(&testdata(), folder.path(), "127.0.0.1:0", &delay);
    let mut open = server.connect();
    assert_eq!(open.ask("GET", "/-/ready", &[]).status, 200);
    server.signal(Signal::TERM);
    poll("it is not ready", || (server.get("/-/ready", &[]).status == 503).then_some(()));
    for connection in [&mut open, &mut server.connect()] {
        assert_eq!(connection.ask("GET", "/generated/grey.png?width=20", &[]).status, 200);
        assert_eq!(connection.ask("GET", "/-/live", &[]).status, 200);
    }
    assert!(!server.has_ended());
    let begun = Instant::now();
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    assert!(begun.elapsed() < END, "the second signal does not wait: {:?}", begun.elapsed());
}

#[test]
fn drain_delay_ends_by_itself() {
    let folder = folder();
    let delay = [("TINTYPE_SERVER_DRAIN_DELAY", "300ms")];
    let mut server = Server::start_with(&testdata(), folder.path(), "127.0.0.1:0", &delay);
    let begun = Instant::now();
    server.signal(Signal::TERM);
    poll("it is not ready", || (server.get("/-/ready", &[]).status == 503).then_some(()));
    assert!(server.wait().success());
    assert!((Duration::from_millis(300)..END).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[test]
fn busy_connection_is_told_that_it_ends_and_idle_one_is_closed() {
    let folder = folder();
    let mut server = Server::start(&testdata(), folder.path());
    let (mut busy, mut idle) = (server.connect(), server.connect());
    // the second answer takes the fast path
    let ask = |connection: &mut Connection| connection.ask("GET", "/generated/grey.png?width=20&format=png", &[]);
    for connection in [&mut busy, &mut idle] {
        for _ in 0..2 {
            assert_eq!(ask(connection).try_header("connection"), None);
        }
    }
    server.signal(Signal::TERM);
    let last =
        poll("the last answer", || Some(ask(&mut busy)).filter(|answer| answer.try_header("connection").is_some()));
    assert_eq!((last.status, last.header("connection").as_str()), (200, "close"));
    assert_eq!((busy.rest(), idle.rest()), (Vec::new(), Vec::new()));
    assert!(server.wait().success());
}
