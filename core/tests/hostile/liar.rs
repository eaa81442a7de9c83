//! A real member of a context that lies, made of the public parts without I/O: its link and its session are the ones that ship, its
//! history says what the test wants.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ed25519_dalek::{Signer as _, SigningKey};
use kith_core::Result;
use kith_core::application::kv::KeyValue;
use kith_core::encryption::{Scope, Suite, Wrapped};
use kith_core::invitation::Invitation;
use kith_core::network::{Config, Event, Events, LinkId, Network, PeerId};
use kith_core::replica::payload::{Add, KeyPackage};
use kith_core::replica::{
    ContextId, Draft, Header, Kind, MemberId, MemoryTables, Payload, Replica, Signer, Tip, Transaction,
    TransactionId, Verdict,
};
use kith_core::sync::{
    Channel, Ended, History, Link, LinkOutput, Local, Output, Position, Session, Standing, Tips,
};

use crate::keys::Keys;
use crate::nodes::PATIENCE;

/// What the liar says that its history is.
pub(crate) struct Story {
    pub(crate) replica: Replica,
    pub(crate) tables: MemoryTables,
    waiting: Vec<Transaction>,
    /// Transactions that it shows, true or not.
    pub(crate) lies: BTreeMap<TransactionId, Transaction>,
    /// What it names as its tips, beside the true ones.
    pub(crate) tips: BTreeMap<MemberId, Vec<Tip>>,
    /// Says nothing of itself but this digest.
    pub(crate) digest: Option<[u8; 32]>,
    /// Names transactions and does not give them.
    pub(crate) withholds: bool,
}

impl Story {
    /// Holds what is in the tables, and says so.
    fn of(context: ContextId, tables: MemoryTables) -> Self {
        Self {
            replica: Replica::open(context, &tables).unwrap(),
            tables,
            waiting: Vec::new(),
            lies: BTreeMap::new(),
            tips: BTreeMap::new(),
            digest: None,
            withholds: false,
        }
    }

    fn receive(&mut self, transactions: Vec<Transaction>) {
        self.waiting.extend(transactions);
        loop {
            let step = self.replica.receive(&self.tables, &self.waiting, Some(&KeyValue)).unwrap();
            self.tables.apply(step.writes);
            let not_yet: Vec<_> = step
                .verdicts
                .iter()
                .filter(|(_, verdict)| matches!(verdict, Verdict::NotYet(_)))
                .map(|(id, _)| *id)
                .collect();
            self.waiting.retain(|transaction| not_yet.contains(&transaction.header.id()));
            if step.admitted.is_empty() || self.waiting.is_empty() {
                return;
            }
        }
    }
}

impl History for Story {
    fn digest(&self) -> Result<[u8; 32]> {
        Ok(self.digest.unwrap_or_else(|| self.replica.digest()))
    }

    fn tips(&self, after: Option<&MemberId>, limit: usize) -> Result<Vec<Tips>> {
        let mut all: BTreeMap<MemberId, Vec<Tip>> =
            self.replica.tips().map(|(author, tips)| (*author, tips)).collect();
        for (author, tips) in &self.tips {
            all.insert(*author, tips.clone());
        }
        let later = all.into_iter().filter(|(author, _)| after.is_none_or(|after| author > after));
        Ok(later.take(limit).map(|(author, tips)| Tips { author, tips }).collect())
    }

    fn position(&self, id: &TransactionId) -> Result<Option<Position>> {
        if let Some(lie) = self.lies.get(id) {
            let header = &lie.header;
            let (author, sequence, lamport) = (header.author, header.sequence, header.lamport);
            return Ok(Some(Position { author, sequence, lamport }));
        }
        let at = self.replica.location(&self.tables, id)?;
        Ok(at.map(|at| Position { author: at.author, sequence: at.sequence, lamport: at.lamport }))
    }

    fn transaction(&self, id: &TransactionId) -> Result<Option<Transaction>> {
        match self.lies.get(id) {
            Some(lie) => Ok(Some(lie.clone())),
            None if self.withholds => Ok(None),
            None => self.replica.transaction(&self.tables, id),
        }
    }

    fn chain(
        &self,
        author: &MemberId,
        after: Tip,
        limit: usize,
        _bytes: usize,
    ) -> Result<Vec<(TransactionId, Transaction)>> {
        if self.withholds {
            return Ok(Vec::new());
        }
        let mut rows = self.replica.chain(&self.tables, author, after, limit)?;
        let lies = self.lies.iter().map(|(id, lie)| (*id, lie.clone()));
        rows.extend(lies.filter(|(id, lie)| {
            lie.header.author == *author && Tip { sequence: lie.header.sequence, id: *id } > after
        }));
        rows.sort_by_key(|(id, transaction)| (transaction.header.sequence, *id));
        rows.truncate(limit);
        Ok(rows)
    }

    fn standing(&self, member: &MemberId, _supporting: &[Transaction]) -> Result<Standing> {
        Ok(self.replica.member(member).map_or(Standing::Unknown, |facts| Standing::Member(facts.role)))
    }

    /// Takes whatever it is given: it is the test that looks at it.
    fn proves(&self, _epoch: &TransactionId, _given: &Wrapped) -> Result<bool> {
        Ok(true)
    }
}

pub(crate) struct Liar {
    pub(crate) network: Network,
    pub(crate) events: Events,
    pub(crate) key: SigningKey,
    /// What it asks to be added with.
    package: KeyPackage,
    /// What it seals with, in a sealed context.
    pub(crate) keys: Option<Keys>,
    invitation: Invitation,
    pub(crate) line: Option<(LinkId, Link)>,
    session: Option<(Channel, Session)>,
    pub(crate) story: Story,
    since: Instant,
    /// Every frame that was sent on the present link.
    pub(crate) sent: Vec<Vec<u8>>,
    /// How often the other side has closed the channel.
    pub(crate) closed: usize,
    /// How this side's own sessions ended.
    pub(crate) ended: Vec<Ended>,
    /// Bytes of messages that came.
    pub(crate) heard: usize,
    /// Whether to deal with what comes at all.
    pub(crate) deaf: bool,
    /// How many guesses at contexts were answered.
    pub(crate) answered_at_random: usize,
    /// What its session says that it was given of an epoch's wraps, or that there is nothing.
    pub(crate) wraps: Vec<Option<Wrapped>>,
    /// The messages with wraps, or that there are none, that came, whatever its session made of them.
    pub(crate) wraps_heard: Vec<Vec<u8>>,
}

/// Channels from here on are guesses: nothing else has such numbers.
const GUESSES: u32 = 1 << 30;
/// What a message with wraps, or that there are none, begins with.
const WRAPS: u8 = 18;

impl Liar {
    /// Joins honestly, with keys of its own where the context is sealed.
    pub(crate) async fn join(invitation: &Invitation) -> Self {
        let mut liar = Self::fresh(invitation);
        if let Some(suite) = Suite::from_number(invitation.suite) {
            let scope = Scope { suite, context: invitation.context };
            let (keys, package) = Keys::new(scope, liar.member());
            (liar.keys, liar.package) = (Some(keys), package);
        }
        liar.let_in().await
    }

    /// Joins with first keys of which it has no private half.
    pub(crate) async fn join_with(invitation: &Invitation, package: KeyPackage) -> Self {
        Self { package, ..Self::fresh(invitation) }.let_in().await
    }

    fn fresh(invitation: &Invitation) -> Self {
        let key = blake3::derive_key("a liar's member key", &crate::network::secret());
        let story = Story::of(invitation.context, MemoryTables::default());
        Self::new(invitation, SigningKey::from_bytes(&key), story)
    }

    async fn let_in(mut self) -> Self {
        let liar = &mut self;
        liar.connect().await;
        liar.until(|liar| liar.is_through() && liar.story.replica.member(&liar.member()).is_some()).await;
        self
    }

    /// Asks to be added with these first keys; how its session ended, if it was not let in.
    pub(crate) async fn asks(invitation: &Invitation, package: KeyPackage) -> Option<Ended> {
        let mut liar = Self { package, ..Self::fresh(invitation) };
        liar.connect().await;
        liar.until(|liar| !liar.ended.is_empty() || liar.is_through()).await;
        assert_eq!(liar.ended.is_empty(), liar.story.replica.member(&liar.member()).is_some());
        liar.ended.pop()
    }

    /// Comes as somebody who is a member by another's word, and holds what that one holds.
    pub(crate) async fn come_as(&self, key: SigningKey) -> Self {
        let story = Story::of(self.invitation.context, self.story.tables.clone());
        let mut liar = Self::new(&self.invitation, key, story);
        liar.connect().await;
        liar.until(Self::is_through).await;
        liar
    }

    fn new(invitation: &Invitation, key: SigningKey, story: Story) -> Self {
        let (network, events) = Network::start(Config::new(crate::network::secret())).unwrap();
        Self {
            network,
            events,
            key,
            package: KeyPackage::default(),
            keys: None,
            invitation: invitation.clone(),
            line: None,
            session: None,
            story,
            since: Instant::now(),
            sent: Vec::new(),
            closed: 0,
            ended: Vec::new(),
            heard: 0,
            deaf: false,
            answered_at_random: 0,
            wraps: Vec::new(),
            wraps_heard: Vec::new(),
        }
    }

    pub(crate) fn member(&self) -> MemberId {
        MemberId(self.key.verifying_key().to_bytes())
    }

    /// Whether it is in a session, in step with the node.
    pub(crate) fn is_through(&self) -> bool {
        self.session.as_ref().is_some_and(|(_, session)| session.status().equal)
    }

    pub(crate) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap()
    }

    pub(crate) async fn connect(&mut self) {
        self.network.connect(&self.invitation.addresses[0]).await.unwrap();
        self.until(|liar| liar.line.is_some()).await;
    }

    /// Cuts the connection and waits until it is gone.
    pub(crate) async fn hang_up(&mut self) {
        if let Some((link, _)) = &self.line {
            self.network.disconnect(*link).await.unwrap();
        }
        self.until(|liar| liar.line.is_none()).await;
    }

    /// Comes to another node of the same context instead.
    pub(crate) async fn go_to(&mut self, address: String) {
        self.hang_up().await;
        self.invitation.addresses = vec![address];
        self.connect().await;
        self.until(Self::is_through).await;
    }

    /// Opens a channel again after the node has closed one, and goes through the whole handshake.
    pub(crate) async fn come_back(&mut self) {
        let context = self.invitation.context;
        let Some((_, line)) = &mut self.line else { panic!("no link") };
        let outputs = line.open(&context);
        self.link_outputs(outputs).await;
        self.until(Self::is_through).await;
    }

    /// Takes part until something is so.
    pub(crate) async fn until(&mut self, so: impl Fn(&Self) -> bool) {
        let goal = async {
            while !so(self) {
                let due = self.session.as_ref().and_then(|(_, session)| session.deadline());
                let due = due.map_or(3_600_000, |due| due.saturating_sub(self.now()));
                match tokio::time::timeout(Duration::from_millis(due), self.events.recv()).await {
                    Ok(event) => self.on_event(event.expect("the network ended")).await,
                    Err(_) => self.with_session(|session, story, now| session.tick(story, now)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, goal).await.expect("the liar waits in vain");
    }

    async fn on_event(&mut self, event: Event) {
        match event {
            Event::LinkUp { link, peer, .. } => {
                let own = self.network.peer_id();
                let nonce = blake3::derive_key("a liar's nonce", &self.now().to_le_bytes());
                let (mut line, hello) = Link::new(&own.to_bytes(), &peer.to_bytes(), nonce).unwrap();
                let outputs = line.add(self.invitation.context, self.invitation.access_key, true);
                self.line = Some((link, line));
                self.sent.clear();
                self.send(hello).await;
                self.link_outputs(outputs).await;
            }
            Event::LinkDown { .. } => {
                self.line = None;
                self.session = None;
            }
            Event::Frame { .. } if self.deaf => {}
            Event::Frame { bytes, .. } => {
                let answer = bytes.strip_prefix(&[2]).and_then(|rest| rest.first_chunk::<4>());
                if answer.is_some_and(|channel| u32::from_le_bytes(*channel) >= GUESSES) {
                    self.answered_at_random += 1;
                }
                let Some((_, line)) = &mut self.line else { return };
                let outputs = line.receive(&bytes, [9; 32]).unwrap();
                self.link_outputs(outputs).await;
            }
            _ => {}
        }
    }

    /// Sends a frame as it is.
    pub(crate) async fn send(&mut self, frame: Vec<u8>) {
        let Some((link, _)) = &self.line else { return };
        self.sent.push(frame.clone());
        // The node may have cut the link.
        let _ = self.network.send(*link, frame).await;
    }

    async fn link_outputs(&mut self, outputs: Vec<LinkOutput>) {
        for output in outputs {
            match output {
                LinkOutput::Send(frame) => self.send(frame).await,
                LinkOutput::Opened { channel, binding } => {
                    let member = self.member();
                    let local = if self.story.replica.member(&member).is_some() {
                        Local::Member { supporting: Vec::new() }
                    } else {
                        let redeemed = (self.invitation.invite, &self.invitation.key());
                        Local::Joiner {
                            request: Box::new(Add::request(
                                &self.invitation.context,
                                &self.key,
                                self.invitation.role,
                                self.package.clone(),
                                Some(redeemed),
                            )),
                        }
                    };
                    let now = self.now();
                    let (session, outputs) =
                        Session::new(binding, &self.key, local, 1, &self.story, now).unwrap();
                    self.session = Some((channel, session));
                    Box::pin(self.outputs(outputs)).await;
                }
                LinkOutput::Closed { .. } => {
                    self.closed += 1;
                    self.session = None;
                }
                LinkOutput::Message { message, .. } => {
                    self.heard += message.len();
                    if message.first() == Some(&WRAPS) {
                        self.wraps_heard.push(message.clone());
                    }
                    Box::pin(self.with_session(|session, story, now| session.receive(&message, story, now)))
                        .await;
                }
                _ => {}
            }
        }
    }

    pub(crate) async fn with_session(
        &mut self,
        input: impl FnOnce(&mut Session, &Story, u64) -> Result<Vec<Output>>,
    ) {
        let now = self.now();
        let Some((_, session)) = &mut self.session else { return };
        let outputs = input(session, &self.story, now).unwrap();
        self.outputs(outputs).await;
    }

    async fn outputs(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send { message, .. } => self.say(message).await,
                Output::Deliver { token, transactions } => {
                    self.story.receive(transactions);
                    Box::pin(self.with_session(|session, story, now| session.delivered(token, story, now)))
                        .await;
                }
                Output::Wraps(_, given) => self.wraps.push(Some(given)),
                Output::NoWraps { .. } => self.wraps.push(None),
                Output::Ended(ended) => {
                    self.ended.push(ended);
                    let Some((channel, _)) = self.session.take() else { continue };
                    let Some((_, line)) = &mut self.line else { continue };
                    let outputs = line.close(channel);
                    Box::pin(self.link_outputs(outputs)).await;
                }
                _ => {}
            }
        }
    }

    /// Sends a message inside the channel, whatever it is.
    pub(crate) async fn say(&mut self, message: Vec<u8>) {
        let Some((channel, _)) = &self.session else { return };
        let Some((_, line)) = &self.line else { return };
        if let Some(frame) = line.message(*channel, message) {
            self.send(frame).await;
        }
    }

    /// Shows transactions as if they were new in its history; gives their ids.
    pub(crate) async fn push(&mut self, lies: Vec<Transaction>) -> Vec<TransactionId> {
        let ids: Vec<TransactionId> = lies.iter().map(|lie| lie.header.id()).collect();
        self.story.lies.extend(ids.iter().copied().zip(lies));
        self.with_session(|session, story, now| session.added(&ids, 0, story, now)).await;
        ids
    }

    /// Writes anything that is not sealed, and takes it into its history.
    pub(crate) fn author(&mut self, name: &str, payload: Payload) -> Vec<Transaction> {
        let mut fresh = || *blake3::hash(name.as_bytes()).as_bytes();
        let mut signer = Signer { key: &self.key, timestamp: 1, random: &mut fresh };
        let story = &mut self.story;
        let (written, step) =
            story.replica.author(&mut signer, payload, &story.tables, Some(&KeyValue)).unwrap();
        story.tables.apply(step.writes);
        written
    }
}

/// The same as a draft that is not sealed.
pub(crate) fn unsealed(header: &Header, plaintext: Vec<u8>) -> Draft {
    Draft {
        context: header.context,
        sequence: header.sequence,
        previous: header.previous,
        parents: header.parents.clone(),
        lamport: header.lamport,
        timestamp: header.timestamp,
        kind: Kind::Call,
        plaintext,
        commitment_key: [5; 32],
    }
}

/// The author's signature on what the header says now.
pub(crate) fn sign_again(mut transaction: Transaction, key: &SigningKey) -> Transaction {
    let mut message = b"kith 2026 transaction signature".to_vec();
    message.extend(transaction.header.id().0);
    transaction.signature = Some(key.sign(&message).to_bytes());
    transaction
}

impl Story {
    pub(crate) fn take(&mut self, transaction: Transaction) {
        self.lies.remove(&transaction.header.id());
        self.receive(vec![transaction]);
    }
}

impl Liar {
    /// How many comparisons the present session has begun.
    pub(crate) fn comparisons(&self) -> u64 {
        self.session.as_ref().map_or(0, |(_, session)| session.status().comparisons)
    }

    /// Opens a channel for a context whose key it does not know.
    pub(crate) async fn guess(&mut self, number: u32) {
        let own_first = self.network.peer_id().to_bytes() < self.node().to_bytes();
        let channel = GUESSES + 2 * number + u32::from(!own_first);
        self.send([&[1][..], &channel.to_le_bytes(), &[7; 32]].concat()).await;
        self.breathe().await;
    }

    /// Where the node is.
    pub(crate) fn address(&self) -> String {
        self.invitation.addresses[0].clone()
    }

    fn node(&self) -> PeerId {
        let (_, peer) = self.invitation.addresses[0].rsplit_once('/').unwrap();
        peer.parse().unwrap()
    }

    /// Deals with what has come until now, and waits for none.
    pub(crate) async fn breathe(&mut self) {
        while let Some(event) = self.events.try_recv() {
            self.on_event(event).await;
        }
    }
}
