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
/// At most so much, with the most members: of acceptance test 20.
const GOALS: [(&str, &str, f64); 5] = [
    ("x25519", "bytes", 90_000.0),
    ("x25519", "make.ms", 500.0),
    ("x25519", "take.ms", 5.0),
    ("xwing", "make.ms", 500.0),
    ("xwing", "take.ms", 5.0),
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
    /// `None` where nothing of it was measured. Goals are met or missed at the full size alone.
    pub(super) fn epochs(&self, all: bool, full: bool) -> Result<Option<String>> {
        let most = MEMBERS[MEMBERS.len() - 1];
        if !all && !self.0.keys().any(|name| name.starts_with("epoch.")) {
            return Ok(None);
        }
        let mut lines = vec![
            format!(
                "| members | {} | goal, with {} |",
                MEMBERS.map(|members| shown(members as f64)).join(" | "),
                shown(most as f64)
            ),
            format!("| --- |{} --- |", " ---: |".repeat(MEMBERS.len())),
        ];
        for (suite, title) in SUITES {
            for (what, text) in WHAT {
                let goal = GOALS.iter().find(|(of, row, _)| (*of, *row) == (suite, what)).map(|goal| goal.2);
                let judged = |number: f64, members: usize| match goal.filter(|_| full && members == most) {
                    Some(goal) if number <= goal => ": met",
                    Some(_) => ": **missed**",
                    None => "",
                };
                let cells: Vec<String> = MEMBERS
                    .iter()
                    .map(|members| {
                        let name = named(suite, *members, what);
                        let figure =
                            self.0.get(&name).map(|number| shown(*number) + judged(*number, *members));
                        figure.ok_or_else(|| Failed(format!("{name} was not measured")))
                    })
                    .collect::<Result<_>>()?;
                let goal = goal.map(|most| format!("≤ {}", shown(most))).unwrap_or_default();
                lines.push(format!("| {title}, {text} | {} | {goal} |", cells.join(" | ")));
            }
        }
        Ok(Some(lines.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_goals_of_a_thousand_members_are_met_or_missed_and_those_of_fewer_are_none() {
        assert!(GOALS.iter().all(|(suite, what, _)| {
            SUITES.iter().any(|(of, _)| of == suite) && WHAT.iter().any(|(row, _)| row == what)
        }));
        let of = |take: &str, full: bool| {
            let mut all = Figures::default();
            for figure in figures() {
                let number = if figure == "epoch.x25519.1000.take.ms" { take } else { "4.5" };
                all.read(&[format!("figure {figure} {number}")], None).unwrap();
            }
            all.epochs(true, full).unwrap().unwrap()
        };
        let row = "| X25519, an epoch, taken in: ms | 4.5 | 4.5 | 4.5 | 4.5 |";
        assert!(of("5", true).contains(&format!("{row} 5: met | ≤ 5 |")), "{}", of("5", true));
        assert!(of("5.1", true).contains(&format!("{row} 5.1: **missed** | ≤ 5 |")));
        assert!(of("5.1", false).contains(&format!("{row} 5.1 | ≤ 5 |")));
        assert_eq!(of("5", true).matches("met").count(), GOALS.len());
        assert!(
            of("5", true)
                .contains("| X-Wing, an epoch: bytes, all wraps included | 4.5 | 4.5 | 4.5 | 4.5 | 4.5 |  |")
        );
    }
}
