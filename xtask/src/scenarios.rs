//! One list of scenarios for all languages (`bindings/scenarios.toml`): compared with the sources of the tests, and with what ran.

mod helpers;
mod ran;
mod sources;
mod spelling;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::borders::has;
use crate::count::Count;
use crate::failures;
use crate::tools::{During, Failed, Result, headline, root};
pub(crate) use ran::{Ran, forget, keep, keep_part};
use sources::Sources;
use spelling::{call_spellings, event_spelling, spelling};

const LIST: &str = "bindings/scenarios.toml";
const PAGE: &str = "docs/support-matrix.md";

/// A language of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Language {
    Rust,
    C,
    Python,
    Kotlin,
    Swift,
}

impl Language {
    pub(crate) const ALL: [Self; 5] = [Self::Rust, Self::C, Self::Python, Self::Kotlin, Self::Swift];

    /// What the part of the tests is called that runs this language's.
    pub(crate) const fn part(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Python => "python",
            Self::Kotlin => "kotlin",
            Self::Swift => "swift",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::C => "C",
            Self::Python => "Python",
            Self::Kotlin => "Kotlin",
            Self::Swift => "Swift",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    api: Vec<String>,
    unprovoked: BTreeMap<String, String>,
    scenario: Vec<Scenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    id: String,
    chapter: String,
    says: String,
    #[serde(default)]
    calls: Vec<String>,
    #[serde(default)]
    kinds: Vec<String>,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    without: BTreeMap<String, String>,
    part: Option<String>,
}

impl Scenario {
    fn is_for(&self, language: Language) -> bool {
        self.part.is_none() && !self.without.contains_key(language.part())
    }
}

impl List {
    fn read() -> Result<Self> {
        let text = std::fs::read_to_string(root().join(LIST)).during(format!("reading {LIST}"))?;
        toml::from_str(&text).during(format!("reading {LIST}"))
    }

    /// What is wrong with the list itself; `kinds` and `events` are those of the library.
    fn faults(&self, kinds: &BTreeSet<String>, events: &BTreeSet<String>) -> Vec<String> {
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        for scenario in &self.scenario {
            if !seen.insert(&scenario.id) {
                faults.push(format!("{}: is there twice", scenario.id));
            }
            for call in scenario.calls.iter().filter(|call| !self.api.contains(call)) {
                faults.push(format!("{}: `{call}` is not in `api`", scenario.id));
            }
            for kind in scenario.kinds.iter().filter(|kind| !kinds.contains(*kind)) {
                faults.push(format!("{}: `{kind}` is no kind of failure", scenario.id));
            }
            let is_part = |part: &String| crate::PARTS.iter().any(|(name, _)| name == part);
            if let Some(part) = scenario.part.as_ref().filter(|part| !is_part(part)) {
                faults.push(format!("{}: `{part}` is no part of the tests", scenario.id));
            }
            for name in scenario.without.keys() {
                if Language::ALL.iter().all(|language| language.part() != name) {
                    faults.push(format!("{}: `{name}` is no language", scenario.id));
                }
            }
        }
        let shown: BTreeSet<_> = self.scenario.iter().flat_map(|scenario| &scenario.calls).collect();
        faults.extend(
            self.api.iter().filter(|call| !shown.contains(call)).map(|c| format!("no scenario shows `{c}`")),
        );
        let received: BTreeSet<_> =
            self.scenario.iter().flat_map(|scenario| &scenario.events).cloned().collect();
        faults.extend(events.difference(&received).map(|event| format!("no scenario receives `{event}`")));
        faults.extend(received.difference(events).map(|event| format!("`{event}` is no kind of event")));
        let provoked: BTreeSet<_> = self.scenario.iter().flat_map(|scenario| &scenario.kinds).collect();
        for kind in kinds {
            match (provoked.contains(kind), self.unprovoked.contains_key(kind)) {
                (false, false) => faults.push(format!("no scenario provokes `{kind}`")),
                (true, true) => faults.push(format!("`{kind}` is provoked and is in `unprovoked`")),
                _ => {}
            }
        }
        faults
    }

    /// What the sources of a language lack, or have too much.
    fn compared(&self, language: Language, sources: &Sources) -> Vec<String> {
        let mut faults = sources.faults.clone();
        for scenario in &self.scenario {
            let tests = sources.of(&scenario.id);
            if !scenario.is_for(language) {
                if !tests.is_empty() {
                    faults.push(format!("{}: is there though the list says that it is not", scenario.id));
                }
                continue;
            }
            if tests.is_empty() {
                faults.push(format!("{}: no test", scenario.id));
            }
            if tests.is_empty() {
                continue;
            }
            for call in &scenario.calls {
                let spelled = call_spellings(language, call);
                if !spelled.iter().any(|spelled| tests.iter().any(|test| has(&test.text, spelled))) {
                    faults.push(format!(
                        "{}: its tests do not call `{call}`: no `{}`",
                        scenario.id,
                        spelled.join("` or `")
                    ));
                }
            }
            let kinds = scenario.kinds.iter().map(|kind| spelling(language, kind));
            let events = scenario.events.iter().map(|event| event_spelling(language, event));
            for spelled in kinds.chain(events) {
                if !tests.iter().any(|test| test.file.contains(&spelled)) {
                    faults.push(format!("{}: its tests do not name `{spelled}`", scenario.id));
                }
            }
        }
        for id in sources.ids() {
            if self.scenario.iter().all(|scenario| scenario.id != id) {
                faults.push(format!("{id}: is not in {LIST}"));
            }
        }
        faults
    }

    /// The page, as it is when everything has run and passed.
    fn page(&self) -> String {
        let mut page = String::from(
            "# What works in which language\n\n\
             Written by `cargo xtask scenarios` from [the list of scenarios](../bindings/scenarios.toml) and the tests that ran; `cargo xtask test` fails if a\n\
             test is missing, did not run or failed, or if this page is not what they give. ✓: a test of that language shows it.\n\n",
        );
        let mut chapter = "";
        let mut notes: Vec<&str> = Vec::new();
        for scenario in &self.scenario {
            if scenario.chapter != chapter {
                chapter = &scenario.chapter;
                page += &format!("## {chapter}\n\n| scenario |");
                for language in Language::ALL {
                    page += &format!(" {} |", language.title());
                }
                page += "\n| --- | --- | --- | --- | --- | --- |\n";
            }
            page += &format!("| `{}`: {} |", scenario.id, scenario.says);
            for language in Language::ALL {
                match scenario.without.get(language.part()) {
                    None => page += " ✓ |",
                    Some(why) => {
                        let number = notes.iter().position(|note| note == why).unwrap_or(notes.len());
                        if number == notes.len() {
                            notes.push(why);
                        }
                        page += &format!(" ({}) |", number + 1);
                    }
                }
            }
            page += "\n";
            if self.last_of_chapter(scenario) {
                page += "\n";
            }
        }
        for (number, note) in notes.iter().enumerate() {
            page += &format!("{}. {note}\n", number + 1);
        }
        page += "\n## Which scenario shows a call\n\n| call | scenarios |\n| --- | --- |\n";
        for call in &self.api {
            page += &format!("| `{call}` | {} |\n", self.with(|scenario| scenario.calls.contains(call)));
        }
        page += "\n## Which scenario provokes a kind of failure\n\n| kind | scenarios |\n| --- | --- |\n";
        let kinds: BTreeSet<_> = self.scenario.iter().flat_map(|scenario| &scenario.kinds).collect();
        for kind in kinds {
            page += &format!("| `{kind}` | {} |\n", self.with(|scenario| scenario.kinds.contains(kind)));
        }
        for (kind, why) in &self.unprovoked {
            page += &format!("| `{kind}` | none: {why} |\n");
        }
        page += "\n## Which scenario receives a kind of event\n\n| event | scenarios |\n| --- | --- |\n";
        let events: BTreeSet<_> = self.scenario.iter().flat_map(|scenario| &scenario.events).collect();
        for event in events {
            page += &format!("| `{event}` | {} |\n", self.with(|scenario| scenario.events.contains(event)));
        }
        page
    }

    fn last_of_chapter(&self, scenario: &Scenario) -> bool {
        self.scenario
            .iter()
            .rfind(|other| other.chapter == scenario.chapter)
            .is_some_and(|last| last.id == scenario.id)
    }

    fn with(&self, wanted: impl Fn(&Scenario) -> bool) -> String {
        let ids = self
            .scenario
            .iter()
            .filter(|scenario| wanted(scenario))
            .map(|scenario| format!("`{}`", scenario.id));
        ids.collect::<Vec<_>>().join(", ")
    }

    /// The scenarios that a part of the tests shows in all languages together, where that part did not pass.
    fn not_shown_together(&self, asked: impl Fn(&str) -> bool) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        for scenario in &self.scenario {
            let Some(part) = scenario.part.as_deref().filter(|part| asked(part)) else { continue };
            if let Some(why) = ran::why_not_part(part)? {
                faults.push(format!("{}: `cargo xtask test {part}` {why}", scenario.id));
            }
        }
        Ok(faults)
    }

    /// The scenarios of a language whose tests did not all run and pass.
    fn not_shown(&self, language: Language, sources: &Sources, ran: &Ran) -> Vec<String> {
        let mut faults = Vec::new();
        for scenario in self.scenario.iter().filter(|scenario| scenario.is_for(language)) {
            let tests = sources.of(&scenario.id);
            if tests.is_empty() {
                faults.push(format!("{}: no test", scenario.id));
            }
            for test in tests {
                if let Some(why) = ran.why_not(&test.name) {
                    faults.push(format!("{}: `{}` {why}", scenario.id, test.name));
                }
            }
        }
        faults
    }
}

/// The kinds of failure, from the header, where each but the first has its number.
fn kinds() -> Result<BTreeSet<String>> {
    let header = std::fs::read_to_string(root().join("include/kith.h")).during("reading include/kith.h")?;
    let body = header
        .split_once("} kith_status;")
        .and_then(|(before, _)| before.rsplit_once("typedef enum {"))
        .map(|(_, body)| body)
        .ok_or_else(|| Failed("include/kith.h has no kith_status".into()))?;
    let names = body.lines().filter_map(|line| {
        let name = line.trim().strip_prefix("KITH_")?.split([' ', ',', '=']).next()?;
        (name != "OK").then(|| title(name))
    });
    Ok(names.collect())
}

/// The kinds of event, from the header too; one of them stands for those that a program does not know.
fn events() -> Result<BTreeSet<String>> {
    let header = std::fs::read_to_string(root().join("include/kith.h")).during("reading include/kith.h")?;
    let names = header.lines().filter_map(|line| line.strip_prefix("#define KITH_EVENT_")?.split(' ').next());
    Ok(names.filter(|name| *name != "OTHER").map(title).collect())
}

/// "NOT_MEMBER" is "NotMember".
fn title(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + &rest.to_lowercase()
    };
    name.split('_').map(word).collect()
}

fn told(faults: &[String]) -> Result<()> {
    for fault in faults {
        failures::tell(&format!("scenarios: {fault}"));
    }
    if faults.is_empty() { Ok(()) } else { Err(Failed(format!("scenarios: {} faults", faults.len()))) }
}

/// Compares list, sources and page, without running anything.
pub(crate) fn check() -> Result<()> {
    headline("comparing the scenarios with the sources of all languages' tests");
    let list = List::read()?;
    let mut faults = list.faults(&kinds()?, &events()?);
    for language in Language::ALL {
        let found = list.compared(language, &Sources::read(language)?);
        faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", language.title())));
    }
    if std::fs::read_to_string(root().join(PAGE)).unwrap_or_default() != list.page() {
        faults.push(format!("{PAGE} is out of date: `cargo xtask test`, then `cargo xtask scenarios`"));
    }
    told(&faults)?;
    println!("{} scenarios are there in each language that has them", list.scenario.len());
    Ok(())
}

/// Writes the page, if the tests of all languages have run and shown everything that it says.
pub(crate) fn write() -> Result<()> {
    let list = List::read()?;
    let mut faults = list.faults(&kinds()?, &events()?);
    for language in Language::ALL {
        let sources = Sources::read(language)?;
        let mut found = list.compared(language, &sources);
        match ran::kept(language)? {
            Some(ran) => found.extend(list.not_shown(language, &sources, &ran)),
            None => found.push(format!("`cargo xtask test {}` was not run", language.part())),
        }
        faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", language.title())));
    }
    faults.extend(list.not_shown_together(|_| true)?);
    told(&faults)?;
    std::fs::write(root().join(PAGE), list.page()).during(format!("writing {PAGE}"))?;
    println!("{PAGE}: {} scenarios", list.scenario.len());
    Ok(())
}

/// Whether one of these parts shows a scenario.
pub(crate) fn concern(parts: &[&str]) -> Result<bool> {
    let together = List::read()?.scenario;
    let mut together = together.iter().filter_map(|scenario| scenario.part.as_deref());
    Ok(together.any(|part| parts.contains(&part))
        || Language::ALL.iter().any(|language| parts.contains(&language.part())))
}

/// Judges what the parts that have just run have shown. A fault counts as a failed test.
pub(crate) fn judge(parts: &[&str]) -> Result<Count> {
    let list = List::read()?;
    let mut faults = list.faults(&kinds()?, &events()?);
    let mut shown = 0;
    for language in Language::ALL.into_iter().filter(|language| parts.contains(&language.part())) {
        let sources = Sources::read(language)?;
        let mut found = list.compared(language, &sources);
        match ran::kept(language)? {
            Some(ran) => found.extend(list.not_shown(language, &sources, &ran)),
            None => found.push("none of its tests ran".to_owned()),
        }
        let all = list.scenario.iter().filter(|scenario| scenario.is_for(language)).count();
        if found.is_empty() {
            println!("{}: all {all} scenarios are shown", language.title());
            shown += 1;
        }
        faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", language.title())));
    }
    faults.extend(list.not_shown_together(|part| parts.contains(&part))?);
    if std::fs::read_to_string(root().join(PAGE)).unwrap_or_default() != list.page() {
        faults.push(format!("{PAGE} is out of date: `cargo xtask scenarios`"));
    }
    let _ = told(&faults);
    Ok(Count { passed: shown, failed: faults.len() as u64, skipped: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> List {
        toml::from_str(text).expect("it is a list")
    }

    const SMALL: &str = "api = [\"put\"]\n[unprovoked]\nInternal = \"no\"\n\
        [[scenario]]\nid = \"one\"\nchapter = \"A\"\nsays = \"S.\"\ncalls = [\"put\"]\nkinds = [\"NotMember\"]\nevents = [\"KeyTrouble\"]\nwithout.c = \"why\"\n";

    fn two_kinds() -> BTreeSet<String> {
        ["NotMember", "Internal"].map(String::from).into()
    }

    fn one_event() -> BTreeSet<String> {
        ["KeyTrouble".to_owned()].into()
    }

    #[test]
    fn a_list_is_whole_or_says_what_it_lacks() {
        assert_eq!(list(SMALL).faults(&two_kinds(), &one_event()), Vec::<String>::new());
        let mut more = two_kinds();
        more.insert("Busy".into());
        assert_eq!(list(SMALL).faults(&more, &one_event()), ["no scenario provokes `Busy`"]);
        let wrong =
            SMALL.replace("calls = [\"put\"]", "calls = [\"get\"]").replace("without.c", "without.cobol");
        assert_eq!(list(&wrong).faults(&two_kinds(), &one_event()).len(), 3);
        let missing = ["no scenario receives `Lagged`", "`KeyTrouble` is no kind of event"];
        assert_eq!(list(SMALL).faults(&two_kinds(), &["Lagged".to_owned()].into()), missing);
    }

    #[test]
    fn a_test_that_is_missing_or_did_not_run_is_told() {
        let list = list(SMALL);
        let tagged = Sources::of_text(
            Language::Python,
            "# scenario: one\ndef test_it():\n    raises(kith.NotMemberError)\n    kith.KeyTrouble\n    helper()\n\
             def helper():\n    x.put(1)\n",
        );
        assert_eq!(list.compared(Language::Python, &tagged), Vec::<String>::new());
        let ran = Ran::pytest(&["x/test_a.py::test_it PASSED [ 50%]".to_owned()]);
        assert_eq!(list.not_shown(Language::Python, &tagged, &ran), Vec::<String>::new());
        assert_eq!(
            list.not_shown(Language::Python, &tagged, &Ran::default()),
            ["one: `test_it` did not run"]
        );
        let failed = Ran::pytest(&["x/test_a.py::test_it FAILED".to_owned()]);
        assert_eq!(
            list.not_shown(Language::Python, &tagged, &failed),
            ["one: `test_it` failed or was skipped"]
        );

        let nothing = Sources::of_text(Language::Python, "def test_it():\n");
        assert_eq!(list.compared(Language::Python, &nothing), ["one: no test"]);
        let unkind = Sources::of_text(Language::Python, "# scenario: one, two\ndef test_it():\n");
        assert_eq!(
            list.compared(Language::Python, &unkind),
            [
                "one: its tests do not call `put`: no `.put(`",
                "one: its tests do not name `kith.NotMemberError`",
                "one: its tests do not name `kith.KeyTrouble`",
                &format!("two: is not in {LIST}"),
            ]
        );
        let too_much = Sources::of_text(Language::C, "/* scenario: one */\nstatic void it(void) {\n");
        assert_eq!(list.compared(Language::C, &too_much).len(), 1);
        assert_eq!(list.not_shown(Language::C, &too_much, &Ran::default()), Vec::<String>::new());
    }

    #[test]
    fn the_page_has_a_mark_or_a_reason_for_each() {
        let page = list(SMALL).page();
        assert!(page.contains("| `one`: S. | ✓ | (1) | ✓ | ✓ | ✓ |\n\n1. why\n"), "{page}");
        assert!(page.contains("| `put` | `one` |") && page.contains("| `Internal` | none: no |"), "{page}");
    }

    #[test]
    fn the_header_has_the_kinds() {
        let kinds = kinds().expect("the header is there");
        assert_eq!(title("NOT_MEMBER"), "NotMember");
        assert!(kinds.len() == 26 && kinds.contains("ApplicationMissing"), "{kinds:?}");
        let events = events().expect("the header is there");
        assert!(events.len() == 20 && events.contains("KeyTrouble"), "{events:?}");
    }
}
