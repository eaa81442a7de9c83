//! Which transactions a key's value comes from.

use std::collections::BTreeSet;

use super::receipt::Place;
use super::state_read::{StateRead, Table};
use super::tables::{self, Version, damaged, decode_value, reader_prefix, version_key};
use super::view::{prefix_end, successor};
use super::{StateKey, TransactionId};
use crate::Result;

/// What a transaction left of a key, as the BLAKE3 hash of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Written {
    Value([u8; 32]),
    Removed,
    /// It read the key, and was rejected.
    Nothing,
}

/// A transaction that wrote a key, or was rejected after it had read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where it counts.
    pub place: Place,
    /// What it left.
    pub value: Written,
    /// Whether its author had not seen the write before; `None` if that is too far away to say.
    pub unseen: Option<bool>,
}

/// The first one after a place that wrote a key, or was rejected after it had read it.
pub fn next_write(tables: &dyn StateRead, key: &StateKey, after: Option<&Place>) -> Result<Option<Write>> {
    let written = version_after(tables, key, after)?;
    let until = written.as_ref().map(|version| version.place);
    let found = match rejected_after(tables, key, after, until.as_ref())? {
        Some(place) => Some((place, Written::Nothing)),
        None => written.map(|version| (version.place, hash(version.value.as_deref()))),
    };
    let Some((place, value)) = found else { return Ok(None) };
    // The latest one is not among the earlier ones.
    let latest = tables.get(Table::State, &key.0)?.map(|row| Version::decode(&row)).transpose()?;
    let before = match latest.filter(|latest| latest.place < place) {
        Some(latest) => Some(latest),
        None => tables::last_version_before(tables, key, Some(&place))?,
    };
    let unseen = match before {
        None => Some(false),
        Some(before) => seen(tables, &place.id, &before.place)?.map(|seen| !seen),
    };
    Ok(Some(Write { place, value, unseen }))
}

fn hash(value: Option<&[u8]>) -> Written {
    value.map_or(Written::Removed, |value| Written::Value(*blake3::hash(value).as_bytes()))
}

fn version_after(tables: &dyn StateRead, key: &StateKey, after: Option<&Place>) -> Result<Option<Version>> {
    let from = after.map_or_else(|| key.0.to_vec(), |after| successor(&version_key(key, after)));
    let end = prefix_end(&key.0);
    if let Some((row, value)) = tables.scan(Table::Versions, &from, end.as_deref(), false, 1)?.pop() {
        let place = row.get(32..).and_then(Place::from_key).ok_or_else(|| damaged("a version's key"))?;
        return Ok(Some(Version { place, value: decode_value(&value)? }));
    }
    let latest = tables.get(Table::State, &key.0)?.map(|row| Version::decode(&row)).transpose()?;
    Ok(latest.filter(|latest| after.is_none_or(|after| *after < latest.place)))
}

fn rejected_after(
    tables: &dyn StateRead,
    key: &StateKey,
    after: Option<&Place>,
    until: Option<&Place>,
) -> Result<Option<Place>> {
    let prefix = reader_prefix(key);
    let row = |place: &Place| [&prefix[..], &place.key()].concat();
    let mut from = after.map_or_else(|| prefix.clone(), |after| successor(&row(after)));
    let end = until.map_or_else(|| prefix_end(&prefix), |until| Some(row(until)));
    loop {
        let page = tables.scan(Table::Readers, &from, end.as_deref(), false, 64)?;
        let Some((last, _)) = page.last() else { return Ok(None) };
        from = successor(last);
        for (found, _) in &page {
            let place = found
                .get(prefix.len()..)
                .and_then(Place::from_key)
                .ok_or_else(|| damaged("a reader's place"))?;
            if tables::effects(tables, &place)?.is_some_and(|effects| !effects.receipt.accepted()) {
                return Ok(Some(place));
            }
        }
    }
}

/// Whether a transaction has another one in its causal past; `None` after too many steps.
fn seen(tables: &dyn StateRead, of: &TransactionId, wanted: &Place) -> Result<Option<bool>> {
    const STEPS: usize = 1_000;
    let mut reached = BTreeSet::new();
    let mut open = vec![*of];
    while let Some(id) = open.pop() {
        if id == wanted.id {
            return Ok(Some(true));
        }
        let Some(position) = tables::position(tables, &id)? else { continue };
        // Lamport numbers grow along every edge.
        if position.lamport <= wanted.lamport || !reached.insert(id) {
            continue;
        }
        if reached.len() > STEPS {
            return Ok(None);
        }
        let Some(transaction) = tables::transaction(tables, &id)? else { continue };
        open.push(transaction.header.previous);
        open.extend(transaction.header.parents.iter().map(|parent| parent.id));
    }
    Ok(Some(false))
}
