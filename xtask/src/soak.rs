//! The long form of the tests that look for leaks: through each language.

use crate::c::{self, Installed};
use crate::count::Count;
use crate::tools::{Failed, Options, Result, cargo, headline, libraries, root};
use crate::{kotlin, python, setup, swift};

/// In the environment it makes the tests for leaks long.
pub(crate) const LONG: &str = "KITH_SOAK";

/// 100,000 calls and subscriptions, hundreds of joins and nodes; prints what they cost.
pub(crate) fn run(options: &Options, parts: &[&str]) -> Result<()> {
    type Part = fn(&Options) -> Result<()>;
    const PARTS: [(&str, Part); 5] = [
        ("rust", rust),
        ("c", through_c),
        ("python", through_python),
        ("kotlin", kotlin::soak),
        ("swift", swift::soak),
    ];
    if let Some(unknown) = parts.iter().find(|part| PARTS.iter().all(|(name, _)| name != *part)) {
        let all = PARTS.map(|(name, _)| name).join(", ");
        return Err(Failed(format!("`{unknown}` cannot be soaked: {all}")));
    }
    setup::programs()?;
    for (name, part) in PARTS {
        if parts.is_empty() || parts.contains(&name) {
            headline(&format!("soak: {name}"));
            part(options)?;
        }
    }
    Ok(())
}

fn rust(_: &Options) -> Result<()> {
    let mut tests = cargo("test");
    tests.args(["--package", "kith-core", "--profile", "demo", "--test", "soak", "--", "--nocapture"]);
    let status = tests.env(LONG, "1").status();
    let status = status.map_err(|error| Failed(format!("running cargo: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failed("something leaks".into())) }
}

fn sound(count: &Count) -> Result<()> {
    if count.failed == 0 && count.passed > 0 { Ok(()) } else { Err(Failed(format!("soak: {count}"))) }
}

fn through_c(options: &Options) -> Result<()> {
    let installed = Installed::from(&libraries(options)?, "soak-lib")?;
    sound(&c::soak(&installed, true)?)
}

fn through_python(options: &Options) -> Result<()> {
    let (python, scratch) = python::for_tests(&python::wheel(options)?, "venv-soak")?;
    let (count, _) =
        python::pytest(&python, &scratch, &root().join("bindings/python/tests/test_soak.py"), true)?;
    sound(&count)
}
