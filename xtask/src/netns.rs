//! Nodes as processes in network namespaces, in a bad network.

use crate::count::{self, Count};
use crate::tools::{Failed, Options, Result, cargo, run, tee};

const TEST: [&str; 4] = ["--package", "kith-core", "--test", "netns"];

/// The long form. It prints what it saw; the same seed gives the same faults.
pub(crate) fn netns(words: &[&str]) -> Result<()> {
    if words.contains(&"--help") {
        return Err(Failed(
            "cargo xtask netns [--minutes N | --seconds N] [--seed S]; needs root, and /dev/net/tun".into(),
        ));
    }
    crate::setup::programs()?;
    run(cargo("test").args(TEST).arg("--").args(words))
}

/// What the tests run: each fault once, which takes a minute.
pub(crate) fn test(_options: &Options) -> Result<Count> {
    let (succeeded, lines) = tee(cargo("test").args(TEST))?;
    Ok(Count::of(&lines, succeeded, count::cargo))
}
