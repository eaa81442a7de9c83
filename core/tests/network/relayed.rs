//! Links through a real relay on loopback, between nodes that cannot reach each other in any other way; and the way from there to a direct
//! connection.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use kith_core::ErrorKind;
use kith_core::network::{Config, Event, RelayStatus};
use libp2p::StreamProtocol;

use crate::common::*;
use crate::relay::{Relay, generous};

const HOP: StreamProtocol = StreamProtocol::new("/libp2p/circuit/relay/0.2.0/hop");

/// A node that listens at nothing but a relay, with what to change.
async fn behind(relay: &Relay, listen: &[&str], change: impl FnOnce(&mut Config)) -> Node {
    let address = relay.address.clone();
    let mut node = Node::start_with(listen, |config| {
        config.relays = vec![address];
        config.hole_punching = false;
        change(config);
    })
    .await;
    match soon(node.events.recv()).await.unwrap() {
        Event::Listening { address } => assert!(address.contains("/p2p-circuit/p2p/"), "{address}"),
        other => panic!("{other:?} before there is a place"),
    }
    node
}

fn circuit(node: &Node) -> String {
    node.network.addresses().into_iter().find(|address| address.contains("/p2p-circuit")).unwrap()
}

async fn relayed(node: &Node) -> bool {
    node.network.peers().await.unwrap().iter().any(|peer| peer.relayed && peer.link.is_some())
}

/// The first status of the only relay that fits.
async fn status(node: &Node, fits: impl Fn(&RelayStatus) -> bool) -> RelayStatus {
    soon(async {
        loop {
            let relays = node.network.relays().await.unwrap();
            assert_eq!(relays.len(), 1);
            if fits(&relays[0]) {
                return relays[0].clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

async fn reason(node: &Node) -> ErrorKind {
    let status = status(node, |status| status.last_failure.is_some()).await;
    assert!(status.address.is_none());
    status.last_failure.unwrap().kind()
}

#[tokio::test]
async fn nodes_that_listen_nowhere_have_a_link_through_a_relay() {
    let relay = Relay::start(generous()).await;
    let mut a = behind(&relay, &[], |_| ()).await;
    let mut b = Node::start_with(&[], |config| config.hole_punching = false).await;
    assert_eq!(a.network.addresses(), [format!("{}/p2p-circuit/p2p/{}", relay.address, a.id())]);
    assert!(b.network.addresses().is_empty());
    let link = b.network.connect(&circuit(&a)).await.unwrap();
    assert_eq!(b.up().await, (link, a.id()));
    let Event::LinkUp { link: other, peer, address, outbound } = a.next().await else { panic!() };
    assert_eq!((peer, outbound), (b.id(), false));
    assert_eq!(address, format!("{}/p2p-circuit/p2p/{}", relay.address, b.id()));
    assert!(relayed(&a).await && relayed(&b).await);
    let status = status(&a, |status| status.address.is_some()).await;
    assert!(status.last_failure.is_none() && status.next_attempt_in.is_none());
    assert_eq!(status.most_bytes, Some(1 << 30));
    for n in 0..50u8 {
        a.network.send(other, vec![n; 4096]).await.unwrap();
        b.network.send(link, vec![n; 4096]).await.unwrap();
    }
    for n in 0..50u8 {
        assert_eq!(a.frame().await, [n; 4096]);
        assert_eq!(b.frame().await, [n; 4096]);
    }
    // The relay has carried all of it and seen none of it.
    let streams = relay.streams();
    assert!(streams.iter().map(Vec::len).sum::<usize>() > 2 * 50 * 4096);
    assert!(!streams.iter().any(|bytes| bytes.windows(64).any(|window| window == [7; 64])));
    // A large frame, and the end in good order.
    let large = vec![9; 1 << 20];
    b.network.send(link, large.clone()).await.unwrap();
    assert_eq!(a.frame().await, large);
    b.network.shutdown().await;
    assert_eq!(a.down().await.1.kind(), ErrorKind::Closed);
    a.network.shutdown().await;
}

/// Frames run both ways all the time, through the relay and then directly: none is lost, none comes twice, all in order. Whether there was a link through
/// the relay for both: a direct connection that is there before the first stream has been opened is right as well, and leaves nothing to take over.
async fn upgraded(listen: &str) -> bool {
    let relay = Relay::start_on(listen, generous()).await;
    let mut a = behind(&relay, &[listen], |config| config.hole_punching = true).await;
    let mut b = behind(&relay, &[listen], |config| config.hole_punching = true).await;
    b.network.connect(&circuit(&a)).await.unwrap();
    let (mut links, mut sent, mut heard) = ([None, None], [0u32, 0], [0u32, 0]);
    let mut ended = [false, false];
    let mut after = 0;
    soon(async {
        // Until much has gone over the direct link as well.
        while after < 200 || sent[0] != heard[1] || sent[1] != heard[0] {
            for (i, node) in [&mut a, &mut b].into_iter().enumerate() {
                while let Some(event) = node.events.try_recv() {
                    match event {
                        Event::LinkUp { link, address, .. } => {
                            assert!(links[i].is_none());
                            links[i] = Some((link, address.contains("/p2p-circuit")));
                        }
                        Event::LinkDown { link, reason, .. } => {
                            assert_eq!((links[i], reason.kind()), (Some((link, true)), ErrorKind::Closed));
                            links[i] = None;
                            ended[i] = true;
                        }
                        Event::Frame { bytes, .. } => {
                            heard[i] += 1;
                            assert_eq!(bytes[..4], heard[i].to_le_bytes(), "what was sent came, in order");
                        }
                        _ => {}
                    }
                }
                let Some((link, relayed)) = links[i] else { continue };
                if after < 200 {
                    let frame = [&(sent[i] + 1).to_le_bytes()[..], &[1; 3000]].concat();
                    // What a link has taken arrives; what it has not is sent on the next one.
                    if node.network.try_send(link, frame).is_ok() {
                        sent[i] += 1;
                        after += u32::from(!relayed);
                    }
                }
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    })
    .await;
    assert!(!relayed(&a).await && !relayed(&b).await);
    a.network.shutdown().await;
    b.network.shutdown().await;
    ended == [true, true]
}

/// The same, with such a link before.
async fn upgrade(listen: &str) {
    for _ in 0..20 {
        if upgraded(listen).await {
            return;
        }
    }
    panic!("there never was a link through the relay before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direct_connection_takes_over_without_losing_a_frame_over_tcp() {
    upgrade(TCP).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direct_connection_takes_over_without_losing_a_frame_over_quic() {
    upgrade(QUIC).await;
}

/// Who is found in the local network, or tells an address, need not wait for hole punching.
#[tokio::test]
async fn an_address_that_is_learnt_later_takes_over_from_the_relay() {
    let relay = Relay::start(generous()).await;
    let mut a = behind(&relay, &[TCP], |_| ()).await;
    let mut b = Node::start_with(&[], |config| config.hole_punching = false).await;
    let link = b.network.connect(&circuit(&a)).await.unwrap();
    b.up().await;
    a.up().await;
    let direct = a.network.addresses().into_iter().find(|address| !address.contains("/p2p-circuit")).unwrap();
    assert_eq!(b.network.connect(&direct).await.unwrap(), link, "there is a link: nobody waits");
    assert_eq!(b.down().await.0, link);
    let (next, _) = b.up().await;
    a.down().await;
    a.up().await;
    assert!(!relayed(&b).await);
    // Another way through the relay is surplus now.
    assert_eq!(b.network.connect(&circuit(&a)).await.unwrap(), next);
    b.network.send(next, b"directly".to_vec()).await.unwrap();
    assert_eq!(a.frame().await, b"directly");
}

#[tokio::test]
async fn a_relay_that_dies_and_comes_back_gives_the_links_back() {
    let relay = Relay::start(generous()).await;
    let mut a = behind(&relay, &[], |_| ()).await;
    let mut b = behind(&relay, &[], |_| ()).await;
    b.network.know(a.id(), &[circuit(&a)]).await.unwrap();
    a.up().await;
    b.up().await;
    let dead = relay.kill();
    a.down().await;
    b.down().await;
    assert_eq!(reason(&a).await, ErrorKind::Unreachable);
    assert!(a.network.addresses().is_empty(), "a place that is lost is told to nobody");
    let _relay = dead.revive(generous()).await;
    status(&a, |status| status.address.is_some()).await;
    a.up().await;
    b.up().await;
    assert!(relayed(&a).await);
}

/// Two minutes or 128 KiB are what relays give by default: the link is cut and comes again, and again.
#[tokio::test]
async fn a_connection_that_the_relay_cuts_comes_again() {
    let config = libp2p::relay::Config { max_circuit_bytes: 128 << 10, ..generous() };
    let relay = Relay::start(config).await;
    let mut a = behind(&relay, &[], |_| ()).await;
    let mut b = Node::start_with(&[], |config| config.hole_punching = false).await;
    b.network.know(a.id(), &[circuit(&a)]).await.unwrap();
    for _ in 0..3 {
        let (link, _) = b.up().await;
        a.up().await;
        while b.network.send(link, vec![1; 8 << 10]).await.is_ok() {}
        b.down().await;
        while !matches!(a.next().await, Event::LinkDown { .. }) {}
    }
}

#[tokio::test]
async fn why_a_relay_gives_no_place_is_told() {
    let full = Relay::start(libp2p::relay::Config { max_reservations: 0, ..generous() }).await;
    let at = |address: &str| {
        let address = address.to_owned();
        Node::start_with(&[], move |config| config.relays = vec![address])
    };
    assert_eq!(reason(&at(&full.address).await).await, ErrorKind::Busy);
    let closed = Relay::start(generous()).await;
    let address = closed.address.clone();
    drop(closed);
    let node = at(&address).await;
    assert_eq!(reason(&node).await, ErrorKind::Unreachable);
    node.network.wait_relays(PATIENCE).await;
    // Another node of ours is no relay.
    let other = Node::start(&[TCP]).await;
    assert_eq!(reason(&at(&other.address()).await).await, ErrorKind::Unsupported);
    // Somebody else answers there.
    let stranger = full.address.rsplit_once('/').unwrap().0.to_owned() + "/" + &other.id().to_string();
    assert_eq!(reason(&at(&stranger).await).await, ErrorKind::Unreachable);
}

/// A message of the relay's protocol, with its length: {type, reservation {expire, address}, status}.
fn answer(kind: u8, status: u64, reservation: Option<(u64, &[u8])>) -> Vec<u8> {
    fn varint(mut n: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while n > 0x7f {
            bytes.push(n as u8 | 0x80);
            n >>= 7;
        }
        bytes.push(n as u8);
        bytes
    }
    let mut body = vec![0x08, kind];
    if let Some((expire, address)) = reservation {
        let inner = [&[0x08][..], &varint(expire), &[0x12, address.len() as u8], address].concat();
        body.extend([&[0x1a, inner.len() as u8][..], &inner].concat());
    }
    body.push(0x28);
    body.extend(varint(status));
    [&varint(body.len() as u64)[..], &body].concat()
}

/// What a relay may do to a node that asks for a place: each has a reason, and another relay serves all the while.
#[tokio::test]
async fn hostile_relays_get_nowhere() {
    let good = Relay::start(generous()).await;
    let in_a_year =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 31_536_000;
    let wild: &[u8] = &[4, 198, 51, 100, 1, 6, 0, 22];
    let cases: Vec<(&str, Option<Vec<u8>>, ErrorKind)> = vec![
        ("garbage", Some(vec![0xab; 2000]), ErrorKind::InvalidArgument),
        ("a huge length", Some(vec![0xff, 0xff, 0xff, 0xff, 0x0f]), ErrorKind::InvalidArgument),
        ("half an answer", Some(vec![40, 8]), ErrorKind::Unreachable),
        ("nothing", None, ErrorKind::Unreachable),
        ("refused", Some(answer(2, 200, None)), ErrorKind::PermissionDenied),
        ("denied", Some(answer(2, 202, None)), ErrorKind::PermissionDenied),
        ("no room", Some(answer(2, 201, None)), ErrorKind::Busy),
        ("a question for an answer", Some(answer(0, 100, None)), ErrorKind::InvalidArgument),
        ("no reservation", Some(answer(2, 100, None)), ErrorKind::InvalidArgument),
        ("one that is over", Some(answer(2, 100, Some((1, wild)))), ErrorKind::InvalidArgument),
        (
            "an address of nothing",
            Some(answer(2, 100, Some((in_a_year, &[255; 9])))),
            ErrorKind::InvalidArgument,
        ),
    ];
    for (what, says, kind) in cases {
        let mut raw = Raw::start(secret()).await;
        let mut asked = raw.streams.accept(HOP).unwrap();
        let relays = vec![raw.address.clone(), good.address.clone()];
        let node = Node::start_with(&[], |config| config.relays = relays).await;
        let (_, mut stream) = soon(asked.next()).await.unwrap();
        if let Some(says) = says {
            // The node may have hung up already.
            let _ = stream.write_all(&says).await;
        }
        let _ = stream.close().await;
        drop(stream);
        node.network.wait_relays(PATIENCE).await;
        let relays = node.network.relays().await.unwrap();
        assert_eq!(
            relays[0].last_failure.as_ref().map(kith_core::Error::kind),
            Some(kind),
            "{what}: {relays:?}"
        );
        assert!(relays[0].next_attempt_in.is_some() && relays[1].address.is_some(), "{what}");
        node.network.shutdown().await;
    }
}

/// A relay says where the node is reached; nobody hears of it. And it never answers, or closes whenever it has given a place.
#[tokio::test]
async fn what_a_relay_says_about_the_node_is_told_to_nobody() {
    let in_a_year =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 31_536_000;
    let mut raw = Raw::start(secret()).await;
    let mut asked = raw.streams.accept(HOP).unwrap();
    let address = raw.address.clone();
    let node = Node::start_with(&[], |config| config.relays = vec![address]).await;
    for _ in 0..2 {
        let (_, mut stream) = soon(asked.next()).await.unwrap();
        let mut question = vec![0; 3];
        soon(stream.read_exact(&mut question)).await.unwrap();
        stream.write_all(&answer(2, 100, Some((in_a_year, &[4, 198, 51, 100, 1, 6, 0, 22])))).await.unwrap();
        stream.close().await.unwrap();
        let status = status(&node, |status| status.address.is_some()).await;
        assert_eq!(status.address.unwrap(), format!("{}/p2p-circuit/p2p/{}", raw.address, node.id()));
        assert_eq!(node.network.addresses(), [format!("{}/p2p-circuit/p2p/{}", raw.address, node.id())]);
        raw.cut(&node).await;
        assert_eq!(reason(&node).await, ErrorKind::Unreachable);
    }
    let (_, _stream) = soon(asked.next()).await.unwrap();
    assert!(node.network.relays().await.unwrap()[0].next_attempt_in.is_none(), "it is being asked");
    soon(node.network.shutdown()).await;
}

#[tokio::test]
async fn each_can_be_turned_off() {
    let relay = Relay::start(generous()).await;
    let a = behind(&relay, &[], |_| ()).await;
    let b = Node::start_with(&[], |config| config.through_relays = false).await;
    assert_eq!(kind(b.network.connect(&circuit(&a)).await), ErrorKind::Unreachable);
    assert!(b.network.relays().await.unwrap().is_empty());
    // With the same address and relays turned on it is reached: see above.
    let c = Node::start_with(&[], |_| ()).await;
    c.network.connect(&circuit(&a)).await.unwrap();
}
