//! Keys of the state.

use std::ffi::c_char;

use kith_core::replica::StateKey;

use crate::border::border;
use crate::bytes::{array_output, text};
use crate::status::kith_status;

/// The key of an item of a collection, 32 bytes. All keys of a collection share their first 16 bytes, and only they have them.
///
/// # Safety
/// Texts end in NUL; `key` has room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_state_key_of(
    collection: *const c_char,
    name: *const c_char,
    key: *mut u8,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (collection, name, place) = unsafe {
            (
                text(collection, "collection")?,
                text(name, "name")?,
                array_output(key, "key")?,
            )
        };
        place.set(StateKey::of(collection, name).0);
        Ok(())
    }
}

/// The first 16 bytes of the keys of a collection: the prefix for kith_context_entries.
///
/// # Safety
/// `collection` ends in NUL; `prefix` has room for 16 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_state_key_collection(
    collection: *const c_char,
    prefix: *mut u8,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (collection, place) = unsafe { (text(collection, "collection")?, array_output(prefix, "prefix")?) };
        place.set(StateKey::collection(collection));
        Ok(())
    }
}

/// A fresh random key, 32 bytes. Not for applications, which know no chance.
///
/// # Safety
/// `key` has room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_state_key_random(key: *mut u8) -> kith_status {
    border! {
        crate::inside::check()?;
        // SAFETY: as the caller vouches.
        let place = unsafe { array_output(key, "key")? };
        place.set(StateKey::random()?.0);
        Ok(())
    }
}
