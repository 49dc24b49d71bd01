//! Tests of the client against an origin that answers as no server should.

use std::time::Instant;

use super::super::test_origin::{Reply, TestOrigin};
use super::*;
use crate::net::connect::tests::Names;

const SHORT: Duration = Duration::from_millis(300);

fn client(url: &str) -> Client {
    let limits = Limits { head: SHORT, idle: SHORT, whole: 3 * SHORT, max_bytes: 100 };
    Client::new(url.parse().expect("an origin"), limits).expect("a client")
}

fn id() -> ImageId {
    ImageId::of("a.jpg").expect("a name")
}

async fn get(reply: Reply) -> Result<Answer, Error> {
    let origin = TestOrigin::start();
    origin.set("a.jpg", reply);
    client(&origin.url()).get(&id(), None).await
}

fn raw(text: &str) -> Reply {
    Reply::Raw(text.replace('\n', "\r\n").into_bytes())
}

fn whole(answer: Result<Answer, Error>) -> Fetched {
    match answer {
        Ok(Answer::Whole(fetched)) => fetched,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn body_is_whole_or_an_error() {
    for (text, expected) in [
        ("HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", Some("abc")),
        ("HTTP/1.1 200 OK\nContent-Length: 3\n\nabcdef", Some("abc")),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nab\n1\nc\n0\n\n", Some("abc")),
        ("HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 6\n\n<html>", Some("<html>")),
        // torn, or with lengths that are none
        ("HTTP/1.1 200 OK\nContent-Length: 4\n\nabc", None),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nab\n1\nc\n", None),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nzz\nab\n0\n\n", None),
        ("HTTP/1.1 200 OK\nContent-Length: 3\nContent-Length: 4\n\nabcd", None),
        ("HTTP/1.1 200 OK\nContent-Length: -3\n\nabc", None),
        ("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 3\n\nabc", None),
        ("HTTP/1.1 200", None),
        ("SSH-2.0-OpenSSH_9.2\n", None),
        ("", None),
    ] {
        match (get(raw(text)).await, expected) {
            (Ok(Answer::Whole(fetched)), Some(expected)) => assert_eq!(fetched.bytes, expected.as_bytes(), "{text}"),
            (Err(Error::Unavailable(_)), None) => {}
            (other, _) => panic!("{text}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn statuses_are_errors_of_a_source() {
    for (status, expected) in [
        (404, "NotFound"),
        (410, "NotFound"),
        (401, "Credentials"),
        (403, "Credentials"),
        (500, "Status(500)"),
        (503, "Status(503)"),
        (429, "Status(429)"),
        (204, "Status(204)"),
        (206, "Status(206)"),
        // no condition was sent
        (304, "Status(304)"),
    ] {
        let error = get(Reply::response(status, "", b"")).await.expect_err("an error");
        assert_eq!(format!("{error:?}"), expected, "{status}");
    }
}

#[tokio::test]
async fn bytes_and_time_are_limited() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = b"1e\r\n123456789012345678901234567890\r\n".to_vec();
    let now = Duration::ZERO;
    let too_large = [
        raw("HTTP/1.1 200 OK\nContent-Length: 101\n\n"),
        raw("HTTP/1.1 200 OK\nContent-Length: 9999999999999\n\n"),
        Reply::Endless(head.into(), chunk, now),
    ];
    for reply in too_large {
        assert!(matches!(get(reply).await, Err(Error::TooLarge { limit: 100, .. })));
    }
    let endless_head =
        Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), [b"A: ", &[b'b'; 4000][..], b"\r\n"].concat(), now);
    assert!(matches!(get(endless_head).await, Err(Error::Unavailable(_))));
    let timed_out = [
        ("no head", Reply::Endless(Vec::new(), Vec::new(), SHORT)),
        ("slow head", Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"A: b\r\n".to_vec(), SHORT / 5)),
        ("no body", Reply::Endless(head.into(), Vec::new(), SHORT)),
        ("trickle", Reply::Endless(head.into(), b"1\r\na\r\n".to_vec(), SHORT / 5)),
    ];
    for (what, reply) in timed_out {
        let started = Instant::now();
        assert!(matches!(get(reply).await, Err(Error::TimedOut)), "{what}");
        assert!(started.elapsed() < 10 * SHORT, "{what}");
    }
}

#[tokio::test]
async fn redirects_are_followed_thrice_to_allowed_addresses() {
    let origin = TestOrigin::start();
    let other = TestOrigin::start();
    other.set("c.jpg", Reply::File(b"other".to_vec()));
    let client = client(&origin.url().replace("http://", "http://user:secret@"));
    let to = |location: &str| Reply::response(302, &format!("Location: {location}\r\n"), b"");
    origin.set("a.jpg", to("b.jpg"));
    origin.set("b.jpg", to("/i/c.jpg"));
    origin.set("c.jpg", Reply::response(301, &format!("Location: {}d.jpg\r\n", origin.url()), b""));
    origin.set("d.jpg", Reply::File(b"abc".to_vec()));
    assert_eq!(whole(client.get(&id(), None).await).bytes, &b"abc"[..]);
    assert!(origin.requests().iter().all(|head| head.contains("authorization: basic ")));
    origin.set("d.jpg", to("a.jpg"));
    assert!(matches!(client.get(&id(), None).await, Err(Error::Unavailable(_))), "a loop");
    assert!(matches!(get(Reply::response(302, "", b"")).await, Err(Error::Unavailable(_))), "no location");
    for location in [
        format!("{}c.jpg", other.url()),
        format!("http://localhost:{}/i/c.jpg", other.address.port()),
        format!("http://[::ffff:127.0.0.1]:{}/i/c.jpg", other.address.port()),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "http://2130706433/".to_owned(),
    ] {
        origin.set("a.jpg", to(&location));
        let answer = client.get(&id(), None).await;
        assert!(matches!(answer, Err(Error::Refused(_) | Error::Unavailable(_))), "{location}: {answer:?}");
    }
    assert!(other.requests().is_empty(), "no private address was connected to");
}

#[tokio::test]
async fn redirect_to_a_name_with_a_private_address_is_refused() {
    let (origin, other) = (TestOrigin::start(), TestOrigin::start());
    other.set("c.jpg", Reply::File(b"other".to_vec()));
    let names = Names::new(&[
        ("origin.test", &[&["127.0.0.1"]]),
        ("private.test", &[&["127.0.0.1"]]),
        ("rebound.test", &[&["10.0.0.1"], &["127.0.0.1"]]),
    ]);
    let url = format!("http://origin.test:{}/i/", origin.address.port());
    let configured: Origin = url.parse().expect("an origin");
    let limits = Limits { head: SHORT, idle: SHORT, whole: 3 * SHORT, max_bytes: 100 };
    let client = Client::over(names.connector(configured.url()), configured, limits);
    for host in ["private.test", "rebound.test", "origin.test"] {
        let location = format!("Location: http://{host}:{}/i/c.jpg\r\n", other.address.port());
        origin.set("a.jpg", Reply::response(302, &location, b""));
        let answer = client.get(&id(), None).await;
        assert!(matches!(answer, Err(Error::Refused(_))), "{host}: {answer:?}");
    }
    assert!(other.requests().is_empty(), "no private address was connected to");
    origin.set("a.jpg", Reply::File(b"abc".to_vec()));
    assert_eq!(whole(client.get(&id(), None).await).bytes, &b"abc"[..]);
}

#[tokio::test]
async fn configured_origin_may_be_private_but_not_reserved() {
    // a port that refuses connections: the address itself was allowed
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let answer = client(&format!("http://{closed}/")).get(&id(), None).await;
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
    let answer = client("http://224.0.0.1/").get(&id(), None).await;
    assert!(matches!(answer, Err(Error::Refused(_))), "{answer:?}");
}

#[tokio::test]
async fn conditions_are_sent_where_they_cannot_miss_a_change() {
    let date = "Date: Sun, 06 Nov 1994 08:49:39 GMT\r\n";
    let (old, new) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT");
    for (headers, expected) in [
        ("ETag: \"a\"\r\n".to_owned(), Some("if-none-match: \"a\"")),
        (format!("{date}Last-Modified: {old}\r\n"), Some("if-modified-since: sun, 06 nov 1994 08:49:37 gmt")),
        (format!("{date}ETag: W/\"a\"\r\nLast-Modified: {old}\r\n"), Some("if-none-match: w/\"a\"")),
        (format!("{date}Last-Modified: {new}\r\n"), None),
        (format!("{date}ETag: W/\"a\"\r\nLast-Modified: {new}\r\n"), None),
        (format!("Last-Modified: {old}\r\n"), None),
        ("ETag: W/\"a\"\r\n".to_owned(), None),
        ("ETag: a\r\n".to_owned(), None),
        (String::new(), None),
    ] {
        let origin = TestOrigin::start();
        origin.set("a.jpg", Reply::response(200, &headers, b"abc"));
        let client = client(&origin.url());
        let conditions = whole(client.get(&id(), None).await).conditions;
        assert_eq!(conditions.is_some(), expected.is_some(), "{headers}");
        whole(client.get(&id(), conditions.as_ref()).await);
        let head = origin.requests().pop().expect("a request");
        assert!(expected.is_none_or(|expected| head.contains(expected)), "{head}");
        assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
    }
    let origin = TestOrigin::start();
    origin.set("a.jpg", Reply::File(b"abc".to_vec()));
    let client = client(&origin.url());
    let conditions = whole(client.get(&id(), None).await).conditions;
    assert!(matches!(client.get(&id(), conditions.as_ref()).await, Ok(Answer::NotModified(_))));
    origin.set("a.jpg", Reply::File(b"abcd".to_vec()));
    assert_eq!(whole(client.get(&id(), conditions.as_ref()).await).bytes, &b"abcd"[..]);
}
