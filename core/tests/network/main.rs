//! Nodes on real sockets, on loopback: frames, one link for each peer, hostile peers, loss, limits, shutting down.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the tests of whole nodes use it too")]
mod common;
mod dials;
mod discovery;
mod frames;
mod hostile;
mod life;
mod links;
#[allow(dead_code, reason = "the tests of whole nodes use it too")]
mod relay;
mod relayed;
