use std::time::Duration;

use kith_core::ErrorKind;
use kith_core::network::{Config, Event, Network, PeerId};

use crate::common::*;

fn port(address: &str) -> u16 {
    address.split('/').nth(4).unwrap().parse().unwrap()
}

#[tokio::test]
async fn shutting_down_twice_releases_every_socket_at_once() {
    for _ in 0..5 {
        let (mut a, mut b, _, _) = two(TCP).await;
        let mut c = Node::start(&[TCP, QUIC]).await;
        let quic = c.network.addresses().into_iter().find(|address| address.contains("quic")).unwrap();
        b.network.connect(&quic).await.unwrap();
        c.up().await;
        b.up().await;
        let (tcp, addresses) = (port(&b.address()), c.network.addresses());
        let begin = std::time::Instant::now();
        tokio::join!(b.network.shutdown(), c.network.shutdown());
        assert!(begin.elapsed() < Duration::from_secs(8));
        b.network.shutdown().await;
        // Without SO_REUSEADDR a listener could not bind while connections linger; that is what listeners use.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(([127, 0, 0, 1], tcp).into()).unwrap();
        socket.listen(1).unwrap();
        for address in addresses {
            if address.contains("quic") {
                std::net::UdpSocket::bind(("127.0.0.1", port(&address))).unwrap();
            }
        }
        assert!(b.network.addresses().is_empty());
        assert_eq!(a.down().await.1.kind(), ErrorKind::Closed);
        // The end of each link, and then the end.
        let mut downs = 0;
        while let Some(event) = soon(b.events.recv()).await {
            downs += usize::from(matches!(event, Event::LinkDown { .. }));
        }
        assert_eq!(downs, 2);
        assert_eq!(kind(b.network.connect(&a_random_address()).await), ErrorKind::Closed);
        assert_eq!(kind(b.network.peers().await), ErrorKind::Closed);
    }
}

fn a_random_address() -> String {
    format!("/ip4/127.0.0.1/tcp/9/p2p/{}", PeerId::of_identity(&secret()))
}

#[tokio::test]
async fn shutting_down_does_not_wait_for_a_peer_that_does_not_read() {
    let node = Node::start(&[TCP]).await;
    let mut raw = Raw::beside(node.id(), true).await;
    let mut talk = raw.open(&node).await;
    talk.greet(true).await;
    let link = node.network.connect(&raw.address).await.unwrap();
    while node.network.try_send(link, vec![0; 1 << 20]).is_ok() {
        tokio::task::yield_now().await;
    }
    raw.freeze().await;
    let waiting = tokio::spawn({
        let network = node.network.clone();
        async move { network.send(link, vec![0; 4 << 20]).await }
    });
    let begin = std::time::Instant::now();
    node.network.shutdown().await;
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    assert_eq!(kind(soon(waiting).await.unwrap()), ErrorKind::Closed);
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_network() {
    let (a, mut b, _, other) = two(TCP).await;
    let Node { network, mut events, .. } = a;
    drop(network);
    assert_eq!(b.down().await.0, other);
    while soon(events.recv()).await.is_some() {}
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_at_once() {
    for (listen, transport) in [(TCP, "tcp"), (QUIC, "quic")] {
        let node = Node::start(&[listen]).await;
        let mut config = Config::new(secret());
        config.listen = vec![node.address().split("/p2p/").next().unwrap().to_owned()];
        let error = Network::start(config).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Busy, "{transport}: {error}");
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_an_error_at_once() {
    let start = |change: fn(&mut Config)| {
        let mut config = Config::new(secret());
        change(&mut config);
        Network::start(config).err().unwrap().kind()
    };
    assert_eq!(start(|c| c.listen = vec!["nonsense".into()]), ErrorKind::InvalidArgument);
    assert_eq!(start(|c| c.listen = vec!["/ip4/192.0.2.1/tcp/0".into()]), ErrorKind::InvalidArgument);
    assert_eq!(start(|c| c.limits.links = 0), ErrorKind::InvalidArgument);
    assert_eq!(
        start(|c| c.known_peers = vec![(PeerId::of_identity(&c.identity), vec![])]),
        ErrorKind::InvalidArgument
    );
}

#[test]
fn outside_a_runtime_it_says_so() {
    let error = Network::start(Config::new(secret())).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn too_many_known_peers_are_refused() {
    let node = Node::start_with(&[], |config| config.limits.known_peers = 2).await;
    let peers: Vec<_> = (0..3).map(|_| PeerId::of_identity(&secret())).collect();
    for peer in &peers[..2] {
        node.network.know(*peer, &[]).await.unwrap();
    }
    assert_eq!(kind(node.network.know(peers[2], &[]).await), ErrorKind::LimitExceeded);
    node.network.know(peers[1], &[]).await.unwrap();
    node.network.forget(peers[1]).await.unwrap();
    node.network.know(peers[2], &[]).await.unwrap();
    let many = vec!["/ip4/127.0.0.1/tcp/9".to_owned(); 17];
    assert_eq!(kind(node.network.know(peers[2], &many).await), ErrorKind::LimitExceeded);
    assert_eq!(kind(node.network.know(node.id(), &[]).await), ErrorKind::InvalidArgument);
}
