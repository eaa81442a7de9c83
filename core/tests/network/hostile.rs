//! Peers that do not keep to the protocol, over TCP and over QUIC. In each test an honest link on the same node stays untouched.

use std::time::Duration;

use kith_core::network::{Config, Event, LinkId};
use kith_core::{ErrorKind, limits};

use crate::common::*;

/// The same over either transport, at the same time: most of it is waiting.
async fn both(test: impl AsyncFn(&'static str)) {
    tokio::join!(test(TCP), test(QUIC));
}

/// The node under test, with an honest peer.
struct Stage {
    node: Node,
    honest: Node,
    link: LinkId,
    back: LinkId,
}

async fn stage(transport: &str, change: impl FnOnce(&mut Config)) -> Stage {
    println!("over {transport}");
    let mut node = Node::start_with(&[transport], change).await;
    let mut honest = Node::start(&[]).await;
    let link = honest.network.connect(&node.address()).await.unwrap();
    honest.up().await;
    let (back, _) = node.up().await;
    Stage { node, honest, link, back }
}

impl Stage {
    /// The honest link is the one from the beginning, and works both ways.
    async fn is_untouched(&mut self) {
        self.honest.network.send(self.link, b"there".to_vec()).await.unwrap();
        assert_eq!(self.node.frame().await, b"there");
        self.node.network.send(self.back, b"back".to_vec()).await.unwrap();
        assert_eq!(self.honest.frame().await, b"back");
    }

    /// A raw peer with a link.
    async fn hostile(&mut self) -> (Raw, Talk, LinkId) {
        let mut raw = Raw::beside(self.node.id(), true).await;
        let mut talk = raw.open(&self.node).await;
        talk.greet(true).await;
        let (link, who) = self.node.up().await;
        assert_eq!(who, raw.id);
        (raw, talk, link)
    }

    async fn ends(&mut self, link: LinkId, kind: ErrorKind) {
        let (down, reason) = self.node.down().await;
        assert_eq!((down, reason.kind()), (link, kind), "{reason}");
    }
}

#[tokio::test]
async fn another_version_is_named_on_both_sides() {
    both(async |transport| {
        for greater in [true, false] {
            // The raw peer dials.
            let node = Node::start(&[transport]).await;
            let mut raw = Raw::beside_at(node.id(), greater, transport).await;
            let mut talk = raw.open(&node).await;
            talk.control(&hello(2, 3)).await;
            let (code, text) = talk.goodbye().await;
            assert_eq!(code, 2);
            assert!(text.contains("2 to 3") && text.contains("1 to 1"), "{text}");
            // The node dials.
            let mut raw = Raw::beside_at(node.id(), greater, transport).await;
            let (network, address) = (node.network.clone(), raw.address.clone());
            let connecting = tokio::spawn(async move { network.connect(&address).await });
            let mut talk = raw.accept().await;
            talk.control(&hello(2, 3)).await;
            assert_eq!(talk.goodbye().await.0, 2);
            drop(talk);
            let error = soon(connecting).await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::VersionMismatch, "{error}");
            assert!(error.message().contains("2 to 3"), "{error}");
            // The peer is the one to notice.
            let mut raw = Raw::beside_at(node.id(), greater, transport).await;
            let (network, address) = (node.network.clone(), raw.address.clone());
            let connecting = tokio::spawn(async move { network.connect(&address).await });
            let mut talk = raw.accept().await;
            talk.control(b"\x03\x02not with you").await;
            let error = soon(connecting).await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::VersionMismatch, "{error}");
            assert!(error.message().contains("not with you"), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_known_peer_of_another_version_is_in_the_status() {
    both(async |transport| {
        let node = Node::start(&[]).await;
        let mut raw = Raw::start_at(secret(), transport).await;
        node.network.know(raw.id, &[raw.address.clone()]).await.unwrap();
        let mut talk = raw.accept().await;
        talk.control(&hello(9, 9)).await;
        assert_eq!(talk.goodbye().await.0, 2);
        drop(talk);
        soon(async {
            loop {
                let status = node.network.peers().await.unwrap().remove(0);
                if status.last_failure.is_some_and(|failure| failure.kind() == ErrorKind::VersionMismatch) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn garbage_instead_of_a_hello_is_refused() {
    both(async |transport| {
        let mut stage = stage(transport, |_| ()).await;
        let mut long = vec![0xff; 100];
        long[..4].copy_from_slice(&(1025u32 | 1 << 31).to_le_bytes());
        let bodies: [&[u8]; 6] = [
            b"GET / HTTP/1.1\r\n\r\n",
            &[0; 64],
            &[0xff; 64],
            b"\x06\x00\x00\x80\x01htik\x01",
            b"\x01\x00\x00\x80\x02",
            &long,
        ];
        for body in bodies {
            let mut raw = Raw::start(secret()).await;
            let mut talk = raw.open(&stage.node).await;
            talk.write(body).await;
            let (code, text) = talk.goodbye().await;
            assert_eq!(code, 5, "{text}");
            drop(talk);
            soon(raw.closed.recv()).await.unwrap();
        }
        stage.is_untouched().await;
    })
    .await;
}

#[tokio::test]
async fn a_length_past_the_limit_ends_the_link_before_anything_is_allocated() {
    both(async |transport| {
        let mut stage = stage(transport, |_| ()).await;
        for len in [limits::FRAME as u32 + 1, u32::MAX >> 1] {
            let (_raw, mut talk, link) = stage.hostile().await;
            talk.write(&len.to_le_bytes()).await;
            let (code, _) = talk.goodbye().await;
            assert_eq!(code, 6);
            stage.ends(link, ErrorKind::LimitExceeded).await;
        }
        stage.is_untouched().await;
    })
    .await;
}

#[tokio::test]
async fn control_frames_out_of_place_end_the_link() {
    both(async |transport| {
        let mut stage = stage(transport, |_| ()).await;
        for body in [hello(1, 1), vec![2], vec![9, 9, 9]] {
            let (_raw, mut talk, link) = stage.hostile().await;
            talk.frame(b"before").await;
            assert_eq!(stage.node.frame().await, b"before");
            talk.control(&body).await;
            assert_eq!(talk.goodbye().await.0, 5);
            stage.ends(link, ErrorKind::InvalidArgument).await;
        }
        stage.is_untouched().await;
    })
    .await;
}

#[tokio::test]
async fn what_fills_a_frame_up_says_nothing() {
    both(async |transport| {
        let mut stage = stage(transport, |_| ()).await;
        // The first byte of it, and the last.
        for wrong in [0, padding(3).len() - 1] {
            let (_raw, mut talk, link) = stage.hostile().await;
            talk.frame(b"as it should be").await;
            assert_eq!(stage.node.frame().await, b"as it should be");
            let mut zeros = padding(3);
            zeros[wrong] = 1;
            talk.write(&[&3u32.to_le_bytes()[..], b"abc", &zeros].concat()).await;
            assert_eq!(talk.goodbye().await.0, 5);
            stage.ends(link, ErrorKind::InvalidArgument).await;
        }
        stage.is_untouched().await;
    })
    .await;
}

#[tokio::test]
async fn half_a_frame_and_the_end_is_an_end() {
    both(async |transport| {
        let mut stage = stage(transport, |_| ()).await;
        let (_raw, mut talk, link) = stage.hostile().await;
        talk.frame(b"whole").await;
        talk.write(&100u32.to_le_bytes()).await;
        talk.write(b"half").await;
        soon(futures::AsyncWriteExt::close(&mut talk.0)).await.unwrap();
        assert_eq!(stage.node.frame().await, b"whole");
        stage.ends(link, ErrorKind::Unreachable).await;
        // Without anything half done it is an end like any other.
        let (_raw, mut talk, link) = stage.hostile().await;
        soon(futures::AsyncWriteExt::close(&mut talk.0)).await.unwrap();
        stage.ends(link, ErrorKind::Closed).await;
        // Who says that this side is at fault is believed as little as anybody.
        for (code, kind) in
            [(5, ErrorKind::InvalidArgument), (6, ErrorKind::LimitExceeded), (7, ErrorKind::Timeout)]
        {
            let (_raw, mut talk, link) = stage.hostile().await;
            talk.control(&[3, code]).await;
            stage.ends(link, kind).await;
        }
        stage.is_untouched().await;
    })
    .await;
}

#[tokio::test]
async fn a_frame_that_never_ends_is_given_up() {
    both(async |transport| {
        let mut stage =
            stage(transport, |config| config.limits.frame_timeout = Duration::from_millis(300)).await;
        // Half a header; a small frame; one that is not filled up; a large one, which would have minutes if it came.
        for bytes in [&[7u8][..], &[100, 0, 0, 0, 1, 2, 3], &[3, 0, 0, 0, 1, 2, 3], &[0, 0, 64, 0, 1, 2, 3]] {
            let (_raw, mut talk, link) = stage.hostile().await;
            talk.write(bytes).await;
            assert_eq!(talk.goodbye().await.0, 7);
            stage.ends(link, ErrorKind::Timeout).await;
        }
        stage.is_untouched().await;
    })
    .await;
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    both(async |transport| {
        let mut stage = stage(transport, |config| config.limits.handshake = Duration::from_millis(500)).await;
        // A stream and nothing on it; half a hello; a hello and no choice.
        let half = hello(1, 1);
        let mut starts = vec![vec![], vec![0x26, 0, 0, 0x80, 1, b'k']];
        starts.push([&(half.len() as u32 | 1 << 31).to_le_bytes()[..], &half].concat());
        for start in starts {
            let mut raw = Raw::beside(stage.node.id(), true).await;
            let mut talk = raw.open(&stage.node).await;
            talk.write(&start).await;
            assert_eq!(talk.goodbye().await.0, 7);
            soon(raw.closed.recv()).await.unwrap();
        }
        // A connection and no stream.
        let mut raw = Raw::start(secret()).await;
        raw.dial(&stage.node);
        soon(raw.opened.recv()).await.unwrap();
        soon(raw.closed.recv()).await.unwrap();
        // Bytes on a socket that are no handshake of a transport.
        let port = stage.node.address().split('/').nth(4).unwrap().parse::<u16>().unwrap();
        if transport == TCP {
            let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut socket, &[0xff; 64]).await.unwrap();
            let mut rest = Vec::new();
            let _ = soon(tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut rest)).await;
        } else {
            let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            for datagram in datagrams() {
                socket.send_to(&datagram, ("127.0.0.1", port)).await.unwrap();
            }
        }
        stage.is_untouched().await;
    })
    .await;
}

/// What QUIC cannot read: noise of many sizes, first packets with nothing in them, of its version, of another one and of none.
fn datagrams() -> Vec<Vec<u8>> {
    let noise = (0..=1500).step_by(50).map(|length| vec![0x5a; length]);
    let first = [[0, 0, 0, 1], [0xff, 0, 0, 1], [0; 4]].map(|version| {
        let lengths: [&[u8]; 5] = [&[0xc3], &version, &[8, 1, 2, 3, 4, 5, 6, 7, 8], &[0], &[0, 0x44, 0x90]];
        let mut packet = lengths.concat();
        packet.resize(1200, 0xa5);
        packet
    });
    noise.chain(first).collect()
}

#[tokio::test]
async fn a_second_stream_is_refused_and_many_end_the_connection() {
    both(async |transport| {
        let mut stage = stage(transport, |_| ()).await;
        let (mut raw, mut talk, link) = stage.hostile().await;
        for _ in 0..16 {
            let mut surplus = raw.open_more(&stage.node).await;
            assert_eq!(surplus.read().await, Heard::End);
        }
        talk.frame(b"as before").await;
        assert_eq!(stage.node.frame().await, b"as before");
        let peer = stage.node.id().to_string().parse().unwrap();
        let _ = soon(raw.streams.open_stream(peer, protocol())).await;
        stage.ends(link, ErrorKind::LimitExceeded).await;
        soon(raw.closed.recv()).await.unwrap();
        stage.is_untouched().await;
    })
    .await;
}

#[tokio::test]
async fn one_peer_has_few_connections_and_all_have_a_limit() {
    both(async |transport| {
        let mut stage = stage(transport, |config| {
            config.limits.inbound_connections = 6;
            config.limits.connections_per_peer = 2;
            // Long enough that no connection is closed for want of a link meanwhile.
            config.limits.handshake = Duration::from_secs(60);
        })
        .await;
        // One peer, many connections: the third and further ones are closed.
        let mut raw = Raw::start(secret()).await;
        for _ in 0..10 {
            raw.dial(&stage.node);
        }
        for _ in 0..8 {
            soon(raw.closed.recv()).await.unwrap();
        }
        // Many peers: the honest one and two of the first peer are there, three more fit.
        let mut crowd = Vec::new();
        for _ in 0..10 {
            let raw = Raw::start(secret()).await;
            raw.dial(&stage.node);
            crowd.push(raw);
        }
        let mut refused = 0;
        for raw in &mut crowd {
            soon(raw.opened.recv()).await.unwrap();
        }
        while refused < 7 {
            refused += crowd.iter_mut().filter_map(|raw| raw.closed.try_recv().ok()).count();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(refused, 7);
        stage.is_untouched().await;
        // A peer that is to be kept connected comes in all the same.
        let known = Node::start(&[]).await;
        stage.node.network.know(known.id(), &[]).await.unwrap();
        stage.node.network.peers().await.unwrap();
        known.network.connect(&stage.node.address()).await.unwrap();
        assert_eq!(stage.node.up().await.1, known.id());
    })
    .await;
}

#[tokio::test]
async fn a_peer_without_an_answer_to_probes_is_dropped() {
    both(async |transport| {
        let mut stage = stage(transport, |config| {
            config.limits.ping_every = Duration::from_millis(300);
            config.limits.ping_timeout = Duration::from_millis(700);
        })
        .await;
        let (mut raw, talk, link) = stage.hostile().await;
        // Its sockets stay open and nothing is read or written any more, as when a machine sleeps.
        raw.freeze().await;
        let mut honest_frames = 0;
        loop {
            match stage.node.next().await {
                Event::LinkDown { link: down, reason, .. } => {
                    assert_eq!((down, reason.kind()), (link, ErrorKind::Unreachable), "{reason}");
                    break;
                }
                Event::Frame { .. } => honest_frames += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(honest_frames, 0);
        drop(talk);
        stage.is_untouched().await;
    })
    .await;
}

#[tokio::test]
async fn an_idle_link_stays() {
    both(async |transport| {
        let mut stage = stage(transport, |config| {
            config.limits.handshake = Duration::from_millis(300);
            config.limits.ping_every = Duration::from_millis(200);
            config.limits.ping_timeout = Duration::from_secs(5);
        })
        .await;
        // Beside it, connections without a link come and are dropped for want of one, several times over: so long it has stayed.
        for _ in 0..3 {
            let mut raw = Raw::start(secret()).await;
            raw.dial(&stage.node);
            soon(raw.opened.recv()).await.unwrap();
            soon(raw.closed.recv()).await.unwrap();
        }
        stage.is_untouched().await;
    })
    .await;
}

#[tokio::test]
async fn the_raw_peer_can_be_honest() {
    both(async |transport| {
        for greater in [true, false] {
            let mut node = Node::start(&[transport]).await;
            let mut raw = Raw::beside_at(node.id(), greater, transport).await;
            let mut talk = raw.open(&node).await;
            talk.greet(greater).await;
            let (link, _) = node.up().await;
            talk.frame(b"in").await;
            assert_eq!(node.frame().await, b"in");
            node.network.send(link, b"out".to_vec()).await.unwrap();
            assert_eq!(talk.read().await, Heard::Frame(b"out".to_vec()));
            node.network.disconnect(link).await.unwrap();
            assert_eq!(talk.goodbye().await.0, 1);
        }
    })
    .await;
}
