//! Reading: every record is verified, and large values are put together from their chunks.

use std::ops::Bound;
use std::sync::Arc;

use super::chunks::{self, ChunkRef};
use super::engine::Engine;
use super::marker::Sum;
use super::{Keyspace, Snapshot};
use crate::Result;
use crate::storage::check_keyspace;
use crate::storage::names::Found;
use crate::storage::record::Kind;
use crate::storage::view_lock::View;

pub(super) struct SledSnapshot<'a> {
    pub(super) engine: Arc<Engine>,
    /// Keeps commits out, unless a test has turned that off.
    pub(super) _view: Option<View<'a>>,
}

type Entry = (Vec<u8>, Vec<u8>);

fn value_of(engine: &Engine, tree: usize, key: &[u8], bytes: &[u8]) -> Result<Vec<u8>> {
    let record = engine.decode(tree, key, bytes)?;
    match record.kind {
        Kind::Inline => Ok(record.payload),
        Kind::Chunked => chunks::read(engine, &ChunkRef::decode(&record.payload)?),
    }
}

fn scan_raw(
    engine: &Engine,
    tree: usize,
    from: Bound<&[u8]>,
    to: Option<&[u8]>,
    reverse: bool,
    limit: usize,
) -> Result<Vec<(sled::IVec, sled::IVec)>> {
    engine.read("scanning", || {
        let range = engine.tree(tree).range::<&[u8], _>((from, to.map_or(Bound::Unbounded, Bound::Excluded)));
        if reverse { range.rev().take(limit).collect() } else { range.take(limit).collect() }
    })
}

impl Snapshot for SledSnapshot<'_> {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>> {
        check_keyspace(keyspace)?;
        self.engine.check()?;
        let tree = keyspace as usize;
        let key = self.engine.sealer.stored_key(keyspace, key);
        let bytes = self.engine.get_raw(tree, &key)?;
        bytes.map(|bytes| value_of(&self.engine, tree, &key, &bytes)).transpose()
    }

    fn scan(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        check_keyspace(keyspace)?;
        self.engine.check()?;
        let tree = keyspace as usize;
        let raw = |from: &[u8], to: Option<&[u8]>, limit: usize| {
            let entries = scan_raw(&self.engine, tree, Bound::Included(from), to, reverse, limit)?;
            Ok(entries.into_iter().map(|(key, bytes)| (key.to_vec(), bytes)).collect())
        };
        let found = self.engine.sealer.scan((keyspace, reverse), (from, to), limit, raw)?;
        let entry = |found: Found<sled::IVec>| {
            Ok((found.key, value_of(&self.engine, tree, &found.stored, &found.value)?))
        };
        found.into_iter().map(entry).collect()
    }
}

/// Reads everything, verifies it, and compares numbers and sums with the marker: so that nothing is missing, and nothing is
/// older than it should be.
pub(super) fn verify(engine: &Engine) -> Result<()> {
    let marker = engine.marker()?;
    for keyspace in Keyspace::ALL {
        let tree = keyspace as usize;
        let mut sum = Sum::default();
        let mut last: Option<sled::IVec> = None;
        loop {
            let from = last.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(&**key));
            let entries = scan_raw(engine, tree, from, None, false, 256)?;
            let Some((key, _)) = entries.last() else { break };
            last = Some(key.clone());
            for (key, bytes) in &entries {
                sum.add(engine.decode(tree, key, bytes)?.checksum);
                value_of(engine, tree, key, bytes)?;
            }
        }
        if keyspace != Keyspace::Chunks {
            marker.sums[tree].check(sum, keyspace)?;
        }
    }
    Ok(())
}
