//! All of a node against a replay from genesis, of what it holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use kith_core::replica::{
    MemberId, Place, Replica, StateKey, StateRead, Tip, Transaction, TransactionId, Verification, Verifier,
};
use kith_core::storage::ContextTables;
use kith_core::{Result, limits};
use kith_oracle::oracle::{Known, Oracle, Verdict};
use kith_oracle::probe::Probe;
use kith_oracle::words::{self, kinds};
use kith_oracle::{judge, scratch};

use crate::disk::Disk;
use crate::judge::{Check, Judge, broken, must};
use crate::node::{NUMBER, Node};

impl Judge {
    /// Compares all of a node with a replay from genesis.
    pub fn replay(&mut self, node: &Node) -> Check {
        let Some(machine) = &node.machine else { return Ok(()) };
        let replica = machine.replica();
        if replica.pending() > 0 || node.disk.is_dead() || replica.transactions() == 0 {
            return Ok(());
        }
        self.reads(node)?;
        self.compare(node, replica).unwrap_or_else(|error| Err(broken(error)))
    }

    fn compare(&mut self, node: &Node, replica: &Replica) -> Result<Check> {
        let snapshot = node.disk.intact();
        let tables = ContextTables::new(&*snapshot, NUMBER);
        let history = history(replica, &tables)?;
        let unproved = unproved(&history);
        if let Some(id) = unproved.first() {
            let detail = format!("nothing proves {id}, and {} more", unproved.len() - 1);
            return Ok(Err(("what-is-held-can-be-proved", detail)));
        }
        if let Some(detail) = crate::thief::not_gone(&history, &tables, &self.honest)? {
            return Ok(Err(("used-keys-are-gone", detail)));
        }
        let oracle = self.oracle(replica, &history);
        if let Some(detail) = crate::superseded::chain_that_stays(replica, &tables, &oracle)? {
            return Ok(Err(("superseded-keys-are-gone", detail)));
        }
        if let Some(detail) = believed(node, &oracle) {
            return Ok(Err(("a-removal-is-believed-of-who-may-remove", detail)));
        }
        same(replica, &tables, &oracle, node.standing.differs)
    }

    /// The verdict of the oracle on all that a node holds: one replay of each history.
    pub(crate) fn oracle(&mut self, replica: &Replica, history: &[Transaction]) -> Rc<Oracle> {
        let digest = replica.digest();
        // What is not opened is no part of the digest.
        let opened = replica.unopened() == 0;
        if let Some(oracle) = self.replayed.get(&digest).filter(|_| opened) {
            return Rc::clone(oracle);
        }
        let oracle = Rc::new(self.replay_of(replica, history));
        if self.replayed.len() > 4 {
            self.replayed.clear();
        }
        if opened {
            self.replayed.insert(digest, Rc::clone(&oracle));
        }
        oracle
    }

    /// What a node has against a replay of what is there, whatever it says that it has.
    pub(crate) fn against_a_replay(&mut self, replica: &Replica, tables: &dyn StateRead) -> Result<Check> {
        let history = history(replica, tables)?;
        let oracle = self.replay_of(replica, &history);
        same(replica, tables, &oracle, false)
    }

    fn replay_of(&mut self, replica: &Replica, history: &[Transaction]) -> Oracle {
        self.replays += 1;
        let check = |transaction: &Transaction| {
            let id = words::unsigned(transaction)?;
            let Some(signature) = transaction.signature else { return Some(id) };
            if self.verified.get(&id) != Some(&signature) {
                if !words::has_signed(&transaction.header.author, &id, &signature) {
                    return None;
                }
                self.verified.insert(id, signature);
            }
            Some(id)
        };
        Oracle::replay_checked(&replica.context(), history, &Probe, check)
    }
}

/// What the check that a host can have made finds at a node, with the application as it is everywhere else.
pub(crate) fn verification(disk: &Disk, replica: &Replica) -> Result<Verification> {
    let snapshot = disk.intact();
    let tables = ContextTables::new(&*snapshot, NUMBER);
    let mut verifier = Verifier::new(true);
    loop {
        if let Some(found) = verifier.step(replica, &tables, Some(&Probe))? {
            return Ok(found);
        }
    }
}

/// What a node takes for its removal though its history does not have it, and nobody there may remove it. (Its two histories prove a fork
/// to a copy, or to who was set back.)
fn believed(node: &Node, oracle: &Oracle) -> Option<String> {
    let why = node.machine.as_ref()?.removed()?;
    let members = &oracle.governance.members;
    let wrong = members.contains_key(&node.me)
        && !node.standing.clone
        && !node.standing.rolled_back
        && !members.keys().any(|other| *other != node.me && oracle.may_remove(other, &node.me));
    wrong.then(|| why.into())
}

/// All transactions that a node holds.
pub(crate) fn history(replica: &Replica, tables: &dyn StateRead) -> Result<Vec<Transaction>> {
    let mut all = Vec::new();
    for (author, _) in replica.tips() {
        let mut after = Tip { sequence: 0, id: TransactionId::default() };
        loop {
            let page = replica.chain(tables, author, after, 500)?;
            let Some((id, last)) = page.last() else { break };
            after = Tip { sequence: last.header.sequence, id: *id };
            all.extend(page.into_iter().map(|(_, transaction)| transaction));
        }
    }
    Ok(all)
}

/// What a node holds without a signature within reach: it could pass that on to nobody.
fn unproved(history: &[Transaction]) -> Vec<TransactionId> {
    let mut all: Vec<(TransactionId, &Transaction)> =
        history.iter().map(|t| (words::id(&t.header), t)).collect();
    all.sort_by_key(|(_, transaction)| std::cmp::Reverse(transaction.header.sequence));
    let mut nearest: HashMap<TransactionId, usize> = HashMap::new();
    let mut unproved = Vec::new();
    for (id, transaction) in all {
        let own = proof(&id, transaction);
        let distance = nearest.get(&id).copied().into_iter().chain(own).min();
        match distance.filter(|distance| *distance < limits::RUN) {
            Some(distance) => {
                let before = nearest.entry(transaction.header.previous).or_insert(usize::MAX);
                *before = (distance + 1).min(*before);
            }
            None => unproved.push(id),
        }
    }
    unproved
}

/// How far its own signature is. That of a cover is verified here, the others by the replay.
fn proof(id: &TransactionId, transaction: &Transaction) -> Option<usize> {
    let (mut last, mut at) = (&transaction.header, *id);
    if transaction.signature.is_some() {
        return Some(0);
    }
    let cover = transaction.cover.as_ref()?;
    for next in cover.headers() {
        if next.previous != at || next.author != last.author {
            return None;
        }
        (last, at) = (next, words::id(next));
    }
    words::has_signed(&last.author, &at, cover.signature()).then(|| cover.headers().len())
}

/// What a node has against what it should have. Where an application differs, that is all that does not come from it.
fn same(replica: &Replica, tables: &dyn StateRead, oracle: &Oracle, differs: bool) -> Result<Check> {
    let invalid = oracle.verdicts.iter().find(|(_, verdict)| **verdict != Verdict::Valid);
    if let Some((id, verdict)) = invalid {
        return Ok(Err(("only-valid-transactions-are-admitted", format!("{id}: {verdict:?}"))));
    }
    let mut order: Vec<Place> = Vec::new();
    loop {
        let page = replica.order(tables, order.last(), 500)?;
        if page.is_empty() {
            break;
        }
        order.extend(page);
    }
    let expected: Vec<Place> = oracle.order.iter().map(|(place, _)| *place).collect();
    if order != expected {
        let at = order.iter().zip(&expected).position(|(one, other)| one != other);
        return Ok(Err((
            "order-is-a-replay",
            format!("{} places, not {}; first at {at:?}", order.len(), expected.len()),
        )));
    }
    let calls = |id: &TransactionId| oracle.history.get(id).map(Known::kind) == Some(kinds::CALL);
    for place in order.iter().filter(|place| !differs || !calls(&place.id)) {
        let (got, expected) = (replica.receipt(tables, &place.id)?, oracle.receipts.get(&place.id));
        if got.as_ref() != expected {
            return Ok(Err(("receipts-are-a-replay", format!("{}: {got:?}, not {expected:?}", place.id))));
        }
    }
    let mut state: BTreeMap<StateKey, Vec<u8>> = BTreeMap::new();
    loop {
        let after = state.keys().last().copied();
        let page = replica.entries(tables, &[], after.as_ref(), 500)?;
        if page.is_empty() {
            break;
        }
        state.extend(page);
    }
    if state != oracle.state && !differs {
        return Ok(Err((
            "state-is-a-replay",
            format!("{} entries, not {}", state.len(), oracle.state.len()),
        )));
    }
    let member = |facts: &kith_core::replica::Member| judge::Member {
        role: facts.role,
        added: facts.added,
        made: facts.made.clone(),
        name: facts.name.clone(),
    };
    let members: BTreeMap<MemberId, judge::Member> =
        replica.members().map(|(id, facts)| (*id, member(facts))).collect();
    let authors: BTreeSet<MemberId> = oracle.history.values().map(|known| known.author()).collect();
    let removed =
        authors.iter().all(|author| replica.is_removed(author) == oracle.governance.removed.contains(author));
    let uses = |uses: u32, revoked: bool| (uses, revoked);
    let invitations: BTreeMap<TransactionId, (u32, bool)> =
        replica.invitations().map(|(id, state)| (*id, uses(state.uses, state.revoked))).collect();
    let expected: BTreeMap<TransactionId, (u32, bool)> = oracle
        .governance
        .invitations
        .iter()
        .map(|(id, state)| (*id, uses(state.uses, state.revoked)))
        .collect();
    if members != oracle.governance.members || !removed || invitations != expected {
        return Ok(Err((
            "membership-is-a-replay",
            format!("{} members, {} invitations", members.len(), invitations.len()),
        )));
    }
    let commitment = differs || replica.commitment() == scratch::commitment(oracle);
    Ok(must(commitment, "commitment-is-a-replay", || "it differs".into()))
}
