//! Contexts without threads and sockets, in virtual time: what a round does that goes wrong in the middle, and what comes of time alone.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod again;
mod masses;
mod pair;
mod pieces;
mod published;
mod rotation;
mod violations;
mod withheld;
