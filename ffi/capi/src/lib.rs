//! Kith for C. The contract is in `include/kith.h`, which is generated from the doc comments here.
//!
//! Rules of this crate: every exported function that can fail runs inside [`border::run`] (by the `border!` macro), so that
//! no panic leaves it; every pointer is checked; outputs are written only on success; handles go in and out by
//! `handle::give`, `handle::borrow` and `handle::take`, which know each handle's kind.

pub mod application;
pub mod border;
pub mod bytes;
pub mod call;
pub mod cancel;
pub mod context;
pub mod create;
pub mod events;
mod handle;
mod inside;
pub mod join;
pub mod keys;
pub mod kv;
pub mod life;
pub mod lists;
pub mod log;
pub mod membership;
pub mod node;
pub mod options;
#[cfg(feature = "provoked")]
pub mod provoked;
pub mod receipt;
pub mod sealing;
pub mod security;
mod sized;
pub mod status;
pub mod subscription;
pub mod testing;
pub mod verify;
pub mod version;
mod wait;
