//! What lies in a node's directory: nothing that anybody wrote, and nobody's name, in clear.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

use kith_core::network::{Hub, PeerId};
use kith_core::node::{CreateOptions, InviteOptions, JoinOptions, Level};
use kith_core::storage::{self, Keyspace, Purpose, StorageEngine, StorageKey};
use kith_core::{ErrorKind, Node, Options};

use super::options;
use crate::nodes::{copy, key};

/// Every file below a directory.
fn bytes_of(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(bytes_of(&entry.path()));
        } else {
            found.insert(entry.path().display().to_string(), std::fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// Which of these are somewhere in the files. Each has at least 8 bytes.
fn found(files: &BTreeMap<String, Vec<u8>>, wanted: &[(String, Vec<u8>)]) -> Vec<String> {
    let mut by_start: HashMap<&[u8], Vec<&(String, Vec<u8>)>> = HashMap::new();
    for one in wanted {
        by_start.entry(&one.1[..8]).or_default().push(one);
    }
    let mut found = Vec::new();
    for (path, bytes) in files {
        for (at, start) in bytes.windows(8).enumerate() {
            for (what, content) in by_start.get(start).into_iter().flatten() {
                if bytes[at..].starts_with(content) {
                    found.push(format!("{what} in {path} at {at}"));
                }
            }
        }
    }
    found
}

const VALUE: &[u8] = b"a value that nobody else is to read";
const CONTEXT_NAME: &str = "the name of the context";
const NOTE: &str = "a note in an invitation";

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_shows_no_value_and_no_name() {
    for storage in [StorageEngine::Sled, StorageEngine::Redb] {
        let hub = Hub::new();
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let storage_key = StorageKey::new([5; 32]);
        let anna =
            Node::open(options(directories[0].path(), &hub, storage, Some(&storage_key))).await.unwrap();
        let ben = Node::open(options(directories[1].path(), &hub, storage, None)).await.unwrap();
        let mut created = CreateOptions::default();
        created.name = CONTEXT_NAME.into();
        let at_anna = anna.create_context(created).await.unwrap();
        let mut invite = InviteOptions::default();
        invite.note = NOTE.into();
        let token = at_anna.invite(invite).await.unwrap().to_text();
        let at_ben = ben.join(&token, JoinOptions::default()).await.unwrap();
        at_anna.put(key("one"), VALUE).await.unwrap();
        at_ben.put(key("two"), &[VALUE, &vec![b'x'; 200_000], VALUE].concat()).await.unwrap();
        at_ben.put(key("one"), &[VALUE, b" again"].concat()).await.unwrap();
        at_anna.wait_synced(Duration::from_secs(60)).await.unwrap();
        at_ben.wait_synced(Duration::from_secs(60)).await.unwrap();
        let status = anna.status().await.unwrap();
        assert!(status.sealed && !status.key_file);
        let status = ben.status().await.unwrap();
        assert!(!status.sealed && status.key_file);

        let context = at_anna.id();
        let members: Vec<_> = at_anna.members().await.unwrap().iter().map(|member| member.id).collect();
        assert_eq!(members.len(), 2);
        let transactions = at_anna.history(None, 100).await.unwrap();
        assert!(transactions.len() >= 5);
        let peers = [anna.id(), ben.id()];
        anna.shutdown().await.unwrap();
        ben.shutdown().await.unwrap();

        for (directory, own_key) in [(&directories[0], Some(storage_key)), (&directories[1], None)] {
            // Private keys, and everything of the rows that could be told from chance, as the opened store has them.
            let store = kith_core::storage::open(directory.path(), storage, own_key, None).unwrap();
            let mut secrets: Vec<(String, Vec<u8>)> = Vec::new();
            let mut rows = Vec::new();
            for keyspace in Keyspace::ALL.into_iter().filter(|keyspace| *keyspace != Keyspace::Chunks) {
                for (at, value) in
                    store.snapshot().unwrap().scan(keyspace, &[], None, false, usize::MAX).unwrap()
                {
                    rows.extend_from_slice(&at);
                    rows.extend_from_slice(&value);
                    let piece = value.get(..value.len().min(24)).unwrap_or_default().to_vec();
                    // What has few different bytes could be anything.
                    if piece.iter().collect::<BTreeSet<_>>().len() >= 12 {
                        secrets.push((format!("the value of {} {at:?}", keyspace.name()), piece));
                    }
                }
            }
            assert!(secrets.iter().any(|(what, _)| what.starts_with("the value of keys")), "the control");
            store.close().unwrap();
            drop(store);
            secrets.push(("the context's id".into(), context.0.to_vec()));
            secrets.push(("the context's id as text".into(), context.to_string().into_bytes()));
            for member in &members {
                secrets.push(("a member's id".into(), member.0.to_vec()));
                secrets.push(("half a member's id".into(), member.0[..16].to_vec()));
                secrets.push(("half a member's id".into(), member.0[16..].to_vec()));
            }
            for transaction in &transactions {
                secrets.push(("a transaction's id".into(), transaction.id.0.to_vec()));
                secrets.push(("half a transaction's id".into(), transaction.id.0[..16].to_vec()));
                secrets.push(("half a transaction's id".into(), transaction.id.0[16..].to_vec()));
                let method = transaction.method.as_ref().filter(|method| method.len() >= 8);
                secrets.extend(method.map(|method| ("a method".into(), method.clone().into_bytes())));
            }
            for peer in &peers {
                let bytes = peer.parse::<PeerId>().unwrap().to_bytes();
                secrets.push(("a peer's id as text".into(), peer.clone().into_bytes()));
                secrets.push(("a peer's id".into(), bytes[bytes.len() - 32..].to_vec()));
            }
            for text in [VALUE, CONTEXT_NAME.as_bytes(), NOTE.as_bytes(), token.as_bytes(), &[b'x'; 64]] {
                secrets.push((format!("text of {} bytes", text.len()), text.to_vec()));
            }
            let files = bytes_of(directory.path());
            assert!(files.values().map(Vec::len).sum::<usize>() > 200_000, "the control: it is all there");
            assert_eq!(found(&files, &secrets), Vec::<String>::new(), "{storage:?}");
            // The controls: names of tables are not hidden, and what is sealed is there once it is opened.
            assert!(!found(&files, &[("a table".into(), b"transactions".to_vec())]).is_empty());
            let mut opened = BTreeMap::new();
            opened.insert("the opened store".to_string(), rows);
            let shown = found(&opened, &secrets);
            for what in ["the context's id in", "a member's id", "a transaction's id", "text of 35 bytes"] {
                assert!(
                    shown.iter().any(|found| found.starts_with(what)),
                    "{what} is not in the opened store"
                );
            }
        }
    }
}

// scenario: storage_key_changed
#[tokio::test(flavor = "multi_thread")]
async fn a_node_opens_with_its_key_only_and_changes_it_at_work() {
    for storage in [StorageEngine::Sled, StorageEngine::Redb] {
        let hub = Hub::new();
        let directory = tempfile::tempdir().unwrap();
        let [first, second] = [StorageKey::new([1; 32]), StorageKey::from_passphrase("second").unwrap()];
        let open = |key| Node::open(options(directory.path(), &hub, storage, key));
        let node = open(None).await.unwrap();
        let context = node.create_context(CreateOptions::default()).await.unwrap();
        let id = context.id();
        context.put(key("one"), b"1").await.unwrap();
        assert!(node.status().await.unwrap().key_file);
        node.change_storage_key(first.clone()).await.unwrap();
        assert!(!node.status().await.unwrap().key_file && node.status().await.unwrap().sealed);
        context.put(key("two"), b"2").await.unwrap();
        // The node goes on with the new key after it was suspended.
        node.suspend(Duration::from_secs(60)).await.unwrap();
        let refused = node.change_storage_key(second.clone()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Closed);
        assert!(node.status().await.unwrap().sealed);
        node.resume().await.unwrap();
        node.change_storage_key(second.clone()).await.unwrap();
        node.shutdown().await.unwrap();

        for wrong in [None, Some(&first)] {
            assert_eq!(open(wrong).await.unwrap_err().kind(), ErrorKind::KeyRequired);
        }
        let node = open(Some(&second)).await.unwrap();
        let context = node.context(id).unwrap();
        assert_eq!(context.get(key("one"), Level::Tentative).await.unwrap().unwrap(), b"1");
        assert_eq!(context.get(key("two"), Level::Tentative).await.unwrap().unwrap(), b"2");
        context.put(key("three"), b"3").await.unwrap();
        assert!(context.verify().await.unwrap().difference.is_none());
        node.shutdown().await.unwrap();
        // A copy is one under the same key, too: its mark is read, and says so.
        let copied = tempfile::tempdir().unwrap();
        copy(directory.path(), copied.path());
        let node = Node::open(options(copied.path(), &hub, storage, Some(&second))).await.unwrap();
        assert!(node.status().await.unwrap().copied);
        node.shutdown().await.unwrap();
    }
}

/// Every way to get at what a directory holds asks for its key first, and says nothing else: no value, no name, no row, no file.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_key_no_call_gives_anything_that_was_written() {
    let export_key = StorageKey::new([7; 32]);
    for engine in [StorageEngine::Sled, StorageEngine::Redb] {
        let hub = Hub::new();
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("node");
        let right = StorageKey::new([1; 32]);
        let node = Node::open(options(&directory, &hub, engine, Some(&right))).await.unwrap();
        let mut created = CreateOptions::default();
        created.name = CONTEXT_NAME.into();
        let id = node.create_context(created).await.unwrap().id();
        node.context(id).unwrap().put(key("one"), VALUE).await.unwrap();
        node.shutdown().await.unwrap();

        for wrong in [None, Some(StorageKey::new([2; 32])), Some(StorageKey::from_passphrase("x").unwrap())] {
            let file = root.path().join("export");
            let opened = Node::open(options(&directory, &hub, engine, wrong.as_ref())).await.map(drop);
            let store = storage::open(&directory, engine, wrong.clone(), None).map(drop);
            let export = storage::export(&directory, wrong.clone(), &file, &export_key, Purpose::Backup);
            let adopted = storage::adopt(&directory, wrong.clone());
            for refused in [opened, store, export.map(drop), adopted] {
                let error = refused.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::KeyRequired, "{error}");
                let said = format!("{error} {error:?}").into_bytes();
                for secret in [VALUE, CONTEXT_NAME.as_bytes(), &id.0, id.to_string().as_bytes()] {
                    assert!(!said.windows(secret.len()).any(|part| part == secret), "{error}");
                }
            }
            assert!(!file.exists(), "not even the beginning of an export");
        }
        // The controls: each of the four gives it with the key.
        let file = root.path().join("export");
        storage::export(&directory, Some(right.clone()), &file, &export_key, Purpose::Backup).unwrap();
        storage::adopt(&directory, Some(right.clone())).unwrap();
        let store = storage::open(&directory, engine, Some(right.clone()), None).unwrap();
        let rows = store.snapshot().unwrap().scan(Keyspace::State, &[], None, false, usize::MAX).unwrap();
        assert!(rows.iter().any(|(_, row)| row.windows(VALUE.len()).any(|part| part == VALUE)));
        store.close().unwrap();
        drop(store);
        let node = Node::open(options(&directory, &hub, engine, Some(&right))).await.unwrap();
        let context = node.context(id).unwrap();
        assert_eq!(context.get(key("one"), Level::Tentative).await.unwrap().unwrap(), VALUE);
        node.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_directory_has_no_key_to_change() {
    let node = Node::open(Options::default()).await.unwrap();
    let status = node.status().await.unwrap();
    assert!(!status.sealed && !status.key_file);
    let refused = node.change_storage_key(StorageKey::new([1; 32])).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    node.shutdown().await.unwrap();
}
