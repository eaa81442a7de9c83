//! Replicas under test: they are handed a history in some order, and compared with the oracle.

use std::collections::{BTreeMap, BTreeSet};

use kith_core::application::Application;
use kith_core::replica::{
    ContextId, MemberId, MemoryTables, Place, Receipt, Replica, StateKey, Transaction, TransactionId,
    Verdict, Verification, Verifier,
};

use super::oracle::{self, Oracle};
use super::probe::Probe;
use super::scratch;

/// A small generator of pseudo-random numbers, so that a failing case replays exactly.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}

/// How a history reaches a replica.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// Drops the replica and opens it again on its tables, again and again.
    pub reopens: bool,
    /// The application is registered only after a while.
    pub late_application: bool,
}

/// What happened on the way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passage {
    pub executed_again: usize,
    pub reordered: usize,
    pub receipts_changed: usize,
    pub waited: usize,
    pub reopened: usize,
    pub opened_late: usize,
    pub opening_changed_a_receipt: usize,
}

pub struct Node {
    pub tables: MemoryTables,
    pub replica: Replica,
    pub passage: Passage,
    pub given: BTreeMap<TransactionId, Verdict>,
}

impl Node {
    pub fn new(context: ContextId) -> Self {
        let tables = MemoryTables::default();
        let replica = Replica::open(context, &tables).unwrap();
        Self { tables, replica, passage: Passage::default(), given: BTreeMap::new() }
    }

    pub fn reopen(&mut self) {
        self.replica = Replica::open(self.replica.context(), &self.tables).unwrap();
        self.passage.reopened += 1;
    }

    /// Hands in one batch; gives back what has to wait.
    pub fn receive(
        &mut self,
        batch: &[Transaction],
        application: Option<&dyn Application>,
    ) -> Vec<Transaction> {
        let step = self.replica.receive(&self.tables, batch, application).unwrap();
        assert_eq!(step.verdicts.len(), batch.len(), "one verdict for each transaction");
        assert!(step.blocked.is_none() || application.is_none(), "blocked: {:?}", step.blocked);
        self.passage.executed_again += step.executed_again;
        self.passage.reordered += usize::from(step.reordered.is_some());
        self.passage.receipts_changed += step.executed.iter().filter(|outcome| outcome.again).count();
        let mut waiting = Vec::new();
        for (transaction, (id, verdict)) in batch.iter().zip(&step.verdicts) {
            assert_eq!(*id, transaction.header.id());
            if let Verdict::NotYet(missing) = verdict {
                assert!(!missing.is_empty(), "what is missing is named");
                waiting.push(transaction.clone());
            }
            self.given.insert(*id, verdict.clone());
        }
        self.tables.apply(step.writes);
        self.passage.waited += waiting.len();
        waiting
    }

    /// Hands everything in, shuffled, in batches of random sizes, some of it twice; what is not yet to be judged is handed in
    /// again until it can be.
    pub fn receive_all(&mut self, transactions: &[Transaction], manner: Manner, dice: &mut Dice) {
        let mut deck: Vec<&Transaction> = transactions.iter().collect();
        if transactions.is_empty() {
            return;
        }
        for _ in 0..transactions.len() / 4 {
            deck.push(&transactions[dice.below(transactions.len())]);
        }
        if dice.below(4) > 0 {
            dice.shuffle(&mut deck);
        } else {
            // Nearly in order, as on a live connection: some swaps only.
            for _ in 0..deck.len() / 3 {
                let (one, other) = (dice.below(deck.len()), dice.below(deck.len()));
                deck.swap(one, other);
            }
        }
        let largest = 1 + dice.below(12);
        let late = manner.late_application.then_some(deck.len() / 2);
        let mut deck: Vec<Transaction> = deck.into_iter().cloned().collect();
        let mut waiting: Vec<Transaction> = Vec::new();
        let mut handed = 0;
        while !deck.is_empty() {
            let application: Option<&dyn Application> =
                if late.is_some_and(|late| handed < late) { None } else { Some(&Probe) };
            let size = (1 + dice.below(largest)).min(deck.len());
            let mut batch: Vec<Transaction> = deck.split_off(deck.len() - size);
            handed += size;
            batch.append(&mut waiting);
            dice.shuffle(&mut batch);
            waiting = self.receive(&batch, application);
            if manner.reopens && dice.below(3) == 0 {
                self.reopen();
            }
        }
        loop {
            let before = waiting.len();
            waiting = self.receive(&waiting, Some(&Probe));
            if waiting.len() == before {
                break;
            }
        }
    }

    /// Takes what calls say that have come as they were sent, in random order and pieces; some of it twice, and some of it false before that.
    pub fn hear_contents(&mut self, all: &[Transaction], dice: &mut Dice) {
        let mut wanted = Vec::new();
        loop {
            let page = self.replica.unopened_places(&self.tables, wanted.last(), 7).unwrap();
            if page.is_empty() {
                break;
            }
            wanted.extend(page);
        }
        assert_eq!(wanted.len() as u64, self.replica.unopened());
        let said: BTreeMap<TransactionId, &[u8]> =
            all.iter().map(|transaction| (transaction.header.id(), &transaction.payload[..])).collect();
        let mut contents: Vec<_> = wanted.iter().map(|place| (place.id, said[&place.id].to_vec())).collect();
        for index in 0..contents.len() / 4 {
            contents.push(contents[index].clone());
        }
        dice.shuffle(&mut contents);
        for index in 0..contents.len() / 4 {
            let (id, mut false_content) = contents[index].clone();
            false_content[dice.below(40)] ^= 1;
            contents.push((id, false_content));
        }
        while !contents.is_empty() {
            let piece = contents.split_off(contents.len() - (1 + dice.below(contents.len())));
            let step = self.replica.open_late(&self.tables, piece, Some(&Probe)).unwrap();
            self.passage.opened_late += step.opened.len();
            self.passage.executed_again += step.executed_again;
            self.passage.opening_changed_a_receipt +=
                step.executed.iter().filter(|outcome| outcome.again).count();
            self.tables.apply(step.writes);
        }
    }

    fn order(&self) -> Vec<Place> {
        let mut order: Vec<Place> = Vec::new();
        loop {
            let page = self.replica.order(&self.tables, order.last(), 7).unwrap();
            if page.is_empty() {
                return order;
            }
            order.extend(page);
        }
    }

    fn state(&self) -> BTreeMap<StateKey, Vec<u8>> {
        let mut state: BTreeMap<StateKey, Vec<u8>> = BTreeMap::new();
        loop {
            let after = state.keys().last().copied();
            let page = self.replica.entries(&self.tables, &[], after.as_ref(), 5).unwrap();
            if page.is_empty() {
                return state;
            }
            state.extend(page);
        }
    }

    /// What a check of the tables against the history says.
    pub fn verify(&self) -> Verification {
        let mut verifier = Verifier::new(true);
        loop {
            if let Some(report) = verifier.step(&self.replica, &self.tables, Some(&Probe)).unwrap() {
                return report;
            }
        }
    }

    /// Compares everything that members agree on.
    pub fn check(&self, oracle: &Oracle) -> Result<(), String> {
        let expected: Vec<TransactionId> = oracle.order.iter().map(|(_, id)| *id).collect();
        let order = self.order();
        equal("order", &expected, &order.iter().map(|place| place.id).collect())?;
        for (id, receipt) in &oracle.receipts {
            let got: Option<Receipt> = self.replica.receipt(&self.tables, id).unwrap();
            let kind = oracle.history[id].transaction.header.kind;
            equal(&format!("receipt of {id:?}, kind {kind}"), &Some(receipt), &got.as_ref())?;
        }
        equal("state", &oracle.state, &self.state())?;
        for (key, value) in &oracle.state {
            equal("value", &Some(value), &self.replica.value(&self.tables, key).unwrap().as_ref())?;
        }
        let members: BTreeMap<MemberId, _> = self
            .replica
            .members()
            .map(|(id, member)| {
                let facts = super::judge::Member {
                    role: member.role,
                    added: member.added,
                    made: member.made.clone(),
                    name: member.name.clone(),
                };
                (*id, facts)
            })
            .collect();
        equal("members", &oracle.governance.members, &members)?;
        if let Some(name) = &oracle.governance.name {
            equal("name", &name.as_str(), &self.replica.name())?;
        }
        let authors: BTreeSet<MemberId> = oracle.history.values().map(oracle::Known::author).collect();
        for author in authors.iter().chain(&oracle.governance.removed) {
            let expected = oracle.governance.removed.contains(author);
            equal("removed key", &expected, &self.replica.is_removed(author))?;
        }
        let invitations: BTreeMap<TransactionId, (u32, bool)> =
            self.replica.invitations().map(|(id, state)| (*id, (state.uses, state.revoked))).collect();
        let expected: BTreeMap<TransactionId, (u32, bool)> = oracle
            .governance
            .invitations
            .iter()
            .map(|(id, state)| (*id, (state.uses, state.revoked)))
            .collect();
        equal("invitations", &expected, &invitations)?;
        equal("pending", &0, &self.replica.pending())?;
        let unopened = oracle.history.values().filter(|known| !super::words::is_opened(&known.transaction));
        equal("unopened", &(unopened.count() as u64), &self.replica.unopened())?;
        equal("commitment", &scratch::commitment(oracle), &self.replica.commitment())?;
        let expected: Vec<Place> = oracle.order.iter().map(|(place, _)| *place).collect();
        equal("places", &expected, &order)?;
        for (id, verdict) in &self.given {
            let agrees = match verdict {
                Verdict::Valid | Verdict::Known => oracle.verdicts.get(id) == Some(&oracle::Verdict::Valid),
                _ => oracle.verdicts.get(id) != Some(&oracle::Verdict::Valid),
            };
            if !agrees {
                return Err(format!("verdict on {id:?}: {verdict:?}, not {:?}", oracle.verdicts.get(id)));
            }
        }
        Ok(())
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, got: &T) -> Result<(), String> {
    if expected == got {
        Ok(())
    } else {
        Err(format!("{what}: the oracle says\n  {expected:?}\nand the replica\n  {got:?}"))
    }
}
