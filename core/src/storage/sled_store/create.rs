//! The directory of a store: how it comes to be, whole or not at all, and the format record that says that it is.
//!
//! In the node's directory: `store` is the store. `store.creating` is one whose creation did not end, `store.recovering` a
//! copy on which a recovery is tried: neither holds anything that was acknowledged. `store.damaged.1` … are stores that a
//! recovery has replaced, `store.unfinished.1` … directories in place of a store that were never created as one: they
//! are kept, and removing them is the owner's decision.

use std::fs;
use std::path::{Path, PathBuf};

use borsh::{BorshDeserialize, BorshSerialize};

use super::engine::{Engine, Failure, guarded};
use super::marker::{Acknowledged, Marker, Progress};
use super::{Rules, SledOptions};
use crate::storage::files::{Files, copy_tree, entries, io_error, read_at_most};
use crate::storage::record::ChecksumKey;
use crate::{Error, ErrorKind, Result};

const MAGIC: [u8; 8] = *b"KITHFORM";
/// What lies where, and how; raised only with a way to read the one before.
const LAYOUT: u32 = 1;
const HASH: usize = 32;

/// The format record. It exists twice; one that verifies is enough.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Format {
    layout: u32,
    /// The version of what the layers above have written.
    pub(super) schema: u32,
    checksum_key: [u8; 32],
}

impl Format {
    pub(super) const fn checksum_key(&self) -> ChecksumKey {
        ChecksumKey(self.checksum_key)
    }

    fn new(schema: u32) -> Result<Self> {
        let mut checksum_key = [0; 32];
        getrandom::fill(&mut checksum_key)
            .map_err(|error| Error::internal(format!("no randomness: {error}")))?;
        Ok(Self { layout: LAYOUT, schema, checksum_key })
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = MAGIC.to_vec();
        let body =
            borsh::to_vec(self).map_err(|error| Error::internal(format!("encoding the format: {error}")))?;
        bytes.extend_from_slice(&body);
        let hash = blake3::derive_key("kith 2026 format record", &bytes);
        bytes.extend_from_slice(&hash);
        Ok(bytes)
    }

    /// `None` if the record does not verify. A newer layout verifies in its first fields only.
    fn decode(bytes: &[u8]) -> Option<Result<Self>> {
        let (body, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH)?)?;
        if blake3::derive_key("kith 2026 format record", body) != hash {
            return None;
        }
        let body = body.strip_prefix(&MAGIC)?;
        let layout = u32::from_le_bytes(*body.first_chunk()?);
        if layout > LAYOUT {
            return Some(Err(newer("layout", layout, LAYOUT)));
        }
        borsh::from_slice(body).ok().map(Ok)
    }

    /// The format of the store in a directory, or `None` if it was never created as one.
    pub(super) fn read(store: &Path, schema: u32) -> Result<Option<Self>> {
        let mut present = false;
        for name in FORMAT_NAMES {
            let bytes = read_at_most(&store.join(name), 4096);
            let Some(bytes) = bytes.map_err(|error| io_error("reading the format record", &error))? else {
                continue;
            };
            present = true;
            match Self::decode(&bytes) {
                Some(Ok(format)) if format.schema > schema => {
                    return Err(newer("schema", format.schema, schema));
                }
                Some(format) => return format.map(Some),
                None => tracing::warn!(name, "a copy of the store's format record is damaged"),
            }
        }
        if present {
            Err(Error::corrupt("both copies of the store's format record are damaged"))
        } else {
            Ok(None)
        }
    }

    /// Replaces both copies, durably.
    pub(super) fn write(&self, store: &Path, files: &Files) -> Result<()> {
        let bytes = self.encode()?;
        FORMAT_NAMES.iter().try_for_each(|name| {
            let replaced = files.replace(&store.join(name), &bytes);
            replaced.map_err(|error| io_error("writing the format record", &error))
        })
    }
}

/// Neither may share its stem with another: a replacement is written to `stem.new` first.
const FORMAT_NAMES: [&str; 2] = ["format", "format-copy"];
/// The saved copy of sled's 62 bytes of configuration.
pub(super) const SAVED_CONF: &str = "conf-copy";
pub(super) const ACKNOWLEDGED: &str = "acknowledged";

fn newer(what: &str, found: u32, known: u32) -> Error {
    let message = format!(
        "the store's {what} is version {found}; this build knows versions up to {known}: use a newer one"
    );
    Error::new(ErrorKind::VersionMismatch, message)
}

/// The places in a node's directory.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) node: PathBuf,
    pub(super) store: PathBuf,
    pub(super) creating: PathBuf,
    pub(super) recovering: PathBuf,
}

impl Places {
    pub(super) fn new(node: &Path) -> Self {
        let under = |name: &str| node.join(name);
        Self {
            node: node.to_owned(),
            store: under("store"),
            creating: under("store.creating"),
            recovering: under("store.recovering"),
        }
    }

    pub(super) fn set_aside(&self, files: &Files, why: &str) -> Result<PathBuf> {
        let moved =
            (1..u32::MAX).map(|n| self.node.join(format!("store.{why}.{n}"))).find(|path| !path.exists());
        let moved = moved.ok_or_else(|| Error::storage("too many directories were set aside"))?;
        let renamed = files.rename(&self.store, &moved);
        renamed.map_err(|error| io_error("setting a directory aside", &error))?;
        Ok(moved)
    }

    /// Removes what nothing acknowledged can be in.
    pub(super) fn remove_leftover(path: &Path) -> Result<()> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(io_error("removing what a crash has left", &error))
            }
            _ => Ok(()),
        }
    }
}

/// Opens sled as the rules ask: no flusher of its own, the default segment size, a divided cache.
pub(super) fn open_sled(store: &Path, options: &SledOptions) -> Result<sled::Db> {
    let config = sled::Config::new().path(store).cache_capacity(options.cache()).flush_every_ms(None);
    let mut tries = 0;
    loop {
        match guarded("opening the store", || config.open()) {
            Ok(db) => return Ok(db),
            // A database that was just closed lets go of its file a little later.
            Err((_, Failure::Locked)) if tries < 300 => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Err((error, Failure::Damage)) => return Err(Error::corrupt(error.message())),
            Err((error, _)) => return Err(error),
        }
    }
}

/// Finds the store's format, after creating the store or ending a recovery that was interrupted, if need be.
pub(super) fn find_or_create(places: &Places, options: &SledOptions, schema: u32) -> Result<Format> {
    let files = &options.files;
    let fail = |error: std::io::Error| io_error("preparing the store's directory", &error);
    if !places.store.exists() {
        let damaged = entries(&places.node, |name| name.starts_with("store.damaged.")).map_err(fail)?;
        if places.recovering.exists() && !damaged.is_empty() {
            files.rename(&places.recovering, &places.store).map_err(fail)?;
            files.sync_directory(&places.node).map_err(fail)?;
        } else if !damaged.is_empty() {
            return Err(Error::corrupt(
                "the store is missing while a damaged one lies beside it: restore `store` from a backup, or remove \
                 the directory and join again from another member",
            ));
        }
    }
    Places::remove_leftover(&places.creating)?;
    if let Some(format) = Format::read(&places.store, schema)? {
        Places::remove_leftover(&places.recovering)?;
        return Ok(format);
    }
    if places.store.exists() {
        let kept = places.set_aside(files, "unfinished")?;
        tracing::warn!(kept = %kept.display(), "a directory in place of the store was never created as one");
    }
    create(places, options, schema)
}

fn create(places: &Places, options: &SledOptions, schema: u32) -> Result<Format> {
    let files = &options.files;
    let fail = |error: std::io::Error| io_error("creating the store", &error);
    let safe = options.rules().safe_creation;
    let at = if safe { &places.creating } else { &places.store };
    let format = Format::new(schema)?;
    fs::create_dir(at).map_err(fail)?;
    let db = open_sled(at, options)?;
    let progress = Progress::open(&at.join(ACKNOWLEDGED), format.checksum_key())?;
    let engine = Engine::new(db, at, format.checksum_key(), files.clone(), Rules::ALL, progress)?;
    let empty = Marker::default();
    engine.apply(&[engine.marker_op(&empty)?])?;
    engine.barrier(engine.ticket())?;
    let clean = Acknowledged { batch: 0, digest: empty.digest, clean: true };
    engine.progress().write(clean)?;
    guarded("closing the new store", || {
        drop(engine);
        Ok(())
    })
    .map_err(|(error, _)| error)?;
    fs::copy(at.join("conf"), at.join(SAVED_CONF)).map_err(fail)?;
    let bytes = format.encode()?;
    for name in FORMAT_NAMES {
        files.write(&at.join(name), &bytes).map_err(fail)?;
    }
    if safe {
        files.sync_tree(at).map_err(fail)?;
        files.rename(at, &places.store).map_err(fail)?;
        files.sync_directory(&places.node).map_err(fail)?;
        files.sync_above(&places.node).map_err(fail)?;
    }
    Ok(format)
}

/// A fresh copy of the store to try a recovery on, without sled's snapshots if so asked.
pub(super) fn copy_for_recovery(places: &Places, without_snapshots: bool, saved_conf: bool) -> Result<()> {
    let fail = |error: std::io::Error| io_error("copying the store to recover it", &error);
    Places::remove_leftover(&places.recovering)?;
    copy_tree(&places.store, &places.recovering).map_err(fail)?;
    if without_snapshots {
        for path in entries(&places.recovering, |name| name.starts_with("snap.")).map_err(fail)? {
            fs::remove_file(path).map_err(fail)?;
        }
    }
    if saved_conf {
        fs::copy(places.recovering.join(SAVED_CONF), places.recovering.join("conf")).map_err(fail)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_record_comes_back_and_any_damage_is_seen() {
        let format = Format::new(7).unwrap();
        let good = format.encode().unwrap();
        assert!(Format::decode(&good).unwrap().unwrap() == format);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Format::decode(&bad).is_none());
        }
        assert!((0..good.len()).all(|length| Format::decode(&good[..length]).is_none()));
    }

    #[test]
    fn one_copy_is_enough_none_is_no_store_and_two_damaged_are_corrupt() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::default();
        assert!(Format::read(directory.path(), 1).unwrap().is_none());
        let format = Format::new(1).unwrap();
        format.write(directory.path(), &files).unwrap();
        for name in FORMAT_NAMES {
            fs::write(directory.path().join(name), b"damaged").unwrap();
            let found = Format::read(directory.path(), 1);
            if name == FORMAT_NAMES[0] {
                assert!(found.unwrap().unwrap() == format);
            } else {
                assert_eq!(found.err().unwrap().kind(), ErrorKind::Corrupt);
            }
        }
    }

    #[test]
    fn a_newer_layout_or_schema_is_a_version_mismatch() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::default();
        let format = Format::new(5).unwrap();
        format.write(directory.path(), &files).unwrap();
        assert!(Format::read(directory.path(), 5).unwrap().is_some());
        assert_eq!(Format::read(directory.path(), 4).err().unwrap().kind(), ErrorKind::VersionMismatch);
        Format { layout: LAYOUT + 1, ..format }.write(directory.path(), &files).unwrap();
        assert_eq!(Format::read(directory.path(), 5).err().unwrap().kind(), ErrorKind::VersionMismatch);
    }
}
