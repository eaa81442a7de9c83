//! The figures: every part measured in a process of its own, checked, and made a table of.

pub(crate) mod border;
mod table;

use std::path::Path;
use std::thread;

use crate::tools::{self, During, Failed, Options, Result, cargo, command, empty_folder, headline, run, tee};
use crate::{c, python, setup, size};
use table::{ENGINES, Figures};

const PAGE: &str = "docs/benchmarks.md";

/// The parts of `kith-bench` that are measured with each engine.
const BY_ENGINE: [&str; 5] = ["put", "push", "catch-up", "late", "reopen"];
/// The same, with nothing in them that is timed: the engines go side by side.
const NOT_TIMED: [&str; 2] = ["memory", "transactions"];
/// Those that are the same with each.
const ALIKE: [&str; 4] = ["fsync", "get", "epoch", "encryption"];
/// What is built besides, and measured by other programs.
const OTHERS: [&str; 3] = ["attacks", "languages", "size"];

/// What is asked for on the command line.
struct Asked<'a> {
    /// None: all.
    parts: Vec<&'a str>,
    engines: Vec<&'static str>,
    quick: bool,
    write: bool,
}

impl<'a> Asked<'a> {
    fn from(words: &[&'a str]) -> Result<Self> {
        let mut asked = Self { parts: Vec::new(), engines: ENGINES.to_vec(), quick: false, write: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--quick" => asked.quick = true,
                "--write" => asked.write = true,
                "--engine" => {
                    let known =
                        words.next().and_then(|name| ENGINES.into_iter().find(|engine| engine == name));
                    let engine = known.ok_or_else(|| Failed(format!("--engine {}", ENGINES.join("|"))))?;
                    asked.engines = vec![engine];
                }
                flag if flag.starts_with("--") => {
                    let message = format!("`{flag}` is not known here: --engine, --quick, --write");
                    return Err(Failed(message));
                }
                part if parts().any(|known| known == part) => asked.parts.push(part),
                unknown => {
                    let all: Vec<&str> = parts().collect();
                    return Err(Failed(format!("`{unknown}` is no part of the figures: {}", all.join(", "))));
                }
            }
        }
        if asked.write && (asked.quick || !asked.all()) {
            return Err(Failed("only all of it, at full size and with each engine, is published".into()));
        }
        Ok(asked)
    }

    fn all(&self) -> bool {
        self.parts.is_empty() && self.engines.len() == ENGINES.len()
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

fn parts() -> impl Iterator<Item = &'static str> {
    measured().chain(OTHERS)
}

/// Those of `kith-bench`.
fn measured() -> impl Iterator<Item = &'static str> {
    BY_ENGINE.into_iter().chain(NOT_TIMED).chain(ALIKE)
}

/// `words`: parts (none: all), `--engine NAME` (none: each), `--quick` (a tenth of everything, not to be published),
/// `--write` (into the page).
pub(crate) fn measure(words: &[&str]) -> Result<()> {
    let asked = Asked::from(words)?;
    let share = if asked.quick { "10" } else { "1" };

    setup::programs()?;
    let mut figures = Figures::default();
    if measured().any(|part| asked.wants(part)) {
        headline("building the benchmarks (profile release)");
        run(cargo("build").args(["--release", "--package", "kith-benchmarks"]))?;
        let program = tools::target().join("release/kith-bench");
        for part in ALIKE.into_iter().filter(|part| asked.wants(part)) {
            headline(part);
            figures.take(command(&program).args([part, share]), None)?;
        }
        for part in BY_ENGINE.into_iter().filter(|part| asked.wants(part)) {
            for engine in &asked.engines {
                headline(&format!("{part}, {engine}"));
                figures.take(command(&program).args([part, share, engine]), Some(engine))?;
            }
        }
        for part in NOT_TIMED.into_iter().filter(|part| asked.wants(part)) {
            headline(&format!("{part}, {}", asked.engines.join(" and ")));
            let measure = |engine: &str| tee(command(&program).args([part, share, engine]));
            let measure = &measure;
            let printed: Vec<_> = thread::scope(|scope| {
                let engines = asked.engines.iter();
                let running: Vec<_> = engines.map(|engine| scope.spawn(move || measure(engine))).collect();
                running.into_iter().map(thread::ScopedJoinHandle::join).collect()
            });
            for (engine, printed) in asked.engines.iter().zip(printed) {
                let printed = printed.map_err(|_| Failed("a thread panicked".into()))?;
                figures.succeeded(printed?, Some(engine))?;
            }
        }
    }
    if asked.wants("attacks") {
        attacks(&mut figures)?;
    }
    if asked.wants("languages") {
        languages(&mut figures, if asked.quick { "2000" } else { "20000" })?;
    }
    if asked.wants("size") {
        measure_size(&mut figures)?;
    }
    let table = figures.tables(asked.all(), !asked.quick)?;
    println!("\n{table}");
    if asked.write {
        let path = tools::root().join(PAGE);
        let page = std::fs::read_to_string(&path).during("reading the page")?;
        let page = table::replaced(&page, &format!("{}\n\n{table}", machine("cargo xtask bench --write")?))?;
        std::fs::write(&path, page).during("writing the page")?;
        println!("\n{PAGE} has it");
    }
    Ok(())
}

impl Figures {
    fn take(&mut self, program: &mut std::process::Command, engine: Option<&str>) -> Result<()> {
        self.succeeded(tee(program)?, engine)
    }

    fn succeeded(&mut self, (succeeded, lines): (bool, Vec<String>), engine: Option<&str>) -> Result<()> {
        if !succeeded {
            return Err(Failed("a benchmark failed".into()));
        }
        self.read(&lines, engine)
    }
}

/// How long writing to another context takes while each of the tests' attacks goes on, one after the other.
fn attacks(figures: &mut Figures) -> Result<()> {
    headline("attacks");
    let mut test = cargo("test");
    test.args([
        "--release",
        "--package",
        "kith-core",
        "--test",
        "hostile",
        "--",
        "--nocapture",
        "--test-threads=1",
    ]);
    let (succeeded, lines) = tee(&mut test)?;
    let worst = lines.iter().filter_map(|line| p99(line)).max_by(f64::total_cmp);
    let worst = worst.ok_or_else(|| Failed("no attack says how long writing took meanwhile".into()))?;
    figures.succeeded((succeeded, vec![format!("figure attacks.p99.ms {}", worst / 1000.0)]), None)
}

/// What a test says of its attack, in µs.
fn p99(line: &str) -> Option<f64> {
    let (_, attack) = line.split_once("attack: ")?;
    attack.split_once(" p99 ")?.1.split(',').next()?.parse().ok()
}

/// `get` from C and Python, by the libraries as they are shipped.
fn languages(figures: &mut Figures, calls: &str) -> Result<()> {
    let options = Options { profile: "dist".into(), alone: false };
    let wheel = python::wheel(&options)?;
    let interpreter = python::environment("venv-bench", &wheel)?;
    let programs = tools::root().join("benchmarks/programs");
    headline("get from Python");
    let folder = empty_folder("bench-python")?;
    figures
        .take(command(interpreter).arg("-I").arg(programs.join("get.py")).arg(&folder).arg(calls), None)?;

    let installed = c::Installed::from(&options.output(), "bench-lib")?;
    let folder = empty_folder("bench-c")?;
    let program = folder.join("get");
    installed.compile("gcc", &programs.join("get.c"), &program, &["-O2"])?;
    headline("get from C");
    figures.take(command(&program).arg(folder.join("node")).arg(calls), None)?;
    remove(&folder)?;
    remove(&tools::target().join("xtask/bench-python"))
}

fn remove(folder: &Path) -> Result<()> {
    std::fs::remove_dir_all(folder).during(format!("removing {}", folder.display()))
}

/// The shared library as it is shipped.
fn measure_size(figures: &mut Figures) -> Result<()> {
    headline("building libkith.so as it is shipped (profile dist)");
    run(cargo("build").args(["--profile", "dist", "--package", "kith-capi"]))?;
    let bytes = size::stripped(&tools::target().join("dist/libkith.so"), &empty_folder("size")?)?;
    figures.read(&[format!("figure library.mb {}", bytes as f64 / 1e6)], None)
}

/// Cores, memory and file system, without names.
fn machine(task: &str) -> Result<String> {
    let cores = std::thread::available_parallelism().during("counting cores")?;
    let memory = std::fs::read_to_string("/proc/meminfo").during("reading /proc/meminfo")?;
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let kib: f64 = kib.trim().trim_end_matches("kB").trim().parse().during("reading /proc/meminfo")?;
    let kind = tools::capture(command("stat").args(["-f", "-c", "%T"]).arg(std::env::temp_dir()))?;
    Ok(format!(
        "Measured with {cores} cores and {:.0} GiB of memory on Linux, file system {}, by `{task}`.",
        kib / (1 << 20) as f64,
        String::from_utf8_lossy(&kind).trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_attack_says_is_read() {
        let line = "test x ... attack: garbage: 120 puts in another context meanwhile, µs: p50 900, p99 4100, most 9000";
        assert_eq!(p99(line), Some(4100.0));
        assert_eq!(p99("attack: garbage"), None);
        assert_eq!(p99("p50 900, p99 4100, most 9000"), None);
    }
}
