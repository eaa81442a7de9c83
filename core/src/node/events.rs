//! What happens in a context, as a stream that is pulled.

use std::sync::Arc;
use std::time::Duration;

use borsh::{BorshDeserialize, BorshSerialize};
use tokio::sync::{broadcast, watch};

use super::shared::ContextShared;
use crate::replica::{MemberId, Role, StateKey, TransactionId};
use crate::storage::Keyspace;
use crate::{Error, ErrorKind, Result};

/// A place in the stream of a context's events: the number of a batch. Local to this node.
pub type Cursor = u64;

/// Something that happened in a context.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Event {
    /// A call was executed at its place. May come again with another outcome after `Reordered`.
    Executed {
        transaction: TransactionId,
        member: MemberId,
        again: bool,
    },
    /// These entries of the state changed.
    Changed {
        keys: Vec<StateKey>,
    },
    /// Something was inserted into the order before what was there.
    Reordered {
        from: TransactionId,
    },
    /// A transaction of this node's own was accepted when it was made, and counts no more.
    Rejected {
        transaction: TransactionId,
        reason: String,
    },
    MemberJoined {
        member: MemberId,
        role: Role,
    },
    MemberLeft {
        member: MemberId,
    },
    MemberRemoved {
        member: MemberId,
    },
    RoleChanged {
        member: MemberId,
        role: Role,
    },
    /// A member calls itself something else; `None`: the context is called something else.
    Renamed {
        member: Option<MemberId>,
        name: String,
    },
    /// A member has signed two histories.
    Equivocation {
        member: MemberId,
        one: TransactionId,
        other: TransactionId,
    },
    /// Applying stands still.
    Blocked {
        cause: String,
    },
    /// An application says something.
    Emitted {
        transaction: TransactionId,
        name: String,
        data: Vec<u8>,
    },
    /// How far catch-up with a peer is, in transactions. Not replayed.
    SyncProgress {
        peer: String,
        done: u64,
        total: u64,
    },
    /// Everything that the peer has is here. Not replayed.
    Synced {
        peer: String,
    },
    /// A member's node is connected. Not replayed.
    PeerConnected {
        peer: String,
        member: MemberId,
    },
    /// It is no more. Not replayed. `reason` is one of these words, which stay the same, then `: ` and, for people, what exactly it was:
    /// - `closed`: by this side, which suspends, shuts down, leaves, or reads its store anew;
    /// - `gone`: by the other side, or the connection is lost;
    /// - `refused`: one of them is no member any more in the other's eyes;
    /// - `misbehaved`: it sent what no honest node sends;
    /// - `version`: it speaks another version of sync;
    /// - `limit`: it sent more than it may, or takes nothing, or comes too fast for this side;
    /// - `timeout`: it stands still where something is due.
    PeerDisconnected {
        peer: String,
        reason: String,
    },
    /// The reader was too slow and events were dropped: start again from the cursor. Not replayed.
    Lagged {
        missed: u64,
    },
    /// The context is closed here; the last event.
    Closed {
        reason: String,
    },
    /// Keys or a message that a member made cannot be opened here. Nothing is lost: what it says comes from another member, or from that one, as
    /// soon as one is connected. If it happens again and again with one member, its device or its build is at fault. `what` says, for people, what is
    /// wrong and what to do about it.
    KeyTrouble {
        member: MemberId,
        transaction: TransactionId,
        what: String,
    },
    /// A member sent a message under keys that were not to be used: a removed member may be able to read it. Its build is at fault, or it
    /// does so on purpose: have it updated, or remove it.
    KeyViolation {
        member: MemberId,
        transaction: TransactionId,
    },
}

/// Events that happened together, with their cursor.
#[derive(Clone, Debug)]
pub(crate) struct Passing {
    pub(crate) cursor: Cursor,
    pub(crate) event: Event,
}

/// A stream of a context's events. Durable ones are read from the store, so that a slow reader loses none within the
/// retention; passing ones (progress, connections) are dropped when the reader is slow.
///
/// After [`Event::Closed`] it ends: [`crate::ErrorKind::Closed`], whatever was still reordered then. Dropping it ends the subscription and never blocks. While the node is suspended it waits, and goes on after `resume`. After `shutdown`, [`Events::next`] gives what is left, then
/// [`crate::ErrorKind::Closed`].
#[derive(Debug)]
pub struct Events {
    pub(crate) shared: Arc<ContextShared>,
    pub(crate) after: Cursor,
    pub(crate) ready: std::collections::VecDeque<(Cursor, Event)>,
    pub(crate) latest: watch::Receiver<Cursor>,
    pub(crate) passing: broadcast::Receiver<Passing>,
    /// [`Event::Closed`] was given out.
    pub(crate) ended: bool,
}

impl Events {
    /// The next event with its cursor. Waits until there is one; cancelling the wait loses nothing.
    pub async fn next(&mut self) -> Result<(Cursor, Event)> {
        super::process::check()?;
        loop {
            if let Some(next) = self.at_hand() {
                return Ok(next);
            }
            if self.ended {
                return Err(Error::closed("the context is closed here, and this was said already"));
            }
            if *self.latest.borrow_and_update() > self.after {
                if let Err(error) = self.read_more().await {
                    self.wait_running(error).await?;
                }
                continue;
            }
            let shared = Arc::clone(&self.shared);
            let mut closed = shared.closed.subscribe();
            tokio::select! {
                biased;
                changed = self.latest.changed() => {
                    if changed.is_err() {
                        return Err(shared.closed_error());
                    }
                }
                passing = self.passing.recv() => match passing {
                    Ok(passing) => return Ok((passing.cursor, passing.event)),
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        return Ok((self.after, Event::Lagged { missed }));
                    }
                    Err(broadcast::error::RecvError::Closed) => {
                        // The durable ones may still say why.
                        if *self.latest.borrow_and_update() <= self.after {
                            return Err(shared.closed_error());
                        }
                    }
                },
                // Last, so that what is left is given first.
                () = async { drop(closed.wait_for(Option::is_some).await) } => return Err(shared.closed_error()),
            }
        }
    }

    /// An event that has been read already, with its cursor; `None` says nothing of what is still to be read. Does not wait: after
    /// [`Events::next`], for who hands several of them on at a time.
    pub fn at_hand(&mut self) -> Option<(Cursor, Event)> {
        let next = self.ready.pop_front().filter(|_| !self.ended)?;
        self.ended = matches!(next.1, Event::Closed { .. });
        Some(next)
    }

    /// Like [`Events::next`], for at most so long: then [`ErrorKind::Timeout`]. Blocks the calling thread, which must not
    /// be an async one.
    pub fn next_blocking(&mut self, timeout: Option<Duration>) -> Result<(Cursor, Event)> {
        let runtime = self.shared.runtime.clone();
        runtime.block_on(async {
            match timeout {
                None => self.next().await,
                Some(timeout) => tokio::time::timeout(timeout, self.next())
                    .await
                    .unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "no event in time"))),
            }
        })
    }

    /// Waits until the node is resumed, if that is why reading failed.
    async fn wait_running(&self, error: Error) -> Result<()> {
        let (mut running, mut closed) = (self.shared.running.subscribe(), self.shared.closed.subscribe());
        if self.shared.closed.borrow().is_some() || running.borrow_and_update().is_some() {
            return Err(error);
        }
        tokio::select! {
            _ = running.wait_for(Option::is_some) => Ok(()),
            _ = closed.wait_for(Option::is_some) => Err(self.shared.closed_error()),
        }
    }

    async fn read_more(&mut self) -> Result<()> {
        const PAGE: usize = 64;
        let shared = Arc::clone(&self.shared);
        let store = shared.running()?.store;
        let after = self.after;
        let rows = shared
            .runtime
            .clone()
            .spawn_blocking(move || -> Result<Vec<(Cursor, Vec<Event>)>> {
                let snapshot = store.snapshot()?;
                let from = shared.event_key(after + 1);
                let rows = snapshot.scan(Keyspace::Events, &from, Some(&shared.events_end()), false, PAGE)?;
                rows.into_iter().map(|(key, row)| Ok((cursor_of(&key)?, decode(&row)?))).collect()
            })
            .await
            .map_err(|e| Error::closed(format!("the node is shutting down: {e}")))??;
        match rows.first() {
            // Pruned while this reader was behind.
            Some((first, _)) if *first > self.after + 1 && self.after > 0 => {
                let missed = first - self.after - 1;
                self.ready.push_back((first - 1, Event::Lagged { missed }));
            }
            None => self.after = *self.latest.borrow(),
            _ => {}
        }
        for (cursor, events) in rows {
            self.after = cursor;
            self.ready.extend(events.into_iter().map(|event| (cursor, event)));
        }
        Ok(())
    }
}

pub(crate) fn cursor_of(key: &[u8]) -> Result<Cursor> {
    let number = key.get(4..12).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
    number.ok_or_else(|| Error::corrupt("an event's key does not decode"))
}

fn decode(row: &[u8]) -> Result<Vec<Event>> {
    borsh::from_slice(row).map_err(|_| Error::corrupt("an event does not decode"))
}
