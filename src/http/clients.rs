//! The address of the client: the other end of the connection, or the one that a trusted proxy passes on.

use std::fmt::{Display, Formatter, Result as Written};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Peer {
    /// A TCP connection.
    Ip(IpAddr),
    /// A Unix socket, which has no address.
    #[default]
    Unix,
}

/// The client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client(Peer);

/// The trusted proxies, and the header in which they pass on the client's address.
///
/// There is one header, and it must be one that the proxy writes: a proxy passes on other headers unchanged, and a client
/// can send them itself.
#[derive(Clone, Debug)]
pub struct Proxies {
    networks: Vec<IpNet>,
    unix: bool,
    header: HeaderName,
}

/// An invalid proxy or header in the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxies {
    /// Neither an address, nor a network, nor `unix:`.
    #[error("{0:?} is neither an address such as 127.0.0.1, nor a network such as 10.0.0.0/8, nor \"unix:\"")]
    Address(String),
    /// Not a header name.
    #[error("{0:?} is not a valid header name")]
    Header(String),
}

impl Default for Proxies {
    fn default() -> Self {
        Proxies { networks: Vec::new(), unix: false, header: HeaderName::from_static("x-forwarded-for") }
    }
}

impl Proxies {
    /// Parses a list of addresses, networks and `unix:`, and the name of the header.
    ///
    /// # Errors
    /// The first invalid one.
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

    /// The header in which proxies pass on the client's address.
    pub(super) fn header(&self) -> &HeaderName {
        &self.header
    }

    pub(super) fn client(&self, peer: Peer, request_headers: &HeaderMap) -> Client {
        self.client_by(peer, request_headers.get_all(&self.header).iter().map(|line| line.to_str().ok()))
    }

    /// The client by the lines of [`Proxies::header`]; `None` is a line that is not text. Proxies append to the list, so it is
    /// read from its end, as long as the writer of the entry is trusted; anything before can be forged. So can anything
    /// before an entry that cannot be parsed, and then the nearest proxy is the client.
    pub(super) fn client_by<'a>(&self, peer: Peer, lines: impl DoubleEndedIterator<Item = Option<&'a str>>) -> Client {
        let mut client = canonical(peer);
        let mut addresses = lines.rev().flat_map(|line| line.unwrap_or_default().rsplit(','));
        while self.trusts(client)
            && let Some(address) = addresses.next().and_then(address)
        {
            client = canonical(Peer::Ip(address));
        }
        Client(client)
    }
}

/// Parses an address, to which some proxies add a port or brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

/// IPv4 addresses are mapped into IPv6 by a socket of both families.
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

    /// The unit of rate limits: an IPv4 address, or a /64 of IPv6, which is what one subscriber has.
    pub(super) fn network(self) -> Client {
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
    fn client_is_the_last_untrusted_address() {
        let trusted = ["127.0.0.1".to_owned(), "10.0.0.0/8".into(), "::1".into(), "fd00::/8".into(), "unix:".into()];
        let proxies = Proxies::new(&trusted, "X-Forwarded-For").expect("good settings");
        let check = |peer: Peer, lines: &[&str], expected: &str| {
            let headers = lines.iter().map(|line| (proxies.header.clone(), line.parse().expect("a value"))).collect();
            assert_eq!(proxies.client(peer, &headers).to_string(), expected, "{peer:?} {lines:?}");
        };
        check(ip("192.0.2.1"), &[], "192.0.2.1");
        // an untrusted peer is the client, whatever it sends
        check(ip("192.0.2.1"), &["203.0.113.9"], "192.0.2.1");
        check(ip("127.0.0.1"), &["203.0.113.9"], "203.0.113.9");
        check(ip("::ffff:127.0.0.1"), &["::ffff:203.0.113.9"], "203.0.113.9");
        check(Peer::Unix, &["203.0.113.9"], "203.0.113.9");
        check(Peer::Unix, &[], "unix");
        // addresses before the last untrusted one can be forged
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
    fn unreadable_line_makes_the_nearest_proxy_the_client() {
        let trusted = ["127.0.0.1".to_owned(), "10.0.0.0/8".into()];
        let proxies = Proxies::new(&trusted, "X-Forwarded-For").expect("good settings");
        let check = |lines: &[&[u8]], expected: &str| {
            let value = |line: &&[u8]| http::HeaderValue::from_bytes(line).expect("a value");
            let headers = lines.iter().map(|line| (proxies.header.clone(), value(line))).collect();
            assert_eq!(proxies.client(ip("127.0.0.1"), &headers).to_string(), expected, "{lines:?}");
        };
        check(&[b"198.51.100.1", b"203.0.113.9"], "203.0.113.9");
        // the line before it is not used instead
        check(&[b"198.51.100.1", b"203.0.113.9\xe9"], "127.0.0.1");
        check(&[b"198.51.100.1", b"\xff\xfe"], "127.0.0.1");
        check(&[b"198.51.100.1", b"\xe9, 10.0.0.7"], "127.0.0.1");
        check(&["198.51.100.1".as_bytes(), "é, 10.0.0.7".as_bytes()], "127.0.0.1");
        // a line before the client's address is not read
        check(&[b"\xe9", b"203.0.113.9"], "203.0.113.9");
        check(&[b"\xe9", b"203.0.113.9, 10.0.0.7"], "203.0.113.9");
        check(&[b"198.51.100.1", b"\xe9", b"10.0.0.7"], "10.0.0.7");
    }

    #[test]
    fn no_proxy_is_trusted_by_default() {
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("x-forwarded-for"),
            "203.0.113.9".parse().expect("a value"),
        )]);
        assert_eq!(Proxies::default().client(ip("127.0.0.1"), &headers).to_string(), "127.0.0.1");
        assert_eq!(Proxies::default().client(Peer::Unix, &headers).to_string(), "unix");
    }

    #[test]
    fn ipv6_network_has_64_bits() {
        let network = |text: &str| Client(ip(text)).network().to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn invalid_settings_are_refused() {
        for wrong in ["localhost", "10.0.0.0/33", "", "unix:/run/nginx.sock"] {
            assert!(Proxies::new(&[wrong.to_owned()], "X-Real-IP").is_err(), "{wrong}");
        }
        assert!(Proxies::new(&[], "no header").is_err());
    }
}
