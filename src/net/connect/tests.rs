//! Tests of which addresses are connected to, with names that resolve as an attacker would have them.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::Mutex;

use super::*;

/// Names with the answers to consecutive questions about them; the last is given again and again.
pub(crate) struct Names {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    questions: Mutex<Vec<String>>,
}

impl Names {
    pub(crate) fn new(names: &[(&str, &[&[&str]])]) -> Arc<Names> {
        let address = |text: &&str| text.parse::<IpAddr>().expect("an address");
        let answers = |answers: &[&[&str]]| answers.iter().map(|answer| answer.iter().map(address).collect()).collect();
        let answers = names.iter().map(|(name, all)| ((*name).to_owned(), answers(all))).collect();
        Arc::new(Names { answers: Mutex::new(answers), questions: Mutex::default() })
    }

    fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        self.questions.lock().expect("no panic").push(host.to_owned());
        let mut answers = self.answers.lock().expect("no panic");
        let answers = answers.get_mut(host).ok_or_else(|| std::io::Error::other("there is no such name"))?;
        Ok(if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() })
    }

    /// A connector for an origin that resolves these names.
    pub(crate) fn connector(self: &Arc<Names>, origin: &Uri) -> Connector {
        let names = Arc::clone(self);
        let resolver = move |host: String, port: u16| {
            let addresses = names.resolve(&host);
            let addresses =
                addresses.map(|all| all.into_iter().map(|address| SocketAddr::new(address, port)).collect());
            Box::pin(std::future::ready(addresses)) as BoxFuture<'static, _>
        };
        Connector::with_resolver(origin, Box::new(resolver)).expect("a connector")
    }
}

/// A server that counts its connections.
struct Counted(TcpListener);

impl Counted {
    fn start() -> Counted {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        Counted(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }

    /// Connections since the last call.
    fn connections(&self) -> usize {
        std::iter::from_fn(|| self.0.accept().ok()).count()
    }
}

#[tokio::test]
async fn address_that_is_connected_to_is_the_one_that_was_checked() {
    let server = Counted::start();
    let url: Uri = format!("http://origin.test:{}/", server.port()).parse().expect("a URL");
    for (answers, is_allowed) in [
        (&[&["127.0.0.1"][..], &["169.254.169.254"]][..], true),
        (&[&["169.254.169.254"], &["127.0.0.1"]], false),
        (&[&["169.254.169.254", "127.0.0.1"]], true),
        (&[&["::ffff:169.254.169.254"], &["127.0.0.1"]], false),
        (&[&[], &["127.0.0.1"]], false),
    ] {
        let names = Names::new(&[("origin.test", answers)]);
        let connected = names.connector(&url).0.connect(&url).await;
        assert_eq!(connected.is_ok(), is_allowed, "{answers:?}");
        assert_eq!(server.connections(), usize::from(is_allowed), "{answers:?}");
        assert_eq!(names.questions.lock().expect("no panic").len(), 1, "a name is resolved once: {answers:?}");
    }
}

/// A listener that answers no connection: its queue, which has one place and a half, is full.
fn silent(address: &str, port: u16) -> (socket2::Socket, Vec<socket2::Socket>) {
    let new = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let address = SocketAddr::new(address.parse().expect("an address"), port).into();
    let listener = new();
    listener.bind(&address).expect("a free port");
    listener.listen(0).expect("it listens");
    let waiting = (0..4).map(|_| {
        let client = new();
        client.set_nonblocking(true).expect("a socket");
        // it is under way
        let _ = client.connect(&address);
        client
    });
    (listener, waiting.collect())
}

#[tokio::test]
async fn address_that_refuses_or_is_silent_leaves_time_for_the_next() {
    let server = Counted::start();
    let port = server.port();
    let url: Uri = format!("http://origin.test:{port}/").parse().expect("a URL");
    let _silent = silent("127.0.0.3", port);
    for first in ["127.0.0.2", "127.0.0.3"] {
        let names = Names::new(&[("origin.test", &[&[first, "127.0.0.1"]])]);
        let mut connector = names.connector(&url);
        let connected = tower::Service::call(&mut connector, url.clone()).await;
        assert!(connected.is_ok(), "{first}: {:?}", connected.err());
        assert_eq!(server.connections(), 1, "{first}");
    }
}

#[test]
fn addresses_of_both_families_take_turns() {
    let check = |addresses: &[&str], expected: &[&str]| {
        let all = addresses.iter().map(|text| SocketAddr::new(text.parse().expect("an address"), 80));
        let mixed: Vec<_> = interleaved(all).iter().map(|address| address.ip().to_string()).collect();
        assert_eq!(mixed, expected);
    };
    check(&["::1", "::2", "10.0.0.1"], &["::1", "10.0.0.1", "::2"]);
    check(&["10.0.0.1", "10.0.0.2", "::1"], &["::1", "10.0.0.1", "10.0.0.2"]);
    check(&["10.0.0.1"], &["10.0.0.1"]);
    check(&[], &[]);
}

#[tokio::test]
async fn other_hosts_are_never_connected_to_at_private_addresses() {
    let server = Counted::start();
    let port = server.port();
    let configured: Uri = format!("http://origin.test:{port}/").parse().expect("a URL");
    for address in [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.0.192",
        "198.18.0.1",
        "203.0.113.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2001::7f00:1",
        "fd00::1",
        "fe80::1",
        "ff02::1",
    ] {
        // by name, and by name where the next answer would be allowed or refused
        for answers in [&[&[address][..]][..], &[&[address], &["1.1.1.1"]], &[&[address, address], &["127.0.0.1"]]] {
            let names = Names::new(&[("origin.test", &[&["127.0.0.1"]]), ("other.test", answers)]);
            let url: Uri = format!("http://other.test:{port}/").parse().expect("a URL");
            let connected = names.connector(&configured).0.connect(&url).await;
            assert!(matches!(connected, Err(ConnectError::Refused(_))), "{address}");
            assert_eq!(*names.questions.lock().expect("no panic"), ["other.test"], "{address}");
        }
    }
    // the host in the settings at a port that is not in the settings
    let other_port = Counted::start();
    let url: Uri = format!("http://origin.test:{}/", other_port.port()).parse().expect("a URL");
    let names = Names::new(&[("origin.test", &[&["127.0.0.1"]])]);
    assert!(matches!(names.connector(&configured).0.connect(&url).await, Err(ConnectError::Refused(_))));
    assert_eq!((server.connections(), other_port.connections()), (0, 0));
    names.connector(&configured).0.connect(&configured).await.expect("it is allowed");
    assert_eq!(server.connections(), 1);
}
