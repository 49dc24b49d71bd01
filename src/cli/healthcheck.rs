//! `tintype healthcheck`: whether the server of these settings lives. Containers have no curl.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::Common;
use crate::config::Server;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.common.load(&[])?.config;
    let (status, _) = ask(&config.server, "GET", "/-/live", "")?;
    anyhow::ensure!(status == 200, "the server answered {status}");
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(5);

/// One request to the listener that has `/-/`; gives the status and the body.
pub(super) fn ask(server: &Server, method: &str, path: &str, headers: &str) -> anyhow::Result<(u16, String)> {
    let address = if server.admin_listen.is_empty() { &server.listen } else { &server.admin_listen };
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: tintype\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n");
    let answer = exchange(address, &request).with_context(|| format!("asking the server on {address}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is cut off")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("the answer is not HTTP")?;
    Ok((status, body.to_owned()))
}

fn exchange(address: &str, request: &str) -> std::io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    if let Some(path) = address.strip_prefix("unix:") {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        stream.read_to_end(&mut answer)?;
    } else {
        // what listens on every address is asked on this machine's own
        let address = address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(request.as_bytes())?;
        stream.read_to_end(&mut answer)?;
    }
    Ok(answer)
}
