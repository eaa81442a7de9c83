//! What a node, a context, an invitation are made with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::network::Hub;
use crate::replica::Role;
use crate::storage::{StorageEngine, StorageKey, Store};

/// What a node is opened with. The defaults are a node in memory that is reached by nobody.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Options {
    /// The node's directory, made if it does not exist. `None`: everything is kept in memory and gone at `shutdown`.
    pub path: Option<PathBuf>,
    /// Where to listen, as multiaddresses (`/ip4/0.0.0.0/udp/0/quic-v1`, `/ip4/127.0.0.1/tcp/0`). Port 0: the system chooses, and the
    /// node keeps the port for its next start where it can.
    pub listen: Vec<String>,
    /// Peers to connect to, as multiaddresses with `/p2p/…`.
    pub bootstrap: Vec<String>,
    /// Whether to find peers in the local network by mDNS, and be found.
    pub discovery: bool,
    /// Relays to be reached through, as multiaddresses with `/p2p/…`; at most 4. The node keeps a place at each, names them in invitations, and
    /// says in [`super::NodeStatus::relays`] how it stands with them. A relay sees neither contexts nor what is said.
    pub relays: Vec<String>,
    /// Whether others are dialled through relays; always where [`Self::relays`] are named.
    pub through_relays: bool,
    /// Whether a direct connection is tried where a link goes through a relay.
    pub hole_punching: bool,
    /// Whether peers are asked which of the node's addresses they reach (AutoNAT), so that others are told of these.
    pub autonat: bool,
    /// Whether contexts with more than 8 members gossip. Without it they are in step a few seconds later.
    pub gossip: bool,
    /// What acknowledged changes survive.
    pub durability: Durability,
    /// How many batches of events are kept for those who start after a cursor.
    pub event_retention: u64,
    /// Where the node's links go.
    #[serde(skip)]
    pub transport: Transport,
    /// The storage engine of the directory.
    pub storage: StorageEngine,
    /// What everything in the directory is sealed under. `None`: a key file beside the store (`storage-key`, readable by its owner only), which
    /// is made with it; [`super::NodeStatus::key_file`] says so. A directory that is sealed under another key, or under one where none is given, is
    /// [`crate::ErrorKind::KeyRequired`]. [`crate::Node::change_storage_key`] seals it under another one.
    #[serde(skip)]
    pub storage_key: Option<StorageKey>,
    /// Memory that the store may use to keep what it has read and is about to write, in bytes; at least 1 MiB. `None`: 24 MiB with
    /// redb and 80 MiB with sled, of which it tells sled a fifth, since that takes about five times as much.
    pub cache: Option<u64>,
    /// What keeps everything.
    #[serde(skip)]
    pub engine: Engine,
    /// The time of day, which people read and invitations expire by.
    #[serde(skip)]
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: None,
            listen: Vec::new(),
            bootstrap: Vec::new(),
            discovery: false,
            relays: Vec::new(),
            through_relays: true,
            hole_punching: true,
            autonat: true,
            gossip: true,
            durability: Durability::Power,
            event_retention: 10_000,
            transport: Transport::Sockets,
            storage: StorageEngine::Auto,
            storage_key: None,
            cache: None,
            engine: Engine::Own,
            clock: Clock::default(),
        }
    }
}

impl Options {
    /// A node in a directory, reachable over TCP and QUIC on all of the machine's addresses and found in the local network.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let listen = ["/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/tcp/0"].map(String::from).to_vec();
        Self { path: Some(path.into()), listen, discovery: true, ..Self::default() }
    }

    /// A node that keeps everything in memory and meets those of the same hub: for tests.
    #[must_use]
    pub fn in_memory(hub: &Hub) -> Self {
        let listen = vec!["/memory/0".to_string()];
        Self { listen, transport: Transport::Memory(hub.clone()), ..Self::default() }
    }

    /// A node in a directory, reachable only from this machine.
    #[must_use]
    pub fn local(path: impl Into<PathBuf>) -> Self {
        let listen = ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"].map(String::from).to_vec();
        Self { path: Some(path.into()), listen, ..Self::default() }
    }
}

/// What acknowledged changes survive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The loss of power. Concurrent callers share one flush.
    #[default]
    Power,
    /// The death of the process. What peers are told of survives the loss of power all the same: with peers connected this saves callers
    /// the waiting, and the disk nothing.
    Process,
}

/// Where a node's links go.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Transport {
    /// TCP and QUIC.
    #[default]
    Sockets,
    /// Other nodes of this process, for tests.
    Memory(Hub),
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sockets => "Sockets",
            Self::Memory(_) => "Memory",
        })
    }
}

/// The engine that keeps a node's data.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Engine {
    /// The node's own: in its directory, or in memory without one.
    #[default]
    Own,
    /// This one, for tests that make it fail. There is no high-water mark then, and the directory is not touched.
    Given(Arc<dyn Store>),
    /// One that this function opens, for tests that make it fail: when the node is opened, and each time it is taken up again. It is closed with
    /// each suspension. There is no high-water mark, and the directory is not touched.
    Opened(Opener),
}

/// Opens a store.
pub type Opener = Arc<dyn Fn() -> crate::Result<Arc<dyn Store>> + Send + Sync>;

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Own => "Own",
            Self::Given(_) => "Given",
            Self::Opened(_) => "Opened",
        })
    }
}

/// A clock: ms since 1970. Nothing that has to be the same on all members hangs on it.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// A clock that this function reads; it must not block.
    pub fn new(read: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> u64 {
        (self.0)()
    }
}

impl Default for Clock {
    /// The machine's.
    fn default() -> Self {
        Self::new(super::actor::wall_clock)
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// What a context is created with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CreateOptions {
    /// The application: `kv`, or one that the host has registered.
    pub application: String,
    /// What the application is set up with.
    pub arguments: Vec<u8>,
    /// What the context is called, for people; at most 128 bytes.
    pub name: String,
    /// How what is written is sealed, for good.
    pub encryption: Encryption,
}

/// How the payloads of a context are sealed. Between nodes everything is encrypted by the links besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Encryption {
    /// Not at all.
    Off,
    /// A group double ratchet over X25519.
    #[default]
    X25519,
    /// The same over X-Wing, which also withstands quantum computers; its keys are about 13 times as large.
    XWing,
}

impl Encryption {
    /// The number of the suite.
    #[must_use]
    pub const fn suite(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::X25519 => 1,
            Self::XWing => 2,
        }
    }
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            application: "kv".into(),
            arguments: Vec::new(),
            name: String::new(),
            encryption: Encryption::default(),
        }
    }
}

/// What an invitation allows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InviteOptions {
    /// The role that it gives.
    pub role: Role,
    /// For how long it may be used; `None`: no end. Checked by the clock of the member that admits.
    pub expires_in: Option<Duration>,
    /// How many may join by it; at least 1.
    pub max_uses: u32,
    /// For people; at most 128 bytes.
    pub note: String,
}

impl Default for InviteOptions {
    fn default() -> Self {
        Self {
            role: Role::Writer,
            expires_in: Some(Duration::from_secs(7 * 24 * 3600)),
            max_uses: 1,
            note: String::new(),
        }
    }
}

/// How to join.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct JoinOptions {
    /// After how long to give up; `None`: 60 s. What was received until then is deleted.
    pub timeout: Option<Duration>,
    /// Called with (transactions received, transactions expected) on a thread of the node's own; must not block.
    pub on_progress: Option<Arc<dyn Fn(u64, u64) + Send + Sync>>,
}

impl std::fmt::Debug for JoinOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinOptions").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
