//! How keys are stored.

use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;

use crate::encryption::Trouble;

const STATE_VERSION: u8 = 1;

/// A value as it is stored: a version, then borsh. Wiped, since most hold secrets.
pub(super) fn encode(value: &impl BorshSerialize) -> Zeroizing<Vec<u8>> {
    // Sized beforehand: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(1 + borsh::object_length(value).unwrap_or(0)));
    bytes.push(STATE_VERSION);
    // Writing into a vector cannot fail.
    let _ = borsh::to_writer(&mut *bytes, value);
    bytes
}

pub(super) fn decode<T: BorshDeserialize>(bytes: &[u8]) -> Result<T, Trouble> {
    match bytes.split_first() {
        Some((&STATE_VERSION, rest)) => borsh::from_slice(rest).map_err(|_| Trouble::State),
        Some(_) => Err(Trouble::StateVersion),
        None => Err(Trouble::State),
    }
}
