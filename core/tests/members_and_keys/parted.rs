//! A partition with everything on both sides.

use kith_core::replica::Role;

use crate::party::Party;

#[tokio::test]
async fn a_partition_with_removals_admissions_and_rotations_heals_with_one_more_call() {
    let roles = [Role::Admin, Role::Writer, Role::Writer, Role::Writer, Role::Writer, Role::Writer];
    let mut party = Party::of(&roles).await;
    let first = party.write(0, "to all seven").await;
    party.equal(&[0, 1, 2, 3, 4, 5, 6]).await;
    let new = [party.arrive().await, party.arrive().await];
    // Who is on each side, its admin first, and whom that removes and lets in.
    let sides: [(&[usize], usize, usize); 2] = [(&[0, 2, 4, 6], 5, new[0]), (&[1, 3, 5], 6, new[1])];
    // The new ones reach their admins alone: let in by one that is removed on the other side, they would be out with it.
    party.part(&[&[0, 2, 4, 6], &[0, new[0]], &[1, 3, 5], &[1, new[1]]]);
    let mut beside = Vec::new();
    for (side, gone, new) in sides {
        let admin = side[0];
        party.at(admin).remove(party.at(gone).me()).await.unwrap();
        party.admit(admin, new, Role::Writer).await;
        party.at(admin).rotate_keys().await.unwrap();
        let text = format!("to those on the side of {admin}");
        beside.push(party.write(admin, &text).await);
        for other in side[1..].iter().chain([&new]) {
            party.equal(&[admin, *other]).await;
        }
        assert!(party.reads(new, &text).await);
    }
    party.meet().await;
    let members = [0, 1, 2, 3, 4, new[0], new[1]];
    party.equal(&members).await;
    party.is_out(5).await;
    party.is_out(6).await;
    let before = party.sent(&[0, 1]);
    // The control: each side's epoch is one that the other side's removed member has the keys of.
    assert!(before.opens(&party.pool(&[6]), &beside[0]) && before.opens(&party.pool(&[5]), &beside[1]));
    assert!(!before.opens(&party.pool(&[5]), &beside[0]) && !before.opens(&party.pool(&[6]), &beside[1]));

    let healed = party.write(2, "healed").await;
    party.equal(&members).await;
    let mut after = vec![(healed, "healed".to_string())];
    for member in members {
        let text = format!("{member} under one epoch");
        after.push((party.write(member, &text).await, text));
        party.equal(&members).await;
    }
    let sent = party.sent(&[0, 1]);
    assert_eq!(sent.epochs(), before.epochs() + 1, "within one more call");
    let pool = party.pool(&[5, 6]);
    for (call, text) in &after {
        assert_eq!(sent.epoch_of(call), sent.epoch_of(&healed));
        assert!(!sent.opens(&pool, call));
        assert!(!party.had(5, text) && !party.had(6, text));
        for member in members {
            assert!(party.reads(member, text).await, "{member} does not read {text}");
        }
    }
    for member in [1, 4, new[0], new[1]] {
        assert!(sent.opens(&party.pool(&[member]), &healed), "control: a member's keys open it");
        let security = party.at(member).security().await.unwrap();
        assert_eq!((security.violations, security.unopened, security.members_able), (0, 0, 7));
    }
    assert!(sent.opens(&pool, &first), "control: what was theirs to read");
    party.close().await;
}
