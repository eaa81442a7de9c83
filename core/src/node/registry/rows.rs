//! What the store knows of the node itself: its key, its contexts, its peers, its ports.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;

use super::peers::Known;
use crate::network::{self, Network, PeerId};
use crate::node::actor::random_bytes;
use crate::node::options::{Engine, Options, Transport};
use crate::replica::ContextId;
use crate::storage::{Batch, Durability, HighWater, Keyspace, MemoryStore, Store, context_key};
use crate::{Error, Result, limits};

/// A context in the store's list.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(super) struct Row {
    pub(super) number: u32,
    /// The token, while joining.
    pub(super) invitation: Option<Vec<u8>>,
    /// Since when (ms since 1970) this node has left and waits for somebody to hear of it.
    pub(super) left: Option<u64>,
    /// Its rows are being deleted.
    pub(super) deleted: bool,
    pub(super) access_key: [u8; 32],
}

pub(super) fn list_key(id: &ContextId) -> Vec<u8> {
    context_key(0, &[b"context/", &id.0[..]].concat())
}

pub(super) fn add_row(batch: &mut Batch, id: &ContextId, row: &Row) {
    batch.put(Keyspace::Meta, list_key(id), borsh::to_vec(row).unwrap_or_default());
}

pub(super) type Opened = (Arc<dyn Store>, Option<Arc<HighWater>>);

pub(super) fn open_store(options: &Options) -> Result<Opened> {
    match &options.engine {
        Engine::Given(store) => return Ok((Arc::clone(store), None)),
        Engine::Opened(open) => return Ok((open()?, None)),
        Engine::Own => {}
    }
    let Some(path) = &options.path else { return Ok((Arc::new(MemoryStore::new()), None)) };
    let store = crate::storage::open(path, options.storage, options.storage_key.clone(), options.cache)?;
    let high_water = high_water_of(path, &*store).inspect_err(|_| {
        let _ = store.close();
    })?;
    Ok((store, Some(Arc::new(high_water))))
}

/// The contexts that the store lists.
pub(super) type Rows = BTreeMap<ContextId, Row>;

/// A store with a node's key in it was opened before, and then its high-water mark was there.
fn high_water_of(path: &Path, store: &dyn Store) -> Result<HighWater> {
    let used = !store.snapshot()?.scan(Keyspace::Keys, &[], None, false, 1)?.is_empty();
    HighWater::open_beside(path, used, store.sealing())
}

pub(super) type Loaded = (Zeroizing<[u8; 32]>, BTreeMap<PeerId, Known>, Rows);

/// Reads what the store knows of the node; makes the node's identity the first time.
pub(super) fn load(store: &dyn Store) -> Result<Loaded> {
    let identity_key = context_key(0, b"node");
    let (stored, known, rows) = {
        let snapshot = store.snapshot()?;
        let stored = snapshot.get(Keyspace::Keys, &identity_key)?.map(Zeroizing::new);
        let mut known = BTreeMap::new();
        for (peer, row) in snapshot.scan(Keyspace::Peers, &[], None, false, limits::MEMBERS)? {
            let addresses =
                borsh::from_slice(&row).map_err(|_| Error::corrupt("a peer's addresses do not decode"))?;
            known.insert(PeerId::from_bytes(&peer)?, Known { addresses, friend: true });
        }
        let from = context_key(0, b"context/");
        let to = context_key(0, b"context0");
        let mut rows = BTreeMap::new();
        for (key, row) in snapshot.scan(Keyspace::Meta, &from, Some(&to), false, usize::MAX)? {
            let id = ContextId::from_slice(&key[from.len()..])?;
            let row =
                borsh::from_slice(&row).map_err(|_| Error::corrupt("a context's entry does not decode"))?;
            rows.insert(id, row);
        }
        (stored, known, rows)
    };
    let identity = match stored {
        Some(secret) => {
            let secret = <[u8; 32]>::try_from(secret.as_slice());
            Zeroizing::new(secret.map_err(|_| Error::corrupt("the node's key has another length"))?)
        }
        None => {
            let secret = Zeroizing::new(random_bytes()?);
            let mut batch = Batch::default();
            batch.put(Keyspace::Keys, identity_key, secret.to_vec());
            store.commit(&batch, Durability::Power)?;
            secret
        }
    };
    Ok((identity, known, rows))
}

/// Starts the network, at the ports of the last time where they are free.
pub(super) fn start_network(
    options: &Options,
    config: network::Config,
    store: &dyn Store,
) -> Result<(Network, network::Events)> {
    let hub = match &options.transport {
        Transport::Memory(hub) => return hub.join(config),
        Transport::Sockets => store,
    };
    let row = hub.snapshot()?.get(Keyspace::Meta, &context_key(0, b"listening"))?;
    let before: Vec<String> = row.and_then(|row| borsh::from_slice(&row).ok()).unwrap_or_default();
    let again: Vec<String> = config.listen.iter().map(|address| with_port_of(address, &before)).collect();
    if again != config.listen {
        let remembered = network::Config { listen: again, ..config.clone() };
        if let Ok(started) = Network::start(remembered) {
            return Ok(started);
        }
    }
    Network::start(config)
}

/// Puts the port that was used the last time in the place of port 0.
fn with_port_of(address: &str, before: &[String]) -> String {
    for transport in ["/tcp/", "/udp/"] {
        let Some((_, rest)) = address.split_once(&format!("{transport}0")) else { continue };
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let port = before.iter().find_map(|other| {
            let (_, rest) = other.split_once(transport)?;
            rest.split('/').next()?.parse::<u16>().ok()
        });
        if let Some(port) = port {
            return address.replacen(&format!("{transport}0"), &format!("{transport}{port}"), 1);
        }
    }
    address.to_string()
}
