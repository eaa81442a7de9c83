//! A simple history of its own kind, and random ones to fill it with.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ed25519_dalek::SigningKey;

use super::super::{History, Position, Standing, Tips};
use crate::Result;
use crate::encryption::{Epoch, Scope, Wrapped};
use crate::replica::payload::{Payload, Tip};
use crate::replica::{ContextId, Draft, Kind, MemberId, Parent, Place, Role, Transaction, TransactionId};

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

/// An epoch that has only the root of its wraps, as one of its recipients or its author sees it.
#[derive(Clone)]
pub(super) struct Wrapping {
    pub(super) scope: Scope,
    pub(super) author: MemberId,
    pub(super) epoch: Epoch,
    /// In the order of their wraps.
    pub(super) recipients: Vec<MemberId>,
    /// Which of them this store is of.
    pub(super) index: usize,
    /// All, if they are here.
    pub(super) all: Option<Vec<u8>>,
}

/// Admitted transactions in memory.
#[derive(Clone, Default)]
pub(super) struct Store {
    pub(super) all: BTreeMap<(MemberId, u64, TransactionId), Transaction>,
    pub(super) ids: HashMap<TransactionId, Position>,
    pub(super) tips: BTreeMap<MemberId, BTreeSet<Tip>>,
    pub(super) standings: BTreeMap<MemberId, Standing>,
    pub(super) waiting: BTreeMap<TransactionId, Transaction>,
    /// How many came that were not opened.
    pub(super) unopened: u64,
    /// Of which epochs there are wraps, or may be.
    pub(super) epochs: BTreeMap<TransactionId, Wrapping>,
    /// Keeps nothing of what covers what came without a signature: a control.
    pub(super) forgets_covers: bool,
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
            let mut transaction = self.waiting.remove(&id).unwrap();
            transaction.cover = transaction.cover.filter(|_| !self.forgets_covers);
            let header = &transaction.header;
            let position =
                Position { author: header.author, sequence: header.sequence, lamport: header.lamport };
            let tips = self.tips.entry(header.author).or_default();
            tips.retain(|tip| tip.id != header.previous);
            tips.insert(Tip { sequence: header.sequence, id });
            self.ids.insert(id, position);
            self.unopened += u64::from(!transaction.is_opened());
            let before = self.all.get_mut(&(header.author, header.sequence - 1, header.previous));
            if let (Some(before), Some(distance)) = (before, transaction.distance())
                && before.cover.as_ref().is_some_and(|cover| cover.headers().len() > distance)
            {
                before.cover = None;
            }
            self.all.insert((header.author, header.sequence, id), transaction);
            admitted.push(id);
        }
    }

    /// Takes what a sealed one says; gives its id if that was not known.
    pub(super) fn open(&mut self, id: &TransactionId, content: Vec<u8>) -> Option<TransactionId> {
        let at = self.ids.get(id)?;
        let transaction = self.all.get_mut(&(at.author, at.sequence, *id))?;
        transaction.header.check_content(&content).unwrap();
        let new = !transaction.is_opened();
        transaction.payload = content;
        new.then_some(*id)
    }

    pub(super) fn closed(&self) -> usize {
        self.all.values().filter(|transaction| !transaction.is_opened()).count()
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

    fn unopened(&self, after: Option<&Place>, limit: usize) -> Result<Vec<Place>> {
        let closed = self.all.iter().filter(|(_, transaction)| !transaction.is_opened());
        let mut places: Vec<Place> =
            closed.map(|((_, _, id), t)| Place::tail(t.header.lamport, *id)).collect();
        places.sort();
        Ok(places.into_iter().filter(|place| after.is_none_or(|after| place > after)).take(limit).collect())
    }

    fn unopened_changes(&self) -> u64 {
        self.unopened
    }

    fn wraps_for(&self, epoch: &TransactionId, member: &MemberId) -> Result<Option<Wrapped>> {
        let Some(of) = self.epochs.get(epoch) else { return Ok(None) };
        let index = of.recipients.iter().position(|recipient| recipient == member);
        let all = index.zip(of.all.as_ref());
        Ok(all.and_then(|(index, all)| of.epoch.wrapped(&of.scope, &of.author, index, all)))
    }

    fn proves(&self, epoch: &TransactionId, given: &Wrapped) -> Result<bool> {
        let of = self.epochs.get(epoch);
        Ok(of.is_some_and(|of| of.epoch.proves(&of.scope, &of.author, of.index, given)))
    }

    fn may_read(&self, who: &MemberId) -> bool {
        !matches!(self.standings.get(who), Some(Standing::Removed(_)))
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
