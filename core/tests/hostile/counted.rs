//! Strangers are no events, for anybody may connect as often as it likes: they are counted, by what became of them.

use std::io::Write as _;
use std::time::Duration;

use kith_core::node::{CreateOptions, Node, Options, Strangers};
use kith_core::replica::Role;

use crate::network::{Raw, TCP, Talk, hello, protocol, secret};
use crate::nodes::{PATIENCE, join};

async fn open() -> Node {
    let mut options = Options::default();
    options.listen = vec![TCP.into()];
    Node::open(options).await.unwrap()
}

/// Waits until the counts are these, and no others.
async fn become_these(node: &Node, change: impl FnOnce(&mut Strangers), counts: &mut Strangers) {
    change(counts);
    let mut last = Strangers::default();
    let wait = async {
        loop {
            last = node.status().await.unwrap().strangers;
            if last == *counts {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("{last:?} instead of {counts:?}");
    }
}

/// A peer that has connected, and its stream.
async fn stranger(node: &Node) -> (Raw, Talk) {
    let mut raw = Raw::start(secret()).await;
    raw.dial_at(&node.addresses()[0]);
    tokio::time::timeout(PATIENCE, raw.opened.recv()).await.unwrap();
    let stream = raw.streams.open_stream(node.id().parse().unwrap(), protocol()).await.unwrap();
    (raw, Talk(stream))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_counted_by_what_became_of_them() {
    let node = open().await;
    let address = node.addresses().remove(0);
    let counts = &mut Strangers::default();
    become_these(&node, |_| (), counts).await;

    // No node of Kith, and one that goes in the middle.
    let port: u16 = address.split('/').nth(4).unwrap().parse().unwrap();
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    become_these(&node, |counts| counts.unfinished += 1, counts).await;
    drop(stranger(&node).await);
    become_these(&node, |counts| counts.unfinished += 1, counts).await;

    let (_version, mut talk) = stranger(&node).await;
    talk.control(&hello(7, 9)).await;
    become_these(&node, |counts| counts.version += 1, counts).await;

    // Before there is a link, and on one.
    let (_garbage, mut talk) = stranger(&node).await;
    talk.control(b"\x01garbage").await;
    become_these(&node, |counts| counts.misbehaved += 1, counts).await;
    let mut raw = Raw::beside(node.id().parse().unwrap(), true).await;
    raw.dial_at(&address);
    tokio::time::timeout(PATIENCE, raw.opened.recv()).await.unwrap();
    let mut talk = Talk(raw.streams.open_stream(node.id().parse().unwrap(), protocol()).await.unwrap());
    talk.greet(true).await;
    become_these(&node, |counts| counts.linked += 1, counts).await;
    talk.control(b"\x01garbage").await;
    become_these(&node, |counts| (counts.linked, counts.misbehaved) = (0, 2), counts).await;

    // A node that goes as it has come; and one that proves to be a member's, which is nobody's stranger from then on.
    let other = open().await;
    other.connect(&address).await.unwrap();
    become_these(&node, |counts| counts.linked += 1, counts).await;
    other.shutdown().await.unwrap();
    become_these(&node, |counts| (counts.linked, counts.ended) = (0, 1), counts).await;
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    let member = open().await;
    let theirs = join(&context, &member, Role::Writer).await.unwrap();
    become_these(&node, |_| (), counts).await;
    drop(theirs);
    member.shutdown().await.unwrap();
    become_these(&node, |_| (), counts).await;

    // More connections of one peer than it may have.
    let mut crowd = Raw::start(secret()).await;
    for _ in 0..20 {
        crowd.dial_at(&address);
    }
    for _ in 0..4 {
        tokio::time::timeout(PATIENCE, crowd.closed.recv()).await.unwrap();
    }
    become_these(&node, |counts| counts.refused += 4, counts).await;

    // They are of the time since the node was taken up.
    node.suspend(PATIENCE).await.unwrap();
    assert_eq!(node.status().await.unwrap().strangers, Strangers::default());
    node.resume().await.unwrap();
    assert_eq!(node.status().await.unwrap().strangers, Strangers::default());
    node.shutdown().await.unwrap();
}
