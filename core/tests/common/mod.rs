//! What the tests of the replica share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod actions;
pub mod deliver;
pub mod judge;
pub mod junk;
pub mod oracle;
pub mod probe;
pub mod property;
pub mod scratch;
pub mod settle;
pub mod tally;
pub mod world;
