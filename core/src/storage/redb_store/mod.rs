//! The engine of new directories: redb 4. It does by itself much of what sled needs rules for (one file, copied on write, snapshots); what stays ours are the records' checksums, the marker, safe creation and the lock. `docs/storage.md`.
//!
//! A batch is one transaction with a sync of its own, whatever durability it asks for: what redb does not sync it keeps in
//! the process, which would survive neither.

mod backend;
mod engine;
mod read;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::engine::Engine;
use self::read::RedbSnapshot;
use super::files::{Files, io_error};
use super::format::{MIGRATIONS, Migration, Opening, Places, SCHEMA, Unlocked, Verify};
use super::lock::DirectoryLock;
use super::marker::Marker;
use super::ready::{Inner, Ready, SealedBatch};
use super::sealing::Sealing;
use super::storage_key::StorageKey;
use super::view_lock::ViewLock;
use super::{Batch, Durability, EngineName, Snapshot, Store};
use crate::{Error, ErrorKind, Result};

/// Free space to open with.
const SPACE_TO_OPEN: u64 = 8 << 20;

/// Most keys lie scattered, and each page that has one is written anew: the more keys in a batch, the fewer pages for each.
const BATCH: usize = 2 << 20;

/// How to open a store.
#[derive(Clone, Debug)]
pub struct RedbOptions {
    /// Size of redb's cache, in bytes; it keeps to it.
    pub cache: usize,
    /// When to read and verify everything at open.
    pub verify: Verify,
    /// Space to leave free: with less, commits fail with [`ErrorKind::StorageFull`] before anything happens.
    pub reserve: u64,
    /// What the store is sealed under. `None`: a key file beside it, which is made with the store.
    pub key: Option<StorageKey>,
    /// Whether a new store is sealed, to measure what that costs.
    #[cfg(feature = "fault-switches")]
    pub seal: bool,
    pub(crate) files: Files,
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self {
            cache: 24 << 20,
            verify: Verify::default(),
            reserve: 32 << 20,
            key: None,
            #[cfg(feature = "fault-switches")]
            seal: true,
            files: Files::default(),
        }
    }
}

impl RedbOptions {
    #[cfg(feature = "fault-switches")]
    const fn seal(&self) -> bool {
        self.seal
    }

    #[cfg(not(feature = "fault-switches"))]
    const fn seal(&self) -> bool {
        true
    }
}

/// A store in a directory.
pub struct RedbStore {
    engine: Mutex<Option<Arc<Engine>>>,
    /// What only one commit at a time may touch.
    writer: Mutex<Marker>,
    view: ViewLock,
    sealing: Sealing,
    options: RedbOptions,
    places: Places,
    lock: Mutex<Option<DirectoryLock>>,
}

/// What these guard is set in one step each: right after a panic, too.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RedbStore {
    /// Opens the store in the directory, or creates it there. [`ErrorKind::Busy`] at once if it is open already, in this
    /// process or another; [`ErrorKind::VersionMismatch`] if a newer build has written it; [`ErrorKind::InvalidArgument`] if it
    /// is another engine's; [`ErrorKind::Corrupt`] if it is damaged, with nothing removed; [`ErrorKind::StorageFull`]
    /// without room to open; [`ErrorKind::KeyRequired`] without its key, with nothing read or changed.
    pub fn open(directory: &Path, options: RedbOptions) -> Result<Self> {
        Self::open_with(directory, options, SCHEMA, MIGRATIONS)
    }

    pub(crate) fn open_with(
        directory: &Path,
        options: RedbOptions,
        schema: u32,
        migrations: &[Migration],
    ) -> Result<Self> {
        std::fs::create_dir_all(directory).map_err(|error| io_error("creating the directory", &error))?;
        let held = DirectoryLock::acquire(directory)?;
        let places = Places::new(directory);
        let opening = Opening {
            files: &options.files,
            schema,
            engine: EngineName::Redb,
            key: options.key.as_ref(),
            seal: options.seal(),
        };
        let unlocked = match places.find(&opening)? {
            Some(unlocked) => unlocked,
            None => create(&places, &options, &opening)?,
        };
        check_space(&places, &options, SPACE_TO_OPEN)?;
        let opened = Engine::open(&places.store, &options, &unlocked.sealer());
        let (engine, marker) = opened.map_err(|error| explain(error, &places))?;
        let (format, data_key) = unlocked.into_parts();
        let store = Self {
            engine: Mutex::new(Some(Arc::new(engine))),
            writer: Mutex::new(marker),
            view: ViewLock::new(),
            sealing: Sealing::new(data_key, format, &places, &options.files),
            options,
            places,
            lock: Mutex::new(Some(held)),
        };
        store.sealing.migrate(&store, &store.places, schema, migrations)?;
        Ok(store)
    }

    /// Reads and verifies everything, and that nothing is missing or older than it should be.
    pub fn verify(&self) -> Result<()> {
        // Commits wait: what is compared is read in more than one transaction.
        let _writer = lock(&self.writer);
        read::verify(&*self.engine()?)
    }

    fn carry_out(&self, sealed: &SealedBatch) -> Result<()> {
        self.view.check_no_view()?;
        let mut marker = lock(&self.writer);
        let engine = self.engine()?;
        if sealed.parts.is_empty() {
            return Ok(());
        }
        // The factor is for the pages that are copied on the way, and for the file's growing in steps.
        let needed = self.options.reserve.saturating_add(8 * sealed.bytes as u64);
        check_space(&self.places, &self.options, needed)?;
        *marker = engine.commit(&marker, sealed)?;
        Ok(())
    }

    fn engine(&self) -> Result<Arc<Engine>> {
        let engine = lock(&self.engine).clone().ok_or_else(|| Error::closed("the store is closed"))?;
        engine.check()?;
        Ok(engine)
    }
}

fn create(places: &Places, options: &RedbOptions, opening: &Opening<'_>) -> Result<Unlocked> {
    let fail = |error: std::io::Error| io_error("creating the store", &error);
    check_space(places, options, SPACE_TO_OPEN)?;
    let unlocked = Unlocked::new(places, opening)?;
    std::fs::create_dir(&places.creating).map_err(fail)?;
    Engine::create(&places.creating, options, &unlocked.sealer())?.close()?;
    places.install(&options.files, &unlocked.format, &places.creating, true)?;
    Ok(unlocked)
}

/// What somebody can do who meets a damaged store.
fn explain(error: Error, places: &Places) -> Error {
    if error.kind() != ErrorKind::Corrupt {
        return error;
    }
    Error::corrupt(format!(
        "the store in {} is damaged; nothing in it was removed. Restore the whole node's directory from a backup or an export, or \
         move it away and join again from another member. ({})",
        places.store.display(),
        error.message()
    ))
}

fn check_space(places: &Places, options: &RedbOptions, needed: u64) -> Result<()> {
    let free =
        options.files.free_space(&places.node).map_err(|error| io_error("asking for free space", &error))?;
    if free < needed {
        let message = format!("this needs {needed} bytes of free space; there are {free}");
        return Err(Error::new(ErrorKind::StorageFull, message));
    }
    Ok(())
}

impl Store for RedbStore {
    fn engine_name(&self) -> Option<EngineName> {
        Some(EngineName::Redb)
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>> {
        let view = self.view.view();
        Ok(Box::new(RedbSnapshot::new(self.engine()?, view)?))
    }

    fn commit(&self, batch: &Batch, _durability: Durability) -> Result<()> {
        self.carry_out(&SealedBatch::new(&self.engine()?.sealer, batch.last_writes()?)?)
    }

    fn ready(&self, batch: Batch) -> Result<Ready> {
        Ok(Ready(Inner::Sealed(SealedBatch::new(&self.engine()?.sealer, batch.last_writes()?)?)))
    }

    fn commit_ready(&self, ready: &Ready, durability: Durability) -> Result<()> {
        match &ready.0 {
            Inner::Sealed(sealed) => self.carry_out(sealed),
            Inner::Batch(batch) => self.commit(batch, durability),
        }
    }

    fn sealing(&self) -> Option<&Sealing> {
        Some(&self.sealing)
    }

    fn change_key(&self, key: &StorageKey) -> Result<()> {
        let wrap = self.sealing.wrap(key)?;
        // Whoever closes waits for this: afterwards the directory may be another process's.
        let _writer = lock(&self.writer);
        self.engine()?;
        self.sealing.put(wrap)
    }

    fn batch_size(&self) -> usize {
        BATCH
    }

    fn commits_beside_snapshots(&self) -> bool {
        true
    }

    fn close(&self) -> Result<()> {
        let writer = lock(&self.writer);
        let alone = self.view.change()?;
        let engine = lock(&self.engine).take();
        drop(alone);
        drop(writer);
        let mut closed = Ok(());
        if let Some(mut engine) = engine {
            // Who still holds it has just been refused or is about to end; nobody else can get it any more.
            closed = loop {
                match Arc::try_unwrap(engine) {
                    Ok(engine) => break engine.close(),
                    Err(shared) => engine = shared,
                }
                std::thread::sleep(Duration::from_millis(1));
            };
        }
        drop(lock(&self.lock).take());
        closed
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "closing the store");
        }
    }
}

impl std::fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbStore").field("directory", &self.places.node).finish_non_exhaustive()
    }
}
