//! Tables in memory, for tests and for callers who keep nothing.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::state_read::{StateRead, Table};
use super::view::TableWrite;
use crate::Result;

/// The replica's tables in ordered maps.
#[derive(Clone, Debug, Default)]
pub struct MemoryTables {
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl MemoryTables {
    /// Carries out what a step of the replica wrote.
    pub fn apply(&mut self, writes: Vec<TableWrite>) {
        for (table, key, value) in writes {
            let table = self.tables.entry(table).or_default();
            match value {
                Some(value) => table.insert(key, value),
                None => table.remove(&key),
            };
        }
    }
}

impl StateRead for MemoryTables {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.tables.get(&table).and_then(|table| table.get(key)).cloned())
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let Some(table) = self.tables.get(&table) else { return Ok(Vec::new()) };
        if to.is_some_and(|to| from >= to) {
            return Ok(Vec::new());
        }
        let range =
            table.range::<[u8], _>((Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded)));
        let copied = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        Ok(if reverse {
            range.rev().map(copied).take(limit).collect()
        } else {
            range.map(copied).take(limit).collect()
        })
    }
}
