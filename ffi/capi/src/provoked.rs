//! Panics on purpose, for the C tests: what a defect in this library would look like there. They are in no library that is shipped, and not in
//! the header.

use std::ffi::c_char;
use std::task::Poll;

use crate::border::border;
use crate::bytes::text;
use crate::status::kith_status;
use crate::wait::wait;

/// Panics while its caller waits.
///
/// # Safety
/// `words` is NULL or a string that ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_provoke_panic(words: *const c_char) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let words = unsafe { text(words, "words")? };
        panic!("{words}")
    }
}

/// Panics in what its caller waits for, after that had to wait itself.
///
/// # Safety
/// `words` is NULL or a string that ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_provoke_panic_later(words: *const c_char) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let words = unsafe { text(words, "words")? };
        let mut waited = false;
        wait(std::future::poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                panic!("{words}");
            }
            context.waker().wake_by_ref();
            Poll::<kith_core::Result<()>>::Pending
        }))
    }
}
