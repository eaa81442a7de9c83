//! Which library this is.

use std::ffi::c_char;

/// The number of the binary interface, which is also in the library's SONAME. Programs built for one number run with
/// every library of that number.
pub const KITH_ABI_VERSION: u32 = 0;

/// The version of the library that runs, like "0.1.0". Never NULL; lives forever. Compare it with KITH_VERSION, the
/// version of the header.
#[unsafe(no_mangle)]
pub extern "C" fn kith_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The number of the binary interface of the library that runs. Compare it with KITH_ABI_VERSION.
#[unsafe(no_mangle)]
pub extern "C" fn kith_abi_version() -> u32 {
    KITH_ABI_VERSION
}
