//! The replicated state machine of one context, as four pure functions:
//!
//! 1. *valid*: whether a transaction is well-formed, given its causal past – never depending on when it arrived;
//! 2. *order*: one sequence, the same on every member that holds the same history;
//! 3. *execute*: what each transaction did at its place;
//! 4. *final*: how much of the sequence can never change (not yet: see the status table in the README).
//!
//! No clock, randomness, socket, thread or async in here. Reads go through [`StateRead`]; writes, events and verdicts come
//! out as values.

mod ids;
pub mod payload;
mod receipt;
mod state_read;
mod transaction;

pub use ids::{ContextId, MemberId, Role, StateKey, TransactionId};
pub use payload::Payload;
pub use receipt::{Place, Receipt, Rejection, TAIL};
pub use state_read::{StateRead, Table};
pub use transaction::{Draft, HEADER_VERSION, Header, Kind, Malformed, Parent, Transaction};
pub(crate) use transaction::verify;
