//! What failed, told where it happens and again at the end: of a long output often the end is all that is left.

use std::sync::{Mutex, PoisonError};

/// How many are told again, and how many characters of each.
const KEPT: usize = 100;
const LENGTH: usize = 500;

static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Says that something failed.
pub(crate) fn tell(what: &str) {
    eprintln!("failed: {what}");
    keep(what);
}

/// Keeps what a runner has said of itself: its failed tests, or that it failed without one.
pub(crate) fn keep_of_runner(lines: &[String]) {
    let mut named = lines.iter().filter(|line| names_a_failure(line)).peekable();
    if named.peek().is_none() {
        keep("a runner that named no test: it did not build, or was killed");
    }
    named.for_each(|line| keep(line.trim()));
}

fn keep(what: &str) {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.len() < KEPT {
        told.push(what.chars().take(LENGTH).collect());
    }
}

/// Everything that was told, and forgets it.
pub(crate) fn all() -> Vec<String> {
    std::mem::take(&mut *TOLD.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The lines by which cargo, pytest and the C tests, Surefire and Swift Testing name a test that failed.
fn names_a_failure(line: &str) -> bool {
    (line.starts_with("test ") && line.ends_with(" ... FAILED"))
        || line.starts_with("FAILED ")
        || line.starts_with("ERROR ")
        || line.starts_with("[ERROR]   ")
        || (line.starts_with("✘ Test ") && line.contains(" recorded an issue "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runners_failed_tests_are_known() {
        let output = [
            "test a::one ... FAILED",
            "test two ... ok",
            "x/test_a.py::test_it FAILED [ 50%]",
            "FAILED x/test_a.py::test_it - AssertionError",
            "ERROR x/test_b.py - SyntaxError",
            "[ERROR] Tests run: 7, Failures: 1, Errors: 0, Skipped: 0",
            "[ERROR]   LogTest.some:12 expected: <1> but was: <2>",
            "✘ Test one() recorded an issue at A.swift:1:2: Expectation failed",
            "✘ Test one() failed after 1.0 seconds with 1 issue.",
            "[INFO]   fine",
        ];
        let named: Vec<usize> = (0..output.len()).filter(|at| names_a_failure(output[*at])).collect();
        assert_eq!(named, [0, 3, 4, 6, 7]);
    }
}
