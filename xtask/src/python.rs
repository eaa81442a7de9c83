//! The Python package: its wheel, an empty virtual environment, and the tests in it.

use std::path::{Path, PathBuf};

use crate::count::{self, Count};
use crate::guides;
use crate::scenarios::{self, Language, Ran};
use crate::tools::{
    self, During, Failed, Options, Result, capture, command, empty_folder, headline, libraries, run, tee,
};

/// Builds the wheel.
pub(crate) fn wheel(options: &Options) -> Result<PathBuf> {
    let output = libraries(options)?;
    headline("building the Python wheel");
    let folder = empty_folder("wheel")?;
    let printed = capture(
        command("python3")
            .arg("bindings/python/build/kith_build.py")
            .arg(&folder)
            .arg(setting("library", &output.join("libkith_uniffi.so")))
            .arg(setting("bindgen", &output.join("kith-bindgen"))),
    )?;
    let name = String::from_utf8_lossy(&printed).trim().to_owned();
    Ok(folder.join(name))
}

fn setting(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// A virtual environment with the wheel in it and nothing else; the path of its Python.
pub(crate) fn environment(name: &str, wheel: &Path) -> Result<PathBuf> {
    headline("installing the wheel into an empty virtual environment");
    let folder = empty_folder(name)?;
    run(command("python3").args(["-m", "venv"]).arg(&folder))?;
    let python = folder.join("bin/python");
    run(pip(&python).args(["--no-index", "--no-deps"]).arg(wheel))?;
    Ok(python)
}

fn pip(python: &Path) -> std::process::Command {
    let mut pip = command(python);
    pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install"]);
    pip
}

/// An environment with the wheel and what the tests need, and an empty folder to run them in.
pub(crate) fn for_tests(options: &Options, name: &str) -> Result<(PathBuf, PathBuf)> {
    let wheel = wheel(options)?;
    let python = environment(name, &wheel)?;
    // Before anything else is installed: the package needs nothing else.
    run(command(&python).args(["-I", "-c", "import kith; print('kith', kith.version())"]))?;
    run(pip(&python).args(["--requirement", "bindings/python/tests/requirements.txt"]))?;
    Ok((python, empty_folder("python")?))
}

pub(crate) fn test(options: &Options) -> Result<Count> {
    let (python, scratch) = for_tests(options, "venv-test")?;

    headline("mypy --strict on the installed package");
    let mut count = Count::default();
    let typed = run(isolated(&python, &scratch, "mypy")
        .args(["--config-file", &tools::root().join("bindings/python/pyproject.toml").to_string_lossy()])
        .args(["--cache-dir", &scratch.join("mypy").to_string_lossy()])
        .args(["--package", "kith"]));
    match typed {
        Ok(()) => count.passed += 1,
        Err(Failed(message)) => {
            eprintln!("xtask: {message}");
            count.failed += 1;
        }
    }

    for (name, check) in [
        ("the README's example in Python", readme as fn(&Path, &Path) -> Result<()>),
        ("the guide's programs in Python", guide),
    ] {
        headline(name);
        match check(&python, &scratch) {
            Ok(()) => count.passed += 1,
            Err(Failed(message)) => {
                eprintln!("xtask: {message}");
                count.failed += 1;
            }
        }
    }

    headline("pytest");
    let (tests, ran) = pytest(&python, &scratch, &tools::root().join("bindings/python/tests"), false)?;
    scenarios::keep(Language::Python, &ran)?;
    count += tests;
    Ok(count)
}

fn readme(python: &Path, scratch: &Path) -> Result<()> {
    let example = scratch.join("readme.py");
    std::fs::write(&example, tools::readme_example("python")?).during("writing the example")?;
    run(command(python).current_dir(empty_folder("readme-python")?).arg("-I").arg(&example))
}

fn guide(python: &Path, scratch: &Path) -> Result<()> {
    let program = |number: usize| scratch.join(format!("guide-{number}.py"));
    for (number, block) in guides::blocks("docs/guide/python.md", "python")?.iter().enumerate() {
        std::fs::write(program(number), block).during("writing a program of the guide")?;
        if number > 0 {
            run(command(python).current_dir(scratch).arg("-I").arg(program(number)))?;
        }
    }
    guides::share("guide-python", |directory| {
        let mut list = command(python);
        list.arg("-I").arg(program(0)).arg(directory);
        Ok(list)
    })
}

/// Runs tests; the long form of those for leaks prints what it finds.
pub(crate) fn pytest(python: &Path, scratch: &Path, tests: &Path, long: bool) -> Result<(Count, Ran)> {
    let mut pytest = isolated(python, scratch, "pytest");
    pytest.args(["--color=no", "--verbose", "-o", "cache_dir=.pytest_cache", "--basetemp", "scratch"]);
    if long {
        pytest.env(crate::soak::LONG, "1").arg("-s");
    }
    let configuration = tools::root().join("bindings/python/pyproject.toml");
    let (succeeded, lines) = tee(pytest.arg("-c").arg(configuration).arg(tests))?;
    Ok((Count::of(&lines, succeeded, count::pytest), Ran::pytest(&lines)))
}

/// A module of the environment, run outside of the source folders, so that only the installed package is found.
fn isolated(python: &Path, folder: &Path, module: &str) -> std::process::Command {
    let mut command = command(python);
    command.current_dir(folder).env("PYTHONDONTWRITEBYTECODE", "1").args(["-I", "-m", module]);
    command
}
