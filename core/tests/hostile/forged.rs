//! A member forges each field of a transaction in turn and passes it on through its own session. What no honest member passes on ends the
//! session; what cannot be told yet waits within bounds; what is true all the same is taken.

use kith_core::node::Event;
use kith_core::replica::{ContextId, Kind, MemberId, Parent, Transaction, TransactionId};

use crate::liar::{Liar, following, sign_again};
use crate::nodes::until;
use crate::scene::{Scene, wait_for};

/// What the node does about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    /// Ends the session; the transaction is nowhere.
    Closes,
    /// Takes it: the field means nothing, or what it says is rejected at its place.
    Takes,
}

type Forge = fn(&mut Transaction, &Around);

/// What a forger knows.
struct Around {
    me: MemberId,
    creator: MemberId,
    genesis: TransactionId,
}

/// Signed by the liar after the change.
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
    ("epoch", Answer::Closes, |t, _| t.header.epoch[0] = 1),
    ("counter", Answer::Closes, |t, _| t.header.counter = 1),
    ("commitment", Answer::Closes, |t, _| t.header.commitment[0] ^= 1),
    ("payload hash", Answer::Closes, |t, _| t.header.payload_hash[0] ^= 1),
    ("payload length", Answer::Closes, |t, _| t.header.payload_len += 1),
    ("payload length at the end", Answer::Closes, |t, _| t.header.payload_len = u32::MAX),
    ("payload", Answer::Closes, |t, _| t.payload[40] ^= 1),
    ("no payload", Answer::Closes, |t, _| t.payload.clear()),
    ("a second genesis", Answer::Closes, |t, _| t.header.kind = Kind::Genesis as u8),
    ("a kind without what belongs to it", Answer::Closes, |t, _| t.header.kind = Kind::Add as u8),
    ("kind 0", Answer::Takes, |t, _| t.header.kind = 0),
    ("an unknown kind", Answer::Takes, |t, _| t.header.kind = 200),
    ("another's kind", Answer::Takes, |t, _| t.header.kind = Kind::Invite as u8),
    ("the time of day", Answer::Takes, |t, _| t.header.timestamp = u64::MAX),
];

async fn forge(liar: &mut Liar, around: &Around, forge: Forge, name: &str) -> Transaction {
    let mut transaction = liar.call(name, b"a lie");
    forge(&mut transaction, around);
    sign_again(transaction, &liar.key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_forged_field_is_noticed() {
    let scene = Scene::new().await;
    let mut liar = scene.liar().await;
    let history = scene.attacked.history(None, 1).await.unwrap();
    let around = Around { me: liar.member(), creator: scene.attacked.me(), genesis: history[0].id };
    // The first one of its own is a note; the forged ones follow a true call.
    let written = liar.write("true", b"true");
    let true_id = *liar.push(written).await.last().unwrap();
    wait_for("what is true is taken", || async {
        scene.attacked.transaction(true_id).await.unwrap().is_some()
    })
    .await;
    let mut events = scene.attacked.events(None).await.unwrap();
    for (name, answer, change) in SIGNED {
        println!("forged: {name}");
        let lie = forge(&mut liar, &around, *change, name).await;
        let (id, closed) = (lie.header.id(), liar.closed);
        match answer {
            Answer::Closes => {
                liar.push(vec![lie]).await;
                liar.until(|liar| liar.closed > closed).await;
                until(&mut events, |event| matches!(event, Event::PeerDisconnected { .. })).await;
                assert!(scene.attacked.transaction(id).await.unwrap().is_none(), "{name}");
                liar.story.lies.clear();
                liar.come_back().await;
            }
            Answer::Takes => {
                liar.push(vec![lie.clone()]).await;
                wait_for(name, || async { scene.attacked.transaction(id).await.unwrap().is_some() }).await;
                assert_eq!(liar.closed, closed, "{name}");
                // It is part of the history now, and what follows builds on it.
                liar.story.take(lie);
            }
        }
    }
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
        let (id, closed) = (lie.header.id(), liar.closed);
        liar.push(vec![lie]).await;
        liar.until(|liar| liar.closed > closed).await;
        assert!(scene.attacked.transaction(id).await.unwrap().is_none(), "{name}");
        liar.story.lies.clear();
        liar.come_back().await;
    }
    assert_eq!(scene.attacked.members().await.unwrap().len(), 3);
    liar.hang_up().await;
    scene.ends_whole("forged fields").await;
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
    let head = liar.call("head", b"");
    for number in 0..40u8 {
        let mut draft = following(&head, vec![number; EACH]);
        draft.previous = TransactionId([number + 1; 32]);
        draft.sequence += u64::from(number);
        let lie = draft.sign(&liar.key);
        liar.push(vec![lie]).await;
        // The node's acknowledgements make room for more.
        liar.breathe().await;
    }
    // What did not fit into the window goes out only as the liar deals with the node's acknowledgements.
    tokio::select! {
        () = liar.until(|_| false) => {}
        () = wait_for("the room is full", || async { scene.attacked.status().await.unwrap().waiting >= 10 }) => {}
    }
    let status = scene.attacked.status().await.unwrap();
    assert!(status.waiting as usize * EACH <= kith_core::limits::WAITING_FOR_EACH_PEER, "{status:?}");
    assert!(!status.missing.is_empty(), "{status:?}");
    watch.at_most(72, "40 times 700 KiB that waits for something else");
    liar.hang_up().await;
    wait_for("the room is empty", || async { scene.attacked.status().await.unwrap().waiting == 0 }).await;
    scene.ends_whole("parents that do not exist").await;
}

/// A member that signs two histories is named, proved to the others and out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_histories_are_named_and_end_the_membership() {
    let scene = Scene::new().await;
    let mut liar = scene.liar().await;
    let mut events = scene.at_honest.events(None).await.unwrap();
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
    liar.hang_up().await;
    scene.ends_whole("two histories").await;
}
