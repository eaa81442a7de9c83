//! The Python package on other versions of Python, and from its source distribution.

use std::path::{Path, PathBuf};

use super::{environment_of, isolated, pip, pytest_of};
use crate::count::Count;
use crate::failures;
use crate::parallel::{Task, two_at_a_time};
use crate::tools::{
    During, Failed, Options, Result, capture, command, empty_folder, headline, root, run, target,
};

/// What the package is for; the first one is the oldest, which `Requires-Python` names.
const MINORS: [u32; 6] = [9, 10, 11, 12, 13, 14];

/// What is run on one version only: the tests for leaks, and the one that needs Jupyter's kernel.
const ONCE: [&str; 2] = ["test_notebook.py", "test_soak.py"];

/// The version of an interpreter, `3.N`, if it runs at all. (A shim of pyenv's may be there for a version that is not chosen.)
fn minor_of(python: &Path) -> Option<u32> {
    let output = command(python)
        .args(["-c", "import sys, venv, ensurepip; print(sys.version_info[1])"])
        .output()
        .ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

/// An interpreter of this version: in PATH, or where pyenv keeps those that it has.
fn interpreter(minor: u32) -> Option<PathBuf> {
    let name = format!("python3.{minor}");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path)
        .map(|folder| folder.join(&name))
        .filter(|place| place.is_file())
        .collect();
    let pyenv = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pyenv")));
    if let Some(versions) = pyenv.and_then(|folder| std::fs::read_dir(folder.join("versions")).ok()) {
        let mut kept: Vec<_> =
            versions.filter_map(|entry| Some(entry.ok()?.path().join("bin").join(&name))).collect();
        kept.sort();
        places.extend(kept);
    }
    places.into_iter().find(|place| minor_of(place) == Some(minor))
}

/// Installs the one wheel on every version that this machine has, besides the one that runs all tests, and tries it there.
/// A fresh machine has one version only; pyright looks at the package as on the oldest one there.
pub(super) fn others(wheel: &Path) -> Result<Count> {
    let main = minor_of(Path::new("python3"));
    let mut tasks: Vec<Task<'_>> = Vec::new();
    let mut missing = Vec::new();
    for minor in MINORS.into_iter().filter(|minor| Some(*minor) != main) {
        match interpreter(minor) {
            Some(python) => tasks.push(Box::new(move || Ok(tried(&python, minor, wheel)))),
            None => missing.push(format!("3.{minor}")),
        }
    }
    headline("the same wheel on other versions of Python, two at a time");
    let count = two_at_a_time(&tasks)?;
    if !missing.is_empty() {
        println!("not tried, since this machine has none of them: Python {}", missing.join(", "));
    }
    Ok(count)
}

fn tried(python: &Path, minor: u32, wheel: &Path) -> Count {
    let count = on(python, minor, wheel).unwrap_or_else(|Failed(message)| {
        failures::tell(&format!("Python 3.{minor}: {message}"));
        Count { failed: 1, ..Count::default() }
    });
    println!("Python 3.{minor}: {count}");
    count
}

fn on(python: &Path, minor: u32, wheel: &Path) -> Result<Count> {
    let python = environment_of(python, &format!("venv-3.{minor}"), wheel)?;
    let scratch = empty_folder(&format!("python-3.{minor}"))?;
    run(&mut isolated(&python, &scratch, "kith"))?;
    run(pip(&python).args(["--requirement", "bindings/python/tests/requirements.txt"]))?;
    Ok(pytest_of(&python, &scratch, &files()?, false)?.0)
}

/// What is run on each: the whole API in both forms, every example, every scenario.
fn files() -> Result<Vec<PathBuf>> {
    let folder = root().join("bindings/python/tests");
    let entries = std::fs::read_dir(&folder).during(format!("reading {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("test_") && name.ends_with(".py") && !ONCE.contains(&name.as_str())
    });
    files.sort();
    Ok(files)
}

/// The source distribution: made, and installed by pip into an empty environment, which builds it.
pub(super) fn from_sources(options: &Options) -> Result<()> {
    headline("the source distribution, built and installed by pip");
    let folder = empty_folder("sdist")?;
    let printed =
        capture(command("python3").args(["bindings/python/build/kith_build.py", "--sdist"]).arg(&folder))?;
    let sources = folder.join(String::from_utf8_lossy(&printed).trim());
    let place = empty_folder("venv-sdist")?;
    run(command("python3").args(["-m", "venv"]).arg(&place))?;
    let python = place.join("bin/python");
    run(pip(&python)
        // What the workspace has built of other people's crates serves here too.
        .env("CARGO_TARGET_DIR", target())
        .args(["--no-index", "--no-deps", "--config-settings"])
        .arg(format!("profile={}", options.profile))
        // The library has no other name than the workspace's, whose place it takes: what is built next from the workspace finds it there.
        .arg("--config-settings")
        .arg(format!("features={}", options.provoked().unwrap_or_default()))
        .arg(&sources))?;
    run(&mut isolated(&python, &place, "kith"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_says_how_many_files_are_run_on_each_version() {
        let all = files().unwrap().len() + ONCE.len();
        let readme = std::fs::read_to_string(root().join("bindings/python/README.md")).unwrap();
        let said = format!("{} of the {all} files with tests", all - ONCE.len());
        assert!(readme.contains(&said), "README.md of the Python package does not say: {said}");
    }
}
