//! What an application of the host's is handed: the call, and the state during it.

use std::cell::RefCell;
use std::ffi::c_char;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use kith_core::application::{ApplicationError, Call, State};
use kith_core::node::Entry;
use kith_core::replica::StateKey;
use kith_core::{Error, Result, limits};

use crate::border::border;
use crate::bytes::{array, bytes, kith_buffer, output, text};
use crate::context::kith_entries;
use crate::handle::{borrow, give, handles, take};
use crate::options::KITH_NO_ROLE;
use crate::status::kith_status;

/// What an application is asked. Valid until its callback returns, and only on the thread of the callback.
#[allow(non_camel_case_types)]
pub struct kith_call {
    _private: [u8; 0],
}

/// The state during one call of an application. Valid until its callback returns, and only on the thread of the callback.
#[allow(non_camel_case_types)]
pub struct kith_state {
    _private: [u8; 0],
}

handles! {
    kith_call => Arc<Desk> = 7, anywhere;
    kith_state => Arc<Desk> = 8, anywhere;
}

/// What a callback is asked and what it answers. Each thread has one and uses it again, so that a handle which an
/// application has kept is still one, and its use an error.
pub struct Desk {
    thread: ThreadId,
    lent: Mutex<Option<Lent>>,
}

/// What an application is asked, in the shape of the accessors.
pub(crate) struct Asked {
    /// Ends in NUL.
    method: Vec<u8>,
    arguments: *const u8,
    arguments_length: usize,
    member: Option<[u8; 32]>,
    role: u32,
    transaction: Option<[u8; 32]>,
    timestamp: u64,
}

impl Asked {
    /// For `initialise` and `query`.
    pub(crate) fn by_this_member(method: &str, arguments: &[u8]) -> Self {
        let mut method = method.as_bytes().to_vec();
        method.push(0);
        Self {
            method,
            arguments: arguments.as_ptr(),
            arguments_length: arguments.len(),
            member: None,
            role: KITH_NO_ROLE,
            transaction: None,
            timestamp: 0,
        }
    }

    pub(crate) fn of(call: &Call<'_>) -> Self {
        Self {
            member: Some(call.member.0),
            role: call.role as u32,
            transaction: Some(call.transaction.0),
            timestamp: call.timestamp,
            ..Self::by_this_member(call.method, call.arguments)
        }
    }
}

struct Lent {
    asked: Asked,
    state: *mut (dyn State + 'static),
    output: Vec<u8>,
    /// Why the call is refused, or what is wrong here.
    text: Option<String>,
    /// The first failure of the state. An application that swallows it does not get away with it.
    failure: Option<ApplicationError>,
}

// SAFETY: the pointers are used only on the thread that lent them (`Desk::with` compares).
unsafe impl Send for Lent {}

/// The handles of a thread, made when it is first in a callback.
struct Handles {
    call: *mut kith_call,
    state: *mut kith_state,
    desk: Arc<Desk>,
}

impl Handles {
    fn new() -> Self {
        let desk = Arc::new(Desk { thread: thread::current().id(), lent: Mutex::new(None) });
        Self { call: give(Arc::clone(&desk)), state: give(Arc::clone(&desk)), desk }
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        // SAFETY: made in `new`, and nobody may use them after the thread has ended.
        unsafe {
            let _ = take(self.call);
            let _ = take(self.state);
        }
    }
}

thread_local! {
    static HANDLES: RefCell<Option<Handles>> = const { RefCell::new(None) };
}

/// Ends the loan, also in a panic.
struct Loan(Arc<Desk>);

impl Drop for Loan {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

/// Lends a question and the state to a callback, which returns a number of `kith_status`; its answer.
pub(crate) fn lend(
    asked: Asked,
    state: &mut dyn State,
    callback: impl FnOnce(*mut kith_call, *mut kith_state) -> u32,
) -> Result<Vec<u8>, ApplicationError> {
    let (call, state_handle, desk) = HANDLES.with(|handles| {
        let mut handles = handles.borrow_mut();
        let handles = handles.get_or_insert_with(Handles::new);
        (handles.call, handles.state, Arc::clone(&handles.desk))
    });
    let state: *mut (dyn State + '_) = state;
    // SAFETY: only the lifetime changes. `Loan` takes the pointer back before `state`'s borrow ends.
    let state: *mut (dyn State + 'static) = unsafe { std::mem::transmute(state) };
    let lent = Lent { asked, state, output: Vec::new(), text: None, failure: None };
    if desk.lock().replace(lent).is_some() {
        return Err(ApplicationError::Fault("a call inside a call".into()));
    }
    let loan = Loan(desk);
    let returned = callback(call, state_handle);
    let ended = loan.0.lock().take();
    let Lent { output, text, failure, .. } =
        ended.ok_or_else(|| ApplicationError::Fault("the call has got lost".into()))?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    let words = || text.unwrap_or_else(|| format!("the application answered with status {returned}"));
    if returned == kith_status::KITH_OK as u32 {
        Ok(output)
    } else if REFUSALS.iter().any(|refusal| *refusal as u32 == returned) {
        Err(ApplicationError::Rejected(words()))
    } else {
        Err(ApplicationError::Fault(words()))
    }
}

/// What a callback returns to refuse a call: by its own will, or because it passes on what the state told it, which is the same on all members.
const REFUSALS: [kith_status; 6] = [
    kith_status::KITH_REJECTED,
    kith_status::KITH_INVALID_ARGUMENT,
    kith_status::KITH_NOT_FOUND,
    kith_status::KITH_NOT_MEMBER,
    kith_status::KITH_PERMISSION_DENIED,
    kith_status::KITH_LIMIT_EXCEEDED,
];

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Option<Lent>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, body: impl FnOnce(&mut Lent) -> Result<T>) -> Result<T> {
        if thread::current().id() != self.thread {
            return Err(Error::invalid_argument(
                "a call belongs to the thread that the application was called on",
            ));
        }
        body(self.lock().as_mut().ok_or_else(|| Error::invalid_argument("the call has ended"))?)
    }

    fn state<T>(&self, body: impl FnOnce(&mut dyn State) -> Result<T, ApplicationError>) -> Result<T> {
        self.with(|lent| {
            let before = lent.failure.take();
            // Stands if `body` panics: what is left of the state then decides nothing.
            lent.failure = Some(ApplicationError::Fault("a defect in Kith".into()));
            // SAFETY: `lend` is still running on this thread, and the lock makes this the only use.
            let answer = body(unsafe { &mut *lent.state });
            lent.failure = before.or_else(|| answer.as_ref().err().cloned());
            answer.map_err(|error| match error {
                ApplicationError::Rejected(text) => Error::rejected(text),
                other => Error::blocked(other.to_string()),
            })
        })
    }
}

/// # Safety
/// `call` is what a callback was handed, or NULL.
unsafe fn read<T>(call: *const kith_call, otherwise: T, body: impl FnOnce(&Asked) -> T) -> T {
    // SAFETY: passed on.
    unsafe { borrow(call) }.and_then(|desk| desk.with(|lent| Ok(body(&lent.asked)))).unwrap_or(otherwise)
}

/// The method that is called, in UTF-8; empty in `initialise`. `length`, unless NULL, gets its bytes: the name comes from other members and
/// may have a NUL inside. kith_call_is compares all of it.
///
/// # Safety
/// `call` is what the callback was handed, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_call_method(call: *const kith_call, length: *mut usize) -> *const c_char {
    // SAFETY: as the caller vouches.
    let (method, count) = unsafe {
        read(call, (c"".as_ptr(), 0), |asked| (asked.method.as_ptr().cast(), asked.method.len() - 1))
    };
    // SAFETY: as the caller vouches.
    if let Some(length) = unsafe { length.as_mut() } {
        *length = count;
    }
    method
}

/// Whether this is the method that is called.
///
/// # Safety
/// `call` is what the callback was handed, or NULL; `method` is NULL or ends in NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_call_is(call: *const kith_call, method: *const c_char) -> bool {
    // SAFETY: as the caller vouches.
    let Ok(method) = (unsafe { text(method, "method") }) else { return false };
    // SAFETY: as the caller vouches.
    unsafe { read(call, false, |asked| asked.method[..asked.method.len() - 1] == *method.as_bytes()) }
}

/// The arguments, in the application's own format. `length` gets how many bytes. In `initialise`: what the context is created with.
///
/// # Safety
/// `call` is what the callback was handed, or NULL; `length` may be written or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_call_arguments(call: *const kith_call, length: *mut usize) -> *const u8 {
    let nothing = (std::ptr::NonNull::<u8>::dangling().as_ptr().cast_const(), 0);
    // SAFETY: as the caller vouches.
    let (arguments, count) =
        unsafe { read(call, nothing, |asked| (asked.arguments, asked.arguments_length)) };
    // SAFETY: as the caller vouches.
    if let Some(length) = unsafe { length.as_mut() } {
        *length = count;
    }
    arguments
}

/// The member who calls, 32 bytes; NULL in `initialise` and `query`.
///
/// # Safety
/// `call` is what the callback was handed, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_call_member(call: *const kith_call) -> *const u8 {
    // SAFETY: as the caller vouches.
    unsafe {
        read(call, std::ptr::null(), |asked| asked.member.as_ref().map_or(std::ptr::null(), |id| id.as_ptr()))
    }
}

/// The caller's role at this place in the order; KITH_NO_ROLE in `initialise` and `query`.
///
/// # Safety
/// `call` is what the callback was handed, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_call_role(call: *const kith_call) -> u32 {
    // SAFETY: as the caller vouches.
    unsafe { read(call, KITH_NO_ROLE, |asked| asked.role) }
}

/// The transaction that carries the call, 32 bytes; NULL in `initialise` and `query`.
///
/// # Safety
/// `call` is what the callback was handed, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_call_transaction(call: *const kith_call) -> *const u8 {
    // SAFETY: as the caller vouches.
    unsafe {
        read(call, std::ptr::null(), |asked| {
            asked.transaction.as_ref().map_or(std::ptr::null(), |id| id.as_ptr())
        })
    }
}

/// The author's clock, ms since 1970: signed, hence the same everywhere, but the author may lie. 0 in `initialise` and `query`.
///
/// # Safety
/// `call` is what the callback was handed, or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_call_timestamp(call: *const kith_call) -> u64 {
    // SAFETY: as the caller vouches.
    unsafe { read(call, 0, |asked| asked.timestamp) }
}

/// Sets the answer of a callback that will return KITH_OK: at most 1 MiB + 4 KiB, which are copied. Without it the answer has no bytes.
///
/// # Safety
/// `call` is what the callback was handed, or NULL; `answer` has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_call_answer(
    call: *mut kith_call,
    answer: *const u8,
    length: usize,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (desk, answer) = unsafe { (borrow(call)?, bytes(answer, length, "answer")?) };
        desk.with(|lent| {
            if answer.len() > limits::ARGUMENTS {
                let text = format!("the answer has {} bytes; at most {}", answer.len(), limits::ARGUMENTS);
                lent.failure.get_or_insert_with(|| ApplicationError::Rejected(text.clone()));
                return Err(Error::limit_exceeded(text));
            }
            lent.output = answer.to_vec();
            Ok(())
        })
    }
}

/// Says why the call is refused, and gives KITH_REJECTED (whatever happens): `return kith_call_reject(call, "occupied");`.
/// Every member must refuse it alike.
///
/// # Safety
/// `call` is what the callback was handed, or NULL; `reason` is NULL or ends in NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_call_reject(call: *mut kith_call, reason: *const c_char) -> kith_status {
    // SAFETY: as the caller vouches.
    unsafe { say(call, reason) };
    kith_status::KITH_REJECTED
}

/// Says what is wrong on this machine only (no memory, say), and gives KITH_BLOCKED (whatever happens):
/// `return kith_call_fault(call, "no memory");`. The context applies nothing more here, and tries again every few seconds, until the
/// callback answers, or an admin skips the call (kith_context_skip).
///
/// # Safety
/// `call` is what the callback was handed, or NULL; `cause` is NULL or ends in NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_call_fault(call: *mut kith_call, cause: *const c_char) -> kith_status {
    // SAFETY: as the caller vouches.
    unsafe { say(call, cause) };
    kith_status::KITH_BLOCKED
}

/// # Safety
/// `call` is what the callback was handed, or NULL; `words` is NULL or ends in NUL.
unsafe fn say(call: *mut kith_call, words: *const c_char) {
    let _ = border! {
        // SAFETY: as the caller vouches.
        let (desk, words) = unsafe { (borrow(call)?, text(words, "the reason")?) };
        desk.with(|lent| {
            lent.text = Some(words.to_owned());
            Ok(())
        })
    };
}

/// The value under a key of 32 bytes; KITH_NOT_FOUND if there is none. Reads see what the same call has written.
///
/// Of all functions with a kith_state: KITH_REJECTED (a limit) and KITH_BLOCKED (the store of this machine fails) decide what the call did,
/// whatever the callback makes of them.
///
/// # Safety
/// `state` is what the callback was handed, or NULL; `key` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_state_get(
    state: *mut kith_state,
    key: *const u8,
    value: *mut kith_buffer,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (desk, key, place) =
            unsafe { (borrow(state)?, StateKey(array(key, "key")?), output(value, "value")?) };
        let value = desk.state(|state| state.get(&key))?;
        let value = value.ok_or_else(|| Error::not_found(format!("there is no entry {key}")))?;
        place.set(kith_buffer::from_vec(value));
        Ok(())
    }
}

/// Sets a key of 32 bytes to a value of at most 1 MiB.
///
/// # Safety
/// `state` is what the callback was handed, or NULL; `key` has 32 bytes, `value` has `value_length`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_state_put(
    state: *mut kith_state,
    key: *const u8,
    value: *const u8,
    value_length: usize,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (desk, key, value) =
            unsafe { (borrow(state)?, StateKey(array(key, "key")?), bytes(value, value_length, "value")?) };
        desk.state(|state| state.put(&key, value))
    }
}

/// Removes a key of 32 bytes; nothing happens if it is absent.
///
/// # Safety
/// `state` is what the callback was handed, or NULL; `key` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_state_delete(state: *mut kith_state, key: *const u8) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (desk, key) = unsafe { (borrow(state)?, StateKey(array(key, "key")?)) };
        desk.state(|state| state.delete(&key))
    }
}

/// A page of entries in key order: those whose keys begin with `prefix` and sort after `after` (32 bytes, or NULL for the start), at
/// most `limit`, at most 1,000 and at most 1 MiB. A page without entries is the end. It goes back by kith_entries_free.
///
/// # Safety
/// `state` is what the callback was handed, or NULL; `prefix` has `prefix_length` bytes; `after` is NULL or has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_state_entries(
    state: *mut kith_state,
    prefix: *const u8,
    prefix_length: usize,
    after: *const u8,
    limit: usize,
    entries: *mut *mut kith_entries,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (desk, prefix, after, place) = unsafe {
            let after = if after.is_null() { None } else { Some(StateKey(array(after, "after")?)) };
            (borrow(state)?, bytes(prefix, prefix_length, "prefix")?, after, output(entries, "entries")?)
        };
        let page = desk.state(|state| state.entries(prefix, after.as_ref(), limit))?;
        place.set(give(page.into_iter().map(|(key, value)| Entry { key, value }).collect()));
        Ok(())
    }
}

/// Hands a named message (a name of at most 255 bytes) to the hosts of all members, once the call is accepted: KITH_EVENT_EMITTED.
///
/// # Safety
/// `state` is what the callback was handed, or NULL; `name` ends in NUL; `data` has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_state_emit(
    state: *mut kith_state,
    name: *const c_char,
    data: *const u8,
    length: usize,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (desk, name, data) =
            unsafe { (borrow(state)?, text(name, "name")?, bytes(data, length, "data")?) };
        desk.state(|state| state.emit(name, data))
    }
}
