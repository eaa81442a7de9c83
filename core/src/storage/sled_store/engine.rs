//! An open sled database with everything that its rules need: the only place that calls sled while it is open.

use std::fs::{File, OpenOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use sled::transaction::{
    ConflictableTransactionResult, TransactionError, Transactional as _, TransactionalTree,
};

use super::marker::{Acknowledged, Marker, Progress};
use super::{Keyspace, Rules};
use crate::storage::files::{Files, io_error};
use crate::storage::record::{self, Kind, Nonces, Place, Record};
use crate::storage::sealing::Sealer;
use crate::storage::shared_work::SharedWork;
use crate::{Error, Result};

/// Most payload between two barriers. sled trusts what lies before the segment that a segment's header calls stable, and
/// calls stable what it has written, synced or not. As long as less than a segment (512 KiB of log) is not synced, what it
/// trusts is synced. 64 KiB of payload stay below that with the pages that sled rewrites on the way.
pub(super) const WINDOW: u64 = 64 << 10;

/// The tree of the engine's own records, besides one for each key space. Together they are 14.
pub(super) const ENGINE_TREE: usize = Keyspace::ALL.len();
const ENGINE_TREE_NAME: &str = "engine";
const MARKER: &[u8] = b"marker";

/// One change of one tree; `value` is a whole record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Op {
    pub(super) tree: usize,
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
    /// How much it counts towards the barrier.
    pub(super) cost: u64,
}

impl Op {
    /// A removal rewrites a page as a value of the old one's size would: it counts as much.
    pub(super) fn new(tree: usize, key: Vec<u8>, value: Option<Vec<u8>>, old_length: usize) -> Self {
        let length = value.as_ref().map_or(0, Vec::len).max(old_length);
        let cost = (key.len() + length + 64) as u64;
        Self { tree, key, value, cost }
    }
}

pub(super) struct Engine {
    trees: Vec<sled::Tree>,
    db: sled::Db,
    db_file: File,
    db_path: PathBuf,
    pub(super) sealer: Arc<Sealer>,
    pub(super) files: Files,
    pub(super) rules: Rules,
    flushes: SharedWork,
    write_outs: SharedWork,
    /// Payload applied, and payload known to be synced, both counted from the opening.
    written: AtomicU64,
    synced: AtomicU64,
    /// The last batch that was applied.
    applied: Mutex<(u64, [u8; 32])>,
    progress: Mutex<Progress>,
    failed: OnceLock<Error>,
}

fn name_of(tree: usize) -> &'static str {
    Keyspace::ALL.get(tree).map_or(ENGINE_TREE_NAME, |keyspace| keyspace.name())
}

pub(super) fn place(tree: usize, key: &[u8]) -> Place<'_> {
    Place { number: tree as u8, name: name_of(tree), key }
}

/// What sled says, as Kith's error.
pub(super) fn sled_error(doing: &str, error: &sled::Error) -> Error {
    match error {
        sled::Error::Io(error) => io_error(doing, error),
        sled::Error::Corruption { .. } => Error::corrupt(format!("{doing}: {error}")),
        _ => Error::storage(format!("{doing}: {error}")),
    }
}

/// How sled has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Somebody else has its file.
    Locked,
    /// The system has refused something.
    System,
    /// It does not understand what it has read.
    Damage,
    Panic,
}

fn failure(error: &sled::Error) -> Failure {
    match error {
        sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => Failure::Locked,
        // What sled finds wrong by itself has no number of the system's; a file that is missing has.
        sled::Error::Io(error) if error.kind() == std::io::ErrorKind::NotFound => Failure::Damage,
        sled::Error::Io(error) if error.raw_os_error().is_some() => Failure::System,
        _ => Failure::Damage,
    }
}

/// sled unwraps some of what the system answers, such as to its last sync: the panic's text has the system's number then.
fn refused_by_the_system(panic: &str) -> Option<std::io::Error> {
    let (_, number) = panic.split_once("Os { code: ")?;
    let number = number.split(',').next()?.parse().ok()?;
    Some(std::io::Error::from_raw_os_error(number))
}

/// Calls sled; its panics become errors.
pub(super) fn guarded<T>(doing: &str, call: impl FnOnce() -> sled::Result<T>) -> Result<T, (Error, Failure)> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err((sled_error(doing, &error), failure(&error))),
        Err(panic) => {
            let what = panic.downcast_ref::<String>().map(String::as_str);
            let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            let doing = format!("{doing}: sled panicked: {what}");
            let error = refused_by_the_system(what).map(|error| io_error(&doing, &error));
            Err((error.unwrap_or_else(|| Error::internal(doing)), Failure::Panic))
        }
    }
}

impl Engine {
    pub(super) fn new(
        db: sled::Db,
        directory: &Path,
        sealer: Arc<Sealer>,
        files: Files,
        rules: Rules,
        progress: Progress,
    ) -> Result<Self> {
        let names = Keyspace::ALL.iter().map(|keyspace| keyspace.name()).chain([ENGINE_TREE_NAME]);
        let trees =
            names.map(|name| guarded("opening a tree", || db.open_tree(name)).map_err(|(error, _)| error));
        let trees = trees.collect::<Result<Vec<_>>>()?;
        let db_path = directory.join("db");
        let db_file = OpenOptions::new().write(true).open(&db_path);
        let db_file = db_file.map_err(|error| io_error("opening the `db` file", &error))?;
        Ok(Self {
            trees,
            db,
            db_file,
            db_path,
            sealer,
            files,
            rules,
            flushes: SharedWork::default(),
            write_outs: SharedWork::default(),
            written: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            applied: Mutex::default(),
            progress: Mutex::new(progress),
            failed: OnceLock::new(),
        })
    }

    /// Fails if anything failed before whose outcome is open.
    pub(super) fn check(&self) -> Result<()> {
        match self.failed.get() {
            Some(error) if self.rules.poison => {
                let message =
                    format!("the store has failed before and must be opened again: {}", error.message());
                Err(Error::new(error.kind(), message))
            }
            _ => Ok(()),
        }
    }

    fn fail(&self, error: Error) -> Error {
        let _ = self.failed.set(error.clone());
        error
    }

    /// A call that changes: whatever goes wrong leaves the outcome open.
    fn change<T>(&self, doing: &str, call: impl FnOnce() -> sled::Result<T>) -> Result<T> {
        guarded(doing, call).map_err(|(error, _)| self.fail(error))
    }

    /// A call that reads: an error leaves everything as it was, a panic does not.
    pub(super) fn read<T>(&self, doing: &str, call: impl FnOnce() -> sled::Result<T>) -> Result<T> {
        guarded(doing, call).map_err(|(error, failure)| match failure {
            Failure::Panic => self.fail(error),
            _ => error,
        })
    }

    pub(super) fn tree(&self, tree: usize) -> &sled::Tree {
        &self.trees[tree]
    }

    pub(super) fn get_raw(&self, tree: usize, key: &[u8]) -> Result<Option<sled::IVec>> {
        self.read("reading a record", || self.trees[tree].get(key))
    }

    pub(super) fn decode(&self, tree: usize, key: &[u8], bytes: &[u8]) -> Result<Record> {
        // What is sealed cannot be read without being verified.
        if self.rules.verify_records || self.sealer.sealed.is_some() {
            record::decode(&self.sealer, &place(tree, key), bytes)
        } else {
            record::unverified(&place(tree, key), bytes)
        }
    }

    pub(super) fn encode(
        &self,
        nonces: &mut Nonces,
        tree: usize,
        key: &[u8],
        kind: Kind,
        payload: &[u8],
    ) -> Result<Vec<u8>> {
        record::encode(&self.sealer, nonces, kind, &place(tree, key), payload)
    }

    /// The change that stores a record of the engine's own tree.
    pub(super) fn engine_op(&self, key: &[u8], payload: Option<&[u8]>) -> Result<Op> {
        let mut nonces = Nonces::default();
        let record = payload.map(|payload| self.encode(&mut nonces, ENGINE_TREE, key, Kind::Inline, payload));
        Ok(Op::new(ENGINE_TREE, key.to_vec(), record.transpose()?, 0))
    }

    pub(super) fn engine_get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some(bytes) = self.get_raw(ENGINE_TREE, key)? else { return Ok(None) };
        Ok(Some(self.decode(ENGINE_TREE, key, &bytes)?.payload))
    }

    pub(super) fn marker_op(&self, marker: &Marker) -> Result<Op> {
        self.engine_op(MARKER, Some(&marker.encode()?))
    }

    pub(super) fn marker(&self) -> Result<Marker> {
        let bytes =
            self.engine_get(MARKER)?.ok_or_else(|| Error::corrupt("the store has lost its marker"))?;
        Marker::decode(&bytes)
    }

    /// Carries out the changes as one sled transaction. Everything was computed before: the closure only replays, since
    /// sled may run it again, and reading other trees in it could wait for ever.
    pub(super) fn apply(&self, ops: &[Op]) -> Result<()> {
        self.check()?;
        if self.rules.one_transaction {
            self.apply_in_transaction(ops)?;
        } else {
            for op in ops {
                self.change("writing", || match &op.value {
                    Some(value) => self.trees[op.tree].insert(op.key.as_slice(), value.as_slice()),
                    None => self.trees[op.tree].remove(op.key.as_slice()),
                })?;
            }
        }
        self.written.fetch_add(ops.iter().map(|op| op.cost).sum(), Ordering::SeqCst);
        Ok(())
    }

    fn apply_in_transaction(&self, ops: &[Op]) -> Result<()> {
        let mut touched: Vec<usize> = ops.iter().map(|op| op.tree).collect();
        touched.sort_unstable();
        touched.dedup();
        let trees: Vec<&sled::Tree> = touched.iter().map(|tree| &self.trees[*tree]).collect();
        let replay = |views: &Vec<TransactionalTree>| -> ConflictableTransactionResult<(), ()> {
            for op in ops {
                // `touched` has every tree of `ops`.
                let Ok(at) = touched.binary_search(&op.tree) else { continue };
                match &op.value {
                    Some(value) => views[at].insert(op.key.as_slice(), value.as_slice())?,
                    None => views[at].remove(op.key.as_slice())?,
                };
            }
            Ok(())
        };
        if trees.is_empty() {
            return Ok(());
        }
        self.change("writing a batch", || match trees.as_slice().transaction(replay) {
            Ok(()) => Ok(()),
            Err(TransactionError::Storage(error)) => Err(error),
            Err(TransactionError::Abort(())) => Err(sled::Error::ReportableBug("nothing aborts".to_owned())),
        })
    }

    /// Makes room in the window for so much payload, with a barrier if it needs one.
    pub(super) fn make_room(&self, cost: u64) -> Result<()> {
        let unsynced = self.unsynced();
        if self.rules.barriers && unsynced > 0 && unsynced + cost > WINDOW {
            self.barrier(self.ticket())?;
        }
        Ok(())
    }

    /// The same changes in transactions that each fit the window: for what nothing refers to yet, or no longer.
    pub(super) fn apply_in_groups(&self, ops: &[Op]) -> Result<()> {
        let mut from = 0;
        while from < ops.len() {
            let mut cost = ops[from].cost;
            let mut to = from + 1;
            while to < ops.len() && cost + ops[to].cost <= WINDOW {
                cost += ops[to].cost;
                to += 1;
            }
            self.make_room(cost)?;
            self.apply(&ops[from..to])?;
            from = to;
        }
        Ok(())
    }

    /// A ticket for everything that was applied so far.
    pub(super) fn ticket(&self) -> u64 {
        self.flushes.ask()
    }

    /// Returns when everything before the ticket is durable; those who wait at the same time share one flush.
    pub(super) fn barrier(&self, ticket: u64) -> Result<()> {
        self.check()?;
        self.flushes.wait(ticket, || self.flush())
    }

    /// Returns when everything applied so far is with the system, so that only a loss of power can take it: sled keeps what
    /// it has not flushed in the process. Callers at the same time share this, too.
    pub(super) fn write_out(&self) -> Result<()> {
        self.check()?;
        if !self.rules.write_out {
            return Ok(());
        }
        let ticket = self.write_outs.ask();
        self.write_outs.wait(ticket, || self.change("flushing", || self.db.flush()).map(drop))
    }

    fn flush(&self) -> Result<()> {
        let written = self.written.load(Ordering::SeqCst);
        let (batch, digest) = *self.applied();
        self.change("flushing", || self.db.flush())?;
        if self.rules.sync_after_flush {
            let synced = self.files.sync_file(&self.db_path, &self.db_file);
            synced.map_err(|error| self.fail(io_error("syncing the `db` file", &error)))?;
        }
        self.synced.fetch_max(written, Ordering::SeqCst);
        // Batch 0 is nothing yet: the opening has not read the marker.
        if batch > 0 {
            let acknowledged = Acknowledged { batch, digest, clean: false };
            self.progress().write(acknowledged).map_err(|error| self.fail(error))?;
        }
        Ok(())
    }

    /// How much payload a loss of power could take.
    pub(super) fn unsynced(&self) -> u64 {
        self.written.load(Ordering::SeqCst).saturating_sub(self.synced.load(Ordering::SeqCst))
    }

    pub(super) fn flush_count(&self) -> u64 {
        self.flushes.rounds()
    }

    #[cfg(all(test, feature = "fault-switches"))]
    pub(super) fn panic_inside(&self) -> Error {
        self.change("panicking", || -> sled::Result<()> { panic!("on purpose") }).expect_err("it panics")
    }

    /// A pair that is set as a whole.
    fn applied(&self) -> MutexGuard<'_, (u64, [u8; 32])> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_applied(&self, marker: &Marker) {
        *self.applied() = (marker.batch, marker.digest);
    }

    /// Two slots written in turn: a write that broke off leaves the other.
    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
