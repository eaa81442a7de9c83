//! How often the rules ask the history, counted, where somebody has made ten thousand epochs: in proportion to these, and not to their square.

use std::cell::Cell;

use kith_core::encryption::rules::{Unusable, View, best, best_usable, usable};
use kith_core::replica::{MemberId, TransactionId};

const EPOCHS: u64 = 10_000;
/// How many memberships have ended.
const CUTS: u64 = 3;

/// What is wrong with all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    Nothing,
    /// They are not for the members that their author saw.
    Malformed,
    /// Their author did not know that somebody was removed.
    Cut,
    /// Somebody whom they are for is no member.
    Recipient,
}

/// Which questions were asked, and how often.
#[derive(Debug, Default)]
struct Asked {
    ranks: Cell<u64>,
    parts: Cell<u64>,
    cuts: Cell<u64>,
    precedes: Cell<u64>,
}

struct Many {
    wrong: Wrong,
    asked: Asked,
}

fn id(number: u64) -> TransactionId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    TransactionId(id)
}

fn number(id: &TransactionId) -> u64 {
    u64::from_be_bytes(*id.0.first_chunk().unwrap())
}

const ME: MemberId = MemberId([1; 32]);
const OTHER: MemberId = MemberId([2; 32]);

fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl View for Many {
    fn epochs(&self) -> Vec<TransactionId> {
        (0..EPOCHS).map(id).collect()
    }

    fn epoch(&self, epoch: &TransactionId) -> Option<(MemberId, u64)> {
        count(&self.asked.ranks);
        // In no order in particular.
        (number(epoch) < EPOCHS).then(|| (OTHER, number(epoch) * 7919 % EPOCHS))
    }

    fn well_formed(&self, _: &TransactionId) -> bool {
        self.wrong != Wrong::Malformed
    }

    fn members_at(&self, _: &TransactionId) -> Vec<MemberId> {
        count(&self.asked.parts);
        vec![ME, OTHER]
    }

    fn precedes(&self, _: &TransactionId, _: &TransactionId) -> bool {
        count(&self.asked.precedes);
        self.wrong != Wrong::Cut
    }

    fn cuts(&self) -> Vec<TransactionId> {
        count(&self.asked.cuts);
        (0..CUTS).map(|number| id(EPOCHS + number)).collect()
    }

    fn is_member(&self, member: &MemberId) -> bool {
        self.wrong != Wrong::Recipient || *member == ME
    }
}

#[test]
fn ten_thousand_epochs_are_looked_at_once_each() {
    for wrong in [Wrong::Nothing, Wrong::Malformed, Wrong::Cut, Wrong::Recipient] {
        let many = Many { wrong, asked: Asked::default() };
        let found = best_usable(&many);
        let Asked { ranks, parts, cuts, precedes } = &many.asked;
        let asked = [ranks, parts, cuts, precedes].map(Cell::get);
        // Of the usable ones the best alone is looked into; of the others each, which costs the same for every one.
        let looked = if wrong == Wrong::Nothing { 1 } else { EPOCHS };
        assert_eq!(found.is_some(), wrong == Wrong::Nothing);
        if let Some(found) = found {
            assert_eq!(many.epoch(&found).unwrap().1, EPOCHS - 1, "the greatest lamport");
        }
        let preceded = match wrong {
            Wrong::Malformed => 0,
            Wrong::Cut => looked,
            _ => looked * CUTS,
        };
        assert_eq!(asked, [EPOCHS + looked, looked, 1, preceded], "{wrong:?}");
    }
    // The controls: what is asked is counted, and one by one the question for who is gone is asked as often as there are epochs.
    let many = Many { wrong: Wrong::Cut, asked: Asked::default() };
    assert!((0..100).all(|number| usable(&many, &id(number)) == Err(Unusable::Cut(id(EPOCHS)))));
    assert_eq!((many.asked.cuts.get(), many.asked.parts.get()), (100, 100));
    assert_eq!(best(&many, &ME, None), None);
    assert_eq!(best(&Many { wrong: Wrong::Nothing, ..many }, &ME, Some(&id(EPOCHS))), best_of_all());
}

/// The one with the greatest lamport.
fn best_of_all() -> Option<TransactionId> {
    (0..EPOCHS).map(id).find(|id| number(id) * 7919 % EPOCHS == EPOCHS - 1)
}
