//! A store that forgets nothing.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use kith_core::Result;
use kith_core::keyring::Key;
use kith_core::storage::{Batch, Durability, Keyspace, Snapshot, Store};

/// Every value that each row of keys ever had.
pub(crate) type Hoard = BTreeMap<Key, BTreeSet<Vec<u8>>>;

pub(crate) struct Hoarder {
    inner: Arc<dyn Store>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    keys: Hoard,
    /// All that was ever written, one after the other.
    written: Vec<u8>,
}

/// What a row of keys is about; none if it is something else.
pub(crate) fn about(keyspace: Keyspace, row: &[u8]) -> Option<Key> {
    // Behind the number of the context.
    let named = row.get(4..)?.strip_prefix(b"ring/").filter(|_| keyspace == Keyspace::Keys)?;
    borsh::from_slice(named).ok()
}

/// The rows of keys that are in a store now.
pub(crate) fn present(store: &dyn Store) -> Hoard {
    let rows = store.snapshot().unwrap().scan(Keyspace::Keys, &[], None, false, usize::MAX).unwrap();
    let keys = rows.into_iter().filter_map(|(row, value)| Some((about(Keyspace::Keys, &row)?, value)));
    keys.map(|(key, value)| (key, BTreeSet::from([value]))).collect()
}

impl Hoarder {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { inner, kept: Mutex::default() })
    }

    pub(crate) fn keys(&self) -> Hoard {
        self.kept.lock().unwrap().keys.clone()
    }

    /// Whether this was ever written, in the open.
    pub(crate) fn wrote(&self, text: &str) -> bool {
        self.kept.lock().unwrap().written.windows(text.len()).any(|part| part == text.as_bytes())
    }
}

impl Store for Hoarder {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>> {
        self.inner.snapshot()
    }

    fn commit(&self, batch: &Batch, durability: Durability) -> Result<()> {
        let mut kept = self.kept.lock().unwrap();
        for write in &batch.writes {
            let Some(value) = &write.value else { continue };
            kept.written.extend_from_slice(value);
            if let Some(key) = about(write.keyspace, &write.key) {
                kept.keys.entry(key).or_default().insert(value.clone());
            }
        }
        drop(kept);
        self.inner.commit(batch, durability)
    }

    fn batch_size(&self) -> usize {
        self.inner.batch_size()
    }

    fn commits_beside_snapshots(&self) -> bool {
        self.inner.commits_beside_snapshots()
    }

    fn close(&self) -> Result<()> {
        self.inner.close()
    }
}
