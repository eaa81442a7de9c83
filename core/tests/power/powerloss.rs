//! Runs of writers, and what every image of them has to be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::Settings;
use super::engines::Engine;
use super::images::{Bad, Choice, Outcome, choose, look_at, sound};
use super::log::{self, Op};
use super::model::{self, Survivors};
use super::recording::{Recording, Scenario, record, scratch};
use super::workload::Shape;

/// What is recorded for each engine; the images are shared out among them.
fn scenarios(engine: Engine, seed: u64) -> [Scenario; 4] {
    let scenario = Scenario { engine, seed, shape: Shape::Small, batches: 120, lives: 2, power_every: 3 };
    [
        scenario,
        // Large values and large batches.
        Scenario { seed: seed + 1, shape: Shape::Mixed, batches: 40, power_every: 2, ..scenario },
        // Megabytes with hardly a sync that was asked for.
        Scenario {
            seed: seed + 2,
            shape: Shape::Middle,
            batches: 200,
            lives: 1,
            power_every: 40,
            ..scenario
        },
        // Mostly the creation, and openings.
        Scenario { seed: seed + 3, batches: 9, lives: 3, power_every: 1, ..scenario },
    ]
}

fn written(scenario: &Scenario, from: Option<(&Path, u64, u64)>) -> Recording {
    let mut arguments = vec![scenario.to_string()];
    if let Some((from, acknowledged, begun)) = from {
        arguments.extend([from.display().to_string(), acknowledged.to_string(), begun.to_string()]);
    }
    let recording = record("writer", &arguments, None).unwrap();
    let said = String::from_utf8_lossy(&recording.output.stderr);
    assert!(recording.output.status.success(), "the writer failed: {said}");
    assert!(recording.ops.iter().any(|op| matches!(op, Op::Mark(mark) if mark.starts_with("power "))));
    recording
}

fn images_of(scenario: &Scenario, ops: &[Op], choices: &[Choice]) -> Outcome {
    look_at(ops, choices, |image, survivors, expected| sound(scenario, image, survivors, expected))
}

/// Where recordings of what went wrong are kept.
fn kept() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("powerloss")
}

fn report(scenario: &Scenario, recording: &Recording, bad: &[Bad]) {
    let file = kept().join(format!("{}.log", scenario.to_string().replace(' ', "-")));
    std::fs::create_dir_all(kept()).and_then(|()| std::fs::write(&file, &recording.log)).expect("it is kept");
    for Bad { choice, kind, what } in bad.iter().take(10) {
        println!("{kind}: {what}\n    {choice:?} of `{scenario}`");
        println!(
            "    cargo xtask powerloss --recording {} --seed {} --image {}",
            file.display(),
            scenario.seed,
            choice.number
        );
    }
}

fn kinds(bad: &[Bad]) -> BTreeMap<&'static str, u64> {
    let mut kinds = BTreeMap::new();
    for bad in bad {
        *kinds.entry(bad.kind).or_default() += 1;
    }
    kinds
}

/// Looks again at a recording that was kept.
pub fn again(file: &str, settings: &Settings) -> ExitCode {
    let ops = std::fs::read(file).map_err(|error| error.to_string()).and_then(|bytes| log::read(&bytes));
    let ops = match ops {
        Ok(ops) => ops,
        Err(error) => {
            eprintln!("{file}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let scenario = ops.iter().find_map(|op| match op {
        Op::Mark(mark) => mark.strip_prefix("scenario ").and_then(|scenario| scenario.parse().ok()),
        _ => None,
    });
    let scenario: Scenario = scenario.expect("a recording begins with its scenario");
    let images = settings.image.map_or(settings.images, |image| settings.images.max(image + 1));
    let mut choices = choose(&ops, images, settings.seed);
    choices.retain(|choice| settings.image.is_none_or(|image| choice.number == image));
    let outcome = images_of(&scenario, &ops, &choices);
    for Bad { choice, kind, what } in &outcome.bad {
        println!("{kind}: {what} ({choice:?})");
    }
    println!("{} images, {} bad", outcome.images, outcome.bad.len());
    if outcome.bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(engine: Engine, settings: &Settings) -> (u64, Vec<Bad>) {
    let (mut images, mut bad) = (0, Vec::new());
    let scenarios = scenarios(engine, settings.seed);
    for scenario in &scenarios {
        let recording = written(scenario, None);
        let choices = choose(&recording.ops, settings.images.div_ceil(scenarios.len() as u64), scenario.seed);
        let outcome = images_of(scenario, &recording.ops, &choices);
        println!(
            "    `{scenario}`: {} calls, {} images, {} bad {:?}",
            recording.ops.len(),
            outcome.images,
            outcome.bad.len(),
            kinds(&outcome.bad)
        );
        if engine != Engine::BareSled && !outcome.bad.is_empty() {
            report(scenario, &recording, &outcome.bad);
        }
        images += outcome.images;
        bad.extend(outcome.bad);
    }
    println!("{}: {images} images, {} bad {:?}", engine.name(), bad.len(), kinds(&bad));
    (images, bad)
}

pub fn every_engine(settings: &Settings) {
    for engine in Engine::OFFERED {
        if settings.engine.is_none_or(|wanted| wanted == *engine) {
            let (images, bad) = run(*engine, settings);
            assert!(images >= settings.images);
            assert!(bad.is_empty(), "{} of {images} images are bad", bad.len());
        }
    }
}

/// The engine as it comes loses what it has acknowledged: if that is not found, the model finds nothing.
pub fn control(settings: &Settings) {
    if settings.engine.is_some_and(|wanted| wanted != Engine::BareSled) {
        return;
    }
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let (images, bad) =
        run(Engine::BareSled, &Settings { images: settings.images.min(600), ..settings.clone() });
    std::panic::set_hook(hook);
    let kinds = kinds(&bad);
    assert!(kinds.contains_key("loses"), "bare sled loses nothing in {images} images: {kinds:?}");
    assert!(
        kinds.contains_key("does not open") || kinds.contains_key("panics"),
        "it always opens: {kinds:?}"
    );
}

/// A store that lost power is opened and written to under the recorder, and loses power in that.
pub fn twice(settings: &Settings) {
    for engine in Engine::OFFERED {
        if settings.engine.is_some_and(|wanted| wanted != *engine) {
            continue;
        }
        let seed = settings.seed + 10;
        let first =
            Scenario { engine: *engine, seed, shape: Shape::Mixed, batches: 24, lives: 1, power_every: 3 };
        let recording = written(&first, None);
        let (mut images, rounds) = (0, settings.images.div_ceil(25));
        for choice in choose(&recording.ops, rounds, seed) {
            let (mut acknowledged, mut begun) = (0, 0);
            let mut image = model::Tree::new();
            let survivors = choice.survivors;
            look_at(&recording.ops, &[choice], |tree, _, expected| {
                image.clone_from(tree);
                begun = expected.begun;
                acknowledged = if survivors == Survivors::All { expected.process } else { expected.power };
                Ok(())
            });
            let at = scratch();
            model::write(&image, at.path());
            let second = Scenario { batches: 3, power_every: 2, ..first };
            let recording = written(&second, Some((at.path(), acknowledged, begun)));
            let choices = choose(&recording.ops, 15, seed + choice.number);
            let outcome = images_of(&second, &recording.ops, &choices);
            images += outcome.images;
            if !outcome.bad.is_empty() {
                report(&second, &recording, &outcome.bad);
                panic!("{} of {} images are bad", outcome.bad.len(), outcome.images);
            }
        }
        println!("{}: {images} images, none bad", engine.name());
    }
}
