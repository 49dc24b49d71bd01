//! The addresses that an origin may have, so that neither a name nor a redirect leads requests to services that are not
//! meant for them (server-side request forgery).
//!
//! The check is made on the addresses that are connected to, never on the text of a URL: a name may resolve to another
//! address the next time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The use that an address is reserved for, by the registries of IANA (RFC 6890).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Reachable on the public internet.
    Public,
    /// Of this machine or a private network.
    Private,
    /// Link-local, or the metadata service of a cloud, which hands out credentials.
    LinkLocal,
    /// No host has it: multicast, documentation, broadcast, unassigned, obsolete.
    Reserved,
}

/// The addresses that may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Public ones only: for hosts that a redirect names.
    Public,
    /// Private ones as well: for the host in the settings.
    Configured,
    /// Link-local ones as well: for a host that is written as an address in the settings.
    ConfiguredAddress,
}

impl Policy {
    /// Whether this address may be connected to.
    pub(crate) fn allows(self, address: IpAddr) -> bool {
        match classify(address) {
            Class::Public => true,
            Class::Private => self != Policy::Public,
            Class::LinkLocal => self == Policy::ConfiguredAddress,
            Class::Reserved => false,
        }
    }
}

fn classify(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(address) => classify_v4(address),
        IpAddr::V6(address) => classify_v6(address),
    }
}

fn classify_v4(address: Ipv4Addr) -> Class {
    match address.octets() {
        // Alibaba's and Oracle's metadata services
        [100, 100, 100, 200] | [192, 0, 0, 192] | [169, 254, ..] => Class::LinkLocal,
        [10 | 127, ..] | [192, 168, ..] => Class::Private,
        [172, second, ..] if (16..32).contains(&second) => Class::Private,
        // shared by the customers of a provider (RFC 6598)
        [100, second, ..] if (64..128).contains(&second) => Class::Private,
        // "this network"; protocol assignments; benchmarks; documentation; the anycast relay of 6to4
        [0, ..] | [192, 0, 0 | 2, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _] => {
            Class::Reserved
        }
        // multicast, class E, broadcast
        [224..=255, ..] => Class::Reserved,
        _ => Class::Public,
    }
}

fn classify_v6(address: Ipv6Addr) -> Class {
    if let Some(embedded) = embedded_v4(address) {
        return classify_v4(embedded);
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::Private,
        // the metadata service of AWS
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Class::LinkLocal,
        [0xfc00..=0xfdff, ..] => Class::Private,
        [0xfe80..=0xfebf, ..] => Class::LinkLocal,
        // protocol assignments, Teredo and ORCHID among them; documentation
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Class::Reserved,
        // global unicast; all else, IPv4-compatible addresses and local NAT64 (RFC 8215) included, is no host
        [0x2000..=0x3fff, ..] => Class::Public,
        _ => Class::Reserved,
    }
}

/// The IPv4 address that packets to this address are sent to: IPv4-mapped, NAT64 (RFC 6052) and 6to4 (RFC 3056).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses and their class.
    const TABLE: &[(&str, Class)] = &[
        ("1.1.1.1", Class::Public),
        ("93.184.216.34", Class::Public),
        ("9.255.255.255", Class::Public),
        ("11.0.0.0", Class::Public),
        ("172.15.255.255", Class::Public),
        ("172.32.0.0", Class::Public),
        ("100.63.255.255", Class::Public),
        ("100.128.0.0", Class::Public),
        ("223.255.255.255", Class::Public),
        ("2606:4700:4700::1111", Class::Public),
        ("2a00:1450:4001::1", Class::Public),
        ("::ffff:1.1.1.1", Class::Public),
        ("64:ff9b::1.1.1.1", Class::Public),
        ("2002:101:101::1", Class::Public),
        ("10.0.0.1", Class::Private),
        ("127.0.0.1", Class::Private),
        ("127.255.255.254", Class::Private),
        ("172.16.0.1", Class::Private),
        ("172.31.255.255", Class::Private),
        ("192.168.1.1", Class::Private),
        ("100.64.0.1", Class::Private),
        ("100.127.255.255", Class::Private),
        ("::1", Class::Private),
        ("fc00::1", Class::Private),
        ("fdff:ffff::1", Class::Private),
        ("::ffff:127.0.0.1", Class::Private),
        ("::ffff:10.0.0.1", Class::Private),
        ("64:ff9b::192.168.0.1", Class::Private),
        ("2002:7f00:1::", Class::Private),
        ("2002:a00:1::1", Class::Private),
        ("169.254.169.254", Class::LinkLocal),
        ("169.254.0.1", Class::LinkLocal),
        ("100.100.100.200", Class::LinkLocal),
        ("192.0.0.192", Class::LinkLocal),
        ("fe80::1", Class::LinkLocal),
        ("febf::1", Class::LinkLocal),
        ("fd00:ec2::254", Class::LinkLocal),
        ("::ffff:169.254.169.254", Class::LinkLocal),
        ("64:ff9b::169.254.169.254", Class::LinkLocal),
        ("2002:a9fe:a9fe::", Class::LinkLocal),
        ("0.0.0.0", Class::Reserved),
        ("0.1.2.3", Class::Reserved),
        ("192.0.0.1", Class::Reserved),
        ("192.0.2.1", Class::Reserved),
        ("192.88.99.1", Class::Reserved),
        ("198.18.0.1", Class::Reserved),
        ("198.19.255.255", Class::Reserved),
        ("198.51.100.1", Class::Reserved),
        ("203.0.113.1", Class::Reserved),
        ("224.0.0.1", Class::Reserved),
        ("240.0.0.1", Class::Reserved),
        ("255.255.255.255", Class::Reserved),
        ("::", Class::Reserved),
        ("::127.0.0.1", Class::Reserved),
        ("::ffff:0:127.0.0.1", Class::Reserved),
        ("64:ff9b:1::10.0.0.1", Class::Reserved),
        ("100::1", Class::Reserved),
        ("2001::1", Class::Reserved),
        ("2001:0:7f00:1::", Class::Reserved),
        ("2001:20::1", Class::Reserved),
        ("2001:db8::1", Class::Reserved),
        ("3fff::1", Class::Reserved),
        ("5f00::1", Class::Reserved),
        ("fec0::1", Class::Reserved),
        ("ff02::1", Class::Reserved),
    ];

    #[test]
    fn addresses_have_the_class_of_the_registries() {
        for &(text, expected) in TABLE {
            assert_eq!(classify(text.parse().expect("an address")), expected, "{text}");
        }
    }

    #[test]
    fn policies_allow_what_their_hosts_may_be() {
        for (class, address, allowed) in [
            (Class::Public, "1.1.1.1", [true, true, true]),
            (Class::Private, "10.0.0.1", [false, true, true]),
            (Class::LinkLocal, "169.254.169.254", [false, false, true]),
            (Class::Reserved, "224.0.0.1", [false, false, false]),
        ] {
            let policies = [Policy::Public, Policy::Configured, Policy::ConfiguredAddress];
            let address = address.parse().expect("an address");
            assert_eq!(policies.map(|policy| policy.allows(address)), allowed, "{class:?}");
        }
    }
}
