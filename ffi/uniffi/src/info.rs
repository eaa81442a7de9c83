//! What is read of nodes and contexts, as records.

use kith_core::node;
use kith_core::replica::{self, ContextId};

use crate::Bytes;

/// What an invitation says.
#[derive(Clone, Debug, uniffi::Record)]
#[allow(missing_docs)]
pub struct InvitationInfo {
    pub context: Bytes,
    pub application: String,
    pub inviter: Bytes,
    pub role: String,
    pub expires_at: Option<u64>,
    pub note: String,
    pub addresses: Vec<String>,
    pub member: bool,
}

impl From<node::InvitationInfo> for InvitationInfo {
    fn from(info: node::InvitationInfo) -> Self {
        Self {
            context: Bytes(info.context.0.to_vec()),
            application: info.application,
            inviter: Bytes(info.inviter.0.to_vec()),
            role: info.role.to_string(),
            expires_at: info.expires_at,
            note: info.note,
            addresses: info.addresses,
            member: info.member,
        }
    }
}

/// An invitation of a context.
#[derive(Clone, Debug, uniffi::Record)]
#[allow(missing_docs)]
pub struct IssuedInvitation {
    pub id: Bytes,
    pub inviter: Bytes,
    pub role: String,
    pub expires_at: Option<u64>,
    pub max_uses: u32,
    pub uses: u32,
    pub revoked: bool,
    pub note: String,
}

impl From<node::IssuedInvitation> for IssuedInvitation {
    fn from(info: node::IssuedInvitation) -> Self {
        Self {
            id: Bytes(info.id.0.to_vec()),
            inviter: Bytes(info.inviter.0.to_vec()),
            role: info.role.to_string(),
            expires_at: info.expires_at,
            max_uses: info.max_uses,
            uses: info.uses,
            revoked: info.revoked,
            note: info.note,
        }
    }
}

/// A context that a node holds.
#[derive(Clone, Debug, uniffi::Record)]
#[allow(missing_docs)]
pub struct ContextInfo {
    pub id: Bytes,
    pub name: String,
    pub application: String,
    pub joining: bool,
}

impl From<node::ContextInfo> for ContextInfo {
    fn from(info: node::ContextInfo) -> Self {
        Self {
            id: Bytes(info.id.0.to_vec()),
            name: info.name,
            application: info.application,
            joining: info.joining,
        }
    }
}

/// A member of a context.
#[derive(Clone, Debug, uniffi::Record)]
#[allow(missing_docs)]
pub struct MemberInfo {
    pub id: Bytes,
    pub role: String,
    pub added: Bytes,
    pub name: String,
}

impl From<node::MemberInfo> for MemberInfo {
    fn from(info: node::MemberInfo) -> Self {
        Self {
            id: Bytes(info.id.0.to_vec()),
            role: info.role.to_string(),
            added: Bytes(info.added.0.to_vec()),
            name: info.name,
        }
    }
}

/// How it stands with a transaction.
#[derive(Clone, Debug, uniffi::Record)]
pub struct TransactionInfo {
    /// 32 bytes.
    pub id: Bytes,
    /// 32 bytes.
    pub author: Bytes,
    /// Its number in its author's chain.
    pub sequence: u64,
    /// 48 bytes that sort like places.
    pub place: Bytes,
    /// ms since 1970.
    pub timestamp: u64,
    /// The kind's number.
    pub kind: u8,
    /// Of a call.
    pub method: Option<String>,
    /// Of a call.
    pub arguments: Bytes,
    /// Whether it has been executed.
    pub executed: bool,
    /// The application's answer, if it counts.
    pub output: Option<Bytes>,
    /// Why it does not count, if it does not.
    pub rejection: Option<String>,
    /// What the application emitted, in order.
    pub emitted: Vec<Message>,
}

/// Something that an application says to the hosts of all members.
#[derive(Clone, Debug, uniffi::Record)]
#[allow(missing_docs)]
pub struct Message {
    pub name: String,
    pub data: Bytes,
}

impl From<node::TransactionInfo> for TransactionInfo {
    fn from(info: node::TransactionInfo) -> Self {
        let executed = info.receipt.is_some();
        let emitted = info.receipt.iter().flat_map(|receipt| &receipt.emitted);
        let emitted = emitted.map(|(name, data)| Message { name: name.clone(), data: Bytes(data.clone()) });
        let emitted = emitted.collect();
        let (output, rejection) = match info.receipt.map(|receipt| receipt.outcome) {
            None => (None, None),
            Some(Ok(output)) => (Some(Bytes(output)), None),
            Some(Err(rejection)) => (None, Some(rejection.to_string())),
        };
        Self {
            id: Bytes(info.id.0.to_vec()),
            author: Bytes(info.author.0.to_vec()),
            sequence: info.sequence,
            place: Bytes(info.place.key().to_vec()),
            timestamp: info.timestamp,
            kind: info.kind,
            method: info.method,
            arguments: Bytes(info.arguments),
            executed,
            output,
            rejection,
            emitted,
        }
    }
}

/// What a transaction has to do with a key.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Explanation {
    /// The transaction.
    pub transaction: TransactionInfo,
    /// What it left of the key.
    pub written: Written,
    /// Whether its author had not seen the one before; none: not found out.
    pub unseen: Option<bool>,
}

/// What a transaction left of a key.
#[derive(Clone, Debug, uniffi::Enum)]
#[allow(missing_docs)]
pub enum Written {
    Value { hash: Bytes },
    Removed,
    Nothing,
}

impl From<node::Explanation> for Explanation {
    fn from(explanation: node::Explanation) -> Self {
        Self {
            transaction: explanation.transaction.into(),
            written: match explanation.value {
                replica::Written::Value(hash) => Written::Value { hash: Bytes(hash.to_vec()) },
                replica::Written::Removed => Written::Removed,
                replica::Written::Nothing => Written::Nothing,
            },
            unseen: explanation.unseen,
        }
    }
}

/// What a check of a context has looked at and found.
#[derive(Clone, Debug, uniffi::Record)]
#[allow(missing_docs)]
pub struct Verification {
    pub transactions: u64,
    pub executed: u64,
    pub pending: u64,
    pub keys: u64,
    pub difference: Option<Difference>,
}

/// Where what is kept is not what the history gives.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Difference {
    /// The name of the part.
    pub part: String,
    /// 48 bytes; none: of the context as a whole.
    pub place: Option<Bytes>,
    /// The transaction at that place.
    pub transaction: Option<Bytes>,
    /// Of which key.
    pub key: Option<Bytes>,
    /// The BLAKE3 hash of what is kept; none: nothing is.
    pub kept: Option<Bytes>,
    /// The BLAKE3 hash of what was recomputed; none: nothing should be there.
    pub recomputed: Option<Bytes>,
    /// All of it, for people.
    pub text: String,
}

impl From<replica::Verification> for Verification {
    fn from(report: replica::Verification) -> Self {
        let difference = report.difference.map(|difference| Difference {
            text: difference.to_string(),
            part: difference.part.name().to_owned(),
            place: difference.place.map(|place| Bytes(place.key().to_vec())),
            transaction: difference.transaction().map(|id| Bytes(id.0.to_vec())),
            key: difference.key.map(|key| Bytes(key.0.to_vec())),
            kept: difference.kept.map(|hash| Bytes(hash.to_vec())),
            recomputed: difference.recomputed.map(|hash| Bytes(hash.to_vec())),
        });
        Self {
            transactions: report.transactions,
            executed: report.executed,
            pending: report.pending,
            keys: report.keys,
            difference,
        }
    }
}

/// How it stands with a node.
#[derive(Clone, Debug, uniffi::Record)]
#[allow(missing_docs)]
pub struct NodeStatus {
    pub id: String,
    pub addresses: Vec<String>,
    pub peers: Vec<PeerInfo>,
    pub relays: Vec<RelayInfo>,
    pub contexts: Vec<String>,
    pub sealed: bool,
    pub key_file: bool,
    pub copied: bool,
    pub strangers: Strangers,
    pub suspended: bool,
    /// "sled" or "redb"; none: everything is in memory.
    pub storage: Option<String>,
}

impl From<node::NodeStatus> for NodeStatus {
    fn from(status: node::NodeStatus) -> Self {
        Self {
            id: status.id,
            addresses: status.addresses,
            peers: status.peers.into_iter().map(Into::into).collect(),
            relays: status.relays.into_iter().map(Into::into).collect(),
            contexts: status.contexts,
            sealed: status.sealed,
            key_file: status.key_file,
            copied: status.copied,
            strangers: status.strangers.into(),
            suspended: status.suspended,
            storage: status.storage.map(|engine| engine.to_string()),
        }
    }
}

/// Nodes that connected and did not prove to be a member's, counted.
#[derive(Clone, Debug, uniffi::Record)]
#[allow(missing_docs)]
pub struct Strangers {
    pub linked: u64,
    pub ended: u64,
    pub refused: u64,
    pub unfinished: u64,
    pub misbehaved: u64,
    pub version: u64,
    pub timeout: u64,
}

impl From<node::Strangers> for Strangers {
    fn from(strangers: node::Strangers) -> Self {
        Self {
            linked: strangers.linked,
            ended: strangers.ended,
            refused: strangers.refused,
            unfinished: strangers.unfinished,
            misbehaved: strangers.misbehaved,
            version: strangers.version,
            timeout: strangers.timeout,
        }
    }
}

/// How it stands with a relay.
#[derive(Clone, Debug, uniffi::Record)]
#[allow(missing_docs)]
pub struct RelayInfo {
    pub relay: String,
    pub address: Option<String>,
    /// ms.
    pub longest: Option<u64>,
    pub most_bytes: Option<u64>,
    /// The number of the kind of failure.
    pub reason: Option<u32>,
    pub last_failure: Option<String>,
    /// ms.
    pub next_attempt_in: Option<u64>,
}

impl From<node::RelayInfo> for RelayInfo {
    fn from(info: node::RelayInfo) -> Self {
        Self {
            relay: info.relay,
            address: info.address,
            longest: info.longest,
            most_bytes: info.most_bytes,
            reason: info.reason.map(kith_core::ErrorKind::code),
            last_failure: info.last_failure,
            next_attempt_in: info.next_attempt_in,
        }
    }
}

/// What a round of syncing came to.
#[derive(Clone, Debug, uniffi::Record)]
#[allow(missing_docs)]
pub struct SyncReport {
    pub peers: u64,
    pub synced: Vec<Bytes>,
    pub behind: Vec<Bytes>,
}

impl From<node::SyncReport> for SyncReport {
    fn from(report: node::SyncReport) -> Self {
        let ids = |ids: Vec<ContextId>| ids.into_iter().map(|id| Bytes(id.0.to_vec())).collect();
        Self { peers: report.peers as u64, synced: ids(report.synced), behind: ids(report.behind) }
    }
}

/// A peer as the network sees it.
#[derive(Clone, Debug, uniffi::Record)]
#[allow(missing_docs)]
pub struct PeerInfo {
    pub peer: String,
    pub connected: bool,
    pub relayed: bool,
    pub addresses: Vec<String>,
    pub last_failure: Option<String>,
    pub next_attempt_in: Option<u64>,
}

impl From<node::PeerInfo> for PeerInfo {
    fn from(info: node::PeerInfo) -> Self {
        Self {
            peer: info.peer,
            connected: info.connected,
            relayed: info.relayed,
            addresses: info.addresses,
            last_failure: info.last_failure,
            next_attempt_in: info.next_attempt_in,
        }
    }
}

/// How it stands with a context.
#[derive(Clone, Debug, uniffi::Record)]
#[allow(missing_docs)]
pub struct ContextStatus {
    pub transactions: u64,
    pub pending: u64,
    pub unopened: u64,
    pub waiting: u64,
    pub missing: Vec<String>,
    pub blocked: Option<String>,
    pub frozen: Option<String>,
    pub commitment: String,
    pub digest: String,
    pub peers: Vec<ContextPeer>,
}

impl From<node::ContextStatus> for ContextStatus {
    fn from(status: node::ContextStatus) -> Self {
        Self {
            transactions: status.transactions,
            pending: status.pending,
            unopened: status.unopened,
            waiting: status.waiting,
            missing: status.missing,
            blocked: status.blocked,
            frozen: status.frozen,
            commitment: status.commitment,
            digest: status.digest,
            peers: status.peers.into_iter().map(Into::into).collect(),
        }
    }
}

/// A connected peer of a context.
#[derive(Clone, Debug, uniffi::Record)]
#[allow(missing_docs)]
pub struct ContextPeer {
    pub peer: String,
    pub member: Option<String>,
    pub equal: bool,
    pub lacking: u64,
    pub lacks: u64,
    pub since: u64,
}

impl From<node::ContextPeer> for ContextPeer {
    fn from(peer: node::ContextPeer) -> Self {
        Self {
            peer: peer.peer,
            member: peer.member,
            equal: peer.equal,
            lacking: peer.lacking,
            lacks: peer.lacks,
            since: peer.since,
        }
    }
}
