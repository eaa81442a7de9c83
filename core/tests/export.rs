//! A node that moves to the other engine goes on as the same member; a backup of one signs nothing until its owner says so.

#![allow(clippy::unwrap_used)]

mod nodes;

use std::path::Path;
use std::time::Duration;

use kith_core::network::Hub;
use kith_core::node::{CreateOptions, InviteOptions, JoinOptions, Level};
use kith_core::storage::{self, ImportOptions, Purpose, StorageEngine, StorageKey};
use kith_core::{ErrorKind, Node, Options};
use nodes::{equal, key};

fn options(hub: &Hub, path: &Path) -> Options {
    let mut options = Options::in_memory(hub);
    options.path = Some(path.to_owned());
    options
}

fn into(engine: StorageEngine) -> ImportOptions {
    let mut import = ImportOptions::default();
    import.engine = engine;
    import
}

// scenario: export_import
#[tokio::test(flavor = "multi_thread")]
async fn a_node_moves_between_engines_and_a_backup_waits_for_its_owner() {
    let hub = Hub::new();
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let export_key = StorageKey::from_passphrase("for the backup").unwrap();
    let anna = {
        let mut options = options(&hub, &at("anna"));
        options.storage = StorageEngine::Sled;
        Node::open(options).await.unwrap()
    };
    let ben = Node::open(options(&hub, &at("ben"))).await.unwrap();
    let notes = anna.create_context(CreateOptions::default()).await.unwrap();
    let (id, peer) = (notes.id(), anna.id());
    let token = notes.invite(InviteOptions::default()).await.unwrap().to_text();
    let copy = ben.join(&token, JoinOptions::default()).await.unwrap();
    notes.put(key("one"), b"1").await.unwrap();

    // While it runs and is written to.
    let commitment = notes.commitment().await.unwrap();
    let backup = anna.export(&at("backup"), &export_key).await.unwrap();
    assert!(backup.records > 5 && !backup.moved);
    assert_eq!(
        anna.export(&at("backup"), &export_key).await.unwrap_err().kind(),
        ErrorKind::InvalidArgument,
        "nothing is written over"
    );
    notes.put(key("two"), b"2").await.unwrap();
    copy.wait_synced(Duration::from_secs(60)).await.unwrap();
    anna.shutdown().await.unwrap();

    // It moves: with all that it has, as the same member, under a key of its own now.
    let own = StorageKey::new([4; 32]);
    storage::export(&at("anna"), None, &at("move"), &export_key, Purpose::Move).unwrap();
    let mut redb = into(StorageEngine::Redb);
    redb.key = Some(own.clone());
    storage::import(&at("move"), &export_key, &at("moved"), &redb).unwrap();
    let mut moved = options(&hub, &at("moved"));
    moved.storage_key = Some(own);
    let anna = Node::open(moved).await.unwrap();
    assert_eq!(anna.id(), peer);
    let status = anna.status().await.unwrap();
    assert!(status.sealed && !status.copied);
    let notes = anna.context(id).unwrap();
    assert_eq!(notes.get(key("two"), Level::Tentative).await.unwrap().unwrap(), b"2");
    notes.put(key("three"), b"3").await.unwrap();
    assert!(notes.verify().await.unwrap().difference.is_none());
    // What a peer is writing right now `wait_synced` does not wait for.
    equal(&notes, &copy).await;
    assert_eq!(copy.get(key("three"), Level::Tentative).await.unwrap().unwrap(), b"3");
    assert_eq!(copy.members().await.unwrap().len(), 2, "nobody takes it for a fork");
    anna.shutdown().await.unwrap();

    // What it moved from signs nothing, and neither does the backup.
    storage::import(&at("backup"), &export_key, &at("restored"), &into(StorageEngine::Redb)).unwrap();
    for place in ["anna", "restored"] {
        // Where nobody can tell it anything.
        let node = Node::open(options(&Hub::new(), &at(place))).await.unwrap();
        assert!(node.status().await.unwrap().copied, "{place}");
        let same = node.context(id).unwrap().commitment().await.unwrap() == commitment;
        assert_eq!(same, place == "restored", "the other one was written to since");
        let refused = node.context(id).unwrap().put(key("other"), b"2").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Blocked, "{place}");
        let kept = node.context(id).unwrap().get(key("one"), Level::Tentative).await.unwrap();
        assert_eq!(kept.unwrap(), b"1", "{place}");
        node.shutdown().await.unwrap();
    }
    ben.shutdown().await.unwrap();

    // The owner may say that the restored one is the only one left.
    storage::adopt(&at("restored"), None).unwrap();
    let node = Node::open(options(&Hub::new(), &at("restored"))).await.unwrap();
    assert!(!node.status().await.unwrap().copied);
    node.context(id).unwrap().put(key("other"), b"2").await.unwrap();
    node.shutdown().await.unwrap();
}
