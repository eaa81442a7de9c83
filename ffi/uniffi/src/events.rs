//! Events, pulled.

use std::sync::{Arc, Mutex, PoisonError};

use kith_core::node::{self, Event as CoreEvent};
use tokio::sync::watch;

use crate::gate::Gated;
use crate::{Bytes, Failure};

/// Something that happened in a context.
#[derive(Clone, Debug, uniffi::Enum)]
#[allow(missing_docs)]
pub enum Event {
    Executed { transaction: Bytes, member: Bytes, again: bool },
    Changed { keys: Vec<Bytes> },
    Reordered { first: Bytes },
    Rejected { transaction: Bytes, reason: String },
    MemberJoined { member: Bytes, role: String },
    MemberLeft { member: Bytes },
    MemberRemoved { member: Bytes },
    RoleChanged { member: Bytes, role: String },
    Renamed { member: Option<Bytes>, name: String },
    Equivocation { member: Bytes, one: Bytes, other: Bytes },
    Blocked { cause: String },
    Emitted { transaction: Bytes, name: String, data: Bytes },
    SyncProgress { peer: String, done: u64, total: u64 },
    Synced { peer: String },
    PeerConnected { peer: String, member: Bytes },
    PeerDisconnected { peer: String, reason: String },
    Lagged { missed: u64 },
    Closed { reason: String },
    KeyTrouble { member: Bytes, transaction: Bytes, what: String },
    KeyViolation { member: Bytes, transaction: Bytes },
    Unknown { description: String },
}

impl From<CoreEvent> for Event {
    fn from(event: CoreEvent) -> Self {
        let bytes = |id: [u8; 32]| Bytes(id.to_vec());
        match event {
            CoreEvent::Executed { transaction, member, again } => {
                Self::Executed { transaction: bytes(transaction.0), member: bytes(member.0), again }
            }
            CoreEvent::Changed { keys } => {
                Self::Changed { keys: keys.into_iter().map(|key| bytes(key.0)).collect() }
            }
            CoreEvent::Reordered { from } => Self::Reordered { first: bytes(from.0) },
            CoreEvent::Rejected { transaction, reason } => {
                Self::Rejected { transaction: bytes(transaction.0), reason }
            }
            CoreEvent::MemberJoined { member, role } => {
                Self::MemberJoined { member: bytes(member.0), role: role.to_string() }
            }
            CoreEvent::MemberLeft { member } => Self::MemberLeft { member: bytes(member.0) },
            CoreEvent::MemberRemoved { member } => Self::MemberRemoved { member: bytes(member.0) },
            CoreEvent::RoleChanged { member, role } => {
                Self::RoleChanged { member: bytes(member.0), role: role.to_string() }
            }
            CoreEvent::Renamed { member, name } => {
                Self::Renamed { member: member.map(|member| bytes(member.0)), name }
            }
            CoreEvent::Equivocation { member, one, other } => {
                Self::Equivocation { member: bytes(member.0), one: bytes(one.0), other: bytes(other.0) }
            }
            CoreEvent::Blocked { cause } => Self::Blocked { cause },
            CoreEvent::Emitted { transaction, name, data } => {
                Self::Emitted { transaction: bytes(transaction.0), name, data: Bytes(data) }
            }
            CoreEvent::SyncProgress { peer, done, total } => Self::SyncProgress { peer, done, total },
            CoreEvent::Synced { peer } => Self::Synced { peer },
            CoreEvent::PeerConnected { peer, member } => {
                Self::PeerConnected { peer, member: bytes(member.0) }
            }
            CoreEvent::PeerDisconnected { peer, reason } => Self::PeerDisconnected { peer, reason },
            CoreEvent::Lagged { missed } => Self::Lagged { missed },
            CoreEvent::Closed { reason } => Self::Closed { reason },
            CoreEvent::KeyTrouble { member, transaction, what } => {
                Self::KeyTrouble { member: bytes(member.0), transaction: bytes(transaction.0), what }
            }
            CoreEvent::KeyViolation { member, transaction } => {
                Self::KeyViolation { member: bytes(member.0), transaction: bytes(transaction.0) }
            }
            other => Self::Unknown { description: format!("{other:?}") },
        }
    }
}

/// An event and its cursor.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Happened {
    /// Where in the stream it is.
    pub cursor: u64,
    /// What happened.
    pub event: Event,
}

/// A stream of events. `ready` waits, `take` gives: a wait that the host cancels at the very moment of its answer loses
/// no event. Both do so for as many as are there, so that not each of them costs a wait and two crossings.
///
/// Several of the host's tasks may read one stream. What one has taken lies on the host's side, where all of them look
/// first; one that looked before it lay there would wait here for what is to come after it. So the takes that gave something
/// are counted on both sides, and nobody waits who has not seen the last.
#[derive(uniffi::Object)]
pub struct Events {
    stream: tokio::sync::Mutex<node::Events>,
    taken: Mutex<Vec<Happened>>,
    takes: watch::Sender<u64>,
}

impl Events {
    pub(crate) fn wrap(events: node::Events) -> Arc<Self> {
        Arc::new(Self {
            stream: tokio::sync::Mutex::new(events),
            taken: Mutex::default(),
            takes: watch::Sender::new(0),
        })
    }

    async fn filled(&self) -> Result<(), Failure> {
        let mut stream = self.stream.lock().await;
        if !self.taken.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return Ok(());
        }
        let (cursor, event) = stream.next().await?;
        let rest = std::iter::from_fn(|| stream.at_hand());
        let all = std::iter::once((cursor, event)).chain(rest);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.extend(all.map(|(cursor, event)| Happened { cursor, event: event.into() }));
        Ok(())
    }
}

#[uniffi::export]
impl Events {
    /// Waits until there are events to take, or others have been taken than the first `seen` times: then there may be some
    /// at hand on the host's side.
    pub async fn ready(&self, seen: u64) -> Result<(), Failure> {
        let mut takes = self.takes.subscribe();
        let either = async {
            tokio::select! {
                filled = self.filled() => filled,
                // It ends with the sender only, which is this object's.
                _ = takes.wait_for(|takes| *takes != seen) => Ok(()),
            }
        };
        either.gated().await
    }

    /// The events that `ready` waited for, in their order: those of 64 writes at most. None if another caller took them,
    /// which counts as no time.
    pub fn take(&self) -> Vec<Happened> {
        let events = std::mem::take(&mut *self.taken.lock().unwrap_or_else(PoisonError::into_inner));
        if !events.is_empty() {
            self.takes.send_modify(|takes| *takes += 1);
        }
        events
    }
}
