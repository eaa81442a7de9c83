//! One dial of a peer with many addresses: all of them are tried, and it does not matter how many of them answer.

use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use kith_core::ErrorKind;

use crate::common::*;

/// Addresses at which nobody answers: at some of them a dial is refused at once, at the others it is never answered as long as the sockets are there.
fn dead(refused: usize, silent: usize) -> (Vec<String>, Vec<UdpSocket>) {
    let ports: Vec<TcpListener> = (0..refused).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let sockets: Vec<UdpSocket> = (0..silent).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let tcp = ports.iter().map(|port| port.local_addr().unwrap().port());
    let tcp: Vec<String> = tcp.map(|port| format!("/ip4/127.0.0.1/tcp/{port}")).collect();
    let quic = sockets.iter().map(|socket| socket.local_addr().unwrap().port());
    let quic = quic.map(|port| format!("/ip4/127.0.0.1/udp/{port}/quic-v1"));
    (quic.chain(tcp).collect(), sockets)
}

/// As many dead ones as there may be addresses, but for one; those that take their time come first.
#[tokio::test]
async fn one_dial_tries_every_address_and_finds_the_one_that_lives() {
    for listen in BOTH {
        let dialer = Node::start_with(&[], |config| config.limits.dial = Duration::from_millis(300)).await;
        let peer = Node::start(&[listen]).await;
        let (mut addresses, _sockets) = dead(6, 9);
        addresses.extend(peer.network.addresses());
        assert_eq!(addresses.len(), 16);
        soon(dialer.network.connect_peer(peer.id(), &addresses)).await.unwrap();
        // The control: without the last one there is nobody, and each of the others was tried.
        let nobody = Node::start(&[]).await;
        let error = soon(dialer.network.connect_peer(nobody.id(), &addresses[..15])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        for address in &addresses[..15] {
            assert!(error.message().contains(address.as_str()), "{address} was not tried: {error}");
        }
    }
}

/// Others answer at most of the addresses, and faster: other nodes, and the one that dials itself.
#[tokio::test]
async fn who_answers_in_a_peers_place_does_not_hide_it() {
    let [on_machine, other]: [Vec<&str>; 2] =
        [vec![TCP; 3], vec![TCP, QUIC, TCP, QUIC, TCP, QUIC, TCP, QUIC]];
    let dialer = Node::start(&on_machine).await;
    let stranger = Node::start(&other).await;
    let peer = Node::start(&[TCP]).await;
    let bare = |node: &Node| -> Vec<String> {
        let addresses = node.network.addresses();
        addresses.iter().map(|address| address.split("/p2p/").next().unwrap().to_owned()).collect()
    };
    let wrong = [bare(&stranger), bare(&dialer)].concat();
    let addresses = [&wrong[..], &bare(&peer)].concat();
    let link = soon(dialer.network.connect_peer(peer.id(), &addresses)).await;
    link.unwrap_or_else(|error| panic!("{error}"));
    // The control: without it they are seen for what they are, and it ends.
    let nobody = Node::start(&[]).await;
    let error = soon(dialer.network.connect_peer(nobody.id(), &wrong)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
}

/// All of a machine's addresses answer, over TCP and QUIC: those that are slower than the first one must not be in its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_with_many_live_addresses_is_linked_by_one_dial() {
    let listen: Vec<String> = (1..=8)
        .flat_map(|n| BOTH.map(|address| address.replace("127.0.0.1", &format!("127.0.0.{n}"))))
        .collect();
    let listen: Vec<&str> = listen.iter().map(String::as_str).collect();
    let mut peer = Node::start(&listen).await;
    let addresses = peer.network.addresses();
    assert_eq!(addresses.len(), 16);
    for round in 0..20 {
        let dialer = Node::start(&[]).await;
        let link = soon(dialer.network.connect_peer(peer.id(), &addresses)).await;
        link.unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(peer.up().await.1, dialer.id(), "round {round}");
        drop(dialer);
        peer.down().await;
    }
}
