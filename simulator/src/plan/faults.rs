//! What a seed has go wrong: disks, processes, lines, clocks, keys and devices.

use super::{Act, Plan, Step};
use crate::application::Mood;
use crate::astray::Astray;
use crate::dice::Dice;
use crate::network::{Partition, Weather};

impl Plan {
    pub(super) fn faults(&mut self, dice: &mut Dice, honest: usize) {
        // Few kinds in one world, often: so each gets to be the only thing that is wrong.
        let stormy = dice.one_in(5);
        // Frames that overtake each other and are all there break nothing.
        let (losses, overtakes) = if stormy { (0, 300) } else { (40, 40) };
        let kinds: Vec<usize> =
            if stormy { vec![8] } else { (0..1 + dice.below(5)).map(|_| dice.below(14)).collect() };
        for _ in 0..dice.below(4 + 3 * self.nodes.min(8)) {
            let Some(kind) = dice.pick(&kinds).copied() else { return };
            let node = dice.below(self.nodes);
            let longest = if dice.one_in(3) { 60_000 } else { 6_000 };
            let time = 200 + dice.below(longest) as u64;
            let act = match kind {
                0 => Act::Crash { node, power: dice.one_in(2), down: time },
                1 | 2 => Act::CrashAtWrite {
                    node,
                    nth: 1 + dice.below(12) as u64,
                    after: dice.one_in(2),
                    power: dice.one_in(2),
                    down: time,
                },
                3 => Act::Full { node, time },
                4 => Act::Failing { node, time },
                5 => Act::SlowDisk { node, takes: dice.between(20, 2_000), time },
                6 => Act::Split(Partition {
                    group: dice.number(),
                    one_way: dice.one_in(3),
                    flaps: if dice.one_in(3) { dice.between(300, 5_000) } else { 0 },
                    until: time,
                }),
                7 => Act::Cut { wire: dice.below(1 << 16) },
                8 => Act::Storm(Weather {
                    until: time,
                    loss: dice.below(losses) as u64,
                    twice: dice.below(losses) as u64,
                    overtake: dice.below(overtakes) as u64,
                    damage: dice.below(losses / 2) as u64,
                }),
                9 => Act::Slow { node, latency: dice.between(100, 8_000), time },
                10 => Act::Clock {
                    node,
                    offset: dice.between(0, 20 * 31_536_000_000) as i64 - 10 * 31_536_000_000,
                },
                11 => Act::Sleep { node, time: if dice.one_in(4) { time * 40_000 } else { time } },
                12 => {
                    let mood =
                        *dice.pick(&[Mood::Hangs, Mood::Panics, Mood::Missing]).unwrap_or(&Mood::Hangs);
                    // A process that dies meanwhile has calls that are still to be executed.
                    if dice.one_in(2) {
                        let at = self.later(dice, Act::Application { node, mood, time });
                        let down = 200 + dice.below(3_000) as u64;
                        let act = Act::Crash { node, power: dice.one_in(2), down };
                        self.steps.push(Step { at: at + time / 2, act });
                        continue;
                    }
                    Act::Application { node, mood, time }
                }
                _ => Act::Damage { node },
            };
            self.later(dice, act);
        }
        if dice.one_in(6) {
            let node = dice.below(honest);
            self.later(dice, Act::Backup { node });
            let act = Act::Restore { node, with_marks: dice.one_in(4) };
            self.later(dice, act);
        }
        let mut more = Dice::new(self.seed, "keys");
        if more.one_in(3) {
            for _ in 0..1 + more.below(4) {
                let node = more.below(honest);
                self.later(&mut more, Act::LoseKeys { node });
            }
        }
        // Worlds in which records are damaged are left to that: it is found in few of them that nobody notices.
        let damaged = kinds.contains(&13);
        let mut more = Dice::new(self.seed, "thief");
        if more.one_in(3) && !damaged {
            let node = more.below(honest);
            let mut at = self.later(&mut more, Act::Steal { node });
            // Now and then its owner has new keys before, the old ones are forgotten meanwhile, and others make some for the new ones.
            let mut early = Dice::new(self.seed, "keys before a theft");
            if at > 80_000 && early.one_in(2) {
                self.steps.push(Step { at: 4_000 + early.below(9_000) as u64, act: Act::Rotate { node } });
                for part in 2..6 {
                    let act = Act::Rotate { node: early.below(honest) };
                    self.steps.push(Step { at: at * part / 6, act });
                }
            }
            // Another one makes keys that the thief still has a way to, then its owner, and others again.
            for node in [more.below(honest), node, more.below(honest), more.below(honest)] {
                at = (at + 500 + more.below(10_000) as u64).min(self.until);
                self.steps.push(Step { at, act: Act::Rotate { node } });
            }
        }
        self.days(honest);
        let mut more = Dice::new(self.seed, "set back");
        if more.one_in(8) && self.nodes < 32 && !damaged {
            let node = more.below(honest);
            let mut at = self.later(&mut more, Act::Backup { node });
            let mut then = |act, pause: usize| {
                at = (at + 1 + more.below(pause) as u64).min(self.until);
                self.steps.push(Step { at, act });
            };
            let call = |value| Act::Call { node, method: 1, key: value, value };
            then(call(1), 2_000);
            then(call(2), 2_000);
            // Nobody that it meets can tell it what it has sealed already.
            let apart = Partition { group: 1 << node, one_way: false, flaps: 0, until: 6_000 };
            then(Act::Split(apart), 4_000);
            then(Act::Restore { node, with_marks: true }, 100);
            then(call(3), 3_000);
            then(call(2), 2_000);
        }
        let mut more = Dice::new(self.seed, "reads");
        if more.one_in(3) {
            for _ in 0..1 + more.below(4) {
                let (node, time) = (more.below(honest), 200 + more.below(20_000) as u64);
                // Now and then, often, or all of them for a while.
                let per_mille = *more.pick(&[2, 20, 300, 1_000]).unwrap_or(&20);
                let at = self.later(&mut more, Act::Unreadable { node, per_mille, time });
                // A process that has just started reads all that it is to hold.
                if more.one_in(3) {
                    let act = Act::Crash { node, power: more.one_in(2), down: 200 };
                    self.steps.push(Step { at: at + time / 2, act });
                }
            }
        }
        if dice.clone().one_in(3) {
            let node = dice.clone().below(honest);
            self.later(&mut dice.clone(), Act::Rotate { node });
        }
        if dice.one_in(10) {
            self.later(dice, Act::Copy { node: dice.clone().below(honest) });
        }
        if dice.one_in(12) && self.nodes > 2 {
            let act = Act::Application { node: dice.below(honest), mood: Mood::Differs, time: u64::MAX / 2 };
            self.later(dice, act);
        }
    }

    /// Somebody is away for weeks, and before that others have new keys.
    fn days(&mut self, honest: usize) {
        let mut dice = Dice::new(self.seed, "weeks away");
        if self.nodes > 10 || !dice.one_in(16) {
            return;
        }
        let node = dice.below(honest);
        let time = dice.between(9, 25) * 86_400_000;
        let at = self.later(&mut dice, Act::Sleep { node, time });
        for _ in 0..1 + dice.below(3) {
            let at = (at + dice.below(20_000) as u64).min(self.until);
            self.steps.push(Step { at, act: Act::Rotate { node: dice.below(honest) } });
        }
    }

    /// Where wraps are asked for, their authors' answers go astray, and then those of who hands them on.
    pub(super) fn astray(&mut self, dice: &mut Dice, honest: usize) {
        if self.ghosts == 0 {
            return;
        }
        for _ in 0..2 + dice.below(6) {
            let how = match dice.below(6) {
                0 => Astray::Lost,
                1 => Astray::Late(dice.between(500, 25_000)),
                2 => Astray::Denied,
                3 => Astray::Forged,
                _ => Astray::Withheld,
            };
            // To some, or to all; and new wraps are wanted.
            let from = if dice.one_in(4) { u64::MAX } else { dice.number() };
            let (node, time) = (dice.below(honest), dice.between(1_000, 60_000));
            let late = if dice.one_in(2) { dice.between(500, 25_000) } else { 0 };
            let at = self.later(dice, Act::Astray { node, how, from, late, time });
            let by = if dice.one_in(2) { node } else { dice.below(honest) };
            self.steps.push(Step {
                at: (at + dice.below(2_000) as u64).min(self.until),
                act: Act::Rotate { node: by },
            });
        }
    }
}
