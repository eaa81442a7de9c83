//! A round of a context that is stored as several batches, of which the second fails: what the first has stays, and the rest comes again.

use std::collections::BTreeSet;
use std::sync::Arc;

use kith_core::replica::TransactionId;
use kith_core::storage::Fault;

use crate::pair::{Disk, Member, Pair, put, written};

/// As many as several batches take.
const CALLS: u64 = 200;

fn transactions(member: &Member) -> u64 {
    member.machine().replica().transactions()
}

/// The member hears of all at once, and writes itself in the same round; the second batch of that round fails.
fn fails(suite: u8, beside: bool, fault: Fault) {
    let what = format!("suite {suite}, beside {beside}, {fault:?}");
    let mut pair = Pair::new(suite, beside);
    pair.disconnect();
    pair.exchange();
    for number in 0..CALLS {
        pair.wish(0, put(number));
    }
    pair.exchange();
    let there: BTreeSet<TransactionId> = pair.answers.values().filter_map(written).collect();
    assert_eq!(there.len() as u64, CALLS, "{what}");
    let before = transactions(&pair.members[1]);
    pair.connect();

    // Until its round is one of several batches; each asks for the failure of its second one.
    let mut calls = Vec::new();
    let (store, commits) = (Arc::clone(&pair.members[1].disk), 2);
    let failed = loop {
        assert!(calls.len() < 100, "{what}: no round has several batches");
        if pair.is_due(0) {
            pair.round(0);
            continue;
        }
        let call = pair.wish(1, put(1_000 + calls.len() as u64));
        calls.push(call);
        store.inner.fail_at(commits, fault);
        let done = store.inner.commits();
        pair.round(1);
        if store.inner.commits() - done >= commits {
            break call;
        }
    };

    // The call of that round was in its first batch, which is durable: it is acknowledged.
    let own = pair.answers.get(&failed).and_then(written);
    let stored = pair.members[1].stored();
    let kept = stored.transactions();
    let all = before + CALLS + calls.len() as u64;
    println!("{what}: {before} before, {kept} kept of {all}");
    assert!(before + 2 < kept && kept < all, "{what}: {before}, {kept} of {all}");
    assert_eq!(pair.channel, None, "{what}: what the session knows is not what the store holds");
    if fault == Fault::Full {
        assert_eq!(pair.members[1].machine().closed(), None, "{what}");
    } else {
        // Nobody knows what became of the batch: the store has to be opened anew.
        assert!(pair.members[1].machine().closed().is_some(), "{what}");
        let member = &mut pair.members[1];
        member.machine = None;
        member.disk = Arc::new(Disk { inner: member.disk.inner.fork(), beside });
        pair.start(1);
    }
    let member = &pair.members[1];
    assert_eq!(member.machine().replica().digest(), stored.digest(), "{what}");
    assert!(own.is_some_and(|own| member.has(&own)), "{what}: it was acknowledged");
    let told: BTreeSet<TransactionId> = member.executed().into_iter().collect();
    assert!(there.iter().all(|id| member.has(id) == told.contains(id)), "{what}: events go with their batch");

    // The rest comes again, to both sides, and both go on.
    pair.connect();
    pair.exchange();
    let last = pair.wish(1, put(5_000));
    pair.exchange();
    calls.push(last);
    assert!(pair.are_equal(), "{what}");
    let [founder, member] = &pair.members;
    assert_eq!(founder.machine().replica().commitment(), member.machine().replica().commitment(), "{what}");
    let own: BTreeSet<TransactionId> = calls.iter().filter_map(|call| written(&pair.answers[call])).collect();
    assert_eq!(own.len(), calls.len(), "{what}: {:?}", pair.answers);
    for side in [founder, member] {
        assert!(there.iter().chain(&own).all(|id| side.has(id)), "{what}");
        let replica = side.machine().replica();
        assert_eq!((replica.unopened(), replica.pending(), replica.violations()), (0, 0, 0), "{what}");
    }
    let executed = member.executed();
    let once: BTreeSet<TransactionId> = executed.iter().copied().collect();
    assert_eq!(executed.len(), once.len(), "{what}: each is told of once");
    assert!(there.iter().chain(&own).all(|id| once.contains(id)), "{what}");
}

#[test]
fn a_second_batch_for_which_there_is_no_room_loses_nothing_of_the_first_and_comes_again() {
    for (suite, beside) in [(0, false), (1, false), (1, true)] {
        fails(suite, beside, Fault::Full);
    }
}

#[test]
fn a_second_batch_whose_outcome_is_open_loses_nothing_of_the_first_and_comes_again() {
    for (suite, beside) in [(0, false), (1, false), (1, true)] {
        fails(suite, beside, Fault::Before);
        fails(suite, beside, Fault::After);
    }
}
