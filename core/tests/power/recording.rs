//! Runs the writer under the recorder.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::engines::Engine;
use super::log::{self, Op};
use super::model::{self, Model, Tree};
use super::workload::Shape;

/// In the environment: where the marks go.
pub const MARKS: &str = "KITH_POWER_MARKS";

/// What a writer does: so many batches of a shape, in so many lives, one of so many with [`kith_core::storage::Durability::Power`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    pub engine: Engine,
    pub seed: u64,
    pub shape: Shape,
    pub batches: u64,
    pub lives: u64,
    pub power_every: u64,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, seed, shape, batches, lives, power_every } = self;
        write!(f, "{} {seed} {shape:?} {batches} {lives} {power_every}", engine.name())
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no scenario");
        let words: Vec<&str> = text.split(' ').collect();
        let [engine, seed, shape, batches, lives, power_every] = words[..] else { return Err(bad()) };
        let number = |word: &str| word.parse::<u64>().map_err(|_| bad());
        let shape = match shape {
            "Small" => Shape::Small,
            "Middle" => Shape::Middle,
            "Mixed" => Shape::Mixed,
            _ => return Err(bad()),
        };
        let engine = Engine::named(engine).ok_or_else(bad)?;
        let (batches, lives, power_every) = (number(batches)?, number(lives)?, number(power_every)?);
        Ok(Self { engine, seed: number(seed)?, shape, batches, lives, power_every })
    }
}

/// Everything that a run has done, in order.
pub struct Recording {
    pub ops: Vec<Op>,
    pub log: Vec<u8>,
    pub output: Output,
    /// It waited for ever, and was killed.
    pub hung: bool,
}

/// A directory for what is soon removed: in memory, if the system has such a place.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let at = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let made = tempfile::Builder::new().prefix("kith-power-").tempdir_in(at);
    made.expect("a directory for what is soon removed")
}

/// The recorder, compiled once for each run.
fn recorder() -> &'static Path {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUILT.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("recorder.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power/recorder.c");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let built = Command::new(&compiler)
            .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread", "-o"])
            .arg(&path)
            .arg(source)
            .status();
        assert!(built.is_ok_and(|status| status.success()), "a C compiler is needed: {compiler:?} failed");
        (directory, path)
    });
    path
}

/// Starts this very program again with these arguments, the recorded directory first among them, and notes all that it does
/// below that. `fault` is what the recorder is to let fail.
pub fn record(role: &str, arguments: &[String], fault: Option<String>) -> Result<Recording, String> {
    let scratch = scratch();
    // As the system names it, without links.
    let home = scratch.path().canonicalize().expect("it is there");
    let (root, log, marks) = (home.join("root"), home.join("log"), home.join("marks"));
    std::fs::create_dir(&root).and_then(|()| std::fs::write(&marks, [])).expect("room for a recording");
    let before = Model::of(&root);
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(role).arg(&root).args(arguments).current_dir(&home);
    command.env("LD_PRELOAD", recorder()).env("KITH_POWER_ROOT", &root).env("KITH_POWER_LOG", &log);
    command.env(MARKS, &marks);
    if let Some(fault) = fault {
        command.env("KITH_POWER_FAULT", fault);
    }
    let (output, hung) = limited(&mut command)?;
    let noted = std::fs::read(&log).map_err(|error| format!("the recorder was not loaded: {error}"))?;
    let ops = log::read(&noted)?;
    // What was noted explains what lies there, to the last byte: no call went past the recorder.
    let mut model = before;
    for op in &ops {
        model.apply(op)?;
    }
    let (noted_tree, found) = (model.present(), model::tree_of(&root));
    if noted_tree != found {
        return Err(format!("what was recorded is not what was done: {}", difference(&noted_tree, &found)));
    }
    Ok(Recording { ops, log: noted, output, hung })
}

/// Far more than a writer takes: one that hangs is killed.
const PATIENCE: Duration = Duration::from_secs(12);

fn limited(command: &mut Command) -> Result<(Output, bool), String> {
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().map_err(|error| format!("starting the writer: {error}"))?;
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let all = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).map(|_| bytes)
        })
    };
    let (out, err) = (all(Box::new(out)), all(Box::new(err)));
    let began = Instant::now();
    let mut hung = false;
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if !hung && began.elapsed() > PATIENCE => {
                hung = true;
                let _ = child.kill();
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let read = |thread: std::thread::JoinHandle<std::io::Result<Vec<u8>>>| thread.join().unwrap().unwrap();
    Ok((Output { status, stdout: read(out), stderr: read(err) }, hung))
}

fn difference(noted: &Tree, found: &Tree) -> String {
    let names = noted.keys().chain(found.keys());
    let different = names.filter(|name| noted.get(*name) != found.get(*name));
    different.map(String::as_str).collect::<Vec<_>>().join(", ")
}
