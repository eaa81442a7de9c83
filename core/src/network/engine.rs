//! The network's task: drives libp2p, keeps the books on peers, connections and streams, and never waits for the consumer.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures::StreamExt;
use libp2p::core::ConnectedPoint;
use libp2p::core::transport::ListenerId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, Swarm, SwarmEvent};
use libp2p::{Multiaddr, identify, mdns, ping};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::behaviour::{Happened, What};
use super::choice::Book;
use super::handle::{Backend, Command};
use super::keeper::Keeper;
use super::link::Sink;
use super::pulse::Pulse;
use super::relaying::HOUR;
use super::relays::Relays;
use super::start::{Composite, CompositeEvent};
use super::stream::{LINGER, Note};
use super::unlinked::Why;
use super::{Event, Limits, LinkId, PeerId, address};
use crate::{Error, ErrorKind, Result};

pub(super) struct Engine {
    pub(super) swarm: Swarm<Composite>,
    pub(super) backend: Backend,
    pub(super) sink: Sink,
    pub(super) limits: Arc<Limits>,
    pub(super) keeper: Keeper,
    /// Random; another one after each start.
    pub(super) instance: u64,
    pub(super) last_stream: u64,
    /// One permit for each link that is up, or whose end the consumer has not heard of.
    pub(super) room: Arc<Semaphore>,
    pub(super) notes: (mpsc::Sender<Note>, mpsc::Receiver<Note>),
    pub(super) peers: HashMap<PeerId, Peer>,
    pub(super) connections: HashMap<ConnectionId, Connection>,
    pub(super) streams: HashMap<u64, Stream>,
    pub(super) dials: HashMap<ConnectionId, (PeerId, Vec<Multiaddr>)>,
    /// For each peer, the end of its latest link's events.
    pub(super) latest: HashMap<PeerId, oneshot::Receiver<()>>,
    pub(super) hints: VecDeque<Event>,
    pub(super) relays: Relays<PeerId, Multiaddr, ListenerId>,
    /// Addresses of this node that somebody else has tried out, the latest first.
    pub(super) confirmed: Vec<Multiaddr>,
    pub(super) started: Instant,
}

/// A peer that there is something with: a connection, a dial, or somebody who waits for it.
#[derive(Default)]
pub(super) struct Peer {
    pub(super) book: Book,
    pub(super) waiters: Vec<oneshot::Sender<Result<LinkId>>>,
    /// Why the latest attempt came to nothing, since it was dialled.
    pub(super) failure: Option<Error>,
    pub(super) dialled: bool,
}

pub(super) struct Connection {
    pub(super) peer: PeerId,
    pub(super) remote: Multiaddr,
    pub(super) outbound: bool,
    pub(super) relayed: bool,
    /// Whether it may carry a link, and is of no use without.
    pub(super) carries: bool,
    pub(super) stream: Option<u64>,
    since: Instant,
    /// When the peer last gave a sign of life: the answer to a probe, or bytes that went either way on the stream.
    pub(super) alive: Arc<Pulse>,
    /// Where the peer says it listens, until its link is up.
    pub(super) said: Vec<String>,
    /// Whether it has had its link.
    pub(super) linked: bool,
    /// Why it has none, as far as that is known before it is gone.
    pub(super) unlinked: Option<Why>,
}

pub(super) struct Stream {
    pub(super) peer: PeerId,
    pub(super) connection: ConnectionId,
    pub(super) gone: Option<oneshot::Sender<Error>>,
    pub(super) link: Option<LinkId>,
    /// Whether another connection takes over, and this one is only to be emptied.
    pub(super) moving: Arc<AtomicBool>,
}

enum Turn {
    Swarm(SwarmEvent<CompositeEvent>),
    Note(Note),
    Command(Command),
    Time,
}

impl Engine {
    pub(super) async fn run(mut self) {
        loop {
            for (peer, addresses) in self.keeper.due() {
                self.dial(peer, addresses);
            }
            self.ask_relays();
            let deadline = self.deadline();
            let turn = tokio::select! {
                event = self.swarm.select_next_some() => Turn::Swarm(event),
                Some(note) = self.notes.1.recv() => Turn::Note(note),
                command = self.backend.commands.recv() => Turn::Command(command.unwrap_or(Command::Shutdown)),
                () = self.keeper.wait() => Turn::Time,
                () = sleep_until(deadline) => Turn::Time,
                Ok(place) = self.sink.events.reserve(), if !self.hints.is_empty() => {
                    if let Some(hint) = self.hints.pop_front() {
                        place.send(hint.into());
                    }
                    Turn::Time
                }
            };
            match turn {
                Turn::Swarm(event) => self.on_swarm(event),
                Turn::Note(note) => self.on_note(note),
                Turn::Command(Command::Shutdown) => break,
                Turn::Command(command) => self.on_command(command),
                Turn::Time => self.on_time(),
            }
        }
        self.close().await;
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Connect { peer, addresses, reply } => self.connect(peer, addresses, reply),
            Command::Disconnect { link } => self.disconnect(link),
            Command::Know { peer, addresses, reply } => {
                let outcome = if addresses.iter().any(address::is_memory) {
                    Err(Error::invalid_argument("addresses in memory are for nodes in a hub"))
                } else {
                    self.keeper.know(peer, addresses)
                };
                if outcome.is_ok() {
                    self.swarm.behaviour_mut().limits.bypass_peer_id(&peer.0);
                }
                let _ = reply.send(outcome);
            }
            Command::Forget { peer } => {
                self.keeper.forget(peer);
                self.swarm.behaviour_mut().limits.remove_peer_id(&peer.0);
            }
            Command::Relays { reply } => {
                let _ = reply.send(self.relay_statuses());
            }
            Command::Peers { reply } => {
                let _ = reply.send(self.keeper.peers());
            }
            Command::Subscribe { topic } => self.subscribe(topic),
            Command::Unsubscribe { topic } => self.unsubscribe(topic),
            Command::Publish { topic, bytes } => self.publish(topic, bytes),
            Command::Judge { name, judgement } => self.judge(&name, judgement),
            Command::Shutdown => {}
        }
    }

    fn connect(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, reply: oneshot::Sender<Result<LinkId>>) {
        // The consumer may have been told of a link's end before that came here: such a one is no answer.
        let links = &self.backend.shared.links;
        if let Some(link) = self.keeper.link(peer).filter(|link| links.is_open(*link)) {
            let _ = reply.send(Ok(link));
            let direct: Vec<_> =
                addresses.into_iter().filter(|address| !address::is_relayed(address)).collect();
            let under_way = self.dials.values().any(|(who, _)| *who == peer);
            if self.keeper.is_relayed(peer) && !direct.is_empty() && !under_way {
                self.dial(peer, direct);
            }
            return;
        }
        if addresses.iter().any(address::is_memory) {
            let _ = reply.send(Err(Error::invalid_argument("addresses in memory are for nodes in a hub")));
            return;
        }
        let waiters = &mut self.peers.entry(peer).or_default().waiters;
        waiters.retain(|waiter| !waiter.is_closed());
        if waiters.len() >= self.limits.links {
            let _ = reply.send(Err(Error::busy(format!("too many wait for {peer} already"))));
            return;
        }
        waiters.push(reply);
        let under_way = self
            .dials
            .values()
            .any(|(who, known)| *who == peer && addresses.iter().all(|address| known.contains(address)));
        if !under_way {
            self.dial(peer, addresses);
        }
    }

    fn dial(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) {
        // From a port of its own. From the listening port, two nodes that dial each other at the same moment would meet in one TCP
        // connection on which both are the dialling side, and neither comes through.
        let opts = DialOpts::peer_id(peer.0)
            .condition(PeerCondition::Always)
            .addresses(addresses.clone())
            .allocate_new_port()
            .build();
        let connection = opts.connection_id();
        self.note_dialled(&addresses);
        self.swarm.behaviour_mut().kith.dials(connection);
        self.peers.entry(peer).or_default().dialled = true;
        match self.swarm.dial(opts) {
            Ok(()) => {
                self.dials.insert(connection, (peer, addresses));
            }
            Err(error) => {
                self.failed(peer, super::start::dial_error(peer, &error));
                self.settle(peer);
            }
        }
    }

    /// Closes a link in good order: what is queued is written first, for as long as a goodbye may take.
    fn disconnect(&mut self, link: LinkId) {
        self.backend.shared.links.close(link);
        let stream = self.streams.values_mut().find(|stream| stream.link == Some(link));
        let Some(stream) = stream else { return };
        if let Some(gone) = stream.gone.take() {
            tokio::spawn(async move {
                tokio::time::sleep(2 * LINGER).await;
                // An error says that it is over already.
                let _ = gone.send(Error::closed("closed on purpose"));
            });
        }
    }

    pub(super) fn on_swarm(&mut self, event: SwarmEvent<CompositeEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.dials.remove(&connection_id);
                // The behaviour admits no other peers.
                let Some(peer) = PeerId::checked(peer_id) else { return };
                let carries = self.swarm.behaviour().kith.carries(connection_id);
                if carries {
                    self.peers.entry(peer).or_default();
                }
                let now = Instant::now();
                let relayed = endpoint.is_relayed();
                let (remote, outbound) = match endpoint {
                    ConnectedPoint::Dialer { address, role_override, .. } => {
                        (address, role_override.is_dialer())
                    }
                    // Of the peer, nothing is known but its name: what there is, is the way through the relay.
                    ConnectedPoint::Listener { local_addr, .. } if relayed => (local_addr, false),
                    ConnectedPoint::Listener { send_back_addr, .. } => (send_back_addr, false),
                };
                let connection = Connection {
                    peer,
                    remote,
                    outbound,
                    relayed,
                    carries,
                    stream: None,
                    since: now,
                    alive: Arc::new(Pulse::new()),
                    said: Vec::new(),
                    linked: false,
                    unlinked: None,
                };
                self.connections.insert(connection_id, connection);
            }
            SwarmEvent::ConnectionClosed { connection_id, cause, .. } => {
                let why = cause.map_or_else(|| "it was closed".to_owned(), |cause| cause.to_string());
                self.connection_gone(connection_id, &format!("the connection is gone: {why}"));
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                match self.dials.remove(&connection_id) {
                    Some((peer, addresses)) => {
                        self.failed(peer, super::start::dial_error(peer, &error));
                        let left = super::start::left_to_dial(peer, addresses, &error);
                        if left.is_empty() { self.settle(peer) } else { self.dial(peer, left) }
                    }
                    None => self.not_reached(peer_id, &error),
                }
            }
            SwarmEvent::IncomingConnectionError { peer_id, error, .. } => {
                let known = peer_id.and_then(PeerId::checked).is_some_and(|peer| self.keeper.is_known(peer));
                if let Some(why) = Why::of_listening(&error).filter(|_| !known) {
                    self.backend.shared.unlinked.add(why);
                }
            }
            // What a relay says where this node is reached is its word only.
            SwarmEvent::NewListenAddr { listener_id, .. } if self.relays.has(listener_id) => {}
            SwarmEvent::NewListenAddr { address, .. } => {
                self.swarm.add_external_address(address.clone());
                self.addresses_changed();
                let address = address::with_peer(&address, self.backend.shared.peer);
                self.hint(Event::Listening { address });
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.swarm.remove_external_address(&address);
                self.addresses_changed();
            }
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                for address in addresses.iter().filter(|address| !address::is_relayed(address)) {
                    self.swarm.remove_external_address(address);
                }
                self.listener_closed(listener_id, reason);
            }
            SwarmEvent::ExternalAddrConfirmed { address } => self.on_confirmed(address, true),
            SwarmEvent::ExternalAddrExpired { address } => self.on_confirmed(address, false),
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: CompositeEvent) {
        match event {
            CompositeEvent::Kith(Happened { connection, what }) => match what {
                What::Stream(stream) => self.opened(connection, stream),
                What::Refused(why) => {
                    self.give_up(connection, Error::new(ErrorKind::Unreachable, why));
                }
                What::Flood => {
                    self.give_up(connection, Error::limit_exceeded("the peer opens too many streams"));
                }
            },
            CompositeEvent::Ping(ping::Event { connection, result: Ok(_), .. }) => {
                if let Some(connection) = self.connections.get_mut(&connection) {
                    connection.alive.beat();
                }
            }
            // A probe that failed needs no answer here: the deadline runs from the latest one that did not.
            CompositeEvent::Ping(_) => {}
            CompositeEvent::Identify(event) => {
                let identify::Event::Received { connection_id, info, .. } = *event else { return };
                let Some(connection) = self.connections.get_mut(&connection_id) else { return };
                let seen = connection.remote.clone();
                connection.said =
                    address::learned(connection.peer, info.listen_addrs, Some(&seen), self.limits.addresses);
                self.tell_addresses(connection_id);
            }
            CompositeEvent::Discovery(mdns::Event::Discovered(found)) => self.discovered(found),
            CompositeEvent::Discovery(mdns::Event::Expired(_)) | CompositeEvent::Autonat => {}
            CompositeEvent::Gossip(event) => self.on_gossip(event),
            CompositeEvent::Relay(event) => self.on_relay(event),
            CompositeEvent::Punching(event) => tracing::debug!(?event, "a direct connection was tried"),
        }
    }

    fn connection_gone(&mut self, id: ConnectionId, why: &str) {
        let Some(connection) = self.connections.remove(&id) else { return };
        let strange = connection.carries && !connection.outbound && !self.swarm.behaviour().kith.closed;
        if strange && !connection.linked && !self.keeper.is_known(connection.peer) {
            self.backend.shared.unlinked.add(connection.unlinked.unwrap_or(Why::Unfinished));
        }
        let reason = Error::new(ErrorKind::Unreachable, why);
        match connection.stream {
            Some(own) => self.stream_gone(own, reason),
            None if connection.carries => self.failed(connection.peer, reason),
            None => return,
        }
        self.settle(connection.peer);
    }

    /// Closes a connection that is of no use.
    fn give_up(&mut self, id: ConnectionId, reason: Error) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.unlinked.get_or_insert(Why::of(&reason));
        match connection.stream {
            Some(own) => self.stream_gone(own, reason),
            None => {
                let peer = connection.peer;
                self.failed(peer, reason);
            }
        }
        self.close_connection(id);
    }

    pub(super) fn close_connection(&mut self, id: ConnectionId) -> bool {
        self.swarm.behaviour_mut().kith.abandon(id);
        self.swarm.close_connection(id)
    }

    /// Keeps the first failure that says most: that the peer is there and speaks another version.
    pub(super) fn failed(&mut self, peer: PeerId, reason: Error) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if entry.failure.as_ref().is_none_or(|failure| failure.kind() != ErrorKind::VersionMismatch) {
            entry.failure = Some(reason);
        }
    }

    /// If there is nothing left with a peer, those who wait for it are told.
    fn settle(&mut self, peer: PeerId) {
        let busy = self.connections.values().any(|connection| connection.carries && connection.peer == peer)
            || self.dials.values().any(|(who, _)| *who == peer);
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        if busy || !entry.book.is_empty() {
            return;
        }
        let entry = std::mem::take(entry);
        self.peers.remove(&peer);
        if !entry.dialled {
            return;
        }
        let cause = entry.failure.unwrap_or_else(|| Error::closed("the connection was closed"));
        let reason = match cause.kind() {
            ErrorKind::VersionMismatch | ErrorKind::Unreachable => cause,
            _ => Error::new(ErrorKind::Unreachable, cause.message()),
        };
        for waiter in entry.waiters {
            let _ = waiter.send(Err(reason.clone()));
        }
        self.keeper.failed(peer, reason.clone());
        self.hint(Event::DialFailed { peer, reason });
    }

    /// When a connection has to have its link, or an answer to a probe.
    fn due(&self, connection: &Connection) -> Instant {
        let linked =
            connection.stream.and_then(|own| self.streams.get(&own)).is_some_and(|s| s.link.is_some());
        let answer = connection.alive.latest() + self.limits.ping_every + self.limits.ping_timeout;
        if linked || !connection.carries {
            answer
        } else {
            answer.min(connection.since + self.limits.handshake + 2 * LINGER)
        }
    }

    fn deadline(&self) -> Instant {
        let connections = self.connections.values().map(|connection| self.due(connection));
        connections.chain(self.relays_due()).min().unwrap_or_else(|| Instant::now() + HOUR)
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        let dead: Vec<_> =
            self.connections.iter().filter(|(_, c)| self.due(c) <= now).map(|(id, _)| *id).collect();
        for id in dead {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.unlinked.get_or_insert(Why::Timeout);
            }
            self.give_up(id, Error::new(ErrorKind::Unreachable, "the peer did not answer in time"));
            self.connection_gone(id, "the peer did not answer in time");
        }
    }
}
