//! The oracle: a replay of a whole history from genesis, as plain as possible, from the words of `docs/replica.md`.
//!
//! It shares nothing with the engine but the types of transactions and receipts. No index, no version, no cache: causal
//! pasts are sets, the state is a map, and everything is computed anew each time.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use kith_core::application::Application;
use kith_core::encryption::Suite;
use kith_core::replica::payload::{Genesis, SignedRun, Tip};
use kith_core::replica::{
    ContextId, Header, MemberId, Payload, Place, Receipt, Rejection, Role, StateKey, Transaction,
    TransactionId,
};

use super::judge::{self, Governance};
use super::scratch;
use super::words::{self, kinds};

/// A valid transaction with everything that it builds on.
#[derive(Clone, Debug)]
pub struct Known {
    pub transaction: Rc<Transaction>,
    pub id: TransactionId,
    pub payload: Option<Payload>,
    /// The causal past, without the transaction itself.
    pub past: Rc<Ids>,
}

impl Known {
    pub fn author(&self) -> MemberId {
        self.transaction.header.author
    }

    pub fn place(&self) -> Place {
        Place { height: 1, lamport: self.transaction.header.lamport, id: self.id }
    }

    pub fn kind(&self) -> u8 {
        self.transaction.header.kind
    }

    /// Whether `id` is this transaction or in its causal past.
    pub fn has_seen(&self, id: &TransactionId) -> bool {
        self.id == *id || self.past.contains(id)
    }
}

/// The transactions of a history in the order in which they were found to be valid, and the number that each has there. Ids are hashes: they need not be
/// hashed again.
#[derive(Debug, Default)]
struct Numbers {
    ids: Vec<TransactionId>,
    numbers: HashMap<TransactionId, usize, BuildHasherDefault<AsItIs>>,
}

/// A set of transactions of one history, as a bit for each.
#[derive(Clone, Debug)]
pub struct Ids {
    of: Rc<RefCell<Numbers>>,
    bits: Vec<u64>,
}

impl Ids {
    pub fn contains(&self, id: &TransactionId) -> bool {
        let number = self.of.borrow().numbers.get(id).copied();
        number.is_some_and(|number| {
            self.bits.get(number / 64).is_some_and(|bits| bits >> (number % 64) & 1 == 1)
        })
    }

    pub fn len(&self) -> usize {
        self.bits.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|bits| *bits == 0)
    }

    /// What is in it.
    pub fn all(&self) -> Vec<TransactionId> {
        let numbers =
            (0..64 * self.bits.len()).filter(|number| self.bits[number / 64] >> (number % 64) & 1 == 1);
        let of = self.of.borrow();
        numbers.map(|number| of.ids[number]).collect()
    }

    /// Takes in a transaction and all that it builds on.
    fn take(&mut self, known: &Known) {
        let number = self.of.borrow().numbers[&known.id];
        let length = known.past.bits.len().max(number / 64 + 1).max(self.bits.len());
        self.bits.resize(length, 0);
        self.bits.iter_mut().zip(&known.past.bits).for_each(|(bits, more)| *bits |= more);
        self.bits[number / 64] |= 1 << (number % 64);
    }
}

/// The first bytes of what is a hash.
#[derive(Debug, Default)]
pub struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

pub type History = HashMap<TransactionId, Known>;

/// What `valid(transaction | its causal past)` says once everything that there is has been delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Valid,
    Invalid(&'static str),
    NotYet,
}

pub struct Oracle {
    pub verdicts: HashMap<TransactionId, Verdict>,
    pub history: History,
    pub order: Vec<(Place, TransactionId)>,
    pub receipts: BTreeMap<TransactionId, Receipt>,
    pub state: BTreeMap<StateKey, Vec<u8>>,
    pub governance: Governance,
    /// The cutters that are in force.
    pub decided: HashSet<TransactionId>,
    /// How many times the governance was replayed.
    pub rounds: usize,
}

impl Oracle {
    /// Replays what is valid among `transactions`, which may be in any order and repeated.
    pub fn replay<'a>(
        context: &ContextId,
        transactions: impl IntoIterator<Item = &'a Transaction>,
        application: &dyn Application,
    ) -> Self {
        Self::replay_checked(context, transactions, application, words::signed)
    }

    /// The same, where `check` says what is a transaction at all, and its id.
    pub fn replay_checked<'a>(
        context: &ContextId,
        transactions: impl IntoIterator<Item = &'a Transaction>,
        application: &dyn Application,
        check: impl FnMut(&Transaction) -> Option<TransactionId>,
    ) -> Self {
        let (history, verdicts) = validate(context, transactions, check);
        let mut order: Vec<(Place, TransactionId)> =
            history.values().map(|known| (known.place(), known.id)).collect();
        order.sort();
        let judgement = judge::judge(&history, &order, suite(context, &history) != 0);
        let mut state = BTreeMap::new();
        let mut receipts = BTreeMap::new();
        for (_, id) in &order {
            let known = &history[id];
            if !words::is_opened(&known.transaction) {
                continue;
            }
            let receipt = match &judgement.outcomes[id] {
                Err(rejection) => rejected(rejection.clone()),
                Ok(role) => match &known.payload {
                    Some(Payload::Call(call)) => scratch::call(known, call, *role, &mut state, application),
                    Some(Payload::Genesis(genesis)) => scratch::initialise(genesis, &mut state, application),
                    _ => Receipt { outcome: Ok(Vec::new()), emitted: Vec::new() },
                },
            };
            receipts.insert(*id, receipt);
        }
        Self {
            verdicts,
            history,
            order,
            receipts,
            state,
            governance: judgement.governance,
            decided: judgement.decided,
            rounds: judgement.rounds,
        }
    }

    /// Who may do what to somebody that has seen what is before this transaction, and nothing else. What is valid there is valid here.
    pub fn before(&self, id: &TransactionId) -> Option<Governance> {
        let past = &self.history.get(id)?.past;
        let order: Vec<(Place, TransactionId)> =
            self.order.iter().filter(|(_, id)| past.contains(id)).copied().collect();
        let genesis = self.order.iter().find(|(_, id)| self.history[id].kind() == kinds::GENESIS)?;
        let sealed = suite(&ContextId(genesis.1.0), &self.history) != 0;
        Some(judge::judge(&self.history, &order, sealed).governance)
    }

    /// Whether one member may remove another as things stand at the end.
    pub fn may_remove(&self, author: &MemberId, member: &MemberId) -> bool {
        let members = &self.governance.members;
        let (Some(admin), Some(target)) = (members.get(author), members.get(member)) else { return false };
        let precedes =
            |one: &TransactionId| target.made.iter().all(|other| self.history[other].past.contains(one));
        let gives_way = target.role < Role::Admin || author == member || admin.made.iter().any(precedes);
        admin.role == Role::Admin && gives_way
    }

    pub fn rejection(&self, id: &TransactionId) -> Option<&Rejection> {
        self.receipts[id].outcome.as_ref().err()
    }
}

pub fn rejected(rejection: Rejection) -> Receipt {
    Receipt { outcome: Err(rejection), emitted: Vec::new() }
}

/// Sorts out the valid transactions, by asking again until nothing new becomes valid.
fn validate<'a>(
    context: &ContextId,
    transactions: impl IntoIterator<Item = &'a Transaction>,
    mut check: impl FnMut(&Transaction) -> Option<TransactionId>,
) -> (History, HashMap<TransactionId, Verdict>) {
    // By lamport number, so that ancestors mostly come first: the outcome does not hang on it, only how long it takes.
    let mut waiting: BTreeMap<(u64, TransactionId), &Transaction> = BTreeMap::new();
    for transaction in transactions {
        if let Some(id) = check(transaction) {
            waiting.insert((transaction.header.lamport, id), transaction);
        }
    }
    let mut history = History::new();
    let numbers = Rc::<RefCell<Numbers>>::default();
    let mut verdicts: HashMap<TransactionId, Verdict> = HashMap::new();
    loop {
        let before = waiting.len();
        waiting.retain(|(_, id), transaction| {
            let verdict = judge_one(context, *id, transaction, &history, &numbers, &verdicts);
            match verdict {
                Ok(known) => {
                    history.insert(*id, known);
                    let mut of = numbers.borrow_mut();
                    let number = of.ids.len();
                    of.ids.push(*id);
                    of.numbers.insert(*id, number);
                    verdicts.insert(*id, Verdict::Valid);
                    false
                }
                Err(Verdict::NotYet) => true,
                Err(invalid) => {
                    verdicts.insert(*id, invalid);
                    false
                }
            }
        });
        if waiting.len() == before {
            break;
        }
    }
    verdicts.extend(waiting.into_keys().map(|(_, id)| (id, Verdict::NotYet)));
    (history, verdicts)
}

/// What header and payload name besides `previous` and `parents`.
fn references(header: &Header, payload: &Option<Payload>) -> Vec<TransactionId> {
    if header.epoch != [0; 32] {
        return vec![TransactionId(header.epoch)];
    }
    let tips = |last: &[Tip]| last.iter().map(|tip| tip.id).collect::<Vec<TransactionId>>();
    match payload {
        Some(Payload::Add(add)) => add.redeemed.iter().map(|redeemed| redeemed.invite).collect(),
        Some(Payload::RevokeInvite(revoke)) => vec![revoke.invite],
        Some(Payload::Skip(skip)) => vec![skip.transaction],
        Some(Payload::Remove(remove)) => tips(&remove.last),
        Some(Payload::SetRole(set)) => tips(set.last.as_deref().unwrap_or_default()),
        Some(Payload::Fork(fork)) => {
            let first = |run: &SignedRun| run.headers.first().map(words::id);
            let mut named: Vec<TransactionId> =
                [&fork.one, &fork.other].into_iter().filter_map(first).collect();
            named.extend(tips(&fork.last));
            named
        }
        _ => Vec::new(),
    }
}

fn judge_one(
    context: &ContextId,
    id: TransactionId,
    transaction: &Transaction,
    history: &History,
    numbers: &Rc<RefCell<Numbers>>,
    verdicts: &HashMap<TransactionId, Verdict>,
) -> Result<Known, Verdict> {
    let header = &transaction.header;
    let payload = words::says(header.kind, words::plaintext(transaction));
    let references = references(header, &payload);
    let is_genesis = header.kind == kinds::GENESIS;

    let suite = history.contains_key(&TransactionId(context.0)).then(|| suite(context, history));
    if header.kind == kinds::CALL && suite.is_some_and(|suite| (header.epoch != [0; 32]) != (suite != 0)) {
        return Err(Verdict::Invalid("Call: suite"));
    }
    let mut links: Vec<TransactionId> = header.parents.iter().map(|parent| parent.id).collect();
    if header.sequence > 1 {
        links.push(header.previous);
    }
    let named: Vec<TransactionId> = links.iter().chain(&references).copied().collect();
    if named.iter().any(|id| matches!(verdicts.get(id), Some(Verdict::Invalid(_)))) {
        return Err(Verdict::Invalid("names something invalid"));
    }
    if named.iter().any(|id| !history.contains_key(id)) {
        return Err(Verdict::NotYet);
    }
    let require = |holds: bool, rule: &'static str| if holds { Ok(()) } else { Err(Verdict::Invalid(rule)) };

    if is_genesis {
        require(id.0 == context.0, "another context's genesis")?;
        let rules = |genesis: &Genesis| {
            genesis.format == 1 && genesis.suite < 3 && genesis.key_package.suite == genesis.suite
        };
        require(matches!(&payload, Some(Payload::Genesis(g)) if rules(g)), "genesis")?;
    } else {
        require(header.context == *context, "another context")?;
    }
    if header.sequence > 1 {
        let previous = &history[&header.previous].transaction.header;
        require(previous.author == header.author, "previous: author")?;
        require(previous.sequence + 1 == header.sequence, "previous: sequence")?;
    }
    for parent in &header.parents {
        let named = &history[&parent.id].transaction.header;
        require(named.author == parent.author && named.sequence == parent.sequence, "parent")?;
    }
    let lamport = |id: &TransactionId| history[id].transaction.header.lamport;
    let greatest = links.iter().map(lamport).max().unwrap_or(0);
    require(header.lamport == greatest + 1, "lamport")?;
    require(references.iter().all(|id| lamport(id) < header.lamport), "lamport of a reference")?;

    if header.sequence == 1 && !is_genesis {
        require(header.parents.len() == 1, "first: one parent")?;
        let add = &history[&header.parents[0].id].payload;
        require(matches!(add, Some(Payload::Add(add)) if add.member == header.author), "first: own Add")?;
    }
    if let Some(Payload::Add(add)) = &payload {
        require(Some(add.key_package.suite) == suite, "Add: suite")?;
    }
    if header.epoch == [0; 32] {
        check_payload(context, header.kind, payload.as_ref(), history).map_err(Verdict::Invalid)?;
    } else {
        require(history[&TransactionId(header.epoch)].kind() == kinds::EPOCH, "epoch")?;
    }

    let mut past = Ids { of: Rc::clone(numbers), bits: Vec::new() };
    named.iter().for_each(|id| past.take(&history[id]));
    if let (Some(Payload::Add(add)), Some(1..)) = (&payload, suite) {
        let package = &add.key_package;
        let sound = Suite::from_number(package.suite).map(|suite| suite.check_key(&package.ratchet_key));
        require(sound == Some(Ok(())), "Add: keys")?;
        let late = package.not_after > 0 && header.timestamp > package.not_after;
        require(!late, "Add: keys are past their time")?;
        let before = |id: &TransactionId| match &history[id].payload {
            Some(Payload::Genesis(genesis)) => genesis.key_package.ratchet_key == package.ratchet_key,
            Some(Payload::Add(other)) => other.key_package.ratchet_key == package.ratchet_key,
            _ => false,
        };
        require(!past.all().iter().any(before), "Add: keys were handed in before")?;
    }
    Ok(Known { transaction: Rc::new(transaction.clone()), id, payload, past: Rc::new(past) })
}

/// The suite of the context.
pub(crate) fn suite(context: &ContextId, history: &History) -> u8 {
    match history.get(&TransactionId(context.0)).map(|known| &known.payload) {
        Some(Some(Payload::Genesis(genesis))) => genesis.suite,
        _ => 0,
    }
}

fn check_payload(
    context: &ContextId,
    kind: u8,
    payload: Option<&Payload>,
    history: &History,
) -> Result<(), &'static str> {
    let require = |holds: bool, rule: &'static str| if holds { Ok(()) } else { Err(rule) };
    let tips = |member: &MemberId, last: &[Tip]| {
        last.iter().all(|tip| {
            let header = &history[&tip.id].transaction.header;
            header.author == *member && header.sequence == tip.sequence
        })
    };
    match payload {
        None => require(kind != kinds::ADD, "Add does not decode"),
        Some(Payload::Add(add)) => {
            require(words::consents(context, add), "consent")?;
            let Some(redeemed) = &add.redeemed else { return Ok(()) };
            match &history[&redeemed.invite].payload {
                Some(Payload::Invite(invite)) => require(words::redeems(context, add, invite), "redeems"),
                _ => Err("redeems no Invite"),
            }
        }
        Some(Payload::RevokeInvite(revoke)) => {
            require(history[&revoke.invite].kind() == kinds::INVITE, "revokes no Invite")
        }
        Some(Payload::Remove(remove)) => require(tips(&remove.member, &remove.last), "last"),
        Some(Payload::SetRole(set)) => {
            require(tips(&set.member, set.last.as_deref().unwrap_or_default()), "last")
        }
        Some(Payload::Skip(skip)) => {
            require(history[&skip.transaction].kind() == kinds::CALL, "skips no Call")
        }
        Some(Payload::Fork(fork)) => {
            require(words::is_forked(context, fork), "fork proof")?;
            require(tips(&fork.member, &fork.last), "last")
        }
        _ => Ok(()),
    }
}
