//! Who was removed hears of that, and of nothing that was made behind it.

use kith_core::replica::{Kind, Transaction, TransactionId};
use kith_core::storage::ContextTables;
use kith_core::{Error, Result};

use crate::node::{NUMBER, Node};
use crate::replays::history;
use crate::world::{Go, World};

impl World {
    /// Looks into the stores of honest members that were removed by one removal, where nobody lies: liars pass on what they like.
    pub(crate) fn removed_have_nothing_that_follows(&mut self) -> Go {
        if self.nodes.iter().any(|node| !node.is_honest()) {
            return Ok(());
        }
        let Some(first) = self.members().first().copied() else { return Ok(()) };
        let node = &self.nodes[first];
        let Some(machine) = &node.machine else { return Ok(()) };
        let replica = machine.replica();
        let wrong = |number| move |error: Error| ("reading-works", number, error.to_string());
        let snapshot = node.disk.intact();
        let tables = ContextTables::new(&*snapshot, NUMBER);
        let all = history(replica, &tables).map_err(wrong(first))?;
        let mut removed: Vec<(usize, TransactionId)> = Vec::new();
        for other in self.nodes.iter().filter(|other| replica.is_removed(&other.me)) {
            if let [removal] = replica.removal_of(&other.me)[..]
                && removes(&all, &removal)
                && other.machine.is_some()
                && !other.standing.rolled_back
            {
                removed.push((other.number, removal));
            }
        }
        let known = self.judge.oracle(replica, &all);
        for (number, removal) in removed {
            self.report.parted += 1;
            for (id, what) in known.history.iter().filter(|(_, what)| what.past.contains(&removal)) {
                if has(&self.nodes[number], id).map_err(wrong(number))? {
                    let detail =
                        format!("{id} (kind {}) follows {removal}, which removed this node", what.kind());
                    return Err(("who-was-removed-has-nothing-that-follows", number, detail));
                }
            }
        }
        Ok(())
    }
}

/// Somebody else's removal, and no leaving.
fn removes(all: &[Transaction], id: &TransactionId) -> bool {
    all.iter()
        .any(|transaction| transaction.header.kind == Kind::Remove as u8 && transaction.header.id() == *id)
}

fn has(node: &Node, id: &TransactionId) -> Result<bool> {
    let Some(machine) = &node.machine else { return Ok(false) };
    let snapshot = node.disk.intact();
    machine.replica().has(&ContextTables::new(&*snapshot, NUMBER), id)
}
