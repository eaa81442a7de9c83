//! Two members of a context without threads and sockets, in virtual time: what one puts out goes into the other at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ed25519_dalek::SigningKey;
use kith_core::Result;
use kith_core::application::Application;
use kith_core::application::kv::{self, KeyValue};
use kith_core::encryption::Suite;
use kith_core::invitation::Invitation;
use kith_core::network::{LinkId, PeerId};
use kith_core::node::machine::{
    Answer, Heard, Input, Machine, Marks, Order, Round, Setup, Surroundings, Wish, first_keys,
};
use kith_core::node::{Clock, Event, InviteOptions};
use kith_core::replica::payload::{Add, CallPayload};
use kith_core::replica::{
    ContextId, Creation, Kind, MemberId, MemoryTables, Payload, Replica, Role, Signer, StateKey, StateRead,
    Table, TableWrite, Tip, Transaction, TransactionId,
};
use kith_core::storage::{
    Batch, ContextTables, Durability, Keyspace, Mark, MemoryStore, Snapshot, Store, add_writes,
};
use kith_core::sync::Binding;

const NUMBER: u32 = 1;
const LINK: LinkId = LinkId(1);
/// A store whose batches go on beside snapshots, or wait for them.
pub(crate) struct Disk {
    pub(crate) inner: MemoryStore,
    pub(crate) beside: bool,
}

impl Store for Disk {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>> {
        self.inner.snapshot()
    }

    fn commit(&self, batch: &Batch, durability: Durability) -> Result<()> {
        self.inner.commit(batch, durability)
    }

    fn commits_beside_snapshots(&self) -> bool {
        self.beside
    }

    fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

#[derive(Default)]
pub(crate) struct HighWater(Mutex<BTreeMap<(ContextId, MemberId), Mark>>);

impl Marks for HighWater {
    fn get(&self, context: &ContextId, author: &MemberId) -> Option<Mark> {
        self.0.lock().unwrap().get(&(*context, *author)).copied()
    }

    fn raise(&self, context: &ContextId, author: &MemberId, mark: Mark) -> Result<()> {
        self.0.lock().unwrap().insert((*context, *author), mark);
        Ok(())
    }
}

pub(crate) struct Inside(Arc<AtomicU64>, AtomicU64, [u8; 32]);

impl Surroundings for Inside {
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn random(&self) -> Result<[u8; 32]> {
        let number = self.1.fetch_add(1, Ordering::Relaxed);
        Ok(*blake3::keyed_hash(&self.2, &number.to_le_bytes()).as_bytes())
    }

    fn application(&self, _name: &str) -> Option<Arc<dyn Application>> {
        Some(Arc::new(KeyValue))
    }
}

/// How an author's chain in an epoch is stored.
#[derive(borsh::BorshDeserialize)]
struct Chain {
    next: u32,
    _key: Option<[u8; 32]>,
    skipped: Vec<(u32, [u8; 32])>,
}

/// One member: its store, and the process on it.
pub(crate) struct Member {
    pub(crate) key: SigningKey,
    peer: PeerId,
    pub(crate) context: ContextId,
    invitation: Option<Invitation>,
    pub(crate) disk: Arc<Disk>,
    marks: Arc<HighWater>,
    pub(crate) machine: Option<Machine>,
    /// How often the process has started: no randomness comes twice.
    starts: u8,
}

impl Member {
    pub(crate) fn start(
        &mut self,
        time: &Arc<AtomicU64>,
        ahead: &Arc<AtomicU64>,
        runtime: &tokio::runtime::Handle,
    ) {
        self.starts += 1;
        let (clock, ahead) = (Arc::clone(time), Arc::clone(ahead));
        let seed = blake3::derive_key("randomness", &[&self.key.to_bytes()[..], &[self.starts]].concat());
        let machine = Machine::open(Setup {
            context: self.context,
            key: self.key.clone(),
            number: NUMBER,
            invitation: self.invitation.clone(),
            leaving: false,
            store: Arc::clone(&self.disk) as Arc<dyn Store>,
            marks: Arc::clone(&self.marks) as Arc<dyn Marks>,
            durability: Durability::Power,
            event_retention: 1_000_000,
            frozen: None,
            clock: Clock::new(move || {
                let right = 1_767_225_600_000 + clock.load(Ordering::Relaxed);
                right.saturating_add(ahead.load(Ordering::Relaxed))
            }),
            surroundings: Box::new(Inside(Arc::clone(time), AtomicU64::new(0), seed)),
            runtime: runtime.clone(),
        });
        self.machine = Some(machine.unwrap());
    }

    pub(crate) fn machine(&self) -> &Machine {
        self.machine.as_ref().unwrap()
    }

    /// The history as the store has it, for whoever opens it next.
    pub(crate) fn stored(&self) -> Replica {
        let store = self.disk.inner.fork();
        let snapshot = store.snapshot().unwrap();
        Replica::open(self.context, &ContextTables::new(&*snapshot, NUMBER)).unwrap()
    }

    pub(crate) fn has(&self, id: &TransactionId) -> bool {
        let snapshot = self.disk.snapshot().unwrap();
        self.machine().replica().has(&ContextTables::new(&*snapshot, NUMBER), id).unwrap()
    }

    pub(crate) fn me(&self) -> MemberId {
        MemberId(self.key.verifying_key().to_bytes())
    }

    /// What a member has written of one kind, as it is stored here.
    pub(crate) fn written_by(&self, author: &MemberId, kind: Kind) -> Vec<Transaction> {
        self.with_tables(|replica, tables| {
            let start = Tip { sequence: 0, id: TransactionId::default() };
            let chain = replica.chain(tables, author, start, 100_000).unwrap();
            let of_kind = chain.into_iter().map(|(_, found)| found);
            of_kind.filter(|found| found.header.kind == kind as u8).collect()
        })
    }

    pub(crate) fn with_tables<T>(&self, look: impl FnOnce(&Replica, &dyn StateRead) -> T) -> T {
        let snapshot = self.disk.snapshot().unwrap();
        look(self.machine().replica(), &ContextTables::new(&*snapshot, NUMBER))
    }

    /// What a process on a store of this member's would find.
    pub(crate) fn on<T>(
        &self,
        store: &MemoryStore,
        look: impl FnOnce(&mut Replica, &ContextTables<'_>) -> T,
    ) -> T {
        let snapshot = store.snapshot().unwrap();
        let tables = ContextTables::new(&*snapshot, NUMBER);
        look(&mut Replica::open(self.context, &tables).unwrap(), &tables)
    }

    /// Whether a call was opened with this member's own keys, and not by what was shared of it.
    pub(crate) fn opened_by_key(&self, id: &TransactionId) -> bool {
        let snapshot = self.disk.snapshot().unwrap();
        let tables = ContextTables::new(&*snapshot, NUMBER);
        let call = self.machine().replica().transaction(&tables, id).unwrap().unwrap();
        call.is_opened() && call.key.is_some()
    }

    /// The rows of the keyring, by what is in front of their keys.
    pub(crate) fn key_rows(&self, of: &[u8]) -> Vec<Vec<u8>> {
        let from = [b"ring/", of].concat();
        let rows = self.with_tables(|_, tables| tables.scan(Table::Keys, &from, None, false, usize::MAX));
        let rows = rows.unwrap().into_iter().filter(|(key, _)| key.starts_with(&from));
        rows.map(|(_, value)| value).collect()
    }

    /// The numbers of its own ratchet keys that it still has.
    pub(crate) fn ratchet_keys(&self) -> Vec<u32> {
        let rows = self.key_rows(&[0]);
        let [row] = &rows[..] else { panic!("{} rows of ratchet keys", rows.len()) };
        // A version, then borsh of the keys and a flag.
        let (keys, _): (Vec<(u32, [u8; 32])>, bool) = borsh::from_slice(&row[1..]).unwrap();
        keys.into_iter().map(|(number, _)| number).collect()
    }

    /// Of an author's chains that are here, the number of the next message, and the numbers of those whose keys were passed over and are kept.
    pub(crate) fn chains_of(&self, author: &MemberId) -> Vec<(u32, Vec<u32>)> {
        const CHAIN: u8 = 3;
        let rows = self.with_tables(|_, tables| {
            let from = [b"ring/", &[CHAIN][..]].concat();
            let rows = tables.scan(Table::Keys, &from, None, false, usize::MAX).unwrap();
            rows.into_iter().filter(move |(key, _)| key.starts_with(&from)).collect::<Vec<_>>()
        });
        // Epoch and author; a version, then borsh of the chain.
        let of_author = rows.into_iter().filter(|(key, _)| key.ends_with(&author.0));
        let chains = of_author.map(|(_, row)| {
            let chain: Chain = borsh::from_slice(&row[1..]).unwrap();
            (chain.next, chain.skipped.into_iter().map(|(number, _)| number).collect())
        });
        chains.collect()
    }

    /// How often it was said that keys, or a message, cannot be opened.
    pub(crate) fn key_troubles(&self) -> usize {
        self.events().iter().filter(|event| matches!(event, Event::KeyTrouble { .. })).count()
    }

    /// Whose messages the events say were sent under keys that were not to be used, and which.
    pub(crate) fn key_violations(&self) -> Vec<(MemberId, TransactionId)> {
        let told = self.events().into_iter().filter_map(|event| match event {
            Event::KeyViolation { member, transaction } => Some((member, transaction)),
            _ => None,
        });
        told.collect()
    }

    /// Stores what comes of a transaction of its own that no process has made.
    pub(crate) fn store(&self, writes: Vec<TableWrite>, own: &Transaction) {
        let mut batch = Batch::default();
        add_writes(&mut batch, NUMBER, writes);
        self.disk.commit(&batch, Durability::Power).unwrap();
        let mark = Mark { sequence: own.header.sequence, id: own.header.id() };
        self.marks.raise(&self.context, &self.me(), mark).unwrap();
    }

    /// Which calls the events say were executed, in their order.
    pub(crate) fn executed(&self) -> Vec<TransactionId> {
        let executed = self.events().into_iter().filter_map(|event| match event {
            Event::Executed { transaction, again: false, .. } => Some(transaction),
            _ => None,
        });
        executed.collect()
    }

    fn events(&self) -> Vec<Event> {
        let rows =
            self.disk.snapshot().unwrap().scan(Keyspace::Events, &[], None, false, usize::MAX).unwrap();
        rows.iter().flat_map(|(_, row)| borsh::from_slice::<Vec<Event>>(row).unwrap()).collect()
    }
}

/// The creator and a member, with a wire between them.
pub(crate) struct Pair {
    time: Arc<AtomicU64>,
    /// How far the clocks on the wall are ahead, in ms.
    pub(crate) ahead: Arc<AtomicU64>,
    runtime: tokio::runtime::Runtime,
    pub(crate) members: [Member; 2],
    /// What each has heard and not dealt with.
    inboxes: [Vec<Input>; 2],
    pub(crate) channel: Option<u32>,
    channels: u32,
    wishes: u64,
    pub(crate) answers: BTreeMap<u64, Result<Answer>>,
    /// Of each message when it was sent, by whom, and its first byte.
    pub(crate) sent: Vec<(u64, usize, u8)>,
    /// Messages that begin so are lost, if the first of the two sends them.
    pub(crate) withheld: Option<u8>,
}

/// A call that puts a kilobyte.
pub(crate) fn put(number: u64) -> Wish {
    let (method, arguments) = kv::put(&StateKey::of("machines", &number.to_string()), vec![7; 1000]);
    Wish::Call(CallPayload { method: method.into(), arguments })
}

/// The transaction that a wish has come to.
pub(crate) fn written(answer: &Result<Answer>) -> Option<TransactionId> {
    if let Ok(Answer::Written(id)) = answer { Some(*id) } else { None }
}

impl Pair {
    pub(crate) fn new(suite: u8, beside: bool) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let member = |number: u8| Member {
            key: SigningKey::from_bytes(&[number + 1; 32]),
            peer: PeerId::of_identity(&[number + 11; 32]),
            context: ContextId::default(),
            invitation: None,
            disk: Arc::new(Disk { inner: MemoryStore::new(), beside }),
            marks: Arc::default(),
            machine: None,
            starts: 0,
        };
        let mut members = [member(0), member(1)];
        let founder = &mut members[0];
        let me = MemberId(founder.key.verifying_key().to_bytes());
        let (key_package, keys) = first_keys(suite, me, [9; 32]).unwrap();
        let creation = Creation { application: "kv".into(), suite, key_package, ..Creation::default() };
        let mut random = || [8; 32];
        let mut signer = Signer { key: &founder.key, timestamp: 1, random: &mut random };
        let (replica, genesis, step) =
            Replica::create(&mut signer, creation, &MemoryTables::default(), &KeyValue).unwrap();
        let mut batch = Batch::default();
        add_writes(&mut batch, NUMBER, step.writes);
        add_writes(&mut batch, NUMBER, keys);
        founder.disk.commit(&batch, Durability::Power).unwrap();
        let mark = Mark { sequence: 1, id: genesis.header.id() };
        founder.marks.raise(&replica.context(), &me, mark).unwrap();
        members.iter_mut().for_each(|member| member.context = replica.context());
        let mut pair = Self {
            time: Arc::default(),
            ahead: Arc::default(),
            runtime,
            members,
            inboxes: Default::default(),
            channel: None,
            channels: 0,
            wishes: 0,
            answers: BTreeMap::new(),
            sent: Vec::new(),
            withheld: None,
        };
        pair.start(0);
        let wish = pair.wish(0, Wish::Invite(InviteOptions::default()));
        pair.exchange();
        let Some(Ok(Answer::Invited(invitation))) = pair.answers.remove(&wish) else {
            panic!("no invitation")
        };
        pair.members[1].invitation = Some(*invitation);
        pair.start(1);
        pair.connect();
        pair.exchange();
        pair.members[1].invitation = None;
        assert!(pair.are_equal());
        pair
    }

    /// The second leaves, and its process ends; the first adds the same member again, with new keys.
    pub(crate) fn leave_and_return(&mut self, suite: Suite) {
        self.done(1, Wish::Leave);
        self.end(1);
        let (package, _) = first_keys(suite as u8, self.members[1].me(), [99; 32]).unwrap();
        let (context, key) = (self.members[0].context, &self.members[1].key);
        let add = Add::request(&context, key, Role::Writer, package, None);
        self.done(0, Wish::Author(Payload::Add(add)));
        let members = self.members[0].machine().replica().members().count();
        assert_eq!(members, 2);
    }

    pub(crate) fn start(&mut self, who: usize) {
        self.members[who].start(&self.time, &self.ahead, self.runtime.handle());
    }

    pub(crate) fn wish(&mut self, who: usize, wish: Wish) -> u64 {
        self.wishes += 1;
        self.inboxes[who].push(Input::Wish(self.wishes, wish));
        self.wishes
    }

    pub(crate) fn connect(&mut self) {
        let channel = self.channels;
        self.channels += 1;
        self.channel = Some(channel);
        for who in [0, 1] {
            let binding = Box::new(Binding {
                context: self.members[0].context,
                channel,
                opener: who == 0,
                opener_nonce: [1; 32],
                answerer_nonce: *blake3::hash(&channel.to_le_bytes()).as_bytes(),
                opener_peer: self.members[0].peer.to_bytes(),
                answerer_peer: self.members[1].peer.to_bytes(),
                narrow: false,
            });
            let peer = self.members[1 - who].peer;
            self.inboxes[who].push(Input::Heard(Heard::Opened { link: LINK, peer, channel, binding }));
        }
    }

    /// The wire is gone: neither hears any more of it.
    pub(crate) fn disconnect(&mut self) {
        let Some(channel) = self.channel.take() else { return };
        for inbox in &mut self.inboxes {
            inbox.retain(|input| !matches!(input, Input::Heard(_)));
            inbox.push(Input::Heard(Heard::Closed { link: LINK, channel }));
        }
    }

    /// One member's round, and what it puts out on its way.
    pub(crate) fn round(&mut self, who: usize) {
        let inputs = std::mem::take(&mut self.inboxes[who]);
        let machine = self.members[who].machine.as_mut().unwrap();
        let Round { answers, orders } = machine.round(inputs);
        self.answers.extend(answers);
        for order in orders {
            match order {
                Order::Send { channel, message, .. } if Some(channel) == self.channel => {
                    let kind = message[0];
                    self.sent.push((self.now(), who, kind));
                    if who == 0 && self.withheld == Some(kind) {
                        continue;
                    }
                    self.inboxes[1 - who].push(Input::Heard(Heard::Message { link: LINK, channel, message }));
                }
                Order::Close { channel, .. } if Some(channel) == self.channel => self.disconnect(),
                _ => {}
            }
        }
    }

    pub(crate) fn is_due(&self, who: usize) -> bool {
        let deadline = self.members[who].machine().deadline();
        let now = self.now();
        !self.inboxes[who].is_empty() || deadline.is_some_and(|at| at <= now)
    }

    /// Until nothing is on its way and nothing is due.
    pub(crate) fn exchange(&mut self) {
        for _ in 0..1_000 {
            if let Some(who) =
                [0, 1].into_iter().find(|who| self.members[*who].machine.is_some() && self.is_due(*who))
            {
                self.round(who);
                continue;
            }
            // What waits a little (an acknowledgement, a pause) comes as well, and what waits for long does not.
            let machines = self.members.iter().filter_map(|member| member.machine.as_ref());
            let now = self.now();
            match machines.filter_map(Machine::deadline).min().filter(|at| *at < now + 5_000) {
                Some(at) if !self.are_equal() => self.time.store(at.max(now + 1), Ordering::Relaxed),
                _ => return,
            }
        }
        panic!("it goes on without end");
    }

    /// The process of a member ends, and what it was connected with sees that.
    pub(crate) fn end(&mut self, who: usize) {
        self.disconnect();
        self.exchange();
        self.members[who].machine = None;
    }

    /// A process on what is stored, and its link.
    pub(crate) fn begin(&mut self, who: usize) {
        self.start(who);
        self.connect();
        self.exchange();
    }

    /// So much time goes by in which nobody does anything.
    pub(crate) fn pass(&mut self, time: u64) {
        self.time.fetch_add(time, Ordering::Relaxed);
    }

    /// A wish that is carried out, and spread as far as there is a wire.
    pub(crate) fn done(&mut self, who: usize, wish: Wish) -> Option<TransactionId> {
        let wish = self.wish(who, wish);
        self.exchange();
        self.answers.remove(&wish).unwrap().map_or_else(|error| panic!("{error}"), |done| written(&Ok(done)))
    }

    /// In virtual time, in ms.
    pub(crate) fn now(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }

    /// Until a time, and all that is due then is done.
    pub(crate) fn until(&mut self, end: u64) {
        loop {
            while let Some(who) = [0, 1].into_iter().find(|who| self.is_due(*who)) {
                self.round(who);
            }
            let next = self.members.iter().filter_map(|member| member.machine().deadline()).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.time.store(next, Ordering::Relaxed);
        }
        self.time.store(end, Ordering::Relaxed);
    }

    pub(crate) fn are_equal(&self) -> bool {
        let [one, other] = &self.members;
        match (&one.machine, &other.machine) {
            (Some(one), Some(other)) => {
                one.replica().digest() == other.replica().digest()
                    && other.sessions().iter().any(|(_, status)| status.equal)
            }
            _ => true,
        }
    }
}
