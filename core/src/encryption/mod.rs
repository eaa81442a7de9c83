//! A group double ratchet: every message under a key of its own, keys that are gone once used, healing after a device was copied, and removal
//! that locks out, with no server and no order but the causal one. `docs/encryption.md` has formats, rules, and what attacks on them come to.
//!
//! This is what all members have to agree on: how keys follow from each other, what an epoch and a sealed message are, and which epoch a message is
//! to be under. What one member keeps of it and does with it is in [`keyring`](crate::keyring).
//!
//! No clock, no randomness and no store: entropy comes in.

mod chain;
mod envelope;
mod epoch;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod package;
pub mod rules;
mod secret;
mod suite;
mod trouble;

pub use chain::{Chain, Opened, seal_again};
pub use envelope::{Envelope, first_key as first_envelope_key, gossip_topic, tag as envelope_tag};
pub(crate) use epoch::commit;
pub use epoch::{Epoch, Leaf, Pair, Recipient, WRAPS_INLINE, Wrapped, Wraps};
pub(crate) use package::check_keys;
pub use package::check_package;
pub use secret::{Scope, Secret};
pub use suite::{RatchetKey, Suite};
pub use trouble::Trouble;

/// Most messages of one author in one epoch; then a new one is due. It bounds how far a chain can be wound on.
pub const MESSAGES: u32 = 256;
