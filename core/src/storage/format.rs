//! The directory of a store: how it comes to be, whole or not at all, and the format record that says that it is, and of
//! which engine.
//!
//! In the node's directory: `store` is the store. `store.creating` is one whose creation did not end, `store.recovering` a
//! copy on which a recovery is tried: neither holds anything that was acknowledged. `store.damaged.1` … are stores that a
//! recovery has replaced, `store.unfinished.1` … directories in place of a store that were never created as one: they
//! are kept, and removing them is the owner's decision.

use std::fs;
use std::path::{Path, PathBuf};

use borsh::{BorshDeserialize, BorshSerialize};

use super::files::{Files, entries, io_error, read_at_most};
use super::record::ChecksumKey;
use super::{Batch, Durability, EngineName, Store};
use crate::{Error, ErrorKind, Result};

/// The version of what the layers above write. Raised with a migration in `MIGRATIONS`.
pub const SCHEMA: u32 = 2;

/// Brings a store from one schema version to the next. Run again after a crash in it, it has to end the same.
#[derive(Clone, Copy)]
pub(crate) struct Migration {
    /// The version that it starts from.
    pub(crate) from: u32,
    /// What it does.
    pub(crate) run: fn(&dyn Store) -> Result<()>,
}

pub(crate) const MIGRATIONS: &[Migration] = &[];

/// When to read and verify everything at open, besides the cheap check of the marker that is always made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Not at open; the stores' `verify` does it at any time.
    Never,
    /// When the store was not closed in order.
    #[default]
    AfterCrash,
    /// At every open.
    Always,
}

impl Verify {
    /// Whether to read everything now.
    pub(crate) const fn now(self, closed_in_order: bool) -> bool {
        match self {
            Self::Always => true,
            Self::AfterCrash => !closed_in_order,
            Self::Never => false,
        }
    }
}

const MAGIC: [u8; 8] = *b"KITHFORM";
/// What lies where, and how; raised only with a way to read the one before.
const LAYOUT: u32 = 2;
const HASH: usize = 32;

/// The format record. It exists twice; one that verifies is enough.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Format {
    layout: u32,
    /// The version of what the layers above have written.
    pub(crate) schema: u32,
    checksum_key: [u8; 32],
    pub(crate) engine: EngineName,
}

/// The format record of layout 1, when there was one engine.
#[derive(BorshDeserialize)]
struct FormatOne {
    _layout: u32,
    schema: u32,
    checksum_key: [u8; 32],
}

impl Format {
    pub(crate) const fn checksum_key(&self) -> ChecksumKey {
        ChecksumKey(self.checksum_key)
    }

    pub(crate) fn new(schema: u32, engine: EngineName) -> Result<Self> {
        let mut checksum_key = [0; 32];
        getrandom::fill(&mut checksum_key)
            .map_err(|error| Error::internal(format!("no randomness: {error}")))?;
        Ok(Self { layout: LAYOUT, schema, checksum_key, engine })
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
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
        if layout == 1 {
            let FormatOne { schema, checksum_key, .. } = borsh::from_slice(body).ok()?;
            return Some(Ok(Self { layout: LAYOUT, schema, checksum_key, engine: EngineName::Sled }));
        }
        borsh::from_slice(body).ok().map(Ok)
    }

    /// The format of the store in a directory, or `None` if it was never created as one.
    pub(crate) fn read(store: &Path, schema: u32) -> Result<Option<Self>> {
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

    /// Fails if the directory belongs to another engine.
    pub(crate) fn expect(&self, wanted: EngineName) -> Result<()> {
        if self.engine == wanted {
            return Ok(());
        }
        Err(Error::invalid_argument(format!(
            "the directory was made with the engine {}; it cannot be opened with {wanted}",
            self.engine
        )))
    }

    /// Brings an older store up to this schema, step by step, each durable before the record says so.
    pub(crate) fn migrate(
        &mut self,
        store: &dyn Store,
        (places, files): (&Places, &Files),
        schema: u32,
        migrations: &[Migration],
    ) -> Result<()> {
        while self.schema < schema {
            let Some(migration) = migrations.iter().find(|migration| migration.from == self.schema) else {
                let message =
                    format!("the store's schema is version {}, too old for this build", self.schema);
                return Err(Error::new(ErrorKind::VersionMismatch, message));
            };
            (migration.run)(store)?;
            // Nothing to write, but what was written before is durable when it returns.
            store.commit(&Batch::default(), Durability::Power)?;
            self.schema += 1;
            self.write(&places.store, files)?;
        }
        Ok(())
    }

    /// Replaces both copies, durably.
    pub(crate) fn write(&self, store: &Path, files: &Files) -> Result<()> {
        let bytes = self.encode()?;
        FORMAT_NAMES.iter().try_for_each(|name| {
            let replaced = files.replace(&store.join(name), &bytes);
            replaced.map_err(|error| io_error("writing the format record", &error))
        })
    }
}

/// The engine of the store in a node's directory, if there is one.
pub(crate) fn engine_of(node: &Path) -> Result<Option<EngineName>> {
    let places = Places::new(node);
    if node.exists() && !places.store.exists() && !places.damaged()?.is_empty() {
        // Only sled's recovery leaves that, and only it knows how to go on.
        return Ok(Some(EngineName::Sled));
    }
    Ok(Format::read(&places.store, SCHEMA)?.map(|format| format.engine))
}

/// Neither may share its stem with another: a replacement is written to `stem.new` first.
const FORMAT_NAMES: [&str; 2] = ["format", "format-copy"];
pub(crate) const ACKNOWLEDGED: &str = "acknowledged";

fn newer(what: &str, found: u32, known: u32) -> Error {
    let message = format!(
        "the store's {what} is version {found}; this build knows versions up to {known}: use a newer one"
    );
    Error::new(ErrorKind::VersionMismatch, message)
}

/// The places in a node's directory.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) node: PathBuf,
    pub(crate) store: PathBuf,
    pub(crate) creating: PathBuf,
    pub(crate) recovering: PathBuf,
}

impl Places {
    pub(crate) fn new(node: &Path) -> Self {
        let under = |name: &str| node.join(name);
        Self {
            node: node.to_owned(),
            store: under("store"),
            creating: under("store.creating"),
            recovering: under("store.recovering"),
        }
    }

    /// The format of the store that is here, or `None` where one is to be created.
    pub(crate) fn find(&self, files: &Files, schema: u32, engine: EngineName) -> Result<Option<Format>> {
        if !self.store.exists() && !self.damaged()?.is_empty() {
            return Err(Error::corrupt(
                "the store is missing while a damaged one lies beside it: restore `store` from a backup, or remove \
                 the directory and join again from another member",
            ));
        }
        Self::remove_leftover(&self.creating)?;
        if let Some(format) = Format::read(&self.store, schema)? {
            format.expect(engine)?;
            return Ok(Some(format));
        }
        if self.store.exists() {
            let kept = self.set_aside(files, "unfinished")?;
            tracing::warn!(kept = %kept.display(), "a directory in place of the store was never created as one");
        }
        Ok(None)
    }

    /// Stores that a recovery has replaced.
    pub(crate) fn damaged(&self) -> Result<Vec<PathBuf>> {
        entries(&self.node, |name| name.starts_with("store.damaged."))
            .map_err(|error| io_error("preparing the store's directory", &error))
    }

    /// Ends a creation: the format record is written, everything made durable, and then it is the store. Unless `safe`
    /// (for a test of what that is for) it was made in its place.
    pub(crate) fn install(&self, files: &Files, format: &Format, at: &Path, safe: bool) -> Result<()> {
        let fail = |error: std::io::Error| io_error("creating the store", &error);
        let bytes = format.encode()?;
        for name in FORMAT_NAMES {
            files.write(&at.join(name), &bytes).map_err(fail)?;
        }
        if safe {
            files.sync_tree(at).map_err(fail)?;
            files.rename(at, &self.store).map_err(fail)?;
            files.sync_directory(&self.node).map_err(fail)?;
            files.sync_above(&self.node).map_err(fail)?;
        }
        Ok(())
    }

    pub(crate) fn set_aside(&self, files: &Files, why: &str) -> Result<PathBuf> {
        let moved =
            (1..u32::MAX).map(|n| self.node.join(format!("store.{why}.{n}"))).find(|path| !path.exists());
        let moved = moved.ok_or_else(|| Error::storage("too many directories were set aside"))?;
        let renamed = files.rename(&self.store, &moved);
        renamed.map_err(|error| io_error("setting a directory aside", &error))?;
        Ok(moved)
    }

    /// Removes what nothing acknowledged can be in.
    pub(crate) fn remove_leftover(path: &Path) -> Result<()> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(io_error("removing what a crash has left", &error))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_record_comes_back_and_any_damage_is_seen() {
        let format = Format::new(7, EngineName::Redb).unwrap();
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
        let format = Format::new(1, EngineName::Sled).unwrap();
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
        let format = Format::new(5, EngineName::Sled).unwrap();
        format.write(directory.path(), &files).unwrap();
        assert!(Format::read(directory.path(), 5).unwrap().is_some());
        assert_eq!(Format::read(directory.path(), 4).err().unwrap().kind(), ErrorKind::VersionMismatch);
        Format { layout: LAYOUT + 1, ..format }.write(directory.path(), &files).unwrap();
        assert_eq!(Format::read(directory.path(), 5).err().unwrap().kind(), ErrorKind::VersionMismatch);
    }

    #[test]
    fn a_record_of_layout_one_is_of_sled() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&borsh::to_vec(&(1u32, 2u32, [7u8; 32])).unwrap());
        let hash = blake3::derive_key("kith 2026 format record", &bytes);
        bytes.extend_from_slice(&hash);
        let format = Format::decode(&bytes).unwrap().unwrap();
        assert_eq!((format.schema, format.checksum_key, format.engine), (2, [7; 32], EngineName::Sled));
        assert!(format.expect(EngineName::Sled).is_ok());
        let refused = format.expect(EngineName::Redb).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
        assert!(refused.message().contains("sled") && refused.message().contains("redb"), "{refused}");
    }
}
