//! Each rule, with its switch on and off. Off, the loss that the rule is for has to be seen: that is the control.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::crash::{LONG, Outcome, Run, power_loss, quiet};
use super::sled::{flipped_record, put, value};
use super::workload::Shape;
use crate::storage::files::{Event, Files, Observer};
use crate::storage::{Durability, Keyspace, Rules, SledOptions, SledStore, Store, Verify};
use crate::{ErrorKind, Result};

fn without(turn_off: impl FnOnce(&mut Rules)) -> SledOptions {
    let mut options = SledOptions::default();
    turn_off(&mut options.rules);
    options
}

/// No image of the runs is bad with the rules, and some are without this one. Prints what was lost.
fn loses(runs: &[Run], turn_off: impl Fn(&mut Rules)) {
    let bad = |options: SledOptions| {
        let outcomes: Vec<Outcome> = runs.iter().map(|run| power_loss(*run, options.clone())).collect();
        let images: usize = outcomes.iter().map(|outcome| outcome.images).sum();
        let bad: Vec<String> = outcomes.into_iter().flat_map(|outcome| outcome.bad).collect();
        println!("{} of {images} images are bad; the first: {:?}", bad.len(), bad.first());
        bad
    };
    assert_eq!(bad(SledOptions::default()), Vec::<String>::new());
    assert!(!bad(without(turn_off)).is_empty(), "nothing was lost without the rule");
}

#[test]
fn rule_1_the_version_is_exact_and_features_are_the_default_ones() {
    let manifest = include_str!("../../../Cargo.toml");
    assert!(manifest.lines().any(|line| line == "sled = \"=0.34.7\""));
}

#[test]
fn rule_1_own_lock() {
    let second = |options: SledOptions| {
        let directory = tempfile::tempdir().unwrap();
        let _first = SledStore::open(directory.path(), options.clone()).unwrap();
        let asked = Instant::now();
        let error = SledStore::open(directory.path(), options).unwrap_err();
        (error, asked.elapsed())
    };
    let (error, took) = second(SledOptions::default());
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.message().contains(&std::process::id().to_string()));
    assert!(took < Duration::from_secs(2));
    let (error, _) = second(without(|rules| rules.own_lock = false));
    assert_ne!(error.kind(), ErrorKind::Busy, "sled's own lock says neither what nor who");
    assert!(!error.message().contains(&std::process::id().to_string()));
}

#[test]
fn rule_1_own_flush_timer() {
    let flushed = |options: SledOptions| {
        let directory = tempfile::tempdir().unwrap();
        let options = SledOptions { flush_every: Duration::from_millis(20), ..options };
        let store = SledStore::open(directory.path(), options).unwrap();
        let before = store.flushes();
        put(&store, b"k", b"v", Durability::Process).unwrap();
        let end = Instant::now() + Duration::from_secs(2);
        while store.flushes() == before && Instant::now() < end {
            std::thread::yield_now();
        }
        store.flushes() > before
    };
    assert!(flushed(SledOptions::default()));
    assert!(!flushed(without(|rules| rules.flush_timer = false)));
}

/// What the system has of the files is what another process finds after this one has died.
#[test]
fn what_is_acknowledged_is_with_the_system() {
    let found = |options: SledOptions| {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path(), quiet(options)).unwrap();
        put(&store, b"k", b"v", Durability::Process).unwrap();
        let copy = tempfile::tempdir().unwrap();
        crate::storage::files::copy_tree(directory.path(), copy.path()).unwrap();
        value(&SledStore::open(copy.path(), SledOptions::default()).unwrap(), b"k")
    };
    assert_eq!(found(SledOptions::default()).unwrap(), b"v");
    assert_eq!(found(without(|rules| rules.write_out = false)), None);
}

#[test]
fn rule_2_sync_after_flush() {
    let run =
        Run { seed: 1, batches: 20, shape: Shape::Small, power_every: 1, pause_every: 13, capture_every: 0 };
    loses(&[run], |rules| rules.sync_after_flush = false);
}

#[test]
fn rule_3_safe_creation() {
    let run =
        Run { seed: 2, batches: 6, shape: Shape::Small, power_every: 1, pause_every: 13, capture_every: 2 };
    loses(&[run], |rules| rules.safe_creation = false);
}

#[test]
fn rule_4_chunks() {
    let run =
        Run { seed: 3, batches: 14, shape: Shape::Mixed, power_every: 1, pause_every: 13, capture_every: 0 };
    loses(&[run], |rules| rules.chunks = false);

    let blobs = |options: SledOptions| {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path(), options).unwrap();
        put(&store, b"k", &vec![7; 300_000], Durability::Power).unwrap();
        fs::read_dir(directory.path().join("store/blobs")).unwrap().count()
    };
    assert_eq!(blobs(SledOptions::default()), 0);
    assert!(blobs(without(|rules| rules.chunks = false)) > 0);
}

#[test]
fn rule_5_barriers() {
    loses(&[LONG], |rules| rules.barriers = false);
}

#[test]
fn rule_5_one_transaction() {
    let run = Run {
        seed: 4,
        batches: 120,
        shape: Shape::Middle,
        power_every: 10_000,
        pause_every: 10,
        capture_every: 0,
    };
    loses(&[run], |rules| rules.one_transaction = false);
}

#[test]
fn rule_5_snapshots_keep_commits_out() {
    let consistent = |options: SledOptions| {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path(), options).unwrap();
        let pair = |value: &str| {
            let mut batch = crate::storage::Batch::default();
            batch.put(Keyspace::State, "a", value);
            batch.put(Keyspace::Versions, "b", value);
            batch
        };
        store.commit(&pair("1"), Durability::Process).unwrap();
        std::thread::scope(|scope| {
            let snapshot = store.snapshot().unwrap();
            let a = snapshot.get(Keyspace::State, b"a").unwrap();
            let commit = scope.spawn(|| store.commit(&pair("2"), Durability::Process).unwrap());
            while store.waiting_commits() == 0 && !commit.is_finished() {
                std::thread::yield_now();
            }
            let b = snapshot.get(Keyspace::Versions, b"b").unwrap();
            drop(snapshot);
            a == b
        })
    };
    assert!(consistent(SledOptions::default()));
    assert!(!consistent(without(|rules| rules.snapshot_lock = false)));
}

/// A closed store with a batch in it, after something was done to its directory.
fn open_after(
    options: SledOptions,
    harm: impl FnOnce(&std::path::Path),
) -> (tempfile::TempDir, Result<SledStore>) {
    let directory = tempfile::tempdir().unwrap();
    // Opened twice: sled writes its snapshot file at the second opening.
    for key in [b"1", b"2"] {
        let store = SledStore::open(directory.path(), SledOptions::default()).unwrap();
        put(&store, key, b"v", Durability::Power).unwrap();
        store.close().unwrap();
    }
    harm(&directory.path().join("store"));
    let opened = SledStore::open(directory.path(), options);
    (directory, opened)
}

fn has_both(store: &SledStore) -> bool {
    [b"1", b"2"].iter().all(|key| value(store, *key).as_deref() == Some(b"v".as_slice()))
}

#[test]
fn rule_6_generating_files_are_deleted() {
    let harm =
        |store: &std::path::Path| fs::write(store.join("snap.7FFFFFFFFFFFFFFF.generating"), b"half").unwrap();
    let (directory, opened) = open_after(without(|rules| rules.recover = false), harm);
    assert!(has_both(&opened.unwrap()));
    assert!(!directory.path().join("store/snap.7FFFFFFFFFFFFFFF.generating").exists());
    let (_directory, opened) = open_after(
        without(|rules| {
            rules.recover = false;
            rules.delete_generating = false;
        }),
        harm,
    );
    assert!(opened.is_err());
}

fn harm_snapshot(store: &std::path::Path) {
    let mut harmed = 0;
    for entry in fs::read_dir(store).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            let mut bytes = fs::read(entry.path()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(entry.path(), bytes).unwrap();
            harmed += 1;
        }
    }
    assert!(harmed > 0);
}

fn harm_conf(store: &std::path::Path) {
    let mut bytes = fs::read(store.join("conf")).unwrap();
    bytes[0] ^= 0x20;
    fs::write(store.join("conf"), bytes).unwrap();
}

#[test]
fn rule_6_recovery_without_snapshots_and_with_the_saved_conf() {
    let both = |store: &std::path::Path| {
        harm_snapshot(store);
        harm_conf(store);
    };
    for harm in [harm_snapshot as fn(&std::path::Path), harm_conf, both] {
        let (directory, opened) = open_after(SledOptions::default(), harm);
        let store = opened.unwrap();
        assert!(has_both(&store));
        store.verify().unwrap();
        assert!(directory.path().join("store.damaged.1/db").exists(), "the damaged one is kept");
        assert!(!directory.path().join("store.recovering").exists());
        drop(store);
        assert!(has_both(&SledStore::open(directory.path(), SledOptions::default()).unwrap()));

        let (_directory, opened) = open_after(without(|rules| rules.recover = false), harm);
        assert!(matches!(opened.unwrap_err().kind(), ErrorKind::Corrupt | ErrorKind::Internal));
    }
}

struct Space(AtomicU64);

impl Observer for Space {
    fn before(&self, _: Event<'_>) -> std::io::Result<()> {
        Ok(())
    }

    fn free_space(&self) -> Option<u64> {
        Some(self.0.load(Ordering::SeqCst))
    }
}

#[test]
fn rule_6_space_is_checked_before_anything_is_done() {
    let space = Arc::new(Space(AtomicU64::new(u64::MAX)));
    let files = Files::observed(space.clone());
    let directory = tempfile::tempdir().unwrap();
    let with = |options: SledOptions| SledOptions { files: files.clone(), ..options };
    let store = SledStore::open(directory.path(), with(SledOptions::default())).unwrap();
    put(&store, b"k", b"1", Durability::Power).unwrap();
    space.0.store(1 << 20, Ordering::SeqCst);
    for _ in 0..2 {
        let refused = put(&store, b"k", b"2", Durability::Power);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(value(&store, b"k").unwrap(), b"1");
    }
    space.0.store(u64::MAX, Ordering::SeqCst);
    put(&store, b"k", b"3", Durability::Power).unwrap();
    assert_eq!(value(&store, b"k").unwrap(), b"3");
    store.close().unwrap();

    space.0.store(1 << 20, Ordering::SeqCst);
    let refused = SledStore::open(directory.path(), with(SledOptions::default()));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::StorageFull);
    let unchecked = with(without(|rules| rules.check_space = false));
    let store = SledStore::open(directory.path(), unchecked).unwrap();
    put(&store, b"k", b"4", Durability::Power).unwrap();
}

#[test]
fn rule_7_sled_is_told_a_fifth() {
    let options = SledOptions { memory: 100 << 20, ..SledOptions::default() };
    assert_eq!(options.cache_for_test(), 20 << 20);
    let unruled = SledOptions { memory: 100 << 20, ..without(|rules| rules.divide_cache = false) };
    assert_eq!(unruled.cache_for_test(), 100 << 20);
}

#[test]
fn every_record_is_verified() {
    let error = flipped_record(SledOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("state/6b"), "{error}");
    let error = flipped_record(without(|rules| rules.seal = false)).unwrap_err();
    assert!(error.message().contains("state/6b"), "{error}");
    // What is sealed cannot be read without being verified, rule or not.
    let error = flipped_record(without(|rules| rules.verify_records = false)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let neither = without(|rules| (rules.verify_records, rules.seal) = (false, false));
    let wrong = flipped_record(neither).unwrap().unwrap();
    assert_ne!(wrong, b"value", "wrong bytes are handed out");
    assert_eq!(wrong.len(), 5);
}

#[test]
fn a_store_that_went_back_is_seen() {
    let opened = |options: SledOptions| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let put_and_close = |value: &[u8]| {
            let store = SledStore::open(directory.path(), SledOptions::default()).unwrap();
            put(&store, b"k", value, Durability::Power).unwrap();
            store.close().unwrap();
        };
        put_and_close(b"1");
        let old = tempfile::tempdir().unwrap();
        crate::storage::files::copy_tree(&path, old.path()).unwrap();
        put_and_close(b"2");
        // The engine's files go back, as if it had recovered to an earlier point; ours stay.
        fs::copy(path.join("acknowledged"), old.path().join("acknowledged")).unwrap();
        fs::remove_dir_all(&path).unwrap();
        crate::storage::files::copy_tree(old.path(), &path).unwrap();
        let opened = SledStore::open(directory.path(), options);
        opened.map(|store| value(&store, b"k").unwrap())
    };
    let error = opened(SledOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("gone back") && error.message().contains("Restore"), "{error}");
    assert_eq!(opened(without(|rules| rules.check_marker = false)).unwrap(), b"1", "silently");
}

struct FailingSync(AtomicU64);

impl Observer for FailingSync {
    fn before(&self, event: Event<'_>) -> std::io::Result<()> {
        match event {
            Event::SyncFile(path) if path.ends_with("store/db") && self.0.swap(0, Ordering::SeqCst) == 1 => {
                Err(std::io::Error::other("on purpose"))
            }
            _ => Ok(()),
        }
    }
}

#[test]
fn a_failed_sync_poisons_until_reopened() {
    let after_failure = |options: SledOptions| {
        let directory = tempfile::tempdir().unwrap();
        let failing = Arc::new(FailingSync(AtomicU64::new(0)));
        let options = quiet(SledOptions { files: Files::observed(failing.clone()), ..options });
        let store = SledStore::open(directory.path(), options).unwrap();
        put(&store, b"k", b"1", Durability::Power).unwrap();
        failing.0.store(1, Ordering::SeqCst);
        assert_eq!(put(&store, b"k", b"2", Durability::Power).unwrap_err().kind(), ErrorKind::Storage);
        let later = put(&store, b"k", b"3", Durability::Process);
        let read = store.snapshot().map(drop);
        let closed = store.close();
        drop(store);
        let store = SledStore::open(directory.path(), SledOptions::default()).unwrap();
        assert!(value(&store, b"k").is_some());
        put(&store, b"k", b"4", Durability::Power).unwrap();
        (later, read, closed)
    };
    let (later, read, closed) = after_failure(SledOptions::default());
    assert!(later.is_err() && read.is_err() && closed.is_err());
    let (later, read, _) = after_failure(without(|rules| rules.poison = false));
    assert!(later.is_ok() && read.is_ok(), "goes on as if nothing had happened");
}

#[test]
fn a_panic_in_sled_poisons_until_reopened() {
    let after_panic = |options: SledOptions| {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path(), options).unwrap();
        put(&store, b"k", b"1", Durability::Power).unwrap();
        assert!(store.panic_inside().message().contains("on purpose"));
        let later = put(&store, b"k", b"2", Durability::Process);
        let _ = store.close();
        drop(store);
        let options = SledOptions { verify: Verify::Always, ..SledOptions::default() };
        assert!(value(&SledStore::open(directory.path(), options).unwrap(), b"k").is_some());
        later
    };
    assert!(after_panic(SledOptions::default()).is_err());
    assert!(after_panic(without(|rules| rules.poison = false)).is_ok());
}
