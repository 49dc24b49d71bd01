//! Hits over a real connection: whichever way the bytes leave, they are the same; and the access log has a line for each.

mod common;

use std::collections::BTreeSet;

use common::{Connection, Server, poll, testdata};
use rustix::process::Signal;

/// Larger than what the kernel takes at once.
const LARGE: &str = "/photos/astronaut.png?format=png&width=512&sharpen=1";
const SMALL: &str = "/photos/coffee.png?format=webp&width=60";

#[test]
fn bytes_out_of_memory_are_those_that_were_made() {
    let place = tempfile::tempdir().expect("a folder");
    let socket = format!("unix:{}", place.path().join("socket").display());
    for (number, listen) in ["127.0.0.1:0", &socket].into_iter().enumerate() {
        let server = Server::start_with(&testdata(), &place.path().join(number.to_string()), listen, &[]);
        let (large, small) = (server.get(LARGE, &[]).body, server.get(SMALL, &[]).body);
        assert!(large.len() > 256 * 1024 && small.len() < 16 * 1024, "{} {}", large.len(), small.len());
        // out of the folder, and after that out of memory
        for _ in 0..3 {
            assert_eq!(server.get(LARGE, &[]).body, large);
            assert_eq!(server.get(SMALL, &[]).body, small);
        }
        let mut connection = server.connect();
        let range = |connection: &mut Connection, range: &str, expected: &[u8]| {
            let answer = connection.ask("GET", LARGE, &[("Range", range)]);
            assert_eq!((answer.status, answer.body.as_slice()), (206, expected), "{range}");
        };
        range(&mut connection, "bytes=1-70001", &large[1..70_002]);
        range(&mut connection, "bytes=4095-4096", &large[4095..4097]);
        range(&mut connection, "bytes=-100001", &large[large.len() - 100_001..]);
        assert_eq!(connection.ask("HEAD", LARGE, &[]).said("content-length"), large.len().to_string());
        // all asked for before anything is read: the answers stand in a row, and the connection stands still in between
        let asked: Vec<&str> = (0..40).map(|turn| if turn % 3 == 1 { SMALL } else { LARGE }).collect();
        asked.iter().for_each(|url| connection.send_request("GET", url, &[]));
        for url in asked {
            let expected = if url == SMALL { &small } else { &large };
            assert!(connection.receive("GET").body == *expected, "{url} is another picture");
        }
        assert!(server.metric("tintype_cache_memory_bytes") > 0.0);
    }
}

#[test]
fn every_request_has_its_line_after_the_end() {
    const ROUNDS: usize = 300;
    let cache = tempfile::tempdir().expect("a folder");
    let mut server = Server::start(&testdata(), cache.path());
    let targets = [SMALL, "/a\"b.jpg", "/a\"{b}\"\"c.jpg?x='y'", "/%00%0a%22%5c%ff.jpg?%ff=%00", "/{\"a\":1}?[1]"];
    let mut connection = server.connect();
    for number in 0..ROUNDS {
        for target in targets {
            let id = format!("{number}-{}", target.len());
            connection.ask("GET", target, &[("X-Request-Id", &id), ("X-Forwarded-For", "\"\\")]);
        }
    }
    server.signal(Signal::TERM);
    assert!(server.wait().success());
    let lines = poll("all that was said", || {
        let log = server.log();
        let lines = log.lines().filter(|line| line.contains("\"tintype::access\"")).map(str::to_owned);
        let lines: Vec<String> = lines.collect();
        (lines.len() >= ROUNDS * targets.len()).then_some(lines)
    });
    let read = lines.iter().map(|line| -> serde_json::Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    let seen: BTreeSet<String> = read.map(|line| format!("{} {}", line["id"], line["path"])).collect();
    assert_eq!((lines.len(), seen.len()), (ROUNDS * targets.len(), ROUNDS * targets.len()));
}
