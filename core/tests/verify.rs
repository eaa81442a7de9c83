//! What `verify` and `explain` say of a context's tables: nothing of good ones, and of damaged ones what is damaged.
#![allow(clippy::unwrap_used)]

mod nodes;

use std::sync::Arc;

use kith_core::ErrorKind;
use kith_core::application::kv;
use kith_core::network::Hub;
use kith_core::node::{Context, CreateOptions, Engine, Node, Options, Transport};
use kith_core::replica::{Part, Place, Role, TransactionId, Written};
use kith_core::storage::{Batch, Durability, Keyspace, MemoryStore, Store};
use nodes::{equal, join, key, open};

/// A node on a store that the test can reach into.
async fn reachable(hub: &Hub) -> (Node, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    let mut options = Options::default();
    options.transport = Transport::Memory(hub.clone());
    options.engine = Engine::Given(Arc::clone(&store) as Arc<dyn Store>);
    (Node::open(options).await.unwrap(), store)
}

/// Two members who wrote at the same time, so that calls were executed late and again.
async fn world(hub: &Hub) -> (Node, Node, Context, Arc<MemoryStore>) {
    let (anna, store) = reachable(hub).await;
    let ben = open(hub).await;
    let mine = anna.create_context(CreateOptions::default()).await.unwrap();
    let yours = join(&mine, &ben, Role::Writer).await.unwrap();
    for round in 0..30u8 {
        let bytes = [round];
        let (a, b) = tokio::join!(mine.append(key("list"), &bytes), yours.append(key("list"), &bytes));
        a.unwrap();
        b.unwrap();
        mine.put(key(&format!("own {round}")), &[round]).await.unwrap();
    }
    mine.delete(key("own 3")).await.unwrap();
    equal(&mine, &yours).await;
    let report = yours.verify().await.unwrap();
    assert_eq!(report.difference, None);
    (anna, ben, mine, store)
}

/// Changes the only row that has these bytes somewhere after its key.
fn damage(store: &MemoryStore, keyspace: Keyspace, change: impl Fn(&[u8], &[u8]) -> Option<Option<Vec<u8>>>) {
    let rows = store.snapshot().unwrap().scan(keyspace, &[], None, false, usize::MAX).unwrap();
    let mut batch = Batch::default();
    for (key, value) in rows {
        match change(&key, &value) {
            None => {}
            Some(Some(value)) => batch.put(keyspace, key, value),
            Some(None) => batch.delete(keyspace, key),
        }
    }
    assert_eq!(batch.writes.len(), 1, "one row is to be damaged");
    store.commit(&batch, Durability::Power).unwrap();
}

fn ends_with(key: &[u8], id: TransactionId) -> bool {
    key.ends_with(&id.0)
}

// scenario: what_is_kept_is_checked
#[tokio::test]
async fn good_tables_have_no_difference_and_everything_was_looked_at() {
    let hub = Hub::new();
    let (anna, ben, mine, _) = world(&hub).await;
    let report = mine.verify().await.unwrap();
    let status = mine.status().await.unwrap();
    assert_eq!((report.transactions, report.pending), (status.transactions, 0));
    assert_eq!(report.executed, report.transactions);
    assert_eq!(report.keys, 31);
    assert_eq!(report.difference, None);

    // While it is written to, and by several at once.
    let writing = async {
        for round in 0..200u8 {
            mine.put(key("meanwhile"), &[round]).await.unwrap();
        }
    };
    let ((), one, two) = tokio::join!(writing, mine.verify(), mine.verify());
    for report in [one.unwrap(), two.unwrap()] {
        assert_eq!(report.difference, None);
        assert!(report.transactions >= status.transactions);
    }
    anna.shutdown().await.unwrap();
    assert_eq!(mine.verify().await.unwrap_err().kind(), ErrorKind::Closed);
    ben.shutdown().await.unwrap();
}

// scenario: what_is_kept_is_checked
#[tokio::test]
async fn what_is_damaged_is_named() {
    let hub = Hub::new();
    let (anna, ben, mine, store) = world(&hub).await;
    let context = store.snapshot().unwrap().scan(Keyspace::Order, &[], None, false, 1).unwrap();
    let number = context[0].0[..4].to_vec();
    let last = mine.put(key("last"), b"right").await.unwrap();
    let whole = |keyspace| store.snapshot().unwrap().scan(keyspace, &[], None, false, usize::MAX).unwrap();
    let check = async |part, transaction: Option<TransactionId>, at: Option<&str>| {
        let difference = mine.verify().await.unwrap().difference.expect("a difference");
        assert_eq!(difference.part, part, "{difference}");
        assert_eq!(difference.transaction(), transaction, "{difference}");
        assert_eq!(difference.key, at.map(key), "{difference}");
        assert_ne!(difference.kept, difference.recomputed);
        difference
    };
    let restore = |keyspace, rows: &Vec<(Vec<u8>, Vec<u8>)>| {
        let mut batch = Batch::default();
        rows.iter().for_each(|(key, value)| batch.put(keyspace, key.clone(), value.clone()));
        store.commit(&batch, Durability::Power).unwrap();
    };

    // A value that nobody wrote.
    let state = whole(Keyspace::State);
    let of = |name: &str| [&number[..], &key(name).0].concat();
    damage(&store, Keyspace::State, |at, row| {
        (at == of("last")).then(|| Some([&row[..Place::LENGTH + 1], b"wrong"].concat()))
    });
    let difference = check(Part::Value, Some(last), Some("last")).await;
    let hash = |value: &[u8]| Some(*blake3::hash(&[&[1], value].concat()).as_bytes());
    assert_eq!((difference.kept, difference.recomputed), (hash(b"wrong"), hash(b"right")));
    restore(Keyspace::State, &state);

    // A value that is gone.
    damage(&store, Keyspace::State, |at, _| (at == of("last")).then_some(None));
    check(Part::Value, Some(last), Some("last")).await;
    restore(Keyspace::State, &state);

    // An earlier version, in the middle of the history: what reads it later differs too, and is not named.
    let versions = whole(Keyspace::Versions);
    let middle = versions.len() / 2;
    let place = Place::from_key(&versions[middle].0[36..]).unwrap();
    damage(&store, Keyspace::Versions, |at, row| {
        (at == versions[middle].0).then(|| Some([row, &[99]].concat()))
    });
    check(Part::Value, Some(place.id), Some("list")).await;
    restore(Keyspace::Versions, &versions);

    // A receipt.
    let order = whole(Keyspace::Order);
    damage(&store, Keyspace::Order, |at, row| {
        ends_with(at, last).then(|| {
            let mut row = row.to_vec();
            // kind, standing (2), then the outcome: 1 is an output.
            assert_eq!(row[3], 1);
            row.splice(3..8, [1, 1, 0, 0, 0, 7]);
            Some(row)
        })
    });
    check(Part::Receipt, Some(last), None).await;
    restore(Keyspace::Order, &order);

    // A place in the order.
    damage(&store, Keyspace::Order, |at, _| ends_with(at, last).then_some(None));
    check(Part::Order, Some(last), None).await;
    restore(Keyspace::Order, &order);

    // What is noted of a read.
    let readers = whole(Keyspace::Readers);
    let first = readers[0].0.clone();
    damage(&store, Keyspace::Readers, |at, _| (at == first).then_some(None));
    let reader = Place::from_key(&first[first.len() - Place::LENGTH..]).unwrap();
    check(Part::Reads, Some(reader.id), None).await;
    restore(Keyspace::Readers, &readers);

    // A transaction's own bytes: another timestamp makes another id.
    let transactions = whole(Keyspace::Transactions);
    damage(&store, Keyspace::Transactions, |at, row| {
        ends_with(at, last).then(|| {
            let mut row = row.to_vec();
            row[40] ^= 1;
            Some(row)
        })
    });
    check(Part::Transaction, Some(last), None).await;
    restore(Keyspace::Transactions, &transactions);

    // A value that no transaction accounts for.
    let mut batch = Batch::default();
    let genuine = state.iter().find(|(at, _)| *at == of("own 1")).unwrap().1.clone();
    batch.put(Keyspace::State, of("stranger"), genuine);
    store.commit(&batch, Durability::Power).unwrap();
    let own = mine.explain(key("own 1"), None, 10).await.unwrap();
    check(Part::Value, Some(own[0].transaction.id), Some("stranger")).await;
    let mut batch = Batch::default();
    batch.delete(Keyspace::State, of("stranger"));
    store.commit(&batch, Durability::Power).unwrap();

    // A transaction that is said to be held, and is nowhere.
    let (known, genuine) = whole(Keyspace::Ids).remove(0);
    let nowhere = TransactionId([7; 32]);
    let mut batch = Batch::default();
    batch.put(Keyspace::Ids, [&known[..4], &nowhere.0].concat(), genuine);
    store.commit(&batch, Durability::Power).unwrap();
    check(Part::Position, Some(nowhere), None).await;
    let mut batch = Batch::default();
    batch.delete(Keyspace::Ids, [&known[..4], &nowhere.0].concat());
    store.commit(&batch, Durability::Power).unwrap();

    // Where an author's chain ends is not noted.
    let meta = whole(Keyspace::Meta);
    damage(&store, Keyspace::Meta, |at, _| {
        (at[4..].starts_with(b"tip/") && ends_with(at, last)).then_some(None)
    });
    check(Part::Position, None, None).await;
    restore(Keyspace::Meta, &meta);

    // The control: all is restored, and nothing differs.
    assert_eq!(mine.verify().await.unwrap().difference, None);
    anna.shutdown().await.unwrap();
    ben.shutdown().await.unwrap();
}

// scenario: writers_of_a_key
#[tokio::test]
async fn the_writers_of_a_key_are_listed_in_order() {
    let hub = Hub::new();
    let (anna, ben, mine, _) = world(&hub).await;
    let me = mine.me();
    let all = mine.explain(key("list"), None, 1000).await.unwrap();
    assert_eq!(all.len(), 60);
    assert!(all.windows(2).all(|pair| pair[0].transaction.place < pair[1].transaction.place));
    assert!(all.iter().all(|one| one.transaction.method.as_deref() == Some("append")));
    assert_eq!(all.iter().filter(|one| one.transaction.author == me).count(), 30);
    // By pages it is the same.
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = mine.explain(key("list"), after, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.transaction.place);
        paged.extend(page);
    }
    let ids = |list: &[kith_core::node::Explanation]| -> Vec<TransactionId> {
        list.iter().map(|one| one.transaction.id).collect()
    };
    assert_eq!(ids(&paged), ids(&all));

    let own = mine.explain(key("own 3"), None, 10).await.unwrap();
    let hash = Written::Value(*blake3::hash(&[3]).as_bytes());
    assert_eq!(own.iter().map(|one| one.value).collect::<Vec<_>>(), [hash, Written::Removed]);
    assert_eq!(own.iter().map(|one| one.unseen).collect::<Vec<_>>(), [Some(false), Some(false)]);
    assert!(mine.explain(key("nobody's"), None, 10).await.unwrap().is_empty());
    anna.shutdown().await.unwrap();
    ben.shutdown().await.unwrap();
}

/// Two who set a key from the same old value, apart from each other: one counts, the other is listed as rejected, and neither had seen the other.
#[tokio::test]
async fn who_was_rejected_at_its_place_is_listed_too() {
    let hub = Hub::new();
    let (anna, ben) = (open(&hub).await, open(&hub).await);
    let mine = anna.create_context(CreateOptions::default()).await.unwrap();
    mine.put(key("door"), b"open").await.unwrap();
    let yours = join(&mine, &ben, Role::Writer).await.unwrap();
    equal(&mine, &yours).await;
    // Both calls are taken before either node can hear of the other's, or one is refused at once: then it is tried again.
    let mut old = b"open".to_vec();
    for round in 0..200u8 {
        let (a, b) = ([b'a', round], [b'b', round]);
        let (one, other) = tokio::join!(
            mine.compare_and_set(key("door"), Some(&old), Some(&a)),
            yours.compare_and_set(key("door"), Some(&old), Some(&b)),
        );
        equal(&mine, &yours).await;
        let all = yours.explain(key("door"), None, 1000).await.unwrap();
        if one.is_ok() && other.is_ok() {
            let [.., before, won, lost] = &all[..] else { panic!("{all:#?}") };
            assert!(won.transaction.receipt.as_ref().unwrap().accepted());
            assert!(matches!(won.value, Written::Value(_)));
            assert!(!lost.transaction.receipt.as_ref().unwrap().accepted());
            assert_eq!((lost.value, lost.unseen, won.unseen), (Written::Nothing, Some(true), Some(false)));
            assert!(before.transaction.place < won.transaction.place);
            anna.shutdown().await.unwrap();
            ben.shutdown().await.unwrap();
            return;
        }
        old = yours.get(key("door"), Default::default()).await.unwrap().unwrap();
    }
    panic!("200 times the calls were one after the other; {}", kv::get(&key("door")).0);
}
