//! Members who use the rules against their seniors: what they must not achieve. Each story is settled in twenty orders of delivery.
#![allow(clippy::unwrap_used)]

mod common;

use common::actions::{Stance, What};
use common::settle::settle;
use common::world::{World, state_key};
use kith_core::application::kv;
use kith_core::replica::{Kind, Payload, Rejection, Role};

fn world(roles: &[Role]) -> World {
    let mut world = World::sealed(Vec::new());
    for (number, role) in roles.iter().enumerate() {
        world.add(0, number + 1, *role);
        world.notes(number + 1, 1);
    }
    world.meet();
    world
}

/// 1 admits 2 by an invitation; the creator makes 2 an admin, 2 makes 3 one, who is its junior.
fn made_by_one_who_was_admitted() -> World {
    let mut world = world(&[Role::Writer]);
    world.acts(0, What::Invite { role: Role::Writer, uses: 2 });
    world.meet();
    world.acts(1, What::Redeem { pick: 0, subject: 2 });
    world.notes(2, 1);
    world.meet();
    world.sets_role(0, 2, Role::Admin);
    world.meet();
    world.add(2, 3, Role::Admin);
    world.notes(3, 1);
    world.meet();
    world
}

#[test]
fn a_removal_that_names_nothing_of_what_its_author_has_seen_unmakes_no_member() {
    let mut world = made_by_one_who_was_admitted();
    let call = world.calls(1, Stance::Honest, kv::put(&state_key(0), "seen"));
    world.meet();
    let removal = world.acts(3, What::Remove { target: 1, forgetful: true });
    let settled = settle(&world);
    settled.counts(removal);
    settled.is_member(1, None);
    // 2 was admitted by 1, and is the senior of 3.
    settled.is_member(2, Some(Role::Admin));
    settled.is_member(3, Some(Role::Admin));
    // What was called is another matter: an admin says what counts of those it removes.
    settled.rejects(call, Rejection::Cut);
}

#[test]
fn a_demotion_that_names_nothing_of_what_its_author_has_seen_unmakes_no_member() {
    let mut world = made_by_one_who_was_admitted();
    world.sets_role(0, 1, Role::Admin);
    world.meet();
    let added = world.add(1, 4, Role::Writer);
    world.meet();
    // The creator is a senior of all, and could remove 4; but not by forgetting.
    world.acts(0, What::SetRole { target: 1, role: Role::Reader, lowers: true, forgetful: true });
    let settled = settle(&world);
    settled.counts(added);
    settled.is_member(1, Some(Role::Reader));
    settled.is_member(4, Some(Role::Writer));
}

#[test]
fn an_admin_cannot_act_on_others_from_before_it_was_made_one() {
    let mut world = world(&[Role::Writer, Role::Writer]);
    world.acts(0, What::Invite { role: Role::Writer, uses: 2 });
    world.meet();
    // All that 2 does from here on, it does as if it had seen nothing more.
    world.notes(2, 1);
    let admission = world.acts(1, What::Redeem { pick: 0, subject: 3 });
    world.notes(3, 1);
    world.meet();
    world.sets_role(0, 3, Role::Admin);
    world.meet();
    let makes_2_admin = world.sets_role(3, 2, Role::Admin);
    for _ in 0..20 {
        world.acts_with(2, Stance::Blind, What::Note);
    }
    let revocation = world.acts_with(2, Stance::Blind, What::Revoke { pick: 0 });
    let removal = world.acts_with(2, Stance::Blind, What::Remove { target: 1, forgetful: true });
    assert!(world.sorts_before(makes_2_admin, revocation));
    let settled = settle(&world);
    settled.rejects(revocation, Rejection::NotPermitted);
    settled.rejects(removal, Rejection::NotPermitted);
    settled.counts(admission);
    settled.is_member(3, Some(Role::Admin));
    settled.is_member(2, Some(Role::Admin));
}

#[test]
fn a_proof_of_two_histories_leaves_alone_what_was_before_they_parted() {
    // From all that 2 has seen, and as if it had seen nothing but the two histories.
    for stance in [Stance::Honest, Stance::Some(0)] {
        let mut world = world(&[Role::Admin, Role::Reader]);
        let added = world.add(1, 3, Role::Admin);
        let call = world.calls(1, Stance::Honest, kv::put(&state_key(0), "before"));
        world.notes(3, 1);
        world.meet();
        let one = world.calls(1, Stance::Honest, kv::put(&state_key(1), "one"));
        world.calls(1, Stance::Old(2), kv::put(&state_key(2), "other"));
        world.meet();
        for _ in 0..10 {
            world.acts_with(2, stance, What::Note);
        }
        let proof = world.acts_with(2, stance, What::ProveFork { pick: 0, long: false, forgetful: true });
        let settled = settle(&world);
        settled.counts(proof);
        settled.counts(added);
        settled.counts(call);
        settled.rejects(one, Rejection::Cut);
        settled.is_member(1, None);
        settled.is_member(3, Some(Role::Admin));
    }
}

#[test]
fn a_proof_of_two_histories_sorts_after_both() {
    let mut world = world(&[Role::Admin, Role::Reader]);
    world.notes(1, 5);
    world.calls(1, Stance::Honest, kv::put(&state_key(1), "one"));
    world.calls(1, Stance::Old(5), kv::put(&state_key(2), "other"));
    let from = world.standpoint(2, Stance::Old(0)).unwrap();
    world.meet();
    let everything = world.standpoint(2, Stance::Honest).unwrap();
    let (_, proof, _) = common::actions::fork(&world, &everything, 0, false).unwrap();
    let draft = world.draft(&from, Kind::Fork, Payload::Fork(proof).encode());
    world.junk.push(draft.sign(common::world::actor_key(2)));
    let settled = settle(&world);
    assert_eq!(settled.oracle.order.len(), world.entries.len(), "that one is invalid");
    settled.is_member(1, Some(Role::Admin));
}

#[test]
fn making_somebody_an_admin_a_second_time_makes_nobody_its_senior() {
    let mut world = world(&[Role::Admin, Role::Admin, Role::Writer]);
    // 2 does not know of 4 when it makes 3 an admin.
    world.add(1, 4, Role::Admin);
    world.notes(4, 1);
    world.notes(2, 6);
    let made = world.sets_role(2, 3, Role::Admin);
    world.meet();
    // 4 has nothing to do with 3, and backdates another promotion of it.
    let again = world.acts_with(
        4,
        Stance::Old(0),
        What::SetRole { target: 3, role: Role::Admin, lowers: false, forgetful: true },
    );
    assert!(world.sorts_before(again, made));
    world.meet();
    let removal = world.removes(4, 3);
    let settled = settle(&world);
    settled.counts(again);
    settled.rejects(removal, Rejection::NotSenior);
    settled.is_member(3, Some(Role::Admin));
}

#[test]
fn making_somebody_an_admin_a_second_time_takes_nothing_from_its_word() {
    let mut world = world(&[Role::Admin, Role::Admin, Role::Writer, Role::Writer]);
    world.notes(2, 4);
    let made = world.sets_role(2, 3, Role::Admin);
    world.learn_all(3, 2);
    let removal = world.removes(3, 4);
    // 1 makes 3 an admin as well, at a place before; 3 did not know when it removed 4.
    let again = world.sets_role(1, 3, Role::Admin);
    assert!(world.sorts_before(again, made));
    let settled = settle(&world);
    settled.counts(again);
    settled.counts(removal);
    settled.is_member(4, None);
}

/// 1 was told to go, or to be less, and knows it; what it signs from here on, it signs as if it had seen nothing of that. `may`: whether the
/// way out is open to it all the same.
fn against_a_backdated_way_out(word: impl Fn(&mut World) -> usize, way_out: &What, may: bool) {
    for backdated in [false, true] {
        let mut world = world(&[Role::Admin, Role::Writer]);
        let known = world.calls(1, Stance::Honest, kv::put(&state_key(0), "known"));
        world.notes(0, 9);
        world.learn_all(0, 1);
        let word = word(&mut world);
        world.meet();
        let invitation = world.acts_with(1, Stance::Blind, What::Invite { role: Role::Writer, uses: 2 });
        let added =
            backdated.then(|| world.acts_with(1, Stance::Blind, What::Add { subject: 4, role: Role::Admin }));
        let out = backdated.then(|| world.acts_with(1, Stance::Blind, way_out.clone()));
        let settled = settle(&world);
        settled.counts(word);
        settled.counts(known);
        settled.rejects(invitation, Rejection::Cut);
        for backdated in added.into_iter().chain(out) {
            assert!(world.sorts_before(backdated, word));
        }
        added.into_iter().for_each(|added| settled.rejects(added, Rejection::Cut));
        out.into_iter()
            .for_each(|out| if may { settled.counts(out) } else { settled.rejects(out, Rejection::Cut) });
        settled.is_member(4, None);
    }
}

#[test]
fn leaving_at_an_earlier_place_undoes_no_removal() {
    against_a_backdated_way_out(|world| world.removes(0, 1), &What::Leave, false);
}

#[test]
fn leaving_at_an_earlier_place_undoes_no_demotion() {
    against_a_backdated_way_out(|world| world.lowers(0, 1, Role::Reader), &What::Leave, true);
}

#[test]
fn being_less_at_an_earlier_place_undoes_no_demotion() {
    let less = What::SetRole { target: 1, role: Role::Reader, lowers: true, forgetful: false };
    against_a_backdated_way_out(|world| world.lowers(0, 1, Role::Writer), &less, false);
}

#[test]
fn a_removal_made_possible_by_a_seniors_leaving_leaves_alone_what_it_did_as_a_senior() {
    let mut world = world(&[Role::Admin, Role::Writer]);
    let unseen = world.calls(0, Stance::Honest, kv::put(&state_key(0), "unseen"));
    let removal_of_the_junior = world.removes(0, 1);
    let leave = world.acts(0, What::Leave);
    world.learn_all(2, 0);
    // 1 has seen none of that, adds the creator anew and removes it.
    world.notes(1, 12);
    let again = world.acts_with(1, Stance::Blind, What::Add { subject: 0, role: Role::Reader });
    let back = world.removes(1, 0);
    assert!(world.sorts_before(leave, again));
    let settled = settle(&world);
    settled.counts(unseen);
    settled.counts(removal_of_the_junior);
    settled.counts(leave);
    for word in [again, back] {
        assert!(settled.oracle.rejection(&world.id(word)).is_some());
    }
}

#[test]
fn somebody_who_left_as_an_admin_is_removed_by_a_senior_alone() {
    let mut world = world(&[Role::Admin, Role::Admin, Role::Writer]);
    let call = world.calls(1, Stance::Honest, kv::put(&state_key(0), "unseen"));
    let leave = world.acts(1, What::Leave);
    world.notes(2, 9);
    world.notes(0, 9);
    let by_a_peer = world.acts(2, What::Remove { target: 1, forgetful: true });
    let settled = settle(&world);
    settled.rejects(by_a_peer, Rejection::NotSenior);
    settled.counts(call);
    settled.counts(leave);

    let by_the_creator = world.acts(0, What::Remove { target: 1, forgetful: true });
    let settled = settle(&world);
    settled.counts(by_the_creator);
    settled.rejects(call, Rejection::Cut);
    assert!(settled.oracle.governance.removed.contains(&common::world::actor(1)));
}

#[test]
fn the_same_proof_again_counts_for_nothing_until_its_owner_is_back() {
    let mut world = world(&[Role::Writer, Role::Reader, Role::Reader]);
    world.calls(1, Stance::Honest, kv::put(&state_key(1), "one"));
    world.calls(1, Stance::Old(0), kv::put(&state_key(2), "other"));
    world.meet();
    let prove = What::ProveFork { pick: 0, long: false, forgetful: false };
    let (first, second) = (world.acts(2, prove.clone()), world.acts(3, prove.clone()));
    let more: Vec<usize> = (0..5).map(|_| world.acts(2, prove.clone())).collect();
    let settled = settle(&world);
    settled.counts(first);
    // 3 had not seen the first.
    settled.counts(second);
    for again in more {
        settled.rejects(again, Rejection::UnknownMember);
    }
    world.meet();
    world.add(0, 1, Role::Writer);
    world.meet();
    let after_its_return = world.acts(2, prove);
    let settled = settle(&world);
    settled.counts(after_its_return);
    settled.is_member(1, None);
}
