//! The store in memory: the suite, and its faults.

use super::conformance::{Engine, conformance};
use crate::ErrorKind;
use crate::storage::{Batch, Durability, Fault, Keyspace, MemoryStore, Store};

pub(super) struct Memory;

impl Engine for Memory {
    type Store = MemoryStore;

    fn create() -> (Self, Self::Store) {
        (Self, MemoryStore::new())
    }

    fn reopen(&self, store: Self::Store) -> Self::Store {
        store.close().unwrap();
        store.fork()
    }
}

conformance!(Memory);

fn put(store: &MemoryStore, value: &str, durability: Durability) -> crate::Result<()> {
    let mut batch = Batch::default();
    batch.put(Keyspace::State, "k", value);
    batch.put(Keyspace::Versions, "k", value);
    store.commit(&batch, durability)
}

fn read(store: &MemoryStore) -> Option<String> {
    let snapshot = store.snapshot().unwrap();
    let value = snapshot.get(Keyspace::State, b"k").unwrap();
    assert_eq!(value, snapshot.get(Keyspace::Versions, b"k").unwrap(), "torn");
    value.map(|value| String::from_utf8(value).unwrap())
}

#[test]
fn a_crash_before_or_after_the_nth_commit() {
    for (fault, found) in [(Fault::Before, "1"), (Fault::After, "2")] {
        let store = MemoryStore::new();
        store.fail_at(2, fault);
        put(&store, "1", Durability::Power).unwrap();
        assert_eq!(put(&store, "2", Durability::Power).unwrap_err().kind(), ErrorKind::Storage);
        assert_eq!(put(&store, "3", Durability::Power).unwrap_err().kind(), ErrorKind::Storage);
        assert!(store.snapshot().is_err());
        let after = store.fork();
        assert_eq!(read(&after).unwrap(), found);
        put(&after, "4", Durability::Power).unwrap();
        assert_eq!(read(&after).unwrap(), "4");
    }
}

#[test]
fn full_once_then_writable_again() {
    let store = MemoryStore::new();
    put(&store, "1", Durability::Power).unwrap();
    store.fail_at(1, Fault::Full);
    assert_eq!(put(&store, "2", Durability::Power).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(read(&store).unwrap(), "1");
    put(&store, "2", Durability::Power).unwrap();
    assert_eq!(read(&store).unwrap(), "2");
}

#[test]
fn power_loss_takes_what_was_not_committed_with_power() {
    let store = MemoryStore::new();
    put(&store, "1", Durability::Process).unwrap();
    assert_eq!(read(&store.fork_after_power_loss()), None);
    put(&store, "2", Durability::Power).unwrap();
    put(&store, "3", Durability::Process).unwrap();
    put(&store, "4", Durability::Process).unwrap();
    assert_eq!(read(&store.fork_after_power_loss()).unwrap(), "2");
    assert_eq!(read(&store.fork()).unwrap(), "4");
}
