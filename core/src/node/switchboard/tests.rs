//! The order in which a switchboard hears what its node does and what peers do.

use std::pin::Pin;

use super::*;
use crate::network::{Config, Event, Events, Hub};
use crate::storage::MemoryStore;

const CONTEXT: ContextId = ContextId([7; 32]);
const KEY: [u8; 32] = [8; 32];

/// A switchboard that runs when it is told to, and a peer that has come and asks for the context.
struct Scene {
    run: Pin<Box<dyn Future<Output = ()>>>,
    orders: mpsc::UnboundedSender<ToSwitchboard>,
    peer: Network,
    heard: Events,
    line: Link,
    link: LinkId,
    commands: mpsc::Sender<Command>,
    context: mpsc::Receiver<Command>,
}

/// Lets everything go on that can: the clock of these tests moves only when nothing else does.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

impl Scene {
    async fn new() -> Self {
        let hub = Hub::new();
        let mut config = Config::new([1; 32]);
        config.listen = vec!["/memory/0".into()];
        let (network, events) = hub.join(config).unwrap();
        let (peer, mut heard) = hub.join(Config::new([2; 32])).unwrap();
        let link = peer.connect(&network.addresses()[0]).await.unwrap();
        while !matches!(heard.recv().await.unwrap(), Event::LinkUp { .. }) {}
        let names = (peer.peer_id().to_bytes(), network.peer_id().to_bytes());
        let (mut line, hello) = Link::new(&names.0, &names.1, [3; 32]).unwrap();
        peer.send(link, hello).await.unwrap();
        assert!(line.add(CONTEXT, KEY, true).is_empty(), "it asks once it has heard the other's hello");
        let (orders, waiting) = mpsc::unbounded_channel();
        let peers = Arc::new(Peers::new(Arc::new(MemoryStore::new()), network.clone(), BTreeMap::new()));
        let run = Box::pin(Switchboard::new(network, peers, orders.clone()).run(events, waiting));
        let (commands, context) = mpsc::channel(8);
        settle().await;
        Self { run, orders, peer, heard, line, link, commands, context }
    }

    fn host(&self) {
        let commands = self.commands.clone();
        let order = ToSwitchboard::Host { context: CONTEXT, access_key: KEY, commands, ask: false };
        assert!(self.orders.send(order).is_ok());
    }

    fn taken_up(&self) {
        assert!(self.orders.send(ToSwitchboard::TakenUp).is_ok());
    }

    /// The switchboard does what there is to do.
    async fn go_on(&mut self) {
        tokio::select! {
            () = &mut self.run => panic!("it has ended"),
            () = settle() => {}
        }
    }

    /// The peer takes what has come, and says what its link says; whether it has a channel.
    async fn listen(&mut self) -> bool {
        let mut opened = false;
        while let Some(event) = self.heard.try_recv() {
            let Event::Frame { bytes, .. } = event else { continue };
            for output in self.line.receive(&bytes, [4; 32]).unwrap() {
                match output {
                    LinkOutput::Send(frame) => self.peer.send(self.link, frame).await.unwrap(),
                    LinkOutput::Opened { .. } => opened = true,
                    _ => {}
                }
            }
        }
        settle().await;
        opened
    }
}

/// What failed: a peer that was there before a node had started its contexts asked for them, was told that they are not here, and had no session
/// for as long as the link lasted.
#[tokio::test(start_paused = true)]
async fn no_peer_is_heard_before_all_contexts_are_there() {
    let mut scene = Scene::new().await;
    scene.go_on().await;
    assert!(!scene.listen().await);
    scene.host();
    scene.go_on().await;
    assert!(!scene.listen().await);
    scene.taken_up();
    // Its hello, and the answer to what the peer asks then.
    scene.go_on().await;
    assert!(!scene.listen().await);
    scene.go_on().await;
    assert!(scene.listen().await);
    assert!(matches!(scene.context.try_recv(), Ok(Command::Opened { .. })));
}

/// What failed, once in some thousand joins: a context had been created, and somebody invited, who asked for it; the node's own word that the context
/// is here waited at that moment, and was looked at second.
#[tokio::test(start_paused = true)]
async fn what_a_node_has_done_is_known_before_what_a_peer_does_then() {
    for _ in 0..32 {
        let mut scene = Scene::new().await;
        scene.taken_up();
        scene.go_on().await;
        scene.host();
        // Asks, while the switchboard is busy with something else.
        assert!(!scene.listen().await);
        scene.go_on().await;
        assert!(scene.listen().await);
    }
}

/// Each context that was here leaves nothing behind on a link that stays.
#[tokio::test(start_paused = true)]
async fn a_context_that_is_gone_leaves_nothing_on_the_link() {
    let hub = Hub::new();
    let (network, events) = hub.join(Config::new([1; 32])).unwrap();
    let mut config = Config::new([2; 32]);
    config.listen = vec!["/memory/0".into()];
    let (peer, _heard) = hub.join(config).unwrap();
    let link = network.connect(&peer.addresses()[0]).await.unwrap();
    let (orders, _waiting) = mpsc::unbounded_channel();
    let peers = Arc::new(Peers::new(Arc::new(MemoryStore::new()), network.clone(), BTreeMap::new()));
    let mut switchboard = Switchboard::new(network, peers, orders);
    drop(events);
    switchboard.link_up(link, peer.peer_id(), true, false);
    let (commands, _context) = mpsc::channel(8);
    let ended = || ToSwitchboard::Close { link, context: CONTEXT, channel: 0 };
    switchboard.order(ToSwitchboard::Host { context: CONTEXT, access_key: KEY, commands, ask: true });
    switchboard.order(ended());
    assert_eq!(switchboard.lines[&link].reopening.len(), 1, "control: a session that ends is counted");
    switchboard.order(ToSwitchboard::Unhost { context: CONTEXT });
    // Its thread says so of its sessions, too, and later.
    switchboard.order(ended());
    switchboard.order(ToSwitchboard::InStep { link, context: CONTEXT });
    assert_eq!(switchboard.lines[&link].reopening.len(), 0);
}
