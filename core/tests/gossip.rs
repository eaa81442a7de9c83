//! Gossip follows the epochs: members stay in step across rotation, removal and joining, and who was removed recognises nothing of it any more.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[allow(dead_code, reason = "the network's own tests use the rest")]
#[path = "network/common.rs"]
mod common;
mod nodes;
#[allow(dead_code, reason = "the network's own tests use the rest")]
#[path = "network/relay.rs"]
mod relay;
#[allow(dead_code, reason = "the test of the outside view uses the rest")]
#[path = "network/stranger.rs"]
mod stranger;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kith_core::encryption::{Envelope, Scope, Secret, Suite, envelope_tag, first_envelope_key, gossip_topic};
use kith_core::node::{Context, CreateOptions, Engine, InviteOptions, JoinOptions, Node, Options};
use kith_core::replica::ContextId;
use kith_core::storage::{MemoryStore, Store};
use nodes::{PATIENCE, envelope_keys, equal, key, log};
use stranger::Stranger;

struct Member {
    node: Node,
    context: Context,
    store: Arc<MemoryStore>,
}

struct World {
    members: Vec<Member>,
    token: String,
    access_key: [u8; 32],
}

impl World {
    async fn of(members: usize) -> Self {
        log();
        let (options, store) = options();
        let node = Node::open(options).await.unwrap();
        let context = node.create_context(CreateOptions::default()).await.unwrap();
        let mut invite = InviteOptions::default();
        invite.max_uses = 100;
        let invitation = context.invite(invite).await.unwrap();
        let access_key = invitation.access_key;
        let mut world =
            Self { members: vec![Member { node, context, store }], token: invitation.to_text(), access_key };
        while world.members.len() < members {
            world.join().await;
        }
        world
    }

    async fn join(&mut self) {
        let (options, store) = options();
        let node = Node::open(options).await.unwrap();
        let context = node.join(&self.token, JoinOptions::default()).await.unwrap();
        self.members.push(Member { node, context, store });
    }

    async fn all_equal(&self) {
        for member in &self.members[1..] {
            equal(&self.members[0].context, &member.context).await;
        }
    }

    fn scope(&self) -> Scope {
        Scope { suite: Suite::X25519, context: self.members[0].context.id() }
    }

    /// All that a member can try on envelopes: the keys that it has, and what follows from the access key.
    fn held(&self, store: &MemoryStore) -> Vec<Secret> {
        let mut keys = envelope_keys(store);
        keys.push(first_envelope_key(&self.scope(), &Secret::new(self.access_key)));
        keys
    }

    /// Everybody writes until the stranger has heard so many messages.
    async fn write_until(&self, heard: &Stranger, messages: usize, what: &str) {
        let write = async {
            let mut round = 0;
            while heard.messages().len() < messages {
                round += 1;
                for member in &self.members {
                    member.context.put(key(what), format!("{what} {round}").as_bytes()).await.unwrap();
                }
            }
        };
        tokio::time::timeout(PATIENCE, write).await.expect("the gossip peer hears too little");
        self.all_equal().await;
    }
}

fn options_on(store: &Arc<MemoryStore>) -> Options {
    let mut options = Options::default();
    options.listen = vec!["/ip4/127.0.0.1/tcp/0".into()];
    options.engine = Engine::Given(Arc::clone(store) as Arc<dyn Store>);
    options
}

fn options() -> (Options, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    (options_on(&store), store)
}

async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it does not come to that");
}

/// How many of the envelopes somebody recognises by their tags, and how many it opens.
fn known(scope: &Scope, keys: &[Secret], messages: &[Vec<u8>]) -> (usize, usize) {
    let tags: BTreeSet<[u8; 16]> = keys.iter().map(|key| envelope_tag(scope, key)).collect();
    let envelopes: Vec<Envelope> = messages.iter().map(|bytes| borsh::from_slice(bytes).unwrap()).collect();
    let recognised = envelopes.iter().filter(|envelope| tags.contains(&envelope.tag)).count();
    let opens = |envelope: &&Envelope| keys.iter().any(|key| envelope.open(scope, key).is_ok());
    (recognised, envelopes.iter().filter(opens).count())
}

/// The topics that somebody can name.
fn topics(scope: &Scope, keys: &[Secret]) -> BTreeSet<String> {
    let text = |topic: [u8; 32]| topic.iter().map(|byte| format!("{byte:02x}")).collect();
    keys.iter().map(|key| text(gossip_topic(scope, key))).collect()
}

async fn listening(world: &World) -> Stranger {
    let stranger = Stranger::beside(&world.members[0].node.addresses()[0]).await;
    until(|| !stranger.topics().is_empty()).await;
    stranger
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_removed_recognises_no_tag_and_opens_no_envelope() {
    let mut world = World::of(10).await;
    let scope = world.scope();
    world.members[0].context.put(key("first"), b"an epoch for all").await.unwrap();
    world.all_equal().await;
    let before = listening(&world).await;
    world.write_until(&before, 10, "before").await;

    // The last one goes. What it held stays with it.
    let removed = world.members.pop().unwrap();
    let held = world.held(&removed.store);
    assert!(held.len() >= 2, "a key of an epoch at least, and what follows from the access key");
    let (tags, opened) = known(&scope, &held, &before.messages());
    assert!(tags >= 10 && opened >= 10, "control: while it was a member it opened them: {tags} {opened}");
    assert!(before.topics().iter().any(|topic| topics(&scope, &held).contains(topic)), "control");
    world.members[0].context.remove(removed.context.me()).await.unwrap();
    // Seen by all: nobody is on a topic of before.
    world.all_equal().await;
    world.members[0].context.put(key("first"), b"an epoch for those who stay").await.unwrap();
    world.all_equal().await;

    // Nine go on, rotate, and let another one in.
    let after = listening(&world).await;
    world.write_until(&after, 10, "after").await;
    world.members[3].context.rotate_keys().await.unwrap();
    world.all_equal().await;
    world.write_until(&after, 20, "rotated").await;
    world.join().await;
    world.all_equal().await;
    world.members[0].context.put(key("first"), b"an epoch for the joiner too").await.unwrap();
    world.all_equal().await;
    world.write_until(&after, 30, "joined").await;

    let messages = after.messages();
    let keys_of = |store: &MemoryStore| [envelope_keys(store), held.clone()].concat();
    assert_eq!(known(&scope, &keys_of(&removed.store), &messages), (0, 0), "of {}", messages.len());
    let named = topics(&scope, &keys_of(&removed.store));
    assert!(after.topics().iter().all(|topic| !named.contains(topic)), "it can follow them");
    // Controls: who stayed knows and opens all of them, and they are on more than one topic; with what follows from the access key, as it
    // was once, the removed member would open the same.
    let stayed = envelope_keys(&world.members[1].store);
    assert_eq!(known(&scope, &stayed, &messages), (messages.len(), messages.len()));
    let seen: BTreeSet<String> = after.topics().into_iter().collect();
    assert!(seen.len() >= 3 && seen.is_subset(&topics(&scope, &stayed)), "{} topics", seen.len());
    let old = first_envelope_key(&scope, &Secret::new(world.access_key));
    let as_before: Vec<Vec<u8>> = messages
        .iter()
        .map(|bytes| {
            let envelope: Envelope = borsh::from_slice(bytes).unwrap();
            let content = stayed.iter().find_map(|key| envelope.open(&scope, key).ok()).unwrap();
            borsh::to_vec(&Envelope::seal(&scope, &old, &content).unwrap()).unwrap()
        })
        .collect();
    assert_eq!(known(&scope, &held, &as_before), (messages.len(), messages.len()));
    // Who joined last reads along once there is an epoch for it, and none of what was before.
    let joined = envelope_keys(&world.members.last().unwrap().store);
    let (tags, opened) = known(&scope, &joined, &messages);
    assert!(tags > 0 && tags == opened && tags < messages.len(), "{tags} of {}", messages.len());
    // Nor does who has all keys, and another id, name a topic …
    let elsewhere = Scope { context: ContextId([7; 32]), ..scope };
    assert!(topics(&elsewhere, &stayed).is_disjoint(&seen));
    // … or who has the id alone, which is all that is left to make keys of, or the epochs' ids (they are on the links alone).
    let epochs = world.members[1].context.security().await.unwrap().epoch;
    assert!(epochs.is_some(), "one is in use");
    let ids = [scope.context.0, [0; 32]].into_iter().chain(epochs.map(|epoch| epoch.0));
    let alone: Vec<Secret> = ids.map(Secret::new).collect();
    let made = alone.iter().map(|key| first_envelope_key(&scope, key)).collect();
    let alone = [alone, made].concat();
    assert!(topics(&scope, &alone).is_disjoint(&seen));
    assert!(!topics(&scope, &[&alone[..], &stayed].concat()).is_disjoint(&seen), "control");
    let bare: String = scope.context.0.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(seen.iter().all(|topic| !topic.contains(&bare)));
    assert_eq!(known(&scope, &alone, &messages), (0, 0));
    // After a restart a member is on its topics at once: the keys are where the epochs' other keys are.
    let Member { node, store, .. } = world.members.remove(1);
    node.shutdown().await.unwrap();
    let node = Node::open(options_on(&Arc::new(store.fork()))).await.unwrap();
    let beside = Stranger::beside(&node.addresses()[0]).await;
    until(|| !beside.topics().is_empty()).await;
    assert!(beside.topics().iter().all(|topic| topics(&scope, &stayed).contains(topic)));
    node.shutdown().await.unwrap();
    for member in world.members.into_iter().chain([removed]) {
        member.node.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_stay_in_step_across_rotation_removal_and_joining() {
    let mut world = World::of(10).await;
    for round in 0..4 {
        for (index, member) in world.members.iter().enumerate() {
            member.context.put(key(&format!("{round} {index}")), b"x").await.unwrap();
        }
        match round {
            0 => world.members[4].context.rotate_keys().await.unwrap(),
            1 => {
                let gone = world.members.remove(5);
                world.members[0].context.remove(gone.context.me()).await.unwrap();
                gone.node.shutdown().await.unwrap();
            }
            2 => world.join().await,
            // Two at once.
            _ => {
                let [one, other] = [&world.members[2].context, &world.members[3].context];
                let (one, other) = tokio::join!(one.rotate_keys(), other.rotate_keys());
                one.unwrap();
                other.unwrap();
            }
        }
        world.all_equal().await;
    }
    for member in &world.members {
        let status = member.context.security().await.unwrap();
        assert_eq!((status.members, status.unopened, status.violations), (10, 0, 0));
    }
    for member in world.members {
        member.node.shutdown().await.unwrap();
    }
}
