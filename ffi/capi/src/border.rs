//! The border: no panic leaves it, and every failure leaves its text behind for `kith_last_error`.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kith_core::{Error, Result};

use crate::status::kith_status;

thread_local! {
    static LAST_ERROR: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs the body of an exported function: `border! { … Ok(()) }` is its `kith_status`.
macro_rules! border {
    ($($body:tt)*) => {
        $crate::border::run(|| -> kith_core::Result<()> { $($body)* })
    };
}
pub(crate) use border;

/// Turns errors and panics into a status and a text.
pub(crate) fn run(body: impl FnOnce() -> Result<()>) -> kith_status {
    // Whatever the body had under way when it panicked is dropped with it: handles only share values that are
    // themselves safe to use after a panic (locks that poison, channels that close).
    let error = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return kith_status::KITH_OK,
        Ok(Err(error)) => error,
        Err(panic) => Error::internal(format!("a defect in Kith: {}", panic_text(&*panic))),
    };
    let status = kith_status::from(error.kind());
    LAST_ERROR.with(|last| *last.borrow_mut() = error.message().to_owned());
    status
}

/// Runs the body of an exported function that cannot fail and gives nothing back; a panic ends there.
pub(crate) fn run_quietly(body: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(body)).is_err() {
        LAST_ERROR.with(|last| *last.borrow_mut() = "a defect in Kith".to_owned());
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}

/// Copies the text of the last call of this thread that failed into `buffer`, ended by NUL and cut at a character
/// if `length` bytes are too few. `needed`, unless NULL, gets the length of the whole text with its NUL. With a
/// `length` of 0, `buffer` may be NULL. Calls that succeed leave the text as it is.
///
/// # Safety
/// `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_last_error(
    buffer: *mut std::ffi::c_char,
    length: usize,
    needed: *mut usize,
) -> kith_status {
    // Not `border!`: a failure here must not replace the text that the caller is after.
    if buffer.is_null() && length > 0 {
        return kith_status::KITH_INVALID_ARGUMENT;
    }
    LAST_ERROR.with(|last| {
        let last = last.borrow();
        if length > 0 {
            let mut cut = last.len().min(length - 1);
            while !last.is_char_boundary(cut) {
                cut -= 1;
            }
            // SAFETY: `cut` < `length`, and the caller vouches for `length` bytes at `buffer`, which is not NULL.
            unsafe {
                std::ptr::copy_nonoverlapping(last.as_ptr(), buffer.cast(), cut);
                *buffer.add(cut) = 0;
            }
        }
        // SAFETY: not NULL is all that is asked of an output.
        if let Some(needed) = unsafe { needed.as_mut() } {
            *needed = last.len() + 1;
        }
    });
    kith_status::KITH_OK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(room: usize) -> (String, usize) {
        let mut buffer = vec![0x55_u8; room + 1];
        let mut needed = 0;
        // SAFETY: the buffer has `room` bytes and one more to see an overrun.
        let status = unsafe { kith_last_error(buffer.as_mut_ptr().cast(), room, &mut needed) };
        assert_eq!(status, kith_status::KITH_OK);
        assert_eq!(buffer[room], 0x55, "wrote past the end");
        let text = buffer[..room].split(|b| *b == 0).next().unwrap_or_default();
        (String::from_utf8(text.to_vec()).unwrap(), needed)
    }

    #[test]
    fn a_panic_is_an_internal_error_with_its_message() {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let status = border! { panic!("number {}", 7) };
        std::panic::set_hook(hook);
        assert_eq!(status, kith_status::KITH_INTERNAL);
        assert_eq!(text(100).0, "a defect in Kith: number 7");
    }

    #[test]
    fn the_text_is_cut_at_a_character_and_its_full_length_told() {
        let status = border! { Err(Error::not_found("aé")) };
        assert_eq!(status, kith_status::KITH_NOT_FOUND);
        assert_eq!(text(4), ("aé".to_owned(), 4));
        assert_eq!(text(3), ("a".to_owned(), 4));
        assert_eq!(text(1), (String::new(), 4));
        // SAFETY: nothing is written with a length of 0.
        let status = unsafe { kith_last_error(std::ptr::null_mut(), 0, std::ptr::null_mut()) };
        assert_eq!(status, kith_status::KITH_OK);
        // SAFETY: NULL is refused before it is used.
        let status = unsafe { kith_last_error(std::ptr::null_mut(), 1, std::ptr::null_mut()) };
        assert_eq!(status, kith_status::KITH_INVALID_ARGUMENT);
    }

    #[test]
    fn the_text_belongs_to_the_thread() {
        let _ = border! { Err(Error::not_found("here")) };
        std::thread::spawn(|| assert_eq!(text(10).0, "")).join().unwrap();
        assert_eq!(text(10).0, "here");
    }
}
