//! What a network is started with.

use std::time::Duration;

use libp2p::Multiaddr;
use zeroize::Zeroizing;

use super::{PeerId, address, link};
use crate::{Error, Result, limits};

/// Addresses of a peer that one dial tries at the same time; the others follow as these fail.
pub(super) const AT_ONCE: u8 = 8;
/// Relays at which a node may keep a place.
const RELAYS: usize = 4;

/// What a network is started with.
#[derive(Clone)]
pub struct Config {
    /// The node's Ed25519 secret in the network; [`PeerId`] is its public half.
    pub identity: Zeroizing<[u8; 32]>,
    /// Where to listen: `/ip4/0.0.0.0/tcp/0`, `/ip4/0.0.0.0/udp/0/quic-v1` … Port 0 lets the system choose.
    pub listen: Vec<String>,
    /// Whether to find peers in the local network by mDNS, and be found.
    pub discovery: bool,
    /// Peers to keep connected, with their addresses; more can be named later ([`super::Network::know`]).
    pub known_peers: Vec<(PeerId, Vec<String>)>,
    /// Relays at which a place is kept, with `/p2p/…`: whoever cannot dial this node reaches it through them. Each has to have an Ed25519
    /// key and to answer libp2p's ping.
    pub relays: Vec<String>,
    /// Whether others are dialled through their relays; always with [`relays`](field@Self::relays).
    pub through_relays: bool,
    /// Whether a direct connection is tried where a link goes through a relay (DCUtR).
    pub hole_punching: bool,
    /// Whether peers are asked to dial back, to find out which addresses others reach (AutoNAT v2).
    pub autonat: bool,
    /// Whether there is gossip.
    pub gossip: bool,
    /// What bounds memory, connections and waiting.
    pub limits: Limits,
}

impl Config {
    /// Neither listens nor discovers nor knows a peer.
    #[must_use]
    pub fn new(identity: [u8; 32]) -> Self {
        Self {
            identity: Zeroizing::new(identity),
            listen: Vec::new(),
            discovery: false,
            known_peers: Vec::new(),
            relays: Vec::new(),
            through_relays: true,
            hole_punching: true,
            autonat: true,
            gossip: true,
            limits: Limits::default(),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        self.limits.check()?;
        if self.listen.len() > self.limits.addresses {
            return Err(Error::limit_exceeded(format!(
                "{} addresses to listen at; at most {}",
                self.listen.len(),
                self.limits.addresses
            )));
        }
        if self.known_peers.len() > self.limits.known_peers {
            return Err(Error::limit_exceeded(format!(
                "{} peers to keep connected; at most {}",
                self.known_peers.len(),
                self.limits.known_peers
            )));
        }
        for (peer, addresses) in &self.known_peers {
            address::parse_all(*peer, addresses, self.limits.addresses)?;
        }
        self.relays().map(drop)
    }

    /// The relays, each once.
    pub(super) fn relays(&self) -> Result<Vec<(PeerId, Multiaddr)>> {
        if self.relays.len() > RELAYS {
            return Err(Error::limit_exceeded(format!("{} relays; at most {RELAYS}", self.relays.len())));
        }
        let mut relays: Vec<(PeerId, Multiaddr)> = Vec::new();
        for text in &self.relays {
            let (relay, address) = address::parse_relay(text)?;
            if relay == PeerId::of_identity(&self.identity) {
                return Err(Error::invalid_argument("a relay is this node itself"));
            }
            if relays.iter().any(|(other, _)| *other == relay) {
                return Err(Error::invalid_argument(format!("the relay {relay} is named twice")));
            }
            relays.push((relay, address));
        }
        Ok(relays)
    }
}

/// What bounds memory, connections and waiting. The defaults suit a phone and a desk alike.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Largest frame, in bytes; at most [`limits::FRAME`].
    pub frame: usize,
    /// Bytes of frames that wait to be sent on one link; at least one frame.
    pub outbound_bytes: usize,
    /// Frames that wait to be sent on one link.
    pub outbound_frames: usize,
    /// Bytes of frames that one peer may have arriving or waiting for the consumer; at least one frame.
    pub inbound_bytes_per_link: usize,
    /// Bytes of large frames (over 16 KiB) that all peers together may have arriving or waiting for the consumer; at
    /// least one frame. Small ones are bounded by `events` and `links`.
    pub inbound_bytes: usize,
    /// Events that wait for the consumer.
    pub events: usize,
    /// Links at a time.
    pub links: usize,
    /// Connections that others made; peers to keep connected are exempt.
    pub inbound_connections: u32,
    /// Connections that this node made; peers to keep connected are exempt.
    pub outbound_connections: u32,
    /// Connections that are being set up, each way.
    pub pending_connections: u32,
    /// Connections with one peer, each way, most of them for a moment only, while both sides agree on one.
    pub connections_per_peer: usize,
    /// Known peers that are dialled at the same time.
    pub dials: usize,
    /// Peers to keep connected.
    pub known_peers: usize,
    /// Addresses of one peer, and addresses to listen at.
    pub addresses: usize,
    /// New connections are refused while the process has more than this in memory; `None`: not looked at.
    pub process_memory: Option<usize>,
    /// How long reaching an address may take.
    pub dial: Duration,
    /// How long a new connection may take until its link is up.
    pub handshake: Duration,
    /// How often a connection is probed.
    pub ping_every: Duration,
    /// How long the answer to a probe may take; then the connection is dead.
    pub ping_timeout: Duration,
    /// How long a frame may take to arrive, besides one second for each 16 KiB of it that has.
    pub frame_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame: limits::FRAME,
            outbound_bytes: 2 * limits::FRAME,
            outbound_frames: 256,
            inbound_bytes_per_link: 2 * limits::FRAME,
            inbound_bytes: 16 * limits::FRAME,
            events: 256,
            links: 256,
            inbound_connections: 128,
            outbound_connections: 128,
            pending_connections: 32,
            // Two dials at once, of a peer that answers at all of its addresses.
            connections_per_peer: 2 * AT_ONCE as usize,
            dials: 8,
            known_peers: 1024,
            addresses: 16,
            process_memory: None,
            dial: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            ping_every: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(10),
            frame_timeout: Duration::from_secs(10),
        }
    }
}

impl Limits {
    fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::invalid_argument(format!("limits: {what}")));
        if self.frame > limits::FRAME {
            return wrong("`frame` is larger than any peer takes");
        }
        let rooms = [self.outbound_bytes, self.inbound_bytes_per_link, self.inbound_bytes];
        if rooms.iter().any(|room| *room < self.frame || *room > link::ROOM) {
            return wrong("room in bytes is for one frame at least and 1 GiB at most");
        }
        let counts = [
            self.outbound_frames,
            self.events,
            self.links,
            self.connections_per_peer,
            self.dials,
            self.pending_connections as usize,
        ];
        if counts.iter().any(|count| *count == 0 || *count > 1 << 20) {
            return wrong("counts are 1 at least and 1,048,576 at most");
        }
        let times = [self.dial, self.handshake, self.ping_every, self.ping_timeout, self.frame_timeout];
        if times.iter().any(|time| time.is_zero() || *time > Duration::from_secs(86_400)) {
            return wrong("times are more than nothing and a day at most");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn limits_at_the_edge_and_one_past() {
        let config = |change: fn(&mut Limits)| {
            let mut config = Config::new([1; 32]);
            change(&mut config.limits);
            config.check().map_err(|e| e.kind())
        };
        assert_eq!(config(|_| ()), Ok(()));
        assert_eq!(config(|l| l.outbound_bytes = l.frame), Ok(()));
        assert_eq!(config(|l| l.outbound_bytes = l.frame - 1), Err(ErrorKind::InvalidArgument));
        assert_eq!(config(|l| l.frame += 1), Err(ErrorKind::InvalidArgument));
        assert_eq!(config(|l| l.events = 0), Err(ErrorKind::InvalidArgument));
        assert_eq!(config(|l| l.handshake = Duration::ZERO), Err(ErrorKind::InvalidArgument));
    }

    #[test]
    fn relays_are_checked() {
        let relays = |texts: &[String]| {
            let mut config = Config::new([1; 32]);
            config.relays = texts.to_vec();
            config.check().map_err(|e| e.kind())
        };
        let relay = |n| format!("/ip4/192.0.2.{n}/tcp/1/p2p/{}", PeerId::of_identity(&[n; 32]));
        let four: Vec<_> = (2..6).map(relay).collect();
        assert_eq!(relays(&four), Ok(()));
        assert_eq!(relays(&[&four[..], &[relay(6)]].concat()), Err(ErrorKind::LimitExceeded));
        for bad in [relay(1), "/ip4/192.0.2.1/tcp/1".into(), four[0].replace("/p2p/", "/x/")] {
            assert_eq!(relays(&[bad]), Err(ErrorKind::InvalidArgument));
        }
        assert_eq!(relays(&[relay(2), relay(2)]), Err(ErrorKind::InvalidArgument));
    }

    #[test]
    fn too_many_peers_or_addresses_are_refused() {
        let mut config = Config::new([1; 32]);
        config.limits.known_peers = 1;
        let peer = |n| PeerId::of_identity(&[n; 32]);
        config.known_peers = vec![(peer(2), vec!["/ip4/192.0.2.1/tcp/1".to_owned(); 16])];
        assert!(config.check().is_ok());
        config.known_peers[0].1.push("/ip4/192.0.2.1/tcp/1".to_owned());
        assert_eq!(config.check().unwrap_err().kind(), ErrorKind::LimitExceeded);
        config.known_peers = vec![(peer(2), vec![]), (peer(3), vec![])];
        assert_eq!(config.check().unwrap_err().kind(), ErrorKind::LimitExceeded);
        config.known_peers = vec![(peer(2), vec!["nonsense".to_owned()])];
        assert_eq!(config.check().unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
