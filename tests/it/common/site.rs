//! The site of `deploy/` as it is shipped, with paths and addresses replaced, and stub servers behind it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::nginx::Nginx;
use super::{Answer, Server, testdata};

pub(crate) fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

pub(crate) fn text_of(name: &str) -> String {
    std::fs::read_to_string(shipped(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

/// The text with each of these replaced; panics where one is missing.
pub(crate) fn with(mut text: String, changes: &[(&str, &str)]) -> String {
    for (from, to) in changes {
        assert!(text.contains(from), "{from} does not stand in:\n{text}");
        text = text.replace(from, to);
    }
    text
}

/// A folder for the paths of the site: originals, cache, socket, flag.
pub(crate) struct SiteFolder(pub(crate) tempfile::TempDir);

impl SiteFolder {
    pub(crate) fn new() -> SiteFolder {
        let place = SiteFolder(super::folder());
        let photos = place.root().join("photos");
        std::fs::create_dir_all(photos.join(".hidden")).expect("folders");
        let put = |from: &str, to: &str| {
            std::fs::copy(testdata().join(from), place.root().join(to)).expect("a copy");
        };
        put("photos/coffee.png", "photos/coffee.png");
        put("photos/coffee.png", "photos/a b é.png");
        put("photos/coffee.png", "photos/.hidden.png");
        put("photos/coffee.png", "photos/.hidden/coffee.png");
        put("photos/rocket.jpg", "photos/rocket.JPG");
        put("generated/svg-script.svg", "photos/script.svg");
        std::fs::write(photos.join("notes.txt"), "not for everyone").expect("a file");
        std::fs::write(photos.join("notes.png"), "not a picture").expect("a file");
        std::fs::write(place.0.path().join("secret.png"), "a secret").expect("a file");
        std::os::unix::fs::symlink("../../secret.png", photos.join("out.png")).expect("a link");
        std::os::unix::fs::symlink("coffee.png", photos.join("within.png")).expect("a link");
        place
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.0.path().join("srv")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.0.path().join("cache")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.path().join("tintype.sock")
    }

    pub(crate) fn flag(&self) -> PathBuf {
        self.0.path().join("maintenance")
    }

    pub(crate) fn tintype(&self, settings: &[(&str, &str)]) -> Server {
        Server::start_with(&self.root(), &self.cache(), &format!("unix:{}", self.socket().display()), settings)
    }

    /// nginx with the shipped site, and with the shipped files that it includes.
    pub(crate) fn nginx(&self) -> Nginx {
        self.nginx_with(str::to_owned)
    }

    /// The same with an operator's changes.
    pub(crate) fn nginx_with(&self, change: impl Fn(&str) -> String) -> Nginx {
        let text = |path: PathBuf| path.to_str().expect("UTF-8").to_owned();
        let (x_accel, real) = (text(self.0.path().join("x-accel.conf")), text(self.0.path().join("real.conf")));
        let cache = format!("alias {}/;", text(self.cache()));
        let store = with(text_of("nginx-x-accel.conf"), &[("alias /var/cache/tintype/;", &cache)]);
        std::fs::write(&x_accel, store).expect("a file");
        // the tests are in the place of Cloudflare
        let trusted = with(text_of("nginx-cloudflare.conf"), &[("131.0.72.0/22;", "127.0.0.1;")]);
        std::fs::write(&real, trusted).expect("a file");
        let (socket, root, flag) = (text(self.socket()), format!("root {};", text(self.root())), text(self.flag()));
        Nginx::start(self.0.path(), |listen: SocketAddr| {
            let listen = format!("listen {listen};");
            with(
                change(&text_of("nginx.conf")),
                &[
                    ("listen 80;", &listen),
                    ("listen [::]:80;", ""),
                    ("unix:/run/tintype/tintype.sock", &format!("unix:{socket}")),
                    ("root /srv/images;", &root),
                    ("/etc/tintype/maintenance)", &format!("{flag})")),
                    ("include /etc/nginx/snippets/tintype-cloudflare.conf;", &format!("include {real};")),
                    ("# include /etc/nginx/snippets/tintype-x-accel.conf;", &format!("include {x_accel};")),
                ],
            )
        })
    }
}

/// A stub in the place of tintype.
pub(crate) struct Stub {
    socket: PathBuf,
}

impl Stub {
    pub(crate) fn start(place: &SiteFolder, answer: impl Fn(&str) -> String + Send + Sync + Clone + 'static) -> Stub {
        let listener = UnixListener::bind(place.socket()).expect("a socket");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, answer) = (stream.expect("a connection"), answer.clone());
                std::thread::spawn(move || {
                    let (mut head, mut byte) = (Vec::new(), [0]);
                    while stream.read(&mut byte).is_ok_and(|count| count == 1) {
                        head.push(byte[0]);
                        if head.ends_with(b"\r\n\r\n") {
                            let reply = answer(&String::from_utf8_lossy(&head));
                            if stream.write_all(reply.as_bytes()).is_err() {
                                return;
                            }
                            head.clear();
                        }
                    }
                });
            }
        });
        Stub { socket: place.socket() }
    }

    pub(crate) fn echoing(place: &SiteFolder) -> Stub {
        Stub::start(place, |head| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len()))
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// A header of the request, from the answer of an echoing stub.
pub(crate) fn sent(answer: &Answer, name: &str) -> Option<String> {
    let body = answer.text();
    let mut lines = body.split("\r\n").filter_map(|line| line.split_once(": "));
    lines.find(|(this, _)| this.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
}
