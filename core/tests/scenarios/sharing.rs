//! Members.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use kith_core::ErrorKind;
use kith_core::network::Hub;
use kith_core::node::{CreateOptions, Event, InviteOptions, JoinOptions, Level, Node, Options};
use kith_core::replica::Role;

use crate::nodes::{PATIENCE, equal, join, key, open, peer, until};
use crate::{alone, close, refused, two};

// scenario: two_members_share, status_names_peers
#[tokio::test]
async fn two_members_come_to_the_same() {
    let (one, other, mine, theirs) = two(&Hub::new(), Role::Writer).await;
    mine.put(key("from one"), b"x").await.unwrap();
    theirs.put(key("from other"), b"y").await.unwrap();
    equal(&mine, &theirs).await;
    theirs.wait_synced(PATIENCE).await.unwrap();
    assert_eq!(mine.commitment().await.unwrap(), theirs.commitment().await.unwrap());
    assert_eq!(theirs.get(key("from one"), Level::Tentative).await.unwrap().unwrap(), b"x");
    assert_eq!(mine.get(key("from other"), Level::Tentative).await.unwrap().unwrap(), b"y");
    let peers = mine.status().await.unwrap().peers;
    assert_eq!(peers.len(), 1);
    assert_eq!((&peers[0].peer, peers[0].member.as_deref()), (&other.id(), Some(&*theirs.me().to_string())));
    close(&[&one, &other]).await;
}

// scenario: both_write_at_once
#[tokio::test]
async fn who_writes_at_once_ends_with_one_order() {
    let (one, other, mine, theirs) = two(&Hub::new(), Role::Writer).await;
    let write = |context: kith_core::Context, name: u8| async move {
        for number in 0..30u8 {
            context.put(key("contended"), &[name, number]).await.unwrap();
            context.add(key("counter"), 1).await.unwrap();
        }
    };
    tokio::join!(write(mine.clone(), 1), write(theirs.clone(), 2));
    equal(&mine, &theirs).await;
    let order = |context: kith_core::Context| async move {
        context.history(None, 1000).await.unwrap().into_iter().map(|info| info.id).collect::<Vec<_>>()
    };
    let (first, second) = (order(mine.clone()).await, order(theirs).await);
    assert!(first == second && first.len() > 120);
    assert_eq!(mine.get(key("counter"), Level::Tentative).await.unwrap().unwrap(), 60i64.to_le_bytes());
    close(&[&one, &other]).await;
}

// scenario: over_sockets
#[tokio::test]
async fn two_nodes_of_one_process_meet_over_sockets() {
    let socket = || {
        let mut options = Options::default();
        (options.listen, options.discovery) = (vec!["/ip4/127.0.0.1/tcp/0".into()], false);
        Node::open(options)
    };
    let (one, other) = (socket().await.unwrap(), socket().await.unwrap());
    assert!(one.addresses()[0].ends_with(&one.id()) && one.addresses() != other.addresses());
    let mine = one.create_context(CreateOptions::default()).await.unwrap();
    let theirs = join(&mine, &other, Role::Writer).await.unwrap();
    theirs.put(key("x"), b"y").await.unwrap();
    equal(&mine, &theirs).await;
    close(&[&one, &other]).await;
}

// scenario: partition_heals
#[tokio::test]
async fn who_was_cut_off_comes_together_again() {
    let hub = Hub::new();
    let (one, other, mine, theirs) = two(&hub, Role::Writer).await;
    let mut events = mine.events(None).await.unwrap();
    hub.partition(peer(&one), peer(&other));
    until(&mut events, |event| matches!(event, Event::PeerDisconnected { .. })).await;
    mine.put(key("mine"), b"x").await.unwrap();
    theirs.put(key("theirs"), b"y").await.unwrap();
    assert_eq!(mine.get(key("theirs"), Level::Tentative).await.unwrap(), None);
    hub.heal(peer(&one), peer(&other));
    equal(&mine, &theirs).await;
    assert_eq!(mine.get(key("theirs"), Level::Tentative).await.unwrap().unwrap(), b"y");
    close(&[&one, &other]).await;
}

// scenario: peer_out_of_reach
#[tokio::test]
async fn a_peer_that_is_gone_is_named_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let gone = Node::open(Options::local(directory.path())).await.unwrap();
    let address = gone.addresses()[0].clone();
    close(&[&gone]).await;
    let mut options = Options::default();
    (options.listen, options.discovery, options.bootstrap) = (Vec::new(), false, vec![address.clone()]);
    let node = Node::open(options).await.unwrap();
    refused(node.connect(&address).await, ErrorKind::Unreachable, "");
    let told = async {
        loop {
            let peers = node.status().await.unwrap().peers;
            if let [peer] = &peers[..]
                && peer.last_failure.is_some()
            {
                assert_eq!((&peer.peer, peer.connected), (&gone.id(), false));
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    close(&[&node]).await;
}

// scenario: nobody_in_step
#[tokio::test]
async fn waiting_for_nobody_ends() {
    let (node, context) = alone().await;
    refused(context.wait_synced(Duration::from_millis(20)).await, ErrorKind::Timeout, "");
    close(&[&node]).await;
}

// scenario: joining_tells_how_far
#[tokio::test]
async fn joining_tells_how_far_it_is() {
    let hub = Hub::new();
    let (one, other) = (open(&hub).await, open(&hub).await);
    let mine = one.create_context(CreateOptions::default()).await.unwrap();
    for number in 0..30u8 {
        mine.put(key("x"), &[number]).await.unwrap();
    }
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut options = JoinOptions::default();
    let sink = Arc::clone(&told);
    options.on_progress = Some(Arc::new(move |done, total| sink.lock().unwrap().push((done, total))));
    let token = mine.invite(InviteOptions::default()).await.unwrap().to_text();
    other.join(&token, options).await.unwrap();
    let told = std::mem::take(&mut *told.lock().unwrap());
    assert!(told.iter().all(|(done, total)| done <= total));
    assert!(told.iter().any(|(done, total)| done == total && *total >= 30), "{told:?}");
    close(&[&one, &other]).await;
}

// scenario: roles_are_obeyed
#[tokio::test]
async fn roles_count_at_once() {
    let (one, other, mine, theirs) = two(&Hub::new(), Role::Reader).await;
    refused(theirs.put(key("x"), b"y").await, ErrorKind::PermissionDenied, "");
    let mut events = theirs.events(None).await.unwrap();
    mine.set_role(theirs.me(), Role::Writer).await.unwrap();
    until(&mut events, |event| matches!(event, Event::RoleChanged { role: Role::Writer, .. })).await;
    assert_eq!(theirs.role(), Some(Role::Writer));
    theirs.put(key("x"), b"y").await.unwrap();
    refused(theirs.invite(InviteOptions::default()).await, ErrorKind::PermissionDenied, "");
    refused(theirs.remove(mine.me()).await, ErrorKind::PermissionDenied, "");
    refused(theirs.set_role(mine.me(), Role::Reader).await, ErrorKind::PermissionDenied, "");
    assert_eq!(mine.members().await.unwrap().len(), 2);
    close(&[&one, &other]).await;
}

// scenario: member_is_removed
#[tokio::test]
async fn who_is_removed_writes_no_more() {
    let (one, other, mine, theirs) = two(&Hub::new(), Role::Writer).await;
    let mut events = theirs.events(None).await.unwrap();
    mine.remove(theirs.me()).await.unwrap();
    until(&mut events, |event| matches!(event, Event::MemberRemoved { member } if *member == theirs.me()))
        .await;
    assert_eq!(theirs.role(), None);
    refused(theirs.put(key("x"), b"y").await, ErrorKind::NotMember, "");
    refused(mine.remove(theirs.me()).await, ErrorKind::NotMember, "");
    close(&[&one, &other]).await;
}

// scenario: member_leaves, last_admin_stays
#[tokio::test]
async fn who_leaves_is_gone_and_the_last_admin_stays() {
    let (one, other, mine, theirs) = two(&Hub::new(), Role::Writer).await;
    refused(mine.leave().await, ErrorKind::PermissionDenied, "");
    let mut events = mine.events(None).await.unwrap();
    theirs.leave().await.unwrap();
    until(&mut events, |event| matches!(event, Event::MemberLeft { .. })).await;
    assert!(other.contexts().unwrap().is_empty());
    refused(theirs.put(key("x"), b"y").await, ErrorKind::Closed, "");
    mine.leave().await.unwrap();
    assert!(one.contexts().unwrap().is_empty());
    close(&[&one, &other]).await;
}

// scenario: names_of_members
#[tokio::test]
async fn members_and_contexts_have_names() {
    let (one, other, mine, theirs) = two(&Hub::new(), Role::Writer).await;
    theirs.set_display_name("Ben").await.unwrap();
    mine.set_name("home").await.unwrap();
    equal(&mine, &theirs).await;
    assert_eq!(theirs.name(), "home");
    let members = mine.members().await.unwrap();
    assert_eq!(members.iter().find(|member| member.id == theirs.me()).unwrap().name, "Ben");
    refused(theirs.set_name("mine").await, ErrorKind::PermissionDenied, "");
    refused(theirs.set_display_name(&"x".repeat(129)).await, ErrorKind::LimitExceeded, "129");
    close(&[&one, &other]).await;
}
