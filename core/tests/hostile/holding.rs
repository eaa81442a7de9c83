//! Peers that hold as many streams open as their transport lets them, over TCP and over QUIC: below libp2p's swarm, which would keep to limits of
//! its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use libp2p::core::transport::{Boxed, DialOpts, ListenerId, PortUse};
use libp2p::core::upgrade::Version;
use libp2p::core::{Endpoint, Transport};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId, noise, quic, tcp, yamux};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::heap::Watch;
use crate::network::{BOTH, QUIC, secret};
use crate::nodes::PATIENCE;
use crate::scene::{Scene, wait_for};

/// What a connection takes, those included that the node opens itself: as `docs/network.md` has it.
const STREAMS: usize = 64;
/// Connections that others make.
const CONNECTIONS: usize = 128;
/// What each side of a stream begins with.
const HEADER: &[u8] = b"\x13/multistream/1.0.0\n";

/// How many streams are open now, and were at once.
#[derive(Default)]
struct Held {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// One of them.
struct One(Arc<Held>);

impl Drop for One {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Held {
    fn one_more(self: &Arc<Self>) -> One {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        One(Arc::clone(self))
    }

    fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

#[derive(Debug, PartialEq)]
enum Told {
    /// As many are open as were to be.
    Full,
    /// The node has ended the connection, or not taken it.
    Ended,
}

/// Connections that open streams as fast as they can, and hold them.
struct Crowd {
    address: Multiaddr,
    held: Arc<Held>,
    told: mpsc::UnboundedReceiver<Told>,
    tell: mpsc::UnboundedSender<Told>,
    all: JoinSet<()>,
}

impl Crowd {
    fn new(scene: &Scene) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let address = scene.node.addresses().remove(0).parse().unwrap();
        Self { address, held: Arc::default(), told, tell, all: JoinSet::new() }
    }

    /// One more connection, which says when so many of those that it wants are open.
    fn add(&mut self, stranger: Stranger, wanted: usize, full: usize) {
        let (address, held, tell) = (self.address.clone(), Arc::clone(&self.held), self.tell.clone());
        self.all.spawn(async move {
            hold(stranger, address, wanted, full, &held, &tell).await;
            // Nobody listens at the end of the test.
            let _ = tell.send(Told::Ended);
        });
    }

    async fn told(&mut self) -> Told {
        tokio::time::timeout(PATIENCE, self.told.recv()).await.expect("something comes of it").unwrap()
    }
}

/// Somebody who has not come yet, with the socket that QUIC needs: a few MiB, which are none of the node's.
struct Stranger {
    transport: Boxed<(PeerId, StreamMuxerBox)>,
    over_quic: bool,
}

impl Stranger {
    fn new(over: &str) -> Self {
        let key = Keypair::ed25519_from_bytes(secret()).unwrap();
        let over_quic = over == QUIC;
        let transport = if over_quic {
            let transport = quic::tokio::Transport::new(quic::Config::new(&key));
            let mut transport = transport.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer))).boxed();
            transport.listen_on(ListenerId::next(), over.parse().unwrap()).unwrap();
            transport
        } else {
            tcp::tokio::Transport::new(tcp::Config::new())
                .upgrade(Version::V1)
                .authenticate(noise::Config::new(&key).unwrap())
                .multiplex(yamux::Config::default())
                .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
                .boxed()
        };
        Self { transport, over_quic }
    }
}

/// Ends with the connection.
async fn hold(
    mut stranger: Stranger,
    address: Multiaddr,
    wanted: usize,
    full: usize,
    held: &Arc<Held>,
    tell: &mpsc::UnboundedSender<Told>,
) {
    let port_use = if stranger.over_quic { PortUse::Reuse } else { PortUse::New };
    let dialling = stranger.transport.dial(address, DialOpts { role: Endpoint::Dialer, port_use });
    let Ok((_, muxer)) = dialling.unwrap().await else { return };
    let (opened, mut streams) = mpsc::unbounded_channel();
    let mut driving = std::pin::pin!(drive(muxer, wanted, opened));
    let (mut holding, mut count) = (JoinSet::new(), 0);
    loop {
        tokio::select! {
            () = &mut driving => return,
            Some(stream) = streams.recv() => {
                count += 1;
                holding.spawn(keep(stream, held.one_more()));
                if count == full {
                    // As above.
                    let _ = tell.send(Told::Full);
                }
            }
        }
    }
}

async fn drive(mut muxer: StreamMuxerBox, mut wanted: usize, opened: mpsc::UnboundedSender<SubstreamBox>) {
    std::future::poll_fn(|cx| {
        loop {
            // What the node opens is of no interest.
            match muxer.poll_inbound_unpin(cx) {
                Poll::Ready(Ok(_)) => continue,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            if wanted > 0 {
                match muxer.poll_outbound_unpin(cx) {
                    Poll::Ready(Ok(stream)) => {
                        wanted -= 1;
                        // Fails only when nobody holds them any more.
                        let _ = opened.send(stream);
                        continue;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            match muxer.poll_unpin(cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

/// Begins to say what it wants, and never goes on.
async fn keep(mut stream: SubstreamBox, _one: One) {
    let mut heard = [0; HEADER.len()];
    if stream.write_all(HEADER).await.is_ok() && stream.flush().await.is_ok() {
        // The node takes up some, and leaves the others for later.
        while stream.read(&mut heard).await.is_ok_and(|count| count > 0) {}
    }
}

/// QUIC has a peer wait for room; with Yamux the stream that is too many ends the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_holds_no_more_streams_than_a_connection_takes() {
    for transport in BOTH {
        let scene = Scene::over(transport).await;
        // The control: half of them are no reason to end anything.
        let mut modest = Crowd::new(&scene);
        modest.add(Stranger::new(transport), STREAMS / 2, STREAMS / 2);
        assert_eq!(modest.told().await, Told::Full, "{transport}");
        let mut greedy = Crowd::new(&scene);
        greedy.add(Stranger::new(transport), 3 * STREAMS, STREAMS);
        let told = greedy.told().await;
        if transport == QUIC {
            assert_eq!(told, Told::Full);
            assert_eq!(greedy.held.now(), STREAMS);
        } else {
            // Opened here and told to the node are two things.
            let ended = if told == Told::Full { greedy.told().await } else { told };
            assert_eq!(ended, Told::Ended);
        }
        assert_eq!(modest.held.now(), STREAMS / 2, "{transport}: they stay");
        scene.ends_whole("more streams than a connection takes").await;
        if transport == QUIC {
            assert_eq!(greedy.held.most(), STREAMS, "nor later");
        }
    }
}

/// 10,000 streams at once, from more peers than connections are taken: the node holds what connections there may be times what each takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_streams_at_once() {
    /// Some are left for what the node opens itself.
    const EACH: usize = STREAMS - 4;
    const PEERS: usize = 170;
    for transport in BOTH {
        let scene = Scene::over(transport).await;
        let (mut watch, mut crowd) = (Watch::begin().await, Crowd::new(&scene));
        let mut strangers: Vec<Stranger> = (0..PEERS).map(|_| Stranger::new(transport)).collect();
        watch.again();
        let (mut full, mut ended) = (0, 0);
        while !strangers.is_empty() || ended < PEERS - CONNECTIONS {
            // One after the other: of those that are being set up few are taken.
            if let Some(stranger) = strangers.pop() {
                crowd.add(stranger, EACH, EACH);
            }
            match crowd.told().await {
                Told::Full => full += 1,
                Told::Ended => ended += 1,
            }
        }
        // What was opened on a connection before it was refused.
        let held = &crowd.held;
        wait_for("no more than there is room for", || async { held.now() <= CONNECTIONS * STREAMS }).await;
        let (now, most) = (held.now(), held.most());
        println!(
            "{transport}: of {PEERS} peers {full} had all {EACH}, {ended} were refused; {now} streams, {most} tried"
        );
        assert!(most >= CONNECTIONS / 2 * EACH, "the limit is not near: {most}");
        watch.at_most(200, "10,000 streams at once");
        drop(crowd);
        scene.ends_whole("10,000 streams at once").await;
    }
}
