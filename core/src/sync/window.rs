//! How far one side may send ahead of what the other has made durable. Both sides keep the same account.

use std::collections::VecDeque;

use super::Failure;
use crate::limits;

fn fits(batches: usize, bytes: usize, next: usize) -> bool {
    batches < limits::SYNC_WINDOW_BATCHES && (bytes == 0 || bytes + next <= limits::SYNC_WINDOW)
}

/// The sender's account.
#[derive(Default)]
pub(super) struct Outgoing {
    lengths: VecDeque<usize>,
    bytes: usize,
}

impl Outgoing {
    /// Whether any batch may go out.
    pub(super) fn has_room(&self) -> bool {
        fits(self.lengths.len(), self.bytes, limits::SYNC_BATCH_MOST)
    }

    pub(super) fn sent(&mut self, length: usize) {
        self.lengths.push_back(length);
        self.bytes += length;
    }

    pub(super) fn acknowledged(&mut self, count: u32) -> Result<(), Failure> {
        for _ in 0..count {
            self.bytes -= self.lengths.pop_front().ok_or(Failure::Protocol)?;
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
}

impl Incoming {
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

    /// How many are to be acknowledged now: none as long as they are few enough for the sender not to wait for it, so that
    /// a push now and then costs no acknowledgement of its own.
    pub(super) fn acknowledge(&mut self) -> Option<u32> {
        let done = self.received.iter().take_while(|received| received.durable);
        let (count, bytes) =
            done.fold((0, 0), |(count, bytes), received| (count + 1, bytes + received.length));
        if count < limits::SYNC_WINDOW_BATCHES / 4 && bytes < limits::SYNC_BATCH / 2 {
            return None;
        }
        self.received.drain(..count);
        self.bytes -= bytes;
        u32::try_from(count).ok()
    }
}
