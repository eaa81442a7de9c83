//! The waiting room: transactions whose causal past is not known yet. Bounded, with a share for each peer that
//! delivers, so that nobody can crowd out the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::TransactionId;
use super::covers::Cover;
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
        mut transaction: Transaction,
        from: Deliverer,
        missing: impl IntoIterator<Item = TransactionId>,
    ) -> Result<(), NoRoom> {
        if self.guests.contains_key(&id) {
            return Ok(());
        }
        let missing: BTreeSet<TransactionId> = missing.into_iter().collect();
        // The rest of its run is not to stay in memory for as long as it waits.
        transaction.cover = transaction.cover.map(|cover| cover.alone());
        let cover = transaction.cover.as_ref().map_or(0, Cover::size);
        let edges = transaction.header.parents.len() + missing.len();
        let size = 512 + transaction.payload.len() + 128 * edges + cover;
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

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    use super::super::{ContextId, Draft, Kind, Parent};
    use super::*;

    fn id(number: u8) -> TransactionId {
        TransactionId([number; 32])
    }

    fn of_size(bytes: usize) -> Transaction {
        let key = SigningKey::from_bytes(&[1; 32]);
        Draft {
            context: ContextId([1; 32]),
            sequence: 2,
            previous: id(1),
            parents: Vec::<Parent>::new(),
            lamport: 2,
            timestamp: 0,
            kind: Kind::Call,
            plaintext: vec![0; bytes],
            commitment_key: [0; 32],
        }
        .sign(&key)
    }

    #[test]
    fn each_is_let_go_when_the_last_that_is_missing_has_come() {
        let mut room = WaitingRoom::default();
        room.wait(id(3), of_size(1), 7, [id(1), id(2)]).unwrap();
        room.wait(id(4), of_size(1), 7, [id(3)]).unwrap();
        assert_eq!(room.wanted(), [id(1), id(2)], "what waits itself is not asked for");
        assert!(room.arrived(&id(1)).is_empty());
        assert_eq!(room.arrived(&id(2)).len(), 1);
        assert_eq!(room.arrived(&id(3)).len(), 1);
        assert!(room.is_empty() && room.bytes() == 0 && room.wanted().is_empty());
    }

    #[test]
    fn what_waits_for_the_impossible_goes_with_all_that_waits_for_it() {
        let mut room = WaitingRoom::default();
        room.wait(id(3), of_size(1), 7, [id(2)]).unwrap();
        room.wait(id(4), of_size(1), 8, [id(3), id(9)]).unwrap();
        assert_eq!(room.hopeless(&id(2)), [id(3), id(4)]);
        assert!(room.is_empty() && room.bytes() == 0 && room.wanted().is_empty());
    }

    #[test]
    fn nobody_takes_more_than_its_share_and_all_together_no_more_than_the_room() {
        let mut room = WaitingRoom::default();
        let large = of_size(limits::ARGUMENTS);
        let mut number = 0u8;
        let mut fill = |room: &mut WaitingRoom, peer| loop {
            number += 1;
            if let Err(full) = room.wait(id(number), large.clone(), peer, [id(255)]) {
                return full;
            }
        };
        assert_eq!(fill(&mut room, 1), NoRoom::ForPeer);
        assert!(room.bytes() <= limits::WAITING_FOR_EACH_PEER);
        assert!(room.bytes() > limits::WAITING_FOR_EACH_PEER - (2 << 20));
        let mut peer = 1;
        while fill(&mut room, peer) == NoRoom::ForPeer {
            peer += 1;
        }
        assert!(room.bytes() <= limits::WAITING && room.bytes() > limits::WAITING - (2 << 20));
        room.forget(1);
        assert_eq!(fill(&mut room, 1), NoRoom::ForPeer, "the others' shares do not depend on a flooder's");
        assert!(
            (1..=peer).all(|peer| {
                room.forget(peer);
                true
            }) && room.bytes() == 0
        );
    }

    proptest! {
        #[test]
        fn the_books_are_kept(steps in proptest::collection::vec((0u8..4, 0u8..12, 0u8..12, 0u64..3), 0..80)) {
            let mut room = WaitingRoom::default();
            for (what, one, other, peer) in steps {
                match what {
                    0 | 1 if one != other => {
                        let _ = room.wait(id(one), of_size(usize::from(other)), peer, [id(other)]);
                    }
                    2 => { room.arrived(&id(one)); }
                    _ => { room.forget(peer); }
                }
                prop_assert_eq!(room.is_empty(), room.bytes() == 0);
                prop_assert_eq!(room.taken.values().sum::<usize>(), room.bytes());
                prop_assert!(room.waiting_for.values().flatten().all(|waiting| room.guests.contains_key(waiting)));
                prop_assert!(room.guests.values().all(|guest| !guest.missing.is_empty()));
            }
        }
    }
}
