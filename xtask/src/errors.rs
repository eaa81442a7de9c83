//! `docs/errors.md`: written from the tests that produce each error, committed, and compared with them by the tests themselves.

use crate::tools::{Failed, Result, cargo, headline};

const TEST: [&str; 5] = ["test", "--package", "kith-core", "--test", "errors"];

/// Writes the page, or only compares it with what the tests give.
pub(crate) fn run(write: bool) -> Result<()> {
    headline(if write { "writing docs/errors.md" } else { "comparing docs/errors.md with the tests" });
    let [task, arguments @ ..] = TEST;
    let mut tests = cargo(task);
    tests.args(arguments);
    if write {
        tests.env("KITH_WRITE_ERRORS", "1");
    }
    let status = tests.status().map_err(|error| Failed(format!("running cargo: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failed("the table of errors is not whole, or out of date".into()))
    }
}
