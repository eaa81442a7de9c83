//! Members that lie and strangers that do what they like, over real sockets, against a whole node. The node closes the session or names
//! the fault, loses nothing, keeps its memory, and goes on in its other contexts.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod asking;
mod catch_up;
mod counted;
mod crowds;
mod evidence;
mod forged;
#[path = "../heap/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod heap;
mod holding;
mod keys;
mod liar;
mod lying;
#[path = "../network/common.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod network;
#[path = "../nodes/mod.rs"]
mod nodes;
mod packages;
mod replayed;
mod scene;
