//! The process is killed: at random, and at each system call of storing.

use super::*;

/// Waits until the folder is unlocked: a process that was killed under a tracer takes a moment to end.
fn let_go(cache: &Path) {
    poll("the folder to be let go of", || {
        let Ok(lock) = std::fs::File::open(cache.join("v2/lock")) else { return Some(()) };
        lock.try_lock().is_ok().then_some(())
    });
}

/// Requests random URLs from several threads until the server is gone. The threads return the URLs that it reported as stored.
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
                    let outcome = truth.check(&url, answer);
                    if outcome.contains("stored") || outcome.contains("hit") {
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

/// Starts the server under strace, which injects a fault into a system call of any thread.
fn start_traced(cache: &Path, inject: &str) -> Result<Server, String> {
    let mut command = Command::new("strace");
    let call = inject.split(':').next().unwrap_or_default();
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &format!("inject={inject}")]);
    // the server ends with strace
    command.args(["setpriv", "--pdeathsig", "KILL"]).arg(tintype().get_program()).envs(PLAIN);
    Server::spawn(serve(command, &testdata(), cache, "127.0.0.1:0", &[]))
}

#[test]
fn kill_at_each_system_call_loses_no_stored_rendition() {
    needs!(Strace);
    // the system calls of storing a rendition, and of a start
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
            // stored, staged and torn files for the scan at start
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
                        // work after the answers can be hit, too
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
                    // it may have ended with the server
                    let _ = strace.kill();
                    strace.wait().expect("it is ours");
                }
                let_go(cache.path());
                let server = start(cache.path(), &[]);
                let strays = files(&cache.path().join("v2/staging"));
                assert!(strays.is_empty(), "{inject}: {strays:?}");
                for url in &kept {
                    checked += 1;
                    let outcome = truth.get(&server, url);
                    assert!(outcome.contains("hit"), "{inject}: {url} is lost\n{}", server.log());
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

/// Equal originals under several names: renditions of different keys have equal bodies.
fn twins() -> tempfile::TempDir {
    let root = folder();
    for name in ["a", "b", "c"] {
        let copied = std::fs::copy(testdata().join("generated/alpha.png"), root.path().join(format!("{name}.png")));
        copied.expect("copied");
    }
    root
}

/// The server's count of bytes and files is that of the folder, with hard links counted once.
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
            // work after the answers can be hit, too
            let end = Instant::now() + Duration::from_millis(150);
            while Instant::now() < end && !server.has_ended() {
                std::thread::sleep(Duration::from_millis(5));
            }
            killed += u64::from(server.has_ended());
            drop(server);
            // it may have ended with the server
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
            // hard links are still made afterwards, of renditions that were not asked for before
            let before = server.metric("tintype_cache_stored_total");
            for name in ["a", "b", "c"] {
                truth.get(&server, &format!("/{name}.png?width={}&quality=60&format=webp", 30 + number));
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
    // no hard links on this file system, too many links, no such file, an I/O error
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
