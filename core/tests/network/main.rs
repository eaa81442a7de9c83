//! Nodes on real sockets, on loopback: frames, one link for each peer, hostile peers, loss, limits, shutting down.
#![allow(clippy::unwrap_used)]

mod common;
mod discovery;
mod frames;
mod hostile;
mod life;
mod links;
