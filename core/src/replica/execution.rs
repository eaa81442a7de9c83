//! Executing one call at its place, with everything that it read and wrote recorded.

use std::collections::{BTreeMap, BTreeSet};

use super::faults;
use super::receipt::{Place, Receipt, Rejection};
use super::state_read::{StateRead, Table};
use super::tables::{Effects, Read, Version, last_version_before};
use super::view::{prefix_end, successor};
use super::{Role, StateKey};
use crate::application::{ApplicationError, State};
use crate::{Result, limits};

/// Entries in key order.
type Page = Vec<(StateKey, Vec<u8>)>;

/// How many entries a range read fetches at once.
const CHUNK: usize = 128;

/// The state just before a place, with a call's own writes on top.
pub(crate) struct StateAt<'a> {
    tables: &'a dyn StateRead,
    /// `None`: after everything.
    place: Option<Place>,
    reads: BTreeSet<Read>,
    writes: BTreeMap<StateKey, Option<Vec<u8>>>,
    written: usize,
    emitted: Vec<(String, Vec<u8>)>,
    emitted_bytes: usize,
    /// The first failure. An application that swallows an error does not get away with it.
    failed: Option<ApplicationError>,
    /// Whether the failure is a counted limit.
    limited: bool,
    /// The store's error behind a fault, to be told apart from an application's own.
    broken: Option<crate::Error>,
}

impl<'a> StateAt<'a> {
    pub(crate) fn new(tables: &'a dyn StateRead, place: Option<Place>) -> Self {
        Self {
            tables,
            place,
            reads: BTreeSet::new(),
            writes: BTreeMap::new(),
            written: 0,
            emitted: Vec::new(),
            emitted_bytes: 0,
            failed: None,
            limited: false,
            broken: None,
        }
    }

    fn check(&self) -> Result<(), ApplicationError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn fail<T>(&mut self, error: ApplicationError) -> Result<T, ApplicationError> {
        self.failed = Some(error.clone());
        Err(error)
    }

    fn limit<T>(&mut self, what: &str) -> Result<T, ApplicationError> {
        self.limited = true;
        self.fail(ApplicationError::Rejected(what.into()))
    }

    fn stored<T>(&mut self, result: Result<T>) -> Result<T, ApplicationError> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => {
                let fault = ApplicationError::Fault(error.to_string());
                self.broken = Some(error);
                self.fail(fault)
            }
        }
    }

    fn note(&mut self, read: Read) -> Result<(), ApplicationError> {
        if self.reads.len() >= limits::READ_KEYS && !self.reads.contains(&read) {
            return self.limit("too many reads");
        }
        self.reads.insert(read);
        Ok(())
    }

    fn write(&mut self, key: &StateKey, value: Option<&[u8]>) -> Result<(), ApplicationError> {
        self.check()?;
        let length = value.map_or(0, <[u8]>::len);
        if length > limits::VALUE {
            return self.limit("a value is larger than 1 MiB");
        }
        let before = self.writes.get(key).map(|value| value.as_ref().map_or(0, Vec::len) + 32);
        self.written = self.written - before.unwrap_or(0) + length + 32;
        if self.written > limits::WRITE_BYTES {
            return self.limit("more than 4 MiB written");
        }
        if before.is_none() && self.writes.len() >= limits::WRITE_KEYS {
            return self.limit("more than 10,000 keys written");
        }
        self.writes.insert(*key, value.map(<[u8]>::to_vec));
        Ok(())
    }

    /// Finishes a query with the application's answer. As with an execution, an error that the application swallowed
    /// still counts: what it made of the missing read would be a wrong answer.
    pub(crate) fn answer(self, answer: Result<Vec<u8>, ApplicationError>) -> Result<Vec<u8>> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        self.failed.map_or(answer, Err).map_err(|error| match error {
            ApplicationError::Rejected(text) => crate::Error::rejected(text),
            ApplicationError::Fault(text) => crate::Error::blocked(text),
        })
    }

    /// Finishes the execution with the application's answer.
    pub(crate) fn finish(
        mut self,
        answer: Result<Vec<u8>, ApplicationError>,
        standing: Option<Role>,
    ) -> Result<Executed> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let answer = match self.failed.take() {
            Some(error) => Err(error),
            None => answer,
        };
        let reads = self.reads.into_iter().collect();
        let rejected = |rejection| (Receipt::rejected(rejection), BTreeMap::new());
        let (receipt, writes) = match answer {
            Ok(output) if output.len() > limits::ARGUMENTS => {
                rejected(Rejection::Limit("the output is larger than 1 MiB + 4 KiB".into()))
            }
            Ok(output) => (Receipt { outcome: Ok(output), emitted: self.emitted }, self.writes),
            Err(ApplicationError::Rejected(text)) if self.limited => rejected(Rejection::Limit(text)),
            Err(ApplicationError::Rejected(text)) => rejected(Rejection::Application(shortened(text))),
            Err(ApplicationError::Fault(cause)) => return Ok(Executed::Fault(cause)),
        };
        let effects = Effects { standing, receipt, reads, writes: writes.keys().copied().collect() };
        Ok(Executed::Done(effects, writes))
    }
}

/// Keeps a text for people within reason.
fn shortened(mut text: String) -> String {
    const MOST: usize = 1024;
    if text.len() > MOST {
        let end = (0..=MOST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// How an execution ended.
pub(crate) enum Executed {
    /// With a receipt and these writes.
    Done(Effects, BTreeMap<StateKey, Option<Vec<u8>>>),
    /// With a fault of this machine, which is no outcome.
    Fault(String),
}

/// The value of a key just before a place (`None`: after everything).
pub(crate) fn value_before(
    tables: &dyn StateRead,
    key: &StateKey,
    place: Option<&Place>,
) -> Result<Option<Vec<u8>>> {
    let Some(row) = tables.get(Table::State, &key.0)? else { return Ok(None) };
    visible(tables, key, &row, place)
}

/// What the current row of a key looks like from a place.
fn visible(
    tables: &dyn StateRead,
    key: &StateKey,
    row: &[u8],
    place: Option<&Place>,
) -> Result<Option<Vec<u8>>> {
    let current = Version::decode(row)?;
    match place {
        Some(place) if current.place >= *place && !faults::is(faults::Fault::ReadNewest) => {
            Ok(last_version_before(tables, key, Some(place))?.and_then(|version| version.value))
        }
        _ => Ok(current.value),
    }
}

/// At most `limit` entries between two keys (both included) as seen just before a place, in key order; and whether there are
/// no more.
pub(crate) fn entries_before(
    tables: &dyn StateRead,
    from: &StateKey,
    to: &StateKey,
    place: Option<&Place>,
    limit: usize,
    bytes: usize,
) -> Result<(Page, bool)> {
    let mut found: Vec<(StateKey, Vec<u8>)> = Vec::new();
    let mut size = 0;
    let mut next = from.0.to_vec();
    let end = successor(&to.0);
    while found.len() < limit && next < end {
        let chunk = CHUNK.min(limit);
        let rows = tables.scan(Table::State, &next, Some(&end), false, chunk)?;
        let ended = rows.len() < chunk;
        for (key, row) in rows {
            next = successor(&key);
            let key = StateKey::from_slice(&key)?;
            if let Some(value) = visible(tables, &key, &row, place)? {
                size += value.len() + 32;
                if found.len() >= limit || (size > bytes && !found.is_empty()) {
                    return Ok((found, false));
                }
                found.push((key, value));
            }
        }
        if ended {
            return Ok((found, true));
        }
    }
    let all = next >= end;
    Ok((found, all))
}

/// The first and last key with a prefix, starting after a key; `None` if there can be none.
pub(crate) fn key_range(prefix: &[u8], after: Option<&StateKey>) -> Option<(StateKey, StateKey)> {
    if prefix.len() > 32 {
        return None;
    }
    let mut from = [0; 32];
    let mut to = [u8::MAX; 32];
    from[..prefix.len()].copy_from_slice(prefix);
    to[..prefix.len()].copy_from_slice(prefix);
    if let Some(after) = after.filter(|after| after.0 >= from) {
        let next = prefix_end(&after.0)?;
        from = [0; 32];
        from[..next.len()].copy_from_slice(&next);
    }
    (from <= to).then_some((StateKey(from), StateKey(to)))
}

impl State for StateAt<'_> {
    fn get(&mut self, key: &StateKey) -> Result<Option<Vec<u8>>, ApplicationError> {
        self.check()?;
        if let Some(written) = self.writes.get(key) {
            return Ok(written.clone());
        }
        self.note(Read::Key(*key))?;
        let value = value_before(self.tables, key, self.place.as_ref());
        self.stored(value)
    }

    fn put(&mut self, key: &StateKey, value: &[u8]) -> Result<(), ApplicationError> {
        self.write(key, Some(value))
    }

    fn delete(&mut self, key: &StateKey) -> Result<(), ApplicationError> {
        self.write(key, None)
    }

    fn entries(
        &mut self,
        prefix: &[u8],
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, Vec<u8>)>, ApplicationError> {
        self.check()?;
        let Some((from, to)) = key_range(prefix, after) else { return Ok(Vec::new()) };
        let limit = limit.min(limits::PAGE_ENTRIES);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut merged: BTreeMap<StateKey, Vec<u8>> = BTreeMap::new();
        let mut bytes = 0;
        let mut next = from;
        let seen = loop {
            let page =
                entries_before(self.tables, &next, &to, self.place.as_ref(), limit, limits::PAGE_BYTES);
            let (stored, all) = self.stored(page)?;
            // A page that was cut short says nothing of what comes after its last key.
            let seen = if all { to } else { stored.last().map_or(to, |(key, _)| *key) };
            merged.extend(stored.into_iter().filter(|(key, _)| !self.writes.contains_key(key)));
            for (key, written) in self.writes.range(next..=seen) {
                if let Some(value) = written {
                    merged.insert(*key, value.clone());
                }
            }
            bytes += merged.range(next..=seen).map(|(_, value)| value.len() + 32).sum::<usize>();
            // The call's own deletions may hide a whole page; what comes after it is still to be found.
            let after = prefix_end(&seen.0);
            match after {
                Some(after) if seen < to && merged.len() < limit && bytes <= limits::PAGE_BYTES => {
                    next = StateKey([0; 32]);
                    next.0[..after.len()].copy_from_slice(&after);
                }
                _ => break seen,
            }
        };
        self.note(Read::Range(from, seen))?;
        let mut size = 0;
        let fits = |(index, (_, value)): &(usize, (StateKey, Vec<u8>))| {
            size += value.len() + 32;
            *index == 0 || size <= limits::PAGE_BYTES
        };
        Ok(merged.into_iter().take(limit).enumerate().take_while(fits).map(|(_, entry)| entry).collect())
    }

    fn emit(&mut self, name: &str, data: &[u8]) -> Result<(), ApplicationError> {
        self.check()?;
        self.emitted_bytes += name.len() + data.len() + 16;
        if name.len() > limits::METHOD || self.emitted_bytes > limits::ARGUMENTS {
            return self.limit("more than 1 MiB + 4 KiB emitted");
        }
        self.emitted.push((name.to_string(), data.to_vec()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::memory::MemoryTables;
    use crate::{Error, ErrorKind};

    /// Tables whose every record is damaged.
    struct Damaged;

    impl StateRead for Damaged {
        fn get(&self, _: Table, _: &[u8]) -> Result<Option<Vec<u8>>> {
            Err(Error::corrupt("on purpose"))
        }

        fn scan(
            &self,
            _: Table,
            _: &[u8],
            _: Option<&[u8]>,
            _: bool,
            _: usize,
        ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
            Err(Error::corrupt("on purpose"))
        }
    }

    /// What an application answers that takes whatever it cannot read for absent.
    fn swallowing(tables: &dyn StateRead) -> Result<Vec<u8>> {
        let mut state = StateAt::new(tables, None);
        let found = state.get(&StateKey([1; 32])).unwrap_or_default();
        state.answer(Ok(found.unwrap_or_default()))
    }

    #[test]
    fn a_query_on_damaged_tables_is_corrupt_also_where_the_application_swallows_it() {
        assert_eq!(swallowing(&MemoryTables::default()).unwrap(), b"", "the control");
        assert_eq!(swallowing(&Damaged).unwrap_err().kind(), ErrorKind::Corrupt);
        let mut state = StateAt::new(&Damaged, None);
        let passed_on = state.entries(&[], None, 1).map(|_| Vec::new());
        assert_eq!(state.answer(passed_on).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn an_own_fault_of_a_query_is_blocked_and_its_refusal_rejected() {
        let tables = MemoryTables::default();
        let kind = |error| StateAt::new(&tables, None).answer(Err(error)).unwrap_err().kind();
        assert_eq!(kind(ApplicationError::Fault("interrupted".into())), ErrorKind::Blocked);
        assert_eq!(kind(ApplicationError::Rejected("no".into())), ErrorKind::Rejected);
    }
}
