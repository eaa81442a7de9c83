//! Addresses: what is taken from the host, what is taken from strangers, and what is dialled.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

use super::PeerId;
use crate::{Error, Result};

/// The longest text of an address that is looked at, in bytes.
const TEXT: usize = 512;

/// An address without its peer, and the peer if it named one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) peer: Option<PeerId>,
    pub(super) address: Multiaddr,
}

/// How far an address reaches. An address from outside is of use only where it was heard: a stranger across the
/// Internet has no say about this machine's loopback or this home's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Machine,
    Local,
    World,
}

/// Takes an address from the host to be dialled.
pub(super) fn parse(text: &str) -> Result<Target> {
    let wrong = |why: &str| Error::invalid_argument(format!("the address {} {why}", shown(text)));
    if text.len() > TEXT {
        return Err(wrong("is too long"));
    }
    let address: Multiaddr = text
        .parse()
        .map_err(|_| wrong("is malformed: `/ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…`, for example"))?;
    take(address).map_err(wrong)
}

/// Takes an address that names its peer.
pub(super) fn parse_with_peer(text: &str) -> Result<(PeerId, Multiaddr)> {
    let target = parse(text)?;
    let peer = target.peer.ok_or_else(|| {
        Error::invalid_argument(format!("the address {} names no peer: `/p2p/…` at its end", shown(text)))
    })?;
    Ok((peer, target.address))
}

/// Addresses that name their peers, by peer. Those that cannot be dialled, and those too many of one peer, are left out.
pub(super) fn by_peer(texts: &[String], most: usize) -> BTreeMap<PeerId, Vec<Multiaddr>> {
    let mut peers: BTreeMap<PeerId, Vec<Multiaddr>> = BTreeMap::new();
    for text in texts {
        match parse_with_peer(text) {
            Ok((peer, address)) => {
                let addresses = peers.entry(peer).or_default();
                if addresses.len() < most && !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            Err(error) => tracing::debug!(%error, "an address cannot be dialled"),
        }
    }
    peers
}

/// Takes the addresses that the host has for a peer.
pub(super) fn parse_all(peer: PeerId, texts: &[String], most: usize) -> Result<Vec<Multiaddr>> {
    if texts.len() > most {
        return Err(Error::limit_exceeded(format!("{} addresses for one peer; at most {most}", texts.len())));
    }
    let mut addresses = Vec::with_capacity(texts.len());
    for text in texts {
        let target = parse(text)?;
        if target.peer.is_some_and(|named| named != peer) {
            return Err(Error::invalid_argument(format!("the address {} is of another peer", shown(text))));
        }
        if !addresses.contains(&target.address) {
            addresses.push(target.address);
        }
    }
    Ok(addresses)
}

/// Takes an address to listen at: port 0 and the unspecified address are welcome, a peer is not.
pub(super) fn parse_listen(text: &str) -> Result<Multiaddr> {
    let wrong = |why: &str| Error::invalid_argument(format!("the address {} {why}", shown(text)));
    if text.len() > TEXT {
        return Err(wrong("is too long"));
    }
    let address: Multiaddr =
        text.parse().map_err(|_| wrong("is malformed: `/ip4/0.0.0.0/tcp/0`, for example"))?;
    let parts: Vec<_> = address.iter().collect();
    match parts.as_slice() {
        [Protocol::Ip4(_) | Protocol::Ip6(_), Protocol::Tcp(_)]
        | [Protocol::Ip4(_) | Protocol::Ip6(_), Protocol::Udp(_), Protocol::QuicV1] => Ok(address.clone()),
        _ => Err(wrong("cannot be listened at: `/ip4/…/tcp/…` or `/ip4/…/udp/…/quic-v1`")),
    }
}

/// Takes what a peer, seen at `seen` (`None`: in the local network), says about where it listens.
pub(super) fn learned(
    peer: PeerId,
    said: impl IntoIterator<Item = Multiaddr>,
    seen: Option<&Multiaddr>,
    most: usize,
) -> Vec<String> {
    let reach = seen.map_or(Scope::Local, |seen| scope(seen).unwrap_or(Scope::World));
    let mut addresses = Vec::new();
    // A message has room for a few hundred; looking at more than a few times `most` serves nobody.
    for address in said.into_iter().take(4 * most) {
        if addresses.len() == most {
            break;
        }
        let Ok(target) = take(address) else { continue };
        let fits = scope(&target.address).is_some_and(|scope| scope >= reach);
        if !fits || target.peer.is_some_and(|named| named != peer) {
            continue;
        }
        let text = with_peer(&target.address, peer);
        if text.len() <= TEXT && !addresses.contains(&text) {
            addresses.push(text);
        }
    }
    addresses
}

/// The full text: the address and the peer.
pub(super) fn with_peer(address: &Multiaddr, peer: PeerId) -> String {
    let mut address = address.clone();
    if !matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.push(Protocol::P2p(peer.0));
    }
    address.to_string()
}

/// Takes a relay's own address: the relay, and where it is dialled.
pub(super) fn parse_relay(text: &str) -> Result<(PeerId, Multiaddr)> {
    let (relay, address) = parse_with_peer(text)?;
    if is_relayed(&address) || is_memory(&address) {
        return Err(Error::invalid_argument(format!("the address {} is of no relay", shown(text))));
    }
    Ok((relay, address))
}

/// Where a relay takes connections for its clients.
pub(super) fn circuit(relay: PeerId, address: &Multiaddr) -> Multiaddr {
    address.clone().with(Protocol::P2p(relay.0)).with(Protocol::P2pCircuit)
}

/// Whether it leads through a relay.
pub(super) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

/// Whether an address that the network has named leads through a relay.
pub(crate) fn is_relayed_text(address: &str) -> bool {
    address.contains("/p2p-circuit")
}

/// Whether it leads to this machine alone.
pub(super) fn is_of_machine(address: &Multiaddr) -> bool {
    scope(address) == Some(Scope::Machine)
}

/// Whether a peer met through a relay may name this address to be dialled: like [`learned`], but that two nodes far from the relay may well
/// be in one local network.
pub(super) fn may_punch(address: &Multiaddr, machine: bool) -> bool {
    take(address.clone()).is_ok_and(|target| !is_relayed(&target.address) && !is_memory(&target.address))
        && (machine || !is_of_machine(address))
}

/// Sorts addresses for somebody elsewhere: those that reach the farthest come first, and direct ones before those through a relay.
pub(crate) fn rank(text: &str) -> u8 {
    let Ok(address) = text.parse::<Multiaddr>() else { return 4 };
    match (scope(&address), is_relayed(&address)) {
        (Some(Scope::World), false) => 0,
        (_, true) => 1,
        (Some(Scope::Local), false) => 2,
        (Some(Scope::Machine) | None, false) => 3,
    }
}

/// Whether it is an address inside a [`super::Hub`].
pub(super) fn is_memory(address: &Multiaddr) -> bool {
    matches!(address.iter().next(), Some(Protocol::Memory(_)))
}

fn take(mut address: Multiaddr) -> Result<Target, &'static str> {
    let peer = match address.iter().last() {
        Some(Protocol::P2p(peer)) => {
            address.pop();
            Some(PeerId::checked(peer).ok_or("names a peer without an Ed25519 key")?)
        }
        _ => None,
    };
    let parts: Vec<_> = address.iter().collect();
    let direct = match parts.as_slice() {
        [direct @ .., Protocol::P2p(relay), Protocol::P2pCircuit] => {
            let relay = PeerId::checked(*relay).ok_or("names a relay without an Ed25519 key")?;
            if peer == Some(relay) {
                return Err("goes through the peer itself");
            }
            direct
        }
        direct => direct,
    };
    let (host, port) = match direct {
        [Protocol::Memory(_)] if direct.len() == parts.len() => return Ok(Target { peer, address }),
        [host, Protocol::Tcp(port)] | [host, Protocol::Udp(port), Protocol::QuicV1] => (host, *port),
        _ => return Err("is of no kind that can be dialled: TCP or QUIC over IP or DNS"),
    };
    if port == 0 {
        return Err("has port 0, which nobody listens at");
    }
    match host {
        Protocol::Ip4(ip) if ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() => {
            return Err("is no address of one machine");
        }
        Protocol::Ip6(ip) if ip.is_unspecified() || ip.is_multicast() => {
            return Err("is no address of one machine");
        }
        Protocol::Ip4(_) | Protocol::Ip6(_) => {}
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => {
            let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_');
            if name.is_empty() || name.len() > 253 || !name.bytes().all(plain) {
                return Err("has a malformed name");
            }
        }
        _ => return Err("is of no kind that can be dialled: TCP or QUIC over IP or DNS"),
    }
    Ok(Target { peer, address })
}

fn scope(address: &Multiaddr) -> Option<Scope> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(scope_of_ip(IpAddr::V4(ip))),
        Protocol::Ip6(ip) => Some(scope_of_ip(IpAddr::V6(ip))),
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let scope = if name == "localhost" || name.ends_with(".localhost") {
                Scope::Machine
            } else if name.ends_with(".local") || !name.contains('.') {
                Scope::Local
            } else {
                Scope::World
            };
            Some(scope)
        }
        _ => None,
    }
}

fn scope_of_ip(ip: IpAddr) -> Scope {
    match ip {
        IpAddr::V4(ip) => scope_of_v4(ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => scope_of_v4(ip),
            None => scope_of_v6(ip),
        },
    }
}

fn scope_of_v4(ip: Ipv4Addr) -> Scope {
    let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
    if ip.is_loopback() || ip.octets()[0] == 0 {
        Scope::Machine
    } else if ip.is_private() || ip.is_link_local() || shared {
        Scope::Local
    } else {
        Scope::World
    }
}

fn scope_of_v6(ip: Ipv6Addr) -> Scope {
    let first = ip.segments()[0];
    if ip.is_loopback() {
        Scope::Machine
    } else if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80 {
        Scope::Local
    } else {
        Scope::World
    }
}

/// The text in a message: short, and quoted so that control characters do no harm in a terminal.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(120).collect();
    if short.len() < text.len() { format!("{short:?}…") } else { format!("{short:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use proptest::prelude::*;

    fn peer() -> PeerId {
        PeerId::of_identity(&[7; 32])
    }

    fn multi(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_can_be_dialled_is_taken_and_nonsense_is_not() {
        for good in [
            "/ip4/192.0.2.1/tcp/4001",
            "/ip4/127.0.0.1/udp/1/quic-v1",
            "/ip6/2001:db8::1/tcp/65535",
            "/dns/kith.example/tcp/4001",
            "/dns4/a.example/udp/4001/quic-v1",
            "/memory/5",
        ] {
            assert_eq!(parse(good).unwrap().peer, None, "{good}");
            let full = format!("{good}/p2p/{}", peer());
            assert_eq!(parse_with_peer(&full).unwrap(), (peer(), multi(good)));
            assert_eq!(with_peer(&multi(good), peer()), full);
        }
        let relay = PeerId::of_identity(&[9; 32]);
        for good in ["/ip4/192.0.2.1/tcp/1", "/dns/r.example/udp/1/quic-v1"] {
            let relayed = format!("{good}/p2p/{relay}/p2p-circuit");
            let full = format!("{relayed}/p2p/{}", peer());
            assert_eq!(parse_with_peer(&full).unwrap(), (peer(), multi(&relayed)));
            assert_eq!(with_peer(&multi(&relayed), peer()), full);
            assert_eq!(parse_relay(&format!("{good}/p2p/{relay}")).unwrap(), (relay, multi(good)));
            assert_eq!(circuit(relay, &multi(good)), multi(&relayed));
            assert!(parse_relay(&full).is_err(), "no relay is reached through a relay");
        }
        let itself = format!("/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p-circuit/p2p/{relay}");
        let nameless = format!("/ip4/192.0.2.1/tcp/1/p2p-circuit/p2p/{}", peer());
        let twice =
            format!("/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p-circuit/p2p/{relay}/p2p-circuit/p2p/{}", peer());
        let within = format!("/memory/1/p2p/{relay}/p2p-circuit/p2p/{}", peer());
        let long = format!("/dns/{}/tcp/1", "a".repeat(600));
        for bad in [
            "",
            "hello",
            "/ip4/192.0.2.1",
            "/ip4/192.0.2.1/tcp/0",
            "/ip4/192.0.2.1/tcp/66000",
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/255.255.255.255/tcp/1",
            "/ip4/224.0.0.251/udp/5353/quic-v1",
            "/ip6/::/tcp/1",
            "/ip6/ff02::fb/tcp/1",
            "/ip4/192.0.2.1/udp/1",
            "/ip4/192.0.2.1/tcp/1/ws",
            "/dns/a b/tcp/1",
            "/unix/tmp",
            "/ip4/192.0.2.1/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
            itself.as_str(),
            nameless.as_str(),
            twice.as_str(),
            within.as_str(),
            long.as_str(),
        ] {
            assert_eq!(parse(bad).unwrap_err().kind(), ErrorKind::InvalidArgument, "{bad}");
        }
        assert_eq!(parse_with_peer("/ip4/192.0.2.1/tcp/1").unwrap_err().kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn an_address_of_another_peer_is_refused() {
        let other = format!("/ip4/192.0.2.1/tcp/1/p2p/{}", PeerId::of_identity(&[8; 32]));
        assert!(parse_all(peer(), &[other], 16).is_err());
    }

    #[test]
    fn listening_takes_wildcards_and_port_0() {
        assert!(parse_listen("/ip4/0.0.0.0/tcp/0").is_ok());
        assert!(parse_listen("/ip6/::/udp/0/quic-v1").is_ok());
        for bad in ["/dns/a.example/tcp/1", "/ip4/127.0.0.1/tcp/1/p2p-circuit", "/memory/1", "tcp"] {
            assert_eq!(parse_listen(bad).unwrap_err().kind(), ErrorKind::InvalidArgument, "{bad}");
        }
    }

    #[test]
    fn a_stranger_has_no_say_about_nearer_networks() {
        let said = [
            "/ip4/127.0.0.1/tcp/22",
            "/ip4/192.168.1.9/tcp/1",
            "/ip4/192.0.2.7/tcp/1",
            "/dns/localhost/tcp/1",
        ];
        let heard = |seen: Option<&str>| {
            let seen = seen.map(multi);
            learned(peer(), said.map(multi), seen.as_ref(), 16).len()
        };
        assert_eq!(heard(Some("/ip4/203.0.113.5/tcp/9")), 1);
        assert_eq!(heard(Some("/ip4/10.0.0.5/tcp/9")), 2);
        assert_eq!(heard(None), 2);
        assert_eq!(heard(Some("/ip4/127.0.0.1/tcp/9")), 4);
    }

    #[test]
    fn the_farthest_reach_comes_first_and_relays_before_local_networks() {
        let relay = PeerId::of_identity(&[9; 32]);
        let relayed = format!("/ip4/127.0.0.1/tcp/1/p2p/{relay}/p2p-circuit/p2p/{}", peer());
        let mut texts =
            ["/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1", relayed.as_str(), "/ip4/192.0.2.1/tcp/1", "x"];
        texts.sort_by_key(|text| rank(text));
        assert_eq!(
            texts,
            ["/ip4/192.0.2.1/tcp/1", relayed.as_str(), "/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1", "x"]
        );
    }

    #[test]
    fn who_is_met_through_a_relay_has_no_say_about_this_machine() {
        assert!(may_punch(&multi("/ip4/192.0.2.1/tcp/1"), false));
        assert!(may_punch(&multi("/ip4/10.0.0.1/udp/1/quic-v1"), false));
        assert!(!may_punch(&multi("/ip4/127.0.0.1/tcp/1"), false));
        assert!(may_punch(&multi("/ip4/127.0.0.1/tcp/1"), true));
        for bad in ["/ip4/192.0.2.1/tcp/1/ws", "/memory/1", "/ip4/0.0.0.0/tcp/1"] {
            assert!(!may_punch(&multi(bad), true), "{bad}");
        }
    }

    #[test]
    fn what_is_learned_is_bounded_and_without_doubles() {
        let said = (1..1000u16).map(|port| multi(&format!("/ip4/192.0.2.1/tcp/{port}")));
        assert_eq!(learned(peer(), said, None, 16).len(), 16);
        let same = (1..1000u16).map(|_| multi("/ip4/192.0.2.1/tcp/1"));
        assert_eq!(learned(peer(), same, None, 16).len(), 1);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,600}", tail in "(/(ip4|tcp|p2p|dns|udp|quic-v1|memory)/?[a-z0-9.]{0,20}){0,6}") {
            let _ = parse(&text);
            let _ = parse(&tail);
            let _ = parse_listen(&tail);
        }

        #[test]
        fn what_is_handed_out_can_be_dialled(ips: Vec<u32>, port: u16) {
            let said = ips.iter().map(|ip| multi(&format!("/ip4/{}/tcp/{port}", Ipv4Addr::from(*ip))));
            for text in learned(peer(), said, None, 16) {
                prop_assert_eq!(parse_with_peer(&text).unwrap().0, peer());
            }
        }
    }
}
