//! Members whose clocks differ. Only invitations look at one: the joiner's own is asked first, and the clock of the member that admits
//! decides.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod nodes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kith_core::ErrorKind;
use kith_core::network::Hub;
use kith_core::node::{Clock, CreateOptions, InviteOptions, JoinOptions, Node, Options};
use kith_core::replica::Role;
use nodes::{equal, join, key};

const HOUR: u64 = 3_600_000;
const NOON: u64 = 1_800_000_000_000;

/// A clock that stands still until the test moves it.
#[derive(Clone)]
struct Hands(Arc<AtomicU64>);

impl Hands {
    fn at(time: u64) -> Self {
        Self(Arc::new(AtomicU64::new(time)))
    }

    fn set(&self, time: u64) {
        self.0.store(time, Ordering::SeqCst);
    }
}

async fn open(hub: &Hub, hands: &Hands) -> Node {
    nodes::log();
    let mut options = Options::in_memory(hub);
    let hands = hands.clone();
    options.clock = Clock::new(move || hands.0.load(Ordering::SeqCst));
    Node::open(options).await.unwrap()
}

fn for_an_hour() -> InviteOptions {
    let mut options = InviteOptions::default();
    options.expires_in = Some(Duration::from_millis(HOUR));
    options.max_uses = 10;
    options
}

#[tokio::test]
async fn the_clock_of_the_member_that_admits_decides() {
    let hub = Hub::new();
    let (at_anna, at_ben, at_joiner) = (Hands::at(NOON), Hands::at(NOON), Hands::at(NOON));
    let (anna, ben) = (open(&hub, &at_anna).await, open(&hub, &at_ben).await);
    let context = anna.create_context(CreateOptions::default()).await.unwrap();
    let ben_has = join(&context, &ben, Role::Writer).await.unwrap();
    equal(&context, &ben_has).await;
    let mut invitation = context.invite(for_an_hour()).await.unwrap();
    assert_eq!(invitation.not_after, NOON + HOUR);
    equal(&context, &ben_has).await;
    anna.shutdown().await.unwrap();
    invitation.addresses = ben.addresses();
    let token = nodes::sign(invitation);
    let joining = async |time: u64| {
        at_joiner.set(time);
        let joiner = open(&hub, &at_joiner).await;
        let outcome = joiner.join(&token, JoinOptions::default()).await.map(|context| context.role());
        joiner.shutdown().await.unwrap();
        outcome
    };

    // Too late for Ben, not for the joiner: up to the very ms, on both sides of it.
    at_ben.set(NOON + HOUR);
    assert_eq!(joining(NOON).await.unwrap_err().kind(), ErrorKind::InvitationExpired);
    at_ben.set(NOON + HOUR - 1);
    assert_eq!(joining(NOON).await.unwrap(), Some(Role::Writer));
    // Too late for the joiner: nobody is asked.
    assert_eq!(joining(NOON + HOUR).await.unwrap_err().kind(), ErrorKind::InvitationExpired);
    // Both are behind the one who invited: expiry is a courtesy, and revoking is what counts.
    at_ben.set(0);
    assert_eq!(joining(0).await.unwrap(), Some(Role::Writer));
    assert_eq!(ben_has.members().await.unwrap().len(), 4);
    ben.shutdown().await.unwrap();
}

/// A member with a wrong clock harms nobody: its transactions have their place whatever they say.
#[tokio::test]
async fn a_wrong_clock_changes_no_order() {
    let hub = Hub::new();
    let (early, late) = (Hands::at(0), Hands::at(u64::MAX));
    let (anna, ben) = (open(&hub, &early).await, open(&hub, &late).await);
    let context = anna.create_context(CreateOptions::default()).await.unwrap();
    let mut options = InviteOptions::default();
    options.expires_in = None;
    let token = context.invite(options).await.unwrap().to_text();
    let copy = ben.join(&token, JoinOptions::default()).await.unwrap();
    for round in 0..10u8 {
        copy.put(key("same"), &[round, 1]).await.unwrap();
        equal(&context, &copy).await;
        context.put(key("same"), &[round, 0]).await.unwrap();
        equal(&context, &copy).await;
        let found = copy.get(key("same"), Default::default()).await.unwrap();
        assert_eq!(found.as_deref(), Some(&[round, 0][..]), "the later one wins, whatever the clocks say");
    }
    anna.shutdown().await.unwrap();
    ben.shutdown().await.unwrap();
}
