//! Putting what a transaction did in the place of what it did before: versions, current values, the running hash, and who has to be executed
//! again.

use std::collections::{BTreeMap, BTreeSet};

use super::commitment::{Entries, SetHash};
use super::engine::{Outcome, Replica, Step};
use super::receipt::Place;
use super::state_read::{StateRead, Table};
use super::tables::{self, Effects, Read, Version};
use super::view::{View, prefix_end, successor};
use super::{StateKey, TransactionId, faults};
use crate::Result;

impl Replica {
    /// Puts a transaction's effects in the place of its earlier ones.
    pub(super) fn replace(
        &mut self,
        view: &mut View<'_>,
        step: &mut Step,
        place: Place,
        id: TransactionId,
        effects: Effects,
        mut writes: BTreeMap<StateKey, Option<Vec<u8>>>,
    ) -> Result<()> {
        let old = tables::effects(view, &place)?;
        if old.is_some() {
            step.executed_again += 1;
        }
        let (old_reads, old_writes) =
            old.as_ref().map_or((&[][..], &[][..]), |old| (&old.reads[..], &old.writes[..]));
        for read in old_reads.iter().filter(|read| !effects.reads.contains(read)) {
            tables::remove_reader(view, read, &place);
            self.count_range(read, -1);
        }
        for read in effects.reads.iter().filter(|read| !old_reads.contains(read)) {
            tables::add_reader(view, read, &place);
            self.count_range(read, 1);
        }
        for key in old_writes.iter().filter(|key| !writes.contains_key(key)) {
            self.changed(view, step, key, &place, None)?;
        }
        let old_writes: BTreeSet<StateKey> = old_writes.iter().copied().collect();
        while let Some((key, value)) = writes.pop_first() {
            if old_writes.contains(&key) && tables::version_at(view, &key, &place)?.as_ref() == Some(&value) {
                continue;
            }
            self.changed(view, step, &key, &place, Some(value.as_deref()))?;
        }
        let same = old.as_ref().is_some_and(|old| old.receipt == effects.receipt);
        let position = tables::known_position(view, &id)?;
        tables::put_order(view, &place, position.kind, Some(&effects));
        if !same {
            step.executed.push(Outcome {
                id,
                place,
                author: position.author,
                kind: position.kind,
                receipt: effects.receipt,
                again: old.is_some(),
            });
        }
        Ok(())
    }

    fn count_range(&mut self, read: &Read, change: i64) {
        let Read::Range(from, to) = read else { return };
        if let Some(count) = self.core.ranges.get_mut(Read::shared(from, to)) {
            *count = count.saturating_add_signed(change);
        }
    }

    /// A key has another version at a place, or none any more (`written` is `None`): keeps the current value and its hash, and makes those
    /// pending that read it.
    fn changed(
        &mut self,
        view: &mut View<'_>,
        step: &mut Step,
        key: &StateKey,
        place: &Place,
        written: Option<Option<&[u8]>>,
    ) -> Result<()> {
        let current = view.get(Table::State, &key.0)?.map(|row| Version::decode(&row)).transpose()?;
        let earlier = |place: &Place| tables::version_key(key, place);
        if current.as_ref().is_some_and(|current| current.place > *place) {
            match written {
                Some(value) => view.put(Table::Versions, earlier(place), tables::encode_value(value)),
                None => view.delete(Table::Versions, earlier(place)),
            }
        } else {
            let next = match written {
                Some(value) => {
                    if let Some(before) = current.as_ref().filter(|current| current.place < *place) {
                        let value = tables::encode_value(before.value.as_deref());
                        view.put(Table::Versions, earlier(&before.place), value);
                    }
                    Some(Version { place: *place, value: value.map(<[u8]>::to_vec) })
                }
                None => {
                    let last = tables::last_version_before(view, key, None)?;
                    if let Some(last) = &last {
                        view.delete(Table::Versions, earlier(&last.place));
                    }
                    last
                }
            };
            let before = current.as_ref().and_then(|version| version.value.as_deref());
            let after = next.as_ref().and_then(|version| version.value.as_deref());
            if before != after {
                step.changed.insert(*key);
                replace_entry(&mut self.core.state, key, before, after);
            }
            match &next {
                Some(next) => {
                    view.put(Table::State, key.0, Version::encode(&next.place, next.value.as_deref()));
                }
                None => view.delete(Table::State, key.0),
            }
        }
        // What this step executes comes in ascending order: a later reader can only be from before it.
        if self.executed_until.is_some_and(|last| last > *place) && !faults::is(faults::Fault::SkipRerun) {
            self.mark_readers(view, key, place)?;
        }
        Ok(())
    }

    /// Makes those pending that read a key between a place and the key's next version.
    fn mark_readers(&mut self, view: &View<'_>, key: &StateKey, place: &Place) -> Result<()> {
        let from = successor(&place.key());
        let next = view.scan(
            Table::Versions,
            &successor(&tables::version_key(key, place)),
            prefix_end(&key.0).as_deref(),
            false,
            1,
        )?;
        // The writer of the next version may have read the one before.
        let last = match next.first() {
            Some((row, _)) => row.get(32..).map(<[u8]>::to_vec),
            None => {
                let current = view.get(Table::State, &key.0)?.map(|row| Version::decode(&row)).transpose()?;
                let later = current.filter(|current| current.place > *place);
                later.map(|current| current.place.key().to_vec())
            }
        };
        let mut mark = |prefix: Vec<u8>, holds: &dyn Fn(&[u8]) -> bool| -> Result<()> {
            let mut row = [&prefix[..], &from].concat();
            let end = match &last {
                // Rows of ranges go on after the place.
                Some(last) => prefix_end(&[&prefix[..], last].concat()),
                None => prefix_end(&prefix),
            };
            loop {
                let page = view.scan(Table::Readers, &row, end.as_deref(), false, 256)?;
                let Some((found, _)) = page.last() else { return Ok(()) };
                row = successor(found);
                for (found, _) in &page {
                    let Some((place, rest)) =
                        found.get(prefix.len()..).and_then(|r| r.split_at_checked(Place::LENGTH))
                    else {
                        return Err(tables::damaged("a reader"));
                    };
                    let place = Place::from_key(place).ok_or_else(|| tables::damaged("a reader's place"))?;
                    if holds(rest) {
                        self.pending.insert(place, place.id);
                    }
                }
            }
        };
        mark(tables::reader_prefix(key), &|_| true)?;
        for (shared, count) in self.core.ranges.iter().enumerate() {
            if *count > 0 {
                let within =
                    |range: &[u8]| range.len() == 64 && range[..32] <= key.0[..] && key.0[..] <= range[32..];
                mark(tables::range_prefix(&key.0[..shared]), &within)?;
            }
        }
        Ok(())
    }
}

fn replace_entry(hash: &mut SetHash, key: &StateKey, before: Option<&[u8]>, after: Option<&[u8]>) {
    if let Some(before) = before.filter(|_| after.is_some() || !faults::is(faults::Fault::CommitDeleted)) {
        hash.remove(Entries::Application, &key.0, before);
    }
    if let Some(after) = after {
        hash.add(Entries::Application, &key.0, after);
    }
}
