//! Measures Kith. Each part runs in a process of its own, checks that what it measured has happened, and prints
//! `figure NAME NUMBER` lines; `cargo xtask bench` makes a table of them.

#[cfg(feature = "at-rest")]
mod at_rest;
mod border;
mod encryption;
mod epoch;
mod get;
mod late;
mod load;
mod machine;
mod memory;
mod opening;
mod sharing;
mod writing;

use std::process::ExitCode;

use kith_core::storage::StorageEngine;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

const HELP: &str =
    "kith-bench PART [SHARE [ENGINE]]: PART is fsync, put, push, catch-up, late, reopen, memory, transactions, get, epoch or encryption;
everything is done SHARE (default 1) times smaller than the published figures, on ENGINE (auto, sled or redb).
kith-bench border CALLS: what `cargo xtask bench border` measures in every language";

/// How a part is measured.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    /// How many times smaller than what is published.
    pub(crate) share: usize,
    pub(crate) engine: StorageEngine,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("kith-bench {}: {failure}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    let (part, rest) = words.split_first().ok_or(HELP)?;
    // What a part, or another task, starts as a process of its own.
    match (*part, rest) {
        ("border", [calls]) => return border::run(calls.parse()?),
        ("open-node", [directory]) => return opening::node(directory.as_ref()),
        ("open-engine", [directory]) => return opening::engine(directory.as_ref()),
        ("read-all", [directory, entries]) => return memory::read_all(directory.as_ref(), entries.parse()?),
        ("idle", [directory, engine]) => return memory::idle(directory.as_ref(), engine.parse()?),
        _ => {}
    }
    let share = rest.first().map_or(Ok(1), |share| share.parse::<usize>())?.max(1);
    let engine = rest.get(1).map_or(Ok(StorageEngine::Auto), |engine| engine.parse())?;
    let setting = Setting { share, engine };
    match *part {
        "fsync" => machine::fsync(),
        "put" => writing::measure(setting),
        "push" => sharing::push(setting),
        "catch-up" => sharing::catch_up(setting),
        "late" => late::measure(setting),
        "reopen" => opening::measure(setting),
        "memory" => memory::entries(setting),
        "transactions" => memory::transactions(setting),
        "get" => get::measure(setting),
        #[cfg(feature = "at-rest")]
        "at-rest" => at_rest::measure(share),
        "encryption" => encryption::measure(share),
        "epoch" => epoch::measure(),
        _ => Err(HELP.into()),
    }
}

/// One figure, for the table.
pub(crate) fn figure(name: &str, number: f64) {
    println!("figure {name} {number}");
}

/// What a benchmark relies on; a benchmark that did nothing must not give a figure.
pub(crate) fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}
