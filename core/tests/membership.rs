//! Invitation and membership, case by case: what the rules promise, told as stories. Each story is settled in twenty orders of
//! delivery and compared with a replay from genesis.
#![allow(clippy::unwrap_used)]

mod common;

use common::actions::{Stance, What};
use common::deliver::Node;
use common::probe::Probe;
use common::settle::settle;
use common::world::{World, actor, state_key};
use kith_core::application::kv;
use kith_core::replica::{Rejection, Role};

const NOTHING: Vec<u8> = Vec::new();

/// A context of actor 0 and those with these roles, who have all said something, so that they may name what they know.
fn world(roles: &[Role]) -> World {
    let mut world = World::sealed(NOTHING);
    for (number, role) in roles.iter().enumerate() {
        world.add(0, number + 1, *role);
        world.notes(number + 1, 1);
    }
    world.meet();
    world
}

fn put(value: &str) -> (&'static str, Vec<u8>) {
    kv::put(&state_key(0), value)
}

#[test]
fn a_removed_members_writes_do_not_count_also_when_backdated() {
    let mut world = world(&[Role::Writer]);
    let seen = world.calls(1, Stance::Honest, put("seen"));
    world.learn_all(0, 1);
    let unseen = world.calls(1, Stance::Honest, put("written meanwhile"));
    world.notes(0, 5);
    let removal = world.removes(0, 1);
    world.learn_all(1, 0);
    let afterwards = world.calls(1, Stance::Honest, put("afterwards"));
    let small_lamport = world.calls(1, Stance::Old(0), put("from an old view, small lamport"));
    let second_history = world.calls(1, Stance::Old(0), put("the same once more"));
    assert!(world.sorts_before(small_lamport, removal) && world.sorts_before(unseen, removal));
    assert!(world.sorts_before(removal, afterwards));

    let settled = settle(&world);
    settled.counts(seen);
    settled.counts(removal);
    settled.rejects(unseen, Rejection::Cut);
    settled.rejects(small_lamport, Rejection::Cut);
    settled.rejects(second_history, Rejection::Cut);
    settled.rejects(afterwards, Rejection::NotMember);
    settled.is_member(1, None);
    assert_eq!(settled.oracle.state[&state_key(0)], b"seen");
}

#[test]
fn without_the_removal_the_same_backdated_writes_count() {
    let mut world = world(&[Role::Writer]);
    world.calls(1, Stance::Honest, put("seen"));
    world.notes(0, 5);
    let small_lamport = world.calls(1, Stance::Old(0), put("from an old view"));
    settle(&world).counts(small_lamport);
}

#[test]
fn mutual_removal_ends_as_seniority_says_wherever_the_removals_sort() {
    for (senior_waits, junior_waits) in [(0, 0), (4, 0), (0, 4)] {
        let mut world = world(&[Role::Admin]);
        world.acts(1, What::Add { subject: 2, role: Role::Admin });
        world.notes(2, 1);
        world.meet();
        // Admin 1 made admin 2: 1 is the senior.
        world.notes(1, senior_waits);
        world.notes(2, junior_waits);
        let by_senior = world.removes(1, 2);
        let by_junior = world.removes(2, 1);
        let settled = settle(&world);
        settled.counts(by_senior);
        assert!(settled.oracle.rejection(&world.id(by_junior)).is_some());
        settled.is_member(1, Some(Role::Admin));
        settled.is_member(2, None);
    }
}

#[test]
fn admins_who_were_made_at_once_do_not_remove_each_other_but_a_senior_removes_both() {
    let mut world = world(&[Role::Admin, Role::Admin, Role::Writer, Role::Writer]);
    world.sets_role(1, 3, Role::Admin);
    world.sets_role(2, 4, Role::Admin);
    world.meet();
    let one = world.removes(3, 4);
    let other = world.removes(4, 3);
    let against_a_senior = world.removes(4, 2);
    let against_the_creator = world.removes(3, 0);
    let settled = settle(&world);
    for removal in [one, other, against_a_senior, against_the_creator] {
        settled.rejects(removal, Rejection::NotSenior);
    }

    let (first, second) = (world.removes(0, 3), world.removes(0, 4));
    let settled = settle(&world);
    settled.counts(first);
    settled.counts(second);
    settled.is_member(3, None);
    settled.is_member(4, None);
}

#[test]
fn a_demotion_that_arrives_late_judges_the_calls_after_it_again() {
    let mut world = world(&[Role::Writer]);
    let before = world.calls(1, Stance::Honest, put("before"));
    world.learn_all(0, 1);
    let demotion = world.lowers(0, 1, Role::Reader);
    world.notes(1, 3);
    let after = world.calls(1, Stance::Honest, put("after"));
    assert!(world.sorts_before(demotion, after));
    settle(&world).rejects(after, Rejection::NotPermitted);

    // At one member the demotion comes last.
    let transaction = |number: usize| world.entries[number].transaction.clone();
    let but_the_demotion: Vec<_> =
        (0..world.entries.len()).filter(|number| *number != demotion).map(transaction).collect();
    let mut node = Node::new(world.context);
    assert!(node.receive(&but_the_demotion, Some(&Probe)).is_empty());
    let receipt =
        |node: &Node, number| node.replica.receipt(&node.tables, &world.id(number)).unwrap().unwrap();
    let value = |node: &Node| node.replica.value(&node.tables, &state_key(0)).unwrap();
    assert!(receipt(&node, after).accepted());
    assert_eq!(value(&node).unwrap(), b"after");
    node.receive(&[transaction(demotion)], Some(&Probe));
    assert_eq!(receipt(&node, after).outcome, Err(Rejection::NotPermitted));
    assert!(receipt(&node, before).accepted());
    assert_eq!(value(&node).unwrap(), b"before");
}

#[test]
fn a_demotion_counts_against_what_sorts_before_it_unseen() {
    let mut world = world(&[Role::Writer]);
    let call = world.calls(1, Stance::Honest, put("unseen"));
    world.notes(0, 5);
    let demotion = world.lowers(0, 1, Role::Reader);
    assert!(world.sorts_before(call, demotion));
    let settled = settle(&world);
    settled.rejects(call, Rejection::Cut);
    settled.is_member(1, Some(Role::Reader));
}

#[test]
fn a_promotion_that_arrives_late_lets_the_calls_after_it_count() {
    let mut world = world(&[Role::Reader]);
    let promotion = world.sets_role(0, 1, Role::Writer);
    world.notes(1, 3);
    let call = world.calls(1, Stance::Honest, put("in hope"));
    assert!(world.sorts_before(promotion, call));
    settle(&world).counts(call);

    let transaction = |number: usize| world.entries[number].transaction.clone();
    let but_the_promotion: Vec<_> =
        (0..world.entries.len()).filter(|number| *number != promotion).map(transaction).collect();
    let mut node = Node::new(world.context);
    node.receive(&but_the_promotion, Some(&Probe));
    let receipt = |node: &Node| node.replica.receipt(&node.tables, &world.id(call)).unwrap().unwrap();
    assert_eq!(receipt(&node).outcome, Err(Rejection::NotPermitted));
    node.receive(&[transaction(promotion)], Some(&Probe));
    assert!(receipt(&node).accepted());
}

#[test]
fn when_the_two_last_admins_leave_at_once_the_first_writer_becomes_one() {
    let mut world = world(&[Role::Admin, Role::Reader, Role::Writer, Role::Writer]);
    let one = world.acts(0, What::Leave);
    let other = world.acts(1, What::Leave);
    let settled = settle(&world);
    settled.counts(one);
    settled.counts(other);
    for (number, role) in [(0, None), (1, None), (2, Some(Role::Reader)), (4, Some(Role::Writer))] {
        settled.is_member(number, role);
    }
    settled.is_member(3, Some(Role::Admin));

    world.meet();
    let invites = world.acts(3, What::Invite { role: Role::Writer, uses: 1 });
    settle(&world).counts(invites);
}

#[test]
fn where_only_readers_are_left_the_first_of_them_becomes_an_admin_and_then_nobody_is_left() {
    let mut world = world(&[Role::Reader, Role::Reader]);
    world.acts(0, What::Leave);
    settle(&world).is_member(1, Some(Role::Admin));
    world.meet();
    world.acts(1, What::Leave);
    world.meet();
    world.acts(2, What::Leave);
    assert!(settle(&world).oracle.governance.members.is_empty());
}

#[test]
fn any_member_admits_by_an_invitation_while_the_inviter_is_away() {
    let mut world = world(&[Role::Reader]);
    world.acts(0, What::Invite { role: Role::Writer, uses: 2 });
    world.meet();
    let admits = world.acts(1, What::Redeem { pick: 0, subject: 2 });
    let call = world.calls(2, Stance::Honest, put("hello"));
    let settled = settle(&world);
    settled.counts(admits);
    settled.counts(call);
    settled.is_member(2, Some(Role::Writer));
}

#[test]
fn a_revocation_counts_against_a_backdated_redemption_but_not_against_what_it_has_seen() {
    let mut world = world(&[Role::Reader]);
    world.acts(0, What::Invite { role: Role::Writer, uses: 3 });
    world.meet();
    world.notes(1, 1);
    let in_time = world.acts(1, What::Redeem { pick: 0, subject: 2 });
    world.meet();
    world.notes(0, 5);
    let revocation = world.acts(0, What::Revoke { pick: 0 });
    world.meet();
    let too_late = world.acts(1, What::Redeem { pick: 0, subject: 3 });
    let backdated = world.acts_with(1, Stance::Blind, What::Redeem { pick: 0, subject: 4 });
    // The chain goes on after `too_late`, so this one forks to get a smaller lamport.
    let forked = world.acts_with(1, Stance::Old(1), What::Redeem { pick: 0, subject: 5 });
    assert!(world.sorts_before(forked, revocation));
    let settled = settle(&world);
    settled.counts(in_time);
    settled.counts(revocation);
    for add in [too_late, backdated, forked] {
        settled.rejects(add, Rejection::InvitationRevoked);
    }
    settled.is_member(2, Some(Role::Writer));
    for stranger in 3..6 {
        settled.is_member(stranger, None);
    }
}

#[test]
fn the_last_use_of_an_invitation_goes_to_one_and_the_loser_knows() {
    let mut world = world(&[Role::Reader, Role::Reader]);
    let invite = world.acts(0, What::Invite { role: Role::Writer, uses: 1 });
    world.meet();
    let one = world.acts(1, What::Redeem { pick: 0, subject: 3 });
    let other = world.acts(2, What::Redeem { pick: 0, subject: 4 });
    let calls = [world.calls(3, Stance::Honest, put("three")), world.calls(4, Stance::Honest, put("four"))];
    let settled = settle(&world);
    let (winner, loser) = if world.sorts_before(one, other) { (0, 1) } else { (1, 0) };
    settled.counts([one, other][winner]);
    settled.rejects([one, other][loser], Rejection::InvitationUsed);
    settled.counts(calls[winner]);
    settled.rejects(calls[loser], Rejection::NotMember);
    settled.is_member(3 + winner, Some(Role::Writer));
    settled.is_member(3 + loser, None);
    assert_eq!(settled.oracle.governance.invitations[&world.id(invite)].uses, 1);
}

#[test]
fn somebody_who_is_admitted_at_two_members_at_once_uses_one_use() {
    let mut world = world(&[Role::Reader, Role::Reader]);
    let invite = world.acts(0, What::Invite { role: Role::Writer, uses: 2 });
    world.meet();
    let one = world.acts(1, What::Redeem { pick: 0, subject: 3 });
    let other = world.acts(2, What::Redeem { pick: 0, subject: 3 });
    let settled = settle(&world);
    let (first, second) = if world.sorts_before(one, other) { (one, other) } else { (other, one) };
    settled.counts(first);
    settled.rejects(second, Rejection::AlreadyMember);
    assert_eq!(settled.oracle.governance.invitations[&world.id(invite)].uses, 1);
}

#[test]
fn an_invitation_counts_only_while_its_author_is_an_admin() {
    let mut world = world(&[Role::Admin, Role::Reader]);
    world.acts(1, What::Invite { role: Role::Writer, uses: 2 });
    world.meet();
    world.lowers(0, 1, Role::Writer);
    world.meet();
    let add = world.acts(2, What::Redeem { pick: 0, subject: 3 });
    let settled = settle(&world);
    settled.rejects(add, Rejection::InvitationInvalid);
    settled.is_member(3, None);
}

#[test]
fn a_removed_key_returns_only_by_an_admins_own_word() {
    let mut world = world(&[Role::Reader, Role::Writer]);
    world.acts(0, What::Invite { role: Role::Writer, uses: 2 });
    world.meet();
    world.removes(0, 2);
    world.meet();
    let by_invitation = world.acts(1, What::Redeem { pick: 0, subject: 2 });
    settle(&world).rejects(by_invitation, Rejection::RemovedKey);
    world.meet();
    let by_word = world.acts(0, What::Add { subject: 2, role: Role::Writer });
    world.meet();
    let call = world.calls(2, Stance::Honest, put("back"));
    let settled = settle(&world);
    settled.counts(by_word);
    settled.counts(call);
}

#[test]
fn who_left_returns_by_invitation() {
    let mut world = world(&[Role::Reader]);
    world.acts(0, What::Invite { role: Role::Writer, uses: 1 });
    world.meet();
    world.acts(1, What::Leave);
    world.meet();
    let back = world.acts(0, What::Redeem { pick: 0, subject: 1 });
    let settled = settle(&world);
    settled.counts(back);
    settled.is_member(1, Some(Role::Writer));
}

#[test]
fn a_proof_of_two_histories_removes_whoever_signed_them() {
    let mut world = world(&[Role::Writer, Role::Reader]);
    let before = world.calls(1, Stance::Honest, put("before"));
    world.meet();
    let one = world.calls(1, Stance::Honest, put("one"));
    let other = world.calls(1, Stance::Old(0), put("other"));
    world.meet();
    // A reader may say so: the proof is the authority. It sorts behind what follows it here.
    world.notes(2, 1);
    let proof = world.acts(2, What::ProveFork { pick: 0, long: false, forgetful: false });
    let unseen = world.calls(1, Stance::Honest, put("unseen"));
    let settled = settle(&world);
    settled.counts(before);
    settled.counts(one);
    settled.counts(other);
    settled.counts(proof);
    settled.rejects(unseen, Rejection::Cut);
    settled.is_member(1, None);
    assert!(settled.oracle.governance.removed.contains(&actor(1)));
}

#[test]
fn a_skipped_call_is_rejected_for_all_and_only_an_admin_skips() {
    let mut world = world(&[Role::Writer]);
    let call = world.calls(1, Stance::Honest, put("stuck"));
    world.meet();
    let by_writer = world.acts(1, What::Skip { pick: 0 });
    let settled = settle(&world);
    settled.counts(call);
    settled.rejects(by_writer, Rejection::NotPermitted);
    let by_admin = world.acts(0, What::Skip { pick: 0 });
    let settled = settle(&world);
    settled.counts(by_admin);
    settled.rejects(call, Rejection::Skipped);
    assert!(settled.oracle.state.is_empty());
}
