//! The replica's tables of one context, in the store's key spaces.

use std::cell::RefCell;
use std::collections::HashMap;

use zeroize::Zeroizing;

use super::{Batch, Keyspace, Snapshot};
use crate::Result;
use crate::replica::faults::{self, Fault};
use crate::replica::{StateRead, Table, TableWrite};

/// How many rows about keys are remembered: each call of a round reads the same few.
const REMEMBERED: usize = 64;

/// What is under a key. Some of it is secret.
type Row = Option<Zeroizing<Vec<u8>>>;

/// One context's tables in a snapshot. Contexts are told apart by a local number in front of each key.
pub struct ContextTables<'a> {
    snapshot: &'a dyn Snapshot,
    number: u32,
    /// Rows of [`Table::Keys`] that were read. A snapshot does not change.
    keys: RefCell<HashMap<Vec<u8>, Row>>,
}

impl std::fmt::Debug for ContextTables<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContextTables").field("number", &self.number).finish_non_exhaustive()
    }
}

const fn keyspace(table: Table) -> Keyspace {
    match table {
        Table::Meta => Keyspace::Meta,
        Table::Transactions => Keyspace::Transactions,
        Table::Ids => Keyspace::Ids,
        Table::Order => Keyspace::Order,
        Table::Versions => Keyspace::Versions,
        Table::State => Keyspace::State,
        Table::Readers => Keyspace::Readers,
        Table::Keys => Keyspace::Keys,
    }
}

/// The key of a context's row.
#[must_use]
pub fn context_key(number: u32, key: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes(), key].concat()
}

/// The end of a context's rows. The last number is never used.
#[must_use]
pub fn context_end(number: u32) -> Vec<u8> {
    number.saturating_add(1).to_be_bytes().to_vec()
}

/// Adds what the replica wrote to a batch.
pub fn add_writes(batch: &mut Batch, number: u32, writes: Vec<TableWrite>) {
    for (table, key, value) in writes {
        let key = context_key(number, &key);
        match value {
            Some(value) => batch.put(keyspace(table), key, value),
            None => batch.delete(keyspace(table), key),
        }
    }
}

impl<'a> ContextTables<'a> {
    /// The tables of the context with this local number.
    #[must_use]
    pub fn new(snapshot: &'a dyn Snapshot, number: u32) -> Self {
        Self { snapshot, number, keys: RefCell::default() }
    }

    fn read(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let row = self.snapshot.get(keyspace(table), &context_key(self.number, key));
        if faults::is(Fault::UnreadIsAbsent) { Ok(row.unwrap_or(None)) } else { row }
    }
}

impl StateRead for ContextTables<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if table != Table::Keys {
            return self.read(table, key);
        }
        if let Some(row) = self.keys.borrow().get(key) {
            return Ok(row.as_deref().cloned());
        }
        let row = self.read(table, key)?;
        let mut keys = self.keys.borrow_mut();
        if keys.len() < REMEMBERED {
            keys.insert(key.to_vec(), row.clone().map(Zeroizing::new));
        }
        Ok(row)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let from = context_key(self.number, from);
        let to = to.map_or_else(|| context_end(self.number), |to| context_key(self.number, to));
        let mut rows = self.snapshot.scan(keyspace(table), &from, Some(&to), reverse, limit)?;
        for (key, _) in &mut rows {
            key.drain(..4);
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Has every key, and counts how often it is asked.
    #[derive(Default)]
    struct Counting(Cell<u32>);

    impl Snapshot for Counting {
        fn get(&self, _: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>> {
            self.0.set(self.0.get() + 1);
            Ok((!key.ends_with(b"absent")).then(|| key.to_vec()))
        }

        fn scan(
            &self,
            _: Keyspace,
            _: &[u8],
            _: Option<&[u8]>,
            _: bool,
            _: usize,
        ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn a_row_about_keys_is_read_once_and_only_few_are_remembered() {
        let snapshot = Counting::default();
        let tables = ContextTables::new(&snapshot, 7);
        for _ in 0..3 {
            assert_eq!(tables.get(Table::Keys, b"there").unwrap(), Some(context_key(7, b"there")));
            assert_eq!(tables.get(Table::Keys, b"absent").unwrap(), None);
        }
        assert_eq!(snapshot.0.get(), 2);
        for _ in 0..3 {
            assert_eq!(tables.get(Table::State, b"there").unwrap(), Some(context_key(7, b"there")));
        }
        assert_eq!(snapshot.0.get(), 5);
        for row in 0..1_000u32 {
            tables.get(Table::Keys, &row.to_be_bytes()).unwrap();
        }
        assert_eq!((snapshot.0.get(), tables.keys.borrow().len()), (1_005, REMEMBERED));
    }
}
