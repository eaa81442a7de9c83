//! The same things again and again: memory, threads and file handles stay where they were. A short form here; `cargo xtask soak` has the long
//! one.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod nodes;

use std::time::Instant;

use kith_core::network::Hub;
use kith_core::node::{Context, CreateOptions, Durability, Level, Node, Options};
use kith_core::replica::Role;
use nodes::{equal, join, key};

/// Each looks at the whole process, so only one runs at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Set by `cargo xtask soak`.
const LONG: &str = "KITH_SOAK";

/// How often.
fn times(short: usize, long: usize) -> usize {
    if std::env::var_os(LONG).is_some() { long } else { short }
}

#[derive(Clone, Copy, Debug)]
struct Use {
    resident: u64,
    handles: usize,
    threads: usize,
}

impl Use {
    fn now() -> Self {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        Self {
            resident: pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096,
            handles: std::fs::read_dir("/proc/self/fd").unwrap().count(),
            threads: std::fs::read_dir("/proc/self/task").unwrap().count(),
        }
    }

    /// Prints what has been added, and compares it with what may be.
    fn check(self, what: &str, count: usize, since: Instant, most: u64) {
        let now = Self::now();
        let grown = now.resident.saturating_sub(self.resident);
        println!(
            "{count} {what} in {:?}: memory +{} KiB, handles {} → {}, threads {} → {}",
            since.elapsed(),
            grown >> 10,
            self.handles,
            now.handles,
            self.threads,
            now.threads
        );
        assert!(grown <= most, "{what}: memory grew by {grown} bytes");
        // The runtime's pool and the engine may open a few more.
        assert!(now.handles <= self.handles + 8, "{what}: {} handles, then {}", self.handles, now.handles);
        assert!(now.threads <= self.threads + 16, "{what}: {} threads, then {}", self.threads, now.threads);
    }
}

async fn calls(context: &Context, count: usize) {
    for number in 0..count {
        context.put(key(&(number % 100).to_string()), &number.to_le_bytes()).await.unwrap();
    }
}

async fn subscriptions(context: &Context, count: usize) {
    for number in 0..count {
        let mut events = context.events(None).await.unwrap();
        if number % 100 == 0 {
            // One of them is used, and dropped in the middle of it.
            context.put(key("seen"), &number.to_le_bytes()).await.unwrap();
            events.next().await.unwrap();
        }
    }
}

async fn joins_and_leaves(context: &Context, node: &Node, count: usize) {
    for _ in 0..count {
        let copy = join(context, node, Role::Writer).await.unwrap();
        copy.put(key("joined"), b"and left").await.unwrap();
        equal(context, &copy).await;
        copy.leave().await.unwrap();
    }
}

const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_subscriptions_cost_nothing_that_stays() {
    let _alone = ALONE.lock().await;
    let directory = tempfile::tempdir().unwrap();
    let hub = Hub::new();
    let mut options = Options::in_memory(&hub);
    options.path = Some(directory.path().to_owned());
    options.durability = Durability::Process;
    options.event_retention = 100;
    let node = Node::open(options).await.unwrap();
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    // Everything once, so that caches and pools are there.
    calls(&context, times(300, 20_000)).await;
    subscriptions(&context, 100).await;

    let (before, since, count) = (Use::now(), Instant::now(), times(1_000, 100_000));
    calls(&context, count).await;
    // The store's cache may fill up to what it is allowed, whatever the number.
    before.check("calls", count, since, 16 * MIB + times(0, 80) as u64 * MIB);

    let (before, since, count) = (Use::now(), Instant::now(), times(5_000, 100_000));
    subscriptions(&context, count).await;
    before.check("subscriptions", count, since, 8 * MIB);
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_and_leaves_cost_nothing_that_stays() {
    let _alone = ALONE.lock().await;
    let hub = Hub::new();
    let (anna, ben) = (nodes::open(&hub).await, nodes::open(&hub).await);
    let context = anna.create_context(CreateOptions::default()).await.unwrap();
    joins_and_leaves(&context, &ben, 10).await;
    let (before, since, count) = (Use::now(), Instant::now(), times(40, 300));
    joins_and_leaves(&context, &ben, count).await;
    // What joined and left is part of the history, which is in memory here; a copy that stayed behind would be many times that.
    before.check("joins and leaves", count, since, 32 * MIB + count as u64 * (128 << 10));
    assert_eq!(ben.contexts().unwrap().len(), 0);
    assert_eq!(context.members().await.unwrap().len(), 1);
    let found = context.get(key("joined"), Level::Tentative).await.unwrap();
    assert_eq!(found.as_deref(), Some(&b"and left"[..]));
    anna.shutdown().await.unwrap();
    ben.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_cost_nothing_that_stays() {
    let _alone = ALONE.lock().await;
    let hub = Hub::new();
    let open_and_close = async |count: usize| {
        for _ in 0..count {
            let node = nodes::open(&hub).await;
            node.create_context(CreateOptions::default()).await.unwrap();
            node.shutdown().await.unwrap();
        }
    };
    open_and_close(5).await;
    let (before, since, count) = (Use::now(), Instant::now(), times(20, 300));
    open_and_close(count).await;
    before.check("nodes", count, since, 16 * MIB);
}
