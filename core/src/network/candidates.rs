//! Guards a behaviour against what strangers say about this node's own addresses: libp2p keeps every one for ever.

use std::collections::HashSet;
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NewExternalAddrCandidate, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};

use super::address;

/// Addresses of this node that are looked into, for as long as it runs.
const MOST: usize = 32;

/// Passes on everything but addresses too many, and those that are no use to anybody.
pub(super) struct Guarded<B> {
    inner: B,
    seen: HashSet<Multiaddr>,
    /// Whether this machine's own addresses are of use: a relay is on it, too.
    pub(super) machine: bool,
    /// Whether what is known to be this node's is a candidate, too: the places where it listens lead to it from next door.
    known: bool,
}

impl<B> Guarded<B> {
    pub(super) fn new(inner: B) -> Self {
        Self { inner, seen: HashSet::new(), machine: false, known: false }
    }

    /// Takes what is known to be this node's for candidates, too.
    pub(super) fn with_known(self) -> Self {
        Self { known: true, ..self }
    }

    fn lets_in(&mut self, address: &Multiaddr) -> bool {
        if !address::may_punch(address, self.machine) {
            return false;
        }
        self.seen.contains(address) || (self.seen.len() < MOST && self.seen.insert(address.clone()))
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Guarded<B> {
    type ConnectionHandler = B::ConnectionHandler;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: libp2p::PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<libp2p::PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: libp2p::PeerId,
        remote: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, remote, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::NewExternalAddrCandidate(candidate) = &event
            && !self.lets_in(candidate.addr)
        {
            return;
        }
        if let FromSwarm::ExternalAddrConfirmed(confirmed) = &event
            && self.known
            && self.lets_in(confirmed.addr)
        {
            let candidate = NewExternalAddrCandidate { addr: confirmed.addr };
            self.inner.on_swarm_event(FromSwarm::NewExternalAddrCandidate(candidate));
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: libp2p::PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_names_for_this_node_are_bounded() {
        let mut guarded = Guarded::new(());
        let address = |n: usize| -> Multiaddr { format!("/ip4/192.0.2.1/tcp/{n}").parse().unwrap() };
        let let_in = (1..1000).filter(|n| guarded.lets_in(&address(*n))).count();
        assert_eq!(let_in, MOST);
        assert!(guarded.lets_in(&address(1)) && !guarded.lets_in(&address(999)));
        let mut guarded = Guarded::new(());
        assert!(!guarded.lets_in(&"/ip4/127.0.0.1/tcp/1".parse().unwrap()));
        guarded.machine = true;
        assert!(guarded.lets_in(&"/ip4/127.0.0.1/tcp/1".parse().unwrap()));
    }
}
