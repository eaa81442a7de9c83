//! What a context's history means, told again from the words of `docs/replica.md` and sharing no code with the engine but the types
//! of transactions and receipts: their fields, their order and the decoding that is derived from them. The tests of the replica and the simulator
//! compare the engine with it. The application that calls run on is the same on both sides.
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used)]

pub mod judge;
pub mod oracle;
pub mod probe;
pub mod scratch;
pub mod words;
