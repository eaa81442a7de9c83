//! What happens in a world, as a list that is a function of a seed and that can be shortened.

use kith_core::replica::Role;

use crate::application::Mood;
use crate::astray::Astray;
use crate::dice::Dice;
use crate::liar::Lie;
use crate::network::{Partition, Weather};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Act {
    Call {
        node: usize,
        method: u8,
        key: u8,
        value: u8,
    },
    /// `by` invites; `node` joins. `again`: with the last invitation that there is, whoever it was for.
    Join {
        node: usize,
        by: usize,
        role: Role,
        again: bool,
    },
    Revoke {
        by: usize,
    },
    Remove {
        by: usize,
        target: usize,
    },
    SetRole {
        by: usize,
        target: usize,
        role: Role,
    },
    Skip {
        by: usize,
    },
    /// A row of keys is lost: a chain, or where the roots to or from a member stand.
    LoseKeys {
        node: usize,
    },
    /// New keys, as after a device was copied.
    Rotate {
        node: usize,
    },
    Leave {
        node: usize,
    },
    Crash {
        node: usize,
        power: bool,
        down: u64,
    },
    CrashAtWrite {
        node: usize,
        nth: u64,
        after: bool,
        power: bool,
        down: u64,
    },
    Full {
        node: usize,
        time: u64,
    },
    Failing {
        node: usize,
        time: u64,
    },
    Damage {
        node: usize,
    },
    /// So many reads of a thousand fail.
    Unreadable {
        node: usize,
        per_mille: u64,
        time: u64,
    },
    SlowDisk {
        node: usize,
        takes: u64,
        time: u64,
    },
    Split(Partition),
    Cut {
        wire: usize,
    },
    Storm(Weather),
    Slow {
        node: usize,
        latency: u64,
        time: u64,
    },
    Clock {
        node: usize,
        offset: i64,
    },
    Sleep {
        node: usize,
        time: u64,
    },
    Backup {
        node: usize,
    },
    /// The backup comes back; with its marks, nothing can tell.
    Restore {
        node: usize,
        with_marks: bool,
    },
    /// A second node on a copy of the directory, which knows that it is one.
    Copy {
        node: usize,
    },
    /// Somebody takes a copy of all keys that a device has, and hears all that is sent.
    Steal {
        node: usize,
    },
    /// Of its answers to who asks for wraps, those to these nodes, by the bits of their numbers; the others get theirs so much later.
    Astray {
        node: usize,
        how: Astray,
        from: u64,
        late: u64,
        time: u64,
    },
    Application {
        node: usize,
        mood: Mood,
        time: u64,
    },
    Turn {
        node: usize,
    },
    Tell {
        node: usize,
        lie: Lie,
    },
}

/// An act and its time, in ms.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// When.
    pub at: u64,
    /// What.
    pub act: Act,
}

/// What kind of world a seed is: how large, and what goes wrong in it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Nodes, the creator included.
    pub nodes: usize,
    /// Nodes that become liars.
    pub liars: usize,
    /// Whether commits are flushed one by one.
    pub power: bool,
    /// Whether nodes tell each other which signatures are good.
    pub shares: bool,
    /// Of the encryption; 0: nothing is sealed.
    pub suite: u8,
    /// Members that nobody has ever heard of, with keys that nobody has: so many that the wraps of an epoch are not in its transaction.
    pub ghosts: usize,
    /// When faults stop.
    pub until: u64,
    /// By their times.
    pub steps: Vec<Step>,
}

/// How large a world is and what may happen, where that is not left to the seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Nodes.
    pub nodes: Option<usize>,
    /// Calls.
    pub calls: Option<usize>,
    /// Without faults and lies.
    pub calm: bool,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64, wanted: Wanted) -> Self {
        let mut dice = Dice::new(seed, "plan");
        let nodes = wanted.nodes.unwrap_or_else(|| match dice.below(20) {
            0 => 12 + dice.below(39),
            1..=4 => 6 + dice.below(5),
            _ => 2 + dice.below(5),
        });
        let calls = wanted.calls.unwrap_or_else(|| match dice.below(10) {
            0 => 200 + dice.below(300),
            1..=4 => 60 + dice.below(100),
            _ => 15 + dice.below(60),
        });
        let liars = if wanted.calm || nodes < 3 || dice.one_in(2) {
            0
        } else {
            1 + dice.below((nodes - 1) / 3 + 1).min(3)
        };
        let until = 20_000 + 1_000 * dice.below(180) as u64;
        let suite = match Dice::new(seed, "suite").below(8) {
            0 => 0,
            1 => 2,
            _ => 1,
        };
        let power = dice.below(4) > 0;
        let shares = wanted.calm || !Dice::new(seed, "signatures").one_in(4);
        let mut more = Dice::new(seed, "ghosts");
        let ghosts =
            if suite == 2 && !wanted.calm && nodes <= 12 && more.one_in(2) { 28 + more.below(4) } else { 0 };
        let mut plan = Self { seed, nodes, liars, power, shares, suite, ghosts, until, steps: Vec::new() };
        plan.joins(&mut dice, wanted.calm);
        let honest = nodes - liars;
        for _ in 0..calls {
            let act = Act::Call {
                node: dice.below(nodes),
                method: dice.below(if wanted.calm { 7 } else { 15 }) as u8,
                key: dice.below(6) as u8,
                value: dice.below(4) as u8,
            };
            plan.later(&mut dice, act);
        }
        if !wanted.calm {
            plan.membership(&mut dice);
            plan.faults(&mut dice, honest);
            plan.astray(&mut more, honest);
            plan.lies(&mut dice, honest);
        }
        plan.steps.sort_by_key(|step| step.at);
        plan
    }

    fn later(&mut self, dice: &mut Dice, act: Act) -> u64 {
        let at = 3_000 + dice.below(self.until as usize - 3_000) as u64;
        self.steps.push(Step { at, act });
        at
    }

    /// In a calm world all are writers from the start.
    fn joins(&mut self, dice: &mut Dice, calm: bool) {
        for node in 1..self.nodes {
            if calm {
                let join = Act::Join { node, by: 0, role: Role::Writer, again: false };
                self.steps.push(Step { at: 100 * node as u64, act: join });
                continue;
            }
            let at = if dice.one_in(8) { dice.below(self.until as usize) as u64 } else { 100 * node as u64 };
            let role =
                *dice.pick(&[Role::Writer, Role::Writer, Role::Reader, Role::Admin]).unwrap_or(&Role::Writer);
            let by = if dice.one_in(4) { dice.below(node) } else { 0 };
            self.steps.push(Step { at, act: Act::Join { node, by, role, again: dice.one_in(12) } });
        }
    }

    fn membership(&mut self, dice: &mut Dice) {
        let some = dice.below(3);
        for _ in 0..some * (1 + self.nodes / 3) {
            let (by, target) = (dice.below(self.nodes), dice.below(self.nodes));
            let role = *dice.pick(&[Role::Admin, Role::Writer, Role::Reader]).unwrap_or(&Role::Admin);
            let act = match dice.below(12) {
                0..=5 => Act::SetRole { by, target, role },
                6..=7 => Act::Remove { by, target },
                8 => Act::Leave { node: by },
                9 => Act::Skip { by },
                10 => Act::Revoke { by },
                _ => Act::Join { node: target, by, role, again: true },
            };
            self.later(dice, act);
        }
    }

    fn faults(&mut self, dice: &mut Dice, honest: usize) {
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
    fn astray(&mut self, dice: &mut Dice, honest: usize) {
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

    fn lies(&mut self, dice: &mut Dice, honest: usize) {
        let mut more = Dice::new(self.seed, "more lies");
        let mut keys = Dice::new(self.seed, "lies about keys");
        let mut forging = Dice::new(self.seed, "forged");
        // A liar that tells nothing else is believed for longer.
        let of_shares_alone = more.one_in(5);
        for node in honest..self.nodes {
            let turn = 2_000 + dice.below(self.until as usize / 2) as u64;
            self.steps.push(Step { at: turn, act: Act::Turn { node } });
            for _ in 0..1 + dice.below(15) {
                let lie = *dice.pick(&Lie::FIRST).unwrap_or(&Lie::Fork);
                let at = turn + 1 + dice.below((self.until - turn) as usize) as u64;
                if !of_shares_alone {
                    self.steps.push(Step { at, act: Act::Tell { node, lie } });
                }
            }
            if !of_shares_alone && more.one_in(2) {
                let at = turn + 1 + more.below((self.until - turn) as usize) as u64;
                self.steps.push(Step { at, act: Act::Tell { node, lie: Lie::Sequence } });
            }
            if !of_shares_alone && forging.one_in(2) {
                let at = turn + 1 + forging.below((self.until - turn) as usize) as u64;
                self.steps.push(Step { at, act: Act::Tell { node, lie: Lie::Forge } });
            }
            for _ in 0..keys.below(5) {
                let at = turn + 1 + keys.below((self.until - turn) as usize) as u64;
                if !of_shares_alone {
                    self.steps.push(Step { at, act: Act::Tell { node, lie: Lie::Keys } });
                }
            }
            if of_shares_alone || more.one_in(4) {
                self.steps.push(Step { at: turn + 1, act: Act::Tell { node, lie: Lie::FalseShares } });
                // Somebody has to ask.
                for _ in 0..12 {
                    let at = turn + 1 + more.below((self.until - turn) as usize) as u64;
                    self.steps.push(Step { at, act: Act::LoseKeys { node: more.below(honest) } });
                }
            }
        }
    }
}
