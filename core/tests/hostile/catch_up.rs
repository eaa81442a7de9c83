//! Peers that answer with garbage, out of turn, with another version, with lies about what they hold, or not at all.

use std::time::Duration;

use kith_core::ErrorKind;
use kith_core::network::{Config, Event, Network};
use kith_core::node::JoinOptions;
use kith_core::replica::{MemberId, Tip, TransactionId};
use kith_core::sync::{Ended, Failure, LinkError, SYNC_VERSION};

use crate::heap::Watch;
use crate::liar::Liar;
use crate::network::BOTH;
use crate::nodes::PATIENCE;
use crate::scene::{Scene, parted, wait_for};

/// A message: the number of its kind and its fields, as `docs/sync.md` has them.
fn message(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
    [&[kind], fields.concat().as_slice()].concat()
}

fn hello(version: u16, round: u64) -> Vec<u8> {
    message(5, &[&version.to_le_bytes(), &round.to_le_bytes(), &0u64.to_le_bytes(), &[7; 32]])
}

/// purpose, length before compression, whether compressed, bytes
fn batch(purpose: u8, length: u32, compressed: bool, bytes: &[u8]) -> Vec<u8> {
    let count = u32::try_from(bytes.len()).unwrap();
    let fields: [&[u8]; 5] =
        [&[purpose], &length.to_le_bytes(), &[u8::from(compressed)], &count.to_le_bytes(), bytes];
    message(8, &fields)
}

/// Everything that no honest member says in a session that is in step.
fn garbage() -> Vec<(&'static str, Failure, Vec<u8>)> {
    use Failure::{Garbage, Protocol, Version};
    let many = u32::MAX.to_le_bytes();
    let ids = |count: u32| [&count.to_le_bytes()[..], &vec![7; 32 * count as usize]].concat();
    vec![
        ("nothing", Garbage, vec![]),
        ("no message", Garbage, vec![200]),
        ("noise", Garbage, (0..=255u8).cycle().skip(99).take(5000).collect()),
        ("half a message", Garbage, hello(SYNC_VERSION, 2)[..20].to_vec()),
        ("more than a message", Garbage, [hello(SYNC_VERSION, 2), vec![0]].concat()),
        ("another version", Version, hello(SYNC_VERSION + 1, 2)),
        ("version 0", Version, hello(0, 2)),
        ("a round of long ago", Protocol, hello(SYNC_VERSION, 1)),
        ("a round far ahead", Protocol, hello(SYNC_VERSION, 1_000_000)),
        ("a proof again", Protocol, message(0, &[&[7; 32], &[7; 64], &[0; 4]])),
        ("an admission of nobody", Protocol, message(2, &[&[0; 4]])),
        ("a vector out of turn", Protocol, message(6, &[&[0; 4], &[1]])),
        ("a vector of four thousand million authors", Garbage, message(6, &[&many, &[1]])),
        ("a plan out of turn", Protocol, message(7, &[&5u64.to_le_bytes()])),
        ("catch-up out of turn", Protocol, batch(0, 4, false, &[1, 0, 0, 0])),
        ("an answer to no question", Protocol, batch(2, 4, false, &[1, 0, 0, 0])),
        ("an empty push", Garbage, batch(1, 4, false, &[0; 4])),
        ("a push of noise", Garbage, batch(1, 64, false, &[0xaa; 64])),
        ("a push of another length", Garbage, batch(1, 64, false, &[0xaa; 63])),
        ("a push that unpacks to too much", Garbage, batch(1, 4 << 20, true, &[0x1f; 64])),
        (
            "a push that unpacks to four thousand million bytes",
            Garbage,
            batch(1, u32::MAX, true, &[0x1f; 64]),
        ),
        ("a push that does not unpack", Garbage, batch(1, 1 << 20, true, &[0xff; 64])),
        ("a push for another purpose", Garbage, batch(3, 4, false, &[0; 4])),
        ("an end out of turn", Protocol, message(9, &[])),
        ("done out of turn", Protocol, message(10, &[&[1]])),
        ("an acknowledgement of nothing", Garbage, message(11, &[&[0; 4]])),
        ("an acknowledgement of what was not sent", Protocol, message(11, &[&many])),
        ("a wish for nothing", Garbage, message(12, &[&ids(0)])),
        ("a wish for too much", Garbage, message(12, &[&ids(257)])),
        ("a wish for four thousand million", Garbage, message(12, &[&many])),
        ("an answer that was not asked", Protocol, message(13, &[&ids(0)])),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_in_a_session_ends_it() {
    for transport in BOTH {
        let scene = Scene::over(transport).await;
        let mut liar = scene.liar().await;
        let mut events = scene.attacked.events(None).await.unwrap();
        for (name, failure, message) in garbage() {
            let closed = liar.closed;
            liar.say(message).await;
            let deadline = tokio::time::timeout(PATIENCE, liar.until(|liar| liar.closed > closed)).await;
            assert!(deadline.is_ok(), "{name}");
            let reason = parted(&mut events, &liar).await;
            let word = if failure == Failure::Version { "version" } else { "misbehaved" };
            assert_eq!(reason, format!("{word}: {failure}"), "{name}");
            liar.come_back().await;
        }
        assert!(liar.line.is_some(), "the link has outlived it all");
        liar.hang_up().await;
        scene.ends_whole("garbage in sessions").await;
    }
}

/// What a link carries, as `docs/sync.md` has it; each ends the link, and only that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_a_link_ends_it() {
    for transport in BOTH {
        let scene = Scene::over(transport).await;
        let mut liar = scene.liar().await;
        let channel = |number: u32| number.to_le_bytes();
        let frames: Vec<(&str, LinkError, Vec<u8>)> = vec![
            ("nothing", LinkError::Garbage, vec![]),
            ("no frame", LinkError::Garbage, vec![9]),
            ("noise", LinkError::Garbage, vec![0xaa; 5000]),
            ("half a frame", LinkError::Garbage, vec![1, 0, 0]),
            ("a second hello", LinkError::Protocol, [&[0][..], &[7; 32]].concat()),
            // Each side opens its own numbers; both parities are tried, one of them is not this side's.
            (
                "a channel of the other side",
                LinkError::Protocol,
                [&[1][..], &channel(u32::MAX), &[7; 32]].concat(),
            ),
            (
                "a channel of the other side",
                LinkError::Protocol,
                [&[1][..], &channel(u32::MAX - 1), &[7; 32]].concat(),
            ),
            (
                "a message of four thousand million bytes",
                LinkError::Garbage,
                [&[4][..], &channel(0), &channel(u32::MAX)].concat(),
            ),
        ];
        let mut cut = 0;
        let mut events = scene.attacked.events(None).await.unwrap();
        for (name, error, frame) in frames {
            let misbehaved = format!("misbehaved: {error}");
            liar.send(frame).await;
            if name == "a channel of the other side" {
                // One of the two is a wrong opening and is answered; then the link is up, and the test hangs up itself.
                liar.until(|liar| liar.line.is_none() || liar.answered_at_random > 0).await;
                let blamed = liar.line.is_none();
                cut += usize::from(blamed);
                liar.hang_up().await;
                assert_eq!(parted(&mut events, &liar).await == misbehaved, blamed, "{name}");
                liar.answered_at_random = 0;
            } else {
                liar.until(|liar| liar.line.is_none()).await;
                assert_eq!(parted(&mut events, &liar).await, misbehaved, "{name}");
            }
            liar.connect().await;
            liar.until(Liar::is_through).await;
        }
        assert_eq!(cut, 1, "one of the two parities is the other side's");
        // Guessing contexts: the node answers each guess at random, and cuts the link after many.
        for number in 0..=kith_core::limits::SYNC_WRONG_OPENINGS as u32 {
            liar.guess(number).await;
        }
        liar.until(|liar| liar.line.is_none()).await;
        let guesses = format!("misbehaved: {}", LinkError::TooManyOpenings);
        assert_eq!(parted(&mut events, &liar).await, guesses);
        scene.ends_whole("garbage on links").await;
    }
}

/// A member that names tips which do not exist, or says that its history is another one and then gives nothing: the node compares a few
/// times and then rests; the others notice nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_lies_about_what_it_holds_is_not_believed() {
    let scene = Scene::new().await;
    let mut liar = scene.liar().await;
    let digest = scene.attacked.status().await.unwrap().digest;
    let ahead = |n: u8| vec![Tip { sequence: 1_000_000 + u64::from(n), id: TransactionId([n; 32]) }];
    let creator = scene.attacked.me();
    liar.story.digest = Some([7; 32]);
    liar.story.withholds = true;
    let strangers = (1..=200).map(|n| (MemberId([n; 32]), ahead(n))).collect::<Vec<_>>();
    for tips in [vec![(creator, ahead(1))], strangers] {
        liar.story.tips.extend(tips);
        liar.hang_up().await;
        liar.connect().await;
        let who = liar.network.peer_id().to_string();
        let known_to_lie = async {
            loop {
                liar.breathe().await;
                let peers = scene.attacked.status().await.unwrap().peers;
                if peers.iter().any(|peer| peer.peer == who && !peer.equal && peer.lacking > 0) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, known_to_lie).await.expect("the node sees what it lacks");
        // What comes of it is nothing, so the next rounds have pauses of 15 s and more between them.
        assert!(liar.comparisons() <= 4, "{}", liar.comparisons());
    }
    assert_eq!(scene.attacked.status().await.unwrap().digest, digest, "nothing has come of it");
    liar.hang_up().await;
    scene.ends_whole("lies about tips").await;
}

/// It is through the handshake, asks for everything, and neither takes nor answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_never_answers_holds_up_nobody() {
    for transport in BOTH {
        let scene = Scene::over(transport).await;
        let mut liar = scene.liar().await;
        let watch = Watch::begin().await;
        liar.deaf = true;
        liar.story.digest = Some([7; 32]);
        liar.with_session(|session, story, now| session.compare(story, now)).await;
        let value = vec![1; 256 << 10];
        for round in 0..64u8 {
            scene.attacked.put(crate::nodes::key(&format!("large {round}")), &value).await.unwrap();
        }
        crate::nodes::equal(&scene.attacked, &scene.at_honest).await;
        watch.at_most(112, "16 MiB written beside a deaf peer");
        liar.hang_up().await;
        scene.ends_whole("a deaf member").await;
    }
}

/// Somebody who was invited, and of whom the only member that is reached says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joining_a_member_that_never_answers_times_out_and_leaves_nothing() {
    for transport in BOTH {
        let scene = Scene::over(transport).await;
        let mut config = Config::new(crate::network::secret());
        config.listen = vec![transport.into()];
        let (silent, mut events) = Network::start(config).unwrap();
        let listening = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap();
        let Some(Event::Listening { address }) = listening else { panic!("{listening:?}") };
        let mut invitation = scene.invitation().await;
        invitation.addresses = vec![address];
        let invitation = crate::nodes::sign(invitation);
        let mut hurry = JoinOptions::default();
        hurry.timeout = Some(Duration::from_secs(2));
        let before = scene.honest.contexts().unwrap().len();
        let third = kith_core::Node::open(Default::default()).await.unwrap();
        let error = third.join(&invitation, hurry).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert_eq!(third.contexts().unwrap().len(), 0);
        assert_eq!(scene.honest.contexts().unwrap().len(), before);
        third.shutdown().await.unwrap();
        silent.shutdown().await;
        scene.ends_whole("a silent member").await;
    }
}

/// The control of the tests above: the liar's own side of a session that the node ended for garbage does not call it garbage itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_liars_own_session_is_an_honest_one() {
    let scene = Scene::new().await;
    let mut liar = scene.liar().await;
    liar.with_session(|session, story, now| session.compare(story, now)).await;
    liar.until(|liar| liar.comparisons() >= 2 && liar.is_through()).await;
    let mut events = scene.attacked.events(None).await.unwrap();
    assert_eq!((liar.closed, liar.ended.as_slice()), (0, &[] as &[Ended]));
    wait_for("the node agrees", || async {
        scene.attacked.status().await.unwrap().peers.iter().all(|peer| peer.equal)
    })
    .await;
    liar.hang_up().await;
    // Nor does the node blame who goes.
    assert_eq!(parted(&mut events, &liar).await, "gone: the peer ended the link: closed on purpose");
    scene.ends_whole("an honest session").await;
}
