use std::time::Duration;

use kith_core::{ErrorKind, limits};

use crate::common::*;

async fn sizes(listen: &str) {
    let (a, mut b, link, _) = two(listen).await;
    for len in [0, 1, 16 << 10, (16 << 10) + 1, limits::FRAME - 1, limits::FRAME] {
        let bytes: Vec<u8> = (0..len).map(|n| ((n * 31) >> 3) as u8).collect();
        a.network.send(link, bytes.clone()).await.unwrap();
        assert!(b.frame().await == bytes, "{len} bytes arrive as they were");
    }
    let past = vec![0; limits::FRAME + 1];
    assert_eq!(kind(a.network.send(link, past.clone()).await), ErrorKind::LimitExceeded);
    assert_eq!(kind(a.network.try_send(link, past)), ErrorKind::LimitExceeded);
    a.network.send(link, vec![1]).await.unwrap();
    assert_eq!(b.frame().await, [1]);
}

#[tokio::test]
async fn sizes_at_the_edge_and_one_past_over_tcp() {
    sizes(TCP).await;
}

#[tokio::test]
async fn sizes_at_the_edge_and_one_past_over_quic() {
    sizes(QUIC).await;
}

async fn many(listen: &str) {
    const COUNT: u32 = 10_000;
    let (mut a, mut b, link, other) = two(listen).await;
    let body = |n: u32| n.to_le_bytes().repeat(1 + n as usize % 50);
    let send = |network: kith_core::network::Network, link| async move {
        for n in 0..COUNT {
            network.send(link, body(n)).await.unwrap();
        }
    };
    let there = tokio::spawn(send(a.network.clone(), link));
    let back = tokio::spawn(send(b.network.clone(), other));
    let at_b = tokio::spawn(async move {
        for n in 0..COUNT {
            assert_eq!(b.frame().await, body(n));
        }
        b
    });
    for n in 0..COUNT {
        assert_eq!(a.frame().await, body(n));
    }
    let _b = at_b.await.unwrap();
    there.await.unwrap();
    back.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_frames_both_ways_in_order_over_tcp() {
    many(TCP).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_frames_both_ways_in_order_over_quic() {
    many(QUIC).await;
}

#[tokio::test]
async fn the_smaller_of_two_limits_counts() {
    let mut a = Node::start(&[TCP]).await;
    let b = Node::start_with(&[], |config| config.limits.frame = 1000).await;
    b.network.connect(&a.address()).await.unwrap();
    let (link, _) = a.up().await;
    a.network.send(link, vec![0; 1000]).await.unwrap();
    assert_eq!(kind(a.network.send(link, vec![0; 1001]).await), ErrorKind::LimitExceeded);
}

/// The consumer takes nothing: the sender is stopped, what is in between is bounded, nothing is lost.
async fn slow(listen: &str) {
    const FRAME: usize = 100_000;
    let mut a = Node::start(&[]).await;
    let mut b = Node::start_with(&[listen], |config| {
        config.limits.inbound_bytes_per_link = limits::FRAME;
        config.limits.ping_every = Duration::from_secs(1);
        config.limits.ping_timeout = Duration::from_secs(4);
    })
    .await;
    let link = a.network.connect(&b.address()).await.unwrap();
    a.up().await;
    let mut sent = 0u32;
    loop {
        let mut frame = vec![0; FRAME];
        frame[..4].copy_from_slice(&sent.to_le_bytes());
        match tokio::time::timeout(Duration::from_secs(2), a.network.send(link, frame)).await {
            Ok(outcome) => outcome.unwrap(),
            Err(_) => break,
        }
        sent += 1;
        // Both queues (4 MiB and 8 MiB) and what the sockets and windows hold; without the receiving one it would be 36.
        assert!(sent as usize * FRAME < 24 << 20, "no back-pressure");
    }
    assert!(sent as usize * FRAME > 8 << 20, "the queues were not even full");
    assert_eq!(kind(a.network.try_send(link, vec![0; limits::FRAME])), ErrorKind::Busy);
    b.up().await;
    for n in 0..sent {
        let frame = b.frame().await;
        assert_eq!((frame.len(), &frame[..4]), (FRAME, &n.to_le_bytes()[..]));
    }
    a.network.send(link, vec![9]).await.unwrap();
    assert_eq!(b.frame().await, [9]);
}

#[tokio::test]
async fn a_slow_consumer_stops_the_sender_over_tcp() {
    slow(TCP).await;
}

#[tokio::test]
async fn a_slow_consumer_stops_the_sender_over_quic() {
    slow(QUIC).await;
}

/// One peer fills its room; another one's frames still come through once the consumer takes any.
#[tokio::test]
async fn a_flooding_peer_does_not_shut_others_out() {
    let mut b = Node::start(&[TCP]).await;
    let flood = Node::start(&[]).await;
    let other = Node::start(&[]).await;
    let link = flood.network.connect(&b.address()).await.unwrap();
    let network = flood.network.clone();
    let flooding = tokio::spawn(async move { while network.send(link, vec![0; 1 << 20]).await.is_ok() {} });
    let link = other.network.connect(&b.address()).await.unwrap();
    other.network.send(link, b"hello".to_vec()).await.unwrap();
    let mut taken = 0;
    loop {
        if let kith_core::network::Event::Frame { bytes, .. } = b.next().await {
            if bytes == b"hello" {
                break;
            }
            taken += 1;
            assert!(taken < 100, "starved");
        }
    }
    flooding.abort();
}
