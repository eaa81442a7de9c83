//! Handing out wraps of epochs that have only the root of them.

use proptest::prelude::*;

use super::super::message::Message;
use super::super::wraps::ANSWER_TIME;
use super::super::{Ended, Failure};
use super::world::{Dice, Store, World, genesis, member, noise};
use crate::encryption::{Epoch, Leaf, RatchetKey, Scope, Suite, WRAPS_INLINE, Wrapped, Wraps};
use crate::limits;
use crate::replica::{ContextId, MemberId, TransactionId};

const EPOCH: TransactionId = TransactionId([9; 32]);
const OTHER: TransactionId = TransactionId([8; 32]);

/// Wraps of noise: what matters here is whose they are.
fn epoch(suite: Suite, author: MemberId, recipients: usize, dice: &mut Dice) -> (Scope, Epoch, Vec<u8>) {
    let scope = Scope { suite, context: ContextId([1; 32]) };
    let all = noise(dice, recipients * suite.wrap());
    let epoch = Epoch {
        suite: suite as u8,
        commit: [2; 32],
        ratchet_key: RatchetKey { index: 0, key: vec![9; 32] },
        recipients: u32::try_from(recipients).unwrap(),
        wraps: Wraps::of(&scope, &author, &all),
    };
    (scope, epoch, all)
}

/// Peer 0 is the author of two epochs for so many others, of whom the first few take part. All hold the epochs, the author the wraps.
fn world(peers: usize, suite: Suite, recipients: usize) -> World {
    let dice = &mut Dice(3);
    let mut stores: Vec<Store> = (0..peers)
        .map(|_| {
            let mut store = Store::new(peers);
            store.receive([genesis()]);
            store
        })
        .collect();
    for id in [EPOCH, OTHER] {
        let (scope, epoch, all) = epoch(suite, member(0), recipients, dice);
        let recipients: Vec<MemberId> = (1..=recipients).map(member).collect();
        for (number, store) in stores.iter_mut().enumerate() {
            let (recipients, epoch) = (recipients.clone(), epoch.clone());
            let all = (number == 0).then(|| all.clone());
            let index = number.saturating_sub(1);
            let here = super::store::Wrapping { scope, author: member(0), epoch, recipients, index, all };
            store.epochs.insert(id, here);
        }
    }
    World::new(stores)
}

fn asks(world: &World) -> usize {
    world.sent.iter().filter(|(_, _, m)| matches!(Message::decode(m), Ok(Message::AskWraps { .. }))).count()
}

#[test]
fn each_recipient_gets_what_is_for_it() {
    for (suite, recipients) in
        [(Suite::XWing, 29), (Suite::X25519, 399), (Suite::XWing, 222), (Suite::XWing, 223)]
    {
        let mut world = world(4, suite, recipients);
        (1..4).for_each(|other| world.connect(0, other));
        world.settle(&mut Dice(1));
        (1..4).for_each(|at| world.ask_wraps(at, 0, EPOCH));
        world.settle(&mut Dice(2));
        let all = world.peers[0].store.epochs[&EPOCH].all.clone().unwrap();
        assert!(all.len() > WRAPS_INLINE);
        for at in 1..4 {
            let [(0, EPOCH, given)] = &world.peers[at].wraps[..] else { panic!("{recipients}: {at}") };
            match given {
                Wrapped::All(given) => assert!(*given == all && all.len() <= limits::WRAPS_SHARED),
                Wrapped::Own(leaf) => {
                    assert!(all.len() > limits::WRAPS_SHARED);
                    assert_eq!(all.chunks(suite.wrap()).nth(at - 1), Some(&leaf.wrap[..]));
                }
            }
        }
        assert!(world.peers.iter().all(|peer| peer.ended.is_empty() && peer.no_wraps.is_empty()));
    }
}

#[test]
fn who_has_none_says_so_and_tells_once_it_has() {
    let mut world = world(3, Suite::XWing, 40);
    world.connect(1, 2);
    world.settle(&mut Dice(1));
    world.ask_wraps(2, 1, EPOCH);
    world.settle(&mut Dice(2));
    assert_eq!(world.peers[2].no_wraps, [(1, EPOCH, true)]);
    let before = world.sent.len();
    for _ in 0..5 {
        // It is not asked again, and nothing is sent, while nothing changes.
        world.ask_wraps(2, 1, EPOCH);
        world.tick(600_000);
        world.settle(&mut Dice(3));
    }
    assert_eq!(world.sent.len(), before);
    world.connect(0, 1);
    world.settle(&mut Dice(4));
    world.ask_wraps(1, 0, EPOCH);
    world.settle(&mut Dice(5));
    assert!(
        matches!(world.peers[2].wraps[..], [(1, EPOCH, Wrapped::All(_))]),
        "through the one in the middle"
    );
}

#[test]
fn who_is_no_recipient_gets_none() {
    // The last one is a member, and the epochs are not for it.
    let mut world = world(4, Suite::XWing, 40);
    for store in world.peers.iter_mut().map(|peer| &mut peer.store) {
        store.epochs.values_mut().for_each(|of| of.recipients[2] = member(99));
    }
    (1..4).for_each(|other| world.connect(0, other));
    world.settle(&mut Dice(1));
    (1..4).for_each(|at| world.ask_wraps(at, 0, EPOCH));
    world.settle(&mut Dice(2));
    let got = |at: usize| (world.peers[at].wraps.len(), world.peers[at].no_wraps.len());
    assert_eq!([got(1), got(2), got(3)], [(1, 0), (1, 0), (0, 1)]);
}

/// What a liar gives instead of what it was asked for.
type Lie = fn(&Wrapped, &Wrapped) -> Wrapped;

#[test]
fn who_gives_what_the_author_has_not_signed_is_cut_off() {
    let lies: [(&str, Lie, [bool; 2]); 9] = [
        ("the truth", |truth, _| truth.clone(), [true, true]),
        ("of another epoch", |_, other| other.clone(), [false, false]),
        ("nothing at all", |_, _| Wrapped::All(vec![]), [false, false]),
        ("a changed byte", |truth, _| changed(truth, |wraps| wraps[40] ^= 1), [false, false]),
        ("one byte less", |truth, _| changed(truth, |wraps| wraps.truncate(wraps.len() - 1)), [false, false]),
        ("one byte more", |truth, _| changed(truth, |wraps| wraps.push(0)), [false, false]),
        ("another way", |truth, _| way(truth, |path| path[0][0] ^= 1), [true, false]),
        ("a shorter way", |truth, _| way(truth, |path| path.truncate(path.len() - 1)), [true, false]),
        ("a longer way", |truth, _| way(truth, |path| path.push([0; 32])), [true, false]),
    ];
    for (large, recipients) in [(0, 40), (1, 250)] {
        for (what, lie, passes) in lies {
            let mut world = world(2, Suite::XWing, recipients);
            let other = {
                let of = &world.peers[0].store.epochs[&OTHER];
                of.epoch.wrapped(&of.scope, &of.author, 0, of.all.as_ref().unwrap()).unwrap()
            };
            world.tamper = Some(Box::new(move |from, _, message| {
                if let (0, Message::Wraps { given: Some(given), .. }) = (from, message) {
                    *given = lie(given, &other);
                }
                true
            }));
            world.connect(0, 1);
            world.settle(&mut Dice(1));
            world.ask_wraps(1, 0, EPOCH);
            world.settle(&mut Dice(2));
            let peer = &world.peers[1];
            assert_eq!(peer.wraps.len(), usize::from(passes[large]), "{what}, {recipients}");
            let ended = [(0, Ended::Failed(Failure::BadTransaction))];
            assert_eq!(peer.ended == ended, !passes[large], "{what}, {recipients}: {:?}", peer.ended);
        }
    }
}

fn changed(of: &Wrapped, change: fn(&mut Vec<u8>)) -> Wrapped {
    let mut of = of.clone();
    match &mut of {
        Wrapped::All(all) => change(all),
        Wrapped::Own(leaf) => change(&mut leaf.wrap),
    }
    of
}

fn way(of: &Wrapped, change: fn(&mut Vec<[u8; 32]>)) -> Wrapped {
    let mut of = of.clone();
    if let Wrapped::Own(leaf) = &mut of {
        change(&mut leaf.path);
    }
    of
}

#[test]
fn who_asks_for_what_it_was_given_or_gives_what_nobody_asked_for_is_cut_off() {
    let ask = |epoch| Message::AskWraps { epoch };
    let give = |epoch| Message::Wraps { epoch, given: None };
    let unknown = TransactionId([1; 32]);
    let protocol = Some(Ended::Failed(Failure::Protocol));
    for (said, ended) in [
        (vec![ask(EPOCH)], None),
        (vec![ask(EPOCH), ask(OTHER)], None),
        (vec![ask(EPOCH), ask(EPOCH)], protocol),
        (vec![ask(unknown), ask(unknown)], protocol),
        (vec![give(EPOCH)], protocol),
        (vec![Message::HaveWraps { epoch: EPOCH }, Message::HaveWraps { epoch: EPOCH }], None),
    ] {
        let mut world = world(2, Suite::XWing, 40);
        world.connect(0, 1);
        world.settle(&mut Dice(1));
        said.iter().for_each(|message| world.inject(0, 1, &message.encode()));
        assert_eq!(world.peers[0].ended.first().map(|(_, ended)| *ended), ended, "{said:?}");
    }
}

#[test]
fn who_asks_for_thousands_of_epochs_fills_nothing() {
    let mut world = world(2, Suite::XWing, 40);
    world.connect(0, 1);
    world.settle(&mut Dice(1));
    let before = world.sent.len();
    for number in 0..5_000_u32 {
        let mut epoch = TransactionId::default();
        epoch.0[..4].copy_from_slice(&number.to_be_bytes());
        world.inject(0, 1, &Message::AskWraps { epoch }.encode());
    }
    let answers = &world.sent[before..];
    assert_eq!(answers.len(), 5_000);
    assert!(answers.iter().all(|(_, _, answer)| answer.len() < 64));
    assert!(world.peers[0].ended.is_empty());
    let owed = world.peers[0].sessions[&1].wraps_remembered();
    assert_eq!(owed, limits::SYNC_WRAPS, "no more is remembered");
    // And who has so many to ask for is asked no endless list either.
    let asking: Vec<TransactionId> = (0..2_000_u32)
        .map(|number| {
            let mut epoch = TransactionId([3; 32]);
            epoch.0[..4].copy_from_slice(&number.to_be_bytes());
            epoch
        })
        .collect();
    asking.into_iter().for_each(|epoch| world.ask_wraps(0, 1, epoch));
    assert!(world.peers[0].sessions[&1].wraps_remembered() <= 2 * limits::SYNC_WRAPS);
}

#[test]
fn who_does_not_answer_in_time_has_none_and_may_still_answer() {
    let mut world = world(2, Suite::XWing, 40);
    world.connect(0, 1);
    world.settle(&mut Dice(1));
    world.ask_wraps(1, 0, EPOCH);
    let asked = world.now;
    assert_eq!(world.peers[1].sessions[&0].deadline(), Some(asked + ANSWER_TIME));
    world.tick(ANSWER_TIME - 1);
    assert!(world.peers[1].no_wraps.is_empty());
    world.tick(1);
    assert_eq!(world.peers[1].no_wraps, [(0, EPOCH, false)]);
    world.settle(&mut Dice(2));
    assert_eq!((world.peers[1].wraps.len(), world.peers[1].ended.len()), (1, 0));
}

#[test]
fn who_promises_again_and_again_is_not_believed() {
    let mut world = world(2, Suite::XWing, 40);
    world.peers[0].store.epochs.clear();
    world.connect(0, 1);
    world.settle(&mut Dice(1));
    world.ask_wraps(1, 0, EPOCH);
    for round in 0..20 {
        world.settle(&mut Dice(round));
        // The liar forgets that it was asked, or its own session would end this.
        world.peers[0].sessions.get_mut(&1).unwrap().forget_wraps();
        world.inject(1, 0, &Message::HaveWraps { epoch: EPOCH }.encode());
    }
    assert_eq!(asks(&world), 3);
    assert!(world.peers[1].ended.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Of any number of recipients, what is for each is proved for it, and for nobody else where it is one's own.
    #[test]
    fn what_is_for_one_is_proved_for_it_alone(
        large in any::<bool>(), recipients in 373_usize..1023, at in any::<usize>(), byte in any::<usize>(),
        seed in any::<u64>(),
    ) {
        let (suite, recipients) = if large { (Suite::XWing, recipients) } else { (Suite::X25519, recipients) };
        let author = MemberId([5; 32]);
        let (scope, epoch, all) = epoch(suite, author, recipients, &mut Dice(seed));
        let at = at % recipients;
        let given = epoch.wrapped(&scope, &author, at, &all).unwrap();
        prop_assert!(epoch.proves(&scope, &author, at, &given));
        prop_assert!(!epoch.proves(&scope, &MemberId([6; 32]), at, &given), "another author's");
        let own = matches!(given, Wrapped::Own(_));
        prop_assert_eq!(own, all.len() > limits::WRAPS_SHARED);
        let next = (at + 1) % recipients;
        prop_assert_eq!(epoch.proves(&scope, &author, next, &given), !own);
        prop_assert!(!epoch.proves(&scope, &author, recipients, &given) || !own);
        // In the other of the two forms it is not taken, however true: what is asked for is what comes.
        let other = if own { Wrapped::All(all) } else {
            Wrapped::Own(Leaf::of(&scope, &author, &all, at).unwrap())
        };
        prop_assert!(!epoch.proves(&scope, &author, at, &other));
        let mut encoded = borsh::to_vec(&given).unwrap();
        let byte = byte % encoded.len();
        encoded[byte] ^= 1;
        if let Ok(damaged) = borsh::from_slice::<Wrapped>(&encoded) {
            prop_assert!(!epoch.proves(&scope, &author, at, &damaged));
        }
    }
}
