//! What libp2p is to do on each connection: the side that dialled opens one stream, the other side takes one. Everything
//! else on it is surplus. A stream is named by its connection; what goes over it is not looked at here.

use std::collections::{HashMap, VecDeque};
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

use super::wire::PROTOCOL;

/// Surplus streams that are refused on a connection; at one more the connection is closed.
const SURPLUS: u32 = 16;

pub(super) struct Behaviour {
    events: VecDeque<Happened>,
    connections: HashMap<ConnectionId, libp2p::PeerId>,
    most: usize,
    patience: Duration,
    /// Takes no connection any more.
    pub(super) closed: bool,
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
}

impl Behaviour {
    /// At most `most` connections with each peer; a stream has `patience` to come about.
    pub(super) fn new(most: usize, patience: Duration) -> Self {
        Self { events: VecDeque::new(), connections: HashMap::new(), most, patience, closed: false }
    }

    fn admit(&self, peer: libp2p::PeerId) -> Result<(), ConnectionDenied> {
        if self.closed {
            return Err(ConnectionDenied::new(Denied::Closed));
        }
        if super::PeerId::checked(peer).is_none() {
            return Err(ConnectionDenied::new(Denied::Key));
        }
        if self.connections.values().filter(|who| **who == peer).count() >= self.most {
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

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: libp2p::PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(peer)?;
        Ok(Handler::new(false, self.patience))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: libp2p::PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(peer)?;
        Ok(Handler::new(true, self.patience))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                self.connections.insert(established.connection_id, established.peer_id);
            }
            FromSwarm::ConnectionClosed(closed) => self.abandon(closed.connection_id),
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
    fn new(dialled: bool, patience: Duration) -> Self {
        Self { ask: dialled, taken: dialled, surplus: 0, patience, events: VecDeque::new() }
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
