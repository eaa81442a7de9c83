//! Structs of options. Each begins with its size, by which later versions know what a program has filled ([`crate::sized`]).

use std::ffi::c_char;
use std::time::Duration;

use kith_core::node::{Durability, InviteOptions, Options, default_directory};
use kith_core::replica::Role;
use kith_core::storage::StorageEngine;
use kith_core::{Error, Result};

use crate::border::border;
use crate::bytes::{kith_buffer, optional_text, output, text};
use crate::handle::borrow;
use crate::sealing::storage_key;
use crate::sized::{fill, fill_shortest, growing, read};
use crate::status::kith_status;
use crate::testing::kith_hub;

/// What a member may do: everything.
pub const KITH_ADMIN: u32 = 3;
/// What a member may do: call the application's methods.
pub const KITH_WRITER: u32 = 2;
/// What a member may do: read, and admit those who hold an invitation.
pub const KITH_READER: u32 = 1;
/// No role: not a member, yet or any more.
pub const KITH_NO_ROLE: u32 = 0;

/// Reads see everything that is known, in an order that may still move.
pub const KITH_TENTATIVE: u32 = 0;
/// Reads see only what never changes again. KITH_UNSUPPORTED until finality is there.
pub const KITH_FINAL: u32 = 1;

/// What was acknowledged survives the loss of power.
pub const KITH_DURABLE_POWER: u32 = 0;
/// What was acknowledged survives the death of the process.
pub const KITH_DURABLE_PROCESS: u32 = 1;

/// The engine that a directory has; a new one is redb's.
pub const KITH_ENGINE_AUTO: u32 = 0;
/// sled.
pub const KITH_ENGINE_SLED: u32 = 1;
/// redb.
pub const KITH_ENGINE_REDB: u32 = 2;

/// A timeout that is never over.
pub const KITH_FOREVER: u64 = u64::MAX;

pub(crate) fn role_of(number: u32) -> Result<Role> {
    match number {
        KITH_ADMIN => Ok(Role::Admin),
        KITH_WRITER => Ok(Role::Writer),
        KITH_READER => Ok(Role::Reader),
        other => Err(Error::invalid_argument(format!("{other} is no role"))),
    }
}

pub(crate) fn engine_of(number: u32) -> Result<StorageEngine> {
    match number {
        KITH_ENGINE_AUTO => Ok(StorageEngine::Auto),
        KITH_ENGINE_SLED => Ok(StorageEngine::Sled),
        KITH_ENGINE_REDB => Ok(StorageEngine::Redb),
        other => Err(Error::invalid_argument(format!("{other} is no storage engine"))),
    }
}

pub(crate) fn timeout_of(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What a node is opened with. Filled by kith_node_options_init, then changed.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct kith_node_options {
    /// sizeof(kith_node_options), set by kith_node_options_init.
    pub struct_size: usize,
    /// Where to listen, as multiaddresses ("/ip4/127.0.0.1/tcp/0"; port 0: the system chooses). NULL: all addresses of
    /// this machine, TCP and QUIC. Not NULL with listen_count 0: nowhere.
    pub listen: *const *const c_char,
    /// How many there are.
    pub listen_count: usize,
    /// Peers to connect to, as multiaddresses with /p2p/….
    pub bootstrap: *const *const c_char,
    /// How many there are.
    pub bootstrap_count: usize,
    /// Whether to find peers in the local network, and be found. At first true.
    pub discovery: bool,
    /// KITH_DURABLE_POWER (at first) or KITH_DURABLE_PROCESS.
    pub durability: u32,
    /// How many batches of events are kept for those who start after a cursor. 0: the library's default.
    pub event_retention: u64,
    /// Not NULL: the node meets only the nodes of this hub, without sockets; `listen` NULL is then an address of the hub's.
    pub hub: *const kith_hub,
    /// KITH_ENGINE_AUTO (at first), KITH_ENGINE_SLED or KITH_ENGINE_REDB: what keeps the directory. A directory of another engine is
    /// KITH_INVALID_ARGUMENT.
    pub storage: u32,
    /// What everything in the directory is sealed under: 32 bytes that the host keeps, best in the system's keystore. A directory that is sealed
    /// under another key, or under one where none is given, is KITH_KEY_REQUIRED. NULL, and no passphrase: a key file beside the store (`storage-key`, readable
    /// by its owner only), which is made with it; kith_node_status says so. kith_node_change_storage_key seals it under another one. Of a node without a
    /// directory it is not looked at. The library keeps a copy while the node lives, and wipes that; these bytes are the caller's to wipe.
    pub storage_key: *const u8,
    /// In the place of the key: a passphrase of 1 to 1,024 bytes, from which it is worked out whenever the store is opened (32 MiB and some tenths
    /// of a second). The bytes count: normalise what people type (NFC). NULL: none. Both are KITH_INVALID_ARGUMENT.
    pub storage_passphrase: *const c_char,
    /// Relays to be reached through, as multiaddresses with /p2p/…; at most 4. The node keeps a place at each, names them in invitations, and says in
    /// kith_node_status how it stands with them. A relay sees neither contexts nor what is said. At first NULL: none.
    pub relays: *const *const c_char,
    /// How many there are.
    pub relays_count: usize,
    /// Whether others are dialled through relays; always where `relays` are named. At first true.
    pub through_relays: bool,
    /// Whether a direct connection is tried where a link goes through a relay. At first true.
    pub hole_punching: bool,
    /// Whether peers are asked which of the node's addresses they reach (AutoNAT), so that others are told of these. At first true.
    pub autonat: bool,
    /// Whether contexts with more than 8 members gossip. Without it they are in step a few seconds later. At first true.
    pub gossip: bool,
    /// Not used; zeros.
    pub reserved: [u8; 4],
}

// 0 first had the options up to `storage`.
growing!(kith_node_options, filled_by: "kith_node_options_init", last: reserved: [u8; 4], since: [storage_key], kith_node_options {
    struct_size: size_of::<kith_node_options>(),
    listen: std::ptr::null(),
    listen_count: 0,
    bootstrap: std::ptr::null(),
    bootstrap_count: 0,
    discovery: true,
    durability: KITH_DURABLE_POWER,
    event_retention: 0,
    hub: std::ptr::null(),
    storage: KITH_ENGINE_AUTO,
    storage_key: std::ptr::null(),
    storage_passphrase: std::ptr::null(),
    relays: std::ptr::null(),
    relays_count: 0,
    through_relays: true,
    hole_punching: true,
    autonat: true,
    gossip: true,
    reserved: [0; 4],
});

/// Sets the options that this struct had first to their defaults, for programs that were built when it had no others. With this header the macro of the
/// same name is used, which says how long the struct is.
///
/// # Safety
/// `options` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_options_init(options: *mut kith_node_options) {
    // SAFETY: the caller vouches for it.
    unsafe { fill_shortest(options) };
}

/// Sets all options of a struct of this size to their defaults: what kith_node_options_init is in this header. `size` is sizeof(kith_node_options), as the
/// caller's header has it; no more is written.
///
/// # Safety
/// `options` is NULL, or `size` bytes may be written there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_options_init_sized(options: *mut kith_node_options, size: usize) {
    // SAFETY: the caller vouches for it.
    unsafe { fill(options, size) };
}

/// What an invitation allows. Filled by kith_invite_options_init, then changed.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct kith_invite_options {
    /// sizeof(kith_invite_options), set by kith_invite_options_init.
    pub struct_size: usize,
    /// The role that it gives. At first KITH_WRITER.
    pub role: u32,
    /// How many may join by it. At first 1.
    pub max_uses: u32,
    /// For how many ms it may be used; KITH_FOREVER: no end. At first a week.
    pub expires_in: u64,
    /// For people, at most 128 bytes; NULL: none.
    pub note: *const c_char,
}

growing!(kith_invite_options, filled_by: "kith_invite_options_init", last: note: *const c_char, since: [], {
    let defaults = InviteOptions::default();
    let expires_in =
        defaults.expires_in.map_or(KITH_FOREVER, |time| u64::try_from(time.as_millis()).unwrap_or(KITH_FOREVER));
    kith_invite_options {
        struct_size: size_of::<kith_invite_options>(),
        role: defaults.role as u32,
        max_uses: defaults.max_uses,
        expires_in,
        note: std::ptr::null(),
    }
});

/// Sets the options that this struct had first to their defaults, for programs that were built when it had no others. With this header the macro of the
/// same name is used, which says how long the struct is.
///
/// # Safety
/// `options` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_invite_options_init(options: *mut kith_invite_options) {
    // SAFETY: the caller vouches for it.
    unsafe { fill_shortest(options) };
}

/// Sets all options of a struct of this size to their defaults: what kith_invite_options_init is in this header. `size` is sizeof(kith_invite_options), as the
/// caller's header has it; no more is written.
///
/// # Safety
/// `options` is NULL, or `size` bytes may be written there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_invite_options_init_sized(options: *mut kith_invite_options, size: usize) {
    // SAFETY: the caller vouches for it.
    unsafe { fill(options, size) };
}

/// # Safety
/// `options` is NULL, or points to its `struct_size`, which says how much there is behind it, and its texts end in NUL.
pub(crate) unsafe fn node_options(path: Option<&str>, options: *const kith_node_options) -> Result<Options> {
    let mut built = Options::at(path.unwrap_or_default());
    built.path = path.map(Into::into);
    if options.is_null() {
        return Ok(built);
    }
    // SAFETY: passed on.
    let options = unsafe { read(options)? };
    if !options.hub.is_null() {
        // SAFETY: passed on.
        let within = Options::in_memory(unsafe { borrow(options.hub)? });
        (built.listen, built.transport) = (within.listen, within.transport);
    }
    // SAFETY: passed on.
    unsafe {
        if !options.listen.is_null() {
            built.listen = texts(options.listen, options.listen_count, "listen")?;
        }
        built.bootstrap = texts(options.bootstrap, options.bootstrap_count, "bootstrap")?;
    }
    built.discovery = options.discovery && options.hub.is_null();
    built.durability = match options.durability {
        KITH_DURABLE_POWER => Durability::Power,
        KITH_DURABLE_PROCESS => Durability::Process,
        other => return Err(Error::invalid_argument(format!("{other} is no durability"))),
    };
    built.storage = engine_of(options.storage)?;
    // SAFETY: passed on.
    unsafe {
        built.storage_key = storage_key(options.storage_key, options.storage_passphrase)?;
        built.relays = texts(options.relays, options.relays_count, "relays")?;
    }
    built.through_relays = options.through_relays;
    built.hole_punching = options.hole_punching;
    built.autonat = options.autonat;
    built.gossip = options.gossip;
    if options.event_retention > 0 {
        built.event_retention = options.event_retention;
    }
    Ok(built)
}

/// Most texts in one list of a caller's; a count beyond it is a mistake.
const TEXTS: usize = 1024;

/// # Safety
/// `list` is NULL or has `count` texts that end in NUL.
unsafe fn texts(list: *const *const c_char, count: usize, what: &str) -> Result<Vec<String>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if list.is_null() || count > TEXTS {
        return Err(Error::invalid_argument(format!("{what} is NULL or has more than {TEXTS} items")));
    }
    // SAFETY: passed on.
    (0..count).map(|index| unsafe { text(*list.add(index), what).map(String::from) }).collect()
}

/// # Safety
/// As for [`node_options`].
pub(crate) unsafe fn invite_options(options: *const kith_invite_options) -> Result<InviteOptions> {
    let mut built = InviteOptions::default();
    if options.is_null() {
        return Ok(built);
    }
    // SAFETY: passed on.
    let options = unsafe { read(options)? };
    built.role = role_of(options.role)?;
    built.max_uses = options.max_uses;
    built.expires_in = (options.expires_in != KITH_FOREVER).then(|| timeout_of(options.expires_in));
    // SAFETY: passed on.
    built.note = unsafe { optional_text(options.note, "note")? }.unwrap_or_default().to_owned();
    Ok(built)
}

/// The directory for a program's node on this system, for kith_node_open; nothing is made there. `name` is the program's, 1 to 64 bytes that
/// can be a folder's name. Linux and other Unix: $XDG_DATA_HOME/NAME, else ~/.local/share/NAME; macOS: ~/Library/Application Support/NAME; Windows:
/// NAME in %LOCALAPPDATA%; Android and iOS: KITH_UNSUPPORTED, the host knows its own.
///
/// # Safety
/// `name` ends in NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_default_directory(name: *const c_char, path: *mut kith_buffer) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (name, place) = unsafe { (text(name, "name")?, output(path, "path")?) };
        let path = default_directory(name)?.into_os_string().into_string();
        let path = path.map_err(|_| Error::invalid_argument("the directory is not UTF-8"))?;
        place.set(kith_buffer::from_vec(path.into_bytes()));
        Ok(())
    }
}
