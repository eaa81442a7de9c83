//! From `figure NAME NUMBER` lines to the table.

mod epochs;

use std::collections::BTreeMap;

use crate::tools::{Failed, Result};

const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

/// The storage engines, in the order of the columns.
pub(super) const ENGINES: [&str; 2] = ["sled", "redb"];

/// What was measured, by name; what hangs on the engine is named `ENGINE/NAME`.
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

/// What is sealed, beside the same in a context that is not.
const fn sealed(what: &'static str, figure: &'static str, open: &'static str) -> Row {
    beside(row(what, figure, "µs", "as without sealing"), open, "unsealed")
}

const fn sealed_bytes(what: &'static str, figure: &'static str, open: &'static str) -> Row {
    Row { unit: "bytes", ..sealed(what, figure, open) }
}

/// What sealing may take of throughput.
const fn lost(what: &'static str, figure: &'static str) -> Row {
    goal(row(what, figure, "%", "keys of each message, the longer payload, the row of the chain"), 15.0)
}

const FSYNC: &str = "an fsync";

/// What hangs on the engine.
const BY_ENGINE: &[Row] = &[
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
        "both members' engines; sled's take turns in one process",
    ),
    goal(
        row(
            "catch-up of 100,000 over loopback, verified, executed, durable",
            "catch_up.s",
            "s",
            "the joiner's thread: checking and executing, then its engine",
        ),
        5.0,
    ),
    row(
        "processor time of that, both members",
        "catch_up.processor.s",
        "s",
        "the same, and the sender's reading, encryption, the kernel",
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
        "the engine alone, opening the store of 100,000 puts",
        "reopen.engine.ms",
        "ms",
        "sled reads its page table, redb its header",
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
            "the cache; sled's page table",
        ),
        100.0,
    ),
    goal(
        row("the same, opened again and all read", "memory.reading.mb", "MB", "the cache; sled's page table"),
        100.0,
    ),
    goal(
        row(
            "memory that each transaction adds, from 100,000 to 1,000,000",
            "transactions.each.bytes",
            "bytes",
            "sled's page table, which is all in memory; redb: the cache",
        ),
        20.0,
    ),
    goal(row("open files added meanwhile", "transactions.files", "", "nothing"), 0.0),
    row(
        "on disk for each put of 100 bytes, at its author",
        "disk.writer.bytes",
        "bytes",
        "signed history, receipts, events; sled's log, redb's pages",
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
];

/// What does not.
const ALIKE: &[Row] = &[
    row("append 4 KiB and fsync, bare", "fsync.us", "µs", "the disk"),
    row("`get` from Rust", "get.rust.us", "µs", "handing over to the pool of blocking threads"),
    beside(
        row("`get` from C", "get.c.us", "µs", "reading the store, on the caller's own thread"),
        "get.rust.us",
        "Rust",
    ),
    beside(
        row("`get` from Python", "get.python.us", "µs", "the event loop of asyncio"),
        "get.rust.us",
        "Rust",
    ),
    sealed("`put` by one caller, sealed", "sealing.put.one.x25519.us", "sealing.put.one.off.us"),
    lost("throughput lost by that", "sealing.put.one.lost.percent"),
    sealed("`put`, 64 callers, sealed, for each", "sealing.put.many.x25519.us", "sealing.put.many.off.us"),
    lost("throughput lost by that", "sealing.put.many.lost.percent"),
    sealed("catch-up of a joiner, sealed, for each", "sealing.catch_up.x25519.us", "sealing.catch_up.off.us"),
    lost("throughput lost by that", "sealing.catch_up.lost.percent"),
    sealed(
        "catch-up of a member that was away and opens every call, for each",
        "sealing.away.x25519.us",
        "sealing.away.off.us",
    ),
    lost("throughput lost by that", "sealing.away.lost.percent"),
    sealed_bytes(
        "on the wire for each `put`, pushed, sealed",
        "sealing.wire.push.x25519.bytes",
        "sealing.wire.push.off.bytes",
    ),
    sealed_bytes(
        "on the wire for each, in a joiner's catch-up, sealed",
        "sealing.wire.catch_up.x25519.bytes",
        "sealing.wire.catch_up.off.bytes",
    ),
    goal(
        row(
            "`put` in another context while the node is attacked: the worst p99 of all attacks",
            "attacks.p99.ms",
            "ms",
            "two syncs; the attacker and the node share the cores",
        ),
        50.0,
    ),
    goal(row("`libkith.so`, stripped, as it is shipped", "library.mb", "MB", "libp2p"), 10.0),
];

impl Figures {
    /// Takes the figures from what a benchmark printed, for one engine if it hangs on that.
    pub(super) fn read(&mut self, lines: &[String], engine: Option<&str>) -> Result<()> {
        let mut found = 0;
        for line in lines.iter().filter_map(|line| line.strip_prefix("figure ")) {
            let number = line.split_once(' ').and_then(|(name, n)| Some((name, n.trim().parse().ok()?)));
            let (name, number): (&str, f64) = number
                .filter(|(_, number): &(&str, f64)| number.is_finite())
                .ok_or_else(|| Failed(format!("`{line}` is no figure")))?;
            self.0.insert(named(name, engine), number);
            found += 1;
        }
        if found == 0 { Err(Failed("a benchmark printed no figure".into())) } else { Ok(()) }
    }

    /// The tables; of all rows and columns, or of those that were measured. Goals are for the full size: at another one nothing is
    /// said to be met or missed.
    pub(super) fn tables(&self, all: bool, full: bool) -> Result<String> {
        let has =
            |engine: &&&str| all || self.0.keys().any(|name| name.starts_with(&named("", Some(engine))));
        let engines: Vec<Option<&str>> = ENGINES.iter().filter(has).map(|engine| Some(*engine)).collect();
        let tables = [
            self.table(BY_ENGINE, &engines, all, full)?,
            self.table(ALIKE, &[None], all, full)?,
            self.epochs(all, full)?,
        ];
        Ok(tables.into_iter().flatten().collect::<Vec<_>>().join("\n\n"))
    }

    /// `None` where nothing of it was measured.
    fn table(&self, rows: &[Row], engines: &[Option<&str>], all: bool, full: bool) -> Result<Option<String>> {
        let columns: Vec<&str> = engines.iter().map(|engine| engine.unwrap_or("figure")).collect();
        let mut lines = vec![
            format!("| what | {} | goal | bounded by |", columns.join(" | ")),
            format!("| --- | {} --- | --- |", "---: | ".repeat(columns.len())),
        ];
        for row in rows {
            let cells: Vec<Option<String>> =
                engines.iter().map(|engine| self.cell(row, *engine, all, full)).collect::<Result<_>>()?;
            if cells.iter().all(Option::is_none) {
                continue;
            }
            let cells: Vec<String> = cells.into_iter().map(Option::unwrap_or_default).collect();
            let goal = row.goal.map(|most| format!("≤ {} {}", shown(most), row.unit)).unwrap_or_default();
            lines.push(format!(
                "| {} | {} | {} | {} |",
                row.what,
                cells.join(" | "),
                goal.trim_end(),
                row.bound
            ));
        }
        Ok((lines.len() > 2).then(|| lines.join("\n")))
    }

    fn cell(&self, row: &Row, engine: Option<&str>, all: bool, full: bool) -> Result<Option<String>> {
        let Some(number) = self.0.get(&named(row.figure, engine)) else {
            let name = named(row.figure, engine);
            return if all { Err(Failed(format!("{name} was not measured"))) } else { Ok(None) };
        };
        let mut cell = format!("{} {}", shown(*number), row.unit).trim_end().to_owned();
        match row.beside.map(|(figure, name)| (self.other(figure, engine), figure, name)) {
            Some((Some(other), _, name)) => {
                cell.push_str(&format!(" ({} × {name})", shown(number / other)));
            }
            Some((None, figure, _)) if all => return Err(Failed(format!("{figure} was not measured"))),
            _ => {}
        }
        if let Some(most) = row.goal.filter(|_| full) {
            cell.push_str(if *number <= most { ": met" } else { ": **missed**" });
        }
        Ok(Some(cell))
    }

    /// Of the same engine, or what hangs on none.
    fn other(&self, figure: &str, engine: Option<&str>) -> Option<f64> {
        self.0.get(&named(figure, engine)).or_else(|| self.0.get(figure)).copied()
    }
}

fn named(figure: &str, engine: Option<&str>) -> String {
    engine.map_or_else(|| figure.to_owned(), |engine| format!("{engine}/{figure}"))
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

    fn of(figures: &[(&str, &str)]) -> Figures {
        let mut all = Figures::default();
        for (name, number) in figures {
            all.read(&[format!("figure {name} {number}")], None).unwrap();
        }
        all
    }

    #[test]
    fn a_benchmark_without_figures_or_with_nonsense_fails() {
        assert!(Figures::default().read(&lines("done"), None).is_err());
        assert!(Figures::default().read(&lines("figure a b"), None).is_err());
        assert!(Figures::default().read(&lines("figure a NaN"), None).is_err());
        assert!(Figures::default().read(&lines("figure a"), None).is_err());
        assert!(Figures::default().read(&lines("figure a 1.5"), None).is_ok());
    }

    #[test]
    fn the_tables_have_every_row_and_engine_or_say_which_figure_is_missing() {
        let mut all = Figures::default();
        for row in ALIKE {
            all.read(&[format!("figure {} 7", row.figure)], None).unwrap();
        }
        for figure in epochs::figures() {
            all.read(&[format!("figure {figure} 7")], None).unwrap();
        }
        for (row, engine) in BY_ENGINE.iter().flat_map(|row| ENGINES.map(|engine| (row, engine))) {
            all.read(&[format!("figure {} 7", row.figure)], Some(engine)).unwrap();
        }
        assert!(all.tables(true, true).is_err(), "what others are beside is measured, too");
        for row in ALIKE {
            let (figure, _) = row.beside.unwrap_or((row.figure, ""));
            all.read(&[format!("figure {figure} 7")], None).unwrap();
        }
        for engine in ENGINES {
            all.read(&lines("figure late.on_time.us 7"), Some(engine)).unwrap();
        }
        let rows = BY_ENGINE.len() + ALIKE.len() + epochs::ROWS;
        assert_eq!(all.tables(true, true).unwrap().lines().count(), rows + 3 * 2 + 2);
        all.0.remove("redb/catch_up.s");
        assert!(all.tables(true, true).unwrap_err().0.contains("redb/catch_up.s"));
        assert_eq!(all.tables(false, true).unwrap().lines().count(), rows + 3 * 2 + 2);
        all.0.remove("sled/catch_up.s");
        assert_eq!(all.tables(false, true).unwrap().lines().count(), rows + 3 * 2 + 1);
    }

    #[test]
    fn an_engine_that_was_not_measured_has_no_column() {
        let table = of(&[("redb/catch_up.s", "4")]).tables(false, true).unwrap();
        assert!(table.contains("| redb |") && !table.contains("sled |"), "{table}");
        let table = of(&[("redb/catch_up.s", "4"), ("sled/catch_up.s", "6")]).tables(false, true).unwrap();
        assert!(table.contains("| 6 s: **missed** | 4 s: met | ≤ 5 s |"), "{table}");
    }

    #[test]
    fn a_figure_is_beside_one_of_its_own_engine() {
        let figures = [("fsync.us", "2"), ("sled/put.one.power.us", "4"), ("redb/put.one.power.us", "6")];
        let table = of(&figures).tables(false, true).unwrap();
        assert!(table.contains("| 4 µs (2 × an fsync) | 6 µs (3 × an fsync) |"), "{table}");
        let figures = [("redb/put.one.power.us", "2"), ("redb/push.one.us", "4"), ("sled/push.one.us", "4")];
        assert!(of(&figures).tables(false, true).unwrap().contains("| 4 µs | 4 µs (2 × a `put`) |"));
    }

    #[test]
    fn goals_are_met_or_missed() {
        let of = |seconds| of(&[("sled/catch_up.s", seconds)]).tables(false, true).unwrap();
        assert!(of("5").contains("| 5 s: met | ≤ 5 s |"));
        assert!(of("5.01").contains("| 5.01 s: **missed** | ≤ 5 s |"));
    }

    #[test]
    fn a_part_of_the_size_meets_and_misses_nothing() {
        for seconds in ["4.9", "5.1"] {
            let table = of(&[("sled/catch_up.s", seconds)]).tables(false, false).unwrap();
            assert!(table.contains(&format!("| {seconds} s | ≤ 5 s |")), "{table}");
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
