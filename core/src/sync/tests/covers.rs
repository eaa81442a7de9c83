//! Whatever is let in can be passed on, also where what was to cover it never comes.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::proof::{Covered, signed_run};
use super::world::{Dice, Store, World, genesis, history, member, past, sign};
use crate::replica::{Kind, Transaction, TransactionId};

/// Puts behind an author's chain what waits for ever with everybody else.
fn poison(dice: &mut Dice, store: &mut Store, author: usize) {
    let Some(tip) = store.tips.get(&member(author)).and_then(|tips| tips.iter().max()).copied() else {
        return;
    };
    let last = store.all[&(member(author), tip.sequence, tip.id)].clone();
    let context = genesis().header.belongs_to();
    let nowhere = sign(context, 5, None, &[&genesis()], Kind::Call, vec![9; dice.roll(256)]);
    let parents: &[&Transaction] = if author == 5 { &[] } else { &[&nowhere] };
    let mut at = sign(context, author, Some(&last), parents, Kind::Call, vec![1]);
    for _ in 0..1 + dice.roll(4) {
        store.all.insert((member(author), at.header.sequence, at.header.id()), at.clone());
        let position = super::super::Position {
            author: member(author),
            sequence: at.header.sequence,
            lamport: at.header.lamport,
        };
        store.ids.insert(at.header.id(), position);
        let tips = store.tips.entry(member(author)).or_default();
        tips.retain(|tip| tip.id != at.header.previous);
        tips.insert(crate::replica::Tip { sequence: at.header.sequence, id: at.header.id() });
        at = sign(context, author, Some(&at), &[], Kind::Call, vec![2]);
    }
}

/// Every transaction without a signature that nothing in the store proves.
fn unproved(store: &Store) -> Vec<TransactionId> {
    let context = genesis().header.belongs_to();
    let proved = |id: &TransactionId| {
        let covered = Covered::read(store, id).unwrap();
        assert_eq!(covered.is_some(), signed_run(store, id).unwrap().is_some());
        covered.is_some_and(|covered| covered.check(&context).is_some())
    };
    store.ids.keys().filter(|id| !proved(id)).copied().collect()
}

/// A member gets a part of a history from one that lies or goes for ever, and then meets another one. Gives what the two
/// hold then, and how many transactions the first could not have proved in between.
fn passed_on(seed: u64, forgets_covers: bool) -> (BTreeSet<TransactionId>, BTreeSet<TransactionId>, usize) {
    let mut dice = Dice(seed);
    let authors = 2 + dice.roll(3);
    let forks = 4 + dice.roll(30);
    let count = 20 + dice.roll(60);
    let all = history(&mut dice, authors, count, forks, 60);
    let mut source = Store::new(6);
    source.receive(all.clone());
    for author in 0..authors {
        if dice.one_in(2) {
            poison(&mut dice, &mut source, author);
        }
    }
    let one_in = 1 + dice.roll(2);
    source.strip(&mut dice, one_in);
    let ends = [0, 1].map(|_| [all[dice.roll(all.len())].header.id(), all[0].header.id()]);
    let [mut one, mut other] = [0, 1].map(|_| Store::new(6));
    one.receive(past(&all, ends[0]));
    other.receive(past(&all, ends[1]));
    one.forgets_covers = forgets_covers;
    other.forgets_covers = forgets_covers;
    let mut world = World::new([source, one, other]);
    for _ in 0..1 + dice.roll(3) {
        world.connect(0, 1);
        for _ in 0..5 + dice.roll(60) {
            world.step(&mut dice);
        }
        // The process dies when a part of what was delivered is stored.
        while let Some((_, _, mut transactions)) = world.peers[1].deliveries.pop_front() {
            transactions.truncate(dice.roll(transactions.len() + 1));
            world.peers[1].store.receive(transactions);
            if dice.one_in(2) {
                world.peers[1].store.waiting.clear();
            }
        }
        world.cut(0, 1);
        world.peers[1].store.waiting.clear();
    }
    let unproved = unproved(&world.peers[1].store).len();
    world.connect(1, 2);
    for _ in 0..30 {
        world.settle(&mut dice);
        let deadlines = world.peers.iter().flat_map(|peer| peer.sessions.values());
        let Some(next) = deadlines.filter_map(super::super::Session::deadline).min() else { break };
        world.tick(next.saturating_sub(world.now));
    }
    (world.peers[1].store.named(), world.peers[2].store.named(), unproved)
}

proptest! {
    #[test]
    fn what_is_let_in_can_be_passed_on(seed: u64) {
        let (one, other, unproved) = passed_on(seed, false);
        prop_assert_eq!(unproved, 0);
        prop_assert!(one == other, "{} and {}", one.len(), other.len());
    }
}

/// The control: without covers the same worlds leave two members apart.
#[test]
fn without_covers_members_stay_apart() {
    let worlds = (0..60).map(|seed| passed_on(seed, true));
    let (mut apart, mut stuck) = (0, 0);
    for (one, other, unproved) in worlds {
        apart += usize::from(one != other);
        stuck += usize::from(unproved > 0);
    }
    println!("of 60: unproved {stuck}, apart {apart}");
    assert!(apart >= 5 && stuck >= apart);
}
