//! Comparing the two histories in rounds, and moving what either side lacks.
//!
//! Either side begins a round with a `Hello`, the other answers with its own. Equal digests end it. Otherwise both send all
//! their tips, then what the other lacks for certain, then `End`; each says `Done` once what it got is durable, and whether it
//! now knows every tip that the other named. Both complete: equal. Else another round, at once if this one moved something.

use std::collections::BTreeMap;

use super::batch::{Batch, Purpose};
use super::kept::Kept;
use super::message::{Hello, Message};
use super::sender::Sender;
use super::session::{Session, Status, Step, Turn};
use super::vector::{self, Plan};
use super::window::COMPARED;
use super::{Failure, Output, SYNC_VERSION, SessionEvent, Tips};
use crate::limits;
use crate::replica::payload::Tip;
use crate::replica::{MemberId, Transaction, TransactionId};

/// How long a peer may stand still in a round.
pub(super) const STALL_TIME: u64 = 60_000;
/// How long gossip has to reach everybody before it is looked whether it did, in ms.
const GOSSIP_PAUSE: u64 = 3_000;
/// Rounds without coming to equality that follow each other at once.
const ROUNDS_AT_ONCE: u32 = 4;
/// After these: the first pause, which doubles up to the last.
pub(super) const FIRST_PAUSE: u64 = 15_000;
const LAST_PAUSE: u64 = 10 * 60_000;
/// The longest that a peer's beginning of a round is left unanswered for such a pause; less than it waits.
const ANSWER_PAUSE: u64 = STALL_TIME / 2;

/// A round in which the digests differ.
#[derive(Default)]
struct Difference {
    theirs: BTreeMap<MemberId, Vec<Tip>>,
    tips: usize,
    last_author: Option<MemberId>,
    /// Once their vector is whole.
    sender: Option<Sender>,
    planned: bool,
    unknown: Vec<TransactionId>,
    to_send: u64,
    sent: u64,
    ended: bool,
    expected: Option<u64>,
    received: u64,
    /// The newest delivery's transactions, to be counted once durable: token, count.
    delivering: Vec<(u64, u64)>,
    ended_by_peer: bool,
    done: Option<bool>,
    done_by_peer: Option<bool>,
}

enum Phase {
    Idle,
    /// Waits for the peer's `Hello`.
    Greeting,
    Differing(Box<Difference>),
}

pub(super) struct Rounds {
    phase: Phase,
    /// Begun by this side, and by the peer.
    own: u64,
    theirs: u64,
    own_digest: [u8; 32],
    /// The peer's, of its last round.
    hello: Option<Hello>,
    /// Of the last round.
    last: Status,
    equal: bool,
    behind_since: u64,
    /// Something was not pushed, or the node asks: to be compared again as soon as the present round is over.
    again: bool,
    again_at: Option<u64>,
    /// Rounds since the histories were last equal.
    fruitless: u32,
    /// When the peer last moved a round on.
    moved: u64,
    seed: u64,
}

impl Rounds {
    pub(super) fn kept(&self, all: &mut Vec<Kept>) {
        let (tips, unknown, delivering) = match &self.phase {
            Phase::Differing(difference) => {
                (difference.tips, difference.unknown.len(), difference.delivering.len())
            }
            _ => (0, 0, 0),
        };
        Kept::note(all, "tips of the peer", tips, limits::SYNC_VECTOR);
        Kept::note(all, "unknown tips of the peer", unknown, limits::SYNC_VECTOR);
        Kept::note(all, "deliveries to be counted", delivering, limits::SYNC_WINDOW_BATCHES);
    }

    pub(super) fn new(seed: u64, now: u64) -> Self {
        Self {
            phase: Phase::Idle,
            own: 0,
            theirs: 0,
            own_digest: [0; 32],
            hello: None,
            last: Status::default(),
            equal: false,
            behind_since: now,
            again: false,
            again_at: None,
            fruitless: 0,
            moved: now,
            seed,
        }
    }

    pub(super) fn status(&self) -> Status {
        let mut status = match &self.phase {
            Phase::Differing(difference) => difference.status(),
            _ => self.last,
        };
        status.comparisons = self.own;
        status.equal = self.equal;
        status.behind_since = (!self.equal).then_some(self.behind_since);
        status
    }

    pub(super) fn is_equal(&self) -> bool {
        self.equal
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Whether what is new can be pushed: not while the peer is still to get what came before it.
    pub(super) fn may_push(&self) -> bool {
        match &self.phase {
            Phase::Idle => self.own > 0,
            Phase::Greeting => false,
            Phase::Differing(difference) => difference.ended,
        }
    }

    /// Before the first round there is nothing to push: it will find what is new.
    pub(super) fn has_begun(&self) -> bool {
        self.own > 0
    }

    /// The histories may differ: another round is to come.
    pub(super) fn want_again(&mut self, now: u64) {
        if self.equal {
            self.behind_since = now;
        }
        self.equal = false;
        self.again = true;
    }

    /// The peer may have heard of something by gossip, or not: another round is to come, soon.
    pub(super) fn look_later(&mut self, now: u64) {
        if !self.has_begun() {
            return;
        }
        self.want_again(now);
        let at = now.saturating_add(self.spread(GOSSIP_PAUSE));
        self.again_at.get_or_insert(at);
    }

    /// Between `time` and half as much again.
    fn spread(&mut self, time: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        time + (self.seed >> 33) % (time / 2)
    }

    fn pause(&mut self, now: u64) -> u64 {
        let doubled = FIRST_PAUSE << self.fruitless.saturating_sub(1).min(10);
        let pause = self.spread(doubled.min(LAST_PAUSE));
        now.saturating_add(pause)
    }
}

impl Difference {
    fn status(&self) -> Status {
        Status {
            received: self.received,
            expected: self.expected.unwrap_or(0),
            sent: self.sent,
            to_send: self.to_send,
            unknown_tips: self.unknown.len(),
            ..Status::default()
        }
    }
}

impl Session {
    pub(super) fn begin_rounds(&mut self, turn: &mut Turn<'_>) -> Step {
        self.rounds.moved = turn.now;
        self.begin_round(turn)
    }

    fn begin_round(&mut self, turn: &mut Turn<'_>) -> Step {
        let rounds = &mut self.rounds;
        rounds.own += 1;
        rounds.again = false;
        rounds.again_at = None;
        rounds.own_digest = turn.history.digest()?;
        rounds.phase = Phase::Greeting;
        if rounds.theirs < rounds.own {
            rounds.moved = turn.now;
        }
        let hello = Hello { version: SYNC_VERSION, round: rounds.own, height: 0, digest: rounds.own_digest };
        turn.send(&Message::Hello(hello));
        // What is waiting to be pushed is in the history, which the round compares.
        self.live.forget_pushes();
        if self.rounds.theirs == self.rounds.own { self.both_greeted(turn) } else { Ok(()) }
    }

    pub(super) fn take_hello(&mut self, hello: Hello, turn: &mut Turn<'_>) -> Step {
        if hello.version != SYNC_VERSION {
            return Err(Failure::Version.into());
        }
        let rounds = &mut self.rounds;
        if hello.round != rounds.theirs + 1 || hello.round > rounds.own + 1 {
            return Err(Failure::Protocol.into());
        }
        rounds.theirs = hello.round;
        rounds.hello = Some(hello);
        rounds.moved = turn.now;
        if hello.round == rounds.own {
            return self.both_greeted(turn);
        }
        if !rounds.is_idle() {
            return Err(Failure::Protocol.into());
        }
        if rounds.fruitless >= ROUNDS_AT_ONCE {
            let latest = turn.now.saturating_add(ANSWER_PAUSE);
            rounds.again_at = Some(rounds.again_at.map_or(latest, |at| at.min(latest)));
            return Ok(());
        }
        self.begin_round(turn)
    }

    fn both_greeted(&mut self, turn: &mut Turn<'_>) -> Step {
        let rounds = &mut self.rounds;
        if rounds.hello.is_some_and(|hello| hello.digest == rounds.own_digest) {
            rounds.phase = Phase::Idle;
            rounds.last = Status::default();
            turn.event(SessionEvent::Synced);
            return self.round_is_over(true, false, turn);
        }
        if rounds.equal {
            rounds.behind_since = turn.now;
        }
        rounds.equal = false;
        rounds.phase = Phase::Differing(Box::default());
        let pages = vector::read(turn.history)?;
        let count = pages.len();
        for (index, authors) in pages.into_iter().enumerate() {
            turn.send(&Message::Vector { authors, last: index + 1 == count });
        }
        Ok(())
    }

    pub(super) fn take_vector(&mut self, authors: Vec<Tips>, last: bool, turn: &mut Turn<'_>) -> Step {
        let Phase::Differing(difference) = &mut self.rounds.phase else {
            return Err(Failure::Protocol.into());
        };
        if difference.planned {
            return Err(Failure::Protocol.into());
        }
        self.rounds.moved = turn.now;
        if let (Some(before), Some(first)) = (difference.last_author, authors.first())
            && before >= first.author
        {
            return Err(Failure::Garbage.into());
        }
        difference.last_author = authors.last().map(|author| author.author).or(difference.last_author);
        for author in authors {
            difference.tips += author.tips.len();
            difference.theirs.insert(author.author, author.tips);
        }
        if difference.tips > limits::SYNC_VECTOR {
            return Err(Failure::Garbage.into());
        }
        if !last {
            return Ok(());
        }
        let Plan { starts, transactions, unknown } =
            vector::plan(turn.history, &difference.theirs, self.rounds.fruitless == 0)?;
        difference.theirs.clear();
        difference.planned = true;
        difference.unknown = unknown;
        difference.to_send = transactions;
        difference.sender = Some(Sender::new(turn.history, &starts)?);
        turn.send(&Message::Plan { transactions });
        self.send_batches(turn)
    }

    /// Sends as much as the window allows.
    pub(super) fn send_batches(&mut self, turn: &mut Turn<'_>) -> Step {
        let aim = self.batch();
        let peer = self.peer()?;
        let Phase::Differing(difference) = &mut self.rounds.phase else { return Ok(()) };
        while self.outgoing.has_room()
            && let Some(sender) = &mut difference.sender
        {
            match sender.batch(turn.history, &peer, aim)? {
                Some((runs, count)) => {
                    let batch = Batch::encode(Purpose::CatchUp, &runs);
                    self.outgoing.sent(batch.length as usize, COMPARED);
                    difference.sent += count;
                    turn.send(&Message::Batch(batch));
                }
                None => {
                    difference.sender = None;
                    difference.ended = true;
                    turn.send(&Message::End);
                }
            }
        }
        Ok(())
    }

    pub(super) fn take_plan(&mut self, transactions: u64, turn: &mut Turn<'_>) -> Step {
        match &mut self.rounds.phase {
            Phase::Differing(difference) if difference.planned && difference.expected.is_none() => {
                difference.expected = Some(transactions);
                self.rounds.moved = turn.now;
                self.tell_progress(turn);
                Ok(())
            }
            _ => Err(Failure::Protocol.into()),
        }
    }

    pub(super) fn take_batch(&mut self, batch: Batch, turn: &mut Turn<'_>) -> Step {
        let purpose = batch.purpose;
        match (&mut self.rounds.phase, purpose) {
            (Phase::Differing(difference), Purpose::CatchUp)
                if difference.expected.is_some() && !difference.ended_by_peer =>
            {
                self.rounds.moved = turn.now;
            }
            (_, Purpose::CatchUp) => return Err(Failure::Protocol.into()),
            (_, Purpose::Push) => {}
            (_, Purpose::Wanted) => self.live.expects_answer()?,
        }
        let token = self.incoming.received(batch.length as usize)?;
        let mut transactions = Vec::new();
        for (id, transaction) in batch.decode(&self.binding.context, turn.history)? {
            self.live.delivers(id);
            transactions.push(transaction);
        }
        if let (Phase::Differing(difference), Purpose::CatchUp) = (&mut self.rounds.phase, purpose) {
            difference.delivering.push((token, transactions.len() as u64));
        }
        self.deliver(token, transactions, turn)
    }

    fn deliver(&mut self, token: u64, transactions: Vec<Transaction>, turn: &mut Turn<'_>) -> Step {
        if transactions.is_empty() {
            return self.take_delivered(token, turn);
        }
        turn.out.push(Output::Deliver { token, transactions });
        Ok(())
    }

    pub(super) fn take_delivered(&mut self, token: u64, turn: &mut Turn<'_>) -> Step {
        self.incoming.durable(token);
        self.acknowledge(turn);
        if let Phase::Differing(difference) = &mut self.rounds.phase
            && let Some(index) = difference.delivering.iter().position(|(delivery, _)| *delivery == token)
        {
            let (_, count) = difference.delivering.swap_remove(index);
            difference.received += count;
            self.rounds.moved = turn.now;
            self.tell_progress(turn);
        }
        self.maybe_done(turn)
    }

    pub(super) fn take_end(&mut self, turn: &mut Turn<'_>) -> Step {
        match &mut self.rounds.phase {
            Phase::Differing(difference) if difference.expected.is_some() && !difference.ended_by_peer => {
                difference.ended_by_peer = true;
                self.rounds.moved = turn.now;
                self.maybe_done(turn)
            }
            _ => Err(Failure::Protocol.into()),
        }
    }

    /// Says `Done` once everything of the round is durable here.
    fn maybe_done(&mut self, turn: &mut Turn<'_>) -> Step {
        let Phase::Differing(difference) = &mut self.rounds.phase else { return Ok(()) };
        if !difference.ended_by_peer || !difference.delivering.is_empty() || difference.done.is_some() {
            return Ok(());
        }
        let mut unknown = Vec::new();
        for id in std::mem::take(&mut difference.unknown) {
            if !turn.history.has(&id)? {
                unknown.push(id);
            }
        }
        difference.unknown = unknown;
        let complete = difference.unknown.is_empty();
        difference.done = Some(complete);
        // Nothing more is coming for which it could wait.
        self.incoming.hurry();
        self.acknowledge(turn);
        turn.send(&Message::Done { complete });
        if complete {
            turn.event(SessionEvent::Synced);
        }
        self.maybe_over(turn)
    }

    pub(super) fn take_done(&mut self, complete: bool, turn: &mut Turn<'_>) -> Step {
        match &mut self.rounds.phase {
            Phase::Differing(difference) if difference.ended && difference.done_by_peer.is_none() => {
                difference.done_by_peer = Some(complete);
                self.rounds.moved = turn.now;
                self.maybe_over(turn)
            }
            _ => Err(Failure::Protocol.into()),
        }
    }

    fn maybe_over(&mut self, turn: &mut Turn<'_>) -> Step {
        let Phase::Differing(difference) = &self.rounds.phase else { return Ok(()) };
        let (Some(done), Some(by_peer)) = (difference.done, difference.done_by_peer) else { return Ok(()) };
        let moved = difference.received > 0 || difference.sent > 0;
        self.rounds.last = difference.status();
        self.rounds.phase = Phase::Idle;
        self.round_is_over(done && by_peer, moved, turn)
    }

    fn round_is_over(&mut self, equal: bool, moved: bool, turn: &mut Turn<'_>) -> Step {
        if self.is_unjudged() && (equal || self.rounds.fruitless + 1 >= ROUNDS_AT_ONCE) {
            self.judge_again(turn)?;
        }
        let rounds = &mut self.rounds;
        if equal {
            rounds.fruitless = 0;
            if !rounds.again {
                let before = std::mem::replace(&mut rounds.equal, true);
                if !before {
                    turn.event(SessionEvent::Equal);
                }
            }
        } else {
            rounds.fruitless = rounds.fruitless.saturating_add(1);
            let at_once = moved && rounds.fruitless < ROUNDS_AT_ONCE;
            rounds.again |= at_once;
            if !at_once {
                let at = rounds.pause(turn.now);
                rounds.again_at = Some(at);
            }
        }
        self.after_round(turn)
    }

    /// Goes on with what waited for the round's end.
    fn after_round(&mut self, turn: &mut Turn<'_>) -> Step {
        let rounds = &mut self.rounds;
        if rounds.again && rounds.fruitless < ROUNDS_AT_ONCE {
            return self.begin_round(turn);
        }
        self.push(turn)?;
        self.ask(turn)?;
        self.ask_shares(turn)
    }

    pub(super) fn compare_again(&mut self, turn: &mut Turn<'_>) -> Step {
        if !self.rounds.has_begun() {
            return Ok(());
        }
        self.rounds.want_again(turn.now);
        if !self.rounds.is_idle() {
            return Ok(());
        }
        if self.rounds.fruitless < ROUNDS_AT_ONCE {
            return self.begin_round(turn);
        }
        if self.rounds.again_at.is_none() {
            let at = self.rounds.pause(turn.now);
            self.rounds.again_at = Some(at);
        }
        Ok(())
    }

    fn stalls_at(&self) -> Option<u64> {
        if self.rounds.is_idle() || self.incoming.is_busy() {
            return None;
        }
        Some(self.rounds.moved.saturating_add(STALL_TIME))
    }

    pub(super) fn rounds_deadline(&self) -> Option<u64> {
        let again_at = self.rounds.again_at.filter(|_| self.rounds.is_idle());
        [self.stalls_at(), again_at].into_iter().flatten().min()
    }

    pub(super) fn tick_rounds(&mut self, turn: &mut Turn<'_>) -> Step {
        if self.stalls_at().is_some_and(|at| turn.now >= at) {
            return Err(Failure::Stalled.into());
        }
        if self.rounds.is_idle() && self.rounds.again_at.is_some_and(|at| turn.now >= at) {
            return self.begin_round(turn);
        }
        Ok(())
    }

    pub(super) fn acknowledge(&mut self, turn: &mut Turn<'_>) {
        if let Some(count) = self.incoming.acknowledge(turn.now) {
            turn.send(&Message::Acknowledge { count });
        }
    }

    pub(super) fn take_acknowledge(&mut self, count: u32, turn: &mut Turn<'_>) -> Step {
        self.outgoing.acknowledged(count)?;
        self.live.unblock();
        self.rounds.moved = turn.now;
        self.send_batches(turn)?;
        self.push(turn)?;
        self.answer(turn)
    }

    fn tell_progress(&self, turn: &mut Turn<'_>) {
        let Status { received, expected, sent, to_send, .. } = self.rounds.status();
        turn.event(SessionEvent::Progress { received, expected, sent, to_send });
    }
}
