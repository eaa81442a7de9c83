//! What the tests of the replica share.
#![allow(dead_code, unreachable_pub, unused_imports, clippy::unwrap_used)]

pub mod actions;
pub mod covering;
pub mod deliver;
pub mod junk;
pub mod property;
pub mod sealing;
pub mod settle;
pub mod tally;
pub mod world;

pub use kith_oracle::{judge, oracle, probe, scratch, words};
