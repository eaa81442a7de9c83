//! The tests that `docs/security.md` and the table of acceptance in `docs/encryption.md` name are there.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// The section of a page that begins with this heading.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let from = page.find(&format!("\n## {heading}\n")).expect("the section is there") + 1;
    let rest = &page[from..];
    rest[3..].find("\n## ").map_or(rest, |end| &rest[..end + 3])
}

fn sources(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for directory in ["core/src", "core/tests", "simulator/src", "simulator/tests"] {
        sources(&root().join(directory), &mut found);
    }
    found
}

/// What is written as `file: test` between backticks.
fn named(text: &str) -> BTreeSet<(String, String)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter_map(|text| text.split_once(".rs: "))
        .map(|(file, test)| (format!("{file}.rs"), test.into()))
        .collect()
}

/// Whether a file of this name (with as much of its path as is said) has this test.
fn is_there(sources: &[(PathBuf, String)], file: &str, test: &str) -> bool {
    let function = format!("fn {test}(");
    // Written in two pieces, or it would be found here.
    let main = ["fn main", "()"].concat();
    sources.iter().any(|(path, text)| {
        let before = text.find(&function).map(|at| &text[..at]);
        // A test, or what a main of its own calls as one.
        path.ends_with(file)
            && before.is_some_and(|before| {
                let above = before.rsplit('}').next().unwrap_or_default();
                above.contains("test") || text.contains(&main)
            })
    })
}

#[test]
fn every_test_that_is_named_is_there() {
    let sources = all_sources();
    let (security, encryption) = (page("security.md"), page("encryption.md"));
    let acceptance = section(&encryption, "Acceptance");
    for (what, text, least) in [("security.md", security.as_str(), 15), ("encryption.md", acceptance, 30)] {
        let tests = named(text);
        assert!(tests.len() >= least, "{what} names {} tests", tests.len());
        let missing: Vec<_> = tests.iter().filter(|(file, test)| !is_there(&sources, file, test)).collect();
        assert!(missing.is_empty(), "{what} names what is not there: {missing:?}");
    }
    // The 23 of the specification, each with a test, or with the words that say that there is none.
    for number in 1..=23 {
        let line = acceptance.lines().find(|line| line.starts_with(&format!("| {number} |")));
        let line = line.unwrap_or_else(|| panic!("{number} is not in the table"));
        assert!(!named(line).is_empty() || line.contains("not shown"), "{number} has no test");
    }
    // So has each line of the first table of the other page, after its heading and the rule below it.
    let rows: Vec<_> =
        section(&security, "Who can do what").lines().filter(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 12);
    for row in &rows[2..] {
        assert!(!named(row).is_empty() || row.contains("not shown"), "no test: {row}");
    }
}

#[test]
fn what_is_not_there_is_noticed() {
    let sources = all_sources();
    let tests =
        named("`gossip.rs: never_was`, `no_file.rs: x` and `named_tests.rs: what_is_not_there_is_noticed`");
    let there: Vec<bool> = tests.iter().map(|(file, test)| is_there(&sources, file, test)).collect();
    assert_eq!(there, [false, true, false], "{tests:?}");
    assert!(!is_there(&sources, "named_tests.rs", "page"), "a function that is no test");
}

/// Lines of a source without blanks, comments, and the tests, which come last.
fn lines(source: &str) -> usize {
    let code = source.split("\n#[cfg(test)]\nmod ").next().unwrap();
    code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

#[test]
fn what_members_agree_on_stays_small() {
    let mut found = Vec::new();
    sources(&root().join("core/src/encryption"), &mut found);
    let counted = found.iter().filter(|(path, _)| !path.ends_with("fuzzing.rs"));
    let (names, rest): (Vec<_>, Vec<_>) = counted.partition(|(path, _)| path.ends_with("trouble.rs"));
    let sum = |files: &[&(PathBuf, String)]| files.iter().map(|(_, text)| lines(text)).sum::<usize>();
    let (names, rest) = (sum(&names), sum(&rest));
    println!("{rest} lines, and {names} of names for what can be wrong");
    assert!(rest < 800 && rest + names < 900, "{rest} lines, and {names} of names for what can be wrong");
    // The controls: all of it was looked at, and code is counted, nothing else.
    assert!(found.len() >= 10 && rest > 500 && names > 50, "{} files, {rest} and {names} lines", found.len());
    assert_eq!(
        lines("//! What.\n\nfn a() {\n    // why\n    b();\n}\n\n#[cfg(test)]\nmod tests {\n    x\n}\n"),
        3
    );
}
