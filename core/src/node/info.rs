//! What people and programs read of a node.

use serde::Serialize;

use crate::replica::{ContextId, MemberId, Place, Receipt, Role, StateKey, TransactionId, Written};
use crate::storage::EngineName;

/// What an invitation says. Nothing is joined by reading it.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct InvitationInfo {
    pub context: ContextId,
    pub application: String,
    pub inviter: MemberId,
    pub role: Role,
    /// ms since 1970; `None`: no end.
    pub expires_at: Option<u64>,
    pub note: String,
    pub addresses: Vec<String>,
    /// Whether this node is a member of the context already.
    pub member: bool,
}

/// An invitation of a context, as its members see it.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[allow(missing_docs)]
pub struct IssuedInvitation {
    /// The `Invite` transaction; names the invitation.
    pub id: TransactionId,
    pub inviter: MemberId,
    pub role: Role,
    /// ms since 1970; `None`: no end.
    pub expires_at: Option<u64>,
    pub max_uses: u32,
    pub uses: u32,
    pub revoked: bool,
    pub note: String,
}

/// A context that this node holds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ContextInfo {
    /// Its id.
    pub id: ContextId,
    /// What it is called; empty before genesis is here.
    pub name: String,
    /// Its application; empty before genesis is here.
    pub application: String,
    /// Whether joining it has not come to its end.
    pub joining: bool,
}

/// A member of a context.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MemberInfo {
    /// The member.
    pub id: MemberId,
    /// What it may do.
    pub role: Role,
    /// The transaction that added it.
    pub added: TransactionId,
    /// What it calls itself; empty: nothing. Nobody vouches for it: two members may have the same.
    pub name: String,
}

/// How it stands with a transaction.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TransactionInfo {
    /// Its id.
    pub id: TransactionId,
    /// Who signed it.
    pub author: MemberId,
    /// Its number in the author's chain.
    pub sequence: u64,
    /// Its place in the order; tentative until something is final.
    pub place: Place,
    /// The author's clock, ms since 1970.
    pub timestamp: u64,
    /// The kind's number.
    pub kind: u8,
    /// For calls: the method.
    pub method: Option<String>,
    /// For calls: the arguments.
    pub arguments: Vec<u8>,
    /// What it did; `None` while it has not been executed.
    pub receipt: Option<Receipt>,
}

/// What one transaction has to do with a key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The transaction, its place and its receipt.
    pub transaction: TransactionInfo,
    /// The BLAKE3 hash of the value that it left, or that it removed the key, or that it was rejected.
    pub value: Written,
    /// Whether it sorts after the one before without its author having seen that: then neither knew of the other, and the order alone
    /// says which comes last. `None`: not found out within 1,000 steps through the history.
    pub unseen: Option<bool>,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Executed {
    /// The transaction that carries the call; durable and on its way.
    pub transaction: TransactionId,
    /// The application's answer, at the tentative place.
    pub output: Vec<u8>,
}

/// One entry of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub key: StateKey,
    /// What.
    pub value: Vec<u8>,
}

/// Which state is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// With everything that is known, in an order that may still move.
    #[default]
    Tentative,
    /// Only what never changes again. [`crate::ErrorKind::Unsupported`] until finality is here.
    Final,
}

/// How it stands with a node.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct NodeStatus {
    /// The node's peer id.
    pub id: String,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// The peers that it knows or is connected to.
    pub peers: Vec<PeerInfo>,
    /// The relays that it was given.
    pub relays: Vec<RelayInfo>,
    /// The contexts, as hexadecimal ids.
    pub contexts: Vec<String>,
    /// Whether everything in the directory is sealed under a key that the host keeps.
    pub sealed: bool,
    /// Whether the key that everything in the directory is sealed under lies in a file beside it, since the host gave none: whoever can read
    /// the directory can read everything in it then.
    pub key_file: bool,
    /// Whether the directory is a copy of another node's, or lacks the high-water mark of its store: then nothing is signed.
    pub copied: bool,
    /// Nodes of no member that have connected, and what became of it.
    pub strangers: Strangers,
    /// Whether the node is suspended: it has no peers and no addresses then.
    pub suspended: bool,
    /// The engine that keeps the node's directory; `None`: everything is in memory.
    pub storage: Option<EngineName>,
}

/// Nodes that connected and did not prove to be a member's, counted since the node was opened or resumed. Anybody who finds its addresses may connect, as often as
/// it likes: so there are no events of it, and nothing else is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Strangers {
    /// Links that there are now. Whoever has just come may prove to be a member yet.
    pub linked: u64,
    /// Links that are over, for no reason of those below.
    pub ended: u64,
    /// Connections that were not taken: there are too many, or too many of one peer.
    pub refused: u64,
    /// Connections that came to no link: the other side went, or is no node of Kith. Members' are among them, who drop all but the first that comes through.
    pub unfinished: u64,
    /// Links and connections that ended since the protocol or its limits were broken.
    pub misbehaved: u64,
    /// Connections of nodes without a common version.
    pub version: u64,
    /// Links and connections that ended since the other side took too long.
    pub timeout: u64,
}

/// What [`crate::node::Node::sync_once`] came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncReport {
    /// How many peers are connected at its end.
    pub peers: usize,
    /// The contexts that hold what a connected member's node holds, and nothing else is known of.
    pub synced: Vec<ContextId>,
    /// Those of which that is not known.
    pub behind: Vec<ContextId>,
}

/// How it stands with a relay. What it carries between members is encrypted from one to the other.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RelayInfo {
    /// The relay's own address, as it was given.
    pub relay: String,
    /// Where others reach this node through it; `None` while it gives no place.
    pub address: Option<String>,
    /// For how many ms a connection through it may last, if it says so.
    pub longest: Option<u64>,
    /// How many bytes may go through one connection, if it says so.
    pub most_bytes: Option<u64>,
    /// Why it gave no place the last time, until it does: `Unreachable` (not reached, or lost), `Timeout` (no answer), `Busy` (no room),
    /// `PermissionDenied` (it refuses), `Unsupported` (it is no relay), `InvalidArgument` (what it says makes no sense).
    #[serde(serialize_with = "kind_name")]
    pub reason: Option<crate::ErrorKind>,
    /// The same for people.
    pub last_failure: Option<String>,
    /// In how many ms it is asked again; `None` while it is being asked, and while there is a place.
    pub next_attempt_in: Option<u64>,
}

#[allow(clippy::ref_option, reason = "the signature is serde's")]
fn kind_name<S: serde::Serializer>(
    kind: &Option<crate::ErrorKind>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    kind.map(|kind| format!("{kind:?}")).serialize(serializer)
}

/// A peer as the network sees it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Its peer id.
    pub peer: String,
    /// Whether there is a link.
    pub connected: bool,
    /// Whether that goes through a relay.
    pub relayed: bool,
    /// Where it is dialled.
    pub addresses: Vec<String>,
    /// Why the last dial failed, until one succeeds.
    pub last_failure: Option<String>,
    /// In how many ms it is dialled next.
    pub next_attempt_in: Option<u64>,
}

/// How it stands with a context.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ContextStatus {
    /// Transactions in the history.
    pub transactions: u64,
    /// Transactions in the order that are not executed.
    pub pending: u64,
    /// Transactions in the order that are sealed and not opened: nothing that they say is known here, until a member shares it.
    pub unopened: u64,
    /// Transactions that wait for their parents.
    pub waiting: u64,
    /// Transactions that are known of and missing.
    pub missing: Vec<String>,
    /// Why applying stands still, if it does.
    pub blocked: Option<String>,
    /// Why this node writes nothing here, if it does not.
    pub frozen: Option<String>,
    /// The state commitment, in hexadecimal.
    pub commitment: String,
    /// The digest of the history, in hexadecimal.
    pub digest: String,
    /// The peers of this context that there is a link to.
    pub peers: Vec<ContextPeer>,
}

/// How it stands with a context's keys.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ContextSecurity {
    /// 0: payloads are not sealed; 1: X25519; 2: X-Wing, which also withstands quantum computers.
    pub suite: u8,
    /// The epoch under whose keys this member would send now; `None`: one is made first.
    pub epoch: Option<TransactionId>,
    /// For how many ms this node has known that epoch.
    pub age: u64,
    /// How many members were given its keys, this one included. The others read by shared history.
    pub members_able: usize,
    /// How many members there are.
    pub members: usize,
    /// Why new keys are made before this member's next call, if they are.
    pub pending: Option<String>,
    /// How many calls of the history were sent under keys that were not to be used, by anybody: all that there ever were, the same for all who hold the same
    /// history, kept when a node is closed.
    pub violations: u64,
    /// How many calls are sealed and not opened here.
    pub unopened: u64,
}

/// A connected peer of a context.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ContextPeer {
    /// Its peer id.
    pub peer: String,
    /// The member that it proved to be, in hexadecimal.
    pub member: Option<String>,
    /// Whether both histories are known to be the same.
    pub equal: bool,
    /// Transactions that it has and this node lacks, by the last comparison.
    pub lacking: u64,
    /// Transactions that it lacks, by the last comparison.
    pub lacks: u64,
    /// For how many ms the session has been up.
    pub since: u64,
}
