//! Nodes that are suspended, and what they may find when they are resumed.

use std::sync::Arc;
use std::time::Duration;

use kith_core::application::Application;
use kith_core::node::{CreateOptions, Level, Node};
use kith_core::{ErrorKind, Result};

use crate::faulty::{Faulty, Mood, key, node_on, opened_again};
use crate::nodes::PATIENCE;
use crate::opening::{at, marks};
use crate::table::Table;
use crate::unwell::Gate;

const BUDGET: Duration = Duration::from_secs(1);

async fn both(table: &mut Table, node: &Node, kind: ErrorKind) {
    table.shows("Node::resume", kind, node.resume().await);
    table.shows("Node::sync_once", kind, node.sync_once(BUDGET).await);
    assert!(node.is_suspended());
}

pub(crate) async fn directories(table: &mut Table) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node");
    let node = Node::open(at(&path)).await.unwrap();
    node.create_context(CreateOptions::default()).await.unwrap();
    node.suspend(PATIENCE).await.unwrap();

    table.case("a suspended node whose directory somebody else has opened");
    let other = Node::open(at(&path)).await.unwrap();
    both(table, &node, ErrorKind::Busy).await;
    other.shutdown().await.unwrap();

    table.case("a suspended node whose directory was changed");
    let file = path.join("high-water");
    let (good, newer, damaged) = marks(&file);
    std::fs::write(&file, newer).unwrap();
    both(table, &node, ErrorKind::VersionMismatch).await;
    std::fs::write(&file, damaged).unwrap();
    both(table, &node, ErrorKind::Corrupt).await;
    std::fs::write(&file, good).unwrap();

    table.case("a suspended node whose key file is gone");
    let file = path.join("storage-key");
    std::fs::rename(&file, directory.path().join("key")).unwrap();
    both(table, &node, ErrorKind::KeyRequired).await;
    std::fs::rename(directory.path().join("key"), &file).unwrap();

    table.case("a suspended node whose directory is no directory any more");
    let aside = directory.path().join("aside");
    std::fs::rename(&path, &aside).unwrap();
    std::fs::write(&path, b"in the way").unwrap();
    both(table, &node, ErrorKind::Storage).await;
    std::fs::remove_file(&path).unwrap();
    std::fs::rename(&aside, &path).unwrap();

    // The control: as it was, it goes on.
    node.resume().await.unwrap();
    node.shutdown().await.unwrap();
}

/// The error is told, the node is suspended all the same, and nothing is lost.
pub(crate) async fn a_store_that_cannot_be_closed(table: &mut Table) {
    table.case("a store that cannot be closed");
    let store = Faulty::new();
    let node = Node::open(opened_again(&store)).await.unwrap();
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    context.put(key(), b"kept").await.unwrap();
    store.be(Mood::CannotClose);
    table.shows("Node::suspend", ErrorKind::Storage, node.suspend(PATIENCE).await);
    assert!(node.is_suspended());
    assert_eq!(context.put(key(), b"asleep").await.unwrap_err().kind(), ErrorKind::Closed);
    // Twice is fine, and the second time there is nothing to close.
    node.suspend(PATIENCE).await.unwrap();
    store.be(Mood::Well);
    node.resume().await.unwrap();
    assert_eq!(context.get(key(), Level::Tentative).await.unwrap().as_deref(), Some(&b"kept"[..]));
    context.put(key(), b"awake").await.unwrap();

    // A context that a failing store has closed goes on with the store that is opened anew, and with one that is well again by itself.
    for suspended in [true, false] {
        let before = context.get(key(), Level::Tentative).await.unwrap();
        store.be(Mood::Broken);
        assert_eq!(context.put(key(), b"lost").await.unwrap_err().kind(), ErrorKind::Storage);
        store.be(Mood::Well);
        assert_eq!(context.get(key(), Level::Tentative).await.unwrap_err().kind(), ErrorKind::Closed);
        if suspended {
            node.suspend(PATIENCE).await.unwrap();
            node.resume().await.unwrap();
            assert_eq!(context.get(key(), Level::Tentative).await.unwrap(), before);
        }
        context.put(key(), b"awake again").await.unwrap();
        assert_eq!(context.get(key(), Level::Tentative).await.unwrap().as_deref(), Some(&b"awake again"[..]));
        assert_eq!(context.verify().await.unwrap().difference, None);
    }

    // At the end of a round: its text says what the round had come to, and the next one tells what is there.
    node.suspend(PATIENCE).await.unwrap();
    store.be(Mood::CannotClose);
    let round = node.sync_once(BUDGET).await;
    let said = round.as_ref().unwrap_err().to_string();
    assert!(said.contains("flush") && said.contains("0 of 1 contexts in step, 0 peers"), "{said}");
    table.shows("Node::sync_once", ErrorKind::Storage, round);
    assert!(node.is_suspended());
    store.be(Mood::Well);
    assert_eq!(node.sync_once(BUDGET).await.unwrap().behind, [context.id()]);
    node.resume().await.unwrap();
    assert_eq!(context.get(key(), Level::Tentative).await.unwrap().as_deref(), Some(&b"awake again"[..]));
    store.be(Mood::CannotClose);
    table.shows("Node::shutdown", ErrorKind::Storage, node.shutdown().await);
}

/// A context's thread is held up by its application for longer than anybody waits.
pub(crate) async fn hanging() -> [(&'static str, Result<()>); 3] {
    let (node, _, _) = node_on(&Faulty::new()).await;
    let gate = Arc::new(Gate::default());
    node.register("gate", Arc::clone(&gate) as Arc<dyn Application>).unwrap();
    let mut options = CreateOptions::default();
    options.application = "gate".into();
    let context = node.create_context(options).await.unwrap();
    let held = tokio::spawn(async move { context.execute("wait", &[]).await });
    gate.entered().await;
    let suspended = node.suspend(Duration::from_millis(50)).await;
    let (resumed, synced) = tokio::join!(node.resume(), node.sync_once(BUDGET));
    gate.open();
    // What was begun is finished, and answered with what the gate says.
    assert_eq!(held.await.unwrap().unwrap_err().kind(), ErrorKind::Rejected);
    node.shutdown().await.unwrap();
    [("Node::suspend", suspended), ("Node::resume", resumed), ("Node::sync_once", synced.map(drop))]
}
