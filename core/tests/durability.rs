//! What a node's durability promises to callers, and what it promises to peers whatever was chosen.
#![allow(clippy::unwrap_used)]

mod nodes;

use std::sync::{Arc, Mutex};

use kith_core::Result;
use kith_core::network::Hub;
use kith_core::node::{CreateOptions, Durability as Chosen, Engine, Event, Node, Options, Transport};
use kith_core::replica::Role;
use kith_core::storage::{Batch, Durability, MemoryStore, Snapshot, Store};
use nodes::{join, key, open, until};

/// Notes how durable each batch was to be.
#[derive(Default)]
struct Noting {
    inner: MemoryStore,
    commits: Mutex<Vec<Durability>>,
}

impl Store for Noting {
    fn snapshot(&self) -> Result<Box<dyn Snapshot + '_>> {
        self.inner.snapshot()
    }

    fn commit(&self, batch: &Batch, durability: Durability) -> Result<()> {
        self.inner.commit(batch, durability)?;
        self.commits.lock().unwrap().push(durability);
        Ok(())
    }

    fn close(&self) -> Result<()> {
        self.inner.close()
    }
}

#[tokio::test]
async fn peers_are_told_only_of_what_survives_the_loss_of_power() {
    let hub = Hub::new();
    let store = Arc::new(Noting::default());
    let last = || *store.commits.lock().unwrap().last().unwrap();
    let mut options = Options::default();
    options.transport = Transport::Memory(hub.clone());
    options.durability = Chosen::Process;
    options.engine = Engine::Given(Arc::clone(&store) as Arc<dyn Store>);
    let anna = Node::open(options).await.unwrap();
    let mine = anna.create_context(CreateOptions::default()).await.unwrap();
    mine.put(key("alone"), b"nobody hears of it").await.unwrap();
    // The control: without peers the cheaper way is taken.
    assert_eq!(last(), Durability::Process);

    let ben = open(&hub).await;
    let yours = join(&mine, &ben, Role::Writer).await.unwrap();
    let mut events = yours.events(None).await.unwrap();
    let transaction = mine.put(key("shared"), b"he hears of it").await.unwrap();
    until(
        &mut events,
        |event| matches!(event, Event::Executed { transaction: executed, .. } if *executed == transaction),
    )
    .await;
    // Anna's thread has written nothing since that it could have sent, and what it sent was flushed before.
    let commits = store.commits.lock().unwrap().clone();
    let flushed = commits.iter().rposition(|durability| *durability == Durability::Power).unwrap();
    assert_eq!(flushed, commits.len() - 1, "{commits:?}");
    for node in [anna, ben] {
        node.shutdown().await.unwrap();
    }
}
