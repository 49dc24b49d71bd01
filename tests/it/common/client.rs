//! A small HTTP/1.1 client that shows an answer exactly as it came. A client library would repair or hide the faults that
//! these tests look for.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{Address, PATIENCE};

trait Stream: Read + Write {
    fn give_up_after(&self, patience: Duration) -> std::io::Result<()>;
}

impl Stream for TcpStream {
    fn give_up_after(&self, patience: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

impl Stream for UnixStream {
    fn give_up_after(&self, patience: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

/// A connection for several requests.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    /// Bytes of the next answers.
    ahead: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: &Address) -> Connection {
        Connection::try_open(address).unwrap_or_else(|error| panic!("connecting to {address:?}: {error}"))
    }

    pub(crate) fn try_open(address: &Address) -> std::io::Result<Connection> {
        let stream: Box<dyn Stream> = match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Address::Unix(path) => Box::new(UnixStream::connect(path)?),
        };
        stream.give_up_after(PATIENCE)?;
        Ok(Connection { stream, ahead: Vec::new() })
    }

    /// Sends these bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Sends as many of these bytes as the server reads; it may close the connection meanwhile.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                panic!("writing: {error}")
            }
            _ => {}
        }
    }

    /// Sends a request. The target is sent unchanged.
    pub(crate) fn send_request(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n");
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        self.send(format!("{head}\r\n").as_bytes());
    }

    /// Sends a request and reads its answer.
    pub(crate) fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.send_request(method, target, headers);
        self.receive(method)
    }

    /// Reads the answer to a request of that method: the head, and the body by its Content-Length.
    pub(crate) fn receive(&mut self, method: &str) -> Answer {
        let end = loop {
            if let Some(at) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            assert!(self.read_more(), "the connection ended within a head: {:?}", text(&self.ahead));
        };
        let rest = self.ahead.split_off(end + 4);
        let head = text(&std::mem::replace(&mut self.ahead, rest));
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let mut answer = Answer { status: status.unwrap_or_else(|| panic!("{head}")), head, body: Vec::new() };
        let bodiless = method == "HEAD" || answer.status == 304 || answer.status == 204;
        let length = match answer.try_header("content-length") {
            _ if bodiless => 0,
            Some(length) => length.parse().expect("a number"),
            None => panic!("an answer without a length: {}", answer.head),
        };
        while self.ahead.len() < length {
            assert!(self.read_more(), "the connection ended within a body: {}", answer.head);
        }
        let rest = self.ahead.split_off(length);
        answer.body = std::mem::replace(&mut self.ahead, rest);
        answer
    }

    /// Reads to the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.read_more() {}
        std::mem::take(&mut self.ahead)
    }

    /// Whether the server neither closes the connection nor sends anything for that long.
    pub(crate) fn stays_open_for(&mut self, time: Duration) -> bool {
        self.stream.give_up_after(time).expect("an open socket");
        let read = self.stream.read(&mut [0]);
        self.stream.give_up_after(PATIENCE).expect("an open socket");
        read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    /// Reads once; false at the end of the connection.
    fn read_more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.ahead.extend_from_slice(&buffer[..count]);
                true
            }
            // unread bytes on the server's side make the end a reset
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("reading: {error}"),
        }
    }
}

/// An answer, unchanged.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status line and the headers, byte for byte.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header, or the values of several joined by commas.
    pub(crate) fn try_header(&self, name: &str) -> Option<String> {
        let lines = self.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        let values: Vec<&str> =
            lines.filter(|(this, _)| this.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The same; panics where the header is missing.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> String {
        self.try_header(name).unwrap_or_else(|| panic!("no {name} in:\n{}", self.head))
    }

    /// The body as lossy text.
    pub(crate) fn text(&self) -> String {
        text(&self.body)
    }

    /// Format, width and height of the image in the body.
    #[track_caller]
    pub(crate) fn picture(&self) -> (tintype::render::Format, u32, u32) {
        assert_eq!(self.status, 200, "{}{}", self.head, self.text());
        let info = tintype::render::probe(&self.body).expect("a picture");
        (info.format, info.size.width, info.size.height)
    }

    /// Fails unless this is a problem document (RFC 9457) of that status.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{}{}", self.head, self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body: serde_json::Value = serde_json::from_slice(&self.body).expect("JSON");
        assert_eq!(body["status"], status);
        assert!(["type", "title", "detail", "instance"].iter().all(|name| body[name].is_string()), "{body}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
