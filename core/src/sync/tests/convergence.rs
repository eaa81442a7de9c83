use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::message::Message;
use super::super::{History, SessionEvent};
use super::world::{Dice, Store, World, history, past};
use crate::replica::{Transaction, TransactionId};

fn some_past(dice: &mut Dice, all: &[Transaction]) -> Vec<Transaction> {
    let count = dice.roll(7);
    let ids: Vec<TransactionId> = (0..count).map(|_| all[dice.roll(all.len())].header.id()).collect();
    past(all, ids.into_iter().chain([all[0].header.id()]))
}

/// Replicas that each hold a part of one random history, some of it without signatures of its own.
fn parts(dice: &mut Dice, replicas: usize, forks: usize) -> World {
    let authors = 2 + dice.roll(4);
    let count = 5 + dice.roll(60);
    let all = history(dice, authors, count, forks, 60);
    let stores: Vec<Store> = (0..replicas)
        .map(|_| {
            let mut store = Store::new(6);
            store.receive(some_past(dice, &all));
            let one_in = 1 + dice.roll(3);
            store.strip(dice, one_in);
            store
        })
        .collect();
    World::new(stores)
}

fn union(world: &World) -> BTreeSet<TransactionId> {
    world.peers.iter().flat_map(|peer| peer.store.named()).collect()
}

proptest! {
    #[test]
    fn two_replicas_end_equal(seed: u64) {
        let mut dice = Dice(seed);
        let forks = 2 + dice.roll(10);
        let mut world = parts(&mut dice, 2, forks);
        let expected = union(&world);
        world.connect(0, 1);
        world.settle(&mut dice);
        world.assert_same();
        prop_assert!(world.peers[0].store.named() == expected);
        for peer in &world.peers {
            prop_assert!(peer.saw(&SessionEvent::Equal));
            for session in peer.sessions.values() {
                prop_assert!(session.status().equal);
                prop_assert_eq!(session.deadline(), None);
            }
        }
    }

    #[test]
    fn three_replicas_that_write_meanwhile_end_equal(seed: u64) {
        let mut dice = Dice(seed);
        let forks = 3 + dice.roll(20);
        let mut world = parts(&mut dice, 3, forks);
        for (a, b) in [(0, 1), (1, 2), (2, 0)] {
            if (a, b) != (2, 0) || dice.one_in(2) {
                world.connect(a, b);
            }
        }
        for _ in 0..dice.roll(200) {
            if dice.one_in(8) {
                let at = dice.roll(3);
                let text = vec![u8::try_from(dice.roll(256)).unwrap(); 20];
                world.write(at, text);
            } else {
                world.step(&mut dice);
            }
        }
        let expected = union(&world);
        world.settle_with_time(&mut dice);
        world.assert_same();
        prop_assert!(world.peers[0].store.named().is_superset(&expected));
    }

    #[test]
    fn a_cut_catch_up_goes_on_where_it_stopped(seed: u64) {
        let mut dice = Dice(seed);
        let mut world = parts(&mut dice, 3, 10);
        let expected = union(&world);
        for _ in 0..1 + dice.roll(5) {
            let (a, b) = [(0, 1), (1, 2)][dice.roll(2)];
            world.connect(a, b);
            for _ in 0..dice.roll(30) {
                world.step(&mut dice);
            }
            let before: Vec<_> = world.peers.iter().map(|peer| peer.store.named()).collect();
            if dice.one_in(2) {
                world.cut(a, b);
            }
            for (peer, before) in world.peers.iter().zip(before) {
                prop_assert!(peer.store.named().is_superset(&before));
            }
        }
        world.connect(0, 1);
        world.connect(1, 2);
        world.settle_with_time(&mut dice);
        world.assert_same();
        prop_assert!(world.peers[2].store.named() == expected);
    }
}

/// The properties above mean something only if the cases are of the interesting kinds.
#[test]
fn the_cases_are_not_all_easy() {
    let (mut equal, mut forked, mut both_lack, mut several_rounds, mut stripped) = (0, 0, 0, 0, 0);
    for seed in 0..200_u64 {
        let mut dice = Dice(seed);
        let forks = 2 + dice.roll(10);
        let mut world = parts(&mut dice, 2, forks);
        let [one, other] = [0, 1].map(|at| world.peers[at].store.named());
        let all = union(&world);
        stripped +=
            usize::from(world.peers[0].store.all.values().any(|transaction| transaction.signature.is_none()));
        equal += usize::from(one == other);
        both_lack += usize::from(one != all && other != all);
        world.connect(0, 1);
        world.settle(&mut dice);
        let tips = world.peers[0].store.tips(None, 100).unwrap();
        forked += usize::from(tips.iter().any(|author| author.tips.len() > 1));
        several_rounds += usize::from(world.peers[0].sessions[&1].status().comparisons > 1);
    }
    println!(
        "of 200: equal {equal}, both lack {both_lack}, forked {forked}, several rounds {several_rounds}, without all signatures {stripped}"
    );
    assert!(equal >= 3 && both_lack >= 50 && forked >= 80 && several_rounds >= 10 && stripped >= 100);
}

fn greetings(world: &World) -> usize {
    let hello = |message: &[u8]| matches!(Message::decode(message), Ok(Message::Hello(_)));
    world.sent.iter().filter(|(_, _, message)| hello(message)).count()
}

#[test]
fn equal_histories_cost_one_round_trip() {
    let mut dice = Dice(5);
    let all = history(&mut dice, 4, 200, 50, 50);
    let mut store = Store::new(4);
    store.receive(all);
    let mut world = World::new([store.clone(), store]);
    world.connect(0, 1);
    world.settle(&mut dice);
    assert!(world.peers.iter().all(|peer| peer.saw(&SessionEvent::Equal)));
    // Each side: its proof and its `Hello`.
    assert_eq!(world.sent.len(), 4);
    assert_eq!(greetings(&world), 2);
    assert!(world.sent.iter().all(|(_, _, message)| message.len() < 200));
}

#[test]
fn different_histories_without_forks_cost_one_comparison() {
    let mut dice = Dice(6);
    let all = history(&mut dice, 4, 300, usize::MAX, 50);
    let [mut one, mut other] = [Store::new(4), Store::new(4)];
    one.receive(all.clone());
    other.receive(past(&all, [all[40].header.id()]));
    let lacking = all.len() - other.ids.len();
    let mut world = World::new([one, other]);
    world.connect(0, 1);
    world.settle(&mut dice);
    world.assert_same();
    assert_eq!(greetings(&world), 2);
    let status = world.peers[1].sessions[&0].status();
    assert_eq!((status.received, status.expected), (lacking as u64, lacking as u64));
    assert!(status.equal);
    assert!(world.peers[1].saw(&SessionEvent::Synced));
}
