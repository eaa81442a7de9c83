//! Structs of the caller's that begin with their size, so that they can grow at their end.
//!
//! A program passes the size that the struct has in the header that it was built with. Filling writes no more than that, and reading
//! takes no more than that: what has come later is not there, and has its default. So a program goes on to work with a library
//! that knows more options than it does, under the same `KITH_ABI_VERSION`.

use kith_core::{Error, Result};

/// A struct that may grow. Its first member is `struct_size: usize`.
///
/// What is added goes behind everything else, and makes the struct longer: a member in what was a gap at the end would not change
/// the size, so a program that has never heard of it would seem to have set it. `growing!` does not compile a struct with such a gap.
pub(crate) trait Growing: Copy {
    /// What the struct is called in the header.
    const NAME: &'static str;
    /// What fills it, for messages.
    const FILLED_BY: &'static str;
    /// Every size that it has had in a header of this `KITH_ABI_VERSION`, the shortest first. The last one is today's.
    const SIZES: &'static [usize];

    /// Its defaults, with today's size.
    fn defaults() -> Self;
}

/// Says that a struct may grow: `growing!(kith_x_options, last: LAST_MEMBER: TYPE, since: [FIRST_MEMBER_OF_A_LATER_SIZE, …], DEFAULTS)`. The
/// sizes that it had before are the places where the members of a later one begin.
macro_rules! growing {
    ($name:ident, filled_by: $filled:literal, last: $last:ident: $type:ty, since: [$($later:ident),*], $defaults:expr) => {
        impl $crate::sized::Growing for $name {
            const NAME: &'static str = stringify!($name);
            const FILLED_BY: &'static str = $filled;
            const SIZES: &'static [usize] = &[$(std::mem::offset_of!($name, $later),)* size_of::<$name>()];

            fn defaults() -> Self {
                $defaults
            }
        }

        const _: () = {
            assert!(std::mem::offset_of!($name, struct_size) == 0);
            assert!(
                std::mem::offset_of!($name, $last) + size_of::<$type>() == size_of::<$name>(),
                "there is a gap at the end, where nothing could be added"
            );
            // What was the end of a struct lies where a struct can end.
            $(assert!(std::mem::offset_of!($name, $later) % align_of::<$name>() == 0);)*
        };
    };
}
pub(crate) use growing;

/// Sets a caller's struct of this size to the defaults. A longer one than this library knows is filled up with zeros, and says its size, so that
/// [`read`] refuses it.
///
/// # Safety
/// `place` is NULL, or `size` bytes may be written there.
pub(crate) unsafe fn fill<T: Growing>(place: *mut T, size: usize) {
    if place.is_null() || size < size_of::<usize>() {
        return;
    }
    let defaults = T::defaults();
    let known = size.min(size_of::<T>());
    // SAFETY: `known` is at most as long as either, and the caller vouches for the rest; the size stands at the beginning.
    unsafe {
        std::ptr::copy_nonoverlapping((&raw const defaults).cast::<u8>(), place.cast::<u8>(), known);
        place.cast::<u8>().add(known).write_bytes(0, size - known);
        place.cast::<usize>().write(size);
    }
}

/// As the functions filled that did not know the size of the caller's struct: the shortest that it ever was, which every caller has.
///
/// # Safety
/// `place` is NULL, or as many bytes as the shortest of [`Growing::SIZES`] may be written there.
pub(crate) unsafe fn fill_shortest<T: Growing>(place: *mut T) {
    // SAFETY: passed on.
    unsafe { fill(place, T::SIZES[0]) };
}

/// What a caller has filled; what its struct does not have is as by default. A size that no header of this ABI has had is refused: what was not
/// filled, and what was built with a newer header, whose options would be ignored.
///
/// # Safety
/// `given` points to its `struct_size`, which says how much there is of it.
pub(crate) unsafe fn read<T: Growing>(given: *const T) -> Result<T> {
    // SAFETY: the first member is always there.
    let size = unsafe { given.cast::<usize>().read() };
    if !T::SIZES.contains(&size) {
        let (name, filled, known) = (T::NAME, T::FILLED_BY, size_of::<T>());
        let why = if size > known {
            format!(
                "more than the {known} of this library: it was not filled by {filled}, or its program was built with a newer kith.h"
            )
        } else {
            format!("and not {known}: it was not filled by {filled}")
        };
        return Err(Error::invalid_argument(format!("{name}.struct_size is {size}, {why}")));
    }
    let mut whole = T::defaults();
    // SAFETY: the sizes are at most as long as the struct, and the caller's says that there is as much.
    unsafe { std::ptr::copy_nonoverlapping(given.cast::<u8>(), (&raw mut whole).cast::<u8>(), size) };
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Grown {
        struct_size: usize,
        first: u64,
        second: u64,
        third: u64,
    }

    growing!(Grown, filled_by: "grown_init", last: third: u64, since: [second, third], Grown {
        struct_size: size_of::<Grown>(),
        first: 1,
        second: 2,
        third: 3,
    });

    const WHOLE: usize = size_of::<Grown>();
    const UNTOUCHED: Grown = Grown { struct_size: 77, first: 77, second: 77, third: 77 };

    #[test]
    fn no_more_is_written_than_the_caller_has() {
        for (size, wanted) in [
            (4, UNTOUCHED),
            (16, Grown { struct_size: 16, first: 1, ..UNTOUCHED }),
            (24, Grown { struct_size: 24, first: 1, second: 2, third: 77 }),
            (WHOLE, Grown { struct_size: WHOLE, first: 1, second: 2, third: 3 }),
        ] {
            let mut place = UNTOUCHED;
            // SAFETY: there is at least as much.
            unsafe { fill(&raw mut place, size) };
            assert_eq!(place, wanted, "{size}");
        }
        let mut place = UNTOUCHED;
        // SAFETY: there is more than the shortest, and NULL is not written to.
        unsafe {
            fill_shortest(&raw mut place);
            fill_shortest(std::ptr::null_mut::<Grown>());
            fill(std::ptr::null_mut::<Grown>(), WHOLE);
        }
        assert_eq!(place, Grown { struct_size: 16, first: 1, ..UNTOUCHED });
    }

    #[test]
    fn what_the_caller_does_not_have_is_as_by_default() {
        for (size, second, third) in [(16, 2, 3), (24, 77, 3), (WHOLE, 77, 77)] {
            let given = Grown { struct_size: size, ..UNTOUCHED };
            // SAFETY: there is at least as much.
            let read = unsafe { read(&raw const given) }.unwrap();
            assert_eq!((read.first, read.second, read.third), (77, second, third), "{size}");
        }
    }

    #[test]
    fn a_size_that_no_header_had_is_refused() {
        for (size, why) in
            [(0, "was not filled by grown_init"), (20, "20, and not 32"), (WHOLE + 8, "a newer kith.h")]
        {
            let given = Grown { struct_size: size, ..UNTOUCHED };
            // SAFETY: the size is there.
            let refused = unsafe { read(&raw const given) }.unwrap_err();
            assert_eq!(refused.kind(), kith_core::ErrorKind::InvalidArgument);
            assert!(refused.message().contains(why), "{refused}");
        }
    }

    #[test]
    fn a_longer_struct_is_zeros_behind_what_is_known() {
        let mut place = [u64::MAX; 6];
        // SAFETY: there are 48 bytes.
        unsafe { fill(place.as_mut_ptr().cast::<Grown>(), 40) };
        assert_eq!(place, [40, 1, 2, 3, 0, u64::MAX]);
    }
}
