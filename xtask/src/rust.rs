//! The Rust tests of the whole workspace.

use crate::count::{self, Count};
use crate::scenarios::{self, Language, Ran};
use crate::tools::{Options, Result, cargo, tee};

/// Everything; then, in a build whose safety rules have switches, what shows that each rule is needed.
const RUNS: [&[&str]; 3] = [
    &["--workspace", "--no-fail-fast"],
    &["--package", "kith-core", "--features", "fault-switches", "--lib", "storage::"],
    &["--package", "kith-core", "--features", "fault-switches", "--test", "faults"],
];

pub(crate) fn test(_options: &Options) -> Result<Count> {
    let (mut total, mut ran) = (Count::default(), Ran::default());
    for arguments in RUNS {
        let (succeeded, lines) = tee(cargo("test").args(arguments))?;
        let mut count = Count::of(&lines, succeeded, count::cargo);
        count.skipped -= children(&lines).min(count.skipped);
        ran.add(Ran::cargo(&lines));
        total += count;
    }
    scenarios::keep(Language::Rust, &ran)?;
    Ok(total)
}

/// How many of the ignored tests were not skipped, because another test starts them as a process of its own. They are
/// marked so: `#[ignore = "child of NAME: …"]`.
fn children(lines: &[String]) -> u64 {
    let child = |line: &&String| line.starts_with("test ") && line.contains(" ... ignored, child of ");
    lines.iter().filter(child).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_children_are_no_skipped_tests() {
        let lines = [
            "test storage::child ... ignored, child of killed: writes until it dies",
            "test storage::slow ... ignored, takes too long",
            "test storage::other ... ignored",
            "said: test ... ignored, child of",
        ];
        assert_eq!(children(&lines.map(String::from)), 1);
    }
}
