//! The state just before a place, as if nothing had come after it.

use crate::Result;
use crate::replica::StateKey;
use crate::replica::receipt::Place;
use crate::replica::state_read::{StateRead, Table};
use crate::replica::tables::{Version, damaged, decode_value, version_key};
use crate::replica::view::successor;

/// Tables in which the latest version of each key is the last one before a place. It looks at the rows alone, and shares nothing
/// with how calls that come late are executed.
pub(super) struct Before<'a> {
    pub(super) tables: &'a dyn StateRead,
    pub(super) place: Place,
}

impl Before<'_> {
    /// The row of a key as it was.
    fn row(&self, key: &[u8], latest: Vec<u8>) -> Result<Option<Vec<u8>>> {
        if Version::decode(&latest)?.place < self.place {
            return Ok(Some(latest));
        }
        let key = StateKey::from_slice(key)?;
        let end = version_key(&key, &self.place);
        let found = self.tables.scan(Table::Versions, &key.0, Some(&end), true, 1)?;
        let Some((row, value)) = found.into_iter().next() else { return Ok(None) };
        let place = row.get(32..).and_then(Place::from_key).ok_or_else(|| damaged("a version's key"))?;
        Ok(Some(Version::encode(&place, decode_value(&value)?.as_deref())))
    }
}

impl StateRead for Before<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match (table, self.tables.get(table, key)?) {
            (Table::State, Some(latest)) => self.row(key, latest),
            (_, found) => Ok(found),
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
        if table != Table::State || reverse {
            return self.tables.scan(table, from, to, reverse, limit);
        }
        let mut found = Vec::new();
        let mut next = from.to_vec();
        while found.len() < limit {
            let page = self.tables.scan(table, &next, to, false, limit - found.len())?;
            let Some((last, _)) = page.last() else { break };
            next = successor(last);
            for (key, latest) in page {
                if let Some(row) = self.row(&key, latest)? {
                    found.push((key, row));
                }
            }
        }
        Ok(found)
    }
}
