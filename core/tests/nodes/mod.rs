//! What tests with several nodes share.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use kith_core::Result;
use kith_core::encryption::Secret;
use kith_core::invitation::{Invitation, Unsigned};
use kith_core::keyring::Key;
use kith_core::network::{Hub, PeerId};
use kith_core::node::{Context, Engine, Event, Events, InviteOptions, JoinOptions, Node, Options};
use kith_core::replica::{Replica, Role, StateKey, Tip, Transaction, TransactionId};
use kith_core::storage::{ContextTables, Keyspace, MemoryStore, Store};

/// How long a test waits for something that has to come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Shows what the nodes log, if `KITH_TEST_LOG` is set.
pub fn log() {
    if std::env::var_os("KITH_TEST_LOG").is_some() {
        let level = tracing_subscriber::filter::LevelFilter::DEBUG;
        // Another test may have done it.
        let _ = tracing_subscriber::fmt().with_max_level(level).try_init();
    }
}

/// A node over links in memory.
pub async fn open(hub: &Hub) -> Node {
    log();
    Node::open(Options::in_memory(hub)).await.unwrap()
}

/// A store that the test can look into, for a node to keep everything in.
pub fn watch(options: &mut Options) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    options.engine = Engine::Given(Arc::clone(&store) as Arc<dyn Store>);
    store
}

/// What a node's only context holds of envelopes' keys.
pub fn envelope_keys(store: &MemoryStore) -> Vec<Secret> {
    let beginning =
        [b"ring/".to_vec(), Key::Envelope(TransactionId::default()).encode()[..1].to_vec()].concat();
    let rows = store.snapshot().unwrap().scan(Keyspace::Keys, &[], None, false, usize::MAX).unwrap();
    let keys = rows.iter().filter(|(row, _)| row.windows(beginning.len()).any(|part| part == beginning));
    // A version, and the key.
    keys.map(|(_, value)| Secret::new(value[1..].try_into().unwrap())).collect()
}

/// A key.
pub fn key(name: &str) -> StateKey {
    StateKey::of("test", name)
}

/// Waits until both hold the same history, and checks that it means the same to both.
pub async fn equal(one: &Context, other: &Context) {
    let wait = async {
        let mut events = [one.events(None).await.unwrap(), other.events(None).await.unwrap()];
        loop {
            let (a, b) = (one.status().await.unwrap(), other.status().await.unwrap());
            let settled = [&a, &b].iter().all(|status| status.pending == 0 && status.unopened == 0);
            if a.digest == b.digest && settled {
                assert_eq!(a.commitment, b.commitment);
                return;
            }
            let [first, second] = &mut events;
            let _ = tokio::time::timeout(Duration::from_millis(50), async {
                tokio::select! { _ = first.next() => {}, _ = second.next() => {} }
            })
            .await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("never equal:\n{:#?}\n{:#?}", one.status().await, other.status().await);
    }
}

/// The next event that is wanted.
pub async fn until(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> Event {
    let find = async {
        loop {
            let (_, event) = events.next().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(PATIENCE, find).await.expect("the event does not come")
}

/// Invites a node, and lets it join.
pub async fn join(from: &Context, node: &Node, role: Role) -> Result<Context> {
    let mut options = InviteOptions::default();
    options.role = role;
    let invitation = from.invite(options).await?;
    node.join(&invitation.to_text(), JoinOptions::default()).await
}

/// The node's name in the network.
pub fn peer(node: &Node) -> PeerId {
    node.id().parse().unwrap()
}

/// Copies a node's directory.
pub fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Signs a changed invitation, as somebody who is no member could.
pub fn sign(changed: Invitation) -> String {
    let unsigned = Unsigned {
        context: changed.context,
        access_key: changed.access_key,
        invite: changed.invite,
        secret: changed.secret,
        suite: changed.suite,
        application: changed.application,
        role: changed.role,
        not_after: changed.not_after,
        note: changed.note,
        addresses: changed.addresses,
    };
    Invitation::sign(unsigned, &SigningKey::from_bytes(&[5; 32])).unwrap().to_text()
}

/// The history of a node's first context, as it is kept.
pub fn history(store: &dyn Store, context: &Context) -> Vec<Transaction> {
    let snapshot = store.snapshot().unwrap();
    let tables = ContextTables::new(&*snapshot, 1);
    let replica = Replica::open(context.id(), &tables).unwrap();
    let mut all = Vec::new();
    for (author, _) in replica.tips() {
        let start = Tip { sequence: 0, id: TransactionId::default() };
        all.extend(replica.chain(&tables, author, start, 10_000).unwrap().into_iter().map(|(_, t)| t));
    }
    all
}
