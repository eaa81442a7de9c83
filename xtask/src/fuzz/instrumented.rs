//! The tests of the borders to other languages with AddressSanitizer in the library: every byte that the library's own unsafe code touches is
//! looked at. In the other runs of these tests the library is not instrumented, so that only its calls to the allocator are.

use std::path::Path;

use super::instrumenting;
use crate::c::{Instrumented, sources};
use crate::count::{self, Count};
use crate::tools::{During, Failed, Result, empty_folder, headline, host, tee};

/// The library comes out of the build of the fuzz targets.
pub(super) fn test(output: &Path) -> Result<Count> {
    let library = output.join("libkith.a");
    let programs = empty_folder("c-asan")?;
    let mut count = Count::default();
    headline("the control: a program that lends the library a byte too few");
    match control(&library, &programs) {
        Ok(()) => count.passed += 1,
        Err(Failed(message)) => {
            eprintln!("failed: {message}");
            count.failed += 1;
        }
    }
    for source in sources()? {
        let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        headline(&format!("{name}.c, with an instrumented library"));
        count += Instrumented { library: &library }.run(&source, &programs.join(&name)).unwrap_or_else(
            |Failed(message)| {
                eprintln!("failed: {message}");
                Count { failed: 1, ..Count::default() }
            },
        );
    }
    Ok(count)
}

const SHORT: &str = "\
#include <kith.h>
#include <stdlib.h>

int main(void) {
    return (int)kith_state_key_random(malloc(31));
}
";

/// What the library itself writes is looked at, and not only what it calls.
fn control(library: &Path, programs: &Path) -> Result<()> {
    let (source, program) = (programs.join("short.c"), programs.join("short"));
    std::fs::write(&source, SHORT).during("writing the control")?;
    let said = Instrumented { library }.fails(&source, &program)?;
    if said.contains("heap-buffer-overflow") && said.contains("kith_state_key_random") {
        Ok(())
    } else {
        Err(Failed(format!("it is not found: {said}")))
    }
}

/// The test that uses what was lent and taken back.
const NOT_TAKEN_BACK: &str = "application::tests::a_state_that_is_not_taken_back";

/// The unit tests of the library that Python, Kotlin and Swift call.
pub(super) fn uniffi() -> Result<Count> {
    let host = host()?;
    let tests = |words: &[&str]| {
        let mut tests = instrumenting("test", &host);
        tests.args(["--package", "kith-uniffi-fuzz", "--lib", "--"]).args(words);
        tests
    };
    headline("the unit tests of the library of UniFFI's languages");
    let (succeeded, lines) = tee(&mut tests(&[]))?;
    let mut count = Count::of(&lines, succeeded, count::cargo);
    // It is the control, and no skipped test.
    count.skipped = count.skipped.saturating_sub(1);
    headline("the control: a state that is used after it was taken back");
    let output = tests(&["--ignored", "--exact", NOT_TAKEN_BACK]).output().during("running a test")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("heap-use-after-free") {
        count.passed += 1;
    } else {
        eprintln!("failed: it is not found: {said}");
        count.failed += 1;
    }
    Ok(count)
}
