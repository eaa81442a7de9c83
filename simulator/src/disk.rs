//! A simulated disk: a store and the high-water mark beside it, which fail as they are told.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kith_core::node::machine::Marks;
use kith_core::replica::{ContextId, MemberId};
use kith_core::storage::{Batch, Durability, Frames, Keyspace, Mark, Snapshot, Store, Write};
use kith_core::{Error, ErrorKind, Result};

use crate::dice::Dice;

/// Shared with who is told of what was written.
type Key = Arc<[u8]>;
type Space = BTreeMap<Key, Arc<[u8]>>;
/// A record as it was, or as it would have been.
type Row = (Keyspace, Key, Option<Arc<[u8]>>);

/// Most batches that wait to be flushed.
const UNFLUSHED: usize = 12;

/// A record: where it is kept, and under which key.
pub type RecordKey = (Keyspace, Key);

#[derive(Clone, Debug, Default)]
struct Inner {
    spaces: [Space; Keyspace::ALL.len()],
    marks: BTreeMap<(ContextId, MemberId), Mark>,
    /// What takes back each batch that is not flushed, oldest first.
    unflushed: Vec<Vec<Row>>,
    /// The oldest batch that the last process's end took: what it would have written.
    lost: Vec<Row>,
    writes: u64,
    /// The process dies at the write of this number: after it if so, else before it.
    crash: Option<(u64, bool)>,
    dead: bool,
    full: bool,
    failing: bool,
    /// How many reads of a thousand fail, and which.
    unreadable: Option<(u64, Dice)>,
    failed_reads: u64,
    broken: bool,
    /// Records with a flipped bit, or cut short, as an engine has them.
    damaged: BTreeMap<RecordKey, (Arc<Frames>, Vec<u8>)>,
    written: Vec<RecordKey>,
}

/// See the module. Every write, of a batch or of a mark, is a place where the process may die.
#[derive(Debug, Default)]
pub struct Disk {
    inner: RwLock<Inner>,
}

impl Disk {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same bytes at another place.
    #[must_use]
    pub fn copy(&self) -> Self {
        let mut inner = self.read().clone();
        inner.crash = None;
        inner.unreadable = None;
        inner.written.clear();
        Self { inner: RwLock::new(inner) }
    }

    /// The store of `backup`, beside the marks of this one if they are kept outside of what was restored.
    pub fn restore(&self, backup: &Self, with_marks: bool) {
        let backup = backup.read();
        let mut inner = self.write();
        inner.spaces = backup.spaces.clone();
        inner.damaged.clear();
        inner.unflushed.clear();
        if with_marks {
            inner.marks = backup.marks.clone();
        }
    }

    /// The process dies at the `nth` write from now.
    pub fn crash_at(&self, nth: u64, after: bool) {
        let mut inner = self.write();
        inner.crash = Some((inner.writes + nth.max(1), after));
    }

    /// Whether the process died in a write.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.read().dead
    }

    /// No space, or space again.
    pub fn set_full(&self, full: bool) {
        self.write().full = full;
    }

    /// Each write fails, or works again.
    pub fn set_failing(&self, failing: bool) {
        self.write().failing = failing;
    }

    /// Reads fail, so many of a thousand; or none.
    pub fn set_unreadable(&self, how: Option<(u64, Dice)>) {
        self.write().unreadable = how;
    }

    /// How many reads have failed.
    #[must_use]
    pub fn failed_reads(&self) -> u64 {
        self.read().failed_reads
    }

    /// Flips a bit in some record, as it is stored, or cuts it short. This store stands where the engines do, above what seals records and takes
    /// them apart, so that is done to this record alone; whether the damage is noticed is up to the code of the engines.
    pub fn damage(&self, dice: &mut Dice) {
        let mut inner = self.write();
        let spaces =
            [Keyspace::Transactions, Keyspace::Versions, Keyspace::Order, Keyspace::State, Keyspace::Ids];
        let Some(space) = dice.pick(&spaces).copied() else { return };
        let rows = inner.spaces[space as usize].len();
        let Some((key, value)) = inner.spaces[space as usize].iter().nth(dice.below(rows)) else { return };
        let (key, mut more) = (key.clone(), dice.clone());
        let mut nonce = [0; 24];
        nonce.copy_from_slice(&more.bytes()[..24]);
        let frames = Frames::new(more.bytes(), more.one_in(2));
        let Ok(mut record) = frames.encode(space, &key, nonce, value) else { return };
        let bit = more.below(8 * record.len());
        match more.one_in(3) {
            true => record.truncate(bit / 8),
            false => record[bit / 8] ^= 1 << (bit % 8),
        }
        inner.damaged.insert((space, key), (Arc::new(frames), record));
    }

    /// Some row of keys but a member's own is gone.
    pub fn lose_keys(&self, dice: &mut Dice) {
        let mut inner = self.write();
        let space = &mut inner.spaces[Keyspace::Keys as usize];
        // Of the ratchet keys and what is remembered nothing could be repaired.
        let chains = |row: &&Key| row.get(4..9) == Some(b"ring/") && matches!(row.get(9), Some(1..=3));
        let rows: Vec<Key> = space.keys().filter(chains).cloned().collect();
        if let Some(row) = dice.pick(&rows) {
            space.remove(row);
        }
    }

    /// All records are as they were written.
    pub fn repair(&self) {
        self.write().damaged.clear();
    }

    /// The disk as the next start of the process finds it. A loss of power takes some of what was not flushed, newest first, and tears
    /// no batch. Whether anything was lost.
    pub fn start(&self, power_lost: Option<&mut Dice>) -> bool {
        let mut inner = self.write();
        inner.dead = false;
        inner.broken = false;
        inner.crash = None;
        inner.written.clear();
        let mut lost = false;
        if let Some(dice) = power_lost {
            let kept = dice.below(inner.unflushed.len() + 1);
            while inner.unflushed.len() > kept {
                let undo = inner.unflushed.pop().into_iter().flatten().rev();
                inner.lost = undo.map(|row| inner.put(row)).collect();
                inner.lost.reverse();
                lost = true;
            }
        }
        inner.unflushed.clear();
        lost
    }

    /// What no engine leaves, if it keeps to what is promised: of the batch that the end of the last process took, some records are there and some are
    /// not, or one of them is as it was. `None` if there was none.
    #[must_use]
    pub fn torn(&self, dice: &mut Dice) -> Option<Self> {
        let mut torn = self.copy();
        let inner = torn.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        let all = std::mem::take(&mut inner.lost);
        if all.len() < 2 {
            return None;
        }
        let some = 1 + dice.below(all.len() - 1);
        let landed: Vec<Row> = match dice.below(3) {
            0 => all.into_iter().take(some).collect(),
            1 => all.into_iter().enumerate().filter(|(at, _)| *at != some).map(|(_, row)| row).collect(),
            _ => all.into_iter().filter(|_| dice.one_in(2)).collect(),
        };
        landed.into_iter().for_each(|row| {
            inner.put(row);
        });
        Some(torn)
    }

    /// What the last process's end took is gone for good.
    pub fn forget(&self) {
        self.write().lost.clear();
    }

    /// All records as they were written, whatever is damaged: for who judges the node from outside.
    pub(crate) fn intact(&self) -> Box<dyn Snapshot + '_> {
        Box::new(Now { disk: self, intact: true })
    }

    /// A read, which may fail; the next one may work.
    fn may_read(&self) -> Result<()> {
        if self.read().unreadable.is_none() {
            return Ok(());
        }
        let mut inner = self.write();
        let fails = inner.unreadable.as_mut().is_some_and(|(often, dice)| dice.per_mille(*often));
        inner.failed_reads += u64::from(fails);
        if fails { Err(injected("the disk does not read")) } else { Ok(()) }
    }

    /// How many records there are of a kind.
    pub(crate) fn rows(&self, space: Keyspace) -> usize {
        self.read().spaces[space as usize].len()
    }

    /// What was set since the last asking.
    pub fn take_written(&self) -> Vec<RecordKey> {
        std::mem::take(&mut self.write().written)
    }
}

fn injected(what: &str) -> Error {
    Error::new(ErrorKind::Storage, what)
}

impl Inner {
    /// Writes a record.
    fn set(&mut self, (space, key, value): Row) {
        let rows = &mut self.spaces[space as usize];
        match value {
            Some(value) => rows.insert(key, value),
            None => rows.remove(&key),
        };
    }

    /// Writes a record; gives it as it was.
    fn put(&mut self, (space, key, value): Row) -> Row {
        let rows = &mut self.spaces[space as usize];
        let old = match value {
            Some(value) => rows.insert(key.clone(), value),
            None => rows.remove(&key),
        };
        (space, key, old)
    }

    fn check(&self) -> Result<()> {
        if self.dead {
            return Err(injected("the process has died"));
        }
        if self.broken {
            return Err(injected("the store has to be opened again"));
        }
        Ok(())
    }

    /// Carries out a write, with what is to happen at it.
    fn at_write(&mut self, lands: impl FnOnce() -> Vec<Row>, write: impl FnOnce(&mut Self)) -> Result<()> {
        self.check()?;
        if self.full {
            return Err(Error::new(ErrorKind::StorageFull, "the disk is full"));
        }
        if self.failing {
            self.broken = true;
            return Err(injected("the disk does not write"));
        }
        self.writes += 1;
        match self.crash {
            Some((at, after)) if at <= self.writes => {
                if after {
                    write(self);
                } else {
                    self.lost = lands();
                }
                self.dead = true;
                Err(injected("the process dies in a write"))
            }
            _ => {
                write(self);
                Ok(())
            }
        }
    }
}

impl Store for Disk {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>> {
        self.read().check()?;
        self.may_read()?;
        Ok(Box::new(Now { disk: self, intact: false }))
    }

    fn commit(&self, batch: &Batch, durability: Durability) -> Result<()> {
        let row =
            |write: &Write| (write.keyspace, write.key[..].into(), write.value.as_deref().map(Into::into));
        let rows = || batch.writes.iter().map(row);
        self.write().at_write(
            || rows().collect(),
            |inner| {
                let told = |inner: &mut Inner, (space, key, value): &Row| {
                    if !inner.damaged.is_empty() {
                        inner.damaged.remove(&(*space, Arc::clone(key)));
                    }
                    if value.is_some() {
                        inner.written.push((*space, Arc::clone(key)));
                    }
                };
                match durability {
                    Durability::Power => {
                        for row in rows() {
                            told(inner, &row);
                            inner.set(row);
                        }
                        inner.unflushed.clear();
                    }
                    Durability::Process => {
                        let mut undo = Vec::with_capacity(batch.writes.len());
                        for row in rows() {
                            told(inner, &row);
                            undo.push(inner.put(row));
                        }
                        inner.unflushed.push(undo);
                        // An engine flushes by itself after a while.
                        if inner.unflushed.len() > UNFLUSHED {
                            inner.unflushed.remove(0);
                        }
                    }
                }
            },
        )
    }

    fn close(&self) -> Result<()> {
        Ok(())
    }
}

impl Marks for Disk {
    fn get(&self, context: &ContextId, author: &MemberId) -> Option<Mark> {
        self.read().marks.get(&(*context, *author)).copied()
    }

    fn raise(&self, context: &ContextId, author: &MemberId, mark: Mark) -> Result<()> {
        self.write().at_write(Vec::new, |inner| {
            let present = inner.marks.entry((*context, *author)).or_insert(mark);
            if present.sequence < mark.sequence {
                *present = mark;
            }
        })
    }
}

/// Nothing writes while somebody reads: there is one thread.
struct Now<'a> {
    disk: &'a Disk,
    intact: bool,
}

impl Now<'_> {
    fn may_read(&self) -> Result<()> {
        if self.intact { Ok(()) } else { self.disk.may_read() }
    }

    /// What is read of a record.
    fn opened(&self, inner: &Inner, space: Keyspace, key: &[u8], value: &[u8]) -> Result<Vec<u8>> {
        if self.intact || inner.damaged.is_empty() {
            return Ok(value.to_vec());
        }
        match inner.damaged.get(&(space, key.into())) {
            Some((frames, record)) => frames.decode(space, key, record),
            None => Ok(value.to_vec()),
        }
    }
}

impl Snapshot for Now<'_> {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.may_read()?;
        let inner = self.disk.read();
        let Some(value) = inner.spaces[keyspace as usize].get(key) else { return Ok(None) };
        self.opened(&inner, keyspace, key, value).map(Some)
    }

    fn scan(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        self.may_read()?;
        let inner = self.disk.read();
        let range = (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded));
        let entries = inner.spaces[keyspace as usize].range::<[u8], _>(range);
        let copy =
            |(key, value): (&Key, &Arc<[u8]>)| Ok((key.to_vec(), self.opened(&inner, keyspace, key, value)?));
        if reverse {
            entries.rev().take(limit).map(copy).collect()
        } else {
            entries.take(limit).map(copy).collect()
        }
    }
}
