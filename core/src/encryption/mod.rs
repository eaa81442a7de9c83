//! A group double ratchet: every message under a key of its own, keys that are gone once used, healing after a device was copied, and removal
//! that locks out, with no server and no order but the causal one. `docs/encryption.md` has formats, rules, and what attacks on them come to.
//!
//! No clock, no randomness and no store: entropy comes in, and what is to be stored comes out.

mod chain;
mod envelope;
mod epoch;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod keeper;
mod package;
mod ring;
pub mod rules;
mod secret;
mod seen;
mod suite;
mod trouble;

pub use chain::{Chain, Opened};
pub use envelope::{Envelope, first_key as first_envelope_key, gossip_topic, tag as envelope_tag};
pub use epoch::{Epoch, Leaf, Pair, Recipient, WRAPS_INLINE, Wrapped, Wraps};
pub(crate) use keeper::{Keeper, Prepared};
pub use package::check_package;
pub use ring::{Change, EpochDraft, Key, RATCHET_KEYS, Ring, Rows};
pub use secret::{Scope, Secret};
pub use suite::{RatchetKey, Suite};
pub use trouble::Trouble;

/// Most messages of one author in one epoch; then a new one is due. It bounds how far a chain can be wound on.
pub const MESSAGES: u32 = 256;
