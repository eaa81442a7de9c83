//! A member that has turned: it holds its key and its history, runs the real sessions, and lies in them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ed25519_dalek::SigningKey;
use kith_core::Result;
use kith_core::network::LinkId;
use kith_core::replica::payload::{Add, CallPayload, Invite, KeyPackage, Remove, SetRole, Skip};
use kith_core::replica::{
    ContextId, Draft, Kind, MemberId, Parent, Payload, Role, Tip, Transaction, TransactionId,
};
use kith_core::sync::{Binding, Channel, History, Local, Output, Position, Session, Standing, Tips};

use crate::dice::Dice;

/// What a liar does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Lie {
    /// Two transactions of one sequence, each shown to some peers.
    Fork,
    Lamport,
    /// A parent with another sequence than it has.
    ParentSequence,
    /// A parent that never was.
    ParentUnknown,
    /// Another member's transaction under its own name and signature.
    Author,
    OtherContext,
    /// Its own chain from an old place on.
    Backdate,
    /// A call, whatever its role.
    Call,
    /// Somebody removed, promoted, demoted or skipped, whatever its role.
    Govern,
    /// An invitation used once more, for a new key.
    UseAgain,
    /// Bytes that are no message.
    Garbage,
    /// As many bytes as there may be, and one more.
    Huge,
    /// Tips that never were.
    FalseVector,
    /// The digest of nothing.
    FalseDigest,
    /// Some of what it has is not given.
    Withhold,
    /// Everything once more.
    Replay,
    /// The truth again.
    Repent,
}

impl Lie {
    /// Each of them.
    pub const ALL: [Self; 17] = [
        Self::Fork,
        Self::Lamport,
        Self::ParentSequence,
        Self::ParentUnknown,
        Self::Author,
        Self::OtherContext,
        Self::Backdate,
        Self::Call,
        Self::Govern,
        Self::UseAgain,
        Self::Garbage,
        Self::Huge,
        Self::FalseVector,
        Self::FalseDigest,
        Self::Withhold,
        Self::Replay,
        Self::Repent,
    ];
}

/// What it shows to one peer.
#[derive(Clone, Debug, Default)]
struct Bag {
    all: BTreeMap<(MemberId, u64, TransactionId), Transaction>,
    ids: HashMap<TransactionId, Position>,
    /// Shown to peers with an even link, and to those with an odd one.
    shown: [BTreeSet<TransactionId>; 2],
    false_tips: Vec<Tips>,
    false_digest: Option<[u8; 32]>,
    withheld: BTreeSet<TransactionId>,
}

struct Shown<'a>(&'a Bag, LinkId);

/// What goes out: to which link and channel.
pub type Outgoing = Vec<(LinkId, Channel, Vec<u8>)>;

/// See the module.
pub struct Liar {
    key: SigningKey,
    me: MemberId,
    context: ContextId,
    role: Role,
    invitation: Option<(TransactionId, SigningKey)>,
    bag: Bag,
    sessions: BTreeMap<LinkId, (Channel, Session)>,
    dice: Dice,
    counter: u64,
}

impl std::fmt::Debug for Liar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Liar").field("me", &self.me).finish_non_exhaustive()
    }
}

impl Bag {
    fn keep(&mut self, transaction: Transaction) -> TransactionId {
        let id = transaction.header.id();
        let header = &transaction.header;
        let (author, sequence, lamport) = (header.author, header.sequence, header.lamport);
        self.ids.insert(id, Position { author, sequence, lamport });
        self.all.entry((author, sequence, id)).or_insert(transaction);
        id
    }

    fn get(&self, id: &TransactionId) -> Option<&Transaction> {
        let at = self.ids.get(id)?;
        self.all.get(&(at.author, at.sequence, *id))
    }

    /// What nothing names, but for one author.
    fn heads(&self) -> Vec<&Transaction> {
        let mut named: BTreeSet<TransactionId> = BTreeSet::new();
        for transaction in self.all.values() {
            named.insert(transaction.header.previous);
            named.extend(transaction.header.parents.iter().map(|parent| parent.id));
        }
        self.all
            .iter()
            .filter(|((_, _, id), _)| !named.contains(id))
            .map(|(_, transaction)| transaction)
            .collect()
    }
}

impl Shown<'_> {
    fn hides(&self, id: &TransactionId) -> bool {
        self.0.withheld.contains(id) || self.0.shown[(self.1.0 % 2) as usize].contains(id)
    }
}

impl History for Shown<'_> {
    fn digest(&self) -> Result<[u8; 32]> {
        let mut hasher = blake3::Hasher::new();
        self.0.all.keys().filter(|(_, _, id)| !self.hides(id)).for_each(|(_, _, id)| {
            hasher.update(&id.0);
        });
        Ok(self.0.false_digest.unwrap_or(*hasher.finalize().as_bytes()))
    }

    fn tips(&self, after: Option<&MemberId>, limit: usize) -> Result<Vec<Tips>> {
        if !self.0.false_tips.is_empty() {
            let later =
                self.0.false_tips.iter().filter(|tips| after.is_none_or(|after| tips.author > *after));
            return Ok(later.take(limit).cloned().collect());
        }
        let mut all: BTreeMap<MemberId, Vec<Tip>> = BTreeMap::new();
        let previous: BTreeSet<TransactionId> = self.0.all.values().map(|t| t.header.previous).collect();
        for (author, sequence, id) in self.0.all.keys().filter(|(author, _, id)| {
            after.is_none_or(|after| author > after) && !previous.contains(id) && !self.hides(id)
        }) {
            all.entry(*author).or_default().push(Tip { sequence: *sequence, id: *id });
        }
        Ok(all.into_iter().take(limit).map(|(author, tips)| Tips { author, tips }).collect())
    }

    fn position(&self, id: &TransactionId) -> Result<Option<Position>> {
        Ok(self.0.ids.get(id).copied())
    }

    fn transaction(&self, id: &TransactionId) -> Result<Option<Transaction>> {
        Ok(self.0.get(id).filter(|_| !self.hides(id)).cloned())
    }

    fn chain(
        &self,
        author: &MemberId,
        after: Tip,
        limit: usize,
        _bytes: usize,
    ) -> Result<Vec<(TransactionId, Transaction)>> {
        let from = (*author, after.sequence, after.id);
        let later = self
            .0
            .all
            .range(from..)
            .filter(|(key, _)| **key != from && key.0 == *author && !self.hides(&key.2));
        Ok(later.take(limit).map(|((_, _, id), transaction)| (*id, transaction.clone())).collect())
    }

    fn standing(&self, _member: &MemberId, _supporting: &[Transaction]) -> Result<Standing> {
        Ok(Standing::Member(Role::Admin))
    }
}

impl Liar {
    /// A member turns, with all that it holds.
    pub fn new(
        key: SigningKey,
        context: ContextId,
        role: Role,
        invitation: Option<(TransactionId, SigningKey)>,
        history: impl IntoIterator<Item = Transaction>,
        dice: Dice,
    ) -> Self {
        let mut bag = Bag::default();
        history.into_iter().for_each(|transaction| {
            bag.keep(transaction);
        });
        let me = MemberId(key.verifying_key().to_bytes());
        Self { key, me, context, role, invitation, bag, sessions: BTreeMap::new(), dice, counter: 0 }
    }

    /// A channel is open.
    pub fn opened(&mut self, link: LinkId, channel: Channel, binding: Binding, now: u64) -> Outgoing {
        let local = Local::Member { supporting: Vec::new() };
        match Session::new(binding, &self.key, local, self.dice.next(), &Shown(&self.bag, link), now) {
            Ok((session, outputs)) => {
                self.sessions.insert(link, (channel, session));
                self.carry_out(link, outputs, now)
            }
            Err(_) => Vec::new(),
        }
    }

    /// A channel is closed.
    pub fn closed(&mut self, link: LinkId) {
        self.sessions.remove(&link);
    }

    /// A message came.
    pub fn message(&mut self, link: LinkId, message: &[u8], now: u64) -> Outgoing {
        self.with(link, now, |session, history| session.receive(message, history, now))
    }

    /// Time has passed.
    pub fn tick(&mut self, now: u64) -> Outgoing {
        let links: Vec<LinkId> = self.sessions.keys().copied().collect();
        links.into_iter().flat_map(|link| self.with(link, now, |s, history| s.tick(history, now))).collect()
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.sessions.values().filter_map(|(_, session)| session.deadline()).min()
    }

    fn with(
        &mut self,
        link: LinkId,
        now: u64,
        input: impl FnOnce(&mut Session, &Shown<'_>) -> Result<Vec<Output>>,
    ) -> Outgoing {
        let Some((_, session)) = self.sessions.get_mut(&link) else { return Vec::new() };
        let outputs = input(session, &Shown(&self.bag, link)).unwrap_or_default();
        self.carry_out(link, outputs, now)
    }

    fn carry_out(&mut self, link: LinkId, outputs: Vec<Output>, now: u64) -> Outgoing {
        let mut out = Outgoing::new();
        let mut delivered = Vec::new();
        let Some(channel) = self.sessions.get(&link).map(|(channel, _)| *channel) else { return out };
        for output in outputs {
            match output {
                Output::Send { message, .. } => out.push((link, channel, message)),
                Output::Deliver { token, transactions } => {
                    transactions.into_iter().for_each(|transaction| {
                        self.bag.keep(transaction);
                    });
                    delivered.push(token);
                }
                Output::Ended(_) => {
                    self.sessions.remove(&link);
                }
                _ => {}
            }
        }
        for token in delivered {
            out.extend(self.with(link, now, |session, history| session.delivered(token, history, now)));
        }
        out
    }

    fn show(&mut self, ids: &[TransactionId], now: u64) -> Outgoing {
        let links: Vec<LinkId> = self.sessions.keys().copied().collect();
        links
            .into_iter()
            .flat_map(|link| {
                self.with(link, now, |session, history| {
                    let shown: Vec<TransactionId> =
                        ids.iter().copied().filter(|id| !history.hides(id)).collect();
                    let mut outputs = session.added(&shown, history, now)?;
                    outputs.extend(session.compare(history, now)?);
                    Ok(outputs)
                })
            })
            .collect()
    }

    fn own(&self) -> Vec<Transaction> {
        let own = self
            .bag
            .all
            .range((self.me, 0, TransactionId::default())..)
            .take_while(|(key, _)| key.0 == self.me);
        own.map(|(_, transaction)| transaction.clone()).collect()
    }

    /// A transaction after `previous`, naming what nothing else names.
    fn draft(&mut self, previous: Option<&Transaction>, payload: &Payload) -> Draft {
        self.counter += 1;
        let mut parents: BTreeMap<MemberId, Parent> = BTreeMap::new();
        let mut lamport = previous.map_or(0, |previous| previous.header.lamport);
        let added = |t: &&Transaction| matches!(Payload::decode(t.header.kind, t.plaintext()), Some(Payload::Add(add)) if add.member == self.me);
        let heads: Vec<&Transaction> = match previous {
            Some(_) => self.bag.heads(),
            None => self.bag.all.values().filter(added).take(1).collect(),
        };
        for head in heads.into_iter().filter(|head| head.header.author != self.me).take(8) {
            lamport = lamport.max(head.header.lamport);
            let parent =
                Parent { author: head.header.author, sequence: head.header.sequence, id: head.header.id() };
            parents.insert(head.header.author, parent);
        }
        Draft {
            context: self.context,
            sequence: previous.map_or(1, |previous| previous.header.sequence + 1),
            previous: previous.map(|previous| previous.header.id()).unwrap_or_default(),
            parents: parents.into_values().collect(),
            lamport: lamport + 1,
            timestamp: self.counter,
            kind: payload.kind(),
            plaintext: payload.encode(),
            commitment_key: self.dice.bytes(),
        }
    }

    fn call(&mut self) -> Payload {
        let key = crate::calls::state_key(self.dice.below(6) as u8);
        let (method, arguments) = kith_core::application::kv::put(&key, self.dice.bytes().to_vec());
        Payload::Call(CallPayload { method: method.into(), arguments })
    }

    fn somebody(&mut self) -> MemberId {
        let authors: BTreeSet<MemberId> = self.bag.all.keys().map(|(author, _, _)| *author).collect();
        let authors: Vec<MemberId> = authors.into_iter().filter(|author| *author != self.me).collect();
        self.dice.pick(&authors).copied().unwrap_or(self.me)
    }

    /// Tells a lie. What goes out, and frames that are no link's.
    pub fn tell(&mut self, lie: Lie, now: u64) -> Outgoing {
        let own = self.own();
        let last = own.last().cloned();
        let last = last.as_ref();
        let call = self.call();
        let mut new: Vec<Transaction> = Vec::new();
        match lie {
            Lie::Call => new.push(self.draft(last, &call).sign(&self.key)),
            Lie::Fork => {
                let one = self.draft(last, &call).sign(&self.key);
                let other = self.call();
                let other = self.draft(last, &other).sign(&self.key);
                self.bag.shown[0].insert(one.header.id());
                self.bag.shown[1].insert(other.header.id());
                new.extend([one, other]);
            }
            Lie::Lamport => {
                let mut draft = self.draft(last, &call);
                draft.lamport = draft.lamport.saturating_add_signed(self.dice.below(7) as i64 - 3).max(1);
                new.push(draft.sign(&self.key));
            }
            Lie::ParentSequence | Lie::ParentUnknown => {
                let mut draft = self.draft(last, &call);
                let unknown = TransactionId(self.dice.bytes());
                if let Some(parent) = draft.parents.first_mut() {
                    match lie {
                        Lie::ParentSequence => parent.sequence += 1,
                        _ => parent.id = unknown,
                    }
                }
                new.push(draft.sign(&self.key));
            }
            Lie::Author => {
                let author = self.somebody();
                let theirs =
                    self.bag.all.iter().filter(|(key, _)| key.0 == author).map(|(_, t)| t.clone()).last();
                if let Some(mut theirs) = theirs {
                    theirs.header.author = self.me;
                    theirs.header.timestamp += 1;
                    new.push(theirs);
                }
            }
            Lie::OtherContext => {
                let mut draft = self.draft(last, &call);
                draft.context = ContextId(self.dice.bytes());
                new.push(draft.sign(&self.key));
            }
            Lie::Backdate => {
                let old = own.get(self.dice.below(own.len())).cloned();
                let mut draft = self.draft(old.as_ref(), &call);
                if let Some(old) = &old {
                    draft.parents.clear();
                    draft.lamport = old.header.lamport + 1;
                }
                new.push(draft.sign(&self.key));
            }
            Lie::Govern => {
                let payload = self.governs();
                new.push(self.draft(last, &payload).sign(&self.key));
            }
            Lie::UseAgain => {
                if let Some((invite, secret)) = self.invitation.clone() {
                    let stranger = SigningKey::from_bytes(&self.dice.bytes());
                    let request = Add::request(
                        &self.context,
                        &stranger,
                        self.role,
                        KeyPackage::default(),
                        Some((invite, &secret)),
                    );
                    new.push(self.draft(last, &Payload::Add(request)).sign(&self.key));
                }
            }
            Lie::Garbage | Lie::Huge => {
                let length =
                    if lie == Lie::Huge { kith_core::limits::FRAME + 1 } else { self.dice.below(300) };
                let bytes: Vec<u8> = (0..length).map(|_| self.dice.next() as u8).collect();
                return self
                    .sessions
                    .iter()
                    .map(|(link, (channel, _))| (*link, *channel, bytes.clone()))
                    .collect();
            }
            Lie::FalseVector => {
                let (author, count) = (self.somebody(), 1 + self.dice.below(50) as u64);
                let tips = (1..=count)
                    .map(|sequence| Tip { sequence, id: TransactionId(self.dice.bytes()) })
                    .collect();
                self.bag.false_tips = vec![Tips { author, tips }];
            }
            Lie::FalseDigest => self.bag.false_digest = Some(self.dice.bytes()),
            Lie::Withhold => {
                let ids: Vec<TransactionId> = self.bag.all.keys().map(|key| key.2).collect();
                self.bag.withheld = ids.into_iter().filter(|_| self.dice.one_in(3)).collect();
            }
            Lie::Replay => {
                let ids: Vec<TransactionId> = self.bag.all.keys().map(|key| key.2).take(200).collect();
                return self.show(&ids, now);
            }
            Lie::Repent => {
                self.bag.false_tips.clear();
                self.bag.false_digest = None;
                self.bag.withheld.clear();
                self.bag.shown = Default::default();
            }
        }
        let ids: Vec<TransactionId> = new.into_iter().map(|transaction| self.bag.keep(transaction)).collect();
        self.show(&ids, now)
    }

    fn governs(&mut self) -> Payload {
        let member = self.somebody();
        match self.dice.below(5) {
            0 => Payload::Remove(Remove { member, last: Vec::new() }),
            1 => Payload::SetRole(SetRole { member: self.me, role: Role::Admin, last: None }),
            2 => Payload::SetRole(SetRole { member, role: Role::Reader, last: Some(Vec::new()) }),
            3 => {
                let key = SigningKey::from_bytes(&self.dice.bytes());
                let key = MemberId(key.verifying_key().to_bytes());
                Payload::Invite(Invite {
                    key,
                    role: Role::Admin,
                    not_after: 0,
                    max_uses: 9,
                    note: String::new(),
                })
            }
            _ => {
                let calls = self.bag.all.iter().filter(|(_, t)| t.header.kind == Kind::Call as u8);
                let calls: Vec<TransactionId> = calls.map(|(key, _)| key.2).collect();
                let transaction = self.dice.pick(&calls).copied().unwrap_or_default();
                Payload::Skip(Skip { transaction })
            }
        }
    }
}
