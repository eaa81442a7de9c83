//! The figures: every part measured in a process of its own, checked, and made a table of.

pub(crate) mod border;
mod table;

use std::path::Path;

use crate::tools::{self, During, Failed, Options, Result, cargo, command, empty_folder, headline, run, tee};
use crate::{c, python, setup};
use table::Figures;

const PAGE: &str = "docs/benchmarks.md";

/// The parts of `kith-bench`.
const PARTS: [&str; 8] = ["fsync", "put", "share", "late", "reopen", "memory", "transactions", "get"];
/// What is built besides, and measured by other programs.
const OTHERS: [&str; 2] = ["languages", "size"];

/// `words`: parts (none: all), `--quick` (a tenth of everything, not to be published), `--write` (into the page).
pub(crate) fn measure(words: &[&str]) -> Result<()> {
    let (flags, parts): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with("--"));
    let known = |part: &&&str| PARTS.contains(*part) || OTHERS.contains(*part);
    if let Some(unknown) = parts.iter().find(|part| !known(part)) {
        let all = [&PARTS[..], &OTHERS[..]].concat().join(", ");
        return Err(Failed(format!("`{unknown}` is no part of the figures: {all}")));
    }
    if let Some(unknown) = flags.iter().find(|flag| !["--quick", "--write"].contains(flag)) {
        return Err(Failed(format!("`{unknown}` is not known here: --quick, --write")));
    }
    let (quick, write) = (flags.contains(&"--quick"), flags.contains(&"--write"));
    if write && (quick || !parts.is_empty()) {
        return Err(Failed("only all of it, at full size, is published".into()));
    }
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    let share = if quick { "10" } else { "1" };

    setup::programs()?;
    let mut figures = Figures::default();
    if PARTS.iter().any(|part| wanted(part)) {
        headline("building the benchmarks (profile release)");
        run(cargo("build").args(["--release", "--package", "kith-benchmarks"]))?;
        let program = tools::target().join("release/kith-bench");
        for part in PARTS.into_iter().filter(|part| wanted(part)) {
            headline(part);
            figures.take(command(&program).args([part, share]))?;
        }
    }
    if wanted("languages") {
        languages(&mut figures, if quick { "2000" } else { "20000" })?;
    }
    if wanted("size") {
        size(&mut figures)?;
    }
    let table = figures.table(parts.is_empty(), !quick)?;
    println!("\n{table}");
    if write {
        let path = tools::root().join(PAGE);
        let page = std::fs::read_to_string(&path).during("reading the page")?;
        let page = table::replaced(&page, &format!("{}\n\n{table}", machine("cargo xtask bench --write")?))?;
        std::fs::write(&path, page).during("writing the page")?;
        println!("\n{PAGE} has it");
    }
    Ok(())
}

impl Figures {
    fn take(&mut self, program: &mut std::process::Command) -> Result<()> {
        let (succeeded, lines) = tee(program)?;
        if !succeeded {
            return Err(Failed("a benchmark failed".into()));
        }
        self.read(&lines)
    }
}

/// `get` from C and Python, by the libraries as they are installed.
fn languages(figures: &mut Figures, calls: &str) -> Result<()> {
    let options = Options { profile: "release".into() };
    let wheel = python::wheel(&options)?;
    let interpreter = python::environment("venv-bench", &wheel)?;
    let programs = tools::root().join("benchmarks/programs");
    headline("get from Python");
    let folder = empty_folder("bench-python")?;
    figures.take(command(interpreter).arg("-I").arg(programs.join("get.py")).arg(&folder).arg(calls))?;

    let installed = c::Installed::from(&options.output(), "bench-lib")?;
    let folder = empty_folder("bench-c")?;
    let program = folder.join("get");
    installed.compile("gcc", &programs.join("get.c"), &program, &["-O2"])?;
    headline("get from C");
    figures.take(command(&program).arg(folder.join("node")).arg(calls))?;
    remove(&folder)?;
    remove(&tools::target().join("xtask/bench-python"))
}

fn remove(folder: &Path) -> Result<()> {
    std::fs::remove_dir_all(folder).during(format!("removing {}", folder.display()))
}

/// The shared library as it is shipped.
fn size(figures: &mut Figures) -> Result<()> {
    headline("building libkith.so as it is shipped (profile dist)");
    run(cargo("build").args(["--profile", "dist", "--package", "kith-capi"]))?;
    let library = tools::target().join("dist/libkith.so");
    let bytes = std::fs::metadata(&library).during("looking at libkith.so")?.len();
    let sections = tools::capture(command("readelf").arg("-SW").arg(&library))?;
    if String::from_utf8_lossy(&sections).contains(".symtab") {
        return Err(Failed("libkith.so is not stripped".into()));
    }
    figures.read(&[format!("figure library.mb {}", bytes as f64 / 1e6)])
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
