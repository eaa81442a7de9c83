//! Members with their keys, who write, meet and are watched. What a member ever held is hoarded, for the attacks.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey;
use kith_core::encryption::rules::{Choice, Usage, best, decide};
use kith_core::encryption::{Opened, RatchetKey, Recipient, Scope, Secret, Suite, Trouble};
use kith_core::keyring::{Change, Key, Ring, Rows};
use kith_core::replica::payload::{Add, KeyPackage};
use kith_core::replica::{
    ContextId, HEADER_VERSION, Header, Kind, MemberId, Parent, Role, Transaction, TransactionId,
};
use zeroize::Zeroizing;

use super::history::{Event, History, Lens, Part, Set, What};

#[derive(Clone, Default, PartialEq, Eq)]
pub struct Memory(pub BTreeMap<Key, Vec<u8>>);

impl Rows for Memory {
    fn row(&self, key: &Key) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        Ok(self.0.get(key).cloned().map(Zeroizing::new))
    }
}

impl Memory {
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            match change.value {
                Some(value) => self.0.insert(change.key, value.to_vec()),
                None => self.0.remove(&change.key),
            };
        }
    }
}

pub type Hoard = BTreeMap<Key, BTreeSet<Vec<u8>>>;

pub struct Actor {
    pub signer: SigningKey,
    pub id: MemberId,
    pub rows: Memory,
    /// Every value that any row ever had.
    pub hoard: Hoard,
    /// The same of each earlier membership, and the `Add` that ended it by beginning the next one: what a device has that was lost, and whose
    /// member was removed for that and came back with new keys.
    pub lost: Vec<(usize, Hoard)>,
    pub seen: Set,
    pub opened: BTreeMap<usize, Opened>,
    /// What went wrong with keys, by event.
    pub troubles: BTreeMap<usize, Trouble>,
    pub last: Option<TransactionId>,
    pub sent: BTreeMap<TransactionId, u32>,
    sequence: u64,
    previous: TransactionId,
}

pub struct Group {
    pub scope: Scope,
    pub history: History,
    pub actors: Vec<Actor>,
    pub lens: Lens,
    entropy: u64,
}

pub fn secret(number: u64) -> Secret {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Secret::new(bytes)
}

impl Actor {
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            if let Some(value) = &change.value {
                self.hoard.entry(change.key).or_default().insert(value.to_vec());
            }
            self.rows.apply([change]);
        }
    }
}

impl Group {
    /// The first of so many is the member that starts; the others are to be added.
    pub fn of(suite: Suite, actors: usize) -> Self {
        let scope = Scope { suite, context: ContextId([9; 32]) };
        let mut group =
            Self { scope, history: History::default(), actors: Vec::new(), lens: Lens::True, entropy: 0 };
        for number in 0..actors {
            let signer = SigningKey::from_bytes(&[number as u8 + 1; 32]);
            let id = MemberId(signer.verifying_key().to_bytes());
            group.history.ids.push(id);
            group.actors.push(Actor {
                signer,
                id,
                rows: Memory::default(),
                hoard: BTreeMap::new(),
                lost: Vec::new(),
                seen: Set::new(),
                opened: BTreeMap::new(),
                troubles: BTreeMap::new(),
                last: None,
                sent: BTreeMap::new(),
                sequence: 0,
                previous: TransactionId::default(),
            });
        }
        let add = group.package(0);
        group.record(0, What::Genesis(Box::new(add)));
        group
    }

    /// All of them members, who know it.
    pub fn all(suite: Suite, actors: usize) -> Self {
        let mut group = Self::of(suite, actors);
        (1..actors).for_each(|subject| group.add(0, subject));
        group.meet_all();
        group
    }

    pub fn entropy(&mut self) -> Secret {
        self.entropy += 1;
        secret(self.entropy)
    }

    pub fn ring(&self, actor: usize) -> Ring<'_, Memory> {
        Ring { scope: self.scope, me: self.actors[actor].id, rows: &self.actors[actor].rows }
    }

    /// What somebody gets who copies the device now.
    pub fn copy(&self, actor: usize) -> Hoard {
        self.actors[actor].rows.0.iter().map(|(key, value)| (*key, [value.clone()].into())).collect()
    }

    pub fn part(&self, seen: &Set) -> Part<'_> {
        Part { history: &self.history, seen: seen.clone(), lens: self.lens }
    }

    pub fn view(&self, actor: usize) -> Part<'_> {
        self.part(&self.actors[actor].seen)
    }

    fn package(&mut self, actor: usize) -> Add {
        let entropy = self.entropy();
        self.actors[actor].rows = Memory::default();
        let (key, change) = self.ring(actor).start(&entropy);
        self.actors[actor].apply([change]);
        let package = KeyPackage { suite: self.scope.suite as u8, ratchet_key: key.key, not_after: 0 };
        Add::request(&self.scope.context, &self.actors[actor].signer, Role::Writer, package, None)
    }

    /// The header of an actor's next transaction.
    pub fn header(&self, actor: usize, kind: Kind) -> Header {
        let author = &self.actors[actor];
        let lamport =
            author.seen.iter().map(|event| self.history.events[*event].header.lamport).max().unwrap_or(0) + 1;
        let other = self.history.events.first().filter(|_| actor != 0);
        let parent = other.map(|event| Parent { author: self.history.ids[0], sequence: 1, id: event.id });
        let genesis = self.history.events.is_empty();
        Header {
            version: HEADER_VERSION,
            context: self.scope.context,
            author: author.id,
            sequence: author.sequence + 1,
            previous: author.previous,
            parents: parent.into_iter().collect(),
            lamport,
            timestamp: 0,
            kind: if genesis { Kind::Note as u8 } else { kind as u8 },
            epoch: [0; 32],
            counter: 0,
            commitment: [0; 32],
            payload_hash: [0; 32],
            payload_len: 0,
        }
    }

    /// Writes an event of an actor down.
    pub fn record(&mut self, actor: usize, what: What) -> usize {
        let header = match &what {
            What::Message(message) => message.header.clone(),
            what => {
                // What a transaction says is not looked at by its id here; the number of the event sets it apart.
                let mut header = self.header(actor, Kind::Note);
                header.timestamp = self.history.events.len() as u64;
                if let What::Epoch(epoch, _) = what {
                    header.commitment = epoch.commit;
                }
                header
            }
        };
        let (id, at, author) = (header.id(), self.history.events.len(), &mut self.actors[actor]);
        let past = author.seen.clone();
        author.seen.insert(at);
        (author.sequence, author.previous) = (header.sequence, id);
        self.history.events.push(Event { id, author: actor, past, header, what });
        at
    }

    /// One admits another, who gets all that there is, and keys of nothing.
    pub fn add(&mut self, actor: usize, subject: usize) {
        let before = self.actors[subject].hoard.clone();
        let add = self.package(subject);
        let at = self.record(actor, What::Add(subject, Box::new(add)));
        if !before.is_empty() {
            self.actors[subject].lost.push((at, before));
        }
        self.meet(actor, subject);
    }

    pub fn remove(&mut self, actor: usize, target: usize) -> usize {
        self.record(actor, What::Remove(target))
    }

    /// The members that one sees, but itself, with their latest keys.
    pub fn recipients(&self, actor: usize) -> Vec<Recipient> {
        let members = self.view(actor).members();
        let mut latest: BTreeMap<usize, (TransactionId, RatchetKey)> = BTreeMap::new();
        for event in self.actors[actor].seen.iter().map(|event| &self.history.events[*event]) {
            match &event.what {
                What::Add(who, add) => {
                    let key = RatchetKey { index: 0, key: add.key_package.ratchet_key.clone() };
                    latest.insert(*who, (event.id, key));
                }
                What::Genesis(add) => {
                    let key = RatchetKey { index: 0, key: add.key_package.ratchet_key.clone() };
                    latest.insert(0, (event.id, key));
                }
                What::Refresh(key) => latest.get_mut(&event.author).unwrap().1 = key.clone(),
                What::Epoch(epoch, _) => {
                    latest.get_mut(&event.author).unwrap().1 = epoch.ratchet_key.clone();
                }
                _ => {}
            }
        }
        let others = members.iter().filter(|member| **member != actor);
        let mut recipients: Vec<_> = others
            .map(|member| {
                let (added, key) = latest[member].clone();
                Recipient { member: self.history.ids[*member], added, key }
            })
            .collect();
        recipients.sort_by_key(|to| to.member);
        recipients
    }

    pub fn rotate(&mut self, actor: usize) -> usize {
        let (recipients, entropy) = (self.recipients(actor), self.entropy());
        let draft = self.ring(actor).draft_epoch(&recipients, &entropy).unwrap();
        let at = self.record(actor, What::Epoch(Box::new(draft.epoch.clone()), draft.wraps.clone()));
        let changes = self.ring(actor).begin_epoch(draft, &self.history.events[at].id);
        self.actors[actor].apply(changes);
        at
    }

    pub fn refresh(&mut self, actor: usize) {
        let entropy = self.entropy();
        let (key, change) = self.ring(actor).refresh(&entropy).unwrap();
        self.actors[actor].apply([change]);
        self.record(actor, What::Refresh(key));
    }

    /// Sends as the rules say; gives the message's event.
    pub fn send(&mut self, actor: usize, text: &str) -> usize {
        loop {
            let author = &self.actors[actor];
            let best = best(&self.view(actor), &author.id, author.last.as_ref());
            // A node makes a new epoch also when somebody has joined: so the epochs here go on for longer than they would.
            let usage = best.map(|epoch| Usage {
                sent: author.sent.get(&epoch).copied().unwrap_or(0),
                members: 5,
                locked_out: !author.rows.0.contains_key(&Key::Chain(epoch, author.id)),
                ..Usage::default()
            });
            match decide(best, &usage.unwrap_or_default()) {
                Choice::Rotate(_) => {
                    self.rotate(actor);
                }
                Choice::Send(epoch) => return self.send_under(actor, &epoch, text),
            }
        }
    }

    pub fn send_under(&mut self, actor: usize, epoch: &TransactionId, text: &str) -> usize {
        let header = self.header(actor, Kind::Call);
        let author = &self.actors[actor];
        let (message, opened, change) =
            self.ring(actor).seal(epoch, header, text.as_bytes(), &author.signer).unwrap();
        let author = &mut self.actors[actor];
        author.apply([change]);
        author.last = Some(*epoch);
        *author.sent.entry(*epoch).or_default() += 1;
        let at = self.record(actor, What::Message(Box::new(message)));
        self.actors[actor].opened.insert(at, opened);
        at
    }

    /// `to` gets all that `from` has, and what it cannot open as shared history if it is a member to `from`.
    pub fn meet(&mut self, from: usize, to: usize) {
        let news: Vec<usize> = self.actors[from].seen.difference(&self.actors[to].seen).copied().collect();
        news.into_iter().for_each(|event| self.deliver(to, event));
        if self.view(from).members().contains(&to) {
            self.share(from, to);
        }
    }

    pub fn share(&mut self, from: usize, to: usize) {
        let missing: Vec<usize> = self.actors[from]
            .opened
            .keys()
            .filter(|at| !self.actors[to].opened.contains_key(at))
            .copied()
            .collect();
        for at in missing {
            let event = &self.history.events[at];
            let opened = self.actors[from].opened[&at].clone();
            assert_eq!(opened.check(&event.header), Ok(()));
            self.actors[to].opened.insert(at, opened);
        }
    }

    pub fn meet_all(&mut self) {
        for _ in 0..2 {
            let count = self.actors.len();
            for (from, to) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
                if from != to {
                    self.meet(from, to);
                }
            }
        }
    }

    /// Takes one event in, with whatever keys there are.
    pub fn deliver(&mut self, to: usize, at: usize) {
        let event = self.history.events[at].clone();
        match self.take(to, at) {
            Ok((opened, changes)) => {
                self.actors[to].apply(changes);
                self.actors[to].opened.extend(opened.map(|opened| (at, opened)));
            }
            Err(trouble) => {
                self.actors[to].troubles.insert(at, trouble);
            }
        }
        assert!(event.past.is_subset(&self.actors[to].seen), "delivered out of order");
        self.actors[to].seen.insert(at);
    }

    /// What an event does to an actor's keys.
    pub fn take(&self, to: usize, at: usize) -> Result<(Option<Opened>, Vec<Change>), Trouble> {
        let event = &self.history.events[at];
        match &event.what {
            What::Epoch(epoch, wraps) => {
                let members =
                    kith_core::encryption::rules::View::members_at(&self.part(&event.past), &event.id);
                let author = self.history.ids[event.author];
                let others = members.iter().filter(|member| **member != author);
                let index = others.clone().position(|member| *member == self.actors[to].id).unwrap_or(0);
                let leaf = kith_core::encryption::Leaf::of(&self.scope, &author, wraps, index);
                let changes =
                    self.ring(to).receive_epoch(&event.id, &author, epoch, &members, leaf.as_ref())?;
                Ok((None, changes))
            }
            What::Message(message) => {
                let (opened, _, change) = self.ring(to).open(message)?;
                Ok((Some(opened), vec![change]))
            }
            _ => Ok((None, Vec::new())),
        }
    }

    pub fn message(&self, at: usize) -> &Transaction {
        match &self.history.events[at].what {
            What::Message(message) => message,
            other => panic!("{other:?} is no message"),
        }
    }

    pub fn reads(&self, actor: usize, at: usize) -> bool {
        self.actors[actor].opened.contains_key(&at)
    }

    /// Whether those who pool all that they ever held open a message, from all that was ever on the wire.
    pub fn opens(&self, pool: &Set, at: usize) -> bool {
        let mut hoards: Hoard = BTreeMap::new();
        for actor in pool {
            for (key, values) in &self.actors[*actor].hoard {
                hoards.entry(*key).or_default().extend(values.iter().cloned());
            }
        }
        self.opens_with(hoards, at)
    }

    /// The same of any rows that came into somebody's hands.
    pub fn opens_with(&self, hoard: Hoard, at: usize) -> bool {
        self.loot(hoard).iter().any(|(key, values)| {
            let wanted =
                Key::Chain(TransactionId(self.message(at).header.epoch), self.message(at).header.author);
            *key == wanted
                && values.iter().any(|value| {
                    let rows = Memory([(wanted, value.clone())].into());
                    let ring = Ring { scope: self.scope, me: self.actors[0].id, rows: &rows };
                    ring.open(self.message(at)).is_ok()
                })
        })
    }

    /// What can be had from it: every wrap is tried with every key and root.
    fn loot(&self, mut loot: Hoard) -> Hoard {
        let ratchets = loot.get(&Key::Ratchet).cloned().unwrap_or_default();
        for event in &self.history.events {
            let What::Epoch(epoch, wraps) = &event.what else { continue };
            let author = self.history.ids[event.author];
            let members = kith_core::encryption::rules::View::members_at(&self.part(&event.past), &event.id);
            let roots = loot.get(&Key::From(author)).cloned().unwrap_or_default();
            let others: Vec<_> = members.iter().filter(|member| **member != author).collect();
            for (index, me) in others.into_iter().enumerate() {
                let leaf = kith_core::encryption::Leaf::of(&self.scope, &author, wraps, index);
                for ratchet in &ratchets {
                    for root in roots.iter().map(Some).chain([None]) {
                        let mut rows = Memory([(Key::Ratchet, ratchet.clone())].into());
                        rows.0.extend(root.map(|root| (Key::From(author), root.clone())));
                        let ring = Ring { scope: self.scope, me: *me, rows: &rows };
                        let found = ring.receive_epoch(&event.id, &author, epoch, &members, leaf.as_ref());
                        for change in found.into_iter().flatten() {
                            let value = change.value.map(|value| value.to_vec());
                            loot.entry(change.key).or_default().extend(value);
                        }
                    }
                }
            }
        }
        loot
    }
}
