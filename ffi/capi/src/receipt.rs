//! What a call said and did.

use std::ffi::{CString, c_char};

use kith_core::node::TransactionInfo;
use kith_core::replica::TransactionId;
use kith_core::{Error, Result};

use crate::border::{border, run_quietly};
use crate::bytes::{array, output};
use crate::context::kith_context;
use crate::handle::{borrow, give, handles, take};
use crate::lists::kith_transaction;
use crate::status::kith_status;
use crate::wait::wait;

/// A transaction with what it said and did at its place. It does not change.
#[allow(non_camel_case_types)]
pub struct kith_receipt {
    _private: [u8; 0],
}

handles! {
    kith_receipt => Told = 12, anywhere;
}

/// What is behind a [`kith_receipt`].
pub struct Told {
    transaction: TransactionInfo,
    method: CString,
    reason: CString,
    emitted: Vec<(CString, Vec<u8>)>,
}

/// Texts of applications and peers may hold a NUL, where C sees their end.
fn c_text(text: &str) -> CString {
    CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default()
}

impl Told {
    fn of(transaction: TransactionInfo) -> Self {
        let receipt = transaction.receipt.as_ref();
        let reason = receipt.and_then(|receipt| receipt.outcome.as_ref().err()).map(ToString::to_string);
        let emitted = receipt.map(|receipt| &receipt.emitted[..]).unwrap_or_default();
        Self {
            method: c_text(transaction.method.as_deref().unwrap_or_default()),
            reason: c_text(&reason.unwrap_or_default()),
            emitted: emitted.iter().map(|(name, data)| (c_text(name), data.clone())).collect(),
            transaction,
        }
    }

    fn answer(&self) -> &[u8] {
        let outcome = self.transaction.receipt.as_ref().map(|receipt| &receipt.outcome);
        outcome.and_then(|outcome| outcome.as_ref().ok()).map_or(&[], Vec::as_slice)
    }
}

/// What a transaction said and did, by its id of 32 bytes; KITH_NOT_FOUND if it is not in the history. It goes back by kith_receipt_free.
///
/// # Safety
/// `context` is a context of this library or NULL; `id` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_receipt(
    context: *const kith_context,
    id: *const u8,
    receipt: *mut *mut kith_receipt,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, id, place) =
            unsafe { (borrow(context)?, TransactionId(array(id, "id")?), output(receipt, "receipt")?) };
        let info = wait(context.transaction(id))?;
        let info = info.ok_or_else(|| Error::not_found(format!("the history has no transaction {id}")))?;
        place.set(give(Told::of(info)));
        Ok(())
    }
}

/// Frees a receipt, and with it what its accessors pointed to.
///
/// # Safety
/// `receipt` is a receipt of this library or NULL, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_receipt_free(receipt: *mut kith_receipt) {
    // SAFETY: as the caller vouches.
    run_quietly(|| drop(unsafe { take(receipt) }));
}

/// The transaction.
///
/// # Safety
/// `receipt` is a receipt of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_receipt_transaction(
    receipt: *const kith_receipt,
    transaction: *mut kith_transaction,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (receipt, place) = unsafe { (borrow(receipt)?, output(transaction, "transaction")?) };
        place.set(kith_transaction::of(&receipt.transaction));
        Ok(())
    }
}

/// # Safety
/// `receipt` is a receipt of this library or NULL; `length` is NULL or may be written.
unsafe fn bytes_of(receipt: Result<&Told>, length: *mut usize, of: impl FnOnce(&Told) -> &[u8]) -> *const u8 {
    let bytes = receipt.map_or(&[][..], of);
    // SAFETY: passed on.
    if let Some(length) = unsafe { length.as_mut() } {
        *length = bytes.len();
    }
    bytes.as_ptr()
}

/// Of a call: the method. Never NULL; empty if the transaction is no call.
///
/// # Safety
/// `receipt` is a receipt of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_receipt_method(receipt: *const kith_receipt) -> *const c_char {
    // SAFETY: as the caller vouches.
    unsafe { borrow(receipt) }.map_or(c"".as_ptr(), |receipt| receipt.method.as_ptr())
}

/// Of a call: the arguments; `length`, unless NULL, gets how many bytes.
///
/// # Safety
/// `receipt` is a receipt of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_receipt_arguments(
    receipt: *const kith_receipt,
    length: *mut usize,
) -> *const u8 {
    // SAFETY: as the caller vouches.
    unsafe { bytes_of(borrow(receipt), length, |receipt| &receipt.transaction.arguments) }
}

/// Of a call that counts: the application's answer; `length`, unless NULL, gets how many bytes.
///
/// # Safety
/// `receipt` is a receipt of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_receipt_answer(receipt: *const kith_receipt, length: *mut usize) -> *const u8 {
    // SAFETY: as the caller vouches.
    unsafe { bytes_of(borrow(receipt), length, Told::answer) }
}

/// Why the transaction does nothing at its place. Never NULL; empty if it counts or is not executed yet.
///
/// # Safety
/// `receipt` is a receipt of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_receipt_reason(receipt: *const kith_receipt) -> *const c_char {
    // SAFETY: as the caller vouches.
    unsafe { borrow(receipt) }.map_or(c"".as_ptr(), |receipt| receipt.reason.as_ptr())
}

/// How many messages the call emitted.
///
/// # Safety
/// `receipt` is a receipt of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_receipt_emitted_count(receipt: *const kith_receipt) -> usize {
    // SAFETY: as the caller vouches.
    unsafe { borrow(receipt) }.map_or(0, |receipt| receipt.emitted.len())
}

/// A message that the call emitted. What is given points into the receipt and lives until it is freed.
///
/// # Safety
/// `receipt` is a receipt of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_receipt_emitted_at(
    receipt: *const kith_receipt,
    index: usize,
    name: *mut *const c_char,
    data: *mut *const u8,
    length: *mut usize,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (receipt, name, data, length) = unsafe {
            (borrow(receipt)?, output(name, "name")?, output(data, "data")?, output(length, "length")?)
        };
        let emitted = receipt.emitted.get(index).ok_or_else(|| {
            Error::invalid_argument(format!("the call emitted {}, none with index {index}", receipt.emitted.len()))
        })?;
        name.set(emitted.0.as_ptr());
        data.set(emitted.1.as_ptr());
        length.set(emitted.1.len());
        Ok(())
    }
}
