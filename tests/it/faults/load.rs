//! Many clients, many files, two processes, and an original that changes all the time.

use super::*;

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
    let body = String::from_utf8_lossy(&ready.body).into_owned();
    assert_eq!(ready.status, 200);
    assert!(body.contains(r#""cache":"in use by another process""#), "{body}");
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

/// Samples the size of a folder on disk until `done`; the thread returns the largest.
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
    let requests = Arc::new(AtomicU64::new(0));
    let hits = Arc::new(AtomicU64::new(0));
    // the first round renders the hot ones, the second uses them
    for number in (0..hot).chain(0..hot) {
        truth.get(&server, &url(99_000 + number));
    }
    let next = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (next, requests, hits, truth) =
                (Arc::clone(&next), Arc::clone(&requests), Arc::clone(&hits), truth.clone());
            let address = server.address.clone();
            std::thread::spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= flood {
                        return;
                    }
                    // too many to compare their bytes
                    let (status, ..) = try_get(&address, &url(number)).expect("an answer");
                    assert_eq!(status, 200);
                    if number.is_multiple_of(10) {
                        let hot = url(99_000 + (number / 10) % hot);
                        let outcome = truth.check(&hot, try_get(&address, &hot).expect("an answer"));
                        requests.fetch_add(1, Ordering::Relaxed);
                        hits.fetch_add(u64::from(outcome.contains("hit")), Ordering::Relaxed);
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
    let ratio = hits.load(Ordering::Relaxed) as f64 / requests.load(Ordering::Relaxed) as f64;
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
    // many keys of one body
    let body = bodies(cache.path()).remove(0);
    let name = body.file_name().expect("a name").to_str().expect("text").to_owned();
    let rest = name.split_once('.').expect("a record").1;
    let mut random = Random(5);
    for number in 0..count {
        let key: String = (0..4).map(|_| format!("{:016x}", random.below(u64::MAX))).collect();
        let folder = u8::from_str_radix(&key[..2], 16).expect("hexadecimal") % 64;
        let folder = cache.path().join(format!("v2/{folder:02x}"));
        std::fs::create_dir_all(&folder).expect("made");
        // hard links, as far as the file system allows
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
    let outcome = truth.get(&server, &url(2));
    let missed = began.elapsed();
    settled(&server);
    let read_in = began.elapsed();
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let memory = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().to_owned();
    eprintln!(
        "{count} entries: listening after {listening:?}, a hit after {answered:?}, a miss ({outcome}) after {missed:?}, \
         read in after {read_in:?}, {memory}"
    );
    let files = server.metric("tintype_cache_files");
    assert!(files >= count as f64, "{files}");
}

#[test]
fn thousands_of_clients_share_one_render() {
    let cache = folder();
    let clients = if is_long() { 10_000 } else { 300 };
    // connections are limited by the system alone
    let server = start(cache.path(), &[]);
    let Address::Tcp(address) = &server.address else { panic!("TCP") };
    // a small rendition: the kernel buffers ten thousand of them until they are read one by one
    let request =
        b"GET /photos/large-12mp.jpg?width=100&format=webp HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let mut streams: Vec<_> = (0..clients)
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
    eprintln!("{clients} clients: one render");
}

#[test]
fn changing_original_is_never_torn_or_stale() {
    let root = folder();
    let cache = folder();
    // one colour each, and equal lengths: a mixture of two would be an image, too
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
    // every kind of change is seen by the next request
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
    // a writer that never stops
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (done, path) = (Arc::clone(&done), path.clone());
        std::thread::spawn(move || {
            let mut colour = 0_u8;
            while !done.load(Ordering::Relaxed) {
                colour = colour.wrapping_add(1);
                let mut bytes = b"P6\n64 64\n255\n".to_vec();
                bytes.extend(std::iter::repeat_n(colour, 64 * 64 * 3));
                // in place, and in two halves
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
