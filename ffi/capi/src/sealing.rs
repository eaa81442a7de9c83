//! What a node's directory is sealed under, and backups of it.

use std::ffi::c_char;
use std::path::Path;

use kith_core::storage::{self, Exported, ImportOptions, StorageKey};
use kith_core::{Error, Result};

use crate::border::border;
use crate::bytes::{array, optional_output, optional_text, text};
use crate::handle::borrow;
use crate::inside;
use crate::node::kith_node;
use crate::options::{KITH_ENGINE_AUTO, engine_of};
use crate::sized::{fill, growing, read};
use crate::status::kith_status;
use crate::wait::wait;

/// A caller's key, or passphrase, or neither.
///
/// # Safety
/// `key` is NULL or has 32 bytes; `passphrase` is NULL or ends in NUL.
pub(crate) unsafe fn storage_key(key: *const u8, passphrase: *const c_char) -> Result<Option<StorageKey>> {
    // SAFETY: passed on.
    match unsafe { (key.is_null(), optional_text(passphrase, "the passphrase")?) } {
        (true, None) => Ok(None),
        (true, Some(passphrase)) => StorageKey::from_passphrase(passphrase).map(Some),
        // SAFETY: passed on.
        (false, None) => Ok(Some(StorageKey::new(unsafe { array(key, "the key")? }))),
        (false, Some(_)) => Err(Error::invalid_argument("a key and a passphrase: one of them is enough")),
    }
}

/// # Safety
/// As for [`storage_key`].
unsafe fn needed(key: *const u8, passphrase: *const c_char) -> Result<StorageKey> {
    // SAFETY: passed on.
    unsafe { storage_key(key, passphrase)? }
        .ok_or_else(|| Error::invalid_argument("neither a key nor a passphrase"))
}

/// Seals the directory under another key of 32 bytes, or under a passphrase (the other one is NULL), while everything goes on: at once, however much
/// there is, since only the random key that the records are sealed under is sealed anew. A crash leaves a directory that the old key opens, or the
/// new one. When this has returned only the new one does, and a key file is gone. KITH_UNSUPPORTED for a node without a directory, KITH_CLOSED
/// while it is suspended. Cancelling it lets it finish in the background.
///
/// Who has a copy of the directory from before and the old key reads that copy, and with the random key in it later ones: after a theft of both, export the
/// directory and import it into a new one.
///
/// # Safety
/// `node` is a node of this library or NULL; `key` is NULL or has 32 bytes; `passphrase` is NULL or ends in NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_change_storage_key(
    node: *mut kith_node,
    key: *const u8,
    passphrase: *const c_char,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (node, key) = unsafe { (borrow(node)?, needed(key, passphrase)?) };
        wait(node.change_storage_key(key))
    }
}

/// What was exported or imported.
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct kith_exported {
    /// How many records there are.
    pub records: u64,
    /// How many bytes they have, keys and values.
    pub bytes: u64,
    /// Whether it is a move, so that what is imported signs.
    pub moved: bool,
}

/// # Safety
/// `place` is NULL or may be written.
unsafe fn say(place: *mut kith_exported, done: &Exported) {
    // SAFETY: passed on.
    if let Some(place) = unsafe { optional_output(place) } {
        place.set(kith_exported { records: done.records, bytes: done.bytes, moved: done.moved });
    }
}

/// Exports everything to a new file that only its owner can read, sealed under a key of 32 bytes or a passphrase (the other one is NULL): a backup,
/// while the node goes on; with sled changes wait meanwhile. Blocks while it is written. kith_node_import makes a directory of it. KITH_INVALID_ARGUMENT if the file is
/// there already. `exported` may be NULL. Cancelling it lets it finish in the background.
///
/// # Safety
/// `node` is a node of this library or NULL; `path` ends in NUL; `key` is NULL or has 32 bytes; `passphrase` is NULL or ends in NUL; `exported`
/// is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_export(
    node: *const kith_node,
    path: *const c_char,
    key: *const u8,
    passphrase: *const c_char,
    exported: *mut kith_exported,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (node, path, key) = unsafe { (borrow(node)?, text(path, "path")?, needed(key, passphrase)?) };
        let done = wait(node.export(Path::new(path), &key))?;
        // SAFETY: as the caller vouches.
        unsafe { say(exported, &done) };
        Ok(())
    }
}

/// How an export is taken in. Filled by kith_import_options_init, then changed.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct kith_import_options {
    /// sizeof(kith_import_options), set by kith_import_options_init.
    pub struct_size: usize,
    /// What the new directory is sealed under, as in kith_node_options.
    pub storage_key: *const u8,
    /// The same, as a passphrase.
    pub storage_passphrase: *const c_char,
    /// KITH_ENGINE_…: what keeps the new directory. At first KITH_ENGINE_AUTO: redb.
    pub storage: u32,
    /// Whether the new directory signs although the export is a backup. At first false. Only the owner can know that the directory it was made of, and every
    /// other copy, is gone for good, and that nothing was written there after the backup: else its history is forked, and the others remove the
    /// member. Without it, the directory catches up with what was published after the backup, and kith_node_adopt is safe then.
    pub adopt: bool,
    /// Not used; zeros.
    pub reserved: [u8; 3],
}

growing!(kith_import_options, filled_by: "kith_import_options_init", last: reserved: [u8; 3], since: [], kith_import_options {
    struct_size: size_of::<kith_import_options>(),
    storage_key: std::ptr::null(),
    storage_passphrase: std::ptr::null(),
    storage: KITH_ENGINE_AUTO,
    adopt: false,
    reserved: [0; 3],
});

/// Sets all options of a struct of this size to their defaults: what kith_import_options_init is in this header. `size` is sizeof(kith_import_options), as
/// the caller's header has it; no more is written.
///
/// # Safety
/// `options` is NULL, or `size` bytes may be written there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_import_options_init_sized(options: *mut kith_import_options, size: usize) {
    // SAFETY: the caller vouches for it.
    unsafe { fill(options, size) };
}

/// Makes a node's directory at `path` of the export at `from`, which is sealed under a key of 32 bytes or a passphrase (the other one is NULL). It is there whole
/// or not at all: on an error nothing is. A node that is opened in it is the same member, and signs nothing (kith_node_status: copied) until kith_node_adopt, unless
/// the export is a move. Blocks while it is written; it needs no node, and cannot be cancelled.
///
/// KITH_NOT_FOUND if the file is not there; KITH_INVALID_ARGUMENT if the directory is there and not empty, or the file is no export; KITH_KEY_REQUIRED if it needs
/// another key; KITH_VERSION_MISMATCH if a newer library has written it; KITH_CORRUPT if anything of it is damaged, missing or too much.
///
/// `options` may be NULL: the defaults, which seal the directory under a key file. `imported` may be NULL.
///
/// # Safety
/// Texts end in NUL; `key` is NULL or has 32 bytes; `passphrase` is NULL or ends in NUL; `options` is NULL or was filled by kith_import_options_init, and its
/// key and passphrase are as these; `imported` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_import(
    from: *const c_char,
    key: *const u8,
    passphrase: *const c_char,
    path: *const c_char,
    options: *const kith_import_options,
    imported: *mut kith_exported,
) -> kith_status {
    border! {
        inside::check()?;
        // SAFETY: as the caller vouches.
        let (from, key, path, options) = unsafe {
            (text(from, "from")?, needed(key, passphrase)?, text(path, "path")?, import_options(options)?)
        };
        let done = storage::import(Path::new(from), &key, Path::new(path), &options)?;
        // SAFETY: as the caller vouches.
        unsafe { say(imported, &done) };
        Ok(())
    }
}

/// # Safety
/// `options` is NULL, or points to its `struct_size`, which says how much there is behind it; its key has 32 bytes and its passphrase ends in NUL.
unsafe fn import_options(options: *const kith_import_options) -> Result<ImportOptions> {
    let mut built = ImportOptions::default();
    if options.is_null() {
        return Ok(built);
    }
    // SAFETY: passed on.
    unsafe {
        let options = read(options)?;
        built.engine = engine_of(options.storage)?;
        built.key = storage_key(options.storage_key, options.storage_passphrase)?;
        built.adopt = options.adopt;
    }
    Ok(built)
}

/// Says that a directory is the only one that signs as its members, which only its owner can know: after it was copied to where it belongs by other means, or for
/// a backup whose origin is gone for good, with the dangers of kith_import_options.adopt. `key` (32 bytes) or `passphrase` is the directory's own; both
/// NULL: it has a key file. Blocks while the store is opened; it needs no node, and cannot be cancelled. KITH_BUSY if a node has the directory open,
/// KITH_NOT_FOUND if there never was one, KITH_KEY_REQUIRED for another key.
///
/// # Safety
/// `path` ends in NUL; `key` is NULL or has 32 bytes; `passphrase` is NULL or ends in NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_adopt(
    path: *const c_char,
    key: *const u8,
    passphrase: *const c_char,
) -> kith_status {
    border! {
        inside::check()?;
        // SAFETY: as the caller vouches.
        let (path, key) = unsafe { (text(path, "path")?, storage_key(key, passphrase)?) };
        storage::adopt(Path::new(path), key)
    }
}
