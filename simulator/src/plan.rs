//! What happens in a world, as a list that is a function of a seed and that can be shortened.

mod faults;

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
