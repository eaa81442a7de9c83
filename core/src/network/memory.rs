//! The same network inside one process: nodes that need no sockets, and links that a test can hold, slow down and cut.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::sleep_until;

use super::handle::{Backend, Command, Shared};
use super::keeper::Keeper;
use super::link::{Inbox, Outgoing, Sink};
use super::{Config, Event, Events, Limits, LinkId, Network, PeerId, address};
use crate::{Error, ErrorKind, Result};

/// A place inside this process where nodes meet. A clone is the same place.
///
/// Nodes dial each other at `/memory/…/p2p/…` addresses ([`Network::addresses`]). A node that shuts down, or whose
/// runtime is dropped, leaves; it can join again under the same identity and keeps its address.
#[derive(Clone, Default)]
pub struct Hub {
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    nodes: HashMap<PeerId, Node>,
    links: HashMap<(PeerId, PeerId), [End; 2]>,
    ways: HashMap<(PeerId, PeerId), watch::Sender<Way>>,
    apart: HashSet<(PeerId, PeerId)>,
}

struct Node {
    shared: Arc<Shared>,
    sink: Sink,
    limits: Limits,
    runtime: Handle,
    changed: Arc<Notify>,
    /// For each peer, the end of the latest link's events: the next link's events come after.
    latest: HashMap<PeerId, oneshot::Receiver<()>>,
}

/// One end of a link: whose, its name there, and what stops it.
struct End {
    owner: PeerId,
    link: LinkId,
    cut: watch::Sender<Option<Error>>,
}

/// What happens to frames on their way from one node to another.
#[derive(Clone, Copy, Default)]
struct Way {
    held: bool,
    delay: Duration,
}

fn pair(a: PeerId, b: PeerId) -> (PeerId, PeerId) {
    if a < b { (a, b) } else { (b, a) }
}

fn unreachable(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unreachable, message)
}

/// The part of a memory address that stands for a port; the same whenever the same identity joins.
fn number(peer: PeerId) -> u64 {
    peer.to_bytes().iter().rev().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Hub {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node. Like [`Network::start`], inside a tokio runtime, with the same configuration; but it always listens,
    /// at its memory address, and `discovery` and relays change nothing.
    ///
    /// `Busy`: a node of this identity is there already.
    pub fn join(&self, config: Config) -> Result<(Network, Events)> {
        config.check()?;
        let runtime = Handle::try_current()
            .map_err(|_| Error::invalid_argument("a network is started inside a tokio runtime"))?;
        let peer = PeerId::of_identity(&config.identity);
        let (network, backend) = Network::new(peer, &config.limits);
        let (sink, events) = Sink::new(&config.limits);
        let mut keeper = Keeper::new(&config.limits)?;
        for (known, addresses) in &config.known_peers {
            keeper.know(*known, address::parse_all(*known, addresses, config.limits.addresses)?)?;
        }
        let own = address::with_peer(&Multiaddr::empty().with(Protocol::Memory(number(peer))), peer);
        *backend.shared.addresses.lock().unwrap_or_else(PoisonError::into_inner) = vec![own.clone()];
        let changed = Arc::new(Notify::new());
        {
            let mut world = self.world();
            if world.nodes.contains_key(&peer) {
                return Err(Error::busy(format!("{peer} is in this hub already")));
            }
            let node = Node {
                shared: Arc::clone(&backend.shared),
                sink: sink.clone(),
                limits: config.limits.clone(),
                runtime: runtime.clone(),
                changed: Arc::clone(&changed),
                latest: HashMap::new(),
            };
            world.nodes.insert(peer, node);
        }
        let stay = Stay { hub: self.clone(), peer };
        // The channel is new and has room for one event at least.
        let _ = sink.events.try_send(Event::Listening { address: own }.into());
        runtime.spawn(run(stay, backend, sink, keeper, changed));
        Ok((network, events))
    }

    /// Breaks the link between two nodes, as when a cable is pulled: what was on its way is lost. They may dial again.
    pub fn cut(&self, a: PeerId, b: PeerId) {
        self.world().cut(a, b, "the link was cut");
    }

    /// Breaks the link between two nodes and keeps them from dialling each other until [`Self::heal`].
    pub fn partition(&self, a: PeerId, b: PeerId) {
        let mut world = self.world();
        world.apart.insert(pair(a, b));
        world.cut(a, b, "the peers were partitioned");
    }

    /// Ends a partition.
    pub fn heal(&self, a: PeerId, b: PeerId) {
        self.world().apart.remove(&pair(a, b));
    }

    /// Holds frames from one node to another back, in order, until [`Self::release`]. The link stays up.
    pub fn hold(&self, from: PeerId, to: PeerId) {
        self.world().way(from, to).send_modify(|way| way.held = true);
    }

    /// Lets held frames go.
    pub fn release(&self, from: PeerId, to: PeerId) {
        self.world().way(from, to).send_modify(|way| way.held = false);
    }

    /// From now on frames from one node to another take this long.
    pub fn delay(&self, from: PeerId, to: PeerId, delay: Duration) {
        self.world().way(from, to).send_modify(|way| way.delay = delay);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, from: PeerId, to: PeerId, addresses: &[Multiaddr]) -> Result<LinkId> {
        let mut world = self.world();
        if let Some(link) = world.link(from, to) {
            return Ok(link);
        }
        let there = Multiaddr::empty().with(Protocol::Memory(number(to)));
        if !addresses.contains(&there) {
            return Err(unreachable(format!("no address of {to} in this hub was given")));
        }
        if world.apart.contains(&pair(from, to)) {
            return Err(unreachable(format!("{to} is on the other side of a partition")));
        }
        let (Some(dialer), Some(listener)) = (world.nodes.get(&from), world.nodes.get(&to)) else {
            return Err(unreachable(format!("{to} is not in this hub")));
        };
        for (node, who) in [(dialer, from), (listener, to)] {
            let count = world.links.keys().filter(|(a, b)| *a == who || *b == who).count();
            if count >= node.limits.links {
                return Err(unreachable(format!("{who} has no room for another link")));
            }
        }
        Ok(world.join(self, from, to))
    }

    /// This end of a link is over; the other one ends once it has taken what is on its way.
    fn close(&self, owner: PeerId, link: LinkId, reason: &Error) {
        let mut world = self.world();
        let found = world.links.iter().find_map(|(pair, ends)| {
            ends.iter().any(|end| end.owner == owner && end.link == link).then_some(*pair)
        });
        let ends = found.and_then(|pair| world.links.remove(&pair));
        for end in ends.into_iter().flatten() {
            let Some(node) = world.nodes.get(&end.owner) else { continue };
            if end.owner == owner {
                node.shared.links.close(end.link);
                end.cut.send_replace(Some(reason.clone()));
            }
            node.changed.notify_one();
        }
    }
}

impl World {
    fn link(&self, owner: PeerId, peer: PeerId) -> Option<LinkId> {
        let ends = self.links.get(&pair(owner, peer))?;
        ends.iter().find(|end| end.owner == owner).map(|end| end.link)
    }

    fn way(&mut self, from: PeerId, to: PeerId) -> &watch::Sender<Way> {
        self.ways.entry((from, to)).or_insert_with(|| watch::Sender::new(Way::default()))
    }

    fn cut(&mut self, a: PeerId, b: PeerId, why: &str) {
        for end in self.links.remove(&pair(a, b)).into_iter().flatten() {
            end.cut.send_replace(Some(unreachable(why)));
            if let Some(node) = self.nodes.get(&end.owner) {
                node.shared.links.close(end.link);
                node.changed.notify_one();
            }
        }
    }

    /// Links two nodes that are there and have no link.
    fn join(&mut self, hub: &Hub, dialer: PeerId, listener: PeerId) -> LinkId {
        let limits = |node: &Node| node.limits.frame;
        let frame =
            [dialer, listener].iter().filter_map(|p| self.nodes.get(p)).map(limits).min().unwrap_or(0);
        let mut queues = Vec::new();
        let mut names = Vec::new();
        for owner in [dialer, listener] {
            let Some(node) = self.nodes.get(&owner) else { continue };
            let link = node.shared.links.name();
            queues.push(node.shared.links.open(link, frame, &node.limits));
            names.push(link);
        }
        let mut ends = Vec::new();
        // What one side queues is what the other takes.
        for ((owner, peer), (link, incoming)) in [(dialer, listener), (listener, dialer)]
            .into_iter()
            .zip(names.iter().zip(queues.into_iter().rev()))
        {
            let way = self.way(peer, owner).subscribe();
            let Some(node) = self.nodes.get_mut(&owner) else { continue };
            let (cut, cut_receiver) = watch::channel(None);
            let (done, done_receiver) = oneshot::channel();
            let side = Side {
                hub: hub.clone(),
                shared: Arc::clone(&node.shared),
                owner,
                peer,
                link: *link,
                outbound: owner == dialer,
                inbox: node.sink.for_link(*link, &node.limits),
                incoming,
                way,
                cut: cut_receiver,
                before: node.latest.insert(peer, done_receiver),
                _done: done,
            };
            node.runtime.spawn(side.run());
            node.changed.notify_one();
            ends.push(End { owner, link: *link, cut });
        }
        if let Ok(ends) = <[End; 2]>::try_from(ends) {
            self.links.insert(pair(dialer, listener), ends);
        }
        names[0]
    }
}

/// A node's stay in the hub; it ends with the node's task, also when the runtime is dropped under it.
struct Stay {
    hub: Hub,
    peer: PeerId,
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut world = self.hub.world();
        let peers: Vec<_> =
            world.links.keys().copied().filter(|(a, b)| *a == self.peer || *b == self.peer).collect();
        for (a, b) in peers {
            world.cut(a, b, "the peer left");
        }
        world.nodes.remove(&self.peer);
    }
}

async fn run(stay: Stay, mut backend: Backend, sink: Sink, mut keeper: Keeper, changed: Arc<Notify>) {
    let (hub, me) = (&stay.hub, stay.peer);
    loop {
        see(hub, me, &mut keeper);
        for (peer, addresses) in keeper.due() {
            match hub.connect(me, peer, &addresses) {
                Ok(link) => keeper.up(peer, link, false),
                Err(reason) => {
                    keeper.failed(peer, reason.clone());
                    let _ = sink.events.try_send(Event::DialFailed { peer, reason }.into());
                }
            }
        }
        let command = tokio::select! {
            command = backend.commands.recv() => command.unwrap_or(Command::Shutdown),
            () = changed.notified() => continue,
            () = keeper.wait() => continue,
        };
        match command {
            Command::Connect { peer, addresses, reply } => {
                let _ = reply.send(hub.connect(me, peer, &addresses));
            }
            Command::Disconnect { link } => hub.close(me, link, &Error::closed("this node closed the link")),
            Command::Know { peer, addresses, reply } => {
                let _ = reply.send(keeper.know(peer, addresses));
            }
            Command::Forget { peer } => keeper.forget(peer),
            // There is neither gossip nor a relay in memory.
            Command::Subscribe { .. }
            | Command::Unsubscribe { .. }
            | Command::Publish { .. }
            | Command::Judge { .. } => {}
            Command::Relays { reply } => drop(reply.send(Vec::new())),
            Command::Peers { reply } => {
                see(hub, me, &mut keeper);
                let _ = reply.send(keeper.peers());
            }
            Command::Shutdown => break,
        }
    }
    see(hub, me, &mut keeper);
    for (_, link) in keeper.links() {
        hub.close(me, link, &Error::closed("this node shut down"));
    }
    drop(stay);
    backend.shared.links.close_all();
    backend.stopped.send_replace(true);
}

/// Brings the keeper in step with the links that are there.
fn see(hub: &Hub, me: PeerId, keeper: &mut Keeper) {
    let world = hub.world();
    let there: HashMap<PeerId, LinkId> = world
        .links
        .iter()
        .flat_map(|((a, b), ends)| ends.iter().filter(|end| end.owner == me).map(move |end| (a, b, end.link)))
        .map(|(a, b, link)| (if *a == me { *b } else { *a }, link))
        .collect();
    drop(world);
    let seen: Vec<_> = keeper.links().collect();
    for (peer, link) in seen {
        if there.get(&peer) != Some(&link) {
            keeper.down(peer, link);
        }
    }
    for (peer, link) in there {
        if keeper.link(peer).is_none() {
            keeper.up(peer, link, false);
        }
    }
}

/// One end's task: takes what the other end sends and tells its node.
struct Side {
    hub: Hub,
    shared: Arc<Shared>,
    owner: PeerId,
    peer: PeerId,
    link: LinkId,
    outbound: bool,
    inbox: Inbox,
    incoming: mpsc::Receiver<Outgoing>,
    way: watch::Receiver<Way>,
    cut: watch::Receiver<Option<Error>>,
    before: Option<oneshot::Receiver<()>>,
    /// Dropped at the end, which is what the next link's end waits for.
    _done: oneshot::Sender<()>,
}

impl Side {
    async fn run(mut self) {
        if let Some(before) = self.before.take() {
            // An error says that the end before is gone, which is what is waited for.
            let _ = before.await;
        }
        let address = Multiaddr::empty().with(Protocol::Memory(number(self.peer)));
        let address = address::with_peer(&address, self.peer);
        let addresses = vec![address.clone()];
        let up = Event::LinkUp { link: self.link, peer: self.peer, address, outbound: self.outbound };
        self.inbox.event(up).await;
        // What identify tells over sockets.
        self.inbox.hint(Event::Addresses { peer: self.peer, addresses });
        let reason = loop {
            tokio::select! {
                biased;
                reason = is_cut(&mut self.cut) => break reason,
                outcome = deliver(&mut self.incoming, &mut self.way, &self.inbox) => {
                    if let Err(reason) = outcome { break reason }
                }
            }
        };
        self.hub.close(self.owner, self.link, &reason);
        self.shared.links.close(self.link);
        self.incoming.close();
        // No frame is malformed, too large or slow here.
        self.inbox.event(Event::LinkDown { link: self.link, peer: self.peer, reason, fault: false }).await;
    }
}

async fn is_cut(cut: &mut watch::Receiver<Option<Error>>) -> Error {
    let reason = cut.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
    match reason {
        Some(reason) => reason,
        // The other end closed in good order: what it had sent is still to be taken.
        None => std::future::pending().await,
    }
}

async fn deliver(
    incoming: &mut mpsc::Receiver<Outgoing>,
    way: &mut watch::Receiver<Way>,
    inbox: &Inbox,
) -> Result<()> {
    let Some(outgoing) = incoming.recv().await else {
        return Err(Error::closed("the peer closed the link"));
    };
    loop {
        // The hub keeps the sender of every way for as long as it is there itself.
        let now = way.wait_for(|way| !way.held).await.map(|way| *way).unwrap_or_default();
        if now.delay.is_zero() {
            break;
        }
        sleep_until(outgoing.queued + now.delay).await;
        if !way.borrow().held {
            break;
        }
    }
    let room = inbox.reserve(outgoing.bytes.len()).await?;
    inbox.frame(outgoing.bytes, room).await
}

#[cfg(test)]
mod tests;
