//! The directory of a store: how it comes to be, whole or not at all, and the format record that says that it is, and of
//! which engine.
//!
//! In the node's directory: `store` is the store. `store.creating` is one whose creation did not end, `store.recovering` a
//! copy on which a recovery is tried: neither holds anything that was acknowledged. `store.damaged.1` … are stores that a
//! recovery has replaced, `store.unfinished.1` … directories in place of a store that were never created as one: they
//! are kept, and removing them is the owner's decision.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use super::files::{Files, entries, io_error, read_at_most};
use super::sealing::Sealer;
use super::storage_key::{self, Secret, Source, StorageKey, Wrap};
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
/// What lies where, and how. Layouts 1 and 2 had no sealed records, and were never released.
const LAYOUT: u32 = 3;
pub(super) const HASH: usize = 32;

/// The format record. It exists twice; one that verifies is enough.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Format {
    layout: u32,
    /// The version of what the layers above have written.
    pub(crate) schema: u32,
    pub(crate) engine: EngineName,
    seal: Seal,
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Format").field("schema", &self.schema).finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
enum Seal {
    /// Records have checksums with this key, and are not sealed: for measurements.
    Plain([u8; 32]),
    /// Records are sealed under the data key in here.
    Sealed(Wrap),
}

/// How a store is to be opened, or made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) files: &'a Files,
    pub(crate) schema: u32,
    pub(crate) engine: EngineName,
    pub(crate) key: Option<&'a StorageKey>,
    /// Whether a new store is sealed.
    pub(crate) seal: bool,
}

/// A format record with what its key has opened.
pub(crate) struct Unlocked {
    pub(crate) format: Format,
    key: RecordKey,
}

/// What the records of a store hang on.
enum RecordKey {
    Plain(Secret),
    Sealed(Secret),
}

impl Unlocked {
    /// What a new store has.
    pub(crate) fn new(places: &Places, opening: &Opening<'_>) -> Result<Self> {
        let secret = storage_key::random()?;
        let (seal, key) = if opening.seal {
            let wrap = Wrap::new(&secret, opening.key, &places.node, opening.files)?;
            (Seal::Sealed(wrap), RecordKey::Sealed(secret))
        } else {
            (Seal::Plain(*secret), RecordKey::Plain(secret))
        };
        let format = Format { layout: LAYOUT, schema: opening.schema, engine: opening.engine, seal };
        Ok(Self { format, key })
    }

    pub(crate) fn sealer(&self) -> Arc<Sealer> {
        Arc::new(match &self.key {
            RecordKey::Plain(key) => Sealer::plain(key.clone()),
            RecordKey::Sealed(key) => Sealer::sealed(key),
        })
    }

    /// The data key; `None` where nothing is sealed.
    pub(crate) fn into_parts(self) -> (Format, Option<Secret>) {
        match self.key {
            RecordKey::Plain(_) => (self.format, None),
            RecordKey::Sealed(key) => (self.format, Some(key)),
        }
    }
}

impl Format {
    pub(crate) const fn wrap(&self) -> Option<&Wrap> {
        match &self.seal {
            Seal::Plain(_) => None,
            Seal::Sealed(wrap) => Some(wrap),
        }
    }

    pub(crate) fn with_wrap(&self, wrap: Wrap) -> Self {
        Self { seal: Seal::Sealed(wrap), ..self.clone() }
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) const fn of(schema: u32, engine: EngineName, wrap: Option<Wrap>) -> Self {
        let seal = match wrap {
            Some(wrap) => Seal::Sealed(wrap),
            None => Seal::Plain([3; 32]),
        };
        Self { layout: LAYOUT, schema, engine, seal }
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

    /// `None` if the record does not verify. Another layout verifies in its first fields only.
    pub(super) fn decode(bytes: &[u8]) -> Option<Result<Self>> {
        let (body, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH)?)?;
        if blake3::derive_key("kith 2026 format record", body) != hash {
            return None;
        }
        let body = body.strip_prefix(&MAGIC)?;
        let layout = u32::from_le_bytes(*body.first_chunk()?);
        if layout > LAYOUT {
            return Some(Err(newer("layout", layout, LAYOUT)));
        }
        if layout < LAYOUT {
            return Some(Err(older("layout", layout)));
        }
        borsh::from_slice(body).ok().map(Ok)
    }

    /// The copies that verify of the format of the store in a directory; none if it was never created as one.
    fn copies(store: &Path, schema: u32) -> Result<Vec<Self>> {
        let mut present = false;
        let mut copies = Vec::new();
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
                Some(format) => copies.push(format?),
                None => tracing::warn!(name, "a copy of the store's format record is damaged"),
            }
        }
        if present && copies.is_empty() {
            return Err(Error::corrupt("both copies of the store's format record are damaged"));
        }
        Ok(copies)
    }

    fn unlock(&self, places: &Places, opening: &Opening<'_>) -> Result<RecordKey> {
        self.expect(opening.engine)?;
        match &self.seal {
            Seal::Sealed(wrap) => wrap.open(opening.key, &places.node).map(RecordKey::Sealed),
            Seal::Plain(_) if opening.seal => {
                Err(Error::invalid_argument("the store was made for measurements and is not sealed"))
            }
            Seal::Plain(key) => Ok(RecordKey::Plain((*key).into())),
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
                return Err(older("schema", self.schema));
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
    Ok(Format::copies(&places.store, SCHEMA)?.first().map(|format| format.engine))
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

fn older(what: &str, found: u32) -> Error {
    let message = format!("the store's {what} is version {found}, too old for this build");
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

    /// The format of the store that is here, opened with the key, or `None` where one is to be created. Without the right key nothing is
    /// changed.
    pub(crate) fn find(&self, opening: &Opening<'_>) -> Result<Option<Unlocked>> {
        let files = opening.files;
        if !self.store.exists() && !self.damaged()?.is_empty() {
            return Err(Error::corrupt(
                "the store is missing while a damaged one lies beside it: restore `store` from a backup, or remove \
                 the directory and join again from another member",
            ));
        }
        let unlocked = self.unlock(opening)?;
        Self::remove_leftover(&self.creating)?;
        if unlocked.is_none() && self.store.exists() {
            let kept = self.set_aside(files, "unfinished")?;
            tracing::warn!(kept = %kept.display(), "a directory in place of the store was never created as one");
        }
        Ok(unlocked)
    }

    /// A crash in changing the key leaves two copies under two keys: the one that opens counts for both.
    fn unlock(&self, opening: &Opening<'_>) -> Result<Option<Unlocked>> {
        let copies = Format::copies(&self.store, opening.schema)?;
        let mut first = None;
        for format in &copies {
            match format.unlock(self, opening) {
                Ok(key) => {
                    if copies.iter().any(|other| other != format) {
                        format.write(&self.store, opening.files)?;
                    }
                    if format.wrap().is_some_and(|wrap| wrap.source != Source::File) {
                        storage_key::remove_file(&self.node, opening.files)?;
                    }
                    return Ok(Some(Unlocked { format: format.clone(), key }));
                }
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        first.map_or(Ok(None), Err)
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

    fn opening<'a>(files: &'a Files, key: &'a StorageKey, schema: u32, engine: EngineName) -> Opening<'a> {
        Opening { files, schema, engine, key: Some(key), seal: true }
    }

    fn new(node: &Path, key: &StorageKey, schema: u32, engine: EngineName) -> Format {
        let files = Files::default();
        Unlocked::new(&Places::new(node), &opening(&files, key, schema, engine)).unwrap().format
    }

    #[test]
    fn a_format_record_comes_back_and_any_damage_is_seen() {
        let node = tempfile::tempdir().unwrap();
        let format = new(node.path(), &StorageKey::new([1; 32]), 7, EngineName::Redb);
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
        assert!(Format::copies(directory.path(), 1).unwrap().is_empty());
        let format = new(directory.path(), &StorageKey::new([1; 32]), 1, EngineName::Sled);
        format.write(directory.path(), &files).unwrap();
        for name in FORMAT_NAMES {
            fs::write(directory.path().join(name), b"damaged").unwrap();
            let found = Format::copies(directory.path(), 1);
            if name == FORMAT_NAMES[0] {
                assert!(found.unwrap() == [format.clone()]);
            } else {
                assert_eq!(found.err().unwrap().kind(), ErrorKind::Corrupt);
            }
        }
    }

    #[test]
    fn a_newer_layout_or_schema_is_a_version_mismatch() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::default();
        let format = new(directory.path(), &StorageKey::new([1; 32]), 5, EngineName::Sled);
        format.write(directory.path(), &files).unwrap();
        assert_eq!(Format::copies(directory.path(), 5).unwrap().len(), 2);
        assert_eq!(Format::copies(directory.path(), 4).err().unwrap().kind(), ErrorKind::VersionMismatch);
        Format { layout: LAYOUT + 1, ..format }.write(directory.path(), &files).unwrap();
        assert_eq!(Format::copies(directory.path(), 5).err().unwrap().kind(), ErrorKind::VersionMismatch);
    }

    /// They had no sealed records. Nothing of them is changed.
    #[test]
    fn layouts_one_and_two_are_refused() {
        let two = borsh::to_vec(&(2u32, 2u32, [7u8; 32], EngineName::Redb)).unwrap();
        for body in [borsh::to_vec(&(1u32, 2u32, [7u8; 32])).unwrap(), two] {
            let node = tempfile::tempdir().unwrap();
            let places = Places::new(node.path());
            let mut bytes = MAGIC.to_vec();
            bytes.extend_from_slice(&body);
            bytes.extend_from_slice(&blake3::derive_key("kith 2026 format record", &bytes.clone()));
            for directory in [&places.store, &places.creating] {
                fs::create_dir(directory).unwrap();
                fs::write(directory.join("format"), &bytes).unwrap();
            }
            let (files, key) = (Files::default(), StorageKey::new([1; 32]));
            let refused = places.find(&opening(&files, &key, SCHEMA, EngineName::Sled)).err().unwrap();
            assert_eq!(refused.kind(), ErrorKind::VersionMismatch);
            assert_eq!(engine_of(node.path()).unwrap_err().kind(), ErrorKind::VersionMismatch);
            assert_eq!(fs::read(places.store.join("format")).unwrap(), bytes);
            assert!(places.creating.exists());
        }
    }

    /// Two copies under two keys, as a crash leaves them: either key opens, and from then on it alone.
    #[test]
    fn a_change_of_the_key_that_broke_off_ends_with_the_key_that_opens() {
        let keys = [StorageKey::new([1; 32]), StorageKey::new([2; 32])];
        for (by, other) in [(0, 1), (1, 0)] {
            let node = tempfile::tempdir().unwrap();
            let (places, files) = (Places::new(node.path()), Files::default());
            fs::create_dir(&places.store).unwrap();
            let opening = |key| opening(&files, key, 1, EngineName::Sled);
            let unlocked = Unlocked::new(&places, &opening(&keys[0])).unwrap();
            unlocked.format.write(&places.store, &files).unwrap();
            let (format, data_key) = unlocked.into_parts();
            let data_key = data_key.unwrap();
            let wrap = Wrap::new(&data_key, Some(&keys[1]), node.path(), &files).unwrap();
            let changed = format.with_wrap(wrap).encode().unwrap();
            fs::write(places.store.join(FORMAT_NAMES[0]), changed).unwrap();

            let found = places.find(&opening(&keys[by])).unwrap().unwrap();
            assert_eq!(found.into_parts().1.unwrap(), data_key);
            assert_eq!(places.find(&opening(&keys[other])).err().unwrap().kind(), ErrorKind::KeyRequired);
            assert!(places.find(&opening(&keys[by])).unwrap().is_some());
        }
    }
}
