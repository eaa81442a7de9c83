//! What no engine leaves that keeps to what is promised: a batch that the end of a process has torn. Whoever opens such a store may be told that it is
//! damaged, or that something differs; what it may not be is told something wrong as if it were right.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use kith_core::ErrorKind;
use kith_core::application::kv;
use kith_core::node::machine::{Input, Machine, Wish};
use kith_core::replica::StateRead;
use kith_core::replica::payload::CallPayload;
use kith_core::storage::ContextTables;

use crate::calls::state_key;
use crate::disk::Disk;
use crate::node::NUMBER;
use crate::replays::verification;
use crate::world::{Failed, Go, World, said};

/// In so many ways each.
const TEARS: usize = 3;
const INVARIANT: &str = "a-torn-batch-is-told";

/// What came of opening a torn store.
enum Found {
    /// Everything is what a replay of the history that is there gives.
    Right,
    /// An error of a kind that says so, or a difference that `verify` names.
    Told,
}

impl World {
    /// Before the process starts again: on a copy of the disk in which the last batch is torn, another one does. Nothing of that is left.
    pub(crate) fn try_torn(&mut self, number: usize) -> Go {
        for _ in 0..TEARS {
            let torn = self.nodes[number].disk.torn(&mut self.tears);
            let Some(disk) = torn.filter(|_| !self.nodes[number].standing.differs) else { break };
            let disk = Arc::new(disk);
            let found = catch_unwind(AssertUnwindSafe(|| self.open_torn(number, &disk)));
            match found.map_err(|panic| ("nothing-panics", number, said(&*panic)))?? {
                Found::Right => self.report.torn.0 += 1,
                Found::Told => self.report.torn.1 += 1,
            }
        }
        self.nodes[number].disk.forget();
        Ok(())
    }

    fn open_torn(&mut self, number: usize, disk: &Arc<Disk>) -> std::result::Result<Found, Failed> {
        let handle = self.handle();
        let node = &self.nodes[number];
        let opened = node.beside(disk, &self.time, self.plan.power, &handle);
        let mut machine = match opened {
            Ok(Some(machine)) => machine,
            Ok(None) => return Ok(Found::Right),
            Err(error) => return told(number, &error),
        };
        // It does what a process does that has just started, and what it reads is looked at before it writes.
        machine.round(Vec::new());
        let found = self.right(number, &machine, disk)?;
        let (method, arguments) = kv::put(&state_key(0), b"after".to_vec());
        let call = CallPayload { method: method.into(), arguments };
        // Whatever comes of it: an error has written nothing.
        machine.round(vec![Input::Wish(1, Wish::Call(call))]);
        machine.round(Vec::new());
        // What was written on top of what is damaged hides nothing of it.
        self.right(number, &machine, disk)?;
        Ok(found)
    }

    fn right(
        &mut self,
        number: usize,
        machine: &Machine,
        disk: &Arc<Disk>,
    ) -> std::result::Result<Found, Failed> {
        let snapshot = disk.intact();
        let tables = ContextTables::new(&*snapshot, NUMBER);
        let replica = machine.replica();
        // It says itself that it is not as far as that.
        if machine.closed().is_some() || replica.pending() > 0 || !holds_anything(&tables) {
            return Ok(Found::Told);
        }
        let wrong = match self.judge.against_a_replay(replica, &tables) {
            Ok(Ok(())) => None,
            Ok(Err((invariant, detail))) => Some(format!("{invariant}: {detail}")),
            Err(error) => return told(number, &error),
        };
        match verification(disk, replica) {
            Err(error) => told(number, &error),
            Ok(found) if found.difference.is_some() => Ok(Found::Told),
            Ok(_) => match wrong {
                None => Ok(Found::Right),
                Some(wrong) => Err((INVARIANT, number, format!("{wrong}; and verify finds nothing"))),
            },
        }
    }
}

fn holds_anything(tables: &dyn StateRead) -> bool {
    tables
        .scan(kith_core::replica::Table::Transactions, &[], None, false, 1)
        .is_ok_and(|rows| !rows.is_empty())
}

/// Only what is said to be damage.
fn told(number: usize, error: &kith_core::Error) -> std::result::Result<Found, Failed> {
    match error.kind() {
        ErrorKind::Corrupt => Ok(Found::Told),
        _ => Err((INVARIANT, number, format!("what is damaged is told as {error:?}"))),
    }
}
