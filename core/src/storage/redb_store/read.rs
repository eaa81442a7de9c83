//! Reading: every record is verified.

use std::cell::OnceCell;
use std::ops::Bound;
use std::sync::Arc;

use redb::{ReadOnlyTable, ReadTransaction};

use super::engine::{Engine, table, tables};
use crate::storage::marker::Sum;
use crate::storage::names::Found;
use crate::storage::view_lock::View;
use crate::storage::{Keyspace, Snapshot, check_keyspace};
use crate::{Error, Result};

type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Entry = (Vec<u8>, Vec<u8>);

pub(super) struct RedbSnapshot<'a> {
    /// Opened when they are first asked for.
    tables: [OnceCell<Table>; Keyspace::ALL.len()],
    transaction: ReadTransaction,
    engine: Arc<Engine>,
    _view: View<'a>,
}

impl<'a> RedbSnapshot<'a> {
    pub(super) fn new(engine: Arc<Engine>, view: View<'a>) -> Result<Self> {
        let transaction = engine.begin()?;
        Ok(Self { tables: Default::default(), transaction, engine, _view: view })
    }

    fn table(&self, keyspace: Keyspace) -> Result<&Table> {
        check_keyspace(keyspace)?;
        self.engine.check()?;
        let cell = &self.tables[keyspace as usize];
        if cell.get().is_none() {
            let opened = self
                .engine
                .read("opening a table", || Ok(self.transaction.open_table(table(keyspace))?))?;
            let _ = cell.set(opened);
        }
        cell.get().ok_or_else(|| Error::internal("a table that was just opened is not there"))
    }
}

/// A part of a table as it is stored, in order.
fn scan_raw(
    engine: &Engine,
    table: &Table,
    from: Bound<&[u8]>,
    to: Option<&[u8]>,
    reverse: bool,
    limit: usize,
) -> Result<Vec<Entry>> {
    engine.read("scanning", || {
        let mut range = table.range::<&[u8]>((from, to.map_or(Bound::Unbounded, Bound::Excluded)))?;
        let mut entries = Vec::new();
        while entries.len() < limit {
            let Some(entry) = (if reverse { range.next_back() } else { range.next() }) else { break };
            let (key, bytes) = entry?;
            entries.push((key.value().to_vec(), bytes.value().to_vec()));
        }
        Ok(entries)
    })
}

impl Snapshot for RedbSnapshot<'_> {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let table = self.table(keyspace)?;
        let key = &*self.engine.sealer.stored_key(keyspace, key);
        let found = self.engine.read("reading a record", || {
            Ok(table
                .get(key)?
                .map(|bytes| self.engine.decode(keyspace, key, bytes.value()).map(|r| r.payload)))
        })?;
        found.transpose()
    }

    fn scan(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        let table = self.table(keyspace)?;
        let raw = |from: &[u8], to: Option<&[u8]>, limit: usize| {
            scan_raw(&self.engine, table, Bound::Included(from), to, reverse, limit)
        };
        let found = self.engine.sealer.scan((keyspace, reverse), (from, to), limit, raw)?;
        let entry = |found: Found<Vec<u8>>| {
            Ok((found.key, self.engine.decode(keyspace, &found.stored, &found.value)?.payload))
        };
        found.into_iter().map(entry).collect()
    }
}

/// Reads everything, verifies it, and compares numbers and sums with the marker: so that nothing is missing, and nothing is
/// older than it should be.
pub(super) fn verify(engine: &Engine) -> Result<()> {
    let marker = engine.marker()?;
    let transaction = engine.begin()?;
    for keyspace in tables() {
        let table = engine.read("opening a table", || Ok(transaction.open_table(table(keyspace))?))?;
        let mut sum = Sum::default();
        let mut last: Option<Vec<u8>> = None;
        loop {
            let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let entries = scan_raw(engine, &table, from, None, false, 256)?;
            let Some((key, _)) = entries.last() else { break };
            last = Some(key.clone());
            for (key, bytes) in &entries {
                sum.add(engine.decode(keyspace, key, bytes)?.checksum);
            }
        }
        marker.sums[keyspace as usize].check(sum, keyspace)?;
    }
    Ok(())
}
