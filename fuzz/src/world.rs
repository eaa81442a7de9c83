//! The context that a hostile member talks to: a founder's node, as its own thread runs it, on a store in memory and in virtual time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use ed25519_dalek::SigningKey;
use kith_core::application::Application;
use kith_core::application::kv::{self, KeyValue};
use kith_core::network::{LinkId, PeerId};
use kith_core::node::Clock;
use kith_core::node::machine::{
    Answer, Heard, Input, Machine, Marks, Order, Setup, Surroundings, Wish, first_keys,
};
use kith_core::replica::payload::{Add, CallPayload, KeyPackage, Tip};
use kith_core::replica::{
    ContextId, Creation, MemberId, MemoryTables, Payload, Place, Replica, Role, Signer, StateKey,
    Transaction, TransactionId,
};
use kith_core::storage::{Batch, ContextTables, Durability, Mark, MemoryStore, Store, add_writes};
use kith_core::sync::{Binding, LinkOutput};
use kith_core::{Result, limits};
use kith_oracle::oracle::{Oracle, Verdict};

use crate::line::{Line, Low};

const NUMBER: u32 = 1;
/// The members that the fuzzer has the keys of: an admin, a writer, a reader, a stranger.
pub const KEYS: [[u8; 32]; 4] = [[2; 32], [3; 32], [4; 32], [5; 32]];
const ROLES: [Role; 3] = [Role::Admin, Role::Writer, Role::Reader];
const FOUNDER: [u8; 32] = [1; 32];

/// Whose key that is.
pub fn member(key: &[u8; 32]) -> MemberId {
    MemberId(SigningKey::from_bytes(key).verifying_key().to_bytes())
}

/// What a member publishes of its first keys.
pub fn package(suite: u8, key: &[u8; 32]) -> KeyPackage {
    first_keys(suite, member(key), *key).expect("the suite is known").0
}

/// Notes nothing twice, and nothing durable.
#[derive(Default, Clone)]
struct Noted(Arc<Mutex<Option<Mark>>>);

impl Marks for Noted {
    fn get(&self, _context: &ContextId, _author: &MemberId) -> Option<Mark> {
        *self.0.lock().expect("nothing panics with it")
    }

    fn raise(&self, _context: &ContextId, _author: &MemberId, mark: Mark) -> Result<()> {
        *self.0.lock().expect("nothing panics with it") = Some(mark);
        Ok(())
    }
}

struct Inside {
    time: Arc<AtomicU64>,
    drawn: AtomicU64,
}

impl Surroundings for Inside {
    fn now(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }

    fn random(&self) -> Result<[u8; 32]> {
        let mut bytes = [9; 32];
        bytes[..8].copy_from_slice(&self.drawn.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        Ok(bytes)
    }

    fn application(&self, _name: &str) -> Option<Arc<dyn Application>> {
        Some(Arc::new(KeyValue))
    }
}

/// A founder's context in which three others are members, with a few calls in it.
struct Base {
    store: MemoryStore,
    context: ContextId,
    mark: Option<Mark>,
    history: Vec<Transaction>,
}

/// Sealed, and not.
fn base(sealed: bool) -> &'static Base {
    static BASES: [OnceLock<Base>; 2] = [const { OnceLock::new() }; 2];
    BASES[usize::from(sealed)].get_or_init(|| {
        let suite = u8::from(sealed);
        let key = SigningKey::from_bytes(&FOUNDER);
        let mut drawn = 0;
        let mut random = || {
            drawn += 1;
            [drawn; 32]
        };
        let mut signer = Signer { key: &key, timestamp: 1, random: &mut random };
        let (key_package, keys) = first_keys(suite, member(&FOUNDER), [77; 32]).expect("keys");
        let creation = Creation {
            application: "kv".into(),
            arguments: Vec::new(),
            name: "fuzz".into(),
            suite,
            key_package,
        };
        let (replica, genesis, step) =
            Replica::create(&mut signer, creation, &MemoryTables::default(), &KeyValue).expect("created");
        let (store, noted) = (MemoryStore::new(), Noted::default());
        let mut batch = Batch::default();
        add_writes(&mut batch, NUMBER, step.writes);
        add_writes(&mut batch, NUMBER, keys);
        store.commit(&batch, Durability::Power).expect("stored");
        let mark = Mark { sequence: 1, id: genesis.header.id() };
        let context = replica.context();
        noted.raise(&context, &member(&FOUNDER), mark).expect("noted");
        let mut founder = Founder::open(Arc::new(store), noted, context, Vec::new());
        for (key, role) in KEYS.iter().zip(ROLES) {
            let request =
                Add::request(&context, &SigningKey::from_bytes(key), role, package(suite, key), None);
            founder.wish(Wish::Author(Payload::Add(request))).expect("added");
        }
        for number in 0..4 {
            founder.write(number).expect("written");
        }
        let history = founder.history();
        let mark = *founder.noted.0.lock().expect("nothing panics with it");
        Base { store: founder.store.fork(), context, mark, history }
    })
}

/// The node under attack.
pub struct Founder {
    machine: Machine,
    store: Arc<MemoryStore>,
    noted: Noted,
    time: Arc<AtomicU64>,
    /// Everything that is known to the other side: what the founder had at first, and what was made since.
    pub bag: Vec<Transaction>,
    wishes: u64,
    /// What the open channel is tied to, as the founder sees it, and its number.
    pub channel: Option<(u32, Binding)>,
    channels: u32,
    /// Whether what is said goes as bytes through a line; else it is handed over.
    pub lined: bool,
    line: Option<Line>,
    link: LinkId,
    /// What the founder has said since it was last asked.
    pub said: Vec<Vec<u8>>,
}

fn peers() -> [PeerId; 2] {
    [[1; 32], [2; 32]].map(|secret| PeerId::of_identity(&secret))
}

impl Founder {
    /// A fresh copy.
    pub fn new(sealed: bool) -> Self {
        let base = base(sealed);
        let noted = Noted(Arc::new(Mutex::new(base.mark)));
        Self::open(Arc::new(base.store.fork()), noted, base.context, base.history.clone())
    }

    fn open(store: Arc<MemoryStore>, noted: Noted, context: ContextId, bag: Vec<Transaction>) -> Self {
        static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
        let runtime = RUNTIME.get_or_init(|| {
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime that does nothing")
        });
        let time = Arc::new(AtomicU64::new(1_000));
        let clock = Arc::clone(&time);
        let machine = Machine::open(Setup {
            context,
            key: SigningKey::from_bytes(&FOUNDER),
            number: NUMBER,
            invitation: None,
            leaving: false,
            store: store.clone(),
            marks: Arc::new(noted.clone()),
            durability: Durability::Power,
            event_retention: 50,
            frozen: None,
            clock: Clock::new(move || 1_767_225_600_000 + clock.load(Ordering::Relaxed)),
            surroundings: Box::new(Inside { time: Arc::clone(&time), drawn: AtomicU64::new(0) }),
            runtime: runtime.handle().clone(),
        })
        .expect("it opens");
        Self {
            machine,
            store,
            noted,
            time,
            bag,
            wishes: 0,
            channel: None,
            channels: 0,
            lined: false,
            line: None,
            link: LinkId(7),
            said: Vec::new(),
        }
    }

    /// The suite of the context.
    pub fn suite(&self) -> u8 {
        self.machine.replica().suite()
    }

    pub fn context(&self) -> ContextId {
        self.machine.replica().context()
    }

    /// Rounds until nothing is due.
    fn rounds(&mut self, inputs: Vec<Input>) -> Vec<(u64, Result<Answer>)> {
        let (mut inputs, mut answers) = (inputs, Vec::new());
        for _ in 0..1_000 {
            let round = self.machine.round(std::mem::take(&mut inputs));
            answers.extend(round.answers);
            for order in round.orders {
                match order {
                    Order::Send { channel, message, .. } if self.is_open(channel) => {
                        self.say(channel, message)
                    }
                    Order::Close { channel, .. } if self.is_open(channel) => self.close(channel),
                    _ => {}
                }
            }
            inputs.extend(self.pump());
            assert_eq!(self.machine.closed(), None, "a peer closed the context");
            assert_eq!(self.machine.status().frozen, None, "a peer froze the context");
            assert!(self.machine.waiting().bytes() <= limits::WAITING, "too much waits");
            let now = self.time.load(Ordering::Relaxed);
            if inputs.is_empty() && self.machine.deadline().is_none_or(|due| due > now) {
                return answers;
            }
        }
        panic!("rounds without an end");
    }

    fn is_open(&self, channel: u32) -> bool {
        self.channel.as_ref().is_some_and(|(open, _)| *open == channel)
    }

    fn wish(&mut self, wish: Wish) -> Result<Answer> {
        self.wishes += 1;
        let number = self.wishes;
        let answers = self.rounds(vec![Input::Wish(number, wish)]);
        let answer = answers.into_iter().find(|(answered, _)| *answered == number);
        answer.expect("whoever wishes is answered at once").1
    }

    /// A call of the founder's own, which works whatever others do.
    pub fn write(&mut self, number: u8) -> Result<()> {
        let (method, arguments) = if number % 3 == 0 {
            kv::add(&StateKey::of("fuzz", "counter"), i64::from(number))
        } else {
            kv::put(&StateKey::of("fuzz", &(number % 8).to_string()), [number])
        };
        self.wish(Wish::Call(CallPayload { method: method.into(), arguments })).map(drop)
    }

    fn say(&mut self, channel: u32, message: Vec<u8>) {
        match &mut self.line {
            None => self.said.push(message),
            Some(line) => {
                let frame = line.carry(channel, message).expect("the channel is open");
                self.said.extend(line.hear(&frame));
            }
        }
    }

    fn close(&mut self, channel: u32) {
        self.channel = None;
        let outputs = self.line.as_mut().map(|line| line.close(channel)).unwrap_or_default();
        self.carry_out(outputs);
    }

    /// What a link wants, and what the context gets of it: as a node's switchboard does it.
    fn carry_out(&mut self, outputs: Vec<LinkOutput>) -> Vec<Input> {
        let (link, mut heard) = (self.link, Vec::new());
        for output in outputs {
            match output {
                LinkOutput::Send(frame) => {
                    self.said.extend(self.line.as_mut().and_then(|line| line.hear(&frame)));
                }
                LinkOutput::Opened { channel, binding } => {
                    self.channel = Some((channel, binding.clone()));
                    let binding = Box::new(binding);
                    heard.push(Heard::Opened { link, peer: peers()[1], channel, binding });
                }
                LinkOutput::Closed { channel, .. } => {
                    self.channel = None;
                    heard.push(Heard::Closed { link, channel });
                }
                LinkOutput::Message { channel, message, .. } => {
                    heard.push(Heard::Message { link, channel, message });
                }
                _ => {}
            }
        }
        heard.into_iter().map(Input::Heard).collect()
    }

    /// Takes what has come over the line, until nothing more comes of it.
    fn pump(&mut self) -> Vec<Input> {
        let mut inputs = Vec::new();
        while let Some(line) = &mut self.line {
            let Some(outputs) = line.read() else {
                inputs.extend(self.cut());
                break;
            };
            if outputs.is_empty() {
                break;
            }
            inputs.extend(self.carry_out(outputs));
        }
        inputs
    }

    /// The line is no more, and with it what was open.
    fn cut(&mut self) -> Option<Input> {
        self.line = None;
        let (channel, _) = self.channel.take()?;
        Some(Input::Heard(Heard::Closed { link: self.link, channel }))
    }

    /// A channel is opened anew; what was said on the last is forgotten.
    pub fn connect(&mut self) {
        let cut = self.cut();
        self.rounds(cut.into_iter().collect());
        self.said.clear();
        self.channels += 2;
        let peers = peers();
        if self.lined {
            self.link = LinkId(self.link.0 + 1);
            let ids = peers.map(|peer| peer.to_bytes());
            let (context, key) = (self.context(), *self.machine.replica().access_key());
            let asks = self.channels % 4 == 0;
            let (line, outputs) = Line::new([&ids[0], &ids[1]], context, key, self.channels as u8, asks);
            self.line = Some(line);
            let mut inputs = self.carry_out(outputs);
            inputs.extend(self.pump());
            assert!(self.channel.is_some(), "two that know the context's key open no channel");
            self.rounds(inputs);
            return;
        }
        let binding = Binding {
            context: self.context(),
            channel: self.channels,
            opener: false,
            opener_nonce: [self.channels as u8; 32],
            answerer_nonce: [7; 32],
            opener_peer: peers[1].to_bytes(),
            answerer_peer: peers[0].to_bytes(),
            narrow: self.channels % 4 == 0,
        };
        self.channel = Some((self.channels, binding.clone()));
        let (channel, binding) = (self.channels, Box::new(binding));
        let opened = Heard::Opened { link: self.link, peer: peers[1], channel, binding };
        self.rounds(vec![Input::Heard(opened)]);
    }

    /// A message of the peer's arrives.
    pub fn hear(&mut self, message: Vec<u8>) {
        let inputs = match (&mut self.line, &self.channel) {
            (Some(line), _) => {
                line.say(message);
                Vec::new()
            }
            (None, Some((channel, _))) => {
                let (link, channel) = (self.link, *channel);
                vec![Input::Heard(Heard::Message { link, channel, message })]
            }
            (None, None) => return,
        };
        self.rounds(inputs);
    }

    /// What the peer says below sessions arrives, where there is a line.
    pub fn low(&mut self, what: Low<'_>) {
        if let Some(line) = &mut self.line {
            line.low(what);
            self.rounds(Vec::new());
        }
    }

    /// Time passes.
    pub fn wait(&mut self, ms: u64) {
        self.time.fetch_add(ms, Ordering::Relaxed);
        self.rounds(Vec::new());
    }

    pub fn digest(&self) -> [u8; 32] {
        self.machine.replica().digest()
    }

    /// How many transactions the founder holds.
    pub fn held(&self) -> u64 {
        self.machine.replica().transactions()
    }

    /// All that the founder holds.
    pub fn history(&self) -> Vec<Transaction> {
        let snapshot = self.store.snapshot().expect("memory");
        let tables = ContextTables::new(&*snapshot, NUMBER);
        let replica = self.machine.replica();
        let mut all = Vec::new();
        for (author, _) in replica.tips() {
            let mut after = Tip { sequence: 0, id: TransactionId::default() };
            loop {
                let page = replica.chain(&tables, author, after, 500).expect("memory");
                let Some((id, last)) = page.last() else { break };
                after = Tip { sequence: last.header.sequence, id: *id };
                all.extend(page.into_iter().map(|(_, transaction)| transaction));
            }
        }
        all
    }

    /// Whatever happened: what is held is valid and proved, and what is made of it is what the oracle makes of it.
    pub fn check(&self) {
        let (snapshot, replica) = (self.store.snapshot().expect("memory"), self.machine.replica());
        let tables = ContextTables::new(&*snapshot, NUMBER);
        assert_eq!(replica.pending(), 0, "something is not executed");
        let held = self.history();
        assert_eq!(held.len() as u64, replica.transactions());
        for transaction in &held {
            proved(transaction, &held);
        }
        let oracle = Oracle::replay(&replica.context(), &held, &KeyValue);
        for (id, verdict) in &oracle.verdicts {
            assert_eq!(*verdict, Verdict::Valid, "{id} was let in");
        }
        let order: Vec<Place> = oracle.order.iter().map(|(place, _)| *place).collect();
        assert_eq!(replica.order(&tables, None, 100_000).expect("memory"), order);
        for (id, receipt) in &oracle.receipts {
            assert_eq!(replica.receipt(&tables, id).expect("memory").as_ref(), Some(receipt), "{id}");
        }
        assert_eq!(replica.commitment(), kith_oracle::scratch::commitment(&oracle), "another state");
        let founder = replica.member(&member(&FOUNDER)).map(|founder| founder.role);
        assert_eq!(founder, Some(Role::Admin), "nobody is senior to the founder");
    }
}

/// Its own signature, one behind it in its author's chain, or one of its cover.
fn proved(transaction: &Transaction, held: &[Transaction]) {
    let mut at = transaction;
    for _ in 0..=held.len() {
        let id = at.header.id();
        if let Some(signature) = &at.signature {
            assert!(at.header.verify(&id, signature).is_ok(), "a wrong signature on {id}");
            return;
        }
        if let Some(cover) = &at.cover {
            let last = cover.headers().last().expect("a cover has one at least");
            assert!(last.verify(&last.id(), cover.signature()).is_ok(), "a wrong cover of {id}");
            return;
        }
        let next = held.iter().find(|next| next.header.previous == id);
        at = next.unwrap_or_else(|| panic!("nothing proves {id}"));
    }
}
