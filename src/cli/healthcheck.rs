//! `tintype healthcheck`: requests `/-/live` from the running server, for containers, which have no curl.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use socket2::{Domain, SockAddr, Socket, Type};

use super::Common;
use crate::config::fixed::Server;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.common.load(&[])?.config;
    let (status, _) = request(&config.fixed.server, "GET", "/-/live", "", Some(TIMEOUT))?;
    anyhow::ensure!(status == 200, "the server answered {status}");
    Ok(())
}

/// The time limit of a connection, and of an answer that needs no work.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends a request to the listener that serves `/-/`; returns status and body. Without `timeout` the answer may take any time.
pub(super) fn request(
    server: &Server, method: &str, path: &str, headers: &str, timeout: Option<Duration>,
) -> anyhow::Result<(u16, String)> {
    let address = if server.admin_listen.is_empty() { &server.listen } else { &server.admin_listen };
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n"
    );
    let exchanged = || match address.strip_prefix("unix:") {
        Some(path) => exchange(connect_unix(path)?, &text, timeout, UnixStream::set_read_timeout),
        None => exchange(connect_tcp(address)?, &text, timeout, TcpStream::set_read_timeout),
    };
    let answer = exchanged().with_context(|| format!("request to the server on {address}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("the server closed the connection before it answered")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("the answer is not HTTP")?;
    Ok((status, body.to_owned()))
}

fn connect_tcp(address: &str) -> anyhow::Result<TcpStream> {
    // a listener on all addresses is reached on the loopback address
    let own = address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
    let found = own.to_socket_addrs().with_context(|| format!("{own} does not resolve"))?;
    let mut last = None;
    for at in found {
        match TcpStream::connect_timeout(&at, TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| ErrorKind::AddrNotAvailable.into());
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            bail!("connection refused on {own}: tintype is not running, or has another server.listen")
        }
        ErrorKind::TimedOut => bail!("{own} does not accept a connection within {} s", TIMEOUT.as_secs()),
        _ => Err(error).with_context(|| format!("cannot connect to {own}")),
    }
}

fn connect_unix(path: &str) -> anyhow::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // otherwise a full backlog blocks for ever
    socket.set_write_timeout(Some(TIMEOUT))?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Ok(socket.into()),
        Err(error) => match error.kind() {
            ErrorKind::NotFound => {
                bail!("there is no socket {path}: tintype is not running, or has another server.listen")
            }
            ErrorKind::ConnectionRefused => bail!("connection refused on {path}: tintype is not running"),
            ErrorKind::PermissionDenied => {
                bail!("permission denied on {path}: it needs membership in the socket's group (ls -l {path})")
            }
            ErrorKind::WouldBlock => bail!(
                "{path} does not accept a connection within {} s: the server is overloaded or stopped, and its backlog is full",
                TIMEOUT.as_secs()
            ),
            _ => Err(error).with_context(|| format!("cannot connect to {path}")),
        },
    }
}

fn exchange<S: Read + Write>(
    mut stream: S, request: &str, timeout: Option<Duration>, limit: fn(&S, Option<Duration>) -> std::io::Result<()>,
) -> anyhow::Result<Vec<u8>> {
    limit(&stream, timeout)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => Ok(answer),
        // EAGAIN is the error of a read timeout
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            bail!("no answer within {} s", timeout.unwrap_or_default().as_secs())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(listen: &str, timeout: Duration) -> String {
        let server = Server { listen: listen.into(), ..Server::default() };
        format!("{:#}", request(&server, "GET", "/-/live", "", Some(timeout)).expect_err(listen))
    }

    #[test]
    fn failed_connection_names_the_cause() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let unix = format!("unix:{}", path.display());
        assert!(failure(&unix, TIMEOUT).contains("there is no socket"));
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        assert!(failure(&unix, Duration::from_millis(50)).contains("no answer within"));
        drop(listener);
        assert!(failure(&unix, TIMEOUT).contains("connection refused"));

        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let tcp = listener.local_addr().expect("its address").to_string();
        assert!(failure(&tcp, Duration::from_millis(50)).contains("no answer within"));
        drop(listener);
        assert!(failure(&tcp, TIMEOUT).contains("connection refused"));
    }
}
