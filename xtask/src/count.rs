//! How many tests passed, read from the closing lines of the test runners.

use std::fmt;
use std::ops::AddAssign;

use crate::failures;
use crate::tools::{Failed, Result};

/// A count of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

impl Count {
    /// From a runner's output: `select` picks the part of a line that has the numbers, if it is a closing line.
    pub(crate) fn of<'a>(
        lines: &'a [String],
        succeeded: bool,
        select: impl Fn(&'a str) -> Option<&'a str>,
    ) -> Self {
        let mut count = Self::default();
        for numbers in lines.iter().filter_map(|line| select(line)) {
            count += Self::parse(numbers);
        }
        count.judged(lines, succeeded)
    }

    /// A runner that failed without a failed test to show for it (it did not compile, it was killed) counts as one.
    fn judged(mut self, lines: &[String], succeeded: bool) -> Self {
        if !succeeded || self.failed > 0 {
            self.failed = self.failed.max(1);
            failures::keep_of_runner(lines);
        }
        self
    }

    /// Adds a check that passes or fails as a whole.
    pub(crate) fn check(&mut self, name: &str, outcome: Result<()>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(Failed(message)) => {
                failures::tell(&format!("{name}: {message}"));
                self.failed += 1;
            }
        }
    }

    /// Sums every "NUMBER word" of a closing line. Words that say nothing about a test are passed over.
    fn parse(line: &str) -> Self {
        let words: Vec<&str> =
            line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let mut count = Self::default();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" => count.passed += number,
                "failed" | "error" | "errors" => count.failed += number,
                "skipped" | "ignored" | "xfailed" | "deselected" => count.skipped += number,
                _ => {}
            }
        }
        count
    }
}

/// The closing line of a Rust test binary: "test result: ok. 8 passed; 0 failed; 1 ignored; …".
pub(crate) fn cargo(line: &str) -> Option<&str> {
    line.strip_prefix("test result: ")
}

/// The closing line of pytest: "==== 12 passed, 1 skipped in 0.50s ====", with or without the frame.
pub(crate) fn pytest(line: &str) -> Option<&str> {
    let line = line.trim_matches(['=', ' ']);
    let (numbers, seconds) = line.rsplit_once(" in ")?;
    let time = seconds.split(' ').next()?.strip_suffix('s')?;
    (time.parse::<f64>().is_ok() && numbers.starts_with(|c: char| c.is_ascii_digit())).then_some(numbers)
}

/// The closing line of the C tests: "5 passed, 0 failed, 1 skipped", or without the last two words.
pub(crate) fn plain(line: &str) -> Option<&str> {
    const KINDS: [&str; 3] = ["passed", "failed", "skipped"];
    let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let shape = [4, 6].contains(&words.len())
        && words
            .chunks(2)
            .zip(KINDS)
            .all(|(pair, kind)| pair[0].parse::<u64>().is_ok() && pair.get(1) == Some(&kind));
    shape.then_some(line)
}

/// The closing line of Surefire, without those of the single classes: "[INFO] Tests run: 7, Failures: 1, Errors: 0, Skipped: 2".
pub(crate) fn surefire(lines: &[String], succeeded: bool) -> Count {
    let mut count = Count::default();
    for line in lines.iter().filter(|line| !line.contains("Time elapsed")) {
        let Some((_, numbers)) = line.split_once("Tests run: ") else { continue };
        let numbers: Vec<u64> =
            numbers.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
        if let [run, failures, errors, skipped] = numbers[..] {
            let failed = failures + errors;
            count += Count { passed: run.saturating_sub(failed + skipped), failed, skipped };
        }
    }
    count.judged(lines, succeeded)
}

/// The lines of Swift Testing: "✔ Test run with 59 tests passed after 6.6 seconds.", and before it one for each failed test, "✘ Test
/// name() failed after 0.1 seconds with 1 issue.", and each skipped one, "➜ Test name() skipped."
pub(crate) fn swift_testing(lines: &[String], succeeded: bool) -> Count {
    let mut count = Count::default();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [_, "Test", "run", "with", number, "tests" | "test", ..] if words.contains(&"after") => {
                count.passed += number.parse::<u64>().unwrap_or(0);
            }
            ["✘", "Test", _, "failed", "after", ..] => count.failed += 1,
            ["➜", "Test", _, skipped, ..] if skipped.starts_with("skipped") => count.skipped += 1,
            _ => {}
        }
    }
    count.passed = count.passed.saturating_sub(count.failed + count.skipped);
    count.judged(lines, succeeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(passed: u64, failed: u64, skipped: u64) -> Count {
        Count { passed, failed, skipped }
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(String::from).collect()
    }

    #[test]
    fn cargos_lines_are_summed() {
        let output = lines(
            "running 3 tests\ntest a ... ok\n\
             test result: ok. 8 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.00s\n\
             test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
        );
        assert_eq!(Count::of(&output, false, cargo), count(10, 3, 1));
    }

    #[test]
    fn swifts_failed_and_skipped_tests_are_not_among_the_passed() {
        let output = lines(
            "✘ Test one() recorded an issue at A.swift:1:2: Expectation failed\n✘ Test one() failed after 1.0 seconds with 1 issue.\n\
             ➜ Test two() skipped.\n✘ Suite S failed after 1.0 seconds with 1 issue.\n\
             ✘ Test run with 9 tests failed after 2.0 seconds with 1 issue.",
        );
        assert_eq!(swift_testing(&output, false), count(7, 1, 1));
        let fine = lines(
            "◇ Test run started.\n✔ Test a() passed after 1.0 seconds.\n✔ Test run with 59 tests passed after 6.6 seconds.",
        );
        assert_eq!(swift_testing(&fine, true), count(59, 0, 0));
        assert_eq!(swift_testing(&lines("error: no such module"), false), count(0, 1, 0));
    }

    #[test]
    fn a_runner_that_died_counts_as_a_failure() {
        assert_eq!(Count::of(&lines("error: could not compile"), false, cargo), count(0, 1, 0));
        assert_eq!(Count::of(&lines("5 passed, 0 failed"), false, plain), count(5, 1, 0));
        assert_eq!(Count::of(&lines("5 passed, 2 failed"), false, plain), count(5, 2, 0));
    }

    #[test]
    fn pytests_lines_are_known_in_all_their_shapes() {
        let closing = |line: &str| Count::of(&lines(line), true, pytest);
        assert_eq!(closing("==== 12 passed, 1 skipped, 2 xfailed in 0.50s ===="), count(12, 0, 3));
        assert_eq!(closing("1 failed, 2 passed, 1 error in 61.00s (0:01:01)"), count(2, 2, 0));
        assert_eq!(closing("3 passed in a hurry"), count(0, 0, 0));
        assert_eq!(closing("wrote 3 passed tests in 2s"), count(0, 0, 0));
    }

    #[test]
    fn surefires_closing_line_counts_once() {
        let classes =
            "[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0.4 s -- in A\n";
        let closing = |line: &str, good| surefire(&lines(&format!("{classes}{line}")), good);
        assert_eq!(
            closing("[WARNING] Tests run: 7, Failures: 0, Errors: 0, Skipped: 2", true),
            count(5, 0, 2)
        );
        assert_eq!(
            closing("[ERROR] Tests run: 7, Failures: 1, Errors: 2, Skipped: 0", false),
            count(4, 3, 0)
        );
        assert_eq!(closing("[ERROR] COMPILATION ERROR", false), count(0, 1, 0));
    }

    #[test]
    fn only_the_closing_line_of_a_c_test_counts() {
        let output = lines("ok it has 3 passed, 4 failed inside\n7 passed, 1 failed");
        assert_eq!(Count::of(&output, false, plain), count(7, 1, 0));
        let output = lines(
            "skipped it: 3 passed, 4 failed, 5 skipped\n7 passed, 0 failed, 2 skipped\n1 passed, 2 skipped",
        );
        assert_eq!(Count::of(&output, true, plain), count(7, 0, 2));
    }

    #[test]
    fn the_last_line_has_the_shape_that_is_promised() {
        assert_eq!(count(1, 0, 2).to_string(), "1 passed, 0 failed, 2 skipped");
    }
}
