//! In whatever causal order the same events come, everybody can read everything by its own keys, and nothing is lost on the way.

use kith_core::encryption::{Suite, Trouble};

use super::group::Group;
use super::history::What;

/// Everybody makes epochs and writes under them without hearing of anybody, twice, and knows of it only in between.
fn concurrent(suite: Suite) -> (Group, usize) {
    let mut group = Group::all(suite, 5);
    let from = group.history.events.len();
    for round in 0..2 {
        for author in 0..5 {
            if round == 1 && author % 2 == 0 {
                group.refresh(author);
            }
            group.rotate(author);
            (0..3).for_each(|n| {
                group.send(author, &format!("{round} {author} {n}"));
            });
        }
        if round == 0 {
            // One of them alone hears of the first round before the second.
            (1..5).for_each(|other| group.meet(other, 0));
        }
    }
    (group, from)
}

/// A reader takes all that it lacks, each next one drawn from those whose causes it has.
fn take_in_some_order(group: &mut Group, reader: usize, dice: &mut u64) -> Vec<usize> {
    let mut order = Vec::new();
    loop {
        let seen = &group.actors[reader].seen;
        let ready: Vec<usize> = (0..group.history.events.len())
            .filter(|at| !seen.contains(at) && group.history.events[*at].past.is_subset(seen))
            .collect();
        if ready.is_empty() {
            return order;
        }
        *dice = dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let next = ready[(*dice >> 33) as usize % ready.len()];
        group.deliver(reader, next);
        order.push(next);
    }
}

#[test]
fn any_order_of_the_same_events_opens_all_of_them() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let suite = if seed % 10 == 0 { Suite::XWing } else { Suite::X25519 };
        let (mut group, from) = concurrent(suite);
        let messages: Vec<usize> = (from..group.history.events.len())
            .filter(|at| matches!(group.history.events[*at].what, What::Message(_)))
            .collect();
        assert_eq!(messages.len(), 2 * 5 * 3);
        let mut dice = seed;
        for reader in 0..5 {
            orders.insert(take_in_some_order(&mut group, reader, &mut dice));
            let troubles = &group.actors[reader].troubles;
            assert!(troubles.is_empty(), "seed {seed}, reader {reader}: {troubles:?}");
            assert!(messages.iter().all(|at| group.reads(reader, *at)), "seed {seed}, reader {reader}");
        }
        for at in &messages {
            let opened = &group.actors[0].opened[at];
            assert!((1..5).all(|reader| group.actors[reader].opened[at] == *opened), "one text for all");
        }
    }
    assert!(orders.len() > 250, "control: {} different orders", orders.len());
    // Control: where a message comes before its epoch there is nothing to open it with.
    let (group, from) = concurrent(Suite::X25519);
    let first = (from..).find(|at| matches!(group.history.events[*at].what, What::Message(_))).unwrap();
    let stranger = (0..5).find(|actor| !group.actors[*actor].seen.contains(&first)).unwrap();
    assert_eq!(group.take(stranger, first).map(drop), Err(Trouble::NoKeys));
}
