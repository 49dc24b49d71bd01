//! The file system fails: it is full, read-only, gone, or its calls return errors.

use super::*;

/// Removes a folder that a process may be writing in.
fn remove(dir: &Path) {
    poll("the folder to be gone", || std::fs::remove_dir_all(dir).is_ok().then_some(()));
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
        // the version check of an original makes the same call and may be hit, too, twice in each thread
        let mut failures = if fault.starts_with("newfstatat") { 6 } else { 0 };
        for number in 0..12 {
            truth.get_past(&server, &url(30_000 + number), &mut failures);
        }
        if recovers {
            let began = Instant::now();
            poll(fault, || {
                let number = 31_000 + began.elapsed().as_millis() as u64;
                let outcome = truth.get_past(&server, &url(number), &mut failures);
                (outcome.contains("stored") && server.get("/-/ready", &[]).status == 200).then_some(())
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

/// A server in a mount namespace with a small tmpfs for its cache, and the command that enters the namespace.
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

/// Ignores the options of the mount table: they name users that the namespace does not map.
const OWN_OPTIONS: &str = "--options-mode=ignore";

/// Runs a shell command in the server's namespace.
fn inside(enter: &[String], command: &str) -> String {
    let output = Command::new(&enter[0]).args(&enter[1..]).args(["sh", "-c", command]).output().expect("it runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn full_disk_costs_no_answer() {
    needs!(Mounts);
    let cache = folder();
    let truth = Truth::default();
    let (server, enter) = start_on_tmpfs(cache.path(), "size=2m", &[]);
    let dir = cache.path().display();
    // the cache fills the disk before it reaches its bound, and evicts
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
    // other files fill the disk
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
    // an open file delays the remount
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
    for (place, (what, harm, repair)) in (0..).zip(cases) {
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
        repair(&cache);
        recovers(&server, &truth, what, 66_000 + place * 500);
        let ended = server.stop();
        assert!(ended.success(), "{what}: {ended}");
    }
    truth.compare();
}

#[test]
fn unreadable_cache_folder_costs_no_answer() {
    // permissions do not stop root
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
