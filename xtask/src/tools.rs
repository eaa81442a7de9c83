//! Running other programs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

/// Why a task failed, in words.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

pub(crate) type Result<T, E = Failed> = std::result::Result<T, E>;

/// Adds to an error what was being done.
pub(crate) trait During<T> {
    fn during(self, what: impl std::fmt::Display) -> Result<T>;
}

impl<T, E: std::fmt::Display> During<T> for std::result::Result<T, E> {
    fn during(self, what: impl std::fmt::Display) -> Result<T> {
        self.map_err(|error| Failed(format!("{what}: {error}")))
    }
}

/// What all tasks are told.
pub(crate) struct Options {
    /// The cargo profile of the libraries.
    pub(crate) profile: String,
    /// A package is all that is made, for those who use it: nothing is built that is not in it.
    pub(crate) alone: bool,
}

impl Options {
    pub(crate) fn take_from(arguments: &mut Vec<String>) -> Result<Self> {
        let mut profile = "demo".to_owned();
        if let Some(at) = arguments.iter().position(|argument| argument == "--profile") {
            if at + 1 >= arguments.len() {
                return Err(Failed("--profile needs a name".into()));
            }
            profile = arguments.remove(at + 1);
            arguments.remove(at);
        }
        Ok(Self { profile, alone: false })
    }

    /// The feature by which a library of the tests can be told to panic.
    pub(crate) fn provoked(&self) -> Option<&'static str> {
        (!SHIPPED.contains(&self.profile.as_str())).then_some("provoked")
    }

    /// Where cargo puts what it builds with this profile.
    pub(crate) fn output(&self) -> PathBuf {
        target().join(if self.profile == "dev" { "debug" } else { &self.profile })
    }
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        // Cargo says where the manifest is now, which lies one folder below; a folder that was moved since is not built anew.
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        manifest.parent().map_or_else(PathBuf::new, Path::to_path_buf)
    });
    &ROOT
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// A folder of a task's own below the target folder, emptied.
pub(crate) fn empty_folder(name: &str) -> Result<PathBuf> {
    let folder = target().join("xtask").join(name);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failed(format!("emptying {}: {error}", folder.display())));
        }
        _ => {}
    }
    std::fs::create_dir_all(&folder).during(format!("making {}", folder.display()))?;
    Ok(folder)
}

/// A command in the root of the repository.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    // What cargo told this program of its own package is not for others: build scripts that look at it (ring's) would
    // run again, and everything behind them.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name.as_ref());
        }
    }
    command
}

/// A command with all that belongs to it, run by another program.
pub(crate) fn run_by(mut outer: Command, inner: &Command) -> Command {
    outer.arg(inner.get_program()).args(inner.get_args());
    if let Some(folder) = inner.get_current_dir() {
        outer.current_dir(folder);
    }
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}

/// Cargo, the one that runs this task.
pub(crate) fn cargo(verb: &str) -> Command {
    let mut command = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg(verb).arg("--locked");
    command
}

/// The kind of machine that the compiler builds for.
pub(crate) fn host() -> Result<String> {
    let version = capture(command("rustc").arg("-vV"))?;
    let version = String::from_utf8_lossy(&version);
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failed("rustc does not say what it builds for".into()))
}

/// The example in this language in the README, which the tests run.
pub(crate) fn readme_example(language: &str) -> Result<String> {
    example_in("README.md", language)
}

/// The first example in this language in a page.
pub(crate) fn example_in(page: &str, language: &str) -> Result<String> {
    let text = std::fs::read_to_string(root().join(page)).during(format!("reading {page}"))?;
    let example = text.split_once(&format!("```{language}\n")).and_then(|(_, rest)| rest.split_once("```"));
    example
        .map(|(text, _)| text.to_owned())
        .ok_or_else(|| Failed(format!("{page} has no example in {language}")))
}

/// Says what begins.
pub(crate) fn headline(text: &str) {
    println!("\n== {text}");
}

/// A child that does not outlive this process's interest in it.
pub(crate) struct Guarded(pub(crate) Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a command.
pub(crate) fn start(command: &mut Command) -> Result<Guarded> {
    let child = command.spawn().during(format!("starting {}", name(command)))?;
    Ok(Guarded(child))
}

/// Runs a command with its output shown; failure is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let mut child = start(command)?;
    let status = child.0.wait().during(format!("waiting for {}", name(command)))?;
    if status.success() { Ok(()) } else { Err(Failed(format!("{} failed ({status})", name(command)))) }
}

/// Runs a command with its output shown and kept: whether it succeeded, and the lines of its standard output.
pub(crate) fn tee(command: &mut Command) -> Result<(bool, Vec<String>)> {
    let mut child = start(command.stdout(Stdio::piped()))?;
    let mut lines = Vec::new();
    if let Some(output) = child.0.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.during(format!("reading from {}", name(command)))?;
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            println!("{line}");
            lines.push(line);
        }
    }
    let status = child.0.wait().during(format!("waiting for {}", name(command)))?;
    if !status.success() {
        eprintln!("{} ended with {status}", name(command));
    }
    Ok((status.success(), lines))
}

/// Runs a command and takes what it prints; failure is an error.
pub(crate) fn capture(command: &mut Command) -> Result<Vec<u8>> {
    let child = start(command.stdout(Stdio::piped()))?;
    // The guard keeps the child until its output has ended.
    let mut child = child;
    let mut output = Vec::new();
    if let Some(mut pipe) = child.0.stdout.take() {
        std::io::Read::read_to_end(&mut pipe, &mut output)
            .during(format!("reading from {}", name(command)))?;
    }
    let status = child.0.wait().during(format!("waiting for {}", name(command)))?;
    if status.success() { Ok(output) } else { Err(Failed(format!("{} failed ({status})", name(command)))) }
}

/// Whether a program is there to be run.
pub(crate) fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn name(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.take(6).map(OsStr::to_string_lossy).collect();
    format!("`{}`", words.join(" "))
}

/// The profiles of what is shipped, and measured.
const SHIPPED: [&str; 2] = ["release", "dist"];

/// Builds the libraries for Python and C, and the examples in Rust, in one go.
pub(crate) fn libraries(options: &Options) -> Result<PathBuf> {
    headline(&format!("building the libraries for Python and C (profile {})", options.profile));
    let features = options
        .provoked()
        .map_or_else(String::new, |feature| format!("kith-capi/{feature},kith-uniffi/{feature}"));
    build(options, &["kith-capi", "kith-uniffi", "kith-examples"], &features)
}

/// Builds the library for C; with all that is needed beside it, unless it is wanted alone.
pub(crate) fn library_for_c(options: &Options) -> Result<PathBuf> {
    if !options.alone {
        return libraries(options);
    }
    headline(&format!("building the library for C (profile {})", options.profile));
    build(options, &["kith-capi"], options.provoked().unwrap_or_default())
}

/// Builds the library that is in the packages for Python, Kotlin and Swift; with all that is needed beside it, unless it is wanted alone.
pub(crate) fn library_of_packages(options: &Options) -> Result<PathBuf> {
    if !options.alone {
        return libraries(options);
    }
    headline(&format!("building the library for Python, Kotlin and Swift (profile {})", options.profile));
    build(options, &["kith-uniffi"], options.provoked().unwrap_or_default())
}

fn build(options: &Options, packages: &[&str], features: &str) -> Result<PathBuf> {
    let mut build = cargo("build");
    build.args(["--profile", &options.profile, "--features", features]);
    for package in packages {
        build.args(["--package", package]);
    }
    run(&mut build)?;
    Ok(options.output())
}
