//! Stores under keys: nothing opens without the right one, and changing it survives whatever happens.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::storage::files::{Event, Files, Observer, copy_tree};
use crate::storage::{
    Batch, Durability, EngineName, Keyspace, RedbOptions, RedbStore, SledOptions, SledStore, StorageKey,
    Store,
};
use crate::{ErrorKind, Result};

const ENGINES: [EngineName; 2] = [EngineName::Sled, EngineName::Redb];
const SECRET: &[u8] = b"what nobody else is to read";

fn open_with(
    engine: EngineName,
    directory: &Path,
    key: Option<&StorageKey>,
    files: Files,
) -> Result<Arc<dyn Store>> {
    let key = key.cloned();
    Ok(match engine {
        EngineName::Sled => {
            Arc::new(SledStore::open(directory, SledOptions { key, files, ..SledOptions::default() })?)
        }
        EngineName::Redb => {
            Arc::new(RedbStore::open(directory, RedbOptions { key, files, ..RedbOptions::default() })?)
        }
    })
}

fn open(engine: EngineName, directory: &Path, key: Option<&StorageKey>) -> Result<Arc<dyn Store>> {
    open_with(engine, directory, key, Files::default())
}

/// An id in each place where keys have one.
fn batch() -> Batch {
    let id = [0xb7; 32];
    let mut batch = Batch::default();
    batch.put(Keyspace::Keys, [&[0; 4][..], b"member"].concat(), SECRET);
    batch.put(Keyspace::State, [&[0; 4][..], &[9; 32]].concat(), SECRET.repeat(400));
    batch.put(Keyspace::Transactions, [&[0; 4][..], &id, &[0; 8], &id].concat(), SECRET);
    batch.put(Keyspace::Ids, [&[0; 4][..], &id].concat(), SECRET);
    batch.put(Keyspace::Meta, [&[0; 4][..], b"context/", &id].concat(), SECRET);
    batch.put(Keyspace::Peers, [&[0, 36, 8, 1, 18, 32][..], &id].concat(), SECRET);
    batch
}

fn has_all(store: &dyn Store) {
    let snapshot = store.snapshot().unwrap();
    for write in batch().writes {
        assert_eq!(snapshot.get(write.keyspace, &write.key).unwrap(), write.value, "{:?}", write.keyspace);
        let found = snapshot.scan(write.keyspace, &[], None, false, 9).unwrap();
        assert_eq!(found, [(write.key.clone(), write.value.clone().unwrap())]);
    }
}

/// Every file's bytes, but those of the lock.
fn files_of(directory: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_of(&entry.path()));
        } else if entry.file_name() != "lock" {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn finds(directory: &Path, wanted: &[u8]) -> bool {
    files_of(directory).values().any(|bytes| bytes.windows(wanted.len()).any(|window| window == wanted))
}

#[test]
fn without_the_right_key_nothing_is_read_and_nothing_changed() {
    let key = StorageKey::new([1; 32]);
    let passphrase = StorageKey::from_passphrase("a passphrase").unwrap();
    let wrong = [None, Some(StorageKey::new([2; 32])), Some(StorageKey::from_passphrase("another").unwrap())];
    for engine in ENGINES {
        for right in [&key, &passphrase] {
            let directory = tempfile::tempdir().unwrap();
            let store = open(engine, directory.path(), Some(right)).unwrap();
            store.commit(&batch(), Durability::Power).unwrap();
            store.close().unwrap();
            // What a crash leaves is there still.
            fs::create_dir(directory.path().join("store.creating")).unwrap();
            fs::write(directory.path().join("store.creating/half"), b"half").unwrap();
            let before = files_of(directory.path());
            for wrong in &wrong {
                let refused = open(engine, directory.path(), wrong.as_ref()).err().unwrap();
                assert_eq!(refused.kind(), ErrorKind::KeyRequired, "{refused}");
                assert!(files_of(directory.path()) == before);
            }
            assert!(!finds(directory.path(), SECRET) && !finds(directory.path(), &[0xb7; 8]));
            assert!(!directory.path().join("storage-key").exists());
            let store = open(engine, directory.path(), Some(right)).unwrap();
            has_all(&*store);
            assert!(store.sealing().unwrap().has_host_key());
        }
    }
}

/// The control of the search: without sealing both are found.
#[cfg(feature = "fault-switches")]
#[test]
fn a_store_that_is_not_sealed_shows_everything() {
    for engine in ENGINES {
        let directory = tempfile::tempdir().unwrap();
        let open = |seal| -> Result<Arc<dyn Store>> {
            Ok(match engine {
                EngineName::Sled => {
                    let mut options = SledOptions::default();
                    options.rules.seal = seal;
                    Arc::new(SledStore::open(directory.path(), options)?)
                }
                EngineName::Redb => Arc::new(RedbStore::open(
                    directory.path(),
                    RedbOptions { seal, ..RedbOptions::default() },
                )?),
            })
        };
        let store = open(false).unwrap();
        store.commit(&batch(), Durability::Power).unwrap();
        has_all(&*store);
        assert_eq!(store.change_key(&StorageKey::new([1; 32])).unwrap_err().kind(), ErrorKind::Unsupported);
        store.close().unwrap();
        drop(store);
        assert!(finds(directory.path(), SECRET) && finds(directory.path(), &[0xb7; 32]));
        assert_eq!(open(true).err().unwrap().kind(), ErrorKind::InvalidArgument);
    }
}

#[test]
fn without_a_key_of_the_hosts_there_is_a_key_file() {
    for engine in ENGINES {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("storage-key");
        let store = open(engine, directory.path(), None).unwrap();
        assert!(store.sealing().unwrap().has_key_file());
        store.commit(&batch(), Durability::Power).unwrap();
        store.close().unwrap();
        assert!(!finds(directory.path(), SECRET));
        let content = fs::read(&file).unwrap();
        let other = StorageKey::new([1; 32]);
        let refused = open(engine, directory.path(), Some(&other)).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::KeyRequired);
        fs::remove_file(&file).unwrap();
        let refused = open(engine, directory.path(), None).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::KeyRequired);
        assert!(refused.message().contains("storage-key"), "{refused}");
        assert!(!file.exists(), "nothing is made in its place");
        fs::write(&file, content).unwrap();
        has_all(&*open(engine, directory.path(), None).unwrap());
    }
}

#[test]
fn the_key_changes_while_the_store_is_open() {
    for engine in ENGINES {
        let directory = tempfile::tempdir().unwrap();
        let mut keys: Vec<Option<StorageKey>> = vec![None];
        keys.push(Some(StorageKey::new([1; 32])));
        keys.push(Some(StorageKey::from_passphrase("words").unwrap()));
        keys.push(Some(StorageKey::random().unwrap()));
        let mut store = open(engine, directory.path(), None).unwrap();
        store.commit(&batch(), Durability::Power).unwrap();
        for (old, new) in keys.iter().zip(&keys[1..]) {
            store.change_key(new.as_ref().unwrap()).unwrap();
            has_all(&*store);
            let mut more = Batch::default();
            more.put(Keyspace::Events, b"after", b"1");
            store.commit(&more, Durability::Power).unwrap();
            assert!(!directory.path().join("storage-key").exists());
            assert!(store.sealing().unwrap().has_host_key());
            store.close().unwrap();
            assert_eq!(store.change_key(new.as_ref().unwrap()).unwrap_err().kind(), ErrorKind::Closed);
            drop(store);
            let refused = open(engine, directory.path(), old.as_ref()).err().unwrap();
            assert_eq!(refused.kind(), ErrorKind::KeyRequired);
            store = open(engine, directory.path(), new.as_ref()).unwrap();
            has_all(&*store);
        }
    }
}

/// Fails at one step, and at every one after it, as a crash does.
struct Crash(AtomicI64);

impl Observer for Crash {
    fn before(&self, event: Event<'_>) -> std::io::Result<()> {
        match event {
            // The engine's own go on.
            Event::SyncFile(path) if path.ends_with("db") || path.ends_with("data.redb") => Ok(()),
            _ if self.0.fetch_sub(1, Ordering::SeqCst) <= 1 => Err(std::io::Error::other("on purpose")),
            _ => Ok(()),
        }
    }
}

/// A crash at each step of a change: the old key opens, or the new one, and what was there is there; and once the change was told to
/// have succeeded, the new one alone.
#[test]
fn a_change_of_the_key_that_breaks_off_loses_nothing() {
    let keys = [StorageKey::new([1; 32]), StorageKey::new([2; 32])];
    for engine in ENGINES {
        for old in [None, Some(&keys[0])] {
            let (mut by_old, mut by_new) = (0, 0);
            for step in 1.. {
                let directory = tempfile::tempdir().unwrap();
                let crash = Arc::new(Crash(AtomicI64::new(i64::MAX)));
                let files = Files::observed(crash.clone());
                let store = open_with(engine, directory.path(), old, files).unwrap();
                store.commit(&batch(), Durability::Power).unwrap();
                crash.0.store(step, Ordering::SeqCst);
                let changed = store.change_key(&keys[1]);
                let image = tempfile::tempdir().unwrap();
                copy_tree(directory.path(), image.path()).unwrap();
                let new = Some(&keys[1]);
                let opened = match open(engine, image.path(), old) {
                    Ok(store) => {
                        assert!(changed.is_err());
                        by_old += 1;
                        (store, new)
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::KeyRequired, "{error}");
                        by_new += 1;
                        (open(engine, image.path(), new).unwrap(), old)
                    }
                };
                has_all(&*opened.0);
                opened.0.close().unwrap();
                let refused = open(engine, image.path(), opened.1).err().unwrap();
                assert_eq!(refused.kind(), ErrorKind::KeyRequired);
                if changed.is_ok() {
                    break;
                }
            }
            assert!(by_old >= 4 && by_new >= 1, "{by_old} by the old key, {by_new} by the new one");
        }
    }
}
