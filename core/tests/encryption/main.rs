//! The encryption core: what members can read, and nobody else can; with a small model of the history.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod group;
mod history;
mod hostile;
mod keys;
mod masses;
mod orders;
mod secrecy;
mod vectors;
mod worlds;
