//! Makes images of what a recorded run could have left behind, and opens each.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use kith_core::storage::{Durability, Verify};

use super::log::Op;
use super::model::{self, Model, Survivors, Tree};
use super::recording::{Scenario, scratch};
use super::workload::{Random, batch, check};
use super::writer::{NODE, RESTORED};

/// One image: after so many calls, this survives.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    pub number: u64,
    pub after: usize,
    pub survivors: Survivors,
    seed: u64,
}

/// What the process had been told, and had begun, by some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub power: u64,
    pub process: u64,
    pub begun: u64,
}

impl Expected {
    fn note(&mut self, mark: &str) {
        let Some((word, number)) = mark.split_once(' ') else { return };
        let Ok(number) = number.parse::<u64>() else { return };
        match word {
            "power" => {
                self.power = self.power.max(number);
                self.process = self.process.max(number);
                self.begun = self.begun.max(number);
            }
            "process" => self.process = self.process.max(number),
            "begin" => self.begun = self.begun.max(number),
            _ => {}
        }
    }
}

/// Chooses moments and survivors. A half of the moments is right behind a mark: there, what was acknowledged is youngest.
pub fn choose(ops: &[Op], images: u64, seed: u64) -> Vec<Choice> {
    let restored = ops.iter().position(|op| matches!(op, Op::Mark(mark) if mark == RESTORED));
    let begins = restored.map_or(1, |at| at + 1);
    let marks: Vec<usize> = (begins..ops.len()).filter(|at| matches!(ops[*at], Op::Mark(_))).collect();
    let mut chosen: Vec<Choice> =
        (0..images).map(|number| choice(ops, begins, &marks, number, seed)).collect();
    chosen.sort_by_key(|choice| choice.after);
    chosen
}

fn choice(ops: &[Op], begins: usize, marks: &[usize], number: u64, seed: u64) -> Choice {
    let mut random = Random(seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let after = match marks {
        [_, ..] if random.below(2) == 0 => marks[random.below(marks.len() as u64) as usize] + 1,
        _ => begins + random.below((ops.len() - begins) as u64 + 1) as usize,
    };
    let survivors = match random.below(8) {
        0 => Survivors::All,
        kind => {
            let share = [0, 15, 60, 128, 200, 240, 255][kind as usize - 1];
            Survivors::Some { share, journal: random.below(2) == 0 }
        }
    };
    Choice { number, after, survivors, seed: random.next() }
}

/// What became of the images.
#[derive(Debug, Default)]
pub struct Outcome {
    pub images: u64,
    pub bad: Vec<Bad>,
}

#[derive(Debug)]
pub struct Bad {
    pub choice: Choice,
    pub kind: &'static str,
    pub what: String,
}

/// Makes each image and looks at it.
pub fn look_at(
    ops: &[Op],
    choices: &[Choice],
    mut look: impl FnMut(&Tree, Survivors, Expected) -> Result<(), (&'static str, String)>,
) -> Outcome {
    let empty = scratch();
    let mut model = Model::of(empty.path());
    replace_root(&mut model, ops);
    let (mut expected, mut done) = (Expected::default(), 0);
    let mut outcome = Outcome::default();
    for choice in choices {
        for op in &ops[done..choice.after] {
            model.apply(op).expect("it was applied before");
            if let Op::Mark(mark) = op {
                expected.note(mark);
            }
        }
        done = choice.after;
        let image = model.image(choice.survivors, &mut Random(choice.seed));
        outcome.images += 1;
        if let Err((kind, what)) = look(&image, choice.survivors, expected) {
            outcome.bad.push(Bad { choice: *choice, kind, what });
        }
    }
    outcome
}

/// The root of a recording is the one directory that it syncs and never makes.
fn replace_root(model: &mut Model, ops: &[Op]) {
    let mut made = std::collections::HashSet::new();
    for op in ops {
        match op {
            Op::MakeDirectory { directory, .. } => {
                made.insert(*directory);
            }
            Op::SyncDirectory { directory, .. } if !made.contains(directory) => model.root_is(*directory),
            _ => {}
        }
    }
}

/// The store in the image opens, has what was acknowledged and nothing in part or too much, and is usable.
pub fn sound(
    scenario: &Scenario,
    image: &Tree,
    survivors: Survivors,
    expected: Expected,
) -> Result<(), (&'static str, String)> {
    let at = scratch();
    model::write(image, at.path());
    let least = if survivors == Survivors::All { expected.process } else { expected.power };
    let looked = catch_unwind(AssertUnwindSafe(|| look(scenario, at.path(), least, expected.begun)));
    looked.unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|what| (*what).to_owned()));
        Err(("panics", what.unwrap_or_default()))
    })
}

fn look(scenario: &Scenario, root: &Path, least: u64, most: u64) -> Result<(), (&'static str, String)> {
    let Scenario { engine, seed, shape, .. } = *scenario;
    let unusable = |error: kith_core::Error| ("is unusable", error.to_string());
    let store = engine
        .open_with(&root.join(NODE), Verify::Always)
        .map_err(|error| ("does not open", error.to_string()))?;
    let count = match check(&*store, seed, shape, 0) {
        Ok(count) if count < least => {
            return Err(("loses", format!("batch {least} was acknowledged and {count} is the last one")));
        }
        Ok(count) if count > most => {
            return Err((
                "invents",
                format!("batch {most} was the last one that was begun, and {count} is there"),
            ));
        }
        Ok(count) => count,
        Err(what) => return Err(("tears", what)),
    };
    store.commit(&batch(seed, count + 1, shape), Durability::Power).map_err(unusable)?;
    check(&*store, seed, shape, count + 1).map_err(|what| ("is unusable", what))?;
    store.close().map_err(unusable)
}
