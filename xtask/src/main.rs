//! Builds, tests and shows Kith: `cargo xtask help`.

mod bench;
mod bindings;
mod board;
mod borders;
mod c;
mod count;
mod demo;
mod errors;
mod failures;
mod fuzz;
mod guides;
mod install;
mod kills;
mod kotlin;
mod netns;
mod notes;
mod parallel;
mod powerloss;
mod program;
mod python;
mod rust;
mod scenarios;
mod setup;
mod simulate;
mod size;
mod small_disk;
mod soak;
mod swift;
mod terminal;
mod tools;
mod valgrind;

use std::process::ExitCode;
use std::time::Instant;

use count::Count;
use tools::{Failed, Options, Result};

const HELP: &str = "\
cargo xtask demo                  a Python node and a C node share a context, are killed and end equal
cargo xtask board                 nodes in five languages share an application of their own, and end equal
cargo xtask test [PART …]         all tests; PART is rust, simulator, netns, fuzz, c, python, kotlin, swift, demo, board or notes
cargo xtask simulate [WORD …]     worlds of simulated nodes: --seed N --worlds N --minutes N, and more (see docs/testing.md)
cargo xtask powerloss [WORD …]    stores after a loss of power, with recorded system calls: --images N --engine E --seed S --all (see docs/testing.md)
cargo xtask fuzz [WORD …]         the fuzz targets: TARGET --seconds N, --control, --merge, --seeds (nightly; see docs/testing.md)
cargo xtask asan                  the tests of the C API, and the unit tests of UniFFI's library, built with AddressSanitizer (nightly)
cargo xtask valgrind [PART …]     what has unsafe code, under valgrind: PART is control, rust, c or python (minutes; python: see docs/testing.md)
cargo xtask kills [WORD …]        two processes that write, 1,000 times killed with SIGKILL: --rounds N --engine E
cargo xtask netns [WORD …]        five processes in network namespaces, in a bad network: --minutes N --seed S (see docs/testing.md)
cargo xtask bindings [--check]    writes include/kith.h, or only compares it with the source
cargo xtask borders               what the Rust node has and how C, Python, Kotlin and Swift call it; fails if one lacks something
cargo xtask bench [PART …]        all figures; PART is one of them (--engine sled|redb; --quick: a tenth; --write: into docs/benchmarks.md)
cargo xtask bench border          what crossing the border costs in C, Python, Kotlin and Swift (--quick, --write: into docs/border.md)
cargo xtask errors [--check]      writes docs/errors.md from the tests, or only compares it with them
cargo xtask scenarios [--check]   writes docs/support-matrix.md from the tests that ran; or compares the list of scenarios with all languages' tests
cargo xtask soak [PART …]         100,000 calls and subscriptions, hundreds of joins and leaves: nothing may grow; PART is rust, c, python, kotlin or swift
cargo xtask wheel                 builds the Python wheel (profile release) and says where it is
cargo xtask maven                 installs the Kotlin package (profile release) into a Maven repository in the target folder and says where it is
cargo xtask shrunk                programs in Kotlin, shrunk by ProGuard and R8 with the package's rules, do what they did (two minutes)
cargo xtask swift                 puts the Swift package together (profile release) and says where it is
cargo xtask abi                   promises the functions of include/kith.h as they are now (ffi/capi/abi/libkith.abi)
cargo xtask docs [swift]          writes the pages of kith.h and kith.hpp (Doxygen), or of the Swift package (DocC), and says where they are
cargo xtask size [--why TEXT]     measures the shipped libraries (profile dist: minutes) and adds a line to docs/size.md; --check: only compares
cargo xtask install --prefix DIR  builds the C library (profile release) and installs it with header, pkg-config and CMake files

--profile NAME    the cargo profile of the libraries for Python and C (default: demo, made to compile fast)

With CI=true in the environment a skipped test counts as a failed one.";

/// What the tests are made of, in the order in which they run.
type Part = fn(&Options) -> Result<Count>;
const PARTS: [(&str, Part); 11] = [
    ("rust", rust::test),
    ("simulator", simulate::test),
    ("netns", netns::test),
    ("fuzz", fuzz::test),
    ("c", c::test),
    ("python", python::test),
    ("kotlin", kotlin::test),
    ("swift", swift::test),
    ("demo", demo::test),
    ("board", board::test),
    ("notes", notes::test),
];

fn main() -> ExitCode {
    match dispatch(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(message)) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(mut arguments: Vec<String>) -> Result<()> {
    let named = arguments.iter().any(|argument| argument == "--profile");
    let options = Options::take_from(&mut arguments)?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["demo"] => demo::run(&options),
        ["board"] => board::run(&options),
        ["test", parts @ ..] => test(&options, parts),
        ["simulate", words @ ..] => simulate::simulate(words),
        ["powerloss", words @ ..] => powerloss::powerloss(words),
        ["bench", "border", flags @ ..] => bench::border::measure(&built(options, named), flags),
        ["fuzz", words @ ..] => fuzz::fuzz(words),
        ["asan"] => fuzz::asan(),
        ["valgrind", parts @ ..] => valgrind::valgrind(&options, parts),
        ["kills", words @ ..] => kills::kills(words),
        ["netns", words @ ..] => netns::netns(words),
        ["bench", words @ ..] => bench::measure(words),
        ["borders"] => borders::run(),
        ["bindings"] => bindings::write(),
        ["bindings", "--check"] => bindings::check(),
        ["abi"] => {
            setup::programs()?;
            c::abi::write()
        }
        ["docs"] => {
            setup::programs()?;
            c::docs::write()
        }
        ["docs", "swift"] => {
            setup::for_packages()?;
            swift::docs(&options)
        }
        ["size"] => size::measure(false, ""),
        ["size", "--why", why] => size::measure(false, why),
        ["size", "--check"] => size::measure(true, ""),
        ["errors"] => errors::run(true),
        ["errors", "--check"] => errors::run(false),
        ["scenarios"] => scenarios::write(),
        ["scenarios", "--check"] => scenarios::check(),
        ["soak", parts @ ..] => soak::run(&options, parts),
        ["wheel"] => {
            setup::for_packages()?;
            println!("{}", python::wheel(&packed(options, named))?.display());
            Ok(())
        }
        ["maven"] => {
            println!("{}", kotlin::installed(&packed(options, named))?.display());
            Ok(())
        }
        ["shrunk"] => kotlin::shrunk::check(&options),
        ["swift"] => {
            setup::for_packages()?;
            println!("{}", swift::package(&packed(options, named))?.display());
            Ok(())
        }
        ["install", "--prefix", prefix] => install::install(&packed(options, named), prefix.as_ref()),
        ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            Ok(())
        }
        _ => Err(Failed(format!("`{}` is not a task\n\n{HELP}", words.join(" ")))),
    }
}

/// For what is to be fast: the profile that was named, or release.
fn built(options: Options, named: bool) -> Options {
    if named { options } else { Options { profile: "release".into(), ..options } }
}

/// For a package, and nothing else.
fn packed(options: Options, named: bool) -> Options {
    Options { alone: true, ..built(options, named) }
}

fn test(options: &Options, parts: &[&str]) -> Result<()> {
    if let Some(unknown) = parts.iter().find(|part| PARTS.iter().all(|(name, _)| name != *part)) {
        let all = PARTS.map(|(name, _)| name).join(", ");
        return Err(Failed(format!("`{unknown}` is no part of the tests: {all}")));
    }
    setup::programs()?;
    let wanted: Vec<&str> =
        PARTS.iter().map(|(name, _)| *name).filter(|name| parts.is_empty() || parts.contains(name)).collect();
    scenarios::forget(&wanted)?;
    let mut total = Count::default();
    for (name, part) in PARTS.into_iter().filter(|(name, _)| wanted.contains(name)) {
        tools::headline(&format!("{name} tests"));
        let begun = Instant::now();
        // A part that cannot run counts as a failure, and the others still run.
        let count = part(options).unwrap_or_else(|Failed(message)| {
            failures::tell(&format!("{name} tests: {message}"));
            Count { failed: 1, ..Count::default() }
        });
        println!("{name}: {count} (in {} s)", begun.elapsed().as_secs());
        scenarios::keep_part(name, &count)?;
        total += count;
    }
    if scenarios::concern(&wanted)? {
        tools::headline("scenarios");
        let count = scenarios::judge(&wanted)?;
        println!("scenarios: {count}");
        total += count;
    }
    let failed = failures::all();
    if !failed.is_empty() {
        tools::headline("what failed");
        failed.iter().for_each(|what| println!("{what}"));
        // A disk or a memory that is full looks like anything else above.
        for words in [&["df", "-h", "."][..], &["free", "-h"]] {
            let _ = tools::run(tools::command(words[0]).args(&words[1..]));
        }
    }
    println!("{total}");
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    if total.passed == 0 {
        Err(Failed("no test ran".into()))
    } else if total.failed > 0 {
        Err(Failed("tests failed".into()))
    } else if ci && total.skipped > 0 {
        Err(Failed("tests were skipped, and CI allows none".into()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_tests_is_in_the_help_and_in_the_page_about_testing() {
        let page = std::fs::read_to_string(tools::root().join("docs/testing.md")).unwrap();
        let line = HELP.lines().find(|line| line.contains("xtask test")).unwrap();
        let (_, listed) = line.split_once("PART is ").unwrap();
        let listed: Vec<&str> = listed.split([',', ' ']).filter(|word| !["", "or"].contains(word)).collect();
        assert_eq!(listed, PARTS.map(|(name, _)| name));
        let missing: Vec<_> =
            listed.iter().filter(|name| !page.contains(&format!("\n| `{name}` | "))).collect();
        assert!(missing.is_empty(), "docs/testing.md has no row for {missing:?}");
    }
}
