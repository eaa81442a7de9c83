//! How far one side may send ahead of what the other has made durable. Both sides keep the same account.

use std::collections::VecDeque;

use super::Failure;
use super::kept::Kept;
use crate::limits;
use crate::replica::faults::{self, Fault};

fn fits(batches: usize, bytes: usize, next: usize) -> bool {
    if faults::is(Fault::SendAhead) {
        return true;
    }
    batches < limits::SYNC_WINDOW_BATCHES && (bytes == 0 || bytes + next <= limits::SYNC_WINDOW)
}

/// How long the first of what was made durable waits for more before it is acknowledged, in ms: as TCP does it, so that a stream of
/// pushes costs few acknowledgements, and who waits for one does not wait long.
const ACKNOWLEDGE_TIME: u64 = 25;

/// A mark of what a round of comparing holds anyway: nobody waits for its acknowledgement.
pub(super) const COMPARED: u64 = u64::MAX;

/// The sender's account: of each batch its length, and the lowest mark of what is in it.
#[derive(Default)]
pub(super) struct Outgoing {
    sent: VecDeque<(usize, u64)>,
    bytes: usize,
}

impl Outgoing {
    pub(super) fn kept(&self, all: &mut Vec<Kept>) {
        Kept::note(all, "batches sent ahead", self.sent.len(), limits::SYNC_WINDOW_BATCHES);
        Kept::note(all, "bytes sent ahead", self.bytes, limits::SYNC_WINDOW);
    }

    /// Whether any batch may go out.
    pub(super) fn has_room(&self) -> bool {
        fits(self.sent.len(), self.bytes, limits::SYNC_BATCH_MOST)
    }

    pub(super) fn sent(&mut self, length: usize, mark: u64) {
        self.sent.push_back((length, mark));
        self.bytes += length;
    }

    /// The lowest mark of what is not acknowledged.
    pub(super) fn lowest(&self) -> Option<u64> {
        self.sent.iter().map(|(_, mark)| *mark).min().filter(|mark| *mark != COMPARED)
    }

    pub(super) fn acknowledged(&mut self, count: u32) -> Result<(), Failure> {
        for _ in 0..count {
            self.bytes -= self.sent.pop_front().ok_or(Failure::Protocol)?.0;
        }
        Ok(())
    }
}

struct Received {
    token: u64,
    length: usize,
    durable: bool,
}

/// The receiver's account: in the order of arrival, what was not acknowledged yet.
#[derive(Default)]
pub(super) struct Incoming {
    received: VecDeque<Received>,
    bytes: usize,
    next_token: u64,
    /// Since when something is durable and not acknowledged.
    durable_since: Option<u64>,
}

impl Incoming {
    pub(super) fn kept(&self, all: &mut Vec<Kept>) {
        Kept::note(all, "batches received ahead", self.received.len(), limits::SYNC_WINDOW_BATCHES);
        Kept::note(all, "bytes received ahead", self.bytes, limits::SYNC_WINDOW);
    }

    /// Takes a batch in; gives its token.
    pub(super) fn received(&mut self, length: usize) -> Result<u64, Failure> {
        if !fits(self.received.len(), self.bytes, length) {
            return Err(Failure::Flood);
        }
        let token = self.next_token;
        self.next_token += 1;
        self.bytes += length;
        self.received.push_back(Received { token, length, durable: false });
        Ok(token)
    }

    pub(super) fn durable(&mut self, token: u64) {
        if let Some(received) = self.received.iter_mut().find(|received| received.token == token) {
            received.durable = true;
        }
    }

    /// Whether the node still works on something.
    pub(super) fn is_busy(&self) -> bool {
        self.received.iter().any(|received| !received.durable)
    }

    /// When [`Self::acknowledge`] has something that has waited long enough.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.durable_since.map(|since| since.saturating_add(ACKNOWLEDGE_TIME))
    }

    /// What is durable has waited long enough, whenever it became so.
    pub(super) fn hurry(&mut self) {
        self.durable_since = Some(0);
    }

    /// How many are to be acknowledged now: for a moment none, as long as they are few enough for the sender to have room.
    pub(super) fn acknowledge(&mut self, now: u64) -> Option<u32> {
        let done = self.received.iter().take_while(|received| received.durable);
        let (count, bytes) =
            done.fold((0, 0), |(count, bytes), received| (count + 1, bytes + received.length));
        if count == 0 {
            self.durable_since = None;
            return None;
        }
        let few = count < limits::SYNC_WINDOW_BATCHES / 4 && bytes < limits::SYNC_BATCH / 2;
        let since = *self.durable_since.get_or_insert(now);
        if few && now < since.saturating_add(ACKNOWLEDGE_TIME) {
            return None;
        }
        self.durable_since = None;
        self.received.drain(..count);
        self.bytes -= bytes;
        u32::try_from(count).ok()
    }
}
