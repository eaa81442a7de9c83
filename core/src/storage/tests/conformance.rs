//! What every engine has to do, as functions over an engine. [`conformance`] makes tests of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::ErrorKind;
use crate::storage::{Batch, Durability, Keyspace, MAX_KEY, MAX_VALUE, Snapshot, Store};

/// An engine under test: a fresh store, and the same one after closing and opening it.
pub(super) trait Engine: Sized {
    type Store: Store;
    fn create() -> (Self, Self::Store);
    fn reopen(&self, store: Self::Store) -> Self::Store;
}

/// One test for each function of the suite.
macro_rules! conformance {
    ($engine:ty) => {
        $crate::storage::tests::conformance::conformance!($engine:
            values_of_every_size, last_write_of_a_batch_wins, what_is_ready_waits_for_its_turn, scans, key_spaces_are_apart, limits_at_the_edge,
            snapshot_is_consistent_while_others_commit, commit_with_a_snapshot_of_ones_own_is_refused,
            closed_means_closed, chunks_are_for_engines, concurrent_commits_are_all_there, matches_the_model);
    };
    ($engine:ty: $($name:ident),*) => {
        $(#[test]
        fn $name() {
            $crate::storage::tests::conformance::$name::<$engine>();
        })*
    };
}
pub(super) use conformance;

const BOTH: [Durability; 2] = [Durability::Power, Durability::Process];

fn one(keyspace: Keyspace, key: &[u8], value: &[u8]) -> Batch {
    let mut batch = Batch::default();
    batch.put(keyspace, key, value);
    batch
}

fn get(store: &dyn Store, keyspace: Keyspace, key: &[u8]) -> Option<Vec<u8>> {
    store.snapshot().unwrap().get(keyspace, key).unwrap()
}

/// Bytes without a period that equals a chunk's size.
fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3] ^ seed).collect()
}

pub(super) fn values_of_every_size<E: Engine>() {
    let sizes = [0, 1, 3_999, 4_000, 4_001, 8_000, 8_001, 65_536, 200_000, 1 << 20];
    let (engine, mut store) = E::create();
    for durability in BOTH {
        for size in sizes {
            let key = (size as u32).to_be_bytes();
            store.commit(&one(Keyspace::State, &key, &bytes(size, 0)), durability).unwrap();
            assert_eq!(get(&store, Keyspace::State, &key).unwrap(), bytes(size, 0));
        }
    }
    store = engine.reopen(store);
    for size in sizes {
        assert_eq!(get(&store, Keyspace::State, &(size as u32).to_be_bytes()).unwrap(), bytes(size, 0));
    }
    // Each value is replaced by one of another size, then removed.
    for (index, size) in sizes.into_iter().enumerate() {
        let other = bytes(sizes[sizes.len() - 1 - index], 1);
        let key = (size as u32).to_be_bytes();
        store.commit(&one(Keyspace::State, &key, &other), Durability::Power).unwrap();
        assert_eq!(get(&store, Keyspace::State, &key).unwrap(), other);
    }
    store = engine.reopen(store);
    let mut batch = Batch::default();
    for size in sizes {
        batch.delete(Keyspace::State, (size as u32).to_be_bytes());
    }
    store.commit(&batch, Durability::Power).unwrap();
    store = engine.reopen(store);
    assert_eq!(store.snapshot().unwrap().scan(Keyspace::State, &[], None, false, 9).unwrap(), vec![]);
}

pub(super) fn last_write_of_a_batch_wins<E: Engine>() {
    let (_engine, store) = E::create();
    let mut batch = Batch::default();
    batch.put(Keyspace::State, "a", "1");
    batch.put(Keyspace::State, "a", "2");
    batch.put(Keyspace::State, "b", "1");
    batch.delete(Keyspace::State, "b");
    batch.delete(Keyspace::State, "c");
    batch.put(Keyspace::State, "c", "1");
    store.commit(&batch, Durability::Power).unwrap();
    store.commit(&Batch::default(), Durability::Power).unwrap();
    assert_eq!(get(&store, Keyspace::State, b"a").unwrap(), b"2");
    assert_eq!(get(&store, Keyspace::State, b"b"), None);
    assert_eq!(get(&store, Keyspace::State, b"c").unwrap(), b"1");
}

pub(super) fn what_is_ready_waits_for_its_turn<E: Engine>() {
    let (engine, store) = E::create();
    let [early, late] =
        ["early", "late"].map(|value| store.ready(one(Keyspace::Ids, b"a", value.as_bytes())).unwrap());
    assert_eq!(get(&store, Keyspace::Ids, b"a"), None);
    // What counts is when it is carried out.
    store.commit_ready(&late, Durability::Power).unwrap();
    store.commit(&one(Keyspace::Ids, b"a", b"between"), Durability::Power).unwrap();
    assert_eq!(get(&store, Keyspace::Ids, b"a").unwrap(), b"between");
    store.commit_ready(&early, Durability::Power).unwrap();
    assert_eq!(get(&store, Keyspace::Ids, b"a").unwrap(), b"early");
    let commit = |batch| store.ready(batch).and_then(|ready| store.commit_ready(&ready, Durability::Power));
    let long = commit(one(Keyspace::Ids, &[0; MAX_KEY + 1], b""));
    assert_eq!(long.unwrap_err().kind(), ErrorKind::LimitExceeded);
    commit(Batch::default()).unwrap();
    let store = engine.reopen(store);
    assert_eq!(get(&store, Keyspace::Ids, b"a").unwrap(), b"early");
    let ready = store.ready(one(Keyspace::Ids, b"a", b"after")).unwrap();
    store.close().unwrap();
    assert_eq!(store.commit_ready(&ready, Durability::Power).unwrap_err().kind(), ErrorKind::Closed);
}

pub(super) fn scans<E: Engine>() {
    let (_engine, store) = E::create();
    let mut batch = Batch::default();
    for key in ["", "a", "ab", "b", "ba", "c\u{7f}"] {
        batch.put(Keyspace::Order, key, key);
    }
    batch.put(Keyspace::Order, [0xff, 0xff], "");
    store.commit(&batch, Durability::Power).unwrap();
    let snapshot = store.snapshot().unwrap();
    let keys = |from: &str, to: Option<&str>, reverse, limit| -> Vec<String> {
        let to = to.map(str::as_bytes);
        let entries = snapshot.scan(Keyspace::Order, from.as_bytes(), to, reverse, limit).unwrap();
        entries.into_iter().map(|(key, _)| String::from_utf8_lossy(&key).into_owned()).collect()
    };
    assert_eq!(keys("", Some("c"), false, 99), ["", "a", "ab", "b", "ba"]);
    assert_eq!(keys("", Some("c"), true, 99), ["ba", "b", "ab", "a", ""]);
    assert_eq!(keys("a", Some("b"), false, 99), ["a", "ab"]);
    assert_eq!(keys("a", Some("b"), true, 1), ["ab"]);
    assert_eq!(keys("aa", None, false, 2), ["ab", "b"]);
    assert_eq!(keys("b", None, true, 2), ["\u{fffd}\u{fffd}", "c\u{7f}"]);
    assert_eq!(keys("a", None, false, usize::MAX).len(), 6);
    for reverse in [false, true] {
        assert!(keys("", None, reverse, 0).is_empty());
        assert!(keys("b", Some("b"), reverse, 9).is_empty());
        assert!(keys("b", Some("a"), reverse, 9).is_empty());
        assert!(keys("d", Some("e"), reverse, 9).is_empty());
        assert!(keys("", Some(""), reverse, 9).is_empty());
        assert_eq!(keys("", None, reverse, 99).len(), 7);
    }
}

pub(super) fn key_spaces_are_apart<E: Engine>() {
    let (engine, mut store) = E::create();
    let mut batch = Batch::default();
    for keyspace in &Keyspace::ALL[..12] {
        batch.put(*keyspace, "same", keyspace.name());
    }
    store.commit(&batch, Durability::Power).unwrap();
    store = engine.reopen(store);
    for keyspace in &Keyspace::ALL[..12] {
        assert_eq!(get(&store, *keyspace, b"same").unwrap(), keyspace.name().as_bytes());
    }
}

pub(super) fn limits_at_the_edge<E: Engine>() {
    let (_engine, store) = E::create();
    let key = vec![7; MAX_KEY];
    store.commit(&one(Keyspace::State, &key, b"x"), Durability::Power).unwrap();
    assert_eq!(get(&store, Keyspace::State, &key).unwrap(), b"x");
    let mut batch = one(Keyspace::State, b"before", b"x");
    batch.put(Keyspace::State, vec![7; MAX_KEY + 1], "x");
    assert_eq!(store.commit(&batch, Durability::Power).unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert_eq!(get(&store, Keyspace::State, b"before"), None);

    let largest = bytes(MAX_VALUE, 3);
    store.commit(&one(Keyspace::State, b"large", &largest), Durability::Process).unwrap();
    assert!(get(&store, Keyspace::State, b"large").unwrap() == largest);
    let over = one(Keyspace::State, b"large", &bytes(MAX_VALUE + 1, 4));
    assert_eq!(store.commit(&over, Durability::Process).unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert!(get(&store, Keyspace::State, b"large").unwrap() == largest);
}

pub(super) fn snapshot_is_consistent_while_others_commit<E: Engine>() {
    let (_engine, store) = E::create();
    let pair = |number: u32| {
        let mut batch = one(Keyspace::State, b"a", &number.to_be_bytes());
        // The second one is large, so that it needs several steps in an engine that chunks.
        batch.put(Keyspace::Versions, "b", bytes(5_000, number.to_le_bytes()[0]));
        batch
    };
    store.commit(&pair(0), Durability::Process).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..200 {
                store.commit(&pair(number), Durability::Process).unwrap();
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            let snapshot = store.snapshot().unwrap();
            let a = snapshot.get(Keyspace::State, b"a").unwrap().unwrap();
            assert_eq!(snapshot.get(Keyspace::Versions, b"b").unwrap().unwrap(), bytes(5_000, a[3]));
            let nested = store.snapshot().unwrap();
            assert_eq!(nested.get(Keyspace::State, b"a").unwrap().unwrap(), a);
            std::thread::yield_now();
        }
    });
    assert_eq!(get(&store, Keyspace::State, b"a").unwrap(), 199u32.to_be_bytes());
}

pub(super) fn commit_with_a_snapshot_of_ones_own_is_refused<E: Engine>() {
    let (_engine, store) = E::create();
    let snapshot = store.snapshot().unwrap();
    let refused = store.commit(&one(Keyspace::State, b"a", b"1"), Durability::Power);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(store.close().unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(snapshot.get(Keyspace::State, b"a").unwrap(), None);
    drop(snapshot);
    store.commit(&one(Keyspace::State, b"a", b"1"), Durability::Power).unwrap();
}

pub(super) fn closed_means_closed<E: Engine>() {
    let (_engine, store) = E::create();
    store.commit(&one(Keyspace::State, b"a", b"1"), Durability::Process).unwrap();
    store.close().unwrap();
    store.close().unwrap();
    assert_eq!(store.snapshot().err().unwrap().kind(), ErrorKind::Closed);
    let refused = store.commit(&one(Keyspace::State, b"a", b"2"), Durability::Power);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Closed);
}

pub(super) fn chunks_are_for_engines<E: Engine>() {
    let (_engine, store) = E::create();
    let refused = store.commit(&one(Keyspace::Chunks, b"a", b"1"), Durability::Power);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.get(Keyspace::Chunks, b"a").unwrap_err().kind(), ErrorKind::InvalidArgument);
    let refused = snapshot.scan(Keyspace::Chunks, &[], None, false, 1);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

pub(super) fn concurrent_commits_are_all_there<E: Engine>() {
    let (engine, mut store) = E::create();
    std::thread::scope(|scope| {
        for thread in 0..8u8 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..25u8 {
                    let durability = BOTH[usize::from(number % 2)];
                    let mut batch = one(Keyspace::State, &[thread, number], &[number]);
                    batch.put(Keyspace::Ids, [thread], [number]);
                    store.commit(&batch, durability).unwrap();
                }
            });
        }
    });
    store = engine.reopen(store);
    let snapshot = store.snapshot().unwrap();
    for thread in 0..8u8 {
        let all = snapshot.scan(Keyspace::State, &[thread], Some(&[thread + 1]), false, 99).unwrap();
        assert_eq!(all.len(), 25);
        assert_eq!(snapshot.get(Keyspace::Ids, &[thread]).unwrap().unwrap(), [24]);
    }
}

type Model = BTreeMap<(Keyspace, Vec<u8>), Vec<u8>>;

/// Where, and the length and seed of the value.
type DrawnWrite = (Keyspace, Vec<u8>, Option<(usize, u8)>);

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<DrawnWrite>, bool),
    Scan(Keyspace, Vec<u8>, Option<Vec<u8>>, bool, usize),
    Reopen,
}

fn a_keyspace() -> impl Strategy<Value = Keyspace> {
    prop::sample::select(vec![Keyspace::Meta, Keyspace::State, Keyspace::Keys])
}

/// Few distinct keys, so that they meet; some are prefixes of others.
fn a_key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0u8, 1, 255]), 0..4)
}

fn a_step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![8 => 0usize..40, 2 => 3_990usize..4_010, 1 => 7_990usize..20_000, 1 => 60_000usize..90_000];
    let value = prop::option::weighted(0.7, (size, any::<u8>()));
    let writes = prop::collection::vec((a_keyspace(), a_key(), value), 0..12);
    prop_oneof![
        6 => (writes, any::<bool>()).prop_map(|(writes, power)| Step::Commit(writes, power)),
        4 => (a_keyspace(), a_key(), prop::option::of(a_key()), any::<bool>(), 0usize..20)
            .prop_map(|(space, from, to, reverse, limit)| Step::Scan(space, from, to, reverse, limit)),
        1 => Just(Step::Reopen),
    ]
}

fn expected(model: &Model, space: Keyspace, from: &[u8], to: Option<&[u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let within = |key: &[u8]| key >= from && to.is_none_or(|to| key < to);
    let entries = model.iter().filter(|((keyspace, key), _)| *keyspace == space && within(key));
    entries.map(|((_, key), value)| (key.clone(), value.clone())).collect()
}

fn run<E: Engine>(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (engine, mut store) = E::create();
    let mut model = Model::new();
    for step in steps {
        match step {
            Step::Commit(writes, power) => {
                let mut batch = Batch::default();
                for (keyspace, key, value) in writes {
                    match value {
                        Some((size, seed)) => {
                            batch.put(keyspace, key.clone(), bytes(size, seed));
                            model.insert((keyspace, key), bytes(size, seed));
                        }
                        None => {
                            batch.delete(keyspace, key.clone());
                            model.remove(&(keyspace, key));
                        }
                    }
                }
                store.commit(&batch, BOTH[usize::from(!power)]).unwrap();
            }
            Step::Scan(space, from, to, reverse, limit) => {
                let mut entries = expected(&model, space, &from, to.as_deref());
                if reverse {
                    entries.reverse();
                }
                entries.truncate(limit);
                let found =
                    store.snapshot().unwrap().scan(space, &from, to.as_deref(), reverse, limit).unwrap();
                prop_assert!(found == entries);
            }
            Step::Reopen => store = engine.reopen(store),
        }
        compare(&*store.snapshot().unwrap(), &model)?;
    }
    compare(&*engine.reopen(store).snapshot().unwrap(), &model)
}

fn compare(snapshot: &dyn Snapshot, model: &Model) -> Result<(), TestCaseError> {
    for keyspace in [Keyspace::Meta, Keyspace::State, Keyspace::Keys] {
        let all = snapshot.scan(keyspace, &[], None, false, usize::MAX).unwrap();
        prop_assert!(all == expected(model, keyspace, &[], None), "{} differs", keyspace.name());
        for (key, value) in all {
            prop_assert!(snapshot.get(keyspace, &key).unwrap() == Some(value));
        }
    }
    Ok(())
}

pub(super) fn matches_the_model<E: Engine>() {
    let mut runner = TestRunner::new(Config { cases: 48, ..Config::default() });
    runner.run(&prop::collection::vec(a_step(), 1..30), run::<E>).unwrap();
}
