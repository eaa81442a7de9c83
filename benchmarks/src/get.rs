//! `get` from Rust, to compare with the other languages' (`programs/`).

use std::time::Instant;

use kith_core::node::{Durability, Level};

use crate::machine::{median, micros};
use crate::{Result, Setting, check, figure, load};

#[tokio::main]
pub(crate) async fn measure(setting: Setting) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = load::alone(folder.path(), setting.engine, Durability::Power).await?;
    let context = load::context(&node).await?;
    load::put(&context, 0, 1, 1).await?;
    let (key, value) = (load::key(0), load::value(0));
    let mut times = Vec::new();
    for _ in 0..20_000 / setting.share {
        let start = Instant::now();
        let found = context.get(key, Level::Tentative).await?;
        times.push(start.elapsed());
        check(found.as_deref() == Some(&value[..]), || "another value".into())?;
    }
    figure("get.rust.us", micros(median(times)?));
    node.shutdown().await?;
    Ok(())
}
