//! Invitations, and joining that comes to nothing.

use std::time::Duration;

use bech32::{Bech32m, Hrp};
use kith_core::ErrorKind;
use kith_core::invitation::Invitation;
use kith_core::network::Hub;
use kith_core::node::{CreateOptions, InviteOptions, JoinOptions, Node, Options};
use kith_core::replica::Role;

use crate::nodes::{PATIENCE, join, open, peer};
use crate::{alone, close, refused};

// scenario: invitation_is_read
#[tokio::test]
async fn an_invitation_tells_what_it_is() {
    let (node, context) = alone().await;
    let mut options = InviteOptions::default();
    (options.role, options.note) = (Role::Reader, "for Ben".into());
    let token = context.invite(options).await.unwrap().to_text();
    let info = node.inspect(&token).unwrap();
    assert_eq!((info.context, info.inviter, info.role), (context.id(), context.me(), Role::Reader));
    assert_eq!((&*info.note, &*info.application, info.member), ("for Ben", "kv", true));
    assert!(info.expires_at.is_some());
    close(&[&node]).await;
}

// scenario: invitation_used_up, invitation_revoked, invitation_expired
#[tokio::test]
async fn what_cannot_be_used_has_a_kind_each() {
    let hub = Hub::new();
    let (one, other, third) = (open(&hub).await, open(&hub).await, open(&hub).await);
    let mine = one.create_context(CreateOptions::default()).await.unwrap();
    let used = mine.invite(InviteOptions::default()).await.unwrap();
    other.join(&used.to_text(), JoinOptions::default()).await.unwrap();
    assert_eq!(mine.invitations().await.unwrap()[0].uses, 1);
    refused(third.join(&used.to_text(), JoinOptions::default()).await, ErrorKind::InvitationUsed, "");
    let revoked = mine.invite(InviteOptions::default()).await.unwrap();
    mine.revoke(revoked.invite).await.unwrap();
    refused(third.join(&revoked.to_text(), JoinOptions::default()).await, ErrorKind::InvitationRevoked, "");
    let mut options = InviteOptions::default();
    options.expires_in = Some(Duration::ZERO);
    let expired = mine.invite(options).await.unwrap();
    refused(third.join(&expired.to_text(), JoinOptions::default()).await, ErrorKind::InvitationExpired, "");
    assert!(third.contexts().unwrap().is_empty());
    close(&[&one, &other, &third]).await;
}

// scenario: invitation_garbage, invitation_of_another_version
#[tokio::test]
async fn garbage_is_no_invitation() {
    let (node, context) = alone().await;
    let good = context.invite(InviteOptions::default()).await.unwrap();
    let text = good.to_text();
    let damaged = format!("{}{}", &text[..text.len() - 1], if text.ends_with('q') { 'p' } else { 'q' });
    let endless = format!("kith1{}", "q".repeat(10_000));
    for token in
        ["", "kith1", "kith1nonsense", "http://example.org", "k\0th1", "ķith1qqqq", &damaged, &endless]
    {
        refused(node.inspect(token), ErrorKind::InvitationInvalid, "");
        refused(node.join(token, JoinOptions::default()).await, ErrorKind::InvitationInvalid, "");
    }
    let mut newer = good.to_bytes();
    newer[0] = 9;
    refused(Invitation::from_bytes(&newer), ErrorKind::VersionMismatch, "");
    let newer = bech32::encode::<Bech32m>(Hrp::parse("kith").unwrap(), &newer).unwrap();
    refused(node.inspect(&newer), ErrorKind::VersionMismatch, "");
    close(&[&node]).await;
}

// scenario: invitation_as_text_bytes_and_picture
#[tokio::test]
async fn an_invitation_has_three_forms() {
    let (node, context) = alone().await;
    let token = context.invite(InviteOptions::default()).await.unwrap();
    assert!(token.to_text().starts_with("kith1") && token.to_bytes().len() < token.to_text().len());
    assert_eq!(Invitation::from_bytes(&token.to_bytes()).unwrap(), token);
    assert_eq!(Invitation::from_text(&token.to_text()).unwrap(), token);
    assert!(kith_core::invitation::qr_text(&token.to_text()).unwrap().lines().count() > 20);
    close(&[&node]).await;
}

// scenario: joining_nobody
#[tokio::test]
async fn joining_nobody_ends_and_leaves_nothing() {
    let hub = Hub::new();
    let (one, other) = (open(&hub).await, open(&hub).await);
    let mine = one.create_context(CreateOptions::default()).await.unwrap();
    let token = mine.invite(InviteOptions::default()).await.unwrap().to_text();
    hub.partition(peer(&one), peer(&other));
    let mut options = JoinOptions::default();
    options.timeout = Some(Duration::from_millis(200));
    let error = other.join(&token, options).await.unwrap_err();
    assert!([ErrorKind::Timeout, ErrorKind::Unreachable].contains(&error.kind()), "{error}");
    assert!(other.contexts().unwrap().is_empty());
    close(&[&one, &other]).await;
}

/// Waits until the node holds so many contexts.
async fn holds(node: &Node, count: usize) {
    let wait = async {
        while node.contexts().unwrap().len() != count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

// scenario: cancelled_join
#[tokio::test]
async fn joining_that_is_given_up_leaves_nothing() {
    let hub = Hub::new();
    let (one, other) = (open(&hub).await, open(&hub).await);
    let mine = one.create_context(CreateOptions::default()).await.unwrap();
    let token = mine.invite(InviteOptions::default()).await.unwrap().to_text();
    hub.partition(peer(&one), peer(&other));
    let joining = tokio::spawn({
        let (other, token) = (other.clone(), token.clone());
        async move { other.join(&token, JoinOptions::default()).await }
    });
    holds(&other, 1).await;
    joining.abort();
    holds(&other, 0).await;
    hub.heal(peer(&one), peer(&other));
    assert_eq!(join(&mine, &other, Role::Writer).await.unwrap().role(), Some(Role::Writer));
    close(&[&one, &other]).await;
}

// scenario: half_joined
#[tokio::test]
async fn joining_goes_on_after_a_restart_and_can_be_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let (one, mine) = alone().await;
    let token = mine.invite(InviteOptions::default()).await.unwrap().to_text();
    let at = || {
        let mut options = Options::at(directory.path());
        (options.listen, options.discovery) = (Vec::new(), false);
        Node::open(options)
    };
    let node = at().await.unwrap();
    let joining = tokio::spawn({
        let (node, token) = (node.clone(), token.clone());
        async move { node.join(&token, JoinOptions::default()).await }
    });
    holds(&node, 1).await;
    close(&[&node]).await;
    refused(joining.await.unwrap(), ErrorKind::Closed, "");
    let again = at().await.unwrap();
    let held = again.contexts().unwrap();
    assert!(held.len() == 1 && held[0].joining && held[0].id == mine.id());
    again.context(mine.id()).unwrap().leave().await.unwrap();
    assert!(again.contexts().unwrap().is_empty());
    close(&[&one, &again]).await;
}
