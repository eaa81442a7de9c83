//! Kith lets an app host a peer-to-peer node whose users share **contexts**: an application's state that all
//! members hold, change through signed transactions, and keep in step with no server between them.
//!
//! A context is a deterministic state machine, replicated through a signed causal graph. The four functions that
//! define it – what is valid, in which order it counts, what it does, who may do it – are in [`replica`], free of
//! clocks, sockets and threads. Everything else keeps or moves transactions.

pub mod application;
mod error;
pub mod invitation;
pub mod limits;
pub mod network;
pub mod node;
pub mod replica;
pub mod storage;
pub mod sync;

pub use error::{Error, ErrorKind, Result};
pub use node::{Context, Node, Options};
