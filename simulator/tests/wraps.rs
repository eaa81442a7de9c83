//! Contexts with so many members that the wraps of an epoch do not fit into its transaction.
#![allow(clippy::unwrap_used)]

use kith_core::replica::Role;
use kith_simulator::astray::Astray;
use kith_simulator::plan::{Act, Plan, Step};
use kith_simulator::run;

/// 32 members under the post-quantum suite, who all write. What comes on top is up to the test.
fn world(more: Vec<Step>) -> Plan {
    let nodes = 32;
    let mut steps = Vec::new();
    for node in 1..nodes {
        let role = if node < 3 { Role::Admin } else { Role::Writer };
        steps.push(Step { at: 100 * node as u64, act: Act::Join { node, by: 0, role, again: false } });
    }
    for number in 0..40u8 {
        let node = usize::from(number) * 7 % nodes;
        let act = Act::Call { node, method: 1, key: number % 6, value: number % 4 };
        steps.push(Step { at: 10_000 + 300 * u64::from(number), act });
    }
    steps.extend(more);
    steps.sort_by_key(|step| step.at);
    Plan { seed: 5, nodes, liars: 0, power: true, shares: true, suite: 2, ghosts: 0, until: 26_000, steps }
}

#[test]
fn each_member_gets_its_keys_where_wraps_are_apart_and_who_was_removed_gets_none() {
    let report = run(&world(vec![
        Step { at: 13_000, act: Act::Crash { node: 5, power: true, down: 2_000 } },
        Step { at: 15_000, act: Act::Remove { by: 1, target: 9 } },
        Step { at: 17_000, act: Act::Rotate { node: 3 } },
        Step { at: 19_000, act: Act::Crash { node: 0, power: true, down: 1_000 } },
    ]))
    .unwrap();
    let (refused, had) = report.thefts;
    assert!(report.apart >= 2, "{report:?}");
    // Nearly all recipients of each: who was down for a while, or made another epoch meanwhile, may have gone on without.
    assert!(had >= report.apart * 29, "{report:?}");
    assert!(refused > 0, "{report:?}");
    assert_eq!(report.unopened, 0);
    // 516 when only the first of whom a wrap was asked held that up.
    assert!(report.lacking < 100, "{report:?}");
}

/// A founder, two or three who write, and ghosts: members whose keys nobody has.
fn haunted(ghosts: usize, nodes: usize, more: Vec<Step>) -> Plan {
    let join = |node| Act::Join { node, by: 0, role: Role::Writer, again: false };
    let mut steps: Vec<Step> =
        (1..nodes).map(|node| Step { at: 1_000 * node as u64, act: join(node) }).collect();
    steps.extend(more);
    steps.sort_by_key(|step| step.at);
    Plan { seed: 3, nodes, liars: 0, power: true, shares: true, suite: 2, ghosts, until: 90_000, steps }
}

/// What goes wrong with the answers of a node from the beginning; then it makes an epoch and says something under it, and another one does.
fn astray(how: Astray, from: u64) -> Vec<Step> {
    let call = |node| Act::Call { node, method: 1, key: 1, value: 1 };
    let time = 60_000;
    vec![
        Step { at: 8_000, act: Act::Astray { node: 0, how, from, late: 0, time } },
        Step { at: 10_000, act: Act::Rotate { node: 0 } },
        Step { at: 10_500, act: call(0) },
        Step { at: 11_500, act: call(2) },
    ]
}

/// The author of an epoch gives its wraps to one and to the others not: they get them from that one.
#[test]
fn who_is_given_no_wraps_gets_them_from_who_was() {
    for how in [Astray::Withheld, Astray::Lost, Astray::Late(25_000), Astray::Forged] {
        let report =
            run(&haunted(30, 4, astray(how, 0b1100))).unwrap_or_else(|broken| panic!("{how:?}: {broken}"));
        assert!(report.astray > 0 && report.apart > 0, "{how:?}: {report:?}");
        assert_eq!((report.unopened, report.wanted), (0, 0), "{how:?}: {report:?}");
    }
}

/// It gives them to nobody: what is said under it is asked for. (That is the control of the test above.)
#[test]
fn where_nobody_is_given_wraps_what_they_open_is_asked_for() {
    for (how, wanted) in [(Astray::Withheld, true), (Astray::Denied, false)] {
        let report =
            run(&haunted(30, 4, astray(how, u64::MAX))).unwrap_or_else(|broken| panic!("{how:?}: {broken}"));
        assert!(report.lacking > 0, "{how:?}: {report:?}");
        // Who says that it has none, and is the author, is believed; who says nothing may have them yet.
        assert_eq!(report.wanted > 0, wanted, "{how:?}: {report:?}");
    }
}

/// So many members that each is given its own wrap alone: the author has them all, and nobody hands them on.
#[test]
fn where_each_gets_its_own_wrap_it_is_the_author_who_gives_it() {
    let report = run(&haunted(230, 3, astray(Astray::Late(4_000), 0b100))).unwrap();
    assert!(report.apart >= 1 && report.astray > 0, "{report:?}");
    assert_eq!((report.unopened, report.wanted), (0, 0), "{report:?}");
}
