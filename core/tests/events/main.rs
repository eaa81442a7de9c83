//! A history in which every kind of event that a node keeps has happened to one member, as an export: what the tests of all languages import and read
//! (`bindings/events`). `KITH_RECORD_EVENTS=bindings/events` has it written there anew.
//!
//! One rule is turned off for a moment, since no honest build violates it; the switches are for the whole process, so this is one test in a file of its
//! own.
#![cfg(feature = "fault-switches")]
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../nodes/mod.rs"]
mod nodes;
mod told;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use kith_core::application::{Application, ApplicationError, Call, State};
use kith_core::keyring::Key;
use kith_core::network::Hub;
use kith_core::node::{Context, CreateOptions, Event, Node, Options};
use kith_core::replica::faults::{Fault, set};
use kith_core::replica::{MemberId, Role};
use kith_core::storage::{self, Batch, Durability, ImportOptions, Keyspace, MemoryStore, StorageKey, Store};
use nodes::{PATIENCE, equal, join, key, peer, until, watch};

const NAME: &str = "diary";

/// What is kept. What passes (connections, progress, and that events were dropped) is in no store.
const KEPT: [&str; 15] = [
    "Executed",
    "Changed",
    "Reordered",
    "Rejected",
    "MemberJoined",
    "MemberLeft",
    "MemberRemoved",
    "RoleChanged",
    "Renamed",
    "Equivocation",
    "Blocked",
    "Emitted",
    "Closed",
    "KeyTrouble",
    "KeyViolation",
];

/// `note`: keeps what it is told. `claim`: keeps it once. `say`: tells everybody.
struct Diary;

impl Application for Diary {
    fn execute(&self, call: &Call<'_>, state: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        match call.method {
            "say" => state.emit("says, with an ü", call.arguments)?,
            "claim" if state.get(&key("claimed"))?.is_some() => {
                return Err(ApplicationError::Rejected("somebody was first, and that is an ü".into()));
            }
            "claim" => state.put(&key("claimed"), call.arguments)?,
            _ => {
                state.put(&key("one"), call.arguments)?;
                state.put(&key("other"), call.arguments)?;
            }
        }
        Ok(Vec::new())
    }
}

/// A node with the application.
async fn opened(mut options: Options, store: &Arc<MemoryStore>) -> Node {
    options.engine = kith_core::node::Engine::Given(Arc::clone(store) as Arc<dyn Store>);
    let node = Node::open(options).await.unwrap();
    node.register(NAME, Arc::new(Diary)).unwrap();
    node
}

async fn fresh(hub: &Hub) -> (Node, Arc<MemoryStore>) {
    let mut options = Options::in_memory(hub);
    let store = watch(&mut options);
    (opened(options, &store).await, store)
}

/// Waits for what has happened in a context, or happens.
async fn happened(context: &Context, wanted: impl Fn(&Event) -> bool) -> Event {
    until(&mut context.events(Some(0)).await.unwrap(), wanted).await
}

/// Waits until both hold the same history and have carried it out. What Dora sealed twice at one position stays closed to all.
async fn same(one: &Context, other: &Context) {
    let wait = async {
        loop {
            let (a, b) = (one.status().await.unwrap(), other.status().await.unwrap());
            if (&a.digest, a.pending, b.pending) == (&b.digest, 0, 0) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("they come to the same history");
}

async fn note(context: &Context, text: &str) {
    context.execute("note", text.as_bytes()).await.unwrap();
}

/// What a node's store holds after its shutdown, for another node.
fn copied(store: &MemoryStore) -> Arc<MemoryStore> {
    Arc::new(store.fork())
}

/// Loses the roots of what one member seals to this one.
fn forget(store: &MemoryStore, member: MemberId) {
    let root = [b"ring/".to_vec(), Key::From(member).encode()].concat();
    assert_eq!(forget_rows(store, Keyspace::Keys, &root), 1);
}

/// Removes the rows whose keys end so; how many there were.
fn forget_rows(store: &MemoryStore, keyspace: Keyspace, ending: &[u8]) -> usize {
    let rows = store.snapshot().unwrap().scan(keyspace, &[], None, false, usize::MAX).unwrap();
    let mut batch = Batch::default();
    for (row, _) in rows.into_iter().filter(|(row, _)| row.ends_with(ending)) {
        batch.delete(keyspace, row);
    }
    store.commit(&batch, Durability::Power).unwrap();
    batch.writes.len()
}

/// The kind in a line.
fn kind(line: &str) -> &str {
    line.split(' ').nth(1).unwrap_or_default()
}

/// The events of a context from the first one to its end, as lines.
async fn lines(context: &Context) -> Vec<String> {
    let mut events = context.events(Some(0)).await.unwrap();
    let mut lines = Vec::new();
    loop {
        let (cursor, event) = tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap();
        // What passes is not kept, and nothing of it is expected: nobody else is there.
        lines.push(told::line(cursor, &event));
        if matches!(event, Event::Closed { .. }) {
            return lines;
        }
    }
}

/// What an export of the node says when it was imported into a directory: the same.
async fn imported(export: &Path, context: &Context) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("node");
    storage::import(export, &StorageKey::new(told::KEY), &directory, &ImportOptions::default()).unwrap();
    let node = Node::open(Options::local(&directory)).await.unwrap();
    let lines = lines(&node.context(context.id()).unwrap()).await;
    node.shutdown().await.unwrap();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_event_that_is_kept_happens_to_one_member() {
    nodes::log();
    let hub = Hub::new();
    let (anna, _) = fresh(&hub).await;
    let (ben, bens) = fresh(&hub).await;
    let (carl, _) = fresh(&hub).await;
    let (dora, doras) = fresh(&hub).await;
    let (emil, _) = fresh(&hub).await;
    let (fred, _) = fresh(&hub).await;
    let mut options = CreateOptions::default();
    options.application = NAME.into();
    let at_anna = anna.create_context(options).await.unwrap();
    let id = at_anna.id();
    // To Ben it all happens.
    let at_ben = join(&at_anna, &ben, Role::Writer).await.unwrap();
    let at_carl = join(&at_anna, &carl, Role::Writer).await.unwrap();
    let at_dora = join(&at_anna, &dora, Role::Writer).await.unwrap();
    let at_emil = join(&at_anna, &emil, Role::Writer).await.unwrap();
    let at_fred = join(&at_anna, &fred, Role::Writer).await.unwrap();
    equal(&at_anna, &at_ben).await;

    // What members do all day.
    at_anna.execute("say", &[0, 255, b'k']).await.unwrap();
    at_anna.set_name("our diary, with an ü").await.unwrap();
    at_carl.set_display_name("Carl").await.unwrap();
    at_anna.set_role(at_emil.me(), Role::Reader).await.unwrap();
    equal(&at_anna, &at_emil).await;
    at_emil.leave().await.unwrap();
    let left = at_emil.me();
    happened(&at_ben, |event| *event == Event::MemberLeft { member: left }).await;
    emil.shutdown().await.unwrap();

    // Two claim the same, and Ben, who has written more by then, sorts behind.
    let others = [&anna, &carl, &dora, &fred];
    others.iter().for_each(|other| hub.partition(peer(&ben), peer(other)));
    at_anna.execute("claim", b"Anna").await.unwrap();
    for text in ["one", "two", "three"] {
        note(&at_ben, text).await;
    }
    at_ben.execute("claim", b"Ben").await.unwrap();
    others.iter().for_each(|other| hub.heal(peer(&ben), peer(other)));
    equal(&at_anna, &at_ben).await;
    happened(&at_ben, |event| matches!(event, Event::Rejected { .. })).await;

    // Dora's node is copied, and both sign.
    equal(&at_anna, &at_dora).await;
    let double = at_dora.me();
    dora.shutdown().await.unwrap();
    let copy = copied(&doras);
    let doras = copied(&doras);
    let apart = opened(Options::in_memory(&Hub::new()), &doras).await;
    note(&apart.context(id).unwrap(), "one history").await;
    apart.shutdown().await.unwrap();
    let other = opened(Options::in_memory(&hub), &copy).await;
    let at_other = other.context(id).unwrap();
    note(&at_other, "another history").await;
    same(&at_other, &at_ben).await;
    other.shutdown().await.unwrap();
    let dora = opened(Options::in_memory(&hub), &copied(&doras)).await;
    happened(&at_ben, |event| matches!(event, Event::Equivocation { member, .. } if *member == double)).await;
    happened(&at_ben, |event| *event == Event::MemberRemoved { member: double }).await;
    dora.shutdown().await.unwrap();

    // Anna has sealed keys to Ben before, so that what she seals next goes on from there.
    at_anna.rotate_keys().await.unwrap();
    note(&at_anna, "for all four").await;
    note(&at_carl, "for all four").await;
    for context in [&at_anna, &at_carl] {
        assert_eq!(context.security().await.unwrap().violations, 0, "the control: all before was honest");
    }
    at_anna.remove(at_fred.me()).await.unwrap();
    same(&at_anna, &at_carl).await;
    same(&at_anna, &at_ben).await;
    let me = at_ben.me();
    ben.shutdown().await.unwrap();
    fred.shutdown().await.unwrap();
    // Carl's build goes on with the keys that Fred has.
    set(Fault::KeepEpoch);
    note(&at_carl, "under old keys").await;
    set(Fault::None);
    same(&at_anna, &at_carl).await;
    // Ben's host has not registered the application when it comes.
    let bens = copied(&bens);
    let mut options = Options::in_memory(&hub);
    options.engine = kith_core::node::Engine::Given(Arc::clone(&bens) as Arc<dyn Store>);
    let ben = Node::open(options).await.unwrap();
    let at_ben = ben.context(id).unwrap();
    let violator = at_carl.me();
    happened(&at_ben, |event| matches!(event, Event::KeyViolation { member, .. } if *member == violator))
        .await;
    happened(&at_ben, |event| matches!(event, Event::Blocked { .. })).await;
    ben.register(NAME, Arc::new(Diary)).unwrap();
    same(&at_anna, &at_ben).await;
    // Who comes later counts it as who was away does. (Those who were there judged it while the rule was off.)
    let (gina, _) = fresh(&hub).await;
    let at_gina = join(&at_anna, &gina, Role::Reader).await.unwrap();
    same(&at_anna, &at_gina).await;
    for context in [&at_gina, &at_ben] {
        assert_eq!(context.security().await.unwrap().violations, 1, "{}", context.me());
    }
    at_gina.leave().await.unwrap();
    gina.shutdown().await.unwrap();
    ben.shutdown().await.unwrap();

    // Ben's store has lost a row.
    let author = at_anna.me();
    let bens = copied(&bens);
    forget(&bens, author);
    let ben = opened(Options::in_memory(&hub), &bens).await;
    let at_ben = ben.context(id).unwrap();
    assert_eq!(at_ben.security().await.unwrap().violations, 1, "the count is there after a restart");
    at_anna.rotate_keys().await.unwrap();
    note(&at_anna, "under new keys").await;
    happened(&at_ben, |event| matches!(event, Event::KeyTrouble { member, .. } if *member == author)).await;
    same(&at_anna, &at_ben).await;

    at_anna.remove(me).await.unwrap();
    happened(&at_ben, |event| matches!(event, Event::Closed { .. })).await;
    let all = lines(&at_ben).await;
    let seen: BTreeSet<&str> = all.iter().map(|line| kind(line)).collect();
    assert_eq!(seen, KEPT.into());
    assert!(all.iter().any(|line| kind(line) == "Executed" && line.ends_with("again=true")));
    // Of what Dora sealed twice at one position, and of what Anna sealed to roots that are lost.
    let troubles: Vec<&String> = all.iter().filter(|line| kind(line) == "KeyTrouble").collect();
    for advice in ["remove the member", "rotate the keys"] {
        assert!(troubles.iter().any(|line| line.contains(advice)), "they say what to do: {troubles:?}");
    }

    // Whoever imports it reads it alone: it knows nobody's address, which were those of this hub.
    ben.shutdown().await.unwrap();
    let bens = copied(&bens);
    forget_rows(&bens, Keyspace::Peers, &[]);
    let ben = opened(Options::in_memory(&Hub::new()), &bens).await;
    let at_ben = ben.context(id).unwrap();
    assert_eq!(lines(&at_ben).await, all);
    let folder = tempfile::tempdir().unwrap();
    let export = folder.path().join("history.kith");
    ben.export(&export, &StorageKey::new(told::KEY)).await.unwrap();
    for node in [anna, ben, carl] {
        node.shutdown().await.unwrap();
    }
    assert_eq!(imported(&export, &at_ben).await, all);
    println!("{} events in an export of {} bytes", all.len(), std::fs::metadata(&export).unwrap().len());
    if let Some(place) = std::env::var_os("KITH_RECORD_EVENTS") {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(place);
        std::fs::copy(&export, place.join("history.kith")).unwrap();
        std::fs::write(place.join("events.txt"), all.join("\n") + "\n").unwrap();
    }
}
