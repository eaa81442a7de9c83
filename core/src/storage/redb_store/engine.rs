//! An open redb database with what every engine here has: records with checksums, the marker, poisoning.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use redb::{Database, ReadTransaction, ReadableDatabase as _, TableDefinition, WriteTransaction};

use super::RedbOptions;
use super::backend::Backend;
use crate::storage::Keyspace;
use crate::storage::files::{Files, io_error};
use crate::storage::format::ACKNOWLEDGED;
use crate::storage::marker::{Acknowledged, Marker, Progress, Sum};
use crate::storage::ready::{Row, SealedBatch, SealedPart};
use crate::storage::record::{self, Kind, Nonces, Place, Record};
use crate::storage::sealing::Sealer;
use crate::{Error, Result};

/// The file in the store's directory.
const FILE: &str = "data.redb";
const MARKER: &[u8] = b"marker";
/// The table of the engine's own records. Its number is the one after the key spaces'.
const ENGINE_TABLE: Table = TableDefinition::new("engine");

pub(super) type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// The key spaces that are tables: large values need no chunks here.
pub(super) fn tables() -> impl Iterator<Item = Keyspace> {
    Keyspace::ALL.into_iter().filter(|keyspace| *keyspace != Keyspace::Chunks)
}

pub(super) const fn table(keyspace: Keyspace) -> Table {
    TableDefinition::new(keyspace.name())
}

pub(super) fn place(keyspace: Keyspace, key: &[u8]) -> Place<'_> {
    Place { number: keyspace as u8, name: keyspace.name(), key }
}

const fn marker_place() -> Place<'static> {
    Place { number: Keyspace::ALL.len() as u8, name: "engine", key: MARKER }
}

/// With so many changes a batch is carried out by several threads: redb's tables are independent of each other up to the end of
/// the transaction.
const PARALLEL: usize = 256;

struct Done {
    sum: Sum,
    digest: [u8; 32],
}

/// The largest parts first, each by whichever thread is free. A panic is passed on.
fn in_parallel<T: Send>(parts: &[SealedPart], call: impl Fn(&SealedPart) -> T + Sync) -> Vec<T> {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(parts[*index].rows.len()));
    let order = &order;
    let next = &AtomicUsize::new(0);
    let call = &call;
    let work = move || {
        let mut done = Vec::new();
        while let Some(index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((*index, call(&parts[*index])));
        }
        done
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut all: Vec<(usize, T)> = thread::scope(|scope| {
        // Where the system gives no more threads, this one does it all.
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..cores.min(parts.len())).filter_map(spawn).collect();
        let mut all = work();
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        all
    });
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, done)| done).collect()
}

/// All of them, or what failed first: whoever finds the database failed already says only that.
fn all_or_first(done: Vec<Result<Done, redb::Error>>) -> Result<Vec<Done>, redb::Error> {
    let follows = |error: &redb::Error| matches!(error, redb::Error::PreviousIo);
    let (mut all, mut failed) = (Vec::with_capacity(done.len()), None);
    for done in done {
        match done {
            Ok(done) => all.push(done),
            Err(error) if failed.as_ref().is_none_or(follows) => failed = Some(error),
            Err(_) => {}
        }
    }
    failed.map_or(Ok(all), Err)
}

/// What redb says, as Kith's error.
fn redb_error(doing: &str, error: &redb::Error) -> Error {
    match error {
        // What redb finds wrong by itself has no number of the system's.
        redb::Error::Io(error) if error.raw_os_error().is_some() => io_error(doing, error),
        redb::Error::Io(_)
        | redb::Error::Corrupted(_)
        | redb::Error::TableDoesNotExist(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::UpgradeRequired(_)
        | redb::Error::RepairAborted => Error::corrupt(format!("{doing}: {error}")),
        _ => Error::storage(format!("{doing}: {error}")),
    }
}

/// Calls redb; its panics become errors, and say that the outcome is open.
fn guarded<T>(doing: &str, call: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, (Error, bool)> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err((redb_error(doing, &error), false)),
        Err(panic) => {
            let what = panic.downcast_ref::<String>().map(String::as_str);
            let what = what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err((Error::internal(format!("{doing}: redb panicked: {what}")), true))
        }
    }
}

pub(super) struct Engine {
    db: Database,
    pub(super) sealer: Arc<Sealer>,
    files: Files,
    progress: Mutex<Progress>,
    failed: OnceLock<Error>,
    /// A sync of the file that failed.
    unsynced: Arc<OnceLock<Error>>,
}

impl Engine {
    /// Makes an empty store in the directory.
    pub(super) fn create(directory: &Path, options: &RedbOptions, sealer: &Arc<Sealer>) -> Result<Self> {
        let engine = Self::start(directory, true, options, sealer)?;
        let empty = Marker::default();
        let record = engine.marker_record(&empty)?;
        let made = guarded("creating the store", || {
            let transaction = engine.db.begin_write()?;
            for keyspace in tables() {
                transaction.open_table(table(keyspace))?;
            }
            transaction.open_table(ENGINE_TABLE)?.insert(MARKER, record.as_slice())?;
            Ok(transaction.commit()?)
        });
        made.map_err(|(error, _)| error)?;
        engine.progress().write(Acknowledged { batch: 0, digest: empty.digest, clean: true })?;
        Ok(engine)
    }

    /// Opens the store in the directory and looks whether it is what was acknowledged. Whatever redb cannot do with it is damage.
    pub(super) fn open(
        directory: &Path,
        options: &RedbOptions,
        sealer: &Arc<Sealer>,
    ) -> Result<(Self, Marker)> {
        let mut engine = Self::start(directory, false, options, sealer)?;
        let acknowledged = engine.progress().last();
        if !acknowledged.clean {
            // What is not sound and was made so again is found by what follows.
            let sound = guarded("checking the store", || Ok(engine.db.check_integrity()?)).map_err(damage)?;
            if !sound {
                tracing::warn!("the store was not closed in order and has been repaired");
            }
        }
        let marker = engine.marker()?;
        acknowledged.check(&marker)?;
        engine.progress().write_durably(&engine.files, Acknowledged { clean: false, ..acknowledged })?;
        if options.verify.now(acknowledged.clean) {
            super::read::verify(&engine)?;
        }
        Ok((engine, marker))
    }

    fn start(directory: &Path, create: bool, options: &RedbOptions, sealer: &Arc<Sealer>) -> Result<Self> {
        let unsynced = Arc::default();
        let backend = Backend::open(&directory.join(FILE), create, &options.files, &unsynced)?;
        let length = std::fs::metadata(directory.join(FILE))
            .map_err(|error| io_error("looking at the store's file", &error))?
            .len();
        if !create && length == 0 {
            // redb would take it for a new one.
            return Err(Error::corrupt("the store's file is empty"));
        }
        let progress = Progress::open(&directory.join(ACKNOWLEDGED), sealer)?;
        let opened = guarded("opening the store", || {
            Ok(Database::builder().set_cache_size(options.cache.max(1 << 20)).create_with_backend(backend)?)
        });
        let db = opened.map_err(damage)?;
        Ok(Self {
            db,
            sealer: Arc::clone(sealer),
            files: options.files.clone(),
            progress: Mutex::new(progress),
            failed: OnceLock::new(),
            unsynced,
        })
    }

    /// Fails if anything failed before whose outcome is open.
    pub(super) fn check(&self) -> Result<()> {
        match self.failed.get() {
            Some(error) => {
                let message =
                    format!("the store has failed before and must be opened again: {}", error.message());
                Err(Error::new(error.kind(), message))
            }
            None => Ok(()),
        }
    }

    fn fail(&self, error: Error) -> Error {
        let _ = self.failed.set(error.clone());
        error
    }

    /// A call that reads: an error leaves everything as it was, a panic does not.
    pub(super) fn read<T>(&self, doing: &str, call: impl FnOnce() -> Result<T, redb::Error>) -> Result<T> {
        guarded(doing, call).map_err(|failure| if failure.1 { self.fail(damage(failure)) } else { failure.0 })
    }

    pub(super) fn begin(&self) -> Result<ReadTransaction> {
        self.read("taking a snapshot", || Ok(self.db.begin_read()?))
    }

    pub(super) fn decode(&self, keyspace: Keyspace, key: &[u8], bytes: &[u8]) -> Result<Record> {
        record::decode(&self.sealer, &place(keyspace, key), bytes)
    }

    fn marker_record(&self, marker: &Marker) -> Result<Vec<u8>> {
        let mut nonces = Nonces::default();
        record::encode(&self.sealer, &mut nonces, Kind::Inline, &marker_place(), &marker.encode()?)
    }

    pub(super) fn marker(&self) -> Result<Marker> {
        let transaction = self.begin()?;
        let bytes = self.read("reading the marker", || {
            let found = transaction.open_table(ENGINE_TABLE)?.get(MARKER)?;
            Ok(found.map(|bytes| bytes.value().to_vec()))
        })?;
        let bytes = bytes.ok_or_else(|| Error::corrupt("the store has lost its marker"))?;
        Marker::decode(&record::decode(&self.sealer, &marker_place(), &bytes)?.payload)
    }

    /// Carries out the batch durably and gives the marker after it. On an error either nothing has happened, or the engine has
    /// failed and says so from then on.
    pub(super) fn commit(&self, before: &Marker, sealed: &SealedBatch) -> Result<Marker> {
        let done = guarded("writing a batch", || self.write(before, &sealed.parts));
        // After an error of the medium redb refuses to go on; after one of the encoding nothing has begun.
        let marker = done.map_err(|(error, _)| self.fail(error))??;
        let acknowledged = Acknowledged { batch: marker.batch, digest: marker.digest, clean: false };
        self.progress().write(acknowledged).map_err(|error| self.fail(error))?;
        Ok(marker)
    }

    fn write(&self, before: &Marker, parts: &[SealedPart]) -> Result<Result<Marker>, redb::Error> {
        let mut marker = before.clone();
        let mut digest = blake3::Hasher::new_keyed(self.sealer.mac());
        digest.update(&marker.digest);
        let transaction = self.db.begin_write()?;
        let carry_out =
            |part: &SealedPart| self.carry_out(&transaction, part, before.sums[part.keyspace as usize]);
        let large = parts.iter().map(|part| part.rows.len()).sum::<usize>() >= PARALLEL;
        let done: Vec<Result<Done, redb::Error>> =
            if large { in_parallel(parts, carry_out) } else { parts.iter().map(carry_out).collect() };
        for (part, done) in parts.iter().zip(all_or_first(done)?) {
            marker.sums[part.keyspace as usize] = done.sum;
            digest.update(&[part.keyspace as u8]).update(&done.digest);
        }
        marker.batch += 1;
        marker.digest = *digest.finalize().as_bytes();
        let record = match self.marker_record(&marker) {
            Ok(record) => record,
            Err(error) => return Ok(Err(error)),
        };
        transaction.open_table(ENGINE_TABLE)?.insert(MARKER, record.as_slice())?;
        transaction.commit()?;
        Ok(Ok(marker))
    }

    /// The changes of one key space, whose sum was this.
    fn carry_out(
        &self,
        transaction: &WriteTransaction,
        part: &SealedPart,
        mut sum: Sum,
    ) -> Result<Done, redb::Error> {
        let mut digest = blake3::Hasher::new_keyed(self.sealer.mac());
        let mut table = transaction.open_table(table(part.keyspace))?;
        for Row { key, record } in &part.rows {
            let old = match record {
                Some((_, record)) => table.insert(key.as_slice(), record.as_slice())?,
                None => table.remove(key.as_slice())?,
            };
            let place = place(part.keyspace, key);
            match old.as_ref().map(|old| record::decode(&self.sealer, &place, old.value())) {
                Some(Ok(old)) => sum.remove(old.checksum),
                // A damaged record may be replaced: that is how it is repaired.
                Some(Err(_)) => sum.unknown = true,
                None if record.is_none() => continue,
                None => {}
            }
            digest.update(&(key.len() as u32).to_le_bytes()).update(key);
            if let Some((checksum, _)) = record {
                sum.add(*checksum);
                digest.update(checksum);
            }
        }
        Ok(Done { sum, digest: *digest.finalize().as_bytes() })
    }

    /// Two slots written in turn: a write that broke off leaves the other.
    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends in order, and notes it. An error of the last sync is told: without it what was written may be gone with the power.
    pub(super) fn close(self) -> Result<()> {
        let sound = self.check();
        let Self { db, files, progress, unsynced, .. } = self;
        let dropped = guarded("closing the store", || {
            drop(db);
            Ok(())
        });
        sound.and(dropped.map_err(|(error, _)| error))?;
        unsynced.get().cloned().map_or(Ok(()), Err)?;
        let mut progress = progress.into_inner().unwrap_or_else(PoisonError::into_inner);
        let clean = Acknowledged { clean: true, ..progress.last() };
        progress.write_durably(&files, clean)
    }
}

/// Where redb only reads, its panics are about what it has read.
fn damage((error, panicked): (Error, bool)) -> Error {
    if panicked { Error::corrupt(error.message()) } else { error }
}
