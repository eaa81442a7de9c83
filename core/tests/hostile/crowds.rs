//! Strangers without number, over TCP and over QUIC: streams, connections, half frames. Bounded memory, and the others notice nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::heap::Watch;
use crate::network::{BOTH, Heard, QUIC, Raw, TCP, Talk, protocol, secret};
use crate::scene::Scene;

async fn stream(raw: &mut Raw, peer: libp2p::PeerId) -> Option<Talk> {
    let opened =
        tokio::time::timeout(crate::nodes::PATIENCE, raw.streams.open_stream(peer, protocol())).await;
    opened.expect("an answer to each stream").ok().map(Talk)
}

/// 10,000 streams (with QUIC some fewer) from four peers, each kept open for as long as the node lets it: the node takes one on a connection, resets the
/// surplus, and ends a connection that offers too many; the peer then comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_streams() {
    for (transport, streams) in [(TCP, 10_000), (QUIC, 2_000)] {
        let scene = Scene::over(transport).await;
        let address = scene.node.addresses().remove(0);
        let peer: libp2p::PeerId = scene.node.id().parse().unwrap();
        let watch = Watch::begin().await;
        let opened = Arc::new(AtomicUsize::new(0));
        let crowd = (0..4).map(|_| {
            let (opened, address) = (Arc::clone(&opened), address.clone());
            tokio::spawn(async move {
                let mut raw = Raw::start(secret()).await;
                let mut kept: Vec<Talk> = Vec::new();
                while opened.load(Ordering::Relaxed) < streams {
                    kept.clear();
                    raw.dial_at(&address);
                    tokio::time::timeout(crate::nodes::PATIENCE, raw.opened.recv()).await.unwrap();
                    while raw.closed.try_recv().is_err() && opened.load(Ordering::Relaxed) < streams {
                        let Some(talk) = stream(&mut raw, peer).await else { continue };
                        opened.fetch_add(1, Ordering::Relaxed);
                        kept.push(talk);
                    }
                }
            })
        });
        for one in crowd {
            one.await.unwrap();
        }
        // Other tests' nodes, with the sockets of QUIC, come and go beside it.
        watch.at_most(40, "10,000 streams");
        scene.ends_whole("10,000 streams").await;
    }
}

/// More peers than connections are allowed, each with a frame that claims 4 MiB and never comes; then they go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_with_half_a_frame_each() {
    const PEERS: usize = 160;
    for transport in BOTH {
        let scene = Scene::over(transport).await;
        let address = scene.node.addresses().remove(0);
        let peer: libp2p::PeerId = scene.node.id().parse().unwrap();
        let (mut crowd, mut linked, mut refused) = (Vec::new(), 0, 0);
        let greater = true;
        let (mut watch, mut peers) = (Watch::begin().await, Vec::new());
        for _ in 0..PEERS {
            peers.push(Raw::beside_at(scene.node.id().parse().unwrap(), greater, transport).await);
        }
        // Their sockets are none of the node's: with QUIC they are most of it all.
        watch.again();
        for mut raw in peers {
            raw.dial_at(&address);
            tokio::time::timeout(crate::nodes::PATIENCE, raw.opened.recv()).await.unwrap();
            let mut talk = stream(&mut raw, peer).await;
            let greeted = match &mut talk {
                Some(talk) => talk.try_greet().await,
                None => false,
            };
            if let Some(talk) = talk.as_mut().filter(|_| greeted) {
                // The node may have given up on it by now.
                let _ = talk.try_write(&(4u32 << 20).to_le_bytes()).await;
                linked += 1;
            } else {
                refused += 1;
            }
            crowd.push((raw, talk));
        }
        assert!(linked > 0 && refused > 0, "{linked} links, {refused} refused: the limit was not reached");
        println!("{transport}: {linked} links and {refused} refused");
        watch.at_most(150, "half frames");
        drop(crowd);
        scene.ends_whole("many connections").await;
    }
}

/// Frames that never end, one after the other: each is given up, and the peer with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_frames() {
    for transport in BOTH {
        let scene = Scene::over(transport).await;
        let watch = Watch::begin().await;
        let address = scene.node.addresses().remove(0);
        let peer: libp2p::PeerId = scene.node.id().parse().unwrap();
        let mut ended = 0;
        for oversized in [(4u32 << 20) + 1, u32::MAX >> 1, (1 << 31) | 2000, u32::MAX] {
            let mut raw = Raw::beside(scene.node.id().parse().unwrap(), true).await;
            raw.dial_at(&address);
            tokio::time::timeout(crate::nodes::PATIENCE, raw.opened.recv()).await.unwrap();
            let mut talk = stream(&mut raw, peer).await.unwrap();
            talk.greet(true).await;
            talk.write(&oversized.to_le_bytes()).await;
            // As much as it likes to send: the node does not read it.
            while talk.try_write(&[0x55; 1 << 16]).await {}
            loop {
                match talk.read().await {
                    Heard::Control(body) if body[0] == 3 => {
                        assert!(matches!(body[1], 5 | 6), "{body:?}");
                        ended += 1;
                    }
                    Heard::End => break,
                    _ => {}
                }
            }
        }
        assert_eq!(ended, 4, "each was told why");
        // As above.
        watch.at_most(40, "endless frames");
        scene.ends_whole("endless frames").await;
    }
}

/// The control: what is claimed counts, touched or not.
#[tokio::test]
async fn what_is_allocated_and_never_touched_is_seen() {
    let watch = Watch::begin().await;
    drop(std::hint::black_box(vec![0u8; 600 << 20]));
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| watch.at_most(500, "nobody's")));
    assert!(seen.is_err());
}
