//! Keeping bytes: a small trait, and engines that obey it.
//!
//! What [`Store::commit`] has acknowledged is there after a crash, whole; what it has not acknowledged is there whole or
//! not at all. Records carry a checksum of their own, so a damaged one is an error and never a wrong answer.

mod context_tables;
mod engine_name;
mod export;
mod files;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod high_water;
mod lock;
mod marker;
mod memory;
mod names;
mod ready;
mod record;
mod redb_store;
mod sealing;
mod shared_work;
mod sled_store;
mod storage_key;
mod view_lock;

#[cfg(test)]
mod tests;

pub(crate) use files::{copy_tree, io_error};

pub use context_tables::{ContextTables, add_writes, context_end, context_key};
pub use engine_name::{EngineName, StorageEngine};
pub use export::{Exported, ImportOptions, Purpose, adopt, export, import};
pub(crate) use export::{to_file as export_to_file, write as write_export};
pub use format::{SCHEMA, Verify};
pub use high_water::{HighWater, Mark};
pub use lock::DirectoryLock;
pub use memory::{Fault, MemoryStore};
pub use ready::Ready;
#[doc(hidden)]
pub use record::Frames;
pub use redb_store::{RedbOptions, RedbStore};
pub use sealing::Sealing;
#[cfg(feature = "fault-switches")]
pub use sled_store::Rules;
pub use sled_store::{SledOptions, SledStore};
pub use storage_key::StorageKey;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroize as _;

use crate::{Error, ErrorKind, Result};

/// Opens the store in a directory, or creates it there, sealed under the key, or under a key file beside it without one, and with this much
/// memory as its cache (`None`, as all other settings: the default). Blocks. The errors are those of [`SledStore::open`] and [`RedbStore::open`].
pub fn open(
    directory: &Path,
    engine: StorageEngine,
    key: Option<StorageKey>,
    cache: Option<u64>,
) -> Result<Arc<dyn Store>> {
    let name = match engine {
        StorageEngine::Auto => format::engine_of(directory)?.unwrap_or(EngineName::DEFAULT),
        StorageEngine::Sled => EngineName::Sled,
        StorageEngine::Redb => EngineName::Redb,
    };
    Ok(match name {
        EngineName::Sled => {
            let mut options = SledOptions { key, ..SledOptions::default() };
            options.memory = cache.unwrap_or(options.memory);
            Arc::new(SledStore::open(directory, options)?)
        }
        EngineName::Redb => {
            let mut options = RedbOptions { key, ..RedbOptions::default() };
            options.cache = cache.map_or(options.cache, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
            Arc::new(RedbStore::open(directory, options)?)
        }
    })
}

/// Makes a new store of this schema, and brings it to this build's at the next opening.
fn create(
    directory: &Path,
    engine: StorageEngine,
    key: Option<StorageKey>,
    schema: u32,
) -> Result<Arc<dyn Store>> {
    let name = match engine {
        StorageEngine::Auto => EngineName::DEFAULT,
        StorageEngine::Sled => EngineName::Sled,
        StorageEngine::Redb => EngineName::Redb,
    };
    Ok(match name {
        EngineName::Sled => {
            let options = SledOptions { key, ..SledOptions::default() };
            Arc::new(SledStore::open_with(directory, options, schema, &[])?)
        }
        EngineName::Redb => {
            let options = RedbOptions { key, ..RedbOptions::default() };
            Arc::new(RedbStore::open_with(directory, options, schema, &[])?)
        }
    })
}

/// Longest key, in bytes.
pub const MAX_KEY: usize = 1024;
/// Largest value, in bytes.
pub const MAX_VALUE: usize = 16 << 20;
/// What suits an engine that says nothing else, as a batch: sled writes at most 64 KiB at once, and anything larger three times.
pub(crate) const SMALL_BATCH: usize = 44 << 10;
/// Most bytes (keys and values) in one batch.
pub const MAX_BATCH: usize = 256 << 20;

/// A fixed set of named key spaces; there is never one for each context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Keyspace {
    /// Format, identity of the node, contexts, members' facts.
    Meta = 0,
    /// context | author | sequence | id → transaction and what is known about it.
    Transactions = 1,
    /// context | id → author | sequence.
    Ids = 2,
    /// context | place → kind, receipt, reads and writes.
    Order = 3,
    /// context | key | place → the value written there, but for the latest.
    Versions = 4,
    /// context | key → the latest value, and its place.
    State = 5,
    /// context | key or range | place → the transactions that read it.
    Readers = 6,
    /// Empty since schema 2; keeps its number.
    Receipts = 7,
    /// What is still to be delivered.
    Outbox = 8,
    /// context | cursor → event.
    Events = 9,
    /// Peers and their addresses.
    Peers = 10,
    /// Private keys.
    Keys = 11,
    /// For engines: parts of large values. Nothing else uses it: reading or writing it is
    /// [`crate::ErrorKind::InvalidArgument`].
    Chunks = 12,
}

impl Keyspace {
    /// Every key space, in the order of the numbers.
    pub const ALL: [Keyspace; 13] = [
        Self::Meta,
        Self::Transactions,
        Self::Ids,
        Self::Order,
        Self::Versions,
        Self::State,
        Self::Readers,
        Self::Receipts,
        Self::Outbox,
        Self::Events,
        Self::Peers,
        Self::Keys,
        Self::Chunks,
    ];

    /// The stable name: of the tree or table in an engine, and in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Transactions => "transactions",
            Self::Ids => "ids",
            Self::Order => "order",
            Self::Versions => "versions",
            Self::State => "state",
            Self::Readers => "readers",
            Self::Receipts => "receipts",
            Self::Outbox => "outbox",
            Self::Events => "events",
            Self::Peers => "peers",
            Self::Keys => "keys",
            Self::Chunks => "chunks",
        }
    }
}

/// One change: a value to set, or `None` to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub keyspace: Keyspace,
    /// Under which key.
    pub key: Vec<u8>,
    /// What; `None` removes.
    pub value: Option<Vec<u8>>,
}

/// What is known of keys is wiped.
impl Drop for Write {
    fn drop(&mut self) {
        if self.keyspace == Keyspace::Keys {
            self.value.zeroize();
        }
    }
}

/// Changes that happen together or not at all. A later change of the same key wins.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The changes, in order.
    pub writes: Vec<Write>,
}

/// The last change of each key, in the order of key spaces and keys.
pub(crate) type LastWrites<'a> = BTreeMap<(Keyspace, &'a [u8]), Option<&'a [u8]>>;

impl Batch {
    /// Sets a key.
    pub fn put(&mut self, keyspace: Keyspace, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.writes.push(Write { keyspace, key: key.into(), value: Some(value.into()) });
    }

    /// Removes a key.
    pub fn delete(&mut self, keyspace: Keyspace, key: impl Into<Vec<u8>>) {
        self.writes.push(Write { keyspace, key: key.into(), value: None });
    }

    /// The last change of each key, in the order of key spaces and keys, after checking every limit: keys and the batch
    /// as a whole give [`ErrorKind::LimitExceeded`], [`Keyspace::Chunks`] gives [`ErrorKind::InvalidArgument`].
    pub(crate) fn last_writes(&self) -> Result<LastWrites<'_>> {
        let mut bytes = 0usize;
        let mut last = BTreeMap::new();
        for write in &self.writes {
            check_keyspace(write.keyspace)?;
            let value = write.value.as_deref();
            let length = value.map_or(0, <[u8]>::len);
            if write.key.len() > MAX_KEY {
                return Err(Error::limit_exceeded(format!(
                    "a key in {} has {} bytes; the limit is {MAX_KEY}",
                    write.keyspace.name(),
                    write.key.len()
                )));
            }
            if length > MAX_VALUE {
                return Err(Error::limit_exceeded(format!(
                    "a value in {} has {length} bytes; the limit is {MAX_VALUE}",
                    write.keyspace.name()
                )));
            }
            bytes += write.key.len() + length;
            if bytes > MAX_BATCH {
                return Err(Error::limit_exceeded(format!("a batch has more than {MAX_BATCH} bytes")));
            }
            last.insert((write.keyspace, write.key.as_slice()), value);
        }
        Ok(last)
    }
}

/// [`Keyspace::Chunks`] belongs to the engines.
fn check_keyspace(keyspace: Keyspace) -> Result<()> {
    if keyspace == Keyspace::Chunks {
        return Err(Error::new(ErrorKind::InvalidArgument, "the key space `chunks` is for engines only"));
    }
    Ok(())
}

/// What an acknowledged batch survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The loss of power. Concurrent callers share one flush.
    #[default]
    Power,
    /// The death of the process; the loss of power may take the last batches, but tears nothing.
    Process,
}

/// One consistent view of everything that was committed before it was taken.
///
/// Commits may wait while a snapshot lives ([`Store::commits_beside_snapshots`]): keep it short. A thread may hold several, but must drop them before it commits or
/// closes: that is refused with [`crate::ErrorKind::Internal`] instead of waiting for ever.
pub trait Snapshot {
    /// The value under a key. [`crate::ErrorKind::Corrupt`] if it does not verify.
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// At most `limit` entries with `from <= key < to` (`to` absent: to the end of the key space), in key order, or from
    /// the end backwards if `reverse`.
    ///
    /// Sealed stores have pseudonyms of some names in keys, and an order of their own there: authors in `transactions`, ids in
    /// `ids`, peers, and what follows a label in `meta`, `keys` and `outbox`, but for numbers and places. A range begins and ends where such a name does,
    /// or at the end of all that begins with one; the names of its entries come in any order, in which the key after a key is its successor.
    fn scan(
        &self,
        keyspace: Keyspace,
        from: &[u8],
        to: Option<&[u8]>,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>>;
}

/// An engine. All methods block; none may be called on an async worker.
pub trait Store: Send + Sync + 'static {
    /// A consistent view.
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>>;

    /// Carries out the batch as one, and returns once it is as durable as asked for. After an error that leaves the
    /// outcome open (a failed sync), every later call fails until the store is opened again. With
    /// [`crate::ErrorKind::StorageFull`] nothing has happened, reading goes on, and the call may be tried again.
    fn commit(&self, batch: &Batch, durability: Durability) -> Result<()>;

    /// Does what of the batch's commit need not wait for others, such as sealing it: while another one is carried out, say. Changes nothing. What
    /// [`Self::commit`] refuses is refused here or by [`Self::commit_ready`].
    fn ready(&self, batch: Batch) -> Result<Ready> {
        Ok(Ready(ready::Inner::Batch(batch)))
    }

    /// As [`Self::commit`], of what this store has made ready. [`crate::ErrorKind::Internal`] if another kind of store has.
    fn commit_ready(&self, ready: &Ready, durability: Durability) -> Result<()> {
        match &ready.0 {
            ready::Inner::Batch(batch) => self.commit(batch, durability),
            ready::Inner::Sealed(_) => Err(Error::internal("another store has sealed this batch")),
        }
    }

    /// How the store is sealed; `None` for one that is not kept in a directory.
    fn sealing(&self) -> Option<&Sealing> {
        None
    }

    /// Seals the store under another key, while it is in use: what was written stays as it is, under the data key that the
    /// storage key opens. After a crash in it either key opens the store, or one of them; once it has returned, only the new one does.
    fn change_key(&self, _key: &StorageKey) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "this store has no storage key"))
    }

    /// About how many bytes suit one batch where more is waiting to be written. Larger ones are taken, too.
    fn batch_size(&self) -> usize {
        SMALL_BATCH
    }

    /// Whether a commit goes on while other threads hold snapshots; where it does not, it waits for them.
    fn commits_beside_snapshots(&self) -> bool {
        false
    }

    /// Finishes writing and releases files and locks; later calls fail with [`crate::ErrorKind::Closed`]. Twice is fine.
    fn close(&self) -> Result<()>;

    /// Which engine keeps the files; `None`: there are none.
    fn engine_name(&self) -> Option<EngineName> {
        None
    }
}
