//! The redb engine: the suite, locking, what belongs to another engine, damage.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use super::conformance::{Engine, conformance};
use super::workload::Random;
use crate::storage::files::{Event, Files, Observer, copy_tree};
use crate::storage::format::Migration;
use crate::storage::{
    Batch, Durability, EngineName, Keyspace, RedbOptions, RedbStore, SCHEMA, StorageEngine, Store, Verify,
    open,
};
use crate::{ErrorKind, Result};

struct Redb {
    directory: TempDir,
}

impl Engine for Redb {
    type Store = RedbStore;

    fn create() -> (Self, Self::Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = RedbStore::open(directory.path(), RedbOptions::default()).unwrap();
        (Self { directory }, store)
    }

    fn reopen(&self, store: Self::Store) -> Self::Store {
        store.verify().unwrap();
        store.close().unwrap();
        drop(store);
        RedbStore::open(self.directory.path(), RedbOptions::default()).unwrap()
    }
}

conformance!(Redb);

fn put(store: &dyn Store, key: &[u8], value: &[u8]) -> Result<()> {
    let mut batch = Batch::default();
    batch.put(Keyspace::State, key, value);
    store.commit(&batch, Durability::Power)
}

fn value(store: &dyn Store, key: &[u8]) -> Result<Option<Vec<u8>>> {
    store.snapshot()?.get(Keyspace::State, key)
}

/// Fails one sync of the engine's file.
struct FailingSync {
    nth: usize,
    seen: AtomicUsize,
}

impl Observer for FailingSync {
    fn before(&self, event: Event<'_>) -> io::Result<()> {
        let is_the_file = matches!(event, Event::SyncFile(path) if path.ends_with("data.redb"));
        if is_the_file && self.seen.fetch_add(1, Ordering::Relaxed) + 1 == self.nth {
            return Err(io::Error::other("the medium is gone"));
        }
        Ok(())
    }
}

/// redb keeps a failed sync to itself when it closes. A store was made over that, and reported as closed in order.
#[test]
fn no_sync_fails_in_silence() {
    let mut failed = (0, 0);
    for nth in 1.. {
        let directory = tempfile::tempdir().unwrap();
        let observer = Arc::new(FailingSync { nth, seen: AtomicUsize::new(0) });
        let files = Files::observed(Arc::clone(&observer) as Arc<dyn Observer>);
        let options = RedbOptions { files, ..RedbOptions::default() };
        let outcome = RedbStore::open(directory.path(), options).and_then(|store| {
            let written = put(&store, b"a", b"1");
            let closed = store.close();
            written.and(closed)
        });
        if observer.seen.load(Ordering::Relaxed) < nth {
            outcome.unwrap();
            break;
        }
        let error = outcome.expect_err("a sync has failed");
        assert!(error.message().contains("the medium is gone"), "sync {nth}: {error}");
        // Nothing was made, or it is there and was not closed in order.
        let installed = directory.path().join("store").exists();
        failed = if installed { (failed.0, failed.1 + 1) } else { (failed.0 + 1, failed.1) };
        let store = RedbStore::open(directory.path(), RedbOptions::default()).unwrap();
        store.verify().unwrap();
    }
    assert!(failed.0 >= 4 && failed.1 >= 4, "before it was made and after: {failed:?}");
}

#[test]
fn a_second_opener_is_busy_until_the_first_closes() {
    let directory = tempfile::tempdir().unwrap();
    let first = RedbStore::open(directory.path(), RedbOptions::default()).unwrap();
    let second = RedbStore::open(directory.path(), RedbOptions::default());
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Busy);
    first.close().unwrap();
    RedbStore::open(directory.path(), RedbOptions::default()).unwrap();
}

#[test]
fn a_directory_keeps_its_engine() {
    for (own, other) in
        [(StorageEngine::Sled, StorageEngine::Redb), (StorageEngine::Redb, StorageEngine::Sled)]
    {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path(), own, None, None).unwrap();
        put(&*store, b"a", b"1").unwrap();
        store.close().unwrap();
        let refused = open(directory.path(), other, None, None).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
        assert!(refused.message().contains("sled") && refused.message().contains("redb"), "{refused}");
        let store = open(directory.path(), StorageEngine::Auto, None, None).unwrap();
        assert_eq!(value(&*store, b"a").unwrap().unwrap(), b"1");
        store.close().unwrap();
    }
    // What a new directory gets is the platform's default.
    let directory = tempfile::tempdir().unwrap();
    open(directory.path(), StorageEngine::Auto, None, None).unwrap().close().unwrap();
    let default = EngineName::DEFAULT.to_string().parse().unwrap();
    assert!(open(directory.path(), default, None, None).is_ok());
}

#[test]
fn a_creation_that_broke_off_leaves_no_store() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("store.creating")).unwrap();
    fs::write(directory.path().join("store.creating/data.redb"), b"half").unwrap();
    let store = RedbStore::open(directory.path(), RedbOptions::default()).unwrap();
    put(&store, b"a", b"1").unwrap();
    assert!(!directory.path().join("store.creating").exists());
}

#[test]
fn no_space_means_that_nothing_happens() {
    let directory = tempfile::tempdir().unwrap();
    let options = RedbOptions { reserve: u64::MAX, ..RedbOptions::default() };
    let store = RedbStore::open(directory.path(), options).unwrap();
    assert_eq!(put(&store, b"a", b"1").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(value(&store, b"a").unwrap(), None);
}

#[test]
fn a_newer_schema_is_a_version_mismatch_and_an_older_one_migrates() {
    let directory = tempfile::tempdir().unwrap();
    let newer = RedbStore::open_with(directory.path(), RedbOptions::default(), SCHEMA + 1, &[]);
    drop(newer.unwrap());
    let refused = RedbStore::open(directory.path(), RedbOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::VersionMismatch);
    let refused =
        RedbStore::open_with(directory.path(), RedbOptions::default(), SCHEMA + 2, &[]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::VersionMismatch);
    let migration = Migration { from: SCHEMA + 1, run: |store| put(store, b"migrated", b"1") };
    let store =
        RedbStore::open_with(directory.path(), RedbOptions::default(), SCHEMA + 2, &[migration]).unwrap();
    assert_eq!(value(&store, b"migrated").unwrap().unwrap(), b"1");
}

/// A store that goes back to an earlier state of its file is found out, also when that state is sound in itself.
#[test]
fn an_older_file_is_seen() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("store/data.redb");
    let store = RedbStore::open(directory.path(), RedbOptions::default()).unwrap();
    put(&store, b"a", b"1").unwrap();
    store.close().unwrap();
    let old = fs::read(&file).unwrap();
    let store = RedbStore::open(directory.path(), RedbOptions::default()).unwrap();
    put(&store, b"a", b"2").unwrap();
    store.close().unwrap();
    fs::write(&file, old).unwrap();
    let refused = RedbStore::open(directory.path(), RedbOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt);
    assert!(refused.message().contains("gone back"), "{refused}");
}

/// Wherever a bit flips, a page is zeroed or the tail is missing: an error, or the right answer.
#[test]
fn damage_is_an_error_or_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let store = RedbStore::open(directory.path(), RedbOptions::default()).unwrap();
    let key = |number: u32| number.to_be_bytes();
    let content = |number: u32| vec![number as u8; 200 + number as usize];
    for number in 0..200 {
        put(&store, &key(number), &content(number)).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let file = directory.path().join("store/data.redb");
    let good = fs::read(&file).unwrap();
    let mut random = Random(5);
    let (mut told, mut harmless) = (0, 0);
    for round in 0..120 {
        let image = tempfile::tempdir().unwrap();
        copy_tree(directory.path(), image.path()).unwrap();
        let mut bad = good.clone();
        let at = random.below(good.len() as u64) as usize;
        match round % 3 {
            0 => bad[at] ^= 1 << random.below(8),
            1 => {
                let page = at / 4096 * 4096;
                let end = bad.len().min(page + 4096);
                bad[page..end].fill(0);
            }
            _ => bad.truncate(at),
        }
        fs::write(image.path().join("store/data.redb"), bad).unwrap();
        let options = RedbOptions { verify: Verify::Always, ..RedbOptions::default() };
        let read = || -> Result<()> {
            let store = RedbStore::open(image.path(), options)?;
            for number in 0..200 {
                assert_eq!(
                    value(&store, &key(number))?,
                    Some(content(number)),
                    "silently wrong in round {round}"
                );
            }
            store.close()
        };
        match read() {
            Ok(()) => harmless += 1,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Storage), "{error}");
                told += 1;
            }
        }
    }
    println!("{told} told, {harmless} without harm");
    assert!(told >= 30 && harmless > 0, "{told} told, {harmless} without harm");
}

/// A large batch is carried out by several threads: what comes of it is what many small ones give, and the marker counts it.
#[test]
fn a_large_batch_is_the_same_as_small_ones() {
    const SPACES: [Keyspace; 4] = [Keyspace::Transactions, Keyspace::Ids, Keyspace::Order, Keyspace::State];
    let mut random = Random(9);
    let mut writes = Vec::new();
    for number in 0..4_000u32 {
        let keyspace = SPACES[random.below(4) as usize];
        let key = (random.below(1_000) as u32).to_be_bytes();
        let value = (random.below(4) > 0).then(|| vec![number as u8; random.below(300) as usize]);
        writes.push((keyspace, key, value));
    }
    let state = |at_once: usize| {
        let directory = tempfile::tempdir().unwrap();
        let store = RedbStore::open(directory.path(), RedbOptions::default()).unwrap();
        for part in writes.chunks(at_once) {
            let mut batch = Batch::default();
            for (keyspace, key, value) in part {
                match value {
                    Some(value) => batch.put(*keyspace, *key, value.clone()),
                    None => batch.delete(*keyspace, *key),
                }
            }
            store.commit(&batch, Durability::Power).unwrap();
        }
        store.verify().unwrap();
        let snapshot = store.snapshot().unwrap();
        SPACES.map(|keyspace| snapshot.scan(keyspace, &[], None, false, 5_000).unwrap())
    };
    let (large, small) = (state(2_000), state(50));
    assert!(large.iter().all(|entries| entries.len() > 300), "the batches are large enough");
    assert!(large == small, "the same batches, otherwise cut, gave something else");
}

#[test]
fn a_commit_goes_on_beside_a_snapshot_which_shows_what_it_showed() {
    let (_engine, store) = Redb::create();
    put(&store, b"a", b"before").unwrap();
    assert!(store.commits_beside_snapshots());
    let snapshot = store.snapshot().unwrap();
    std::thread::scope(|scope| {
        // It returns although the snapshot is held all the time.
        scope.spawn(|| put(&store, b"a", b"after").unwrap()).join().unwrap();
        assert_eq!(scope.spawn(|| value(&store, b"a").unwrap()).join().unwrap().unwrap(), b"after");
    });
    // What this thread takes while it has one shows the same, whichever is given up first.
    let nested = store.snapshot().unwrap();
    assert_eq!(snapshot.get(Keyspace::State, b"a").unwrap().unwrap(), b"before");
    drop(snapshot);
    assert_eq!(nested.get(Keyspace::State, b"a").unwrap().unwrap(), b"before");
    drop(nested);
    assert_eq!(value(&store, b"a").unwrap().unwrap(), b"after");
    store.verify().unwrap();
}

#[test]
fn each_store_of_a_thread_has_snapshots_of_its_own() {
    let (_one, first) = Redb::create();
    let (_two, second) = Redb::create();
    put(&first, b"a", b"first").unwrap();
    put(&second, b"a", b"second").unwrap();
    let snapshots = (first.snapshot().unwrap(), second.snapshot().unwrap());
    assert_eq!(snapshots.0.get(Keyspace::State, b"a").unwrap().unwrap(), b"first");
    assert_eq!(snapshots.1.get(Keyspace::State, b"a").unwrap().unwrap(), b"second");
}
