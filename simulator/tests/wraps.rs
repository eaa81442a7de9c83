//! Contexts with so many members that the wraps of an epoch do not fit into its transaction.
#![allow(clippy::unwrap_used)]

use kith_core::replica::Role;
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
    Plan { seed: 5, nodes, liars: 0, power: true, shares: true, suite: 2, until: 26_000, steps }
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
