//! The other engine: sled 0.34.7, with the rules that make it safe. Bare, it loses what it has acknowledged when the
//! power goes, and much else; `docs/storage.md` says what it does wrong and what each rule is for.
//!
//! Two stores in one process share a lock inside of sled: they take turns to write. One node has one.

mod chunks;
mod commit;
mod create;
mod engine;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod read;
mod recover;
#[cfg_attr(not(feature = "fault-switches"), allow(unreachable_pub))]
mod rules;

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use self::commit::Writer;
use self::engine::Engine;
use self::read::SledSnapshot;
use super::files::{Files, io_error};
use super::format::{MIGRATIONS, Migration, Opening, Places, SCHEMA, Verify};
use super::lock::DirectoryLock;
use super::marker;
use super::sealing::Sealing;
use super::storage_key::StorageKey;
use super::view_lock::ViewLock;
use super::{Batch, Durability, EngineName, Keyspace, Snapshot, Store};
use crate::{Error, ErrorKind, Result};

#[cfg(feature = "fault-switches")]
pub use rules::Rules;
#[cfg(not(feature = "fault-switches"))]
use rules::Rules;

/// How to open a store.
#[derive(Clone, Debug)]
pub struct SledOptions {
    /// Memory that the store may use, in bytes. sled takes about five times its cache, and is told so.
    pub memory: u64,
    /// Longest time until a batch with [`Durability::Process`] survives a loss of power, too.
    pub flush_every: Duration,
    /// When to read and verify everything at open.
    pub verify: Verify,
    /// Space to leave free: with less, commits fail with [`ErrorKind::StorageFull`] before anything happens.
    pub reserve: u64,
    /// What the store is sealed under. `None`: a key file beside it, which is made with the store.
    pub key: Option<StorageKey>,
    /// Safety rules to turn off, to test what they are for.
    #[cfg(feature = "fault-switches")]
    pub rules: Rules,
    pub(crate) files: Files,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            memory: 80 << 20,
            flush_every: Duration::from_millis(500),
            verify: Verify::default(),
            reserve: 32 << 20,
            key: None,
            #[cfg(feature = "fault-switches")]
            rules: Rules::ALL,
            files: Files::default(),
        }
    }
}

impl SledOptions {
    #[cfg(feature = "fault-switches")]
    const fn rules(&self) -> Rules {
        self.rules
    }

    #[cfg(not(feature = "fault-switches"))]
    const fn rules(&self) -> Rules {
        Rules::ALL
    }

    #[cfg(all(test, feature = "fault-switches"))]
    pub(crate) fn cache_for_test(&self) -> u64 {
        self.cache()
    }

    /// What sled is told: it takes about five times as much.
    fn cache(&self) -> u64 {
        let share = if self.rules().divide_cache { 5 } else { 1 };
        (self.memory / share).max(1 << 20)
    }
}

/// A store in a directory.
pub struct SledStore {
    shared: Arc<Shared>,
    timer: Mutex<Option<JoinHandle<()>>>,
    lock: Mutex<Option<DirectoryLock>>,
}

struct Shared {
    engine: Mutex<Option<Arc<Engine>>>,
    view: ViewLock,
    writer: Mutex<Writer>,
    sealing: Sealing,
    options: SledOptions,
    places: Places,
    stop: Mutex<bool>,
    stopped: Condvar,
}

/// What these guard is set in one step each: right after a panic, too.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SledStore {
    /// Opens the store in the directory, or creates it there. [`ErrorKind::Busy`] at once if it is open already, in this
    /// process or another; [`ErrorKind::VersionMismatch`] if a newer build has written it; [`ErrorKind::Corrupt`] if
    /// it is damaged and cannot be recovered, with nothing removed; [`ErrorKind::StorageFull`] without room to open;
    /// [`ErrorKind::KeyRequired`] without its key, with nothing read or changed.
    pub fn open(directory: &Path, options: SledOptions) -> Result<Self> {
        Self::open_with(directory, options, SCHEMA, MIGRATIONS)
    }

    pub(crate) fn open_with(
        directory: &Path,
        options: SledOptions,
        schema: u32,
        migrations: &[Migration],
    ) -> Result<Self> {
        std::fs::create_dir_all(directory).map_err(|error| io_error("creating the directory", &error))?;
        let held = if options.rules().own_lock { Some(DirectoryLock::acquire(directory)?) } else { None };
        let places = Places::new(directory);
        let opening = Opening {
            files: &options.files,
            schema,
            engine: EngineName::Sled,
            key: options.key.as_ref(),
            seal: options.rules().seal,
        };
        let unlocked = create::find_or_create(&places, &options, &opening)?;
        let (engine, marker) = recover::open(&places, &options, &unlocked.sealer())?;
        let (format, data_key) = unlocked.into_parts();
        let timed = options.rules().flush_timer;
        let shared = Arc::new(Shared {
            engine: Mutex::new(Some(Arc::new(engine))),
            view: ViewLock::new(),
            writer: Mutex::new(Writer { marker }),
            sealing: Sealing::new(data_key, format, &places, &options.files),
            options,
            places,
            stop: Mutex::new(false),
            stopped: Condvar::new(),
        });
        let store = Self { shared, timer: Mutex::new(None), lock: Mutex::new(held) };
        store.shared.sealing.migrate(&store, &store.shared.places, schema, migrations)?;
        if timed {
            let shared = store.shared.clone();
            let timer = std::thread::Builder::new()
                .name("kith-flush".to_owned())
                .spawn(move || shared.keep_flushing());
            *lock(&store.timer) = Some(timer.map_err(|error| io_error("starting the flush timer", &error))?);
        }
        Ok(store)
    }

    /// Reads and verifies everything, and that nothing is missing or older than it should be. Commits wait.
    pub fn verify(&self) -> Result<()> {
        let _view = self.shared.view.view();
        let engine = self.shared.engine()?;
        engine.check()?;
        read::verify(&engine)
    }

    /// How often the store was flushed since it was opened. 0 when it is closed.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.shared.engine().map_or(0, |engine| engine.flush_count())
    }

    #[cfg(test)]
    pub(crate) fn with_raw<T>(&self, keyspace: Keyspace, look: impl FnOnce(&sled::Tree) -> T) -> T {
        look(self.shared.engine().expect("the test has it open").tree(keyspace as usize))
    }

    #[cfg(all(test, feature = "fault-switches"))]
    pub(crate) fn panic_inside(&self) -> Error {
        self.shared.engine().expect("the test has it open").panic_inside()
    }

    #[cfg(all(test, feature = "fault-switches"))]
    pub(crate) fn waiting_commits(&self) -> usize {
        self.shared.view.waiting_changes()
    }
}

impl Shared {
    fn engine(&self) -> Result<Arc<Engine>> {
        lock(&self.engine).clone().ok_or_else(|| Error::closed("the store is closed"))
    }

    /// Less free space than this fails a commit beforehand: once sled itself meets a full disk, it does not write again
    /// until it is opened anew. The factor is for the pages that it rewrites on the way.
    fn check_space(&self, batch: &Batch) -> Result<()> {
        if !self.options.rules().check_space {
            return Ok(());
        }
        let bytes: usize =
            batch.writes.iter().map(|w| w.key.len() + w.value.as_ref().map_or(0, Vec::len) + 64).sum();
        let needed = self.options.reserve.saturating_add(8 * bytes as u64);
        let free = self.options.files.free_space(&self.places.node);
        let free = free.map_err(|error| io_error("asking for free space", &error))?;
        if free < needed {
            let message = format!("writing needs {needed} bytes of free space; there are {free}");
            return Err(Error::new(ErrorKind::StorageFull, message));
        }
        Ok(())
    }

    fn keep_flushing(&self) {
        let mut stop = lock(&self.stop);
        while !*stop {
            let waited = self.stopped.wait_timeout(stop, self.options.flush_every);
            stop = waited.unwrap_or_else(PoisonError::into_inner).0;
            if *stop {
                break;
            }
            drop(stop);
            if let Ok(engine) = self.engine()
                && engine.unsynced() > 0
                && let Err(error) = engine.barrier(engine.ticket())
            {
                // The engine has noted it, and tells whoever calls next.
                tracing::error!(%error, "the flush timer stops");
                return;
            }
            stop = lock(&self.stop);
        }
    }
}

impl Store for SledStore {
    fn engine_name(&self) -> Option<EngineName> {
        Some(EngineName::Sled)
    }

    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>> {
        let view = self.shared.options.rules().snapshot_lock.then(|| self.shared.view.view());
        let engine = self.shared.engine()?;
        engine.check()?;
        Ok(Box::new(SledSnapshot { engine, _view: view }))
    }

    fn commit(&self, batch: &Batch, durability: Durability) -> Result<()> {
        self.shared.view.check_no_view()?;
        let writes = batch.last_writes()?;
        let mut writer = lock(&self.shared.writer);
        let engine = self.shared.engine()?;
        engine.check()?;
        if !writes.is_empty() {
            self.shared.check_space(batch)?;
            let writes = engine.sealer.stored_writes(writes);
            writer.commit(&engine, &self.shared.view, &writes)?;
        }
        drop(writer);
        match durability {
            Durability::Power => engine.barrier(engine.ticket()),
            Durability::Process => engine.write_out(),
        }
    }

    fn sealing(&self) -> Option<&Sealing> {
        Some(&self.shared.sealing)
    }

    fn change_key(&self, key: &StorageKey) -> Result<()> {
        let wrap = self.shared.sealing.wrap(key)?;
        // Whoever closes waits for this: afterwards the directory may be another process's.
        let _writer = lock(&self.shared.writer);
        self.shared.engine()?.check()?;
        self.shared.sealing.put(wrap)
    }

    fn close(&self) -> Result<()> {
        let writer = lock(&self.shared.writer);
        let alone = self.shared.view.change()?;
        let engine = lock(&self.shared.engine).take();
        drop(alone);
        drop(writer);
        *lock(&self.shared.stop) = true;
        self.shared.stopped.notify_all();
        if let Some(timer) = lock(&self.timer).take() {
            // It ends by itself, and a panic in it would have been of a flush that the engine knows of.
            let _ = timer.join();
        }
        let mut closed = Ok(());
        if let Some(mut engine) = engine {
            // Those who still wait for their flush hold it, too; nobody else can get it any more.
            closed = loop {
                match Arc::try_unwrap(engine) {
                    Ok(engine) => break recover::close(engine),
                    Err(shared) => engine = shared,
                }
                std::thread::sleep(Duration::from_millis(1));
            };
        }
        drop(lock(&self.lock).take());
        closed
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "closing the store");
        }
    }
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledStore").field("directory", &self.shared.places.node).finish_non_exhaustive()
    }
}
