//! Who asks: the address at the other end of a connection, or the one that a trusted proxy passes on.

use std::fmt::{Display, Formatter, Result as Written};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Peer {
    /// An address of the network.
    Ip(IpAddr),
    /// A process on this machine, which has no address.
    #[default]
    Unix,
}

/// Who is taken for the one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client(Peer);

/// The proxies that are believed, and the header that they say it in.
///
/// There is one header, and it must be the one that the proxy writes: what a proxy does not write it passes on from
/// whoever asks.
#[derive(Clone, Debug)]
pub struct Proxies {
    networks: Vec<IpNet>,
    unix: bool,
    header: HeaderName,
}

/// A setting that names no proxy or no header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxies {
    /// Neither an address, nor a network, nor `unix:`.
    #[error("{0:?} is neither an address such as 127.0.0.1, nor a network such as 10.0.0.0/8, nor \"unix:\"")]
    Address(String),
    /// No name of a header.
    #[error("{0:?} is no name of a header")]
    Header(String),
}

impl Default for Proxies {
    fn default() -> Self {
        Proxies { networks: Vec::new(), unix: false, header: HeaderName::from_static("x-forwarded-for") }
    }
}

impl Proxies {
    /// Those addresses, networks and `unix:`, and that header.
    ///
    /// # Errors
    /// The first that cannot be read.
    pub fn new(addresses: &[String], header: &str) -> Result<Proxies, InvalidProxies> {
        let header = HeaderName::from_str(header).map_err(|_| InvalidProxies::Header(header.to_owned()))?;
        let mut proxies = Proxies { header, ..Proxies::default() };
        for text in addresses {
            if text == "unix:" {
                proxies.unix = true;
            } else {
                let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
                proxies.networks.push(network.map_err(|_| InvalidProxies::Address(text.clone()))?);
            }
        }
        Ok(proxies)
    }

    fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Unix => self.unix,
            Peer::Ip(address) => self.networks.iter().any(|network| network.contains(&address)),
        }
    }

    /// The header that they are believed in.
    pub(super) fn header(&self) -> &HeaderName {
        &self.header
    }

    /// Who asks.
    pub(super) fn client(&self, peer: Peer, asked: &HeaderMap) -> Client {
        self.client_by(peer, asked.get_all(&self.header).iter().map(|line| line.to_str().ok()))
    }

    /// The client, by the lines of [`Proxies::header`]; `None` is a line that is no text. Proxies add to the end of the list,
    /// so it is read from there, for as long as the one who wrote it is trusted; anything before that can be made up. The
    /// same holds for anything before a line that cannot be read, so the nearest proxy is the client then.
    pub(super) fn client_by<'a>(&self, peer: Peer, lines: impl DoubleEndedIterator<Item = Option<&'a str>>) -> Client {
        let mut client = canonical(peer);
        let mut said = lines.rev().flat_map(|line| line.unwrap_or_default().rsplit(','));
        while self.trusts(client)
            && let Some(address) = said.next().and_then(address)
        {
            client = canonical(Peer::Ip(address));
        }
        Client(client)
    }
}

/// An address as proxies write it: some add the port, and then brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

/// A socket for both families shows IPv4 addresses within IPv6.
fn canonical(peer: Peer) -> Peer {
    match peer {
        Peer::Ip(address) => Peer::Ip(address.to_canonical()),
        Peer::Unix => Peer::Unix,
    }
}

impl Client {
    /// The octets of an IPv4 address.
    pub(super) fn ipv4(self) -> Option<[u8; 4]> {
        match self.0 {
            Peer::Ip(IpAddr::V4(address)) => Some(address.octets()),
            _ => None,
        }
    }

    /// What shares one allowance: an IPv4 address, or the 64 bits of IPv6 that one household is given.
    pub(super) fn household(self) -> Client {
        match self.0 {
            Peer::Ip(IpAddr::V6(address)) => {
                let network = Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64));
                Client(Peer::Ip(network.into()))
            }
            peer => Client(peer),
        }
    }
}

impl std::hash::Hash for Client {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self.0 {
            Peer::Ip(address) => address.hash(state),
            Peer::Unix => 0_u8.hash(state),
        }
    }
}

impl Display for Client {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        match self.0 {
            Peer::Ip(address) => address.fmt(f),
            Peer::Unix => f.write_str("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Peer {
        Peer::Ip(text.parse().expect("an address"))
    }

    #[test]
    fn clients() {
        let trusted = ["127.0.0.1".to_owned(), "10.0.0.0/8".into(), "::1".into(), "fd00::/8".into(), "unix:".into()];
        let proxies = Proxies::new(&trusted, "X-Forwarded-For").expect("good settings");
        let check = |peer: Peer, lines: &[&str], expected: &str| {
            let asked = lines.iter().map(|line| (proxies.header.clone(), line.parse().expect("a value"))).collect();
            assert_eq!(proxies.client(peer, &asked).to_string(), expected, "{peer:?} {lines:?}");
        };
        check(ip("192.0.2.1"), &[], "192.0.2.1");
        // who is not trusted is not listened to
        check(ip("192.0.2.1"), &["203.0.113.9"], "192.0.2.1");
        check(ip("127.0.0.1"), &["203.0.113.9"], "203.0.113.9");
        check(ip("::ffff:127.0.0.1"), &["::ffff:203.0.113.9"], "203.0.113.9");
        check(Peer::Unix, &["203.0.113.9"], "203.0.113.9");
        check(Peer::Unix, &[], "unix");
        // what was there before the last who is not trusted can be made up
        check(ip("127.0.0.1"), &["198.51.100.1, 203.0.113.9, 10.1.2.3"], "203.0.113.9");
        check(ip("127.0.0.1"), &["198.51.100.1", "203.0.113.9", "10.1.2.3"], "203.0.113.9");
        check(ip("::1"), &["10.0.0.1,10.0.0.2"], "10.0.0.1");
        check(ip("127.0.0.1"), &["203.0.113.9, unknown"], "127.0.0.1");
        check(ip("127.0.0.1"), &["203.0.113.9, "], "127.0.0.1");
        check(ip("fd00::1"), &["[2001:db8::1]:443"], "2001:db8::1");
        check(ip("fd00::1"), &["[2001:db8::1]"], "2001:db8::1");
        check(ip("127.0.0.1"), &["203.0.113.9:1234"], "203.0.113.9");
    }

    #[test]
    fn unreadable_line_leaves_the_nearest_proxy() {
        let trusted = ["127.0.0.1".to_owned(), "10.0.0.0/8".into()];
        let proxies = Proxies::new(&trusted, "X-Forwarded-For").expect("good settings");
        let check = |lines: &[&[u8]], expected: &str| {
            let value = |line: &&[u8]| http::HeaderValue::from_bytes(line).expect("a value");
            let asked = lines.iter().map(|line| (proxies.header.clone(), value(line))).collect();
            assert_eq!(proxies.client(ip("127.0.0.1"), &asked).to_string(), expected, "{lines:?}");
        };
        check(&[b"198.51.100.1", b"203.0.113.9"], "203.0.113.9");
        // what is before it is not believed in its place
        check(&[b"198.51.100.1", b"203.0.113.9\xe9"], "127.0.0.1");
        check(&[b"198.51.100.1", b"\xff\xfe"], "127.0.0.1");
        check(&[b"198.51.100.1", b"\xe9, 10.0.0.7"], "127.0.0.1");
        check(&["198.51.100.1".as_bytes(), "é, 10.0.0.7".as_bytes()], "127.0.0.1");
        // one that nobody needs to read does no harm
        check(&[b"\xe9", b"203.0.113.9"], "203.0.113.9");
        check(&[b"\xe9", b"203.0.113.9, 10.0.0.7"], "203.0.113.9");
        check(&[b"198.51.100.1", b"\xe9", b"10.0.0.7"], "10.0.0.7");
    }

    #[test]
    fn nobody_is_trusted_unasked() {
        let asked = HeaderMap::from_iter([(
            HeaderName::from_static("x-forwarded-for"),
            "203.0.113.9".parse().expect("a value"),
        )]);
        assert_eq!(Proxies::default().client(ip("127.0.0.1"), &asked).to_string(), "127.0.0.1");
        assert_eq!(Proxies::default().client(Peer::Unix, &asked).to_string(), "unix");
    }

    #[test]
    fn households() {
        let household = |text: &str| Client(ip(text)).household().to_string();
        assert_eq!(household("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(household("192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn settings_that_are_wrong() {
        for wrong in ["localhost", "10.0.0.0/33", "", "unix:/run/nginx.sock"] {
            assert!(Proxies::new(&[wrong.to_owned()], "X-Real-IP").is_err(), "{wrong}");
        }
        assert!(Proxies::new(&[], "no header").is_err());
    }
}
