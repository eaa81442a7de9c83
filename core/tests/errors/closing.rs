//! Nodes and contexts that are closed.

use std::sync::Arc;
use std::time::Duration;

use kith_core::application::Application;
use kith_core::application::kv::KeyValue;
use kith_core::network::Hub;
use kith_core::node::{CreateOptions, Level, Node, Options};
use kith_core::replica::Role;
use kith_core::storage::{StorageKey, Store};
use kith_core::{ErrorKind, Result};

use crate::faulty::{Faulty, calls, governing, key, node_on, questions, reads};
use crate::nodes;
use crate::table::Table;
use crate::unwell::{Gate, hurry, token};

pub(crate) async fn after_shutdown(table: &mut Table) {
    table.case("after shutdown");
    let kind = ErrorKind::Closed;
    let token = token().await;
    let (node, context, invite) = node_on(&Faulty::new()).await;
    let mut streams = [context.events(None).await.unwrap(), context.events(None).await.unwrap()];
    node.shutdown().await.unwrap();
    node.shutdown().await.unwrap();
    table.shows("Node::status", kind, node.status().await);
    table.shows("Node::register", kind, node.register("late", Arc::new(KeyValue)));
    table.shows("Node::create_context", kind, node.create_context(CreateOptions::default()).await);
    table.shows("Node::join", kind, node.join(&token, hurry()).await);
    table.shows("Node::contexts", kind, node.contexts());
    table.shows("Node::context", kind, node.context(context.id()));
    let nobody = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    table.shows("Node::connect", kind, node.connect(nobody).await);
    table.shows("Node::suspend", kind, node.suspend(nodes::PATIENCE).await);
    table.shows("Node::resume", kind, node.resume().await);
    table.shows("Node::sync_once", kind, node.sync_once(nodes::PATIENCE).await);
    let storage_key = StorageKey::new([1; 32]);
    table.shows("Node::change_storage_key", kind, node.change_storage_key(storage_key.clone()).await);
    table.shows("Node::export", kind, node.export("nowhere".as_ref(), &storage_key).await);
    table.all(kind, calls(&context, || ()).await);
    table.all(kind, governing(&context, invite, || ()).await);
    table.all(kind, questions(&context, || ()).await);
    table.all(kind, reads(&context, || ()).await);
    table.shows("Context::leave", kind, context.leave().await);
    table.shows("Context::wait_synced", kind, context.wait_synced(Duration::from_secs(5)).await);
    let [one, other] = &mut streams;
    table.shows("Events::next", kind, one.next().await);
    table.shows("Events::next_blocking", kind, tokio::task::block_in_place(|| other.next_blocking(None)));

    table.case("a store that is closed");
    let store = Faulty::new();
    store.close().unwrap();
    let mut options = Options::default();
    options.engine = kith_core::node::Engine::Given(store);
    table.shows("Node::open", kind, Node::open(options).await);
}

pub(crate) async fn after_leaving(table: &mut Table) {
    table.case("after leaving");
    let hub = Hub::new();
    let (anna, ben) = (nodes::open(&hub).await, nodes::open(&hub).await);
    let at_anna = anna.create_context(CreateOptions::default()).await.unwrap();
    let at_ben = nodes::join(&at_anna, &ben, Role::Writer).await.unwrap();
    at_ben.leave().await.unwrap();
    table.shows("Context::put", ErrorKind::Closed, at_ben.put(key(), b"late").await);
    table.shows("Context::get", ErrorKind::Closed, at_ben.get(key(), Level::Tentative).await);
    table.shows("Node::context", ErrorKind::NotFound, ben.context(at_anna.id()));
    anna.shutdown().await.unwrap();
    ben.shutdown().await.unwrap();
}

/// A context's thread is held up by its application for longer than a shutdown waits.
pub(crate) async fn hanging() -> Result<()> {
    let (node, _, _) = node_on(&Faulty::new()).await;
    let gate = Arc::new(Gate::default());
    node.register("gate", Arc::clone(&gate) as Arc<dyn Application>).unwrap();
    let mut options = CreateOptions::default();
    options.application = "gate".into();
    let context = node.create_context(options).await.unwrap();
    let held = tokio::spawn(async move { context.execute("wait", &[]).await });
    gate.entered().await;
    let outcome = node.shutdown().await;
    gate.open();
    assert!(held.await.unwrap().is_err());
    outcome
}
