//! Histories, made by members who each know a part of what there is and act on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use ed25519_dalek::{Signer, SigningKey};
use kith_core::replica::payload::{Genesis, KeyPackage, Policy, Tip};
use kith_core::replica::{
    ContextId, Draft, Kind, MemberId, Parent, Payload, Role, StateKey, Transaction, TransactionId,
};

use super::actions::{Action, Plan, Stance};
use super::sealing;

/// How many keys act in a world; each may be a member or not.
pub const ACTORS: usize = 6;

/// Deterministic keys: signing keys of the actors, of invitations, of a stranger.
pub fn key(purpose: &str, number: usize) -> SigningKey {
    SigningKey::from_bytes(&blake3::derive_key("kith tests key", format!("{purpose} {number}").as_bytes()))
}

pub fn actor_key(actor: usize) -> &'static SigningKey {
    static KEYS: OnceLock<Vec<SigningKey>> = OnceLock::new();
    &KEYS.get_or_init(|| (0..ACTORS).map(|number| key("actor", number)).collect())[actor]
}

pub fn member(key: &SigningKey) -> MemberId {
    MemberId(key.verifying_key().to_bytes())
}

pub fn actor(number: usize) -> MemberId {
    static IDS: OnceLock<Vec<MemberId>> = OnceLock::new();
    IDS.get_or_init(|| (0..ACTORS).map(|number| member(actor_key(number))).collect())[number]
}

/// A key of the state; they share prefixes in pairs, so that ranges meet some and miss others.
pub fn state_key(number: u8) -> StateKey {
    let mut bytes = [0; 32];
    bytes[0] = 1 + number / 2;
    bytes[1] = number % 2;
    StateKey(bytes)
}

/// Signs a header again after it was tampered with.
pub fn sign_again(mut transaction: Transaction, key: &SigningKey) -> Transaction {
    let id = transaction.header.id();
    let mut message = b"kith 2026 transaction signature".to_vec();
    message.extend(id.0);
    transaction.signature = Some(key.sign(&message).to_bytes());
    transaction
}

/// A valid transaction of the world and all that it builds on, by number.
pub struct Entry {
    pub transaction: Transaction,
    pub id: TransactionId,
    pub payload: Option<Payload>,
    pub author: usize,
    pub past: BTreeSet<usize>,
}

impl Entry {
    pub fn lamport(&self) -> u64 {
        self.transaction.header.lamport
    }

    pub fn sequence(&self) -> u64 {
        self.transaction.header.sequence
    }
}

pub struct World {
    pub context: ContextId,
    /// 0: nothing is sealed; 1: calls are.
    pub suite: u8,
    pub entries: Vec<Entry>,
    pub numbers: BTreeMap<TransactionId, usize>,
    /// What each actor knows; closed under causal pasts.
    pub views: Vec<BTreeSet<usize>>,
    /// Transactions that are not valid, to be delivered with the others.
    pub junk: Vec<Transaction>,
    counter: u64,
}

/// From where an actor acts: its previous transaction, the parents it names, what it knows.
pub struct Standpoint {
    pub actor: usize,
    pub previous: Option<usize>,
    pub parents: Vec<usize>,
    pub lamport: u64,
    pub knows: BTreeSet<usize>,
}

impl World {
    /// A context of one creator, actor 0, in which nothing is sealed.
    pub fn genesis(arguments: Vec<u8>) -> Self {
        Self::begin(arguments, 0)
    }

    /// The same where calls are sealed; there are keys from the beginning.
    pub fn sealed(arguments: Vec<u8>) -> Self {
        Self::begin(arguments, 1)
    }

    fn begin(arguments: Vec<u8>, suite: u8) -> Self {
        let genesis = Payload::Genesis(Genesis {
            format: 1,
            random: [7; 32],
            application: "probe".into(),
            arguments,
            name: "a world".into(),
            access_key: [9; 32],
            suite,
            policy: Policy::default(),
            key_package: sealing::package(suite, 0),
        });
        let transaction = Draft {
            context: ContextId::default(),
            sequence: 1,
            previous: TransactionId::default(),
            parents: Vec::new(),
            lamport: 1,
            timestamp: 1,
            kind: Kind::Genesis,
            plaintext: genesis.encode(),
            commitment_key: [3; 32],
        }
        .sign(actor_key(0));
        let mut world = Self {
            context: ContextId(transaction.header.id().0),
            suite,
            entries: Vec::new(),
            numbers: BTreeMap::new(),
            views: vec![BTreeSet::new(); ACTORS],
            junk: Vec::new(),
            counter: 1,
        };
        world.keep(0, transaction, BTreeSet::new());
        if suite != 0 {
            let from = world.standpoint(0, Stance::Honest).expect("the creator");
            world.publish(&from, &sealing::epoch(), &[]);
        }
        world
    }

    /// A joiner's first keys, which nobody has handed in yet.
    pub fn package(&self) -> KeyPackage {
        sealing::package(self.suite, self.entries.len())
    }

    /// Carries out a plan.
    pub fn of(plan: &Plan) -> Self {
        let mut world = Self::begin(plan.arguments.clone(), plan.suite);
        let mut by = 0;
        for (number, role) in plan.founders.iter().enumerate() {
            world.add(by, number + 1, *role);
            if plan.chained && *role == Role::Admin {
                by = number + 1;
            }
        }
        for actor in 0..ACTORS {
            world.learn_all(actor, by);
        }
        for action in &plan.actions {
            world.act(action);
        }
        world
    }

    pub fn transactions(&self) -> Vec<Transaction> {
        let valid = self.entries.iter().map(|entry| &entry.transaction);
        valid.chain(&self.junk).cloned().collect()
    }

    /// Learns everything that another one knows.
    pub fn learn_all(&mut self, actor: usize, from: usize) {
        let known = self.views[from].clone();
        self.views[actor].extend(known);
    }

    /// Learns one transaction and what it builds on.
    pub fn learn(&mut self, actor: usize, number: usize) {
        let past = self.entries[number].past.clone();
        self.views[actor].extend(past);
        self.views[actor].insert(number);
    }

    fn keep(&mut self, author: usize, transaction: Transaction, past: BTreeSet<usize>) -> usize {
        let id = transaction.header.id();
        if let Some(number) = self.numbers.get(&id) {
            return *number;
        }
        let number = self.entries.len();
        let payload = Payload::decode(transaction.header.kind, transaction.plaintext());
        self.entries.push(Entry { transaction, id, payload, author, past });
        self.numbers.insert(id, number);
        self.learn(author, number);
        number
    }

    /// What is known and in nobody's past.
    fn heads(&self, known: &BTreeSet<usize>) -> Vec<usize> {
        let covered: BTreeSet<usize> =
            known.iter().flat_map(|n| self.entries[*n].past.iter().copied()).collect();
        known.difference(&covered).copied().collect()
    }

    /// Where an actor with this stance acts from; none if it has never been added, as far as it knows.
    pub fn standpoint(&self, actor: usize, stance: Stance) -> Option<Standpoint> {
        let view = &self.views[actor];
        let own: Vec<usize> =
            view.iter().copied().filter(|number| self.entries[*number].author == actor).collect();
        // The creator has no admission to begin anew from, unless it was added again.
        if own.is_empty() || matches!(stance, Stance::Anew(_)) {
            return self.first(actor, stance);
        }
        let newest = own.iter().copied().max_by_key(|n| (self.entries[*n].sequence(), *n))?;
        let (previous, known) = match stance {
            Stance::Honest | Stance::Some(_) | Stance::Anew(_) => (newest, view.clone()),
            Stance::Blind => (newest, self.closed(newest)),
            Stance::Old(pick) => {
                let old = own[pick as usize % own.len()];
                (old, self.closed(old))
            }
        };
        let mut parents: BTreeMap<usize, usize> = BTreeMap::new();
        let seen = self.closed(previous);
        for head in self.heads(&known) {
            let author = self.entries[head].author;
            if author == actor || seen.contains(&head) {
                continue;
            }
            if matches!(stance, Stance::Some(mask) if mask & (1 << author) == 0) {
                continue;
            }
            let other = parents.entry(author).or_insert(head);
            if self.entries[head].sequence() > self.entries[*other].sequence() {
                *other = head;
            }
        }
        let parents: Vec<usize> = parents.into_values().collect();
        let links = parents.iter().chain([&previous]);
        let lamport = 1 + links.map(|number| self.entries[*number].lamport()).max()?;
        Some(Standpoint { actor, previous: Some(previous), parents, lamport, knows: known })
    }

    /// The first transaction of an actor builds on its own `Add` alone.
    fn first(&self, actor: usize, stance: Stance) -> Option<Standpoint> {
        // Who asks for its own admission again cannot begin from that: nobody is its own parent.
        let added = |number: &usize| {
            let entry = &self.entries[*number];
            entry.author != actor
                && matches!(&entry.payload, Some(Payload::Add(add)) if add.member == self::actor(actor))
        };
        let adds: Vec<usize> = self.views[actor].iter().copied().filter(added).collect();
        let add = match stance {
            Stance::Old(pick) | Stance::Anew(pick) if !adds.is_empty() => adds[pick as usize % adds.len()],
            _ => *adds.last()?,
        };
        let lamport = self.entries[add].lamport() + 1;
        Some(Standpoint { actor, previous: None, parents: vec![add], lamport, knows: self.closed(add) })
    }

    pub fn closed(&self, number: usize) -> BTreeSet<usize> {
        let mut closed = self.entries[number].past.clone();
        closed.insert(number);
        closed
    }

    pub fn draft(&mut self, from: &Standpoint, kind: Kind, plaintext: Vec<u8>) -> Draft {
        self.counter += 1;
        let entry = |number: usize| &self.entries[number];
        Draft {
            context: self.context,
            sequence: from.previous.map_or(1, |previous| entry(previous).sequence() + 1),
            previous: from.previous.map_or_else(TransactionId::default, |previous| entry(previous).id),
            parents: from
                .parents
                .iter()
                .map(|number| Parent {
                    author: actor(entry(*number).author),
                    sequence: entry(*number).sequence(),
                    id: entry(*number).id,
                })
                .collect(),
            lamport: from.lamport,
            timestamp: 1000 + self.counter,
            kind,
            plaintext,
            commitment_key: *blake3::hash(&self.counter.to_le_bytes()).as_bytes(),
        }
    }

    /// Signs and keeps a transaction; `references` are what its payload names.
    pub fn publish(&mut self, from: &Standpoint, payload: &Payload, references: &[usize]) -> usize {
        let signed = self.draft(from, payload.kind(), payload.encode()).sign(actor_key(from.actor));
        if self.suite != 0 && payload.kind() == Kind::Call {
            return self.publish_sealed(from, signed, payload, references);
        }
        self.publish_signed(from, signed, references)
    }

    /// Under the newest keys that there are at a standpoint; who knows none makes some first.
    fn publish_sealed(
        &mut self,
        from: &Standpoint,
        signed: Transaction,
        payload: &Payload,
        references: &[usize],
    ) -> usize {
        let is_epoch = |entry: &Entry| entry.transaction.header.kind == Kind::Epoch as u8;
        let Some(epoch) = self.nameable(from, is_epoch).last() else {
            let epoch = self.publish(from, &sealing::epoch(), &[]);
            let (parents, lamport) = (Vec::new(), from.lamport + 1);
            let mut knows = from.knows.clone();
            knows.insert(epoch);
            let from = Standpoint { actor: from.actor, previous: Some(epoch), parents, lamport, knows };
            return self.publish(&from, payload, references);
        };
        let sealed = sealing::seal(signed, self.entries[epoch].id, actor_key(from.actor));
        self.publish_signed(from, sealed, &[references, &[epoch]].concat())
    }

    pub fn publish_signed(&mut self, from: &Standpoint, signed: Transaction, references: &[usize]) -> usize {
        let mut past = BTreeSet::new();
        for number in from.parents.iter().chain(&from.previous).chain(references) {
            past.extend(self.closed(*number));
        }
        self.keep(from.actor, signed, past)
    }

    /// The tips of a member's chain among what is known at a standpoint and may be named there.
    pub fn tips(&self, from: &Standpoint, target: usize) -> Vec<usize> {
        let theirs: Vec<usize> = self.nameable(from, |entry| entry.author == target).collect();
        let previous: BTreeSet<TransactionId> =
            theirs.iter().map(|number| self.entries[*number].transaction.header.previous).collect();
        theirs.into_iter().filter(|number| !previous.contains(&self.entries[*number].id)).collect()
    }

    /// Known transactions that a payload may name at a standpoint.
    pub fn nameable<'a>(
        &'a self,
        from: &'a Standpoint,
        wanted: impl Fn(&Entry) -> bool + 'a,
    ) -> impl Iterator<Item = usize> + 'a {
        from.knows.iter().copied().filter(move |number| {
            let entry = &self.entries[*number];
            entry.lamport() < from.lamport && wanted(entry)
        })
    }

    pub fn last(&self, tips: &[usize]) -> Vec<Tip> {
        let tip =
            |number: &usize| Tip { sequence: self.entries[*number].sequence(), id: self.entries[*number].id };
        let mut last: Vec<Tip> = tips.iter().map(tip).collect();
        last.sort();
        last
    }

    pub fn act(&mut self, action: &Action) -> Option<usize> {
        super::actions::act(self, action)
    }
}
