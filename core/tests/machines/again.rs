//! A whole history once more, ten times, forwards and backwards: nothing is carried out again, and not one row is written.

use std::collections::BTreeSet;

use kith_core::application::kv::KeyValue;
use kith_core::encryption::Suite;
use kith_core::node::machine::Wish;
use kith_core::replica::{MemoryTables, Replica, Tip, Transaction, TransactionId, Verdict};

use crate::pair::{Pair, put};

#[test]
fn a_history_that_comes_again_ten_times_writes_nothing() {
    for suite in [0, Suite::X25519 as u8] {
        let mut pair = Pair::new(suite, false);
        for number in 0..6 {
            pair.done(usize::from(number % 2 == 1), put(number));
        }
        if suite != 0 {
            pair.done(1, Wish::RotateKeys);
        }
        pair.done(1, put(6));
        for member in &pair.members {
            let mut all = member.with_tables(|replica, tables| {
                let start = Tip { sequence: 0, id: TransactionId::default() };
                let mut all: Vec<Transaction> = Vec::new();
                for (author, _) in replica.tips() {
                    all.extend(
                        replica.chain(tables, author, start, 1000).unwrap().into_iter().map(|(_, t)| t),
                    );
                }
                all
            });
            all.sort_by_key(|transaction| transaction.header.lamport);
            assert!(all.len() > 10, "{}", all.len());
            let mut replica = member.stored();
            let (digest, commitment) = (replica.digest(), replica.commitment());
            member.with_tables(|_, tables| {
                for _ in 0..10 {
                    all.reverse();
                    let step = replica.receive(tables, &all, Some(&KeyValue)).unwrap();
                    assert!(step.verdicts.iter().all(|(_, verdict)| *verdict == Verdict::Known));
                    assert!(step.writes.is_empty() && step.executed.is_empty() && step.admitted.is_empty());
                }
            });
            assert_eq!((replica.digest(), replica.commitment()), (digest, commitment));
            // The control: who has nothing yet takes what is signed one by one, as the founder's own is, and writes it down.
            if member.me() == pair.members[0].me() {
                let tables = MemoryTables::default();
                let mut other = Replica::open(member.context, &tables).unwrap();
                let step = other.receive(&tables, &all, Some(&KeyValue)).unwrap();
                assert!(step.admitted.len() > 3 && step.writes.len() > 3, "{:?}", step.verdicts);
            }
            // Each call was told of once.
            let executed = member.executed();
            let once: BTreeSet<TransactionId> = executed.iter().copied().collect();
            assert_eq!((executed.len(), once.len()), (7, 7));
        }
    }
}
