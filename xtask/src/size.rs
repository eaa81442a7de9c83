//! How large the shipped libraries are: `docs/size.md`, one line for each time that it was measured.

use std::path::{Path, PathBuf};

use crate::tools::{
    During, Failed, Result, capture, cargo, command, empty_folder, headline, root, run, target,
};

/// More growth than this, of either library, needs a line that says why.
const FREE: u64 = 100 * 1024;

/// What is shipped, and the package that it is built from.
const LIBRARIES: [(&str, &str); 2] = [("libkith.so", "kith-capi"), ("libkith_uniffi.so", "kith-uniffi")];

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    commit: String,
    /// In bytes, in the order of `LIBRARIES`.
    sizes: [u64; 2],
    why: String,
}

impl Entry {
    fn line(&self) -> String {
        let [capi, uniffi] = self.sizes.map(grouped);
        format!("| {} | {capi} | {uniffi} | {} |", self.commit, self.why)
    }

    /// `None` if the line is none of the ledger's entries.
    fn parse(line: &str) -> Option<Self> {
        let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let [commit, capi, uniffi, why] = cells.as_slice() else { return None };
        let size = |cell: &str| cell.replace(',', "").parse().ok();
        Some(Self {
            commit: (*commit).to_owned(),
            sizes: [size(capi)?, size(uniffi)?],
            why: (*why).to_owned(),
        })
    }

    /// What grew by more than is free since another entry. `None`: nothing.
    fn growth_since(&self, before: &Self) -> Option<String> {
        let pairs = LIBRARIES.iter().zip(self.sizes.iter().zip(&before.sizes));
        let grown: Vec<String> = pairs
            .filter(|(_, (now, then))| now.saturating_sub(**then) > FREE)
            .map(|((name, _), (now, then))| format!("{name} by {} bytes", grouped(now - then)))
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

/// Builds both libraries as they are shipped (profile `dist`: minutes) and measures them.
fn measured(why: &str) -> Result<Entry> {
    headline("building what is shipped (profile dist)");
    // One after the other: what one of them needs of a crate is not for the other.
    let folder = empty_folder("size")?;
    let mut sizes = [0; 2];
    for (size, (name, package)) in sizes.iter_mut().zip(LIBRARIES) {
        run(cargo("build").args(["--profile", "dist", "--lib", "--package", package]))?;
        *size = stripped(&target().join("dist").join(name), &folder)?;
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

    fn entry(sizes: [u64; 2], why: &str) -> Entry {
        Entry { commit: "abcdef0".into(), sizes, why: why.into() }
    }

    #[test]
    fn the_ledger_keeps_its_rule() {
        let text = ledger().unwrap();
        assert!(text.contains("| commit | libkith.so | libkith_uniffi.so | why it grew |"));
        assert_eq!(unexplained(&entries(&text)), None);
    }

    #[test]
    fn an_entry_is_read_as_it_is_written_and_other_lines_are_none() {
        let one = entry([7_123_456, 999], "a second engine");
        assert_eq!(one.line(), "| abcdef0 | 7,123,456 | 999 | a second engine |");
        assert_eq!(Entry::parse(&one.line()), Some(one));
        for other in [
            "",
            "text",
            "| commit | libkith.so | libkith_uniffi.so | why it grew |",
            "| --- | --- | --- | --- |",
        ] {
            assert_eq!(Entry::parse(other), None);
        }
    }

    #[test]
    fn growth_needs_a_reason_from_a_certain_size_on() {
        let first = entry([1_000_000, 1_000_000], "");
        let free = entry([1_000_000 + FREE, 1], "");
        let over = entry([1, 1_000_001 + FREE], "");
        assert_eq!(unexplained(&[first.clone(), free]), None);
        assert!(
            unexplained(&[first.clone(), over.clone()])
                .unwrap()
                .contains("libkith_uniffi.so by 102,401 bytes")
        );
        assert_eq!(unexplained(&[first, Entry { why: "what it was for".into(), ..over }]), None);
    }
}
