//! A full disk at each call that takes space, and a failure at each sync.

use std::collections::BTreeMap;

use super::Settings;
use super::engines::Engine;
use super::images::{choose, look_at, sound};
use super::log::Op;
use super::recording::{Recording, Scenario, record};
use super::workload::Shape;

/// A part of the numbers from 1 to the last: all of the first ones, where a store is created, and some of the others.
fn some(last: u64, settings: &Settings) -> Vec<u64> {
    let (first, others) = if settings.all { (last, last) } else { (12, 14) };
    let step = (last / others).max(1);
    (1..=last).filter(|number| *number <= first || number.is_multiple_of(step)).collect()
}

fn run(role: &str, scenario: &Scenario, fault: Option<String>) -> Recording {
    let recording = record(role, &[scenario.to_string()], fault.clone()).unwrap();
    let said = String::from_utf8_lossy(&recording.output.stderr);
    // Known of sled: an error in one of its own threads may leave whoever waits for it waiting (`docs/storage.md`).
    let known = recording.hung && fault.is_some() && scenario.engine == Engine::Sled;
    assert!(known || recording.output.status.success(), "{fault:?} of `{scenario}`: {said}");
    recording
}

fn lines(recording: &Recording) -> Vec<String> {
    String::from_utf8_lossy(&recording.output.stdout).lines().map(str::to_owned).collect()
}

/// Each fault in a run of its own: the writer itself checks what it is told, and here images are made of the time until
/// the end, or until the store was opened again.
fn each(settings: &Settings, role: &str, fault: &str, until_reopened: bool, counts: impl Fn(&Op) -> bool) {
    for engine in Engine::OFFERED {
        if settings.engine.is_some_and(|wanted| wanted != *engine) {
            continue;
        }
        for shape in [Shape::Small, Shape::Mixed] {
            let batches = if shape == Shape::Small { 10 } else { 8 };
            let scenario =
                Scenario { engine: *engine, seed: settings.seed, shape, batches, lives: 2, power_every: 2 };
            let calm = run(role, &scenario, None);
            let calls = calm.ops.iter().filter(|op| counts(op)).count() as u64;
            assert!(lines(&calm).contains(&"failed: false".to_owned()), "the control");
            let (mut told, mut images, mut unseen) = (BTreeMap::<String, u64>::new(), 0, 0);
            let (mut hung, mut missed) = (0, 0);
            let numbers = some(calls, settings);
            for number in &numbers {
                let recording = run(role, &scenario, Some(format!("{fault}:{number}")));
                let hit = recording.ops.iter().position(|op| matches!(op, Op::Fault { .. }));
                // sled's flushes come by the clock too, so there may be fewer calls than in the calm run.
                let Some(hit) = hit else {
                    assert!(lines(&recording).contains(&"failed: false".to_owned()), "{fault}:{number}");
                    missed += 1;
                    continue;
                };
                hung += u64::from(recording.hung);
                for line in lines(&recording) {
                    let word = line.split(':').next().unwrap_or_default();
                    let word = if word == "reads" { line.as_str() } else { word };
                    *told.entry(word.to_owned()).or_default() += 1;
                    unseen += u64::from(line == "failed: false");
                }
                let reopened = |op: &Op| matches!(op, Op::Mark(mark) if mark == "reopen");
                let end = recording.ops.iter().position(reopened).filter(|_| until_reopened);
                let ops = &recording.ops[..end.unwrap_or(recording.ops.len())];
                let mut choices = choose(ops, 40, *number);
                choices.retain(|choice| choice.after > hit);
                choices.truncate(if settings.all { 8 } else { 2 });
                let outcome = look_at(ops, &choices, |image, survivors, expected| {
                    sound(&scenario, image, survivors, expected)
                });
                assert!(outcome.bad.is_empty(), "{fault}:{number} of `{scenario}`: {:#?}", outcome.bad);
                images += outcome.images;
            }
            println!(
                "    `{scenario}`: {} of {calls} failures, {images} images; {told:?}, {hung} hung",
                numbers.len()
            );
            assert!(missed * 5 <= numbers.len() as u64, "{missed} of {} were not met", numbers.len());
            assert!(hung * 5 <= numbers.len() as u64, "{hung} of {} hung", numbers.len());
            // Some failures concern nothing that matters, such as the name of who holds the lock; most do.
            assert!(unseen * 2 < numbers.len() as u64, "{unseen} of {} were not noticed", numbers.len());
        }
    }
}

pub fn full_disk(settings: &Settings) {
    let takes_space = |op: &Op| {
        matches!(op, Op::Write { .. } | Op::Create { .. } | Op::MakeDirectory { .. } | Op::Rename { .. })
    };
    each(settings, "full", "space", false, takes_space);
}

/// After a failed sync the system may hold what the medium lacks, and whoever opens the store again in the same run of
/// the system cannot know: so images end there (`docs/storage.md`, what is assumed).
pub fn failed_sync(settings: &Settings) {
    let syncs = |op: &Op| matches!(op, Op::Sync { .. } | Op::SyncDirectory { .. } | Op::Range);
    each(settings, "sync", "sync", true, syncs);
}
