//! Sealed contexts through whole nodes: what is on the disk, who has which keys, joining, removing, rotating, restarting.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod nodes;

use std::collections::BTreeSet;
use std::sync::Arc;

use kith_core::ErrorKind;
use kith_core::network::Hub;
use kith_core::node::{Context, CreateOptions, Encryption, Engine, Event, Level, Node, Options};
use kith_core::replica::{Kind, Role, Transaction, TransactionId};
use kith_core::storage::{Keyspace, MemoryStore, Store};
use nodes::{PATIENCE, equal, history, join, key, peer, until};

/// Most messages of one author in one epoch.
const MESSAGES: usize = 256;

fn sealed(encryption: Encryption) -> CreateOptions {
    let mut options = CreateOptions::default();
    options.encryption = encryption;
    options
}

/// A node on a store that the test can look into.
async fn watched(hub: &Hub) -> (Node, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    let mut options = Options::in_memory(hub);
    options.engine = Engine::Given(Arc::clone(&store) as Arc<dyn Store>);
    (Node::open(options).await.unwrap(), store)
}

fn of_kind(all: &[Transaction], kind: Kind) -> Vec<&Transaction> {
    all.iter().filter(|t| t.header.kind == kind as u8).collect()
}

async fn value(context: &Context, name: &str) -> Option<Vec<u8>> {
    context.get(key(name), Level::Tentative).await.unwrap()
}

#[tokio::test]
async fn calls_are_sealed_and_everybody_reads_them() {
    for encryption in [Encryption::X25519, Encryption::XWing] {
        let hub = Hub::new();
        let ((anna, a), (ben, b)) = (watched(&hub).await, watched(&hub).await);
        let mine = anna.create_context(sealed(encryption)).await.unwrap();
        mine.put(key("before"), b"a secret of old").await.unwrap();
        let yours = join(&mine, &ben, Role::Writer).await.unwrap();
        assert_eq!(value(&yours, "before").await.unwrap(), b"a secret of old");
        for round in 0..10u8 {
            mine.put(key("mine"), &[round]).await.unwrap();
            yours.put(key("yours"), &[round]).await.unwrap();
        }
        equal(&mine, &yours).await;
        for context in [&mine, &yours] {
            assert_eq!(value(context, "mine").await.unwrap(), [9]);
            assert_eq!(value(context, "yours").await.unwrap(), [9]);
            let security = context.security().await.unwrap();
            assert_eq!((security.suite, security.members, security.members_able), (encryption.suite(), 2, 2));
            assert_eq!((security.violations, security.unopened, security.pending), (0, 0, None));
            assert!(security.epoch.is_some());
            let verified = context.verify().await.unwrap();
            assert!(verified.difference.is_none(), "{:?}", verified.difference);
        }
        for (store, context) in [(&a, &mine), (&b, &yours)] {
            let all = history(&**store, context);
            let calls = of_kind(&all, Kind::Call);
            assert_eq!(calls.len(), 21);
            assert!(calls.iter().all(|call| call.header.is_sealed() && call.is_opened()));
            // What was written before Ben was there came to him as shared history: he has no key of it.
            let without = calls.iter().filter(|call| call.key.is_none()).count();
            assert_eq!(without, usize::from(context.me() == yours.me()), "{encryption:?}");
            let positions: BTreeSet<_> = calls
                .iter()
                .map(|call| (call.header.author, call.header.epoch, call.header.counter))
                .collect();
            assert_eq!(positions.len(), calls.len());
        }
        for node in [anna, ben] {
            node.shutdown().await.unwrap();
        }
    }
}

#[tokio::test]
async fn contexts_that_are_not_sealed_stay_as_they_are() {
    let hub = Hub::new();
    let (anna, store) = watched(&hub).await;
    let context = anna.create_context(sealed(Encryption::Off)).await.unwrap();
    context.put(key("a"), b"b").await.unwrap();
    assert_eq!(context.rotate_keys().await.unwrap_err().kind(), ErrorKind::Unsupported);
    let security = context.security().await.unwrap();
    assert_eq!((security.suite, security.epoch), (0, None));
    let all = history(&*store, &context);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|t| !t.header.is_sealed() && t.key.is_none()));
    anna.shutdown().await.unwrap();
}

// scenario: security_report
#[tokio::test]
async fn who_joins_late_reads_all_epochs_and_who_is_removed_gets_no_more_keys() {
    let hub = Hub::new();
    let (anna, a) = watched(&hub).await;
    let (ben, _) = watched(&hub).await;
    let (carl, c) = watched(&hub).await;
    let mine = anna.create_context(sealed(Encryption::X25519)).await.unwrap();
    for number in 0..MESSAGES + 10 {
        mine.put(key(&number.to_string()), &number.to_le_bytes()).await.unwrap();
    }
    let yours = join(&mine, &ben, Role::Writer).await.unwrap();
    let his = join(&mine, &carl, Role::Writer).await.unwrap();
    equal(&mine, &his).await;
    for number in [0, MESSAGES - 1, MESSAGES, MESSAGES + 9] {
        assert_eq!(value(&his, &number.to_string()).await.unwrap(), number.to_le_bytes());
    }
    assert_eq!(
        of_kind(&history(&*c, &his), Kind::Epoch).len(),
        2,
        "one for each 256 messages, none for joining"
    );
    let security = mine.security().await.unwrap();
    assert_eq!((security.members_able, security.pending.as_deref()), (1, Some("somebody has joined")));
    assert_eq!((security.members, security.violations, security.unopened), (3, 0, 0));
    let aging = async {
        while mine.security().await.unwrap().age <= security.age {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, aging).await.expect("the epoch ages");

    // What Carl writes is under an epoch for all three, and so is what follows.
    his.put(key("carl"), b"hello").await.unwrap();
    equal(&mine, &his).await;
    equal(&mine, &yours).await;
    mine.put(key("anna"), b"welcome").await.unwrap();
    let for_three = mine.security().await.unwrap();
    assert_eq!((for_three.members_able, for_three.pending), (3, None));
    equal(&mine, &his).await;

    let epochs = |store: &MemoryStore, context: &Context| -> BTreeSet<TransactionId> {
        of_kind(&history(store, context), Kind::Epoch).iter().map(|t| t.header.id()).collect()
    };
    let before = epochs(&a, &mine);
    let mut events = his.events(None).await.unwrap();
    mine.remove(his.me()).await.unwrap();
    until(&mut events, |event| matches!(event, Event::MemberRemoved { .. } | Event::Closed { .. })).await;
    mine.put(key("secret"), b"not for Carl").await.unwrap();
    equal(&mine, &yours).await;
    assert_eq!(value(&yours, "secret").await.unwrap(), b"not for Carl");
    let after = epochs(&a, &mine);
    assert_eq!(after.len(), before.len() + 1, "one new epoch, for those that stay");
    let security = mine.security().await.unwrap();
    assert_eq!((security.members, security.members_able), (2, 2));
    // Carl never got it, nor any key that it was sealed with.
    let new = after.difference(&before).next().unwrap();
    assert!(!epochs(&c, &his).contains(new));
    let rows = c.snapshot().unwrap().scan(Keyspace::Keys, &[], None, false, usize::MAX).unwrap();
    assert!(rows.iter().all(|(row, _)| !row.windows(32).any(|part| part == new.0)));
    for node in [anna, ben, carl] {
        node.shutdown().await.unwrap();
    }
}

/// The removal, the new keys and what is sealed with them may all be stored at once.
#[tokio::test]
async fn what_comes_with_a_removal_does_not_go_to_the_removed() {
    for _ in 0..5 {
        let hub = Hub::new();
        let (anna, a) = watched(&hub).await;
        let (carl, c) = watched(&hub).await;
        let mine = anna.create_context(sealed(Encryption::X25519)).await.unwrap();
        let his = join(&mine, &carl, Role::Writer).await.unwrap();
        mine.put(key("x"), b"for both").await.unwrap();
        equal(&mine, &his).await;
        let mut events = his.events(None).await.unwrap();
        let put = mine.put(key("x"), b"not for Carl, and easily found in a store");
        let (removed, put) = tokio::join!(biased; mine.remove(his.me()), put);
        removed.unwrap();
        put.unwrap();
        until(&mut events, |event| matches!(event, Event::Closed { .. })).await;
        let found = |store: &MemoryStore| {
            let snapshot = store.snapshot().unwrap();
            Keyspace::ALL.into_iter().filter(|keyspace| *keyspace != Keyspace::Chunks).any(|keyspace| {
                let rows = snapshot.scan(keyspace, &[], None, false, usize::MAX).unwrap();
                rows.iter().any(|(_, row)| row.windows(12).any(|part| part == b"not for Carl"))
            })
        };
        assert!(found(&a), "the control");
        assert!(!found(&c));
        for node in [anna, carl] {
            node.shutdown().await.unwrap();
        }
    }
}

/// Ben hears of Carl's removal together with what follows it, while he is connected with him.
#[tokio::test]
async fn who_hears_of_a_removal_and_more_passes_on_no_more_than_the_removal() {
    let hub = Hub::new();
    let (anna, a) = watched(&hub).await;
    let (ben, b) = watched(&hub).await;
    let (carl, c) = watched(&hub).await;
    let mine = anna.create_context(sealed(Encryption::X25519)).await.unwrap();
    let yours = join(&mine, &ben, Role::Writer).await.unwrap();
    let his = join(&mine, &carl, Role::Writer).await.unwrap();
    ben.connect(&carl.addresses()[0]).await.unwrap();
    mine.put(key("x"), b"for all three").await.unwrap();
    equal(&mine, &yours).await;
    equal(&mine, &his).await;
    hub.partition(peer(&anna), peer(&ben));
    hub.partition(peer(&anna), peer(&carl));
    yours.put(key("x"), b"while Anna is away").await.unwrap();
    equal(&yours, &his).await;
    let ids = |store: &MemoryStore, context: &Context| -> BTreeSet<TransactionId> {
        history(store, context).iter().map(|transaction| transaction.header.id()).collect()
    };
    let mut known = ids(&a, &mine);
    let removal = mine.remove(his.me()).await.unwrap();
    mine.put(key("x"), b"not for Carl").await.unwrap();
    known.insert(removal);
    let after = &ids(&a, &mine) - &known;
    assert_eq!(after.len(), 2, "new keys, and what is sealed with them");

    let mut events = his.events(None).await.unwrap();
    hub.heal(peer(&anna), peer(&ben));
    ben.connect(&anna.addresses()[0]).await.unwrap();
    until(&mut events, |event| matches!(event, Event::Closed { .. })).await;
    equal(&mine, &yours).await;
    assert!(ids(&b, &yours).is_superset(&after));
    assert!(ids(&c, &his).contains(&removal));
    assert!(ids(&c, &his).is_disjoint(&after));
    for node in [anna, ben, carl] {
        node.shutdown().await.unwrap();
    }
}

// scenario: rotate_keys
#[tokio::test]
async fn rotating_replaces_the_members_own_key_and_the_epoch() {
    let hub = Hub::new();
    let ((anna, a), (ben, _)) = (watched(&hub).await, watched(&hub).await);
    let mine = anna.create_context(sealed(Encryption::X25519)).await.unwrap();
    let yours = join(&mine, &ben, Role::Reader).await.unwrap();
    mine.put(key("x"), b"1").await.unwrap();
    let before = mine.security().await.unwrap();
    mine.rotate_keys().await.unwrap();
    let after = mine.security().await.unwrap();
    assert_ne!(before.epoch, after.epoch);
    assert_eq!(after.pending, None);
    let all = history(&*a, &mine);
    assert_eq!(of_kind(&all, Kind::RefreshKey).len(), 1);
    mine.put(key("x"), b"2").await.unwrap();
    equal(&mine, &yours).await;
    assert_eq!(value(&yours, "x").await.unwrap(), b"2");
    assert_eq!(yours.security().await.unwrap().epoch, after.epoch);
    // A reader cannot write, and no keys are made for the attempt; but it may heal itself.
    assert_eq!(yours.put(key("x"), b"3").await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(yours.security().await.unwrap().epoch, after.epoch);
    yours.rotate_keys().await.unwrap();
    equal(&mine, &yours).await;
    mine.put(key("x"), b"4").await.unwrap();
    equal(&mine, &yours).await;
    assert_eq!(value(&yours, "x").await.unwrap(), b"4");
    for node in [anna, ben] {
        node.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_is_refused_uses_no_key() {
    let hub = Hub::new();
    let (anna, store) = watched(&hub).await;
    let context = anna.create_context(sealed(Encryption::X25519)).await.unwrap();
    context.put(key("x"), b"1").await.unwrap();
    for _ in 0..3 {
        let refused = context.compare_and_set(key("x"), Some(b"other"), Some(b"2")).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Rejected);
    }
    context.put(key("x"), b"3").await.unwrap();
    let all = history(&*store, &context);
    let counters: Vec<u32> = of_kind(&all, Kind::Call).iter().map(|call| call.header.counter).collect();
    assert_eq!(counters, [0, 1]);
    anna.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_sealed_context_goes_on_after_a_restart() {
    nodes::log();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let anna = Node::open(Options::local(here.path())).await.unwrap();
    let ben = Node::open(Options::local(there.path())).await.unwrap();
    let mine = anna.create_context(sealed(Encryption::X25519)).await.unwrap();
    let yours = join(&mine, &ben, Role::Writer).await.unwrap();
    mine.put(key("a"), b"1").await.unwrap();
    yours.put(key("b"), b"1").await.unwrap();
    equal(&mine, &yours).await;
    let (id, epoch) = (mine.id(), mine.security().await.unwrap().epoch);
    anna.shutdown().await.unwrap();
    yours.put(key("b"), b"while Anna is away").await.unwrap();

    let anna = Node::open(Options::local(here.path())).await.unwrap();
    let mine = anna.context(id).unwrap();
    assert_eq!(mine.security().await.unwrap().epoch, epoch);
    mine.put(key("a"), b"2").await.unwrap();
    mine.wait_synced(PATIENCE).await.unwrap();
    equal(&mine, &yours).await;
    assert_eq!(value(&mine, "b").await.unwrap(), b"while Anna is away");
    assert_eq!(value(&yours, "a").await.unwrap(), b"2");
    for context in [&mine, &yours] {
        let security = context.security().await.unwrap();
        assert_eq!((security.unopened, security.violations), (0, 0));
    }
    for node in [anna, ben] {
        node.shutdown().await.unwrap();
    }
}
