//! Opening a node with a long history, beside opening the engine alone on the same files.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use kith_core::node::Durability;
use kith_core::storage::{RedbOptions, SledOptions, StorageEngine};
use redb::{ReadableDatabase as _, ReadableTable as _, TableHandle as _};

use crate::{Result, Setting, check, figure, load};

/// Alternating, each in a process of its own; the median of each.
pub(crate) fn measure(setting: Setting) -> Result<()> {
    const OPENINGS: usize = 9;
    let folder = tempfile::tempdir()?;
    fill(folder.path(), setting.engine, 100_000 / setting.share)?;
    let empty = tempfile::tempdir()?;
    fill(empty.path(), setting.engine, 1)?;
    let (mut node, mut engine, mut without) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..OPENINGS {
        engine.push(timed("open-engine", folder.path())?);
        node.push(timed("open-node", folder.path())?);
        without.push(timed("open-node", empty.path())?);
    }
    let middle = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let (node, engine, without) = (middle(&mut node), middle(&mut engine), middle(&mut without));
    figure("reopen.node.ms", node);
    figure("reopen.engine.ms", engine);
    figure("reopen.over_engine.ms", node - engine);
    figure("reopen.empty.ms", without);
    Ok(())
}

#[tokio::main]
async fn fill(folder: &Path, engine: StorageEngine, entries: usize) -> Result<()> {
    let node = load::alone(folder, engine, Durability::Process).await?;
    let context = load::context(&node).await?;
    load::put(&context, 0, entries, 64).await?;
    node.shutdown().await?;
    Ok(())
}

fn timed(what: &str, folder: &Path) -> Result<f64> {
    let output = Command::new(std::env::current_exe()?).arg(what).arg(folder).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    check(output.status.success(), || String::from_utf8_lossy(&output.stderr).into_owned())?;
    let ms = text.lines().find_map(|line| line.strip_prefix("ms ")).ok_or("no time was printed")?;
    Ok(ms.parse()?)
}

/// Opens the node and reads one entry.
#[tokio::main]
pub(crate) async fn node(folder: &Path) -> Result<()> {
    let start = Instant::now();
    let node = load::alone(folder, StorageEngine::Auto, Durability::Power).await?;
    let contexts = node.contexts()?;
    let [only] = contexts.as_slice() else { return Err("there is not one context".into()) };
    let context = node.context(only.id)?;
    load::has(&context, 0).await?;
    println!("ms {}", start.elapsed().as_secs_f64() * 1e3);
    node.shutdown().await?;
    Ok(())
}

/// Opens the engine with the settings that the node gives it, all trees or tables, and reads one record of each.
pub(crate) fn engine(folder: &Path) -> Result<()> {
    let folder = folder.join("store");
    let records = if folder.join("data.redb").exists() { redb(&folder)? } else { sled(&folder)? };
    check(records >= 7, || format!("only {records} trees or tables have anything in them"))
}

fn sled(folder: &Path) -> Result<usize> {
    let start = Instant::now();
    let cache = SledOptions::default().memory / 5;
    let db = sled::Config::new().path(folder).cache_capacity(cache).flush_every_ms(None).open()?;
    let mut records = 0;
    for name in db.tree_names() {
        records += usize::from(db.open_tree(name)?.first()?.is_some());
    }
    println!("ms {}", start.elapsed().as_secs_f64() * 1e3);
    Ok(records)
}

fn redb(folder: &Path) -> Result<usize> {
    let start = Instant::now();
    let db = redb::Database::builder()
        .set_cache_size(RedbOptions::default().cache)
        .open(folder.join("data.redb"))?;
    let mut records = 0;
    let transaction = db.begin_read()?;
    for table in transaction.list_tables()? {
        let table = redb::TableDefinition::<&[u8], &[u8]>::new(table.name());
        records += usize::from(transaction.open_table(table)?.first()?.is_some());
    }
    println!("ms {}", start.elapsed().as_secs_f64() * 1e3);
    Ok(records)
}
