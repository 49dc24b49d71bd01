//! SIGHUP: settings that apply at once, settings that wait for a restart, and requests meanwhile.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{Address, Answer, Connection, PATIENCE, Server, folder, poll, run, serve, testdata, tintype};
use rustix::process::{Pid, Signal, kill_process};
use tintype::render::probe;

const OLD: &str = "0123456789abcdef";
const NEW: &str = "fedcba9876543210";

/// A running server and its settings file.
struct Set {
    server: Server,
    place: tempfile::TempDir,
}

impl Set {
    fn start(settings: &str, environment: &[(&str, &str)]) -> Set {
        let place = folder();
        let file = place.path().join("tintype.toml");
        std::fs::write(&file, settings).expect("a file");
        let mut command = serve(tintype(), &testdata(), &place.path().join("cache"), "127.0.0.1:0", environment);
        command.arg("--config").arg(&file);
        let server = Server::spawn(command).unwrap_or_else(|log| panic!("it does not start:\n{log}"));
        Set { server, place }
    }

    fn file(&self) -> PathBuf {
        self.place.path().join("tintype.toml")
    }

    /// Writes the file, sends the signal, and waits until the log reports success or failure.
    fn reload(&self, settings: &str) {
        std::fs::write(self.file(), settings).expect("a file");
        self.hangup();
    }

    /// Sends the signal and waits until the log reports success or failure.
    fn hangup(&self) {
        let before = self.readings();
        self.server.signal(Signal::HUP);
        poll("the settings are read", || (self.readings() > before).then_some(()));
    }

    fn readings(&self) -> usize {
        let log = self.server.log();
        log.matches("settings reloaded").count() + log.matches("invalid settings were not applied").count()
    }

    /// The last line of the log that has these words.
    fn log_line(&self, words: &str) -> String {
        poll(words, || self.server.log().lines().rfind(|line| line.contains(words)).map(str::to_owned))
    }

    fn status(&self, target: &str) -> u16 {
        self.server.get(target, &[]).status
    }

    fn width(&self, target: &str) -> u32 {
        self.server.get(target, &[]).picture().1
    }
}

fn signed(place: &Path, key: &str, url: &str) -> String {
    let file = place.join("signing.toml");
    std::fs::write(&file, format!("[security]\nkeys = [\"{key}\"]\n")).expect("a file");
    let (code, output, stderr) = run(tintype().args(["sign", url, "--config"]).arg(&file), b"");
    assert_eq!(code, Some(0), "{stderr}");
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

#[test]
fn reload_applies_presets_keys_and_limits() {
    let keys = tempfile::NamedTempFile::new().expect("a file");
    let settings = |width: u32, more: &str| {
        let keys = keys.path().display();
        format!("[presets]\na = \"width={width}&format=webp\"\n[security]\nkeys_file = \"{keys}\"\n{more}")
    };
    std::fs::write(keys.path(), OLD).expect("written");
    let set = Set::start(&settings(20, ""), &[]);
    let url = "/photos/coffee.png?preset=a";
    let (old, new) = (signed(set.place.path(), OLD, url), signed(set.place.path(), NEW, url));
    assert_eq!((set.status(url), set.width(&old), set.status(&new)), (403, 20, 403));

    // another key in the same file, and another preset
    std::fs::write(keys.path(), format!("{NEW}\n")).expect("written");
    set.reload(&settings(30, ""));
    assert_eq!((set.status(url), set.status(&old), set.width(&new)), (403, 403, 30));
    let line = set.log_line("settings reloaded");
    assert!(line.contains("presets.a") && line.contains("security.keys") && !line.contains(NEW), "{line}");

    // two keys, none required; limits of renders; headers
    std::fs::write(keys.path(), format!("{NEW}\n{OLD}\n")).expect("written");
    let more = "require_signature = false\nadmin_token = \"let me in\"\n[limits]\nmax_dimension = 10\nmax_pixels = 100\n\
        [server]\nserver_timing = true\n[output]\nquality = 30\n";
    set.reload(&settings(40, more));
    let refused = set.server.get("/photos/coffee.png?width=11&format=png", &[]);
    refused.assert_problem(422);
    let purge = |token: &str| {
        let token = format!("Bearer {token}");
        set.server.connect().ask("POST", "/-/purge?path=photos/", &[("Authorization", &token)]).status
    };
    assert_eq!((purge("let me in"), purge("other")), (200, 401));
    set.reload(&settings(40, &more.replace("max_pixels = 100\n", "")));
    for url in [url, &old, &new] {
        let answer = set.server.get(url, &[]);
        assert_eq!(answer.picture().1, 10, "{url}");
        assert!(answer.try_header("server-timing").is_some());
    }
    set.reload(&settings(20, ""));
    assert_eq!((set.status(url), set.width(&old), purge("let me in")), (403, 20, 404));
    assert!(set.server.get(&old, &[]).try_header("server-timing").is_none());
}

#[test]
fn reload_applies_allow_origin_on_both_paths() {
    let settings = |origins: &str| format!("[server]\nallow_origin = {origins}\n");
    let set = Set::start(&settings("\"*\""), &[]);
    let url = "/photos/coffee.png?width=60&format=webp";
    let ask = |more: &[(&str, &str)]| {
        let headers: Vec<_> = [("Origin", "https://a.example")].into_iter().chain(more.iter().copied()).collect();
        let answer = set.server.get(url, &headers);
        (answer.try_header("access-control-allow-origin"), answer.try_header("vary"))
    };
    let text = |text: &str| Some(text.to_owned());
    for (origins, expected) in [
        ("\"*\"", (text("*"), None)),
        ("[\"https://a.example\", \"https://b.example\"]", (text("https://a.example"), text("Origin"))),
        ("\"https://b.example\"", (None, text("Origin"))),
        ("\"\"", (None, None)),
    ] {
        set.reload(&settings(origins));
        let before = set.server.metric("tintype_fast_path_answers_total");
        (0..4).for_each(|_| assert_eq!(ask(&[]), expected, "{origins}"));
        assert_eq!(ask(&[("Range", "lines=1-2")]), expected, "{origins}");
        assert!(set.server.metric("tintype_fast_path_answers_total") > before, "{origins}");
    }
}

#[test]
fn reload_of_invalid_settings_changes_nothing() {
    let good = "[presets]\na = \"width=20\"\n";
    let mut set = Set::start(good, &[]);
    for (wrong, part) in [
        ("[presets]\na = \"width=30\"\nb = \"width=0\"\n", "preset b"),
        ("[presets]\na = \"width=30\"\n[limits]\nqueu = 3\n", "queue"),
        ("[presets]\na = \"width=30\"\n[cashe]\n", "[cache]"),
        ("[presets]\na = \"width=30\"\n[output]\nquality = 0\n", "output.quality"),
        ("[presets]\na = \"width=30\"\n[security]\nkeys_file = \"/nowhere\"\n", "keys_file"),
        ("[presets\n", "tintype.toml"),
    ] {
        let errors = set.server.log().matches("ERROR").count();
        set.reload(wrong);
        let line = set.log_line("invalid settings were not applied");
        assert!(line.contains(part), "{line}");
        assert_eq!(set.server.log().matches("ERROR").count(), errors + 1, "one clear error");
        assert_eq!(set.width("/photos/coffee.png?preset=a"), 20);
    }
    std::fs::remove_file(set.file()).expect("it is there");
    set.hangup();
    let line = set.log_line("invalid settings were not applied");
    assert!(line.contains("cannot read") && line.contains("tintype.toml"), "{line}");
    assert_eq!(set.width("/photos/coffee.png?preset=a"), 20);
    set.reload(&good.replace("20", "30"));
    assert_eq!(set.width("/photos/coffee.png?preset=a"), 30);
    assert!(!set.server.has_ended());
}

#[test]
fn reload_names_settings_that_need_a_restart() {
    // the environment overrides the file, also on a reload
    let environment = [("TINTYPE_OUTPUT_QUALITY", "50"), ("TINTYPE_LIMITS_QUEUE", "7")];
    let set = Set::start("[output]\nquality = 90\n", &environment);
    let image = || set.server.get("/photos/coffee.png?width=60&format=jpeg", &[]).body;
    let before = image();
    let more = "[output]\nquality = 20\n[presets]\na = \"width=20\"\n[limits]\nqueue = 3\nworkers = 1\n\
        [cache]\nmax_files = 5\ndir = \"/nowhere\"\n[server]\nlisten = \"127.0.0.1:1\"\n[security]\nlog_beacons = true\n";
    for _ in 0..2 {
        set.reload(more);
        let line = set.log_line("need a restart");
        for name in ["limits.workers", "cache.max_files", "security.log_beacons"] {
            assert!(line.contains(name), "{line}");
        }
        // set by flags and variables, which have not changed
        for name in ["limits.queue", "cache.dir", "server.listen", "output.quality"] {
            assert!(!line.contains(name), "{line}");
        }
    }
    assert_eq!(set.server.metric("tintype_queue_max_length"), 7.0);
    assert_eq!(set.server.metric("tintype_cache_max_files"), 1_000_000.0);
    assert_eq!(set.server.connect().ask("POST", "/-/log", &[("Content-Length", "0")]).status, 404);
    assert_eq!(set.width("/photos/coffee.png?preset=a"), 20);
    assert!(image() == before);
}

#[test]
fn reloads_under_load_mix_no_settings() {
    // width and quality change together: a mixture would be a third image
    let settings = [
        "[presets]\na = \"width=20&format=jpeg\"\n[output]\nquality = 20\nlinear = false\n",
        "[presets]\na = \"width=40&format=jpeg\"\n[output]\nquality = 90\nlinear = true\n",
    ];
    let url = "/photos/coffee.png?preset=a";
    let set = Set::start(settings[0], &[("RUST_LOG", "info,tintype::access=off")]);
    let mut expected = Vec::new();
    for text in settings {
        set.reload(text);
        expected.push(set.server.get(url, &[]).body);
    }
    assert!(expected[0] != expected[1]);
    let over = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let ask = |nth: usize| {
            let (set, over, expected) = (&set, &over, &expected);
            move || {
                let (mut connection, mut count) = (set.server.connect(), 0);
                while !over.load(Ordering::Relaxed) {
                    let answer = connection.ask("GET", url, &[]);
                    assert_eq!(answer.status, 200, "{}", answer.head);
                    assert!(expected.contains(&answer.body), "neither the old nor the new: {}", answer.head);
                    // renders, too, which begin under either
                    let other = format!("/photos/coffee.png?width={}&format=webp&v={nth}", 1 + count % 50);
                    let answer = connection.ask("GET", &other, &[]);
                    assert_eq!(answer.status, 200, "{}", answer.head);
                    count += 2;
                }
                count
            }
        };
        let askers: Vec<_> = (0..4).map(|nth| scope.spawn(ask(nth))).collect();
        for nth in 0..200 {
            set.reload(settings[nth % 2]);
        }
        over.store(true, Ordering::Relaxed);
        askers.into_iter().map(|asker| asker.join().expect("no failure")).sum::<usize>()
    });
    assert!(asked > 200, "{asked}");
    assert_eq!(set.server.stop().code(), Some(0));
}

#[test]
fn request_in_flight_keeps_its_settings() {
    let set = Set::start("[limits]\nmax_dimension = 8192\n", &[]);
    let mut connection = set.server.connect();
    connection.send_request("GET", "/photos/coffee.png?width=2400&enlarge=true&format=avif&quality=70", &[]);
    // the render has begun
    set.server.wait_for("tintype_renders_total", 1.0);
    set.reload("[limits]\nmax_dimension = 100\n");
    assert_eq!(connection.receive("GET").picture().1, 2400);
    assert_eq!(set.width("/photos/coffee.png?width=2400&enlarge=true&format=jpeg"), 100);
}

#[test]
fn service_manager_is_notified_of_reloads() {
    let place = folder();
    let manager = place.path().join("notify");
    let notified = UnixDatagram::bind(&manager).expect("a socket");
    notified.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let next = || {
        let mut buffer = [0; 2048];
        let count = notified.recv(&mut buffer).expect("it says something");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let set = Set::start("", &[("NOTIFY_SOCKET", manager.to_str().expect("UTF-8"))]);
    assert_eq!(next(), "READY=1\n");
    for (settings, status) in [
        ("[output]\nquality = 70\n", "settings reloaded"),
        ("[output]\nquality = 0\n", "invalid settings were not applied: output.quality"),
        ("[limits]\nqueue = 1\n", "settings reloaded; a restart is needed for: limits.queue"),
        ("[output\n", "invalid settings were not applied: "),
    ] {
        set.reload(settings);
        let (first, second) = (next(), next());
        let time = first.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("in one message");
        assert!(time.trim_end().parse::<u64>().is_ok_and(|time| time > 0), "{first}");
        assert!(second.starts_with(&format!("READY=1\nSTATUS={status}")), "{second}");
        assert_eq!(second.lines().count(), 2, "{second}");
    }
}

/// Standard error may be closed: a log collector ends, a terminal goes away.
#[test]
fn closed_log_stops_nothing() {
    let place = folder();
    let socket = place.path().join("socket");
    let listen = format!("unix:{}", socket.display());
    let mut command = serve(tintype(), &testdata(), &place.path().join("cache"), &listen, &[]);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stderr.take());
    let address = Address::Unix(socket);
    let mut connection = poll("it listens", || Connection::try_open(&address).ok());
    for signal in [Signal::HUP, Signal::HUP, Signal::TERM] {
        assert_eq!(connection.ask("GET", "/photos/coffee.png?width=20", &[]).status, 200);
        kill_process(Pid::from_child(&child), signal).expect("it is ours and runs");
    }
    assert_eq!(child.wait().expect("it is ours").code(), Some(0));
}

#[test]
fn repeated_sighup_changes_nothing() {
    let set = Set::start("", &[]);
    for _ in 0..50 {
        set.server.signal(Signal::HUP);
    }
    assert_eq!(set.status("/photos/coffee.png?width=20"), 200);
    set.server.signal(Signal::TERM);
    set.server.signal(Signal::HUP);
    let Set { mut server, .. } = set;
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn reload_replaces_the_fallback_picture() {
    let set = Set::start("[output]\nsave_data_quality = 0\n", &[]);
    let (url, picture) = ("/no.jpg?width=20&format=webp", set.place.path().join("missing.png"));
    assert_eq!(set.server.get(url, &[]).header("content-type"), "application/problem+json");
    let settings = "[output]\nfallback = \"missing.png\"\n";
    set.reload(settings);
    let line = set.log_line("invalid settings were not applied");
    assert!(line.contains("output.fallback") && line.contains("missing.png"), "{line}");
    std::fs::copy(testdata().join("photos/coffee.png"), &picture).expect("a file");
    set.reload(settings);
    let first = set.server.get(url, &[]);
    let width = |answer: &Answer| probe(&answer.body).expect("a picture").size.width;
    assert_eq!((first.status, width(&first)), (404, 20));
    // another picture in the same file is another rendition
    std::fs::copy(testdata().join("photos/rocket.jpg"), &picture).expect("a file");
    set.reload(settings);
    let second = set.server.get(url, &[]);
    assert!(second.status == 404 && width(&second) == 20 && second.body != first.body, "{}", second.head);
    assert!(set.log_line("settings reloaded").contains("applied"), "{}", set.server.log());
    set.reload("");
    assert_eq!(set.server.get(url, &[]).header("content-type"), "application/problem+json");
}
