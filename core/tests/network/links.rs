use std::time::Duration;

use kith_core::ErrorKind;
use kith_core::network::{Event, LinkId};

use crate::common::*;

/// Both know all addresses of the other and dial at the same moment; both end with the same one link, and what they
/// send from the first moment on arrives once and in order.
async fn both_dial(rounds: usize, listen: &[&str]) {
    let mut closing = tokio::task::JoinSet::new();
    for round in 0..rounds {
        let mut a = Node::start(listen).await;
        let mut b = Node::start(listen).await;
        let (to_a, to_b) = (a.network.addresses(), b.network.addresses());
        let (a_id, b_id) = (a.id(), b.id());
        let (one, two, three, four) = soon(async {
            tokio::join!(
                a.network.connect(&to_b[0]),
                b.network.connect(&to_a[0]),
                a.network.connect_peer(b_id, &to_b),
                b.network.connect_peer(a_id, &to_a),
            )
        })
        .await;
        let (here, there) = (one.unwrap(), two.unwrap());
        assert_eq!((here, there), (three.unwrap(), four.unwrap()), "round {round}");
        for n in 0..20 {
            a.network.send(here, vec![n]).await.unwrap();
            b.network.send(there, vec![n]).await.unwrap();
        }
        assert_eq!(a.up().await, (here, b.id()), "round {round}");
        assert_eq!(b.up().await, (there, a.id()), "round {round}");
        // Any other link, and any loss or doubling, would show up between these.
        for n in 0..20 {
            assert_eq!(a.frame().await, [n], "round {round}");
            assert_eq!(b.frame().await, [n], "round {round}");
        }
        a.network.disconnect(here).await.unwrap();
        assert_eq!(b.down().await.0, there, "round {round}");
        assert_eq!(a.down().await.0, here, "round {round}");
        for node in [a, b] {
            closing.spawn(async move { node.network.shutdown().await });
        }
    }
    closing.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_simultaneous_dials_end_with_one_link_over_tcp() {
    both_dial(50, &[TCP]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_simultaneous_dials_end_with_one_link_over_tcp_and_quic_together() {
    both_dial(50, &[TCP, QUIC]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_simultaneous_dials_end_with_one_link_over_quic() {
    both_dial(50, &[QUIC]).await;
}

/// The node chooses. A second connection of a peer whose first one is alive is surplus; of one that has lost the first,
/// or was started anew, it carries the next link.
#[tokio::test]
async fn surplus_connections_are_closed_and_lost_ones_replaced() {
    let mut node = Node::start(&[TCP]).await;
    let secret = Raw::secret_beside(node.id(), false);
    let mut first = Raw::start(secret).await;
    let mut talk = first.open(&node).await;
    talk.greet(false).await;
    let (link, who) = node.up().await;
    assert_eq!((who, node.network.connect(&first.address).await.unwrap()), (first.id, link));

    let mut second = Raw::start(secret).await;
    let mut surplus = second.open(&node).await;
    surplus.control(&hello_of(1..=1, 77, 2, &[1])).await;
    assert_eq!(surplus.goodbye().await.0, 3);
    drop(surplus);
    soon(second.closed.recv()).await.unwrap();
    talk.frame(b"as before").await;
    assert_eq!(node.frame().await, b"as before");

    for (instance, stream) in [(77, 3), (78, 1)] {
        let mut next = Raw::start(secret).await;
        let mut talk = next.open(&node).await;
        talk.control(&hello_of(1..=1, instance, stream, &[])).await;
        assert!(matches!(node.next().await, Event::LinkDown { .. }));
        node.up().await;
        talk.frame(b"anew").await;
        assert_eq!(node.frame().await, b"anew");
        first = next;
    }
    drop(first);
    node.down().await;
}

/// The peer chooses: the node takes what is chosen, also while it has a link.
#[tokio::test]
async fn what_the_other_side_chooses_is_taken() {
    let mut node = Node::start(&[TCP]).await;
    let secret = Raw::secret_beside(node.id(), true);
    let mut first = Raw::start(secret).await;
    let mut old = first.open(&node).await;
    old.greet(true).await;
    let (link, _) = node.up().await;
    old.frame(b"one").await;
    assert_eq!(node.frame().await, b"one");
    let mut second = Raw::start(secret).await;
    let mut new = second.open(&node).await;
    new.control(&hello_of(1..=1, 77, 2, &[1])).await;
    // Until it is chosen it changes nothing.
    old.frame(b"two").await;
    assert_eq!(node.frame().await, b"two");
    let mut third = Raw::start(secret).await;
    let mut late = third.open(&node).await;
    late.control(&hello_of(1..=1, 77, 3, &[1, 2])).await;
    new.control(&choice(3)).await;
    assert_eq!(node.down().await.0, link);
    node.up().await;
    new.frame(b"three").await;
    assert_eq!(node.frame().await, b"three");
    soon(first.closed.recv()).await.unwrap();
    // An earlier choice that arrives later is not taken.
    late.control(&choice(2)).await;
    assert_eq!(late.goodbye().await.0, 3);
    new.frame(b"four").await;
    assert_eq!(node.frame().await, b"four");
}

/// The node chooses, and the hello of the peer's old process arrives after the new one's.
#[tokio::test]
async fn a_late_hello_of_an_old_process_does_not_end_the_link() {
    let mut node = Node::start(&[TCP]).await;
    let secret = Raw::secret_beside(node.id(), false);
    let mut first = Raw::start(secret).await;
    let mut old = first.open(&node).await;
    // The node's hello says that it has opened its side.
    assert!(matches!(old.read().await, Heard::Control(body) if body[0] == 1));
    let mut second = Raw::start(secret).await;
    let mut new = second.open(&node).await;
    new.control(&hello_of(1..=1, 78, 1, &[])).await;
    node.up().await;
    old.control(&hello_of(1..=1, 77, 1, &[])).await;
    assert_eq!(old.goodbye().await.0, 3);
    new.frame(b"as before").await;
    assert_eq!(node.frame().await, b"as before");
}

#[tokio::test]
async fn connecting_says_what_is_wrong() {
    let a = Node::start(&[]).await;
    let b = Node::start(&[TCP]).await;
    let address = b.address();
    let connect = |address: String| {
        let network = a.network.clone();
        async move { kind(soon(network.connect(&address)).await) }
    };
    assert_eq!(connect("nonsense".into()).await, ErrorKind::InvalidArgument);
    assert_eq!(connect("/ip4/127.0.0.1/tcp/1".into()).await, ErrorKind::InvalidArgument);
    assert_eq!(connect(format!("/memory/1/p2p/{}", b.id())).await, ErrorKind::InvalidArgument);
    assert_eq!(connect(format!("/ip4/127.0.0.1/tcp/9/p2p/{}", a.id())).await, ErrorKind::InvalidArgument);
    // Somebody else is there.
    let other = kith_core::network::PeerId::of_identity(&secret());
    let wrong = address.replace(&b.id().to_string(), &other.to_string());
    let error = soon(a.network.connect(&wrong)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.message().contains(&b.id().to_string()), "{error}");
    // Nobody is there any more.
    b.network.shutdown().await;
    let error = soon(a.network.connect(&address)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.message().to_lowercase().contains("refused"), "{error}");
}

#[tokio::test]
async fn queued_frames_arrive_before_an_orderly_end() {
    for listen in [TCP, QUIC] {
        let (mut a, mut b, link, other) = two(listen).await;
        for n in 0..100u8 {
            a.network.send(link, vec![n; 10_000]).await.unwrap();
        }
        a.network.disconnect(link).await.unwrap();
        assert_eq!(kind(a.network.send(link, vec![]).await), ErrorKind::Closed);
        for n in 0..100u8 {
            assert_eq!(b.frame().await, vec![n; 10_000]);
        }
        let (down, reason) = b.down().await;
        assert_eq!((down, reason.kind()), (other, ErrorKind::Closed));
        assert!(reason.message().contains("on purpose"), "{reason}");
        assert_eq!(a.down().await.0, link);
        let again = a.network.connect(&b.address()).await.unwrap();
        assert!(again > link);
        assert_eq!(a.up().await.0, again);
    }
}

/// The consumer takes nothing until the peer, and with it the connection, is long gone.
async fn late(listen: &str) {
    let a = Node::start(&[]).await;
    let mut b = Node::start_with(&[listen], |config| config.limits.events = 1).await;
    let link = a.network.connect(&b.address()).await.unwrap();
    for n in 0..20u8 {
        a.network.send(link, vec![n; 5_000]).await.unwrap();
    }
    a.network.shutdown().await;
    soon(async {
        while b.network.peers().await.unwrap().iter().any(|peer| peer.link.is_some()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    b.up().await;
    for n in 0..20u8 {
        assert_eq!(b.frame().await, vec![n; 5_000]);
    }
    assert_eq!(b.down().await.1.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn what_had_arrived_is_handed_over_after_the_connection_is_gone_over_tcp() {
    late(TCP).await;
}

#[tokio::test]
async fn what_had_arrived_is_handed_over_after_the_connection_is_gone_over_quic() {
    late(QUIC).await;
}

async fn linked(node: &mut Node) -> LinkId {
    loop {
        if let Event::LinkUp { link, .. } = node.next().await {
            return link;
        }
    }
}

#[tokio::test]
async fn a_lost_peer_is_noticed_and_linked_again_when_it_is_back_on_the_same_port() {
    for listen in [TCP, QUIC] {
        let mut b = Node::start(&[listen]).await;
        let mut a = Node::start_with(&[], |config| {
            config.known_peers = vec![(b.id(), b.network.addresses())];
        })
        .await;
        a.up().await;
        b.up().await;
        let (address, id) = (b.address(), b.id());
        let before = std::time::Instant::now();
        b.network.shutdown().await;
        let (_, reason) = a.down().await;
        assert_eq!(reason.kind(), ErrorKind::Closed, "{reason}");
        assert!(before.elapsed() < Duration::from_secs(5));
        // It is tried again, in vain, and says so.
        loop {
            if let Event::DialFailed { peer, reason } = soon(a.events.recv()).await.unwrap() {
                assert_eq!((peer, reason.kind()), (id, ErrorKind::Unreachable));
                break;
            }
        }
        let status = a.network.peers().await.unwrap().remove(0);
        assert!(status.link.is_none() && status.last_failure.is_some() && status.next_attempt_in.is_some());
        let same = address.split("/p2p/").next().unwrap().to_owned();
        let mut b = Node::start_as(b.secret, &[&same], |_| ()).await;
        linked(&mut a).await;
        b.up().await;
        let status = a.network.peers().await.unwrap().remove(0);
        assert!(status.link.is_some() && status.connected_for.is_some() && status.last_failure.is_none());
        b.network.shutdown().await;
    }
}

/// Both restart the connection after it broke under them: both know each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_know_each_other_come_back_together() {
    let mut a = Node::start(&[TCP, QUIC]).await;
    let mut b = Node::start(&[TCP, QUIC]).await;
    a.network.know(b.id(), &b.network.addresses()).await.unwrap();
    b.network.know(a.id(), &a.network.addresses()).await.unwrap();
    for _ in 0..5 {
        let link = linked(&mut a).await;
        linked(&mut b).await;
        a.network.disconnect(link).await.unwrap();
        assert_eq!(a.down().await.0, link);
        b.down().await;
    }
}

#[tokio::test]
async fn peers_say_where_they_listen() {
    let mut b = Node::start(&[TCP, QUIC]).await;
    let mut a = Node::start(&[]).await;
    a.network.connect(&b.address()).await.unwrap();
    loop {
        if let Event::Addresses { peer, mut addresses } = soon(a.events.recv()).await.unwrap() {
            assert_eq!(peer, b.id());
            let mut expected = b.network.addresses();
            addresses.sort();
            expected.sort();
            assert_eq!(addresses, expected);
            break;
        }
    }
    b.up().await;
}

#[tokio::test]
async fn a_wildcard_is_expanded_to_addresses_that_can_be_dialled() {
    let a = Node::start(&[]).await;
    let b = Node::start(&["/ip4/0.0.0.0/tcp/0"]).await;
    let address = soon(async {
        loop {
            if let Some(address) = b.network.addresses().into_iter().find(|a| a.starts_with("/ip4/127.")) {
                return address;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!address.contains("/tcp/0/"), "{address}");
    a.network.connect(&address).await.unwrap();
}

#[tokio::test]
async fn a_name_is_looked_up() {
    let a = Node::start(&[]).await;
    let b = Node::start(&[TCP]).await;
    let named = b.address().replace("/ip4/127.0.0.1/", "/dns4/localhost/");
    a.network.connect(&named).await.unwrap();
}
