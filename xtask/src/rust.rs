//! The Rust tests of the whole workspace.

use crate::count::{self, Count};
use crate::tools::{Options, Result, cargo, tee};

/// Everything; then, in a build whose safety rules have switches, what shows that each rule is needed.
const RUNS: [&[&str]; 3] = [
    &["--workspace", "--no-fail-fast"],
    &["--package", "kith-core", "--features", "fault-switches", "--lib", "storage::"],
    &["--package", "kith-core", "--features", "fault-switches", "--test", "faults"],
];

pub(crate) fn test(_options: &Options) -> Result<Count> {
    let mut total = Count::default();
    for arguments in RUNS {
        let (succeeded, lines) = tee(cargo("test").args(arguments))?;
        total += Count::of(&lines, succeeded, count::cargo);
    }
    Ok(total)
}
