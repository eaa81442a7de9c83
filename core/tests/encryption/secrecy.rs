//! Who can open what, after removals, leaving, theft and partitions. Each case first shows that its attack opens what it may.

use kith_core::encryption::rules::{Unusable, Violation, best_usable, violation};
use kith_core::encryption::{Suite, Trouble};
use kith_core::replica::{MemberId, TransactionId};

use super::group::{Group, secret};
use super::history::{Lens, Part, Set, What};

fn judge(
    past: &Part<'_>,
    author: &MemberId,
    epoch: &TransactionId,
    counter: u32,
    before: Option<(TransactionId, u32)>,
) -> Option<Violation> {
    violation(past, best_usable(past), author, epoch, counter, before)
}

fn pool(actors: impl IntoIterator<Item = usize>) -> Set {
    actors.into_iter().collect()
}

#[test]
fn everybody_reads_what_everybody_writes() {
    for suite in [Suite::X25519, Suite::XWing] {
        let mut group = Group::all(suite, 4);
        let mut sent = Vec::new();
        for round in 0..3 {
            for author in 0..4 {
                sent.push((group.send(author, &format!("{round} {author}")), format!("{round} {author}")));
            }
            group.meet_all();
        }
        for (at, text) in &sent {
            for actor in 0..4 {
                assert_eq!(group.actors[actor].opened[at].plaintext(), text.as_bytes());
            }
        }
        assert!(
            group.actors.iter().all(|actor| actor.troubles.is_empty()),
            "all by keys, nothing by sharing"
        );
    }
}

#[test]
fn a_removed_member_opens_nothing_sent_after_its_removal() {
    for suite in [Suite::X25519, Suite::XWing] {
        let mut group = Group::all(suite, 4);
        let before = group.send(1, "before");
        group.meet_all();
        group.remove(0, 3);
        let after: Vec<_> = (0..3).map(|n| group.send(0, &format!("after {n}"))).collect();
        group.meet(0, 1);
        let of_another = group.send(1, "of another");
        group.meet_all();
        for at in after.iter().chain([&of_another]) {
            assert!((0..3).all(|member| group.reads(member, *at)));
            assert!(!group.reads(3, *at));
            assert!(!group.opens(&pool([3]), *at), "all that it ever held, against all that was sent");
        }
        assert!(group.opens(&pool([3]), before), "control: the attack opens what was its to read");
        assert!(group.opens(&pool([2]), after[0]), "control: the attack opens it with a member's secrets");
    }
}

#[test]
fn victims_of_concurrent_removals_pool_in_vain() {
    for victims in [2, 3] {
        let actors = 2 + 2 * victims;
        let mut group = Group::all(Suite::X25519, actors);
        let first = group.send(0, "to all");
        group.meet_all();
        let gone: Set = (actors - victims..actors).collect();
        // Each remover sees its own removal alone, and makes an epoch that the other victims can read.
        let partial: Vec<_> = (0..victims)
            .map(|n| {
                group.remove(n, actors - victims + n);
                group.send(n, "to those whom this one sees")
            })
            .collect();
        let survivors: Vec<usize> = (0..actors - victims).collect();
        for (from, to) in survivors.iter().flat_map(|a| survivors.iter().map(move |b| (*a, *b))) {
            if from != to {
                group.meet(from, to);
            }
        }
        let epochs = group.history.events.iter().filter(|e| matches!(e.what, What::Epoch(..))).count();
        let after = group.send(victims, "to the survivors");
        assert_eq!(
            group.history.events.iter().filter(|e| matches!(e.what, What::Epoch(..))).count(),
            epochs + 1,
            "a third epoch, for the survivors"
        );
        group.meet_all();
        assert!(survivors.iter().all(|member| group.reads(*member, after)));
        assert!(!group.opens(&gone, after));
        assert!(group.opens(&gone, first), "control");
        assert!(partial.iter().all(|at| group.opens(&gone, *at)), "control: why those epochs are unusable");
    }
}

#[test]
fn without_the_rule_of_cuts_a_lost_device_reads_on_once_its_member_is_back() {
    for lens in [Lens::True, Lens::NoCuts] {
        let mut group = Group::all(Suite::X25519, 4);
        let before = group.send(0, "to all");
        group.meet_all();
        // The device is lost, its member removed for that, and admitted again with new keys: the same members as before.
        let lost = group.copy(3);
        group.remove(0, 3);
        group.add(0, 3);
        group.lens = lens;
        let at = group.send(0, "not for who found it");
        group.lens = Lens::True;
        assert_eq!(group.opens_with(lost.clone(), at), lens == Lens::NoCuts, "{lens:?}: the control leaks");
        assert!(group.opens_with(lost, before), "control: the attack opens what was before");
        group.meet(0, 3);
        assert!(group.reads(3, at), "{lens:?}");
    }
}

#[test]
fn a_removal_concurrent_with_an_admission_by_the_removed() {
    let mut group = Group::of(Suite::X25519, 5);
    (1..4).for_each(|subject| group.add(0, subject));
    (0..4).for_each(|from| (0..4).filter(|to| *to != from).for_each(|to| group.meet(from, to)));
    let first = group.send(0, "before");
    (1..4).for_each(|to| group.meet(0, to));
    group.add(3, 4);
    let beside = group.send(1, "beside the admission");
    assert!(!group.opens(&pool([4]), beside), "an admission gives no keys of what was before it");
    assert!(group.opens(&pool([3]), beside), "control");
    group.remove(0, 3);
    let after = group.send(0, "after the removal");
    group.meet_all();
    let later = group.send(2, "by one who has seen all of it");
    group.meet_all();
    for at in [after, later] {
        assert!(!group.opens(&pool([3, 4]), at));
        assert!((0..3).all(|member| group.reads(member, at)));
    }
    assert!(group.opens(&pool([3]), first), "control");
    // Added again, by one who may, it reads what is sent from then on, along chains that begin anew.
    group.add(0, 3);
    group.meet_all();
    // As a node does that sees somebody who is no recipient.
    group.rotate(0);
    let again = group.send(0, "after coming back");
    group.send(3, "hello again");
    group.meet_all();
    assert!(group.opens(&pool([3]), again));
    assert!(!group.opens(&pool([4]), again));
}

#[test]
fn an_admission_that_lapses_spoils_the_epochs_that_it_is_in_and_no_others() {
    for (lens, is_in) in [(Lens::True, false), (Lens::True, true), (Lens::NoRecipients, true)] {
        let mut group = Group::of(Suite::X25519, 4);
        (1..3).for_each(|subject| group.add(0, subject));
        (0..3).for_each(|from| (0..3).filter(|to| *to != from).for_each(|to| group.meet(from, to)));
        let before = group.send(1, "an epoch for three");
        (0..3).filter(|to| *to != 1).for_each(|to| group.meet(1, to));
        group.add(1, 3);
        let add = group.history.events.len() - 1;
        if is_in {
            group.rotate(1);
        }
        group.meet(1, 0);
        group.record(0, What::Void(add));
        group.lens = lens;
        let at = group.send(0, "after the invitation was taken back");
        group.lens = Lens::True;
        assert!(!group.view(0).members().contains(&3));
        assert_eq!(group.opens(&pool([3]), at), lens != Lens::True, "{lens:?}: the control leaks");
        let goes_on = group.message(at).header.epoch == group.message(before).header.epoch;
        assert_eq!(goes_on, lens == Lens::True, "the epoch that it has no keys of goes on");
    }
}

#[test]
fn a_leaver_cannot_read_those_who_saw_it_leave() {
    let mut group = Group::all(Suite::X25519, 4);
    let before = group.send(2, "before");
    group.meet_all();
    group.record(3, What::Leave);
    group.meet(3, 1);
    let unaware = group.send(0, "by one who has not seen it");
    let aware = group.send(1, "by one who has");
    group.meet_all();
    assert!(!group.opens(&pool([3]), aware));
    assert!(group.opens(&pool([3]), before) && group.opens(&pool([3]), unaware), "control");
}

#[test]
fn a_copied_device_is_locked_out_by_a_refresh_and_the_next_epoch() {
    for suite in [Suite::X25519, Suite::XWing] {
        let mut group = Group::all(suite, 3);
        let past = group.send(0, "before the theft");
        group.meet_all();
        let copy = group.copy(1);
        let during = group.send(0, "under an epoch that the thief has");
        group.meet_all();
        group.refresh(1);
        group.meet_all();
        group.rotate(2);
        group.meet_all();
        let after: Vec<_> = (0..3).map(|author| group.send(author, "healed")).collect();
        group.meet_all();
        for at in &after {
            assert!((0..3).all(|member| group.reads(member, *at)));
            assert!(!group.opens_with(copy.clone(), *at));
        }
        assert!(group.opens_with(copy, during), "control: the thief could read on until then");
        assert!(group.opens(&pool([1]), past), "control");
    }
}

#[test]
fn an_epoch_without_a_refresh_does_not_lock_the_thief_out() {
    let mut group = Group::all(Suite::X25519, 3);
    group.send(0, "an epoch");
    group.meet_all();
    let copy = group.copy(1);
    group.rotate(0);
    group.meet_all();
    let at = group.send(0, "still read");
    assert!(group.opens_with(copy, at), "this is what the refresh is for");
}

#[test]
fn what_was_opened_is_gone_from_a_copied_device() {
    let mut group = Group::all(Suite::X25519, 3);
    group.send(0, "first contact");
    group.meet_all();
    (1..3).for_each(|member| group.refresh(member));
    group.meet_all();
    group.rotate(0);
    let at = group.send(0, "yesterday");
    group.meet_all();
    assert!(group.reads(1, at));
    // The chain of roots unravels from its first wrap, as long as the key is there to which that was sealed.
    assert!(group.opens_with(group.copy(1), at));
    let change = group.ring(1).forget_keys(1).unwrap();
    group.actors[1].apply([change]);
    assert!(!group.opens_with(group.copy(1), at), "the key of the second wrap is there, and its root is not");
    assert!(group.opens(&pool([1]), at), "control: who hoards opens it");
}

#[test]
fn what_a_first_wrap_exposes_ends_with_a_refresh_and_forgetting() {
    let mut group = Group::all(Suite::X25519, 2);
    let at = group.send(0, "first contact");
    group.meet_all();
    assert!(group.reads(1, at));
    let published = |group: &Group| {
        group.ring(1).draft_epoch(&[], &secret(99)).map(|draft| draft.epoch.ratchet_key.index)
    };
    assert_eq!(published(&group), Ok(1), "its next epoch brings a new key");
    assert!(group.opens_with(group.copy(1), at), "the first wrap is sealed to the key alone");
    group.refresh(1);
    assert_eq!(published(&group), Ok(1), "and does not need to any more");
    assert!(group.opens_with(group.copy(1), at), "the old key is kept for wraps that are under way");
    let change = group.ring(1).forget_keys(1).unwrap();
    group.actors[1].apply([change]);
    assert!(!group.opens_with(group.copy(1), at));
}

#[test]
fn a_partition_heals_within_one_more_send() {
    let mut group = Group::of(Suite::X25519, 9);
    (1..7).for_each(|subject| group.add(0, subject));
    group.meet_all();
    let first = group.send(0, "all seven");
    group.meet_all();
    // On each side one is removed, one is added, and there are new keys.
    let sides = [([0, 2, 4], 5, 7), ([1, 3, 6], 6, 8)];
    let mut beside = Vec::new();
    for (side, gone, new) in &sides {
        group.remove(side[0], *gone);
        group.add(side[0], *new);
        group.rotate(side[0]);
        beside.push(group.send(side[0], "to those on this side"));
        let stay: Vec<usize> = side.iter().copied().filter(|member| member != gone).collect();
        stay.iter().for_each(|a| stay.iter().filter(|b| *b != a).for_each(|b| group.meet(*a, *b)));
    }
    // The control: each side's epoch is one that the other side's removed member has the keys of.
    assert!(group.opens(&pool([6]), beside[0]) && group.opens(&pool([5]), beside[1]));
    assert!(best_usable(&group.view(2)).is_some() && best_usable(&group.view(3)).is_some());
    group.meet_all();
    assert!((0..5).all(|member| best_usable(&group.view(member)).is_none()));
    let epochs = |group: &Group| {
        group.history.events.iter().filter(|event| matches!(event.what, What::Epoch(..))).count()
    };
    let before = epochs(&group);
    let healed = group.send(2, "healed");
    group.meet_all();
    assert_eq!(epochs(&group), before + 1, "within one more send");
    let epoch = TransactionId(group.message(healed).header.epoch);
    let members = [0, 1, 2, 3, 4, 7, 8];
    let mut after = vec![healed];
    for member in members {
        assert_eq!(best_usable(&group.view(member)), Some(epoch));
        let at = group.send(member, "under one epoch, who was added on either side as well");
        assert_eq!(TransactionId(group.message(at).header.epoch), epoch);
        after.push(at);
    }
    group.meet_all();
    for at in after {
        assert!(!group.opens(&pool([5, 6]), at));
        assert!(members.into_iter().all(|member| group.reads(member, at)));
    }
    assert!(group.opens(&pool([5]), first), "control: the attack opens what was before");
}

#[test]
fn a_message_under_a_stale_epoch_is_flagged_by_all_alike() {
    let mut group = Group::all(Suite::X25519, 4);
    let honest = group.send(1, "as it should be");
    group.meet_all();
    let stale = group.actors[1].last.unwrap();
    group.send(1, "again");
    group.meet_all();
    group.remove(0, 3);
    group.meet(0, 1);
    let wrong = group.send_under(1, &stale, "under keys that the removed one has");
    group.meet_all();
    let verdict = |at: usize| {
        let event = &group.history.events[at];
        let own = event.past.iter().rev().map(|past| &group.history.events[*past]);
        let before = own
            .filter(|other| other.author == event.author && matches!(other.what, What::Message(_)))
            .map(|other| (TransactionId(other.header.epoch), other.header.counter))
            .next();
        let header = &event.header;
        let epoch = TransactionId(header.epoch);
        judge(&group.part(&event.past), &header.author, &epoch, header.counter, before)
    };
    assert_eq!(verdict(honest), None);
    assert!(matches!(verdict(wrong), Some(Violation::Unusable(Unusable::Cut(_)))));
    // A better epoch is there: to send under the older one is flagged as well, and so is going back to it.
    let mut group = Group::all(Suite::X25519, 3);
    group.send(1, "one");
    group.meet_all();
    let old = group.actors[1].last.unwrap();
    group.rotate(0);
    group.meet_all();
    let part = group.view(1);
    let id = group.actors[1].id;
    assert_eq!(judge(&part, &id, &old, 1, Some((old, 0))), Some(Violation::Stale));
    let new = group.history.events.last().unwrap().id;
    assert_eq!(judge(&part, &id, &new, 0, Some((old, 0))), None);
    assert_eq!(judge(&part, &id, &new, 1, Some((old, 0))), Some(Violation::Counter));
    assert_eq!(judge(&part, &id, &new, 256, Some((new, 255))), Some(Violation::Counter));
}

#[test]
fn a_joiner_has_no_keys_of_what_was_before_it_and_reads_what_is_shared() {
    let mut group = Group::of(Suite::X25519, 4);
    (1..3).for_each(|subject| group.add(0, subject));
    group.meet(0, 1);
    let before = group.send(0, "before the joiner");
    group.meet(0, 1);
    group.add(1, 3);
    group.meet(1, 0);
    let after = group.send(0, "by who could make an epoch, and need not");
    assert_eq!(group.message(before).header.epoch, group.message(after).header.epoch);
    for at in [before, after] {
        assert_eq!(group.take(3, at).map(drop), Err(Trouble::NoKeys));
        assert!(!group.opens(&pool([3]), at), "nor is it on the wire for it");
    }
    assert!(group.reads(3, before), "it was shared");
    group.meet(0, 3);
    assert!(group.reads(3, after));
    let own = group.send(3, "hello");
    assert_ne!(group.message(own).header.epoch, group.message(after).header.epoch);
    group.meet(3, 0);
    let next = group.send(0, "to the joiner as well");
    assert_eq!(group.message(next).header.epoch, group.message(own).header.epoch);
    let (opened, _) = group.take(3, next).unwrap();
    assert_eq!(opened.unwrap().plaintext(), b"to the joiner as well", "with its own keys");
}
