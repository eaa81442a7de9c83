//! Judging: what new governing transactions do to the standing of all others.

use std::collections::BTreeSet;

use super::acts::Act;
use super::chains::StoredChains;
use super::changes::membership_changes;
use super::engine::{Outcome, Replica, Step};
use super::faults;
use super::governance::{Asked, Governance};
use super::receipt::{Place, Receipt, Rejection};
use super::state_read::{StateRead, Table};
use super::tables::{self, Effects};
use super::transaction::Kind;
use super::view::{View, prefix_end, successor};
use super::{MemberId, Role, TransactionId};
use crate::Result;

impl Replica {
    /// Judges those that are about keys alone: they leave everything else as it is.
    pub(super) fn note_keys(&mut self, view: &mut View<'_>, step: &mut Step, new: &[u32]) -> Result<()> {
        for number in new {
            let chains = StoredChains { tables: view, tips: &self.tips, walked: &self.walked };
            self.governance.judge_keys(&self.acts, &chains, *number)?;
            let Some(act) = self.acts.get(*number) else { continue };
            self.note_verdict(view, step, *number, act, true)?;
        }
        Ok(())
    }

    fn note_verdict(
        &self,
        view: &mut View<'_>,
        step: &mut Step,
        number: u32,
        act: &Act,
        new: bool,
    ) -> Result<()> {
        let receipt = match self.governance.verdict(number) {
            None => Receipt::accepted_silently(),
            Some(rejection) => Receipt::rejected(rejection.clone()),
        };
        let effects =
            Effects { standing: None, receipt: receipt.clone(), reads: Vec::new(), writes: Vec::new() };
        let kind = tables::known_position(view, &act.id)?.kind;
        tables::put_order(view, &act.place, kind, Some(&effects));
        step.executed.push(Outcome {
            id: act.id,
            place: act.place,
            author: act.author,
            kind,
            receipt,
            again: !new,
        });
        Ok(())
    }

    /// Judges all governing transactions anew, and marks the others whose standing that changes.
    pub(super) fn govern(&mut self, view: &mut View<'_>, step: &mut Step) -> Result<()> {
        let chains = StoredChains { tables: view, tips: &self.tips, walked: &self.walked };
        let old = std::mem::take(&mut self.governance);
        self.governance = Governance::judge(&self.acts, &chains)?;
        self.core.governance = self.governance.commitment(&self.acts);

        for number in 0..self.acts.next() {
            let Some(act) = self.acts.get(number) else { continue };
            let new = step.admitted.contains(&act.id);
            if !new && old.verdict(number) == self.governance.verdict(number) {
                continue;
            }
            // Genesis is executed like a call: the application sets up its state.
            if self.is_genesis(&act.id) {
                continue;
            }
            self.note_verdict(view, step, number, act, new)?;
        }
        step.membership.extend(membership_changes(&old, &self.governance, &self.core.name));

        let authors: BTreeSet<MemberId> = old.authors().chain(self.governance.authors()).copied().collect();
        for author in authors {
            if let Some(from) = self.governance.differs(&old, &author) {
                self.rejudge(view, &author, from)?;
            }
        }
        for id in old.skips().symmetric_difference(self.governance.skips()) {
            if let Some(position) = tables::position(view, id)? {
                let place = self.place(&position, *id);
                if !Self::is_unopened(view, &place)? {
                    self.pending.insert(place, *id);
                }
            }
        }
        Ok(())
    }

    fn is_genesis(&self, id: &TransactionId) -> bool {
        id.0 == self.context.0
    }

    fn place(&self, position: &tables::Position, id: TransactionId) -> Place {
        Place::tail(position.lamport, id)
    }

    /// Marks those transactions of an author whose standing is not what they were judged by.
    fn rejudge(&mut self, view: &View<'_>, author: &MemberId, from: Option<Place>) -> Result<()> {
        let end = prefix_end(&author.0);
        let mut next = author.0.to_vec();
        loop {
            let page = view.scan(Table::Transactions, &next, end.as_deref(), false, 32)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            next = successor(last);
            for (key, _) in &page {
                let id = tables::id_of_transaction_key(key)?;
                if self.acts.number(&id).is_some() {
                    continue;
                }
                let position = tables::known_position(view, &id)?;
                let place = self.place(&position, id);
                let Some(effects) = tables::effects(view, &place)? else { continue };
                if from.is_some_and(|from| place < from) {
                    continue;
                }
                // What is not in force is so whoever says it.
                let same = effects.receipt.outcome == Err(Rejection::NotInForce)
                    || match self.standing(view, &position, &id, &place)? {
                        Ok(role) => effects.standing == Some(role),
                        Err(rejection) => {
                            effects.standing.is_none() && effects.receipt.outcome == Err(rejection)
                        }
                    };
                if !same {
                    self.pending.insert(place, id);
                }
            }
        }
    }

    /// The role by which a transaction that does not govern is carried out, or why it is not.
    pub(super) fn standing(
        &self,
        tables: &dyn StateRead,
        position: &tables::Position,
        id: &TransactionId,
        place: &Place,
    ) -> Result<std::result::Result<Role, Rejection>> {
        let needed = match Kind::from_number(position.kind) {
            Some(Kind::Call) if faults::is(faults::Fault::ReadersWrite) => Role::Reader,
            Some(Kind::Call) => Role::Writer,
            Some(Kind::Note) => Role::Reader,
            _ => return Ok(Err(Rejection::NotInForce)),
        };
        let chains = StoredChains { tables, tips: &self.tips, walked: &self.walked };
        let asked = Asked {
            author: &position.author,
            sequence: position.sequence,
            id,
            frontier: &position.frontier,
            act: None,
        };
        let standing = self.governance.standing(&self.acts, &chains, &asked, place)?;
        Ok(standing
            .at_least(needed)
            .and_then(|role| if self.governance.is_skipped(id) { Err(Rejection::Skipped) } else { Ok(role) }))
    }
}
