//! What the store holds, with the changes of one step laid over it.

use std::collections::{BTreeMap, btree_map};
use std::iter::{Peekable, Rev};
use std::ops::Bound;

use zeroize::Zeroize as _;

use super::state_read::{StateRead, Table};
use crate::Result;

/// One change of a table: a value to set, or `None` to remove.
pub type TableWrite = (Table, Vec<u8>, Option<Vec<u8>>);

const TABLES: usize = Table::ALL.len();

type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Changes, by table. What is known of keys is wiped.
#[derive(Default)]
struct Writes([Changes; TABLES]);

impl Writes {
    fn take(mut self) -> [Changes; TABLES] {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Writes {
    fn drop(&mut self) {
        self.0[Table::Keys as usize].values_mut().for_each(zeroize::Zeroize::zeroize);
    }
}

pub(crate) struct View<'a> {
    base: &'a dyn StateRead,
    writes: Writes,
    /// Bytes in them.
    size: usize,
}

/// What a [`View`] wrote.
pub(crate) struct Layer {
    writes: Writes,
    size: usize,
}

impl Layer {
    pub(crate) fn copied(&self) -> Vec<TableWrite> {
        let tables = Table::ALL.into_iter().zip(&self.writes.0);
        tables
            .flat_map(|(table, writes)| {
                writes.iter().map(move |(key, value)| (table, key.clone(), value.clone()))
            })
            .collect()
    }

    pub(crate) fn into_writes(self) -> Vec<TableWrite> {
        let tables = Table::ALL.into_iter().zip(self.writes.take());
        tables
            .flat_map(|(table, writes)| writes.into_iter().map(move |(key, value)| (table, key, value)))
            .collect()
    }
}

fn wipe(table: Table, mut value: Option<Vec<u8>>) {
    if table == Table::Keys {
        value.zeroize();
    }
}

/// About what a write takes besides its key and value.
const WRITE: usize = 96;

impl<'a> View<'a> {
    pub(crate) fn new(base: &'a dyn StateRead) -> Self {
        Self { base, writes: Writes::default(), size: 0 }
    }

    pub(crate) fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: Vec<u8>) {
        self.set(table, key.into(), Some(value));
    }

    pub(crate) fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.set(table, key.into(), None);
    }

    /// Lays a step's writes over what is there.
    pub(crate) fn apply(&mut self, writes: Vec<TableWrite>) {
        for (table, key, value) in writes {
            self.set(table, key, value);
        }
    }

    fn set(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) {
        // What comes and goes within one batch need not trouble the store.
        let written = &mut self.writes.0[table as usize];
        if value.is_none()
            && let Some(Some(old)) = written.get(&key)
            && matches!(self.base.get(table, &key), Ok(None))
        {
            self.size -= key.len() + WRITE + old.len();
            wipe(table, written.remove(&key).flatten());
            return;
        }
        let length = key.len() + WRITE;
        self.size += length + value.as_ref().map_or(0, Vec::len);
        if let Some(old) = self.writes.0[table as usize].insert(key, value) {
            self.size -= length + old.as_ref().map_or(0, Vec::len);
            wipe(table, old);
        }
    }

    /// About how many bytes are to be written.
    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// Lays what another view wrote over a base: what that view shows, if the base is as it was, or has the writes already.
    pub(crate) fn laid(layer: Layer, base: &'a dyn StateRead) -> Self {
        Self { base, writes: layer.writes, size: layer.size }
    }

    /// What was written, without the base.
    pub(crate) fn into_layer(self) -> Layer {
        Layer { writes: self.writes, size: self.size }
    }

    pub(crate) fn into_writes(self) -> Vec<TableWrite> {
        self.into_layer().into_writes()
    }
}

impl StateRead for View<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.writes.0[table as usize].get(key) {
            Some(written) => Ok(written.clone()),
            None => self.base.get(table, key),
        }
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: Option<&[u8]>,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        if to.is_some_and(|to| from >= to) {
            return Ok(Vec::new());
        }
        let end = to.map_or(Bound::Unbounded, Bound::Excluded);
        let written = self.writes.0[table as usize].range::<[u8], _>((Bound::Included(from), end));
        let mut written = InRange::new(written, reverse);
        if written.peek().is_none() {
            return self.base.scan(table, from, to, reverse, limit);
        }
        let mut stored = Stored {
            base: self.base,
            table,
            from: from.to_vec(),
            to: to.map(<[u8]>::to_vec),
            reverse,
            chunk: limit.clamp(1, 256),
            page: Vec::new().into_iter(),
            ended: false,
            next: None,
        };
        let mut found = Vec::new();
        while found.len() < limit {
            let ordering = match (written.peek(), stored.peek()?) {
                (None, None) => break,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(written), Some(stored)) if reverse => stored.cmp(written),
                (Some(written), Some(stored)) => written.cmp(stored),
            };
            if ordering.is_ge() {
                let entry = stored.next.take();
                // A stored entry that was written again is left to the written one.
                if ordering.is_gt() {
                    found.extend(entry);
                    continue;
                }
            }
            if let Some((key, Some(value))) = written.next() {
                found.push((key.clone(), value.clone()));
            }
        }
        Ok(found)
    }
}

type Range<'a> = btree_map::Range<'a, Vec<u8>, Option<Vec<u8>>>;

/// The written entries of a range, in either direction.
enum InRange<'a> {
    Forward(Peekable<Range<'a>>),
    Backward(Peekable<Rev<Range<'a>>>),
}

impl<'a> InRange<'a> {
    fn new(range: Range<'a>, reverse: bool) -> Self {
        if reverse { Self::Backward(range.rev().peekable()) } else { Self::Forward(range.peekable()) }
    }

    fn peek(&mut self) -> Option<&'a Vec<u8>> {
        match self {
            Self::Forward(range) => range.peek().map(|entry| entry.0),
            Self::Backward(range) => range.peek().map(|entry| entry.0),
        }
    }

    fn next(&mut self) -> Option<(&'a Vec<u8>, &'a Option<Vec<u8>>)> {
        match self {
            Self::Forward(range) => range.next(),
            Self::Backward(range) => range.next(),
        }
    }
}

/// The stored entries of a range, fetched in chunks.
struct Stored<'a> {
    base: &'a dyn StateRead,
    table: Table,
    from: Vec<u8>,
    to: Option<Vec<u8>>,
    reverse: bool,
    chunk: usize,
    page: std::vec::IntoIter<(Vec<u8>, Vec<u8>)>,
    ended: bool,
    next: Option<(Vec<u8>, Vec<u8>)>,
}

impl Stored<'_> {
    fn peek(&mut self) -> Result<Option<&Vec<u8>>> {
        if self.next.is_none() {
            self.next = self.page.next();
        }
        if self.next.is_none() && !self.ended {
            let page =
                self.base.scan(self.table, &self.from, self.to.as_deref(), self.reverse, self.chunk)?;
            self.ended = page.len() < self.chunk;
            if let Some((last, _)) = page.last() {
                if self.reverse {
                    self.to = Some(last.clone());
                } else {
                    self.from = successor(last);
                }
            }
            self.page = page.into_iter();
            self.next = self.page.next();
        }
        Ok(self.next.as_ref().map(|entry| &entry.0))
    }
}

/// The smallest key after this one.
pub(crate) fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// The end of the range of all keys with this prefix; `None`: the end of the table.
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::MemoryTables;
    use super::*;
    use proptest::prelude::*;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(0u8..4, 0..4)
    }

    proptest! {
        #[test]
        fn a_view_reads_like_the_merged_table(
            stored in proptest::collection::btree_map(key(), any::<u8>(), 0..40),
            written in proptest::collection::btree_map(key(), any::<Option<u8>>(), 0..40),
            from in key(), to in proptest::option::of(key()), reverse: bool, limit in 0usize..12,
        ) {
            let mut tables = MemoryTables::default();
            tables.apply(stored.iter().map(|(key, value)| (Table::State, key.clone(), Some(vec![*value]))).collect());
            let mut view = View::new(&tables);
            let mut model = stored;
            for (key, value) in written {
                match value {
                    Some(value) => {
                        view.put(Table::State, key.clone(), vec![value]);
                        model.insert(key, value);
                    }
                    None => {
                        view.delete(Table::State, key.clone());
                        model.remove(&key);
                    }
                }
            }
            let inside = |key: &Vec<u8>| *key >= from && to.as_ref().is_none_or(|to| key < to);
            let mut expected: Vec<_> = model.into_iter().filter(|(key, _)| inside(key)).map(|(key, value)| (key, vec![value])).collect();
            if reverse {
                expected.reverse();
            }
            expected.truncate(limit);
            prop_assert_eq!(view.scan(Table::State, &from, to.as_deref(), reverse, limit).unwrap(), expected);
        }
    }

    #[test]
    fn ends_of_prefixes() {
        assert_eq!(prefix_end(&[1, 255]), Some(vec![2]));
        assert_eq!(prefix_end(&[255, 255]), None);
        assert_eq!(prefix_end(&[]), None);
    }
}
