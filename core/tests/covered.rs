//! What covers a transaction without a signature is kept as long as the history itself does not, and no longer.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::covering::{begin, next, passed_on};
use common::deliver::{Dice, Node};
use common::world::actor_key;
use kith_core::application::kv::KeyValue;
use kith_core::limits;
use kith_core::replica::payload::SignedRun;
use kith_core::replica::{
    Cover, Invalid, Malformed, StateRead, Table, Tip, Transaction, TransactionId, Verdict,
};
use proptest::prelude::*;

/// A tree of one author's transactions, parents first, all signed; each with the number of the one before it.
fn tree(root: &Transaction, dice: &mut Dice, count: usize, forks: usize) -> Vec<(usize, Transaction)> {
    let mut all: Vec<(usize, Transaction)> = Vec::new();
    for number in 0..count {
        let before = match all.len() {
            0 => usize::MAX,
            length if dice.below(forks) == 0 => dice.below(length),
            length => length - 1,
        };
        let previous = all.get(before).map_or(root, |(_, transaction)| transaction);
        all.push((before, next(previous, number as u64).sign(actor_key(1))));
    }
    all
}

/// A transaction as the first of a run that goes on along some branch, for at most `most` headers; signed if none follows.
fn unsigned(all: &[(usize, Transaction)], number: usize, dice: &mut Dice, most: usize) -> Transaction {
    let mut transaction = all[number].1.clone();
    let (mut headers, mut at, mut last) = (Vec::new(), number, &transaction);
    for _ in 0..dice.below(most + 1) {
        let next: Vec<usize> = (at + 1..all.len()).filter(|next| all[*next].0 == at).collect();
        if next.is_empty() {
            break;
        }
        at = next[dice.below(next.len())];
        last = &all[at].1;
        headers.push(last.header.clone());
    }
    let run = Arc::new(SignedRun { headers, signature: last.signature.unwrap() });
    transaction.cover = Cover::new(run, 0);
    transaction.signature = transaction.signature.filter(|_| transaction.cover.is_none());
    transaction
}

/// How far each transaction is from the signature that proves it.
fn distances(node: &Node, author: &kith_core::replica::MemberId) -> BTreeMap<TransactionId, usize> {
    let zero = Tip { sequence: 0, id: TransactionId::default() };
    let chain = node.replica.chain(&node.tables, author, zero, 1000).unwrap();
    let mut distances: BTreeMap<TransactionId, usize> = BTreeMap::new();
    for (id, transaction) in chain.iter().rev() {
        let behind = distances.get(id).copied();
        if let Some(distance) = transaction.distance().into_iter().chain(behind).min() {
            distances.insert(*id, distance);
            let before = distances.entry(transaction.header.previous).or_insert(usize::MAX);
            *before = (distance + 1).min(*before);
        }
    }
    chain.into_iter().map(|(id, _)| (id, distances.get(&id).copied().unwrap_or(usize::MAX))).collect()
}

fn rows(node: &Node) -> usize {
    node.tables.scan(Table::Meta, b"cover/", Some(b"cover0"), false, 10_000).unwrap().len()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_is_held_ever_gets_farther_from_its_proof(seed: u64) {
        let mut dice = Dice::new(seed);
        let (_, mut node, root) = begin();
        let author = root.header.author;
        let forks = 3 + dice.below(30);
        let all = tree(&root, &mut dice, 60, forks);
        let mut before = distances(&node, &author);
        let mut next = 0;
        while next < all.len() {
            let end = (next + 1 + dice.below(12)).min(all.len());
            let batch: Vec<Transaction> =
                (next..end).map(|number| unsigned(&all, number, &mut dice, 30)).collect();
            prop_assert!(node.receive(&batch, Some(&KeyValue)).is_empty());
            let present = distances(&node, &author);
            for (id, distance) in &present {
                prop_assert!(*distance < limits::RUN, "{id} is proved by nothing");
                prop_assert!(before.get(id).is_none_or(|before| distance <= before), "{id} is farther than before");
            }
            prop_assert_eq!(rows(&node), node.replica.covers());
            before = present;
            if dice.below(3) == 0 {
                let covers = node.replica.covers();
                node.reopen();
                prop_assert_eq!(node.replica.covers(), covers);
                prop_assert!(distances(&node, &author) == before);
            }
            next = end;
        }
        // A signed one on top of each branch: nothing needs a cover any more.
        let tips: Vec<usize> =
            (0..all.len()).filter(|number| all.iter().all(|(before, _)| before != number)).collect();
        for tip in tips {
            let last = tree(&all[tip].1, &mut dice, 1, 9).remove(0).1;
            prop_assert!(node.receive(&[last], Some(&KeyValue)).is_empty());
        }
        prop_assert_eq!((node.replica.covers(), rows(&node)), (0, 0));
    }
}

/// The control: most of these covers are needed for a while, and some cannot be dropped for what follows at once.
#[test]
fn some_covers_are_kept_for_a_while_and_beside_another() {
    let (mut kept, mut beside) = (0, 0);
    for seed in 0..50 {
        let mut dice = Dice::new(seed);
        let (_, mut node, root) = begin();
        let all = tree(&root, &mut dice, 40, 1000);
        for number in 0..all.len() {
            let transaction = unsigned(&all, number, &mut dice, 10);
            assert!(node.receive(&[transaction], Some(&KeyValue)).is_empty());
            kept += usize::from(node.replica.covers() > 0);
            // On one branch, more than one at a time.
            beside += usize::from(node.replica.covers() > 1);
        }
    }
    println!("of 2000: kept {kept}, beside another {beside}");
    assert!(kept > 1_000 && beside > 100);
}

/// A liar signs nothing but an invalid transaction, behind a valid one. The valid one was let in and nothing that was kept proved it, so it could be
/// passed on to nobody: who had got it from the liar and who had not stayed apart for ever. (Without what is kept it is bare: see the next test.)
#[test]
fn what_only_an_invalid_transaction_covers_can_be_passed_on() {
    assert_eq!(passed_on(), Ok(()));
}

#[test]
fn what_nothing_proves_is_not_let_in() {
    let (_, mut node, root) = begin();
    let mut bare = tree(&root, &mut Dice::new(1), 1, 9).remove(0).1;
    bare.signature = None;
    assert!(node.receive(std::slice::from_ref(&bare), Some(&KeyValue)).is_empty());
    let refused = Verdict::Invalid(Invalid::Malformed(Malformed::Signature));
    assert_eq!(node.given[&bare.header.id()], refused);
}
