//! What a member that has signed two histories costs the others: counted in reads of the tables.
#![allow(clippy::unwrap_used)]

mod common;

use std::cell::Cell;

use common::actions::{Stance, What};
use common::deliver::Node;
use common::world::{World, actor, state_key};
use kith_core::Result;
use kith_core::application::kv::{self, KeyValue};
use kith_core::replica::{MemoryTables, Role, StateRead, Table, Transaction};

/// Counts the places of transactions that are looked up.
struct Counting<'a> {
    tables: &'a MemoryTables,
    looked_up: Cell<usize>,
}

impl StateRead for Counting<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.looked_up.set(self.looked_up.get() + usize::from(table == Table::Ids));
        self.tables.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.tables.scan(table, from, to, reverse, limit)
    }
}

/// How many places are looked up to take in one transaction.
fn cost(node: &mut Node, transaction: &Transaction) -> usize {
    let counting = Counting { tables: &node.tables, looked_up: Cell::new(0) };
    let batch = std::slice::from_ref(transaction);
    let step = node.replica.receive(&counting, batch, Some(&KeyValue)).unwrap();
    assert_eq!(step.admitted.len(), 1, "{:?}", step.verdicts);
    let looked_up = counting.looked_up.get();
    node.tables.apply(step.writes);
    looked_up
}

#[test]
fn a_long_forked_chain_is_walked_once_and_not_for_each_of_its_transactions() {
    const LENGTH: usize = 300;
    let mut world = World::genesis(Vec::new());
    world.add(0, 1, Role::Admin);
    world.notes(1, 1);
    world.add(0, 2, Role::Reader);
    world.notes(2, 1);
    world.meet();
    world.calls(1, Stance::Honest, kv::put(&state_key(1), "one"));
    world.calls(1, Stance::Old(0), kv::put(&state_key(2), "other"));
    for number in 0..LENGTH {
        if number % 10 == 0 {
            world.acts(1, What::SetName { of_context: false, name: 1 });
        } else {
            world.notes(1, 1);
        }
    }
    world.meet();
    let proof = world.acts(2, What::ProveFork { pick: 0, long: false, forgetful: false });

    let transactions = world.transactions();
    let mut node = Node::new(world.context);
    assert!(node.receive(&transactions[..proof], Some(&KeyValue)).is_empty());
    // All that it wrote is judged anew: some look-ups for each, not the whole chain (that were 40,816).
    let judged = cost(&mut node, &transactions[proof]);
    assert!(node.replica.is_removed(&actor(1)));
    assert!((LENGTH..6 * LENGTH).contains(&judged), "{judged} look-ups");
}
