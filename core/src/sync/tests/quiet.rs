use super::super::message::Message;
use super::super::rounds::{FIRST_PAUSE, STALL_TIME};
use super::super::{Ended, Failure, History as _, SessionEvent, Standing};
use super::world::{Dice, Store, World, genesis, history, member, sign};
use crate::limits;
use crate::replica::payload::Tip;
use crate::replica::{Kind, TransactionId};

fn equal(peers: usize) -> (World, Dice) {
    let mut dice = Dice(9);
    let mut store = Store::new(peers);
    store.receive(history(&mut dice, peers, 30, usize::MAX, 50));
    let mut world = World::new(vec![store; peers]);
    for number in 1..peers {
        world.connect(number - 1, number);
    }
    world.settle(&mut dice);
    assert!(world.peers.iter().all(|peer| peer.saw(&SessionEvent::Equal)));
    (world, dice)
}

fn sent(world: &World, from: usize) -> Vec<Message> {
    world
        .sent
        .iter()
        .filter(|(at, _, _)| *at == from)
        .map(|(_, _, message)| Message::decode(message).unwrap())
        .collect()
}

#[test]
fn idle_is_silent() {
    let (mut world, _) = equal(3);
    let before = world.sent.len();
    for _ in 0..1_000 {
        world.tick(60_000);
    }
    assert_eq!(world.sent.len(), before);
    for peer in &world.peers {
        for session in peer.sessions.values() {
            assert_eq!(session.deadline(), None);
        }
        assert!(peer.ended.is_empty());
    }
}

#[test]
fn a_push_is_one_message_and_goes_through_the_chain_once() {
    let (mut world, mut dice) = equal(3);
    let before = world.sent.len();
    world.write(0, vec![1; 100]);
    world.settle(&mut dice);
    world.assert_same();
    // 0 to 1, 1 to 2, nothing back.
    assert_eq!(world.sent.len(), before + 2);
    assert!(world.peers.iter().flat_map(|peer| peer.sessions.values()).all(|session| session.status().equal));
}

#[test]
fn a_push_is_acknowledged_a_moment_later_and_nothing_else_is_said() {
    let (mut world, mut dice) = equal(2);
    let before = world.sent.len();
    world.tick(1_000);
    world.write(0, vec![1; 100]);
    let mark = world.now;
    assert_eq!(world.peers[0].sessions[&1].unsettled(), Some(mark));
    world.settle(&mut dice);
    // It is there, and this side does not know it yet.
    world.assert_same();
    assert_eq!(world.peers[0].sessions[&1].unsettled(), Some(mark));
    let due = world.peers[1].sessions[&0].deadline().unwrap();
    world.tick(due - world.now - 1);
    assert_eq!(world.sent.len(), before + 1);
    // One more comes meanwhile, and is acknowledged with it.
    world.write(0, vec![2; 100]);
    world.settle(&mut dice);
    world.tick(1);
    world.settle(&mut dice);
    assert_eq!(sent(&world, 1).last(), Some(&Message::Acknowledge { count: 2 }));
    assert_eq!(world.sent.len(), before + 3);
    for (at, other) in [(0, 1), (1, 0)] {
        let session = &world.peers[at].sessions[&other];
        assert_eq!((session.unsettled(), session.deadline()), (None, None));
    }
    world.tick(60_000);
    assert_eq!(world.sent.len(), before + 3);
}

#[test]
fn many_pushes_are_acknowledged_now_and_then() {
    let (mut world, mut dice) = equal(2);
    let before = world.sent.len();
    for number in 0..200_u8 {
        world.write(0, vec![number; 100]);
        world.settle(&mut dice);
    }
    world.assert_same();
    assert_eq!(world.sent.len(), before + 200 + 200 / (limits::SYNC_WINDOW_BATCHES / 4));
}

#[test]
fn the_last_that_a_removed_peer_is_pushed_is_its_removal() {
    for (removal, gets) in [(None, 5), (Some(1), 2), (Some(0), 1), (Some(9), 0)] {
        let (mut world, mut dice) = equal(2);
        let ids: Vec<TransactionId> = (0..5).map(|_| world.peers[0].store.write(0, vec![5; 33])).collect();
        if let Some(removal) = removal {
            let removal = ids.get(removal).copied().unwrap_or_default();
            world.peers[0].store.standings.insert(member(1), Standing::Removed(vec![removal]));
        }
        world.announce(0, &ids);
        world.settle(&mut dice);
        let store = &world.peers[1].store;
        let has: Vec<bool> = ids.iter().map(|id| store.transaction(id).unwrap().is_some()).collect();
        assert_eq!(has, [0, 1, 2, 3, 4].map(|at| at < gets), "{removal:?}");
    }
}

#[test]
fn pushes_that_a_peer_does_not_take_are_dropped_and_compared_later() {
    let (mut world, mut dice) = equal(2);
    // The peer does not even read.
    let count = limits::SYNC_WINDOW_BATCHES + limits::SYNC_PUSHES;
    for _ in 0..count {
        let id = world.peers[0].store.write(0, vec![5; 33]);
        let peer = &mut world.peers[0];
        let outputs = peer.sessions.get_mut(&1).unwrap().added(&[id], 1, &peer.store, world.now).unwrap();
        world.apply(0, 1, outputs);
    }
    assert_eq!(world.pipes[&(0, 1)].len(), limits::SYNC_WINDOW_BATCHES);
    assert!(world.peers[0].sessions[&1].status().equal);
    world.write(0, vec![6; 33]);
    assert!(!world.peers[0].sessions[&1].status().equal);
    assert!(world.pipes[&(0, 1)].len() <= limits::SYNC_WINDOW_BATCHES + 1);
    world.settle(&mut dice);
    world.assert_same();
    assert!(world.peers[0].sessions[&1].status().equal);
    assert_eq!(world.peers[0].sessions[&1].status().comparisons, 2);
}

#[test]
fn a_peer_that_never_makes_room_is_cut() {
    let (mut world, _) = equal(2);
    for _ in 0..=limits::SYNC_WINDOW_BATCHES {
        world.write(0, vec![5; 33]);
    }
    let deadline = world.peers[0].sessions[&1].deadline().unwrap();
    assert_eq!(deadline, world.now + STALL_TIME);
    world.tick(STALL_TIME);
    assert_eq!(world.peers[0].ended, [(1, Ended::Failed(Failure::Stalled))]);
}

#[test]
fn a_lost_push_is_found_by_asking_for_the_parent() {
    let (mut world, mut dice) = equal(2);
    let lost = world.write(0, vec![1; 50]);
    world.pipes.get_mut(&(0, 1)).unwrap().clear();
    world.write(0, vec![2; 50]);
    world.settle(&mut dice);
    world.assert_same();
    assert!(sent(&world, 1).contains(&Message::Want { ids: vec![lost] }));
    assert_eq!(world.peers[1].sessions[&0].status().comparisons, 1);
}

#[test]
fn many_lost_pushes_are_found_by_comparing() {
    let (mut world, mut dice) = equal(2);
    for _ in 0..20 {
        world.write(0, vec![1; 50]);
    }
    world.pipes.get_mut(&(0, 1)).unwrap().clear();
    world.write(0, vec![2; 50]);
    world.settle(&mut dice);
    world.assert_same();
    assert!(sent(&world, 1).iter().filter(|message| matches!(message, Message::Want { .. })).count() <= 2);
    assert_eq!(world.peers[1].sessions[&0].status().comparisons, 2);
}

#[test]
fn one_that_pushes_orphans_is_asked_less_and_less_and_then_cut() {
    let (mut world, mut dice) = equal(2);
    let context = genesis().header.belongs_to();
    let nowhere = sign(context, 1, None, &[&genesis()], Kind::Call, vec![77; 40]);
    // Its own session sits still: all that is from it is made up here.
    world.tamper =
        Some(Box::new(|from, _, message| from == 1 || !matches!(message, Message::Acknowledge { .. })));
    let mut pushed = 0_u8;
    let mut asked = Vec::new();
    while world.peers[0].ended.is_empty() {
        let before = sent(&world, 0).len();
        let orphan = sign(context, 1, Some(&nowhere), &[], Kind::Call, vec![pushed; 40]);
        let (runs, _) = super::super::batch::runs(vec![(orphan.header.id(), orphan)]);
        let batch = super::super::batch::Batch::encode(super::super::batch::Purpose::Push, &runs);
        world.inject(0, 1, &Message::Batch(batch).encode());
        world.settle(&mut dice);
        if sent(&world, 0)[before..].iter().any(|message| matches!(message, Message::Want { .. })) {
            asked.push(world.now);
        }
        pushed += 1;
        world.tick(5_000);
        assert!(pushed < 200);
    }
    assert_eq!(world.peers[0].ended, [(1, Ended::Failed(Failure::CannotDeliver))]);
    assert!(asked.windows(3).all(|times| times[2] - times[1] > times[1] - times[0]), "{asked:?}");
    assert!(usize::from(pushed) > asked.len() * 4);
    let told = |event: &SessionEvent| *event == SessionEvent::CannotDeliver(vec![nowhere.header.id()]);
    assert_eq!(world.peers[0].events.iter().filter(|(_, event)| told(event)).count(), asked.len());
}

#[test]
fn catch_up_stays_within_the_window_until_the_node_is_done() {
    let mut dice = Dice(3);
    let mut full = Store::new(2);
    full.receive(history(&mut dice, 2, 300, usize::MAX, 60_000));
    let mut empty = Store::new(2);
    empty.receive([genesis()]);
    let mut world = World::new([full, empty]);
    world.connect(0, 1);
    // Everything arrives, but peer 1's node deals with nothing.
    while let Some((from, to)) = world.pipes.iter().find(|(_, pipe)| !pipe.is_empty()).map(|(ends, _)| *ends)
    {
        world.arrive(from, to);
    }
    let batches = sent(&world, 0).iter().filter(|message| matches!(message, Message::Batch(_))).count();
    assert!((3..=6).contains(&batches), "{batches}");
    // The slow node is not the peer's fault.
    world.peers[0].ended.clear();
    let peer = &mut world.peers[1];
    let session = peer.sessions.get_mut(&0).unwrap();
    assert!(session.tick(&peer.store, world.now + 10 * STALL_TIME).unwrap().is_empty());
    world.settle(&mut dice);
    world.assert_same();
    let status = world.peers[1].sessions[&0].status();
    assert!(status.equal && status.received == 299 && status.expected == 299);
    let progress =
        world.peers[1].events.iter().filter(|(_, event)| matches!(event, SessionEvent::Progress { .. }));
    assert!(progress.count() > 10);
}

#[test]
fn a_peer_that_stands_still_in_catch_up_is_cut() {
    let mut dice = Dice(3);
    let mut full = Store::new(2);
    full.receive(history(&mut dice, 2, 30, usize::MAX, 60));
    let mut empty = Store::new(2);
    empty.receive([genesis()]);
    let mut world = World::new([full, empty]);
    world.connect(0, 1);
    for _ in 0..6 {
        world.step(&mut dice);
    }
    world.pipes.clear();
    world.tick(STALL_TIME - 1);
    assert!(world.peers.iter().all(|peer| peer.ended.is_empty()));
    world.tick(1);
    assert_eq!(world.peers[0].ended, [(1, Ended::Failed(Failure::Stalled))]);
    assert_eq!(world.peers[1].ended, [(0, Ended::Failed(Failure::Stalled))]);
}

#[test]
fn while_not_equal_comparisons_come_at_growing_pauses() {
    // The liar names a tip that nobody has, in each comparison another one.
    let (mut world, mut dice) = equal(2);
    let mut number = 0_u8;
    world.tamper = Some(Box::new(move |from, _, message| {
        number = number.wrapping_add(1);
        if let Message::Hello(hello) = message {
            hello.digest = [if from == 0 { 8 } else { 9 }; 32];
        }
        if from == 1
            && let Message::Vector { authors, .. } = message
        {
            let lie = Tip { sequence: 999, id: TransactionId([number; 32]) };
            authors.iter_mut().for_each(|author| author.tips.push(lie));
        }
        true
    }));
    let peer = &mut world.peers[0];
    let outputs = peer.sessions.get_mut(&1).unwrap().compare(&peer.store, world.now).unwrap();
    world.apply(0, 1, outputs);
    let (mut begun, mut seen) = (Vec::new(), 0);
    while begun.len() < 14 {
        world.settle(&mut dice);
        let status = world.peers[0].sessions[&1].status();
        assert!(!status.equal);
        if status.comparisons > seen {
            seen = status.comparisons;
            begun.push(world.now);
        }
        let sessions = world.peers.iter().flat_map(|peer| peer.sessions.values());
        let next = sessions.filter_map(super::super::Session::deadline).min().unwrap();
        world.tick(next - world.now);
    }
    assert!(world.peers.iter().all(|peer| peer.ended.is_empty()));
    let pauses: Vec<u64> = begun.windows(2).map(|times| times[1] - times[0]).collect();
    assert!(pauses[0] >= FIRST_PAUSE / 2 && pauses[0] <= 2 * FIRST_PAUSE, "{pauses:?}");
    assert!(pauses[6] > 4 * FIRST_PAUSE, "{pauses:?}");
    assert!(*pauses.iter().max().unwrap() <= 15 * 60_000, "{pauses:?}");
    // On a new connection, on which it tells the truth, all is well.
    world.tamper = None;
    world.connect(0, 1);
    world.settle_with_time(&mut dice);
    assert!(world.peers[0].sessions[&1].status().equal);
}
