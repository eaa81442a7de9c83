//! What crossing the border costs in each language, beside plain C and Rust itself.

use std::collections::BTreeMap;
use std::process::Command;

use crate::tools::{
    self, During, Failed, Options, Result, cargo, command, empty_folder, headline, root, run, run_by, tee,
};
use crate::{c, kotlin, python, setup, swift};

const PAGE: &str = "docs/border.md";
const BEGIN: &str = "<!-- border: begin -->";
const END: &str = "<!-- border: end -->";

/// The page of the other figures has one row of these.
const FIGURES: &str = "docs/benchmarks.md";
const LANGUAGES_BEGIN: &str = "<!-- languages: begin -->";
const LANGUAGES_END: &str = "<!-- languages: end -->";

const LANGUAGES: [(&str, &str); 7] = [
    ("rust", "Rust"),
    ("c", "C"),
    ("python", "Python"),
    ("sync", "Python, `kith.sync`"),
    ("kotlin", "Kotlin"),
    ("java", "Java"),
    ("swift", "Swift"),
];

const ROWS: [(&str, &str); 8] = [
    ("get", "`get` of 100 bytes"),
    ("get64k", "`get` of 64 KiB"),
    ("put", "`put` of 100 bytes"),
    ("put64k", "`put` of 64 KiB"),
    ("page", "a page of 100 entries of 100 bytes"),
    ("event", "an event, pulled"),
    ("host", "a question to an application of the host's own"),
    ("execute", "`execute` of an application of the host's own"),
];

/// How much 64 KiB, over 100 bytes, may cost more than the same in C, in µs. What each call costs, whatever crosses with it, is in both.
const LARGE: f64 = 25.0;
/// Who reads on the caller's own thread: here a whole call may cost so much more than C's.
const WHOLE: [&str; 2] = ["sync", "java"];
/// Where the goals are judged glibc keeps what is free at the end of the heap. Else it gives that back to the system when it is more than 128 KiB, and in a program
/// that has next to nothing else each 64 KiB are pages that the system has to give anew.
const HEAP: [(&str, &str); 2] = [("MALLOC_TRIM_THRESHOLD_", "33554432"), ("MALLOC_TOP_PAD_", "16777216")];
/// How much a page may cost in Python, in `get`s.
const PAGE_OF_100: f64 = 3.0;

/// The figures, by language and name, in µs: one of each round.
#[derive(Default)]
struct Figures(BTreeMap<String, Vec<f64>>);

impl Figures {
    fn read(&mut self, lines: &[String]) -> Result<()> {
        for line in lines.iter().filter_map(|line| line.strip_prefix("figure border.")) {
            let (name, number) =
                line.split_once(' ').ok_or_else(|| Failed(format!("`{line}` is no figure")))?;
            let number: f64 = number.trim().parse().during(format!("reading `{line}`"))?;
            if !number.is_finite() {
                return Err(Failed(format!("`{line}` is no figure")));
            }
            self.0.entry(name.to_owned()).or_default().push(number);
        }
        Ok(())
    }

    /// The median of the rounds.
    fn of(&self, language: &str, name: &str) -> Result<f64> {
        let name = format!("{language}.{name}");
        let mut rounds = self.0.get(&name).cloned().unwrap_or_default();
        rounds.sort_by(f64::total_cmp);
        let middle = rounds.get(rounds.len() / 2).copied();
        middle.ok_or_else(|| Failed(format!("there is no figure `{name}`")))
    }

    fn head() -> String {
        let mut head = "| µs |".to_owned();
        for (_, title) in LANGUAGES {
            head += &format!(" {title} |");
        }
        head + "\n| --- |" + &" --: |".repeat(LANGUAGES.len()) + "\n"
    }

    fn row(&self, name: &str, what: &str) -> Result<String> {
        let mut row = format!("| {what} |");
        for (language, _) in LANGUAGES {
            row += &format!(" {:.1} |", self.of(language, name)?);
        }
        Ok(row + "\n")
    }

    /// What the page of the other figures has of it.
    fn languages(&self) -> Result<String> {
        let (name, what) = ROWS[0];
        Ok(Self::head() + &self.row(name, what)?)
    }

    /// The table.
    fn table(&self) -> Result<String> {
        let mut table = Self::head();
        for (name, what) in ROWS {
            table += &self.row(name, what)?;
        }
        Ok(table)
    }

    /// Whether the goals are met, and those that are not.
    fn goals(&self) -> Result<(String, Vec<String>)> {
        let mut table = "| goal | measured | |\n| --- | --: | --- |\n".to_owned();
        let mut missed = Vec::new();
        let mut judge = |what: String, measured: f64, most: f64, unit: &str| {
            let met = measured <= most;
            table +=
                &format!("| {what} | {measured:.1}{unit} | {} |\n", if met { "met" } else { "**missed**" });
            if !met {
                missed.push(format!("{what}: {measured:.1}{unit}"));
            }
        };
        for (language, title) in LANGUAGES.iter().skip(2) {
            for (large, small, way) in [("get64k", "get", "out"), ("put64k", "put", "in")] {
                let bytes = |language| Ok(self.of(language, large)? - self.of(language, small)?);
                let over = bytes(language)? - bytes("c")?;
                judge(format!("64 KiB {way} in {title}: at most {LARGE} µs over C"), over, LARGE, " µs");
            }
        }
        for (language, title) in LANGUAGES.iter().filter(|(language, _)| WHOLE.contains(language)) {
            let over = self.of(language, "get64k")? - self.of("c", "get64k")?;
            judge(
                format!("a whole `get` of 64 KiB in {title}: at most {LARGE} µs over C"),
                over,
                LARGE,
                " µs",
            );
        }
        let pages = self.of("python", "page")? / self.of("python", "get")?;
        judge(format!("a page of 100 in Python: at most {PAGE_OF_100} `get`s"), pages, PAGE_OF_100, "");
        Ok((table, missed))
    }
}

/// Measures; `--quick` a tenth and one round, `--write` into the pages. A goal that is missed is said, and fails nothing: the machine
/// decides too.
pub(crate) fn measure(options: &Options, flags: &[&str]) -> Result<()> {
    if let Some(unknown) = flags.iter().find(|flag| !["--quick", "--write"].contains(flag)) {
        return Err(Failed(format!("`{unknown}` is not known here: --quick, --write")));
    }
    let (quick, write) = (flags.contains(&"--quick"), flags.contains(&"--write"));
    if quick && write {
        return Err(Failed("only the full size is published".into()));
    }
    setup::programs()?;
    let (calls, rounds) = if quick { ("1000", 1) } else { ("10000", 5) };
    let mut programs = programs(options)?;
    for (_, program) in &mut programs {
        program.arg(calls);
    }
    let (mut figures, mut pinned) = (Figures::default(), Figures::default());
    // In turns: what else the machine does falls on all of them alike.
    for round in 1..=rounds {
        for (title, program) in &mut programs {
            headline(&format!("the border from {title}, round {round} of {rounds}"));
            figures.read(&said_by(program)?)?;
            headline("the same on one processor, with a heap that stays");
            let mut taskset = command("taskset");
            taskset.args(["--cpu-list", "0"]).envs(HEAP);
            pinned.read(&said_by(&mut run_by(taskset, program))?)?;
        }
    }

    let (goals, missed) = pinned.goals()?;
    let table = format!(
        "{}\nOn one processor, with a heap that stays:\n\n{}\n{goals}",
        figures.table()?,
        pinned.table()?
    );
    println!("\n{table}");
    for goal in missed {
        println!("missed: {goal}");
    }
    if write {
        let task = format!("cargo xtask bench border --write --profile {}", options.profile);
        let machine = super::machine(&task)?;
        put(PAGE, (BEGIN, END), &format!("{machine} Medians of {rounds} rounds.\n\n{table}"))?;
        put(FIGURES, (LANGUAGES_BEGIN, LANGUAGES_END), &format!("{machine}\n\n{}", figures.languages()?))?;
        println!("{PAGE} and {FIGURES} have it");
    }
    Ok(())
}

fn said_by(program: &mut Command) -> Result<Vec<String>> {
    let (succeeded, lines) = tee(program)?;
    if succeeded { Ok(lines) } else { Err(Failed("a benchmark failed".into())) }
}

/// What measures in each language, built.
fn programs(options: &Options) -> Result<Vec<(&'static str, Command)>> {
    let sources = root().join("benchmarks/programs");
    headline(&format!("building the benchmarks (profile {})", options.profile));
    run(cargo("build").args(["--profile", &options.profile, "--package", "kith-benchmarks"]))?;
    let mut rust = command(options.output().join("kith-bench"));
    rust.arg("border");

    let wheel = python::wheel(options)?;
    let interpreter = python::environment("venv-border", &wheel)?;
    let python = |program: &str| {
        let mut python = command(&interpreter);
        python.arg("-I").arg(sources.join(program));
        python
    };

    let installed = c::Installed::from(&options.output(), "border-lib")?;
    let program = empty_folder("border-c")?.join("border");
    installed.compile("gcc", &sources.join("border.c"), &program, &["-O2", "-D_POSIX_C_SOURCE=200809L"])?;

    let kotlin = kotlin::program(options, &sources.join("Border.kt"), "BorderKt")?;
    let swift = swift::program(options, &sources.join("border.swift"), "border")?;
    Ok(vec![
        ("Rust", rust),
        ("C", command(&program)),
        ("Python", python("border.py")),
        ("Python without asyncio", python("border_sync.py")),
        ("Kotlin and Java", kotlin),
        ("Swift", swift),
    ])
}

/// Puts a text between a page's markers.
fn put(page: &str, markers: (&str, &str), text: &str) -> Result<()> {
    let path = tools::root().join(page);
    let old = std::fs::read_to_string(&path).during(format!("reading {page}"))?;
    std::fs::write(&path, replaced(&old, markers, text)?).during(format!("writing {page}"))
}

fn replaced(page: &str, (begin, end): (&str, &str), text: &str) -> Result<String> {
    let places = page.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let (before, after) =
        places.ok_or_else(|| Failed(format!("the page has no place `{begin}` … `{end}`")))?;
    Ok(format!("{before}{begin}\n{text}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(change: impl Fn(&str, &str) -> f64) -> Figures {
        let mut figures = Figures::default();
        for (language, _) in LANGUAGES {
            for (name, _) in ROWS {
                figures.0.insert(format!("{language}.{name}"), vec![change(language, name)]);
            }
        }
        figures
    }

    #[test]
    fn goals_are_judged_at_their_limits() {
        let small = |language: &str, name: &str| language == "c" || ["get", "put"].contains(&name);
        let even = figures(|language, name| if small(language, name) { 1.0 } else { 26.0 });
        assert_eq!(
            even.goals().expect("all are there").1,
            ["a page of 100 in Python: at most 3 `get`s: 26.0"]
        );
        let over = figures(|language, name| if small(language, name) { 10.0 } else { 35.1 });
        assert_eq!(
            over.goals().expect("all are there").1.len(),
            13,
            "five languages, in and out; whole calls of two; the page"
        );
        assert!(Figures::default().goals().is_err() && Figures::default().table().is_err());
    }

    #[test]
    fn figures_are_read_and_the_page_is_filled() {
        let mut figures = Figures::default();
        figures.read(&["hello".into(), "figure border.c.get 1.5".into()]).expect("it is one");
        assert_eq!(figures.of("c", "get").expect("it was read"), 1.5);
        for round in ["9", "2"] {
            figures.read(&[format!("figure border.c.get {round}")]).expect("it is one");
        }
        assert_eq!(figures.of("c", "get").expect("it was read"), 2.0, "the median of the rounds");
        for nonsense in ["x", "NaN"] {
            assert!(figures.read(&[format!("figure border.c.get {nonsense}")]).is_err());
        }
        let page = format!("a{BEGIN}old{END}b");
        let filled = replaced(&page, (BEGIN, END), "new\n").expect("it has a place");
        assert_eq!(filled, format!("a{BEGIN}\nnew\n{END}b"));
        assert!(replaced("none", (BEGIN, END), "").is_err());
    }

    #[test]
    fn the_pages_have_the_places() {
        for (page, markers) in [(PAGE, (BEGIN, END)), (FIGURES, (LANGUAGES_BEGIN, LANGUAGES_END))] {
            let text = std::fs::read_to_string(root().join(page)).expect("the page is there");
            assert!(replaced(&text, markers, "x\n").expect("it has a place").contains("x\n"), "{page}");
        }
    }

    #[test]
    fn the_other_page_has_the_small_get() {
        let figures = figures(|language, name| if (language, name) == ("c", "get") { 7.0 } else { 1.0 });
        let table = figures.languages().expect("all are there");
        assert!(
            table.ends_with("| `get` of 100 bytes | 1.0 | 7.0 | 1.0 | 1.0 | 1.0 | 1.0 | 1.0 |\n"),
            "{table}"
        );
    }
}
