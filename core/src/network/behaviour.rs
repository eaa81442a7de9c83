//! What libp2p is to do on each connection: the side that dialled opens one stream, the other side takes one. Everything
//! else on it is surplus. A stream is named by its connection; what goes over it is not looked at here.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::ReadyUpgrade;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};

use super::address;
use super::wire::PROTOCOL;

/// Surplus streams that are refused on a connection; at one more the connection is closed.
const SURPLUS: u32 = 16;
/// How often a peer that is met through a relay may have this node dial for a direct connection, for each relayed one. Three are tried.
const PUNCHES: u32 = 6;
/// Addresses that it may name each time.
const PUNCH_ADDRESSES: usize = 20;

pub(super) struct Behaviour {
    events: VecDeque<Happened>,
    connections: HashMap<ConnectionId, Known>,
    /// Dials that the network's task has asked for.
    dialled: HashSet<ConnectionId>,
    /// Whether this machine's own addresses are worth a dial: a relay is on it, too.
    pub(super) machine: bool,
    most: usize,
    patience: Duration,
    /// Takes no connection any more.
    pub(super) closed: bool,
}

/// A connection, from the moment on at which it is let in.
struct Known {
    peer: libp2p::PeerId,
    /// Whether this side made it.
    outbound: bool,
    relayed: bool,
    /// Whether it may carry a link. One that was made to go on from there, through a relay, does not.
    carries: bool,
    punches: u32,
}

/// What happened on a connection.
#[derive(Debug)]
pub(super) struct Happened {
    pub(super) connection: ConnectionId,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// The connection's one stream is there.
    Stream(Stream),
    /// The peer gave no stream; why.
    Refused(String),
    /// The peer opens stream after stream.
    Flood,
}

#[derive(Debug, thiserror::Error)]
enum Denied {
    #[error("too many connections with this peer")]
    TooMany,
    #[error("the peer has no Ed25519 key")]
    Key,
    #[error("the network is closing")]
    Closed,
    #[error("the peer asks for too many direct connections, or to wrong addresses")]
    Punch,
}

impl Behaviour {
    /// At most `most` connections with each peer, each way; a stream has `patience` to come about.
    pub(super) fn new(most: usize, patience: Duration) -> Self {
        Self {
            events: VecDeque::new(),
            connections: HashMap::new(),
            dialled: HashSet::new(),
            machine: false,
            most,
            patience,
            closed: false,
        }
    }

    /// The network's task dials, to have a link.
    pub(super) fn dials(&mut self, connection: ConnectionId) {
        self.dialled.insert(connection);
    }

    /// Whether a connection may carry a link.
    pub(super) fn carries(&self, connection: ConnectionId) -> bool {
        self.connections.get(&connection).is_some_and(|known| known.carries)
    }

    fn relayed(&mut self, peer: libp2p::PeerId) -> Option<&mut Known> {
        self.connections.values_mut().find(|known| known.peer == peer && known.relayed)
    }

    /// Those that this side made take no place from those that the peer made: where both dial, each side would else refuse what the other one
    /// has settled on, and both would be left with nothing.
    fn admit(&self, peer: libp2p::PeerId, outbound: bool) -> Result<(), ConnectionDenied> {
        if self.closed {
            return Err(ConnectionDenied::new(Denied::Closed));
        }
        if super::PeerId::checked(peer).is_none() {
            return Err(ConnectionDenied::new(Denied::Key));
        }
        let same = self.connections.values().filter(|known| known.peer == peer && known.outbound == outbound);
        if same.count() >= self.most {
            return Err(ConnectionDenied::new(Denied::TooMany));
        }
        Ok(())
    }

    /// The connection is being closed and takes no place any more: one to a peer that is out of reach can take many
    /// minutes to be gone, and must not keep that peer from coming back.
    pub(super) fn abandon(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Happened;

    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        if self.closed { Err(ConnectionDenied::new(Denied::Closed)) } else { Ok(()) }
    }

    /// Dials that others ask for through a relay are few, and to sensible addresses.
    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<libp2p::PeerId>,
        addresses: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if self.closed {
            return Err(ConnectionDenied::new(Denied::Closed));
        }
        let machine = self.machine;
        if let Some(relayed) =
            peer.filter(|_| !self.dialled.contains(&connection)).and_then(|peer| self.relayed(peer))
        {
            relayed.punches += 1;
            let sensible = addresses.len() <= PUNCH_ADDRESSES
                && addresses.iter().all(|address| address::may_punch(address, machine));
            if relayed.punches > PUNCHES || !sensible {
                return Err(ConnectionDenied::new(Denied::Punch));
            }
        }
        Ok(Vec::new())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: libp2p::PeerId,
        local: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(peer, false)?;
        let relayed = address::is_relayed(local);
        let known = Known { peer, outbound: false, relayed, carries: true, punches: 0 };
        self.connections.insert(connection, known);
        Ok(Handler::new(false, true, self.patience))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: libp2p::PeerId,
        remote: &Multiaddr,
        role: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(peer, true)?;
        let relayed = address::is_relayed(remote);
        // What nobody here asked for is a way to a relay, or the direct connection with a peer that was met through one.
        let carries = self.dialled.remove(&connection) || relayed || self.relayed(peer).is_some();
        self.connections.insert(connection, Known { peer, outbound: true, relayed, carries, punches: 0 });
        // Where both sides dial at the same moment to get through, one of them takes the other part.
        let asks = carries && role.is_dialer();
        Ok(Handler::new(asks, carries && !asks, self.patience))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(closed) => self.abandon(closed.connection_id),
            FromSwarm::DialFailure(failed) => {
                self.dialled.remove(&failed.connection_id);
                self.abandon(failed.connection_id);
            }
            FromSwarm::ListenFailure(failed) => self.abandon(failed.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: libp2p::PeerId,
        connection: ConnectionId,
        what: THandlerOutEvent<Self>,
    ) {
        self.events.push_back(Happened { connection, what });
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.events.pop_front() {
            Some(event) => Poll::Ready(ToSwarm::GenerateEvent(event)),
            None => Poll::Pending,
        }
    }
}

/// One connection's part.
pub(super) struct Handler {
    /// Whether this side still has to ask for the stream.
    ask: bool,
    /// Whether the connection has had its stream.
    taken: bool,
    surplus: u32,
    patience: Duration,
    events: VecDeque<What>,
}

impl Handler {
    fn new(ask: bool, take: bool, patience: Duration) -> Self {
        Self { ask, taken: !take, surplus: 0, patience, events: VecDeque::new() }
    }

    fn protocol(&self) -> SubstreamProtocol<ReadyUpgrade<StreamProtocol>> {
        let upgrade = ReadyUpgrade::new(StreamProtocol::new(PROTOCOL));
        SubstreamProtocol::new(upgrade, ()).with_timeout(self.patience)
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = What;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        self.protocol()
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        if std::mem::take(&mut self.ask) {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: self.protocol(),
            });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        match event {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, .. }) => {
                self.events.push_back(What::Stream(protocol));
            }
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                if !std::mem::replace(&mut self.taken, true) {
                    self.events.push_back(What::Stream(protocol));
                    return;
                }
                // Dropping a stream resets it.
                drop(protocol);
                self.surplus += 1;
                if self.surplus == SURPLUS + 1 {
                    self.events.push_back(What::Flood);
                }
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                let why = match error {
                    StreamUpgradeError::Timeout => "the peer did not open a stream in time".to_owned(),
                    StreamUpgradeError::NegotiationFailed => {
                        "the peer does not speak this protocol".to_owned()
                    }
                    StreamUpgradeError::Io(error) => format!("the connection broke: {error}"),
                    StreamUpgradeError::Apply(never) => match never {},
                };
                self.events.push_back(What::Refused(why));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both sides dial twice at once, one of these dials over TCP and QUIC: the slower one of its two connections is there for a moment, too.
    #[test]
    fn what_this_side_has_dialled_takes_no_place_from_what_the_peer_has_dialled() {
        let mut behaviour = Behaviour::new(3, Duration::from_secs(10));
        let peer = libp2p::identity::Keypair::generate_ed25519().public().to_peer_id();
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let mut last = 0;
        let mut admitted = |outbound: bool| {
            last += 1;
            let connection = ConnectionId::new_unchecked(last);
            if outbound {
                behaviour
                    .handle_established_outbound_connection(
                        connection,
                        peer,
                        &address,
                        Endpoint::Dialer,
                        PortUse::New,
                    )
                    .is_ok()
            } else {
                behaviour.handle_established_inbound_connection(connection, peer, &address, &address).is_ok()
            }
        };
        assert_eq!([true, true].map(&mut admitted), [true, true]);
        assert_eq!([false; 4].map(&mut admitted), [true, true, true, false]);
        assert_eq!([true, true].map(&mut admitted), [true, false]);
    }
}
