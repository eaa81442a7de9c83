//! What the Rust node has, and whether the borders have it: every function, option, field, event and kind, looked for in the source of each border.
//!
//! It reads text and knows no language: an item is there if its name stands, in the border's spelling, inside the declaration where it belongs.
//! That says nothing of what it does, which the tests of each language say; but nothing can be added to the node and be forgotten elsewhere.

mod items;

use std::collections::BTreeSet;
use std::path::Path;

use crate::tools::{During, Failed, Result, root};
use items::{EXCEPTIONS, Exception, GROUPS, Group, NOT_YET};

/// In the order of the columns.
const BORDERS: [(&str, &str, &str); 4] = [
    ("C", "ffi/capi/src", "rs"),
    ("Python", "bindings/python/kith", "py"),
    ("Kotlin", "bindings/kotlin/src/main/kotlin", "kt"),
    ("Swift", "bindings/swift/Sources", "swift"),
];

/// How an item of Rust is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Functions,
    Fields,
    Variants,
}

/// Prints the table. Fails if a border lacks something.
pub(crate) fn run() -> Result<()> {
    let table = table()?;
    println!("| in Rust | C | Python | Kotlin | Swift |\n| --- | --- | --- | --- | --- |");
    for (item, cells) in &table.rows {
        println!("| `{item}` | {} |", cells.join(" | "));
    }
    if table.holes.is_empty() { Ok(()) } else { Err(Failed(table.holes.join("\n"))) }
}

struct Table {
    rows: Vec<(String, Vec<String>)>,
    holes: Vec<String>,
}

fn table() -> Result<Table> {
    let mut sources = Vec::new();
    for (_, folder, ending) in BORDERS {
        let mut text = String::new();
        read_all(&root().join(folder), ending, &mut text)?;
        sources.push(text);
    }
    let mut table = Table { rows: Vec::new(), holes: Vec::new() };
    let mut used = BTreeSet::new();
    for group in GROUPS {
        let path = root().join("core/src").join(group.source);
        let source = std::fs::read_to_string(&path).during(format!("reading {}", path.display()))?;
        let names = names(group, &source);
        if names.is_empty() {
            table.holes.push(format!("{}: nothing of it is found in {}", group.name, group.source));
        }
        for name in names {
            let item = format!("{}::{name}", group.name);
            let cells = (0..BORDERS.len()).map(|border| {
                let place = &group.places[border];
                let exception =
                    EXCEPTIONS.iter().position(|e| e.item == item && e.borders.contains(BORDERS[border].0));
                let spelled = match exception.map(|index| (index, &EXCEPTIONS[index])) {
                    Some((index, Exception { spelled: None, why, .. })) => {
                        used.insert(index);
                        return format!("– ({why})");
                    }
                    Some((index, Exception { spelled: Some(spelled), .. })) => {
                        used.insert(index);
                        vec![(*spelled).to_owned()]
                    }
                    None => place.templates.iter().map(|template| fill(template, &name)).collect(),
                };
                let text = if exception.is_some() {
                    &sources[border]
                } else {
                    block(&sources[border], place.anchor)
                };
                match spelled.iter().find(|spelled| has(text, spelled)) {
                    Some(spelled) => format!("`{}`", spelled.trim_end_matches([':', '(', ' '])),
                    None if NOT_YET.contains(&item.as_str()) => "not yet".into(),
                    None => {
                        let border = BORDERS[border].0;
                        table.holes.push(format!("{border} lacks {item}: no `{}`", spelled.join("` or `")));
                        "**lacks it**".into()
                    }
                }
            });
            let cells: Vec<String> = cells.collect();
            if NOT_YET.contains(&item.as_str()) && !cells.iter().any(|cell| cell == "not yet") {
                table.holes.push(format!("{item} is in all borders, and said to be not there yet"));
            }
            table.rows.push((item, cells));
        }
    }
    for (index, exception) in EXCEPTIONS.iter().enumerate() {
        if !used.contains(&index) {
            table
                .holes
                .push(format!("an exception for nothing: {} in {}", exception.item, exception.borders));
        }
    }
    Ok(table)
}

fn read_all(folder: &Path, ending: &str, text: &mut String) -> Result<()> {
    let doing = || format!("reading {}", folder.display());
    let entries = std::fs::read_dir(folder).during(doing())?;
    let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read_all(&path, ending, text)?;
        } else if path.extension().is_some_and(|found| found == ending) {
            text.push_str(&std::fs::read_to_string(&path).during(format!("reading {}", path.display()))?);
        }
    }
    Ok(())
}

/// The public items of a declaration in Rust, in their order.
fn names(group: &Group, source: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in block(source, group.declaration).lines().skip(1) {
        let Some(line) = line.strip_prefix("    ").filter(|line| !line.starts_with(' ')) else { continue };
        let rest = match group.kind {
            Kind::Functions => line.strip_prefix("pub async fn ").or_else(|| line.strip_prefix("pub fn ")),
            Kind::Fields => line.strip_prefix("pub "),
            Kind::Variants => Some(line).filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase())),
        };
        let name = rest.and_then(|rest| rest.split(|c| !is_word(c)).next());
        names.extend(name.filter(|name| !name.is_empty()).map(String::from));
    }
    names
}

/// A declaration with what belongs to it: until a line that stands no deeper.
fn block<'a>(source: &'a str, anchor: &str) -> &'a str {
    if anchor.is_empty() {
        return source;
    }
    let Some(at) = source.find(anchor) else { return "" };
    let start = source[..at].rfind('\n').map_or(0, |end| end + 1);
    let depth = |line: &str| line.len() - line.trim_start().len();
    let from = &source[start..];
    let mut end = from.find('\n').map_or(from.len(), |end| end + 1);
    let own = depth(&from[..end]);
    for line in from[end..].split_inclusive('\n') {
        let text = line.trim();
        // Between a list of parameters and a body nothing ends.
        let within = text.starts_with("///") || text.starts_with(')') && text.ends_with('{');
        if !text.is_empty() && depth(line) <= own && !within {
            break;
        }
        end += line.len();
    }
    &from[..end]
}

pub(crate) fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// Whether it stands there, and not as a part of a longer word.
pub(crate) fn has(text: &str, spelled: &str) -> bool {
    text.match_indices(spelled).any(|(at, _)| {
        let before = text[..at].chars().next_back().filter(|c| is_word(*c));
        let behind = text[at + spelled.len()..].chars().next().filter(|c| is_word(*c));
        let (first, last) = (spelled.chars().next(), spelled.chars().next_back());
        !(before.is_some() && first.is_some_and(is_word) || behind.is_some() && last.is_some_and(is_word))
    })
}

/// Puts a name into a template, in the spelling that the template asks for.
pub(crate) fn fill(template: &str, name: &str) -> String {
    let words = words(name);
    let upper = |word: &String| word[..1].to_uppercase() + &word[1..];
    let pascal: String = words.iter().map(upper).collect();
    let camel: String = words.iter().take(1).cloned().chain(words.iter().skip(1).map(upper)).collect();
    template
        .replace("{snake}", &words.join("_"))
        .replace("{UPPER}", &words.join("_").to_uppercase())
        .replace("{camel}", &camel)
        .replace("{Pascal}", &pascal)
}

/// The words of a name in either spelling of Rust, in small letters.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for character in name.chars() {
        if character == '_'
            || (character.is_ascii_uppercase() && words.last().is_some_and(|word| !word.is_empty()))
        {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| character != '_') {
            word.push(character.to_ascii_lowercase());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_border_has_what_the_node_has() {
        let table = table().map_err(|Failed(why)| why).unwrap();
        assert!(table.rows.len() > 150, "only {} items were looked for", table.rows.len());
        assert_eq!(table.holes, [""; 0], "`cargo xtask borders` prints all of the table");
    }

    #[test]
    fn what_is_missing_is_missed() {
        let text = "class Node:\n    def resume(self):\n        pass\n\n    def sync_once_more(self):\n\nclass Other:\n    def suspend(self):\n";
        let node = block(text, "class Node:");
        assert!(has(node, "def resume(") && !has(node, "def suspend(") && has(text, "def suspend("));
        assert!(!has(node, "sync_once") && has(node, "sync_once_more"));
        assert_eq!(block(text, "class Nobody:"), "");
        assert_eq!(block("/// a\n/// b\npub fn c() {\n", "/// a"), "/// a\n/// b\n");
    }

    #[test]
    fn names_are_spelled_as_each_language_does() {
        for name in ["MemberJoined", "member_joined"] {
            assert_eq!(
                fill("{snake} {UPPER} {camel} {Pascal}", name),
                "member_joined MEMBER_JOINED memberJoined MemberJoined"
            );
        }
    }

    #[test]
    fn the_public_items_of_a_declaration_are_read() {
        let source = "impl Node {\n    pub async fn open(\n        options: Options,\n    ) {\n        pub fn not_this();\n    }\n\n    fn own() {}\n\n    \
                      pub(crate) fn inside() {}\n\n    pub fn id(&self) {}\n}\n\npub fn behind() {}\n\npub enum Event {\n    /// Words.\n    Executed {\n        \
                      again: bool,\n    },\n    Changed,\n}\n";
        let group = |declaration, kind| Group { declaration, kind, ..GROUPS[0] };
        assert_eq!(names(&group("impl Node {", Kind::Functions), source), ["open", "id"]);
        assert_eq!(names(&group("pub enum Event {", Kind::Variants), source), ["Executed", "Changed"]);
    }
}
