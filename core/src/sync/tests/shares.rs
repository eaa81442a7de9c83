//! What is sealed: learning from peers what it says, and from liars nothing.

use super::super::message::Message;
use super::super::{Ended, Failure};
use super::world::{Dice, Store, World, genesis, key, sign};
use crate::replica::{Kind, Transaction, TransactionId, transaction};

/// A chain of sealed calls by the creator, each as it was sent, and what they say.
fn sealed(count: usize) -> (Vec<Transaction>, Vec<Vec<u8>>) {
    let (mut all, mut contents) = (vec![genesis()], Vec::new());
    let context = all[0].header.belongs_to();
    for number in 0..count {
        let mut next = sign(context, 0, all.last(), &[], Kind::Call, number.to_le_bytes().to_vec());
        contents.push(next.payload.clone());
        // Only its length and hash matter here.
        next.payload.truncate(next.payload.len() - 16);
        next.header.epoch = [9; 32];
        next.header.payload_len -= 16;
        next.header.payload_hash = transaction::payload_hash(&next.payload);
        next.signature = Some(next.header.sign(&key(0)));
        all.push(next);
    }
    (all, contents)
}

fn ids(all: &[Transaction]) -> Vec<TransactionId> {
    all[1..].iter().map(|transaction| transaction.header.id()).collect()
}

/// Peers that all hold the same sealed calls; those of the numbers have opened them.
fn world(peers: usize, count: usize, open: &[usize]) -> (World, Vec<TransactionId>) {
    let (all, contents) = sealed(count);
    let ids = ids(&all);
    let mut world = World::new((0..peers).map(|number| {
        let mut store = Store::new(peers);
        store.receive(all.clone());
        if open.contains(&number) {
            for (id, content) in ids.iter().zip(&contents) {
                store.open(id, content.clone());
            }
        }
        store
    }));
    for other in 1..peers {
        world.connect(0, other);
    }
    (world, ids)
}

fn closed(world: &World) -> Vec<usize> {
    world.peers.iter().map(|peer| peer.store.closed()).collect()
}

fn in_step(world: &World, at: usize, other: usize) -> bool {
    world.peers[at].sessions.get(&other).is_some_and(|session| session.status().equal)
}

#[test]
fn who_holds_the_same_and_cannot_open_it_asks() {
    let (mut world, _) = world(2, 700, &[0]);
    assert_eq!(closed(&world), [0, 700]);
    world.settle(&mut Dice(1));
    assert_eq!(closed(&world), [0, 0]);
    assert!(in_step(&world, 0, 1) && in_step(&world, 1, 0));
    let asked =
        world.sent.iter().filter(|(_, _, m)| matches!(Message::decode(m), Ok(Message::Lacking { .. })));
    assert_eq!(asked.count(), 3, "256 at a time");
}

#[test]
fn what_a_peer_cannot_open_either_comes_once_it_can_and_nothing_is_sent_meanwhile() {
    let (mut world, all) = world(3, 20, &[2]);
    world.cut(0, 2);
    world.settle(&mut Dice(2));
    assert_eq!(closed(&world), [20, 20, 0]);
    // Nobody here knows more: that is as much in step as can be, and silent.
    assert!(in_step(&world, 0, 1) && in_step(&world, 1, 0));
    let before = world.sent.len();
    for _ in 0..10 {
        world.tick(600_000);
        world.settle(&mut Dice(3));
    }
    assert_eq!(world.sent.len(), before);
    world.connect(0, 2);
    world.settle(&mut Dice(4));
    assert_eq!(closed(&world), [0, 0, 0], "through the one in the middle");
    assert!(all.iter().all(|id| world.peers[1].store.named().contains(id)));
}

#[test]
fn a_false_content_ends_the_session_and_another_peer_is_asked() {
    let (mut world, _) = world(3, 20, &[1, 2]);
    world.tamper = Some(Box::new(|from, _, message| {
        if let (1, Message::Shares { opened, .. }) = (from, message)
            && let Some((_, content)) = opened.get_mut(5)
        {
            content[35] ^= 1;
        }
        true
    }));
    world.settle(&mut Dice(5));
    assert_eq!(world.peers[0].ended, [(1, Ended::Failed(Failure::BadTransaction))]);
    assert_eq!(world.peers[0].store.closed(), 0);
}

#[test]
fn who_gives_what_nobody_asked_for_is_cut_off() {
    let (mut world, ids) = world(2, 3, &[0, 1]);
    world.settle(&mut Dice(6));
    let content = world.peers[1].store.all.values().last().unwrap().payload.clone();
    let unasked = Message::Shares { opened: vec![(ids[2], content)], unable: vec![] };
    world.inject(0, 1, &unasked.encode());
    assert_eq!(world.peers[0].ended, [(1, Ended::Failed(Failure::Protocol))]);
}

#[test]
fn who_does_not_answer_has_nothing_and_holds_up_nobody() {
    let (mut world, _) = world(3, 5, &[1, 2]);
    world.tamper =
        Some(Box::new(|from, _, message| !(from == 1 && matches!(message, Message::Shares { .. }))));
    world.settle(&mut Dice(7));
    assert_eq!(world.peers[0].store.closed(), 0, "the other one has answered");
    world.tick(60_000);
    world.settle(&mut Dice(8));
    assert!(in_step(&world, 0, 1) && in_step(&world, 0, 2));
}

#[test]
fn one_complaint_is_heard_in_a_session_and_not_a_second() {
    let (mut world, _) = world(2, 1, &[0, 1]);
    world.settle(&mut Dice(9));
    for _ in 0..3 {
        let peer = &mut world.peers[1];
        let outputs = peer.sessions.get_mut(&0).unwrap().complain(&peer.store, world.now).unwrap();
        world.apply(1, 0, outputs);
    }
    world.settle(&mut Dice(10));
    assert_eq!((world.peers[0].complaints, world.peers[0].ended.len()), (1, 0));
    world.inject(0, 1, &Message::Complain.encode());
    assert_eq!(world.peers[0].ended, [(1, Ended::Failed(Failure::Protocol))]);
    assert_eq!(world.peers[0].complaints, 1);
}
