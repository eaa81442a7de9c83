//! The Rust tests of the whole workspace.

use crate::count::{self, Count};
use crate::guides::Typed;
use crate::scenarios::{self, Language, Ran};
use crate::tools::{During, Failed, Options, Result, capture, cargo, command, headline, root, tee};

/// Everything; then, in a build whose safety rules have switches, what shows that each rule is needed. Cargo gives dependencies the features that the
/// named packages ask for: with these three they have those of the whole workspace, and need not be compiled again.
const RUNS: [(&[&str], &[&str]); 3] = [
    (&["--workspace", "--no-fail-fast"], &[]),
    (&SWITCHED, &["--lib", "storage::"]),
    (&SWITCHED, &["--test", "faults", "--test", "events"]),
];
const SWITCHED: [&str; 5] =
    ["-pkith-core", "-pkith-uniffi", "-pxtask", "--features", "kith-core/fault-switches"];

pub(crate) fn test(_options: &Options) -> Result<Count> {
    let (mut total, mut ran) = (Count::default(), Ran::default());
    for (packages, tests) in RUNS {
        let (succeeded, lines) = tee(cargo("test").args(packages).args(tests))?;
        let mut count = Count::of(&lines, succeeded, count::cargo);
        count.skipped -= elsewhere(&lines).min(count.skipped);
        ran.add(Ran::cargo(&lines));
        total += count;
    }
    scenarios::keep(Language::Rust, &ran)?;
    headline("what the guide in Rust has its reader type");
    total.check("the guide in Rust", guide());
    Ok(total)
}

/// The project that the guide has its reader make can be built from what is there: its programs are compiled by the tests of the examples. It lies
/// outside of the workspace, which would take it for a member.
fn guide() -> Result<()> {
    let desk = std::env::temp_dir().join(format!("kith-guide-{}", std::process::id()));
    let list = desk.join("list");
    let typed = || {
        std::fs::create_dir_all(&desk).during("making a folder")?;
        // Nothing is fetched: what the workspace is built with is enough.
        Typed::of("docs/guide/rust.md")?.after("export CARGO_NET_OFFLINE=true").run(&desk, "")?;
        std::fs::copy(root().join("Cargo.lock"), list.join("Cargo.lock")).during("copying the lock file")?;
        let mut tree = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        tree.args(["tree", "--offline", "--depth", "1", "--manifest-path"]).arg(list.join("Cargo.toml"));
        let tree = String::from_utf8_lossy(&capture(&mut tree)?).into_owned();
        println!("{tree}");
        match ["─ kith-core v", "─ tokio v"].iter().find(|needed| !tree.contains(**needed)) {
            Some(missing) => Err(Failed(format!("the project has no `{missing}`"))),
            None => Ok(()),
        }
    };
    let outcome = typed();
    let removed = std::fs::remove_dir_all(&desk).during("removing the guide's project");
    outcome.and(removed)
}

/// How many of the ignored tests were not skipped: another test starts them as a process of its own (marked so: `#[ignore = "child of NAME:
/// …"]`), or they are the long form of one that ran and passed (`#[ignore = "long form of NAME: …"]`).
fn elsewhere(lines: &[String]) -> u64 {
    let passed = |name: &str| {
        lines
            .iter()
            .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... ok"))
            .any(|test| test.rsplit("::").next() == Some(name))
    };
    let there = |line: &&String| {
        let Some((_, why)) = line.strip_prefix("test ").and_then(|line| line.split_once(" ... ignored, "))
        else {
            return false;
        };
        let long = why.strip_prefix("long form of ").and_then(|why| why.split_once(':'));
        why.starts_with("child of ") || long.is_some_and(|(short, _)| passed(short))
    };
    lines.iter().filter(there).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ran_elsewhere_or_in_small_is_no_skipped_test() {
        let lines = [
            "test storage::child ... ignored, child of killed: writes until it dies",
            "test storage::slow ... ignored, takes too long",
            "test away::small ... ok",
            "test away::large ... ignored, long form of small: minutes",
            "test away::other ... ignored, long form of broken: minutes",
            "test away::broken ... FAILED",
            "test storage::other ... ignored",
            "said: test ... ignored, child of",
        ];
        assert_eq!(elsewhere(&lines.map(String::from)), 2);
    }
}
