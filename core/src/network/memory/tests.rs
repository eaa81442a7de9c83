use super::*;

struct Peer {
    network: Network,
    events: Events,
}

impl Peer {
    fn join(hub: &Hub, n: u8) -> Self {
        Self::join_with(hub, n, |_| ())
    }

    fn join_with(hub: &Hub, n: u8, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new([n; 32]);
        change(&mut config);
        let (network, events) = hub.join(config).unwrap();
        Self { network, events }
    }

    fn id(&self) -> PeerId {
        self.network.peer_id()
    }

    fn address(&self) -> String {
        self.network.addresses()[0].clone()
    }

    /// The next event, but for where the peer says that it listens.
    async fn next(&mut self) -> Event {
        loop {
            let event =
                tokio::time::timeout(Duration::from_secs(20), self.events.recv()).await.unwrap().unwrap();
            if !matches!(event, Event::Addresses { .. }) {
                return event;
            }
        }
    }

    /// Whether there is nothing to be told now.
    fn is_idle(&mut self) -> bool {
        std::iter::from_fn(|| self.events.try_recv()).all(|event| matches!(event, Event::Addresses { .. }))
    }

    async fn up(&mut self) -> (LinkId, PeerId) {
        loop {
            match self.next().await {
                Event::LinkUp { link, peer, .. } => return (link, peer),
                Event::Listening { .. } | Event::DialFailed { .. } => {}
                other => panic!("{other:?} instead of a link"),
            }
        }
    }

    async fn frame(&mut self) -> Vec<u8> {
        match self.next().await {
            Event::Frame { bytes, .. } => bytes,
            other => panic!("{other:?} instead of a frame"),
        }
    }

    async fn down(&mut self) -> (LinkId, Error) {
        match self.next().await {
            Event::LinkDown { link, reason, .. } => (link, reason),
            other => panic!("{other:?} instead of the end"),
        }
    }
}

async fn two() -> (Hub, Peer, Peer, LinkId, LinkId) {
    let hub = Hub::new();
    let (mut a, mut b) = (Peer::join(&hub, 1), Peer::join(&hub, 2));
    let link = a.network.connect(&b.address()).await.unwrap();
    assert_eq!(a.up().await, (link, b.id()));
    let (other, who) = b.up().await;
    assert_eq!(who, a.id());
    (hub, a, b, link, other)
}

#[tokio::test]
async fn frames_go_both_ways_in_order() {
    let (_hub, mut a, mut b, link, other) = two().await;
    let there = tokio::spawn({
        let network = a.network.clone();
        async move {
            for n in 0..10_000u32 {
                network.send(link, n.to_le_bytes().to_vec()).await.unwrap();
            }
        }
    });
    let back = tokio::spawn({
        let network = b.network.clone();
        async move {
            for n in 0..10_000u32 {
                network.send(other, n.to_be_bytes().to_vec()).await.unwrap();
            }
        }
    });
    for n in 0..10_000u32 {
        assert_eq!(b.frame().await, n.to_le_bytes());
        assert_eq!(a.frame().await, n.to_be_bytes());
    }
    there.await.unwrap();
    back.await.unwrap();
}

#[tokio::test]
async fn sizes_at_the_edge_and_one_past() {
    let (_hub, a, mut b, link, _) = two().await;
    let most = crate::limits::FRAME;
    for len in [0, 1, most] {
        a.network.send(link, vec![7; len]).await.unwrap();
        assert_eq!(b.frame().await.len(), len);
    }
    let past = a.network.send(link, vec![7; most + 1]).await.unwrap_err();
    assert_eq!(past.kind(), ErrorKind::LimitExceeded);
    assert_eq!(a.network.try_send(link, vec![7; most + 1]).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[tokio::test]
async fn there_is_one_link_however_often_both_dial() {
    let hub = Hub::new();
    let (a, b) = (Peer::join(&hub, 1), Peer::join(&hub, 2));
    let (to_a, to_b) = (a.address(), b.address());
    let (first, second, third) =
        tokio::join!(a.network.connect(&to_b), b.network.connect(&to_a), a.network.connect(&to_b));
    assert_eq!(first.unwrap(), third.unwrap());
    second.unwrap();
    assert_eq!(a.network.peers().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_slow_consumer_stops_the_sender() {
    let hub = Hub::new();
    let small = |config: &mut Config| {
        config.limits.frame = 1000;
        config.limits.outbound_bytes = 4000;
        config.limits.inbound_bytes_per_link = 4000;
        config.limits.events = 2;
    };
    let a = Peer::join_with(&hub, 1, small);
    let mut b = Peer::join_with(&hub, 2, small);
    let link = a.network.connect(&b.address()).await.unwrap();
    let mut sent = 0u32;
    // Both queues fill up; then nothing is taken any more until the consumer moves.
    loop {
        match tokio::time::timeout(Duration::from_millis(200), a.network.send(link, vec![0; 1000])).await {
            Ok(outcome) => outcome.unwrap(),
            Err(_) => break,
        }
        sent += 1;
        assert!(sent < 20, "no back-pressure");
    }
    assert_eq!(a.network.try_send(link, vec![0; 1000]).unwrap_err().kind(), ErrorKind::Busy);
    b.up().await;
    for _ in 0..sent {
        b.frame().await;
    }
    a.network.send(link, vec![1]).await.unwrap();
    assert_eq!(b.frame().await, [1]);
}

#[tokio::test]
async fn disconnecting_lets_what_was_sent_arrive() {
    let (_hub, mut a, mut b, link, other) = two().await;
    for n in 0..100 {
        a.network.send(link, vec![n]).await.unwrap();
    }
    a.network.disconnect(link).await.unwrap();
    for n in 0..100 {
        assert_eq!(b.frame().await, [n]);
    }
    assert_eq!(b.down().await.0, other);
    assert_eq!(a.down().await.0, link);
    assert_eq!(a.network.send(link, vec![]).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(b.network.try_send(other, vec![]).unwrap_err().kind(), ErrorKind::Closed);
    assert!(a.network.connect(&b.address()).await.unwrap() > link);
}

#[tokio::test]
async fn held_frames_wait_and_are_lost_when_cut() {
    let (hub, mut a, mut b, link, other) = two().await;
    hub.hold(a.id(), b.id());
    a.network.send(link, vec![1]).await.unwrap();
    b.network.send(other, vec![2]).await.unwrap();
    assert_eq!(a.frame().await, [2]);
    assert!(b.is_idle());
    hub.release(a.id(), b.id());
    assert_eq!(b.frame().await, [1]);
    hub.hold(a.id(), b.id());
    a.network.send(link, vec![3]).await.unwrap();
    hub.cut(a.id(), b.id());
    assert_eq!(b.down().await.1.kind(), ErrorKind::Unreachable);
    assert_eq!(a.down().await.0, link);
}

#[tokio::test(start_paused = true)]
async fn delayed_frames_come_later_but_not_one_after_the_other() {
    let (hub, a, mut b, link, _) = two().await;
    hub.delay(a.id(), b.id(), Duration::from_secs(3));
    let start = tokio::time::Instant::now();
    for n in 0..10 {
        a.network.send(link, vec![n]).await.unwrap();
    }
    for n in 0..10 {
        assert_eq!(b.frame().await, [n]);
    }
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_known_peer_is_linked_again_after_a_partition_and_after_it_was_away() {
    let hub = Hub::new();
    let mut b = Peer::join(&hub, 2);
    let known = (b.id(), vec![b.address()]);
    let mut a = Peer::join_with(&hub, 1, |config| config.known_peers = vec![known]);
    a.up().await;
    b.up().await;
    hub.partition(a.id(), b.id());
    a.down().await;
    b.down().await;
    assert_eq!(b.network.connect(&a.address()).await.unwrap_err().kind(), ErrorKind::Unreachable);
    assert!(matches!(a.next().await, Event::DialFailed { .. }));
    let status = a.network.peers().await.unwrap().remove(0);
    assert!(status.known && status.link.is_none() && status.last_failure.is_some());
    assert!(status.next_attempt_in.is_some());
    hub.heal(a.id(), b.id());
    a.up().await;
    b.up().await;

    b.network.shutdown().await;
    b.network.shutdown().await;
    assert!(matches!(b.next().await, Event::LinkDown { .. }));
    assert!(b.events.recv().await.is_none());
    a.down().await;
    assert!(matches!(a.next().await, Event::DialFailed { .. }));
    let mut b = Peer::join(&hub, 2);
    assert_eq!(a.up().await.1, b.id());
    assert_eq!(b.up().await.1, a.id());
    let status = a.network.peers().await.unwrap().remove(0);
    assert!(status.link.is_some() && status.last_failure.is_none());

    a.network.forget(b.id()).await.unwrap();
    hub.cut(a.id(), b.id());
    a.down().await;
    assert!(a.network.peers().await.unwrap().is_empty());
}

#[test]
fn a_node_whose_runtime_is_dropped_is_gone() {
    let hub = Hub::new();
    let one = tokio::runtime::Runtime::new().unwrap();
    let two = tokio::runtime::Runtime::new().unwrap();
    let mut a = one.block_on(async { Peer::join(&hub, 1) });
    let b = two.block_on(async { Peer::join(&hub, 2) });
    one.block_on(async {
        a.network.connect(&b.address()).await.unwrap();
        a.up().await;
    });
    drop(two);
    one.block_on(async {
        a.down().await;
        assert_eq!(a.network.connect(&b.address()).await.unwrap_err().kind(), ErrorKind::Unreachable);
        b.network.shutdown().await;
        Peer::join(&hub, 2);
    });
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let hub = Hub::new();
    let a = Peer::join(&hub, 1);
    assert_eq!(hub.join(Config::new([1; 32])).err().unwrap().kind(), ErrorKind::Busy);
    let kind = |outcome: Result<LinkId>| outcome.unwrap_err().kind();
    assert_eq!(kind(a.network.connect("nonsense").await), ErrorKind::InvalidArgument);
    assert_eq!(kind(a.network.connect("/ip4/192.0.2.1/tcp/1").await), ErrorKind::InvalidArgument);
    assert_eq!(kind(a.network.connect(&a.address()).await), ErrorKind::InvalidArgument);
    let stranger = PeerId::of_identity(&[9; 32]);
    assert_eq!(kind(a.network.connect(&format!("/memory/1/p2p/{stranger}")).await), ErrorKind::Unreachable);
    a.network.shutdown().await;
    assert_eq!(kind(a.network.connect(&format!("/memory/1/p2p/{stranger}")).await), ErrorKind::Closed);
    assert!(std::thread::spawn(move || hub.join(Config::new([3; 32])).is_err()).join().unwrap());
}
