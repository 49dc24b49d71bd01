//! A server that is killed while it receives uploads.

use super::*;

#[test]
fn staged_files_of_dead_processes_are_removed() {
    let (root, cache) = (folder(), folder());
    let staging = root.path().join(".tintype-uploads");
    std::fs::create_dir(&staging).expect("a folder");
    let stray = "upload-0123456789abcdef";
    for name in [stray, "upload-0123", "notes.txt"] {
        std::fs::write(staging.join(name), b"half a pict").expect("written");
    }
    let server = start(root.path(), cache.path(), &[]);
    let left = || files(&staging).into_keys().map(|path| path.display().to_string()).collect::<Vec<_>>();
    assert_eq!(left(), ["notes.txt", "upload-0123"]);
    // what another process is writing is no stray
    std::fs::write(staging.join(stray), b"half a pict").expect("written");
    let other = std::fs::File::open(staging.join(stray)).expect("a file");
    other.lock().expect("a lock");
    assert_eq!(put(&server, "a.png", &[], &picture("generated/grey.png")).status, 201);
    assert_eq!(left(), ["notes.txt", "upload-0123", stray]);
    drop(other);
    assert_eq!(put(&server, "b.png", &[], &picture("generated/grey.png")).status, 201);
    assert_eq!(left(), ["notes.txt", "upload-0123"]);
}

/// The status of one PUT; `None` where the server has gone meanwhile.
fn try_put(address: &Address, name: &str, replaces: bool, body: &[u8]) -> Option<u16> {
    let Address::Tcp(address) = address else { panic!("this test goes over TCP") };
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let condition = if replaces { "If-Match: *\r\n" } else { "" };
    let (name_of_token, token) = TOKEN;
    let head = format!(
        "PUT /-/upload/{name} HTTP/1.1\r\nHost: test\r\n{name_of_token}: {token}\r\n{condition}Content-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let head = String::from_utf8_lossy(&answer);
    head.contains("\r\n\r\n").then(|| head.split(' ').nth(1)?.parse().ok())?
}

/// What one client of the killed server knows.
#[derive(Default)]
struct Known {
    /// New names that were acknowledged.
    taken: Vec<u64>,
    /// The last replacement that was acknowledged, and the one that was sent and not answered.
    replaced: Option<u64>,
    unanswered: Option<u64>,
}

#[test]
fn killed_server_loses_no_upload_and_keeps_no_part() {
    const CLIENTS: u64 = 4;
    let kills: u64 = std::env::var("TINTYPE_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let (root, cache) = (folder(), folder());
    let staging = root.path().join(".tintype-uploads");
    let (mut acknowledged, mut unacknowledged, mut strays, mut replacements) = (0, 0, 0, 0);
    let mut last: Vec<Option<u64>> = vec![None; CLIENTS as usize];
    for cycle in 0..kills {
        let mut server = start(root.path(), cache.path(), &[]);
        assert!(files(&staging).is_empty(), "strays after a start");
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (address, mut known) = (server.address.clone(), Known::default());
                let begun = last[client as usize].is_some();
                std::thread::spawn(move || {
                    for step in 0.. {
                        let number = (cycle * CLIENTS + client) * 100_000 + step;
                        let status = try_put(&address, &format!("{client}/{cycle}/{number}.ppm"), false, &body(number));
                        match status {
                            Some(201) => known.taken.push(number),
                            Some(status) => panic!("a new name: {status}"),
                            None => return known,
                        }
                        known.unanswered = Some(number);
                        let replaces = begun || known.replaced.is_some();
                        match try_put(&address, &format!("replaced-{client}.ppm"), replaces, &body(number)) {
                            Some(200 | 201) => known.replaced = Some(number),
                            Some(status) => panic!("a replacement: {status}"),
                            None => return known,
                        }
                        known.unanswered = None;
                    }
                    known
                })
            })
            .collect();
        // at a moment that differs in each cycle
        std::thread::sleep(Duration::from_millis(5 + (cycle * 37) % 120));
        server.signal(Signal::KILL);
        server.wait();
        strays += files(&staging).len();
        let known: Vec<Known> = clients.into_iter().map(|client| client.join().expect("no refusal")).collect();

        let kept = files(root.path());
        for (client, known) in known.iter().enumerate() {
            for number in &known.taken {
                let path = PathBuf::from(format!("{client}/{cycle}/{number}.ppm"));
                assert!(kept.contains_key(&path), "{} was acknowledged and is lost", path.display());
            }
            acknowledged += known.taken.len();
            replacements += usize::from(known.replaced.is_some());
            let shown = kept.get(Path::new(&format!("replaced-{client}.ppm")));
            let newest = known.replaced.or(last[client]);
            let possible: Vec<u64> = newest.into_iter().chain(known.unanswered).collect();
            let found = shown.map(|bytes| possible.iter().copied().find(|number| *bytes == body(*number)));
            match found {
                None => assert!(newest.is_none(), "a replaced original is gone"),
                Some(None) => panic!("a replaced original is none of {possible:?}"),
                Some(number) => last[client] = number,
            }
        }
        let this_cycle = |path: &Path| path.iter().nth(1).is_some_and(|part| part.to_str() == Some(&cycle.to_string()));
        for (path, bytes) in kept.iter().filter(|(path, _)| path.components().count() == 3 && this_cycle(path)) {
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).expect("a number");
            assert!(*bytes == body(number), "{} is no whole upload", path.display());
            unacknowledged += 1;
        }
    }
    unacknowledged -= acknowledged;
    // and at the end all of them once more
    let kept = files(root.path());
    let whole = kept.iter().filter(|(path, _)| path.components().count() == 3);
    let wrong = whole.filter(|(path, bytes)| {
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        number.is_none_or(|number| **bytes != body(number))
    });
    assert_eq!(wrong.count(), 0);
    eprintln!(
        "{kills} kills: {acknowledged} uploads acknowledged, 0 lost; {replacements} times replaced before the kill, 0 torn; \
         {unacknowledged} published and not yet acknowledged, 0 partial; {strays} staged files left behind and removed"
    );
    assert!(acknowledged > 0);
}
