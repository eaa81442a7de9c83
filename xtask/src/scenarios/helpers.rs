//! The functions of a language's tests, and what a test does by itself and through them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Language;
use crate::borders::is_word;

/// A function, and the file that it is in.
struct Function {
    file: usize,
    /// Whether it belongs to nothing: only such are called from other files without a dot.
    free: bool,
    text: String,
}

/// All functions of a language's tests, by name.
#[derive(Default)]
pub(super) struct Functions {
    by_name: BTreeMap<String, Vec<Function>>,
    /// The folder of each file.
    folders: Vec<PathBuf>,
}

impl Functions {
    /// Takes in the functions of the next file, which lies in this folder. Each goes on until one begins that stands no deeper: functions inside it belong to it.
    pub(super) fn add(&mut self, language: Language, folder: &Path, text: &str) {
        let file = self.folders.len();
        self.folders.push(folder.to_owned());
        let depth = |line: &str| line.len() - line.trim_start().len();
        let lines: Vec<&str> = text.lines().collect();
        let begins: Vec<(usize, &str)> = lines
            .iter()
            .enumerate()
            .filter_map(|(number, line)| Some((number, name(language, line)?)))
            .collect();
        for (index, (start, name)) in begins.iter().enumerate() {
            let next =
                begins[index + 1..].iter().find(|(next, _)| depth(lines[*next]) <= depth(lines[*start]));
            let end = next.map_or(lines.len(), |(next, _)| *next);
            let function =
                Function { file, free: depth(lines[*start]) == 0, text: lines[*start..end].join("\n") };
            self.by_name.entry((*name).to_owned()).or_default().push(function);
        }
    }

    /// The text of a function of this file with those of the helpers that it calls, and so on. A helper is one of its own file, or else the
    /// only free one of its name in the folder, or else anywhere: of several nobody here knows which is meant.
    pub(super) fn with_helpers(&self, file: usize, name: &str) -> String {
        let mut seen = BTreeSet::from([(file, name.to_owned())]);
        let mut left = vec![(file, name.to_owned())];
        let mut text = String::new();
        while let Some((file, name)) = left.pop() {
            for function in self.of(file, &name) {
                text.push_str(&function.text);
                text.push('\n');
                for called in called(&function.text).filter(|called| self.by_name.contains_key(*called)) {
                    let files: BTreeSet<usize> =
                        self.of(file, called).iter().map(|function| function.file).collect();
                    let helper = files.first().map(|home| (*home, called.to_owned()));
                    left.extend(helper.filter(|helper| seen.insert(helper.clone())));
                }
            }
        }
        text
    }

    /// Those of this name in the file, or the one that is elsewhere.
    fn of(&self, file: usize, name: &str) -> Vec<&Function> {
        let all = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        let own: Vec<&Function> = all.iter().filter(|function| function.file == file).collect();
        if !own.is_empty() {
            return own;
        }
        let free: Vec<&Function> = all.iter().filter(|function| function.free).collect();
        let folder = |function: &&Function| self.folders[function.file] == self.folders[file];
        let near: Vec<&Function> = free.iter().copied().filter(folder).collect();
        [near, free].into_iter().find(|found| found.len() == 1).unwrap_or_default()
    }
}

/// The name of the function that a line begins, helpers included.
fn name(language: Language, line: &str) -> Option<&str> {
    if let Some(test) = language.function(line) {
        return Some(test);
    }
    let keyword = match language {
        Language::Rust => "fn ",
        Language::Kotlin => "fun ",
        Language::Swift => "func ",
        Language::Python => return None,
        // `static inline kith_event *next_of_kind(kith_events *events, uint32_t kind) {`
        Language::C if line.starts_with("static ") && line.ends_with(") {") => {
            let before = line.split('(').next()?;
            return Some(&before[before.rfind([' ', '*'])? + 1..]);
        }
        Language::C => return None,
    };
    let at = line
        .find(keyword)
        .filter(|at| line[..*at].chars().all(|c| c.is_ascii_lowercase() || " ()".contains(c)))?;
    let rest = &line[at + keyword.len()..];
    let name = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
    Some(name).filter(|name| !name.is_empty())
}

/// The names that are called in a text, but for those behind a dot, which are methods.
fn called(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('(').filter_map(|(end, _)| {
        let before = &text[..end];
        let start = before.rfind(|c| !is_word(c)).map_or(0, |at| at + 1);
        Some(&before[start..]).filter(|name| !name.is_empty() && !before[..start].ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_are_known() {
        for (language, line, wanted) in [
            (Language::Rust, "pub async fn equal(a: &Context, b: &Context) {", Some("equal")),
            (Language::Rust, "    pub(crate) fn closed<T>(answer: Result<T>) {", Some("closed")),
            (Language::Rust, "// the fn below", None),
            (
                Language::C,
                "static inline kith_event *next_of_kind(kith_events *events, uint32_t kind) {",
                Some("next_of_kind"),
            ),
            (Language::C, "    static_assert(sizeof(int) == 4, \"\");", None),
            (Language::Python, "    async def reader():", Some("reader")),
            (Language::Kotlin, "private suspend fun forget(place: Path): Id =", Some("forget")),
            (Language::Kotlin, "    fun `works`() {", Some("works")),
            (Language::Swift, "func equal(_ one: Context, _ other: Context) async throws {", Some("equal")),
            (Language::Swift, "/// A func of its own", None),
        ] {
            assert_eq!(name(language, line), wanted, "{line}");
        }
    }

    #[test]
    fn what_a_helper_does_the_test_does() {
        let mut functions = Functions::default();
        functions.add(
            Language::Python,
            Path::new("a"),
            "async def test_it():\n    await share(x)\n\n    async def inside():\n        a.leave()\n    b.put()\n\n\
             def share(x):\n    two(x)\n\ndef other():\n    c.never()\n",
        );
        functions.add(
            Language::Python,
            Path::new("b"),
            "def two(x):\n    x.join()\n\ndef share(x):\n    x.elsewhere()\n",
        );
        let text = functions.with_helpers(0, "test_it");
        for wanted in ["a.leave", "b.put", "x.join"] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        assert!(!text.contains("never") && !text.contains("elsewhere"), "{text}");
    }

    #[test]
    fn of_two_helpers_elsewhere_nobody_knows_which_it_is() {
        let mut functions = Functions::default();
        functions.add(Language::Rust, Path::new("a"), "fn test() {\n    open(1);\n    it.close();\n}\n");
        functions.add(
            Language::Rust,
            Path::new("a"),
            "fn open(a: u8) {\n    one();\n}\nfn close() {\n    method();\n}\n",
        );
        functions.add(
            Language::Rust,
            Path::new("a"),
            "impl It {\n    fn open(self) {\n        method();\n    }\n}\n",
        );
        assert!(functions.with_helpers(0, "test").contains("one()"));
        functions.add(Language::Rust, Path::new("b"), "fn open(a: u8) {\n    far();\n}\n");
        let text = functions.with_helpers(0, "test");
        assert!(text.contains("one()") && !text.contains("far()"), "the one that is near: {text}");
        functions.add(Language::Rust, Path::new("a"), "fn open(a: u8) {\n    two();\n}\n");
        let text = functions.with_helpers(0, "test");
        assert!(!text.contains("one()") && !text.contains("two()") && !text.contains("method"), "{text}");
    }
}
