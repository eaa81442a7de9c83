//! Somebody has the directory *and* its storage key: which rows of keys that are not in the store any more can be had from an engine's old pages?

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use kith_core::keyring::Key;
use kith_core::network::Hub;
use kith_core::node::{CreateOptions, Engine, Node, Options};
use kith_core::replica::Role;
use kith_core::storage::{self, Keyspace, StorageEngine, StorageKey, Store, context_key};

use super::files;
use crate::hoarder::{Hoard, Hoarder, present};
use crate::nodes::{equal, join, key, open};

fn nonce(bytes: &[u8]) -> XNonce {
    XNonce::try_from(bytes).unwrap()
}

const STORAGE_KEY: [u8; 32] = [5; 32];

/// What the thief works out from the storage key and the format record, by what docs/storage.md says.
struct Thief {
    records: XChaCha20Poly1305,
    names: [u8; 32],
}

impl Thief {
    fn new(directory: &Path, storage_key: [u8; 32]) -> Self {
        let format = std::fs::read(directory.join("store/format")).unwrap();
        // Magic, layout, schema, engine, sealed, under 32 bytes from the host.
        let wrap = format[8 + 4 + 4 + 1..].strip_prefix(&[1, 1]).unwrap();
        let cipher = XChaCha20Poly1305::new(&storage_key.into());
        let wrapped = Payload { msg: &wrap[24..72], aad: b"kith 2026 data key\x01" };
        let data_key: [u8; 32] = cipher.decrypt(&nonce(&wrap[..24]), wrapped).unwrap().try_into().unwrap();
        let records = blake3::derive_key("kith 2026 storage: records", &data_key);
        Self {
            records: XChaCha20Poly1305::new(&records.into()),
            names: blake3::derive_key("kith 2026 storage: names in keys", &data_key),
        }
    }

    /// Four rounds of a Feistel network.
    fn hide(&self, name: &mut [u8]) {
        for round in 0..4u8 {
            let (left, right) = name.split_at_mut(16);
            let (from, into) = if round % 2 == 0 { (right, left) } else { (left, right) };
            let input = [&[Keyspace::Keys as u8, round], &*from].concat();
            let mask = blake3::keyed_hash(&self.names, &input);
            into.iter_mut().zip(mask.as_bytes()).for_each(|(byte, mask)| *byte ^= mask);
        }
    }

    fn stored(&self, key: &Key) -> Vec<u8> {
        let mut row = context_key(1, &[b"ring/", &key.encode()[..]].concat());
        let mut at = 4 + 5 + 1;
        while at < row.len() {
            self.hide(&mut row[at..at + 32]);
            at += 32;
        }
        row
    }

    /// Which of these values are somewhere in these bytes, as records.
    fn finds(&self, bytes: &[u8], wanted: &Hoard) -> Hoard {
        let mut found = Hoard::new();
        let rows: Vec<_> = wanted
            .iter()
            .map(|(key, values)| {
                let aad = [&[2, 0, Keyspace::Keys as u8], &self.stored(key)[..]].concat();
                (key, values, aad, values.iter().map(Vec::len).collect::<BTreeSet<_>>())
            })
            .collect();
        for (at, _) in bytes.windows(2).enumerate().filter(|(_, head)| *head == [2, 0]) {
            let Some(nonce) = bytes.get(at + 2..at + 26) else { continue };
            for (key, values, aad, lengths) in &rows {
                for length in lengths {
                    let Some(msg) = bytes.get(at + 26..at + 26 + length + 16) else { continue };
                    let opened = self.records.decrypt(&self::nonce(nonce), Payload { msg, aad });
                    if let Some(value) = opened.ok().filter(|value| values.contains(value)) {
                        found.entry(**key).or_default().insert(value);
                    }
                }
            }
        }
        found
    }
}

/// Those of these values that are secrets, and are not there any more.
fn forgotten(ever: &Hoard, now: &Hoard) -> Hoard {
    let mut gone = ever.clone();
    gone.retain(|key, values| {
        values.retain(|value| !now.get(key).is_some_and(|present| present.contains(value)));
        let secret =
            matches!(key, Key::Ratchet | Key::To(_) | Key::From(_) | Key::Chain(..) | Key::Envelope(_));
        secret && !values.is_empty()
    });
    gone
}

fn number(hoard: &Hoard) -> usize {
    hoard.values().map(BTreeSet::len).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_goes_from_the_files_as_they_are_written_on() {
    for engine in [StorageEngine::Redb, StorageEngine::Sled] {
        let (hub, directory) = (Hub::new(), tempfile::tempdir().unwrap());
        let store_key = Some(StorageKey::new(STORAGE_KEY));
        let store: Arc<dyn Store> = storage::open(directory.path(), engine, store_key, None).unwrap();
        let hoarder = Hoarder::new(Arc::clone(&store));
        let mut options = Options::in_memory(&hub);
        options.engine = Engine::Given(Arc::clone(&hoarder) as Arc<dyn Store>);
        let (anna, ben) = (Node::open(options).await.unwrap(), open(&hub).await);
        let mine = anna.create_context(CreateOptions::default()).await.unwrap();
        let yours = join(&mine, &ben, Role::Writer).await.unwrap();
        let thief = Thief::new(directory.path(), STORAGE_KEY);
        let write = async |count: u8, length: usize| {
            for n in 0..count {
                mine.put(key("mine"), &vec![n; length]).await.unwrap();
                yours.put(key("yours"), &vec![n; length]).await.unwrap();
            }
            equal(&mine, &yours).await;
        };
        for _ in 0..3 {
            write(10, 8).await;
            yours.rotate_keys().await.unwrap();
            mine.rotate_keys().await.unwrap();
            equal(&mine, &yours).await;
        }
        write(1, 8).await;
        let gone = forgotten(&hoarder.keys(), &present(&*store));
        assert!(number(&gone) > 60, "control: {gone:?}");
        let look = || number(&thief.finds(&files(directory.path()), &gone));
        let mut left = vec![look()];
        // What lies behind the end of what a page of redb's holds now stays for as long as that page does.
        let stays = |left: &[usize]| {
            left.len() > 10 && left[left.len() - 10..].iter().all(|n| Some(n) == left.last())
        };
        while left.last() != Some(&0) && !(engine == StorageEngine::Redb && stays(&left)) {
            assert!(left.len() < 30, "{engine}: of {} they stay: {left:?}", number(&gone));
            write(20, 2000).await;
            left.push(look());
        }
        assert!(
            left.last() < Some(&(number(&gone) / 4)),
            "{engine}: of {} they stay: {left:?}",
            number(&gone)
        );
        println!("{engine}: of {} rows found after each 40 calls more: {left:?}", number(&gone));
        assert!(engine == StorageEngine::Redb || left[0] > 0, "control: old pages are found");
        let now = present(&*store);
        anna.shutdown().await.unwrap();
        ben.shutdown().await.unwrap();
        let found = thief.finds(&files(directory.path()), &now);
        assert!(forgotten(&now, &found).is_empty(), "control: what is in use is found");
    }
}
