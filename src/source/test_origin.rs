//! An HTTP origin for tests: originals that can be changed, and answers that no server should give.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::sync;

/// How the origin answers for one path.
#[derive(Clone)]
pub(super) enum Reply {
    /// A file, with a strong ETag and 304s.
    File(Vec<u8>),
    /// These bytes; then the connection is closed.
    Raw(Vec<u8>),
    /// These bytes; then the same again, without an end, at this interval.
    Endless(Vec<u8>, Vec<u8>, Duration),
}

impl Reply {
    /// A response with that status, headers and body.
    pub(super) fn response(status: u16, headers: &str, body: &[u8]) -> Reply {
        let length = body.len();
        let head = format!("HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
        Reply::Raw([head.as_bytes(), body].concat())
    }
}

#[derive(Default)]
struct State {
    replies: Mutex<HashMap<String, Reply>>,
    requests: Mutex<Vec<String>>,
}

/// The origin, on a port of its own.
pub(super) struct TestOrigin {
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

impl TestOrigin {
    pub(super) fn start() -> TestOrigin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (address, state) = (listener.local_addr().expect("an address"), Arc::<State>::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // the client may leave at any time
                std::thread::spawn(move || drop(state.answer(stream)));
            }
        });
        TestOrigin { address, state }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/i/", self.address)
    }

    /// Sets the answer for an original.
    pub(super) fn set(&self, name: &str, reply: Reply) {
        sync::lock(&self.state.replies).insert(format!("/i/{}", name.replace(' ', "%20")), reply);
    }

    pub(super) fn remove(&self, name: &str) {
        sync::lock(&self.state.replies).remove(&format!("/i/{}", name.replace(' ', "%20")));
    }

    /// The heads of all requests so far, in lower case.
    pub(super) fn requests(&self) -> Vec<String> {
        sync::lock(&self.state.requests).clone()
    }
}

impl State {
    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        sync::lock(&self.requests).push(head.to_ascii_lowercase());
        let reply = sync::lock(&self.replies).get(&path).cloned();
        let Reply::Raw(bytes) = (match reply.unwrap_or_else(|| Reply::response(404, "", b"no")) {
            Reply::File(bytes) => file(&head, &bytes),
            Reply::Endless(first, again, interval) => {
                stream.write_all(&first)?;
                loop {
                    std::thread::sleep(interval);
                    stream.write_all(&again)?;
                }
            }
            raw => raw,
        }) else {
            return Ok(());
        };
        stream.write_all(&bytes)
    }
}

fn file(head: &str, bytes: &[u8]) -> Reply {
    let etag = format!("\"{}\"", blake3::hash(bytes).to_hex());
    let headers = format!("ETag: {etag}\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    match head.contains(&etag) {
        true => Reply::Raw(format!("HTTP/1.1 304 x\r\nConnection: close\r\n{headers}\r\n").into_bytes()),
        false => Reply::response(200, &headers, bytes),
    }
}
