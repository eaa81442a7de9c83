//! A store in memory: for nodes that keep nothing, and for tests that crash at a chosen commit.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::view_lock::{View, ViewLock};
use super::{Batch, Durability, Keyspace, Snapshot, Store, check_keyspace};
use crate::{Error, ErrorKind, Result};

/// A file engine flushes what is not yet durable after a bounded time; this one after so many changes.
const MOST_UNDO: usize = 4096;

type Space = BTreeMap<Vec<u8>, Arc<[u8]>>;
type Undo = (Keyspace, Vec<u8>, Option<Arc<[u8]>>);

/// How a commit that was chosen with [`MemoryStore::fail_at`] fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A crash before anything was changed. The outcome is open to the caller, so every later call fails; go on with
    /// [`MemoryStore::fork`].
    Before,
    /// A crash after the batch was carried out and before it was acknowledged. Else like [`Fault::Before`].
    After,
    /// No space: nothing happened, and later calls work.
    Full,
}

/// Keeps everything in memory.
#[derive(Debug)]
pub struct MemoryStore {
    view: ViewLock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    spaces: [Space; Keyspace::ALL.len()],
    /// What to set back, newest last, to lose all that was committed since the last durable batch.
    undo: Vec<Undo>,
    commits: u64,
    fault: Option<(u64, Fault)>,
    broken: bool,
    closed: bool,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with(State::default())
    }

    fn with(state: State) -> Self {
        Self { view: ViewLock::new(), state: Mutex::new(state) }
    }

    /// Every change of the state is complete before anything in it can panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What another opening finds after this process has died: everything that was carried out. Works on a store that
    /// is broken or closed, too.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::with(State { spaces: self.state().spaces.clone(), ..State::default() })
    }

    /// What another opening may find after a loss of power: everything up to the last batch that was committed with
    /// [`Durability::Power`], and nothing after it.
    #[must_use]
    pub fn fork_after_power_loss(&self) -> Self {
        let state = self.state();
        let mut spaces = state.spaces.clone();
        for (keyspace, key, old) in state.undo.iter().rev() {
            let space = &mut spaces[*keyspace as usize];
            match old {
                Some(value) => space.insert(key.clone(), value.clone()),
                None => space.remove(key),
            };
        }
        drop(state);
        Self::with(State { spaces, ..State::default() })
    }

    /// Makes the `nth` commit from now fail (1 is the next one). A later call replaces an earlier one.
    pub fn fail_at(&self, nth: u64, fault: Fault) {
        let mut state = self.state();
        state.fault = Some((state.commits.saturating_add(nth), fault));
    }

    /// How many commits were asked for, whatever became of them.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.state().commits
    }
}

impl State {
    fn check(&self) -> Result<()> {
        if self.closed {
            return Err(Error::closed("the store is closed"));
        }
        if self.broken {
            return Err(Error::storage(
                "an earlier commit failed with an open outcome: open the store again",
            ));
        }
        Ok(())
    }

    fn apply(&mut self, batch: &Batch, durability: Durability) -> Result<()> {
        for ((keyspace, key), value) in batch.last_writes()? {
            let space = &mut self.spaces[keyspace as usize];
            let old = match value {
                Some(value) => space.insert(key.to_vec(), value.into()),
                None => space.remove(key),
            };
            self.undo.push((keyspace, key.to_vec(), old));
        }
        if durability == Durability::Power || self.undo.len() > MOST_UNDO {
            self.undo.clear();
        }
        Ok(())
    }
}

impl Store for MemoryStore {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>> {
        let view = self.view.view();
        self.state().check()?;
        Ok(Box::new(MemorySnapshot { store: self, _view: view }))
    }

    fn commit(&self, batch: &Batch, durability: Durability) -> Result<()> {
        let _change = self.view.change()?;
        let mut state = self.state();
        state.check()?;
        batch.last_writes()?;
        state.commits += 1;
        let commits = state.commits;
        match state.fault.take_if(|(at, _)| *at <= commits) {
            Some((_, Fault::Full)) => {
                Err(Error::new(ErrorKind::StorageFull, "no space (asked for by the test)"))
            }
            Some((_, fault)) => {
                if fault == Fault::After {
                    state.apply(batch, durability)?;
                }
                state.broken = true;
                Err(Error::storage("the commit failed (asked for by the test)"))
            }
            None => state.apply(batch, durability),
        }
    }

    fn close(&self) -> Result<()> {
        let _change = self.view.change()?;
        self.state().closed = true;
        Ok(())
    }
}

struct MemorySnapshot<'a> {
    store: &'a MemoryStore,
    _view: View<'a>,
}

impl Snapshot for MemorySnapshot<'_> {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>> {
        check_keyspace(keyspace)?;
        Ok(self.store.state().spaces[keyspace as usize].get(key).map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        check_keyspace(keyspace)?;
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        let state = self.store.state();
        let range = (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded));
        let entries = state.spaces[keyspace as usize].range::<[u8], _>(range);
        let copy = |(key, value): (&Vec<u8>, &Arc<[u8]>)| (key.clone(), value.to_vec());
        Ok(if reverse {
            entries.rev().take(limit).map(copy).collect()
        } else {
            entries.take(limit).map(copy).collect()
        })
    }
}
