//! Which keys may still be there, by the rules of `docs/encryption.md` and the history that a node holds: told again, without the engine's book.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use kith_core::Result;
use kith_core::encryption::{Epoch, Scope, Suite, Wraps};
use kith_core::keyring::Key;
use kith_core::replica::{MemberId, Payload, Replica, StateRead, Table, TransactionId};
use kith_core::storage::ContextTables;
use kith_oracle::oracle::{Known, Oracle};
use kith_oracle::words::kinds;

use crate::booty::{publishes, ratchets};
use crate::calls::call;
use crate::dice::Dice;
use crate::node::NUMBER;
use crate::replays::history;
use crate::world::{Failed, Go, World};

/// Of how many epochs keys are held.
const HELD: usize = 32;
/// After so long an old ratchet key goes, whoever has not heard of the next one, in ms; an hour is for looking.
const WEEK: u64 = 7 * 86_400_000 + 3_600_000;

/// All rows of keys.
pub(crate) fn rows(tables: &dyn StateRead) -> Result<BTreeMap<Key, Vec<u8>>> {
    let rows = tables.scan(Table::Keys, b"ring/", Some(b"ring0"), false, usize::MAX)?;
    let named = rows
        .into_iter()
        .filter_map(|(key, value)| Some((borsh::from_slice::<Key>(key.get(5..)?).ok()?, value.to_vec())));
    Ok(named.collect())
}

/// A chain that ought to have ended: since keys of its epoch are held no more, or since its author has begun in a better epoch.
pub(crate) fn chain_that_stays(
    replica: &Replica,
    tables: &dyn StateRead,
    known: &Oracle,
) -> Result<Option<String>> {
    let Some(suite) = Suite::from_number(replica.suite()) else { return Ok(None) };
    let scope = Scope { suite, context: replica.context() };
    let rows = rows(tables)?;
    let held: BTreeSet<&TransactionId> = rows
        .keys()
        .filter_map(|key| if let Key::Envelope(epoch) = key { Some(epoch) } else { None })
        .collect();
    if held.len() > HELD {
        return Ok(Some(format!("there are keys of {} epochs", held.len())));
    }
    let epoch = |id: &TransactionId| known.history.get(id).filter(|known| known.kind() == kinds::EPOCH);
    let rank = |id: &TransactionId| epoch(id).map(|known| (known.place().lamport, Reverse(known.id)));
    // Where wraps come later the chains may come when their author has gone on already.
    let at_once = |known: &Known| match &known.payload {
        Some(Payload::Epoch(bytes)) => {
            Epoch::decode(&scope, bytes).is_ok_and(|epoch| matches!(epoch.wraps, Wraps::Inline(_)))
        }
        _ => false,
    };
    let begun = known.history.values().filter(|known| {
        let header = &known.transaction.header;
        known.kind() == kinds::CALL && header.epoch != [0; 32] && header.counter == 0
    });
    let begun: Vec<&Known> = begun.collect();
    for (id, author) in rows.keys().filter_map(|key| match key {
        Key::Chain(epoch, author) => Some((epoch, author)),
        _ => None,
    }) {
        if !held.contains(id) {
            return Ok(Some(format!("there is a chain in {id}, of which no keys are held")));
        }
        if !epoch(id).is_some_and(at_once) {
            continue;
        }
        let gone_on = |call: &&&Known| {
            call.author() == *author
                && call.past.contains(id)
                && rank(&TransactionId(call.transaction.header.epoch)) > rank(id)
        };
        if let Some(call) = begun.iter().find(gone_on) {
            return Ok(Some(format!(
                "{author} has gone on with {}, and its chain in {id} is there",
                call.id
            )));
        }
    }
    Ok(None)
}

impl World {
    /// Members whose newest ratchet key all others have answered to, by what they hold themselves, with the number of that key.
    fn seen_by_all(&mut self) -> std::result::Result<Vec<(usize, u32)>, Failed> {
        let Some(suite) = Suite::from_number(self.plan.suite) else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for number in self.members() {
            let node = &self.nodes[number];
            let (me, steady) = (node.me, self.is_steady(&node.me));
            let Some(machine) = node.machine.as_ref().filter(|_| steady) else { continue };
            let replica = machine.replica();
            let scope = Scope { suite, context: replica.context() };
            let failed = |error: kith_core::Error| ("reading-works", number, error.to_string());
            let held = history(replica, &ContextTables::new(&*node.disk.intact(), NUMBER)).map_err(failed)?;
            let known = self.judge.oracle(replica, &held);
            let published = held.iter().filter(|t| t.header.author == me);
            let published = published
                .filter_map(|t| Some((publishes(&scope, t)?, Reverse(t.header.lamport), t.header.id())));
            let Some((newest, _, key)) = published.max() else { continue };
            let others = known.governance.members.keys().filter(|member| **member != me);
            let answered = |member: &MemberId| {
                let theirs: Vec<&Known> = known.history.values().filter(|t| t.author() == *member).collect();
                let before: BTreeSet<_> = theirs.iter().map(|t| t.transaction.header.previous).collect();
                let mut last = theirs.iter().filter(|t| !before.contains(&t.id)).peekable();
                last.peek().is_some() && last.all(|t| t.past.contains(&key))
            };
            if newest > 0 && others.into_iter().all(answered) {
                all.push((number, newest));
            }
        }
        Ok(all)
    }

    /// Of what a member has replaced more than a week ago nothing is there, though others are away that have not heard of it. (By its own clock, which was
    /// never set.)
    pub(crate) fn keys_of_weeks_are_gone(&mut self, before: &[u64]) -> Go {
        let now = self.now();
        for number in self.members() {
            let node = &self.nodes[number];
            // Where nothing is written nothing is tidied.
            let idle = before.get(number).is_none_or(|before| *before == node.transactions);
            if !self.is_steady(&node.me) || node.latest_clock > 0 || node.asleep_until > now || idle {
                continue;
            }
            let failed = |error: kith_core::Error| ("reading-works", number, error.to_string());
            let rows = rows(&ContextTables::new(&*node.disk.intact(), NUMBER)).map_err(failed)?;
            let kept = rows.get(&Key::Ratchet).map(|row| ratchets(row)).unwrap_or_default();
            // The newest that has been there for so long: what was before it is to be gone.
            let had = self.judge.ratchets.range((number, 0)..=(number, u32::MAX));
            let outlived = had.filter(|(_, since)| **since + WEEK < now).map(|((_, key), _)| *key).max();
            let Some(newest) = outlived.filter(|newest| *newest > 0) else { continue };
            self.report.outlived += 1;
            if let Some(old) = kept.keys().find(|key| **key < newest) {
                let detail = format!("its ratchet key {old} is there, and key {newest} for more than a week");
                return Err(("superseded-keys-are-gone", number, detail));
            }
        }
        Ok(())
    }

    /// Old ratchet keys go once nobody seals to them: when all other members have said something after the newest was published.
    pub(crate) fn keys_are_forgotten(&mut self) -> Go {
        if self.plan.suite == 0 || self.nodes.len() > 12 || !Dice::new(self.plan.seed, "forgets").one_in(2) {
            return Ok(());
        }
        self.silent = None;
        // What no state makes an application refuse.
        self.say(&call(0, 5, 2));
        // It is looked for what can go once a minute at most.
        self.until(self.now() + 70_000)?;
        self.become_equal(self.report.rounds)?;
        let all = self.seen_by_all()?;
        let size = |world: &Self, number: usize| {
            world.nodes[number].machine.as_ref().map_or(0, |machine| machine.replica().transactions())
        };
        let before: Vec<u64> = all.iter().map(|(number, _)| size(self, *number)).collect();
        self.say(&call(0, 5, 1));
        self.until(self.now() + 5_000)?;
        for ((number, newest), before) in all.into_iter().zip(before) {
            // Where nothing is written nothing is tidied.
            if size(self, number) == before {
                continue;
            }
            let node = &self.nodes[number];
            let failed = |error: kith_core::Error| ("reading-works", number, error.to_string());
            let rows = rows(&ContextTables::new(&*node.disk.intact(), NUMBER)).map_err(failed)?;
            let kept = rows.get(&Key::Ratchet).map(|row| ratchets(row)).unwrap_or_default();
            self.report.forgotten += 1;
            if let Some(old) = kept.keys().find(|number| **number < newest) {
                let detail = format!("its ratchet key {old} is there, and all have seen {newest}");
                return Err(("superseded-keys-are-gone", number, detail));
            }
        }
        Ok(())
    }
}
