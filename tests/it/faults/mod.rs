//! Fault injection: the program is killed, its files are damaged, its disk is filled. In all cases every answer is the
//! right image or none, no rendition reported as stored is lost, and the server recovers by itself.
//!
//! `TINTYPE_FAULTS=2000` sets the number of cycles and makes sizes larger in
//! proportion; `cargo test --release --test it -- faults:: --nocapture --test-threads 1` then prints the figures.
//! `tests/power-loss.sh` cuts the power of the disk, which a test cannot.

mod disk;
mod folder;
mod kill;
mod load;

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
use crate::common::{Address, Server, folder, poll, serve, testdata, tintype};
use rustix::process::Signal;

/// The disk is the subject: no free space is reserved, and nothing is cached in memory.
const PLAIN: [(&str, &str); 2] = [("TINTYPE_CACHE_MIN_FREE", "0"), ("TINTYPE_CACHE_MEMORY", "0")];

/// The number of cycles: `TINTYPE_FAULTS`, or a few.
fn cycles(few: u64) -> u64 {
    std::env::var("TINTYPE_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

fn is_long() -> bool {
    std::env::var_os("TINTYPE_FAULTS").is_some()
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

/// Status, `Cache-Status` and body of one GET; `None` where the connection fails.
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

/// The bytes of every rendition: taken from its first answer, and compared with those of an undisturbed server at the end.
#[derive(Clone, Default)]
struct Truth(Arc<Mutex<HashMap<String, Vec<u8>>>>);

impl Truth {
    /// Compares one answer, and returns its `Cache-Status`.
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

    /// The same, where so many answers may be a 502: the fault may hit the version check of the original.
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

    /// Compares all of them with the renders of an undisturbed server, and returns their number.
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

/// All files below a folder.
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

/// The stored renditions of a cache folder, sorted.
fn bodies(cache: &Path) -> Vec<PathBuf> {
    let mut all = files(&cache.join("v2"));
    all.retain(|path| path.extension().is_some() && !path.parent().is_some_and(|parent| parent.ends_with("staging")));
    all.sort();
    all
}

/// The bytes that a cache folder takes on disk: of files their blocks, of folders those after the first.
fn taken(cache: &Path) -> u64 {
    let (mut sum, mut folders, mut seen) = (0, vec![cache.join("v2")], HashSet::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
                sum += (metadata.blocks() * 512).saturating_sub(4096);
            } else if seen.insert(metadata.ino()) {
                // a file that is moved meanwhile is listed twice
                sum += metadata.blocks() * 512;
            }
        }
    }
    sum
}

fn settled(server: &Server) {
    poll("the folder to be read in", || (server.metric("tintype_cache_scan_progress") == 1.0).then_some(()));
}

/// Attaches strace, which injects a fault into a running server. Calls are counted from then on.
fn trace(server: &Server, inject: &str) -> std::process::Child {
    let call = inject.split(':').next().unwrap_or_default();
    let pid = server.pid();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &format!("inject={inject}")]);
    let mut strace = command.args(["-p", &pid.to_string()]).stderr(Stdio::null()).spawn().expect("it starts");
    poll("strace to have every thread", || {
        // the fault may have hit already
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

/// Waits until renditions are stored again, for 10 seconds at most.
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

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}
