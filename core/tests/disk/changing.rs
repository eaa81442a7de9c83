//! The storage key changes while the node works, or dies: what was acknowledged is there, and one key opens it, the old one or the new one.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kith_core::network::Hub;
use kith_core::node::{Context, CreateOptions, Level};
use kith_core::replica::ContextId;
use kith_core::storage::{RedbOptions, RedbStore, SledOptions, SledStore, StorageEngine, StorageKey, Verify};
use kith_core::{ErrorKind, Node, Result};
use tokio::sync::watch;

use super::options;
use crate::nodes::{PATIENCE, key};
use crate::processes::{Process, say};

const ENGINES: [StorageEngine; 2] = [StorageEngine::Sled, StorageEngine::Redb];

async fn open(path: &Path, storage: StorageEngine, key: Option<&StorageKey>) -> Result<Node> {
    Node::open(options(path, &Hub::new(), storage, key)).await
}

async fn refused(path: &Path, storage: StorageEngine, key: Option<&StorageKey>) {
    assert_eq!(open(path, storage, key).await.unwrap_err().kind(), ErrorKind::KeyRequired, "{storage:?}");
}

/// The node's contexts; two of them, which are made where there are none.
async fn contexts(node: &Node) -> Vec<Context> {
    while node.contexts().unwrap().len() < 2 {
        node.create_context(CreateOptions::default()).await.unwrap();
    }
    node.contexts().unwrap().iter().map(|info| node.context(info.id).unwrap()).collect()
}

/// What was acknowledged: in which context, under which name.
type Acknowledged = BTreeSet<(ContextId, String)>;

/// Writes without a pause until it is to stop.
async fn write(
    context: Context,
    writer: usize,
    writing: Arc<AtomicBool>,
    count: watch::Sender<usize>,
) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    while writing.load(Ordering::SeqCst) {
        let name = format!("{writer} {}", acknowledged.len());
        context.put(key(&name), name.as_bytes()).await.unwrap();
        acknowledged.insert((context.id(), name));
        count.send_modify(|count| *count += 1);
    }
    acknowledged
}

/// All of it is there, nothing else is, and what is kept fits together.
async fn has_all(node: &Node, acknowledged: &Acknowledged) {
    for (id, name) in acknowledged {
        let value = node.context(*id).unwrap().get(key(name), Level::Tentative).await.unwrap();
        assert_eq!(value.as_deref(), Some(name.as_bytes()), "an acknowledged write is lost");
    }
    for context in contexts(node).await {
        assert_eq!(context.get(key("never written"), Level::Tentative).await.unwrap(), None, "the control");
        assert_eq!(context.verify().await.unwrap().difference, None);
    }
}

/// Reads and verifies every record of a closed store.
fn verify(path: &Path, storage: StorageEngine, key: &StorageKey) {
    let key = Some(key.clone());
    if storage == StorageEngine::Redb {
        let mut options = RedbOptions::default();
        (options.key, options.verify) = (key, Verify::Always);
        RedbStore::open(path, options).unwrap();
    } else {
        let mut options = SledOptions::default();
        (options.key, options.verify) = (key, Verify::Always);
        SledStore::open(path, options).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_changes_again_and_again_while_two_contexts_are_written() {
    let words = |text| StorageKey::from_passphrase(text).unwrap();
    for storage in ENGINES {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        // From a key file to keys, to a passphrase, and back to that later.
        let mut keys: Vec<StorageKey> = (1..9).map(|n| StorageKey::new([n; 32])).collect();
        keys.insert(1, words("first"));
        keys.insert(4, words("first"));
        let node = open(path, storage, None).await.unwrap();
        let (writing, (count, mut counted)) = (Arc::new(AtomicBool::new(true)), watch::channel(0));
        let mut writers = Vec::new();
        for (writer, context) in contexts(&node).await.into_iter().cycle().take(4).enumerate() {
            writers.push(tokio::spawn(write(context, writer, Arc::clone(&writing), count.clone())));
        }
        let mut written_meanwhile = 0;
        for key in &keys {
            let target = *counted.borrow() + 10;
            tokio::time::timeout(PATIENCE, counted.wait_for(|count| *count >= target))
                .await
                .unwrap()
                .unwrap();
            let before = *counted.borrow();
            node.change_storage_key(key.clone()).await.unwrap();
            written_meanwhile += *counted.borrow() - before;
            assert!(node.status().await.unwrap().sealed && !path.join("storage-key").exists());
        }
        // Two at once: the one that comes second counts.
        let both = [StorageKey::new([100; 32]), StorageKey::new([101; 32])];
        let (one, other) =
            tokio::join!(node.change_storage_key(both[0].clone()), node.change_storage_key(both[1].clone()));
        one.and(other).unwrap();
        writing.store(false, Ordering::SeqCst);
        let mut acknowledged = Acknowledged::new();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap());
        }
        assert!(acknowledged.len() >= 10 * keys.len() && written_meanwhile > 0, "{written_meanwhile}");
        node.shutdown().await.unwrap();

        for old in keys.iter().map(Some).chain([None, Some(&words("another"))]) {
            refused(path, storage, old).await;
        }
        let second = match open(path, storage, Some(&both[1])).await {
            Ok(node) => (node, 1),
            Err(_) => (open(path, storage, Some(&both[0])).await.unwrap(), 0),
        };
        has_all(&second.0, &acknowledged).await;
        second.0.shutdown().await.unwrap();
        refused(path, storage, Some(&both[1 - second.1])).await;
        verify(path, storage, &both[second.1]);
    }
}

/// What happens to a node in the middle of a change.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Nobody waits for the change any more, and the node is dropped.
    Dropped,
    ShutDown,
    Suspended,
}

/// Opens with the first of these keys that opens, once nobody else has the directory; tells which.
async fn open_with_one(path: &Path, storage: StorageEngine, keys: [Option<&StorageKey>; 2]) -> (Node, usize) {
    let opening = async {
        loop {
            for (number, key) in keys.into_iter().enumerate() {
                match open(path, storage, key).await {
                    Ok(node) => return (node, number),
                    Err(error) if error.kind() == ErrorKind::Busy => {
                        // Nothing tells when a node that was dropped has let go.
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::KeyRequired, "{error}"),
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, opening).await.expect("neither key opens")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_in_mid_change_opens_with_one_of_the_two_keys() {
    for storage in ENGINES {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut now: Option<StorageKey> = None;
        let mut acknowledged = Acknowledged::new();
        // A passphrase takes its time: then the end comes before anything is written.
        for (number, end) in [
            (0, End::Dropped),
            (1, End::Dropped),
            (2, End::ShutDown),
            (3, End::ShutDown),
            (4, End::Suspended),
            (5, End::Suspended),
        ] {
            let new = match number % 2 {
                0 => StorageKey::new([number; 32]),
                _ => StorageKey::from_passphrase(&number.to_string()).unwrap(),
            };
            let node = open(path, storage, now.as_ref()).await.unwrap();
            for context in contexts(&node).await {
                context.put(key(&number.to_string()), number.to_string().as_bytes()).await.unwrap();
                acknowledged.insert((context.id(), number.to_string()));
            }
            let changed = match end {
                End::Dropped => tokio::select! {
                    biased;
                    _ = node.change_storage_key(new.clone()) => panic!("it was over at once"),
                    () = std::future::ready(()) => None,
                },
                End::ShutDown => {
                    let (changed, ended) =
                        tokio::join!(biased; node.change_storage_key(new.clone()), node.shutdown());
                    ended.unwrap();
                    Some(changed)
                }
                End::Suspended => {
                    let (changed, ended) =
                        tokio::join!(biased; node.change_storage_key(new.clone()), node.suspend(PATIENCE));
                    ended.unwrap();
                    Some(changed)
                }
            };
            drop(node);
            let keys = [now.as_ref(), Some(&new)];
            let (node, opened) = open_with_one(path, storage, keys).await;
            match changed {
                Some(Ok(())) => assert_eq!(opened, 1, "{storage:?} {end:?}: the change was told to be done"),
                Some(Err(error)) => assert_eq!((error.kind(), opened), (ErrorKind::Closed, 0), "{end:?}"),
                None => {}
            }
            has_all(&node, &acknowledged).await;
            node.shutdown().await.unwrap();
            refused(path, storage, keys[1 - opened]).await;
            if opened == 1 {
                now = Some(new);
            }
        }
        verify(path, storage, &now.expect("some change was carried out"));
    }
}

const DIRECTORY: &str = "KITH_TEST_DIRECTORY_TO_CHANGE";
const ENGINE: &str = "KITH_TEST_ENGINE_TO_CHANGE";
const NUMBERS: &str = "KITH_TEST_KEYS_TO_CHANGE";
const ROUNDS: usize = 6;

/// The key of this number; the key file has number 0.
fn numbered(number: u32) -> Option<StorageKey> {
    let mut bytes = [9; 32];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    (number > 0).then(|| StorageKey::new(bytes))
}

/// Not a test by itself: the process that is killed. It writes, and changes the key again and again, and says so.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "child of killed_in_mid_change_it_opens_with_the_old_key_or_the_new_one: a process of its own"]
async fn child() {
    let directory = std::env::var_os(DIRECTORY).expect("only the test of SIGKILL starts this");
    let storage: StorageEngine = std::env::var(ENGINE).unwrap().parse().unwrap();
    let numbers = std::env::var(NUMBERS).unwrap();
    let (now, next) = numbers.split_once(' ').unwrap();
    let (now, next): (u32, u32) = (now.parse().unwrap(), next.parse().unwrap());
    let node = open(directory.as_ref(), storage, numbered(now).as_ref()).await.unwrap();
    let contexts = contexts(&node).await;
    say("\nready");
    for (writer, context) in contexts.into_iter().cycle().take(4).enumerate() {
        tokio::spawn(async move {
            for count in 0.. {
                let name = format!("{next} {writer} {count}");
                context.put(key(&name), name.as_bytes()).await.unwrap();
                say(&format!("ack {} {name}", context.id()));
            }
        });
    }
    for number in next.. {
        say(&format!("changing {number}"));
        node.change_storage_key(numbered(number).unwrap()).await.unwrap();
        say(&format!("changed {number}"));
    }
}

fn spawn(path: &Path, storage: StorageEngine, now: u32, next: u32) -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "changing::child", "--ignored", "--nocapture"]);
    command.env(DIRECTORY, path).env(ENGINE, storage.to_string());
    Process::start(command.env(NUMBERS, format!("{now} {next}")))
}

/// What a child has said.
struct Heard {
    acknowledged: Acknowledged,
    /// The numbers of the last key that was changed to, and of the last one that this was begun for.
    changed: u32,
    begun: u32,
}

impl Heard {
    fn hear(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("ack", rest)) => {
                let (id, name) = rest.split_once(' ').unwrap();
                self.acknowledged.insert((ContextId::from_hex(id).unwrap(), name.into()));
            }
            Some(("changing", number)) => self.begun = number.parse().unwrap(),
            Some(("changed", number)) => self.changed = number.parse().unwrap(),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_mid_change_it_opens_with_the_old_key_or_the_new_one() {
    for storage in ENGINES {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let (mut now, mut next, mut within) = (0, 1, 0);
        for round in 0..ROUNDS {
            let mut heard = Heard { acknowledged: Acknowledged::new(), changed: now, begun: now };
            let mut child = spawn(path, storage, now, next);
            // In the middle of a change, and each time a little later in it.
            let target = next + round as u32 % 3;
            while heard.begun < target || heard.acknowledged.len() < 4 {
                heard.hear(&child.line());
            }
            for _ in 0..round * 4000 {
                std::hint::spin_loop();
            }
            child.kill().iter().for_each(|line| heard.hear(line));
            within += usize::from(heard.begun > heard.changed);

            let (old, new) = (numbered(heard.changed), numbered(heard.begun));
            let both = [old.as_ref(), new.as_ref()];
            let (node, opened) = open_with_one(path, storage, both).await;
            has_all(&node, &heard.acknowledged).await;
            node.shutdown().await.unwrap();
            if heard.begun > heard.changed {
                refused(path, storage, both[1 - opened]).await;
            }
            if now != heard.changed {
                refused(path, storage, numbered(now).as_ref()).await;
            }
            now = [heard.changed, heard.begun][opened];
            next = heard.begun + 1;
        }
        assert!(within >= ROUNDS / 2, "{storage:?}: only {within} of {ROUNDS} kills came within a change");
    }
}
