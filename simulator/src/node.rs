//! One simulated node: its disk, its context, its lines to peers, and a switchboard between them.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ed25519_dalek::SigningKey;
use kith_core::application::Application;
use kith_core::invitation::Invitation;
use kith_core::network::{LinkId, PeerId};
use kith_core::node::Clock;
use kith_core::node::machine::{Heard, Input, Machine, Reopening, Round, Setup, Signed, Surroundings};
use kith_core::replica::{ContextId, Header, MemberId, TransactionId};
use kith_core::storage::Durability;
use kith_core::sync::{Link, LinkOutput};
use kith_core::{ErrorKind, Result};

use crate::application::Moody;
use crate::astray::Straying;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::liar::Liar;

/// The context's number in each store.
pub const NUMBER: u32 = 1;
/// 2026, in ms since 1970.
const TODAY: i64 = 1_767_225_600_000;
/// Most commands that wait for a context, as in a node.
pub const QUEUE: usize = 1024;

/// A connection, as this node sees it.
pub struct Line {
    /// In the world's list.
    pub wire: usize,
    /// Which end this node is.
    pub side: usize,
    /// What tells channels apart.
    pub link: Link,
    /// Whether this node dialled.
    pub outbound: bool,
    /// When a session that ends is begun again.
    pub reopening: Reopening,
}

/// Most batches of events that are kept.
pub const EVENTS: u64 = 50;

/// What a node is to the judge.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// It has turned.
    pub liar: bool,
    /// Everything it had was set back, or it is a copy: nothing can tell, so it may sign twice.
    pub clone: bool,
    /// Its store was set back: what it had acknowledged may be gone.
    pub rolled_back: bool,
    /// Its application answers differently.
    pub differs: bool,
    /// It has left, or its joining has failed.
    pub gone: bool,
}

/// See the module.
pub struct Node {
    pub(crate) number: usize,
    pub(crate) key: SigningKey,
    pub(crate) me: MemberId,
    pub(crate) peer: PeerId,
    pub(crate) disk: Arc<Disk>,
    pub(crate) backup: Option<Disk>,
    pub(crate) machine: Option<Machine>,
    pub(crate) liar: Option<Box<Liar>>,
    pub(crate) lines: BTreeMap<LinkId, Line>,
    pub(crate) inbox: VecDeque<Input>,
    /// When it is to wake, if that is scheduled.
    pub(crate) wake: Option<u64>,
    /// Not before.
    pub(crate) busy_until: u64,
    pub(crate) asleep_until: u64,
    /// A round that an application holds up, and until when: what it has stored is stored, and nothing of it is answered or sent.
    pub(crate) held_up: Option<(u64, Round)>,
    /// Should the process die in a write: whether the power goes, and for how long it is down.
    pub(crate) doom: Option<(bool, u64)>,
    /// ms that a round takes, until when.
    pub(crate) slow_disk: (u64, u64),
    pub(crate) slow_line: (u64, u64),
    /// What becomes of its answers to who asks for wraps.
    pub(crate) straying: Option<Straying>,
    pub(crate) invitation: Option<Invitation>,
    pub(crate) joined: bool,
    /// Why it was not let in.
    pub(crate) refused: Option<ErrorKind>,
    pub(crate) leaving: bool,
    pub(crate) context: Option<(ContextId, [u8; 32])>,
    pub(crate) frozen: Option<String>,
    pub(crate) offset: Arc<AtomicI64>,
    /// The latest that its clock has ever shown before it was set.
    pub(crate) latest_clock: u64,
    pub(crate) application: Arc<Moody>,
    pub(crate) dice: Arc<Mutex<Dice>>,
    pub(crate) standing: Standing,
    pub(crate) acknowledged: Vec<TransactionId>,
    /// Transactions when last looked at.
    pub(crate) transactions: u64,
    /// What nodes tell each other of signatures, in worlds in which they do.
    pub(crate) good: Option<Good>,
}

/// What the context takes from the world.
struct Inside {
    time: Arc<AtomicU64>,
    dice: Arc<Mutex<Dice>>,
    application: Arc<Moody>,
    good: Option<Good>,
}

impl Surroundings for Inside {
    fn now(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }

    fn random(&self) -> Result<[u8; 32]> {
        Ok(self.dice.lock().unwrap_or_else(PoisonError::into_inner).bytes())
    }

    fn application(&self, _name: &str) -> Option<Arc<dyn Application>> {
        self.application.registered()
    }

    fn verify(&self, header: &Header, id: &TransactionId, signature: &[u8; 64]) -> Signed {
        let Some(good) = &self.good else { return header.verify(id, signature) };
        let of = (header.author, *id, *signature);
        let mut good = good.lock().unwrap_or_else(PoisonError::into_inner);
        if !good.contains(&of) {
            header.verify(id, signature)?;
            good.insert(of);
        }
        Ok(())
    }
}

/// Signatures that some node has verified and found good, each with all that was verified: by whom, on what. One verification of each is enough
/// where ten nodes are one process; whatever is not in here is verified.
pub(crate) type Good = Arc<Mutex<HashSet<(MemberId, TransactionId, [u8; 64])>>>;

/// What a line wants done by the world.
pub enum LineOrder {
    /// A frame for the wire.
    Frame(Vec<u8>),
    /// The channel is to be opened again after so long.
    Reopen(u64),
}

impl Node {
    pub(crate) fn new(number: usize, seed: u64) -> Self {
        let mut dice = Dice::new(seed, &format!("node {number}"));
        let key = SigningKey::from_bytes(&dice.bytes());
        Self {
            number,
            me: MemberId(key.verifying_key().to_bytes()),
            peer: PeerId::of_identity(&dice.bytes()),
            key,
            disk: Arc::default(),
            backup: None,
            machine: None,
            liar: None,
            lines: BTreeMap::new(),
            inbox: VecDeque::new(),
            wake: None,
            busy_until: 0,
            asleep_until: 0,
            held_up: None,
            doom: None,
            slow_disk: (0, 0),
            slow_line: (0, 0),
            straying: None,
            invitation: None,
            joined: false,
            refused: None,
            leaving: false,
            context: None,
            frozen: None,
            offset: Arc::default(),
            latest_clock: 0,
            application: Arc::default(),
            dice: Arc::new(Mutex::new(dice)),
            standing: Standing::default(),
            acknowledged: Vec::new(),
            transactions: 0,
            good: None,
        }
    }

    /// Whether it takes part in the network.
    pub(crate) const fn is_up(&self) -> bool {
        self.machine.is_some() || self.liar.is_some()
    }

    /// Whether its word counts as an honest member's.
    pub(crate) const fn is_honest(&self) -> bool {
        !self.standing.liar && !self.standing.clone
    }

    pub(crate) fn roll(&self) -> [u8; 32] {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner).bytes()
    }

    pub(crate) fn clock(&self, time: &Arc<AtomicU64>) -> Clock {
        let (time, offset) = (Arc::clone(time), Arc::clone(&self.offset));
        Clock::new(move || {
            let now = TODAY + time.load(Ordering::Relaxed) as i64 + offset.load(Ordering::Relaxed);
            now.max(0) as u64
        })
    }

    /// The process starts.
    pub(crate) fn open(
        &mut self,
        time: &Arc<AtomicU64>,
        power: bool,
        runtime: &tokio::runtime::Handle,
    ) -> Result<()> {
        let inside = Inside {
            time: Arc::clone(time),
            dice: Arc::clone(&self.dice),
            application: Arc::clone(&self.application),
            good: self.good.clone(),
        };
        let Some(machine) = self.open_on(&self.disk, inside, power, runtime)? else { return Ok(()) };
        self.transactions = machine.replica().transactions();
        self.machine = Some(machine);
        Ok(())
    }

    /// Another process on another disk: what it draws and what its calls do is nothing to this node's.
    pub(crate) fn beside(
        &self,
        disk: &Arc<Disk>,
        time: &Arc<AtomicU64>,
        power: bool,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Option<Machine>> {
        let dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let inside = Inside {
            time: Arc::clone(time),
            dice: Arc::new(Mutex::new(dice)),
            application: Arc::default(),
            good: self.good.clone(),
        };
        self.open_on(disk, inside, power, runtime)
    }

    fn open_on(
        &self,
        disk: &Arc<Disk>,
        inside: Inside,
        power: bool,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Option<Machine>> {
        let Some((context, _)) = self.context else { return Ok(None) };
        let clock = self.clock(&inside.time);
        Machine::open(Setup {
            context,
            key: self.key.clone(),
            number: NUMBER,
            invitation: self.invitation.clone().filter(|_| !self.joined),
            leaving: self.leaving,
            store: disk.clone(),
            marks: disk.clone(),
            durability: if power { Durability::Power } else { Durability::Process },
            event_retention: EVENTS,
            frozen: self.frozen.clone(),
            clock,
            surroundings: Box::new(inside),
            runtime: runtime.clone(),
        })
        .map(Some)
    }

    /// A joiner asks whoever it is connected to.
    pub(crate) fn asks(&self) -> bool {
        self.invitation.is_some() && !self.joined
    }

    /// Does what the switchboard of a node does with what a line puts out.
    pub(crate) fn carry_out(
        &mut self,
        id: LinkId,
        outputs: Vec<LinkOutput>,
        peer: PeerId,
        now: u64,
    ) -> Vec<LineOrder> {
        let mut orders = Vec::new();
        let mut todo: VecDeque<LinkOutput> = outputs.into();
        while let Some(output) = todo.pop_front() {
            let channel = match output {
                LinkOutput::Send(frame) => {
                    orders.push(LineOrder::Frame(frame));
                    continue;
                }
                LinkOutput::Opened { channel, binding } => {
                    if let Some(liar) = &mut self.liar {
                        let out = liar.opened(id, channel, binding, now);
                        self.liar_says(out, id, &mut orders);
                        continue;
                    }
                    let binding = Box::new(binding);
                    self.hand_in(Heard::Opened { link: id, peer, channel, binding }, channel)
                }
                LinkOutput::Message { channel, message, .. } => {
                    if let Some(liar) = &mut self.liar {
                        let out = liar.message(id, &message, now);
                        self.liar_says(out, id, &mut orders);
                        continue;
                    }
                    self.hand_in(Heard::Message { link: id, channel, message }, channel)
                }
                LinkOutput::Closed { channel, .. } => {
                    if let Some(liar) = &mut self.liar {
                        liar.closed(id);
                    }
                    self.inbox.push_back(Input::Heard(Heard::Closed { link: id, channel }));
                    orders.extend(self.reopen_later(id, now));
                    continue;
                }
                _ => continue,
            };
            // A context that does not keep up loses the channel.
            if let Some(channel) = channel {
                self.inbox.push_back(Input::Heard(Heard::Closed { link: id, channel }));
                if let Some(line) = self.lines.get_mut(&id) {
                    todo.extend(line.link.close(channel));
                }
                orders.extend(self.reopen_later(id, now));
            }
        }
        orders
    }

    fn hand_in(&mut self, heard: Heard, channel: u32) -> Option<u32> {
        if self.inbox.len() >= QUEUE {
            return Some(channel);
        }
        self.inbox.push_back(Input::Heard(heard));
        None
    }

    fn liar_says(&self, out: crate::liar::Outgoing, id: LinkId, orders: &mut Vec<LineOrder>) {
        for (link, channel, message) in out {
            let frame = self.lines.get(&link).and_then(|line| line.link.message(channel, message));
            // What it says to others than the one that it answers waits for its next tick.
            orders.extend(frame.filter(|_| link == id).map(LineOrder::Frame));
        }
    }

    /// The side that dialled opens channels, so it is the one that opens them again.
    pub(crate) fn reopen_later(&mut self, id: LinkId, now: u64) -> Option<LineOrder> {
        let asks = self.asks();
        let line = self.lines.get_mut(&id)?;
        if !line.outbound && !asks {
            return None;
        }
        Some(LineOrder::Reopen(line.reopening.ended(now)))
    }
}
