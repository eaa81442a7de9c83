//! The handle that a node holds. What carries the links – sockets or memory – is behind a channel of commands.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libp2p::Multiaddr;
use tokio::sync::{mpsc, oneshot, watch};

use super::gossip::{Judgement, MessageName, Topic};
use super::link::Links;
use super::unlinked::{Counts, Unlinked};
use super::{LinkId, PeerId, PeerStatus, RelayStatus, address};
use crate::{Error, ErrorKind, Result, limits};

/// Commands that wait for the network's task.
const COMMANDS: usize = 64;

/// A node's endpoint: a handle that can be cloned. When the last clone is dropped the network closes as by
/// [`Self::shutdown`], in the background.
#[derive(Clone)]
pub struct Network {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    stopped: watch::Receiver<bool>,
    connect_within: Duration,
    addresses_each: usize,
    pub(super) gossips: bool,
}

/// What the handles and the network's task both see.
pub(super) struct Shared {
    pub(super) peer: PeerId,
    pub(super) links: Links,
    pub(super) addresses: Mutex<Vec<String>>,
    /// Every link has ended, and what is left is the transports' own.
    pub(super) quiet: watch::Sender<bool>,
    /// Whether each relay has given a place, or has not the first time.
    pub(super) relays_tried: watch::Sender<bool>,
    pub(super) unlinked: Counts,
}

impl Shared {
    pub(super) fn new(peer: PeerId) -> Self {
        Self {
            peer,
            links: Links::default(),
            addresses: Mutex::new(Vec::new()),
            quiet: watch::Sender::new(false),
            relays_tried: watch::Sender::new(true),
            unlinked: Counts::default(),
        }
    }
}

pub(super) enum Command {
    Connect { peer: PeerId, addresses: Vec<Multiaddr>, reply: oneshot::Sender<Result<LinkId>> },
    Disconnect { link: LinkId },
    Know { peer: PeerId, addresses: Vec<Multiaddr>, reply: oneshot::Sender<Result<()>> },
    Forget { peer: PeerId },
    Peers { reply: oneshot::Sender<Vec<PeerStatus>> },
    Relays { reply: oneshot::Sender<Vec<RelayStatus>> },
    Subscribe { topic: Topic },
    Unsubscribe { topic: Topic },
    Publish { topic: Topic, bytes: Vec<u8> },
    Judge { name: MessageName, judgement: Judgement },
    Shutdown,
}

/// The other end of a handle.
pub(super) struct Backend {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) shared: Arc<Shared>,
    /// Says that everything is closed; so does dropping it.
    pub(super) stopped: watch::Sender<bool>,
}

fn is_closed() -> Error {
    Error::closed("the network is closed")
}

impl Network {
    pub(super) fn new(peer: PeerId, limits: &super::Limits) -> (Self, Backend) {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (stopped, stopped_receiver) = watch::channel(false);
        let shared = Arc::new(Shared::new(peer));
        let network = Self {
            commands,
            shared: Arc::clone(&shared),
            stopped: stopped_receiver,
            // The network's task gives up by itself before that, with a better reason.
            connect_within: limits.dial + limits.handshake + Duration::from_secs(5),
            addresses_each: limits.addresses,
            gossips: false,
        };
        (network, Backend { commands: receiver, shared, stopped })
    }

    /// This node's name.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.shared.peer
    }

    /// Where this node listens now: full addresses with `/p2p/…`, wildcards expanded to the machine's own addresses.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.shared.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Queues a frame on a link, waiting while the link's queue is full. That it was queued does not mean that it
    /// arrived.
    ///
    /// `Closed`: the link is gone. `LimitExceeded`: the frame is larger than both sides take.
    pub async fn send(&self, link: LinkId, frame: Vec<u8>) -> Result<()> {
        self.shared.links.send(link, frame).await
    }

    /// Like [`Self::send`], but never waits: `Busy` if the link's queue is full.
    pub fn try_send(&self, link: LinkId, frame: Vec<u8>) -> Result<()> {
        self.shared.links.try_send(link, frame)
    }

    /// Dials an address that names its peer, and waits until a link with that peer is up (at once if one is already).
    ///
    /// `InvalidArgument`: the address cannot be dialled. `Unreachable`: with the reason. `VersionMismatch`: the peer
    /// is there and speaks no version that this build speaks.
    pub async fn connect(&self, address: &str) -> Result<LinkId> {
        let (peer, address) = address::parse_with_peer(address)?;
        self.connect_any(peer, vec![address]).await
    }

    /// Like [`Self::connect`], trying several addresses of one peer.
    pub async fn connect_peer(&self, peer: PeerId, addresses: &[String]) -> Result<LinkId> {
        let addresses = address::parse_all(peer, addresses, self.addresses_each)?;
        if addresses.is_empty() {
            return Err(Error::invalid_argument("no address to dial"));
        }
        self.connect_any(peer, addresses).await
    }

    /// Dials all the peers that these addresses name at once, each at all of its addresses, and waits until each is linked or was not reached.
    pub(crate) async fn connect_each(&self, addresses: &[String]) {
        let mut dials = tokio::task::JoinSet::new();
        for (peer, addresses) in address::by_peer(addresses, self.addresses_each) {
            let network = self.clone();
            dials.spawn(async move {
                if let Err(error) = network.connect_any(peer, addresses).await {
                    tracing::debug!(%peer, %error, "a member is not reached");
                }
            });
        }
        // A panic there has been logged.
        while dials.join_next().await.is_some() {}
    }

    async fn connect_any(&self, peer: PeerId, addresses: Vec<Multiaddr>) -> Result<LinkId> {
        if peer == self.shared.peer {
            return Err(Error::invalid_argument("the address is of this node itself"));
        }
        let (reply, answer) = oneshot::channel();
        self.command(Command::Connect { peer, addresses, reply }).await?;
        match tokio::time::timeout(self.connect_within, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(is_closed()),
            Err(_) => Err(Error::new(ErrorKind::Unreachable, format!("{peer} did not answer in time"))),
        }
    }

    /// Closes a link after what is queued on it has been sent. A peer that is to be kept connected is dialled again:
    /// [`Self::forget`] it first.
    pub async fn disconnect(&self, link: LinkId) -> Result<()> {
        self.shared.links.close(link);
        self.command(Command::Disconnect { link }).await
    }

    /// Like [`Self::know`], for an address that names its peer. A peer that is kept connected already keeps the addresses that
    /// it is known by.
    pub async fn keep(&self, address: &str) -> Result<()> {
        let (peer, _) = address::parse_with_peer(address)?;
        if self.peers().await?.iter().any(|status| status.peer == peer && status.known) {
            return Ok(());
        }
        self.know(peer, &[address.to_owned()]).await
    }

    /// From now on keeps a link with the peer: dials it now and again after each loss, ever more slowly while it cannot
    /// be reached. Replaces the addresses from before.
    pub async fn know(&self, peer: PeerId, addresses: &[String]) -> Result<()> {
        if peer == self.shared.peer {
            return Err(Error::invalid_argument("the peer is this node itself"));
        }
        let addresses = address::parse_all(peer, addresses, self.addresses_each)?;
        let (reply, answer) = oneshot::channel();
        self.command(Command::Know { peer, addresses, reply }).await?;
        answer.await.unwrap_or_else(|_| Err(is_closed()))
    }

    /// Does not dial the peer any more. A link with it stays.
    pub async fn forget(&self, peer: PeerId) -> Result<()> {
        self.command(Command::Forget { peer }).await
    }

    /// How it stands with each peer that is to be kept connected or has a link; sorted by peer.
    pub async fn peers(&self) -> Result<Vec<PeerStatus>> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Peers { reply }).await?;
        answer.await.map_err(|_| is_closed())
    }

    /// How many connections others have made since the start that came to no link.
    #[must_use]
    pub fn unlinked(&self) -> Unlinked {
        self.shared.unlinked.read()
    }

    /// Whether there is gossip: it is turned on, and there are sockets.
    #[must_use]
    pub fn gossips(&self) -> bool {
        self.gossips
    }

    /// Takes part in gossip on a topic: [`super::Event::Gossip`] comes from now on, and each is to be judged.
    pub async fn subscribe(&self, topic: Topic) -> Result<()> {
        self.command(Command::Subscribe { topic }).await
    }

    /// Takes part no more.
    pub async fn unsubscribe(&self, topic: Topic) -> Result<()> {
        self.command(Command::Unsubscribe { topic }).await
    }

    /// Publishes a message of at most [`limits::GOSSIP`] bytes on a topic. It is a hint: nobody may hear of it, and it may be dropped. The
    /// same bytes are published once.
    pub async fn publish(&self, topic: Topic, bytes: Vec<u8>) -> Result<()> {
        if bytes.len() > limits::GOSSIP {
            return Err(Error::limit_exceeded(format!(
                "a message for gossip has at most {} bytes, not {}",
                limits::GOSSIP,
                bytes.len()
            )));
        }
        self.command(Command::Publish { topic, bytes }).await
    }

    /// Says what a message is worth: only accepted ones are passed on.
    pub async fn judge(&self, name: MessageName, judgement: Judgement) -> Result<()> {
        self.command(Command::Judge { name, judgement }).await
    }

    /// How it stands with each of the relays that this node was started with, in that order.
    pub async fn relays(&self) -> Result<Vec<RelayStatus>> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Relays { reply }).await?;
        answer.await.map_err(|_| is_closed())
    }

    /// Waits until each relay has given a place or has refused it once, for so long at most.
    pub async fn wait_relays(&self, patience: Duration) {
        let mut tried = self.shared.relays_tried.subscribe();
        // Whoever waits goes on in any case.
        let _ = tokio::time::timeout(patience, tried.wait_for(|tried| *tried)).await;
    }

    /// Says goodbye on every link, closes everything and releases the sockets. Takes a few seconds at most, however
    /// peers behave, and can be called again.
    pub async fn shutdown(&self) {
        // Once the task is gone it takes no commands, and there is nothing left to do.
        let _ = self.commands.send(Command::Shutdown).await;
        let mut stopped = self.stopped.clone();
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    /// Like [`Self::shutdown`], but leaves it to the end of the runtime to release the sockets: what a transport waits for then (a QUIC
    /// connection that was closed before its first round trip was measured drains for three seconds) is nothing to anybody.
    pub(crate) async fn say_goodbye(&self) {
        let _ = self.commands.send(Command::Shutdown).await;
        let (mut quiet, mut stopped) = (self.shared.quiet.subscribe(), self.stopped.clone());
        tokio::select! {
            _ = quiet.wait_for(|quiet| *quiet) => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    async fn command(&self, command: Command) -> Result<()> {
        self.commands.send(command).await.map_err(|_| is_closed())
    }
}
