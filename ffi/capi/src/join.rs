//! Joining with more to say about it.

use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use kith_core::node::JoinOptions;
use kith_core::{Error, Result};

use crate::border::border;
use crate::bytes::{output, text};
use crate::context::kith_context;
use crate::handle::{borrow, give};
use crate::inside::{self, Callback};
use crate::node::kith_node;
use crate::options::timeout_of;
use crate::sized::{fill, fill_shortest, growing, read};
use crate::status::kith_status;
use crate::wait::wait;

/// Told how far joining is: transactions received, and transactions expected. It runs on a thread of the node's, must not block, and the library
/// refuses calls from inside it (KITH_UNSUPPORTED), but for kith_cancel_fire.
#[allow(non_camel_case_types)]
pub type kith_progress_callback = Option<unsafe extern "C" fn(user_data: *mut c_void, done: u64, total: u64)>;

/// How to join. Filled by kith_join_options_init, then changed.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct kith_join_options {
    /// sizeof(kith_join_options), set by kith_join_options_init.
    pub struct_size: usize,
    /// After how many ms to give up. At first a minute.
    pub timeout_ms: u64,
    /// Told how far it is; NULL: nobody is.
    pub on_progress: kith_progress_callback,
    /// Handed to `on_progress`, which is not called any more once joining has returned.
    pub user_data: *mut c_void,
}

growing!(kith_join_options, filled_by: "kith_join_options_init", last: user_data: *mut c_void, since: [], kith_join_options {
    struct_size: size_of::<kith_join_options>(),
    timeout_ms: 60_000,
    on_progress: None,
    user_data: std::ptr::null_mut(),
});

/// Sets the options that this struct had first to their defaults, for programs that were built when it had no others. With this header the macro of the
/// same name is used, which says how long the struct is.
///
/// # Safety
/// `options` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_join_options_init(options: *mut kith_join_options) {
    // SAFETY: the caller vouches for it.
    unsafe { fill_shortest(options) };
}

/// Sets all options of a struct of this size to their defaults: what kith_join_options_init is in this header. `size` is sizeof(kith_join_options), as the
/// caller's header has it; no more is written.
///
/// # Safety
/// `options` is NULL, or `size` bytes may be written there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_join_options_init_sized(options: *mut kith_join_options, size: usize) {
    // SAFETY: the caller vouches for it.
    unsafe { fill(options, size) };
}

/// Joins a context like kith_node_join, with options. NULL: the defaults.
///
/// # Safety
/// `node` is a node of this library or NULL; `invitation` ends in NUL; `options` is NULL or was filled by kith_join_options_init.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_join_with(
    node: *mut kith_node,
    invitation: *const c_char,
    options: *const kith_join_options,
    context: *mut *mut kith_context,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (node, invitation, (options, told), place) = unsafe {
            (borrow(node)?, text(invitation, "invitation")?, join_options(options)?, output(context, "context")?)
        };
        // Once it has returned, the callback's data are not the library's any more.
        let _told = Told(told);
        place.set(give(wait(node.join(invitation, options))?));
        Ok(())
    }
}

struct Listener {
    callback: unsafe extern "C" fn(*mut c_void, u64, u64),
    user_data: *mut c_void,
}

// SAFETY: the host vouches for its callback and its data.
unsafe impl Send for Listener {}

type Shared = Arc<Mutex<Option<Listener>>>;

/// Takes the listener away, after waiting for it.
struct Told(Shared);

impl Drop for Told {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// # Safety
/// `options` is NULL, or points to its `struct_size`, which says how much there is behind it.
unsafe fn join_options(options: *const kith_join_options) -> Result<(JoinOptions, Shared)> {
    let mut built = JoinOptions::default();
    let shared = Shared::default();
    if options.is_null() {
        return Ok((built, shared));
    }
    // SAFETY: passed on.
    let options = unsafe { read(options)? };
    built.timeout = Some(timeout_of(options.timeout_ms));
    if let Some(callback) = options.on_progress {
        let listener = Listener { callback, user_data: options.user_data };
        *shared.lock().map_err(|_| Error::internal("a fresh lock is poisoned"))? = Some(listener);
        let told = Arc::clone(&shared);
        built.on_progress = Some(Arc::new(move |done, total| {
            let told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(listener) = &*told {
                let _inside = inside::enter(Callback::Progress);
                // SAFETY: the host vouches for its callback; the lock keeps its data.
                unsafe { (listener.callback)(listener.user_data, done, total) };
            }
        }));
    }
    Ok((built, shared))
}
