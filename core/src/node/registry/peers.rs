//! The peers that are worth remembering, and where this node listens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::limits;
use crate::network::{Network, PeerId};
use crate::node::strangers;
use crate::storage::{Batch, Durability, Keyspace, Store, context_key};

/// How long opening waits until the node listens.
const LISTEN: Duration = Duration::from_secs(5);

/// The peers that are worth remembering: those that proved to be members, with their addresses.
pub(crate) struct Peers {
    store: Arc<dyn Store>,
    network: Network,
    handle: tokio::runtime::Handle,
    known: Mutex<BTreeMap<PeerId, Known>>,
    /// How many addresses this node listens at.
    listening: watch::Sender<usize>,
    pub(crate) strangers: strangers::Counts,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(super) addresses: Vec<String>,
    pub(super) friend: bool,
}

impl Peers {
    /// On the runtime that its work is to be done on.
    pub(crate) fn new(store: Arc<dyn Store>, network: Network, known: BTreeMap<PeerId, Known>) -> Self {
        let handle = tokio::runtime::Handle::current();
        let (known, listening) = (Mutex::new(known), watch::Sender::new(0));
        Self { store, network, handle, known, listening, strangers: strangers::Counts::default() }
    }

    /// This node listens at one more address: its port is noted, so that the next start listens there again.
    pub(crate) fn listening(&self) {
        let (store, addresses) = (Arc::clone(&self.store), self.network.addresses());
        self.listening.send_replace(addresses.len());
        let row = borsh::to_vec(&addresses).unwrap_or_default();
        self.handle.spawn_blocking(move || {
            let mut batch = Batch::default();
            batch.put(Keyspace::Meta, context_key(0, b"listening"), row);
            if let Err(error) = store.commit(&batch, Durability::Process) {
                tracing::warn!(%error, "the ports could not be stored");
            }
        });
    }

    /// Waits until the node listens at so many addresses, for a moment at most.
    pub(super) async fn wait_listening(&self, wanted: usize) {
        let mut listening = self.listening.subscribe();
        let all = listening.wait_for(|count| *count >= wanted);
        if tokio::time::timeout(LISTEN, all).await.is_err() {
            tracing::warn!(wanted, "the node does not listen everywhere yet");
        }
    }

    /// Notes addresses of a peer.
    pub(crate) fn learn(&self, peer: PeerId, addresses: Vec<String>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Strangers come and go; the network keeps their number within limits, and so does this.
        if known.len() >= limits::MEMBERS && !known.contains_key(&peer) {
            known.retain(|_, known| known.friend);
        }
        let entry = known.entry(peer).or_default();
        let before = entry.addresses.clone();
        for address in addresses {
            entry.addresses.retain(|other| *other != address);
            entry.addresses.insert(0, address);
        }
        entry.addresses.truncate(8);
        let (entry, changed) = (entry.clone(), entry.addresses != before);
        drop(known);
        if entry.friend && changed {
            self.remember(peer, entry.addresses);
        }
    }

    /// The peer is a member's: it is remembered, and kept connected.
    pub(crate) fn befriend(&self, peer: PeerId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entry(peer).or_default();
        if std::mem::replace(&mut entry.friend, true) {
            return;
        }
        let addresses = entry.addresses.clone();
        drop(known);
        self.remember(peer, addresses);
    }

    /// One address of each member's node, with its peer id.
    pub(super) fn friends(&self) -> Vec<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let address = |(peer, known): (&PeerId, &Known)| {
            let address = known.friend.then(|| known.addresses.first())??;
            Some(if address.contains("/p2p/") { address.clone() } else { format!("{address}/p2p/{peer}") })
        };
        known.iter().filter_map(address).collect()
    }

    /// Every member's node with its addresses.
    pub(super) fn all_friends(&self) -> Vec<(PeerId, Vec<String>)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let friends = known.iter().filter(|(_, known)| known.friend && !known.addresses.is_empty());
        friends.map(|(peer, known)| (*peer, known.addresses.clone())).collect()
    }

    fn remember(&self, peer: PeerId, addresses: Vec<String>) {
        if addresses.is_empty() {
            return;
        }
        let (store, network) = (Arc::clone(&self.store), self.network.clone());
        self.handle.spawn(async move {
            let row = borsh::to_vec(&addresses).unwrap_or_default();
            let written = tokio::task::spawn_blocking(move || {
                let mut batch = Batch::default();
                batch.put(Keyspace::Peers, peer.to_bytes(), row);
                // An address that is lost is learnt again.
                store.commit(&batch, Durability::Process)
            });
            if let Ok(Err(error)) = written.await {
                tracing::warn!(%peer, %error, "a peer's addresses could not be stored");
            }
            if let Err(error) = network.know(peer, &addresses).await {
                tracing::debug!(%peer, %error, "a peer is not kept connected");
            }
        });
    }
}
