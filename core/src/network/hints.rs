//! What the node is told about addresses: its own, those that peers name, those found in the local network.

use std::collections::HashMap;
use std::sync::PoisonError;

use libp2p::Multiaddr;
use libp2p::swarm::ConnectionId;

use super::engine::Engine;
use super::{Event, PeerId, address};

/// Hints that wait for the consumer; more are dropped.
const HINTS: usize = 256;

impl Engine {
    pub(super) fn discovered(&mut self, found: Vec<(libp2p::PeerId, Multiaddr)>) {
        let mut peers: HashMap<PeerId, Vec<Multiaddr>> = HashMap::new();
        for (peer, address) in found {
            if let Some(peer) = PeerId::checked(peer).filter(|peer| *peer != self.backend.shared.peer) {
                peers.entry(peer).or_default().push(address);
            }
        }
        for (peer, said) in peers {
            let addresses = address::learned(peer, said, None, self.limits.addresses);
            if !addresses.is_empty() {
                self.hint(Event::Discovered { peer, addresses });
            }
        }
    }

    /// What a peer says about itself is passed on once it has a link: before that it may be anybody.
    pub(super) fn tell_addresses(&mut self, connection: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&connection) else { return };
        let linked =
            connection.stream.and_then(|own| self.streams.get(&own)).is_some_and(|s| s.link.is_some());
        if linked && !connection.said.is_empty() {
            let (peer, addresses) = (connection.peer, std::mem::take(&mut connection.said));
            self.hint(Event::Addresses { peer, addresses });
        }
    }

    pub(super) fn hint(&mut self, event: Event) {
        if self.hints.len() < HINTS {
            self.hints.push_back(event);
        }
    }

    /// Shows where this node is reached, and tells those who have a link.
    pub(super) fn addresses_changed(&mut self) {
        let addresses = self.reached_at();
        let mut before = self.backend.shared.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if *before == addresses {
            return;
        }
        *before = addresses;
        drop(before);
        let linked: Vec<_> = self.keeper.links().map(|(peer, _)| peer.0).collect();
        self.swarm.behaviour_mut().identify.push(linked);
    }
}
