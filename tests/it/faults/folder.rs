//! The cache folder holds damaged, foreign or unsafe files.

use super::*;

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
    // while the server runs, and while it is stopped
    let mut server = Some(server);
    for is_running in [true, false] {
        if !is_running {
            drop(server.take());
        }
        let all = bodies(cache.path());
        assert_eq!(all.len() as u64, count);
        // equal bodies are links to one inode: what is damaged once is damaged under each name
        let mut inodes = HashSet::new();
        for path in &all {
            damaged += 1;
            if !inodes.insert(std::fs::metadata(path).expect("a body").ino()) {
                continue;
            }
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
        }
        let running = server.get_or_insert_with(|| start(cache.path(), &[]));
        // the scan at start finds wrong lengths; wrong bytes are found when they are read
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
    // bodies are swapped
    let server = server.expect("it runs");
    let mut all = bodies(cache.path());
    all.retain(|path| std::fs::metadata(path).expect("a body").nlink() == 1);
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
    // the warning is throttled
    assert!(server.log().matches("does not hold what its name says").count() <= 30);
    truth.compare();
}

#[test]
fn unsafe_folder_is_refused_and_newer_layout_is_kept() {
    let cache = folder();
    let (code, stderr) = outcome(|| {
        // a sticky folder such as /tmp is safe: others cannot remove our files
        std::fs::write(cache.path().join("anything"), b"planted").expect("written");
        set_mode(cache.path(), 0o777);
        cache.path().to_owned()
    });
    std::fs::remove_file(cache.path().join("anything")).expect("still there");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("writable by all users") && stderr.contains("chmod"), "{stderr}");
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
    let (code, stderr) = outcome(|| cache.path().to_owned());
    assert_eq!(code, Some(1));
    assert!(stderr.contains("12345"), "{stderr}");
}

/// The exit code and the error of `serve` that refuses a folder.
fn outcome(cache: impl FnOnce() -> PathBuf) -> (Option<i32>, String) {
    let command = serve(tintype(), &testdata(), &cache(), "127.0.0.1:0", &[]);
    let (code, _, stderr) = crate::common::run(&mut { command }, b"");
    (code, stderr)
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
    // one lies outside of the layout and is not counted
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
    // file times of 1970 and of years ahead, as a wrong clock leaves them
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
