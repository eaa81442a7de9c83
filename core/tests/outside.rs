//! What somebody outside sees of a context with many members: a relay that carries their links, and a gossip peer that is no member. Every
//! byte of both is kept and searched.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[allow(dead_code, reason = "the network's own tests use the rest")]
#[path = "network/common.rs"]
mod common;
mod nodes;
#[allow(dead_code, reason = "the network's own tests use the rest")]
#[path = "network/relay.rs"]
mod relay;
#[path = "network/stranger.rs"]
mod stranger;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kith_core::invitation::Invitation;
use kith_core::node::{Context, CreateOptions, InviteOptions, JoinOptions, Node, Options};
use kith_core::replica::{Replica, Tip, TransactionId};
use kith_core::storage::{ContextTables, Keyspace, MemoryStore, Store};
use nodes::{PATIENCE, envelope_keys, equal, key, log, watch};
use relay::{Relay, generous};
use stranger::Stranger;

/// Enough for gossip: more than 8.
const MEMBERS: usize = 11;

/// Members of one context: all but the first listen at nothing but the relay.
struct World {
    nodes: Vec<Node>,
    contexts: Vec<Context>,
    relay: Relay,
    invitation: Invitation,
    /// What the first node keeps.
    store: Arc<MemoryStore>,
}

async fn world(change: impl Fn(&mut Options)) -> World {
    log();
    let relay = Relay::start(generous()).await;
    let (mut nodes, mut contexts): (Vec<Node>, Vec<Context>) = Default::default();
    let mut invitation = None;
    let mut store = None;
    for index in 0..MEMBERS {
        let mut options = Options::default();
        options.relays = vec![relay.address.clone()];
        options.hole_punching = false;
        if index == 0 {
            options.listen = vec!["/ip4/127.0.0.1/tcp/0".into()];
            store = Some(watch(&mut options));
        }
        change(&mut options);
        let node = Node::open(options).await.unwrap();
        let context = match &invitation {
            None => {
                let context = node.create_context(CreateOptions::default()).await.unwrap();
                let mut options = InviteOptions::default();
                options.max_uses = 100;
                invitation = Some(context.invite(options).await.unwrap());
                context
            }
            Some(invitation) => {
                let text = Invitation::to_text(invitation);
                node.join(&text, JoinOptions::default()).await.unwrap()
            }
        };
        nodes.push(node);
        contexts.push(context);
    }
    // Those who listen nowhere meet each other through the relay.
    for pair in nodes[1..].windows(2) {
        let through =
            pair[1].addresses().into_iter().find(|address| address.contains("/p2p-circuit")).unwrap();
        pair[0].connect(&through).await.unwrap();
    }
    let world = World { nodes, contexts, relay, invitation: invitation.unwrap(), store: store.unwrap() };
    // The first epoch for all of them: before it nothing is gossiped.
    world.contexts[0].put(key("first"), b"nobody else reads this").await.unwrap();
    world.all_equal().await;
    world
}

impl World {
    async fn all_equal(&self) {
        for context in &self.contexts[1..] {
            equal(&self.contexts[0], context).await;
        }
    }

    /// Everything that nobody outside may see: what it is, and its bytes.
    async fn secrets(&self) -> Vec<(String, Vec<u8>)> {
        let context = &self.contexts[0];
        let mut secrets = vec![
            ("the context's id".to_owned(), context.id().0.to_vec()),
            ("the access key".into(), self.invitation.access_key.to_vec()),
            ("the invite key".into(), self.invitation.secret.to_vec()),
            ("a method's name".into(), b"compare_and_set".to_vec()),
            ("a value".into(), b"nobody else reads this".to_vec()),
        ];
        for member in context.members().await.unwrap() {
            secrets.push(("a member's id".into(), member.id.0.to_vec()));
            secrets.push(("how a member came".into(), member.added.0.to_vec()));
        }
        let history = context.history(None, 1000).await.unwrap();
        assert!(history.len() > 2 * MEMBERS);
        secrets.extend(history.iter().map(|found| ("a transaction's id".to_owned(), found.id.0.to_vec())));
        secrets.extend(self.named());
        secrets
    }

    /// What transactions name: those before them, and the epochs that calls are sealed under.
    fn named(&self) -> Vec<(String, Vec<u8>)> {
        let snapshot = self.store.snapshot().unwrap();
        let tables = ContextTables::new(&*snapshot, 1);
        let replica = Replica::open(self.contexts[0].id(), &tables).unwrap();
        let (mut parents, mut epochs): (BTreeSet<[u8; 32]>, BTreeSet<[u8; 32]>) = Default::default();
        for (author, _) in replica.tips() {
            let start = Tip { sequence: 0, id: TransactionId::default() };
            for (_, found) in replica.chain(&tables, author, start, 10_000).unwrap() {
                parents.extend(found.header.parents.iter().map(|parent| parent.id.0));
                epochs.extend(Some(found.header.epoch).filter(|_| found.header.is_sealed()));
            }
        }
        assert!(parents.len() > MEMBERS && !epochs.is_empty());
        let named = |what: &'static str| move |id: [u8; 32]| (what.to_owned(), id.to_vec());
        let parents = parents.into_iter().map(named("a parent"));
        parents.chain(epochs.into_iter().map(named("an epoch's id"))).collect()
    }

    /// What the first node's store has of its context and of all transactions.
    fn kept(&self) -> Vec<Vec<u8>> {
        let snapshot = self.store.snapshot().unwrap();
        let keyspaces = [Keyspace::Meta, Keyspace::Transactions];
        let rows = |keyspace| snapshot.scan(keyspace, &[], None, false, usize::MAX).unwrap();
        keyspaces.into_iter().flat_map(rows).map(|(key, value)| [key, value].concat()).collect()
    }

    async fn shutdown(self) {
        for node in self.nodes {
            node.shutdown().await.unwrap();
        }
    }
}

/// The numbers of those secrets that are in the bytes, as they are or as hexadecimal text. Each has at least 8 bytes.
fn hits(secrets: &[(String, Vec<u8>)], bytes: &[Vec<u8>]) -> BTreeSet<usize> {
    let mut by_start: HashMap<Vec<u8>, Vec<(usize, Vec<u8>)>> = HashMap::new();
    for (number, (_, secret)) in secrets.iter().enumerate() {
        let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        for form in [secret.clone(), text.into_bytes()] {
            by_start.entry(form[..8].to_vec()).or_default().push((number, form));
        }
    }
    let mut hits = BTreeSet::new();
    for bytes in bytes {
        for (at, start) in bytes.windows(8).enumerate() {
            let forms = by_start.get(start).into_iter().flatten();
            hits.extend(forms.filter(|(_, form)| bytes[at..].starts_with(form)).map(|(number, _)| *number));
        }
    }
    hits
}

/// Of which kinds they are.
fn found<'a>(secrets: &'a [(String, Vec<u8>)], bytes: &[Vec<u8>]) -> BTreeSet<&'a str> {
    hits(secrets, bytes).into_iter().map(|number| secrets[number].0.as_str()).collect()
}

/// The sizes that an envelope may have: 512, 640, 768, 896, 1024 …, with tag, length, nonce and authenticator.
fn is_bucket(length: usize) -> bool {
    (9..17).any(|power| (4..8).any(|quarter| length == (1 << power) * quarter / 4 + 16 + 4 + 24 + 16))
}

async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it does not come to that");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_a_relay_nor_a_gossip_peer_learns_anything() {
    let world = world(|_| ()).await;
    let stranger = Stranger::beside(&world.nodes[0].addresses()[0]).await;
    until(|| !stranger.topics().is_empty()).await;
    let before = stranger.messages().len();
    let mut round = 0;
    // Until it has heard of many members' transactions, as a peer in the mesh does.
    while stranger.messages().len() < before + 15 || round < 6 {
        round += 1;
        assert!(round < 60, "the gossip peer hears nothing");
        for (index, context) in world.contexts.iter().enumerate() {
            let value =
                format!("nobody else reads this {round} {index} {}", "x".repeat(round * 40 + index * 7));
            let at = key(&format!("{round} {index}"));
            context.compare_and_set(at, None, Some(value.as_bytes())).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.all_equal().await;
    let secrets = world.secrets().await;
    let messages = stranger.messages();
    let (carried, heard) = (world.relay.streams(), stranger.streams());
    let amount = |streams: &[Vec<u8>]| streams.iter().map(Vec::len).sum::<usize>();
    let amounts = (amount(&carried), amount(&heard));
    assert!(amounts.0 > 200_000 && amounts.1 > 15 * 512, "both had much to look at: {amounts:?}");

    assert_eq!(found(&secrets, &carried), BTreeSet::new(), "the relay learns something");
    assert_eq!(found(&secrets, &heard), BTreeSet::new(), "the gossip peer learns something");
    assert_eq!(found(&secrets, &messages), BTreeSet::new(), "the gossip peer learns something");
    let sizes: BTreeSet<usize> = messages.iter().map(Vec::len).collect();
    assert!(sizes.iter().all(|size| is_bucket(*size)), "{sizes:?}");
    assert!(is_bucket(700) && !is_bucket(701) && !is_bucket(699));
    // What is visible by nature is no member's key: each context has an identity of its own.
    let members: Vec<_> =
        world.contexts[0].members().await.unwrap().into_iter().map(|member| member.id).collect();
    for node in &world.nodes {
        let peer: kith_core::network::PeerId = node.id().parse().unwrap();
        assert!(members.iter().all(|member| !peer.to_bytes().ends_with(&member.0)));
    }

    // Controls. The same search finds what is there: peers' names, which a relay has to know, …
    let peer: kith_core::network::PeerId = world.nodes[1].id().parse().unwrap();
    let visible = [("a peer id".to_owned(), peer.to_bytes())];
    assert_eq!(found(&visible, &carried).len(), 1);
    // … and ids in the same messages once they are opened by somebody who has the key; …
    let plain = opened(&world, &messages);
    assert_eq!(plain.len(), messages.len());
    let in_plain = found(&secrets, &plain);
    for what in ["the context's id", "a member's id", "a transaction's id"] {
        assert!(in_plain.contains(what), "{what} is not in {in_plain:?}");
    }
    // What a call says is sealed once more, for who has the keys of its epoch; they read it.
    let history = world.contexts[0].history(None, 1000).await.unwrap();
    let said: Vec<Vec<u8>> = history
        .iter()
        .map(|call| [call.method.clone().unwrap_or_default().as_bytes(), &call.arguments].concat())
        .collect();
    assert_eq!(found(&secrets[3..5], &said), BTreeSet::from(["a method's name", "a value"]));
    // … and each single one of all that was looked for in vain, of every kind, in what is inside: the opened messages, what calls say, what the first node
    // keeps, and the invitation.
    let mut inside = [plain, said, world.kept()].concat();
    inside.push(world.invitation.to_bytes());
    let there = hits(&secrets, &inside);
    let not_there: Vec<_> = (0..secrets.len()).filter(|n| !there.contains(n)).map(|n| &secrets[n]).collect();
    assert!(not_there.is_empty(), "{not_there:?}");
    world.shutdown().await;
}

/// The lengths of all messages of Noise that go one way on a circuit; none where the bytes are of no circuit. What is in them, and how many frames
/// they are, no relay sees.
fn noise(bytes: &[u8]) -> Option<Vec<usize>> {
    const CHOSEN: &[u8] = b"\x07/noise\n";
    let chosen = bytes.windows(CHOSEN.len()).position(|window| window == CHOSEN)?;
    let mut rest = &bytes[chosen + CHOSEN.len()..];
    let mut lengths = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        // Not all of the last one may be there yet.
        let Some(after) = after.get(length..) else { break };
        lengths.push(length);
        rest = after;
    }
    Some(lengths)
}

/// Sizes of frames as they are filled up, with their header: 256, 320, 384, 448, 512, 640 … 4,096.
fn is_step(length: usize) -> bool {
    (8..12).any(|power| (4..=8).any(|quarter| length == (1 << power) * quarter / 4))
}

/// What a relay sees of a frame by itself: it, the header of yamux, and the authenticator.
fn is_step_seen(length: usize) -> bool {
    length.checked_sub(12 + 16).is_some_and(is_step)
}

/// Two members whose only way to each other is the relay write values of each length. The relay sees sizes, and of these only in which step they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_relay_sees_of_sizes_are_steps() {
    log();
    let relay = Relay::start(generous()).await;
    let open = || {
        let mut options = Options::default();
        options.relays = vec![relay.address.clone()];
        options.hole_punching = false;
        Node::open(options)
    };
    let (one, other) = (open().await.unwrap(), open().await.unwrap());
    let context = one.create_context(CreateOptions::default()).await.unwrap();
    let there = nodes::join(&context, &other, kith_core::replica::Role::Writer).await.unwrap();
    context.put(key("first"), b"an epoch for both").await.unwrap();
    equal(&context, &there).await;
    let seen = || relay.streams().iter().filter_map(|bytes| noise(bytes)).collect::<Vec<_>>();
    let before = seen();
    assert!(
        before.iter().filter(|lengths| lengths.len() > 10).count() >= 4,
        "both ways, in and out: {before:?}"
    );

    let lengths: Vec<usize> = (0..1_400).step_by(23).collect();
    for length in &lengths {
        context.put(key("length"), &vec![7; *length]).await.unwrap();
        equal(&context, &there).await;
    }
    let after = seen();
    assert_eq!(after.len(), before.len(), "no other connection");
    let new = after.iter().zip(&before).flat_map(|(after, before)| &after[before.len()..]);
    // What is smaller than the smallest frame is yamux's own, and the links' signs of life.
    let sizes: Vec<usize> = new.copied().filter(|length| *length >= 256).collect();
    let which: BTreeSet<usize> = sizes.iter().copied().collect();
    println!("{} messages of {} sizes: {which:?}", sizes.len(), which.len());
    assert!(sizes.len() >= 2 * lengths.len(), "each was seen, in and out: {}", sizes.len());
    assert!(which.iter().all(|size| is_step_seen(*size)), "{which:?}");
    assert!(which.len() < lengths.len() / 4, "{which:?}");
    // The controls: they do follow what is written, step by step; and sizes that are not filled up would be seen.
    assert!(which.len() >= 5, "{which:?}");
    let bare = lengths.iter().filter(|length| is_step_seen(600 + **length)).count();
    assert!(bare < lengths.len() / 10 && is_step_seen(640 + 28) && !is_step_seen(640 + 29), "{bare}");
    for node in [one, other] {
        node.shutdown().await.unwrap();
    }
}

/// What is in the envelopes, for who has the keys of the epochs.
fn opened(world: &World, messages: &[Vec<u8>]) -> Vec<Vec<u8>> {
    use kith_core::encryption::{Envelope, Scope, Suite};
    let scope = Scope { suite: Suite::X25519, context: world.contexts[0].id() };
    let keys = envelope_keys(&world.store);
    let open = |bytes: &Vec<u8>| {
        let envelope: Envelope = borsh::from_slice(bytes).unwrap();
        keys.iter().find_map(|key| envelope.open(&scope, key).ok()).expect("a member opens it")
    };
    messages.iter().map(open).collect()
}

/// Gossip is a hint: with it turned off, and with a peer that gossips garbage, everybody comes to the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_gossip_and_under_garbage_all_become_equal() {
    for gossip in [false, true] {
        let world = world(|options| options.gossip = gossip).await;
        let stranger =
            if gossip { Some(Stranger::beside(&world.nodes[0].addresses()[0]).await) } else { None };
        if let Some(stranger) = &stranger {
            until(|| !stranger.topics().is_empty()).await;
        }
        for (index, context) in world.contexts.iter().enumerate() {
            context.put(key(&index.to_string()), b"x").await.unwrap();
            let Some(stranger) = &stranger else { continue };
            for n in 0..20u8 {
                stranger.publish(&stranger.topics()[0], vec![n; 600 + index]);
            }
            // Somebody else's words again are no news.
            for message in stranger.messages() {
                stranger.publish(&stranger.topics()[0], message);
            }
        }
        // A value that is too large to be gossiped.
        world.contexts[3].put(key("large"), &vec![7; 200_000]).await.unwrap();
        world.all_equal().await;
        world.shutdown().await;
    }
}
