//! What the keys of records show: in a sealed store the names of contexts, members, transactions and peers in them are
//! replaced by pseudonyms, which only the data key turns back.
//!
//! Lengths and everything else in a key stay: local numbers of contexts, sequences, lamport numbers, heights, [`StateKey`]s, whose
//! order the layers above depend on.
//!
//! A pseudonym is a keyed permutation of the name: four rounds of a Feistel network over halves of 16 bytes, with keyed BLAKE3
//! as round function (Luby and Rackoff: as good as a random permutation up to 2⁶⁴ names). Each key space has its own.
//!
//! So names do not sort as they did. Those that only break ties (transactions at the same place, or with the same sequence) are
//! put in order again when they are read ([`Order::Kept`]); the others keep together what belongs together, in an order of the store's own
//! ([`Order::Own`]).
//!
//! [`StateKey`]: crate::replica::StateKey

use std::borrow::Cow;

use super::Keyspace;
use super::storage_key::{Secret, subkey};
use crate::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Rows with the same bytes before the name are sorted by it again.
    Kept,
    /// Rows are in the order of the pseudonyms: whoever reads a range begins and ends it at whole names.
    Own,
}

/// Where a name lies in a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name {
    from: usize,
    to: usize,
    order: Order,
}

type Names = [Option<Name>; 2];

const fn name(from: usize, order: Order) -> Option<Name> {
    Some(Name { from, to: from + ID, order })
}

const ID: usize = 32;
/// Of the context's number, which every key but those of peers begins with.
const NUMBER: usize = 4;
/// Of a place: height and lamport, before the id.
const HEIGHT: usize = 16;

/// The names in a key. It depends on what stands before them only, so a pseudonym's key has them at the same places.
fn names(keyspace: Keyspace, key: &[u8]) -> Names {
    let labelled = |label: &[u8]| key.get(NUMBER..).is_some_and(|rest| rest.starts_with(label));
    match keyspace {
        Keyspace::Transactions => author_sequence_id(NUMBER),
        Keyspace::Ids => [name(NUMBER, Order::Own), None],
        Keyspace::Order => [name(NUMBER + HEIGHT, Order::Kept), None],
        Keyspace::Versions => [name(NUMBER + ID + HEIGHT, Order::Kept), None],
        Keyspace::Readers => match (key.get(NUMBER), key.get(NUMBER + 1)) {
            (Some(0), _) => [name(NUMBER + 1 + ID + HEIGHT, Order::Kept), None],
            (Some(1), Some(shared)) => [name(NUMBER + 2 + usize::from(*shared) + HEIGHT, Order::Kept), None],
            _ => [None, None],
        },
        Keyspace::Meta if labelled(b"context/") => [name(NUMBER + 8, Order::Own), None],
        Keyspace::Meta if labelled(b"tip/") => author_sequence_id(NUMBER + 4),
        Keyspace::Meta if labelled(b"cover/") => author_sequence_id(NUMBER + 6),
        Keyspace::Meta if labelled(b"unopened/") => [name(NUMBER + 9 + HEIGHT, Order::Kept), None],
        Keyspace::Meta if labelled(b"pending/") => [name(NUMBER + 8 + HEIGHT, Order::Kept), None],
        // Up to two names after a label.
        Keyspace::Keys | Keyspace::Outbox => {
            let label = key.iter().skip(NUMBER).position(|byte| *byte == b'/');
            match label.map(|at| NUMBER + at + 1) {
                Some(from) => [name(from, Order::Own), name(from + ID, Order::Own)],
                None => [None, None],
            }
        }
        // A multihash: of an Ed25519 key, which it holds, or of another key's hash.
        Keyspace::Peers if key.starts_with(&[0, 36]) => [name(6, Order::Own), None],
        Keyspace::Peers => [name(2, Order::Own), None],
        _ => [None, None],
    }
}

const fn author_sequence_id(from: usize) -> Names {
    [name(from, Order::Own), name(from + ID + 8, Order::Kept)]
}

/// Whether keys of the key space have names that are put in order again.
const fn has_ties(keyspace: Keyspace) -> bool {
    matches!(
        keyspace,
        Keyspace::Transactions | Keyspace::Order | Keyspace::Versions | Keyspace::Readers | Keyspace::Meta
    )
}

/// Turns names into pseudonyms and back.
pub(crate) struct Pseudonyms {
    key: Secret,
}

impl Pseudonyms {
    pub(crate) fn new(data_key: &Secret) -> Self {
        Self { key: subkey(data_key, "kith 2026 storage: names in keys") }
    }

    /// The round function, added to the other half.
    fn round(&self, keyspace: Keyspace, round: u8, from: &[u8], into: &mut [u8]) {
        let mut input = [0; 2 + ID / 2];
        input[0] = keyspace as u8;
        input[1] = round;
        input[2..].copy_from_slice(from);
        let mask = blake3::keyed_hash(&self.key, &input);
        into.iter_mut().zip(mask.as_bytes()).for_each(|(byte, mask)| *byte ^= mask);
    }

    fn permute(&self, keyspace: Keyspace, name: &mut [u8], back: bool) {
        let (left, right) = name.split_at_mut(name.len() / 2);
        for round in 0..4 {
            let round = if back { 3 - round } else { round };
            if round % 2 == 0 {
                self.round(keyspace, round, right, left);
            } else {
                self.round(keyspace, round, left, right);
            }
        }
    }

    /// The key under which a record is stored.
    pub(crate) fn hide<'a>(&self, keyspace: Keyspace, key: &'a [u8]) -> Cow<'a, [u8]> {
        self.turn(keyspace, key, false)
    }

    /// The key that a record is stored for.
    pub(crate) fn show<'a>(&self, keyspace: Keyspace, key: &'a [u8]) -> Cow<'a, [u8]> {
        self.turn(keyspace, key, true)
    }

    fn turn<'a>(&self, keyspace: Keyspace, key: &'a [u8], back: bool) -> Cow<'a, [u8]> {
        let mut turned = Cow::Borrowed(key);
        for name in names(keyspace, key).into_iter().flatten() {
            if key.len() < name.to {
                break;
            }
            self.permute(keyspace, &mut turned.to_mut()[name.from..name.to], back);
        }
        turned
    }

    /// The first stored key that can belong to a range.
    fn lower(&self, keyspace: Keyspace, from: &[u8]) -> Bound {
        let mut stored = from.to_vec();
        for name in names(keyspace, from).into_iter().flatten().filter(|name| from.len() > name.from) {
            if name.order == Order::Kept {
                stored.truncate(name.from);
                return Bound { among: Some(stored.clone()), stored: Some(stored) };
            }
            if from.len() < name.to {
                // As keys that are too short for the name are stored, and what follows one.
                break;
            }
            self.permute(keyspace, &mut stored[name.from..name.to], false);
        }
        Bound { stored: Some(stored), among: None }
    }

    /// The end of the stored keys that can belong to a range.
    fn upper(&self, keyspace: Keyspace, from: &[u8], to: &[u8]) -> Result<Bound> {
        // The end of all that begins with a name is no name.
        for name in names(keyspace, from).into_iter().flatten() {
            if name.order == Order::Own && from.len() > name.from && from.len() < name.to {
                // All that begins with a part of a name lies scattered.
                if end_of(from).as_deref() == Some(to) {
                    return Err(Error::internal("a range of the store is of a part of a name"));
                }
            } else if name.order == Order::Own && from.len() >= name.to {
                let prefix = &from[..name.to];
                if end_of(prefix).as_deref() == Some(to) {
                    return Ok(Bound { stored: end_of(&self.hide(keyspace, prefix)), among: None });
                }
            }
        }
        let mut stored = to.to_vec();
        for name in names(keyspace, to).into_iter().flatten().filter(|name| to.len() > name.from) {
            if name.order == Order::Kept {
                stored.truncate(name.from);
                return Ok(Bound { stored: end_of(&stored), among: Some(stored) });
            }
            if to.len() < name.to {
                break;
            }
            self.permute(keyspace, &mut stored[name.from..name.to], false);
        }
        Ok(Bound { stored: Some(stored), among: None })
    }

    /// A range of entries, read from one of stored entries: `raw` is given a beginning, an end, and how many entries at most.
    pub(crate) fn scan<V>(
        &self,
        (keyspace, reverse): (Keyspace, bool),
        (from, to): (&[u8], Option<&[u8]>),
        limit: usize,
        mut raw: impl FnMut(&[u8], Option<&[u8]>, usize) -> Result<Vec<(Vec<u8>, V)>>,
    ) -> Result<Vec<Found<V>>> {
        let first = self.lower(keyspace, from);
        let last = match to {
            Some(to) => self.upper(keyspace, from, to)?,
            None => Bound { stored: None, among: None },
        };
        let (mut begin, mut end) = (first.stored.clone().unwrap_or_default(), last.stored.clone());
        let wanted = |entry: &Found<V>| {
            let among =
                |bound: &Bound| bound.among.as_ref().is_some_and(|group| entry.stored.starts_with(group));
            !(among(&first) && entry.key.as_slice() < from
                || among(&last) && to.is_some_and(|to| entry.key.as_slice() >= to))
        };
        // One more shows that a group has ended.
        let chunk = if has_ties(keyspace) { limit.saturating_add(1) } else { limit }.clamp(1, 512);
        let mut found = Vec::new();
        let mut group = Group { same: None, entries: Vec::new() };
        while found.len() < limit && end.as_ref().is_none_or(|end| begin < *end) {
            let page = raw(&begin, end.as_deref(), chunk)?;
            let ended = page.len() < chunk;
            if let Some((stored, _)) = page.last() {
                if reverse {
                    end = Some(stored.clone());
                } else {
                    begin.clone_from(stored);
                    begin.push(0);
                }
            }
            for (stored, value) in page {
                let key = self.show(keyspace, &stored).into_owned();
                let tie =
                    names(keyspace, &stored).into_iter().flatten().find(|name| name.order == Order::Kept);
                let same = tie.filter(|tie| stored.len() > tie.from).map(|tie| stored[..tie.from].to_vec());
                if same.is_none() || same != group.same {
                    found.extend(group.take(reverse).into_iter().filter(&wanted));
                    group.same = same;
                }
                group.entries.push(Found { key, stored, value });
            }
            if ended {
                break;
            }
        }
        found.extend(group.take(reverse).into_iter().filter(&wanted));
        found.truncate(limit);
        Ok(found)
    }
}

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pseudonyms")
    }
}

/// An entry of a range.
#[derive(Debug)]
pub(crate) struct Found<V> {
    pub(crate) key: Vec<u8>,
    pub(crate) stored: Vec<u8>,
    pub(crate) value: V,
}

/// A bound of stored keys; among those that begin with `among` the bound itself decides.
#[derive(Debug)]
struct Bound {
    stored: Option<Vec<u8>>,
    among: Option<Vec<u8>>,
}

/// Entries that differ in what breaks ties only.
struct Group<V> {
    same: Option<Vec<u8>>,
    entries: Vec<Found<V>>,
}

impl<V> Group<V> {
    fn take(&mut self, reverse: bool) -> Vec<Found<V>> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_by(|a, b| if reverse { b.key.cmp(&a.key) } else { a.key.cmp(&b.key) });
        entries
    }
}

/// The end of all keys with this prefix; `None`: there is none.
fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
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
mod tests;
