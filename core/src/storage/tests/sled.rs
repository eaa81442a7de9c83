//! The sled engine: the suite, locking, closing, sharing of flushes, damage.

use tempfile::TempDir;

use super::conformance::{Engine, conformance};
use crate::storage::{SledOptions, SledStore, Store};

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
