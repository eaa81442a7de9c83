//! The fuzz targets in `fuzz/`: built with nightly as cargo-fuzz builds them, so that nothing else has to be installed; run two at a time.

mod instrumented;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::count::Count;
use crate::failures;
use crate::parallel::{Task, two_at_a_time};
use crate::tools::{
    During, Failed, Options, Result, cargo, command, empty_folder, found, headline, host, root, run, start,
    target,
};

/// The targets of decoders, whose memory has a bound that hangs on the input; and the others.
const DECODERS: [&str; 5] = ["replica", "sync", "outside", "storage", "encryption"];
const OTHERS: [&str; 2] = ["session", "capi"];
/// Unless told otherwise.
const SECONDS: u64 = 60;
/// With `--short`.
const SHORT: u64 = 10;
/// A planted defect has to be found within so many.
const CONTROL_SECONDS: u64 = 120;
/// What is asked of the compiler: libFuzzer's counters and comparisons, and AddressSanitizer.
const FLAGS: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Zsanitizer=address",
];
/// The checks of the decoders on the stable build, which also write the seeds.
const STABLE: [&str; 4] = ["--package", "kith-core", "--lib", "fuzzing::"];

const HELP: &str = "\
cargo xtask fuzz [TARGET …] [--seconds N]   runs the targets, 60 s each unless told otherwise
cargo xtask fuzz --control [TARGET …]        plants a defect for each target, which it has to find
cargo xtask fuzz --short [TARGET …]          the same, and a run of 10 s each
cargo xtask fuzz --merge [TARGET …]         takes what was found to be new into fuzz/corpus, as little of it as reaches everything
cargo xtask fuzz --seeds                    writes the seeds of the decoders into fuzz/corpus
TARGET is replica, sync, outside, storage, encryption, session or capi";

pub(crate) fn fuzz(words: &[&str]) -> Result<()> {
    let (mut seconds, mut targets, mut control, mut short, mut merge) =
        (SECONDS, Vec::new(), false, false, false);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--seconds" => {
                let number = words.next().and_then(|number| number.parse().ok());
                seconds = number.ok_or_else(|| Failed("--seconds needs a number".into()))?;
            }
            "--control" => control = true,
            "--short" => (control, seconds, short) = (true, SHORT, true),
            "--merge" => merge = true,
            "--seeds" => return run(cargo("test").args(STABLE).env("KITH_FUZZ_SEEDS", "1")),
            name => match all().find(|known| *known == name) {
                Some(known) => targets.push(known),
                None => return Err(Failed(format!("`{name}` is no target\n\n{HELP}"))),
            },
        }
    }
    if targets.is_empty() {
        targets = all().collect();
    }
    nightly()?;
    let built = Built::new()?;
    if merge {
        return targets.iter().try_for_each(|target| built.merge(target));
    }
    let mut jobs = Vec::new();
    if control {
        jobs.extend(targets.iter().flat_map(|target| Job::controls(target)));
    }
    if short || !control {
        jobs.extend(targets.iter().map(|target| Job { target, defect: None, seconds }));
    }
    let count = built.run(&jobs)?;
    told(&count)
}

fn told(count: &Count) -> Result<()> {
    println!("{count}");
    if count.failed == 0 { Ok(()) } else { Err(Failed("something was found, or a control was not".into())) }
}

/// The tests of the C API, and the unit tests of the library of the other languages, built with AddressSanitizer.
pub(crate) fn asan() -> Result<()> {
    nightly()?;
    let mut count = instrumented::test(&Built::new()?.output)?;
    count += instrumented::uniffi()?;
    told(&count)
}

/// What CI has time for: each planted defect found, 60 s of each target, and the C tests on the library that the same build gives. Without the
/// nightly compiler all of it is skipped.
pub(crate) fn test(_options: &Options) -> Result<Count> {
    let jobs = for_ci();
    if let Err(Failed(why)) = nightly() {
        println!("skipped: {why}");
        return Ok(Count { skipped: jobs.len() as u64, ..Count::default() });
    }
    let built = Built::new()?;
    // One core has the C tests while the other one fuzzes.
    let mut tasks: Vec<Task<'_>> = vec![Box::new(|| instrumented::test(&built.output))];
    tasks.extend(built.tasks(&jobs));
    two_at_a_time(&tasks)
}

fn for_ci() -> Vec<Job> {
    let runs = all().map(|target| Job { target, defect: None, seconds: SECONDS });
    all().flat_map(Job::controls).chain(runs).collect()
}

fn all() -> impl Iterator<Item = &'static str> {
    DECODERS.into_iter().chain(OTHERS)
}

/// One run of one target.
struct Job {
    target: &'static str,
    /// What is planted, which then has to be found.
    defect: Option<&'static str>,
    seconds: u64,
}

impl Job {
    fn controls(target: &'static str) -> Vec<Self> {
        let greedy = DECODERS.contains(&target).then_some("greedy");
        let control = |defect| Self { target, defect: Some(defect), seconds: CONTROL_SECONDS };
        ["broken"].into_iter().chain(greedy).map(control).collect()
    }

    fn name(&self) -> String {
        format!("{}{}", self.target, self.defect.map(|defect| format!("-{defect}")).unwrap_or_default())
    }
}

/// Nightly's cargo, on what is in `fuzz/`.
fn instrumenting(verb: &str, host: &str) -> Command {
    let mut cargo = command("rustup");
    cargo
        .args([
            "run",
            "nightly",
            "cargo",
            verb,
            "--locked",
            "--release",
            "--manifest-path",
            "fuzz/Cargo.toml",
        ])
        // With a target, what runs while building is not instrumented.
        .args(["--target", host, "--target-dir"])
        .arg(folder())
        .env("RUSTFLAGS", FLAGS.join(" "))
        // The same static may be in several crates' objects.
        .env("ASAN_OPTIONS", "detect_odr_violation=0");
    cargo
}

/// The targets, built.
struct Built {
    /// Where the programs are.
    output: PathBuf,
}

impl Built {
    fn new() -> Result<Self> {
        crate::setup::programs()?;
        headline("building the fuzz targets, with AddressSanitizer");
        let host = host()?;
        run(instrumenting("build", &host).args(["--package", "kith-fuzz", "--package", "kith-capi-fuzz"]))?;
        Ok(Self { output: folder().join(host).join("release") })
    }

    fn command(&self, target: &str) -> Command {
        let mut command = command(self.output.join(target));
        // The same static may be in several crates' objects. Leaks are looked for after each input, and not where threads are ending.
        command.env("ASAN_OPTIONS", "detect_odr_violation=0:leak_check_at_exit=0").env("RUST_BACKTRACE", "1");
        command
    }

    fn run(&self, jobs: &[Job]) -> Result<Count> {
        two_at_a_time(&self.tasks(jobs))
    }

    fn tasks<'a>(&'a self, jobs: &'a [Job]) -> Vec<Task<'a>> {
        headline(&format!("fuzzing: {}", jobs.iter().map(Job::name).collect::<Vec<_>>().join(", ")));
        jobs.iter().map(|job| Box::new(|| self.one(job)) as Task<'a>).collect()
    }

    fn one(&self, job: &Job) -> Result<Count> {
        let mut left = TRIES;
        loop {
            left -= 1;
            let (mut child, scratch) = self.start(job)?;
            let status = child.0.wait().during("waiting for a fuzz target")?;
            let log = scratch.join("log");
            let said = std::fs::read(&log).during(format!("reading {}", log.display()))?;
            let said = String::from_utf8_lossy(&said);
            if left == 0 || !is_leak(job, &said) || self.leaks_again(job, &scratch)? {
                return self.counted(job, &scratch, judge(job, status.success(), &said));
            }
            println!("{}: a leak that no new process shows in {AGAIN} runs; once more", job.name());
        }
    }

    /// Whether a new process shows a leak of what this run said leaks.
    fn leaks_again(&self, job: &Job, scratch: &Path) -> Result<bool> {
        let mut inputs = inputs(scratch)?;
        inputs
            .retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("leak-")));
        let mut leaks = inputs.is_empty();
        for input in inputs {
            let mut command = self.command(job.target);
            command.arg(format!("-runs={AGAIN}")).arg(input).env("TMPDIR", scratch.join("tmp"));
            leaks |= !command.output().during("running an input again")?.status.success();
        }
        Ok(leaks)
    }

    fn counted(&self, job: &Job, scratch: &Path, judged: Result<String>) -> Result<Count> {
        match judged {
            Ok(summary) => {
                println!("{}: {summary}", job.name());
                Ok(Count { passed: 1, ..Count::default() })
            }
            Err(Failed(why)) => {
                let again = self.again(job, scratch)?;
                failures::tell(&format!("{}: {why}", job.name()));
                eprintln!("(all of it: {})\n{again}", scratch.join("log").display());
                Ok(Count { failed: 1, ..Count::default() })
            }
        }
    }

    /// The inputs that a run found, in words that outlive the folder: where CI shows nothing but what was printed, they are all that is left.
    fn again(&self, job: &Job, scratch: &Path) -> Result<String> {
        let mut again = String::new();
        for path in inputs(scratch)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = std::fs::read(&path).during(format!("reading {}", path.display()))?;
            let program = self.output.join(job.target);
            let (hex, program) = (hex(&bytes), program.strip_prefix(root()).unwrap_or(&program).display());
            let _ = writeln!(again, "once more: echo {hex} | xxd -r -p > {name}; {program} {name}");
        }
        Ok(again)
    }

    /// The running program, and the folder that has its log and what it finds.
    fn start(&self, job: &Job) -> Result<(crate::tools::Guarded, PathBuf)> {
        let scratch = empty_folder(&format!("fuzz/{}", job.name()))?;
        // What a run finds to be new stays, but for a control's.
        let news = if job.defect.is_some() {
            scratch.join("corpus")
        } else {
            folder().join("corpus").join(job.target)
        };
        std::fs::create_dir_all(&news).during(format!("making {}", news.display()))?;
        let log = scratch.join("log");
        let file = std::fs::File::create(&log).during(format!("making {}", log.display()))?;
        let mut command = self.command(job.target);
        command.args([&news, &corpus(job.target)]).args([
            format!("-max_total_time={}", job.seconds),
            format!("-artifact_prefix={}/", scratch.display()),
            // By the clock on the wall, on a machine that may be busy.
            "-timeout=120".into(),
            // Short inputs reach little of sessions and of C programs.
            format!("-len_control={}", if DECODERS.contains(&job.target) { 100 } else { 0 }),
            format!("-max_len={}", if DECODERS.contains(&job.target) { 4096 } else { 700 }),
            "-malloc_limit_mb=256".into(),
            "-rss_limit_mb=3000".into(),
            "-print_final_stats=1".into(),
        ]);
        let temporary = scratch.join("tmp");
        std::fs::create_dir_all(&temporary).during("making a folder for what a target writes")?;
        command.env("TMPDIR", temporary);
        if let Some(defect) = job.defect {
            command.env("KITH_FUZZ_DEFECT", defect);
        }
        let output = file.try_clone().during("a second handle of the log")?;
        Ok((start(command.stdout(Stdio::from(output)).stderr(Stdio::from(file)))?, scratch))
    }

    /// Adds to the corpus in the repository what reaches more than is reached with it.
    fn merge(&self, name: &'static str) -> Result<()> {
        headline(&format!("merging the corpus of {name}"));
        run(self
            .command(name)
            .arg("-set_cover_merge=1")
            .args([corpus(name), folder().join("corpus").join(name)]))
    }
}

/// What a run has found.
fn inputs(scratch: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(scratch).during(format!("reading {}", scratch.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(paths.filter(|path| path.is_file() && path.file_name().is_some_and(|name| name != "log")).collect())
}

/// AddressSanitizer keeps what the system called a thread also when that has ended. Once the system calls another thread by the same number, LeakSanitizer
/// finds the old one, looks at no stack, and takes what lies on it for lost. Targets have many thousand short threads, so that this happens, the more the
/// busier the machine. In a new process the numbers are new.
fn is_leak(job: &Job, said: &str) -> bool {
    job.defect.is_none() && said.contains("LeakSanitizer: detected memory leaks")
}

/// How often such a run is made before its leak counts all the same, and how often the input is run again by itself.
const TRIES: u32 = 3;
const AGAIN: u32 = 100;

/// What became of a run: a summary, or what is wrong.
fn judge(job: &Job, succeeded: bool, said: &str) -> Result<String> {
    let found = |what: &str| said.lines().rev().find_map(|line| line.strip_prefix(what)).map(str::trim);
    let tail = || -> String {
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    };
    let runs = found("stat::number_of_executed_units:");
    match (job.defect, succeeded) {
        (None, true) => match runs.and_then(|runs| runs.parse::<u64>().ok()) {
            Some(runs) if runs > 1 => Ok(format!("{runs} inputs, nothing found")),
            _ => Err(Failed(format!("it says not how many inputs it ran\n{}", tail()))),
        },
        (None, false) => Err(Failed(format!("it found something\n{}", tail()))),
        (Some(defect), true) => Err(Failed(format!("it does not find the defect `{defect}`"))),
        // It has to be the defect that ends it, and not that it cannot be started.
        (Some(_), false) if said.contains("Test unit written to") => Ok("the planted defect is found".into()),
        (Some(_), false) => Err(Failed(format!("it failed, and not at an input\n{}", tail()))),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn folder() -> PathBuf {
    target().join("fuzz")
}

fn corpus(name: &str) -> PathBuf {
    root().join("fuzz/corpus").join(name)
}

/// The compiler that has the sanitizers.
fn nightly() -> Result<()> {
    if !found("rustup") {
        return Err(Failed(
            "fuzzing needs the nightly compiler, and rustup to have it beside the stable one".into(),
        ));
    }
    let there = |words: &[&str]| {
        let mut version = command("rustup");
        version.args(["run", "nightly"]).args(words).stderr(Stdio::null());
        version.output().is_ok_and(|output| output.status.success())
    };
    if !there(&["rustc", "--version"]) {
        headline("installing the nightly compiler");
        run(command("rustup").args(["toolchain", "install", "nightly", "--profile", "minimal"])).map_err(
            |Failed(why)| Failed(format!("fuzzing needs the nightly compiler, which cannot be had: {why}")),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRASH: &str = "==1== ERROR: libFuzzer: deadly signal\nTest unit written to x/crash-1\n";
    const DONE: &str = "#9 DONE\nstat::number_of_executed_units: 1234\n";

    fn judged(defect: Option<&'static str>, succeeded: bool, said: &str) -> bool {
        judge(&Job { target: "sync", defect, seconds: 1 }, succeeded, said).is_ok()
    }

    #[test]
    fn a_run_is_good_if_it_ran_and_found_nothing_and_a_control_if_it_found_what_was_planted() {
        assert!(judged(None, true, DONE));
        assert!(!judged(None, true, "nothing ran"));
        assert!(!judged(None, false, CRASH));
        assert!(judged(Some("broken"), false, CRASH));
        assert!(!judged(Some("broken"), true, DONE));
        assert!(!judged(Some("broken"), false, "no such file"));
    }

    #[test]
    fn the_tests_have_a_run_and_a_control_for_every_target() {
        let jobs = for_ci();
        for target in std::fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap() {
            let name = target.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
            let of =
                |control: bool| jobs.iter().any(|job| job.target == name && job.defect.is_some() == control);
            assert!(of(false) && of(true), "{name}");
        }
        assert!(jobs.iter().all(|job| job.defect.is_some() || job.seconds == SECONDS));
    }

    #[test]
    fn leaks_are_looked_at_again_but_not_those_that_are_planted() {
        let leak = "==1==ERROR: LeakSanitizer: detected memory leaks\nTest unit written to x/leak-1\n";
        let again = |defect, said: &str| is_leak(&Job { target: "capi", defect, seconds: 1 }, said);
        assert!(again(None, leak) && !again(None, CRASH) && !again(Some("broken"), leak));
        // One that stays is a failure.
        assert!(!judged(None, false, leak));
    }

    /// A target that leaks in its first runs; `again`: also when its input is run by itself.
    fn leaking(name: &'static str, runs: u32, again: bool) -> Count {
        use std::os::unix::fs::PermissionsExt;
        let folder = empty_folder(&format!("fuzz-test/{name}")).unwrap();
        let program = folder.join(name);
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in\n\
             *-runs=*) test {again} = false; exit ;;\nesac\n\
             for word; do case $word in -artifact_prefix=*) prefix=${{word#*=}} ;; esac; done\n\
             echo run >> {0}/count\n\
             if [ $(wc -l < {0}/count) -gt {runs} ]; then echo '{1}'; exit 0; fi\n\
             echo 'LeakSanitizer: detected memory leaks'; echo x > ${{prefix}}leak-1; exit 77\n",
            folder.display(),
            DONE.trim_end(),
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let built = Built { output: folder };
        built.one(&Job { target: name, defect: None, seconds: 1 }).unwrap()
    }

    #[test]
    fn a_leak_counts_if_its_input_leaks_again_or_if_there_is_always_one() {
        assert_eq!(leaking("leaks-never", 0, true).passed, 1);
        assert_eq!(leaking("leaks-once", 2, false).passed, 1);
        assert_eq!(leaking("leaks-truly", 1, true).failed, 1);
        assert_eq!(leaking("leaks-always", 9, false).failed, 1);
    }

    #[test]
    fn an_input_is_printed_so_that_it_comes_back() {
        assert_eq!(hex(&[0, 9, 0xab, 255]), "0009abff");
    }

    /// What it calls is chosen by inputs; that it can choose each function is looked for in its source.
    #[test]
    fn the_c_target_has_a_call_for_every_function_of_the_header() {
        let header = std::fs::read_to_string(root().join("include/kith.h")).unwrap();
        let mut calls = String::new();
        for entry in std::fs::read_dir(root().join("fuzz/src/capi")).unwrap() {
            calls += &std::fs::read_to_string(entry.unwrap().path()).unwrap();
        }
        calls += &std::fs::read_to_string(root().join("fuzz/src/capi.rs")).unwrap();
        let words: std::collections::BTreeSet<&str> =
            calls.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let declared = crate::c::declarations(&header);
        let missing: Vec<_> = declared.iter().filter(|name| !words.contains(**name)).collect();
        assert!(declared.len() > 100 && missing.is_empty(), "never called: {missing:?}");
    }
}
