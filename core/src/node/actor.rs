//! A context's thread: the replica, the sessions with peers, and one batch for everything that came together.
//!
//! Each round takes what has come, lets the sessions see it while all of the history is durable, stages what is to be written,
//! commits it as one batch, raises the high-water mark, and only then answers and sends.

mod forks;
mod gossiping;
mod keys;
mod sessions;
mod stage;
mod storing;
mod verifying;
mod wraps;
mod writing;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use tokio::sync::mpsc;

use self::gossiping::Gossiping;
use self::sessions::Connected;
use self::stage::Stage;
use self::verifying::Verifying;
use self::wraps::Fetching;
pub(crate) use self::writing::fresh_keys;
use super::command::Command;
use super::events::{Cursor, Event};
use super::info::ContextStatus;
use super::machine::{Marks, Surroundings};
use super::options::Clock;
use super::registry::Registry;
use super::shared::{ContextShared, InStep};
use super::switchboard::ToSwitchboard;
use crate::application::Application;
use crate::invitation::Invitation;
use crate::keyring::Keeper;
use crate::network::LinkId;
use crate::replica::{Blocked, Replica, TransactionId, View, WaitingRoom};
use crate::storage::{ContextTables, Durability, Store};
use crate::sync::{Kept, Passing, Verified};
use crate::{Error, Result};

/// Most commands in one round.
const ROUND: usize = 256;
/// How long applying rests after a local fault, in ms.
const RETRY: u64 = 5_000;

/// What a context's thread starts with.
pub(crate) struct Start {
    pub(crate) shared: Arc<ContextShared>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) key: SigningKey,
    /// The invitation, while joining.
    pub(crate) invitation: Option<Invitation>,
    pub(crate) high_water: Option<Arc<dyn Marks>>,
    pub(crate) durability: Durability,
    pub(crate) event_retention: u64,
    pub(crate) switchboard: mpsc::UnboundedSender<ToSwitchboard>,
    /// Whether this node has left, and stays only until somebody has heard of it.
    pub(crate) leaving: bool,
    /// Why nothing is signed, if that is known already.
    pub(crate) frozen: Option<String>,
    pub(crate) clock: Clock,
    pub(crate) surroundings: Box<dyn Surroundings>,
    /// Whether the network gossips.
    pub(crate) gossips: bool,
}

pub(crate) struct Actor {
    start: Start,
    replica: Replica,
    /// Whether that is not what the store holds: after an error, until the store could be read.
    stale: bool,
    keeper: Keeper,
    room: WaitingRoom,
    /// In the order of the links: what a round does must not hang on how a map lays out its keys.
    sessions: BTreeMap<LinkId, Connected>,
    /// Signatures that some session has verified.
    verified: Verified,
    /// What was pushed to one peer, and goes to others: of the present round, once its batch is durable.
    passing: Passing,
    /// What sessions delivered after the last batch: the next round begins with it.
    left_over: VecDeque<sessions::Delivery>,
    /// Of a delivery that is taken in over several rounds: what is in the history, and told to the sessions with the rest, since the
    /// signatures that cover it come last.
    held_back: Vec<TransactionId>,
    /// Commands that a full round has left to the next one.
    postponed: VecDeque<Command>,
    /// Whether all that is stored survives the loss of power. What an earlier process has left may not.
    flushed: bool,
    /// Of the newest event that is prepared; what is durable is in `ContextShared::latest`.
    cursor: Cursor,
    pruned: Cursor,
    blocked: Option<(Blocked, u64)>,
    /// Checks of the tables that callers have asked for.
    verifying: Verifying,
    leaving: bool,
    /// Why this node is no member any more, where the history does not say it.
    removed: Option<String>,
    gossiping: Gossiping,
    /// Counts what became part of the history, and how much of it the sessions were told of.
    written: u64,
    told: u64,
    fetching: Fetching,
}

impl Actor {
    /// Opens the replica; fails if the store does.
    pub(crate) fn new(start: Start) -> Result<Self> {
        let cursor = start.shared.newest_event(&*start.store)?;
        let pruned = start.shared.oldest_event(&*start.store)?.unwrap_or(cursor + 1).saturating_sub(1);
        start.shared.latest.send_replace(cursor);
        let replica = open(&start)?;
        let leaving = start.leaving;
        let written = start.shared.in_step.borrow().written;
        let keeper = Keeper::new(start.shared.id, start.shared.me);
        let mut actor = Self {
            start,
            replica,
            stale: false,
            keeper,
            room: WaitingRoom::default(),
            sessions: BTreeMap::new(),
            verified: Verified::default(),
            passing: Passing::default(),
            left_over: VecDeque::new(),
            held_back: Vec::new(),
            postponed: VecDeque::new(),
            flushed: false,
            cursor,
            pruned,
            blocked: None,
            verifying: Verifying::default(),
            leaving,
            removed: None,
            gossiping: Gossiping::default(),
            written,
            told: written,
            fetching: Fetching::default(),
        };
        // Left by an earlier process, for want of the application or after a fault: tried at once.
        if let Some(id) = actor.replica.first_pending() {
            let fault = Blocked::Fault(id, "it has not been tried since the context was opened".into());
            actor.blocked = Some((fault, actor.now().saturating_sub(RETRY)));
        }
        actor.make_first_keys()?;
        actor.check_high_water();
        {
            let store = Arc::clone(&actor.start.store);
            let snapshot = store.snapshot()?;
            let tables = ContextTables::new(&*snapshot, actor.start.shared.number);
            actor.note_gossip(&tables)?;
            actor.keeper.now = actor.start.clock.now();
            actor.keeper.wake(&tables)?;
        }
        actor.show();
        Ok(actor)
    }

    pub(crate) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let runtime = self.start.shared.runtime.clone();
        let mut stopping = false;
        loop {
            let wait = self.next_deadline().map(|at| Duration::from_millis(at.saturating_sub(self.now())));
            let first = if self.due() != Some(0) {
                runtime.block_on(async {
                    match wait {
                        None => commands.recv().await.map(Some),
                        Some(wait) => match tokio::time::timeout(wait, commands.recv()).await {
                            Ok(command) => command.map(Some),
                            Err(_) => Some(None),
                        },
                    }
                })
            } else {
                Some(None)
            };
            let Some(first) = first else { return };
            let mut round: Vec<Command> = first.into_iter().collect();
            while self.postponed.len() + round.len() < ROUND && !stopping {
                let Ok(command) = commands.try_recv() else { break };
                round.push(command);
            }
            stopping |= round.iter().any(|command| matches!(command, Command::Stop));
            if stopping {
                // What callers asked for is finished; what peers have sent comes again, and may be more than a suspension has time for.
                round.retain(|command| !matches!(command, Command::Message { .. } | Command::Gossip { .. }));
                self.left_over.clear();
            }
            self.round(round);
            if stopping && self.postponed.is_empty() {
                // Whoever follows the events sees the peers go, and nobody takes this context for synced.
                self.drop_sessions("this side closes the context");
                self.show();
                return;
            }
        }
    }

    /// The context's own time, in ms: it only moves on.
    fn now(&self) -> u64 {
        self.start.surroundings.now()
    }

    fn next_deadline(&self) -> Option<u64> {
        let sessions = self.sessions.values().filter_map(|connected| connected.session.deadline());
        let retry = self.blocked.as_ref().and_then(|(blocked, since)| match blocked {
            Blocked::Fault(..) => Some(since.saturating_add(RETRY)),
            Blocked::ApplicationMissing(_) => None,
        });
        let wraps = self.fetching.deadline(self.now());
        sessions.chain(retry).chain(self.gossiping.deadline()).chain(wraps).min()
    }

    fn application(&self) -> Option<Arc<dyn Application>> {
        self.start.surroundings.application(self.replica.application())
    }

    /// When a round is due though nothing comes.
    pub(super) fn due(&self) -> Option<u64> {
        let at_once = !self.left_over.is_empty()
            || !self.postponed.is_empty()
            || self.verifying.under_way()
            || self.fetching.reads()
            || self.is_waking();
        if at_once { Some(0) } else { self.next_deadline() }
    }

    pub(super) const fn replica(&self) -> &Replica {
        &self.replica
    }

    pub(super) const fn room(&self) -> &WaitingRoom {
        &self.room
    }

    pub(super) fn statuses(&self) -> Vec<(LinkId, crate::sync::Status)> {
        self.sessions.iter().map(|(link, connected)| (*link, connected.session.status())).collect()
    }

    pub(super) fn room_for_commands(&self) -> usize {
        ROUND.saturating_sub(self.postponed.len())
    }

    /// What is kept for later, each beside its limit.
    pub(super) fn kept(&self) -> Vec<Kept> {
        let mut all = Vec::with_capacity(16);
        all.push(Kept::new("postponed commands", self.postponed.len(), ROUND));
        self.sessions.values().for_each(|connected| connected.session.add_kept(&mut all));
        all
    }

    pub(super) fn removed(&self) -> Option<&str> {
        self.removed.as_deref()
    }

    /// One round: what has come, as one batch or a few; then the answers and what is to be sent.
    pub(super) fn round(&mut self, commands: Vec<Command>) {
        let mut stage = Stage::default();
        stage.commands = self.postponed.drain(..).chain(commands).collect();
        let (leaving, pruned) = (self.leaving, self.pruned);
        if let Err(error) = self.try_round(&mut stage) {
            tracing::error!(context = %self.start.shared.id, %error, "a batch could not be stored");
            // What is in memory is not what the store holds.
            (self.leaving, self.pruned) = (leaving, pruned);
            self.cursor = *self.start.shared.latest.borrow();
            self.keeper = Keeper::new(self.start.shared.id, self.start.shared.me);
            self.gossiping.look_anew();
            self.fetching = Fetching::default();
            self.stale = true;
            if let Err(error) = self.read_anew() {
                self.start.shared.close_by_store(&error);
            }
            let now = self.now();
            self.blocked.iter_mut().for_each(|(_, since)| *since = now);
            self.drop_sessions("the store is read anew after an error");
            // Whoever is told finds the context as it was before.
            stage.fail(&error);
            self.verifying.fail(&error);
        }
        self.keeper.round_is_over();
        self.passing.clear();
    }

    /// Nothing is done on what is in memory while it is not what the store holds.
    fn read_anew(&mut self) -> Result<()> {
        if self.stale {
            self.replica = open(&self.start)?;
            self.stale = false;
            self.start.shared.reopen();
        }
        Ok(())
    }

    fn try_round(&mut self, stage: &mut Stage) -> Result<()> {
        self.read_anew()?;
        let store = Arc::clone(&self.start.store);
        let number = self.start.shared.number;
        self.keeper.now = self.start.clock.now();
        let (ours, theirs): (VecDeque<Command>, VecDeque<Command>) =
            std::mem::take(&mut stage.commands).into_iter().partition(|command| {
                !matches!(
                    command,
                    Command::Opened { .. }
                        | Command::Message { .. }
                        | Command::Closed { .. }
                        | Command::Gossip { .. }
                )
            });
        // Callers are kept where they are answered, should the round fail.
        stage.commands = ours;
        let written = {
            let snapshot = store.snapshot()?;
            let tables = ContextTables::new(&*snapshot, number);
            stage.deliveries.extend(self.left_over.drain(..));
            self.hear(theirs, &tables, stage)?;
            let mut view = View::new(&tables);
            // With so many bytes to be written a round takes on no more.
            let most = store.batch_size();
            while let Some(command) = stage.commands.pop_front() {
                self.stage_command(command, &mut view, stage)?;
                if view.size() >= most {
                    break;
                }
            }
            self.postponed.extend(stage.commands.drain(..));
            self.stage_deliveries(&mut view, most, stage)?;
            self.stage_wraps(&mut view, stage)?;
            self.stage_shares(&mut view, stage)?;
            self.stage_evidence(&mut view, stage)?;
            self.stage_forks(&mut view, stage)?;
            self.stage_admissions(&mut view, stage)?;
            self.stage_retry(&mut view, stage)?;
            self.stage_waking(&mut view, stage)?;
            self.note_blocked(stage);
            self.tidy_keys(&mut view, stage)?;
            view.into_layer()
        };
        self.store_in_pieces(written, stage)?;
        self.flush(stage)?;
        // The history is another one now.
        self.passing.clear();
        {
            let snapshot = store.snapshot()?;
            self.follow_up(&ContextTables::new(&*snapshot, number), stage)?;
        }
        self.verify();
        Ok(())
    }

    /// Everything that had to wait until the batch was durable.
    fn follow_up(&mut self, tables: &ContextTables<'_>, stage: &mut Stage) -> Result<()> {
        self.tell_sessions(tables, stage)?;
        self.show();
        for answer in std::mem::take(&mut stage.questions) {
            self.answer(answer, tables);
        }
        stage.answer();
        Ok(())
    }

    /// Shows the handles what they read without asking.
    fn show(&self) {
        let shared = &self.start.shared;
        // Who was told that it is out, by what is no part of its history, writes no more either.
        let member = self.replica.member(&shared.me).filter(|_| self.removed.is_none());
        let role = member.map(|facts| facts.role);
        let mut facts = shared.facts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        facts.role = role;
        if facts.application != self.replica.application() {
            facts.application = self.replica.application().to_string();
        }
        if facts.name != self.replica.name() {
            facts.name = self.replica.name().to_string();
        }
        drop(facts);
        // With somebody, and with all who have proved who they are.
        let (mut equal, mut unsettled) = (None, None);
        for session in self.sessions.values().map(|connected| &connected.session) {
            equal = [equal, session.in_step()].into_iter().flatten().min();
            unsettled = [unsettled, session.unsettled()].into_iter().flatten().min();
        }
        let equal = equal == Some(true) && self.room.is_empty();
        let settled = unsettled.map_or(self.told, |mark| mark.saturating_sub(1).min(self.told));
        let in_step = InStep { equal, written: self.written, settled };
        shared.in_step.send_if_modified(|present| std::mem::replace(present, in_step) != in_step);
    }

    fn check_high_water(&mut self) {
        let shared = &self.start.shared;
        let Some(high_water) = &self.start.high_water else { return };
        let Some(mark) = high_water.get(&shared.id, &shared.me) else { return };
        let has = self.replica.tips_of(&shared.me).iter().map(|tip| tip.sequence).max().unwrap_or(0);
        if has < mark.sequence {
            self.start.frozen.get_or_insert_with(|| {
                format!(
                    "the store is behind what this member has published ({has} of {}): a backup was restored",
                    mark.sequence
                )
            });
        }
    }

    pub(super) fn status(&self) -> ContextStatus {
        let peers = self.sessions.values().map(|connected| connected.info(self.now())).collect();
        let hex = |bytes: [u8; 32]| blake3::Hash::from_bytes(bytes).to_hex().to_string();
        let blocked = self.blocked.as_ref().map(|(blocked, _)| describe(blocked));
        ContextStatus {
            transactions: self.replica.transactions(),
            pending: self.replica.pending() as u64,
            unopened: self.replica.unopened(),
            waiting: self.room.len() as u64,
            missing: self.room.wanted().iter().take(100).map(ToString::to_string).collect(),
            blocked,
            frozen: self.start.frozen.clone(),
            commitment: hex(self.replica.commitment()),
            digest: hex(self.replica.digest()),
            peers,
        }
    }
}

/// What a context's thread is surrounded by.
pub(crate) struct Machinery {
    started: Instant,
    registry: Weak<Registry>,
}

impl Machinery {
    pub(crate) fn new(registry: Weak<Registry>) -> Self {
        Self { started: Instant::now(), registry }
    }
}

impl Surroundings for Machinery {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn random(&self) -> Result<[u8; 32]> {
        random_bytes()
    }

    fn application(&self, name: &str) -> Option<Arc<dyn Application>> {
        self.registry.upgrade()?.application(name)
    }
}

/// Where a context notes that this node signs nothing in it any more.
pub(crate) const FROZEN: &[u8] = b"frozen";

fn open(start: &Start) -> Result<Replica> {
    let snapshot = start.store.snapshot()?;
    Replica::open(start.shared.id, &ContextTables::new(&*snapshot, start.shared.number))
}

fn describe(blocked: &Blocked) -> String {
    match blocked {
        Blocked::ApplicationMissing(name) => format!("the application `{name}` is not registered"),
        Blocked::Fault(id, cause) => format!("transaction {id} could not be executed: {cause}"),
    }
}

/// ms since 1970 by this machine's clock.
pub(crate) fn wall_clock() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|since| u64::try_from(since.as_millis()).ok()).unwrap_or(0)
}

/// 32 random bytes from the system.
pub(crate) fn random_bytes() -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::internal(format!("the system gives no randomness: {e}")))?;
    Ok(bytes)
}

/// The event that says that a context ended here.
fn closed(reason: impl Into<String>) -> Event {
    Event::Closed { reason: reason.into() }
}
