//! A member that was away for thirty days, while keys changed again and again and the members with them, catches up, in bounded memory.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[allow(dead_code, reason = "other tests use the rest")]
mod heap;
mod nodes;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kith_core::network::Hub;
use kith_core::node::{Clock, Context, CreateOptions, InviteOptions, JoinOptions, Level, Node, Options};
use nodes::key;

const DAY: u64 = 24 * 60 * 60 * 1000;
const BEGIN: u64 = 1_800_000_000_000;

/// How much happens meanwhile.
struct Scale {
    calls: usize,
    epochs: usize,
    members: usize,
    /// Each eighth call puts so many bytes.
    large: usize,
    /// What the stores' caches may take, in bytes, if not what they take by default.
    cache: Option<u64>,
    /// What catching up may take beside what was there, in MiB, of both ends: allocated, by this process …
    allocated: usize,
    /// … and resident, if that can be measured alone.
    memory: Option<u64>,
    patience: Duration,
}

fn options(path: &Path, hub: &Hub, time: &Arc<AtomicU64>, scale: &Scale) -> Options {
    let mut options = Options::in_memory(hub);
    options.path = Some(path.to_owned());
    options.cache = scale.cache.or(options.cache);
    let time = Arc::clone(time);
    options.clock = Clock::new(move || time.load(Ordering::Relaxed));
    options
}

/// A number in KiB of this process's status.
#[cfg(target_os = "linux")]
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn same(one: &Context, other: &Context, patience: Duration) {
    let wait = async {
        loop {
            let (a, b) = (one.status().await.unwrap(), other.status().await.unwrap());
            if a.digest == b.digest && a.pending + b.pending == 0 && a.unopened + b.unopened == 0 {
                assert_eq!(a.commitment, b.commitment);
                return;
            }
            // Asking costs a place in the queue: not too often.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(patience, wait).await.expect("never the same");
}

async fn away(scale: &Scale) {
    nodes::log();
    let hub = Hub::new();
    let time = Arc::new(AtomicU64::new(BEGIN));
    let directory = tempfile::tempdir().unwrap();
    let mut opened = Vec::new();
    for number in 0..scale.members {
        let path = directory.path().join(number.to_string());
        let node = Node::open(options(&path, &hub, &time, scale)).await.unwrap();
        opened.push(node);
    }
    let anna = opened[0].create_context(CreateOptions::default()).await.unwrap();
    let mut invite = InviteOptions::default();
    invite.max_uses = 1000;
    invite.expires_in = None;
    let token = anna.invite(invite).await.unwrap().to_text();
    let mut contexts = vec![anna.clone()];
    for node in &opened[1..] {
        contexts.push(node.join(&token, JoinOptions::default()).await.unwrap());
    }
    contexts[1].put(key("before"), b"I go on a journey").await.unwrap();
    for context in &contexts[1..] {
        same(&anna, context, scale.patience).await;
    }
    let (home, ben, at_ben) = (opened[0].clone(), opened[1].clone(), contexts[1].clone());
    ben.suspend(Duration::from_secs(60)).await.unwrap();

    // 40 % of the members go, and as many come.
    let mut others: Vec<(Node, Context)> = opened.into_iter().zip(contexts).skip(2).collect();
    let replaced = scale.members * 2 / 5;
    let started = Instant::now();
    let steps = scale.epochs;
    let (mut written, mut gone) = (0, 0);
    for step in 0..steps {
        time.store(BEGIN + 30 * DAY * (step as u64 + 1) / steps as u64, Ordering::Relaxed);
        if gone < replaced && step * replaced >= gone * steps {
            let (node, context) = others.remove(0);
            anna.remove(context.me()).await.unwrap();
            node.shutdown().await.unwrap();
            let path = directory.path().join(format!("new {gone}"));
            let node = Node::open(options(&path, &hub, &time, scale)).await.unwrap();
            let context = node.join(&token, JoinOptions::default()).await.unwrap();
            others.push((node, context));
            gone += 1;
        }
        anna.rotate_keys().await.unwrap();
        let upto = scale.calls * (step + 1) / steps;
        let calls: Vec<_> = (written..upto)
            .map(|number| {
                let anna = &anna;
                let mut value = number.to_le_bytes().to_vec();
                value.resize(value.len() + if number % 8 == 0 { scale.large } else { 0 }, 7);
                async move { anna.put(key(&(number % 1000).to_string()), &value).await }
            })
            .collect();
        for done in futures::future::join_all(calls).await {
            done.unwrap();
        }
        written = upto;
        // Now and then one of the others.
        if step % 10 == 0 {
            let (_, context) = &others[step / 10 % others.len()];
            context.put(key("another"), &step.to_le_bytes()).await.unwrap();
        }
    }
    for (_, context) in &others {
        same(&anna, context, scale.patience).await;
    }
    println!("{written} calls in {:?}", started.elapsed());

    #[cfg(target_os = "linux")]
    let before = {
        // The peak is counted from here.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        memory("VmRSS:")
    };
    let watch = heap::Watch::begin().await;
    let started = Instant::now();
    ben.resume().await.unwrap();
    same(&anna, &at_ben, scale.patience).await;
    println!("caught up in {:?}", started.elapsed());
    watch.at_most(scale.allocated, "thirty days away");
    #[cfg(target_os = "linux")]
    {
        let more = memory("VmHWM:").saturating_sub(before) / 1024;
        println!("{more} MiB at the peak, beside {} MiB", before / 1024);
        assert!(scale.memory.is_none_or(|most| more < most), "{more} MiB");
    }
    let last = at_ben.get(key(&((written - 1) % 1000).to_string()), Level::Tentative).await.unwrap().unwrap();
    assert_eq!(last, (written - 1).to_le_bytes());
    let security = at_ben.security().await.unwrap();
    assert_eq!((security.unopened, security.violations, security.members), (0, 0, scale.members));
    let transactions = at_ben.status().await.unwrap().transactions;
    assert!(transactions as usize >= scale.calls + scale.epochs + 2 * replaced, "{transactions}");
    // It writes on, under keys of its own age, and is read.
    at_ben.put(key("after"), b"I am back").await.unwrap();
    same(&anna, &at_ben, scale.patience).await;
    let read = anna.get(key("after"), Level::Tentative).await.unwrap();
    assert_eq!(read.as_deref(), Some(&b"I am back"[..]));
    for (node, _) in others {
        node.shutdown().await.unwrap();
    }
    ben.shutdown().await.unwrap();
    home.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_days_in_small() {
    // More epochs than keys are kept of, and so many bytes that who held all of them in memory, on one side alone, would take more than may be taken.
    let (calls, large, allocated) = (2_000, 128 << 10, 28);
    assert!(calls / 8 * large > allocated << 20);
    let (cache, patience) = (Some(1 << 20), Duration::from_secs(60));
    away(&Scale { calls, epochs: 40, members: 5, large, cache, allocated, memory: None, patience }).await;
}

/// `cargo test -p kith-core --test away -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long form of thirty_days_in_small: minutes"]
async fn thirty_days_of_a_hundred_thousand_calls() {
    let (large, cache, patience) = (0, None, Duration::from_secs(1800));
    let scale = Scale {
        calls: 100_000,
        epochs: 500,
        members: 10,
        large,
        cache,
        allocated: 256,
        memory: Some(256),
        patience,
    };
    away(&scale).await;
}
