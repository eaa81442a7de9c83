use proptest::prelude::*;

use super::super::batch::{Batch, Purpose, runs};
use super::super::message::{Hello, Message};
use super::super::proof::Covered;
use super::super::rounds::FIRST_PAUSE;
use super::super::{Ended, Failure, SYNC_VERSION, Tips};
use super::world::{Dice, Store, World, genesis, history, member, past, sign};
use crate::encryption::{Leaf, Wrapped};
use crate::limits;
use crate::replica::payload::Tip;
use crate::replica::{Kind, MemberId, TransactionId};

/// Two replicas with different parts of one history, and what all members hold together.
fn two(dice: &mut Dice, forks: usize) -> World {
    let all = history(dice, 3, 40, forks, 50);
    let stores = [(); 2].map(|()| {
        let mut store = Store::new(3);
        let id = all[dice.roll(all.len())].header.id();
        store.receive(past(&all, [id, all[0].header.id()]));
        store
    });
    World::new(stores)
}

proptest! {
    /// Whatever a peer makes of the messages, nothing panics, nothing false is admitted, and a session that ends says why.
    #[test]
    fn no_change_of_any_message_panics_or_gets_anything_false_in(seed: u64) {
        let mut dice = Dice(seed);
        let mut world = two(&mut dice, 10);
        let genuine: std::collections::BTreeSet<TransactionId> =
            world.peers.iter().flat_map(|peer| peer.store.named()).collect();
        world.connect(0, 1);
        let mut earlier: Vec<Vec<u8>> = Vec::new();
        for _ in 0..400 {
            let waiting = world.pipes.get_mut(&(1, 0)).and_then(std::collections::VecDeque::front_mut);
            if let Some(message) = waiting && dice.one_in(4) {
                earlier.push(message.clone());
                match dice.roll(4) {
                    0 => message.truncate(dice.roll(message.len())),
                    1 => message.push(0),
                    2 => *message = earlier[dice.roll(earlier.len())].clone(),
                    _ => {
                        let at = dice.roll(message.len().min(80));
                        if let Some(byte) = message.get_mut(at) {
                            *byte ^= 1 << dice.roll(8);
                        }
                    }
                }
            }
            if !world.step(&mut dice) {
                break;
            }
        }
        prop_assert!(world.peers[0].store.named().is_subset(&genuine));
        for (_, ended) in &world.peers[0].ended {
            prop_assert!(matches!(ended, Ended::Failed(_) | Ended::RefusedByPeer(_) | Ended::Refused(_)));
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_decode_into_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::decode(&bytes);
    }
}

#[test]
fn every_truncation_of_every_message_is_garbage() {
    let mut dice = Dice(2);
    let mut world = two(&mut dice, 10);
    world.connect(0, 1);
    world.settle(&mut dice);
    let mut kinds = std::collections::BTreeSet::new();
    for (_, _, message) in &world.sent {
        kinds.insert(message[0]);
        assert_eq!(Message::decode(message).unwrap().encode(), *message);
        for length in 0..message.len() {
            assert_eq!(Message::decode(&message[..length]), Err(Failure::Garbage));
        }
        assert_eq!(Message::decode(&[&message[..], &[0]].concat()), Err(Failure::Garbage));
    }
    assert!(kinds.len() >= 7, "{kinds:?}");
    assert_eq!(Message::decode(&vec![0; limits::FRAME + 1]), Err(Failure::Garbage));
}

#[test]
fn limits_of_messages_hold_at_the_edge() {
    let ids = |count: usize| vec![TransactionId::default(); count];
    let decodes = |message: Message| Message::decode(&message.encode()).is_ok();
    assert!(decodes(Message::Want { ids: ids(limits::SYNC_WANTED) }));
    assert!(!decodes(Message::Want { ids: ids(limits::SYNC_WANTED + 1) }));
    assert!(!decodes(Message::Want { ids: vec![] }));
    assert!(decodes(Message::Given { lacking: ids(limits::SYNC_WANTED) }));
    assert!(!decodes(Message::Given { lacking: ids(limits::SYNC_WANTED + 1) }));
    assert!(!decodes(Message::Acknowledge { count: 0 }));
    let wraps = |given| decodes(Message::Wraps { epoch: TransactionId::default(), given });
    let own = |wrap, path| Some(Wrapped::Own(Leaf { wrap: vec![1; wrap], path: vec![[2; 32]; path] }));
    assert!(wraps(None) && wraps(own(limits::WRAP, limits::WRAP_PATH)));
    assert!(!wraps(own(limits::WRAP + 1, 1)) && !wraps(own(1, limits::WRAP_PATH + 1)));
    assert!(wraps(Some(Wrapped::All(vec![1; limits::WRAPS_SHARED]))));
    assert!(!wraps(Some(Wrapped::All(vec![1; limits::WRAPS_SHARED + 1]))));
    let tip = |sequence| Tip { sequence, id: TransactionId::default() };
    let vector = |authors: &[(u8, &[u64])], last| {
        let authors = authors
            .iter()
            .map(|(author, tips)| Tips {
                author: MemberId([*author; 32]),
                tips: tips.iter().map(|n| tip(*n)).collect(),
            })
            .collect();
        decodes(Message::Vector { authors, last })
    };
    assert!(vector(&[(1, &[1, 2]), (2, &[1])], false));
    assert!(vector(&[], true));
    assert!(!vector(&[], false));
    assert!(!vector(&[(2, &[1]), (1, &[1])], true));
    assert!(!vector(&[(1, &[1]), (1, &[1])], true));
    assert!(!vector(&[(1, &[])], true));
    assert!(!vector(&[(1, &[2, 1])], true));
    assert!(!vector(&[(1, &[2, 2])], true));
    assert!(!vector(&[(1, &[0])], true));
}

/// A pair that is through the handshake, with peer 0 in the middle of round 1 and peer 1 gone: what follows is made up.
fn in_a_round() -> World {
    let mut dice = Dice(8);
    let mut world = two(&mut dice, 1000);
    world.connect(0, 1);
    world.arrive(1, 0);
    assert!(world.peers[0].ended.is_empty());
    world.pipes.clear();
    world
}

fn hello(round: u64) -> Message {
    Message::Hello(Hello { version: SYNC_VERSION, round, height: 0, digest: [1; 32] })
}

fn end_of(messages: &[Message]) -> Option<Ended> {
    let mut world = in_a_round();
    for message in messages {
        world.inject(0, 1, &message.encode());
    }
    world.peers[0].ended.first().map(|(_, ended)| *ended)
}

fn empty_vector() -> Message {
    Message::Vector { authors: vec![], last: true }
}

fn batch(purpose: Purpose, mark: u8) -> Message {
    let transaction = sign(genesis().header.belongs_to(), 1, None, &[&genesis()], Kind::Call, vec![mark; 50]);
    Message::Batch(Batch::encode(purpose, &runs(vec![(transaction.header.id(), transaction)]).0))
}

#[test]
fn messages_out_of_place_end_the_session() {
    let protocol = Some(Ended::Failed(Failure::Protocol));
    let plan = || Message::Plan { transactions: 1 };
    let done = || Message::Done { complete: true };
    assert_eq!(end_of(&[]), None);
    assert_eq!(end_of(&[hello(1), empty_vector(), plan(), batch(Purpose::CatchUp, 1), Message::End]), None);
    for wrong in [
        vec![hello(2)],
        vec![hello(1), hello(1)],
        vec![hello(1), hello(2)],
        vec![hello(0)],
        vec![empty_vector()],
        vec![hello(1), empty_vector(), empty_vector()],
        vec![hello(1), plan()],
        vec![hello(1), empty_vector(), plan(), plan()],
        vec![hello(1), batch(Purpose::CatchUp, 1)],
        vec![hello(1), empty_vector(), batch(Purpose::CatchUp, 1)],
        vec![hello(1), empty_vector(), Message::End],
        vec![hello(1), empty_vector(), plan(), Message::End, Message::End],
        vec![hello(1), empty_vector(), plan(), Message::End, batch(Purpose::CatchUp, 1)],
        vec![done()],
        vec![hello(1), done()],
        vec![batch(Purpose::Wanted, 1)],
        vec![Message::Given { lacking: vec![] }],
        vec![Message::Acknowledge { count: 1 }],
        vec![Message::Admitted { transactions: vec![] }],
        vec![Message::Prove { member: member(1), signature: [0; 64], supporting: vec![] }],
    ] {
        assert_eq!(end_of(&wrong), protocol, "{wrong:?}");
    }
    let mut other = hello(1);
    if let Message::Hello(hello) = &mut other {
        hello.version += 1;
    }
    assert_eq!(end_of(&[other]), Some(Ended::Failed(Failure::Version)));
    // Before the peer is proved, nothing but the proof counts.
    let mut world = two(&mut Dice(8), 1000);
    world.connect(0, 1);
    world.inject(0, 1, &hello(1).encode());
    assert_eq!(world.peers[0].ended, [(1, Ended::Failed(Failure::Protocol))]);
}

#[test]
fn vectors_are_bounded_over_all_pages() {
    let page = |first: u32, tips: u64| {
        let mut author = MemberId::default();
        author.0[..4].copy_from_slice(&first.to_be_bytes());
        let tips = (1..=tips).map(|sequence| Tip { sequence, id: TransactionId([7; 32]) }).collect();
        let authors = vec![Tips { author, tips }];
        Message::Vector { authors, last: false }
    };
    let half = limits::SYNC_VECTOR as u64 / 2;
    assert_eq!(end_of(&[hello(1), page(1, half), page(2, half)]), None);
    let garbage = Some(Ended::Failed(Failure::Garbage));
    assert_eq!(end_of(&[hello(1), page(1, half), page(2, half), page(3, 1)]), garbage);
    // Authors ascend over the pages.
    assert_eq!(end_of(&[hello(1), page(2, 1), page(1, 1)]), garbage);
    assert_eq!(end_of(&[hello(1), page(2, 1), page(2, 1)]), garbage);
}

#[test]
fn evidence_is_bounded_over_all_messages() {
    let page = |many: usize, bytes: usize| {
        let signed = sign(genesis().header.belongs_to(), 1, None, &[&genesis()], Kind::Call, vec![7; bytes]);
        let id = signed.header.id();
        let mut store = Store::new(2);
        store.receive(vec![genesis(), signed]);
        let covered = Covered::read(&store, &id).unwrap().unwrap();
        Message::Evidence { transactions: vec![covered; many], last: false }
    };
    let garbage = Some(Ended::Failed(Failure::Garbage));
    let many = |pages: usize| vec![page(limits::SYNC_EVIDENCE / 4, 50); pages];
    assert_eq!(end_of(&many(4)), None);
    assert_eq!(end_of(&[many(4), vec![page(1, 50)]].concat()), garbage);
    // Each takes a little more than its text.
    let large = |pages: usize| vec![page(1, limits::SYNC_EVIDENCE_BYTES / 256); pages];
    assert_eq!(end_of(&large(250)), None);
    assert_eq!(end_of(&large(256)), garbage);
}

#[test]
fn more_than_the_window_is_a_flood() {
    let messages: Vec<Message> = (0..=u8::try_from(limits::SYNC_WINDOW_BATCHES).unwrap())
        .map(|mark| batch(Purpose::Push, mark))
        .collect();
    assert_eq!(end_of(&messages[1..]), None);
    assert_eq!(end_of(&messages), Some(Ended::Failed(Failure::Flood)));
}

#[test]
fn altered_transactions_end_the_session_and_are_not_delivered() {
    let mut world = two(&mut Dice(21), 1000);
    world.tamper = Some(Box::new(move |from, _, message| {
        if from == 1
            && let Message::Batch(batch) = message
        {
            let good = batch
                .clone()
                .decode(&genesis().header.belongs_to(), &super::world::Store::default())
                .ok()
                .unwrap();
            let mut runs = runs(good).0;
            runs[0].signature[1] ^= 1;
            *batch = Batch::encode(Purpose::CatchUp, &runs);
        }
        true
    }));
    world.connect(0, 1);
    world.settle(&mut Dice(1));
    assert_eq!(world.peers[0].ended, [(1, Ended::Failed(Failure::BadTransaction))]);
    assert!(world.peers[0].deliveries.is_empty());
}

/// A liar claims tips that it does not have or that do not exist: everybody else's work stays bounded, and nothing stands
/// still for those who tell the truth.
#[test]
fn lying_vectors_cost_little_and_break_nothing() {
    for lie in 0..5 {
        let mut dice = Dice(40 + lie);
        let mut world = two(&mut dice, 30);
        let honest = world.peers[1].store.clone();
        let total = world.peers[0].store.ids.len();
        world.peers.push(super::world::Peer::new(2, honest));
        world.tamper = Some(Box::new(move |from, to, message| {
            // To neither of these two the other's history ever looks like its own.
            if let Message::Hello(hello) = message
                && from.max(to) == 1
            {
                hello.digest = [if from == 0 { 8 } else { 9 }; 32];
            }
            if from != 1 {
                return true;
            }
            let Message::Vector { authors, .. } = message else { return true };
            for author in authors.iter_mut() {
                let bogus = |sequence| Tip { sequence, id: TransactionId([sequence.to_le_bytes()[0]; 32]) };
                match lie {
                    0 => author.tips = vec![bogus(1)],
                    1 => author.tips = vec![bogus(u64::MAX)],
                    2 => author.tips = (1..5_000).map(bogus).collect(),
                    3 => author.tips.iter_mut().for_each(|tip| tip.sequence += 1),
                    _ => author.tips.push(bogus(u64::MAX - 1)),
                }
            }
            if lie == 4 {
                let tips = vec![Tip { sequence: 3, id: TransactionId([3; 32]) }];
                authors.push(Tips { author: MemberId([0xff; 32]), tips });
            }
            true
        }));
        world.connect(0, 1);
        world.connect(0, 2);
        world.settle(&mut dice);
        let [zero, two] = [0, 2].map(|at| world.peers[at].store.named());
        assert!(zero == two && world.peers[0].sessions[&2].status().equal);
        let status = world.peers[0].sessions[&1].status();
        // A known id under a wrong number costs the liar nothing but a longer catch-up.
        assert!(status.equal == (lie == 3) && status.comparisons <= 5, "{status:?}");
        // It got the history a few times over at most.
        let bytes: usize =
            world.sent.iter().filter(|(from, to, _)| (*from, *to) == (0, 1)).map(|(_, _, m)| m.len()).sum();
        assert!(bytes < 6 * (total * 600 + 100_000), "{bytes}");
        let deadline = world.peers[0].sessions[&1].deadline();
        assert!(if lie == 3 { deadline.is_none() } else { deadline >= Some(world.now + FIRST_PAUSE) });
    }
}
