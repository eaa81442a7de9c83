//! What has unsafe code, under valgrind: nothing is instrumented, so that the very code that is shipped is looked at, at a twentieth of its speed.

use crate::count::{self, Count};
use crate::tools::{
    During, Failed, Options, Result, capture, cargo, command, empty_folder, headline, host, tee,
};
use crate::{c, python, setup};

/// `parts`: of what; none: all.
pub(crate) fn valgrind(options: &Options, parts: &[&str]) -> Result<()> {
    type Part = fn(&Options) -> Result<Count>;
    const PARTS: [(&str, Part); 4] =
        [("control", control), ("rust", rust), ("c", c::valgrind), ("python", through_python)];
    if let Some(unknown) = parts.iter().find(|part| PARTS.iter().all(|(name, _)| name != *part)) {
        let all = PARTS.map(|(name, _)| name).join(", ");
        return Err(Failed(format!("`{unknown}` is nothing that runs under valgrind: {all}")));
    }
    setup::programs()?;
    let mut total = Count::default();
    for (name, part) in PARTS.into_iter().filter(|(name, _)| parts.is_empty() || parts.contains(name)) {
        headline(&format!("valgrind: {name}"));
        let count = part(options)?;
        println!("{name}: {count}");
        total += count;
    }
    println!("{total}");
    if total.failed == 0 && total.passed > 0 {
        Ok(())
    } else {
        Err(Failed("valgrind found something".into()))
    }
}

/// The unit tests of the borders to C and to the languages of UniFFI.
fn rust(_: &Options) -> Result<Count> {
    let runner = format!("CARGO_TARGET_{}_RUNNER", host()?.to_uppercase().replace('-', "_"));
    let valgrind = [&["valgrind"][..], &c::VALGRIND].concat().join(" ");
    let mut tests = cargo("test");
    tests.args(["--package", "kith-capi", "--package", "kith-uniffi", "--lib", "--no-fail-fast"]);
    let (succeeded, lines) = tee(tests.env(runner, valgrind))?;
    Ok(Count::of(&lines, succeeded, count::cargo))
}

/// What valgrind is told of Python, which has memory to its end that nothing refers to.
const PYTHON: [&str; 4] = ["--quiet", "--error-exitcode=99", "--num-callers=30", "--fair-sched=yes"];

/// The tests of applications that are written in Python: what the border lends them, keeps from them and takes back.
fn through_python(options: &Options) -> Result<Count> {
    let (interpreter, scratch) = python::for_tests(&python::wheel(options)?, "venv-valgrind")?;
    let tests = ["test_application.py", "test_border.py", "test_host.py"];
    let (succeeded, lines) = tee(&mut python::under(&PYTHON, &interpreter, &scratch, &tests))?;
    Ok(Count::of(&lines, succeeded, count::pytest))
}

const SHORT: &str = "\
#include <kith.h>
#include <stdlib.h>

int main(void) {
    return (int)kith_state_key_random(malloc(31));
}
";

/// A program that lends the library a byte too few, and one in Python that reads a byte too many.
fn control(options: &Options) -> Result<Count> {
    let installed = c::Installed::from(&crate::tools::libraries(options)?, "valgrind-lib")?;
    let folder = empty_folder("valgrind-control")?;
    let (source, program) = (folder.join("short.c"), folder.join("short"));
    std::fs::write(&source, SHORT).during("writing the control")?;
    installed.compile("gcc", &source, &program, &[])?;
    let mut lent = command("valgrind");
    lent.args(c::VALGRIND).arg(program);
    let mut read = command("valgrind");
    // By its own path: what is called python3 may be a script that starts it, and valgrind would look at that.
    let interpreter = capture(command("python3").args(["-c", "import sys; print(sys.executable, end='')"]))?;
    let interpreter = String::from_utf8_lossy(&interpreter).into_owned();
    read.args(PYTHON).args([&interpreter, "-c", READ]).env("PYTHONMALLOC", "malloc");
    let mut count = Count::default();
    for (mut program, wanted) in [(lent, "Invalid write"), (read, "Invalid read")] {
        let output = program.output().during("running a control")?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.code() == Some(99) && said.contains(wanted) {
            count.passed += 1;
        } else {
            eprintln!("a control is not found: {said}");
            count.failed += 1;
        }
    }
    Ok(count)
}

const READ: &str = "\
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
ctypes.string_at(libc.malloc(16), 17)
";
