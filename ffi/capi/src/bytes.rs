//! Bytes and text over the border.

use std::ffi::{CStr, c_char};
use std::marker::PhantomData;

use kith_core::replica::TransactionId;
use kith_core::{Error, Result};

use crate::border::run_quietly;

/// Bytes or text that the library allocated and the caller owns. Freed with kith_buffer_free. Behind the last byte there
/// is a NUL, which `length` does not count, so a text is a C string.
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct kith_buffer {
    /// The first byte.
    pub data: *mut u8,
    /// How many there are.
    pub length: usize,
}

impl kith_buffer {
    pub(crate) fn from_vec(mut bytes: Vec<u8>) -> Self {
        let length = bytes.len();
        // `push` alone would double a vector that is full, and leave the half of it to be given back.
        bytes.reserve_exact(1);
        bytes.push(0);
        Self { data: Box::into_raw(bytes.into_boxed_slice()).cast(), length }
    }
}

/// Frees what a buffer holds and empties it. NULL, and a buffer that was freed before, are left alone.
///
/// # Safety
/// `buffer` is NULL, was filled by this library, or is all zeros.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_buffer_free(buffer: *mut kith_buffer) {
    run_quietly(|| {
        // SAFETY: NULL or valid, says the caller.
        let Some(buffer) = (unsafe { buffer.as_mut() }) else { return };
        if !buffer.data.is_null() {
            let slice = std::ptr::slice_from_raw_parts_mut(buffer.data, buffer.length + 1);
            // SAFETY: `from_vec` boxed exactly this slice.
            drop(unsafe { Box::from_raw(slice) });
        }
        *buffer = kith_buffer { data: std::ptr::null_mut(), length: 0 };
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

/// Bytes where NULL means that there are none, other than no bytes.
///
/// # Safety
/// As for [`bytes`].
pub(crate) unsafe fn optional_bytes<'a>(
    data: *const u8,
    length: usize,
    what: &str,
) -> Result<Option<&'a [u8]>> {
    if data.is_null() && length == 0 {
        return Ok(None);
    }
    // SAFETY: passed on.
    unsafe { bytes(data, length, what) }.map(Some)
}

/// An array of the caller's of exactly `N` bytes: an id or a key.
///
/// # Safety
/// `data` is NULL or points to `N` bytes.
pub(crate) unsafe fn array<const N: usize>(data: *const u8, what: &str) -> Result<[u8; N]> {
    if data.is_null() {
        return Err(Error::invalid_argument(format!("{what} is NULL")));
    }
    // SAFETY: not NULL, and the caller vouches for the length; bytes have no alignment.
    Ok(unsafe { data.cast::<[u8; N]>().read() })
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

/// Text that may be NULL.
///
/// # Safety
/// As for [`text`].
pub(crate) unsafe fn optional_text<'a>(text: *const c_char, what: &str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    unsafe { self::text(text, what) }.map(Some)
}

/// A place of the caller's for an output.
///
/// # Safety
/// `place` is NULL or may be written during the call.
pub(crate) unsafe fn output<'a, T>(place: *mut T, what: &str) -> Result<Output<'a, T>> {
    if place.is_null() {
        return Err(Error::invalid_argument(format!("{what} is NULL")));
    }
    Ok(Output { place, caller: PhantomData })
}

/// A place for an output that the caller may not want: NULL.
///
/// # Safety
/// As for [`output`].
pub(crate) unsafe fn optional_output<'a, T>(place: *mut T) -> Option<Output<'a, T>> {
    (!place.is_null()).then_some(Output { place, caller: PhantomData })
}

/// A place of the caller's for an id.
///
/// # Safety
/// `place` is NULL or `N` bytes may be written there during the call.
pub(crate) unsafe fn array_output<'a, const N: usize>(
    place: *mut u8,
    what: &str,
) -> Result<Output<'a, [u8; N]>> {
    // SAFETY: passed on; bytes have no alignment.
    unsafe { output(place.cast::<[u8; N]>(), what) }
}

/// A place that is written at most once, whatever was there before (it need not be initialised).
pub(crate) struct Output<'a, T> {
    place: *mut T,
    caller: PhantomData<&'a mut T>,
}

impl<T> Output<'_, T> {
    pub(crate) fn set(self, value: T) {
        // SAFETY: not NULL (checked where it was made), and its maker's caller vouches for the rest.
        unsafe { self.place.write(value) }
    }
}

/// Gives a transaction's id to a caller who wants it.
///
/// # Safety
/// `transaction` is NULL or has room for 32 bytes.
pub(crate) unsafe fn tell(transaction: *mut u8, id: TransactionId) {
    // SAFETY: passed on; bytes have no alignment.
    if let Some(place) = unsafe { optional_output(transaction.cast::<[u8; 32]>()) } {
        place.set(id.0);
    }
}

/// A caller's array for a list: gets as many items as fit, and `count` gets how many there are.
///
/// # Safety
/// `items` is NULL (with `capacity` 0) or has room for `capacity` items.
pub(crate) unsafe fn list_output<'a, T>(
    items: *mut T,
    capacity: usize,
    count: *mut usize,
) -> Result<List<'a, T>> {
    if items.is_null() && capacity > 0 {
        return Err(Error::invalid_argument("the array is NULL"));
    }
    // SAFETY: passed on.
    let count = unsafe { output(count, "count")? };
    Ok(List { items, capacity, count })
}

/// See [`list_output`].
pub(crate) struct List<'a, T> {
    items: *mut T,
    capacity: usize,
    count: Output<'a, usize>,
}

impl<T> List<'_, T> {
    pub(crate) fn set(self, values: impl ExactSizeIterator<Item = T>) {
        let total = values.len();
        for (index, value) in values.take(self.capacity).enumerate() {
            // SAFETY: `index` < `capacity`, for which the maker's caller vouches.
            unsafe { self.items.add(index).write(value) };
        }
        self.count.set(total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_ends_in_nul_and_is_freed_once_however_often_one_asks() {
        for bytes in [vec![1, 2, 3], vec![]] {
            let mut buffer = kith_buffer::from_vec(bytes.clone());
            assert_eq!(buffer.length, bytes.len());
            // SAFETY: the buffer is ours, with its NUL.
            unsafe {
                assert_eq!(*buffer.data.add(buffer.length), 0);
                kith_buffer_free(&mut buffer);
                assert!(buffer.data.is_null());
                kith_buffer_free(&mut buffer);
                kith_buffer_free(std::ptr::null_mut());
            }
        }
    }

    #[test]
    fn null_is_empty_only_with_length_zero() {
        // SAFETY: NULL is refused or not used.
        unsafe {
            assert_eq!(bytes(std::ptr::null(), 0, "value").unwrap(), b"");
            assert_eq!(bytes(std::ptr::null(), 1, "value").unwrap_err().message(), "value is NULL");
            assert_eq!(optional_bytes(std::ptr::null(), 0, "value").unwrap(), None);
            assert_eq!(optional_bytes(b"x".as_ptr(), 0, "value").unwrap(), Some(&b""[..]));
            assert!(optional_bytes(std::ptr::null(), 1, "value").is_err());
            assert_eq!(text(std::ptr::null(), "path").unwrap_err().message(), "path is NULL");
            assert_eq!(text(c"\xff".as_ptr(), "path").unwrap_err().message(), "path is not UTF-8");
            assert!(output::<u8>(std::ptr::null_mut(), "out").is_err());
            assert!(array::<32>(std::ptr::null(), "key").is_err());
        }
    }

    #[test]
    fn a_list_gets_what_fits_and_the_whole_count() {
        let (mut items, mut count) = ([0_u8; 3], 0);
        // SAFETY: two of the three places are offered, the third shows an overrun.
        unsafe { list_output(items.as_mut_ptr(), 2, &mut count) }.unwrap().set([7, 8, 9].into_iter());
        assert_eq!((items, count), ([7, 8, 0], 3));
        // SAFETY: NULL with room for nothing, and with room, which is refused.
        unsafe {
            list_output::<u8>(std::ptr::null_mut(), 0, &mut count).unwrap().set([7].into_iter());
            assert_eq!(count, 1);
            assert!(list_output::<u8>(std::ptr::null_mut(), 1, &mut count).is_err());
            assert!(list_output(items.as_mut_ptr(), 2, std::ptr::null_mut()).is_err());
        }
    }
}
