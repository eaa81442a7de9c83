//! The node under attack: one context that the attacker knows of, with an honest member on another node, and one that it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kith_core::invitation::Invitation;
use kith_core::node::{
    Context, ContextStatus, CreateOptions, Encryption, Event, Events, InviteOptions, Level, Node, Options,
};
use kith_core::replica::Role;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::liar::Liar;
use crate::network::TCP;
use crate::nodes::{self, equal, join, key};

pub(crate) struct Scene {
    pub(crate) node: Node,
    pub(crate) honest: Node,
    /// What the attacker is a member of.
    pub(crate) attacked: Context,
    pub(crate) at_honest: Context,
    /// What it is not.
    pub(crate) other: Context,
    /// What the node listens with.
    transport: &'static str,
    /// How many calls of the attacker's may be there at the end that nobody can open.
    pub(crate) unopened: u64,
    /// The node's.
    directory: TempDir,
    stop: Arc<AtomicBool>,
    traffic: Option<JoinHandle<Vec<Duration>>>,
}

pub(crate) fn local() -> Options {
    over(TCP)
}

fn over(transport: &str) -> Options {
    let mut options = Options::default();
    options.listen = vec![transport.into()];
    options
}

fn on(directory: &TempDir, transport: &str) -> Options {
    let mut options = over(transport);
    options.path = Some(directory.path().join("node"));
    options
}

impl Scene {
    /// The attacked context is sealed.
    pub(crate) async fn new() -> Self {
        Self::of(Encryption::X25519, TCP).await
    }

    pub(crate) async fn over(transport: &'static str) -> Self {
        Self::of(Encryption::X25519, transport).await
    }

    pub(crate) async fn of(encryption: Encryption, transport: &'static str) -> Self {
        nodes::log();
        let directory = tempfile::tempdir().unwrap();
        let node = Node::open(on(&directory, transport)).await.unwrap();
        let honest = Node::open(over(transport)).await.unwrap();
        let mut options = CreateOptions::default();
        options.encryption = encryption;
        let attacked = node.create_context(options).await.unwrap();
        let other = node.create_context(CreateOptions::default()).await.unwrap();
        let at_honest = join(&attacked, &honest, Role::Writer).await.unwrap();
        attacked.put(key("before"), b"kept").await.unwrap();
        equal(&attacked, &at_honest).await;
        let mut scene = Self {
            node,
            honest,
            attacked,
            at_honest,
            other,
            transport,
            unopened: 0,
            directory,
            stop: Arc::default(),
            traffic: None,
        };
        scene.traffic = Some(scene.write_elsewhere());
        scene
    }

    pub(crate) async fn invitation(&self) -> Invitation {
        let mut options = InviteOptions::default();
        options.max_uses = 100;
        let mut invitation = self.attacked.invite(options).await.unwrap();
        // The node under attack itself, and not its friend.
        invitation.addresses.retain(|address| address.ends_with(&self.node.id()));
        invitation
    }

    pub(crate) async fn liar(&self) -> Liar {
        Liar::join(&self.invitation().await).await
    }

    /// Writes to the other context for as long as the attack lasts, one put after the other.
    fn write_elsewhere(&self) -> JoinHandle<Vec<Duration>> {
        let (other, stop) = (self.other.clone(), Arc::clone(&self.stop));
        tokio::spawn(async move {
            let mut took = Vec::new();
            while !stop.load(Ordering::Relaxed) || took.len() < 100 {
                let since = Instant::now();
                other.put(key("traffic"), &took.len().to_le_bytes()).await.unwrap();
                took.push(since.elapsed());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            took
        })
    }

    /// Both have one history, and of that all but what nobody can open.
    pub(crate) async fn in_step(&self) {
        wait_for("the honest member and the node are in step", || async {
            let (a, b) = (self.attacked.status().await.unwrap(), self.at_honest.status().await.unwrap());
            let settled = |status: &ContextStatus| status.pending == 0 && status.unopened <= self.unopened;
            let same = a.digest == b.digest && settled(&a) && settled(&b) && a.unopened == b.unopened;
            assert!(!same || a.commitment == b.commitment);
            same
        })
        .await;
    }

    /// The attack is over: nothing is lost, the honest member and the node are in step, and the other context went on all the time.
    pub(crate) async fn ends_whole(mut self, attack: &str) {
        let attack = if self.transport == TCP { attack } else { &format!("{attack} over QUIC") };
        self.at_honest.put(key("after"), b"goes on").await.unwrap();
        self.in_step().await;
        for context in [&self.attacked, &self.at_honest] {
            for (name, value) in [("before", &b"kept"[..]), ("after", b"goes on")] {
                let found = context.get(key(name), Level::Tentative).await.unwrap();
                assert_eq!(found.as_deref(), Some(value), "{attack}");
            }
        }
        self.stop.store(true, Ordering::Relaxed);
        let mut took = self.traffic.take().unwrap().await.unwrap();
        let last = self.other.get(key("traffic"), Level::Tentative).await.unwrap().unwrap();
        assert_eq!(last, (took.len() - 1).to_le_bytes(), "{attack}: every put of the other context is there");
        took.sort();
        let at = |share: usize| took[(took.len() - 1) * share / 100];
        // `cargo xtask bench attacks` reads this.
        println!(
            "attack: {attack}: {} puts in another context meanwhile, µs: p50 {}, p99 {}, most {}",
            took.len(),
            at(50).as_micros(),
            at(99).as_micros(),
            at(100).as_micros()
        );
        let (attacked, other) = (self.attacked.id(), self.other.id());
        let before = [&self.attacked, &self.other].map(|context| context.status());
        let [before, elsewhere] = futures::future::join_all(before).await.try_into().unwrap();
        self.node.shutdown().await.unwrap();
        self.honest.shutdown().await.unwrap();
        // What it has is what it finds again.
        let node = Node::open(on(&self.directory, self.transport)).await.unwrap();
        for (id, before) in [(attacked, before), (other, elsewhere)] {
            let context = node.context(id).unwrap();
            let (before, now) = (before.unwrap(), context.status().await.unwrap());
            assert_eq!((now.digest, now.commitment), (before.digest, before.commitment), "{attack}");
            assert_eq!(context.verify().await.unwrap().difference, None, "{attack}");
        }
        node.shutdown().await.unwrap();
    }
}

/// Why this peer is connected no more, as the host hears.
pub(crate) async fn parted(events: &mut Events, liar: &Liar) -> String {
    let liar = liar.network.peer_id().to_string();
    let of_it = |event: &Event| matches!(event, Event::PeerDisconnected { peer, .. } if *peer == liar);
    match nodes::until(events, of_it).await {
        Event::PeerDisconnected { reason, .. } => reason,
        other => unreachable!("{other:?}"),
    }
}

/// Waits for something that the node shows without an event.
pub(crate) async fn wait_for<F: Future<Output = bool>>(what: &str, so: impl Fn() -> F) {
    let wait = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(nodes::PATIENCE, wait).await.is_ok(), "in vain: {what}");
}
