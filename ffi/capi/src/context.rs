//! Contexts: calls, reads, status.

use std::ffi::c_char;

use kith_core::node::{Entry, Level};
use kith_core::replica::{StateKey, TransactionId};
use kith_core::{Error, Result};

use crate::border::{border, run_quietly};
use crate::bytes::{array, array_output, bytes, kith_buffer, list_output, optional_output, output, text};
use crate::handle::{borrow, give, handles, take};
use crate::lists::kith_transaction;
use crate::node::json_of;
use crate::options::{KITH_FINAL, KITH_NO_ROLE, KITH_TENTATIVE, timeout_of};
use crate::status::kith_status;
use crate::verify::optional_place;
use crate::wait::{here, wait};

/// A context: an application's state that its members share. All functions may be called from any thread, and from
/// several at once.
#[allow(non_camel_case_types)]
pub struct kith_context {
    _private: [u8; 0],
}

/// A page of entries of the state. It does not change.
#[allow(non_camel_case_types)]
pub struct kith_entries {
    _private: [u8; 0],
}

handles! {
    kith_entries => Vec<Entry> = 3, anywhere;
}

pub(crate) fn level_of(number: u32) -> Result<Level> {
    match number {
        KITH_TENTATIVE => Ok(Level::Tentative),
        KITH_FINAL => Ok(Level::Final),
        other => Err(Error::invalid_argument(format!("{other} is no level"))),
    }
}

/// Frees the handle. The context lives on with its node.
///
/// # Safety
/// `context` is a context of this library or NULL, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_free(context: *mut kith_context) {
    // SAFETY: as the caller vouches.
    run_quietly(|| drop(unsafe { take(context) }));
}

/// The context's id, 32 bytes.
///
/// # Safety
/// `context` is a context of this library or NULL; `id` has room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_id(context: *const kith_context, id: *mut u8) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, place) = unsafe { (borrow(context)?, array_output(id, "id")?) };
        place.set(context.id().0);
        Ok(())
    }
}

/// This node's member in the context, 32 bytes.
///
/// # Safety
/// `context` is a context of this library or NULL; `member` has room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_me(context: *const kith_context, member: *mut u8) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, place) = unsafe { (borrow(context)?, array_output(member, "member")?) };
        place.set(context.me().0);
        Ok(())
    }
}

/// This node's role in the context: KITH_ADMIN, KITH_WRITER, KITH_READER or KITH_NO_ROLE.
///
/// # Safety
/// `context` is a context of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_role(context: *const kith_context, role: *mut u32) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, place) = unsafe { (borrow(context)?, output(role, "role")?) };
        place.set(context.role().map_or(KITH_NO_ROLE, |role| role as u32));
        Ok(())
    }
}

/// The name of the context's application. Empty before the context's first transaction is here.
///
/// # Safety
/// `context` is a context of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_application(
    context: *const kith_context,
    application: *mut kith_buffer,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, place) = unsafe { (borrow(context)?, output(application, "application")?) };
        place.set(kith_buffer::from_vec(context.application().into_bytes()));
        Ok(())
    }
}

/// What the context is called.
///
/// # Safety
/// `context` is a context of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_name(
    context: *const kith_context,
    name: *mut kith_buffer,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, place) = unsafe { (borrow(context)?, output(name, "name")?) };
        place.set(kith_buffer::from_vec(context.name().into_bytes()));
        Ok(())
    }
}

/// Carries out a method call of the application. When it returns KITH_OK, the call is executed, durable and on its way to the other
/// members. What the application refuses is KITH_REJECTED, and not published. `transaction` (room for 32 bytes) and `answer` may be NULL.
///
/// # Safety
/// `context` is a context of this library or NULL; `method` ends in NUL; `arguments` has `arguments_length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_execute(
    context: *mut kith_context,
    method: *const c_char,
    arguments: *const u8,
    arguments_length: usize,
    transaction: *mut u8,
    answer: *mut kith_buffer,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, method, arguments) = unsafe {
            (borrow(context)?, text(method, "method")?, bytes(arguments, arguments_length, "arguments")?)
        };
        let executed = wait(context.execute(method, arguments))?;
        // SAFETY: as the caller vouches; bytes have no alignment.
        unsafe {
            if let Some(place) = optional_output(transaction.cast::<[u8; 32]>()) {
                place.set(executed.transaction.0);
            }
            if let Some(place) = optional_output(answer) {
                place.set(kith_buffer::from_vec(executed.output));
            }
        }
        Ok(())
    }
}

/// A read-only call of the application, on this member only.
///
/// # Safety
/// `context` is a context of this library or NULL; `method` ends in NUL; `arguments` has `arguments_length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_query(
    context: *const kith_context,
    method: *const c_char,
    arguments: *const u8,
    arguments_length: usize,
    answer: *mut kith_buffer,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, method, arguments, place) = unsafe {
            (
                borrow(context)?,
                text(method, "method")?,
                bytes(arguments, arguments_length, "arguments")?,
                output(answer, "answer")?,
            )
        };
        place.set(kith_buffer::from_vec(wait(context.query(method, arguments))?));
        Ok(())
    }
}

/// The value under a key of 32 bytes; KITH_NOT_FOUND if there is none. `level`: KITH_TENTATIVE or KITH_FINAL.
///
/// # Safety
/// `context` is a context of this library or NULL; `key` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_get(
    context: *const kith_context,
    key: *const u8,
    level: u32,
    value: *mut kith_buffer,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, key, place) =
            unsafe { (borrow(context)?, StateKey(array(key, "key")?), output(value, "value")?) };
        let value = here(|| context.get_blocking(key, level_of(level)?))?;
        let value = value.ok_or_else(|| Error::not_found(format!("there is no entry {key}")))?;
        place.set(kith_buffer::from_vec(value));
        Ok(())
    }
}

/// A page of entries in key order: those whose keys begin with `prefix` and sort after `after` (32 bytes, or NULL for the start), at
/// most `limit`, at most 1,000 and at most 1 MiB. A page without entries is the end.
///
/// # Safety
/// `context` is a context of this library or NULL; `prefix` has `prefix_length` bytes; `after` is NULL or has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_entries(
    context: *const kith_context,
    prefix: *const u8,
    prefix_length: usize,
    after: *const u8,
    limit: usize,
    level: u32,
    entries: *mut *mut kith_entries,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, prefix, after, place) = unsafe {
            let after = if after.is_null() { None } else { Some(StateKey(array(after, "after")?)) };
            (borrow(context)?, bytes(prefix, prefix_length, "prefix")?, after, output(entries, "entries")?)
        };
        let page = here(|| context.entries_blocking(prefix, after, limit, level_of(level)?))?;
        place.set(give(page));
        Ok(())
    }
}

/// How many entries a page has; 0 for NULL.
///
/// # Safety
/// `entries` is a page of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_entries_count(entries: *const kith_entries) -> usize {
    // SAFETY: as the caller vouches.
    unsafe { borrow(entries) }.map_or(0, Vec::len)
}

/// An entry of a page. `key` (32 bytes) and `value` (`value_length` bytes) point into the page and live until it is freed.
///
/// # Safety
/// `entries` is a page of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_entries_at(
    entries: *const kith_entries,
    index: usize,
    key: *mut *const u8,
    value: *mut *const u8,
    value_length: *mut usize,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (entries, key, value, value_length) = unsafe {
            (
                borrow(entries)?,
                output(key, "key")?,
                output(value, "value")?,
                output(value_length, "value_length")?,
            )
        };
        let entry = entries.get(index).ok_or_else(|| {
            Error::invalid_argument(format!("the page has {} entries, none with index {index}", entries.len()))
        })?;
        key.set(entry.key.0.as_ptr());
        value.set(entry.value.as_ptr());
        value_length.set(entry.value.len());
        Ok(())
    }
}

/// Frees a page.
///
/// # Safety
/// `entries` is a page of this library or NULL, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_entries_free(entries: *mut kith_entries) {
    // SAFETY: as the caller vouches.
    run_quietly(|| drop(unsafe { take(entries) }));
}

/// How it stands with a transaction, by its id of 32 bytes; KITH_NOT_FOUND if it is not in the history.
///
/// # Safety
/// `context` is a context of this library or NULL; `id` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_transaction(
    context: *const kith_context,
    id: *const u8,
    transaction: *mut kith_transaction,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, id, place) = unsafe {
            (borrow(context)?, TransactionId(array(id, "id")?), output(transaction, "transaction")?)
        };
        let info = wait(context.transaction(id))?;
        let info = info.ok_or_else(|| Error::not_found(format!("the history has no transaction {id}")))?;
        place.set(kith_transaction::of(&info));
        Ok(())
    }
}

/// A page of the order: the transactions after a place (48 bytes, or NULL for the start), at most `capacity` and at most 1,000.
/// `count` gets how many were written; 0 is the end.
///
/// # Safety
/// `context` is a context of this library or NULL; `after` is NULL or has 48 bytes; `transactions` has room for `capacity`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_history(
    context: *const kith_context,
    after: *const u8,
    transactions: *mut kith_transaction,
    capacity: usize,
    count: *mut usize,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, after, list) = unsafe {
            (borrow(context)?, optional_place(after)?, list_output(transactions, capacity, count)?)
        };
        let page = wait(context.history(after, capacity))?;
        list.set(page.iter().map(kith_transaction::of));
        Ok(())
    }
}

/// The state commitment, 32 bytes: equal on all members that hold the same history. It is of the state alone, and may be equal before
/// the histories are: the digest in `kith_context_status` is of these.
///
/// # Safety
/// `context` is a context of this library or NULL; `commitment` has room for 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_commitment(
    context: *const kith_context,
    commitment: *mut u8,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, place) = unsafe { (borrow(context)?, array_output(commitment, "commitment")?) };
        place.set(wait(context.commitment())?);
        Ok(())
    }
}

/// How it stands with the context, as a JSON object: transactions, pending, unopened (sealed, in the order, and not opened: nothing that they say is known
/// here, until a member shares it), waiting, missing, blocked, frozen, commitment, digest, and peers: of each connected one peer, member, equal,
/// lacking, lacks, since.
///
/// # Safety
/// `context` is a context of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_status(
    context: *const kith_context,
    json: *mut kith_buffer,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, place) = unsafe { (borrow(context)?, output(json, "json")?) };
        place.set(json_of(&wait(context.status())?)?);
        Ok(())
    }
}

/// Blocks until all that is written here by now is durable with each connected member, and what these held is here, for at most
/// `timeout_ms`: then KITH_TIMEOUT, also where no member is connected. What either side writes meanwhile is not waited for.
///
/// # Safety
/// `context` is a context of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_wait_synced(
    context: *const kith_context,
    timeout_ms: u64,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let context = unsafe { borrow(context)? };
        wait(context.wait_synced(timeout_of(timeout_ms)))
    }
}
