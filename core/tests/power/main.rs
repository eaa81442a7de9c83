//! The loss of power, damage and full disks, with every call recorded that a real process makes.
//!
//! A writer – this program again, as a process of its own – runs with a recorder preloaded (`recorder.c`), which notes each write,
//! change of a length, sync, creation, rename and removal in order, and in between what the writer says that was acknowledged. From
//! that, images are made of what a medium may have after a loss of power at any moment (`model.rs`), and each is opened.
//!
//! Without arguments it is a short run, as part of the tests; `cargo xtask powerloss` has long ones. A main of its own, since it
//! starts itself again.
#![allow(clippy::unwrap_used, unreachable_pub, dead_code)]

mod damage;
mod engines;
mod faults;
mod images;
mod log;
mod model;
mod model_tests;
mod powerloss;
mod recording;
#[path = "../../src/storage/tests/workload.rs"]
mod workload;
mod writer;

use std::path::Path;
use std::process::ExitCode;

use kith_core::{ErrorKind, Result, storage};
use recording::Scenario;

/// What a long run is told; the short one has its own.
#[derive(Clone, Debug)]
struct Settings {
    /// For each engine.
    images: u64,
    seed: u64,
    engine: Option<engines::Engine>,
    /// A saved recording to look at again, and one image of it.
    recording: Option<String>,
    image: Option<u64>,
    /// Every fault and every damage, not only some.
    all: bool,
}

const SHORT: Settings =
    Settings { images: 150, seed: 1, engine: None, recording: None, image: None, all: false };

type Test = (&'static str, fn(&Settings));

const TESTS: &[Test] = &[
    ("the_model_has_every_medium_and_no_other", model_tests::every_medium_and_no_other),
    ("the_model_knows_directories_and_failed_syncs", model_tests::directories_and_failed_syncs),
    ("no_power_loss_takes_what_was_acknowledged", powerloss::every_engine),
    ("bare_sled_is_found_bad", powerloss::control),
    ("a_crash_in_the_opening_after_a_crash", powerloss::twice),
    ("a_full_disk_at_each_write", faults::full_disk),
    ("a_sync_that_fails", faults::failed_sync),
    ("damage_is_never_a_wrong_answer", damage::every_engine),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["writer", root, scenario] => writer::write(Path::new(root), &parsed(scenario), None),
        ["writer", root, scenario, from, acknowledged, begun] => {
            let number = |word: &str| word.parse().expect("a number");
            let from = (Path::new(from), number(acknowledged), number(begun));
            writer::write(Path::new(root), &parsed(scenario), Some(from));
        }
        ["full", root, scenario] => {
            writer::write_with_a_fault(Path::new(root), &parsed(scenario), ErrorKind::StorageFull);
        }
        ["sync", root, scenario] => {
            writer::write_with_a_fault(Path::new(root), &parsed(scenario), ErrorKind::Storage);
        }
        ["powerloss", words @ ..] => return long(words),
        words => return run(words, &SHORT),
    }
    ExitCode::SUCCESS
}

fn parsed(scenario: &str) -> Scenario {
    scenario.parse().expect("a scenario")
}

/// `--images N --seed S --engine E --recording FILE --image K --all`, and names of tests.
fn long(words: &[&str]) -> ExitCode {
    let mut settings = SHORT;
    let mut names = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut next = || words.next().map(|word| (*word).to_owned()).unwrap_or_default();
        let number = |text: String| text.parse::<u64>();
        let taken = match *word {
            "--images" => number(next()).map(|images| settings.images = images).is_ok(),
            "--seed" => number(next()).map(|seed| settings.seed = seed).is_ok(),
            "--image" => number(next()).map(|image| settings.image = Some(image)).is_ok(),
            "--engine" => {
                settings.engine = engines::Engine::named(&next());
                settings.engine.is_some()
            }
            "--recording" => {
                settings.recording = Some(next());
                true
            }
            "--all" => {
                settings.all = true;
                true
            }
            name => {
                names.push(name);
                !name.starts_with("--")
            }
        };
        if !taken {
            eprintln!("`{word}` is not understood");
            return ExitCode::FAILURE;
        }
    }
    if let Some(file) = settings.recording.clone() {
        return powerloss::again(&file, &settings);
    }
    run(&names, &settings)
}

/// As cargo's test runner: lists, filters by words and counts.
fn run(words: &[&str], settings: &Settings) -> ExitCode {
    if words.contains(&"--list") {
        TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let exact = words.contains(&"--exact");
    let filters: Vec<&&str> = words.iter().filter(|word| !word.starts_with("--")).collect();
    let wanted = |name: &str| {
        filters.is_empty()
            || filters.iter().any(|word| if exact { name == **word } else { name.contains(**word) })
    };
    let tests: Vec<&Test> = TESTS.iter().filter(|(name, _)| wanted(name)).collect();
    println!("\nrunning {} tests", tests.len());
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in &tests {
        let began = std::time::Instant::now();
        let ended = std::panic::catch_unwind(|| test(settings));
        if let Err(panic) = &ended {
            // Some tests silence the engines' panics, and with them their own.
            let what = panic.downcast_ref::<String>().map(String::as_str);
            println!("{}", what.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message"));
        }
        let good = ended.is_ok();
        let word = if good { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.1} s)", began.elapsed().as_secs_f64());
        if good { passed += 1 } else { failed += 1 }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    let filtered = TESTS.len() - tests.len();
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {filtered} filtered out"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
