//! Removals at the same time, removals beside admissions, coming back, leaving.

use kith_core::replica::Role;

use crate::nodes::join;
use crate::party::Party;

/// Two admins, or three, each in a part of the network of its own, remove one member each, who is in another part.
#[tokio::test]
async fn victims_of_removals_at_the_same_time_open_nothing_that_follows() {
    for count in [2, 3] {
        let roles: Vec<Role> =
            (1..3 * count).map(|n| if n < count { Role::Admin } else { Role::Writer }).collect();
        let party = Party::of(&roles).await;
        let (stay, gone): (Vec<usize>, Vec<usize>) = (0..3 * count).partition(|guest| *guest < 2 * count);
        let victim = |side: usize| 2 * count + side;
        let first = party.write(0, "to all").await;
        party.equal(&(0..3 * count).collect::<Vec<_>>()).await;

        // Who removes, who stays, and the victim of the next side.
        let sides: Vec<[usize; 3]> =
            (0..count).map(|side| [side, count + side, victim((side + 1) % count)]).collect();
        party.part(&sides.iter().map(|side| &side[..]).collect::<Vec<_>>());
        let mut beside = Vec::new();
        for (side, guests) in sides.iter().enumerate() {
            party.at(side).remove(party.at(victim(side)).me()).await.unwrap();
            let text = format!("to those whom side {side} sees");
            beside.push(party.write(side, &text).await);
            party.equal(guests).await;
            assert!(party.reads(guests[2], &text).await, "control: it is a member there");
        }
        party.meet().await;
        party.equal(&stay).await;
        for victim in &gone {
            party.is_out(*victim).await;
        }
        let before = party.sent(&stay).epochs();
        let mut after = Vec::new();
        for author in [count, 0, 2 * count - 1] {
            let text = format!("{author} to those who stay");
            after.push((party.write(author, &text).await, text));
            party.equal(&stay).await;
        }
        let sent = party.sent(&stay);
        assert_eq!(sent.epochs(), before + 1, "one more epoch, for those who stay");
        let pool = party.pool(&gone);
        for (call, text) in &after {
            for guest in &stay {
                assert!(party.reads(*guest, text).await);
            }
            assert!(!sent.opens(&pool, call), "{count} victims open what follows their removals");
            assert!(sent.opens(&party.pool(&stay[1..2]), call), "control: a member's keys do");
            assert!(party.had(1, text) && !gone.iter().any(|victim| party.had(*victim, text)));
        }
        assert!(sent.opens(&pool, &first), "control: what was theirs to read");
        for (side, call) in beside.iter().enumerate() {
            assert!(sent.opens(&pool, call), "control: why no side's epoch may be used any more");
            assert!(!sent.opens(&party.pool(&[victim(side)]), call), "alone it does not");
        }
        party.close().await;
    }
}

#[tokio::test]
async fn whom_a_removed_member_lets_in_meanwhile_is_out_with_it_and_who_comes_back_reads_on() {
    let (anna, ben, carl) = (0, 1, 2);
    let mut party = Party::of(&[Role::Writer, Role::Admin]).await;
    let dora = party.arrive().await;
    let first = party.write(anna, "before").await;
    party.equal(&[anna, ben, carl]).await;
    party.part(&[&[anna, ben], &[carl, dora]]);
    party.admit(carl, dora, Role::Writer).await;
    let theirs = party.write(carl, "beside the removal").await;
    party.equal(&[carl, dora]).await;
    assert!(party.reads(dora, "beside the removal").await, "control: it was let in");
    let ours = party.write(ben, "beside the admission").await;
    party.equal(&[anna, ben]).await;
    party.at(anna).remove(party.at(carl).me()).await.unwrap();
    let after = party.write(anna, "after the removal").await;
    party.meet().await;
    party.is_out(carl).await;
    party.is_out(dora).await;
    party.equal(&[anna, ben]).await;
    let later = party.write(ben, "by one who has seen all of it").await;
    party.equal(&[anna, ben]).await;

    let sent = party.sent(&[anna, ben, carl]);
    let pool = party.pool(&[carl, dora]);
    for (call, text) in [(after, "after the removal"), (later, "by one who has seen all of it")] {
        assert!(!sent.opens(&pool, &call) && sent.opens(&party.pool(&[ben]), &call));
        assert!(party.reads(anna, text).await && party.reads(ben, text).await);
        assert!(!party.had(carl, text) && !party.had(dora, text));
    }
    assert!(sent.opens(&pool, &first) && sent.opens(&pool, &theirs), "control: what was theirs to read");
    assert!(sent.opens(&party.pool(&[dora]), &theirs) && !sent.opens(&party.pool(&[dora]), &first));
    // Sealed before Anna had removed anybody, and not to be had before the two met.
    assert!(sent.opens(&pool, &ours));
    assert_eq!(party.at(anna).members().await.unwrap().len(), 2);

    // Carl's node comes back, as another member: nobody gives a key back that was removed.
    let old = party.at(carl).me();
    for gone in [carl, dora] {
        // What told them is no part of their histories: they leave all the same, and need nobody for it.
        party.at(gone).leave().await.unwrap();
        assert!(party.guests[gone].node.contexts().unwrap().is_empty());
    }
    let back = join(party.at(anna), &party.guests[carl].node, Role::Writer).await.unwrap();
    assert_ne!(back.me(), old);
    party.guests[carl].context = Some(back);
    let again = party.write(anna, "after coming back").await;
    party.write(carl, "hello again").await;
    party.equal(&[anna, ben, carl]).await;
    assert!(party.reads(carl, "after coming back").await && party.reads(carl, "after the removal").await);
    assert!(party.reads(ben, "hello again").await);
    let sent = party.sent(&[anna, ben]);
    assert!(sent.sealed_for(&again).contains(&party.at(carl).me()));
    assert!(sent.opens(&party.pool(&[carl]), &again));
    assert!(!sent.opens(&pool, &again), "with what was there before it came back");
    assert!(!sent.opens(&party.pool(&[dora]), &again) && !party.had(dora, "after coming back"));
    party.close().await;
}

#[tokio::test]
async fn who_left_reads_those_who_have_not_heard_of_it_and_no_others() {
    let (anna, ben, carl, dora) = (0, 1, 2, 3);
    let party = Party::of(&[Role::Writer; 3]).await;
    let before = party.write(carl, "before").await;
    party.equal(&[anna, ben, carl, dora]).await;
    party.part(&[&[anna], &[ben, carl, dora]]);
    // Until somebody has heard it.
    party.at(dora).leave().await.unwrap();
    party.equal(&[ben, carl]).await;
    assert_eq!(party.at(ben).members().await.unwrap().len(), 3);
    let unaware = party.write(anna, "by one who has not heard of it").await;
    let aware = party.write(ben, "by one who has").await;
    party.meet().await;
    party.equal(&[anna, ben, carl]).await;
    let later = party.write(anna, "by one who has by now").await;
    party.equal(&[anna, ben, carl]).await;
    let (sent, keys) = (party.sent(&[anna, ben, carl]), party.pool(&[dora]));
    for (call, text) in [(aware, "by one who has"), (later, "by one who has by now")] {
        assert!(!sent.opens(&keys, &call) && !party.had(dora, text));
        assert!(sent.opens(&party.pool(&[carl]), &call) && party.reads(carl, text).await);
    }
    assert!(sent.opens(&keys, &before) && sent.opens(&keys, &unaware), "control");
    assert_eq!(party.at(carl).security().await.unwrap().violations, 0);
    party.close().await;
}
