//! Long runs of what a loss of power, damage and a full disk leave of a store.

use crate::tools::{Failed, Result, cargo, run};

/// In the profile that is quick to run; every word is passed on. The short run is one of the Rust tests.
pub(crate) fn powerloss(words: &[&str]) -> Result<()> {
    if words.contains(&"--help") {
        return Err(Failed(
            "cargo xtask powerloss [--images N] [--seed S] [--engine E] [--all] [TEST …]\n\
             cargo xtask powerloss --recording FILE --seed S [--images N] [--image K]\n\
             N images for each engine; --all: each fault and each damage, not only some"
                .into(),
        ));
    }
    let mut tests = cargo("test");
    tests.args(["--package", "kith-core", "--profile", "simulate", "--test", "power", "--", "powerloss"]);
    run(tests.args(words))
}
