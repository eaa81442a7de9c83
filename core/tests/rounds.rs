//! A context's thread writes in rounds of bounded size: what does not fit into one goes into the next, in order, and nobody is forgotten.
#![allow(clippy::unwrap_used)]

mod nodes;

use kith_core::ErrorKind;
use kith_core::network::Hub;
use kith_core::node::{CreateOptions, Level};
use kith_core::replica::Role;
use nodes::{equal, join, key, open};

/// Far more than one round takes: 44 KiB.
const CALLS: usize = 300;
const VALUE: [u8; 1000] = [7; 1000];

#[tokio::test]
async fn callers_of_more_than_one_round_are_all_answered_and_joiners_take_it_in_piece_by_piece() {
    let hub = Hub::new();
    let (anna, ben, carol) = (open(&hub).await, open(&hub).await, open(&hub).await);
    let notes = anna.create_context(CreateOptions::default()).await.unwrap();
    let copy = join(&notes, &ben, Role::Writer).await.unwrap();
    let calls = (0..CALLS).map(|number| {
        let notes = notes.clone();
        tokio::spawn(async move { notes.put(key(&number.to_string()), &VALUE).await })
    });
    let calls: Vec<_> = calls.collect();
    let mut ids = std::collections::BTreeSet::new();
    for call in calls {
        ids.insert(call.await.unwrap().unwrap());
    }
    assert_eq!(ids.len(), CALLS, "each caller has a transaction of its own");
    equal(&notes, &copy).await;
    let third = join(&notes, &carol, Role::Writer).await.unwrap();
    third.put(key("last"), b"x").await.unwrap();
    equal(&third, &notes).await;
    equal(&third, &copy).await;
    let status = third.status().await.unwrap();
    assert_eq!((status.waiting, status.pending), (0, 0));
    for number in [0, CALLS / 2, CALLS - 1] {
        let value = third.get(key(&number.to_string()), Level::Tentative).await.unwrap();
        assert_eq!(value.as_deref(), Some(&VALUE[..]));
    }
    for node in [anna, ben, carol] {
        node.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn calls_queued_before_a_shutdown_are_carried_out_or_closed_and_none_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let options = || {
        let mut options = kith_core::Options::local(folder.path());
        options.listen.clear();
        options
    };
    let node = kith_core::Node::open(options()).await.unwrap();
    let notes = node.create_context(CreateOptions::default()).await.unwrap();
    let id = notes.id();
    let calls: Vec<_> = (0..CALLS)
        .map(|number| {
            let notes = notes.clone();
            tokio::spawn(async move { notes.put(key(&number.to_string()), &VALUE).await })
        })
        .collect();
    notes.put(key("first"), b"x").await.unwrap();
    node.shutdown().await.unwrap();
    let mut done = 0;
    for call in calls {
        match tokio::time::timeout(nodes::PATIENCE, call).await.expect("the caller is answered").unwrap() {
            Ok(_) => done += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
        }
    }
    let node = kith_core::Node::open(options()).await.unwrap();
    let status = node.context(id).unwrap().status().await.unwrap();
    assert!(status.transactions >= done + 2, "{} transactions, {done} acknowledged", status.transactions);
    node.shutdown().await.unwrap();
}
