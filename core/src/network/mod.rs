//! Moves frames between nodes. It knows peers and *links* – the one long-lived stream with each peer – and nothing of
//! contexts: what a frame says is the business of the layer above.
//!
//! [`Network::start`] opens sockets (TCP and QUIC); [`Hub::join`] gives the same handle over memory. `docs/network.md`
//! describes the bytes.

mod address;
mod behaviour;
mod candidates;
mod choice;
mod closing;
mod config;
mod dial;
mod engine;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod gossip;
mod handle;
mod hints;
mod keeper;
mod link;
mod linking;
mod memory;
mod peer;
mod pulse;
mod relaying;
mod relays;
mod start;
mod stream;
mod transport;
mod unlinked;
mod wire;

use std::fmt;

use crate::Error;

pub(crate) use address::{is_relayed_text as is_relayed, rank};
pub(crate) use closing::wait_released;
pub use config::{Config, Limits};
pub use gossip::{Judgement, MessageName, Topic};
pub use handle::Network;
pub use link::Events;
pub use memory::Hub;
pub use peer::PeerId;
pub use unlinked::Unlinked;

/// Names one link of this node; never used again for another one while the node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u64);

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0)
    }
}

/// What happens on the network. For each link: one `LinkUp`, its frames in the order in which the peer sent them, one
/// `LinkDown`. A peer's next `LinkUp` comes after the `LinkDown` before it.
pub enum Event {
    /// A link is up.
    LinkUp {
        /// Names the link from now on.
        link: LinkId,
        /// Who is at the other end; proved by the transport's handshake.
        peer: PeerId,
        /// The peer's address as this side sees it.
        address: String,
        /// Whether this node dialled.
        outbound: bool,
    },
    /// The link is gone; nothing more comes from it.
    LinkDown {
        /// Which link.
        link: LinkId,
        /// Who was at the other end.
        peer: PeerId,
        /// Why.
        reason: Error,
        /// Whether this side ended it for what the peer sent, or did not send in time.
        fault: bool,
    },
    /// The peer sent a frame.
    Frame {
        /// Over which link.
        link: LinkId,
        /// The frame, at most [`Limits::frame`] bytes.
        bytes: Vec<u8>,
    },
    /// This node can now be reached (in its own network) at this address.
    Listening {
        /// The full address, with the port that the system chose and `/p2p/…`.
        address: String,
    },
    /// A connected peer says where it listens; worth remembering. Only a hint: dropped when the consumer is slow.
    Addresses {
        /// Who said so.
        peer: PeerId,
        /// Filtered, at most [`Limits::addresses`].
        addresses: Vec<String>,
    },
    /// A peer is in the same local network. Only a hint, and unproved: dropped when the consumer is slow.
    Discovered {
        /// Who announced itself.
        peer: PeerId,
        /// Filtered, at most [`Limits::addresses`].
        addresses: Vec<String>,
    },
    /// A message on a topic, from somebody who may be nobody in particular; to be judged by [`Network::judge`]. Only a hint: dropped when
    /// the consumer is slow.
    Gossip {
        /// The topic.
        topic: Topic,
        /// At most [`crate::limits::GOSSIP`] bytes, or a little more.
        bytes: Vec<u8>,
        /// Names the message.
        name: MessageName,
    },
    /// A peer was dialled in vain. Only a hint: dropped when the consumer is slow; [`Network::peers`] has it too.
    DialFailed {
        /// Who was dialled.
        peer: PeerId,
        /// Why it came to nothing.
        reason: Error,
    },
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LinkUp { link, peer, address, outbound } => f
                .debug_struct("LinkUp")
                .field("link", link)
                .field("peer", peer)
                .field("address", address)
                .field("outbound", outbound)
                .finish(),
            Self::LinkDown { link, peer, reason, fault } => f
                .debug_struct("LinkDown")
                .field("link", link)
                .field("peer", peer)
                .field("reason", reason)
                .field("fault", fault)
                .finish(),
            Self::Frame { link, bytes } => {
                f.debug_struct("Frame").field("link", link).field("len", &bytes.len()).finish()
            }
            Self::Listening { address } => f.debug_struct("Listening").field("address", address).finish(),
            Self::Addresses { peer, addresses } => {
                f.debug_struct("Addresses").field("peer", peer).field("addresses", addresses).finish()
            }
            Self::Discovered { peer, addresses } => {
                f.debug_struct("Discovered").field("peer", peer).field("addresses", addresses).finish()
            }
            Self::Gossip { topic, bytes, .. } => {
                f.debug_struct("Gossip").field("topic", topic).field("len", &bytes.len()).finish()
            }
            Self::DialFailed { peer, reason } => {
                f.debug_struct("DialFailed").field("peer", peer).field("reason", reason).finish()
            }
        }
    }
}

/// How it stands with a peer: one that is to be kept connected, or one that has a link.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Who.
    pub peer: PeerId,
    /// Whether it is to be kept connected ([`Network::know`]).
    pub known: bool,
    /// Where it is dialled.
    pub addresses: Vec<String>,
    /// The link that is up.
    pub link: Option<LinkId>,
    /// Whether that goes through a relay.
    pub relayed: bool,
    /// For how long it has been up.
    pub connected_for: Option<std::time::Duration>,
    /// Why the last dial failed, until one succeeds.
    pub last_failure: Option<Error>,
    /// In how long it is dialled next; zero while a dial is due or under way.
    pub next_attempt_in: Option<std::time::Duration>,
}

/// How it stands with a relay at which this node wants a place.
#[derive(Clone, Debug)]
pub struct RelayStatus {
    /// The relay's own address, as it was given.
    pub relay: String,
    /// Where others reach this node through it; `None` while it gives no place.
    pub address: Option<String>,
    /// How long a connection through it may last, if it says so.
    pub longest: Option<std::time::Duration>,
    /// How many bytes may go through one connection, if it says so.
    pub most_bytes: Option<u64>,
    /// Why it gave no place the last time, until it does. `Unreachable`: it was not reached, or was lost. `Busy`: it has no room.
    /// `PermissionDenied`: it refuses. `Unsupported`: it is no relay. `InvalidArgument`: what it says makes no sense. `Timeout`: it does not answer.
    pub last_failure: Option<Error>,
    /// In how long it is asked again; `None` while it is being asked, and while there is a place.
    pub next_attempt_in: Option<std::time::Duration>,
}
