//! One context on one link: the public face, and which part each input goes to.

use ed25519_dalek::SigningKey;

use super::handshake::Handshake;
use super::live::Live;
use super::message::Message;
use super::proof::Binding;
use super::rounds::Rounds;
use super::shares::Shares;
use super::window::{Incoming, Outgoing};
use super::wraps::Wraps;
use super::{Ended, Failure, History, Local, Output, Priority, Refusal, SessionEvent};
use crate::replica::{MemberId, Role, TransactionId};
use crate::{Error, Result, limits};

/// What a session does with one input: the history and the time it sees, and what it puts out.
pub(super) struct Turn<'a> {
    pub(super) history: &'a dyn History,
    pub(super) now: u64,
    pub(super) out: Vec<Output>,
}

impl Turn<'_> {
    pub(super) fn send(&mut self, message: &Message) {
        let priority = match message {
            Message::Batch(batch) => batch.priority(),
            Message::Vector { .. }
            | Message::Evidence { .. }
            | Message::Shares { .. }
            | Message::Wraps { .. } => Priority::Bulk,
            _ => Priority::Control,
        };
        self.out.push(Output::Send { priority, message: message.encode() });
    }

    pub(super) fn event(&mut self, event: SessionEvent) {
        self.out.push(Output::Event(event));
    }
}

/// Why a turn did not go on.
pub(super) enum Stop {
    /// The session is over.
    Ended(Ended),
    /// The store failed.
    Local(Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Ended(Ended::Failed(failure))
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Local(error)
    }
}

pub(super) type Step = Result<(), Stop>;

/// Where a session stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The peer's member key, once proved.
    pub member: Option<MemberId>,
    /// Its role as this side sees it.
    pub role: Option<Role>,
    /// Both histories hold the same, but for what is being pushed.
    pub equal: bool,
    /// How many comparisons began.
    pub comparisons: u64,
    /// In the present comparison: received and durable, in transactions.
    pub received: u64,
    /// In the present comparison: what the peer said it would send.
    pub expected: u64,
    /// In the present comparison: sent.
    pub sent: u64,
    /// In the present comparison: what there was to send.
    pub to_send: u64,
    /// Of the tips that the peer named last, how many are not in this history.
    pub unknown_tips: usize,
    /// Since when (in the node's time) the histories are not known to be equal; `None` while they are.
    pub behind_since: Option<u64>,
}

/// See the module's text. Every method takes the history as it is now and the time in ms from any fixed start, and gives
/// what is to be done, in order. An error is a fault of the local store: the session is then to be dropped.
pub struct Session {
    pub(super) binding: Binding,
    pub(super) handshake: Handshake,
    pub(super) rounds: Rounds,
    pub(super) live: Live,
    pub(super) outgoing: Outgoing,
    pub(super) incoming: Incoming,
    pub(super) shares: Shares,
    pub(super) wraps: Wraps,
    over: bool,
}

impl Session {
    /// Begins on a channel that has just been opened. `seed` is random; timers are spread by it.
    pub fn new(
        binding: Binding,
        key: &SigningKey,
        local: Local,
        seed: u64,
        history: &dyn History,
        now: u64,
    ) -> Result<(Self, Vec<Output>)> {
        let mut turn = Turn { history, now, out: Vec::new() };
        let handshake = Handshake::begin(&binding, key, local, &mut turn)?;
        let session = Self {
            binding,
            handshake,
            rounds: Rounds::new(seed, now),
            live: Live::default(),
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            shares: Shares::default(),
            wraps: Wraps::default(),
            over: false,
        };
        Ok((session, turn.out))
    }

    /// What a batch aims for, in bytes before compression.
    pub(super) fn batch(&self) -> usize {
        if self.binding.narrow { limits::SYNC_BATCH_NARROW } else { limits::SYNC_BATCH }
    }

    /// A message came through the channel.
    pub fn receive(&mut self, message: &[u8], history: &dyn History, now: u64) -> Result<Vec<Output>> {
        self.turn(history, now, |session, turn| session.take(Message::decode(message)?, turn))
    }

    /// New in the history and durable, wherever it came from: to be pushed, but for what this session's own peer delivered. `mark`
    /// is what [`Self::unsettled`] calls it by: any number that does not fall from call to call.
    pub fn added(
        &mut self,
        transactions: &[TransactionId],
        mark: u64,
        history: &dyn History,
        now: u64,
    ) -> Result<Vec<Output>> {
        self.turn(history, now, |session, turn| session.take_added(transactions, mark, turn))
    }

    /// New in the history and durable, and gossiped instead of pushed: whether the peer has heard of it is found out a little later.
    pub fn gossiped(
        &mut self,
        transactions: &[TransactionId],
        history: &dyn History,
        now: u64,
    ) -> Result<Vec<Output>> {
        self.turn(history, now, |session, turn| session.take_gossiped(transactions, turn))
    }

    /// What was delivered under this token has been dealt with: the admitted is durable, the rest waits or was dropped.
    pub fn delivered(&mut self, token: u64, history: &dyn History, now: u64) -> Result<Vec<Output>> {
        self.turn(history, now, |session, turn| session.take_delivered(token, turn))
    }

    /// What the peer delivered waits for these.
    pub fn missing(
        &mut self,
        transactions: &[TransactionId],
        history: &dyn History,
        now: u64,
    ) -> Result<Vec<Output>> {
        self.turn(history, now, |session, turn| session.take_missing(transactions, turn))
    }

    /// The histories may differ (something delivered was dropped for lack of room, the node woke up): compare again.
    pub fn compare(&mut self, history: &dyn History, now: u64) -> Result<Vec<Output>> {
        self.turn(history, now, Self::compare_again)
    }

    /// The peer's request was carried out: these added it, the `Add` first; they are in the history. Also right if it was a
    /// member already.
    pub fn admitted(
        &mut self,
        transactions: &[TransactionId],
        history: &dyn History,
        now: u64,
    ) -> Result<Vec<Output>> {
        self.turn(history, now, |session, turn| session.take_admitted(transactions, turn))
    }

    /// The peer's request was refused.
    pub fn refused(&mut self, reason: Refusal, history: &dyn History, now: u64) -> Result<Vec<Output>> {
        self.turn(history, now, |session, turn| session.take_refused(reason, turn))
    }

    /// Members or roles have changed: one that was removed gets the evidence, and the session ends.
    pub fn standing_changed(&mut self, history: &dyn History, now: u64) -> Result<Vec<Output>> {
        self.turn(history, now, |session, turn| {
            session.judge_again(turn)?;
            if session.handshake.is_through() { session.pay(turn) } else { Ok(()) }
        })
    }

    /// These are opened now and durable, by whatever way what they say has come.
    pub fn opened(
        &mut self,
        transactions: &[TransactionId],
        history: &dyn History,
        now: u64,
    ) -> Result<Vec<Output>> {
        self.turn(history, now, |session, turn| session.take_opened(transactions, turn))
    }

    /// The keys that the peer made for this member cannot be opened: tells it so, once.
    pub fn complain(&mut self, history: &dyn History, now: u64) -> Result<Vec<Output>> {
        self.turn(history, now, |session, turn| {
            session.complain_once(turn);
            Ok(())
        })
    }

    /// Whether [`Self::ask_wraps`] would ask.
    #[must_use]
    pub fn may_ask_wraps(&self, epoch: &TransactionId) -> bool {
        !self.over && self.rounds.has_begun() && self.wraps.may_ask(epoch)
    }

    /// Asks the peer for the wraps of an epoch of the history that are for this member. The answer is an [`Output::Wraps`] or
    /// [`Output::NoWraps`], by [`Self::deadline`] at the latest. What was given in a session is not asked for again in it.
    pub fn ask_wraps(
        &mut self,
        epoch: TransactionId,
        history: &dyn History,
        now: u64,
    ) -> Result<Vec<Output>> {
        self.turn(history, now, |session, turn| {
            session.ask_for_wraps(epoch, turn);
            Ok(())
        })
    }

    /// The wraps of these epochs are here now and durable.
    pub fn has_wraps(
        &mut self,
        epochs: &[TransactionId],
        history: &dyn History,
        now: u64,
    ) -> Result<Vec<Output>> {
        self.turn(history, now, |session, turn| session.tell_of_wraps(epochs, turn))
    }

    /// Time has passed; to be called at [`Self::deadline`] or any time.
    pub fn tick(&mut self, history: &dyn History, now: u64) -> Result<Vec<Output>> {
        self.turn(history, now, |session, turn| {
            session.handshake.tick(turn)?;
            session.tick_live(turn)?;
            session.tick_wraps(turn);
            session.tick_shares(turn)?;
            session.acknowledge(turn);
            session.tick_rounds(turn)
        })
    }

    /// When [`Self::tick`] has something to do. `None`: nothing, until something else happens.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        if self.over {
            return None;
        }
        let deadlines = [
            self.handshake.deadline(),
            self.live.deadline(),
            self.shares.deadline(),
            self.incoming.deadline(),
            self.wraps.deadline(),
            self.rounds_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Whether both hold the same and nothing of it is still to be learnt from the peer; `None` before it has proved who it is.
    pub(crate) fn in_step(&self) -> Option<bool> {
        self.handshake.proved().map(|_| self.rounds.is_equal() && self.shares.is_settled())
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = self.rounds.status();
        // Who holds the same and may learn from the peer what it says is not in step yet.
        status.equal &= self.shares.is_settled();
        status.member = self.handshake.proved().map(|(member, _)| member);
        status.role = self.handshake.proved().and_then(|(_, role)| role);
        status
    }

    /// The lowest mark of [`Self::added`] of which the peer has not said that it is durable there, or does not wait there for what it lacks;
    /// 0 while the histories are being compared. `None`: it has all that it was told of, if [`Status::equal`] says so too.
    #[must_use]
    pub fn unsettled(&self) -> Option<u64> {
        if !self.rounds.is_idle() {
            return Some(0);
        }
        [self.live.lowest(), self.live.answering(), self.outgoing.lowest()].into_iter().flatten().min()
    }

    fn turn(
        &mut self,
        history: &dyn History,
        now: u64,
        step: impl FnOnce(&mut Self, &mut Turn<'_>) -> Step,
    ) -> Result<Vec<Output>> {
        if self.over {
            return Ok(Vec::new());
        }
        let mut turn = Turn { history, now, out: Vec::new() };
        match step(self, &mut turn) {
            Ok(()) => {}
            Err(Stop::Ended(ended)) => {
                self.over = true;
                turn.out.push(Output::Ended(ended));
            }
            Err(Stop::Local(error)) => {
                self.over = true;
                return Err(error);
            }
        }
        Ok(turn.out)
    }

    /// The member at the other end, once it is through.
    pub(super) fn peer(&self) -> Result<MemberId, Stop> {
        self.handshake.proved().map(|(member, _)| member).ok_or_else(|| Failure::Protocol.into())
    }

    fn take(&mut self, message: Message, turn: &mut Turn<'_>) -> Step {
        match message {
            Message::Prove { .. }
            | Message::Join { .. }
            | Message::Admitted { .. }
            | Message::Refused { .. }
            | Message::Evidence { .. } => self.take_handshake(message, turn),
            _ if !self.handshake.is_through() => Err(Failure::Protocol.into()),
            Message::Hello(hello) => self.take_hello(hello, turn),
            Message::Vector { authors, last } => self.take_vector(authors, last, turn),
            Message::Plan { transactions } => self.take_plan(transactions, turn),
            Message::Batch(batch) => self.take_batch(batch, turn),
            Message::End => self.take_end(turn),
            Message::Done { complete } => self.take_done(complete, turn),
            Message::Acknowledge { count } => self.take_acknowledge(count, turn),
            Message::Want { ids } => self.take_want(ids, turn),
            Message::Given { lacking } => self.take_given(&lacking, turn),
            Message::Lacking { ids } => self.take_lacking(ids, turn),
            Message::Shares { opened, unable } => self.take_shares(opened, &unable, turn),
            Message::Complain => self.take_complaint(turn),
            Message::AskWraps { epoch } => self.answer_wraps(epoch, turn),
            Message::Wraps { epoch, given } => self.take_wraps(epoch, given, turn),
            Message::HaveWraps { epoch } => {
                self.take_have_wraps(epoch, turn);
                Ok(())
            }
        }
    }
}
