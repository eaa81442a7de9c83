//! A part of the history, as the rules see it.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::encryption::rules::View;
use crate::encryption::{Epoch, RatchetKey, Scope};
use crate::replica::faults::{self, Fault};
use crate::replica::{MemberId, Past, Payload, Transaction, TransactionId, transaction};
use crate::{Error, Result};

/// What is remembered of an `Epoch` or `RefreshKey`, of as many as there ever were: no wraps and no keys. It never changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    /// Of an epoch: for how many others.
    pub(super) recipients: u32,
    /// The number of its author's key that it publishes.
    pub(super) index: u32,
}

/// By id; none for what does not decode.
pub(super) type Known = RefCell<HashMap<TransactionId, Option<Said>>>;

/// See the module. Asking may fail where the store does; what was answered since is worth nothing then.
pub(super) struct Seen<'a> {
    pub(super) past: &'a Past<'a>,
    pub(super) scope: Scope,
    pub(super) known: &'a Known,
    pub(super) failed: RefCell<Option<Error>>,
}

impl<'a> Seen<'a> {
    pub(super) const fn new(past: &'a Past<'a>, scope: Scope, known: &'a Known) -> Self {
        Self { past, scope, known, failed: RefCell::new(None) }
    }

    /// What was asked, unless asking failed.
    pub(super) fn or_failure<T>(&self, answer: T) -> Result<T> {
        self.failed.borrow_mut().take().map_or(Ok(answer), Err)
    }

    fn stored<T: Default>(&self, answer: Result<T>) -> T {
        answer.unwrap_or_else(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            T::default()
        })
    }

    pub(super) fn said(&self, id: &TransactionId) -> Option<Said> {
        if let Some(said) = self.known.borrow().get(id) {
            return *said;
        }
        let found = self.stored(transaction(self.past.tables, id))?;
        let said = self.decoded(&found).map(|(recipients, key)| Said { recipients, index: key.index });
        self.known.borrow_mut().insert(*id, said);
        said
    }

    /// The key that an `Epoch` or `RefreshKey` publishes, which may be sealed to.
    pub(super) fn key(&self, id: &TransactionId) -> Option<RatchetKey> {
        let found = self.stored(transaction(self.past.tables, id))?;
        self.decoded(&found).map(|(_, key)| key)
    }

    fn decoded(&self, found: &Transaction) -> Option<(u32, RatchetKey)> {
        match Payload::decode(found.header.kind, found.plaintext())? {
            Payload::Epoch(bytes) => {
                let epoch = Epoch::decode(&self.scope, &bytes).ok()?;
                Some((epoch.recipients, epoch.ratchet_key))
            }
            Payload::RefreshKey(bytes) => {
                let key: RatchetKey = borsh::from_slice(&bytes).ok()?;
                self.scope.suite.check_key(&key.key).ok()?;
                Some((0, key))
            }
            _ => None,
        }
    }

    /// The recipients of an epoch and its author, sorted.
    pub(super) fn members(&self, number: u32) -> Vec<MemberId> {
        self.stored(self.past.members_at(number).map(|then| then.members.keys().copied().collect()))
    }
}

impl View for Seen<'_> {
    fn epochs(&self) -> Vec<TransactionId> {
        self.past.key_acts().filter(|act| act.epoch).map(|act| act.id).collect()
    }

    fn epoch(&self, epoch: &TransactionId) -> Option<(MemberId, u64)> {
        self.past.epoch(epoch).map(|act| (act.author, act.lamport))
    }

    fn well_formed(&self, epoch: &TransactionId) -> bool {
        let said = self.said(epoch);
        said.is_some_and(|said| said.recipients as usize + 1 == self.members_at(epoch).len())
    }

    fn members_at(&self, epoch: &TransactionId) -> Vec<MemberId> {
        self.past.epoch(epoch).map(|act| self.members(act.number)).unwrap_or_default()
    }

    fn precedes(&self, one: &TransactionId, other: &TransactionId) -> bool {
        self.past.precedes(one, other)
    }

    fn cuts(&self) -> Vec<TransactionId> {
        if faults::is(Fault::KeepEpoch) {
            return Vec::new();
        }
        self.past.cuts()
    }

    fn is_member(&self, member: &MemberId) -> bool {
        self.past.is_member(member) || faults::is(Fault::KeepEpoch)
    }
}
