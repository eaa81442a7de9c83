//! Peers joined by pipes whose messages come out one at a time in any interleaving.

use std::collections::{BTreeMap, VecDeque};

use super::super::message::Message;
use super::super::{
    Binding, Ended, History, Local, Output, Priority, Refusal, Session, SessionEvent, Standing,
};
pub(super) use super::store::{Dice, Store, genesis, history, key, member, noise, past, sign};
use crate::encryption::Wrapped;
use crate::replica::payload::{Add, Payload};
use crate::replica::{ContextId, Kind, Transaction, TransactionId};

/// What a peer does about a request to be added.
#[derive(Clone, Copy)]
pub(super) enum Door {
    Open,
    Shut(Refusal),
}

pub(super) struct Peer {
    pub(super) number: usize,
    pub(super) store: Store,
    pub(super) sessions: BTreeMap<usize, Session>,
    /// From whom, token, what.
    pub(super) deliveries: VecDeque<(usize, u64, Vec<Transaction>)>,
    pub(super) events: Vec<(usize, SessionEvent)>,
    pub(super) ended: Vec<(usize, Ended)>,
    pub(super) complaints: usize,
    /// From whom what of an epoch's wraps; and who had none.
    pub(super) wraps: Vec<(usize, TransactionId, Wrapped)>,
    pub(super) no_wraps: Vec<(usize, TransactionId, bool)>,
    pub(super) door: Door,
    pub(super) request: Option<Add>,
    pub(super) supporting: Vec<TransactionId>,
}

impl Peer {
    pub(super) fn new(number: usize, store: Store) -> Self {
        Self {
            number,
            store,
            sessions: BTreeMap::new(),
            deliveries: VecDeque::new(),
            events: Vec::new(),
            ended: Vec::new(),
            complaints: 0,
            wraps: Vec::new(),
            no_wraps: Vec::new(),
            door: Door::Shut(Refusal::NotNow),
            request: None,
            supporting: Vec::new(),
        }
    }

    pub(super) fn saw(&self, event: &SessionEvent) -> bool {
        self.events.iter().any(|(_, seen)| seen == event)
    }
}

/// Peers and the pipes between them. Peer `n` signs with key `n`.
pub(super) struct World {
    pub(super) peers: Vec<Peer>,
    pub(super) pipes: BTreeMap<(usize, usize), VecDeque<Vec<u8>>>,
    pub(super) now: u64,
    /// Everything that was sent: from, to, message.
    pub(super) sent: Vec<(usize, usize, Vec<u8>)>,
    connections: u64,
    /// What a liar does to a message before it leaves: from, to, message; `false` drops it.
    pub(super) tamper: Option<Tamper>,
}

pub(super) type Tamper = Box<dyn FnMut(usize, usize, &mut Message) -> bool>;

pub(super) fn binding(context: ContextId, from: usize, to: usize, opener: bool, salt: u64) -> Binding {
    let (first, second) = if opener { (from, to) } else { (to, from) };
    let nonce = |number: usize| {
        blake3::derive_key("test nonce", &[&number.to_le_bytes()[..], &salt.to_le_bytes()].concat())
    };
    Binding {
        context,
        channel: 0,
        opener,
        opener_nonce: nonce(first),
        answerer_nonce: nonce(second),
        opener_peer: first.to_le_bytes().to_vec(),
        answerer_peer: second.to_le_bytes().to_vec(),
        narrow: false,
    }
}

impl World {
    pub(super) fn new(stores: impl IntoIterator<Item = Store>) -> Self {
        let peers = stores.into_iter().enumerate().map(|(number, store)| Peer::new(number, store)).collect();
        Self { peers, pipes: BTreeMap::new(), now: 1_000, sent: Vec::new(), connections: 0, tamper: None }
    }

    pub(super) fn connect(&mut self, a: usize, b: usize) {
        self.cut(a, b);
        self.connections += 1;
        let context = genesis().header.belongs_to();
        for (from, to, opener) in [(a, b, true), (b, a, false)] {
            self.pipes.insert((from, to), VecDeque::new());
            let peer = &self.peers[from];
            let local = match &peer.request {
                Some(request) => Local::Joiner { request: Box::new(request.clone()) },
                None => Local::Member { supporting: peer.supporting.clone() },
            };
            let binding = binding(context, from, to, opener, self.connections);
            let seed = self.connections * 2 + u64::from(opener);
            let (session, outputs) =
                Session::new(binding, &key(peer.number), local, seed, &peer.store, self.now).unwrap();
            self.peers[from].sessions.insert(to, session);
            self.apply(from, to, outputs);
        }
    }

    pub(super) fn cut(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            self.pipes.remove(&(from, to));
            self.peers[from].sessions.remove(&to);
            self.peers[from].deliveries.retain(|(other, ..)| *other != to);
        }
    }

    pub(super) fn apply(&mut self, at: usize, other: usize, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send { priority, message } => {
                    assert!(message.len() + 16 <= crate::limits::FRAME);
                    assert!(priority != Priority::Control || message.len() < 1 << 20);
                    let mut message = message;
                    if let Some(tamper) = &mut self.tamper {
                        let mut decoded = Message::decode(&message).unwrap();
                        if !tamper(at, other, &mut decoded) {
                            continue;
                        }
                        message = decoded.encode();
                    }
                    self.sent.push((at, other, message.clone()));
                    if let Some(pipe) = self.pipes.get_mut(&(at, other)) {
                        pipe.push_back(message);
                    }
                }
                Output::Deliver { token, transactions } => {
                    assert!(!transactions.is_empty());
                    self.peers[at].deliveries.push_back((other, token, transactions));
                }
                Output::Opened(opened) => {
                    let store = &mut self.peers[at].store;
                    let ids: Vec<TransactionId> =
                        opened.into_iter().filter_map(|(id, content)| store.open(&id, content)).collect();
                    self.tell_opened(at, &ids);
                }
                Output::Wraps(epoch, given) => self.take_wraps(at, other, epoch, given),
                Output::NoWraps { epoch, answered } => {
                    self.peers[at].no_wraps.push((other, epoch, answered));
                }
                Output::HasWraps(epoch) => self.ask_wraps(at, other, epoch),
                Output::Complaint(_) => self.peers[at].complaints += 1,
                Output::Admit(add) => self.admit(at, other, &add),
                Output::Event(event) => self.peers[at].events.push((other, event)),
                Output::Ended(ended) => {
                    self.peers[at].ended.push((other, ended));
                    self.peers[at].sessions.remove(&other);
                }
            }
        }
    }

    fn admit(&mut self, at: usize, other: usize, add: &Add) {
        let peer = &mut self.peers[at];
        let Some(session) = peer.sessions.get_mut(&other) else { return };
        match peer.door {
            Door::Shut(reason) => {
                let outputs = session.refused(reason, &peer.store, self.now).unwrap();
                self.apply(at, other, outputs);
            }
            Door::Open => {
                let parent = genesis();
                let tip = peer.store.tips[&member(at)].iter().max().copied().unwrap();
                let previous = peer.store.transaction(&tip.id).unwrap().unwrap();
                let parents: Vec<&Transaction> = if at == 0 { vec![] } else { vec![&parent] };
                let plaintext = Payload::Add(add.clone()).encode();
                let context = parent.header.belongs_to();
                let add_transaction = sign(context, at, Some(&previous), &parents, Kind::Add, plaintext);
                let id = add_transaction.header.id();
                peer.store.receive([add_transaction]);
                peer.store.standings.insert(add.member, Standing::Member(add.role));
                let outputs = session.admitted(&[id], &peer.store, self.now).unwrap();
                self.apply(at, other, outputs);
                self.announce(at, &[id]);
            }
        }
    }

    pub(super) fn ask_wraps(&mut self, at: usize, other: usize, epoch: TransactionId) {
        let peer = &mut self.peers[at];
        let Some(session) = peer.sessions.get_mut(&other) else { return };
        let outputs = session.ask_wraps(epoch, &peer.store, self.now).unwrap();
        self.apply(at, other, outputs);
    }

    /// Keeps all that were given, and tells those who asked.
    fn take_wraps(&mut self, at: usize, from: usize, epoch: TransactionId, given: Wrapped) {
        self.peers[at].wraps.push((from, epoch, given.clone()));
        let Wrapped::All(all) = given else { return };
        self.peers[at].store.epochs.get_mut(&epoch).unwrap().all = Some(all);
        for other in self.peers[at].sessions.keys().copied().collect::<Vec<_>>() {
            let peer = &mut self.peers[at];
            let Some(session) = peer.sessions.get_mut(&other) else { continue };
            let outputs = session.has_wraps(&[epoch], &peer.store, self.now).unwrap();
            self.apply(at, other, outputs);
        }
    }

    /// Tells every session what is opened.
    pub(super) fn tell_opened(&mut self, at: usize, ids: &[TransactionId]) {
        for other in self.peers[at].sessions.keys().copied().collect::<Vec<_>>() {
            let peer = &mut self.peers[at];
            let Some(session) = peer.sessions.get_mut(&other) else { continue };
            let outputs = session.opened(ids, &peer.store, self.now).unwrap();
            self.apply(at, other, outputs);
        }
    }

    /// Tells every session what is new.
    pub(super) fn announce(&mut self, at: usize, ids: &[TransactionId]) {
        for other in self.peers[at].sessions.keys().copied().collect::<Vec<_>>() {
            let peer = &mut self.peers[at];
            let Some(session) = peer.sessions.get_mut(&other) else { continue };
            let outputs = session.added(ids, self.now, &peer.store, self.now).unwrap();
            self.apply(at, other, outputs);
        }
    }

    pub(super) fn write(&mut self, at: usize, plaintext: Vec<u8>) -> TransactionId {
        let id = self.peers[at].store.write(at, plaintext);
        self.announce(at, &[id]);
        id
    }

    /// Hands a message that somebody made up to the session of `at` with `other`.
    pub(super) fn inject(&mut self, at: usize, other: usize, message: &[u8]) {
        let peer = &mut self.peers[at];
        let Some(session) = peer.sessions.get_mut(&other) else { return };
        let outputs = session.receive(message, &peer.store, self.now).unwrap();
        self.apply(at, other, outputs);
    }

    /// Lets the next message of a pipe arrive.
    pub(super) fn arrive(&mut self, from: usize, to: usize) {
        if let Some(message) = self.pipes.get_mut(&(from, to)).and_then(VecDeque::pop_front) {
            self.inject(to, from, &message);
        }
    }

    /// Deals with the oldest delivery of a peer.
    pub(super) fn work(&mut self, at: usize) {
        let Some((other, token, transactions)) = self.peers[at].deliveries.pop_front() else { return };
        let admitted = self.peers[at].store.receive(transactions);
        let missing = self.peers[at].store.missing();
        let peer = &mut self.peers[at];
        if let Some(session) = peer.sessions.get_mut(&other) {
            let mut outputs = session.delivered(token, &peer.store, self.now).unwrap();
            if !missing.is_empty() {
                outputs.extend(session.missing(&missing, &peer.store, self.now).unwrap());
            }
            self.apply(at, other, outputs);
        }
        self.announce(at, &admitted);
    }

    pub(super) fn tick(&mut self, passed: u64) {
        self.now += passed;
        for at in 0..self.peers.len() {
            for other in self.peers[at].sessions.keys().copied().collect::<Vec<_>>() {
                let peer = &mut self.peers[at];
                let Some(session) = peer.sessions.get_mut(&other) else { continue };
                let outputs = session.tick(&peer.store, self.now).unwrap();
                self.apply(at, other, outputs);
            }
        }
    }

    /// One thing that may happen now, by the dice; `false` if nothing can.
    pub(super) fn step(&mut self, dice: &mut Dice) -> bool {
        let pipes = self.pipes.iter().filter(|(_, pipe)| !pipe.is_empty()).map(|(ends, _)| Some(*ends));
        let busy = self.peers.iter().enumerate().filter(|(_, peer)| !peer.deliveries.is_empty());
        let pipes: Vec<Option<(usize, usize)>> = pipes.collect();
        let busy: Vec<usize> = busy.map(|(at, _)| at).collect();
        let choice = dice.roll(pipes.len() + busy.len());
        match pipes.get(choice) {
            Some(Some((from, to))) => self.arrive(*from, *to),
            _ if busy.is_empty() => return false,
            _ => self.work(busy[choice - pipes.len()]),
        }
        true
    }

    /// Until nothing happens any more without time passing.
    pub(super) fn settle(&mut self, dice: &mut Dice) {
        for _ in 0..200_000 {
            if !self.step(dice) {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// Settles, and lets the timers fire until every session is equal.
    pub(super) fn settle_with_time(&mut self, dice: &mut Dice) {
        for _ in 0..100 {
            self.settle(dice);
            if self.peers.iter().flat_map(|peer| peer.sessions.values()).all(|session| session.status().equal)
            {
                return;
            }
            let next =
                self.peers.iter().flat_map(|peer| peer.sessions.values()).filter_map(Session::deadline);
            let next = next.min().expect("a session that is not equal has a timer");
            self.tick(next.saturating_sub(self.now));
        }
        panic!("the peers never become equal");
    }

    pub(super) fn assert_same(&self) {
        for pair in self.peers.windows(2) {
            let [one, other] = [0, 1].map(|at| pair[at].store.named());
            let differ: Vec<_> = one.symmetric_difference(&other).collect();
            assert!(differ.is_empty(), "{} of {} differ: {:?}", differ.len(), one.len(), differ);
        }
        for peer in &self.peers {
            assert!(peer.store.waiting.is_empty());
            assert!(peer.ended.is_empty(), "{:?}", peer.ended);
        }
    }
}
