//! What a liar writes, and its keys: in a sealed context what it says, true or not, is sealed as an honest member's is, and those who have its epoch
//! open it.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use kith_core::application::kv::{self, KeyValue};
use kith_core::encryption::{Epoch, RatchetKey, Recipient, Scope, Secret, Trouble};
use kith_core::keyring::{Change, Key, Ring, Rows};
use kith_core::replica::payload::{CallPayload, KeyPackage};
use kith_core::replica::{
    Header, Kind, MemberId, Payload, Replica, Signer, StateKey, Tip, Transaction, TransactionId,
};
use zeroize::Zeroizing;

use crate::liar::{Liar, Story};

#[derive(Default)]
struct Memory(BTreeMap<Key, Zeroizing<Vec<u8>>>);

impl Rows for Memory {
    fn row(&self, key: &Key) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        Ok(self.0.get(key).cloned())
    }
}

impl Memory {
    fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            match change.value {
                Some(value) => self.0.insert(change.key, value),
                None => self.0.remove(&change.key),
            };
        }
    }
}

pub(crate) struct Keys {
    scope: Scope,
    me: MemberId,
    rows: Memory,
    /// Its own, for all members that it saw.
    epoch: Option<TransactionId>,
    /// Of what was sealed last: the chain goes on when that is part of the history, so that two lies may have one number.
    next: Option<Change>,
}

fn entropy() -> Secret {
    Secret::new(crate::network::secret())
}

impl Keys {
    /// First keys, and what others get of them.
    pub(crate) fn new(scope: Scope, me: MemberId) -> (Self, KeyPackage) {
        let mut keys = Self { scope, me, rows: Memory::default(), epoch: None, next: None };
        let (first, change) = keys.ring().start(&entropy());
        keys.rows.apply([change]);
        (keys, KeyPackage { suite: scope.suite as u8, ratchet_key: first.key, not_after: 0 })
    }

    fn ring(&self) -> Ring<'_, Memory> {
        Ring { scope: self.scope, me: self.me, rows: &self.rows }
    }

    pub(crate) const fn has_epoch(&self) -> bool {
        self.epoch.is_some()
    }

    /// Seals and signs. Of the header, everything is given but what follows from sealing.
    pub(crate) fn seal(
        &mut self,
        header: Header,
        plaintext: &[u8],
        signer: &SigningKey,
    ) -> Result<Transaction, Trouble> {
        let epoch = self.epoch.expect("an epoch of its own, by writing something");
        let (sealed, _, change) = self.ring().seal(&epoch, header, plaintext, signer)?;
        self.next = Some(change);
        Ok(sealed)
    }

    /// What was sealed last counts.
    pub(crate) fn go_on(&mut self) {
        let change = self.next.take();
        self.rows.apply(change);
    }
}

impl Story {
    /// The members but one, with the keys that each published last.
    fn recipients(&self, scope: &Scope, me: MemberId) -> Vec<Recipient> {
        let others = self.replica.members().filter(|(member, _)| **member != me);
        let mut recipients: Vec<Recipient> = others
            .map(|(member, facts)| {
                let added = facts.added.id;
                let admission = self.replica.transaction(&self.tables, &added).unwrap().unwrap();
                let said = Payload::decode(admission.header.kind, admission.plaintext());
                let first = match said {
                    Some(Payload::Add(add)) => add.key_package.ratchet_key,
                    Some(Payload::Genesis(genesis)) => genesis.key_package.ratchet_key,
                    other => panic!("{other:?} admits nobody"),
                };
                let start = Tip { sequence: 0, id: TransactionId::default() };
                let chain = self.replica.chain(&self.tables, member, start, 1000).unwrap();
                let mut later = chain.iter().filter_map(|(_, transaction)| {
                    match Payload::decode(transaction.header.kind, transaction.plaintext())? {
                        Payload::Epoch(said) => Some(Epoch::decode(scope, &said).unwrap().ratchet_key),
                        Payload::RefreshKey(said) => Some(borsh::from_slice(&said).unwrap()),
                        _ => None,
                    }
                });
                let key = later.next_back().unwrap_or(RatchetKey { index: 0, key: first });
                Recipient { member: *member, added, key }
            })
            .collect();
        recipients.sort_by_key(|to| to.member);
        recipients
    }
}

fn call(name: &str, value: &[u8]) -> Payload {
    let (method, arguments) = kv::put(&StateKey::of("liar", name), value);
    Payload::Call(CallPayload { method: method.into(), arguments })
}

impl Liar {
    /// Makes an epoch for the members that it sees; gives what is to be shown.
    pub(crate) fn rotate(&mut self) -> Vec<Transaction> {
        let Some(keys) = &self.keys else { return Vec::new() };
        let recipients = self.story.recipients(&keys.scope, keys.me);
        let draft = keys.ring().draft_epoch(&recipients, &entropy()).unwrap();
        let written = self.author("an epoch", Payload::Epoch(borsh::to_vec(&draft.epoch).unwrap()));
        let id = written.last().unwrap().header.id();
        let keys = self.keys.as_mut().unwrap();
        let changes = keys.ring().begin_epoch(draft, &id);
        keys.rows.apply(changes);
        keys.epoch = Some(id);
        written
    }

    /// What it would write now, unsealed or to be sealed: the header, and what it says.
    pub(crate) fn draft(&self, name: &str, value: &[u8]) -> (Header, Vec<u8>) {
        let mut fresh = || *blake3::hash(name.as_bytes()).as_bytes();
        let mut signer = Signer { key: &self.key, timestamp: 1, random: &mut fresh };
        let mut copy = Replica::open(self.story.replica.context(), &self.story.tables).unwrap();
        // A note stands where the call would.
        let (written, _) = copy.author(&mut signer, Payload::Note, &self.story.tables, None).unwrap();
        let mut header = written.last().unwrap().header.clone();
        header.kind = Kind::Call as u8;
        (header, call(name, value).encode())
    }

    /// A true transaction of its own, not yet shown to anybody and not taken into its history. In a sealed context it has to have written before.
    pub(crate) fn call(&mut self, name: &str, value: &[u8]) -> Transaction {
        if self.keys.is_some() {
            let (header, said) = self.draft(name, value);
            return self.seal(header, &said);
        }
        let payload = call(name, value);
        let mut fresh = || *blake3::hash(name.as_bytes()).as_bytes();
        let mut signer = Signer { key: &self.key, timestamp: 1, random: &mut fresh };
        let mut copy = Replica::open(self.story.replica.context(), &self.story.tables).unwrap();
        let (mut written, _) =
            copy.author(&mut signer, payload, &self.story.tables, Some(&KeyValue)).unwrap();
        written.pop().unwrap()
    }

    pub(crate) fn seal(&mut self, header: Header, said: &[u8]) -> Transaction {
        self.keys.as_mut().unwrap().seal(header, said, &self.key).unwrap()
    }

    /// Writes something true, and takes it into its history.
    pub(crate) fn write(&mut self, name: &str, value: &[u8]) -> Vec<Transaction> {
        let Some(keys) = &self.keys else {
            return self.author(name, call(name, value));
        };
        let mut written = if keys.has_epoch() { Vec::new() } else { self.rotate() };
        let call = self.call(name, value);
        self.take(call.clone());
        written.push(call);
        written
    }

    /// Takes a transaction into its history that others have taken: what it signed or sealed last.
    pub(crate) fn take(&mut self, transaction: Transaction) {
        if let Some(keys) = &mut self.keys {
            keys.go_on();
        }
        self.story.take(transaction);
    }
}
