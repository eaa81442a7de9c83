//! Nodes that are suspended, and what they may find when they are resumed.

use std::sync::Arc;
use std::time::Duration;

use kith_core::application::Application;
use kith_core::node::{CreateOptions, Node};
use kith_core::{ErrorKind, Result};

use crate::faulty::{Faulty, node_on};
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
