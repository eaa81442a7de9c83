use std::sync::Arc;

use super::super::handshake::{ADMISSION_TIME, PROOF_TIME};
use super::super::message::Message;
use super::super::proof::Covered;
use super::super::{Ended, Failure, Refusal, SessionEvent, Standing};
use super::world::{Dice, Door, Store, World, genesis, history, key, member, sign};
use crate::replica::payload::{Add, KeyPackage, Payload, SignedRun};
use crate::replica::{Cover, Kind, MemberId, Role, Transaction, TransactionId};

fn filled(members: usize) -> Store {
    let mut store = Store::new(members);
    store.receive(history(&mut Dice(4), 2, 30, 1000, 50));
    store
}

/// What each side may learn before the other is proved: nothing but these.
fn only_handshake(world: &World, from: usize) -> Vec<Message> {
    let sent = world.sent.iter().filter(|(at, _, _)| *at == from);
    let messages: Vec<Message> = sent.map(|(_, _, message)| Message::decode(message).unwrap()).collect();
    for message in &messages {
        assert!(matches!(
            message,
            Message::Prove { .. } | Message::Join { .. } | Message::Refused { .. } | Message::Evidence { .. }
        ));
    }
    messages
}

fn request(number: usize, with_invitation: bool) -> Add {
    let context = genesis().header.belongs_to();
    let invitation = with_invitation.then(|| (TransactionId([4; 32]), key(99)));
    let invitation = invitation.as_ref().map(|(id, key)| (*id, key));
    Add::request(&context, &key(number), Role::Writer, KeyPackage::default(), invitation)
}

#[test]
fn a_key_that_is_no_members_gets_nothing() {
    // Peer 1 thinks that it is a member; peer 0 knows nothing of it.
    let mut world = World::new([filled(1), filled(2)]);
    world.connect(0, 1);
    world.settle(&mut Dice(1));
    let messages = only_handshake(&world, 0);
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[1], Message::Refused { reason: Refusal::NotMember });
    assert_eq!(world.peers[0].ended, [(1, Ended::Refused(Refusal::NotMember))]);
    assert_eq!(world.peers[1].ended, [(0, Ended::RefusedByPeer(Refusal::NotMember))]);
}

#[test]
fn a_former_member_gets_what_removed_it_and_nothing_else() {
    let mut left = filled(2);
    let right = left.clone();
    let mut remove = Vec::new();
    let mut tip =
        left.all.values().filter(|t| t.header.author == member(0)).max_by_key(|t| t.header.sequence);
    let mut last = tip.take().unwrap().clone();
    for kind in [Kind::Remove, Kind::Note, Kind::Note] {
        last = sign(genesis().header.belongs_to(), 0, Some(&last), &[], kind, vec![]);
        remove.push(last.clone());
    }
    let evidence = remove[0].header.id();
    left.receive(remove.clone());
    // Even where its own signature is not kept: the headers that cover it go along, not what they carry.
    for transaction in left.all.values_mut() {
        if transaction.header.id() == evidence || transaction.header.id() == remove[1].header.id() {
            transaction.signature = None;
        }
    }
    left.standings.insert(member(1), Standing::Removed(vec![evidence]));
    let mut world = World::new([left, right]);
    let before = world.peers[1].store.named();
    world.connect(0, 1);
    world.settle(&mut Dice(2));
    let messages = only_handshake(&world, 0);
    let [Message::Prove { .. }, Message::Evidence { transactions, last: true }] = &messages[..] else {
        panic!("{messages:?}")
    };
    assert_eq!(transactions.len(), 1);
    assert_eq!(transactions[0].cover.len(), 2);
    assert_eq!(world.peers[0].ended, [(1, Ended::Refused(Refusal::Removed))]);
    assert_eq!(world.peers[1].ended, [(0, Ended::RefusedByPeer(Refusal::Removed))]);
    let mut expected = remove[0].clone();
    expected.signature = None;
    let headers = remove[1..].iter().map(|transaction| transaction.header.clone()).collect();
    let run = SignedRun { headers, signature: remove[2].signature.unwrap() };
    expected.cover = Cover::new(Arc::new(run), 0);
    assert!(world.peers[1].saw(&SessionEvent::Evidence(vec![expected])));
    assert!(world.peers[1].deliveries.is_empty());
    assert_eq!(world.peers[1].store.named(), before);
}

#[test]
fn evidence_has_to_verify() {
    let forged = |change: fn(&mut Covered)| {
        let mut store = filled(2);
        let last = store.all.values().find(|t| t.header.author == member(0)).unwrap().header.id();
        store.standings.insert(member(1), Standing::Removed(vec![last]));
        let mut world = World::new([store, filled(2)]);
        world.tamper = Some(Box::new(move |_, _, message| {
            if let Message::Evidence { transactions, .. } = message {
                change(&mut transactions[0]);
            }
            true
        }));
        world.connect(0, 1);
        world.settle(&mut Dice(2));
        world.peers[1].ended[0].1
    };
    assert_eq!(forged(|_| {}), Ended::RefusedByPeer(Refusal::Removed));
    let bad = Ended::Failed(Failure::BadTransaction);
    assert_eq!(forged(|covered| covered.signature[0] ^= 1), bad);
    assert_eq!(forged(|covered| covered.payload[35] ^= 1), bad);
    assert_eq!(forged(|covered| covered.header.lamport += 1), bad);
    assert_eq!(forged(|covered| covered.cover.push(covered.header.clone())), bad);
}

#[test]
fn a_member_that_is_removed_while_connected_is_cut() {
    let mut world = World::new([filled(2), filled(2)]);
    world.connect(0, 1);
    world.settle(&mut Dice(1));
    let evidence = genesis().header.id();
    let peer = &mut world.peers[0];
    let session = peer.sessions.get_mut(&1).unwrap();
    assert!(session.standing_changed(&peer.store, 5).unwrap().is_empty());
    peer.store.standings.insert(member(1), Standing::Removed(vec![evidence]));
    let outputs = session.standing_changed(&peer.store, 5).unwrap();
    world.apply(0, 1, outputs);
    world.settle(&mut Dice(1));
    assert_eq!(world.peers[0].ended, [(1, Ended::Refused(Refusal::Removed))]);
    assert_eq!(world.peers[1].ended, [(0, Ended::RefusedByPeer(Refusal::Removed))]);
}

#[test]
fn an_add_that_the_other_side_has_not_seen_vouches() {
    let mut newcomer = filled(1);
    let root =
        newcomer.all.values().filter(|t| t.header.author == member(0)).max_by_key(|t| t.header.sequence);
    let plaintext = Payload::Add(request(1, true)).encode();
    let add = sign(genesis().header.belongs_to(), 0, root, &[], Kind::Add, plaintext);
    let id = add.header.id();
    newcomer.receive([add]);
    newcomer.standings.insert(member(1), Standing::Member(Role::Reader));
    for supporting in [vec![], vec![id]] {
        let mut world = World::new([filled(1), newcomer.clone()]);
        world.peers[1].supporting = supporting.clone();
        world.connect(0, 1);
        world.settle(&mut Dice(1));
        if supporting.is_empty() {
            assert_eq!(world.peers[0].ended, [(1, Ended::Refused(Refusal::NotMember))]);
        } else {
            world.assert_same();
            assert!(
                world.peers[0].saw(&SessionEvent::Proved { member: member(1), role: Some(Role::Reader) })
            );
        }
    }
}

/// A world in which peer 1 asks to be added and has nothing yet.
fn joining(door: Door, request: Add) -> World {
    let mut world = World::new([filled(1), Store::new(0)]);
    world.peers[0].door = door;
    world.peers[1].request = Some(request);
    world.connect(0, 1);
    world
}

#[test]
fn a_joiner_is_admitted_and_gets_everything() {
    for seed in 0..20 {
        let mut world = joining(Door::Open, request(1, true));
        // What the context's rules will say about members once the joiner has its history.
        world.peers[1].store.standings.insert(member(0), Standing::Member(Role::Admin));
        world.settle(&mut Dice(seed));
        world.assert_same();
        assert!(world.peers[1].store.ids.len() > 30);
        let events = &world.peers[1].events;
        let proved = SessionEvent::Proved { member: member(0), role: None };
        assert_eq!(events[0], (0, proved));
        let SessionEvent::Admitted(transactions) = &events[1].1 else { panic!("{events:?}") };
        let adds = |transaction: &Transaction| {
            matches!(Payload::decode(transaction.header.kind, transaction.plaintext()),
                Some(Payload::Add(add)) if add.member == member(1))
        };
        assert!(transactions.iter().all(adds) && transactions.len() == 1);
        // Judged by the history, once there is one.
        assert!(world.peers[1].saw(&SessionEvent::Proved { member: member(0), role: Some(Role::Admin) }));
        assert!(world.peers[1].sessions[&0].status().equal);
    }
}

#[test]
fn a_joiner_leaves_one_that_turns_out_to_be_no_member() {
    let mut world = joining(Door::Open, request(1, true));
    world.settle(&mut Dice(1));
    assert_eq!(world.peers[1].ended, [(0, Ended::Refused(Refusal::NotMember))]);
}

#[test]
fn each_refusal_reaches_the_joiner() {
    for reason in [
        Refusal::InvitationInvalid,
        Refusal::InvitationExpired,
        Refusal::InvitationUsed,
        Refusal::InvitationRevoked,
        Refusal::Removed,
        Refusal::Full,
        Refusal::NotNow,
    ] {
        let mut world = joining(Door::Shut(reason), request(1, true));
        world.settle(&mut Dice(1));
        only_handshake(&world, 0);
        assert_eq!(world.peers[0].ended, [(1, Ended::Refused(reason))]);
        assert_eq!(world.peers[1].ended, [(0, Ended::RefusedByPeer(reason))]);
    }
}

#[test]
fn a_request_has_to_be_whole_and_the_joiners_own() {
    let ends = |request: Add| {
        let mut world = joining(Door::Open, request);
        world.settle(&mut Dice(1));
        only_handshake(&world, 0);
        world.peers[0].ended[0].1
    };
    assert_eq!(ends(request(1, false)), Ended::Refused(Refusal::InvitationInvalid));
    let mut unwilling = request(1, true);
    unwilling.consent[3] ^= 1;
    assert_eq!(ends(unwilling), Ended::Failed(Failure::Proof));

    // Somebody else's request, seen elsewhere.
    let mut world = World::new([filled(1), Store::new(0)]);
    world.peers[0].door = Door::Open;
    world.peers[1].request = Some(request(1, true));
    world.tamper = Some(Box::new(|_, _, message| {
        if let Message::Join { request: asked, .. } = message {
            *asked = request(2, true);
        }
        true
    }));
    world.connect(0, 1);
    world.settle(&mut Dice(1));
    assert_eq!(world.peers[0].ended, [(1, Ended::Failed(Failure::Proof))]);
}

#[test]
fn two_joiners_send_each_other_on() {
    let mut world = World::new([Store::new(0), Store::new(0)]);
    for number in 0..2 {
        world.peers[number].request = Some(request(number, true));
        world.peers[number].door = Door::Open;
    }
    world.connect(0, 1);
    world.settle(&mut Dice(1));
    for (number, other) in [(0, 1), (1, 0)] {
        let [(at, ended)] = world.peers[number].ended[..] else { panic!() };
        assert_eq!(at, other);
        assert!(matches!(ended, Ended::Refused(Refusal::NotNow) | Ended::RefusedByPeer(Refusal::NotNow)));
    }
}

#[test]
fn proofs_are_good_once_and_on_one_side_only() {
    let mut world = World::new([filled(2), filled(2)]);
    world.connect(0, 1);
    let proof_of = |world: &World, from: usize| {
        let sent = world.sent.iter().rfind(|(at, _, _)| *at == from);
        sent.unwrap().2.clone()
    };
    let old = proof_of(&world, 1);
    world.settle(&mut Dice(1));
    assert!(world.peers[0].ended.is_empty());

    // On another connection between the same two.
    world.connect(0, 1);
    world.pipes.clear();
    world.inject(0, 1, &old);
    assert_eq!(world.peers[0].ended, [(1, Ended::Failed(Failure::Proof))]);
    // A side's own proof, sent back to it.
    world.connect(0, 1);
    let own = proof_of(&world, 0);
    world.pipes.clear();
    world.inject(0, 1, &own);
    assert_eq!(world.peers[0].ended.len(), 2);
    // Under another name.
    world.connect(0, 1);
    let Message::Prove { signature, supporting, .. } = Message::decode(&proof_of(&world, 1)).unwrap() else {
        panic!()
    };
    world.pipes.clear();
    let other = Message::Prove { member: member(0), signature, supporting };
    world.inject(0, 1, &other.encode());
    assert_eq!(world.peers[0].ended.len(), 3);
    assert!(world.peers[0].ended.iter().all(|(_, ended)| *ended == Ended::Failed(Failure::Proof)));
    // A key that is no point of the curve.
    world.connect(0, 1);
    world.pipes.clear();
    let junk = Message::Prove { member: MemberId([0xff; 32]), signature, supporting: vec![] };
    world.inject(0, 1, &junk.encode());
    assert_eq!(world.peers[0].ended.len(), 4);
}

#[test]
fn whoever_does_not_prove_itself_in_time_is_cut() {
    let mut world = World::new([filled(2), Store::new(0)]);
    world.peers[1].request = Some(request(1, true));
    world.connect(0, 1);
    world.pipes.clear();
    world.tick(PROOF_TIME - 1);
    assert!(world.peers[0].ended.is_empty());
    world.tick(1);
    assert_eq!(world.peers[0].ended, [(1, Ended::Failed(Failure::Timeout))]);
    assert!(world.peers[1].ended.is_empty());
    world.tick(ADMISSION_TIME - PROOF_TIME);
    assert_eq!(world.peers[1].ended, [(0, Ended::Failed(Failure::Timeout))]);
}
