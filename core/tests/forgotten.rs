//! Keys that were used are gone: out of the rows of a node's store, and out of the files of its directory.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod nodes;

use std::collections::BTreeSet;
use std::path::Path;

use kith_core::keyring::Key;
use kith_core::network::Hub;
use kith_core::node::{CreateOptions, Node, Options};
use kith_core::replica::{MemberId, Role, TransactionId};
use kith_core::storage::{Keyspace, StorageEngine};
use nodes::{equal, join, key};

fn options(path: &Path, hub: &Hub, storage: StorageEngine) -> Options {
    let mut options = Options::in_memory(hub);
    options.path = Some(path.to_owned());
    options.storage = storage;
    options
}

/// The rows of a closed node's store, and the chain keys among them: where the next message of each author in each epoch begins.
fn rows(directory: &Path, storage: StorageEngine) -> (Vec<u8>, BTreeSet<[u8; 32]>) {
    let store = kith_core::storage::open(directory, storage, None, None).unwrap();
    let chain = Key::Chain(TransactionId::default(), MemberId([0; 32])).encode();
    let beginning = [b"ring/", &chain[..1]].concat();
    let (mut all, mut keys) = (Vec::new(), BTreeSet::new());
    for keyspace in Keyspace::ALL.into_iter().filter(|keyspace| *keyspace != Keyspace::Chunks) {
        for (at, value) in store.snapshot().unwrap().scan(keyspace, &[], None, false, usize::MAX).unwrap() {
            let is_chain = keyspace == Keyspace::Keys && at.windows(6).any(|part| part == beginning);
            // Version, number of the next message, whether there is a key, the key.
            if is_chain && value[5] == 1 {
                keys.insert(value[6..38].try_into().unwrap());
            }
            all.extend_from_slice(&at);
            all.extend_from_slice(&value);
        }
    }
    store.close().unwrap();
    (all, keys)
}

/// The bytes of every file below a directory.
fn files(directory: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            bytes.extend(files(&entry.path()));
        } else {
            bytes.extend(std::fs::read(entry.path()).unwrap());
        }
    }
    bytes
}

fn found(keys: &BTreeSet<[u8; 32]>, bytes: &[u8]) -> usize {
    bytes.windows(32).filter(|part| keys.contains::<[u8]>(part)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn used_chain_keys_are_nowhere_in_the_directory() {
    for storage in [StorageEngine::Redb, StorageEngine::Sled] {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut context = None;
        let mut ever: [BTreeSet<[u8; 32]>; 2] = Default::default();
        for round in 0..5u8 {
            let hub = Hub::new();
            let anna = Node::open(options(directories[0].path(), &hub, storage)).await.unwrap();
            let ben = Node::open(options(directories[1].path(), &hub, storage)).await.unwrap();
            let (mine, yours) = match context {
                None => {
                    let mine = anna.create_context(CreateOptions::default()).await.unwrap();
                    let yours = join(&mine, &ben, Role::Writer).await.unwrap();
                    context = Some(mine.id());
                    (mine, yours)
                }
                Some(id) => {
                    ben.connect(&anna.addresses()[0]).await.unwrap();
                    (anna.context(id).unwrap(), ben.context(id).unwrap())
                }
            };
            for message in 0..5 {
                mine.put(key("mine"), &[round, message]).await.unwrap();
                equal(&mine, &yours).await;
                yours.put(key("yours"), &[round, message]).await.unwrap();
                equal(&mine, &yours).await;
            }
            // Under new keys from here on.
            if round == 3 {
                yours.rotate_keys().await.unwrap();
                equal(&mine, &yours).await;
            }
            anna.shutdown().await.unwrap();
            ben.shutdown().await.unwrap();
            for (directory, ever) in directories.iter().zip(&mut ever) {
                let (all, current) = rows(directory.path(), storage);
                assert!(current.len() >= 2, "{storage:?}: a chain of each member");
                assert!(found(&current, &all) >= current.len(), "control: what is in use is found");
                let superseded: BTreeSet<_> = ever.difference(&current).copied().collect();
                assert!(superseded.len() >= 2 * usize::from(round), "{storage:?}: {}", superseded.len());
                assert_eq!(found(&superseded, &all), 0, "{storage:?}: a key that was used is in a row");
                // Not in the files either, where an engine keeps old pages; nor are those in use, since all is sealed.
                let raw = files(directory.path());
                assert!(raw.len() > 10_000 && !current.is_empty());
                let whole: BTreeSet<_> = ever.union(&current).copied().collect();
                assert_eq!(found(&whole, &raw), 0, "{storage:?}: a key is in a file");
                let mut planted = raw;
                planted.extend(current.first().unwrap());
                assert_eq!(found(&whole, &planted), 1, "control: one that is there is found");
                ever.extend(current);
            }
        }
    }
}
