use std::collections::{BTreeMap, BTreeSet};

use super::super::batch::{Batch, Purpose, Run, runs};
use super::super::sender::Sender;
use super::super::session::Stop;
use super::super::vector::plan;
use super::super::window::{Incoming, Outgoing};
use super::super::{Ended, Failure};
use super::world::{Dice, Store, genesis, history, member, noise, sign};
use crate::limits;
use crate::replica::payload::Tip;
use crate::replica::{ContextId, Kind, Transaction, TransactionId};

fn context() -> ContextId {
    genesis().header.belongs_to()
}

pub(in super::super) fn chain(length: usize) -> Vec<Transaction> {
    let mut all = vec![genesis()];
    while all.len() < length {
        let next = sign(context(), 0, all.last(), &[], Kind::Call, vec![9; 100]);
        all.push(next);
    }
    all
}

fn named(all: &[Transaction]) -> Vec<(TransactionId, Transaction)> {
    all.iter().map(|transaction| (transaction.header.id(), transaction.clone())).collect()
}

fn decode(batch: Batch) -> Result<Vec<(TransactionId, Transaction)>, Failure> {
    batch.decode(&context(), &Store::default()).map_err(|stop| match stop {
        Stop::Ended(Ended::Failed(failure)) => failure,
        _ => panic!("it ends with a failure"),
    })
}

fn through(runs: &[Run]) -> Result<Vec<Transaction>, Failure> {
    let decoded = decode(Batch::encode(Purpose::CatchUp, runs))?;
    Ok(decoded.into_iter().map(|(_, transaction)| transaction).collect())
}

#[test]
fn runs_are_of_16_where_there_are_signatures() {
    let (made, left) = runs(named(&chain(40)));
    assert!(left.is_empty());
    assert_eq!(made.iter().map(|run| run.transactions.len()).collect::<Vec<_>>(), [16, 16, 8]);
}

#[test]
fn one_signature_covers_a_run_of_256() {
    let mut all = chain(600);
    for transaction in &mut all {
        if ![256, 512, 600].contains(&transaction.header.sequence) {
            transaction.signature = None;
        }
    }
    let (made, left) = runs(named(&all));
    assert!(left.is_empty());
    let lengths: Vec<usize> = made.iter().map(|run| run.transactions.len()).collect();
    assert_eq!(lengths, [256, 256, 88]);
    let got = through(&made).unwrap();
    let signed: Vec<u64> = got
        .iter()
        .filter(|transaction| transaction.signature.is_some())
        .map(|transaction| transaction.header.sequence)
        .collect();
    assert_eq!(signed, [256, 512, 600]);
    assert!(got.iter().zip(&all).all(|(got, sent)| got.header == sent.header && got.payload == sent.payload));

    let mut long = made[0].clone();
    long.transactions = all[..257].iter().map(|t| (t.header.clone(), t.payload.clone())).collect();
    assert_eq!(through(&[long.clone()]), Err(Failure::Garbage));
    // Headers alone count like whole ones.
    long.transactions.truncate(200);
    long.cover = all[200..256].iter().map(|transaction| transaction.header.clone()).collect();
    assert_eq!(through(&[long.clone()]).unwrap().len(), 200);
    long.cover = all[200..257].iter().map(|transaction| transaction.header.clone()).collect();
    assert_eq!(through(&[long]), Err(Failure::Garbage));
}

#[test]
fn runs_end_only_where_the_sender_has_a_signature() {
    let mut all = chain(300);
    for (index, transaction) in all.iter_mut().enumerate() {
        if ![9, 100, 299].contains(&index) {
            transaction.signature = None;
        }
    }
    let (made, left) = runs(named(&all[..250]));
    assert_eq!(made.iter().map(|run| run.transactions.len()).collect::<Vec<_>>(), [10, 91]);
    assert_eq!(left.len(), 149);
    let (made, left) = runs(named(&all));
    assert!(left.is_empty());
    assert_eq!(made.iter().map(|run| run.transactions.len()).collect::<Vec<_>>(), [10, 91, 199]);
    assert_eq!(through(&made).unwrap().len(), 300);
}

#[test]
fn a_forged_signature_counts_where_it_is_sent() {
    let mut all = chain(10);
    all[4].signature = Some([7; 64]);
    assert_eq!(through(&runs(named(&all)).0).unwrap().len(), 10);
    all[9].signature = Some([7; 64]);
    assert_eq!(through(&runs(named(&all)).0), Err(Failure::BadTransaction));
}

#[test]
fn what_was_altered_is_refused() {
    let all = chain(10);
    let good = runs(named(&all)).0;
    assert!(through(&good).is_ok());
    let broken = |change: &dyn Fn(&mut Run)| {
        let mut run = good[0].clone();
        change(&mut run);
        through(&[run])
    };
    let bad = Err(Failure::BadTransaction);
    assert_eq!(broken(&|run| run.transactions[3].1[40] ^= 1), bad);
    assert_eq!(broken(&|run| run.transactions[3].0.timestamp ^= 1), bad);
    assert_eq!(broken(&|run| run.transactions[9].0.timestamp ^= 1), bad);
    assert_eq!(broken(&|run| run.signature[5] ^= 1), bad);
    assert_eq!(broken(&|run| run.transactions.swap(3, 4)), bad);
    assert_eq!(broken(&|run| drop(run.transactions.remove(3))), bad);
    assert_eq!(broken(&|run| run.transactions.clear()), Err(Failure::Garbage));
    let cut = |run: &mut Run| run.cover = run.transactions.split_off(4).into_iter().map(|(h, _)| h).collect();
    assert!(broken(&|run| cut(run)).is_ok());
    let broken = |change: &dyn Fn(&mut Run)| {
        let mut run = good[0].clone();
        cut(&mut run);
        change(&mut run);
        through(&[run])
    };
    assert_eq!(broken(&|run| run.cover[2].timestamp ^= 1), bad);
    assert_eq!(broken(&|run| run.cover[5].timestamp ^= 1), bad);
    assert_eq!(broken(&|run| run.signature[5] ^= 1), bad);
    assert_eq!(broken(&|run| run.cover.swap(1, 2)), bad);
    assert_eq!(broken(&|run| run.cover.clear()), bad);
    assert_eq!(broken(&|run| run.transactions[3].1[40] ^= 1), bad);
    assert_eq!(through(&[]), Err(Failure::Garbage));
    let foreign = sign(ContextId([9; 32]), 1, None, &[&all[0]], Kind::Call, vec![]);
    assert_eq!(through(&runs(named(&[foreign])).0), bad);
}

#[test]
fn lengths_are_checked_before_decompression() {
    let batch = Batch::encode(Purpose::CatchUp, &runs(named(&chain(100))).0);
    let with_length = |length: usize| {
        let mut batch = batch.clone();
        batch.length = u32::try_from(length).unwrap();
        decode(batch).map(|all| all.len())
    };
    let right = batch.length as usize;
    assert_eq!(with_length(right), Ok(100));
    for wrong in [0, 1, right - 1, right + 1, limits::SYNC_BATCH_MOST, limits::SYNC_BATCH_MOST + 1] {
        assert_eq!(with_length(wrong), Err(Failure::Garbage));
    }
}

#[test]
fn both_sides_keep_the_same_account_of_the_window() {
    let (mut outgoing, mut incoming) = (Outgoing::default(), Incoming::default());
    let mut tokens = Vec::new();
    while outgoing.has_room() {
        outgoing.sent(limits::SYNC_BATCH, 7);
        tokens.push(incoming.received(limits::SYNC_BATCH).unwrap());
    }
    assert_eq!(tokens.len(), 4);
    // What the sender never does, the receiver does not take.
    incoming.received(limits::SYNC_WINDOW - 4 * limits::SYNC_BATCH).unwrap();
    assert_eq!(incoming.received(1), Err(Failure::Flood));
    assert!(incoming.is_busy());
    // Durable out of order: acknowledged in order.
    incoming.durable(tokens[1]);
    assert_eq!(incoming.acknowledge(0), None);
    incoming.durable(tokens[0]);
    assert_eq!(incoming.acknowledge(0), Some(2));
    outgoing.acknowledged(2).unwrap();
    assert!(outgoing.has_room());
    assert_eq!(outgoing.acknowledged(3), Err(Failure::Protocol));
    assert!(incoming.received(1).is_ok());

    let mut small = Incoming::default();
    for _ in 0..limits::SYNC_WINDOW_BATCHES {
        small.received(1).unwrap();
    }
    assert_eq!(small.received(1), Err(Failure::Flood));
}

/// Sends everything.
fn sender(store: &Store) -> Sender {
    let plan = plan(store, &BTreeMap::new(), true).unwrap();
    assert_eq!(plan.transactions, store.ids.len() as u64);
    Sender::new(store, &plan.starts).unwrap()
}

/// A big history goes through hands: each batch within its limits, in causal order, nothing waits at the receiver, and
/// what has come that way can go on to the next in the same way.
#[test]
fn big_histories_go_from_hand_to_hand_in_causal_order() {
    let mut dice = Dice(77);
    let all = history(&mut dice, 5, 260, 60, 40_000);
    let mut store = Store::new(5);
    store.receive(all.clone());
    for hop in 0..4 {
        let mut sender = sender(&store);
        let mut next = Store::new(5);
        let mut batches = 0;
        while let Some((runs, count)) = sender.batch(&store, &member(9), limits::SYNC_BATCH).unwrap() {
            let batch = Batch::encode(Purpose::CatchUp, &runs);
            assert!(batch.length as usize <= limits::SYNC_BATCH + 50_000, "hop {hop}: {}", batch.length);
            let transactions = decode(batch).unwrap();
            assert_eq!(transactions.len() as u64, count);
            assert_eq!(
                next.receive(transactions.into_iter().map(|(_, transaction)| transaction)).len() as u64,
                count
            );
            assert!(next.waiting.is_empty(), "hop {hop}");
            batches += 1;
        }
        assert!(batches >= 10);
        assert!(next.named() == store.named());
        let unsigned = next.all.values().filter(|transaction| transaction.signature.is_none()).count();
        assert!(unsigned > 50, "{unsigned}");
        store = next;
    }
}

/// The control of the test above: where signatures are missing at random, cuts that suit everybody are rare, and what
/// arrives has to wait, but everything still arrives.
#[test]
fn with_few_signatures_everything_still_arrives() {
    let mut dice = Dice(78);
    let all = history(&mut dice, 5, 300, 60, 30_000);
    let mut store = Store::new(5);
    store.receive(all);
    store.strip(&mut dice, 1);
    let mut sender = sender(&store);
    let mut next = Store::new(5);
    let mut waited = false;
    while let Some((runs, _)) = sender.batch(&store, &member(9), limits::SYNC_BATCH).unwrap() {
        let batch = Batch::encode(Purpose::CatchUp, &runs);
        assert!(batch.length as usize <= limits::SYNC_BATCH_MOST);
        let transactions = decode(batch).unwrap();
        next.receive(transactions.into_iter().map(|(_, transaction)| transaction));
        waited |= !next.waiting.is_empty();
    }
    assert!(waited);
    assert!(next.named() == store.named(), "{} of {}", next.ids.len(), store.ids.len());
}

#[test]
fn a_thousand_authors_are_sent_in_bounded_memory_and_order() {
    let mut dice = Dice(1);
    let root = genesis();
    let mut store = Store::new(0);
    store.receive([root.clone()]);
    for author in 1..1024 {
        let first = sign(context(), author, None, &[&root], Kind::Call, noise(&mut dice, 10_000));
        let second = sign(context(), author, Some(&first), &[], Kind::Call, noise(&mut dice, 10_000));
        store.receive([first, second]);
    }
    let mut sender = sender(&store);
    let mut next = Store::new(0);
    while let Some((runs, _)) = sender.batch(&store, &member(9), limits::SYNC_BATCH).unwrap() {
        let batch = Batch::encode(Purpose::CatchUp, &runs);
        assert!(batch.length as usize <= limits::SYNC_BATCH + 20_000);
        next.receive(decode(batch).unwrap().into_iter().map(|(_, transaction)| transaction));
        assert!(next.waiting.is_empty());
    }
    assert!(next.named() == store.named(), "{} of {}", next.ids.len(), store.ids.len());
}

#[test]
fn what_surely_lacks_is_found_on_every_branch() {
    let base = chain(5);
    let mut store = Store::new(1);
    store.receive(base.clone());
    let branch = |from: &Transaction, length: usize, mark: u8| {
        let mut all = vec![from.clone()];
        for _ in 0..length {
            let next = sign(context(), 0, all.last(), &[], Kind::Call, vec![mark]);
            all.push(next);
        }
        all.split_off(1)
    };
    let [x, y, z] = [branch(&base[2], 4, 1), branch(&base[2], 3, 2), branch(&base[4], 2, 3)];
    store.receive([x.clone(), y.clone(), z.clone()].concat());
    let tip = |transaction: &Transaction| Tip {
        sequence: transaction.header.sequence,
        id: transaction.header.id(),
    };
    let sending = |known: Vec<Tip>, patient: bool| {
        let plan = plan(&store, &[(member(0), known)].into(), patient).unwrap();
        let mut sender = Sender::new(&store, &plan.starts).unwrap();
        let mut sent: Vec<u8> = Vec::new();
        let mut ids = BTreeSet::new();
        while let Some((runs, _)) = sender.batch(&store, &member(9), limits::SYNC_BATCH).unwrap() {
            for (header, payload) in runs.into_iter().flat_map(|run| run.transactions) {
                assert!(ids.insert(header.id()), "sent twice");
                sent.push(payload[32]);
            }
        }
        sent.sort_unstable();
        (sent, plan.transactions)
    };
    let sent = |known: Vec<Tip>| sending(known, true);
    let last = |branch: &[Transaction]| tip(branch.last().unwrap());
    assert_eq!(sent(vec![last(&x)]), (vec![2, 2, 2, 3, 3, 9, 9], 7));
    assert_eq!(sent(vec![last(&z)]), (vec![1, 1, 1, 1, 2, 2, 2], 7));
    assert_eq!(sent(vec![tip(&base[4]), tip(&x[0])]), (vec![1, 1, 1, 2, 2, 2, 3, 3], 8));
    assert_eq!(sent(vec![last(&x), last(&y), tip(&base[4])]), (vec![3, 3], 2));
    assert_eq!(sent(vec![tip(&base[2])]).0.len(), 11);
    assert_eq!(sent(vec![]).0.len(), 14);
    let bogus = |sequence| Tip { sequence, id: TransactionId([5; 32]) };
    // Ahead of everything here: they will send, and know what to.
    assert_eq!(sent(vec![bogus(99)]).0.len(), 0);
    assert_eq!(sending(vec![bogus(99)], false).0.len(), 14);
    // A fork at a place that neither knows.
    assert_eq!(sent(vec![bogus(7)]).0.len(), 14);
    // A known id with another number is not known.
    assert_eq!(sent(vec![Tip { sequence: 99, id: last(&x).id }]).0.len(), 0);
}
