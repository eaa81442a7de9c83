//! What directories and contexts are sealed under. Exporting, rotating and what is told of keys: `export.rs`, `sealed.rs`.

use std::collections::BTreeMap;
use std::path::Path;

use kith_core::ErrorKind;
use kith_core::network::Hub;
use kith_core::node::{CreateOptions, Encryption, Level, Node, Options};
use kith_core::replica::Role;
use kith_core::storage::{StorageEngine, StorageKey};

use crate::nodes::{equal, join, key, open};
use crate::{close, refused};

fn content(directory: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

// scenario: storage_key_required
#[tokio::test]
async fn only_its_key_opens_a_directory() {
    let passphrase = |text| StorageKey::from_passphrase(text).unwrap();
    for (engine, right) in [
        (StorageEngine::Sled, StorageKey::new([7; 32])),
        (StorageEngine::Redb, StorageKey::new([7; 32])),
        (StorageEngine::Redb, passphrase("a passphrase")),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let at = |key: Option<StorageKey>| {
            let mut options = Options::local(directory.path());
            (options.storage, options.storage_key) = (engine, key);
            options
        };
        let node = Node::open(at(Some(right.clone()))).await.unwrap();
        let context = node.create_context(CreateOptions::default()).await.unwrap();
        context.put(key("x"), b"y").await.unwrap();
        let status = node.status().await.unwrap();
        assert!(status.sealed && !status.key_file);
        close(&[&node]).await;
        let before = content(directory.path());
        assert!(!before.is_empty());
        for wrong in [Some(StorageKey::new([9; 32])), Some(passphrase("another passphrase")), None] {
            refused(Node::open(at(wrong)).await, ErrorKind::KeyRequired, "");
        }
        assert!(content(directory.path()) == before, "nothing changed");
        let node = Node::open(at(Some(right))).await.unwrap();
        let kept = node.context(context.id()).unwrap().get(key("x"), Level::Tentative).await.unwrap();
        assert_eq!(kept.unwrap(), b"y");
        close(&[&node]).await;
    }
}

// scenario: encryption_chosen
#[tokio::test]
async fn each_suite_works_between_two_nodes() {
    for encryption in [Encryption::Off, Encryption::X25519, Encryption::XWing] {
        let hub = Hub::new();
        let (one, other) = (open(&hub).await, open(&hub).await);
        let mut options = CreateOptions::default();
        options.encryption = encryption;
        let mine = one.create_context(options).await.unwrap();
        mine.put(key("before"), b"1").await.unwrap();
        let theirs = join(&mine, &other, Role::Writer).await.unwrap();
        mine.put(key("mine"), b"2").await.unwrap();
        theirs.put(key("theirs"), b"3").await.unwrap();
        equal(&mine, &theirs).await;
        for context in [&mine, &theirs] {
            for (name, value) in [("before", b"1"), ("mine", b"2"), ("theirs", b"3")] {
                assert_eq!(context.get(key(name), Level::Tentative).await.unwrap().unwrap(), value);
            }
            let security = context.security().await.unwrap();
            assert_eq!(security.suite, encryption.suite());
            assert_eq!(security.epoch.is_none(), encryption == Encryption::Off);
        }
        close(&[&one, &other]).await;
    }
}
