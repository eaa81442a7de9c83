//! `put` on a node alone: one caller and many, durable on the loss of power and on the process's death.

use std::time::Instant;

use kith_core::node::Durability;

use crate::machine::{median, micros};
use crate::{Result, Setting, figure, load};

const CALLERS: usize = 64;

#[tokio::main]
pub(crate) async fn measure(setting: Setting) -> Result<()> {
    for (name, durability) in [("power", Durability::Power), ("process", Durability::Process)] {
        let folder = tempfile::tempdir()?;
        let node = load::alone(folder.path(), setting.engine, durability).await?;
        let context = load::context(&node).await?;
        load::put(&context, 0, 100, 1).await?;

        let (from, to) = (100, 100 + 4_000 / setting.share);
        let mut times = Vec::new();
        for number in from..to {
            let value = load::value(number);
            let start = Instant::now();
            context.put(load::key(number), &value).await?;
            times.push(start.elapsed());
            if number % 500 == 0 {
                load::has(&context, number).await?;
            }
        }
        figure(&format!("put.one.{name}.us"), micros(median(times)?));

        let more = 40_000 / setting.share;
        let start = Instant::now();
        load::put(&context, to, to + more, CALLERS).await?;
        figure(&format!("put.many.{name}.per_s"), more as f64 / start.elapsed().as_secs_f64());
        node.shutdown().await?;
    }
    Ok(())
}
