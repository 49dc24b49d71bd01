//! `tintype healthcheck`: whether the server of these settings lives. Containers have no curl.

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
    let (status, _) = ask(&config.fixed.server, "GET", "/-/live", "", Some(PATIENCE))?;
    anyhow::ensure!(status == 200, "the server answered {status}");
    Ok(())
}

/// How long a connection may take, and an answer that is not worked for.
const PATIENCE: Duration = Duration::from_secs(5);

/// One request to the listener that has `/-/`; gives the status and the body. The answer is waited for that long, or as long as
/// it takes.
pub(super) fn ask(
    server: &Server, method: &str, path: &str, headers: &str, patience: Option<Duration>,
) -> anyhow::Result<(u16, String)> {
    let address = if server.admin_listen.is_empty() { &server.listen } else { &server.admin_listen };
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: tintype\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n");
    let exchanged = || match address.strip_prefix("unix:") {
        Some(path) => exchange(connect_unix(path)?, &request, patience, UnixStream::set_read_timeout),
        None => exchange(connect_tcp(address)?, &request, patience, TcpStream::set_read_timeout),
    };
    let answer = exchanged().with_context(|| format!("asking the server on {address}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("the server closed the connection before it answered")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("the answer is not HTTP")?;
    Ok((status, body.to_owned()))
}

fn connect_tcp(address: &str) -> anyhow::Result<TcpStream> {
    // what listens on every address is asked on this machine's own
    let own = address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
    let found = own.to_socket_addrs().with_context(|| format!("{own} has no address"))?;
    let mut last = None;
    for at in found {
        match TcpStream::connect_timeout(&at, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| ErrorKind::AddrNotAvailable.into());
    match error.kind() {
        ErrorKind::ConnectionRefused => {
            bail!("nothing listens on {own}: tintype does not run, or with another server.listen")
        }
        ErrorKind::TimedOut => bail!("{own} does not accept a connection within {} s", PATIENCE.as_secs()),
        _ => Err(error).with_context(|| format!("cannot connect to {own}")),
    }
}

fn connect_unix(path: &str) -> anyhow::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // a full queue is waited for without end otherwise
    socket.set_write_timeout(Some(PATIENCE))?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Ok(socket.into()),
        Err(error) => match error.kind() {
            ErrorKind::NotFound => {
                bail!("there is no socket {path}: tintype does not run, or with another server.listen")
            }
            ErrorKind::ConnectionRefused => bail!("nothing listens on {path}: tintype does not run"),
            ErrorKind::PermissionDenied => bail!("{path} may not be used by this user: its group may (ls -l {path})"),
            ErrorKind::WouldBlock => bail!(
                "{path} takes no connection within {} s: the server is overloaded or stopped, and its queue is full",
                PATIENCE.as_secs()
            ),
            _ => Err(error).with_context(|| format!("cannot connect to {path}")),
        },
    }
}

fn exchange<S: Read + Write>(
    mut stream: S, request: &str, patience: Option<Duration>, limit: fn(&S, Option<Duration>) -> std::io::Result<()>,
) -> anyhow::Result<Vec<u8>> {
    limit(&stream, patience)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => Ok(answer),
        // what a read that took too long fails with (EAGAIN)
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            bail!("no answer within {} s", patience.unwrap_or_default().as_secs())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(listen: &str, patience: Duration) -> String {
        let server = Server { listen: listen.into(), ..Server::default() };
        format!("{:#}", ask(&server, "GET", "/-/live", "", Some(patience)).expect_err(listen))
    }

    #[test]
    fn failures_are_told_in_words() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let unix = format!("unix:{}", path.display());
        assert!(failure(&unix, PATIENCE).contains("there is no socket"));
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        assert!(failure(&unix, Duration::from_millis(50)).contains("no answer within"));
        drop(listener);
        assert!(failure(&unix, PATIENCE).contains("nothing listens"));

        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let tcp = listener.local_addr().expect("its address").to_string();
        assert!(failure(&tcp, Duration::from_millis(50)).contains("no answer within"));
        drop(listener);
        assert!(failure(&tcp, PATIENCE).contains("nothing listens"));
    }
}
