//! Who is to be kept connected and who is: the dial policy with a clock, for whatever carries the links.

use std::collections::BTreeMap;

use libp2p::Multiaddr;
use tokio::time::Instant;

use super::dial::Dialer;
use super::{Limits, LinkId, PeerId, PeerStatus, address};
use crate::{Error, Result};

struct Linked {
    link: LinkId,
    since: Instant,
    relayed: bool,
}

pub(super) struct Keeper {
    dialer: Dialer<PeerId, Multiaddr>,
    links: BTreeMap<PeerId, Linked>,
    started: Instant,
    most: usize,
}

impl Keeper {
    pub(super) fn new(limits: &Limits) -> Result<Self> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|e| Error::internal(format!("no randomness: {e}")))?;
        Ok(Self {
            dialer: Dialer::new(limits.dials, u64::from_le_bytes(seed)),
            links: BTreeMap::new(),
            started: Instant::now(),
            most: limits.known_peers,
        })
    }

    pub(super) fn know(&mut self, peer: PeerId, addresses: Vec<Multiaddr>) -> Result<()> {
        if self.dialer.get(peer).is_none() && self.dialer.len() >= self.most {
            return Err(Error::limit_exceeded(format!("at most {} peers are kept connected", self.most)));
        }
        self.dialer.know(peer, addresses, self.links.contains_key(&peer), self.started.elapsed());
        Ok(())
    }

    pub(super) fn forget(&mut self, peer: PeerId) {
        self.dialer.forget(peer);
    }

    pub(super) fn up(&mut self, peer: PeerId, link: LinkId, relayed: bool) {
        self.links.insert(peer, Linked { link, since: Instant::now(), relayed });
        self.dialer.linked(peer, self.started.elapsed());
    }

    /// Whether that was the peer's link; the end of one that was replaced changes nothing.
    pub(super) fn down(&mut self, peer: PeerId, link: LinkId) -> bool {
        if self.link(peer) != Some(link) {
            return false;
        }
        self.links.remove(&peer);
        self.dialer.lost(peer, self.started.elapsed());
        true
    }

    pub(super) fn failed(&mut self, peer: PeerId, reason: Error) {
        self.dialer.failed(peer, reason, self.started.elapsed());
    }

    /// Whether the peer has a link, or is to have one.
    pub(super) fn is_known(&self, peer: PeerId) -> bool {
        self.links.contains_key(&peer) || self.dialer.get(peer).is_some()
    }

    pub(super) fn link(&self, peer: PeerId) -> Option<LinkId> {
        self.links.get(&peer).map(|linked| linked.link)
    }

    pub(super) fn is_relayed(&self, peer: PeerId) -> bool {
        self.links.get(&peer).is_some_and(|linked| linked.relayed)
    }

    /// A relay has taken this node in: who is reached through relays is worth a dial now.
    pub(super) fn retry_relayed(&mut self) {
        let now = self.started.elapsed();
        self.dialer.retry(now, |addresses| addresses.iter().any(address::is_relayed));
    }

    pub(super) fn links(&self) -> impl Iterator<Item = (PeerId, LinkId)> {
        self.links.iter().map(|(peer, linked)| (*peer, linked.link))
    }

    pub(super) fn due(&mut self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        self.dialer.due(self.started.elapsed())
    }

    /// Returns when somebody is due, if nothing else happens before.
    pub(super) async fn wait(&self) {
        match self.dialer.next() {
            Some(next) => tokio::time::sleep_until(self.started + next).await,
            None => std::future::pending().await,
        }
    }

    pub(super) fn peers(&self) -> Vec<PeerStatus> {
        let now = self.started.elapsed();
        let bare = |peer| PeerStatus {
            peer,
            known: false,
            addresses: Vec::new(),
            link: None,
            relayed: false,
            connected_for: None,
            last_failure: None,
            next_attempt_in: None,
        };
        let mut peers: BTreeMap<PeerId, PeerStatus> = BTreeMap::new();
        for (peer, known) in self.dialer.iter() {
            let status = PeerStatus {
                known: true,
                addresses: known.addresses.iter().map(|a| address::with_peer(a, peer)).collect(),
                last_failure: known.last_failure.clone(),
                next_attempt_in: known.next_attempt(now).map(|at| at.saturating_sub(now)),
                ..bare(peer)
            };
            peers.insert(peer, status);
        }
        for (peer, linked) in &self.links {
            let status = peers.entry(*peer).or_insert_with(|| bare(*peer));
            status.link = Some(linked.link);
            status.relayed = linked.relayed;
            status.connected_for = Some(linked.since.elapsed());
        }
        peers.into_values().collect()
    }
}
