//! A node under test, and a peer made of bare libp2p that says what it likes.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use kith_core::network::{Config, Event, Events, LinkId, Network, PeerId};
use kith_core::{Error, ErrorKind};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, StreamProtocol, Swarm};
use tokio::sync::{mpsc, oneshot};

pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub(crate) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
pub(crate) const BOTH: [&str; 2] = [TCP, QUIC];
/// No test waits longer than this for anything; none waits this long in practice.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A secret that no other test has.
pub(crate) fn secret() -> [u8; 32] {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let mut secret = [7; 32];
    secret[..8].copy_from_slice(&(LAST.fetch_add(1, Ordering::Relaxed) + 1).to_le_bytes());
    secret[8..12].copy_from_slice(&std::process::id().to_le_bytes());
    secret
}

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes too long")
}

/// A panic in a task would go unseen: the test goes on without it. With this it ends the run.
fn no_task_may_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            usual(panic);
            if tokio::task::try_id().is_some() {
                eprintln!("a task panicked: {panic}");
                std::process::abort();
            }
        }));
    });
}

pub(crate) struct Node {
    pub(crate) secret: [u8; 32],
    pub(crate) network: Network,
    pub(crate) events: Events,
}

impl Node {
    pub(crate) async fn start(listen: &[&str]) -> Self {
        Self::start_with(listen, |_| ()).await
    }

    /// Starts, and waits until it listens at each address.
    pub(crate) async fn start_with(listen: &[&str], change: impl FnOnce(&mut Config)) -> Self {
        Self::start_as(secret(), listen, change).await
    }

    /// Like [`Self::start_with`], under an identity that may have been there before.
    pub(crate) async fn start_as(
        secret: [u8; 32],
        listen: &[&str],
        change: impl FnOnce(&mut Config),
    ) -> Self {
        no_task_may_panic();
        let mut config = Config::new(secret);
        config.listen = listen.iter().map(|&address| address.to_owned()).collect();
        change(&mut config);
        let (network, mut events) = Network::start(config).unwrap();
        for _ in listen {
            match soon(events.recv()).await.unwrap() {
                Event::Listening { address } => assert!(network.addresses().contains(&address)),
                other => panic!("{other:?} before listening"),
            }
        }
        Self { secret, network, events }
    }

    pub(crate) fn id(&self) -> PeerId {
        self.network.peer_id()
    }

    pub(crate) fn address(&self) -> String {
        self.network.addresses()[0].clone()
    }

    /// The next event that is no hint.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            match soon(self.events.recv()).await.expect("the network ended") {
                Event::Listening { .. } | Event::Addresses { .. } | Event::Discovered { .. } => {}
                Event::DialFailed { .. } => {}
                event => return event,
            }
        }
    }

    pub(crate) async fn up(&mut self) -> (LinkId, PeerId) {
        match self.next().await {
            Event::LinkUp { link, peer, .. } => (link, peer),
            other => panic!("{other:?} instead of a link"),
        }
    }

    pub(crate) async fn down(&mut self) -> (LinkId, Error) {
        match self.next().await {
            Event::LinkDown { link, reason, fault, .. } => {
                // A peer is blamed for what this side has seen, not for what it says of this side.
                let blames = matches!(
                    reason.kind(),
                    ErrorKind::InvalidArgument | ErrorKind::LimitExceeded | ErrorKind::Timeout
                );
                let heard = reason.message().starts_with("the peer ended the link");
                assert_eq!(fault, blames && !heard, "{reason}");
                (link, reason)
            }
            other => panic!("{other:?} instead of the end of a link"),
        }
    }

    pub(crate) async fn frame(&mut self) -> Vec<u8> {
        match self.next().await {
            Event::Frame { bytes, .. } => bytes,
            other => panic!("{other:?} instead of a frame"),
        }
    }
}

/// Two nodes with a link; each with its name for it.
pub(crate) async fn two(listen: &str) -> (Node, Node, LinkId, LinkId) {
    let mut a = Node::start(&[]).await;
    let mut b = Node::start(&[listen]).await;
    let link = a.network.connect(&b.address()).await.unwrap();
    assert_eq!(a.up().await, (link, b.id()));
    let (other, who) = b.up().await;
    assert_eq!(who, a.id());
    (a, b, link, other)
}

#[derive(libp2p::swarm::NetworkBehaviour)]
pub(crate) struct Bare {
    streams: libp2p_stream::Behaviour,
    ping: libp2p::ping::Behaviour,
}

/// A peer that is not Kith: it can open any stream and write any bytes. It has a thread of its own, so that it can stand
/// still with all its sockets open.
pub(crate) struct Raw {
    pub(crate) id: PeerId,
    pub(crate) streams: libp2p_stream::Control,
    pub(crate) inbound: libp2p_stream::IncomingStreams,
    pub(crate) address: String,
    pub(crate) opened: mpsc::UnboundedReceiver<()>,
    pub(crate) closed: mpsc::UnboundedReceiver<()>,
    orders: mpsc::UnboundedSender<Order>,
    /// While it stands still it waits for this to be dropped.
    frozen: Option<std::sync::mpsc::Sender<()>>,
}

enum Order {
    Dial(Multiaddr),
    Cut(libp2p::PeerId),
    Freeze(oneshot::Sender<()>, std::sync::mpsc::Receiver<()>),
}

pub(crate) fn protocol() -> StreamProtocol {
    StreamProtocol::new("/kith")
}

impl Raw {
    /// One whose peer id is greater (so that it chooses) or smaller than that.
    pub(crate) async fn beside(peer: PeerId, greater: bool) -> Self {
        Self::start(Self::secret_beside(peer, greater)).await
    }

    /// The same, to be dialled over that.
    pub(crate) async fn beside_at(peer: PeerId, greater: bool, listen: &str) -> Self {
        Self::start_at(Self::secret_beside(peer, greater), listen).await
    }

    pub(crate) fn secret_beside(peer: PeerId, greater: bool) -> [u8; 32] {
        let id = |secret: &[u8; 32]| PeerId::of_identity(secret);
        std::iter::repeat_with(secret).find(|secret| (id(secret) > peer) == greater).unwrap()
    }

    pub(crate) async fn start(secret: [u8; 32]) -> Self {
        Self::start_at(secret, TCP).await
    }

    pub(crate) async fn start_at(secret: [u8; 32], listen: &str) -> Self {
        let listen: Multiaddr = listen.parse().unwrap();
        let streams = libp2p_stream::Behaviour::new();
        let mut control = streams.new_control();
        let inbound = control.accept(protocol()).unwrap();
        let (orders, orders_receiver) = mpsc::unbounded_channel();
        let (opened_sender, opened) = mpsc::unbounded_channel();
        let (closed_sender, closed) = mpsc::unbounded_channel();
        let (listening, address) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let ends =
                Ends { orders: orders_receiver, opened: opened_sender, closed: closed_sender, listening };
            runtime.block_on(live(secret, streams, listen, ends));
        });
        let id = PeerId::of_identity(&secret);
        let address = format!("{}/p2p/{id}", soon(address).await.unwrap());
        Self { id, streams: control, inbound, address, opened, closed, orders, frozen: None }
    }

    pub(crate) fn dial(&self, node: &Node) {
        self.dial_at(&node.address());
    }

    /// Dials an address with `/p2p/…`.
    pub(crate) fn dial_at(&self, address: &str) {
        assert!(self.orders.send(Order::Dial(address.parse().unwrap())).is_ok());
    }

    /// Closes all connections with the node.
    pub(crate) async fn cut(&mut self, node: &Node) {
        while self.closed.try_recv().is_ok() {}
        assert!(self.orders.send(Order::Cut(node.id().to_string().parse().unwrap())).is_ok());
        soon(self.closed.recv()).await.unwrap();
    }

    /// Stands still from now on, until it is dropped.
    pub(crate) async fn freeze(&mut self) {
        let (still, is_still) = oneshot::channel();
        let (frozen, receiver) = std::sync::mpsc::channel();
        self.frozen = Some(frozen);
        assert!(self.orders.send(Order::Freeze(still, receiver)).is_ok());
        soon(is_still).await.unwrap();
    }

    /// Dials the node and opens a stream.
    pub(crate) async fn open(&mut self, node: &Node) -> Talk {
        self.dial(node);
        soon(self.opened.recv()).await.unwrap();
        self.open_more(node).await
    }

    /// Opens a stream on a connection that is there, or comes.
    pub(crate) async fn open_more(&mut self, node: &Node) -> Talk {
        let peer = node.id().to_string().parse().unwrap();
        Talk(soon(self.streams.open_stream(peer, protocol())).await.unwrap())
    }

    /// Takes the stream that a node opens.
    pub(crate) async fn accept(&mut self) -> Talk {
        Talk(soon(self.inbound.next()).await.unwrap().1)
    }
}

/// What a raw peer's thread hears and tells.
struct Ends {
    orders: mpsc::UnboundedReceiver<Order>,
    opened: mpsc::UnboundedSender<()>,
    closed: mpsc::UnboundedSender<()>,
    listening: oneshot::Sender<Multiaddr>,
}

/// A raw peer's thread.
async fn live(secret: [u8; 32], streams: libp2p_stream::Behaviour, listen: Multiaddr, ends: Ends) {
    let Ends { mut orders, opened, closed, listening } = ends;
    let key = libp2p::identity::Keypair::ed25519_from_bytes(secret).unwrap();
    let mut swarm: Swarm<Bare> = libp2p::SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(Default::default(), libp2p::noise::Config::new, libp2p::yamux::Config::default)
        .unwrap()
        .with_quic()
        .with_behaviour(|_| Bare { streams, ping: Default::default() })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build();
    swarm.listen_on(listen).unwrap();
    let mut listening = Some(listening);
    loop {
        tokio::select! {
            event = swarm.select_next_some() => {
                let _ = match event {
                    SwarmEvent::ConnectionEstablished { .. } => opened.send(()),
                    SwarmEvent::ConnectionClosed { .. } => closed.send(()),
                    SwarmEvent::NewListenAddr { address, .. } => {
                        listening.take().map_or(Ok(()), |listening| listening.send(address).map_err(drop)).unwrap();
                        Ok(())
                    }
                    _ => Ok(()),
                };
            }
            order = orders.recv() => match order {
                Some(Order::Dial(address)) => {
                    let peer = address.iter().last();
                    let Some(libp2p::multiaddr::Protocol::P2p(peer)) = peer else { panic!("no peer") };
                    let over_quic = address.iter().any(|part| part == libp2p::multiaddr::Protocol::QuicV1);
                    let opts = libp2p::swarm::dial_opts::DialOpts::peer_id(peer)
                        .condition(libp2p::swarm::dial_opts::PeerCondition::Always)
                        .addresses(vec![address]);
                    // A port of QUIC's serves any number of connections, and costs some MiB.
                    let opts = if over_quic { opts } else { opts.allocate_new_port() };
                    swarm.dial(opts.build()).unwrap();
                }
                Some(Order::Cut(peer)) => {
                    let _ = swarm.disconnect_peer_id(peer);
                }
                Some(Order::Freeze(still, frozen)) => {
                    still.send(()).unwrap();
                    // All its connections are on this thread.
                    let _ = frozen.recv();
                }
                None => return,
            },
        }
    }
}

/// What a raw peer reads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Frame(Vec<u8>),
    Control(Vec<u8>),
    End,
}

/// A stream of a raw peer.
pub(crate) struct Talk(pub(crate) libp2p::Stream);

impl Talk {
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        soon(self.0.write_all(bytes)).await.unwrap();
        soon(self.0.flush()).await.unwrap();
    }

    /// Whether the other side still takes it.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> bool {
        soon(self.0.write_all(bytes)).await.is_ok() && soon(self.0.flush()).await.is_ok()
    }

    pub(crate) async fn control(&mut self, body: &[u8]) {
        let header = (body.len() as u32 | 1 << 31).to_le_bytes();
        self.write(&[&header, body].concat()).await;
    }

    pub(crate) async fn frame(&mut self, body: &[u8]) {
        self.write(&[&(body.len() as u32).to_le_bytes(), body, &padding(body.len())].concat()).await;
    }

    pub(crate) async fn read(&mut self) -> Heard {
        let mut header = [0; 4];
        if soon(self.0.read_exact(&mut header)).await.is_err() {
            return Heard::End;
        }
        let word = u32::from_le_bytes(header);
        let mut body = vec![0; (word & !(1 << 31)) as usize];
        if soon(self.0.read_exact(&mut body)).await.is_err() {
            return Heard::End;
        }
        if word >> 31 == 1 {
            return Heard::Control(body);
        }
        let mut zeros = padding(body.len());
        match soon(self.0.read_exact(&mut zeros)).await {
            Ok(()) if zeros.iter().all(|byte| *byte == 0) => Heard::Frame(body),
            Ok(()) => panic!("a frame is filled up with something"),
            Err(_) => Heard::End,
        }
    }

    /// Reads up to the goodbye: its code and text.
    pub(crate) async fn goodbye(&mut self) -> (u8, String) {
        loop {
            match self.read().await {
                Heard::Control(body) if body[0] == 3 => {
                    return (body[1], String::from_utf8(body[2..].to_vec()).unwrap());
                }
                Heard::End => panic!("the end without a goodbye"),
                _ => {}
            }
        }
    }

    pub(crate) async fn hello(&mut self) {
        self.control(&hello(1, 1)).await;
    }

    /// [`Self::greet`] as the side that chooses, with a node that may refuse.
    pub(crate) async fn try_greet(&mut self) -> bool {
        let hello = hello(1, 1);
        let header = (hello.len() as u32 | 1 << 31).to_le_bytes();
        let said = self.try_write(&[&header[..], &hello].concat()).await;
        let answered = said && matches!(self.read().await, Heard::Control(body) if body[0] == 1);
        answered && self.try_write(&[&(9u32 | 1 << 31).to_le_bytes()[..], &choice(1)].concat()).await
    }

    /// Hello and, where this side chooses, the choice; where it does not, takes the choice.
    pub(crate) async fn greet(&mut self, chooses: bool) {
        self.hello().await;
        assert!(matches!(self.read().await, Heard::Control(body) if body[0] == 1));
        if chooses {
            self.control(&choice(1)).await;
        } else {
            assert!(matches!(self.read().await, Heard::Control(body) if body[0] == 2 && body.len() == 9));
        }
    }
}

/// What fills a frame up, as `docs/network.md` has it.
pub(crate) fn padding(body: usize) -> Vec<u8> {
    let least = (4 + body).max(256);
    let step = ((least + 1).next_power_of_two() / 8).min(4096);
    vec![0; least.div_ceil(step) * step - 4 - body]
}

/// The choice of a stream, with its number, as `docs/network.md` has it.
pub(crate) fn choice(number: u64) -> Vec<u8> {
    [&[2][..], &number.to_le_bytes()].concat()
}

/// A hello as `docs/network.md` has it.
pub(crate) fn hello(lowest: u16, highest: u16) -> Vec<u8> {
    hello_of(lowest..=highest, 77, 1, &[])
}

/// The hello of a peer that runs as `instance` and has given its streams these numbers.
pub(crate) fn hello_of(versions: RangeInclusive<u16>, instance: u64, stream: u64, alive: &[u64]) -> Vec<u8> {
    let mut body = vec![1];
    body.extend(b"kith");
    body.extend(versions.start().to_le_bytes());
    body.extend(versions.end().to_le_bytes());
    body.extend((4u32 << 20).to_le_bytes());
    body.extend(instance.to_le_bytes());
    body.extend(stream.to_le_bytes());
    body.push(u8::try_from(alive.len()).unwrap());
    alive.iter().for_each(|stream| body.extend(stream.to_le_bytes()));
    body
}

pub(crate) fn kind<T: std::fmt::Debug>(outcome: kith_core::Result<T>) -> ErrorKind {
    outcome.unwrap_err().kind()
}
