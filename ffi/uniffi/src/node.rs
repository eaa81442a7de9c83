//! Nodes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kith_core::network;
use kith_core::node::{self, CreateOptions, Durability, JoinOptions, Transport};
use kith_core::replica::ContextId;
use kith_core::{Error, ErrorKind};

use crate::application::Hosted;
use crate::gate::{Gated, Guest, enter};
use crate::sealing::encryption;
use crate::{
    Bytes, Context, ContextInfo, Exported, Failure, HostApplication, InvitationInfo, NodeStatus, StorageKey,
    SyncReport,
};

/// What a node is opened with.
#[derive(Clone, uniffi::Record)]
pub struct NodeOptions {
    /// The node's directory; none: everything is kept in memory.
    pub path: Option<String>,
    /// Where to listen; none: all addresses of this machine.
    pub listen: Option<Vec<String>>,
    /// Peers to connect to.
    pub bootstrap: Vec<String>,
    /// Whether to find peers in the local network, and be found.
    pub discovery: bool,
    /// Relays to be reached through.
    pub relays: Vec<String>,
    /// Whether others are dialled through relays.
    pub through_relays: bool,
    /// Whether a direct connection is tried where a link goes through a relay.
    pub hole_punching: bool,
    /// Whether peers are asked which of the node's addresses they reach.
    pub autonat: bool,
    /// Whether contexts with more than 8 members gossip.
    pub gossip: bool,
    /// "power" or "process".
    pub durability: String,
    /// How many batches of events are kept; none: the default.
    pub event_retention: Option<u64>,
    /// "auto", "sled" or "redb".
    pub storage: String,
    /// What the directory is sealed under; none: a key file beside the store.
    pub storage_key: Option<StorageKey>,
    /// Where nodes of one process meet in its memory, instead of over sockets.
    pub hub: Option<Arc<Hub>>,
}

/// A place in the memory of this process where nodes meet, for tests of programs that use the library.
#[derive(uniffi::Object)]
pub struct Hub {
    hub: network::Hub,
}

fn peer(id: &str) -> Result<network::PeerId, Failure> {
    Ok(id.parse().map_err(|error| Error::invalid_argument(format!("`{id}` is no node's id: {error}")))?)
}

#[uniffi::export]
impl Hub {
    /// An empty one.
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { hub: network::Hub::new() })
    }

    /// Breaks the link between two nodes, given by their ids, and keeps them apart until `heal`.
    pub fn partition(&self, one: String, other: String) -> Result<(), Failure> {
        self.hub.partition(peer(&one)?, peer(&other)?);
        Ok(())
    }

    /// Lets two nodes meet again.
    pub fn heal(&self, one: String, other: String) -> Result<(), Failure> {
        self.hub.heal(peer(&one)?, peer(&other)?);
        Ok(())
    }
}

impl NodeOptions {
    fn build(self) -> Result<node::Options, Failure> {
        let mut options = node::Options::at(PathBuf::new());
        options.path = self.path.map(PathBuf::from);
        if let Some(listen) = self.listen {
            options.listen = listen;
        }
        if let Some(hub) = self.hub {
            options.transport = Transport::Memory(hub.hub.clone());
            options.listen = vec!["/memory/0".into()];
        }
        options.bootstrap = self.bootstrap;
        options.discovery = self.discovery;
        options.relays = self.relays;
        options.through_relays = self.through_relays;
        options.hole_punching = self.hole_punching;
        options.autonat = self.autonat;
        options.gossip = self.gossip;
        options.durability = match self.durability.as_str() {
            "power" => Durability::Power,
            "process" => Durability::Process,
            other => {
                let message = format!("`{other}` is no durability: power or process");
                return Err(Error::invalid_argument(message).into());
            }
        };
        options.storage = self.storage.parse()?;
        options.storage_key = self.storage_key.map(StorageKey::build).transpose()?;
        if let Some(retention) = self.event_retention {
            options.event_retention = retention;
        }
        Ok(options)
    }
}

/// Told how far joining is, on a thread of the node's own. It must not block.
#[uniffi::export(foreign)]
pub trait JoinProgress: Send + Sync {
    /// Transactions received, and transactions expected.
    fn progress(&self, done: u64, total: u64) -> Result<(), Failure>;
}

/// A node.
#[derive(uniffi::Object)]
pub struct Node {
    pub(crate) node: node::Node,
}

#[uniffi::export]
impl Node {
    /// Opens a node.
    #[uniffi::constructor]
    pub async fn open(options: NodeOptions) -> Result<Arc<Self>, Failure> {
        Ok(Arc::new(Self { node: node::Node::open(options.build()?).gated().await? }))
    }

    /// The node's id in the network.
    pub fn id(&self) -> String {
        self.node.id()
    }

    /// Where the node listens.
    pub fn addresses(&self) -> Vec<String> {
        self.node.addresses()
    }

    /// How it stands with the node.
    pub async fn status(&self) -> Result<NodeStatus, Failure> {
        Ok(self.node.status().gated().await?.into())
    }

    /// Registers an application of the host's.
    pub fn register(&self, name: String, application: Arc<dyn HostApplication>) -> Result<(), Failure> {
        Ok(self.node.register(&name, Arc::new(Hosted::new(application)))?)
    }

    /// Creates a context.
    pub async fn create_context(
        &self,
        application: String,
        arguments: Bytes,
        name: String,
        encryption: String,
    ) -> Result<Arc<Context>, Failure> {
        let mut options = CreateOptions::default();
        (options.application, options.arguments, options.name) = (application, arguments.0, name);
        options.encryption = self::encryption(&encryption)?;
        Ok(Context::wrap(self.node.create_context(options).gated().await?))
    }

    /// Reads an invitation.
    pub fn inspect(&self, invitation: String) -> Result<InvitationInfo, Failure> {
        Ok(self.node.inspect(&invitation)?.into())
    }

    /// Joins a context.
    pub async fn join(
        &self,
        invitation: String,
        timeout_ms: Option<u64>,
        progress: Option<Arc<dyn JoinProgress>>,
    ) -> Result<Arc<Context>, Failure> {
        let mut options = JoinOptions::default();
        options.timeout = timeout_ms.map(Duration::from_millis);
        options.on_progress = progress.map(|progress| {
            let progress = Guest::new(progress);
            let told: Arc<dyn Fn(u64, u64) + Send + Sync> = Arc::new(move |done, total| {
                // What the host raises there is the host's own affair: it has no caller to go to.
                if let Some(_pass) = enter() {
                    let _ = progress.progress(done, total);
                }
            });
            told
        });
        Ok(Context::wrap(self.node.join(&invitation, options).gated().await?))
    }

    /// The contexts that this node holds.
    pub fn contexts(&self) -> Result<Vec<ContextInfo>, Failure> {
        Ok(self.node.contexts()?.into_iter().map(Into::into).collect())
    }

    /// A context that this node holds.
    pub fn context(&self, id: Bytes) -> Result<Arc<Context>, Failure> {
        Ok(Context::wrap(self.node.context(ContextId::from_slice(&id.0)?)?))
    }

    /// Connects to a peer.
    pub async fn connect(&self, address: String) -> Result<(), Failure> {
        Ok(self.node.connect(&address).gated().await?)
    }

    /// Puts the node to rest.
    pub async fn suspend(&self, deadline_ms: u64) -> Result<(), Failure> {
        Ok(self.node.suspend(Duration::from_millis(deadline_ms)).gated().await?)
    }

    /// Takes a suspended node up again.
    pub async fn resume(&self) -> Result<(), Failure> {
        Ok(self.node.resume().gated().await?)
    }

    /// Whether the node is suspended, or is being so.
    pub fn is_suspended(&self) -> bool {
        self.node.is_suspended()
    }

    /// Catches up with those who are reached, within a budget.
    pub async fn sync_once(&self, budget_ms: u64) -> Result<SyncReport, Failure> {
        Ok(self.node.sync_once(Duration::from_millis(budget_ms)).gated().await?.into())
    }

    /// Seals the directory under another key.
    pub async fn change_storage_key(&self, key: StorageKey) -> Result<(), Failure> {
        Ok(self.node.change_storage_key(key.build()?).gated().await?)
    }

    /// Exports everything to a new file.
    pub async fn export(&self, path: String, key: StorageKey) -> Result<Exported, Failure> {
        let key = key.build()?;
        Ok(self.node.export(Path::new(&path), &key).gated().await?.into())
    }

    /// Closes the node.
    pub async fn shutdown(&self) -> Result<(), Failure> {
        Ok(self.node.shutdown().gated().await?)
    }
}

impl From<uniffi::UnexpectedUniFFICallbackError> for Failure {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { kind: ErrorKind::Internal.code(), message: error.reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> NodeOptions {
        NodeOptions {
            path: None,
            listen: Some(Vec::new()),
            bootstrap: Vec::new(),
            discovery: false,
            relays: Vec::new(),
            through_relays: true,
            hole_punching: true,
            autonat: true,
            gossip: true,
            durability: "power".into(),
            event_retention: None,
            storage: "auto".into(),
            storage_key: None,
            hub: None,
        }
    }

    /// What the switches do shows only where there are relays and many members: here, that none is lost or taken for another.
    #[test]
    fn each_switch_reaches_its_own_option() {
        let switches = |options: &node::Options| {
            [options.through_relays, options.hole_punching, options.autonat, options.gossip]
        };
        assert_eq!(switches(&plain().build().unwrap()), [true; 4]);
        for off in 0..4 {
            let mut options = plain();
            let fields = [
                &mut options.through_relays,
                &mut options.hole_punching,
                &mut options.autonat,
                &mut options.gossip,
            ];
            *fields[off] = false;
            let mut wanted = [true; 4];
            wanted[off] = false;
            assert_eq!(switches(&options.build().unwrap()), wanted);
        }
        let mut options = plain();
        options.relays = vec!["/ip4/127.0.0.1/tcp/1".into()];
        options.storage_key = Some(StorageKey::Passphrase { text: "a passphrase".into() });
        let built = options.build().unwrap();
        assert!(built.relays == ["/ip4/127.0.0.1/tcp/1"] && built.storage_key.is_some());
    }

    #[test]
    fn keys_that_are_none_are_refused_before_anything_is_opened() {
        for key in
            [StorageKey::Key { bytes: Bytes(vec![0; 31]) }, StorageKey::Passphrase { text: String::new() }]
        {
            let mut options = plain();
            options.storage_key = Some(key);
            let Err(Failure::Failed { kind, .. }) = options.build() else { panic!("it is taken") };
            assert_eq!(kind, ErrorKind::InvalidArgument.code());
        }
    }
}
