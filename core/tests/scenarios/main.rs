//! The scenarios of `bindings/scenarios.toml` in Rust, where no other test shows them.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod applications;
mod events;
mod invitations;
mod life;
#[path = "../nodes/mod.rs"]
mod nodes;
mod sealing;
mod sharing;
mod state;
#[path = "../events/told.rs"]
mod told;

use std::fmt::Debug;

use kith_core::network::Hub;
use kith_core::node::{Context, CreateOptions, Node};
use kith_core::replica::Role;
use kith_core::{ErrorKind, Result};

/// Fails unless this was refused for this kind of reason, with these words.
pub(crate) fn refused<T: Debug>(outcome: Result<T>, kind: ErrorKind, words: &str) {
    let error = outcome.expect_err("it is refused");
    assert!(error.kind() == kind && error.to_string().contains(words), "{error}, not {kind:?}: {words}");
}

/// A node in memory that nobody meets, with a context.
pub(crate) async fn alone() -> (Node, Context) {
    let node = nodes::open(&Hub::new()).await;
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    (node, context)
}

/// Two nodes in memory and a context of the first one that the second one has joined.
pub(crate) async fn two(hub: &Hub, role: Role) -> (Node, Node, Context, Context) {
    let (one, other) = (nodes::open(hub).await, nodes::open(hub).await);
    let mine = one.create_context(CreateOptions::default()).await.unwrap();
    let theirs = nodes::join(&mine, &other, role).await.unwrap();
    (one, other, mine, theirs)
}

pub(crate) async fn close(nodes: &[&Node]) {
    for node in nodes {
        node.shutdown().await.unwrap();
    }
}
