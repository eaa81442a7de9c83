//! The sled engine: the suite, locking, closing, sharing of flushes, damage.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::conformance::{Engine, conformance};
use super::workload::Random;
use crate::storage::files::{Event, Files, Observer, copy_tree};
use crate::storage::format::Migration;
use crate::storage::{Batch, Durability, Keyspace, SCHEMA, SledOptions, SledStore, Store, Verify};
use crate::{Error, ErrorKind, Result};

pub(super) struct Sled {
    directory: TempDir,
}

impl Engine for Sled {
    type Store = SledStore;

    fn create() -> (Self, Self::Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path(), SledOptions::default()).unwrap();
        (Self { directory }, store)
    }

    fn reopen(&self, store: Self::Store) -> Self::Store {
        store.verify().unwrap();
        store.close().unwrap();
        drop(store);
        SledStore::open(self.directory.path(), SledOptions::default()).unwrap()
    }
}

conformance!(Sled);

pub(super) fn put(store: &SledStore, key: &[u8], value: &[u8], durability: Durability) -> Result<()> {
    let mut batch = Batch::default();
    batch.put(Keyspace::State, key, value);
    store.commit(&batch, durability)
}

pub(super) fn value(store: &SledStore, key: &[u8]) -> Option<Vec<u8>> {
    store.snapshot().unwrap().get(Keyspace::State, key).unwrap()
}

#[cfg(feature = "fault-switches")]
/// What reading gives after one bit of the stored payload was flipped below the engine.
pub(super) fn flipped_record(options: SledOptions) -> Result<Option<Vec<u8>>> {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path(), options).unwrap();
    put(&store, b"k", b"value", Durability::Power).unwrap();
    store.with_raw(Keyspace::State, |tree| {
        let mut record = tree.get(b"k").unwrap().unwrap().to_vec();
        *record.last_mut().unwrap() ^= 1;
        tree.insert(b"k", record).unwrap();
    });
    let scanned = store.snapshot()?.scan(Keyspace::State, b"", None, true, 9);
    let got = store.snapshot()?.get(Keyspace::State, b"k");
    assert_eq!(scanned.is_err(), got.is_err());
    assert_eq!(store.verify().is_err(), got.is_err());
    got
}

#[test]
fn a_damaged_record_is_named_and_replacing_it_repairs_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path(), SledOptions::default()).unwrap();
    put(&store, b"k", b"value", Durability::Power).unwrap();
    put(&store, b"large", &[1; 9_000], Durability::Power).unwrap();
    store.with_raw(Keyspace::State, |tree| {
        let mut record = tree.get(b"k").unwrap().unwrap().to_vec();
        record[7] ^= 1;
        tree.insert(b"k", record).unwrap();
    });
    store.with_raw(Keyspace::Chunks, |tree| {
        let (key, record) = tree.last().unwrap().unwrap();
        let mut record = record.to_vec();
        *record.last_mut().unwrap() ^= 1;
        tree.insert(key, record).unwrap();
    });
    for (key, named) in [(b"k".as_slice(), "state/6b"), (b"large", "chunks/")] {
        let error = store.snapshot().unwrap().get(Keyspace::State, key).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.message().contains(named), "{error}");
        put(&store, key, b"again", Durability::Power).unwrap();
        assert_eq!(value(&store, key).unwrap(), b"again");
    }
    store.verify().unwrap();
}

#[test]
fn a_missing_or_older_record_is_seen_by_verify() {
    for older in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(directory.path(), SledOptions::default()).unwrap();
        put(&store, b"k", b"1", Durability::Power).unwrap();
        let old = store.with_raw(Keyspace::State, |tree| tree.get(b"k").unwrap().unwrap());
        put(&store, b"k", b"2", Durability::Power).unwrap();
        store.verify().unwrap();
        store.with_raw(Keyspace::State, |tree| {
            if older { tree.insert(b"k", old).unwrap() } else { tree.remove(b"k").unwrap() }
        });
        assert_eq!(store.verify().unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

/// The files of a store that is open are those of one that was killed.
#[test]
fn after_a_crash_everything_is_verified_and_after_a_close_it_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path(), SledOptions::default()).unwrap();
    put(&store, b"k", b"v", Durability::Power).unwrap();
    store.with_raw(Keyspace::State, |tree| tree.remove(b"k").unwrap());
    put(&store, b"l", b"v", Durability::Power).unwrap();
    let copy = || {
        let copy = tempfile::tempdir().unwrap();
        copy_tree(directory.path(), copy.path()).unwrap();
        copy
    };
    let killed = copy();
    let error = SledStore::open(killed.path(), SledOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("`state` has 1 records where 2 were written"), "{error}");
    let unchecked = SledOptions { verify: Verify::Never, ..SledOptions::default() };
    assert_eq!(value(&SledStore::open(killed.path(), unchecked).unwrap(), b"k"), None);
    store.close().unwrap();
    assert_eq!(value(&SledStore::open(copy().path(), SledOptions::default()).unwrap(), b"k"), None);
}

#[test]
fn pieces_are_removed_with_what_they_belong_to() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path(), SledOptions::default()).unwrap();
    let chunks = |store: &SledStore| store.with_raw(Keyspace::Chunks, |tree| tree.iter().count());
    put(&store, b"k", &[1; 4_000], Durability::Power).unwrap();
    assert_eq!(chunks(&store), 0);
    put(&store, b"k", &[1; 4_001], Durability::Power).unwrap();
    assert_eq!(chunks(&store), 2);
    put(&store, b"k", &[1; 40_000], Durability::Power).unwrap();
    assert_eq!(chunks(&store), 10);
    put(&store, b"k", b"", Durability::Power).unwrap();
    assert_eq!(chunks(&store), 0);
    // An intent leaves nothing behind, either.
    let mut batch = Batch::default();
    for key in 0..3_000u32 {
        batch.put(Keyspace::State, key.to_be_bytes(), [7; 50]);
    }
    store.commit(&batch, Durability::Power).unwrap();
    assert_eq!(chunks(&store), 0);
    // Pieces that no batch refers to, as a crash leaves them, are gone after the next opening.
    store.with_raw(Keyspace::Chunks, |tree| {
        for index in 0..600u32 {
            tree.insert([(1u64 << 40).to_be_bytes().as_slice(), &index.to_be_bytes()].concat(), b"x")
                .unwrap();
        }
    });
    store.close().unwrap();
    drop(store);
    let store = SledStore::open(directory.path(), SledOptions::default()).unwrap();
    assert_eq!(chunks(&store), 0);
    assert_eq!(value(&store, &2_999u32.to_be_bytes()).unwrap(), [7; 50]);
}

/// Holds syncs of the `db` file up while it is told to.
#[derive(Default)]
struct Gate {
    shut: AtomicBool,
    held: AtomicU64,
}

impl Observer for Gate {
    fn before(&self, event: Event<'_>) -> std::io::Result<()> {
        if matches!(event, Event::SyncFile(path) if path.ends_with("store/db"))
            && self.shut.load(Ordering::SeqCst)
        {
            self.held.fetch_add(1, Ordering::SeqCst);
            while self.shut.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }
        Ok(())
    }
}

#[test]
fn concurrent_commits_share_a_flush() {
    let directory = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let options = SledOptions {
        files: Files::observed(gate.clone()),
        flush_every: Duration::from_secs(3600),
        ..SledOptions::default()
    };
    let store = SledStore::open(directory.path(), options).unwrap();
    let before = store.flushes();
    gate.shut.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let (store, gate) = (&store, &gate);
        scope.spawn(|| put(store, b"first", b"v", Durability::Power).unwrap());
        while gate.held.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        for key in 0..10u8 {
            scope.spawn(move || put(store, &[key], b"v", Durability::Power).unwrap());
        }
        // They are carried out, and can be read, while the first one's flush still goes on.
        while (0..10u8).any(|key| value(store, &[key]).is_none()) {
            std::thread::yield_now();
        }
        assert_eq!(gate.held.load(Ordering::SeqCst), 1);
        gate.shut.store(false, Ordering::SeqCst);
    });
    let flushes = store.flushes() - before;
    assert!((2..=3).contains(&flushes), "{flushes} flushes for 11 commits");
}

#[test]
fn a_newer_schema_is_refused_and_an_older_one_migrated_from_where_it_stopped() {
    fn second(store: &dyn Store) -> Result<()> {
        let mut batch = Batch::default();
        batch.put(Keyspace::Meta, "migrated", "2");
        store.commit(&batch, Durability::Power)
    }
    fn third(store: &dyn Store) -> Result<()> {
        let found = store.snapshot()?.get(Keyspace::Meta, b"migrated")?;
        let mut batch = Batch::default();
        batch.put(Keyspace::Meta, "migrated", [found.unwrap_or_default(), b"3".to_vec()].concat());
        store.commit(&batch, Durability::Power)
    }
    fn broken(_: &dyn Store) -> Result<()> {
        Err(Error::storage("on purpose"))
    }
    let directory = tempfile::tempdir().unwrap();
    let open = |schema, migrations: &[Migration]| {
        SledStore::open_with(directory.path(), SledOptions::default(), schema, migrations)
    };
    put(&open(1, &[]).unwrap(), b"k", b"v", Durability::Power).unwrap();
    assert_eq!(open(2, &[]).unwrap_err().kind(), ErrorKind::VersionMismatch, "no way from 1 to 2");
    let to_2 = Migration { from: 1, run: second };
    assert!(open(3, &[to_2, Migration { from: 2, run: broken }]).is_err());
    let store = open(3, &[Migration { from: 1, run: broken }, Migration { from: 2, run: third }]).unwrap();
    assert_eq!(store.snapshot().unwrap().get(Keyspace::Meta, b"migrated").unwrap().unwrap(), b"23");
    assert_eq!(value(&store, b"k").unwrap(), b"v");
    drop(store);
    assert_eq!(open(2, &[]).unwrap_err().kind(), ErrorKind::VersionMismatch);
    drop(open(3, &[]).unwrap());
}

/// Of this build's own schema: the one before was never released, so there is no way from it; the next one is not known.
#[test]
fn a_store_of_another_schema_is_a_version_mismatch_and_is_left_as_it_is() {
    for schema in [SCHEMA - 1, SCHEMA + 1] {
        let directory = tempfile::tempdir().unwrap();
        let open = || SledStore::open_with(directory.path(), SledOptions::default(), schema, &[]);
        put(&open().unwrap(), b"k", b"v", Durability::Power).unwrap();
        let refused = SledStore::open(directory.path(), SledOptions::default()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::VersionMismatch, "schema {schema}");
        assert!(refused.message().contains(&format!("version {schema}")), "{refused}");
        assert_eq!(value(&open().unwrap(), b"k").unwrap(), b"v", "the control: its own build reads it");
    }
    let directory = tempfile::tempdir().unwrap();
    drop(SledStore::open_with(directory.path(), SledOptions::default(), SCHEMA, &[]).unwrap());
    SledStore::open(directory.path(), SledOptions::default()).unwrap();
}

#[test]
fn a_directory_that_was_never_a_store_is_kept_beside_the_new_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("db"), b"something of the user's").unwrap();
    let store = SledStore::open(directory.path(), SledOptions::default()).unwrap();
    put(&store, b"k", b"v", Durability::Power).unwrap();
    let kept = fs::read(directory.path().join("store.unfinished.1/db")).unwrap();
    assert_eq!(kept, b"something of the user's");
}

#[test]
fn what_cannot_be_recovered_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path(), SledOptions::default()).unwrap();
    put(&store, b"k", b"v", Durability::Power).unwrap();
    store.close().unwrap();
    drop(store);
    let path = directory.path().join("store");
    let length = fs::metadata(path.join("db")).unwrap().len();
    fs::write(path.join("db"), vec![0xa5; length as usize]).unwrap();
    let names = || {
        let names = fs::read_dir(&path).unwrap().flatten().map(|entry| entry.file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let before = names();
    for _ in 0..2 {
        let error = SledStore::open(directory.path(), SledOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.message().contains("Restore"), "{error}");
        assert!(before.is_subset(&names()));
        assert!(!directory.path().join("store.recovering").exists());
        assert!(!directory.path().join("store.damaged.1").exists());
    }
}

/// One bit of the closed database's file is flipped: the store or the record is `Corrupt`, or everything is right.
#[test]
fn a_flipped_bit_in_the_file_is_never_a_wrong_answer() {
    const KEYS: u32 = 120;
    let key = |number: u32| number.to_be_bytes();
    let content = |number: u32, round: u32| vec![number as u8; ((number + round) as usize * 37) % 6_000];
    let made = tempfile::tempdir().unwrap();
    // At the last opening sled notes where its pages are; so the flips hit what it replays and what it only looks up.
    for round in 0..3 {
        let store = SledStore::open(made.path(), SledOptions::default()).unwrap();
        for number in (0..KEYS).filter(|number| round < 2 || number % 10 == 0) {
            put(&store, &key(number), &content(number, round), Durability::Process).unwrap();
        }
        store.close().unwrap();
    }
    let expected = |number: u32| content(number, if number.is_multiple_of(10) { 2 } else { 1 });
    let mut random = Random(11);
    let (mut refused, mut right, mut partly) = (0, 0, 0);
    for flip in 0..80 {
        let directory = tempfile::tempdir().unwrap();
        copy_tree(made.path(), directory.path()).unwrap();
        let db = directory.path().join("store/db");
        let mut bytes = fs::read(&db).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64;
        let bit = random.below(used * 8);
        bytes[bit as usize / 8] ^= 1 << (bit % 8);
        fs::write(&db, bytes).unwrap();
        let verify = if flip % 2 == 0 { Verify::Always } else { Verify::Never };
        match SledStore::open(directory.path(), SledOptions { verify, ..SledOptions::default() }) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                refused += 1;
            }
            Ok(store) => {
                let mut damaged = false;
                for number in 0..KEYS {
                    match store.snapshot().unwrap().get(Keyspace::State, &key(number)) {
                        Ok(found) => assert!(found.unwrap() == expected(number)),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                            damaged = true;
                        }
                    }
                }
                assert!(!damaged || verify == Verify::Never);
                if damaged { partly += 1 } else { right += 1 }
            }
        }
    }
    println!("{refused} refused, {right} right, {partly} with damaged records");
    assert!(refused > 0 && right > 0, "the flips have to meet what counts, and what does not");
}
