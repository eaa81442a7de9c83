//! A small model of the history: who is a member by which part of it. Simpler than the replica's rules, with the same traits: removals
//! reach back over what was written without knowledge of them, admissions can lapse, and seniors (with the smaller number) win.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use kith_core::encryption::Epoch;
use kith_core::encryption::rules::View;
use kith_core::replica::payload::Add;
use kith_core::replica::{Header, MemberId, Transaction, TransactionId};

pub type Set = BTreeSet<usize>;

#[derive(Clone, Debug)]
pub enum What {
    Genesis(Box<Add>),
    Add(usize, Box<Add>),
    Remove(usize),
    Leave,
    /// Takes the invitation back by which somebody was added: no removal, and no cut.
    Void(usize),
    Refresh(kith_core::encryption::RatchetKey),
    Epoch(Box<Epoch>, Vec<u8>),
    Message(Box<Transaction>),
}

#[derive(Clone, Debug)]
pub struct Event {
    pub id: TransactionId,
    pub author: usize,
    pub past: Set,
    pub header: Header,
    pub what: What,
}

#[derive(Debug, Default)]
pub struct Judged {
    pub accepted: Set,
    pub members: Set,
}

#[derive(Default)]
pub struct History {
    pub events: Vec<Event>,
    pub ids: Vec<MemberId>,
    cache: RefCell<HashMap<Set, Rc<Judged>>>,
}

impl History {
    pub fn at(&self, id: &TransactionId) -> Option<usize> {
        self.events.iter().position(|event| event.id == *id)
    }

    /// The past of an event and itself.
    pub fn closure(&self, event: usize) -> Set {
        let mut set = self.events[event].past.clone();
        set.insert(event);
        set
    }

    pub fn judge(&self, seen: &Set) -> Rc<Judged> {
        let governing: Set = seen
            .iter()
            .copied()
            .filter(|event| {
                let what = &self.events[*event].what;
                matches!(
                    what,
                    What::Genesis(_) | What::Add(..) | What::Remove(_) | What::Leave | What::Void(_)
                )
            })
            .collect();
        if let Some(found) = self.cache.borrow().get(&governing) {
            return found.clone();
        }
        let judged = Rc::new(self.judge_anew(&governing));
        self.cache.borrow_mut().insert(governing, judged.clone());
        judged
    }

    fn judge_anew(&self, governing: &Set) -> Judged {
        let mut order: Vec<usize> = governing.iter().copied().collect();
        order.sort_by_key(|event| (self.events[*event].header.lamport, self.events[*event].id));
        let mut decided = Set::new();
        loop {
            let judged = self.replay(&order, &decided);
            let open = |event: &&usize| {
                matches!(self.events[**event].what, What::Remove(_)) && !decided.contains(*event)
            };
            let fresh: Vec<usize> = judged.accepted.iter().filter(open).copied().collect();
            let Some(rank) = fresh.iter().map(|event| self.events[*event].author).min() else {
                return judged;
            };
            decided.extend(fresh.into_iter().filter(|event| self.events[*event].author == rank));
        }
    }

    fn replay(&self, order: &[usize], decided: &Set) -> Judged {
        let mut judged = Judged::default();
        let mut ever = Set::new();
        for &at in order {
            let event = &self.events[at];
            let capped = decided.iter().any(|cut| {
                let other = &self.events[*cut];
                matches!(other.what, What::Remove(target) if target == event.author)
                    && !event.past.contains(cut)
                    && !other.past.contains(&at)
            });
            let stands = judged.members.contains(&event.author) && !capped;
            let accepted = match &event.what {
                What::Genesis(_) => judged.members.insert(event.author),
                What::Add(subject, _) => {
                    let void =
                        |other: &&usize| matches!(self.events[**other].what, What::Void(add) if add == at);
                    stands && !order.iter().any(|other| void(&other)) && judged.members.insert(*subject)
                }
                What::Void(_) => event.author == 0,
                What::Remove(target) => {
                    let may = stands && event.author < *target && ever.contains(target);
                    let holds = may || decided.contains(&at);
                    if holds {
                        judged.members.remove(target);
                    }
                    holds
                }
                What::Leave => stands && judged.members.remove(&event.author),
                _ => false,
            };
            ever.extend(&judged.members);
            if accepted {
                judged.accepted.insert(at);
            }
        }
        judged
    }
}

/// Which of the rules' questions are answered truly; a control lies about one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lens {
    True,
    NoCuts,
    NoRecipients,
}

/// A part of the history, as the rules see it.
pub struct Part<'a> {
    pub history: &'a History,
    pub seen: Set,
    pub lens: Lens,
}

impl Part<'_> {
    pub fn members(&self) -> Set {
        self.history.judge(&self.seen).members.clone()
    }
}

impl View for Part<'_> {
    fn epochs(&self) -> Vec<TransactionId> {
        let epochs =
            self.seen.iter().filter(|event| matches!(self.history.events[**event].what, What::Epoch(..)));
        epochs.map(|event| self.history.events[*event].id).collect()
    }

    fn epoch(&self, epoch: &TransactionId) -> Option<(MemberId, u64)> {
        let at = self.history.at(epoch).filter(|at| self.seen.contains(at))?;
        let event = &self.history.events[at];
        matches!(event.what, What::Epoch(..)).then(|| (self.history.ids[event.author], event.header.lamport))
    }

    fn well_formed(&self, epoch: &TransactionId) -> bool {
        let Some(What::Epoch(said, _)) = self.history.at(epoch).map(|at| &self.history.events[at].what)
        else {
            return false;
        };
        said.recipients as usize + 1 == self.members_at(epoch).len()
    }

    fn members_at(&self, epoch: &TransactionId) -> Vec<MemberId> {
        let Some(at) = self.history.at(epoch) else { return Vec::new() };
        let members = self.history.judge(&self.history.events[at].past);
        let mut members: Vec<_> = members.members.iter().map(|member| self.history.ids[*member]).collect();
        members.sort();
        members
    }

    fn precedes(&self, one: &TransactionId, other: &TransactionId) -> bool {
        let at = |id| self.history.at(id).unwrap();
        self.history.events[at(other)].past.contains(&at(one))
    }

    fn cuts(&self) -> Vec<TransactionId> {
        if self.lens == Lens::NoCuts {
            return Vec::new();
        }
        let judged = self.history.judge(&self.seen);
        let events = judged.accepted.iter().map(|event| &self.history.events[*event]);
        events.filter(|e| matches!(e.what, What::Remove(_) | What::Leave)).map(|e| e.id).collect()
    }

    fn is_member(&self, member: &MemberId) -> bool {
        let at = self.history.ids.iter().position(|id| id == member);
        self.lens == Lens::NoRecipients || at.is_some_and(|at| self.members().contains(&at))
    }
}
