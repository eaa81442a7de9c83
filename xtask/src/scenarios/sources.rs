//! Where the tests are, and which scenarios they say that they show.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Language;
use super::helpers::Functions;
use crate::tools::{During, Result, root};

impl Language {
    const fn sources(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Rust => ("core/tests", &["rs"]),
            Self::C => ("ffi/capi/tests", &["c", "h"]),
            Self::Python => ("bindings/python/tests", &["py"]),
            Self::Kotlin => ("bindings/kotlin/src/test", &["kt"]),
            Self::Swift => ("bindings/swift/Tests", &["swift"]),
        }
    }

    /// The name of the function that a line begins, if it begins one.
    pub(super) fn function(self, line: &str) -> Option<&str> {
        let line = line.trim_start();
        let behind = |word: &str| line.split_once(word).map(|(_, rest)| rest);
        let rest = match self {
            Self::Rust => line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))?,
            Self::C => line.strip_prefix("static void ").filter(|rest| rest.contains("(void) {"))?,
            Self::Python => line.strip_prefix("async def ").or_else(|| line.strip_prefix("def "))?,
            Self::Kotlin => match line.strip_prefix("fun `") {
                Some(rest) => return rest.split('`').next(),
                None => line.strip_prefix("fun ")?,
            },
            Self::Swift if line.starts_with("func ") || line.starts_with("@Test") => behind("func ")?,
            Self::Swift => return None,
        };
        rest.split(['(', '<']).next()
    }
}

/// A test that shows a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) name: String,
    /// The text of its file.
    pub(super) file: Arc<str>,
    /// Its own text, and that of the helpers that it calls.
    pub(super) text: String,
    /// The number of its file.
    number: usize,
}

/// The tests of a language that show scenarios.
#[derive(Default)]
pub(super) struct Sources {
    tests: BTreeMap<String, Vec<Test>>,
    /// Every function, to tell names that are there twice.
    names: BTreeMap<String, u32>,
    functions: Functions,
    files: usize,
    pub(super) faults: Vec<String>,
}

impl Sources {
    pub(super) fn read(language: Language) -> Result<Self> {
        let (folder, endings) = language.sources();
        let mut files = Vec::new();
        collect(&root().join(folder), endings, &mut files)?;
        files.sort();
        let mut sources = Self::default();
        for file in files {
            let text = std::fs::read_to_string(&file).during(format!("reading {}", file.display()))?;
            sources.add(language, file.parent().unwrap_or(&file), &text);
        }
        sources.finish();
        Ok(sources)
    }

    #[cfg(test)]
    pub(super) fn of_text(language: Language, text: &str) -> Self {
        let mut sources = Self::default();
        sources.add(language, Path::new(""), text);
        sources.finish();
        sources
    }

    pub(super) fn of(&self, id: &str) -> &[Test] {
        self.tests.get(id).map_or(&[], Vec::as_slice)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.tests.keys().map(String::as_str)
    }

    fn add(&mut self, language: Language, folder: &Path, text: &str) {
        let file: Arc<str> = text.into();
        let number = self.files;
        self.files += 1;
        self.functions.add(language, folder, text);
        let mut wanted: Vec<&str> = Vec::new();
        for line in text.lines() {
            if let Some(tags) = tags(line) {
                wanted.extend(tags);
                continue;
            }
            let Some(name) = language.function(line) else { continue };
            *self.names.entry(name.to_owned()).or_default() += 1;
            let test = Test { name: name.to_owned(), file: Arc::clone(&file), text: String::new(), number };
            for id in wanted.drain(..) {
                self.tests.entry(id.to_owned()).or_default().push(test.clone());
            }
        }
        self.faults.extend(wanted.iter().map(|id| format!("{id}: no function follows its comment")));
    }

    /// A test is known by its name alone: what ran under it must be the one that is meant.
    fn finish(&mut self) {
        for test in self.tests.values_mut().flatten() {
            test.text = self.functions.with_helpers(test.number, &test.name);
        }
        let twice: BTreeSet<&str> = self
            .tests
            .values()
            .flatten()
            .map(|test| test.name.as_str())
            .filter(|name| self.names.get(*name).is_some_and(|count| *count > 1))
            .collect();
        self.faults.extend(
            twice.into_iter().map(|name| format!("`{name}` is there twice: which one shows a scenario?")),
        );
    }
}

/// What follows `scenario: ` in a comment that has nothing else in it.
fn tags(line: &str) -> Option<impl Iterator<Item = &str>> {
    let line = line.trim();
    let text =
        line.strip_prefix("//").or_else(|| line.strip_prefix("/*")).or_else(|| line.strip_prefix('#'))?;
    let tags = text.trim_end_matches("*/").trim().strip_prefix("scenario:")?;
    Some(tags.split(',').map(str::trim))
}

fn collect(folder: &Path, endings: &[&str], files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).during(format!("reading {}", folder.display()))? {
        let path = entry.during("reading a folder")?.path();
        if path.is_dir() {
            collect(&path, endings, files)?;
        } else if path.extension().is_some_and(|found| endings.iter().any(|ending| found == *ending)) {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_languages_functions_are_known() {
        for (language, line, name) in [
            (Language::Rust, "    async fn it_works() {", "it_works"),
            (Language::C, "static void it_works(void) {", "it_works"),
            (Language::Python, "async def test_it(tmp_path):", "test_it"),
            (
                Language::Kotlin,
                "    fun `it works, over a restart`(@TempDir folder: Path) = test {",
                "it works, over a restart",
            ),
            (Language::Kotlin, "    fun works() {", "works"),
            (
                Language::Swift,
                "    @Test(arguments: [\"\"]) func itWorks(text: String) async throws {",
                "itWorks",
            ),
            (Language::Swift, "    func itWorks() {", "itWorks"),
        ] {
            assert_eq!(language.function(line), Some(name), "{line}");
        }
        assert_eq!(Language::C.function("static int execute(void *x) {"), None);
        assert_eq!(Language::Rust.function("let fn = 1;"), None);
    }

    #[test]
    fn a_comment_is_for_the_next_function() {
        let text = "// scenario: a, b\n#[test]\nfn one() {\n    fn inside() {}\n}\nfn two() {}\n";
        let sources = Sources::of_text(Language::Rust, text);
        let [test] = sources.of("a") else { panic!("one test") };
        assert!(test.name == "one" && test.file.contains("two"), "{test:?}");
        assert_eq!(sources.of("b"), sources.of("a"));
        assert_eq!(sources.of("c"), []);
    }

    #[test]
    fn names_that_are_there_twice_and_tags_of_nothing_are_faults() {
        let twice = "# scenario: a\ndef test_one():\n    pass\ndef test_one():\n    pass\n";
        assert_eq!(Sources::of_text(Language::Python, twice).faults.len(), 1);
        assert_eq!(Sources::of_text(Language::Python, "x = 1\n# scenario: a\n").faults.len(), 1);
        assert_eq!(Sources::of_text(Language::Python, "# a scenario: that is told\n").faults.len(), 0);
    }
}
