//! How the records of a store are sealed, and what its other files are authenticated with.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::files::Files;
use super::format::{Format, Migration, Places};
use super::names::{Found, Pseudonyms};
use super::storage_key::{self, Secret, Source, StorageKey, Wrap, cipher, subkey};
use super::{Keyspace, LastWrites, Store};
use crate::aead::XChaCha20Poly1305;
use crate::{Error, ErrorKind, Result};

/// The changes of a batch as they are stored.
pub(crate) type StoredWrites<'a> = BTreeMap<(Keyspace, Cow<'a, [u8]>), Option<&'a [u8]>>;

/// What the records of one store are written and read with.
#[derive(Debug)]
pub(crate) struct Sealer {
    /// For checksums that are kept beside the records.
    mac: Secret,
    pub(crate) sealed: Option<Sealed>,
}

pub(crate) struct Sealed {
    pub(crate) cipher: XChaCha20Poly1305,
    names: Pseudonyms,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealed")
    }
}

impl Sealer {
    /// Records with checksums only.
    pub(crate) const fn plain(mac: Secret) -> Self {
        Self { mac, sealed: None }
    }

    pub(crate) fn sealed(data_key: &Secret) -> Self {
        let cipher = cipher(&subkey(data_key, "kith 2026 storage: records"));
        let sealed = Sealed { cipher, names: Pseudonyms::new(data_key) };
        Self { mac: subkey(data_key, "kith 2026 storage: checksums"), sealed: Some(sealed) }
    }

    /// The key of the checksums.
    pub(crate) fn mac(&self) -> &[u8; 32] {
        &self.mac
    }

    /// The key under which a record is stored.
    pub(crate) fn stored_key<'a>(&self, keyspace: Keyspace, key: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.sealed {
            Some(sealed) => sealed.names.hide(keyspace, key),
            None => Cow::Borrowed(key),
        }
    }

    pub(crate) fn stored_writes<'a>(&self, writes: LastWrites<'a>) -> StoredWrites<'a> {
        let stored = |((keyspace, key), value)| ((keyspace, self.stored_key(keyspace, key)), value);
        writes.into_iter().map(stored).collect()
    }

    /// A range of entries, by way of the ranges of stored entries that `raw` reads.
    pub(crate) fn scan<V>(
        &self,
        (keyspace, reverse): (Keyspace, bool),
        (from, to): (&[u8], Option<&[u8]>),
        limit: usize,
        mut raw: impl FnMut(&[u8], Option<&[u8]>, usize) -> Result<Vec<(Vec<u8>, V)>>,
    ) -> Result<Vec<Found<V>>> {
        if to.is_some_and(|to| to <= from) {
            return Ok(Vec::new());
        }
        match &self.sealed {
            Some(sealed) => sealed.names.scan((keyspace, reverse), (from, to), limit, raw),
            None => {
                let found = raw(from, to, limit)?.into_iter();
                Ok(found.map(|(key, value)| Found { stored: key.clone(), key, value }).collect())
            }
        }
    }
}

/// How an open store is sealed.
#[derive(Debug)]
pub struct Sealing {
    data_key: Option<Secret>,
    format: Mutex<Format>,
    node: PathBuf,
    store: PathBuf,
    files: Files,
}

impl Sealing {
    pub(crate) fn new(data_key: Option<Secret>, format: Format, places: &Places, files: &Files) -> Self {
        Self {
            data_key,
            format: Mutex::new(format),
            node: places.node.clone(),
            store: places.store.clone(),
            files: files.clone(),
        }
    }

    /// Brings an older store up to this schema.
    pub(crate) fn migrate(
        &self,
        store: &dyn Store,
        places: &Places,
        schema: u32,
        migrations: &[Migration],
    ) -> Result<()> {
        let mut format = self.format().clone();
        format.migrate(store, (places, &self.files), schema, migrations)?;
        *self.format() = format;
        Ok(())
    }

    /// A key for another file of the node's directory; `None` where nothing is sealed.
    pub(crate) fn subkey(&self, context: &'static str) -> Option<Secret> {
        self.data_key.as_ref().map(|data_key| subkey(data_key, context))
    }

    /// Set as a whole, after its writing has succeeded.
    fn format(&self) -> std::sync::MutexGuard<'_, Format> {
        self.format.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the key lies in a file beside the store, since the host gave none.
    #[must_use]
    pub fn has_key_file(&self) -> bool {
        self.format().wrap().is_some_and(|wrap| wrap.source == Source::File)
    }

    /// Whether the host keeps the key.
    #[must_use]
    pub fn has_host_key(&self) -> bool {
        self.format().wrap().is_some_and(|wrap| wrap.source != Source::File)
    }

    /// What [`Self::put`] writes: worked out before, since a passphrase takes its time.
    pub(crate) fn wrap(&self, key: &StorageKey) -> Result<Wrap> {
        let data_key = self.data_key.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "this store is not sealed, so it has no key to change")
        })?;
        Wrap::new(data_key, Some(key), &self.node, &self.files)
    }

    /// Seals the store under another key. A crash leaves one that the old key opens, or the new one.
    pub(crate) fn put(&self, wrap: Wrap) -> Result<()> {
        let mut format = self.format();
        let changed = format.with_wrap(wrap);
        changed.write(&self.store, &self.files)?;
        *format = changed;
        // Nothing is wrapped under it any more.
        storage_key::remove_file(&self.node, &self.files)
    }
}
