//! What a context's history means, told again from the words of `docs/replica.md` and sharing no code with the engine but the types
//! of transactions and receipts. The tests of the replica and the simulator compare the engine with it.
#![allow(missing_docs, clippy::unwrap_used)]

pub mod judge;
pub mod oracle;
pub mod probe;
pub mod scratch;
