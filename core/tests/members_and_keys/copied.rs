//! A device that somebody has copied, its data directory and the key that opens it.

use std::path::Path;

use kith_core::Node;
use kith_core::network::Hub;
use kith_core::node::{Level, Options};
use kith_core::replica::Role;
use kith_core::storage::StorageEngine;

use crate::hoarder::{Hoard, present};
use crate::nodes::{copy, equal, join, key};
use crate::party::Party;

fn options(path: &Path, hub: &Hub, storage: StorageEngine) -> Options {
    let mut options = Options::in_memory(hub);
    options.path = Some(path.to_owned());
    options.storage = storage;
    options
}

/// The rows of keys in a directory that no node has open.
fn keys(directory: &Path, storage: StorageEngine) -> Hoard {
    let store = kith_core::storage::open(directory, storage, None, None).unwrap();
    let keys = present(&*store);
    store.close().unwrap();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_directory_opens_nothing_once_its_owner_has_replaced_its_keys() {
    for storage in [StorageEngine::Redb, StorageEngine::Sled] {
        let (anna, carl) = (0, 1);
        let party = Party::of(&[Role::Writer]).await;
        let (directory, stolen) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ben = Node::open(options(directory.path(), party.hub(), storage)).await.unwrap();
        let at_ben = join(party.at(anna), &ben, Role::Writer).await.unwrap();
        let id = at_ben.id();
        let step = async |at_ben: &kith_core::Context| {
            party.equal(&[anna, carl]).await;
            equal(party.at(anna), at_ben).await;
        };
        party.write(anna, "before the theft").await;
        at_ben.put(key("of the owner"), b"before the theft").await.unwrap();
        step(&at_ben).await;
        ben.shutdown().await.unwrap();
        copy(directory.path(), stolen.path());
        let loot = keys(stolen.path(), storage);
        assert!(loot.len() > 4, "control: {loot:?}");
        // What is copied is a whole device: a node opens it, and reads what was there.
        let thief = Node::open(options(stolen.path(), &Hub::new(), storage)).await.unwrap();
        let found = thief.context(id).unwrap().get(key("before the theft"), Level::Tentative).await.unwrap();
        assert!(thief.status().await.unwrap().copied && found.unwrap() == b"before the theft");
        thief.shutdown().await.unwrap();

        let ben = Node::open(options(directory.path(), party.hub(), storage)).await.unwrap();
        let at_ben = ben.context(id).unwrap();
        ben.connect(&party.guests[anna].node.addresses()[0]).await.unwrap();
        let during = party.write(anna, "under keys that were copied").await;
        step(&at_ben).await;
        // New keys of another's do not heal it: they are sealed to the key that was copied.
        party.at(carl).rotate_keys().await.unwrap();
        let still = party.write(carl, "under new keys, without a refresh").await;
        step(&at_ben).await;

        at_ben.rotate_keys().await.unwrap();
        let own = at_ben.put(key("of the owner"), b"under its own new keys").await.unwrap();
        step(&at_ben).await;
        party.at(anna).rotate_keys().await.unwrap();
        let mut after = vec![own];
        for author in [anna, carl] {
            after.push(party.write(author, "under the next epoch").await);
            step(&at_ben).await;
        }
        after.push(at_ben.put(key("of the owner"), b"under the next epoch").await.unwrap());
        step(&at_ben).await;
        let sent = party.sent(&[anna, carl]);
        assert_ne!(sent.epoch_of(&after[0]), sent.epoch_of(&after[1]));
        for call in [&during, &still] {
            assert!(sent.opens(&loot, call), "control: until the refresh the copy reads on");
        }
        ben.shutdown().await.unwrap();
        let now = keys(directory.path(), storage);
        for call in &after {
            assert!(sent.sealed_for(call).contains(&at_ben.me()));
            assert!(!sent.opens(&loot, call), "{storage:?}: a copied device opens what follows the refresh");
        }
        // The device itself goes on from where it is.
        let next = party.write(carl, "while the device is off").await;
        let sent = party.sent(&[carl, anna]);
        assert!(sent.opens(&now, &next) && !sent.opens(&loot, &next), "control: the owner's own rows do");
        party.close().await;
    }
}
