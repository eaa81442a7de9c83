//! Opening a node where it cannot be.

use kith_core::ErrorKind;
use kith_core::node::{CreateOptions, Engine, Node, Options};
use kith_core::storage::{SledOptions, SledStore, StorageKey};
use std::sync::Arc;

use crate::faulty::key;
use crate::table::Table;

pub(crate) fn at(path: &std::path::Path) -> Options {
    let mut options = Options::default();
    options.path = Some(path.to_owned());
    options
}

fn listening(addresses: &[&str]) -> Options {
    let mut options = Options::default();
    options.listen = addresses.iter().map(|&address| address.into()).collect();
    options
}

pub(crate) async fn bad_options(table: &mut Table) {
    table.case("addresses to listen at that are none");
    for address in ["", "hello", "/ip4/127.0.0.1", "/ip4/127.0.0.1/tcp/70000", "/memory/1"] {
        table.shows("Node::open", ErrorKind::InvalidArgument, Node::open(listening(&[address])).await);
    }

    table.case("too many addresses to listen at");
    let many = vec!["/ip4/127.0.0.1/tcp/0"; 1000];
    table.shows("Node::open", ErrorKind::LimitExceeded, Node::open(listening(&many)).await);

    table.case("a port that is taken");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
    table.shows("Node::open", ErrorKind::Busy, Node::open(listening(&[&address])).await);
}

pub(crate) async fn directories(table: &mut Table) {
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str| Node::open(at(&directory.path().join(name)));

    table.case("a directory that cannot be");
    std::fs::write(directory.path().join("file"), b"in the way").unwrap();
    table.shows("Node::open", ErrorKind::Storage, open("file").await);
    table.shows("Node::open", ErrorKind::Storage, open("file/below").await);
    // A file system that takes no files of ours, whoever asks.
    table.shows("Node::open", ErrorKind::Storage, Node::open(at("/proc/kith".as_ref())).await);

    table.case("a directory that is in use");
    let node = open("node").await.unwrap();
    table.shows("Node::open", ErrorKind::Busy, open("node").await);
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    context.put(key(), b"kept").await.unwrap();
    node.shutdown().await.unwrap();

    table.case("a directory that is sealed under another key");
    let mut sealed = at(&directory.path().join("node"));
    sealed.storage_key = Some(StorageKey::new([1; 32]));
    table.shows("Node::open", ErrorKind::KeyRequired, Node::open(sealed).await);

    table.case("a key that changes and an export that cannot be written");
    let (storage_key, memory) = (StorageKey::new([1; 32]), Node::open(Options::default()).await.unwrap());
    let changed = memory.change_storage_key(storage_key.clone()).await;
    table.shows("Node::change_storage_key", ErrorKind::Unsupported, changed);
    let export = directory.path().join("export");
    memory.export(&export, &storage_key).await.unwrap();
    table.shows("Node::export", ErrorKind::InvalidArgument, memory.export(&export, &storage_key).await);
    let nowhere = directory.path().join("nowhere/export");
    table.shows("Node::export", ErrorKind::Storage, memory.export(&nowhere, &storage_key).await);
    memory.shutdown().await.unwrap();
    let moved = open("moved").await.unwrap();
    let (here, there) = (directory.path().join("moved/store"), directory.path().join("moved/elsewhere"));
    std::fs::rename(&here, &there).unwrap();
    let changed = moved.change_storage_key(storage_key).await;
    table.shows("Node::change_storage_key", ErrorKind::Storage, changed);
    std::fs::rename(there, here).unwrap();
    moved.shutdown().await.unwrap();

    table.case("a disk without the room that is kept free");
    let mut options = SledOptions::default();
    options.reserve = u64::MAX;
    let opened = SledStore::open(&directory.path().join("full"), options);
    let outcome = match opened {
        Ok(store) => {
            let mut options = Options::default();
            options.engine = Engine::Given(Arc::new(store));
            Node::open(options).await.map(drop)
        }
        Err(error) => Err(error),
    };
    table.shows("Node::open", ErrorKind::StorageFull, outcome);

    table.case("a directory of a newer build");
    let mark = directory.path().join("node/high-water");
    let (good, newer, damaged) = marks(&mark);
    std::fs::write(&mark, newer).unwrap();
    table.shows("Node::open", ErrorKind::VersionMismatch, open("node").await);

    table.case("a directory with a damaged file");
    std::fs::write(&mark, damaged).unwrap();
    table.shows("Node::open", ErrorKind::Corrupt, open("node").await);
    // The control: as it was, it opens.
    std::fs::write(&mark, good).unwrap();
    open("node").await.unwrap().shutdown().await.unwrap();
}

/// A high-water mark's file as it is, as a newer build would have written it, and damaged.
pub(crate) fn marks(file: &std::path::Path) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let good = std::fs::read(file).unwrap();
    let mut newer = good.clone();
    newer[VERSION_AT] = 200;
    let sum = blake3::derive_key("kith 2026 high-water block", &newer[..SUM_AT]);
    newer[SUM_AT..SUM_AT + 16].copy_from_slice(&sum[..16]);
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    (good, newer, damaged)
}

/// Where the high-water mark's file has its version.
const VERSION_AT: usize = 8;
/// Where its first block has its checksum.
const SUM_AT: usize = 496;
