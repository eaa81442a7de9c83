//! Creating contexts with more to say about them.

use std::ffi::c_char;

use kith_core::node::{CreateOptions, Encryption};
use kith_core::{Error, Result};

use crate::border::border;
use crate::bytes::{bytes, optional_text, output};
use crate::context::kith_context;
use crate::handle::{borrow, give};
use crate::node::kith_node;
use crate::sized::{fill, growing, read};
use crate::status::kith_status;
use crate::wait::wait;

/// Payloads of the context are not sealed. Between nodes everything is encrypted by the links all the same.
pub const KITH_ENCRYPTION_OFF: u32 = 0;
/// A group double ratchet over X25519.
pub const KITH_ENCRYPTION_X25519: u32 = 1;
/// The same over X-Wing, which also withstands quantum computers; its keys are about 13 times as large.
pub const KITH_ENCRYPTION_X_WING: u32 = 2;

fn encryption_of(number: u32) -> Result<Encryption> {
    match number {
        KITH_ENCRYPTION_OFF => Ok(Encryption::Off),
        KITH_ENCRYPTION_X25519 => Ok(Encryption::X25519),
        KITH_ENCRYPTION_X_WING => Ok(Encryption::XWing),
        other => Err(Error::invalid_argument(format!("{other} is no encryption"))),
    }
}

/// What a context is created with. Filled by kith_create_options_init, then changed.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct kith_create_options {
    /// sizeof(kith_create_options), set by kith_create_options_init.
    pub struct_size: usize,
    /// The application: "kv" (or NULL for it), or one that was registered.
    pub application: *const c_char,
    /// What the application is set up with; NULL with a length of 0: nothing, as "kv" needs it.
    pub arguments: *const u8,
    /// How many bytes there are.
    pub arguments_length: usize,
    /// What people call the context, at most 128 bytes; NULL: nothing.
    pub name: *const c_char,
    /// KITH_ENCRYPTION_…: how what is written is sealed, for good. At first KITH_ENCRYPTION_X25519.
    pub encryption: u32,
    /// Not used; zeros.
    pub reserved: [u8; 4],
}

growing!(kith_create_options, filled_by: "kith_create_options_init", last: reserved: [u8; 4], since: [], kith_create_options {
    struct_size: size_of::<kith_create_options>(),
    application: std::ptr::null(),
    arguments: std::ptr::null(),
    arguments_length: 0,
    name: std::ptr::null(),
    encryption: KITH_ENCRYPTION_X25519,
    reserved: [0; 4],
});

/// Sets all options of a struct of this size to their defaults: what kith_create_options_init is in this header. `size` is sizeof(kith_create_options), as
/// the caller's header has it; no more is written.
///
/// # Safety
/// `options` is NULL, or `size` bytes may be written there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_create_options_init_sized(options: *mut kith_create_options, size: usize) {
    // SAFETY: the caller vouches for it.
    unsafe { fill(options, size) };
}

/// Creates a context like kith_node_create_context, with options. NULL: the defaults.
///
/// # Safety
/// `node` is a node of this library or NULL; `options` is NULL or was filled by kith_create_options_init, its texts end in NUL, and its `arguments` have
/// `arguments_length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_create_context_with(
    node: *mut kith_node,
    options: *const kith_create_options,
    context: *mut *mut kith_context,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (node, options, place) =
            unsafe { (borrow(node)?, create_options(options)?, output(context, "context")?) };
        place.set(give(wait(node.create_context(options))?));
        Ok(())
    }
}

/// # Safety
/// `options` is NULL, or points to its `struct_size`, which says how much there is behind it; its texts end in NUL, and its arguments have their length.
unsafe fn create_options(options: *const kith_create_options) -> Result<CreateOptions> {
    let mut built = CreateOptions::default();
    if options.is_null() {
        return Ok(built);
    }
    // SAFETY: passed on.
    unsafe {
        let options = read(options)?;
        if let Some(application) = optional_text(options.application, "application")? {
            application.clone_into(&mut built.application);
        }
        built.arguments = bytes(options.arguments, options.arguments_length, "arguments")?.to_vec();
        optional_text(options.name, "name")?.unwrap_or_default().clone_into(&mut built.name);
        built.encryption = encryption_of(options.encryption)?;
    }
    Ok(built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encryption_has_the_number_of_its_suite() {
        for number in [KITH_ENCRYPTION_OFF, KITH_ENCRYPTION_X25519, KITH_ENCRYPTION_X_WING] {
            assert_eq!(u32::from(encryption_of(number).unwrap().suite()), number);
        }
        assert_eq!(encryption_of(3).unwrap_err().message(), "3 is no encryption");
        assert_eq!(u32::from(Encryption::default().suite()), KITH_ENCRYPTION_X25519);
    }
}
