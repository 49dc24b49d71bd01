//! Faults brought about on purpose: the program is killed, its files are damaged, its disk is filled. Whatever happens,
//! every answer is the right picture or none, nothing that it said it had kept is lost, and it recovers by itself.
//!
//! The short versions run with all other tests. `TINTYPE_FAULTS=2000` makes them long: that many cycles, and sizes in
//! proportion; `cargo test --release --test it -- faults:: --nocapture --test-threads 1` then prints the figures.
//! `tests/power-loss.sh` does what a test cannot: it takes the disk away.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::need::{as_nobody, namespace_flags, needs};
use crate::common::random::Random;
use crate::common::{Address, Server, poll, serve, testdata, tintype};
use rustix::process::Signal;

/// What is asked of the folder in all of these: no part of the disk is left to others, and nothing is kept in memory
/// where the disk is what is tried.
const PLAIN: [(&str, &str); 2] = [("TINTYPE_CACHE_MIN_FREE", "0"), ("TINTYPE_CACHE_MEMORY", "0")];

/// How many cycles: few, unless more are asked for.
fn cycles(few: u64) -> u64 {
    std::env::var("TINTYPE_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

fn is_long() -> bool {
    std::env::var_os("TINTYPE_FAULTS").is_some()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A hundred thousand small renditions, numbered.
fn url(number: u64) -> String {
    const FILES: [&str; 5] = ["alpha.png", "grey.png", "rgb16.png", "opaque-rgba.png", "p3.png"];
    let (file, rest) = (FILES[(number % 5) as usize], number / 5);
    let (width, rest) = (8 + rest % 100, rest / 100);
    let (quality, rest) = (1 + rest % 100, rest / 100);
    let format = ["webp", "jpeg"][(rest % 2) as usize];
    format!("/generated/{file}?width={width}&quality={quality}&format={format}")
}

/// Status, `Cache-Status` and body of one GET; `None` where the server has gone meanwhile.
fn try_get(address: &Address, url: &str) -> Option<(u16, String, Vec<u8>)> {
    let Address::Tcp(address) = address else { panic!("these tests go over TCP") };
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    stream.write_all(format!("GET {url} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    receive(&mut stream)
}

fn receive(stream: &mut std::net::TcpStream) -> Option<(u16, String, Vec<u8>)> {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer).ok()?;
    let header =
        |name: &str| head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix(name).map(str::to_owned));
    let length: usize = header("content-length: ")?.parse().ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    (body.len() == length).then(|| (status, header("cache-status: ").unwrap_or_default(), body))
}

/// What every rendition must look like, learnt from the first answer and compared with a sound server's at the end.
#[derive(Clone, Default)]
struct Truth(Arc<Mutex<HashMap<String, Vec<u8>>>>);

impl Truth {
    /// Compares one answer; gives what it said of the cache.
    #[track_caller]
    fn check(&self, url: &str, (status, cache, body): (u16, String, Vec<u8>)) -> String {
        assert_eq!(status, 200, "{url}: {}", String::from_utf8_lossy(&body));
        let mut known = self.0.lock().expect("no panic while it is held");
        let right = known.entry(url.to_owned()).or_insert_with(|| body.clone());
        assert!(*right == body, "{url}: another body than before ({} and {} bytes)", right.len(), body.len());
        cache
    }

    #[track_caller]
    fn get(&self, server: &Server, url: &str) -> String {
        let answer = try_get(&server.address, url).unwrap_or_else(|| panic!("no answer to {url}:\n{}", server.log()));
        self.check(url, answer)
    }

    /// The same, where so many answers may be a 502: the fault may have hit a look at the original.
    #[track_caller]
    fn get_past(&self, server: &Server, url: &str, failures: &mut u32) -> String {
        loop {
            let answer =
                try_get(&server.address, url).unwrap_or_else(|| panic!("no answer to {url}:\n{}", server.log()));
            if answer.0 != 502 || *failures == 0 {
                return self.check(url, answer);
            }
            *failures -= 1;
        }
    }

    /// Compares everything that was learnt with what a server makes that nothing has been done to.
    fn compare(&self) -> usize {
        let cache = folder();
        let sound = Server::start(&testdata(), cache.path());
        let known = self.0.lock().expect("no panic while it is held").clone();
        for (url, body) in &known {
            let (status, _, right) = try_get(&sound.address, url).expect("an answer");
            assert_eq!(status, 200);
            assert!(*body == right, "{url}: wrong bytes");
        }
        known.len()
    }
}

fn start(cache: &Path, settings: &[(&str, &str)]) -> Server {
    let all: Vec<(&str, &str)> = PLAIN.iter().chain(settings).copied().collect();
    Server::start_with(&testdata(), cache, "127.0.0.1:0", &all)
}

/// Everything below a folder that is no folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let (mut all, mut folders) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => all.push(entry.path()),
            }
        }
    }
    all
}

/// The renditions in a cache folder.
fn bodies(cache: &Path) -> Vec<PathBuf> {
    let mut all = files(&cache.join("v2"));
    all.retain(|path| path.extension().is_some() && !path.parent().is_some_and(|parent| parent.ends_with("staging")));
    all.sort();
    all
}

/// What a cache folder takes on disk: every file, and of every folder what is beyond its first block.
fn taken(cache: &Path) -> u64 {
    let (mut sum, mut folders, mut seen) = (0, vec![cache.join("v2")], HashSet::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
                sum += (metadata.blocks() * 512).saturating_sub(4096);
            } else if seen.insert(metadata.ino()) {
                // one that was moved while the folders were listed is met twice
                sum += metadata.blocks() * 512;
            }
        }
    }
    sum
}

/// Removes a folder in which somebody may be writing.
fn remove(dir: &Path) {
    poll("the folder to be gone", || std::fs::remove_dir_all(dir).is_ok().then_some(()));
}

/// Waits until no process has the folder: one that was killed under a tracer takes a moment to be gone.
fn let_go(cache: &Path) {
    poll("the folder to be let go of", || {
        let Ok(lock) = std::fs::File::open(cache.join("v2/lock")) else { return Some(()) };
        lock.try_lock().is_ok().then_some(())
    });
}

fn settled(server: &Server) {
    poll("the folder to be read in", || (server.metric("tintype_cache_scan_progress") == 1.0).then_some(()));
}

/// Asks for many URLs at random from several threads until the server has gone; those that it said it keeps.
fn load(
    server: &Server, truth: &Truth, first: u64, count: u64, seed: u64,
) -> Vec<std::thread::JoinHandle<Vec<String>>> {
    (0..4)
        .map(|thread| {
            let (address, truth) = (server.address.clone(), truth.clone());
            std::thread::spawn(move || {
                let mut random = Random(seed * 4 + thread + 1);
                let mut kept = Vec::new();
                loop {
                    let url = url(first + random.below(count));
                    let Some(answer) = try_get(&address, &url) else { return kept };
                    let said = truth.check(&url, answer);
                    if said.contains("stored") || said.contains("hit") {
                        kept.push(url);
                    }
                }
            })
        })
        .collect()
}

#[test]
fn killed_server_loses_no_stored_rendition() {
    let cache = folder();
    let truth = Truth::default();
    let (mut kept, mut lost, mut random) = (HashSet::new(), 0, Random(7));
    let count = cycles(12);
    let mut newest: Vec<String> = Vec::new();
    let mut checked = 0;
    for cycle in 0..=count {
        let server = start(cache.path(), &[]);
        let strays = files(&cache.path().join("v2/staging"));
        assert!(strays.is_empty(), "cycle {cycle}: {strays:?}");
        for url in newest.drain(..) {
            checked += 1;
            if !truth.get(&server, &url).contains("hit") {
                lost += 1;
                eprintln!("cycle {cycle}: {url} is lost\n{}", server.log());
            }
            kept.insert(url);
        }
        assert_eq!(lost, 0);
        let clients = load(&server, &truth, cycle * 40 % 90_000, 120, cycle + 1);
        std::thread::sleep(Duration::from_millis(3 + random.below(100)));
        server.signal(Signal::KILL);
        for client in clients {
            newest.extend(client.join().expect("every answer was right"));
        }
        newest.sort();
        newest.dedup();
    }
    let compared = truth.compare();
    eprintln!(
        "{count} kills: {checked} kept renditions asked for again ({} different), 0 lost; {compared} compared, 0 wrong",
        kept.len()
    );
    assert!(!kept.is_empty());
}

/// The server under strace, which injects something into the `number`-th of such calls that any of its threads makes.
fn start_traced(cache: &Path, inject: &str) -> Result<Server, String> {
    let mut command = Command::new("strace");
    let call = inject.split(':').next().unwrap_or_default();
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &format!("inject={inject}")]);
    // with strace the server has to go, too
    command.args(["setpriv", "--pdeathsig", "KILL"]).arg(tintype().get_program()).envs(PLAIN);
    Server::spawn(serve(command, &testdata(), cache, "127.0.0.1:0", &[]))
}

/// Has strace inject something into a server that runs already; its threads' calls are counted from then on.
fn trace(server: &Server, inject: &str) -> std::process::Child {
    let call = inject.split(':').next().unwrap_or_default();
    let pid = server.pid();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &format!("inject={inject}")]);
    let mut strace = command.args(["-p", &pid.to_string()]).stderr(Stdio::null()).spawn().expect("it starts");
    poll("strace to have every thread", || {
        // it may have come to the call already
        if strace.try_wait().expect("it is ours").is_some() {
            return Some(());
        }
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let traced = tasks.flatten().all(|task| {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            !status.contains("TracerPid:\t0\n")
        });
        traced.then_some(())
    });
    strace
}

#[test]
fn kill_at_each_system_call_loses_no_stored_rendition() {
    needs!(Strace);
    // the calls that a rendition's way onto the disk and the start consist of
    const RUNNING: [&str; 8] =
        ["openat2", "write", "fdatasync", "renameat", "newfstatat", "fstatfs", "mkdirat", "fsync"];
    const STARTING: [&str; 8] =
        ["openat2", "openat", "mkdirat", "flock", "getdents64", "renameat", "newfstatat", "unlinkat"];
    let truth = Truth::default();
    let most = if is_long() { 40 } else { 2 };
    let (mut killed, mut checked) = (0, 0);
    for (calls, is_running) in [(RUNNING, true), (STARTING, false)] {
        for (place, call) in (0..).zip(calls) {
            let cache = folder();
            let mut kept: HashSet<String> = HashSet::new();
            // something to be read in, taken over and removed at the start
            let server = start(cache.path(), &[]);
            for number in 0..6 {
                if truth.get(&server, &url(50_000 + number)).contains("stored") {
                    kept.insert(url(50_000 + number));
                }
            }
            drop(server);
            for number in 1..=most {
                if let Some(path) = bodies(cache.path()).pop() {
                    let name = path.file_name().expect("a name").to_str().expect("text");
                    let staging = cache.path().join("v2/staging");
                    std::fs::write(staging.join(format!("fff1-{name}")), b"torn").expect("written");
                    std::fs::rename(&path, staging.join(format!("fff0-{name}"))).expect("moved");
                }
                let inject = format!("{call}:signal=KILL:when={number}");
                let (server, mut strace) = if is_running {
                    let server = start(cache.path(), &[]);
                    let strace = trace(&server, &inject);
                    (Ok(server), Some(strace))
                } else {
                    (start_traced(cache.path(), &inject), None)
                };
                if let Ok(mut server) = server {
                    for part in 0..6 {
                        let url = url(51_000 + place * 1000 + number * 6 + part);
                        let Some(answer) = try_get(&server.address, &url) else { break };
                        if truth.check(&url, answer).contains("stored") {
                            kept.insert(url);
                        }
                    }
                    if is_running {
                        // what is behind the answers has its chance too
                        let end = Instant::now() + Duration::from_millis(150);
                        while Instant::now() < end && !server.has_ended() {
                            std::thread::sleep(Duration::from_millis(5));
                        }
                    }
                    killed += u64::from(server.has_ended());
                } else {
                    killed += 1;
                }
                if let Some(strace) = &mut strace {
                    // it ends with what it traces
                    let _ = strace.kill();
                    strace.wait().expect("it is ours");
                }
                let_go(cache.path());
                let server = start(cache.path(), &[]);
                let strays = files(&cache.path().join("v2/staging"));
                assert!(strays.is_empty(), "{inject}: {strays:?}");
                for url in &kept {
                    checked += 1;
                    let said = truth.get(&server, url);
                    assert!(said.contains("hit"), "{inject}: {url} is lost\n{}", server.log());
                }
            }
        }
    }
    let compared = truth.compare();
    eprintln!(
        "{killed} kills in system calls: {checked} times something kept was asked for, 0 lost; {compared} compared, 0 wrong"
    );
    assert!(killed > 0);
}

/// Originals of one content under several names, so that renditions of different keys have equal bodies.
fn twins() -> tempfile::TempDir {
    let root = folder();
    for name in ["a", "b", "c"] {
        let copied = std::fs::copy(testdata().join("generated/alpha.png"), root.path().join(format!("{name}.png")));
        copied.expect("copied");
    }
    root
}

/// Asserts that a server's account is what the folder takes, with a file of several names counted once.
#[track_caller]
fn account_is_right(server: &Server, cache: &Path) {
    settled(server);
    let account = (server.metric("tintype_cache_bytes"), server.metric("tintype_cache_files"));
    assert_eq!(account, (taken(cache) as f64, files(&cache.join("v2")).len() as f64), "{}", server.log());
}

#[test]
fn kill_while_linking_loses_nothing_and_counts_right() {
    needs!(Strace);
    let root = twins();
    let most = if is_long() { 40 } else { 3 };
    let (mut killed, mut checked, mut linked) = (0, 0, 0.0);
    for call in ["linkat", "renameat", "unlinkat", "newfstatat", "fdatasync"] {
        let cache = folder();
        let start = || Server::start_with(root.path(), cache.path(), "127.0.0.1:0", &PLAIN);
        let truth = Truth::default();
        let mut kept = HashSet::new();
        for number in 1..=most {
            let mut server = start();
            let mut strace = trace(&server, &format!("{call}:signal=KILL:when={number}"));
            'asking: for width in [10 + 2 * number, 11 + 2 * number] {
                for name in ["a", "b", "c"] {
                    let url = format!("/{name}.png?width={width}&format=webp");
                    let Some(answer) = try_get(&server.address, &url) else { break 'asking };
                    if truth.check(&url, answer).contains("stored") {
                        kept.insert(url);
                    }
                }
            }
            // what is behind the answers has its chance too
            let end = Instant::now() + Duration::from_millis(150);
            while Instant::now() < end && !server.has_ended() {
                std::thread::sleep(Duration::from_millis(5));
            }
            killed += u64::from(server.has_ended());
            drop(server);
            // it ends with what it traces
            let _ = strace.kill();
            strace.wait().expect("it is ours");
            let_go(cache.path());
            let server = start();
            let strays = files(&cache.path().join("v2/staging"));
            assert!(strays.is_empty(), "{call} {number}: {strays:?}");
            account_is_right(&server, cache.path());
            for url in &kept {
                checked += 1;
                assert!(truth.get(&server, url).contains("hit"), "{call} {number}: {url} is lost\n{}", server.log());
            }
            // and goes on linking
            let before = server.metric("tintype_cache_stored_total");
            for name in ["a", "b", "c"] {
                truth.get(&server, &format!("/{name}.png?width={}&format=webp", 30 + number));
            }
            server.wait_for("tintype_cache_stored_total", before + 3.0);
            linked += server.metric("tintype_cache_linked_total");
            account_is_right(&server, cache.path());
        }
        let inodes: HashSet<u64> =
            bodies(cache.path()).iter().map(|path| std::fs::metadata(path).expect("there").ino()).collect();
        assert!(inodes.len() < bodies(cache.path()).len());
    }
    eprintln!("{killed} kills: {checked} times something kept was asked for, 0 lost; {linked} linked afterwards");
    assert!(killed > 0);
    assert!(linked > 0.0);
}

#[test]
fn failed_hard_links_cost_space_only() {
    needs!(Strace);
    let root = twins();
    // no hard links on this file system, every name taken, no such file, and a fault
    for error in ["EPERM", "EMLINK", "ENOENT", "EIO"] {
        let cache = folder();
        let server = Server::start_with(root.path(), cache.path(), "127.0.0.1:0", &PLAIN);
        settled(&server);
        let truth = Truth::default();
        let mut strace = trace(&server, &format!("linkat:error={error}"));
        for name in ["a", "b", "c"] {
            truth.get(&server, &format!("/{name}.png?width=20&format=webp"));
        }
        server.wait_for("tintype_cache_stored_total", 3.0);
        strace.kill().expect("it is ours");
        strace.wait().expect("it is ours");
        assert_eq!(server.metric("tintype_cache_linked_total"), 0.0, "{error}");
        assert_eq!(server.metric("tintype_cache_bodies"), 3.0, "{error}");
        account_is_right(&server, cache.path());
    }
}

#[test]
fn failed_system_calls_cost_the_cache_only() {
    needs!(Strace);
    let faults = [
        ("fdatasync:error=EIO", false),
        ("fdatasync:error=EIO:when=1..3", true),
        ("renameat:error=EIO:when=1..3", true),
        ("mkdirat:error=ENOSPC:when=1..2", true),
        ("renameat:error=ENOSPC:when=1..2", true),
        ("newfstatat:error=EIO:when=1..2", true),
        ("fstatfs:error=EIO:when=1..3", true),
        ("utimensat:error=EIO", true),
    ];
    let truth = Truth::default();
    for (fault, recovers) in faults {
        let cache = folder();
        let server = start(cache.path(), &[]);
        settled(&server);
        let mut strace = trace(&server, fault);
        // originals are looked at by the same call as the cache, and the fault does not tell them apart
        let mut failures = if fault.starts_with("newfstatat") { 2 } else { 0 };
        for number in 0..12 {
            truth.get_past(&server, &url(30_000 + number), &mut failures);
        }
        if recovers {
            let began = Instant::now();
            poll(fault, || {
                let number = 31_000 + began.elapsed().as_millis() as u64;
                let said = truth.get_past(&server, &url(number), &mut failures);
                (said.contains("stored") && server.get("/-/ready", &[]).status == 200).then_some(())
            });
            eprintln!("{fault}: well again after {:?}", began.elapsed());
            assert!(began.elapsed() < Duration::from_secs(10), "{fault}");
        } else {
            assert_eq!(server.log().matches("cannot be written").count(), 1, "{}", server.log());
            assert!(server.metric("tintype_cache_not_stored_total") > 0.0);
            assert!(bodies(cache.path()).is_empty());
        }
        strace.kill().expect("it is ours");
        strace.wait().expect("it is ours");
        assert_eq!(server.get("/-/live", &[]).status, 200);
    }
    truth.compare();
}

#[test]
fn damaged_cache_file_is_not_served() {
    let count = if is_long() { 10_000 } else { 150 };
    let cache = folder();
    let truth = Truth::default();
    let server = start(cache.path(), &[]);
    for number in 0..count {
        truth.get(&server, &url(number));
    }
    let stored = |server: &Server, count: u64| server.wait_for("tintype_cache_stored_total", count as f64);
    stored(&server, count);
    let mut random = Random(99);
    let mut damaged = 0;
    // at rest and while it runs
    let mut server = Some(server);
    for is_running in [true, false] {
        if !is_running {
            drop(server.take());
        }
        let all = bodies(cache.path());
        assert_eq!(all.len() as u64, count);
        for path in &all {
            let mut bytes = std::fs::read(path).expect("a body");
            let bit = random.below(bytes.len() as u64 * 8) as usize;
            match random.below(if is_running { 1 } else { 5 }) {
                0 => bytes[bit / 8] ^= 1 << (bit % 8),
                1 => bytes.truncate(bit / 8),
                2 => bytes.clear(),
                3 => bytes.push(0),
                _ => bytes[bit / 8..].fill(0xff),
            }
            std::fs::write(path, bytes).expect("written");
            damaged += 1;
        }
        let running = server.get_or_insert_with(|| start(cache.path(), &[]));
        // a start sees the wrong lengths itself; the rest shows when it is asked for
        settled(running);
        let before = if is_running { 0.0 } else { running.metric("tintype_cache_corrupt_total") };
        for number in 0..count {
            truth.get(running, &url(number));
        }
        let found = running.metric("tintype_cache_corrupt_total");
        assert!(found >= before);
        assert!(found <= count as f64);
        if is_running {
            assert_eq!(found, count as f64, "a flipped bit was not seen");
        }
        stored(running, if is_running { 2 * count } else { count.min(found as u64) });
        for number in 0..count {
            assert!(truth.get(running, &url(number)).contains("hit"), "{}", url(number));
        }
        eprintln!("{count} files damaged while running={is_running}: {found} counted, 0 served, all whole again");
    }
    // bodies in each other's place
    let server = server.expect("it runs");
    let all = bodies(cache.path());
    let mut swapped = 0;
    for pair in all.chunks_exact(2).take(500) {
        let (a, b) = (std::fs::read(&pair[0]).expect("a body"), std::fs::read(&pair[1]).expect("a body"));
        swapped += if a == b { 0 } else { 2 };
        std::fs::write(&pair[0], b).expect("written");
        std::fs::write(&pair[1], a).expect("written");
    }
    let before = server.metric("tintype_cache_corrupt_total");
    for number in 0..count {
        truth.get(&server, &url(number));
    }
    assert_eq!(server.metric("tintype_cache_corrupt_total") - before, f64::from(swapped));
    eprintln!("{damaged} damaged and {swapped} swapped: none served");
    // one line now and then, not one a file
    assert!(server.log().matches("does not hold what its name says").count() <= 30);
    truth.compare();
}

/// The server in a mount namespace of its own with a small file system for its cache, and the command that enters it.
fn start_on_tmpfs(cache: &Path, options: &str, settings: &[(&str, &str)]) -> (Server, Vec<String>) {
    let flags = namespace_flags();
    let mut command = Command::new("unshare");
    command.args(flags).args(["sh", "-c", "mount -t tmpfs -o \"$1\" tmpfs \"$2\" && shift 2 && exec \"$@\"", "sh"]);
    command.arg(options).arg(cache).arg(tintype().get_program()).envs(PLAIN);
    let server = Server::spawn(serve(command, &testdata(), cache, "127.0.0.1:0", settings)).expect("it starts");
    let mut enter: Vec<String> = vec!["nsenter".into(), "-t".into(), server.pid().to_string(), "-m".into()];
    if flags.contains(&"-r") {
        enter.push("-U".into());
        enter.push("--preserve-credentials".into());
    }
    (server, enter)
}

/// The options of the mount table are left out, since it names users that the namespace does not have.
const OWN_OPTIONS: &str = "--options-mode=ignore";

/// Runs a command where the server is.
fn inside(enter: &[String], command: &str) -> String {
    let output = Command::new(&enter[0]).args(&enter[1..]).args(["sh", "-c", command]).output().expect("it runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Waits until renditions are kept again and says how long that took.
#[track_caller]
fn recovers(server: &Server, truth: &Truth, what: &str, first: u64) {
    let began = Instant::now();
    poll(&format!("recovery from {what}"), || (server.get("/-/ready", &[]).status == 200).then_some(()));
    let mut number = first;
    poll(&format!("recovery from {what}"), || {
        number += 1;
        truth.get(server, &url(number)).contains("stored").then_some(())
    });
    assert!(truth.get(server, &url(number)).contains("hit"));
    eprintln!("{what}: well again after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(10), "{what}");
}

#[test]
fn full_disk_costs_no_answer() {
    needs!(Mounts);
    let cache = folder();
    let truth = Truth::default();
    let (server, enter) = start_on_tmpfs(cache.path(), "size=2m", &[]);
    let dir = cache.path().display();
    // filled by itself, its bound being far away: it makes room for what comes
    let count = if is_long() { 5000 } else { 700 };
    let mut stored = 0;
    for number in 0..count {
        stored += u64::from(truth.get(&server, &url(number)).contains("stored"));
    }
    eprintln!(
        "2 MB disk, {count} renditions: {stored} stored, {} evicted",
        server.metric("tintype_cache_evicted_total")
    );
    assert!(stored * 10 >= count * 9, "{stored} of {count}:\n{}", server.log());
    assert!(server.metric("tintype_cache_evicted_total") > 0.0);
    // filled by others
    inside(&enter, &format!("dd if=/dev/zero of={dir}/others bs=64k 2>/dev/null"));
    for number in 0..100 {
        truth.get(&server, &url(60_000 + number));
    }
    inside(&enter, &format!("rm {dir}/others"));
    recovers(&server, &truth, "a disk that others had filled", 61_000);
    assert!(server.log().matches("cannot be written").count() <= 3, "{}", server.log());
    truth.compare();
}

#[test]
fn disk_without_inodes_costs_no_answer() {
    needs!(Mounts);
    let cache = folder();
    let truth = Truth::default();
    let (server, enter) = start_on_tmpfs(cache.path(), "size=16m,nr_inodes=160", &[]);
    let dir = cache.path().display();
    let mut stored = 0;
    for number in 0..300 {
        stored += u64::from(truth.get(&server, &url(number)).contains("stored"));
    }
    assert!(stored >= 270, "{stored} of 300:\n{}", server.log());
    let left: u64 = inside(&enter, &format!("df --output=iavail {dir} | tail -1")).parse().expect("a number");
    assert!(left >= 8, "{left} inodes are left to others");
    inside(&enter, &format!("cd {dir} && i=0; while touch other$i 2>/dev/null; do i=$((i+1)); done"));
    for number in 0..50 {
        truth.get(&server, &url(62_000 + number));
    }
    inside(&enter, &format!("rm {dir}/other*"));
    recovers(&server, &truth, "a disk without inodes", 63_000);
    truth.compare();
}

#[test]
fn read_only_disk_costs_no_answer() {
    needs!(Mounts);
    let cache = folder();
    let truth = Truth::default();
    let (server, enter) = start_on_tmpfs(cache.path(), "size=4m", &[]);
    let dir = cache.path().display();
    for number in 0..20 {
        truth.get(&server, &url(number));
    }
    server.wait_for("tintype_cache_stored_total", 20.0);
    // a file that is being written delays it
    let remount = format!(
        "for try in 1 2 3 4 5 6 7 8 9; do mount {OWN_OPTIONS} -o remount,ro tmpfs {dir} && echo done && break; sleep 0.1; done"
    );
    assert_eq!(inside(&enter, &remount), "done");
    for number in 0..20 {
        assert!(truth.get(&server, &url(number)).contains("hit"), "what is there can be read");
        assert!(!truth.get(&server, &url(64_000 + number)).contains("stored"));
    }
    poll("not to be ready", || (server.get("/-/ready", &[]).status == 503).then_some(()));
    assert_eq!(server.metric("tintype_cache_writable"), 0.0);
    assert_eq!(server.log().matches("cannot be written").count(), 1, "{}", server.log());
    inside(&enter, &format!("mount {OWN_OPTIONS} -o remount,rw tmpfs {dir}"));
    recovers(&server, &truth, "a disk that could only be read", 65_000);
    truth.compare();
}

#[test]
fn removed_cache_folder_is_made_again() {
    let truth = Truth::default();
    let cases: [(&str, fn(&Path), fn(&Path)); 6] = [
        ("the folder removed", |dir| remove(dir), |_| {}),
        ("the layout removed", |dir| remove(&dir.join("v2")), |_| {}),
        ("the staging folder removed", |dir| remove(&dir.join("v2/staging")), |_| {}),
        ("the lock removed", |dir| std::fs::remove_file(dir.join("v2/lock")).expect("removed"), |_| {}),
        (
            "a file in the folder's place",
            |dir| {
                remove(dir);
                std::fs::write(dir, b"in the way").expect("written");
            },
            |dir| std::fs::remove_file(dir).expect("removed"),
        ),
        (
            "another folder in its place",
            |dir| {
                std::fs::rename(dir, dir.with_extension("old")).expect("moved");
                std::fs::create_dir(dir).expect("made");
            },
            |_| {},
        ),
    ];
    for (place, (what, harm, mend)) in (0..).zip(cases) {
        let above = folder();
        let cache = above.path().join("cache");
        let server = start(&cache, &[]);
        for number in 0..10 {
            truth.get(&server, &url(number));
        }
        harm(&cache);
        for number in 0..30 {
            truth.get(&server, &url(number));
        }
        mend(&cache);
        recovers(&server, &truth, what, 66_000 + place * 500);
        let ended = server.stop();
        assert!(ended.success(), "{what}: {ended}");
    }
    truth.compare();
}

#[test]
fn unreadable_cache_folder_costs_no_answer() {
    // no mode hinders root
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        needs!(Nobody);
    }
    let truth = Truth::default();
    let above = folder();
    let cache = above.path().join("cache");
    std::fs::create_dir(&cache).expect("made");
    set_mode(above.path(), 0o755);
    if is_root {
        std::os::unix::fs::chown(&cache, Some(65534), Some(65534)).expect("root may");
    }
    let mut command = if is_root { as_nobody() } else { Command::new("env") };
    command.arg(tintype().get_program()).envs(PLAIN);
    let server = Server::spawn(serve(command, &testdata(), &cache, "127.0.0.1:0", &[])).expect("it starts");
    for number in 0..10 {
        truth.get(&server, &url(number));
    }
    server.wait_for("tintype_cache_stored_total", 10.0);
    for (place, part) in (0..).zip(["v2", "v2/staging"]) {
        let part = cache.join(part);
        let mode = std::fs::metadata(&part).expect("there").mode();
        set_mode(&part, 0);
        for number in 0..20 {
            truth.get(&server, &url(67_000 + place * 100 + number));
        }
        poll("not to be ready", || (server.get("/-/ready", &[]).status == 503).then_some(()));
        set_mode(&part, mode & 0o777);
        recovers(&server, &truth, "a folder without rights", 67_500 + place * 100);
    }
    truth.compare();
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}

#[test]
fn exhausted_file_descriptors_delay_answers() {
    let cache = folder();
    let truth = Truth::default();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(tintype().get_program()).envs(PLAIN);
    let server = Server::spawn(serve(command, &testdata(), cache.path(), "127.0.0.1:0", &[])).expect("it starts");
    let clients: Vec<_> = (0..200)
        .map(|number| {
            let (address, truth) = (server.address.clone(), truth.clone());
            std::thread::spawn(move || {
                let url = url(number % 50);
                let answer = try_get(&address, &url).unwrap_or_else(|| panic!("no answer to {url}"));
                truth.check(&url, answer);
            })
        })
        .collect();
    for client in clients {
        client.join().expect("a right answer");
    }
    recovers(&server, &truth, "a want of file descriptors", 68_000);
    truth.compare();
}

#[test]
fn two_processes_on_one_folder_keep_the_bound() {
    let cache = folder();
    let truth = Truth::default();
    let settings = [("TINTYPE_CACHE_MAX_BYTES", "512KiB")];
    let (first, second) = (start(cache.path(), &settings), start(cache.path(), &settings));
    let done = Arc::new(AtomicBool::new(false));
    let highest = watch(cache.path(), &done, Duration::from_millis(20));
    let clients: Vec<_> = [&first, &second]
        .into_iter()
        .map(|server| {
            let (address, truth) = (server.address.clone(), truth.clone());
            std::thread::spawn(move || {
                for number in 0..200 {
                    truth.check(&url(number), try_get(&address, &url(number)).expect("an answer"));
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("every answer was right");
    }
    let ready = second.get("/-/ready", &[]);
    let said = String::from_utf8_lossy(&ready.body).into_owned();
    assert_eq!(ready.status, 200);
    assert!(said.contains(r#""cache":"in use by another process""#), "{said}");
    let shown = |server: &Server| {
        let state = |name: &str| server.metric(&format!("tintype_cache_state{{state=\"{name}\"}}"));
        (server.metric("tintype_cache_writable"), state("open"), state("in_use"), state("unusable"))
    };
    assert_eq!(shown(&first), (1.0, 1.0, 0.0, 0.0));
    assert_eq!(shown(&second), (0.0, 0.0, 1.0, 0.0));
    first.signal(Signal::KILL);
    drop(first);
    let began = Instant::now();
    recovers(&second, &truth, "the other process's end", 69_000);
    eprintln!("taken over after {:?}", began.elapsed());
    assert_eq!(shown(&second), (1.0, 1.0, 0.0, 0.0));
    done.store(true, Ordering::Relaxed);
    let highest = highest.join().expect("no panic");
    assert!(highest <= 512 << 10, "{highest} bytes of {}", 512 << 10);
    truth.compare();
}

/// Samples what a folder takes until told that it is done; gives the highest.
fn watch(cache: &Path, done: &Arc<AtomicBool>, every: Duration) -> std::thread::JoinHandle<u64> {
    let (cache, done) = (cache.to_owned(), Arc::clone(done));
    std::thread::spawn(move || {
        let mut highest = 0;
        while !done.load(Ordering::Relaxed) {
            highest = highest.max(taken(&cache));
            std::thread::sleep(every);
        }
        highest
    })
}

#[test]
fn flood_stays_within_the_bound_and_keeps_hot_renditions() {
    let cache = folder();
    let (flood, bound, hot) = if is_long() { (100_000, 64 << 20, 200) } else { (400, 1 << 20, 10) };
    let bound_text = bound.to_string();
    let server = start(cache.path(), &[("TINTYPE_CACHE_MAX_BYTES", &bound_text)]);
    let done = Arc::new(AtomicBool::new(false));
    let highest = watch(cache.path(), &done, Duration::from_millis(if is_long() { 100 } else { 10 }));
    let truth = Truth::default();
    let asked = Arc::new(AtomicU64::new(0));
    let hits = Arc::new(AtomicU64::new(0));
    // once to make the hot ones, once to use them
    for number in (0..hot).chain(0..hot) {
        truth.get(&server, &url(99_000 + number));
    }
    let next = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (next, asked, hits, truth) = (Arc::clone(&next), Arc::clone(&asked), Arc::clone(&hits), truth.clone());
            let address = server.address.clone();
            std::thread::spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= flood {
                        return;
                    }
                    // larger ones than elsewhere, so that fewer of them fill the bound; their bytes are not compared
                    let (status, ..) = try_get(&address, &url(number)).expect("an answer");
                    assert_eq!(status, 200);
                    if number.is_multiple_of(10) {
                        let hot = url(99_000 + (number / 10) % hot);
                        let said = truth.check(&hot, try_get(&address, &hot).expect("an answer"));
                        asked.fetch_add(1, Ordering::Relaxed);
                        hits.fetch_add(u64::from(said.contains("hit")), Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("every answer was right");
    }
    done.store(true, Ordering::Relaxed);
    let highest = highest.join().expect("no panic");
    let ratio = hits.load(Ordering::Relaxed) as f64 / asked.load(Ordering::Relaxed) as f64;
    let evicted = server.metric("tintype_cache_evicted_total");
    eprintln!(
        "{flood} renditions into {bound} bytes: at most {highest} taken, {evicted} evicted, hot hit ratio {ratio:.4}"
    );
    assert!(highest <= bound, "{highest} bytes of {bound}");
    assert!(evicted > 0.0);
    assert!(ratio >= 0.95, "{ratio}");
    let used = server.metric("tintype_cache_bytes");
    assert!(used >= taken(cache.path()) as f64 * 0.9, "the account says {used}");
}

#[test]
fn server_answers_while_the_index_is_read() {
    let count: u64 = if is_long() { 1_000_000 } else { 3000 };
    let cache = folder();
    let server = start(cache.path(), &[]);
    let truth = Truth::default();
    truth.get(&server, &url(1));
    server.wait_for("tintype_cache_stored_total", 1.0);
    drop(server);
    // entries of one body under many names
    let body = bodies(cache.path()).remove(0);
    let name = body.file_name().expect("a name").to_str().expect("text").to_owned();
    let rest = name.split_once('.').expect("a record").1;
    let mut random = Random(5);
    for number in 0..count {
        let key: String = (0..4).map(|_| format!("{:016x}", random.below(u64::MAX))).collect();
        let folder = u8::from_str_radix(&key[..2], 16).expect("hexadecimal") % 64;
        let folder = cache.path().join(format!("v2/{folder:02x}"));
        std::fs::create_dir_all(&folder).expect("made");
        // far fewer inodes than names where one may have so many
        let path = folder.join(format!("{key}.{rest}"));
        if number % 30_000 == 0 || std::fs::hard_link(&body, &path).is_err() {
            std::fs::copy(&body, &path).expect("written");
        }
    }
    let settings = [("TINTYPE_CACHE_MAX_FILES", "2000000"), ("TINTYPE_CACHE_MAX_BYTES", "1TiB")];
    let began = Instant::now();
    let server = start(cache.path(), &settings);
    let listening = began.elapsed();
    assert!(truth.get(&server, &url(1)).contains("hit"));
    let answered = began.elapsed();
    let said = truth.get(&server, &url(2));
    let missed = began.elapsed();
    settled(&server);
    let read_in = began.elapsed();
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let memory = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().to_owned();
    eprintln!(
        "{count} entries: listening after {listening:?}, a hit after {answered:?}, a miss ({said}) after {missed:?}, \
         read in after {read_in:?}, {memory}"
    );
    let files = server.metric("tintype_cache_files");
    assert!(files >= count as f64, "{files}");
}

#[test]
fn thousands_of_clients_share_one_render() {
    let cache = folder();
    let crowd = if is_long() { 10_000 } else { 300 };
    // no bound on connections but the system's
    let server = start(cache.path(), &[]);
    let Address::Tcp(address) = &server.address else { panic!("TCP") };
    // a small one, since ten thousand large ones are more than the kernel holds for clients that read one by one
    let request =
        b"GET /photos/large-12mp.jpg?width=100&format=webp HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let mut streams: Vec<_> = (0..crowd)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(address).expect("a connection");
            stream.set_read_timeout(Some(Duration::from_secs(60))).expect("an open socket");
            stream.write_all(request).expect("it reads");
            stream
        })
        .collect();
    let truth = Truth::default();
    for stream in &mut streams {
        truth.check("it", receive(stream).expect("an answer"));
    }
    assert_eq!(server.metric("tintype_renders_total"), 1.0);
    eprintln!("{crowd} clients: one render");
}

#[test]
fn changing_original_is_never_torn_or_stale() {
    let root = folder();
    let cache = folder();
    // plain pixels of one colour, all of one length: a blend of two would be a picture too
    let picture = |colour: u8| {
        let mut bytes = b"P6\n64 64\n255\n".to_vec();
        bytes.extend(std::iter::repeat_n(colour, 64 * 64 * 3));
        bytes
    };
    let path = root.path().join("a.ppm");
    std::fs::write(&path, picture(0)).expect("written");
    let server = Server::start_with(root.path(), cache.path(), "127.0.0.1:0", &PLAIN);
    let ask = |address: &Address| try_get(address, "/a.ppm?format=png").expect("an answer");
    let colour = |body: &[u8]| {
        let pixels = image::load_from_memory(body).expect("a picture").into_rgb8();
        let first = pixels.get_pixel(0, 0).0[0];
        assert!(pixels.pixels().all(|pixel| pixel.0 == [first; 3]), "a blend");
        first
    };
    let times = std::fs::metadata(&path).expect("there");
    let modified = times.modified().expect("a time");
    let keep_time = |path: &Path| {
        let file = std::fs::File::options().write(true).open(path).expect("there");
        file.set_modified(modified).expect("it is ours");
    };
    // each way to change it is seen by the next request
    let ways: [(&str, &dyn Fn(u8)); 4] = [
        ("rewritten in place", &|colour| std::fs::write(&path, picture(colour)).expect("written")),
        ("replaced", &|colour| {
            std::fs::write(root.path().join("b.tmp"), picture(colour)).expect("written");
            std::fs::rename(root.path().join("b.tmp"), &path).expect("moved");
        }),
        ("rewritten with the time of before", &|colour| {
            std::fs::write(&path, picture(colour)).expect("written");
            keep_time(&path);
        }),
        ("deleted and made again", &|colour| {
            std::fs::remove_file(&path).expect("removed");
            assert_eq!(ask(&server.address).0, 404);
            std::fs::write(&path, picture(colour)).expect("written");
        }),
    ];
    let mut number = 0_u8;
    let mut etags = HashMap::new();
    for _ in 0..cycles(8).min(200) {
        for (way, change) in ways {
            number = number.wrapping_add(1);
            change(number);
            let answer = server.get("/a.ppm?format=png", &[]);
            assert_eq!(answer.status, 200, "{way}");
            assert_eq!(colour(&answer.body), number, "{way}: stale");
            let known = etags.entry(answer.header("etag")).or_insert_with(|| answer.body.clone());
            assert!(*known == answer.body, "{way}: other bytes under the same ETag");
        }
    }
    // and while it is being written all the time
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (done, path) = (Arc::clone(&done), path.clone());
        std::thread::spawn(move || {
            let mut colour = 0_u8;
            while !done.load(Ordering::Relaxed) {
                colour = colour.wrapping_add(1);
                let mut bytes = b"P6\n64 64\n255\n".to_vec();
                bytes.extend(std::iter::repeat_n(colour, 64 * 64 * 3));
                // in place, in two halves
                let mut file = std::fs::File::options().write(true).open(&path).expect("there");
                let (a, b) = bytes.split_at(bytes.len() / 2);
                file.write_all(a).expect("written");
                std::thread::sleep(Duration::from_micros(300));
                file.write_all(b).expect("written");
                std::thread::sleep(Duration::from_millis(u64::from(colour % 60)));
            }
        })
    };
    let mut statuses: HashMap<u16, u32> = HashMap::new();
    for _ in 0..cycles(60).min(2000) {
        let (status, _, body) = ask(&server.address);
        *statuses.entry(status).or_default() += 1;
        if status == 200 {
            colour(&body);
        }
    }
    done.store(true, Ordering::Relaxed);
    writer.join().expect("no panic");
    eprintln!("an original under constant rewriting: {statuses:?}");
    assert!(statuses.keys().all(|status| [200, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains_key(&200));
}

#[test]
fn unsafe_folder_is_refused_and_newer_layout_is_kept() {
    let cache = folder();
    let (code, said) = outcome(|| {
        // a sticky one, as /tmp is, would do: nobody else can take away what we make in it
        std::fs::write(cache.path().join("anything"), b"planted").expect("written");
        set_mode(cache.path(), 0o777);
        cache.path().to_owned()
    });
    std::fs::remove_file(cache.path().join("anything")).expect("still there");
    assert_eq!(code, Some(1));
    assert!(said.contains("written by everyone") && said.contains("chmod"), "{said}");
    set_mode(cache.path(), 0o755);
    let newer = cache.path().join("v9/ab");
    std::fs::create_dir_all(&newer).expect("made");
    std::fs::write(newer.join("file"), b"of tomorrow").expect("written");
    let truth = Truth::default();
    let server = start(cache.path(), &[]);
    for number in 0..5 {
        assert!(!truth.get(&server, &url(number)).contains("stored"));
    }
    assert_eq!(server.log().matches("a newer tintype").count(), 1, "{}", server.log());
    assert_eq!(files(cache.path()), [newer.join("file")]);
    assert_eq!(server.get("/-/ready", &[]).status, 503);
}

#[test]
fn cache_folder_of_another_user_is_refused() {
    needs!(Root);
    let cache = folder();
    std::os::unix::fs::chown(cache.path(), Some(12345), None).expect("root may");
    let (code, said) = outcome(|| cache.path().to_owned());
    assert_eq!(code, Some(1));
    assert!(said.contains("12345"), "{said}");
}

/// How `serve` ends where it refuses a folder, and what it says.
fn outcome(cache: impl FnOnce() -> PathBuf) -> (Option<i32>, String) {
    let command = serve(tintype(), &testdata(), &cache(), "127.0.0.1:0", &[]);
    let (code, _, said) = crate::common::run(&mut { command }, b"");
    (code, said)
}

#[test]
fn foreign_files_in_the_folder_are_kept() {
    let cache = folder();
    let server = start(cache.path(), &[]);
    let truth = Truth::default();
    truth.get(&server, &url(1));
    server.wait_for("tintype_cache_stored_total", 1.0);
    drop(server);
    let body = bodies(cache.path()).remove(0);
    let (place, name) = (body.parent().expect("a folder"), body.file_name().expect("a name").to_str().expect("text"));
    let mut junk =
        vec![cache.path().join("notes"), cache.path().join("v2/notes"), cache.path().join("v2/staging/notes")];
    for near in [
        name.to_uppercase(),
        format!("{name}.bak"),
        format!(".{name}"),
        name.replacen('.', "-", 1),
        name.replace(".webp", ".exe"),
        "\u{1f4f7}.webp".into(),
        "x".repeat(200),
    ] {
        junk.push(place.join(near));
    }
    use std::os::unix::ffi::OsStrExt;
    junk.push(place.join(std::ffi::OsStr::from_bytes(b"\xff\xfe")));
    junk.extend((0..2000).map(|number| place.join(format!("junk-{number}"))));
    for path in &junk {
        std::fs::write(path, b"mine").expect("written");
    }
    let server = start(cache.path(), &[("TINTYPE_CACHE_MAX_FILES", "20")]);
    settled(&server);
    assert!(truth.get(&server, &url(1)).contains("hit"));
    for number in 0..60 {
        truth.get(&server, &url(number));
    }
    // one lies beside the layout, where nobody looks
    assert_eq!(server.metric("tintype_cache_foreign_files"), (junk.len() - 1) as f64);
    for path in &junk {
        assert_eq!(std::fs::read(path).expect("left alone"), b"mine", "{}", path.display());
    }
    let ours = bodies(cache.path()).iter().filter(|path| !junk.contains(path)).count();
    assert!(ours <= 18, "{ours}");
}

#[test]
fn wrong_file_times_change_nothing() {
    let cache = folder();
    let truth = Truth::default();
    let server = start(cache.path(), &[]);
    for number in 0..10 {
        truth.get(&server, &url(number));
    }
    server.wait_for("tintype_cache_stored_total", 10.0);
    // what a clock that was wrong leaves behind: times before 1970's first hour and far ahead
    for (number, path) in (0..).zip(bodies(cache.path())) {
        let file = std::fs::File::options().write(true).open(path).expect("there");
        let day = Duration::from_secs(86_400);
        let time = if number % 2 == 0 { std::time::UNIX_EPOCH } else { std::time::SystemTime::now() + day * 4000 };
        file.set_modified(time).expect("it is ours");
    }
    drop(server);
    let server = start(cache.path(), &[("TINTYPE_CACHE_MAX_FILES", "9")]);
    settled(&server);
    for number in 0..20 {
        truth.get(&server, &url(number));
    }
    assert!(bodies(cache.path()).len() <= 7);
    truth.compare();
}
