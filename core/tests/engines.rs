//! A node on each engine: what it writes is there again, another node catches up from it, and the directory keeps its engine.

#![allow(clippy::unwrap_used)]

use kith_core::node::{CreateOptions, InviteOptions, JoinOptions, Level};
use kith_core::replica::StateKey;
use kith_core::storage::StorageEngine;
use kith_core::{ErrorKind, Node, Options};

fn options(path: &std::path::Path, storage: StorageEngine) -> Options {
    let mut options = Options::local(path);
    options.storage = storage;
    options
}

async fn engine(node: &Node) -> StorageEngine {
    node.status().await.unwrap().storage.unwrap().to_string().parse().unwrap()
}

// scenario: storage_engine
#[tokio::test(flavor = "multi_thread")]
async fn a_node_works_on_each_engine_and_its_directory_keeps_it() {
    let engines = [StorageEngine::Sled, StorageEngine::Redb];
    for (own, other) in engines.into_iter().zip(engines.into_iter().rev()) {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [here, there] = [directories[0].path(), directories[1].path()];
        // The other member has the other engine: nothing of it shows.
        let anna = Node::open(options(here, own)).await.unwrap();
        let ben = Node::open(options(there, other)).await.unwrap();
        assert_eq!(engine(&anna).await, own);
        let notes = anna.create_context(CreateOptions::default()).await.unwrap();
        let key = |number: u32| StateKey::of("notes", &number.to_string());
        let large = vec![7; 300_000];
        notes.put(key(1000), &large).await.unwrap();
        for number in 0..50 {
            notes.put(key(number), &number.to_be_bytes()).await.unwrap();
        }
        let token = notes.invite(InviteOptions::default()).await.unwrap().to_text();
        let copy = ben.join(&token, JoinOptions::default()).await.unwrap();
        copy.put(key(7), b"from there").await.unwrap();
        copy.wait_synced(std::time::Duration::from_secs(60)).await.unwrap();
        assert_eq!(copy.get(key(1000), Level::Tentative).await.unwrap().unwrap(), large);
        let mut events = notes.events(Some(0)).await.unwrap();
        while notes.commitment().await.unwrap() != copy.commitment().await.unwrap() {
            // What the other one has just written is on its way.
            let next = tokio::time::timeout(std::time::Duration::from_secs(60), events.next());
            next.await.expect("never the same").unwrap();
        }
        let (id, commitment) = (notes.id(), notes.commitment().await.unwrap());
        anna.shutdown().await.unwrap();

        let refused = Node::open(options(here, other)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
        assert!(refused.message().contains("sled") && refused.message().contains("redb"), "{refused}");

        let anna = Node::open(options(here, StorageEngine::Auto)).await.unwrap();
        anna.suspend(std::time::Duration::from_secs(60)).await.unwrap();
        assert_eq!(engine(&anna).await, own);
        anna.resume().await.unwrap();
        let notes = anna.context(id).unwrap();
        assert_eq!(notes.commitment().await.unwrap(), commitment);
        assert_eq!(notes.get(key(7), Level::Tentative).await.unwrap().unwrap(), b"from there");
        assert!(notes.verify().await.unwrap().difference.is_none());
        notes.put(key(8), b"afterwards").await.unwrap();
        anna.shutdown().await.unwrap();
        ben.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_directory_has_no_engine_to_choose() {
    let mut options = Options::default();
    options.storage = StorageEngine::Redb;
    let node = Node::open(options).await.unwrap();
    assert_eq!(node.status().await.unwrap().storage, None);
    node.create_context(CreateOptions::default()).await.unwrap();
    node.shutdown().await.unwrap();
}
