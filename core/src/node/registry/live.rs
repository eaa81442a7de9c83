//! What a node has only while it is not suspended: its store, its network, and the tasks in between.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use super::peers::Peers;
use super::rows::{Rows, load, start_network};
use super::{END, lock};
use crate::network::{self, Network};
use crate::node::options::{Options, Transport};
use crate::node::switchboard::{Switchboard, ToSwitchboard};
use crate::storage::{HighWater, Store};
use crate::{Error, Result};

/// What a node has only while it is not suspended.
pub(crate) struct Live {
    pub(super) store: Arc<dyn Store>,
    pub(super) high_water: Option<Arc<HighWater>>,
    pub(super) network: Network,
    pub(super) peers: Arc<Peers>,
    pub(super) switchboard: mpsc::UnboundedSender<ToSwitchboard>,
    /// The network's own: sockets close with it, and only with it.
    transports: Mutex<Option<Runtime>>,
}

impl Live {
    /// Starts the network and the switchboard on a store that is open. Called on the node's runtime.
    pub(super) fn start(
        options: &Options,
        store: Arc<dyn Store>,
        high_water: Option<Arc<HighWater>>,
    ) -> Result<(Arc<Self>, Rows)> {
        let (identity, known, rows) = load(&*store)?;
        let mut config = network::Config::new(*identity);
        config.listen.clone_from(&options.listen);
        config.discovery = options.discovery;
        config.relays.clone_from(&options.relays);
        config.through_relays = options.through_relays;
        config.hole_punching = options.hole_punching;
        config.autonat = options.autonat;
        config.gossip = options.gossip;
        config.known_peers = known.iter().map(|(peer, known)| (*peer, known.addresses.clone())).collect();
        let transports = runtime("kith-network")?;
        let started = {
            let _entered = transports.enter();
            start_network(options, config, &*store)
        };
        let (network, events) = match started {
            Ok(started) => started,
            Err(error) => {
                transports.shutdown_background();
                return Err(error);
            }
        };
        let (switchboard, orders) = mpsc::unbounded_channel();
        let peers = Arc::new(Peers::new(Arc::clone(&store), network.clone(), known));
        tokio::spawn(
            Switchboard::new(network.clone(), Arc::clone(&peers), switchboard.clone()).run(events, orders),
        );
        let transports = Mutex::new(Some(transports));
        Ok((Arc::new(Self { store, high_water, network, peers, switchboard, transports }), rows))
    }

    /// Waits until the node listens at so many addresses, then dials whom the host wants.
    pub(super) async fn meet(&self, listening: usize, wanted: BTreeSet<String>) {
        self.peers.wait_listening(listening).await;
        for address in wanted {
            let network = self.network.clone();
            tokio::spawn(async move {
                // One that is not there yet is dialled again and again.
                if let Err(error) = network.keep(&address).await {
                    tracing::warn!(address, %error, "a peer is not dialled");
                }
            });
        }
    }

    /// Says goodbye to all peers and closes the sockets; bounded, however peers behave.
    pub(super) async fn hang_up(&self, transport: &Transport) {
        let addresses = match transport {
            Transport::Sockets => self.network.addresses(),
            Transport::Memory(_) => Vec::new(),
        };
        // Fails only if it has stopped.
        let _ = self.switchboard.send(ToSwitchboard::Stop);
        self.network.say_goodbye().await;
        let Some(transports) = lock(&self.transports).take() else { return };
        let (released, ended) = oneshot::channel();
        // With the runtime end the transports' own tasks, and with them their sockets; that must be waited for outside of it.
        let ending = std::thread::Builder::new().name("kith-close".into()).spawn(move || {
            transports.shutdown_timeout(END);
            network::wait_released(&addresses);
            // The caller may have gone away.
            let _ = released.send(());
        });
        match ending {
            Ok(_) => drop(ended.await),
            Err(error) => tracing::warn!(%error, "the ports are released later"),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(transports) = lock(&self.transports).take() {
            transports.shutdown_background();
        }
    }
}

/// Waits until the node is not suspended, or is gone.
pub(super) async fn wait_live(mut live: watch::Receiver<Option<Arc<Live>>>) {
    // Fails only if the node is gone; whoever waited finds that out next.
    let _ = live.wait_for(Option::is_some).await;
}

/// A runtime with two threads of this name.
pub(super) fn runtime(name: &str) -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(name)
        .enable_all()
        .build()
        .map_err(|e| Error::internal(format!("the runtime does not start: {e}")))
}
