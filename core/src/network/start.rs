//! Puts a network together: the behaviours, the sockets, the task.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use libp2p::core::transport::TransportError;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{DialError, NetworkBehaviour, Swarm};
use libp2p::{
    Multiaddr, autonat, connection_limits, dcutr, gossipsub, identify, mdns, memory_connection_limits, ping,
    relay,
};
use tokio::sync::{Semaphore, mpsc};

use super::behaviour::Behaviour;
use super::candidates::Guarded;
use super::config::AT_ONCE;
use super::engine::Engine;
use super::gossip::{self, Gossip};
use super::handle::Network;
use super::keeper::Keeper;
use super::link::{Events, Sink};
use super::relays::Relays;
use super::{Config, Limits, PeerId, address, peer, transport};
use crate::{Error, ErrorKind, Result};

/// How often a peer is asked anew where it listens; changes are told at once anyway.
const IDENTIFY_EVERY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
/// How often a peer may be asked to dial back, while there are addresses that nobody has tried out.
const AUTONAT_EVERY: std::time::Duration = std::time::Duration::from_secs(15);
/// Notes that wait for the network's task.
const NOTES: usize = 64;
/// The streams of one connection whose protocol is being agreed on.
const NEGOTIATING: usize = 8;

/// What runs on each connection.
#[derive(NetworkBehaviour)]
#[behaviour(to_swarm = "CompositeEvent")]
pub(super) struct Composite {
    pub(super) limits: connection_limits::Behaviour,
    memory: Toggle<memory_connection_limits::Behaviour>,
    pub(super) kith: Behaviour,
    ping: ping::Behaviour,
    pub(super) identify: identify::Behaviour,
    discovery: Toggle<mdns::tokio::Behaviour>,
    relays: Toggle<relay::client::Behaviour>,
    pub(super) punching: Toggle<Guarded<dcutr::Behaviour>>,
    pub(super) autonat: Toggle<Guarded<autonat::v2::client::Behaviour>>,
    pub(super) gossip: Toggle<Gossip>,
}

/// What they say.
pub(super) enum CompositeEvent {
    Kith(super::behaviour::Happened),
    Ping(ping::Event),
    Identify(Box<identify::Event>),
    Discovery(mdns::Event),
    Relay(relay::client::Event),
    Punching(dcutr::Event),
    Autonat,
    Gossip(gossipsub::Event),
}

impl From<gossipsub::Event> for CompositeEvent {
    fn from(event: gossipsub::Event) -> Self {
        Self::Gossip(event)
    }
}

impl From<relay::client::Event> for CompositeEvent {
    fn from(event: relay::client::Event) -> Self {
        Self::Relay(event)
    }
}

impl From<dcutr::Event> for CompositeEvent {
    fn from(event: dcutr::Event) -> Self {
        Self::Punching(event)
    }
}

impl From<autonat::v2::client::Event> for CompositeEvent {
    /// What is of use comes as a confirmed address.
    fn from(_: autonat::v2::client::Event) -> Self {
        Self::Autonat
    }
}

impl From<super::behaviour::Happened> for CompositeEvent {
    fn from(event: super::behaviour::Happened) -> Self {
        Self::Kith(event)
    }
}

impl From<ping::Event> for CompositeEvent {
    fn from(event: ping::Event) -> Self {
        Self::Ping(event)
    }
}

impl From<identify::Event> for CompositeEvent {
    fn from(event: identify::Event) -> Self {
        Self::Identify(Box::new(event))
    }
}

impl From<mdns::Event> for CompositeEvent {
    fn from(event: mdns::Event) -> Self {
        Self::Discovery(event)
    }
}

impl From<std::convert::Infallible> for CompositeEvent {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl Network {
    /// Opens the sockets and dials the known peers. Must be called inside a tokio runtime, on which everything runs.
    ///
    /// `InvalidArgument`: an address or a limit is wrong. `Busy`: a port to listen at is taken.
    pub fn start(config: Config) -> Result<(Self, Events)> {
        config.check()?;
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| Error::invalid_argument("a network is started inside a tokio runtime"))?;
        let listen =
            config.listen.iter().map(|text| address::parse_listen(text)).collect::<Result<Vec<_>>>()?;
        let key = peer::keypair(&config.identity);
        let me = PeerId(key.public().to_peer_id());
        let mut keeper = Keeper::new(&config.limits)?;
        let relays = config.relays()?;
        let (circuits, client) = if config.through_relays || !relays.is_empty() {
            let (circuits, client) = relay::client::new(me.0);
            (Some(circuits), Some(client))
        } else {
            (None, None)
        };
        let mut behaviour = behaviour(&config, &key, client)?;
        for (known, addresses) in &config.known_peers {
            if *known == me {
                return Err(Error::invalid_argument("a known peer is this node itself"));
            }
            let addresses = address::parse_all(*known, addresses, config.limits.addresses)?;
            if addresses.iter().any(address::is_memory) {
                return Err(Error::invalid_argument("addresses in memory are for nodes in a hub"));
            }
            keeper.know(*known, addresses)?;
            behaviour.limits.bypass_peer_id(&known.0);
        }
        for (relay, _) in &relays {
            behaviour.limits.bypass_peer_id(&relay.0);
        }
        let settings = libp2p::swarm::Config::with_tokio_executor()
            .with_max_negotiating_inbound_streams(NEGOTIATING)
            .with_dial_concurrency_factor(AT_ONCE.try_into().unwrap_or(std::num::NonZeroU8::MIN))
            .with_idle_connection_timeout(config.limits.handshake);
        let mut swarm =
            Swarm::new(transport::build(&key, &config.limits, circuits)?, behaviour, me.0, settings);
        for address in listen {
            transport::is_free(&address).map_err(|e| listen_error(&address, &e))?;
            swarm.listen_on(address.clone()).map_err(|error| match error {
                TransportError::Other(error) => listen_error(&address, &error),
                other => Error::invalid_argument(format!("cannot listen at {address}: {other}")),
            })?;
        }
        let mut instance = [0; 8];
        getrandom::fill(&mut instance).map_err(|e| Error::internal(format!("no randomness: {e}")))?;
        let (mut network, backend) = Self::new(me, &config.limits);
        network.gossips = config.gossip;
        let (sink, events) = Sink::new(&config.limits);
        backend.shared.relays_tried.send_replace(relays.is_empty());
        let on_machine = relays.iter().any(|(_, address)| address::is_of_machine(address));
        let mut engine = Engine {
            swarm,
            relays: Relays::new(relays, u64::from_le_bytes(instance)),
            confirmed: Vec::new(),
            started: tokio::time::Instant::now(),
            backend,
            sink,
            room: Arc::new(Semaphore::new(config.limits.links)),
            limits: Arc::new(config.limits),
            keeper,
            instance: u64::from_le_bytes(instance),
            last_stream: 0,
            notes: mpsc::channel(NOTES),
            peers: HashMap::new(),
            connections: HashMap::new(),
            streams: HashMap::new(),
            dials: HashMap::new(),
            latest: HashMap::new(),
            hints: VecDeque::new(),
        };
        if on_machine {
            engine.look_at_machine();
        }
        runtime.spawn(engine.run());
        Ok((network, events))
    }
}

fn behaviour(
    config: &Config,
    key: &libp2p::identity::Keypair,
    relays: Option<relay::client::Behaviour>,
) -> Result<Composite> {
    let Limits { inbound_connections, outbound_connections, pending_connections, .. } = config.limits;
    let limits = connection_limits::ConnectionLimits::default()
        .with_max_established_incoming(Some(inbound_connections))
        .with_max_established_outgoing(Some(outbound_connections))
        .with_max_pending_incoming(Some(pending_connections))
        .with_max_pending_outgoing(Some(pending_connections));
    let memory = config.limits.process_memory.map(memory_connection_limits::Behaviour::with_max_bytes);
    let probe =
        ping::Config::new().with_interval(config.limits.ping_every).with_timeout(config.limits.ping_timeout);
    let identity = identify::Config::new(super::wire::PROTOCOL.to_owned(), key.public())
        .with_agent_version("kith".to_owned())
        .with_interval(IDENTIFY_EVERY)
        // What a relay says about this node is not passed on: only what this node has found out (`Engine::addresses_changed`).
        .with_hide_listen_addrs(true)
        .with_cache_size(0);
    let discovery = if config.discovery {
        let discovery = mdns::tokio::Behaviour::new(mdns::Config::default(), key.public().to_peer_id())
            .map_err(|e| {
                Error::new(ErrorKind::Unsupported, format!("no discovery in the local network: {e}"))
            })?;
        Some(discovery)
    } else {
        None
    };
    let name = key.public().to_peer_id();
    let punching = (config.hole_punching && relays.is_some())
        .then(|| Guarded::new(dcutr::Behaviour::new(name)).with_known());
    let settings = autonat::v2::client::Config::default().with_probe_interval(AUTONAT_EVERY);
    let autonat = config.autonat.then(|| {
        Guarded::new(autonat::v2::client::Behaviour::new(rand::make_rng::<rand::rngs::StdRng>(), settings))
    });
    Ok(Composite {
        limits: connection_limits::Behaviour::new(limits),
        memory: memory.into(),
        kith: Behaviour::new(config.limits.connections_per_peer, config.limits.handshake),
        ping: ping::Behaviour::new(probe),
        identify: identify::Behaviour::new(identity),
        discovery: discovery.into(),
        relays: relays.into(),
        punching: punching.into(),
        autonat: autonat.into(),
        gossip: if config.gossip { Some(gossip::behaviour()?) } else { None }.into(),
    })
}

fn listen_error(address: &Multiaddr, error: &io::Error) -> Error {
    // libp2p wraps the error of a socket more than once.
    let taken = error.kind() == io::ErrorKind::AddrInUse || error.to_string().contains("in use");
    let message = format!("cannot listen at {address}: {error}");
    if taken { Error::busy(message) } else { Error::invalid_argument(message) }
}

/// What a failed dial means to the caller.
pub(super) fn dial_error(peer: PeerId, error: &DialError) -> Error {
    let why = match error {
        DialError::WrongPeerId { obtained, .. } => format!("another node answered: {obtained}"),
        DialError::Transport(errors) => {
            let each: Vec<_> =
                errors.iter().map(|(address, error)| format!("{address}: {}", innermost(error))).collect();
            each.join("; ")
        }
        DialError::Denied { cause } => format!("refused here: {cause}"),
        other => other.to_string(),
    };
    Error::new(ErrorKind::Unreachable, format!("{peer} was not reached: {why}"))
}

/// The addresses that are left to be tried where somebody else, or this node itself, answered at one of them: libp2p gives up with the first that
/// answers. One fewer each time.
pub(super) fn left_to_dial(peer: PeerId, mut addresses: Vec<Multiaddr>, error: &DialError) -> Vec<Multiaddr> {
    let (DialError::WrongPeerId { address: wrong, .. } | DialError::LocalPeerId { address: wrong }) = error
    else {
        return Vec::new();
    };
    let wrong = address::with_peer(wrong, peer);
    let before = addresses.len();
    addresses.retain(|address| address::with_peer(address, peer) != wrong);
    if addresses.len() < before { addresses } else { Vec::new() }
}

/// The last of a chain of causes says most, the first is often "other error".
fn innermost(error: &TransportError<io::Error>) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
