//! Kith lets an app host a peer-to-peer node whose users share **contexts**: an application's state that all
//! members hold, change through signed transactions, and keep in step with no server between them.
//!
//! ```
//! use kith_core::network::Hub;
//! use kith_core::node::{CreateOptions, InviteOptions, JoinOptions, Level, Node, Options};
//! use kith_core::replica::StateKey;
//!
//! # async fn share() -> kith_core::Result<()> {
//! let hub = Hub::new(); // Options::at("directory") is a node on disk, reached over the network
//! let (anna, ben) = (Node::open(Options::in_memory(&hub)).await?, Node::open(Options::in_memory(&hub)).await?);
//!
//! let notes = anna.create_context(CreateOptions::default()).await?;
//! let today = StateKey::of("notes", "today");
//! notes.put(today, b"buy milk").await?;
//!
//! let token = notes.invite(InviteOptions::default()).await?.to_text(); // kith1…: mail it, or show it as a QR code
//! let copy = ben.join(&token, JoinOptions::default()).await?;
//! assert_eq!(copy.get(today, Level::Tentative).await?.as_deref(), Some(&b"buy milk"[..]));
//!
//! anna.shutdown().await?;
//! ben.shutdown().await?;
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().expect("a runtime").block_on(share()).expect("it works");
//! ```
//!
//! A context is a deterministic state machine, replicated through a signed causal graph. The four functions that
//! define it – what is valid, in which order it counts, what it does, who may do it – are in [`replica`], free of
//! clocks, sockets and threads. Everything else keeps or moves transactions.

mod aead;
pub mod application;
pub mod encryption;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod invitation;
pub mod keyring;
pub mod limits;
pub mod network;
pub mod node;
mod padding;
pub mod replica;
mod sealed_box;
pub mod storage;
pub mod sync;

pub use error::{Error, ErrorKind, Result};
pub use node::{Context, Node, Options};
