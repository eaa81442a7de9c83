//! Calls about keys, about exports, and about structs of every size.

use std::alloc::{Layout, alloc, dealloc};
use std::ffi::{CString, c_char, c_void};
use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

use kith::application::kith_application_init_sized;
use kith::create::*;
use kith::join::kith_join_options_init_sized;
use kith::node::*;
use kith::options::*;
use kith::sealing::*;
use kith::security::*;
use kith::status::kith_status;

use super::reading::{text, touch};
use super::words::{Pick, SealingCall, Secret, at, place};
use super::{Program, nodes, nothing, odd};

/// A folder of this process: paths that a program names lie in it, and nowhere else.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("kith-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for exports");
        folder
    })
}

/// One of a few files or directories, or NULL.
fn path(pick: Pick) -> Option<CString> {
    let path = folder().join((pick % 4).to_string());
    (pick != super::NOTHING)
        .then(|| CString::new(path.into_os_string().into_encoded_bytes()).unwrap_or_default())
}

impl Secret {
    /// A key and a passphrase: one, both or none. Passphrases are made to be slow, so they are too long, or empty.
    fn given(&self) -> (Option<Box<[u8; 32]>>, Option<CString>) {
        match self {
            Self::Nothing => (None, None),
            Self::Key(pick) => (Some(Box::new([pick % 3; 32])), None),
            Self::Empty => (None, Some(CString::default())),
            Self::Long => (None, CString::new(vec![b'x'; 5_000]).ok()),
            Self::Both(pick) => (Some(Box::new([*pick; 32])), CString::new("both").ok()),
        }
    }
}

type Init = unsafe extern "C" fn(*mut c_void, usize);

/// What sets the options of a struct, for a program whose header may be older or newer.
fn inits() -> [Init; 6] {
    /// # Safety
    /// As that of the function.
    unsafe fn of<T>(init: unsafe extern "C" fn(*mut T, usize), place: *mut c_void, size: usize) {
        // SAFETY: as the caller vouches.
        unsafe { init(place.cast(), size) }
    }
    macro_rules! init {
        ($name:ident) => {{
            unsafe extern "C" fn call(place: *mut c_void, size: usize) {
                // SAFETY: as the caller vouches.
                unsafe { of($name, place, size) }
            }
            call
        }};
    }
    [
        init!(kith_node_options_init_sized),
        init!(kith_invite_options_init_sized),
        init!(kith_join_options_init_sized),
        init!(kith_create_options_init_sized),
        init!(kith_import_options_init_sized),
        init!(kith_application_init_sized),
    ]
}

impl Program {
    pub(super) fn sealing(&mut self, call: &SealingCall) {
        let node = |pick: Pick| odd(pick).unwrap_or(nodes().node[usize::from(pick % 2)]);
        // SAFETY: as the module above says: handles are alive, NULL or of another kind; texts end in NUL; data has its length.
        unsafe {
            match call {
                SealingCall::Init { which, size } => {
                    let init = inits()[usize::from(*which) % inits().len()];
                    // Exactly as much memory as is said: a byte written behind it is seen.
                    let size = usize::from(*size % 600);
                    match Layout::from_size_align(size, 8) {
                        Ok(layout) if size > 0 => {
                            let place = alloc(layout);
                            init(place.cast(), size);
                            dealloc(place, layout);
                        }
                        _ => init(null_mut(), size),
                    }
                }
                SealingCall::Create { encryption, arguments, name, size } => {
                    let (arguments, name, mut context) = (arguments.given(), name.owned(), null_mut());
                    let mut options = MaybeUninit::<kith_create_options>::uninit();
                    kith_create_options_init_sized(options.as_mut_ptr(), size_of::<kith_create_options>());
                    let mut options = options.assume_init();
                    options.encryption = u32::from(*encryption % 5);
                    (options.arguments, options.arguments_length) = (arguments.at(), arguments.1);
                    options.name = at(&name);
                    if let Some(size) = size {
                        options.struct_size = usize::from(*size);
                    }
                    let options = if *encryption == 255 { null() } else { &raw const options };
                    let status = kith_node_create_context_with(nodes().node[0], options, &mut context);
                    self.keep(status, context);
                }
                SealingCall::Security(pick) => {
                    let mut found = MaybeUninit::<kith_security>::uninit();
                    if kith_context_security(self.context(*pick), found.as_mut_ptr()) as u32 == 0 {
                        let found = found.assume_init();
                        text(found.pending.as_ptr());
                        assert!(found.members_able <= found.members, "more can read than there are members");
                        if found.has_epoch {
                            self.know([found.epoch]);
                        }
                    }
                }
                SealingCall::ChangeKey { at: pick, to } => {
                    let (key, passphrase) = to.given();
                    kith_node_change_storage_key(node(*pick), place(&key), at(&passphrase));
                }
                SealingCall::Export { at: pick, to, under, out } => {
                    let ((key, passphrase), to) = (under.given(), path(*to));
                    let mut exported = MaybeUninit::<kith_exported>::uninit();
                    let place_of = if *out { exported.as_mut_ptr() } else { null_mut() };
                    kith_node_export(node(*pick), at(&to), place(&key), at(&passphrase), place_of);
                }
                SealingCall::Import { from, under, to, own, storage, adopt, size, open } => {
                    let ((key, passphrase), (own, own_passphrase)) = (under.given(), own.given());
                    let (from, to) = (path(*from), path(*to));
                    let mut options = MaybeUninit::<kith_import_options>::uninit();
                    kith_import_options_init_sized(options.as_mut_ptr(), size_of::<kith_import_options>());
                    let mut options = options.assume_init();
                    (options.storage_key, options.storage_passphrase) = (place(&own), at(&own_passphrase));
                    (options.storage, options.adopt) = (u32::from(*storage % 4), *adopt);
                    if let Some(size) = size {
                        options.struct_size = usize::from(*size);
                    }
                    let done = kith_node_import(
                        at(&from),
                        place(&key),
                        at(&passphrase),
                        at(&to),
                        &options,
                        null_mut(),
                    );
                    kith_node_adopt(at(&to), place(&own), at(&own_passphrase));
                    if done as u32 == 0 && *open {
                        open_again(at(&to), place(&own));
                    }
                }
                SealingCall::Disk { at: place_of, what } => {
                    // Something else lies there, or nothing does.
                    let place_of = folder().join((place_of % 4).to_string());
                    let _ = std::fs::remove_file(&place_of);
                    let _ = std::fs::remove_dir_all(&place_of);
                    if let Some(bytes) = what {
                        let _ = std::fs::write(&place_of, bytes);
                    }
                }
            }
        }
    }
}

/// A directory that was just made opens with its key, and says how it stands.
///
/// # Safety
/// The text ends in NUL, the key has 32 bytes or is NULL.
unsafe fn open_again(path: *const c_char, key: *const u8) {
    // SAFETY: as the caller vouches.
    unsafe {
        let mut options = MaybeUninit::<kith_node_options>::uninit();
        kith_node_options_init_sized(options.as_mut_ptr(), size_of::<kith_node_options>());
        let mut options = options.assume_init();
        (options.hub, options.discovery, options.storage_key) = (nodes().hub, false, key);
        let (mut node, mut status) = (null_mut(), nothing());
        if kith_node_open(path, &options, &mut node) as u32 == kith_status::KITH_OK as u32 {
            if kith_node_status(node, &mut status) as u32 == 0 {
                touch(status.data, status.length);
                kith::bytes::kith_buffer_free(&mut status);
            }
            kith_node_shutdown(node);
            kith_node_free(node);
        }
    }
}
