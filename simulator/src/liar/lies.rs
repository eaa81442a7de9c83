//! What a liar says.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::{Signer, SigningKey};
use kith_core::node::machine::first_keys;
use kith_core::replica::payload::{Add, CallPayload, Invite, KeyPackage, Remove, SetRole, Skip};
use kith_core::replica::{
    ContextId, Draft, Kind, MemberId, Parent, Payload, Role, Tip, Transaction, TransactionId,
};
use kith_core::sync::Tips;

use super::{Liar, Outgoing};

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
    /// Another member's transaction under its own name.
    Author,
    OtherContext,
    /// A valid one that is covered by nothing but an invalid one, or one that waits for ever; for some peers only.
    Uncovered,
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
    /// A sequence that does not follow the one before.
    Sequence,
    /// Whoever asks what a sealed call says is told something else.
    FalseShares,
    /// Epochs and keys of its own that are not what they must be, now and then with a call under one.
    Keys,
    /// The next transaction of another member, right in all but its signature, which is the liar's.
    Forge,
}

impl Lie {
    /// Those that most plans are made of; the last four are told in plans of their own.
    pub const FIRST: [Self; 18] = [
        Self::Fork,
        Self::Lamport,
        Self::ParentSequence,
        Self::ParentUnknown,
        Self::Author,
        Self::OtherContext,
        Self::Uncovered,
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

impl Liar {
    /// Its own chain: often as far as the others can let it in, else with whatever it has put on top of that.
    fn own(&mut self) -> Vec<Transaction> {
        let all = self.dice.one_in(3);
        let own = self
            .bag
            .all
            .range((self.me, 0, TransactionId::default())..)
            .take_while(|(key, _)| key.0 == self.me)
            .filter(|(key, _)| all || !self.bag.bad.contains(&key.2));
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

    /// Signed; a call in a sealed context is given an epoch, and what it says is known to whoever gets it from here: the content is what
    /// opens the commitment.
    fn signed(&mut self, draft: Draft) -> Transaction {
        let mut transaction = draft.sign(&self.key);
        let epochs = self.bag.all.values().filter(|t| t.header.kind == Kind::Epoch as u8);
        let epochs: Vec<TransactionId> = epochs.map(|epoch| epoch.header.id()).collect();
        let Some(epoch) =
            self.dice.pick(&epochs).copied().filter(|_| transaction.header.kind == Kind::Call as u8)
        else {
            return transaction;
        };
        let header = &mut transaction.header;
        header.epoch = epoch.0;
        header.counter = self.dice.below(300) as u32;
        header.payload_len -= 16;
        let bytes = [&b"kith 2026 transaction signature"[..], &header.id().0].concat();
        transaction.signature = Some(self.key.sign(&bytes).to_bytes());
        if self.dice.one_in(4) {
            // Nobody has the keys, and who wants to know what it says asks in vain.
            transaction.payload.truncate(header.payload_len as usize);
            transaction.header.payload_hash = blake3::derive_key("kith 2026 payload", &transaction.payload);
            let bytes = [&b"kith 2026 transaction signature"[..], &transaction.header.id().0].concat();
            transaction.signature = Some(self.key.sign(&bytes).to_bytes());
        }
        transaction
    }

    /// First keys for somebody, of the context's suite.
    fn package(&mut self, whose: &SigningKey) -> KeyPackage {
        let genesis = self.bag.all.values().find(|t| t.header.is_genesis());
        let suite = match genesis.and_then(|t| Payload::decode(t.header.kind, t.plaintext())) {
            Some(Payload::Genesis(genesis)) => genesis.suite,
            _ => 0,
        };
        let member = MemberId(whose.verifying_key().to_bytes());
        first_keys(suite, member, self.dice.bytes()).map(|(package, _)| package).unwrap_or_default()
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
            Lie::Call => {
                let draft = self.draft(last, &call);
                new.push(self.signed(draft));
            }
            Lie::Fork => {
                let one = self.draft(last, &call);
                let one = self.signed(one);
                let other = self.call();
                let other = self.draft(last, &other);
                let other = self.signed(other);
                self.bag.shown[0].insert(one.header.id());
                self.bag.shown[1].insert(other.header.id());
                new.extend([one, other]);
            }
            Lie::Lamport => {
                let mut draft = self.draft(last, &call);
                draft.lamport = draft.lamport.saturating_add_signed(self.dice.below(7) as i64 - 3).max(1);
                new.push(self.signed(draft));
            }
            Lie::Sequence => {
                let mut draft = self.draft(last, &call);
                let by = 1 + self.dice.below(3) as u64;
                let before = draft.sequence.saturating_sub(by);
                draft.sequence = if before > 0 && self.dice.one_in(2) { before } else { draft.sequence + by };
                new.push(self.signed(draft));
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
                new.push(self.signed(draft));
            }
            Lie::Author => {
                let author = self.somebody();
                let theirs = self
                    .bag
                    .all
                    .iter()
                    .filter(|(key, _)| key.0 == author)
                    .map(|(_, t)| t.clone())
                    .next_back();
                if let Some(mut theirs) = theirs {
                    theirs.header.author = self.me;
                    theirs.header.timestamp += 1;
                    new.push(theirs);
                }
            }
            Lie::Forge => {
                let author = self.somebody();
                let theirs = self.bag.all.iter().filter(|(key, _)| key.0 == author);
                if let Some(theirs) = theirs.map(|(_, t)| t.clone()).next_back() {
                    let mut draft = self.draft(Some(&theirs), &call);
                    draft.parents.clear();
                    draft.lamport = theirs.header.lamport + 1;
                    let mut forged = self.signed(draft);
                    forged.header.author = author;
                    let bytes = [&b"kith 2026 transaction signature"[..], &forged.header.id().0].concat();
                    forged.signature = Some(self.key.sign(&bytes).to_bytes());
                    new.push(forged);
                }
            }
            Lie::OtherContext => {
                let mut draft = self.draft(last, &call);
                draft.context = ContextId(self.dice.bytes());
                new.push(self.signed(draft));
            }
            Lie::Uncovered => {
                let valid = self.draft(last, &call);
                let valid = self.signed(valid);
                let mut bad = self.draft(Some(&valid), &call);
                bad.lamport += 1;
                if self.dice.one_in(2) {
                    let (author, id) = (self.somebody(), TransactionId(self.dice.bytes()));
                    bad.parents = vec![Parent { author, sequence: 1, id }];
                }
                let bad = self.signed(bad);
                let hidden = self.dice.below(2);
                self.bag.shown[hidden].extend([valid.header.id(), bad.header.id()]);
                self.bag.bad.insert(bad.header.id());
                self.bag.keep(valid);
                self.bag.keep(bad);
                // Pushed alone, the valid one would have its signature.
                return self.show(&[], now);
            }
            Lie::Backdate => {
                let old = own.get(self.dice.below(own.len())).cloned();
                let mut draft = self.draft(old.as_ref(), &call);
                if let Some(old) = &old {
                    draft.parents.clear();
                    draft.lamport = old.header.lamport + 1;
                }
                new.push(self.signed(draft));
            }
            Lie::Govern => {
                let payload = self.governs();
                let draft = self.draft(last, &payload);
                new.push(self.signed(draft));
            }
            Lie::UseAgain => {
                if let Some((invite, secret)) = self.invitation.clone() {
                    let stranger = SigningKey::from_bytes(&self.dice.bytes());
                    let package = self.package(&stranger);
                    let request =
                        Add::request(&self.context, &stranger, self.role, package, Some((invite, &secret)));
                    let draft = self.draft(last, &Payload::Add(request));
                    new.push(self.signed(draft));
                }
            }
            Lie::Garbage | Lie::Huge => {
                let length =
                    if lie == Lie::Huge { kith_core::limits::FRAME + 1 } else { self.dice.below(300) };
                let bytes: Vec<u8> = (0..length).map(|_| self.dice.number() as u8).collect();
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
            Lie::Keys => {
                for payload in [self.false_epoch(), self.false_refresh()].into_iter().flatten() {
                    let draft = self.draft(new.last().or(last), &payload);
                    let lie = self.signed(draft);
                    new.push(lie);
                }
                self.key_lies += new.len() as u64;
            }
            Lie::FalseShares => self.false_shares = true,
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
                self.false_shares = false;
                self.bag.withheld.clear();
                self.bag.shown = Default::default();
            }
        }
        let ids: Vec<TransactionId> = new.into_iter().map(|transaction| self.bag.keep(transaction)).collect();
        let bad = [
            Lie::Lamport,
            Lie::ParentSequence,
            Lie::ParentUnknown,
            Lie::Author,
            Lie::OtherContext,
            Lie::Sequence,
            Lie::Forge,
        ];
        if bad.contains(&lie) {
            self.bag.bad.extend(&ids);
        }
        self.show(&ids, now)
    }

    /// What it answers to a `Lacking`, if it lies in that: `Shares`, each of them a call that may well be meant.
    pub(super) fn share_falsely(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let asked: Vec<[u8; 32]> = match message {
            [crate::LACKING, ids @ ..] if self.false_shares => borsh::from_slice(ids).ok()?,
            _ => return None,
        };
        let contents = asked.into_iter().map(|id| (id, self.call().encode()));
        let opened: Vec<([u8; 32], Vec<u8>)> = contents.collect();
        let unable: Vec<[u8; 32]> = Vec::new();
        Some([vec![crate::LACKING + 1], borsh::to_vec(&(opened, unable)).ok()?].concat())
    }

    /// Tells every peer that who made the context was removed. The removal is signed, and has a past that nobody has: no history will have it.
    pub fn show_removal(&mut self) -> Outgoing {
        let founder = self.bag.all.values().find(|t| t.header.is_genesis()).map(|t| t.header.author);
        let Some(member) = founder.filter(|founder| *founder != self.me) else { return Outgoing::new() };
        let own = self.own();
        let mut draft = self.draft(own.last(), &Payload::Remove(Remove { member, last: Vec::new() }));
        draft.sequence += 1;
        draft.previous = TransactionId(self.dice.bytes());
        let removal = draft.sign(&self.key);
        // `Evidence`, with one transaction that is signed itself, and nothing behind it.
        let mut message = vec![4];
        message.extend(1u32.to_le_bytes());
        message.extend(borsh::to_vec(&removal.header).unwrap_or_default());
        message.extend(borsh::to_vec(&removal.payload).unwrap_or_default());
        message.extend(0u32.to_le_bytes());
        message.extend(removal.signature.unwrap_or([0; 64]));
        message.push(1);
        self.sessions.iter().map(|(link, (channel, _))| (*link, *channel, message.clone())).collect()
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
