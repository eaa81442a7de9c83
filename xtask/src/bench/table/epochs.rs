//! What epochs and messages cost, by how many members there are.

use super::{Figures, shown};
use crate::tools::{Failed, Result};

const SUITES: [(&str, &str); 2] = [("x25519", "X25519"), ("xwing", "X-Wing")];
const MEMBERS: [usize; 5] = [2, 16, 128, 512, 1_000];
const WHAT: [(&str, &str); 5] = [
    ("bytes", "an epoch: bytes, all wraps included"),
    ("make.ms", "an epoch, made: ms"),
    ("take.ms", "an epoch, taken in: ms"),
    ("seal.us", "a message of 1 KiB, sealed and signed: µs"),
    ("open.us", "a message of 1 KiB, checked and opened: µs"),
];
#[cfg(test)]
pub(super) const ROWS: usize = SUITES.len() * WHAT.len();

fn named(suite: &str, members: usize, what: &str) -> String {
    format!("epoch.{suite}.{members}.{what}")
}

/// All that the table has.
#[cfg(test)]
pub(super) fn figures() -> impl Iterator<Item = String> {
    SUITES.into_iter().flat_map(|(suite, _)| {
        MEMBERS.into_iter().flat_map(move |members| WHAT.map(|(what, _)| named(suite, members, what)))
    })
}

impl Figures {
    /// `None` where nothing of it was measured.
    pub(super) fn epochs(&self, all: bool) -> Result<Option<String>> {
        if !all && !self.0.keys().any(|name| name.starts_with("epoch.")) {
            return Ok(None);
        }
        let mut lines = vec![
            format!("| members | {} |", MEMBERS.map(|members| shown(members as f64)).join(" | ")),
            format!("| --- |{}", " ---: |".repeat(MEMBERS.len())),
        ];
        for (suite, title) in SUITES {
            for (what, text) in WHAT {
                let cells: Vec<String> = MEMBERS
                    .iter()
                    .map(|members| {
                        let name = named(suite, *members, what);
                        let figure = self.0.get(&name).map(|number| shown(*number));
                        figure.ok_or_else(|| Failed(format!("{name} was not measured")))
                    })
                    .collect::<Result<_>>()?;
                lines.push(format!("| {title}, {text} | {} |", cells.join(" | ")));
            }
        }
        Ok(Some(lines.join("\n")))
    }
}
