//! Writing a lot, by callers at the same time.

use std::path::Path;
use std::time::Duration;

use kith_core::node::{Context, CreateOptions, Durability, Encryption, Level, Node, Options};
use kith_core::replica::StateKey;
use kith_core::storage::StorageEngine;

use crate::{Result, check};

/// What each `put` writes.
pub(crate) const VALUE: usize = 100;

/// The key of entry `number`; they lie scattered, as hashes do.
pub(crate) fn key(number: usize) -> StateKey {
    StateKey::of("bench", &number.to_string())
}

/// The value of entry `number`, which does not compress.
pub(crate) fn value(number: usize) -> Vec<u8> {
    let mut bytes = vec![0; VALUE];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A node in a folder, reached by nobody.
pub(crate) async fn alone(folder: &Path, engine: StorageEngine, durability: Durability) -> Result<Node> {
    let mut options = Options::default();
    options.storage = engine;
    options.path = Some(folder.into());
    options.durability = durability;
    Ok(Node::open(options).await?)
}

/// A node in a folder, reached over TCP on this machine.
pub(crate) async fn reached(folder: &Path, engine: StorageEngine, durability: Durability) -> Result<Node> {
    let mut options = Options::local(folder);
    options.storage = engine;
    options.listen = vec!["/ip4/127.0.0.1/tcp/0".into()];
    options.durability = durability;
    Ok(Node::open(options).await?)
}

/// A new context, whose calls are not sealed: what that costs is measured by itself.
pub(crate) async fn context(node: &Node) -> Result<Context> {
    let mut options = CreateOptions::default();
    options.encryption = Encryption::Off;
    Ok(node.create_context(options).await?)
}

/// Puts entries `from..to`, so many callers at a time, and checks that all of them are transactions now.
pub(crate) async fn put(context: &Context, from: usize, to: usize, callers: usize) -> Result<()> {
    let before = context.status().await?.transactions;
    let mut tasks = Vec::new();
    for caller in 0..callers {
        let context = context.clone();
        tasks.push(tokio::spawn(async move {
            for number in (from + caller..to).step_by(callers) {
                context.put(key(number), &value(number)).await?;
            }
            Ok::<(), crate::Failure>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let status = context.status().await?;
    let new = status.transactions - before;
    check(new == (to - from) as u64 && status.pending == 0, || {
        format!("{new} transactions for {}", to - from)
    })?;
    has(context, to - 1).await
}

/// Checks an entry.
pub(crate) async fn has(context: &Context, number: usize) -> Result<()> {
    let found = context.get(key(number), Level::Tentative).await?;
    check(found == Some(value(number)), || format!("entry {number} is not what was put"))
}

/// Waits until the context has so many transactions, all executed.
pub(crate) async fn until(context: &Context, transactions: u64) -> Result<()> {
    let mut events = context.events(None).await?;
    for _ in 0..1_000_000 {
        let status = context.status().await?;
        if status.transactions >= transactions && status.pending == 0 {
            return Ok(());
        }
        let _ = tokio::time::timeout(Duration::from_secs(120), events.next()).await??;
    }
    Err("never there".into())
}

/// Checks that two members hold the same, and how much that is.
pub(crate) async fn equal(one: &Context, other: &Context, transactions: u64) -> Result<()> {
    let (a, b) = (one.status().await?, other.status().await?);
    let same = a.commitment == b.commitment && a.digest == b.digest && a.transactions == b.transactions;
    check(same && a.pending + b.pending == 0 && a.transactions == transactions, || {
        format!(
            "not equal, or not {transactions} transactions: {} ({}) and {} ({})",
            a.transactions, a.commitment, b.transactions, b.commitment
        )
    })
}
