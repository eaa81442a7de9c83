//! The methods of the key-value application.

use kith_core::application::kv::{Add, Append, CompareAndSet, Delete, Operation, Put};
use kith_core::replica::StateKey;
use kith_core::{Error, Result};

use crate::border::{border, run_quietly};
use crate::bytes::{array, bytes, optional_bytes, optional_output, output, tell};
use crate::context::kith_context;
use crate::handle::{borrow, give, handles, take};
use crate::status::kith_status;
use crate::wait::wait;

/// Sets a key of 32 bytes to a value of at most 1 MiB. Only for contexts of the application "kv", like the functions that follow.
/// `transaction` may be NULL, or has room for the 32 bytes of the id.
///
/// # Safety
/// `context` is a context of this library or NULL; `key` has 32 bytes, `value` has `value_length`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_put(
    context: *mut kith_context,
    key: *const u8,
    value: *const u8,
    value_length: usize,
    transaction: *mut u8,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        unsafe {
            let (context, key) = (borrow(context)?, StateKey(array(key, "key")?));
            tell(transaction, wait(context.put(key, bytes(value, value_length, "value")?))?);
        }
        Ok(())
    }
}

/// Removes a key; nothing happens if it is absent.
///
/// # Safety
/// `context` is a context of this library or NULL; `key` has 32 bytes; `transaction` is NULL or has room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_delete(
    context: *mut kith_context,
    key: *const u8,
    transaction: *mut u8,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        unsafe {
            let (context, key) = (borrow(context)?, StateKey(array(key, "key")?));
            tell(transaction, wait(context.delete(key))?);
        }
        Ok(())
    }
}

/// Adds to a counter: a value of 8 bytes, little-endian, signed; an absent one is 0. `now`, unless NULL, gets its new value, which may
/// still move with the order.
///
/// # Safety
/// `context` is a context of this library or NULL; `key` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_add(
    context: *mut kith_context,
    key: *const u8,
    number: i64,
    now: *mut i64,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        unsafe {
            let (context, key) = (borrow(context)?, StateKey(array(key, "key")?));
            let value = wait(context.add(key, number))?;
            if let Some(place) = optional_output(now) {
                place.set(value);
            }
        }
        Ok(())
    }
}

/// Sets a key to a value if its value is the expected one; KITH_REJECTED otherwise. `expected` NULL: the key must be absent. `value`
/// NULL: the key is removed. (For a value of no bytes the pointer is not NULL and the length 0.)
///
/// # Safety
/// `context` is a context of this library or NULL; `key` has 32 bytes, `expected` and `value` have theirs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_compare_and_set(
    context: *mut kith_context,
    key: *const u8,
    expected: *const u8,
    expected_length: usize,
    value: *const u8,
    value_length: usize,
    transaction: *mut u8,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        unsafe {
            let (context, key) = (borrow(context)?, StateKey(array(key, "key")?));
            let expected = optional_bytes(expected, expected_length, "expected")?;
            let value = optional_bytes(value, value_length, "value")?;
            tell(transaction, wait(context.compare_and_set(key, expected, value))?);
        }
        Ok(())
    }
}

/// Appends to a value; an absent one is empty. The result has at most 1 MiB.
///
/// # Safety
/// `context` is a context of this library or NULL; `key` has 32 bytes, `data` has `length`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_append(
    context: *mut kith_context,
    key: *const u8,
    data: *const u8,
    length: usize,
    transaction: *mut u8,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        unsafe {
            let (context, key) = (borrow(context)?, StateKey(array(key, "key")?));
            tell(transaction, wait(context.append(key, bytes(data, length, "data")?))?);
        }
        Ok(())
    }
}

/// Several operations that are carried out together, all or none. Unlike other handles, a batch is built by one thread at a time: the
/// functions wait for each other, but their order is then a matter of luck.
#[allow(non_camel_case_types)]
pub struct kith_batch {
    _private: [u8; 0],
}

handles! {
    kith_batch => std::sync::Mutex<Vec<Operation>> = 6;
}

/// A batch without operations.
///
/// # Safety
/// `batch` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_batch_new(batch: *mut *mut kith_batch) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        unsafe { output(batch, "batch")? }.set(give(std::sync::Mutex::new(Vec::new())));
        Ok(())
    }
}

/// Frees a batch.
///
/// # Safety
/// `batch` is a batch of this library or NULL, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_batch_free(batch: *mut kith_batch) {
    // SAFETY: as the caller vouches.
    run_quietly(|| drop(unsafe { take(batch) }));
}

/// # Safety
/// `batch` is a batch of this library or NULL.
unsafe fn push(batch: *mut kith_batch, operation: Operation) -> Result<()> {
    // SAFETY: passed on.
    let mut operations =
        unsafe { borrow(batch)? }.lock().map_err(|_| Error::internal("a call with this batch panicked"))?;
    operations.push(operation);
    Ok(())
}

/// Adds the operation of kith_context_put to a batch.
///
/// # Safety
/// `batch` is a batch of this library or NULL; `key` has 32 bytes, `value` has `value_length`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_batch_put(
    batch: *mut kith_batch,
    key: *const u8,
    value: *const u8,
    value_length: usize,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        unsafe {
            let key = StateKey(array(key, "key")?);
            let value = bytes(value, value_length, "value")?.to_vec();
            push(batch, Operation::Put(Put { key, value }))
        }
    }
}

/// Adds the operation of kith_context_delete to a batch.
///
/// # Safety
/// `batch` is a batch of this library or NULL; `key` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_batch_delete(batch: *mut kith_batch, key: *const u8) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        unsafe { push(batch, Operation::Delete(Delete { key: StateKey(array(key, "key")?) })) }
    }
}

/// Adds the operation of kith_context_add to a batch.
///
/// # Safety
/// `batch` is a batch of this library or NULL; `key` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_batch_add(batch: *mut kith_batch, key: *const u8, number: i64) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        unsafe { push(batch, Operation::Add(Add { key: StateKey(array(key, "key")?), delta: number })) }
    }
}

/// Adds the operation of kith_context_compare_and_set to a batch.
///
/// # Safety
/// `batch` is a batch of this library or NULL; `key` has 32 bytes, `expected` and `value` have theirs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_batch_compare_and_set(
    batch: *mut kith_batch,
    key: *const u8,
    expected: *const u8,
    expected_length: usize,
    value: *const u8,
    value_length: usize,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        unsafe {
            let key = StateKey(array(key, "key")?);
            let expected = optional_bytes(expected, expected_length, "expected")?.map(Vec::from);
            let value = optional_bytes(value, value_length, "value")?.map(Vec::from);
            push(batch, Operation::CompareAndSet(CompareAndSet { key, expected, value }))
        }
    }
}

/// Adds the operation of kith_context_append to a batch.
///
/// # Safety
/// `batch` is a batch of this library or NULL; `key` has 32 bytes, `data` has `length`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_batch_append(
    batch: *mut kith_batch,
    key: *const u8,
    data: *const u8,
    length: usize,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        unsafe {
            let key = StateKey(array(key, "key")?);
            let bytes = bytes(data, length, "data")?.to_vec();
            push(batch, Operation::Append(Append { key, bytes }))
        }
    }
}

/// Carries out a batch, all of it or, if one operation is refused, nothing. The batch stays as it is, and the caller's.
///
/// # Safety
/// `context` is a context and `batch` a batch of this library, or NULL; `transaction` is NULL or has room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_batch(
    context: *mut kith_context,
    batch: *const kith_batch,
    transaction: *mut u8,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        unsafe {
            let context = borrow(context)?;
            let operations = borrow(batch)?
                .lock()
                .map_err(|_| Error::internal("a call with this batch panicked"))?
                .clone();
            tell(transaction, wait(context.batch(operations))?);
        }
        Ok(())
    }
}
