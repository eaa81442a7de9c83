//! What crossing the border costs in each language, beside plain C.

use std::collections::BTreeMap;

use crate::tools::{During, Failed, Options, Result, command, empty_folder, headline, root, tee};
use crate::{c, kotlin, python, setup, swift};

const PAGE: &str = "docs/border.md";
const BEGIN: &str = "<!-- border: begin -->";
const END: &str = "<!-- border: end -->";

const LANGUAGES: [(&str, &str); 4] =
    [("c", "C"), ("python", "Python"), ("kotlin", "Kotlin"), ("swift", "Swift")];

const ROWS: [(&str, &str); 7] = [
    ("get", "`get` of 100 bytes"),
    ("get64k", "`get` of 64 KiB"),
    ("put64k", "`put` of 64 KiB"),
    ("page", "a page of 100 entries of 100 bytes"),
    ("event", "an event, pulled"),
    ("host", "a question to an application of the host's own"),
    ("execute", "`execute` of an application of the host's own"),
];

/// How much 64 KiB may cost over C, in µs.
const LARGE: f64 = 25.0;
/// How much a page may cost in Python, in `get`s.
const PAGE_OF_100: f64 = 3.0;

/// The figures, by language and name, in µs.
#[derive(Default)]
struct Figures(BTreeMap<String, f64>);

impl Figures {
    fn read(&mut self, lines: &[String]) -> Result<()> {
        for line in lines.iter().filter_map(|line| line.strip_prefix("figure border.")) {
            let (name, number) =
                line.split_once(' ').ok_or_else(|| Failed(format!("`{line}` is no figure")))?;
            self.0.insert(name.to_owned(), number.trim().parse().during(format!("reading `{line}`"))?);
        }
        Ok(())
    }

    fn of(&self, language: &str, name: &str) -> Result<f64> {
        let name = format!("{language}.{name}");
        self.0.get(&name).copied().ok_or_else(|| Failed(format!("there is no figure `{name}`")))
    }

    /// The table, and the goals that are missed.
    fn table(&self) -> Result<(String, Vec<String>)> {
        let mut table = "| µs |".to_owned();
        for (_, title) in LANGUAGES {
            table += &format!(" {title} |");
        }
        table += "\n| --- | --: | --: | --: | --: |\n";
        for (name, what) in ROWS {
            table += &format!("| {what} |");
            for (language, _) in LANGUAGES {
                table += &format!(" {:.1} |", self.of(language, name)?);
            }
            table += "\n";
        }
        table += "\n| goal | measured | |\n| --- | --: | --- |\n";
        let mut missed = Vec::new();
        let mut judge = |what: String, measured: f64, most: f64, unit: &str| {
            let met = measured <= most;
            table +=
                &format!("| {what} | {measured:.1}{unit} | {} |\n", if met { "met" } else { "**missed**" });
            if !met {
                missed.push(format!("{what}: {measured:.1}{unit}"));
            }
        };
        for (language, title) in LANGUAGES.iter().skip(1) {
            for (name, way) in [("get64k", "out"), ("put64k", "in")] {
                let over = self.of(language, name)? - self.of("c", name)?;
                judge(format!("64 KiB {way} in {title}: at most {LARGE} µs over C"), over, LARGE, " µs");
            }
        }
        let pages = self.of("python", "page")? / self.of("python", "get")?;
        judge(format!("a page of 100 in Python: at most {PAGE_OF_100} `get`s"), pages, PAGE_OF_100, "");
        Ok((table, missed))
    }
}

/// Measures; `--quick` a tenth, `--write` into the page. A goal that is missed is said, and fails nothing: the machine decides too.
pub(crate) fn measure(options: &Options, flags: &[&str]) -> Result<()> {
    if let Some(unknown) = flags.iter().find(|flag| !["--quick", "--write"].contains(flag)) {
        return Err(Failed(format!("`{unknown}` is not known here: --quick, --write")));
    }
    let (quick, write) = (flags.contains(&"--quick"), flags.contains(&"--write"));
    if quick && write {
        return Err(Failed("only the full size is published".into()));
    }
    setup::programs()?;
    let calls = if quick { "1000" } else { "10000" };
    let programs = root().join("benchmarks/programs");
    let mut figures = Figures::default();
    let mut take = |title: &str, program: &mut std::process::Command| {
        headline(&format!("the border from {title}"));
        let (succeeded, lines) = tee(program.arg(calls))?;
        if succeeded { figures.read(&lines) } else { Err(Failed("a benchmark failed".into())) }
    };

    let wheel = python::wheel(options)?;
    let installed = c::Installed::from(&options.output(), "border-lib")?;
    let program = empty_folder("border-c")?.join("border");
    installed.compile("gcc", &programs.join("border.c"), &program, &["-O2", "-D_POSIX_C_SOURCE=200809L"])?;
    take("C", &mut command(&program))?;
    let interpreter = python::environment("venv-border", &wheel)?;
    take("Python", command(interpreter).arg("-I").arg(programs.join("border.py")))?;
    take("Kotlin", &mut kotlin::program(options, &programs.join("Border.kt"), "BorderKt")?)?;
    take("Swift", &mut swift::program(options, &programs.join("border.swift"), "border")?)?;

    let (table, missed) = figures.table()?;
    println!("\n{table}");
    for goal in missed {
        println!("missed: {goal}");
    }
    if write {
        let task = format!("cargo xtask bench border --write --profile {}", options.profile);
        let path = root().join(PAGE);
        let page = std::fs::read_to_string(&path).during(format!("reading {PAGE}"))?;
        let text = replaced(&page, &format!("{}\n\n{table}", super::machine(&task)?))?;
        std::fs::write(&path, text).during(format!("writing {PAGE}"))?;
        println!("{PAGE} has it");
    }
    Ok(())
}

fn replaced(page: &str, text: &str) -> Result<String> {
    let places = page.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = places.ok_or_else(|| Failed(format!("{PAGE} has no place for the figures")))?;
    Ok(format!("{before}{BEGIN}\n{text}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(change: impl Fn(&str, &str) -> f64) -> Figures {
        let mut figures = Figures::default();
        for (language, _) in LANGUAGES {
            for (name, _) in ROWS {
                figures.0.insert(format!("{language}.{name}"), change(language, name));
            }
        }
        figures
    }

    #[test]
    fn goals_are_judged_at_their_limits() {
        let even = figures(|language, name| if language == "c" || name == "get" { 1.0 } else { 26.0 });
        assert_eq!(
            even.table().expect("all are there").1,
            ["a page of 100 in Python: at most 3 `get`s: 26.0"]
        );
        let over = figures(|language, _| if language == "c" { 1.0 } else { 26.1 });
        assert_eq!(over.table().expect("all are there").1.len(), 6);
        assert!(Figures::default().table().is_err());
    }

    #[test]
    fn figures_are_read_and_the_page_is_filled() {
        let mut figures = Figures::default();
        figures.read(&["hello".into(), "figure border.c.get 1.5".into()]).expect("it is one");
        assert_eq!(figures.of("c", "get").expect("it was read"), 1.5);
        assert!(figures.read(&["figure border.c.get x".into()]).is_err());
        let page = format!("a{BEGIN}old{END}b");
        assert_eq!(replaced(&page, "new\n").expect("it has a place"), format!("a{BEGIN}\nnew\n{END}b"));
        assert!(replaced("none", "").is_err());
    }
}
