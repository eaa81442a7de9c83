//! Reading what the library gives: all of it, so that AddressSanitizer sees a byte that is not there.

use std::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

use kith::events::*;

static SEEN: AtomicUsize = AtomicUsize::new(0);

/// Reads what it is shown.
pub(super) unsafe extern "C" fn on_event(_user_data: *mut c_void, event: *const kith_event) {
    // SAFETY: the event is alive for as long as the callback runs.
    unsafe { read_event(event) };
}

/// Reads what it is told.
pub(super) unsafe extern "C" fn on_log(
    _user_data: *mut c_void,
    _level: u32,
    target: *const c_char,
    message: *const c_char,
) {
    // SAFETY: the texts are valid until this returns.
    unsafe {
        text(target);
        text(message);
    }
}

/// # Safety
/// The event is alive or NULL.
pub(super) unsafe fn read_event(event: *const kith_event) {
    // SAFETY: as the caller vouches; what is given is readable as long as the event lives.
    unsafe {
        let (mut count, mut length) = (0, 0);
        let keys = kith_event_keys(event, &mut count);
        let data = kith_event_data(event, &mut length);
        touch(keys, count * 32);
        touch(data, length);
        for id in
            [kith_event_transaction(event), kith_event_other_transaction(event), kith_event_member(event)]
        {
            touch(id, 32);
        }
        text(kith_event_text(event));
        text(kith_event_reason(event));
        let numbers = kith_event_cursor(event) ^ kith_event_done(event) ^ kith_event_total(event);
        SEEN.fetch_add(numbers as usize ^ kith_event_kind(event) as usize, Ordering::Relaxed);
        let _ = (kith_event_role(event), kith_event_again(event));
    }
}

/// # Safety
/// NULL, or so many readable bytes.
pub(super) unsafe fn touch(bytes: *const u8, length: usize) {
    if !bytes.is_null() {
        // SAFETY: as the caller vouches.
        let sum =
            unsafe { std::slice::from_raw_parts(bytes, length) }.iter().map(|byte| usize::from(*byte)).sum();
        SEEN.fetch_add(sum, Ordering::Relaxed);
    }
}

/// # Safety
/// NULL, or a text that ends in NUL.
pub(super) unsafe fn text(text: *const c_char) {
    if !text.is_null() {
        // SAFETY: as the caller vouches.
        let text = unsafe { std::ffi::CStr::from_ptr(text) };
        assert!(text.to_str().is_ok(), "a text that is not UTF-8");
    }
}
