//! Handing out the wraps of epochs that have only the root of them. The node decides whom to ask for what; here is what is said, and what a
//! peer may say.
//!
//! Who has nothing says so, remembers it, and tells once it has something: so nobody asks twice in vain, and nothing is sent while nothing
//! changes. What was given is not asked for again in a session.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::kept::Kept;
use super::message::Message;
use super::session::{Session, Step, Turn};
use super::{Failure, Output};
use crate::encryption::Wrapped;
use crate::limits;
use crate::replica::TransactionId;
use crate::replica::faults::{self, Fault};

/// How long a peer has to answer.
pub(super) const ANSWER_TIME: u64 = 10_000;
/// How often a peer may have nothing, and say later that it has: then it is not asked any more.
const IN_VAIN: u8 = 3;

#[derive(Clone, Copy)]
enum Asked {
    /// To be answered by then.
    Until(u64),
    /// Not answered in time. The answer may come still.
    Late,
    /// The peer had nothing.
    Nothing,
    /// The peer had nothing, and has now.
    Promised,
    Given,
}

impl Asked {
    const fn is_done(self) -> bool {
        matches!(self, Self::Given | Self::Promised)
    }
}

#[derive(Default)]
pub(super) struct Wraps {
    /// What the peer was asked for, what came of it, and how often that was nothing.
    asked: BTreeMap<TransactionId, (Asked, u8)>,
    /// The same, in the order in which it was asked for first.
    order: VecDeque<TransactionId>,
    /// What the peer was given, the oldest first.
    gave: VecDeque<TransactionId>,
    /// What the peer has asked for in vain.
    owed: BTreeSet<TransactionId>,
}

impl Wraps {
    pub(super) fn kept(&self, all: &mut Vec<Kept>) {
        Kept::note(all, "wraps asked for", self.asked.len().max(self.order.len()), limits::SYNC_WRAPS);
        Kept::note(all, "wraps given", self.gave.len(), limits::SYNC_WRAPS);
        Kept::note(all, "wraps owed", self.owed.len(), limits::SYNC_WRAPS);
    }

    pub(super) fn may_ask(&self, epoch: &TransactionId) -> bool {
        match self.asked.get(epoch) {
            // Of what is still to be answered, and what the peer remembers as owed, nothing is forgotten: it would be asked again, a breach.
            None => {
                self.order.len() < limits::SYNC_WRAPS || self.asked.values().any(|(state, _)| state.is_done())
            }
            Some((state, in_vain)) => matches!(state, Asked::Promised) && *in_vain < IN_VAIN,
        }
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        let until = |(state, _): &(Asked, u8)| if let Asked::Until(at) = state { Some(*at) } else { None };
        self.asked.values().filter_map(until).min()
    }
}

impl Session {
    pub(super) fn ask_for_wraps(&mut self, epoch: TransactionId, turn: &mut Turn<'_>) {
        if !self.rounds.has_begun() || !self.wraps.may_ask(&epoch) {
            return;
        }
        let until = Asked::Until(turn.now.saturating_add(ANSWER_TIME));
        let in_vain = self.wraps.asked.get(&epoch).map(|(_, in_vain)| *in_vain);
        self.wraps.asked.insert(epoch, (until, in_vain.unwrap_or(0)));
        if in_vain.is_none() {
            let Wraps { asked, order, .. } = &mut self.wraps;
            let done = |id: &TransactionId| asked.get(id).is_some_and(|(state, _)| state.is_done());
            if order.len() >= limits::SYNC_WRAPS
                && let Some(oldest) = order.iter().position(done).and_then(|at| order.remove(at))
            {
                asked.remove(&oldest);
            }
            order.push_back(epoch);
        }
        turn.send(&Message::AskWraps { epoch });
    }

    pub(super) fn answer_wraps(&mut self, epoch: TransactionId, turn: &mut Turn<'_>) -> Step {
        if self.wraps.gave.contains(&epoch) || self.wraps.owed.contains(&epoch) {
            return Err(Failure::Protocol.into());
        }
        let given = turn.history.wraps_for(&epoch, &self.peer()?)?;
        if given.is_some() {
            self.wraps.gave.push_back(epoch);
            // Of no more epochs than this are there wraps at a time: what is forgotten here, nobody has any more.
            if self.wraps.gave.len() > limits::SYNC_WRAPS {
                self.wraps.gave.pop_front();
            }
        } else if self.wraps.owed.len() < limits::SYNC_WRAPS {
            self.wraps.owed.insert(epoch);
        }
        turn.send(&Message::Wraps { epoch, given });
        Ok(())
    }

    pub(super) fn take_wraps(
        &mut self,
        epoch: TransactionId,
        given: Option<Wrapped>,
        turn: &mut Turn<'_>,
    ) -> Step {
        let Some((state, in_vain)) = self.wraps.asked.get_mut(&epoch) else {
            return Err(Failure::Protocol.into());
        };
        let in_time = match state {
            Asked::Until(_) => true,
            Asked::Late => false,
            _ => return Err(Failure::Protocol.into()),
        };
        let Some(given) = given else {
            (*state, *in_vain) = (Asked::Nothing, in_vain.saturating_add(1));
            if in_time {
                turn.out.push(Output::NoWraps { epoch, answered: true });
            }
            return Ok(());
        };
        *state = Asked::Given;
        if !turn.history.proves(&epoch, &given)? {
            return Err(Failure::BadTransaction.into());
        }
        turn.out.push(Output::Wraps(epoch, given));
        Ok(())
    }

    /// A promise of what nobody asked for is nothing.
    pub(super) fn take_have_wraps(&mut self, epoch: TransactionId, turn: &mut Turn<'_>) {
        let Some((state, _)) = self.wraps.asked.get_mut(&epoch) else { return };
        if matches!(state, Asked::Nothing) {
            *state = Asked::Promised;
            turn.out.push(Output::HasWraps(epoch));
        }
    }

    pub(super) fn tell_of_wraps(&mut self, epochs: &[TransactionId], turn: &mut Turn<'_>) -> Step {
        for epoch in epochs {
            if self.wraps.owed.remove(epoch)
                && !faults::is(Fault::TellNobody)
                && turn.history.wraps_for(epoch, &self.peer()?)?.is_some()
            {
                turn.send(&Message::HaveWraps { epoch: *epoch });
            }
        }
        Ok(())
    }

    /// Who does not answer has nothing, for now.
    pub(super) fn tick_wraps(&mut self, turn: &mut Turn<'_>) {
        for (epoch, (state, _)) in &mut self.wraps.asked {
            if matches!(state, Asked::Until(at) if *at <= turn.now) {
                *state = Asked::Late;
                turn.out.push(Output::NoWraps { epoch: *epoch, answered: false });
            }
        }
    }
}

#[cfg(test)]
impl Session {
    pub(super) fn wraps_remembered(&self) -> usize {
        let wraps = &self.wraps;
        wraps.owed.len() + wraps.gave.len() + wraps.asked.len().max(wraps.order.len())
    }

    pub(super) fn forget_wraps(&mut self) {
        self.wraps.owed.clear();
    }
}
