//! Several nodes that share a sealed context, and can be parted.

use std::sync::Arc;
use std::time::Duration;

use kith_core::Node;
use kith_core::network::Hub;
use kith_core::node::{Context, CreateOptions, Engine, Options};
use kith_core::replica::{Role, TransactionId};
use kith_core::storage::{MemoryStore, Store};

use crate::attack::Sent;
use crate::hoarder::{Hoard, Hoarder};
use crate::nodes::{PATIENCE, equal, join, key, peer};

pub(crate) struct Guest {
    pub(crate) node: Node,
    pub(crate) store: Arc<Hoarder>,
    /// None until it has joined.
    pub(crate) context: Option<Context>,
}

pub(crate) struct Party {
    hub: Hub,
    pub(crate) guests: Vec<Guest>,
}

impl Party {
    /// The first one makes the context; the others join with these roles. All of them know each other.
    pub(crate) async fn of(others: &[Role]) -> Self {
        let mut party = Self { hub: Hub::new(), guests: Vec::new() };
        let first = party.arrive().await;
        let node = &party.guests[first].node;
        party.guests[first].context = Some(node.create_context(CreateOptions::default()).await.unwrap());
        for role in others {
            let new = party.arrive().await;
            party.admit(first, new, *role).await;
        }
        party.meet().await;
        party.equal(&(0..=others.len()).collect::<Vec<_>>()).await;
        party
    }

    /// A node that is no member.
    pub(crate) async fn arrive(&mut self) -> usize {
        crate::nodes::log();
        let store = Hoarder::new(Arc::new(MemoryStore::new()));
        let mut options = Options::in_memory(&self.hub);
        options.engine = Engine::Given(Arc::clone(&store) as Arc<dyn Store>);
        let node = Node::open(options).await.unwrap();
        self.guests.push(Guest { node, store, context: None });
        self.guests.len() - 1
    }

    pub(crate) const fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(crate) async fn admit(&mut self, by: usize, new: usize, role: Role) {
        let context = join(self.at(by), &self.guests[new].node, role).await.unwrap();
        self.guests[new].context = Some(context);
    }

    pub(crate) fn at(&self, guest: usize) -> &Context {
        self.guests[guest].context.as_ref().expect("it has joined")
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let count = self.guests.len();
        (0..count).flat_map(move |a| (a + 1..count).map(move |b| (a, b)))
    }

    /// From now on only those on one side hear of each other.
    pub(crate) fn part(&self, sides: &[&[usize]]) {
        for (a, b) in self.pairs() {
            if !sides.iter().any(|side| side.contains(&a) && side.contains(&b)) {
                self.hub.partition(peer(&self.guests[a].node), peer(&self.guests[b].node));
            }
        }
    }

    /// All of them reach each other again.
    pub(crate) async fn meet(&self) {
        for (a, b) in self.pairs() {
            self.hub.heal(peer(&self.guests[a].node), peer(&self.guests[b].node));
        }
        for (a, b) in self.pairs() {
            self.guests[a].node.connect(&self.guests[b].node.addresses()[0]).await.unwrap();
        }
    }

    /// Waits until these hold the same history.
    pub(crate) async fn equal(&self, who: &[usize]) {
        for other in &who[1..] {
            equal(self.at(who[0]), self.at(*other)).await;
        }
    }

    pub(crate) async fn write(&self, author: usize, text: &str) -> TransactionId {
        self.at(author).put(key(text), text.as_bytes()).await.unwrap()
    }

    pub(crate) async fn reads(&self, guest: usize, text: &str) -> bool {
        let value = self.at(guest).get(key(text), kith_core::node::Level::Tentative).await.unwrap();
        value.is_some_and(|value| value == text.as_bytes())
    }

    /// Waits until somebody knows that it is no member any more.
    pub(crate) async fn is_out(&self, guest: usize) {
        let wait = async {
            while self.at(guest).role().is_some() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it hears that it is out");
    }

    /// All that the disks of these ever held of keys.
    pub(crate) fn pool(&self, who: &[usize]) -> Hoard {
        let mut pool = Hoard::new();
        for guest in who {
            for (key, values) in self.guests[*guest].store.keys() {
                pool.entry(key).or_default().extend(values);
            }
        }
        pool
    }

    /// What all of these have sent and heard.
    pub(crate) fn sent(&self, who: &[usize]) -> Sent {
        Sent::of(self.at(who[0]), who.iter().map(|guest| &*self.guests[*guest].store as &dyn Store))
    }

    /// Whether a text was ever on somebody's disk.
    pub(crate) fn had(&self, guest: usize, text: &str) -> bool {
        self.guests[guest].store.wrote(text)
    }

    pub(crate) async fn close(self) {
        for guest in &self.guests {
            guest.node.shutdown().await.unwrap();
        }
    }
}
