//! Nodes that reach each other through a relay alone: everything that two members do works, over links that the relay cuts, too.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[allow(dead_code, reason = "the network's own tests use the rest")]
#[path = "network/common.rs"]
mod common;
mod nodes;
#[allow(dead_code, reason = "the network's own tests use the rest")]
#[path = "network/relay.rs"]
mod relay;

use std::time::Duration;

use kith_core::ErrorKind;
use kith_core::invitation::Invitation;
use kith_core::node::{CreateOptions, InviteOptions, JoinOptions, Level, Node, Options};
use kith_core::replica::Role;
use nodes::{PATIENCE, equal, join, key, log};
use relay::{Relay, generous};

/// A node that listens at nothing but the relay.
async fn behind(relay: &str) -> Node {
    log();
    let mut options = Options::default();
    options.relays = vec![relay.to_owned()];
    options.hole_punching = false;
    Node::open(options).await.unwrap()
}

async fn until(what: impl AsyncFn() -> bool) {
    let wait = async {
        while !what().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it does not come to that");
}

async fn has_place(node: &Node) -> bool {
    node.status().await.unwrap().relays.iter().all(|relay| relay.address.is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_behind_a_relay_create_invite_join_write_and_get_over_its_death() {
    let relay = Relay::start(generous()).await;
    let (anna, ben) = (behind(&relay.address).await, behind(&relay.address).await);
    let mine = anna.create_context(CreateOptions::default()).await.unwrap();
    // Right after the start: the invitation waits for the relay's answer.
    let invitation = mine.invite(InviteOptions::default()).await.unwrap();
    let through = format!("{}/p2p-circuit/p2p/{}", relay.address, anna.id());
    assert_eq!(invitation.addresses, [through]);
    assert!(invitation.to_bytes().len() <= 600);
    let yours = ben.join(&invitation.to_text(), JoinOptions::default()).await.unwrap();
    mine.put(key("a"), b"from Anna").await.unwrap();
    yours.put(key("b"), b"from Ben").await.unwrap();
    equal(&mine, &yours).await;
    assert_eq!(yours.get(key("a"), Level::Tentative).await.unwrap().as_deref(), Some(&b"from Anna"[..]));
    assert_eq!(mine.get(key("b"), Level::Tentative).await.unwrap().as_deref(), Some(&b"from Ben"[..]));
    let status = ben.status().await.unwrap();
    assert!(status.peers.iter().any(|peer| peer.connected && peer.relayed), "{status:#?}");

    let dead = relay.kill();
    until(async || !has_place(&anna).await && !has_place(&ben).await).await;
    let lost = &anna.status().await.unwrap().relays[0];
    assert_eq!(lost.reason, Some(ErrorKind::Unreachable), "{lost:?}");
    mine.put(key("c"), b"meanwhile").await.unwrap();
    yours.put(key("d"), b"meanwhile").await.unwrap();
    let relay = dead.revive(generous()).await;
    until(async || has_place(&anna).await && has_place(&ben).await).await;
    equal(&mine, &yours).await;
    // Whoever is invited by one that was invited meets both.
    let cleo = behind(&relay.address).await;
    let hers = join(&mine, &cleo, Role::Writer).await.unwrap();
    equal(&hers, &yours).await;
    for node in [anna, ben, cleo] {
        node.shutdown().await.unwrap();
    }
}

/// What relays of libp2p give by default is 128 KiB on one connection: joining a context of 2 MB takes many, and each one is a step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_larger_than_a_connection_through_the_relay_may_carry_arrives() {
    let config = libp2p::relay::Config { max_circuit_bytes: 128 << 10, ..generous() };
    let relay = Relay::start(config).await;
    let (anna, ben) = (behind(&relay.address).await, behind(&relay.address).await);
    let mine = anna.create_context(CreateOptions::default()).await.unwrap();
    let mut random = 1u64;
    for n in 0..100u64 {
        let value: Vec<u8> = std::iter::repeat_with(|| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 56) as u8
        })
        .take(4_000)
        .collect();
        mine.put(key(&n.to_string()), &value).await.unwrap();
    }
    let yours = join(&mine, &ben, Role::Writer).await.unwrap();
    equal(&mine, &yours).await;
    assert!(relay.streams().iter().map(Vec::len).sum::<usize>() > 800_000, "it went through the relay");
    anna.shutdown().await.unwrap();
    ben.shutdown().await.unwrap();
}

/// Invitations name few addresses, and the best of each kind first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_names_the_relay_beside_what_else_there_is() {
    let relay = Relay::start(generous()).await;
    let mut options = Options::default();
    options.relays = vec![relay.address.clone()];
    options.listen = vec!["/ip4/127.0.0.1/tcp/0".into(), "/ip4/127.0.0.1/udp/0/quic-v1".into()];
    let node = Node::open(options).await.unwrap();
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    let mut options = InviteOptions::default();
    options.note = "x".repeat(60);
    let invitation = context.invite(options).await.unwrap();
    let again = Invitation::from_text(&invitation.to_text()).unwrap();
    assert!(again.to_bytes().len() <= 600);
    assert!(again.addresses[0].contains("/p2p-circuit"), "{:?}", again.addresses);
    node.shutdown().await.unwrap();
}
