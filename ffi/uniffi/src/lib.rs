//! The library behind Kith's bindings for Python, Kotlin and Swift.
//!
//! What is exported here is not the API of those languages: a hand-written layer in each of them is, and it hides this
//! one. So the functions here are coarse and plain: bytes and texts in, records out, events pulled. What async functions
//! wait for happens on the node's own threads, so the host's executor may poll them.

mod application;
mod bench;
#[cfg(test)]
#[allow(dead_code)] // its `main` is for cargo
#[path = "../build.rs"]
mod build;
mod bytes;
mod context;
mod error;
mod events;
mod gate;
mod info;
mod log;
mod node;
#[cfg(feature = "provoked")]
mod provoked;
mod sealing;

pub use application::{Call, Entry, HostApplication, HostState};
pub use bench::ApplicationBench;
pub use bytes::Bytes;
pub use context::{Context, Executed, Invitation, Operation};
pub use error::{ApplicationFailure, Failure};
pub use events::{Event, Events, Happened};
pub use gate::{after_fork, close_gate};
pub use info::{
    ContextInfo, ContextPeer, ContextStatus, Difference, Explanation, InvitationInfo, IssuedInvitation,
    MemberInfo, Message, NodeStatus, PeerInfo, RelayInfo, Strangers, SyncReport, TransactionInfo,
    Verification, Written,
};
pub use log::{LogRecord, LogSink, set_log};
pub use node::{Hub, JoinProgress, Node, NodeOptions};
#[cfg(feature = "provoked")]
pub use provoked::{provoke_panic, provoke_panic_later};
pub use sealing::{ContextSecurity, Exported, StorageKey, adopt_node, import_node};

/// The version of the library; the hand-written layers refuse a library of another version than theirs.
#[uniffi::export]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// The directory for a program's node on this system.
#[uniffi::export]
pub fn default_directory(name: String) -> Result<String, Failure> {
    let path = kith_core::node::default_directory(&name)?;
    let text = path.into_os_string().into_string();
    Ok(text.map_err(|path| kith_core::Error::invalid_argument(format!("{} is no text", path.display())))?)
}

/// An invitation, from its text or its bytes.
#[uniffi::export]
pub fn read_invitation(text: Option<String>, bytes: Bytes) -> Result<Invitation, Failure> {
    use kith_core::invitation::Invitation as Token;
    Ok(match text {
        Some(text) => Token::from_text(&text)?.into(),
        None => Token::from_bytes(&bytes.0)?.into(),
    })
}

/// An invitation as a QR code for a terminal.
#[uniffi::export]
pub fn qr_text(token: String) -> Result<String, Failure> {
    Ok(kith_core::invitation::qr_text(&token)?)
}

/// The names of the error kinds, the one with number 1 first.
#[uniffi::export]
pub fn error_kinds() -> Vec<String> {
    kith_core::ErrorKind::ALL.iter().map(ToString::to_string).collect()
}

/// The names of what a check of a context may find to differ.
#[uniffi::export]
pub fn parts() -> Vec<String> {
    kith_core::replica::Part::ALL.iter().map(|part| part.name().to_owned()).collect()
}

/// The key of an item of a collection.
#[uniffi::export]
pub fn state_key_of(collection: String, name: String) -> Bytes {
    Bytes(kith_core::replica::StateKey::of(&collection, &name).0.to_vec())
}

/// The prefix of the keys of a collection.
#[uniffi::export]
pub fn state_key_collection(collection: String) -> Bytes {
    Bytes(kith_core::replica::StateKey::collection(&collection).to_vec())
}

uniffi::setup_scaffolding!("kith_native");
