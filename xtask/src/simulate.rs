//! Worlds of simulated nodes.

use crate::count::Count;
use crate::tools::{Failed, Options, Result, cargo, run, tee};

/// Passes everything on to the simulator; but for `--release`, which is how it is built.
pub(crate) fn simulate(words: &[&str]) -> Result<()> {
    let (release, words): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| **word == "--release");
    let profile = if release.is_empty() { "simulate" } else { "release" };
    run(simulator(profile, &words).arg("--").args(&words))
}

/// What CI has time for: the same worlds every time, and each broken rule found.
pub(crate) fn test(_options: &Options) -> Result<Count> {
    const RUNS: [&[&str]; 2] = [&["--seed", "1", "--worlds", "200", "--minutes", "4"], &["--defects"]];
    let mut total = Count::default();
    for words in RUNS {
        let (succeeded, lines) = tee(simulator("dev", words).arg("--").args(words))?;
        let count = lines.iter().rev().find_map(|line| counted(line));
        let count = count.ok_or_else(|| Failed("the simulator did not say how it went".into()))?;
        total += if succeeded || count.failed > 0 { count } else { Count { failed: 1, ..count } };
    }
    Ok(total)
}

/// `dev` has been built for the other tests; `simulate` takes a while to build, and runs ten times as fast.
fn simulator(profile: &str, words: &[&str]) -> std::process::Command {
    let mut command = cargo("run");
    command.args(["--quiet", "--package", "kith-simulator", "--profile", profile]);
    if words.contains(&"--defects") {
        command.args(["--features", "fault-switches"]);
    }
    command
}

/// The closing line: `N passed, N failed`.
fn counted(line: &str) -> Option<Count> {
    let (passed, failed) = line.strip_suffix(" failed")?.split_once(" passed, ")?;
    Some(Count { passed: passed.parse().ok()?, failed: failed.parse().ok()?, ..Count::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_closing_line_counts() {
        let count = counted("299 passed, 1 failed").map(|count| (count.passed, count.failed));
        assert_eq!(count, Some((299, 1)));
        assert!(counted("seed 3: 1 failed").is_none() && counted("passed, failed").is_none());
    }
}
