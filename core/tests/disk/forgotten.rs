//! Keys that were used are gone: out of the rows of a node's store, and out of the files of its directory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hkdf::Hkdf;
use kith_core::keyring::Key;
use kith_core::network::Hub;
use kith_core::node::{CreateOptions, Node};
use kith_core::replica::{ContextId, MemberId, Role, TransactionId};
use kith_core::storage::{Keyspace, StorageEngine};
use sha2::Sha256;

use super::{files, options};
use crate::nodes::{equal, join, key};

/// Where chains stand: of which author in which epoch, the number of the next message, and the key that leads to it.
type Chains = BTreeMap<(TransactionId, MemberId), (u32, [u8; 32])>;

/// The rows of a closed node's store, and the chains among them.
fn rows(directory: &Path, storage: StorageEngine) -> (Vec<u8>, Chains) {
    let store = kith_core::storage::open(directory, storage, None, None).unwrap();
    let (mut all, mut chains) = (Vec::new(), Chains::new());
    for keyspace in Keyspace::ALL.into_iter().filter(|keyspace| *keyspace != Keyspace::Chunks) {
        for (at, value) in store.snapshot().unwrap().scan(keyspace, &[], None, false, usize::MAX).unwrap() {
            // Behind the number of the context.
            let named = at.get(4..).and_then(|at| at.strip_prefix(b"ring/"));
            if let Some(named) = named.filter(|_| keyspace == Keyspace::Keys)
                && let Ok(Key::Chain(epoch, author)) = borsh::from_slice(named)
            {
                // Version, number of the next message, whether there is a key, the key; and those that were passed over, of which there are none.
                assert_eq!((value[5], value.len()), (1, 42));
                let next = u32::from_le_bytes(value[1..5].try_into().unwrap());
                chains.insert((epoch, author), (next, value[6..38].try_into().unwrap()));
            }
            all.extend_from_slice(&at);
            all.extend_from_slice(&value);
        }
    }
    store.close().unwrap();
    (all, chains)
}

/// The chain's key after so many messages, as docs/encryption.md has it; and those on the way, the first one included, which are used up by then.
fn wound_on(context: ContextId, from: [u8; 32], messages: u32) -> (Vec<[u8; 32]>, [u8; 32]) {
    let info = [&b"kith 2026 encryption"[..], &[1], &context.0, &[5], b"chain"].concat();
    let (mut used, mut key) = (Vec::new(), from);
    for _ in 0..messages {
        used.push(key);
        Hkdf::<Sha256>::new(None, &used[used.len() - 1]).expand(&info, &mut key).unwrap();
    }
    (used, key)
}

fn found(keys: &BTreeSet<[u8; 32]>, bytes: &[u8]) -> usize {
    bytes.windows(32).filter(|part| keys.contains::<[u8]>(part)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn used_chain_keys_are_nowhere_in_the_directory() {
    for storage in [StorageEngine::Redb, StorageEngine::Sled] {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut context = None;
        let mut before: [Chains; 2] = Default::default();
        let mut ever: [BTreeSet<[u8; 32]>; 2] = Default::default();
        for round in 0..5u8 {
            let hub = Hub::new();
            let anna = Node::open(options(directories[0].path(), &hub, storage, None)).await.unwrap();
            let ben = Node::open(options(directories[1].path(), &hub, storage, None)).await.unwrap();
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
            let id = context.unwrap();
            for ((directory, ever), before) in directories.iter().zip(&mut ever).zip(&mut before) {
                let (all, chains) = rows(directory.path(), storage);
                // Both have written under the newest keys, and go back to none before: of each there is one chain, in that epoch. But for those
                // keys under which nobody has written yet.
                let epochs: BTreeSet<_> = chains.keys().map(|(epoch, _)| *epoch).collect();
                let held = if round == 3 { (4, 2) } else { (2, 1) };
                assert_eq!((chains.len(), epochs.len()), held, "{storage:?}, round {round}");
                let mut wound = 0;
                for (of, (next, key)) in &chains {
                    let Some((first, from)) = before.get(of) else { continue };
                    let (used, reached) = wound_on(id, *from, next - first);
                    assert_eq!(reached, *key, "control: this is how a chain goes on");
                    assert_eq!(next - first, 5, "{storage:?}: a key for each message");
                    wound += 1;
                    ever.extend(used);
                }
                assert_eq!(wound, if round == 0 { 0 } else { 2 }, "{storage:?}, round {round}");
                // Those of chains that have ended, too.
                ever.extend(before.values().map(|(_, key)| *key));
                let current: BTreeSet<_> = chains.values().map(|(_, key)| *key).collect();
                assert_eq!(
                    found(&current, &all),
                    chains.len(),
                    "control: each that is in use is found, in its row"
                );
                assert!(ever.is_disjoint(&current) && ever.len() >= 2 * usize::from(round));
                assert_eq!(found(ever, &all), 0, "{storage:?}: a key that was used is in a row");
                *before = chains;
                // Not in the files either, where an engine keeps old pages; nor are those in use, since all is sealed.
                let raw = files(directory.path());
                assert!(raw.len() > 10_000 && !current.is_empty());
                let whole: BTreeSet<_> = ever.union(&current).copied().collect();
                assert_eq!(found(&whole, &raw), 0, "{storage:?}: a key is in a file");
                let mut planted = raw;
                planted.extend(current.first().unwrap());
                assert_eq!(found(&whole, &planted), 1, "control: one that is there is found");
            }
        }
    }
}
