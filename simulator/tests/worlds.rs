//! A world is a function of its seed, and a process may die at every write of its disk.
#![allow(clippy::unwrap_used)]

use kith_core::replica::Role;
use kith_simulator::application::Mood;
use kith_simulator::liar::Lie;
use kith_simulator::network::Partition;
use kith_simulator::plan::{Act, Plan, Step, Wanted};
use kith_simulator::{run, shrink};

#[test]
fn a_run_is_a_function_of_its_seed() {
    for seed in 1..6 {
        let plan = Plan::new(seed, Wanted::default());
        let (one, other) = (run(&plan), run(&plan));
        assert_eq!(one, other, "seed {seed}");
        let next = run(&Plan::new(seed + 100, Wanted::default()));
        assert_ne!(one.unwrap().trace, next.unwrap().trace, "other seeds are other worlds");
    }
}

/// Nodes that tell each other which signatures are good do what those do that verify each by itself, liars' forged ones included.
#[test]
fn who_shares_what_was_verified_does_the_same() {
    let plans = (1..).map(|seed| Plan::new(seed, Wanted::default())).filter(|plan| plan.liars > 0);
    for plan in plans.take(3) {
        let [shared, apart] = [true, false].map(|shares| run(&Plan { shares, ..plan.clone() }));
        assert_eq!(shared, apart, "seed {}", plan.seed);
    }
}

/// Three members who write, two of them in each other's absence.
fn scenario() -> Vec<Step> {
    let mut steps = vec![
        Step { at: 100, act: Act::Join { node: 1, by: 0, role: Role::Admin, again: false } },
        Step { at: 200, act: Act::Join { node: 2, by: 0, role: Role::Writer, again: false } },
    ];
    for number in 0..12u8 {
        let act =
            Act::Call { node: usize::from(number % 3), method: number, key: number % 4, value: number % 3 };
        steps.push(Step { at: 3_000 + 400 * u64::from(number), act });
    }
    steps.push(Step { at: 6_000, act: Act::SetRole { by: 0, target: 2, role: Role::Reader } });
    steps.push(Step { at: 7_000, act: Act::Remove { by: 1, target: 2 } });
    steps
}

fn world(steps: Vec<Step>, power: bool) -> Plan {
    Plan { seed: 7, nodes: 3, liars: 0, power, shares: true, suite: 1, ghosts: 0, until: 15_000, steps }
}

/// Each node dies at its first write, at its second, and so on, until there is none left to die at; and loses what was not flushed, where commits are
/// not flushed one by one. Where a batch was lost, a store in which it is torn is opened as well.
#[test]
fn a_process_may_die_at_every_write() {
    let mut told = 0;
    for (flushed, power) in [(true, false), (false, true)] {
        for (node, after) in [0, 1, 2].into_iter().flat_map(|node| [(node, false), (node, true)]) {
            let mut died = 0;
            for nth in 1.. {
                let crash = Act::CrashAtWrite { node, nth, after, power, down: 1_500 };
                let steps = [vec![Step { at: 1, act: crash }], scenario()].concat();
                match run(&world(steps, flushed)) {
                    Ok(report) if report.died_writing == 0 => break,
                    Ok(report) => {
                        died = nth;
                        told += report.torn.1;
                    }
                    Err(violation) => panic!("write {nth} of node {node}, after it: {after}: {violation}"),
                }
            }
            assert!(died >= 10, "node {node} has only {died} writes");
        }
    }
    // The control: most of what is torn so is damage.
    assert!(told > 100, "only {told} torn stores were damaged");
}

/// Reads of a node's disk fail, all or some, while it works and when its process starts: it says so, and goes on when they work again.
#[test]
fn who_cannot_read_for_a_while_goes_on() {
    let mut failed = 0;
    for (node, per_mille) in [(0, 1_000), (1, 1_000), (0, 100), (1, 100), (2, 3)] {
        for crash in [false, true] {
            let act = Act::Unreadable { node, per_mille, time: 4_000 };
            let mut steps = [vec![Step { at: 3_500, act }], scenario()].concat();
            if crash {
                let act = Act::Crash { node, power: true, down: 200 };
                steps.push(Step { at: 4_500, act });
            }
            failed += run(&world(steps, true)).unwrap().failed_reads;
        }
    }
    assert!(failed > 20, "only {failed} reads have failed");
}

/// A member sleeps for three weeks, in which the others write, and change their keys.
#[test]
fn who_slept_for_weeks_catches_up() {
    let mut steps = scenario();
    steps.push(Step { at: 4_000, act: Act::Sleep { node: 1, time: 21 * 86_400_000 } });
    steps.push(Step { at: 12_000, act: Act::Rotate { node: 0 } });
    for suite in [0, 1, 2] {
        let report = run(&Plan { suite, ..world(steps.clone(), true) }).unwrap();
        assert!(report.slept > 20 * 86_400_000, "{report:?}");
        // What the others have replaced more than a week ago is gone, though one has not heard of it.
        assert_eq!(report.outlived > 0, suite != 0, "{report:?}");
        // The control: nobody is equal before.
        assert!(report.equal_after > report.slept);
    }
}

/// A liar hands a valid transaction, which nothing but its signature on an invalid one covers, to some and not to others. They stayed apart for ever: those
/// who had let it in could prove it to nobody. (Seed 27, in its day.)
#[test]
fn what_only_an_invalid_transaction_covers_is_passed_on() {
    let mut covered = 0;
    for seed in 0..8 {
        let mut steps = scenario();
        steps.retain(|step| !matches!(step.act, Act::SetRole { .. } | Act::Remove { .. }));
        steps.push(Step { at: 6_000, act: Act::Turn { node: 2 } });
        steps.extend((0..5).map(|number| {
            let act = Act::Tell { node: 2, lie: Lie::Uncovered };
            Step { at: 9_000 + 700 * number, act }
        }));
        steps.sort_by_key(|step| step.at);
        let report = run(&Plan { seed, liars: 1, ..world(steps, true) }).unwrap();
        covered += usize::from(report.covered > 0);
    }
    // The control: in some of these worlds it is so.
    assert!(covered > 2, "only in {covered} of 8 worlds was something covered so");
}

/// A liar says of sealed calls what they do not say, to one who has lost the keys to open them and asks.
#[test]
fn who_shares_falsely_is_believed_by_nobody() {
    let mut false_shares = 0;
    for seed in 0..12 {
        let mut steps = scenario();
        steps.retain(|step| !matches!(step.act, Act::SetRole { .. } | Act::Remove { .. }));
        steps.push(Step { at: 2_500, act: Act::Turn { node: 2 } });
        steps.push(Step { at: 2_600, act: Act::Tell { node: 2, lie: Lie::FalseShares } });
        for at in [3_100, 5_100, 7_100] {
            steps.push(Step { at, act: Act::LoseKeys { node: 1 } });
        }
        steps.sort_by_key(|step| step.at);
        false_shares += run(&Plan { seed, liars: 1, ..world(steps, true) }).unwrap().false_shares;
    }
    assert!(false_shares > 0, "nobody asked the liar");
}

/// A member comes back from a backup of when it knew none of those who are left: they were added by others who have gone since. It
/// refused them all, for ever, while a peer showed no more than its own admission.
#[test]
fn who_was_set_back_lets_in_whom_it_never_knew() {
    let steps = vec![
        Step { at: 100, act: Act::Join { node: 1, by: 0, role: Role::Admin, again: false } },
        Step { at: 4_000, act: Act::Backup { node: 1 } },
        Step { at: 5_000, act: Act::Join { node: 2, by: 0, role: Role::Admin, again: false } },
        Step { at: 9_000, act: Act::Join { node: 3, by: 2, role: Role::Admin, again: false } },
        Step { at: 14_000, act: Act::Leave { node: 0 } },
        Step { at: 18_000, act: Act::Leave { node: 2 } },
        Step { at: 22_000, act: Act::Call { node: 3, method: 1, key: 1, value: 1 } },
        Step { at: 26_000, act: Act::Restore { node: 1, with_marks: true } },
    ];
    let plan = Plan { nodes: 4, until: 40_000, ..world(steps, true) };
    let report = run(&plan).unwrap();
    // Genesis, two admissions with what they rest on, two that left, the call, and what was said at last.
    assert!(report.transactions >= 10, "{report:?}");
}

/// In a partition a member lets somebody in, while the other side removes it. What let that one in counts for nothing there, so it was no member to
/// them and never had been, and was told no more than that: it went on by itself.
#[test]
fn who_was_let_in_by_one_that_was_removed_meanwhile_learns_it() {
    let join = |node, by, again| Act::Join { node, by, role: Role::Writer, again };
    for seed in [0, 1, 3] {
        let apart = Partition { group: 0b1010, one_way: false, flaps: 0, until: 30_000 };
        let steps = vec![
            Step { at: 100, act: join(1, 0, false) },
            Step { at: 4_000, act: join(2, 0, false) },
            Step { at: 8_000, act: Act::Split(apart) },
            // It is let in, and is not there any more when the sides meet again.
            Step {
                at: 8_500,
                act: Act::CrashAtWrite { node: 3, nth: 4, after: false, power: false, down: 60_000 },
            },
            Step { at: 8_600, act: Act::Remove { by: 0, target: 1 } },
            Step { at: 9_000, act: join(3, 1, true) },
        ];
        run(&Plan { seed, nodes: 4, until: 90_000, ..world(steps, true) }).unwrap();
    }
}

/// A member that is an admin as far as it knows is away while it is demoted, and removed by one that is not its senior. It did not believe that
/// while the evidence was its removal alone, once a removal had to be by one to whom it gives way.
#[test]
fn who_was_demoted_and_removed_in_its_absence_believes_it() {
    let steps = vec![
        Step { at: 100, act: Act::Join { node: 1, by: 0, role: Role::Admin, again: false } },
        Step { at: 4_000, act: Act::Join { node: 2, by: 0, role: Role::Admin, again: false } },
        Step { at: 8_000, act: Act::Crash { node: 1, power: false, down: 1_000_000 } },
        Step { at: 8_500, act: Act::Call { node: 0, method: 1, key: 1, value: 1 } },
        Step { at: 9_000, act: Act::SetRole { by: 0, target: 1, role: Role::Writer } },
        Step { at: 12_000, act: Act::Remove { by: 2, target: 1 } },
    ];
    run(&world(steps, true)).unwrap();
    // In the seed that had found it (1027), it slept.
    let steps = vec![
        Step { at: 100, act: Act::Join { node: 1, by: 0, role: Role::Admin, again: false } },
        Step { at: 200, act: Act::Join { node: 2, by: 0, role: Role::Admin, again: true } },
        Step { at: 4_000, act: Act::Sleep { node: 1, time: 2_137_880_000 } },
        Step { at: 6_000, act: Act::SetRole { by: 0, target: 1, role: Role::Writer } },
        Step { at: 9_000, act: Act::Remove { by: 2, target: 1 } },
    ];
    run(&world(steps, true)).unwrap();
}

/// A member is away, and is removed by an admin of whom it has never heard. It was shown the removal and that admin's admission, took neither into
/// its history, whose past it lacks, and went on as a member that nobody talks to.
#[test]
fn who_was_removed_in_its_absence_by_a_stranger_believes_it() {
    for role in [Role::Writer, Role::Admin] {
        let steps = vec![
            Step { at: 100, act: Act::Join { node: 1, by: 0, role, again: false } },
            Step { at: 4_000, act: Act::Crash { node: 1, power: false, down: 1_000_000 } },
            // Of which it knows nothing either, so that nothing of what follows fits into its history.
            Step { at: 4_500, act: Act::Call { node: 0, method: 1, key: 1, value: 1 } },
            Step { at: 5_000, act: Act::Join { node: 2, by: 0, role: Role::Admin, again: false } },
            Step { at: 9_000, act: Act::SetRole { by: 0, target: 1, role: Role::Writer } },
            Step { at: 12_000, act: Act::Remove { by: 2, target: 1 } },
        ];
        run(&world(steps, true)).unwrap();
    }
}

/// The same with a history that is longer than the evidence may be: it was demoted so often that what makes the stranger an admin found no room.
#[test]
fn who_was_demoted_often_in_its_absence_is_shown_by_whose_word() {
    let mut steps = vec![
        Step { at: 100, act: Act::Join { node: 1, by: 0, role: Role::Admin, again: false } },
        Step { at: 4_000, act: Act::Crash { node: 1, power: false, down: 1_000_000 } },
        Step { at: 4_500, act: Act::Call { node: 0, method: 1, key: 1, value: 1 } },
        Step { at: 5_000, act: Act::Join { node: 2, by: 0, role: Role::Admin, again: false } },
    ];
    for number in 0..40 {
        let set = |role| Act::SetRole { by: 0, target: 1, role };
        steps.push(Step { at: 9_000 + 80 * number, act: set(Role::Writer) });
        steps.push(Step { at: 9_040 + 80 * number, act: set(Role::Admin) });
    }
    steps.push(Step { at: 12_500, act: Act::SetRole { by: 0, target: 1, role: Role::Writer } });
    steps.push(Step { at: 14_000, act: Act::Remove { by: 2, target: 1 } });
    // Genesis, two admissions, the call, the changes of roles, the removal, and what else was said.
    let report = run(&world(steps, true)).unwrap();
    assert!(report.transactions > 85, "{report:?}");
}

/// A process ends while a call waits for an application that is not registered yet. The next one did not take it up when the application came, unless
/// something new was written.
#[test]
fn what_waited_for_the_application_is_executed_by_the_next_process() {
    let steps = vec![
        Step { at: 100, act: Act::Join { node: 1, by: 0, role: Role::Reader, again: false } },
        Step { at: 4_000, act: Act::Application { node: 1, mood: Mood::Missing, time: 8_000 } },
        Step { at: 5_000, act: Act::Call { node: 0, method: 1, key: 1, value: 1 } },
        Step { at: 7_000, act: Act::Crash { node: 1, power: false, down: 500 } },
    ];
    for suite in [0, 1] {
        let report = run(&Plan { nodes: 2, suite, ..world(steps.clone(), true) }).unwrap();
        assert_eq!(report.restarts, 3, "each node's start, and one after the crash");
    }
}

/// More come by one invitation than it is good for, and some after it was revoked: all of them are told so.
#[test]
fn who_is_not_let_in_is_told_why() {
    let join = |node, again| Act::Join { node, by: 0, role: Role::Writer, again };
    let mut steps = vec![
        Step { at: 100, act: join(1, false) },
        Step { at: 3_000, act: join(2, true) },
        Step { at: 3_000, act: join(3, true) },
        Step { at: 6_000, act: Act::Revoke { by: 0 } },
        Step { at: 9_000, act: join(4, true) },
    ];
    let refused = |steps: &[Step]| {
        let report = run(&Plan { nodes: 5, ..world(steps.to_vec(), true) }).unwrap();
        report.refused
    };
    assert!((2..=3).contains(&refused(&steps)), "one or two may come by it");
    // The control: who comes with an invitation of its own is let in.
    steps.retain(|step| !matches!(step.act, Act::Join { again: true, .. }));
    assert_eq!(refused(&steps), 0);
}

/// Two come by the last use of an invitation, on both sides of a border, and die before they know that they are in; so one of them is not, in the end, and
/// asks again. It was told that the invitation is not for this, since its keys had been handed in before, and not that it is used up.
#[test]
fn who_lost_the_last_use_of_an_invitation_is_told_so() {
    let join = |node, by, again| Act::Join { node, by, role: Role::Admin, again };
    // In these the invitation is good for two, and the last of them asks after the other is in.
    for seed in [1, 7, 8] {
        let mut steps = vec![
            Step { at: 100, act: join(1, 0, false) },
            Step { at: 4_000, act: join(2, 0, false) },
            Step {
                at: 8_000,
                act: Act::Split(Partition { group: 0b0_1001, one_way: false, flaps: 0, until: 30_000 }),
            },
            Step { at: 9_000, act: join(3, 0, true) },
            Step { at: 9_000, act: join(4, 1, true) },
        ];
        for node in [3, 4] {
            let act = Act::CrashAtWrite { node, nth: 3, after: false, power: false, down: 60_000 };
            steps.push(Step { at: 8_500, act });
        }
        steps.sort_by_key(|step| step.at);
        let plan = Plan { nodes: 5, until: 90_000, seed, ..world(steps, true) };
        let report = run(&plan).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        assert!(report.refused >= 1, "seed {seed}: nobody was too late");
    }
}

/// While two are apart from the third, that one removes one of them, makes new keys and writes on. The other hears of all that at once, and passed all of it on
/// to the removed one, with which it was still connected: by its rule the last that this one is sent is its removal. (Without the rule about half of these worlds break it.)
#[test]
fn who_hears_of_a_removal_and_more_passes_on_no_more_than_the_removal() {
    let mut looked = 0;
    for seed in 1..=8 {
        let join = |node| Act::Join { node, by: 0, role: Role::Writer, again: false };
        let apart = Partition { group: 0b001, one_way: false, flaps: 0, until: 30_000 };
        let mut steps = vec![
            Step { at: 100, act: join(1) },
            Step { at: 2_000, act: join(2) },
            Step { at: 8_000, act: Act::Split(apart) },
            Step { at: 9_000, act: Act::Remove { by: 0, target: 2 } },
        ];
        for number in 0..3 {
            let call = Act::Call { node: 0, method: 1, key: 1, value: number };
            steps.push(Step { at: 10_000 + 1_000 * u64::from(number), act: call });
        }
        let plan = Plan { until: 60_000, seed, ..world(steps, true) };
        let report = run(&plan).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        looked += report.parted;
    }
    assert_eq!(looked, 8, "each removed one's store");
}

/// An application that is another one on a single node answers and writes something else there; nobody else is harmed, and `verify` finds it.
#[test]
fn where_an_application_differs_is_found() {
    let differs = |at, mood| Step { at, act: Act::Application { node: 1, mood, time: u64::MAX / 2 } };
    for (mood, diverged) in [(Mood::Differs, 1), (Mood::Fine, 0)] {
        let report = run(&world([vec![differs(2_500, mood)], scenario()].concat(), true)).unwrap();
        assert_eq!(report.diverged, diverged, "{mood:?}");
    }
}

/// A call keeps a context's thread until the host gives it up; meanwhile nothing is answered or sent, and the process may die.
#[test]
fn a_process_may_die_while_a_call_hangs() {
    for crash in [5_100, 9_000, 16_000] {
        let steps = vec![
            Step { at: 100, act: Act::Join { node: 1, by: 0, role: Role::Writer, again: false } },
            Step { at: 4_000, act: Act::Application { node: 1, mood: Mood::Hangs, time: 40_000 } },
            Step { at: 5_000, act: Act::Call { node: 0, method: 1, key: 1, value: 1 } },
            Step { at: crash, act: Act::Crash { node: 1, power: true, down: 500 } },
        ];
        run(&Plan { nodes: 2, until: 60_000, ..world(steps, true) }).unwrap();
    }
}

/// A member that was removed keeps listening with all that its disk ever held, and those that stay write on under new keys.
#[test]
fn who_was_removed_opens_nothing_more_and_who_was_not_does() {
    for suite in [1, 2] {
        let mut steps = scenario();
        steps.extend((0..6).map(|number| {
            let act = Act::Call { node: usize::from(number % 2), method: 1, key: number, value: 1 };
            Step { at: 9_000 + 200 * u64::from(number), act }
        }));
        steps.push(Step { at: 10_000, act: Act::Rotate { node: 1 } });
        let report = run(&Plan { suite, ..world(steps.clone(), true) }).unwrap();
        let (refused, had) = report.thefts;
        assert!(refused > 0 && had > 0, "suite {suite}: {refused} were refused, {had} had keys");
        // The control: in the open there is nothing to be tried.
        assert_eq!(run(&Plan { suite: 0, ..world(steps, true) }).unwrap().thefts, (0, 0));
    }
}

/// A device is copied. Its thief reads on until its owner has new keys and others make theirs for them, and no longer.
#[test]
fn a_copied_device_opens_nothing_once_its_owner_has_new_keys() {
    for suite in [1, 2] {
        let mut steps = scenario();
        steps.retain(|step| !matches!(step.act, Act::SetRole { .. } | Act::Remove { .. }));
        steps.push(Step { at: 8_000, act: Act::Steal { node: 1 } });
        for (at, node) in [(8_500, 0), (9_000, 2), (10_000, 1), (11_000, 0), (12_000, 2)] {
            steps.push(Step { at, act: Act::Rotate { node } });
            steps.push(Step { at: at + 200, act: Act::Call { node, method: 1, key: 1, value: 1 } });
        }
        steps.sort_by_key(|step| step.at);
        let stolen = run(&Plan { suite, ..world(steps, true) }).unwrap().stolen;
        // The control is that it reads what others seal before: that nothing of theirs hangs on its owner's alone.
        assert_eq!((stolen.read, stolen.healed), (2, 3), "suite {suite}: {stolen:?}");
    }
}

/// A member is set back with all that could tell it, and seals something else at a position at which it has sealed before, twice.
#[test]
fn who_was_set_back_unawares_uses_a_key_again_and_no_key_stream() {
    let call = |at, value| Step { at, act: Act::Call { node: 1, method: 1, key: 1, value } };
    for with_marks in [true, false] {
        let mut steps = scenario();
        steps.retain(|step| step.at < 5_900);
        steps.push(Step { at: 6_000, act: Act::Backup { node: 1 } });
        steps.extend([call(6_500, 1), call(6_600, 2), call(12_000, 3), call(12_100, 1)]);
        // Nobody is there who could tell it.
        let apart = Partition { group: 0b010, one_way: false, flaps: 0, until: 4_000 };
        steps.push(Step { at: 7_900, act: Act::Split(apart) });
        steps.push(Step { at: 8_000, act: Act::Restore { node: 1, with_marks } });
        steps.extend([call(9_500, 2), call(9_700, 3)]);
        steps.sort_by_key(|step| step.at);
        let report = run(&world(steps, true)).unwrap();
        assert_eq!(report.twice > 0, with_marks, "{report:?}");
    }
}

/// A liar makes epochs for garbage and keys that are none: the others go on, open all that the honest say, and no key stays that should not.
#[test]
fn who_lies_about_keys_keeps_nobody_from_reading() {
    for suite in [1, 2] {
        let mut steps = scenario();
        steps.retain(|step| !matches!(step.act, Act::SetRole { .. } | Act::Remove { .. }));
        steps.push(Step { at: 4_000, act: Act::Turn { node: 2 } });
        steps.extend((0..12).map(|number| {
            let act = Act::Tell { node: 2, lie: Lie::Keys };
            Step { at: 4_100 + 500 * number, act }
        }));
        steps.push(Step { at: 9_000, act: Act::Rotate { node: 1 } });
        steps.sort_by_key(|step| step.at);
        let report = run(&Plan { suite, liars: 1, ..world(steps, true) }).unwrap();
        assert!(report.false_keys > 10, "suite {suite}: {report:?}");
        // Nearly all of them are in the history.
        assert!(report.transactions > 30, "suite {suite}: {report:?}");
    }
}

#[test]
fn shortening_keeps_what_breaks_and_only_that() {
    let time = std::time::Duration::from_secs(20);
    // Any three steps of a hundred that it takes, wherever they are.
    for needed in [[0, 1, 2], [3, 50, 99], [97, 98, 99], [10, 11, 60]] {
        let breaks = |kept: &[usize]| needed.iter().all(|step| kept.contains(step));
        assert_eq!(shrink::shortest(100, time, breaks), needed);
    }
    let violation = kith_simulator::Violation { invariant: "x", node: 0, at: 0, detail: String::new() };
    let plan = world(scenario(), true);
    // Nothing is broken here: nothing may be left out.
    let kept = shrink::shrink(&plan, &violation, time);
    assert_eq!(kept.len(), plan.steps.len());
    assert_eq!(shrink::only(&plan, &[0, 2]).steps.len(), 2);
}
