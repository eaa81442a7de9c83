//! Relays and what they are for: being reached through them, and getting away from them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use libp2p::core::transport::ListenerId;
use libp2p::relay::client;
use libp2p::relay::outbound::hop::{ProtocolViolation, ReserveError};
use libp2p::{Multiaddr, PeerId as Name};

use super::engine::Engine;
use super::{Event, PeerId, RelayStatus, address};
use crate::{Error, ErrorKind};

/// Confirmed addresses of this node that are told to others, besides those that it listens at.
const CONFIRMED: usize = 4;

impl Engine {
    /// Asks the relays whose turn it is for a place.
    pub(super) fn ask_relays(&mut self) {
        let now = self.started.elapsed();
        for (relay, address) in self.relays.due(now) {
            match self.swarm.listen_on(address::circuit(relay, &address)) {
                Ok(listener) => self.relays.asked(relay, listener),
                Err(error) => {
                    let reason =
                        Error::new(ErrorKind::Unsupported, format!("the relay is of no use: {error}"));
                    self.relays.failed(relay, reason, now);
                }
            }
        }
    }

    pub(super) fn on_relay(&mut self, event: client::Event) {
        let client::Event::ReservationReqAccepted { relay_peer_id, limit, .. } = event else { return };
        let Some(relay) = PeerId::checked(relay_peer_id) else { return };
        let limit = limit.map_or((None, None), |limit| (limit.duration(), limit.data_in_bytes()));
        if !self.relays.reserved(relay, limit, self.started.elapsed()) {
            return;
        }
        tracing::debug!(%relay, "a relay has given a place");
        self.addresses_changed();
        self.keeper.retry_relayed();
        let here = self.relays.iter().find(|known| known.peer == relay).map(|known| known.address.clone());
        if let Some(here) = here {
            let address = self.through(relay, &here);
            self.hint(Event::Listening { address });
        }
        self.note_tried();
    }

    /// A listener is closed; it may have been a place at a relay.
    pub(super) fn listener_closed(&mut self, listener: ListenerId, reason: Result<(), std::io::Error>) {
        if self.relays.has(listener) {
            let reason = reason.err().map(|error| refusal(&error));
            self.relays.over(listener, reason, self.started.elapsed());
            self.note_tried();
        }
        self.addresses_changed();
    }

    /// A dial that was not this task's own came to nothing: to a relay, perhaps.
    pub(super) fn not_reached(&mut self, peer: Option<Name>, error: &libp2p::swarm::DialError) {
        let Some(peer) = peer.and_then(PeerId::checked) else { return };
        if self.relays.iter().any(|relay| relay.peer == peer && !relay.is_reserved()) {
            self.relays.explain(peer, super::start::dial_error(peer, error));
        }
    }

    fn note_tried(&self) {
        self.backend.shared.relays_tried.send_replace(self.relays.all_tried());
    }

    fn through(&self, relay: PeerId, address: &Multiaddr) -> String {
        address::with_peer(&address::circuit(relay, address), self.backend.shared.peer)
    }

    /// Where others reach this node: where it listens, what peers have confirmed, and its places at relays.
    pub(super) fn reached_at(&self) -> Vec<String> {
        let me = self.backend.shared.peer;
        let listening = self.swarm.listeners().filter(|address| !address::is_relayed(address));
        let mut all: Vec<String> = listening.map(|address| address::with_peer(address, me)).collect();
        let confirmed = self.confirmed.iter().map(|address| address::with_peer(address, me));
        all.extend(confirmed.filter(|text| !all.contains(text)).collect::<Vec<_>>());
        let places = self.relays.iter().filter(|relay| relay.is_reserved());
        all.extend(places.map(|relay| self.through(relay.peer, &relay.address)));
        all
    }

    /// Others reach this node there, as one of them has tried out; or do not any more.
    pub(super) fn on_confirmed(&mut self, address: Multiaddr, confirmed: bool) {
        if !address::is_relayed(&address) {
            self.confirmed.retain(|other| *other != address);
            if confirmed {
                self.confirmed.truncate(CONFIRMED - 1);
                self.confirmed.insert(0, address);
            }
        }
        self.addresses_changed();
    }

    pub(super) fn relay_statuses(&self) -> Vec<RelayStatus> {
        let now = self.started.elapsed();
        let status = |relay: &super::relays::Relay<PeerId, Multiaddr, ListenerId>| RelayStatus {
            relay: address::with_peer(&relay.address, relay.peer),
            address: relay.is_reserved().then(|| self.through(relay.peer, &relay.address)),
            longest: relay.limit.0,
            most_bytes: relay.limit.1,
            last_failure: relay.last_failure.clone(),
            next_attempt_in: relay.next_attempt().map(|at| at.saturating_sub(now)),
        };
        self.relays.iter().map(status).collect()
    }

    /// Empties a link that goes through a relay: a direct connection takes over.
    pub(super) fn empty(&mut self, own: u64) {
        let Some(stream) = self.streams.get(&own) else { return };
        stream.moving.store(true, Ordering::Relaxed);
        if let Some(link) = stream.link {
            self.backend.shared.links.close(link);
        }
    }

    /// Dials through relays on this machine make this machine's own addresses worth something.
    pub(super) fn note_dialled(&mut self, addresses: &[Multiaddr]) {
        if addresses.iter().any(|address| address::is_relayed(address) && address::is_of_machine(address)) {
            self.look_at_machine();
        }
    }

    pub(super) fn look_at_machine(&mut self) {
        let behaviour = self.swarm.behaviour_mut();
        behaviour.kith.machine = true;
        if let Some(punching) = behaviour.punching.as_mut() {
            punching.machine = true;
        }
        if let Some(autonat) = behaviour.autonat.as_mut() {
            autonat.machine = true;
        }
    }

    /// When something is to be done about relays.
    pub(super) fn relays_due(&self) -> Option<tokio::time::Instant> {
        self.relays.next().map(|at| self.started + at)
    }
}

/// Why a relay gives no place.
fn refusal(error: &std::io::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> =
        error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<ReserveError>() {
            return typed(error);
        }
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    Error::new(ErrorKind::Unreachable, format!("the place at the relay is lost: {error}"))
}

fn typed(error: &ReserveError) -> Error {
    match error {
        ReserveError::Refused => Error::new(ErrorKind::PermissionDenied, "the relay refuses"),
        ReserveError::ResourceLimitExceeded => Error::busy("the relay has no room"),
        ReserveError::Unsupported => {
            Error::new(ErrorKind::Unsupported, "the peer is no relay (circuit relay v2)")
        }
        ReserveError::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            Error::new(ErrorKind::Timeout, "the relay does not answer")
        }
        ReserveError::Io(error) => {
            Error::new(ErrorKind::Unreachable, format!("the connection with the relay broke: {error}"))
        }
        ReserveError::Protocol(ProtocolViolation::UnexpectedStatus(status))
            if status == "PERMISSION_DENIED" =>
        {
            Error::new(ErrorKind::PermissionDenied, "the relay refuses")
        }
        ReserveError::Protocol(violation) => match broken(violation) {
            Some(error) => {
                Error::new(ErrorKind::Unreachable, format!("the connection with the relay broke: {error}"))
            }
            None => Error::invalid_argument(format!("what the relay says makes no sense: {violation}")),
        },
    }
}

/// What does not decode comes in the same shape as a connection that broke.
fn broken(violation: &ProtocolViolation) -> Option<&std::io::Error> {
    let ProtocolViolation::Codec(error) = violation else { return None };
    let error = std::error::Error::source(error)?.downcast_ref::<std::io::Error>()?;
    (error.kind() != std::io::ErrorKind::InvalidData).then_some(error)
}

/// How long the sockets' task sleeps at most.
pub(super) const HOUR: Duration = Duration::from_secs(3600);
