//! Memory and open files: with a million entries, and from 100,000 to 1,000,000 transactions.

use std::path::Path;
use std::process::Command;

use kith_core::application::kv::{Operation, Put};
use kith_core::node::{Durability, Level};
use kith_core::storage::StorageEngine;

use crate::machine::{handles, resident};
use crate::{Result, Setting, check, figure, load};

const MB: f64 = 1e6;

/// Resident memory of a process of its own, in bytes, as it prints it.
fn resident_of(arguments: &[&str], folder: &Path) -> Result<f64> {
    let (what, more) = arguments.split_first().ok_or("no part")?;
    let output = Command::new(std::env::current_exe()?).arg(what).arg(folder).args(more).output()?;
    check(output.status.success(), || String::from_utf8_lossy(&output.stderr).into_owned())?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.trim().parse()?)
}

/// 1,000,000 entries, written 1,000 at a time.
pub(crate) fn entries(setting: Setting) -> Result<()> {
    let entries = 1_000_000 / setting.share;
    let folder = tempfile::tempdir()?;
    let empty = tempfile::tempdir()?;
    let idle = resident_of(&["idle", &setting.engine.to_string()], empty.path())?;
    let writing = write_all(folder.path(), setting.engine, entries)?;
    let reading = resident_of(&["read-all", &entries.to_string()], folder.path())?;
    figure("memory.idle.mb", idle / MB);
    figure("memory.writing.mb", (writing as f64 - idle) / MB);
    figure("memory.reading.mb", (reading - idle) / MB);
    Ok(())
}

/// A node with an empty context: what everything else is compared with.
#[tokio::main]
pub(crate) async fn idle(folder: &Path, engine: StorageEngine) -> Result<()> {
    let node = load::alone(folder, engine, Durability::Process).await?;
    let context = load::context(&node).await?;
    load::put(&context, 0, 1, 1).await?;
    println!("{}", resident()?);
    node.shutdown().await?;
    Ok(())
}

#[tokio::main]
async fn write_all(folder: &Path, engine: StorageEngine, entries: usize) -> Result<u64> {
    const AT_ONCE: usize = 1_000;
    let node = load::alone(folder, engine, Durability::Process).await?;
    let context = load::context(&node).await?;
    for first in (0..entries).step_by(AT_ONCE) {
        let put = |number| Operation::Put(Put { key: load::key(number), value: load::value(number) });
        context.batch((first..(first + AT_ONCE).min(entries)).map(put).collect()).await?;
    }
    load::has(&context, entries - 1).await?;
    let taken = resident()?;
    node.shutdown().await?;
    Ok(taken)
}

/// Opens the node again, pages through all entries, and reads some at random.
#[tokio::main]
pub(crate) async fn read_all(folder: &Path, entries: usize) -> Result<()> {
    let node = load::alone(folder, StorageEngine::Auto, Durability::Process).await?;
    let only = node.contexts()?.first().ok_or("no context")?.id;
    let context = node.context(only)?;
    let (mut after, mut found) = (None, 0);
    loop {
        let page = context.entries(&[], after, 1_000, Level::Tentative).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.key);
        found += page.len();
    }
    check(found == entries, || format!("{found} entries of {entries}"))?;
    for number in (0..entries).step_by((entries / 10_000).max(1)) {
        load::has(&context, number).await?;
    }
    println!("{}", resident()?);
    node.shutdown().await?;
    Ok(())
}

/// One node that goes on writing: what 900,000 more transactions add.
#[tokio::main]
pub(crate) async fn transactions(setting: Setting) -> Result<()> {
    let (some, many) = (100_000 / setting.share, 1_000_000 / setting.share);
    let folder = tempfile::tempdir()?;
    let node = load::alone(folder.path(), setting.engine, Durability::Process).await?;
    let context = load::context(&node).await?;
    load::put(&context, 0, some, 64).await?;
    let (memory, files) = (resident()?, handles()?);
    load::put(&context, some, many, 64).await?;
    let (more_memory, more_files) = (resident()?, handles()?);
    let each = (more_memory as f64 - memory as f64) / (many - some) as f64;
    figure("transactions.some.mb", memory as f64 / MB);
    figure("transactions.many.mb", more_memory as f64 / MB);
    figure("transactions.each.bytes", each);
    figure("transactions.files", more_files as f64 - files as f64);
    node.shutdown().await?;
    Ok(())
}
