//! The replicated state machine of one context, as four pure functions:
//!
//! 1. *valid*: whether a transaction is well-formed, given its causal past – never depending on when it arrived;
//! 2. *order*: one sequence, the same on every member that holds the same history;
//! 3. *execute*: what each transaction did at its place;
//! 4. *final*: how much of the sequence can never change (not yet: see the status table in the README).
//!
//! No clock, randomness, socket, thread or async in here. Reads go through [`StateRead`]; writes, events and verdicts come
//! out as values.

mod acts;
mod authoring;
mod chains;
mod changes;
pub mod commitment;
mod content;
mod covers;
mod domain;
mod engine;
mod execution;
mod explaining;
pub mod faults;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod governance;
mod history;
mod ids;
mod judging;
mod memory;
mod past;
pub mod payload;
mod reading;
mod receipt;
mod replacing;
mod sealed;
mod state_read;
mod tables;
pub(crate) mod transaction;
mod verify;
mod view;
mod waiting;

pub use authoring::{Creation, Signer};
pub use changes::MembershipChange;
pub use content::MessageKey;
pub use covers::Cover;
pub use engine::{Blocked, Outcome, Replica, Step};
pub use explaining::{Write, Written, next_write};
pub use governance::{InvitationState, Member};
pub use history::{Invalid, Verdict};
pub use ids::{ContextId, MemberId, Role, StateKey, TransactionId};
pub use memory::MemoryTables;
pub(crate) use past::{KeyAct, Past};
pub use payload::{Payload, Tip};
pub use reading::{Location, entries, order, receipt, transaction, value};
pub use receipt::{Place, Receipt, Rejection, TAIL};
pub(crate) use sealed::{Keyring, Taken};
pub use state_read::{StateRead, Table};
pub(crate) use transaction::verify;
pub use transaction::{Draft, HEADER_VERSION, Header, Kind, Malformed, Parent, Transaction};
pub use verify::{Difference, Part, Verification, Verifier};
pub use view::TableWrite;
pub use waiting::{Deliverer, NoRoom, WaitingRoom};

pub(crate) use view::{Layer, View};
