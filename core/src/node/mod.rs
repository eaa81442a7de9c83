//! A node: a store, an endpoint in the network, and any number of contexts, with one handle for all.
//!
//! The node owns its async runtime and its threads: one for each context, where the replica runs and the store is written, joined to the
//! network by bounded queues. Functions may be awaited on any executor. Dropping the last handle closes the node in the
//! background; [`Node::shutdown`] waits for it.

mod actor;
mod command;
mod context;
mod directory;
mod events;
mod evidence;
mod gossip;
mod info;
#[doc(hidden)]
pub mod machine;
mod membership;
mod options;
mod parting;
mod process;
mod registry;
mod reopening;
mod shared;
mod strangers;
mod switchboard;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::application::Application;
use crate::invitation::Invitation;
use crate::replica::ContextId;
use crate::storage::{Exported, StorageKey};
use crate::{Error, ErrorKind, Result};

pub use context::Context;
pub use directory::default_directory;
pub use events::{Cursor, Event, Events};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use gossip::fuzzing as gossip_fuzzing;
pub use info::{
    ContextInfo, ContextPeer, ContextSecurity, ContextStatus, Entry, Executed, Explanation, InvitationInfo,
    IssuedInvitation, Level, MemberInfo, NodeStatus, PeerInfo, RelayInfo, Strangers, SyncReport,
    TransactionInfo,
};
pub use options::{
    Clock, CreateOptions, Durability, Encryption, Engine, InviteOptions, JoinOptions, Opener, Options,
    Transport,
};
use registry::Registry;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use registry::fuzzing as rows_fuzzing;
#[doc(hidden)]
pub use registry::inspection;

/// A node. Cheap to clone; all clones are the same node.
#[derive(Clone, Debug)]
pub struct Node {
    registry: Arc<Registry>,
}

impl Node {
    /// Opens a node. A directory that another node has open is [`ErrorKind::Busy`] at once.
    pub async fn open(options: Options) -> Result<Self> {
        Ok(Self { registry: Registry::open(options).await? })
    }

    /// The node's peer id, as text.
    #[must_use]
    pub fn id(&self) -> String {
        self.registry.peer_id()
    }

    /// Where the node listens, as multiaddresses with `/p2p/…`.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.registry.addresses()
    }

    /// How it stands with the node.
    pub async fn status(&self) -> Result<NodeStatus> {
        self.registry.status().await
    }

    /// Registers an application of the host's own under a name of 1 to 64 bytes. Contexts of that application that wait for it begin to
    /// execute. A name that is taken is [`ErrorKind::InvalidArgument`].
    pub fn register(&self, name: &str, application: Arc<dyn Application>) -> Result<()> {
        self.registry.register(name, application)
    }

    /// Creates a context with this node as its first member and admin.
    pub async fn create_context(&self, options: CreateOptions) -> Result<Context> {
        self.registry.create_context(options).await
    }

    /// Reads an invitation. Joins nothing.
    pub fn inspect(&self, invitation: &str) -> Result<InvitationInfo> {
        let invitation = Invitation::from_text(invitation)?;
        Ok(InvitationInfo {
            member: self.registry.context(&invitation.context).is_some(),
            context: invitation.context,
            application: invitation.application,
            inviter: invitation.inviter,
            role: invitation.role,
            expires_at: (invitation.not_after > 0).then_some(invitation.not_after),
            note: invitation.note,
            addresses: invitation.addresses,
        })
    }

    /// Joins a context by an invitation, and returns once this node is a member and has caught up. If that fails, nothing of the context
    /// stays; that is so too if the future is dropped before. Joining a context that this node is a member of gives that context.
    ///
    /// Several calls for one context at the same time wait for one join, by the invitation of the first; if that is refused, by that of another one. Each has a deadline of
    /// its own, and the join is given up with the last of them. So is one that a restart had interrupted and that has gone on by itself since, once a call has waited for it.
    pub async fn join(&self, invitation: &str, options: JoinOptions) -> Result<Context> {
        let invitation = Invitation::from_text(invitation)?;
        self.registry.join(invitation, options).await
    }

    /// The contexts that this node holds.
    pub fn contexts(&self) -> Result<Vec<ContextInfo>> {
        self.registry.contexts()
    }

    /// A context that this node holds; [`ErrorKind::NotFound`] if it does not.
    pub fn context(&self, id: ContextId) -> Result<Context> {
        self.registry.check_open()?;
        self.registry
            .context(&id)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("this node does not hold context {id}")))
    }

    /// Connects to a peer by a multiaddress with `/p2p/…`, and keeps it connected from then on.
    pub async fn connect(&self, address: &str) -> Result<()> {
        self.registry.connect(address).await
    }

    /// Puts the node to rest, for systems that stop apps in the background: finishes what was begun, closes connections, sockets and the
    /// store, and gives back its files and their locks, so that another process may open the directory. Handles and streams of events stay good. Until
    /// [`Node::resume`], calls that need the store or the network are [`ErrorKind::Closed`]; [`Node::contexts`], [`Node::status`] and what handles
    /// know by themselves go on. Twice is fine. A node without a directory keeps its store in memory.
    ///
    /// [`ErrorKind::Timeout`] if that is not done by the deadline, since an application does not return from a call: it goes on in the background. Where the
    /// store cannot be closed in order the error says so ([`ErrorKind::Storage`]), and the node is suspended all the same: files and locks are given back, and
    /// resuming opens the store anew. Only what was to survive no more than the process's death may be missing then.
    pub async fn suspend(&self, deadline: Duration) -> Result<()> {
        self.registry.suspend(deadline).await
    }

    /// Takes a suspended node up again: opens the store, listens at the ports from before where they are free, and dials the known peers. A directory
    /// that another process has open by now is [`ErrorKind::Busy`], and the node stays suspended. Of a node that is not suspended nothing changes.
    pub async fn resume(&self) -> Result<()> {
        self.registry.resume().await
    }

    /// Whether the node is suspended, or is being so.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        !self.registry.is_live()
    }

    /// For the short times in which systems let apps run in the background: dials all known members' nodes at once, and returns when every context is in step with those
    /// that are reached, when nobody is reached, or when the budget (at most a day) is used up. A suspended node is resumed for it and suspended again, which
    /// may take up to 10 s more; not if [`Self::resume`] was called meanwhile, and where several such rounds overlap, by the last of them.
    ///
    /// An error of that suspension is the answer, as of [`Self::suspend`], since what the round came to may not be on the disk; its text says how far the round had
    /// come. What is there the next round tells.
    pub async fn sync_once(&self, budget: Duration) -> Result<SyncReport> {
        self.registry.sync_once(budget).await
    }

    /// Seals the directory under another storage key, while everything goes on: at once, however much there is, since only the random key that
    /// the records are sealed under is sealed anew. A crash leaves a directory that the old key opens, or the new one; when this has returned,
    /// only the new one does, and a key file is gone. [`ErrorKind::Unsupported`] for a node without a directory, [`ErrorKind::Closed`] while
    /// it is suspended.
    ///
    /// Who has a copy of the directory from before and the old key reads that copy, and with the data key in it later ones: after a theft
    /// of both, export the directory and import it into a new one.
    pub async fn change_storage_key(&self, key: StorageKey) -> Result<()> {
        self.registry.change_storage_key(key).await
    }

    /// Exports everything to a new file that only its owner can read, sealed under `key`: a backup, while the node goes on; with sled changes wait meanwhile.
    /// [`crate::storage::import`] makes a directory of it, of either engine, which signs nothing until its owner says that no other does. To move a
    /// node, close it and use [`crate::storage::export`]. [`ErrorKind::InvalidArgument`] if the file is there already.
    pub async fn export(&self, to: &Path, key: &StorageKey) -> Result<Exported> {
        self.registry.export(to.to_owned(), key.clone()).await
    }

    /// Closes the node: finishes what was begun, closes connections and the store, releases files. Twice is fine.
    pub async fn shutdown(&self) -> Result<()> {
        self.registry.shutdown().await
    }
}
