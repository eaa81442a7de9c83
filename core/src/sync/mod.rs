//! Bringing two members of a context to the same history, without I/O: no clock, randomness, socket, thread or async.
//!
//! A [`Link`] lives for as long as the connection to one peer; it opens one channel for each context that both sides may
//! know of, and tells nothing about the others. A [`Session`] lives for as long as a channel: it proves membership,
//! compares the two histories, moves what is missing in both directions, and pushes what is new. Both take inputs
//! (frames, messages, what the node did) and give outputs. `docs/sync.md` is the protocol.

mod batch;
pub mod gossip;
mod handshake;
mod kept;
mod link;
mod live;
mod message;
mod passing;
mod proof;
mod rounds;
mod sender;
mod session;
mod shares;
mod vector;
mod verified;
mod window;
mod wraps;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

use borsh::{BorshDeserialize, BorshSerialize};

pub use kept::Kept;
pub use link::{Channel, Link, LinkError, LinkOutput};
pub use passing::Passing;
pub use proof::Binding;
pub(crate) use proof::signed_run;
pub use session::{Session, Status};
pub(crate) use verified::Verified;

use crate::encryption::Wrapped;
use crate::replica::payload::{Add, Tip};
use crate::replica::{Header, Malformed, MemberId, Place, Role, Transaction, TransactionId};
use crate::{ErrorKind, Result};

/// The version of the messages inside a channel. A peer with another one is told apart by name.
pub const SYNC_VERSION: u16 = 4;

/// An author and every tip of its chain: the transactions that are no other's `previous`. More than one after a fork.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Tips {
    /// Who signed them.
    pub author: MemberId,
    /// Sorted, and at least one.
    pub tips: Vec<Tip>,
}

/// Where a transaction of the history is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Who signed it.
    pub author: MemberId,
    /// Its number in the author's chain.
    pub sequence: u64,
    /// Its lamport number.
    pub lamport: u64,
}

/// What a member key is to the context, as this side sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A member, or soon to be one by what it handed over with its proof.
    Member(Role),
    /// A member once. With the ids of the transactions that removed it and those that prove these, all in the history.
    Removed(Vec<TransactionId>),
    /// No member.
    Unknown,
}

/// What sync reads of a context's history: transactions that are admitted (valid, with all their causal past) and
/// durable. Whatever [`Session::added`] has named must be in it.
pub trait History {
    /// Names the whole history: equal exactly if two histories are ([`crate::replica::Replica::digest`]).
    fn digest(&self) -> Result<[u8; 32]>;

    /// The next `limit` authors after `after`, ascending, with all their tips.
    fn tips(&self, after: Option<&MemberId>, limit: usize) -> Result<Vec<Tips>>;

    /// Where a transaction is; `None` if it is not in the history.
    fn position(&self, id: &TransactionId) -> Result<Option<Position>>;

    /// A transaction as it is kept: the signature is `None` where a later one in the author's chain covers it, or its `cover`.
    fn transaction(&self, id: &TransactionId) -> Result<Option<Transaction>>;

    /// An author's transactions on all branches, ascending by (sequence, id), all of them greater than `after`: at most
    /// `limit`, and no more once they hold `bytes` (but always one if there is one).
    fn chain(
        &self,
        author: &MemberId,
        after: Tip,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(TransactionId, Transaction)>>;

    /// What this key is to the context, given also transactions that it handed over (their signatures are checked; they
    /// need not be in the history, and say nothing unless their own authors are members).
    fn standing(&self, member: &MemberId, supporting: &[Transaction]) -> Result<Standing>;

    /// Verifies a signature on a header with this id.
    fn verify(
        &self,
        header: &Header,
        id: &TransactionId,
        signature: &[u8; 64],
    ) -> std::result::Result<(), Malformed> {
        header.verify(id, signature)
    }

    /// Whether the history goes so far in some chain of an author's: where it does not, it holds nothing that this author signed with
    /// this sequence. Cheaper than [`Self::has`].
    fn reaches(&self, _author: &MemberId, _sequence: u64) -> Result<bool> {
        Ok(true)
    }

    /// A transaction as it is to go to somebody: sealed for who has the keys and for who is no member, and else what it says. `None`: not at all.
    fn show(
        &self,
        to: &MemberId,
        id: &TransactionId,
        transaction: Transaction,
    ) -> Result<Option<Transaction>> {
        let _ = (to, id);
        Ok(Some(transaction))
    }

    /// Whether somebody may be expected to have the keys of an epoch.
    fn has_keys(&self, who: &MemberId, epoch: &TransactionId) -> Result<bool> {
        let _ = (who, epoch);
        Ok(true)
    }

    /// What was made for another session on this very history. Only where [`Self::show`] asks nothing of who something is for but
    /// [`Self::may_read`] and [`Self::has_keys`].
    fn passing(&self) -> Option<&Passing> {
        None
    }

    /// Whether somebody may be told what sealed transactions say.
    fn may_read(&self, who: &MemberId) -> bool {
        let _ = who;
        true
    }

    /// Those of the history that are sealed and not opened here: at most `limit` places after one, ascending.
    fn unopened(&self, after: Option<&Place>, limit: usize) -> Result<Vec<Place>> {
        let _ = (after, limit);
        Ok(Vec::new())
    }

    /// Grows whenever there is one more of those.
    fn unopened_changes(&self) -> u64 {
        0
    }

    /// What this member gets of the wraps of an epoch that has only their root: `None` if it is no recipient, or they are not here.
    fn wraps_for(&self, epoch: &TransactionId, member: &MemberId) -> Result<Option<Wrapped>> {
        let _ = (epoch, member);
        Ok(None)
    }

    /// Whether what a peer gives of an epoch's wraps is for this side, and belongs to the epoch as its author has signed it.
    fn proves(&self, epoch: &TransactionId, given: &Wrapped) -> Result<bool> {
        let _ = (epoch, given);
        Ok(false)
    }

    /// Whether keys are on the way that may open what is unopened: then nobody is asked yet for what it says.
    fn awaits_keys(&self) -> bool {
        false
    }

    /// Whether the history holds this transaction.
    fn has(&self, id: &TransactionId) -> Result<bool> {
        Ok(self.position(id)?.is_some())
    }
}

/// As what this side takes part.
#[derive(Clone, Debug)]
pub enum Local {
    /// As a member. With the ids of what the other side may not have seen yet: its own `Add`, that of the one who added it,
    /// and so on; at most [`crate::limits::SYNC_LINEAGE`].
    Member {
        /// The ids.
        supporting: Vec<TransactionId>,
    },
    /// As one that asks to be added.
    Joiner {
        /// What it asks.
        request: Box<Add>,
    },
}

/// Which messages go first where several channels wait. **Messages of one channel keep their order** whatever this says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Small, and somebody waits for it.
    Control,
    /// New transactions.
    Live,
    /// Catch-up.
    Bulk,
}

/// What a [`Session`] wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// To go through the channel.
    Send {
        /// See [`Priority`].
        priority: Priority,
        /// At most [`crate::limits::FRAME`] bytes with the link's framing.
        message: Vec<u8>,
    },
    /// Checked as far as they themselves go (payload, chain, signature or cover), ascending by (lamport, id). The node hands
    /// them to the replica and answers [`Session::delivered`] with the token once what was admitted is durable, and
    /// [`Session::missing`] for what some of them still wait for.
    Deliver {
        /// Names the delivery.
        token: u64,
        /// At least one.
        transactions: Vec<Transaction>,
    },
    /// The peer asks to be added; its signatures are checked, not yet the invitation's. The node answers
    /// [`Session::admitted`] or [`Session::refused`].
    Admit(Box<Add>),
    /// What sealed transactions of the history say; each opens the commitment of its header. The node executes them, and names them to
    /// every [`Session::opened`] once that is durable.
    Opened(Vec<(TransactionId, Vec<u8>)>),
    /// What the peer gives of an epoch's wraps; it is proved. The node stores it.
    Wraps(TransactionId, Wrapped),
    /// The peer has no wraps of this epoch for this member, or has not answered in time: another one is to be asked.
    NoWraps {
        /// Which.
        epoch: TransactionId,
        /// Whether it said so.
        answered: bool,
    },
    /// It has them now, and may be asked again.
    HasWraps(TransactionId),
    /// The peer, a member, cannot open the keys that this member made for it.
    Complaint(MemberId),
    /// Something to know.
    Event(SessionEvent),
    /// It is over: the channel is to be closed after what was sent, and the session dropped. Nothing follows.
    Ended(Ended),
}

/// What happened in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// The peer proved this key. `role` is `None` while this side is a joiner and cannot know.
    Proved {
        /// The key.
        member: MemberId,
        /// Its role as this side sees it.
        role: Option<Role>,
    },
    /// The peer has added this joiner; with the transaction that did and those it rests on. They come again in catch-up.
    Admitted(Vec<Transaction>),
    /// This member was removed, and here is what proves it; each signature is checked, the standing of its authors is not.
    Evidence(Vec<Transaction>),
    /// How far catch-up is, in transactions of the present comparison.
    Progress {
        /// Received and durable.
        received: u64,
        /// What the peer said it would send.
        expected: u64,
        /// Sent.
        sent: u64,
        /// What there was to send.
        to_send: u64,
    },
    /// Everything that the peer had when it was compared is in this history.
    Synced,
    /// Both histories hold the same, but for what is being pushed.
    Equal,
    /// The peer delivered something whose parents it does not deliver. It is not asked again for a while.
    CannotDeliver(Vec<TransactionId>),
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// This side refused the peer.
    Refused(Refusal),
    /// The peer refused this side.
    RefusedByPeer(Refusal),
    /// It went wrong.
    Failed(Failure),
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Refusal {
    #[error("the key is no member's")]
    NotMember,
    #[error("the member was removed")]
    Removed,
    #[error("the invitation is not for this, or its signatures do not verify")]
    InvitationInvalid,
    #[error("the invitation's time is over")]
    InvitationExpired,
    #[error("the invitation's uses are used up")]
    InvitationUsed,
    #[error("the invitation was revoked")]
    InvitationRevoked,
    #[error("the context has no room for another member")]
    Full,
    #[error("the peer is itself only joining, or cannot admit now; another one can")]
    NotNow,
}

impl Refusal {
    /// The kind of error that a caller sees.
    #[must_use]
    pub const fn kind(self) -> ErrorKind {
        match self {
            Self::NotMember | Self::Removed => ErrorKind::NotMember,
            Self::InvitationInvalid => ErrorKind::InvitationInvalid,
            Self::InvitationExpired => ErrorKind::InvitationExpired,
            Self::InvitationUsed => ErrorKind::InvitationUsed,
            Self::InvitationRevoked => ErrorKind::InvitationRevoked,
            Self::Full => ErrorKind::LimitExceeded,
            Self::NotNow => ErrorKind::Busy,
        }
    }
}

/// What went wrong in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Failure {
    #[error("a message does not decode or passes a limit")]
    Garbage,
    #[error("a message came where the protocol has none")]
    Protocol,
    #[error("the peer speaks another version of sync")]
    Version,
    #[error("the peer does not hold the key that it claims")]
    Proof,
    #[error("a transaction was altered, or its signature does not verify")]
    BadTransaction,
    #[error("the peer sent more than it was allowed ahead")]
    Flood,
    #[error("the peer did not prove a membership in time")]
    Timeout,
    #[error("the peer stands still in the middle of catch-up")]
    Stalled,
    #[error("the peer keeps delivering what it cannot complete")]
    CannotDeliver,
}

impl Failure {
    /// The kind of error that a caller sees.
    #[must_use]
    pub const fn kind(self) -> ErrorKind {
        match self {
            Self::Version => ErrorKind::VersionMismatch,
            Self::Timeout | Self::Stalled | Self::CannotDeliver => ErrorKind::Timeout,
            Self::Flood => ErrorKind::LimitExceeded,
            Self::Garbage | Self::Protocol | Self::Proof | Self::BadTransaction => ErrorKind::Rejected,
        }
    }
}
