//! Pushing what is new, and asking for the parents of what was pushed. Both are hints: comparing repairs whatever they miss.

use std::collections::{BTreeSet, HashSet, VecDeque};

use super::batch::{Batch, Purpose, runs, size};
use super::kept::Kept;
use super::message::Message;
use super::passing::Pushed;
use super::proof::covering_run;
use super::rounds::STALL_TIME;
use super::sender::shown;
use super::session::{Session, Step, Stop, Turn};
use super::{Failure, History, Output, Priority, SessionEvent, Standing};
use crate::limits;
use crate::replica::{Kind, MemberId, TransactionId};

/// How long a peer has to answer `Want`.
const ANSWER_TIME: u64 = 30_000;
/// After it did not deliver: how long it is not asked, doubled each time.
const FIRST_BACKOFF: u64 = 10_000;
/// How often it may fail to deliver.
const FAILURES: u32 = 6;
/// How often to ask by id between two rounds before a whole comparison takes over.
const ASKS: u32 = 2;

/// How many delivered ids are kept to tell which new transactions the peer has already. Beyond, it gets some twice.
const DELIVERED: usize = 1 << 14;

#[derive(Default)]
pub(super) struct Live {
    /// Delivered by the peer, and not yet in the history when they were.
    delivered: HashSet<TransactionId>,
    /// To be pushed, oldest first, with the mark under which this session heard of it.
    pushes: VecDeque<(TransactionId, u64)>,
    /// To be asked for.
    wanted: BTreeSet<TransactionId>,
    /// The peer is to answer by then.
    asked_until: Option<u64>,
    /// Asked since the last round.
    asks: u32,
    failures: u32,
    /// Not to be asked before.
    backoff_until: u64,
    /// Wanted by the peer, as soon as the window has room.
    to_answer: Vec<TransactionId>,
    /// Since when something waits for room in the window.
    blocked_since: Option<u64>,
}

impl Live {
    pub(super) fn kept(&self, all: &mut Vec<Kept>) {
        Kept::note(all, "delivered by the peer", self.delivered.len(), DELIVERED);
        Kept::note(all, "to be pushed", self.pushes.len(), limits::SYNC_PUSHES);
        Kept::note(all, "to be asked for", self.wanted.len(), limits::SYNC_WANTED);
        Kept::note(all, "wanted by the peer", self.to_answer.len(), limits::SYNC_WANTED);
    }

    pub(super) fn forget_pushes(&mut self) {
        self.pushes.clear();
        self.asks = 0;
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        let stalls_at = self.blocked_since.map(|since| since.saturating_add(STALL_TIME));
        [self.asked_until, stalls_at].into_iter().flatten().min()
    }

    /// The peer delivered this.
    pub(super) fn delivers(&mut self, id: TransactionId) {
        if self.delivered.len() < DELIVERED {
            self.delivered.insert(id);
        }
    }

    /// The lowest mark of what waits to be pushed.
    pub(super) fn lowest(&self) -> Option<u64> {
        self.pushes.front().map(|(_, mark)| *mark)
    }

    /// What is to be answered has no mark of its own: something that was pushed waits for it.
    pub(super) fn answering(&self) -> Option<u64> {
        (!self.to_answer.is_empty()).then_some(0)
    }

    /// The peer has made room.
    pub(super) fn unblock(&mut self) {
        self.blocked_since = None;
    }

    fn block(&mut self, now: u64) {
        self.blocked_since.get_or_insert(now);
    }

    /// A batch of wanted transactions comes only after they were asked for.
    pub(super) fn expects_answer(&self) -> Result<(), Failure> {
        self.asked_until.map(|_| ()).ok_or(Failure::Protocol)
    }
}

/// The first batch of what waits to be pushed to a peer, and under which epochs something in it is sealed.
fn pushed(
    history: &dyn History,
    peer: &MemberId,
    waiting: &[TransactionId],
    aim: usize,
) -> crate::Result<(Pushed, Vec<TransactionId>)> {
    let (mut transactions, mut bytes, mut epochs) = (Vec::new(), 0, Vec::new());
    let mut pushed = Pushed::default();
    for id in waiting {
        let Some(transaction) = history.transaction(id)? else {
            pushed.incomplete = true;
            pushed.taken += 1;
            continue;
        };
        bytes += size(&transaction);
        if bytes > aim && !transactions.is_empty() {
            break;
        }
        let epoch = TransactionId(transaction.header.epoch);
        if transaction.header.is_sealed() && !epochs.contains(&epoch) {
            epochs.push(epoch);
        }
        transactions.push((*id, transaction));
        pushed.taken += 1;
    }
    let (runs, uncovered) = runs(shown(history, peer, transactions)?);
    pushed.incomplete |= !uncovered.is_empty();
    if !runs.is_empty() {
        let batch = Batch::encode(Purpose::Push, &runs);
        let length = batch.length as usize;
        pushed.batch = Some((Message::Batch(batch).encode(), length));
    }
    Ok((pushed, epochs))
}

impl Session {
    pub(super) fn take_added(
        &mut self,
        transactions: &[TransactionId],
        mark: u64,
        turn: &mut Turn<'_>,
    ) -> Step {
        let live = &mut self.live;
        let others = transactions.iter().filter(|id| !live.delivered.remove(*id));
        let others: Vec<TransactionId> = others.copied().collect();
        if !self.rounds.has_begun() {
            return Ok(());
        }
        self.ask_shares(turn)?;
        let others = self.for_peer(others, turn)?;
        if others.is_empty() {
            return Ok(());
        }
        if self.live.pushes.len() + others.len() > limits::SYNC_PUSHES {
            self.live.pushes.clear();
            return self.compare_again(turn);
        }
        self.live.pushes.extend(others.into_iter().map(|id| (id, mark)));
        self.push(turn)
    }

    /// Of what is new, what the peer is pushed: all of it, as long as it is a member. The last that one who was removed gets is what removed it, for
    /// which it may need what stands before; nothing that was made for those that stay.
    fn for_peer(&self, mut new: Vec<TransactionId>, turn: &Turn<'_>) -> Result<Vec<TransactionId>, Stop> {
        let Some(Standing::Removed(removal)) = self.standing_if_no_member(turn)? else { return Ok(new) };
        let peer = self.peer()?;
        new.truncate(new.iter().rposition(|id| removal.contains(id)).map_or(0, |last| last + 1));
        for (at, id) in new.iter().enumerate() {
            let epoch = turn.history.transaction(id)?.is_some_and(|new| new.header.kind == Kind::Epoch as u8);
            if epoch && !turn.history.has_keys(&peer, id)? {
                new.truncate(at);
                break;
            }
        }
        Ok(new)
    }

    pub(super) fn take_gossiped(&mut self, transactions: &[TransactionId], turn: &mut Turn<'_>) -> Step {
        let live = &mut self.live;
        let others = transactions.iter().filter(|id| !live.delivered.remove(*id)).count();
        if others > 0 {
            self.rounds.look_later(turn.now);
        }
        Ok(())
    }

    /// Pushes what waits, as far as the round and the window allow.
    pub(super) fn push(&mut self, turn: &mut Turn<'_>) -> Step {
        while self.rounds.may_push() && self.outgoing.has_room() && !self.live.pushes.is_empty() {
            let (history, peer, aim) = (turn.history, self.peer()?, self.batch());
            let waiting: Vec<TransactionId> = self.live.pushes.iter().map(|(id, _)| *id).collect();
            let pushed = match history.passing() {
                Some(passing) => {
                    let make = || pushed(history, &peer, &waiting, aim);
                    passing.get_or(history, &peer, &waiting, aim, make)?
                }
                None => pushed(history, &peer, &waiting, aim)?.0,
            };
            let lowest = self.live.lowest().unwrap_or_default();
            self.live.pushes.drain(..pushed.taken);
            if let Some((message, length)) = pushed.batch {
                self.outgoing.sent(length, lowest);
                turn.out.push(Output::Send { priority: Priority::Live, message });
            }
            // What cannot be shown alone goes with what covers it, which a comparison finds.
            if pushed.incomplete {
                self.compare_again(turn)?;
            }
        }
        if self.rounds.may_push() && !self.live.pushes.is_empty() {
            self.live.block(turn.now);
        }
        Ok(())
    }

    pub(super) fn take_missing(&mut self, transactions: &[TransactionId], turn: &mut Turn<'_>) -> Step {
        if !self.rounds.has_begun() || turn.now < self.live.backoff_until {
            return Ok(());
        }
        for id in transactions {
            if !turn.history.has(id)? {
                self.live.wanted.insert(*id);
            }
        }
        if self.live.wanted.len() > limits::SYNC_WANTED {
            self.live.wanted.clear();
            return self.compare_again(turn);
        }
        self.ask(turn)
    }

    /// Asks for what is still wanted, unless a round goes on that may bring it, or the peer is being asked.
    pub(super) fn ask(&mut self, turn: &mut Turn<'_>) -> Step {
        if !self.rounds.is_idle() || self.live.asked_until.is_some() || self.live.wanted.is_empty() {
            return Ok(());
        }
        let mut ids = Vec::new();
        for id in std::mem::take(&mut self.live.wanted) {
            if !turn.history.has(&id)? {
                ids.push(id);
            }
        }
        if ids.is_empty() {
            return Ok(());
        }
        if self.live.asks >= ASKS {
            return self.compare_again(turn);
        }
        self.live.asks += 1;
        self.live.asked_until = Some(turn.now.saturating_add(ANSWER_TIME));
        turn.send(&Message::Want { ids });
        Ok(())
    }

    pub(super) fn take_want(&mut self, ids: Vec<TransactionId>, turn: &mut Turn<'_>) -> Step {
        if !self.live.to_answer.is_empty() {
            return Err(Failure::Protocol.into());
        }
        self.live.to_answer = ids;
        self.answer(turn)
    }

    /// Answers what the peer wants, once the window has room.
    pub(super) fn answer(&mut self, turn: &mut Turn<'_>) -> Step {
        if self.live.to_answer.is_empty() {
            return Ok(());
        }
        if !self.outgoing.has_room() {
            self.live.block(turn.now);
            return Ok(());
        }
        let (mut found, mut lacking, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut taken = BTreeSet::new();
        for id in std::mem::take(&mut self.live.to_answer) {
            let Some(transaction) = turn.history.transaction(&id)? else {
                lacking.push(id);
                continue;
            };
            let proved = transaction.distance().is_some();
            let cover =
                if proved { Vec::new() } else { covering_run(turn.history, &id, &transaction.header)? };
            if !proved && cover.is_empty() {
                lacking.push(id);
                continue;
            }
            let mut group = vec![(id, transaction)];
            group.extend(cover);
            group.retain(|(id, _)| !taken.contains(id));
            bytes += group.iter().map(|(_, transaction)| size(transaction)).sum::<usize>();
            if bytes > limits::SYNC_BATCH_MOST {
                break;
            }
            taken.extend(group.iter().map(|(id, _)| *id));
            found.extend(group);
        }
        let (runs, _) = runs(shown(turn.history, &self.peer()?, found)?);
        if !runs.is_empty() {
            let batch = Batch::encode(Purpose::Wanted, &runs);
            // Something that was pushed waits for it.
            self.outgoing.sent(batch.length as usize, 0);
            turn.send(&Message::Batch(batch));
        }
        turn.send(&Message::Given { lacking });
        Ok(())
    }

    pub(super) fn take_given(&mut self, lacking: &[TransactionId], turn: &mut Turn<'_>) -> Step {
        self.live.expects_answer()?;
        self.live.asked_until = None;
        if lacking.is_empty() {
            self.live.failures = 0;
            return self.ask(turn);
        }
        self.cannot_deliver(lacking, turn)
    }

    fn cannot_deliver(&mut self, lacking: &[TransactionId], turn: &mut Turn<'_>) -> Step {
        self.live.asked_until = None;
        self.live.wanted.clear();
        self.live.failures += 1;
        turn.event(SessionEvent::CannotDeliver(lacking.to_vec()));
        if self.live.failures >= FAILURES {
            return Err(Failure::CannotDeliver.into());
        }
        let backoff = FIRST_BACKOFF << (self.live.failures - 1);
        self.live.backoff_until = turn.now.saturating_add(backoff);
        Ok(())
    }

    pub(super) fn tick_live(&mut self, turn: &mut Turn<'_>) -> Step {
        let blocked = self.live.blocked_since.map(|since| since.saturating_add(STALL_TIME));
        if blocked.is_some_and(|at| turn.now >= at) {
            return Err(Failure::Stalled.into());
        }
        match self.live.asked_until {
            Some(until) if turn.now >= until => self.cannot_deliver(&[], turn),
            _ => Ok(()),
        }
    }
}
