//! Looking at what is kept: checks of a context, and where a key's value comes from.

use std::ffi::c_char;

use kith_core::node::Explanation;
use kith_core::replica::{Part, Place, StateKey, Verification, Written};
use kith_core::{Error, Result};

use crate::border::border;
use crate::bytes::{array, list_output, output};
use crate::context::kith_context;
use crate::handle::borrow;
use crate::lists::{fixed, kith_transaction};
use crate::status::kith_status;
use crate::wait::wait;

/// Nothing differs.
pub const KITH_PART_NONE: u32 = 0;
/// The signed transaction itself: it is not what its id says, or is not there.
pub const KITH_PART_TRANSACTION: u32 = 1;
/// Its signature.
pub const KITH_PART_SIGNATURE: u32 = 2;
/// Where it stands in the graph.
pub const KITH_PART_POSITION: u32 = 3;
/// Its row in the order.
pub const KITH_PART_ORDER: u32 = 4;
/// Which role it was judged by.
pub const KITH_PART_STANDING: u32 = 5;
/// What it answered, emitted, or was rejected for.
pub const KITH_PART_RECEIPT: u32 = 6;
/// What is noted of its reads.
pub const KITH_PART_READS: u32 = 7;
/// A value that it wrote.
pub const KITH_PART_VALUE: u32 = 8;
/// The members, roles and invitations.
pub const KITH_PART_MEMBERSHIP: u32 = 9;
/// The running hash of the state.
pub const KITH_PART_COMMITMENT: u32 = 10;
/// How many transactions there are.
pub const KITH_PART_COUNT: u32 = 11;

fn number_of(part: Part) -> u32 {
    match part {
        Part::Transaction => KITH_PART_TRANSACTION,
        Part::Signature => KITH_PART_SIGNATURE,
        Part::Position => KITH_PART_POSITION,
        Part::Order => KITH_PART_ORDER,
        Part::Standing => KITH_PART_STANDING,
        Part::Receipt => KITH_PART_RECEIPT,
        Part::Reads => KITH_PART_READS,
        Part::Value => KITH_PART_VALUE,
        Part::Membership => KITH_PART_MEMBERSHIP,
        Part::Commitment => KITH_PART_COMMITMENT,
        Part::Count => KITH_PART_COUNT,
        // A part that is newer than this table; the test below fails before that ships.
        _ => u32::MAX,
    }
}

/// What a check of a context has looked at, and the first difference.
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct kith_verification {
    /// How many transactions were looked at, in order.
    pub transactions: u64,
    /// How many of them were executed once more.
    pub executed: u64,
    /// How many are in the order and were not looked at, since they are still to be executed.
    pub pending: u64,
    /// How many keys of the state were looked at, deleted ones included.
    pub keys: u64,
    /// KITH_PART_…: what differs. KITH_PART_NONE: nothing does, and all that follows is empty.
    pub part: u32,
    /// Whether it differs at a place; else it is of the context as a whole.
    pub has_place: bool,
    /// Whether it is of a key.
    pub has_key: bool,
    /// Whether anything is kept there.
    pub has_kept: bool,
    /// Whether anything should be there.
    pub has_recomputed: bool,
    /// The place in the order; its last 32 bytes are the transaction's id.
    pub place: [u8; 48],
    /// The key.
    pub key: [u8; 32],
    /// The BLAKE3 hash of what is kept.
    pub kept: [u8; 32],
    /// The BLAKE3 hash of what was recomputed.
    pub recomputed: [u8; 32],
    /// The difference, for people.
    pub text: [c_char; 385],
}

impl kith_verification {
    fn of(report: &Verification) -> Self {
        let difference = report.difference.as_ref();
        let place = difference.and_then(|difference| difference.place);
        let key = difference.and_then(|difference| difference.key);
        let kept = difference.and_then(|difference| difference.kept);
        let recomputed = difference.and_then(|difference| difference.recomputed);
        Self {
            transactions: report.transactions,
            executed: report.executed,
            pending: report.pending,
            keys: report.keys,
            part: difference.map_or(KITH_PART_NONE, |difference| number_of(difference.part)),
            has_place: place.is_some(),
            has_key: key.is_some(),
            has_kept: kept.is_some(),
            has_recomputed: recomputed.is_some(),
            place: place.map_or([0; 48], |place| place.key()),
            key: key.map_or([0; 32], |key| key.0),
            kept: kept.unwrap_or_default(),
            recomputed: recomputed.unwrap_or_default(),
            text: fixed(&difference.map(ToString::to_string).unwrap_or_default()),
        }
    }
}

/// Recomputes the order, every receipt, every value and the state commitment from the history, compares them with what is kept, and names the first
/// difference. Nothing is changed. Returns KITH_OK when it has looked at everything, also if something differs: see `part`.
///
/// All calls are executed once more, so it blocks for as long as executing the history did; other callers of the context wait for a slice of it at
/// most, other contexts not at all. Cancelling (kith_cancel_bind) ends it. A record that the store cannot read is KITH_CORRUPT.
///
/// # Safety
/// `context` is a context of this library or NULL; `verification` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_verify(
    context: *const kith_context,
    verification: *mut kith_verification,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, place) = unsafe { (borrow(context)?, output(verification, "verification")?) };
        place.set(kith_verification::of(&wait(context.verify())?));
        Ok(())
    }
}

/// The transaction set the key to a value.
pub const KITH_WRITTEN_VALUE: u32 = 1;
/// The transaction removed the key.
pub const KITH_WRITTEN_REMOVED: u32 = 2;
/// The transaction read the key and was rejected.
pub const KITH_WRITTEN_NOTHING: u32 = 3;

/// The author had seen the transaction before.
pub const KITH_SEEN: u32 = 0;
/// The author had not seen the transaction before, which sorts before it all the same: neither knew of the other, and the order alone says which comes last.
pub const KITH_UNSEEN: u32 = 1;
/// That was not found out within 1,000 steps through the history.
pub const KITH_SEEN_UNKNOWN: u32 = 2;

/// What one transaction has to do with a key.
#[allow(non_camel_case_types)]
#[repr(C)]
pub struct kith_explanation {
    /// The transaction; kith_context_receipt has more of it.
    pub transaction: kith_transaction,
    /// KITH_WRITTEN_…: what it left of the key.
    pub written: u32,
    /// KITH_SEEN, KITH_UNSEEN or KITH_SEEN_UNKNOWN: whether its author knew of the transaction before.
    pub unseen: u32,
    /// With KITH_WRITTEN_VALUE: the BLAKE3 hash of the value.
    pub hash: [u8; 32],
}

impl kith_explanation {
    fn of(explanation: &Explanation) -> Self {
        let (written, hash) = match explanation.value {
            Written::Value(hash) => (KITH_WRITTEN_VALUE, hash),
            Written::Removed => (KITH_WRITTEN_REMOVED, [0; 32]),
            Written::Nothing => (KITH_WRITTEN_NOTHING, [0; 32]),
        };
        Self {
            transaction: kith_transaction::of(&explanation.transaction),
            written,
            unseen: match explanation.unseen {
                Some(false) => KITH_SEEN,
                Some(true) => KITH_UNSEEN,
                None => KITH_SEEN_UNKNOWN,
            },
            hash,
        }
    }
}

/// Why a key (32 bytes) has its value: a page of the calls that wrote it, in order, after a place (48 bytes, or NULL for the start), at most `capacity` and at most
/// 1,000. `count` gets how many were written; 0 is the end. Calls that were rejected for what they read of the key are among them. (Who was not permitted has
/// read nothing; that is in kith_context_history.)
///
/// # Safety
/// `context` is a context of this library or NULL; `key` has 32 bytes; `after` is NULL or has 48 bytes; `explanations` has room for `capacity`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_explain(
    context: *const kith_context,
    key: *const u8,
    after: *const u8,
    explanations: *mut kith_explanation,
    capacity: usize,
    count: *mut usize,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, key, after, list) = unsafe {
            (
                borrow(context)?,
                StateKey(array(key, "key")?),
                optional_place(after)?,
                list_output(explanations, capacity, count)?,
            )
        };
        let page = wait(context.explain(key, after, capacity))?;
        list.set(page.iter().map(kith_explanation::of));
        Ok(())
    }
}

/// # Safety
/// `place` is NULL or has 48 bytes.
pub(crate) unsafe fn optional_place(place: *const u8) -> Result<Option<Place>> {
    if place.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    let key = unsafe { array::<{ Place::LENGTH }>(place, "after")? };
    Place::from_key(&key).map(Some).ok_or_else(|| Error::invalid_argument("`after` is no place"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_number_of_its_own() {
        let numbers: Vec<u32> = Part::ALL.into_iter().map(number_of).collect();
        assert_eq!(numbers, (1..=11).collect::<Vec<u32>>());
    }
}
