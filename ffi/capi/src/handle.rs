//! Handles: what a C program holds of ours.
//!
//! For C each kind is an opaque struct of its own, so a compiler sees a mix-up. A cast can hide it, so each allocation
//! starts with the tag of its kind, and a handle is used or freed only if the tag is right.

use kith_core::{Error, Result};

use crate::inside;

/// An opaque type of the header and what is behind it.
pub(crate) trait Kind {
    /// What the handle owns.
    type Inner: Send + Sync + 'static;
    /// Tells the kinds apart.
    const TAG: u64;
    /// For messages: "a kith_node".
    const NAME: &'static str;
    /// Whether it may be used inside of callbacks that must not call the library.
    const ANYWHERE: bool;
}

#[repr(C)]
struct Allocation<T> {
    tag: u64,
    inner: T,
}

/// Makes opaque types kinds of handles: `handles! { kith_node => Node = 1; }`. The structs stand outside of the macro,
/// where the generator of the header sees them. `, anywhere` behind the number: see [`Kind::ANYWHERE`].
macro_rules! handles {
    (@) => { false };
    (@ anywhere) => { true };
    ($($name:ident => $inner:ty = $tag:literal $(, $anywhere:ident)?;)*) => {
        $(
            impl $crate::handle::Kind for $name {
                type Inner = $inner;
                const TAG: u64 = 0x4b49_5448_0000_0000 | $tag;
                const NAME: &'static str = stringify!($name);
                const ANYWHERE: bool = $crate::handle::handles!(@ $($anywhere)?);
            }
        )*
    };
}
pub(crate) use handles;

/// Gives a value to the caller, who owns it until it comes back to [`take`].
pub(crate) fn give<K: Kind>(inner: K::Inner) -> *mut K {
    Box::into_raw(Box::new(Allocation { tag: K::TAG, inner })).cast()
}

/// The value behind a handle that the caller keeps.
///
/// # Safety
/// `handle` is NULL or came out of [`give`] (of any kind) and has not gone into [`take`].
pub(crate) unsafe fn borrow<'a, K: Kind>(handle: *const K) -> Result<&'a K::Inner> {
    // SAFETY: passed on.
    unsafe { check(handle)? };
    if !K::ANYWHERE {
        inside::check()?;
    }
    // SAFETY: the tag says that this is an allocation of this kind, and the caller that it is alive.
    Ok(unsafe { &(*handle.cast::<Allocation<K::Inner>>()).inner })
}

/// Takes a value back from the caller; `None` for NULL.
///
/// # Safety
/// As for [`borrow`], and nobody else uses the handle from here on.
pub(crate) unsafe fn take<K: Kind>(handle: *mut K) -> Result<Option<K::Inner>> {
    if handle.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    unsafe { check(handle)? };
    // SAFETY: the tag says that `give` boxed exactly this type, and the caller that this is its only owner.
    Ok(Some(unsafe { Box::from_raw(handle.cast::<Allocation<K::Inner>>()) }.inner))
}

/// # Safety
/// As for [`borrow`].
unsafe fn check<K: Kind>(handle: *const K) -> Result<()> {
    if handle.is_null() {
        return Err(Error::invalid_argument(format!("{} is NULL", K::NAME)));
    }
    // SAFETY: every allocation of every kind starts with its tag.
    if unsafe { *handle.cast::<u64>() } != K::TAG {
        return Err(Error::invalid_argument(format!("this handle is no {}", K::NAME)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[allow(non_camel_case_types)]
    struct one;
    #[allow(non_camel_case_types)]
    struct another;
    handles! {
        one => Arc<u32> = 901;
        another => Arc<u32> = 902, anywhere;
    }

    #[test]
    fn a_handle_comes_back_only_as_its_own_kind() {
        let value = Arc::new(7);
        let handle = give::<one>(value.clone());
        // SAFETY: the handle is alive; the cast is the mistake under test.
        unsafe {
            assert_eq!(**borrow(handle).unwrap(), 7);
            let mistake = take(handle.cast::<another>()).unwrap_err();
            assert_eq!(mistake.message(), "this handle is no another");
            assert!(borrow(handle.cast::<another>()).is_err());
            assert_eq!(Arc::strong_count(&value), 2, "the wrong free freed it");
            assert_eq!(take(handle).unwrap().as_deref(), Some(&7));
        }
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn inside_a_callback_only_what_is_allowed_there_is_used() {
        let (everywhere, outside) = (give::<another>(Arc::new(1)), give::<one>(Arc::new(2)));
        let inside = inside::enter(inside::Callback::Application);
        // SAFETY: the handles are alive.
        unsafe {
            assert_eq!(**borrow(everywhere).unwrap(), 1);
            assert_eq!(borrow(outside).unwrap_err().kind(), kith_core::ErrorKind::Unsupported);
            drop(inside);
            assert_eq!(**borrow(outside).unwrap(), 2);
            assert!(take(everywhere).unwrap().is_some() && take(outside).unwrap().is_some());
        }
    }

    #[test]
    fn null_is_refused_in_use_and_nothing_in_free() {
        // SAFETY: NULL is allowed.
        unsafe {
            assert_eq!(borrow::<one>(std::ptr::null()).unwrap_err().message(), "one is NULL");
            assert!(take::<one>(std::ptr::null_mut()).unwrap().is_none());
        }
    }
}
