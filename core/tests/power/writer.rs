//! The process that is recorded: it writes batches whose effect is known from their number, and marks in the recording what it is
//! about to do and what was acknowledged.
//!
//! The marks: `scenario …`, once; `restored`, when what lies there first is durable; `begin N`, before batch N is committed; `power N` and `process N`, when it was acknowledged with
//! that durability; `refused N`, when it was not; `space`, when room is made; `reopen`, before the store is opened again
//! after a failure.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use kith_core::ErrorKind;
use kith_core::storage::{Durability, Store};

use super::recording::{MARKS, Scenario};
use super::workload::{Random, batch, check};

/// From this mark on a store that was put there is durable.
pub const RESTORED: &str = "restored";

/// Below the recorded directory; more than one of its directories are made with it.
pub const NODE: &str = "home/node";

pub struct Marks(File);

impl Marks {
    pub fn open() -> Self {
        let path = std::env::var_os(MARKS).expect("only the recorder starts this");
        Self(OpenOptions::new().write(true).open(path).expect("the file for the marks"))
    }

    pub fn say(&mut self, mark: &str) {
        self.0.write_all(mark.as_bytes()).expect("the mark is noted");
    }
}

fn durability(scenario: &Scenario, number: u64) -> Durability {
    let chosen = Random(scenario.seed ^ number.wrapping_mul(0x9e37_79b9)).below(scenario.power_every);
    if chosen == 0 { Durability::Power } else { Durability::Process }
}

/// Opens the store so many times and writes so many batches in all; the last time it is not closed. With `from`, what lies
/// there is what the store is first, durable, with so many batches acknowledged, and begun.
pub fn write(root: &Path, scenario: &Scenario, from: Option<(&Path, u64, u64)>) {
    let mut marks = Marks::open();
    marks.say(&format!("scenario {scenario}"));
    if let Some((from, acknowledged, begun)) = from {
        restore(from, root);
        marks.say(&format!("begin {begun}"));
        marks.say(&format!("power {acknowledged}"));
        marks.say(RESTORED);
    }
    let node = root.join(NODE);
    for life in 1..=scenario.lives {
        let store = scenario.engine.open(&node).expect("the store opens");
        let first = check(&*store, scenario.seed, scenario.shape, 0).expect("the store is whole") + 1;
        for number in first..first + scenario.batches / scenario.lives {
            let durability = durability(scenario, number);
            marks.say(&format!("begin {number}"));
            store.commit(&batch(scenario.seed, number, scenario.shape), durability).expect("committed");
            marks.say(&acknowledged(durability, number));
        }
        if life < scenario.lives {
            store.close().expect("closed");
        } else {
            std::mem::forget(store);
        }
    }
    // As a process that is killed: nothing is dropped.
    std::process::exit(0);
}

fn acknowledged(durability: Durability, number: u64) -> String {
    match durability {
        Durability::Power => format!("power {number}"),
        Durability::Process => format!("process {number}"),
    }
}

/// Copies what lies there, and makes it durable.
fn restore(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("the image").flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a kind").is_dir() {
            std::fs::create_dir(&target).expect("made");
            restore(&entry.path(), &target);
        } else {
            let mut file = File::create_new(&target).expect("created");
            file.write_all(&std::fs::read(entry.path()).expect("read")).expect("written");
            file.sync_all().expect("synced");
        }
    }
    File::open(to).and_then(|directory| directory.sync_all()).expect("synced");
}

/// Writes while something fails once, and says on its output how that went. The error has to be of the kind; what was
/// acknowledged has to be there whenever something can be read; and it has to go on to the last batch.
pub fn write_with_a_fault(root: &Path, scenario: &Scenario, kind: ErrorKind) {
    let mut marks = Marks::open();
    marks.say(&format!("scenario {scenario}"));
    let node = root.join(NODE);
    let Scenario { engine, seed, shape, .. } = *scenario;
    let mut acknowledged_last = 0;
    let mut open: Option<Box<dyn Store>> = None;
    let mut number = 1;
    let mut closed = false;
    let mut failed = false;
    let mut fail = |what: &str, error: &kith_core::Error| {
        assert!(!failed, "{what} fails a second time: {error}");
        assert_eq!(error.kind(), kind, "{what}: {error}");
        println!("{what}: {error}");
        failed = true;
    };
    while number <= scenario.batches {
        let store = match &open {
            Some(store) => store,
            None => match engine.open(&node) {
                Ok(store) => {
                    let count = check(&*store, seed, shape, acknowledged_last).expect("whole");
                    assert!(
                        count <= number,
                        "batch {number} was the last one to be begun; {count} are there"
                    );
                    number = count + 1;
                    open.insert(store)
                }
                Err(error) => {
                    fail("opening", &error);
                    marks.say("space");
                    marks.say("reopen");
                    continue;
                }
            },
        };
        if number > scenario.batches {
            break;
        }
        // Once in the middle it is closed in order and opened again.
        if number > scenario.batches / 2 && !closed {
            closed = true;
            let result = store.close();
            open = None;
            if let Err(error) = result {
                fail("closing", &error);
                marks.say("space");
                marks.say("reopen");
            }
            continue;
        }
        let durability = durability(scenario, number);
        marks.say(&format!("begin {number}"));
        let Err(error) = store.commit(&batch(seed, number, shape), durability) else {
            marks.say(&acknowledged(durability, number));
            acknowledged_last = number;
            number += 1;
            continue;
        };
        marks.say(&format!("refused {number}"));
        fail("committing", &error);
        // Either nothing has happened and reading goes on, or everything is refused until the store is opened again.
        let reads = store.snapshot().is_ok();
        if reads {
            assert_eq!(check(&**store, seed, shape, acknowledged_last), Ok(acknowledged_last));
        }
        marks.say("space");
        let again = store.commit(&batch(seed, number, shape), durability);
        println!("reads: {reads}, goes on: {}", again.is_ok());
        assert_eq!(reads, again.is_ok(), "{again:?}");
        match again {
            Ok(()) => {
                marks.say(&acknowledged(durability, number));
                acknowledged_last = number;
                number += 1;
            }
            Err(_) => {
                // Whatever closing says, opening again tells.
                let _ = store.close();
                open = None;
                marks.say("reopen");
            }
        }
    }
    let store = match open {
        Some(store) => store,
        None => engine.open(&node).expect("it opens"),
    };
    let count = check(&*store, seed, shape, acknowledged_last).expect("whole");
    assert_eq!(count, scenario.batches);
    println!("failed: {failed}");
    std::process::exit(0);
}
