//! Validates `Host` (RFC 9112 §3.2): exactly one, with the name or the address of a host.
//!
//! Other software that reads the request, such as a cache in front, may take another host from an invalid value.

use std::net::Ipv6Addr;

use http::{HeaderMap, Uri, Version, header};

/// Whether a request of that version, target and headers has exactly one valid host.
///
/// In an absolute target the host in it counts (RFC 9112 §3.2.2); the header must be valid all the same.
pub(super) fn is_valid(version: Version, uri: &Uri, request_headers: &HeaderMap) -> bool {
    let mut hosts = request_headers.get_all(header::HOST).iter();
    let is_named = match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host.as_bytes()),
        (None, _) => version < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    };
    is_named && uri.authority().is_none_or(|authority| is_host(authority.as_str().as_bytes()))
}

/// Whether a value is `host` or `host:port` (RFC 3986 §3.2.2). A name must not be empty (RFC 9110 §4.2.1), nor contain a
/// comma, which joins two headers.
pub(super) fn is_host(value: &[u8]) -> bool {
    if let Some(rest) = value.strip_prefix(b"[") {
        let Some(end) = rest.iter().position(|&byte| byte == b']') else { return false };
        let (literal, port) = (&rest[..end], &rest[end + 1..]);
        return is_literal(literal) && (port.is_empty() || port.strip_prefix(b":").is_some_and(is_port));
    }
    let (name, port) = match value.iter().position(|&byte| byte == b':') {
        Some(colon) => (&value[..colon], &value[colon + 1..]),
        None => (value, &value[value.len()..]),
    };
    is_name(name) && is_port(port)
}

/// Whether these are digits of a port number; there may be none behind the colon (RFC 3986 §3.2.3).
fn is_port(port: &[u8]) -> bool {
    let number = port.iter().try_fold(0_u32, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    });
    number.is_some_and(|number| number <= u32::from(u16::MAX))
}

/// `reg-name`, which includes IPv4 addresses.
fn is_name(name: &[u8]) -> bool {
    let is_encoded = |at: usize| name.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    !name.is_empty()
        && name
            .iter()
            .enumerate()
            .all(|(at, &byte)| is_unreserved(byte) || is_delimiter(byte) || byte == b'%' && is_encoded(at))
}

/// `IP-literal`: an IPv6 address, or `IPvFuture`.
fn is_literal(literal: &[u8]) -> bool {
    if let [b'v' | b'V', future @ ..] = literal {
        let Some(dot) = future.iter().position(|&byte| byte == b'.') else { return false };
        let (version, address) = (&future[..dot], &future[dot + 1..]);
        let is_address = |&byte: &u8| is_unreserved(byte) || is_delimiter(byte) || byte == b':';
        return !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !address.is_empty()
            && address.iter().all(is_address);
    }
    std::str::from_utf8(literal).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// `sub-delims` without the comma.
fn is_delimiter(byte: u8) -> bool {
    b"!$&'()*+;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const GOOD: &[&str] = &[
        "a",
        "a.example",
        "A.Example.",
        "a.example:8080",
        "a.example:",
        "localhost:0",
        "192.0.2.1",
        "192.0.2.1:65535",
        "a_b-c~d",
        "a%20b",
        "x!$&'()*+;=y",
        "[::1]",
        "[2001:DB8::1]:443",
        "[::ffff:192.0.2.1]:",
        "[v1.a:b]",
        "999.999.999.999",
    ];

    const BAD: &[&str] = &[
        "",
        ":",
        ":80",
        ",",
        "a,b",
        "a, b",
        " a",
        "a b",
        "a\tb",
        "@/",
        "u@a",
        "u:p@a",
        "a/",
        "/",
        "a?b",
        "a#b",
        "a\\b",
        "a|b",
        "a\"b",
        "<a>",
        "a^b",
        "{a}",
        "a%",
        "a%2",
        "a%zz",
        "a:80:80",
        "a:b",
        "a:-1",
        "a:+1",
        "a:65536",
        "a:99999999999999999999",
        "::1",
        "[",
        "[]",
        "[::1",
        "::1]",
        "[::1]a",
        "[::1]:a",
        "[fe80::1%25eth0]",
        "[1.2.3.4]",
        "[v.a]",
        "[v1.]",
        "[vz.a]",
        "http://a",
        "caf\u{e9}.example",
        "a\u{7f}",
    ];

    #[test]
    fn invalid_hosts_are_refused() {
        for good in GOOD {
            assert!(is_host(good.as_bytes()), "{good:?}");
        }
        for bad in BAD {
            assert!(!is_host(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn request_without_exactly_one_host_is_invalid() {
        let check = |version: Version, target: &str, hosts: &[&str], expected: bool| {
            let value = |host: &&str| HeaderValue::from_bytes(host.as_bytes()).expect("a value");
            let headers = hosts.iter().map(|host| (header::HOST, value(host))).collect();
            let uri = target.parse().expect("a target");
            assert_eq!(is_valid(version, &uri, &headers), expected, "{version:?} {target} {hosts:?}");
        };
        check(Version::HTTP_11, "/", &["a"], true);
        check(Version::HTTP_11, "/", &[], false);
        check(Version::HTTP_10, "/", &[], true);
        check(Version::HTTP_10, "/", &["a b"], false);
        check(Version::HTTP_10, "/", &["a", "a"], false);
        check(Version::HTTP_11, "/", &["a", "a"], false);
        check(Version::HTTP_11, "/", &["a b"], false);
        // the host of an absolute target counts, and the header must be valid
        check(Version::HTTP_11, "http://b/x", &["a"], true);
        check(Version::HTTP_11, "http://b/x", &["a b"], false);
        check(Version::HTTP_11, "http://b/x", &[], false);
        check(Version::HTTP_11, "http://u@b/x", &["b"], false);
    }

    proptest::proptest! {
        /// The `http` crate parses every valid host.
        #[test]
        fn valid_hosts_are_authorities(text in "[a-z0-9.:@%\\[\\]/ ,v~-]{0,12}") {
            if is_host(text.as_bytes()) && !text.ends_with(':') && !text.contains('%') {
                proptest::prop_assert!(text.parse::<http::uri::Authority>().is_ok(), "{text}");
            }
        }
    }
}
