//! Bytes and text over the border.

use std::ffi::{CStr, c_char};

use kith_core::{Error, Result};

use crate::border::run_quietly;

/// Bytes that the library allocated and the caller owns. Freed with kith_buffer_free. `data` is NULL when `length` is 0.
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct kith_buffer {
    /// The first byte.
    pub data: *mut u8,
    /// How many there are.
    pub length: usize,
}

impl kith_buffer {
    pub(crate) fn from_vec(bytes: Vec<u8>) -> Self {
        if bytes.is_empty() {
            return Self { data: std::ptr::null_mut(), length: 0 };
        }
        let bytes = bytes.into_boxed_slice();
        let length = bytes.len();
        Self { data: Box::into_raw(bytes).cast(), length }
    }
}

/// Frees what a buffer holds and empties it. NULL, an empty buffer and one that was freed before are left alone.
///
/// # Safety
/// `buffer` is NULL or was filled by this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_buffer_free(buffer: *mut kith_buffer) {
    run_quietly(|| {
        // SAFETY: NULL or valid, says the caller.
        let Some(buffer) = (unsafe { buffer.as_mut() }) else { return };
        if !buffer.data.is_null() {
            let slice = std::ptr::slice_from_raw_parts_mut(buffer.data, buffer.length);
            // SAFETY: `from_vec` boxed exactly this slice.
            drop(unsafe { Box::from_raw(slice) });
        }
        *buffer = kith_buffer::from_vec(Vec::new());
    });
}

/// The bytes of a (pointer, length) pair of the caller; NULL is fine with length 0.
///
/// # Safety
/// `data` points to `length` bytes that stay as they are during the call.
pub(crate) unsafe fn bytes<'a>(data: *const u8, length: usize, what: &str) -> Result<&'a [u8]> {
    if length == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Error::invalid_argument(format!("{what} is NULL")));
    }
    if length > isize::MAX as usize {
        return Err(Error::invalid_argument(format!("{what} has an impossible length")));
    }
    // SAFETY: not NULL, at most `isize::MAX`, and the caller vouches for the rest.
    Ok(unsafe { std::slice::from_raw_parts(data, length) })
}

/// The text of the caller.
///
/// # Safety
/// `text` is NULL or ends in NUL and stays as it is during the call.
pub(crate) unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str> {
    if text.is_null() {
        return Err(Error::invalid_argument(format!("{what} is NULL")));
    }
    // SAFETY: not NULL, and the caller vouches for the end.
    unsafe { CStr::from_ptr(text) }
        .to_str()
        .map_err(|_| Error::invalid_argument(format!("{what} is not UTF-8")))
}

/// A place of the caller's for an output.
///
/// # Safety
/// `place` is NULL or may be written.
pub(crate) unsafe fn output<'a, T>(place: *mut T, what: &str) -> Result<Output<'a, T>> {
    if place.is_null() {
        return Err(Error::invalid_argument(format!("{what} is NULL")));
    }
    Ok(Output { place, caller: std::marker::PhantomData })
}

/// A place that is written at most once, whatever was there before (it need not be initialised).
pub(crate) struct Output<'a, T> {
    place: *mut T,
    caller: std::marker::PhantomData<&'a mut T>,
}

impl<T> Output<'_, T> {
    pub(crate) fn set(self, value: T) {
        // SAFETY: checked against NULL in `output`, whose caller vouches for the rest.
        unsafe { self.place.write(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_freed_once_however_often_one_asks() {
        let mut buffer = kith_buffer::from_vec(vec![1, 2, 3]);
        assert_eq!(buffer.length, 3);
        // SAFETY: the buffer is ours.
        unsafe {
            kith_buffer_free(&mut buffer);
            assert!(buffer.data.is_null());
            kith_buffer_free(&mut buffer);
            kith_buffer_free(std::ptr::null_mut());
        }
        assert!(kith_buffer::from_vec(Vec::new()).data.is_null());
    }

    #[test]
    fn null_is_empty_only_with_length_zero() {
        // SAFETY: NULL is refused or not used.
        unsafe {
            assert_eq!(bytes(std::ptr::null(), 0, "value").unwrap(), b"");
            assert_eq!(bytes(std::ptr::null(), 1, "value").unwrap_err().message(), "value is NULL");
            assert_eq!(text(std::ptr::null(), "path").unwrap_err().message(), "path is NULL");
            assert_eq!(text(c"\xff".as_ptr(), "path").unwrap_err().message(), "path is not UTF-8");
            assert!(output::<u8>(std::ptr::null_mut(), "out").is_err());
        }
    }
}
