//! Reading: every record is verified.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ops::Bound;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use redb::{ReadOnlyTable, ReadTransaction};

use super::engine::{Engine, place, table, tables};
use crate::storage::marker::Sum;
use crate::storage::names::Found;
use crate::storage::view_lock::View;
use crate::storage::{Keyspace, Snapshot, check_keyspace};
use crate::{Error, Result};

type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Entry = (Vec<u8>, Vec<u8>);

/// One read transaction. It sees what was committed before it began, whatever is committed beside it.
struct Reading {
    /// Opened when they are first asked for.
    tables: [OnceCell<Table>; Keyspace::ALL.len()],
    transaction: ReadTransaction,
    engine: Arc<Engine>,
}

thread_local! {
    /// What this thread reads, by the store's number: whatever it takes while it reads shows the same.
    static READING: RefCell<HashMap<u64, Weak<Reading>>> = RefCell::new(HashMap::new());
}

pub(super) struct RedbSnapshot<'a> {
    /// Given up before the view: closing waits for views.
    reading: Option<Rc<Reading>>,
    view: View<'a>,
}

impl<'a> RedbSnapshot<'a> {
    pub(super) fn new(engine: Arc<Engine>, view: View<'a>) -> Result<Self> {
        let number = view.number();
        if let Some(reading) = READING.with_borrow(|all| all.get(&number).and_then(Weak::upgrade)) {
            return Ok(Self { reading: Some(reading), view });
        }
        let transaction = engine.begin()?;
        let reading = Rc::new(Reading { tables: Default::default(), transaction, engine });
        READING.with_borrow_mut(|all| all.insert(number, Rc::downgrade(&reading)));
        Ok(Self { reading: Some(reading), view })
    }

    fn reading(&self) -> Result<&Reading> {
        self.reading.as_deref().ok_or_else(|| Error::internal("the snapshot has been given up"))
    }
}

impl Drop for RedbSnapshot<'_> {
    fn drop(&mut self) {
        let last = self.reading.take().is_some_and(|reading| Rc::into_inner(reading).is_some());
        if last {
            READING.with_borrow_mut(|all| all.remove(&self.view.number()));
        }
    }
}

impl Reading {
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
        let Reading { engine, .. } = self.reading()?;
        let table = self.reading()?.table(keyspace)?;
        let key = &*engine.sealer.stored_key(keyspace, key);
        let found = engine.read("reading a record", || {
            Ok(table.get(key)?.map(|bytes| engine.decode(keyspace, key, bytes.value()).map(|r| r.payload)))
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
        let Reading { engine, .. } = self.reading()?;
        let table = self.reading()?.table(keyspace)?;
        let raw = |from: &[u8], to: Option<&[u8]>, limit: usize| {
            scan_raw(engine, table, Bound::Included(from), to, reverse, limit)
        };
        let found = engine.sealer.scan((keyspace, reverse), (from, to), limit, raw)?;
        let entry = |found: Found<Vec<u8>>| {
            Ok((found.key, engine.decode(keyspace, &found.stored, &found.value)?.payload))
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
                // A damaged branch leads a look-up astray, and not the walk along the leaves.
                let found = engine.read("reading a record", || {
                    Ok(table.get(key.as_slice())?.is_some_and(|found| found.value() == bytes.as_slice()))
                })?;
                if !found {
                    return Err(place(keyspace, key).corrupt("it is there and cannot be found"));
                }
            }
        }
        marker.sums[keyspace as usize].check(sum, keyspace)?;
    }
    Ok(())
}
