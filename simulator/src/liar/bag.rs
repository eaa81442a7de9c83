//! What a liar holds, and what of it each peer is shown.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kith_core::Result;
use kith_core::network::LinkId;
use kith_core::replica::{MemberId, Role, Tip, Transaction, TransactionId};
use kith_core::sync::{History, Position, Standing, Tips};

/// What it shows to one peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Bag {
    pub(super) all: BTreeMap<(MemberId, u64, TransactionId), Transaction>,
    ids: HashMap<TransactionId, Position>,
    /// Shown to peers with an even link, and to those with an odd one.
    pub(super) shown: [BTreeSet<TransactionId>; 2],
    pub(super) false_tips: Vec<Tips>,
    pub(super) false_digest: Option<[u8; 32]>,
    pub(super) withheld: BTreeSet<TransactionId>,
    /// What no honest member lets in. In a run its signature may be all that covers a valid one before it.
    pub(super) bad: BTreeSet<TransactionId>,
}

pub(super) struct Shown<'a>(pub(super) &'a Bag, pub(super) LinkId);

impl Bag {
    pub(super) fn keep(&mut self, transaction: Transaction) -> TransactionId {
        let id = transaction.header.id();
        let header = &transaction.header;
        let (author, sequence, lamport) = (header.author, header.sequence, header.lamport);
        self.ids.insert(id, Position { author, sequence, lamport });
        self.all.entry((author, sequence, id)).or_insert(transaction);
        id
    }

    fn get(&self, id: &TransactionId) -> Option<&Transaction> {
        let at = self.ids.get(id)?;
        self.all.get(&(at.author, at.sequence, *id))
    }

    /// What nothing names, but for one author.
    pub(super) fn heads(&self) -> Vec<&Transaction> {
        let mut named: BTreeSet<TransactionId> = BTreeSet::new();
        for transaction in self.all.iter().filter(|(key, _)| !self.bad.contains(&key.2)).map(|(_, t)| t) {
            named.insert(transaction.header.previous);
            named.extend(transaction.header.parents.iter().map(|parent| parent.id));
        }
        self.all
            .iter()
            .filter(|((_, _, id), _)| !named.contains(id) && !self.bad.contains(id))
            .map(|(_, transaction)| transaction)
            .collect()
    }
}

impl Shown<'_> {
    pub(super) fn hides(&self, id: &TransactionId) -> bool {
        self.0.withheld.contains(id) || self.0.shown[(self.1.0 % 2) as usize].contains(id)
    }
}

impl History for Shown<'_> {
    fn digest(&self) -> Result<[u8; 32]> {
        let mut hasher = blake3::Hasher::new();
        self.0.all.keys().filter(|(_, _, id)| !self.hides(id)).for_each(|(_, _, id)| {
            hasher.update(&id.0);
        });
        Ok(self.0.false_digest.unwrap_or(*hasher.finalize().as_bytes()))
    }

    fn tips(&self, after: Option<&MemberId>, limit: usize) -> Result<Vec<Tips>> {
        if !self.0.false_tips.is_empty() {
            let later =
                self.0.false_tips.iter().filter(|tips| after.is_none_or(|after| tips.author > *after));
            return Ok(later.take(limit).cloned().collect());
        }
        let mut all: BTreeMap<MemberId, Vec<Tip>> = BTreeMap::new();
        let chained = self.0.all.iter().filter(|((_, _, id), _)| !self.hides(id));
        let previous: BTreeSet<TransactionId> = chained.map(|(_, t)| t.header.previous).collect();
        for (author, sequence, id) in self.0.all.keys().filter(|(author, _, id)| {
            after.is_none_or(|after| author > after) && !previous.contains(id) && !self.hides(id)
        }) {
            all.entry(*author).or_default().push(Tip { sequence: *sequence, id: *id });
        }
        Ok(all.into_iter().take(limit).map(|(author, tips)| Tips { author, tips }).collect())
    }

    fn position(&self, id: &TransactionId) -> Result<Option<Position>> {
        Ok(self.0.ids.get(id).copied())
    }

    fn transaction(&self, id: &TransactionId) -> Result<Option<Transaction>> {
        Ok(self.0.get(id).filter(|_| !self.hides(id)).cloned())
    }

    fn chain(
        &self,
        author: &MemberId,
        after: Tip,
        limit: usize,
        _bytes: usize,
    ) -> Result<Vec<(TransactionId, Transaction)>> {
        let from = (*author, after.sequence, after.id);
        let later = self
            .0
            .all
            .range(from..)
            .filter(|(key, _)| **key != from && key.0 == *author && !self.hides(&key.2));
        Ok(later.take(limit).map(|((_, _, id), transaction)| (*id, transaction.clone())).collect())
    }

    fn standing(&self, _member: &MemberId, _supporting: &[Transaction]) -> Result<Standing> {
        Ok(Standing::Member(Role::Admin))
    }
}
