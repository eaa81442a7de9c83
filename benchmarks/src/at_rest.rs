//! What sealing records costs: the same work with and without it, in turn, in one process. Plain stores exist only with the feature
//! `sealing` of this program.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kith_core::network::Hub;
use kith_core::node::{CreateOptions, Engine, InviteOptions, JoinOptions};
use kith_core::replica::StateKey;
use kith_core::storage::{EngineName, RedbOptions, RedbStore, SledOptions, SledStore, Store};
use kith_core::{Node, Options};

use crate::{Result, check, figure};

const ROUNDS: usize = 3;

fn store(engine: EngineName, directory: &std::path::Path, seal: bool) -> Result<Arc<dyn Store>> {
    Ok(match engine {
        EngineName::Redb => {
            Arc::new(RedbStore::open(directory, RedbOptions { seal, ..RedbOptions::default() })?)
        }
        _ => {
            let mut options = SledOptions::default();
            options.rules.seal = seal;
            Arc::new(SledStore::open(directory, options)?)
        }
    })
}

struct Measured {
    put: f64,
    catch_up: f64,
    bytes: f64,
}

/// One member writes, another one joins and catches up; both with stores of the same sort.
async fn run(engine: EngineName, seal: bool, puts: usize) -> Result<Measured> {
    let hub = Hub::new();
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mut nodes = Vec::new();
    for folder in &folders {
        let mut options = Options::in_memory(&hub);
        options.engine = Engine::Given(store(engine, folder.path(), seal)?);
        options.durability = kith_core::node::Durability::Process;
        nodes.push(Node::open(options).await?);
    }
    let context = nodes[0].create_context(CreateOptions::default()).await?;
    let key = |number: usize| StateKey::of("entries", &number.to_string());
    let start = Instant::now();
    // Callers at the same time, so that it is the work that counts and not the waiting.
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..16 {
        let context = context.clone();
        callers.spawn(async move {
            for number in (caller..puts).step_by(16) {
                context.put(key(number), &[number as u8; 100]).await?;
            }
            Ok::<(), kith_core::Error>(())
        });
    }
    while let Some(done) = callers.join_next().await {
        done??;
    }
    let put = start.elapsed();
    let token = context.invite(InviteOptions::default()).await?.to_text();
    let mut join = JoinOptions::default();
    join.timeout = Some(Duration::from_secs(600));
    let start = Instant::now();
    let copy = nodes[1].join(&token, join).await?;
    copy.wait_synced(Duration::from_secs(600)).await?;
    let catch_up = start.elapsed();
    let held = copy.status().await?.transactions;
    check(held >= puts as u64, || format!("{held} transactions were caught up with, not {puts}"))?;
    for node in nodes {
        node.shutdown().await?;
    }
    let each = |time: Duration| time.as_secs_f64() * 1e6 / puts as f64;
    let bytes = size_of(folders[1].path())? as f64 / puts as f64;
    Ok(Measured { put: each(put), catch_up: each(catch_up), bytes })
}

fn size_of(directory: &std::path::Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        sum += match entry.metadata()? {
            found if found.is_dir() => size_of(&entry.path())?,
            found => found.len(),
        };
    }
    Ok(sum)
}

pub(crate) fn measure(share: usize) -> Result<()> {
    let puts = 100_000 / share;
    let runtime = tokio::runtime::Runtime::new()?;
    for engine in [EngineName::Sled, EngineName::Redb] {
        // Whatever else the machine does meets both alike: in turn, and the best of each counts.
        let mut best = [(f64::MAX, f64::MAX, 0.0); 2];
        for _ in 0..ROUNDS {
            for seal in [false, true] {
                let one = runtime.block_on(run(engine, seal, puts))?;
                let best = &mut best[usize::from(seal)];
                *best = (best.0.min(one.put), best.1.min(one.catch_up), one.bytes);
            }
        }
        let [plain, sealed] = best;
        for (name, (put, catch_up, bytes)) in [("plain", plain), ("sealed", sealed)] {
            figure(&format!("{engine}-{name}-put-us"), put);
            figure(&format!("{engine}-{name}-catch-up-us"), catch_up);
            figure(&format!("{engine}-{name}-bytes"), bytes);
        }
        figure(&format!("{engine}-put-ratio"), sealed.0 / plain.0);
        figure(&format!("{engine}-catch-up-ratio"), sealed.1 / plain.1);
    }
    Ok(())
}
