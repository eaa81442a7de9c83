//! How the network ends.

use std::sync::PoisonError;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::timeout;

use super::engine::Engine;
use super::transport;

/// How long closing all links takes at most, whatever peers do.
const CLOSING: Duration = Duration::from_secs(3);
/// How long it takes at most until the ports are free. A QUIC connection that was closed before its first round trip was
/// measured keeps its socket for three probe timeouts of a second.
const RELEASING: Duration = Duration::from_secs(4);

impl Engine {
    /// Says goodbye on all links, then closes what is left, then waits until the ports are free.
    pub(super) async fn close(mut self) {
        let listening: Vec<_> = self.swarm.listeners().cloned().collect();
        self.swarm.behaviour_mut().kith.closed = true;
        // Nobody who waits for an answer gets one any more.
        self.backend.commands.close();
        self.peers.values_mut().for_each(|peer| peer.waiters.clear());
        self.backend.shared.links.close_all();
        for (_, stream) in self.streams.iter_mut().filter(|(_, stream)| stream.link.is_none()) {
            stream.gone.take();
        }
        let quiet = async {
            while !self.connections.is_empty() {
                // Goodbyes go through relays, too: the ways to these come last.
                let linked = self.connections.values().any(|connection| connection.carries);
                let unused: Vec<_> = self
                    .connections
                    .iter()
                    .filter(|(_, c)| c.carries || !linked)
                    .filter(|(_, c)| c.stream.is_none_or(|own| !self.streams.contains_key(&own)))
                    .map(|(id, _)| *id)
                    .collect();
                for id in unused {
                    if !self.close_connection(id) {
                        self.connections.remove(&id);
                    }
                }
                tokio::select! {
                    event = self.swarm.select_next_some() => self.on_swarm(event),
                    Some(note) = self.notes.1.recv() => self.on_note(note),
                }
            }
        };
        // A peer that does not take note is left behind.
        let _ = timeout(CLOSING, quiet).await;
        let Self { swarm, backend, sink, streams, .. } = self;
        drop((swarm, streams, sink));
        backend.shared.quiet.send_replace(true);
        let released = async {
            for address in &listening {
                while transport::is_free(address).is_err_and(|e| e.kind() == std::io::ErrorKind::AddrInUse) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        if timeout(RELEASING, released).await.is_err() {
            tracing::warn!("a port was not released in time");
        }
        backend.shared.addresses.lock().unwrap_or_else(PoisonError::into_inner).clear();
        backend.stopped.send_replace(true);
    }
}

/// Waits until nobody has these ports any more. Blocks, for a moment at most.
pub(crate) fn wait_released(addresses: &[String]) {
    let until = std::time::Instant::now() + RELEASING;
    let addresses: Vec<libp2p::Multiaddr> = addresses.iter().filter_map(|text| text.parse().ok()).collect();
    let taken =
        |address| transport::is_free(address).is_err_and(|e| e.kind() == std::io::ErrorKind::AddrInUse);
    while addresses.iter().any(taken) {
        if std::time::Instant::now() >= until {
            tracing::warn!("a port was not released in time");
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
