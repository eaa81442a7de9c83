//! Structs of options. Each begins with its size, by which later versions know what a program has filled.

use std::ffi::c_char;
use std::time::Duration;

use kith_core::node::{Durability, InviteOptions, Options, default_directory};
use kith_core::replica::Role;
use kith_core::storage::StorageEngine;
use kith_core::{Error, Result};

use crate::border::border;
use crate::bytes::{kith_buffer, optional_text, output, text};
use crate::handle::borrow;
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

pub(crate) fn timeout_of(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What a node is opened with. Filled by kith_node_options_init, then changed.
#[allow(non_camel_case_types)]
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
}

/// Sets all options to their defaults.
///
/// # Safety
/// `options` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_options_init(options: *mut kith_node_options) {
    if options.is_null() {
        return;
    }
    let defaults = kith_node_options {
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
    };
    // SAFETY: not NULL, and the caller vouches for the rest.
    unsafe { options.write(defaults) };
}

/// What an invitation allows. Filled by kith_invite_options_init, then changed.
#[allow(non_camel_case_types)]
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

/// Sets all options to their defaults.
///
/// # Safety
/// `options` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_invite_options_init(options: *mut kith_invite_options) {
    if options.is_null() {
        return;
    }
    let defaults = InviteOptions::default();
    let expires_in = defaults
        .expires_in
        .map_or(KITH_FOREVER, |time| u64::try_from(time.as_millis()).unwrap_or(KITH_FOREVER));
    let defaults = kith_invite_options {
        struct_size: size_of::<kith_invite_options>(),
        role: defaults.role as u32,
        max_uses: defaults.max_uses,
        expires_in,
        note: std::ptr::null(),
    };
    // SAFETY: not NULL, and the caller vouches for the rest.
    unsafe { options.write(defaults) };
}

/// Refuses a struct of another size: smaller, its later fields would be read past its end; larger, its later fields
/// would be ignored.
pub(crate) fn check_size(given: usize, known: usize, name: &str) -> Result<()> {
    if given == known {
        Ok(())
    } else {
        Err(Error::invalid_argument(format!(
            "{name}.struct_size is {given}, not {known}: it was not filled by {name}_init of this library"
        )))
    }
}

/// # Safety
/// `options` is NULL, or points to its `struct_size`, which says how much there is behind it, and its texts end in NUL.
pub(crate) unsafe fn node_options(path: Option<&str>, options: *const kith_node_options) -> Result<Options> {
    let mut built = Options::at(path.unwrap_or_default());
    built.path = path.map(Into::into);
    if options.is_null() {
        return Ok(built);
    }
    // SAFETY: the first field is always there.
    let size = unsafe { options.cast::<usize>().read() };
    check_size(size, size_of::<kith_node_options>(), "kith_node_options")?;
    // SAFETY: the size says that it is whole.
    let options = unsafe { &*options };
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
    built.storage = match options.storage {
        KITH_ENGINE_AUTO => StorageEngine::Auto,
        KITH_ENGINE_SLED => StorageEngine::Sled,
        KITH_ENGINE_REDB => StorageEngine::Redb,
        other => return Err(Error::invalid_argument(format!("{other} is no storage engine"))),
    };
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
    // SAFETY: the first field is always there.
    let size = unsafe { options.cast::<usize>().read() };
    check_size(size, size_of::<kith_invite_options>(), "kith_invite_options")?;
    // SAFETY: the size says that it is whole.
    let options = unsafe { &*options };
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
