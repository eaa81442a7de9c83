//! The keys that one member of a context holds, and what it does with them: which it makes, takes, uses up and wipes, and what it says of others' messages.
//! What all members agree on is in [`encryption`](crate::encryption).
//!
//! No clock, no randomness and no store: entropy comes in, and what is to be stored comes out.

mod advice;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod keeper;
mod ring;
mod seen;
mod sent;
mod stored;

pub(crate) use keeper::{Keeper, Prepared};
pub use ring::{Change, EpochDraft, Key, RATCHET_KEYS, Ring, Rows};
