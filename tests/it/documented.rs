//! The commands of the documents, run as they stand: paths and addresses are those of the test, and programs that would
//! change the machine (`sudo`, `sudoedit`, `systemctl`, `docker`, `apt-get`, `make`, `cargo`, nginx) are shims that check their
//! arguments.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::common::{Address, Server, folder, run, testdata, tintype};

const PAGES: [&str; 7] = [
    "README.md",
    "docs/cache.md",
    "docs/cloudflare.md",
    "docs/install.md",
    "docs/migrate/next.md",
    "docs/playground.md",
    "docs/uploads.md",
];

/// Stands in for programs that change the machine. `make` prints what it would do, and fails for an unknown target.
const SHIM: &str = r#"#!/usr/bin/env bash
fail() { echo "$0: $*" >&2; exit 2; }
case ${0##*/} in
    sudo) exec env "$@" ;;
    make) exec /usr/bin/make -n "$@" ;;
    docker) [[ $1 == build || $1 == run ]] && [ -e Dockerfile ] || fail "$@" ;;
    cargo) [[ $1 == build || $1 == install || $1 == test ]] || fail "$@" ;;
    apt-get) [[ $1 == install ]] || fail "$@" ;;
    nginx) [[ $* == -t ]] || fail "$@" ;;
    sudoedit) [ -e "$1" ] || fail "$@" ;;
    openssl) [[ $* == 'rand -base64 32' ]] || fail "$@"; head -c 32 /dev/urandom | base64 ;;
    systemctl) for unit in "${@:2}"; do
        [[ $unit == -* || $unit == nginx || -e deploy/$unit || -e deploy/$unit.service ]] || fail "no $unit"
    done ;;
esac
"#;
const SHIMS: [&str; 9] = ["sudo", "sudoedit", "make", "docker", "cargo", "apt-get", "nginx", "openssl", "systemctl"];

/// The lines of the blocks of shell commands, without their comments.
fn commands(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document));
    let Ok(text) = text else { return Vec::new() };
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split_once("```").expect("an end").0.to_owned());
    let lines = blocks.collect::<String>().replace("\\\n", " ");
    let lines = lines.lines().map(|line| line.split(" # ").next().unwrap_or_default().split("   #").next());
    lines
        .flatten()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// The files that the commands work on.
struct Setup {
    folder: tempfile::TempDir,
    tcp: Server,
    _unix: Server,
}

impl Setup {
    fn new() -> Setup {
        let place = folder();
        let path = |name: &str| place.path().join(name);
        for name in [
            "bin",
            "srv/images/a",
            "srv/images/photos",
            "home/Pictures",
            "etc/tintype/credentials",
            "etc/nginx/sites-enabled",
            "etc/nginx/sites-available",
            "log",
        ] {
            std::fs::create_dir_all(path(name)).expect("a folder");
        }
        std::fs::create_dir_all(path("srv/app/public/photos")).expect("a folder");
        for name in
            ["srv/images/photo.jpg", "srv/images/a/b.jpg", "srv/images/photos/tom.jpg", "home/Pictures/mine.jpg"]
        {
            std::fs::copy(testdata().join("photos/rocket.jpg"), path(name)).expect("a copy");
        }
        for name in ["etc/nginx/sites-enabled/default", "etc/nginx/sites-available/tintype"] {
            std::fs::write(path(name), "").expect("a file");
        }
        std::fs::write(path("urls.txt"), "/photo.jpg?width=80\n").expect("a file");
        let line =
            "127.0.0.1 - - [30/Nov/2026:00:00:00 +0000] \"GET /photo.jpg?width=90 HTTP/1.1\" 200 9 \"-\" \"-\"\n";
        let mut log = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        log.write_all(line.as_bytes()).expect("memory");
        std::fs::write(path("log/access.log.2.gz"), log.finish().expect("memory")).expect("a file");
        for shim in SHIMS {
            std::fs::write(path("bin").join(shim), SHIM).expect("a file");
            std::fs::set_permissions(path("bin").join(shim), std::fs::Permissions::from_mode(0o755)).expect("ours");
        }
        symlink(tintype().get_program(), path("bin/tintype")).expect("a link");

        let settings = [("TINTYPE_SECURITY_ADMIN_TOKEN", "token"), ("TINTYPE_SECURITY_UPLOAD", "true")];
        let tcp = Server::start_with(&path("srv/images"), &path("cache"), "127.0.0.1:0", &settings);
        let socket = format!("unix:{}", path("tintype.sock").display());
        let unix = Server::start_with(&path("srv/images"), &path("cache-unix"), &socket, &settings);
        let Address::Tcp(address) = &tcp.address else { panic!("it listens on TCP") };
        let settings = format!(
            "[server]\nlisten = \"{address}\"\n[source]\nroot = \"{}\"\n[cache]\ndir = \"{}\"\n[security]\nkeys_file = \"keys\"\n",
            path("srv/images").display(),
            path("cache").display()
        );
        std::fs::write(path("etc/tintype/tintype.toml"), settings).expect("a file");
        Setup { folder: place, tcp, _unix: unix }
    }

    /// The command with the paths and addresses of this place.
    fn here(&self, command: &str) -> String {
        let Address::Tcp(address) = &self.tcp.address else { panic!("it listens on TCP") };
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let install = format!("deploy/install --root {} --binary {}", path("root"), path("bin/tintype"));
        let mut command = command.replace("https://images.example/ |", "http://localhost/photo.jpg?format=json |");
        for (from, to) in [
            ("target/release/tintype", "tintype"),
            ("deploy/install", &install),
            ("/srv/", &path("srv/")),
            ("/etc/tintype", &path("etc/tintype")),
            ("/etc/nginx", &path("etc/nginx")),
            ("/var/log/nginx", &path("log")),
            ("/var/cache/tintype", &path("cache")),
            ("/run/tintype/tintype.sock", &path("tintype.sock")),
            ("http://127.0.0.1:8080", &format!("http://{address}")),
            ("http://localhost", &format!("http://{address}")),
            ("https://images.example", &format!("http://{address}")),
            ("Bearer …", "Bearer token"),
            (" urls.txt", &format!(" {}", path("urls.txt"))),
            ("-o small.webp", &format!("-o {}", path("small.webp"))),
            ("-T photo.jpg", &format!("-T {}", path("srv/images/photo.jpg"))),
            ("@one.jpg", &format!("@{}", path("srv/images/photo.jpg"))),
            ("@two.png", &format!("@{}", testdata().join("photos/chelsea.png").display())),
        ] {
            command = command.replace(from, to);
        }
        // a server that runs until it is stopped: other tests start it, here its arguments are read
        if command.contains("tintype serve ") { format!("{command} --help") } else { command }
    }

    fn run(&self, command: &str) -> (Option<i32>, String) {
        let Address::Tcp(address) = &self.tcp.address else { panic!("it listens on TCP") };
        let path = |name: &str| self.folder.path().join(name);
        let programs = format!("{}:{}", path("bin").display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("bash");
        // curl fails where the answer is an error
        let text = format!("curl() {{ command curl --fail-with-body -sS \"$@\"; }}\nset -o pipefail\n{command}");
        shell.args(["-c", &text]).current_dir(env!("CARGO_MANIFEST_DIR")).env("PATH", programs);
        shell.env("HOME", path("home")).env("CREDENTIALS_DIRECTORY", path("etc/tintype/credentials"));
        shell.env("TINTYPE_SERVER_LISTEN", address.to_string()).env("TINTYPE_SECURITY_ADMIN_TOKEN", "token");
        shell.env("TINTYPE_SOURCE_ROOT", path("srv/images")).env("TINTYPE_CACHE_DIR", path("cache"));
        let (code, output, errors) = run(&mut shell, b"");
        (code, format!("{}{errors}", String::from_utf8_lossy(&output.stdout)))
    }
}

#[test]
fn commands_of_the_documents_run() {
    let place = Setup::new();
    let mut seen = 0;
    for document in PAGES {
        for documented in commands(document) {
            let command = place.here(&documented);
            let (code, said) = place.run(&command);
            // `check` finds faults of this machine, which are not those of the command
            let expected = if documented.contains("tintype check") { code.min(Some(1)) } else { Some(0) };
            assert_eq!(code, expected, "{document}: {documented}\n{command}\n{said}");
            seen += 1;
        }
    }
    assert!(seen > 35, "{seen}");
}

/// No page has shell commands that are not run.
#[test]
fn every_document_with_commands_is_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["", "docs", "docs/migrate"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("a folder").map(|entry| entry.expect("an entry")) {
            let name = entry.file_name().into_string().expect("UTF-8");
            let document = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if document.ends_with(".md") && !commands(&document).is_empty() {
                assert!(PAGES.contains(&document.as_str()), "{document} has commands that are not run");
            }
        }
    }
}
