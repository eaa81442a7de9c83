//! Which tests ran, read from what the runners say, and kept for the page.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Language;
use crate::count::Count;
use crate::tools::{During, Result, target};

/// Whether each test that ran has passed; one that ran several times has, if it did each time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran(BTreeMap<String, bool>);

impl Ran {
    fn note(&mut self, name: &str, passed: bool) {
        *self.0.entry(name.to_owned()).or_insert(true) &= passed;
    }

    /// Adds what another run of the same tests, or of others, has shown.
    pub(crate) fn add(&mut self, other: Self) {
        for (name, passed) in other.0 {
            self.note(&name, passed);
        }
    }

    /// Why this test does not count, if it does not.
    pub(super) fn why_not(&self, name: &str) -> Option<&'static str> {
        match self.0.get(name) {
            None => Some("did not run"),
            Some(false) => Some("failed or was skipped"),
            Some(true) => None,
        }
    }

    /// "test module::name ... ok". What a test prints may stand between the dots and the word, on lines of its own.
    pub(crate) fn cargo(lines: &[String]) -> Self {
        let mut ran = Self::default();
        for line in lines {
            let Some((path, outcome)) = line.strip_prefix("test ").and_then(|line| line.split_once(" ... "))
            else {
                continue;
            };
            let name = path.trim_end_matches(" - should panic").rsplit("::").next().unwrap_or(path);
            ran.note(name, outcome == "ok");
        }
        ran
    }

    /// "ok name" or "FAILED name".
    pub(crate) fn plain(lines: &[String]) -> Self {
        let mut ran = Self::default();
        for line in lines {
            match line.split_once(' ') {
                Some(("ok", name)) => ran.note(name, true),
                Some(("FAILED", name)) => ran.note(name, false),
                _ => {}
            }
        }
        ran
    }

    /// "folder/test_x.py::test_name[case] PASSED   [ 12%]".
    pub(crate) fn pytest(lines: &[String]) -> Self {
        let mut ran = Self::default();
        for line in lines {
            let Some((_, rest)) = line.split_once(".py::") else { continue };
            let Some((name, outcome)) = split_outcome(rest) else { continue };
            ran.note(name.split('[').next().unwrap_or(name), outcome == "PASSED");
        }
        ran
    }

    /// Surefire's reports: `<testcase name="…">`, with an element inside if it failed or was skipped.
    pub(crate) fn surefire(report: &str) -> Self {
        let mut ran = Self::default();
        for case in report.split("<testcase ").skip(1) {
            let Some(name) = case.split_once("name=\"").and_then(|(_, rest)| rest.split('"').next()) else {
                continue;
            };
            let (head, body) = case.split_once('>').unwrap_or((case, ""));
            let inside =
                if head.ends_with('/') { "" } else { body.split("</testcase>").next().unwrap_or(body) };
            let bad = ["<failure", "<error", "<skipped"].iter().any(|element| inside.contains(element));
            // Parameters follow the name.
            let name = name.split(['(', '{']).next().unwrap_or(name).trim_end();
            ran.note(&unescaped(name), !bad);
        }
        ran
    }

    /// "✔ Test name(of:) with 3 test cases passed after 0.1 seconds." and "✘ Test name() failed after …".
    pub(crate) fn swift_testing(lines: &[String]) -> Self {
        let mut ran = Self::default();
        for line in lines {
            let Some((mark, rest)) = line.trim().split_once(" Test ") else { continue };
            let Some((name, said)) = rest.split_once('(') else { continue };
            if mark == "✔" && said.contains(" passed after ") {
                ran.note(name, true);
            } else if said.contains(" failed after ") || said.contains(") skipped") {
                ran.note(name, false);
            }
        }
        ran
    }

    fn text(&self) -> String {
        self.0
            .iter()
            .map(|(name, passed)| format!("{} {name}\n", if *passed { "ok" } else { "FAILED" }))
            .collect()
    }
}

/// The words of pytest, the last but a share in brackets.
fn split_outcome(rest: &str) -> Option<(&str, &str)> {
    const OUTCOMES: [&str; 6] = ["PASSED", "FAILED", "ERROR", "SKIPPED", "XFAIL", "XPASS"];
    OUTCOMES.iter().find_map(|outcome| {
        let (name, after) = rest.split_once(&format!(" {outcome}"))?;
        (after.is_empty() || after.starts_with(' ')).then_some((name, *outcome))
    })
}

fn unescaped(text: &str) -> String {
    let pairs = [("&quot;", "\""), ("&apos;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

fn path(language: Language) -> PathBuf {
    target().join("xtask/scenarios").join(language.part())
}

/// Keeps what ran.
pub(crate) fn keep(language: Language, ran: &Ran) -> Result<()> {
    let path = path(language);
    std::fs::create_dir_all(target().join("xtask/scenarios")).during("making a folder for what ran")?;
    std::fs::write(&path, ran.text()).during(format!("writing {}", path.display()))
}

/// What was kept, if anything was.
pub(super) fn kept(language: Language) -> Result<Option<Ran>> {
    let path = path(language);
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).during(format!("reading {}", path.display()))?;
    let lines: Vec<String> = text.lines().map(String::from).collect();
    Ok(Some(Ran::plain(&lines)))
}

fn path_of_part(part: &str) -> PathBuf {
    target().join("xtask/scenarios").join(format!("part-{part}"))
}

/// Keeps whether a part of the tests passed as a whole.
pub(crate) fn keep_part(part: &str, count: &Count) -> Result<()> {
    std::fs::create_dir_all(target().join("xtask/scenarios")).during("making a folder for what ran")?;
    let ran = Ran(BTreeMap::from([(part.to_owned(), is_shown(count))]));
    let path = path_of_part(part);
    std::fs::write(&path, ran.text()).during(format!("writing {}", path.display()))
}

/// A part that ran nothing has shown nothing.
const fn is_shown(count: &Count) -> bool {
    count.passed > 0 && count.failed == 0 && count.skipped == 0
}

/// Why a part of the tests has not shown what it is there for; none if it has.
pub(super) fn why_not_part(part: &str) -> Result<Option<&'static str>> {
    let path = path_of_part(part);
    let text = if path.is_file() {
        std::fs::read_to_string(&path).during(format!("reading {}", path.display()))?
    } else {
        String::new()
    };
    let lines: Vec<String> = text.lines().map(String::from).collect();
    Ok(Ran::plain(&lines).why_not(part))
}

/// Forgets what was kept: the tests run again.
pub(crate) fn forget(parts: &[&str]) -> Result<()> {
    let languages = Language::ALL.into_iter().filter(|language| parts.contains(&language.part())).map(path);
    for path in languages.chain(parts.iter().map(|part| path_of_part(part))) {
        if path.exists() {
            std::fs::remove_file(path).during("removing what ran before")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(String::from).collect()
    }

    fn ran(names: &[(&str, bool)]) -> Ran {
        Ran(names.iter().map(|(name, passed)| ((*name).to_owned(), *passed)).collect())
    }

    #[test]
    fn a_part_shows_something_only_if_all_of_it_ran_and_passed() {
        let count = |passed, failed, skipped| Count { passed, failed, skipped };
        let counts = [count(1, 0, 0), count(0, 0, 0), count(5, 1, 0), count(5, 0, 1)];
        assert_eq!(counts.map(|count| is_shown(&count)), [true, false, false, false]);
    }

    #[test]
    fn each_runners_words_are_known() {
        let cargo = "running 3 tests\ntest a::one ... ok\ntest two ... FAILED\ntest three ... ignored, why\ntest result: ok. 1 passed";
        assert_eq!(Ran::cargo(&lines(cargo)), ran(&[("one", true), ("two", false), ("three", false)]));
        assert_eq!(
            Ran::plain(&lines("ok one\nFAILED two\n1 passed, 1 failed")),
            ran(&[("one", true), ("two", false)])
        );
        let pytest = "a/test_x.py::test_one[ValueError no] PASSED     [  1%]\na/test_x.py::test_one[b] PASSED [ 2%]\n\
                      test_x.py::test_two SKIPPED (not here) [ 3%]\nFAILED test_x.py::test_two - AssertionError";
        assert_eq!(Ran::pytest(&lines(pytest)), ran(&[("test_one", true), ("test_two", false)]));
        let surefire = "<testcase name=\"it works, really(Path)\" classname=\"A\" time=\"1\"/>\n\
                        <testcase name=\"other{int}[1]\" time=\"1\">\n<failure message=\"x\"/></testcase>\n\
                        <testcase name=\"told\" time=\"1\">\n<system-out>x</system-out></testcase>";
        assert_eq!(
            Ran::surefire(surefire),
            ran(&[("it works, really", true), ("other", false), ("told", true)])
        );
        let swift = "◇ Test one() started.\n✔ Test one() passed after 0.1 seconds.\n\
                     ✔ Test two(of:) with 3 test cases passed after 0.1 seconds.\n✘ Test three() recorded an issue at A.swift\n\
                     ✘ Test three() failed after 1 seconds with 1 issue.\n➜ Test four() skipped.\n✔ Test run with 4 tests passed after 1 s.";
        let wanted = [("one", true), ("two", true), ("three", false), ("four", false)];
        assert_eq!(Ran::swift_testing(&lines(swift)), ran(&wanted));
    }

    #[test]
    fn one_failure_of_several_runs_is_a_failure() {
        let mut all = ran(&[("one", true), ("two", true)]);
        all.add(ran(&[("one", false)]));
        assert_eq!(
            (all.why_not("one").is_some(), all.why_not("two"), all.why_not("three")),
            (true, None, Some("did not run"))
        );
        assert_eq!(Ran::plain(&lines(&all.text())), all);
    }
}
