//! `docs/errors.md`: checked against the table, and written from it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use kith_core::ErrorKind;

use crate::cannot::{REASONS, words_that_mean_nothing};
use crate::table::{CALLS, Table, calls_of_the_source};

/// Set by `cargo xtask errors`: the page is written and not compared.
const WRITE: &str = "KITH_WRITE_ERRORS";

pub(crate) fn check(table: &Table) {
    let source: BTreeSet<String> = calls_of_the_source().into_iter().collect();
    let known: BTreeSet<String> = CALLS.iter().map(ToString::to_string).collect();
    let new: Vec<_> = source.difference(&known).collect();
    let gone: Vec<_> = known.difference(&source).collect();
    assert!(new.is_empty(), "calls without a row (core/tests/errors/table.rs): {new:?}");
    assert!(gone.is_empty(), "rows of calls that are not there: {gone:?}");
    assert_eq!(words_that_mean_nothing(), [""; 0], "words in the reasons that mean no call");
    assert!(
        table.wrong.is_empty(),
        "{} calls answered otherwise:\n{}",
        table.wrong.len(),
        table.wrong.join("\n")
    );
    let by = |case: &str| table.shown.values().flatten().any(|by| *by == case);
    let unused: Vec<_> = table.cases.iter().filter(|case| !by(case)).collect();
    assert!(unused.is_empty(), "these cases showed nothing: {unused:?}");
    let mut wrong = Vec::new();
    for call in CALLS {
        for kind in ErrorKind::ALL {
            let shown = table.shown.contains_key(&(*call, kind));
            let reasons = REASONS.iter().filter(|reason| reason.covers(call, kind)).count();
            match (shown, reasons) {
                (true, 0) | (false, 1) => {}
                (false, 0) => wrong.push(format!("empty: {call} {kind}")),
                (true, _) => wrong.push(format!("shown, and said to be impossible: {call} {kind}")),
                (false, _) => wrong.push(format!("{reasons} reasons: {call} {kind}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
    let page = render(table);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, page).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let line = page.lines().zip(committed.lines()).take_while(|(a, b)| a == b).count();
    assert!(
        page == committed,
        "docs/errors.md is out of date from line {} on: run `cargo xtask errors`\n  tests:     {}\n  committed: {}",
        line + 1,
        page.lines().nth(line).unwrap_or("(ends)"),
        committed.lines().nth(line).unwrap_or("(ends)")
    );
}

fn letter(index: usize) -> String {
    let letter = |n: usize| char::from(b'a' + u8::try_from(n).unwrap());
    if index < 26 {
        letter(index).to_string()
    } else {
        format!("{}{}", letter(index / 26 - 1), letter(index % 26))
    }
}

fn render(table: &Table) -> String {
    let mut page = String::from(
        "# Errors: which call fails with which kind\n\n\
         Written by `cargo xtask errors` from `core/tests/errors`, which carries out every case below and fails if a cell is empty, if a case did not\n\
         run, or if this page is another one. A **number** is the case in which the call failed with that kind; a letter, the reason why it cannot.\n\
         The kinds are the same in every language (`ErrorKind`, `KITH_…`, `kith.KithError`); what each means stands in `core/src/error.rs`.\n\n",
    );
    let number = |case: &str| table.cases.iter().position(|other| *other == case).map_or(0, |at| at + 1);
    // The kinds in two tables, or it would be too wide to read.
    for kinds in ErrorKind::ALL.chunks(13) {
        page.push_str("| call |");
        page.extend(kinds.iter().map(|kind| format!(" {kind} |")));
        page.push_str("\n| --- |");
        kinds.iter().for_each(|_| page.push_str(" --- |"));
        page.push('\n');
        for call in CALLS {
            let _ = write!(page, "| `{call}` |");
            for kind in kinds {
                let cell = match table.shown.get(&(*call, *kind)) {
                    Some(cases) => {
                        let numbers: Vec<String> =
                            cases.iter().map(|case| number(case).to_string()).collect();
                        format!("**{}**", numbers.join(", "))
                    }
                    None => REASONS
                        .iter()
                        .position(|reason| reason.covers(call, *kind))
                        .map_or_else(String::new, letter),
                };
                let _ = write!(page, " {cell} |");
            }
            page.push('\n');
        }
        page.push('\n');
    }
    page.push_str("## Cases\n\n");
    for (index, case) in table.cases.iter().enumerate() {
        let kinds: BTreeSet<String> = table
            .shown
            .iter()
            .filter(|(_, by)| by.contains(case))
            .map(|((_, kind), _)| format!("`{kind}`"))
            .collect();
        let kinds: Vec<String> = kinds.into_iter().collect();
        let _ = writeln!(page, "{}. {case}: {}", index + 1, kinds.join(", "));
    }
    page.push_str("\n## Reasons\n\n");
    for (index, reason) in REASONS.iter().enumerate() {
        let kinds: Vec<String> = reason.kinds.iter().map(|kind| format!("`{kind}`")).collect();
        let _ = writeln!(page, "- **{}** ({}): {}", letter(index), kinds.join(", "), reason.text);
    }
    page
}
