//! From `figure NAME NUMBER` lines to the table.

use std::collections::BTreeMap;

use crate::tools::{Failed, Result};

const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

/// What was measured, by name.
#[derive(Default)]
pub(super) struct Figures(BTreeMap<String, f64>);

/// A row of the table.
struct Row {
    what: &'static str,
    figure: &'static str,
    unit: &'static str,
    /// What it is a multiple of.
    beside: Option<(&'static str, &'static str)>,
    /// At most so much.
    goal: Option<f64>,
    bound: &'static str,
}

const fn row(what: &'static str, figure: &'static str, unit: &'static str, bound: &'static str) -> Row {
    Row { what, figure, unit, beside: None, goal: None, bound }
}

const fn goal(row: Row, goal: f64) -> Row {
    Row { goal: Some(goal), ..row }
}

const fn beside(row: Row, figure: &'static str, name: &'static str) -> Row {
    Row { beside: Some((figure, name)), ..row }
}

const FSYNC: &str = "an fsync";

const ROWS: &[Row] = &[
    row("append 4 KiB and fsync, bare", "fsync.us", "µs", "the disk"),
    beside(
        row(
            "`put` of 100 bytes, one caller, survives power loss",
            "put.one.power.us",
            "µs",
            "syncs of store and high-water mark, one after the other",
        ),
        "fsync.us",
        FSYNC,
    ),
    beside(
        row(
            "the same, survives the process's death",
            "put.one.process.us",
            "µs",
            "the high-water mark, which is always synced; handing over to the system",
        ),
        "fsync.us",
        FSYNC,
    ),
    row(
        "`put`, 64 callers, survives power loss",
        "put.many.power.per_s",
        "/s",
        "the engine: 4 records for each put, and those of its round",
    ),
    row("the same, survives the process's death", "put.many.process.per_s", "/s", "the engine"),
    beside(
        row(
            "from `put` to executed and durable at a connected member",
            "push.one.us",
            "µs",
            "two durable rounds, one after the other",
        ),
        "put.one.power.us",
        "a `put`",
    ),
    row(
        "64 callers' `put`s until all are at a connected member",
        "push.many.per_s",
        "/s",
        "both members' engines, which take turns in one process",
    ),
    goal(
        row(
            "catch-up of 100,000 over loopback, verified, executed, durable",
            "catch_up.s",
            "s",
            "the joiner's engine",
        ),
        5.0,
    ),
    goal(
        row(
            "late arrival 10,000 places back, no readers: calls executed again",
            "late.blind.again",
            "",
            "nothing",
        ),
        0.0,
    ),
    goal(
        row("the same, later calls read other keys: executed again", "late.elsewhere.again", "", "nothing"),
        0.0,
    ),
    row(
        "the same, all later calls read what it writes: executed again (the control)",
        "late.readers.again",
        "",
        "10,000 calls depend on it",
    ),
    beside(
        row(
            "time for the late arrival without readers",
            "late.blind.us",
            "µs",
            "as one on time, and a look for readers",
        ),
        "late.on_time.us",
        "one on time",
    ),
    row(
        "time for each call that is executed again",
        "late.readers.us",
        "µs",
        "reading and replacing versions and receipts",
    ),
    row(
        "sled alone, opening the store of 100,000 puts",
        "reopen.engine.ms",
        "ms",
        "reading its snapshot of the page table",
    ),
    goal(
        row(
            "the node's opening with 100,000 puts, over that",
            "reopen.over_engine.ms",
            "ms",
            "starting threads, the format record, syncs",
        ),
        50.0,
    ),
    row(
        "the node's opening with one put, for comparison",
        "reopen.empty.ms",
        "ms",
        "the same without history",
    ),
    goal(
        row(
            "memory with 1,000,000 entries, after writing them, over idle",
            "memory.writing.mb",
            "MB",
            "sled's cache and page table",
        ),
        100.0,
    ),
    goal(
        row("the same, opened again and all read", "memory.reading.mb", "MB", "sled's cache and page table"),
        100.0,
    ),
    goal(
        row(
            "memory that each transaction adds, from 100,000 to 1,000,000",
            "transactions.each.bytes",
            "bytes",
            "sled's page table, which is all in memory",
        ),
        20.0,
    ),
    goal(row("open files added meanwhile", "transactions.files", "", "nothing"), 0.0),
    row(
        "on disk for each put of 100 bytes, at its author",
        "disk.writer.bytes",
        "bytes",
        "signed history, versions, receipts; sled's log",
    ),
    row("the same, at a member that caught up", "disk.joiner.bytes", "bytes", "the same"),
    row(
        "on the wire for each put, pushed",
        "wire.push.bytes",
        "bytes",
        "header, signature, frames, encryption, TCP's own not counted",
    ),
    row(
        "on the wire for each put, in catch-up",
        "wire.catch_up.bytes",
        "bytes",
        "the header: hashes do not compress",
    ),
    row("`get` from Rust", "get.rust.us", "µs", "handing over to the pool of blocking threads"),
    beside(row("`get` from C", "get.c.us", "µs", "the same"), "get.rust.us", "Rust"),
    beside(
        row("`get` from Python", "get.python.us", "µs", "the event loop of asyncio"),
        "get.rust.us",
        "Rust",
    ),
    goal(row("`libkith.so`, stripped, as it is shipped", "library.mb", "MB", "libp2p"), 10.0),
];

impl Figures {
    /// Takes the figures from what a benchmark printed.
    pub(super) fn read(&mut self, lines: &[String]) -> Result<()> {
        let mut found = 0;
        for line in lines.iter().filter_map(|line| line.strip_prefix("figure ")) {
            let number = line.split_once(' ').and_then(|(name, n)| Some((name, n.trim().parse().ok()?)));
            let (name, number): (&str, f64) = number
                .filter(|(_, number): &(&str, f64)| number.is_finite())
                .ok_or_else(|| Failed(format!("`{line}` is no figure")))?;
            self.0.insert(name.to_owned(), number);
            found += 1;
        }
        if found == 0 { Err(Failed("a benchmark printed no figure".into())) } else { Ok(()) }
    }

    /// The table; of all rows, or of those that were measured. Goals are for the full size: at another one nothing is
    /// said to be met or missed.
    pub(super) fn table(&self, all: bool, full: bool) -> Result<String> {
        let mut lines = vec![
            "| what | figure | beside | goal | bounded by |".to_owned(),
            "| --- | ---: | --- | --- | --- |".to_owned(),
        ];
        for row in ROWS {
            let Some(number) = self.0.get(row.figure) else {
                if all {
                    return Err(Failed(format!("{} was not measured", row.figure)));
                }
                continue;
            };
            let beside = match row.beside.map(|(figure, name)| (self.0.get(figure), figure, name)) {
                Some((Some(other), _, name)) => format!("{} × {name}", shown(number / other)),
                Some((None, figure, _)) if all => return Err(Failed(format!("{figure} was not measured"))),
                _ => String::new(),
            };
            let goal = match row.goal {
                None => String::new(),
                Some(most) => {
                    let verdict = match (full, *number <= most) {
                        (false, _) => "at full size",
                        (true, true) => "met",
                        (true, false) => "**missed**",
                    };
                    format!("≤ {} {}: {verdict}", shown(most), row.unit).replace(" :", ":")
                }
            };
            let figure = format!("{} {}", shown(*number), row.unit);
            lines.push(format!(
                "| {} | {} | {beside} | {goal} | {} |",
                row.what,
                figure.trim_end(),
                row.bound
            ));
        }
        Ok(lines.join("\n"))
    }
}

/// Three digits, no more.
fn shown(number: f64) -> String {
    let digits = match number.abs() {
        n if n >= 100.0 || n == 0.0 => 0,
        n if n >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{number:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = rest.split_once('.').map_or((rest, String::new()), |(w, f)| (w, format!(".{f}")));
    let groups: Vec<&[u8]> = whole.as_bytes().rchunks(3).rev().collect();
    let whole: Vec<String> = groups.iter().map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    format!("{sign}{}{fraction}", whole.join(","))
}

/// The page with this between its markers.
pub(super) fn replaced(page: &str, table: &str) -> Result<String> {
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or_else(|| Failed(format!("the page lacks `{BEGIN}` … `{END}`")))?;
    Ok(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_benchmark_without_figures_or_with_nonsense_fails() {
        assert!(Figures::default().read(&lines("done")).is_err());
        assert!(Figures::default().read(&lines("figure a b")).is_err());
        assert!(Figures::default().read(&lines("figure a NaN")).is_err());
        assert!(Figures::default().read(&lines("figure a")).is_err());
        assert!(Figures::default().read(&lines("figure a 1.5")).is_ok());
    }

    #[test]
    fn the_table_has_every_row_or_says_which_one_is_missing() {
        let mut all = Figures::default();
        for row in ROWS {
            all.read(&[format!("figure {} 7", row.figure)]).unwrap();
        }
        assert!(all.table(true, true).is_err(), "what others are beside is measured, too");
        all.read(&lines("figure late.on_time.us 7")).unwrap();
        assert_eq!(all.table(true, true).unwrap().lines().count(), ROWS.len() + 2);
        all.0.remove("catch_up.s");
        assert!(all.table(true, true).unwrap_err().0.contains("catch_up.s"));
        assert_eq!(all.table(false, true).unwrap().lines().count(), ROWS.len() + 1);
    }

    #[test]
    fn goals_are_met_or_missed() {
        let of = |seconds: &str, full| {
            let mut figures = Figures::default();
            figures.read(&[format!("figure catch_up.s {seconds}")]).unwrap();
            figures.table(false, full).unwrap()
        };
        assert!(of("5", true).contains("≤ 5 s: met"));
        assert!(of("5.01", true).contains("≤ 5 s: **missed**"));
    }

    #[test]
    fn a_part_of_the_size_meets_and_misses_nothing() {
        for seconds in [4.9, 5.1] {
            let mut figures = Figures::default();
            figures.read(&[format!("figure catch_up.s {seconds}")]).unwrap();
            let table = figures.table(false, false).unwrap();
            assert!(table.contains("≤ 5 s: at full size"), "{table}");
            assert!(!table.contains("met") && !table.contains("missed"), "{table}");
        }
    }

    #[test]
    fn numbers_have_few_digits() {
        let shown = [0.0, 1.5, 12.34, 1234567.8, -3.0, 0.126].map(shown);
        assert_eq!(shown, ["0", "1.5", "12.3", "1,234,568", "-3", "0.13"]);
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = replaced(&page, "new").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        assert_eq!(replaced(&new, "new").unwrap(), new);
        assert!(replaced("a", "new").is_err());
    }
}
