//! How large the shipped libraries are: `docs/size.md`, one line for each time that it was measured.

use std::path::{Path, PathBuf};

use crate::install;
use crate::tools::{
    During, Failed, Result, capture, cargo, command, empty_folder, headline, root, run, target,
};

/// More growth than this, of any library, needs a line that says why.
const FREE: u64 = 100 * 1024;

/// What is shipped, and the package that it is built from.
const LIBRARIES: [(&str, &str); 3] =
    [("libkith.so", "kith-capi"), ("libkith.a", "kith-capi"), ("libkith_uniffi.so", "kith-uniffi")];

/// What stands in the table of a library that was not measured then.
const NOT_MEASURED: &str = "–";

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    commit: String,
    /// In bytes, in the order of `LIBRARIES`; `None`: it was not measured then.
    sizes: [Option<u64>; 3],
    why: String,
}

impl Entry {
    fn line(&self) -> String {
        let [shared, archive, uniffi] =
            self.sizes.map(|size| size.map_or_else(|| NOT_MEASURED.to_owned(), grouped));
        format!("| {} | {shared} | {archive} | {uniffi} | {} |", self.commit, self.why)
    }

    /// `None` if the line is none of the ledger's entries.
    fn parse(line: &str) -> Option<Self> {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [commit, shared, archive, uniffi, why] = cells.as_slice() else { return None };
        let size = |cell: &str| match cell {
            NOT_MEASURED => Some(None),
            _ => cell.replace(',', "").parse().ok().map(Some),
        };
        Some(Self {
            commit: (*commit).to_owned(),
            sizes: [size(shared)?, size(archive)?, size(uniffi)?],
            why: (*why).to_owned(),
        })
    }

    /// What grew by more than is free since another entry. `None`: nothing.
    fn growth_since(&self, before: &Self) -> Option<String> {
        let pairs = LIBRARIES.iter().zip(self.sizes.iter().zip(&before.sizes));
        let grown: Vec<String> = pairs
            .filter_map(|((name, _), (now, then))| Some((name, (*now)?, (*then)?)))
            .filter(|(_, now, then)| now.saturating_sub(*then) > FREE)
            .map(|(name, now, then)| format!("{name} by {} bytes", grouped(now - then)))
            .collect();
        (!grown.is_empty()).then(|| grown.join(", "))
    }
}

/// With a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn path() -> PathBuf {
    root().join("docs/size.md")
}

fn ledger() -> Result<String> {
    std::fs::read_to_string(path()).during("reading docs/size.md")
}

fn entries(ledger: &str) -> Vec<Entry> {
    ledger.lines().filter_map(Entry::parse).collect()
}

/// The first entry that grew by more than is free and does not say why.
fn unexplained(entries: &[Entry]) -> Option<String> {
    let pair =
        entries.windows(2).find(|pair| pair[1].why.is_empty() && pair[1].growth_since(&pair[0]).is_some())?;
    Some(format!("{}: {}, and no line says why", pair[1].commit, pair[1].growth_since(&pair[0])?))
}

/// The size of a library without its symbols.
pub(crate) fn stripped(library: &Path, folder: &Path) -> Result<u64> {
    let copy = folder.join(library.file_name().unwrap_or_default());
    run(command("strip").arg("--strip-all").arg("-o").arg(&copy).arg(library))?;
    Ok(std::fs::metadata(&copy).during("measuring")?.len())
}

/// The size of the static library as it is installed, without the symbols that nobody needs for linking with it.
fn archive(library: &Path, folder: &Path) -> Result<u64> {
    let copy = folder.join("libkith.a");
    run(command("strip").arg("--strip-unneeded").arg("-o").arg(&copy).arg(install::reduced(library)?))?;
    Ok(std::fs::metadata(&copy).during("measuring")?.len())
}

/// Builds the libraries as they are shipped (profile `dist`: minutes) and measures them.
fn measured(why: &str) -> Result<Entry> {
    headline("building what is shipped (profile dist)");
    // One after the other: what one of them needs of a crate is not for the other.
    let folder = empty_folder("size")?;
    let mut sizes = [None; 3];
    for (size, (name, package)) in sizes.iter_mut().zip(LIBRARIES) {
        run(cargo("build").args(["--profile", "dist", "--lib", "--package", package]))?;
        let library = target().join("dist").join(name);
        *size = Some(if name.ends_with(".a") {
            archive(&library, &folder)?
        } else {
            stripped(&library, &folder)?
        });
    }
    let commit = capture(command("git").args(["describe", "--always", "--dirty", "--abbrev=7"]))?;
    let commit = String::from_utf8_lossy(&commit).trim().to_owned();
    Ok(Entry { commit, sizes, why: why.to_owned() })
}

/// Measures, and adds a line; with `check`, only compares with the last one.
pub(crate) fn measure(check: bool, why: &str) -> Result<()> {
    if why.contains(['|', '\n']) {
        return Err(Failed("what says why stands in one cell of a table".into()));
    }
    let text = ledger()?;
    let before = entries(&text);
    if let Some(fault) = unexplained(&before) {
        return Err(Failed(fault));
    }
    let now = measured(why)?;
    println!("{}", now.line());
    if let Some(growth) = before.last().and_then(|last| now.growth_since(last))
        && (check || why.is_empty())
    {
        return Err(Failed(format!(
            "since the last entry grew {growth}: add one that says why (cargo xtask size --why \"…\")"
        )));
    }
    if check {
        return Ok(());
    }
    let text = format!("{}\n{}\n", text.trim_end(), now.line());
    std::fs::write(path(), text).during("writing docs/size.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sizes: [Option<u64>; 3], why: &str) -> Entry {
        Entry { commit: "abcdef0".into(), sizes, why: why.into() }
    }

    #[test]
    fn the_ledger_keeps_its_rule() {
        let text = ledger().unwrap();
        assert!(text.contains("| commit | libkith.so | libkith.a | libkith_uniffi.so | why it grew |"));
        let entries = entries(&text);
        // No line of the table is passed over.
        let (_, table) = text.split_once("| --- |").unwrap();
        assert_eq!(entries.len(), table.lines().count() - 1);
        assert_eq!(unexplained(&entries), None);
    }

    #[test]
    fn an_entry_is_read_as_it_is_written_and_other_lines_are_none() {
        let one = entry([Some(7_123_456), None, Some(999)], "a second engine");
        assert_eq!(one.line(), "| abcdef0 | 7,123,456 | – | 999 | a second engine |");
        assert_eq!(Entry::parse(&one.line()), Some(one));
        for other in [
            "",
            "text",
            "| commit | libkith.so | libkith.a | libkith_uniffi.so | why it grew |",
            "| --- | --- | --- | --- | --- |",
        ] {
            assert_eq!(Entry::parse(other), None);
        }
    }

    #[test]
    fn growth_needs_a_reason_from_a_certain_size_on() {
        let first = entry([Some(1_000_000), None, Some(1_000_000)], "");
        let free = entry([Some(1_000_000 + FREE), Some(9_000_000), Some(1)], "");
        let over = entry([Some(1), Some(1), Some(1_000_001 + FREE)], "");
        assert_eq!(unexplained(&[first.clone(), free]), None);
        assert!(
            unexplained(&[first.clone(), over.clone()])
                .unwrap()
                .contains("libkith_uniffi.so by 102,401 bytes")
        );
        assert_eq!(unexplained(&[first, Entry { why: "what it was for".into(), ..over }]), None);
    }
}
