//! A chain whose end is invalid: what comes before is valid, and nothing in any history covers it.

use std::sync::Arc;

use kith_core::application::kv::KeyValue;
use kith_core::replica::payload::SignedRun;
use kith_core::replica::{Cover, Draft, Invalid, Kind, Role, Transaction, Verdict};

use super::actions::What;
use super::deliver::Node;
use super::world::{World, actor_key};

/// A context with a reader, a node that holds it, and what the reader said first.
pub fn begin() -> (World, Node, Transaction) {
    let mut world = World::genesis(Vec::new());
    world.add(0, 1, Role::Reader);
    let first = world.acts(1, What::Note);
    let transactions = world.transactions();
    let mut node = Node::new(world.context);
    assert!(node.receive(&transactions, Some(&KeyValue)).is_empty());
    let root = transactions[first].clone();
    (world, node, root)
}

/// What the author of a transaction says next.
pub fn next(previous: &Transaction, timestamp: u64) -> Draft {
    Draft {
        context: previous.header.context,
        sequence: previous.header.sequence + 1,
        previous: previous.header.id(),
        parents: Vec::new(),
        lamport: previous.header.lamport + 1,
        timestamp,
        kind: Kind::Note,
        plaintext: Vec::new(),
        commitment_key: [3; 32],
    }
}

/// A liar signs nothing but an invalid transaction, behind a valid one, and hands both to one node. Whether another one gets the valid one from that.
pub fn passed_on() -> Result<(), String> {
    let (world, mut one, root) = begin();
    let mut valid = next(&root, 1).sign(actor_key(1));
    let bad = next(&valid, 2);
    let bad = Draft { lamport: bad.lamport + 1, ..bad }.sign(actor_key(1));
    let run = SignedRun { headers: vec![bad.header.clone()], signature: bad.signature.unwrap() };
    valid.signature = None;
    valid.cover = Cover::new(Arc::new(run), 0);
    let (id, invalid) = (valid.header.id(), bad.header.id());
    assert!(one.receive(&[valid, bad], Some(&KeyValue)).is_empty());
    assert_eq!(one.given[&id], Verdict::Valid);
    assert_eq!(one.given[&invalid], Verdict::Invalid(Invalid::Lamport));
    for reopened in [false, true] {
        if reopened {
            one.reopen();
        }
        let held = one.replica.transaction(&one.tables, &id).unwrap().unwrap();
        assert_eq!(held.signature, None, "what it has of the author's is on what no history has");
        let mut other = Node::new(world.context);
        assert!(other.receive(&world.transactions(), Some(&KeyValue)).is_empty());
        assert!(other.receive(&[held], Some(&KeyValue)).is_empty());
        if other.replica.digest() != one.replica.digest() {
            return Err(format!("{:?}, opened again: {reopened}", other.given[&id]));
        }
    }
    Ok(())
}
