//! The same things again and again: memory, threads and file handles stay where they were. A short form here; `cargo xtask soak` has the long
//! one.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may")]

#[allow(dead_code, reason = "the attacks use the rest")]
mod heap;
mod nodes;

use std::sync::Arc;
use std::time::Instant;

use kith_core::ErrorKind;
use kith_core::application::{Application, ApplicationError, Call, State};
use kith_core::network::Hub;
use kith_core::node::{Context, CreateOptions, Durability, Level, Node, Options};
use kith_core::replica::Role;
use kith_core::storage::{Keyspace, MemoryStore, Store};
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
    /// What is allocated and not freed; what the allocator keeps is not in it.
    heap: isize,
    handles: usize,
    threads: usize,
}

impl Use {
    fn now() -> Self {
        Self {
            heap: heap::now(),
            handles: std::fs::read_dir("/proc/self/fd").unwrap().count(),
            threads: std::fs::read_dir("/proc/self/task").unwrap().count(),
        }
    }

    /// Prints what has been added, and compares it with what may be.
    fn check(self, what: &str, count: usize, since: Instant, most: usize) {
        let now = Self::now();
        let grown = usize::try_from(now.heap - self.heap).unwrap_or(0);
        println!(
            "{count} {what} in {:?}: memory +{grown} bytes, handles {} → {}, threads {} → {}",
            since.elapsed(),
            self.handles,
            now.handles,
            self.threads,
            now.threads
        );
        assert!(grown <= most, "{what}: memory grew by {grown} bytes, of which {most} are expected");
        // The runtime's pool and the engine may open a few more.
        assert!(now.handles <= self.handles + 8, "{what}: {} handles, then {}", self.handles, now.handles);
        assert!(now.threads <= self.threads + 16, "{what}: {} threads, then {}", self.threads, now.threads);
    }
}

/// The control: a hundred bytes that stay each time are seen.
#[tokio::test]
#[should_panic(expected = "memory grew by")]
async fn what_stays_is_seen() {
    let _alone = ALONE.lock().await;
    let (before, since) = (Use::now(), Instant::now());
    for _ in 0..1_000 {
        std::mem::forget(vec![7u8; 100]);
    }
    before.check("leaks", 1_000, since, 64 * KIB);
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

/// Calls that read, calls that fail, and calls that nobody waits for.
async fn reads(context: &Context, count: usize) {
    for number in 0..count {
        match number % 4 {
            0 => drop(context.get(key("seen"), Level::Tentative).await.unwrap()),
            1 => drop(context.history(None, 3).await.unwrap()),
            2 => {
                let refused = context.compare_and_set(key("seen"), Some(b"not this"), None).await;
                assert_eq!(refused.unwrap_err().kind(), ErrorKind::Rejected);
            }
            _ => {
                // Asked, and let go of.
                let mut asked = std::pin::pin!(context.members());
                let _ = futures::poll!(&mut asked);
            }
        }
    }
    // What nobody waits for is done before what comes after it.
    context.members().await.unwrap();
}

/// Looks, emits, and refuses everything.
struct Picky;

impl Application for Picky {
    fn execute(&self, _: &Call<'_>, state: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        state.get(&key("anything"))?;
        state.put(&key("anything"), &[7; 1000])?;
        state.emit("something", &[7; 1000])?;
        Err(ApplicationError::Rejected("not today".into()))
    }

    fn query(&self, _: &str, _: &[u8], state: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        state.get(&key("anything")).map(Option::unwrap_or_default)
    }
}

async fn rounds(context: &Context, count: usize) {
    for number in 0..count {
        if number % 2 == 0 {
            let refused = context.execute("anything", &[7; 100]).await;
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Rejected);
        } else {
            context.query("anything", &[7; 100]).await.unwrap();
        }
    }
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

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
    node.register("picky", Arc::new(Picky)).unwrap();
    let mut options = CreateOptions::default();
    options.application = "picky".into();
    let picky = node.create_context(options).await.unwrap();
    // Everything once, so that caches and pools are there.
    calls(&context, times(300, 20_000)).await;
    subscriptions(&context, 100).await;
    reads(&context, 400).await;
    rounds(&picky, 400).await;

    let (before, since, count) = (Use::now(), Instant::now(), times(1_000, 100_000));
    calls(&context, count).await;
    // The store's cache may fill up to what it is allowed, whatever the number.
    before.check("calls that write", count, since, 8 * MIB + times(0, 24) * MIB);

    let (before, since, count) = (Use::now(), Instant::now(), times(4_000, 100_000));
    reads(&context, count).await;
    before.check("calls that read or fail", count, since, 64 * KIB);

    let (before, since, count) = (Use::now(), Instant::now(), times(1_000, 100_000));
    rounds(&picky, count).await;
    before.check("rounds with an application", count, since, 64 * KIB);

    let (before, since, count) = (Use::now(), Instant::now(), times(5_000, 100_000));
    subscriptions(&context, count).await;
    // Every hundredth writes.
    before.check("subscriptions", count, since, 64 * KIB + count / 100 * 8 * KIB);
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_and_leaves_cost_nothing_that_stays() {
    let _alone = ALONE.lock().await;
    let hub = Hub::new();
    let mut options = Options::in_memory(&hub);
    let store = nodes::watch(&mut options);
    let (anna, ben) = (Node::open(options).await.unwrap(), nodes::open(&hub).await);
    let context = anna.create_context(CreateOptions::default()).await.unwrap();
    joins_and_leaves(&context, &ben, 10).await;
    let (mut before, mut since, mut kept) = (Use::now(), Instant::now(), bytes(&store));
    let (parts, each) = (4, times(10, 75).max(joins() / 4));
    for _ in 0..parts {
        joins_and_leaves(&context, &ben, each).await;
        let grown = bytes(&store) - kept;
        println!("the history that the store keeps: +{} bytes for each", grown / each);
        // The history, which is in memory here; what judging it takes; and, of the first some hundred, what was judged of parts of it. A copy that
        // stayed behind would be many times that.
        before.check("joins and leaves", each, since, MIB + 2 * grown + each * 16 * KIB);
        (before, since, kept) = (Use::now(), Instant::now(), bytes(&store));
    }
    assert_eq!(ben.contexts().unwrap().len(), 0);
    assert_eq!(context.members().await.unwrap().len(), 1);
    let found = context.get(key("joined"), Level::Tentative).await.unwrap();
    assert_eq!(found.as_deref(), Some(&b"and left"[..]));
    anna.shutdown().await.unwrap();
    ben.shutdown().await.unwrap();
}

/// How many joins are asked for, if more than usual are.
fn joins() -> usize {
    std::env::var("KITH_SOAK_JOINS").map_or(0, |joins| joins.parse().unwrap())
}

/// What a store holds.
fn bytes(store: &MemoryStore) -> usize {
    let snapshot = store.snapshot().unwrap();
    let keyspaces = Keyspace::ALL.into_iter().filter(|keyspace| *keyspace != Keyspace::Chunks);
    let rows = keyspaces.flat_map(|keyspace| snapshot.scan(keyspace, &[], None, false, usize::MAX).unwrap());
    rows.map(|(row, value)| row.len() + value.len()).sum()
}

/// A context that begins, has a second member for a while, and ends with the last one that leaves.
async fn contexts_that_end(one: &Node, other: &Node, count: usize) {
    for _ in 0..count {
        let context = one.create_context(CreateOptions::default()).await.unwrap();
        joins_and_leaves(&context, other, 1).await;
        context.leave().await.unwrap();
    }
}

/// Whoever joins ever other contexts and leaves them has nothing of them: no history is left that could grow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contexts_that_were_joined_and_left_leave_nothing() {
    let _alone = ALONE.lock().await;
    let hub = Hub::new();
    let (anna, ben) = (nodes::open(&hub).await, nodes::open(&hub).await);
    contexts_that_end(&anna, &ben, 20).await;
    let (before, since, count) = (Use::now(), Instant::now(), times(60, 20_000).max(joins()));
    contexts_that_end(&anna, &ben, count).await;
    before.check("contexts joined and left", count, since, 64 * KIB + count * 8);
    assert_eq!((anna.contexts().unwrap().len(), ben.contexts().unwrap().len()), (0, 0));
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
    let (before, since, count) = (Use::now(), Instant::now(), times(20, 100_000));
    open_and_close(count).await;
    before.check("nodes", count, since, 64 * KIB + count * 8);
}
