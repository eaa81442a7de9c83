//! A causally closed part of the history, as far as it decides who is a member and under which keys one may send.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::acts::{Act, Numbers, What};
use super::chains::StoredChains;
use super::engine::Replica;
use super::governance::Governance;
use super::state_read::StateRead;
use super::{MemberId, TransactionId};
use crate::Result;

/// How many outcomes are kept at most.
const KEPT: usize = 64;
/// Of how many governing transactions they are together, at most: an outcome says something of each, about 300 bytes, also of those that are over, so
/// that as many outcomes of a long history would take many times what the history does.
const KEPT_ACTS: usize = 4096;
/// How many are kept of a history that is longer than that: what one message is judged by, for a few authors.
const KEPT_LEAST: usize = 8;

/// What was judged of parts of the history. What a part leads to never changes.
#[derive(Debug, Default)]
pub(crate) struct Judged(Mutex<Outcomes>);

#[derive(Debug, Default)]
struct Outcomes {
    by_part: HashMap<Numbers, Arc<Governance>>,
    /// How many governing transactions are in the parts together.
    acts: usize,
}

impl Outcomes {
    /// Keeps one more; where there are too many, the others go.
    fn keep(&mut self, part: Numbers, outcome: Arc<Governance>) {
        // Another thread may have been quicker.
        if self.by_part.contains_key(&part) {
            return;
        }
        let (kept, acts) = (self.by_part.len(), part.count());
        if kept >= KEPT || kept >= KEPT_LEAST && self.acts + acts > KEPT_ACTS {
            *self = Self::default();
        }
        self.acts += acts;
        self.by_part.insert(part, outcome);
    }
}

/// See the module.
pub(crate) struct Past<'a> {
    pub(crate) replica: &'a Replica,
    pub(crate) tables: &'a dyn StateRead,
    /// None: everything.
    numbers: Option<Numbers>,
    governance: Option<Arc<Governance>>,
}

/// An `Epoch` or `RefreshKey` in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyAct {
    pub(crate) number: u32,
    pub(crate) id: TransactionId,
    pub(crate) author: MemberId,
    pub(crate) lamport: u64,
    pub(crate) epoch: bool,
}

impl Replica {
    /// All of the history.
    pub(crate) const fn everything<'a>(&'a self, tables: &'a dyn StateRead) -> Past<'a> {
        Past { replica: self, tables, numbers: None, governance: None }
    }

    /// What is behind a frontier of governing transactions, with these.
    pub(crate) fn behind<'a>(&'a self, tables: &'a dyn StateRead, frontier: &[u32]) -> Result<Past<'a>> {
        let numbers = self.acts.past(frontier);
        let governance = self.judged(tables, &numbers)?;
        Ok(Past { replica: self, tables, numbers: Some(numbers), governance: Some(governance) })
    }

    fn judged(&self, tables: &dyn StateRead, numbers: &Numbers) -> Result<Arc<Governance>> {
        let deciding = self.acts.deciding(numbers);
        // Each entry is whole, so a thread that died has spoilt nothing.
        let outcomes = || self.judged.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = outcomes().by_part.get(&deciding) {
            return Ok(Arc::clone(found));
        }
        let chains = StoredChains { tables, tips: &self.tips, walked: &self.walked };
        let anew = Arc::new(Governance::judge_only(&self.acts, &chains, |number| deciding.contains(number))?);
        outcomes().keep(deciding, Arc::clone(&anew));
        Ok(anew)
    }
}

impl Past<'_> {
    /// How many governing transactions are known at all: as long as there is none more, nothing here changes.
    pub(crate) fn acts_known(&self) -> u32 {
        self.replica.acts.next()
    }

    /// Names the governing transactions in it.
    pub(crate) fn key(&self) -> Vec<u64> {
        self.numbers.as_ref().map(Numbers::words).unwrap_or_default()
    }

    fn contains(&self, number: u32) -> bool {
        self.numbers.as_ref().is_none_or(|numbers| numbers.contains(number))
    }

    fn governance(&self) -> &Governance {
        self.governance.as_deref().unwrap_or(&self.replica.governance)
    }

    fn acts(&self) -> impl Iterator<Item = (u32, &Act)> {
        self.replica.acts.iter().filter(|(number, _)| self.contains(*number))
    }

    fn accepted(&self, number: u32) -> bool {
        self.contains(number) && self.governance().verdict(number).is_none()
    }

    /// What there is about keys, in an order in which causes come first.
    pub(crate) fn key_acts(&self) -> impl Iterator<Item = KeyAct> + '_ {
        self.acts().filter(|(_, act)| matches!(act.what, What::Epoch | What::RefreshKey)).map(of)
    }

    /// The `Epoch` with this id.
    pub(crate) fn epoch(&self, id: &TransactionId) -> Option<KeyAct> {
        let number = self.replica.acts.number(id).filter(|number| self.contains(*number))?;
        let act = self.replica.acts.get(number)?;
        matches!(act.what, What::Epoch).then(|| of((number, act)))
    }

    /// What the causal past of an act leads to, without the act itself if that is about keys.
    pub(crate) fn members_at(&self, number: u32) -> Result<Arc<Governance>> {
        let past = self.replica.acts.get(number).map(|act| act.past.clone()).unwrap_or_default();
        self.replica.judged(self.tables, &past)
    }

    pub(crate) fn precedes(&self, one: &TransactionId, other: &TransactionId) -> bool {
        let acts = &self.replica.acts;
        one != other
            && acts.number(one).is_some_and(|one| acts.by_id(other).is_some_and(|act| act.past.contains(one)))
    }

    /// The accepted transactions that end somebody's membership.
    pub(crate) fn cuts(&self) -> Vec<TransactionId> {
        let cuts = |what: &What| matches!(what, What::Remove { .. } | What::Leave | What::Fork { .. });
        self.acts().filter(|(n, act)| cuts(&act.what) && self.accepted(*n)).map(|(_, act)| act.id).collect()
    }

    pub(crate) fn is_member(&self, member: &MemberId) -> bool {
        self.governance().members.contains_key(member)
    }

    /// The members, with what added them.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&MemberId, TransactionId)> {
        self.governance().members.iter().map(|(member, facts)| (member, facts.added.id))
    }

    /// The first key of who was added by this.
    pub(crate) fn first_key(&self, added: &TransactionId) -> Option<&[u8]> {
        match &self.replica.acts.by_id(added)?.what {
            What::Genesis { ratchet_key, .. } | What::Add { ratchet_key, .. } => Some(ratchet_key),
            _ => None,
        }
    }

    /// Whether a first key was handed in before.
    pub(crate) fn is_used(&self, key: &[u8]) -> bool {
        self.replica.acts.is_used(key, |number| self.contains(number))
    }

    /// Whether all members have written something after this act, or are its author.
    pub(crate) fn all_have_seen(&self, number: u32) -> Result<bool> {
        let acts = &self.replica.acts;
        let Some(author) = acts.get(number).map(|act| act.author) else { return Ok(false) };
        for (member, _) in self.members().filter(|(member, _)| **member != author) {
            let tips = self.replica.tips.get(member);
            let mut seen = tips.is_some();
            for tip in tips.into_iter().flatten() {
                let position = super::tables::known_position(self.tables, &tip.id)?;
                seen &= acts.in_past(number, &position.frontier);
            }
            if !seen {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

const fn of((number, act): (u32, &Act)) -> KeyAct {
    KeyAct {
        number,
        id: act.id,
        author: act.author,
        lamport: act.place.lamport,
        epoch: matches!(act.what, What::Epoch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first so many governing transactions, and one more that tells the parts apart.
    fn part(acts: u32, last: u32) -> Numbers {
        let mut part = Numbers::default();
        (1..acts).chain([10_000 + last]).for_each(|number| part.insert(number));
        part
    }

    #[test]
    fn outcomes_of_a_long_history_are_few() {
        for (acts, most) in [(1, KEPT), (64, KEPT), (128, 32), (512, KEPT_LEAST), (5000, KEPT_LEAST)] {
            let mut outcomes = Outcomes::default();
            let mut seen = 0;
            for last in 0..200 {
                outcomes.keep(part(acts, last), Arc::default());
                outcomes.keep(part(acts, last), Arc::default());
                assert!(outcomes.by_part.contains_key(&part(acts, last)), "what was judged last is kept");
                assert_eq!(outcomes.acts, outcomes.by_part.len() * acts as usize);
                seen = seen.max(outcomes.by_part.len());
            }
            assert_eq!(seen, most, "{acts}");
        }
    }
}
