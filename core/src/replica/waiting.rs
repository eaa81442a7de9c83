//! The waiting room: transactions whose causal past is not known yet. Bounded, with a share for each peer that
//! delivers, so that nobody can crowd out the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::TransactionId;
use super::transaction::Transaction;
use crate::limits;

/// Who delivered, by a number of the caller's own.
pub type Deliverer = u64;

#[derive(Debug)]
struct Guest {
    transaction: Transaction,
    from: Deliverer,
    missing: BTreeSet<TransactionId>,
    size: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub struct WaitingRoom {
    guests: HashMap<TransactionId, Guest>,
    waiting_for: BTreeMap<TransactionId, BTreeSet<TransactionId>>,
    taken: HashMap<Deliverer, usize>,
    total: usize,
}

/// Why a transaction was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// The peer's share is used up.
    #[error("the peer's share of the waiting room is used up")]
    ForPeer,
    /// The room is full.
    #[error("the waiting room is full")]
    AtAll,
}

impl WaitingRoom {
    /// Takes a transaction in until all that is missing has come. One that waits already is left as it is.
    pub fn wait(
        &mut self,
        id: TransactionId,
        transaction: Transaction,
        from: Deliverer,
        missing: impl IntoIterator<Item = TransactionId>,
    ) -> Result<(), NoRoom> {
        if self.guests.contains_key(&id) {
            return Ok(());
        }
        let missing: BTreeSet<TransactionId> = missing.into_iter().collect();
        let size = 512 + transaction.payload.len() + 128 * (transaction.header.parents.len() + missing.len());
        let taken = self.taken.get(&from).copied().unwrap_or(0);
        if taken + size > limits::WAITING_FOR_EACH_PEER {
            return Err(NoRoom::ForPeer);
        }
        if self.total + size > limits::WAITING {
            return Err(NoRoom::AtAll);
        }
        self.taken.insert(from, taken + size);
        self.total += size;
        for other in &missing {
            self.waiting_for.entry(*other).or_default().insert(id);
        }
        self.guests.insert(id, Guest { transaction, from, missing, size });
        Ok(())
    }

    /// A transaction has come: gives those that need not wait any more.
    pub fn arrived(&mut self, id: &TransactionId) -> Vec<(Deliverer, Transaction)> {
        let mut free = Vec::new();
        for waiting in self.waiting_for.remove(id).unwrap_or_default() {
            let Some(guest) = self.guests.get_mut(&waiting) else { continue };
            guest.missing.remove(id);
            if guest.missing.is_empty() {
                free.extend(self.take(&waiting));
            }
        }
        free
    }

    /// A transaction can never come: drops those that wait for it, and those that wait for them. Gives their ids.
    pub fn hopeless(&mut self, id: &TransactionId) -> Vec<TransactionId> {
        let mut dropped = Vec::new();
        let mut next = vec![*id];
        while let Some(gone) = next.pop() {
            for waiting in self.waiting_for.remove(&gone).unwrap_or_default() {
                if self.take(&waiting).is_some() {
                    dropped.push(waiting);
                    next.push(waiting);
                }
            }
        }
        dropped
    }

    /// Drops what a peer delivered.
    pub fn forget(&mut self, from: Deliverer) {
        let gone: Vec<TransactionId> =
            self.guests.iter().filter(|(_, guest)| guest.from == from).map(|(id, _)| *id).collect();
        for id in gone {
            self.take(&id);
        }
    }

    fn take(&mut self, id: &TransactionId) -> Option<(Deliverer, Transaction)> {
        let guest = self.guests.remove(id)?;
        self.total -= guest.size;
        if let Some(taken) = self.taken.get_mut(&guest.from) {
            *taken -= guest.size;
            if *taken == 0 {
                self.taken.remove(&guest.from);
            }
        }
        for missing in &guest.missing {
            if let Some(waiting) = self.waiting_for.get_mut(missing) {
                waiting.remove(id);
                if waiting.is_empty() {
                    self.waiting_for.remove(missing);
                }
            }
        }
        Some((guest.from, guest.transaction))
    }

    /// What is missing and does not wait itself: worth asking for.
    #[must_use]
    pub fn wanted(&self) -> Vec<TransactionId> {
        self.waiting_for.keys().filter(|id| !self.guests.contains_key(id)).copied().collect()
    }

    /// How many transactions wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.guests.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.guests.is_empty()
    }

    /// How many bytes are taken.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.total
    }
}
