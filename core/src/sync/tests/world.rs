//! Peers with a simple history of their own kind, joined by pipes whose messages come out one at a time in any interleaving.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use ed25519_dalek::SigningKey;

use super::super::message::Message;
use super::super::{
    Binding, Ended, History, Local, Output, Position, Priority, Refusal, Session, SessionEvent, Standing,
    Tips,
};
use crate::Result;
use crate::replica::payload::{Add, Payload, Tip};
use crate::replica::{ContextId, Draft, Kind, MemberId, Parent, Role, Transaction, TransactionId};

/// Seeded randomness.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below.max(1) as u64).unwrap()
    }

    pub(super) fn one_in(&mut self, chances: usize) -> bool {
        self.roll(chances) == 0
    }
}

pub(super) fn key(number: usize) -> SigningKey {
    SigningKey::from_bytes(&blake3::derive_key("test key", &number.to_le_bytes()))
}

pub(super) fn member(number: usize) -> MemberId {
    MemberId(key(number).verifying_key().to_bytes())
}

/// A transaction with a payload of about `size` bytes that does not compress.
pub(super) fn sign(
    context: ContextId,
    author: usize,
    previous: Option<&Transaction>,
    parents: &[&Transaction],
    kind: Kind,
    plaintext: Vec<u8>,
) -> Transaction {
    let lamports = previous.into_iter().chain(parents.iter().copied()).map(|other| other.header.lamport);
    Draft {
        context,
        sequence: previous.map_or(1, |previous| previous.header.sequence + 1),
        previous: previous.map(|previous| previous.header.id()).unwrap_or_default(),
        parents: parents
            .iter()
            .map(|parent| Parent {
                author: parent.header.author,
                sequence: parent.header.sequence,
                id: parent.header.id(),
            })
            .collect(),
        lamport: lamports.max().unwrap_or(0) + 1,
        timestamp: 7,
        kind,
        plaintext,
        commitment_key: [3; 32],
    }
    .sign(&key(author))
}

pub(super) fn genesis() -> Transaction {
    sign(ContextId::default(), 0, None, &[], Kind::Genesis, vec![1; 40])
}

pub(super) fn noise(dice: &mut Dice, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    let seed = dice.roll(usize::MAX).to_le_bytes();
    blake3::Hasher::new_derive_key("test noise").update(&seed).finalize_xof().fill(&mut bytes);
    bytes
}

/// A random history of `authors`, in a causal order; one in `forks` forks its author's chain.
pub(super) fn history(
    dice: &mut Dice,
    authors: usize,
    count: usize,
    forks: usize,
    size: usize,
) -> Vec<Transaction> {
    let mut all = vec![genesis()];
    let context = all[0].header.belongs_to();
    while all.len() < count {
        let author = dice.roll(authors);
        let own: Vec<&Transaction> =
            all.iter().filter(|other| other.header.author == member(author)).collect();
        let previous = match own.len() {
            0 => None,
            _ if dice.one_in(forks) => {
                let fork = dice.roll(own.len() + usize::from(author > 0));
                own.get(fork).copied()
            }
            _ => own.iter().max_by_key(|other| other.header.sequence).copied(),
        };
        let mut parents: BTreeMap<MemberId, &Transaction> = BTreeMap::new();
        for _ in 0..dice.roll(3) {
            let back = dice.roll(all.len().min(20));
            let parent = &all[all.len() - 1 - back];
            if parent.header.author != member(author) {
                parents.insert(parent.header.author, parent);
            }
        }
        if parents.is_empty() && previous.is_none() {
            parents.insert(member(0), &all[0]);
        }
        let parents: Vec<&Transaction> = parents.into_values().collect();
        let plaintext = noise(dice, size);
        let next = sign(context, author, previous, &parents, Kind::Call, plaintext);
        if !all.iter().any(|other| other.header.id() == next.header.id()) {
            all.push(next);
        }
    }
    all
}

/// All that is named by these, and what is named by that, in the order of `all`.
pub(super) fn past(all: &[Transaction], ids: impl IntoIterator<Item = TransactionId>) -> Vec<Transaction> {
    let by_id: HashMap<TransactionId, &Transaction> =
        all.iter().map(|transaction| (transaction.header.id(), transaction)).collect();
    let mut todo: Vec<TransactionId> = ids.into_iter().collect();
    let mut found = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if found.insert(id) {
            todo.extend(names(by_id[&id]));
        }
    }
    all.iter().filter(|transaction| found.contains(&transaction.header.id())).cloned().collect()
}

fn names(transaction: &Transaction) -> Vec<TransactionId> {
    let previous = Some(transaction.header.previous).filter(|id| *id != TransactionId::default());
    previous.into_iter().chain(transaction.header.parents.iter().map(|parent| parent.id)).collect()
}

/// Admitted transactions in memory.
#[derive(Clone, Default)]
pub(super) struct Store {
    pub(super) all: BTreeMap<(MemberId, u64, TransactionId), Transaction>,
    pub(super) ids: HashMap<TransactionId, Position>,
    tips: BTreeMap<MemberId, BTreeSet<Tip>>,
    pub(super) standings: BTreeMap<MemberId, Standing>,
    pub(super) waiting: BTreeMap<TransactionId, Transaction>,
}

impl Store {
    /// Those numbers are members.
    pub(super) fn new(members: usize) -> Self {
        let standings = (0..members).map(|number| (member(number), Standing::Member(Role::Writer))).collect();
        Self { standings, ..Self::default() }
    }

    /// Admits what has its causal past, keeps the rest waiting; gives what was admitted.
    pub(super) fn receive(
        &mut self,
        transactions: impl IntoIterator<Item = Transaction>,
    ) -> Vec<TransactionId> {
        for transaction in transactions {
            let id = transaction.header.id();
            if !self.ids.contains_key(&id) {
                self.waiting.insert(id, transaction);
            }
        }
        let mut admitted = Vec::new();
        loop {
            let ready =
                |transaction: &Transaction| names(transaction).iter().all(|id| self.ids.contains_key(id));
            let Some(id) = self.waiting.iter().find(|(_, waiting)| ready(waiting)).map(|(id, _)| *id) else {
                return admitted;
            };
            let transaction = self.waiting.remove(&id).unwrap();
            let header = &transaction.header;
            let position =
                Position { author: header.author, sequence: header.sequence, lamport: header.lamport };
            let tips = self.tips.entry(header.author).or_default();
            tips.retain(|tip| tip.id != header.previous);
            tips.insert(Tip { sequence: header.sequence, id });
            self.ids.insert(id, position);
            self.all.insert((header.author, header.sequence, id), transaction);
            admitted.push(id);
        }
    }

    pub(super) fn missing(&self) -> Vec<TransactionId> {
        let named: BTreeSet<TransactionId> = self.waiting.values().flat_map(names).collect();
        named.into_iter().filter(|id| !self.ids.contains_key(id) && !self.waiting.contains_key(id)).collect()
    }

    /// Forgets signatures that a later one of the author's chain covers, as catch-up leaves them.
    pub(super) fn strip(&mut self, dice: &mut Dice, one_in: usize) {
        let covered: BTreeSet<TransactionId> =
            self.all.values().map(|transaction| transaction.header.previous).collect();
        for ((_, _, id), transaction) in &mut self.all {
            if covered.contains(id) && dice.one_in(one_in) {
                transaction.signature = None;
            }
        }
    }

    pub(super) fn named(&self) -> BTreeSet<TransactionId> {
        self.ids.keys().copied().collect()
    }

    /// A new transaction by `author` on top of everything (of at most 3 others).
    pub(super) fn write(&mut self, author: usize, plaintext: Vec<u8>) -> TransactionId {
        let newest = |id: &MemberId| {
            let tip = self.tips.get(id)?.iter().max()?;
            self.all.get(&(*id, tip.sequence, tip.id))
        };
        let parents: Vec<&Transaction> =
            self.tips.keys().filter(|id| **id != member(author)).filter_map(newest).take(3).collect();
        let context = genesis().header.belongs_to();
        let previous = newest(&member(author));
        let transaction = sign(context, author, previous, &parents, Kind::Call, plaintext);
        let id = transaction.header.id();
        assert_eq!(self.receive([transaction]), [id]);
        id
    }
}

impl History for Store {
    fn digest(&self) -> Result<[u8; 32]> {
        let mut hasher = blake3::Hasher::new();
        for (author, tips) in &self.tips {
            for tip in tips {
                hasher.update(&author.0).update(&tip.id.0);
            }
        }
        Ok(*hasher.finalize().as_bytes())
    }

    fn tips(&self, after: Option<&MemberId>, limit: usize) -> Result<Vec<Tips>> {
        let authors = self.tips.iter().filter(|(author, _)| after.is_none_or(|after| *author > after));
        let tips = |(author, tips): (&MemberId, &BTreeSet<Tip>)| Tips {
            author: *author,
            tips: tips.iter().copied().collect(),
        };
        Ok(authors.take(limit).map(tips).collect())
    }

    fn position(&self, id: &TransactionId) -> Result<Option<Position>> {
        Ok(self.ids.get(id).copied())
    }

    fn transaction(&self, id: &TransactionId) -> Result<Option<Transaction>> {
        let Some(at) = self.ids.get(id) else { return Ok(None) };
        Ok(self.all.get(&(at.author, at.sequence, *id)).cloned())
    }

    fn chain(
        &self,
        author: &MemberId,
        after: Tip,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(TransactionId, Transaction)>> {
        let from = (*author, after.sequence, after.id);
        let mut page = Vec::new();
        let mut held = 0;
        for ((of, _, id), transaction) in self.all.range(from..) {
            if of != author || page.len() >= limit || held >= bytes {
                break;
            }
            if (transaction.header.sequence, *id) > (after.sequence, after.id) {
                held += transaction.payload.len();
                page.push((*id, transaction.clone()));
            }
        }
        Ok(page)
    }

    fn standing(&self, member: &MemberId, supporting: &[Transaction]) -> Result<Standing> {
        if let Some(standing) = self.standings.get(member) {
            return Ok(standing.clone());
        }
        let vouched = supporting.iter().any(|transaction| {
            let by_member =
                matches!(self.standings.get(&transaction.header.author), Some(Standing::Member(_)));
            let of = Payload::decode(transaction.header.kind, transaction.plaintext());
            by_member && matches!(of, Some(Payload::Add(add)) if add.member == *member)
        });
        Ok(if vouched { Standing::Member(Role::Reader) } else { Standing::Unknown })
    }
}

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

    /// Tells every session what is new.
    pub(super) fn announce(&mut self, at: usize, ids: &[TransactionId]) {
        for other in self.peers[at].sessions.keys().copied().collect::<Vec<_>>() {
            let peer = &mut self.peers[at];
            let Some(session) = peer.sessions.get_mut(&other) else { continue };
            let outputs = session.added(ids, &peer.store, self.now).unwrap();
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
