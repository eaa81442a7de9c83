//! Two processes that write and are killed with SIGKILL, again and again.

use crate::tools::{Failed, Result, cargo, run};

/// The long form; the short one is among the Rust tests.
pub(crate) fn kills(words: &[&str]) -> Result<()> {
    if words.contains(&"--help") {
        return Err(Failed(
            "cargo xtask kills [--rounds N] [--engine E]; 1,000 rounds with redb unless told otherwise"
                .into(),
        ));
    }
    let rounds: &[&str] = if words.contains(&"--rounds") { &[] } else { &["--rounds", "1000"] };
    let mut test = cargo("test");
    test.args(["--package", "kith-core", "--test", "killed", "--"]);
    run(test.args(rounds).args(words))
}
