//! A member forges each field of a transaction in turn and passes it on through its own session. What no honest member passes on ends the
//! session; what cannot be told yet waits within bounds; what is true all the same is taken.

use kith_core::node::{Encryption, Event, Events, Level};
use kith_core::replica::{ContextId, Kind, MemberId, Parent, StateKey, Transaction, TransactionId};
use kith_core::sync::{Failure, Refusal};

use crate::liar::{Liar, sign_again, unsealed};
use crate::nodes::until;
use crate::scene::{Scene, parted, wait_for};

/// What the node does about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    /// Ends the session; the transaction is nowhere.
    Closes,
    /// Takes it: the field means nothing, or what it says is rejected at its place.
    Takes,
    /// Takes it where nothing is sealed. What is sealed is a call, or the session ends.
    TakesUnsealed,
    /// Ends the session where nothing is sealed. What is sealed cannot be told from a call whose keys are missing: it is taken, and not carried out.
    NeverOpens,
}

type Forge = fn(&mut Transaction, &Around);

/// What a forger knows.
struct Around {
    me: MemberId,
    creator: MemberId,
    genesis: TransactionId,
}

/// Signed by the liar after the change, and before that sealed where the context is.
const SIGNED: &[(&str, Answer, Forge)] = &[
    ("version", Answer::Closes, |t, _| t.header.version += 1),
    ("context", Answer::Closes, |t, _| t.header.context = ContextId([7; 32])),
    ("no context", Answer::Closes, |t, _| t.header.context = ContextId::default()),
    ("another's author", Answer::Closes, |t, around| t.header.author = around.creator),
    ("an unknown author", Answer::Closes, |t, _| t.header.author = MemberId([7; 32])),
    ("sequence 0", Answer::Closes, |t, _| t.header.sequence = 0),
    ("sequence skipped", Answer::Closes, |t, _| t.header.sequence += 1),
    ("sequence too large", Answer::Closes, |t, _| t.header.sequence = u64::MAX),
    ("previous is another's", Answer::Closes, |t, around| t.header.previous = around.genesis),
    ("previous is none", Answer::Closes, |t, _| t.header.previous = TransactionId::default()),
    ("a parent's author", Answer::Closes, |t, around| {
        t.header.parents = vec![Parent { author: MemberId([7; 32]), sequence: 1, id: around.genesis }];
    }),
    ("a parent's sequence", Answer::Closes, |t, around| {
        t.header.parents = vec![Parent { author: around.creator, sequence: 9, id: around.genesis }];
    }),
    ("a parent of one's own", Answer::Closes, |t, around| {
        t.header.parents = vec![Parent { author: around.me, sequence: 1, id: t.header.previous }];
    }),
    ("a parent twice", Answer::Closes, |t, around| {
        let parent = Parent { author: around.creator, sequence: 1, id: around.genesis };
        t.header.parents = vec![parent, parent];
    }),
    // In their order they would be waited for, as below.
    ("parents unsorted", Answer::Closes, |t, _| {
        let parent = |n: u8| Parent { author: MemberId([n; 32]), sequence: 1, id: TransactionId([n; 32]) };
        t.header.parents = vec![parent(2), parent(1)];
    }),
    ("too many parents", Answer::Closes, |t, _| {
        let parent = |n: u8| Parent { author: MemberId([n; 32]), sequence: 1, id: TransactionId([n; 32]) };
        t.header.parents = (1..=17).map(parent).collect();
    }),
    ("lamport 0", Answer::Closes, |t, _| t.header.lamport = 0),
    ("lamport too small", Answer::Closes, |t, _| t.header.lamport = 1),
    ("lamport too large", Answer::Closes, |t, _| t.header.lamport += 1_000_000),
    ("lamport at the end", Answer::Closes, |t, _| t.header.lamport = u64::MAX),
    ("a second genesis", Answer::Closes, |t, _| t.header.kind = Kind::Genesis as u8),
    ("a kind without what belongs to it", Answer::Closes, |t, _| t.header.kind = Kind::Add as u8),
    ("kind 0", Answer::TakesUnsealed, |t, _| t.header.kind = 0),
    ("an unknown kind", Answer::TakesUnsealed, |t, _| t.header.kind = 200),
    ("another's kind", Answer::TakesUnsealed, |t, _| t.header.kind = Kind::Invite as u8),
    ("the time of day", Answer::Takes, |t, _| t.header.timestamp = u64::MAX),
];

/// What sealing or the payload gives, changed after that and signed again.
const FOLLOWING: &[(&str, Answer, Forge)] = &[
    ("an epoch that is none", Answer::Closes, |t, around| t.header.epoch = around.genesis.0),
    ("counter", Answer::NeverOpens, |t, _| t.header.counter += 1),
    ("counter at the end", Answer::NeverOpens, |t, _| t.header.counter = u32::MAX),
    ("commitment", Answer::NeverOpens, |t, _| t.header.commitment[0] ^= 1),
    ("payload hash", Answer::Closes, |t, _| t.header.payload_hash[0] ^= 1),
    ("payload length", Answer::Closes, |t, _| t.header.payload_len += 1),
    ("payload length at the end", Answer::Closes, |t, _| t.header.payload_len = u32::MAX),
    ("payload", Answer::Closes, |t, _| t.payload[40] ^= 1),
    ("no payload", Answer::Closes, |t, _| t.payload.clear()),
    ("payload and its hash", Answer::NeverOpens, |t, _| {
        t.payload[40] ^= 1;
        t.header.payload_hash = blake3::derive_key("kith 2026 payload", &t.payload);
    }),
];

/// Not sealed in a sealed context, and the other way around.
fn in_the_other_way(liar: &Liar) -> Transaction {
    let (header, said) = liar.draft("the other way", b"a lie");
    let mut lie = unsealed(&header, said).sign(&liar.key);
    if liar.keys.is_none() {
        lie.header.epoch = lie.header.previous.0;
        lie.header.payload_len -= 16;
    }
    sign_again(lie, &liar.key)
}

fn forge(liar: &mut Liar, around: &Around, change: Forge, name: &str, sealed_over: bool) -> Transaction {
    let mut lie = liar.call(name, b"a lie");
    let (header, said) = liar.draft(name, b"a lie");
    if let Some(keys) = liar.keys.as_mut().filter(|_| sealed_over) {
        let mut plain = Transaction { header, ..lie.clone() };
        change(&mut plain, around);
        // Who says that it is another one, or elsewhere, cannot seal so: that is changed afterwards, like what is not sealed.
        if let Ok(sealed) = keys.seal(plain.header, &said, &liar.key) {
            return sealed;
        }
    }
    change(&mut lie, around);
    sign_again(lie, &liar.key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_forged_field_is_noticed() {
    forged_fields(Encryption::X25519).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_forged_field_is_noticed_where_nothing_is_sealed() {
    forged_fields(Encryption::Off).await;
}

async fn forged_fields(encryption: Encryption) {
    let mut scene = Scene::of(encryption, crate::network::TCP).await;
    let mut liar = scene.liar().await;
    assert_eq!(liar.keys.is_some(), encryption != Encryption::Off);
    let history = scene.attacked.history(None, 1).await.unwrap();
    let around = Around { me: liar.member(), creator: scene.attacked.me(), genesis: history[0].id };
    // The first one of its own is a note; the forged ones follow a true call.
    let written = liar.write("true", b"true");
    let true_id = *liar.push(written).await.last().unwrap();
    taken(&scene, "what is true", true_id).await;
    // It really seals: what it says is read.
    let read = scene.attacked.get(StateKey::of("liar", "true"), Level::Tentative).await.unwrap();
    assert_eq!(read.as_deref(), Some(&b"true"[..]));
    let mut events = scene.attacked.events(None).await.unwrap();
    let all = SIGNED.iter().map(|row| (row, true)).chain(FOLLOWING.iter().map(|row| (row, false)));
    for ((name, answer, change), sealed_over) in all {
        println!("forged: {name}");
        let lie = forge(&mut liar, &around, *change, name, sealed_over);
        let closes = match answer {
            Answer::Closes => true,
            Answer::Takes => false,
            Answer::TakesUnsealed => liar.keys.is_some(),
            Answer::NeverOpens => liar.keys.is_none(),
        };
        if closes {
            refused(&scene, &mut liar, &mut events, name, lie).await;
            continue;
        }
        let (id, closed) = (lie.header.id(), liar.closed);
        liar.push(vec![lie.clone()]).await;
        taken(&scene, name, id).await;
        assert_eq!(liar.closed, closed, "{name}");
        scene.unopened += u64::from(*answer == Answer::NeverOpens);
        let status = scene.attacked.status().await.unwrap();
        assert_eq!((status.pending, status.unopened), (0, scene.unopened), "{name}");
        // It is part of the history now, and what follows builds on it.
        liar.take(lie);
    }
    let lie = in_the_other_way(&liar);
    refused(&scene, &mut liar, &mut events, "sealed where nothing is, or the other way around", lie).await;
    // The signature itself: another's, and none that anybody made.
    for (name, break_it) in [
        ("signature", (|t: &mut Transaction| t.signature.as_mut().unwrap()[0] ^= 1) as fn(&mut Transaction)),
        ("signature of zeros", |t| t.signature = Some([0; 64])),
        ("signature of another", |t| {
            let key = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
            *t = sign_again(t.clone(), &key);
        }),
    ] {
        let mut lie = liar.call(name, b"a lie");
        break_it(&mut lie);
        let reason = refused(&scene, &mut liar, &mut events, name, lie).await;
        assert_eq!(reason, format!("misbehaved: {}", Failure::BadTransaction), "{name}");
    }
    assert_eq!(scene.attacked.members().await.unwrap().len(), 3);
    // After all that it is read as before.
    let written = liar.write("true", b"still true");
    let id = *liar.push(written).await.last().unwrap();
    taken(&scene, "what is true", id).await;
    let read = scene.attacked.get(StateKey::of("liar", "true"), Level::Tentative).await.unwrap();
    assert_eq!(read.as_deref(), Some(&b"still true"[..]));
    liar.hang_up().await;
    scene.ends_whole(&format!("forged fields, {encryption:?}")).await;
}

async fn taken(scene: &Scene, name: &str, id: TransactionId) {
    wait_for(name, || async { scene.attacked.transaction(id).await.unwrap().is_some() }).await;
}

/// The session ends, the transaction is nowhere, and the liar comes again. What the host hears.
async fn refused(
    scene: &Scene,
    liar: &mut Liar,
    events: &mut Events,
    name: &str,
    lie: Transaction,
) -> String {
    let (id, closed) = (lie.header.id(), liar.closed);
    liar.push(vec![lie]).await;
    liar.until(|liar| liar.closed > closed).await;
    let reason = parted(events, liar).await;
    assert!(reason.starts_with("misbehaved: "), "{name}: {reason}");
    assert!(scene.attacked.transaction(id).await.unwrap().is_none(), "{name}");
    liar.story.lies.clear();
    liar.come_back().await;
    reason
}

/// The control of the test above: the same liar, the same way, and nothing forged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_forged_is_taken() {
    let scene = Scene::new().await;
    let mut liar = scene.liar().await;
    for name in ["one", "two", "three"] {
        let written = liar.write(name, b"true");
        let id = *liar.push(written).await.last().unwrap();
        wait_for(name, || async { scene.attacked.transaction(id).await.unwrap().is_some() }).await;
    }
    assert_eq!(liar.closed, 0);
    liar.hang_up().await;
    scene.ends_whole("nothing forged").await;
}

/// What names something that nobody has waits: bounded, visible in the status, and gone with its deliverer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_can_complete_waits_within_bounds() {
    const EACH: usize = 700 << 10;
    let scene = Scene::new().await;
    let mut liar = scene.liar().await;
    let written = liar.write("true", b"true");
    liar.push(written).await;
    let watch = crate::heap::Watch::begin().await;
    // 40 times 700 KiB, each after something else that does not exist; 8 MiB is one peer's share of the room.
    for number in 0..40u8 {
        let (mut header, _) = liar.draft("head", b"");
        header.previous = TransactionId([number + 1; 32]);
        header.sequence += 1 + u64::from(number);
        let lie = liar.seal(header, &vec![number; EACH]);
        liar.push(vec![lie]).await;
        // The node's acknowledgements make room for more.
        liar.breathe().await;
    }
    // What did not fit into the window goes out only as the liar deals with the node's acknowledgements.
    tokio::select! {
        () = liar.until(|_| false) => {}
        () = wait_for("the room is full", || async { scene.attacked.status().await.unwrap().waiting >= 10 }) => {}
    }
    // Of that 27 are what the liar itself keeps, and what is sealed goes over the link as it is.
    watch.at_most(80, "40 times 700 KiB that waits for something else");
    // Behind all of them something true: when that is there, the node has dealt with each.
    let written = liar.write("after", b"true");
    let last = *liar.push(written).await.last().unwrap();
    tokio::select! {
        () = liar.until(|_| false) => {}
        () = taken(&scene, "what follows", last) => {}
    }
    let status = scene.attacked.status().await.unwrap();
    assert!(status.waiting >= 10, "{status:?}");
    assert!(status.waiting as usize * EACH <= kith_core::limits::WAITING_FOR_EACH_PEER, "{status:?}");
    assert!(!status.missing.is_empty(), "{status:?}");
    liar.hang_up().await;
    wait_for("the room is empty", || async { scene.attacked.status().await.unwrap().waiting == 0 }).await;
    scene.ends_whole("parents that do not exist").await;
}

/// A member that signs two histories is named, proved to the others and out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_histories_are_named_and_end_the_membership() {
    let mut scene = Scene::new().await;
    let mut liar = scene.liar().await;
    let mut events = scene.at_honest.events(None).await.unwrap();
    let mut at_attacked = scene.attacked.events(None).await.unwrap();
    let written = liar.write("true", b"true");
    liar.push(written).await;
    let (one, other) = (liar.call("same", b"one"), liar.call("same", b"two"));
    assert_eq!(one.header.sequence, other.header.sequence);
    liar.push(vec![one]).await;
    liar.push(vec![other]).await;
    let member = liar.member();
    // In whichever order: the proof may come with what it proves.
    let (mut named, mut removed) = (false, false);
    while !(named && removed) {
        let event = until(&mut events, |event| {
            matches!(event, Event::Equivocation { .. } | Event::MemberRemoved { .. })
        });
        match event.await {
            Event::Equivocation { member: who, .. } => named |= who == member,
            event => removed |= event == Event::MemberRemoved { member },
        }
    }
    liar.until(|liar| !liar.has_session()).await;
    assert_eq!(parted(&mut at_attacked, &liar).await, format!("refused: {}", Refusal::Removed));
    liar.hang_up().await;
    // Both are sealed with one key, which is gone once the first was read.
    scene.unopened = 1;
    scene.ends_whole("two histories").await;
}
