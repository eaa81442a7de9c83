//! The Python package: its wheel, an empty virtual environment, and the tests in it.

mod versions;

use std::path::{Path, PathBuf};

use crate::count::{self, Count};
use crate::guides::{self, Typed};
use crate::scenarios::{self, Language, Ran};
use crate::small_disk::with_small_disk;
use crate::tools::{
    self, During, Failed, Options, Result, capture, command, empty_folder, headline, library_of_packages,
    run, tee,
};

const GUIDE: &str = "docs/guide/python.md";

/// Builds the wheel.
pub(crate) fn wheel(options: &Options) -> Result<PathBuf> {
    let output = library_of_packages(options)?;
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
    environment_of(Path::new("python3"), name, wheel)
}

fn environment_of(python: &Path, name: &str, wheel: &Path) -> Result<PathBuf> {
    headline("installing the wheel into an empty virtual environment");
    let folder = empty_folder(name)?;
    run(command(python).args(["-m", "venv"]).arg(&folder))?;
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
pub(crate) fn for_tests(wheel: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
    equipped(environment(name, wheel)?)
}

/// The same in the environment that the guide has its reader make. What pip builds there of the sources is built by another check.
fn as_typed(wheel: &Path) -> Result<(PathBuf, PathBuf)> {
    headline("what the guide in Python has its reader type");
    let desk = empty_folder("python-guide")?;
    Typed::of(GUIDE)?.with("../kith/bindings/python", &wheel.display().to_string())?.run(&desk, "")?;
    equipped(desk.join("list/bin/python"))
}

fn equipped(python: PathBuf) -> Result<(PathBuf, PathBuf)> {
    // Before anything else is installed: the package needs nothing else.
    run(command(&python).args(["-I", "-c", "import kith; print('kith', kith.version())"]))?;
    for list in ["requirements.txt", "requirements-types.txt", "requirements-notebook.txt"] {
        run(pip(&python).arg("--requirement").arg(tools::root().join("bindings/python/tests").join(list)))?;
    }
    Ok((python, empty_folder("python")?))
}

pub(crate) fn test(options: &Options) -> Result<Count> {
    let wheel = wheel(options)?;
    let (python, scratch) = as_typed(&wheel)?;
    let mut count = Count { passed: 1, ..Count::default() };
    count.check("types in Python", types(&wheel, &python, &scratch));
    for (page, name) in [("README.md", "readme"), ("bindings/python/README.md", "package-readme")] {
        let title = format!("the example in Python of {page}");
        headline(&title);
        count.check(&title, example(&python, &scratch, page, name));
    }
    headline("the guide's programs in Python");
    count.check("the guide in Python", guide(&python, &scratch));
    headline("the known answers of encryption, by their second implementation");
    count.check("the known answers in Python", known_answers(&python, &scratch));
    headline("pytest");
    let (tests, ran) = pytest(&python, &scratch, &tools::root().join("bindings/python/tests"), false)?;
    scenarios::keep(Language::Python, &ran)?;
    count += tests;
    count += versions::others(&wheel)?;
    count.check("the package from its sources", versions::from_sources(options));
    Ok(count)
}

fn example(python: &Path, scratch: &Path, page: &str, name: &str) -> Result<()> {
    let program = scratch.join(format!("{name}.py"));
    std::fs::write(&program, tools::example_in(page, "python")?).during("writing the example")?;
    run(command(python).current_dir(empty_folder(&format!("{name}-python"))?).arg("-I").arg(&program))
}

/// The known answers come out once more; the control: others do not pass for them.
fn known_answers(python: &Path, scratch: &Path) -> Result<()> {
    let vectors = tools::root().join("core/tests/vectors");
    run(command(python).arg("-I").arg(vectors.join("encryption.py")).arg("--check"))?;
    let copied = |name: &str, text: String| {
        std::fs::write(scratch.join(name), text).during("copying the known answers")
    };
    let read = |name: &str| std::fs::read_to_string(vectors.join(name)).during("reading the known answers");
    let answers = read("encryption.json")?;
    let last = answers.rfind(|digit: char| digit.is_ascii_hexdigit()).unwrap_or(0);
    let other = if answers[last..].starts_with('0') { "1" } else { "0" };
    copied("encryption.json", format!("{}{other}{}", &answers[..last], &answers[last + 1..]))?;
    copied("encryption.py", read("encryption.py")?)?;
    let mut altered = command(python);
    altered.arg("-I").arg(scratch.join("encryption.py")).arg("--check").stderr(std::process::Stdio::null());
    if altered.status().during("comparing altered answers")?.success() {
        return Err(Failed("altered answers are taken for right".into()));
    }
    Ok(())
}

fn guide(python: &Path, scratch: &Path) -> Result<()> {
    let program = |number: usize| scratch.join(format!("guide-{number}.py"));
    for (number, block) in guides::blocks(GUIDE, "python")?.iter().enumerate() {
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

/// What type checkers say of the installed package, and of a program that uses it; and how much of what is public has a type.
fn types(wheel: &Path, python: &Path, scratch: &Path) -> Result<()> {
    let configuration = tools::root().join("bindings/python/pyproject.toml");
    let usage = tools::root().join("bindings/python/tests/typed.py");
    let mypy = |what: &[&std::ffi::OsStr]| {
        let mut mypy = isolated(python, scratch, "mypy");
        mypy.arg("--config-file").arg(&configuration).arg("--cache-dir").arg(scratch.join("mypy"));
        mypy.args(what);
        run(&mut mypy)
    };
    headline("mypy --strict on the installed package, and on a program that uses it");
    mypy(&["--package".as_ref(), "kith".as_ref()])?;
    mypy(&[usage.as_os_str()])?;
    headline("pyright on the same, as on the oldest Python that the package is for");
    // Out of the environment, which pyright leaves alone.
    let folder = empty_folder("types")?;
    run(command("python3").args(["-m", "zipfile", "-e"]).arg(wheel).arg(&folder))?;
    std::fs::copy(&usage, folder.join("typed.py")).during("copying typed.py")?;
    std::fs::write(folder.join("pyrightconfig.json"), PYRIGHT).during("writing what pyright is told")?;
    run(isolated(python, &folder, "pyright").arg("--pythonpath").arg(python).args([
        "--warnings",
        "--project",
        ".",
    ]))
}

/// The generated module is checked by nobody; its types are as UniFFI writes them.
const PYRIGHT: &str = r#"{
  "include": ["kith", "typed.py"],
  "exclude": ["**/_native/**"],
  "pythonVersion": "3.9",
  "typeCheckingMode": "standard",
  "reportUnnecessaryTypeIgnoreComment": "error"
}
"#;

/// Runs tests; the long form of those for leaks prints what it finds.
pub(crate) fn pytest(python: &Path, scratch: &Path, tests: &Path, long: bool) -> Result<(Count, Ran)> {
    pytest_of(python, scratch, &[tests.to_owned()], long)
}

fn pytest_of(python: &Path, scratch: &Path, tests: &[PathBuf], long: bool) -> Result<(Count, Ran)> {
    let mut pytest = isolated(python, scratch, "pytest");
    pytest.args(["--color=no", "--verbose", "-o", "cache_dir=.pytest_cache", "--basetemp", "scratch"]);
    if long {
        pytest.env(crate::soak::LONG, "1").arg("-s");
    }
    let configuration = tools::root().join("bindings/python/pyproject.toml");
    let (succeeded, lines) = tee(&mut with_small_disk(pytest.arg("-c").arg(configuration).args(tests))?)?;
    Ok((Count::of(&lines, succeeded, count::pytest), Ran::pytest(&lines)))
}

/// Some of the tests with Python running under valgrind, which sees each of Python's own objects then.
pub(crate) fn under(flags: &[&str], python: &Path, scratch: &Path, tests: &[&str]) -> std::process::Command {
    let folder = tools::root().join("bindings/python");
    let mut valgrind = command("valgrind");
    valgrind.current_dir(scratch).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONMALLOC", "malloc");
    valgrind.args(flags).arg(python).args(["-I", "-m", "pytest", "--color=no", "--verbose"]);
    valgrind
        .args(["-p", "no:cacheprovider", "--basetemp", "scratch", "-c"])
        .arg(folder.join("pyproject.toml"));
    valgrind.args(tests.iter().map(|test| folder.join("tests").join(test)));
    valgrind
}

/// A module of the environment, run outside of the source folders, so that only the installed package is found.
fn isolated(python: &Path, folder: &Path, module: &str) -> std::process::Command {
    let mut command = command(python);
    command.current_dir(folder).env("PYTHONDONTWRITEBYTECODE", "1").args(["-I", "-m", module]);
    command
}
