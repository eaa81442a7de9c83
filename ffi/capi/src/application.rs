//! Applications of the host's own.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kith_core::application::{Application, ApplicationError, Call, State};
use kith_core::{Error, Result};

use crate::border::border;
use crate::bytes::text;
use crate::call::{Asked, kith_call, kith_state, lend};
use crate::handle::borrow;
use crate::inside::{self, Callback};
use crate::node::kith_node;
use crate::sized::{fill, fill_shortest, growing, read};
use crate::status::kith_status;

/// A function of an application. It reads the call (kith_call_…), uses the state (kith_state_…), sets an answer if there is one
/// (kith_call_answer), and returns
///  - KITH_OK: done;
///  - KITH_REJECTED (`return kith_call_reject(call, "…");`), or KITH_INVALID_ARGUMENT, KITH_NOT_FOUND, KITH_NOT_MEMBER,
///    KITH_PERMISSION_DENIED, KITH_LIMIT_EXCEEDED: the call is refused, by every member alike, and what it wrote is undone;
///  - KITH_BLOCKED (`return kith_call_fault(call, "…");`) or anything else: something is wrong on this machine only.
///
/// The same inputs must give the same result on every member, in every language: no clock, no chance, no floats from outside, no I/O.
/// It runs on threads of the node's own, whose names begin with kith-: one call of a context at a time, but several contexts at once.
/// The rest of the library refuses calls from inside it (KITH_UNSUPPORTED), but for keys, events, entries, buffers, kith_cancel and texts of failures.
/// It must return: no longjmp, no exception out of it.
#[allow(non_camel_case_types)]
pub type kith_application_callback = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        call: *mut kith_call,
        state: *mut kith_state,
    ) -> kith_status_of_host,
>;

/// What the host's code returns in the place of a `kith_status`: any number, so that a wrong one is no undefined behaviour. The generator of
/// the header writes `kith_status` for it, which has the same size.
#[allow(non_camel_case_types)]
pub type kith_status_of_host = u32;

const _: () = assert!(size_of::<kith_status>() == size_of::<kith_status_of_host>());

/// Gives `user_data` back, when the library does not use it any more.
#[allow(non_camel_case_types)]
pub type kith_free_callback = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// An application of the host's own. Filled by kith_application_init, then changed.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct kith_application {
    /// sizeof(kith_application), set by kith_application_init.
    pub struct_size: usize,
    /// Handed to the callbacks; used on several threads at once.
    pub user_data: *mut c_void,
    /// Called once, from any thread, when nothing uses `user_data` any more: at the latest when the node has been shut down and freed.
    /// May be NULL.
    pub free_user_data: kith_free_callback,
    /// Sets up the state of a new context from the creator's arguments. NULL: there are no arguments and nothing to set up.
    pub initialise: kith_application_callback,
    /// Executes a call. Needed.
    pub execute: kith_application_callback,
    /// Answers a read-only call, on this member only; what it writes is thrown away. NULL: there is no query.
    pub query: kith_application_callback,
}

growing!(kith_application, filled_by: "kith_application_init", last: query: kith_application_callback, since: [], kith_application {
    struct_size: size_of::<kith_application>(),
    user_data: std::ptr::null_mut(),
    free_user_data: None,
    initialise: None,
    execute: None,
    query: None,
});

/// Sets the members that this struct had first to NULL, for programs that were built when it had no others. With this header the macro of the
/// same name is used, which says how long the struct is.
///
/// # Safety
/// `application` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_application_init(application: *mut kith_application) {
    // SAFETY: the caller vouches for it.
    unsafe { fill_shortest(application) };
}

/// Sets all members of a struct of this size to NULL: what kith_application_init is in this header. `size` is sizeof(kith_application), as the
/// caller's header has it; no more is written.
///
/// # Safety
/// `application` is NULL, or `size` bytes may be written there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_application_init_sized(application: *mut kith_application, size: usize) {
    // SAFETY: the caller vouches for it.
    unsafe { fill(application, size) };
}

/// Registers an application of the host's own under a name of 1 to 64 bytes. Contexts of that application that wait for it begin to
/// execute. A name that is taken is KITH_INVALID_ARGUMENT. The struct is copied. If this fails, `user_data` stays the caller's.
///
/// # Safety
/// `node` is a node of this library or NULL; `name` ends in NUL; `application` is NULL or was filled by kith_application_init, and its callbacks
/// and `user_data` may be used from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_register(
    node: *mut kith_node,
    name: *const c_char,
    application: *const kith_application,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (node, name, hosted) =
            unsafe { (borrow(node)?, text(name, "name")?, Arc::new(Hosted::new(application)?)) };
        node.register(name, Arc::clone(&hosted) as Arc<dyn Application>)?;
        hosted.ours.store(true, Ordering::Relaxed);
        Ok(())
    }
}

type Given = unsafe extern "C" fn(*mut c_void, *mut kith_call, *mut kith_state) -> kith_status_of_host;

/// An application of the host's, as the core sees it.
struct Hosted {
    user_data: *mut c_void,
    free_user_data: kith_free_callback,
    initialise: Option<Given>,
    execute: Given,
    query: Option<Given>,
    /// Whether `user_data` is ours to free. `kith_node_register` holds one of the references until it has decided.
    ours: AtomicBool,
}

// SAFETY: the host vouches for its callbacks and its data.
unsafe impl Send for Hosted {}
// SAFETY: as above.
unsafe impl Sync for Hosted {}

impl Hosted {
    /// # Safety
    /// `application` is NULL or points to its `struct_size`, which says how much there is behind it.
    unsafe fn new(application: *const kith_application) -> Result<Self> {
        if application.is_null() {
            return Err(Error::invalid_argument("application is NULL"));
        }
        // SAFETY: passed on.
        let application = unsafe { read(application)? };
        Ok(Self {
            user_data: application.user_data,
            free_user_data: application.free_user_data,
            initialise: application.initialise,
            execute: application
                .execute
                .ok_or_else(|| Error::invalid_argument("application.execute is NULL"))?,
            query: application.query,
            ours: AtomicBool::new(false),
        })
    }

    fn call(
        &self,
        callback: Given,
        asked: Asked,
        state: &mut dyn State,
    ) -> Result<Vec<u8>, ApplicationError> {
        let _inside = inside::enter(Callback::Application);
        lend(asked, state, |call, state| {
            // SAFETY: the host vouches for its callback.
            unsafe { callback(self.user_data, call, state) }
        })
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        if let Some(free) = self.free_user_data.filter(|_| *self.ours.get_mut()) {
            // SAFETY: the host vouches for its callback; this is the only call.
            unsafe { free(self.user_data) };
        }
    }
}

impl Application for Hosted {
    fn initialise(&self, arguments: &[u8], state: &mut dyn State) -> Result<(), ApplicationError> {
        match self.initialise {
            Some(callback) => self.call(callback, Asked::by_this_member("", arguments), state).map(drop),
            None if arguments.is_empty() => Ok(()),
            None => Err(ApplicationError::Rejected("this application takes no arguments".into())),
        }
    }

    fn execute(&self, call: &Call<'_>, state: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        self.call(self.execute, Asked::of(call), state)
    }

    fn query(
        &self,
        method: &str,
        arguments: &[u8],
        state: &mut dyn State,
    ) -> Result<Vec<u8>, ApplicationError> {
        match self.query {
            Some(callback) => self.call(callback, Asked::by_this_member(method, arguments), state),
            None => Err(ApplicationError::Rejected(format!("this application has no query `{method}`"))),
        }
    }
}
