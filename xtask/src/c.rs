//! The C library and its tests, built as users build: gcc and clang, all warnings errors, against the shared library and
//! the static one; run plain, under the address sanitizer and under valgrind.

pub(crate) mod abi;
pub(crate) mod docs;
mod examples;
mod wrapper;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::count::{self, Count};
use crate::failures;
use crate::guides::{self, Typed};
use crate::install::{STATIC_NEEDS, install};
use crate::scenarios::{self, Language, Ran};
use crate::small_disk::with_small_disk;
use crate::tools::{
    During, Failed, Options, Result, capture, command, empty_folder, headline, libraries, readme_example,
    root, run, tee,
};

const GUIDE: &str = "docs/guide/c.md";

const STRICT: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g"];

/// The libraries as they are installed: `libkith.so.0` with the link that the linker follows, and `libkith.a`.
pub(crate) struct Installed {
    pub(crate) folder: PathBuf,
}

impl Installed {
    pub(crate) fn from(output: &Path, name: &str) -> Result<Self> {
        let folder = empty_folder(name)?;
        for (from, to) in [("libkith.so", "libkith.so.0"), ("libkith.a", "libkith.a")] {
            std::fs::copy(output.join(from), folder.join(to)).during(format!("copying {from}"))?;
        }
        std::os::unix::fs::symlink("libkith.so.0", folder.join("libkith.so")).during("linking libkith.so")?;
        Ok(Self { folder })
    }

    /// Compiles a program against the shared library.
    pub(crate) fn compile(
        &self,
        compiler: &str,
        source: &Path,
        program: &Path,
        flags: &[&str],
    ) -> Result<()> {
        run(strict(compiler, source, flags)
            .arg(format!("-L{}", self.folder.display()))
            .args(["-lkith", &format!("-Wl,-rpath,{}", self.folder.display()), "-o"])
            .arg(program))
    }

    /// Compiles a test program one way.
    fn build(&self, source: &Path, program: &Path, way: &Way) -> Result<()> {
        if way.shared {
            self.compile(way.compiler, source, program, way.flags)
        } else {
            link(way.compiler, source, way.flags, &self.folder.join("libkith.a"), program)
        }
    }
}

fn is_cpp(source: &Path) -> bool {
    source.extension().is_some_and(|extension| extension == "cpp")
}

/// The compiler for C, or its sister for C++.
fn strict(compiler: &str, source: &Path, flags: &[&str]) -> Command {
    let (compiler, standard) = match (compiler, is_cpp(source)) {
        ("gcc", true) => ("g++", "-std=c++17"),
        ("clang", true) => ("clang++", "-std=c++17"),
        (compiler, _) => (compiler, "-std=c11"),
    };
    let mut command = command(compiler);
    command.arg(standard).args(STRICT).args(flags).arg("-Iinclude").arg(source);
    command
}

pub(crate) fn test(options: &Options) -> Result<Count> {
    let output = libraries(options)?;
    let installed = Installed::from(&output, "c-lib")?;
    let mut count = Count::default();
    for (name, check) in [
        ("the README's example in C", &readme as &dyn Fn(&Installed) -> Result<()>),
        ("the guide's programs in C", &|installed| guide(options, installed)),
        ("libkith.so exports what the header declares and nothing else", &exports),
        ("the SONAME of libkith.so has the number of KITH_ABI_VERSION", &soname),
        ("libkith.so stays where it was loaded", &unloading),
        ("every function is tried with NULL", &null_table),
        ("the header is C++17 in g++ and clang++", &cpp),
        ("the examples are built and run with what is installed, by pkg-config and by CMake", &|_| {
            examples::clean_room(options)
        }),
        ("two notebooks share notes", &examples::notes),
        ("the README's example in C++", &wrapper::readme),
        ("kith.hpp reaches every function of kith.h", &wrapper::reaches_everything),
        ("the binary interface is the one that is promised", &|_| abi::check()),
        ("the pages of kith.h and kith.hpp have everything", &|_| docs::check()),
    ] {
        headline(name);
        count.check(name, check(&installed));
    }
    let mut ran = Ran::default();
    headline("a panic in the library is an error, in all ways to link it");
    let mut add = |outcome: Result<(Count, Ran)>| {
        count += match outcome {
            Ok((count, shown)) => {
                ran.add(shown);
                count
            }
            Err(Failed(message)) => {
                failures::tell(&message);
                Count { failed: 1, ..Count::default() }
            }
        };
    };
    for way in WAYS.into_iter().filter(|way| !way.valgrind) {
        add(panics(&installed, &way));
    }
    let programs = empty_folder("c-test")?;
    for source in sources()? {
        for way in WAYS {
            let name = source.file_stem().unwrap_or_default().to_string_lossy();
            headline(&format!("{name}, {}", way.name));
            add(one(&installed, &source, &programs.join(format!("{name}-{}", way.short)), way));
        }
    }
    scenarios::keep(Language::C, &ran)?;
    headline("the C API again and again: nothing may grow");
    count += soak(&installed, false)?;
    Ok(count)
}

/// The programs that test the C API.
pub(crate) fn sources() -> Result<Vec<PathBuf>> {
    let mut sources: Vec<PathBuf> = std::fs::read_dir(root().join("ffi/capi/tests"))
        .during("reading ffi/capi/tests")?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "c") || is_cpp(path))
        // That one is only looked at by compilers.
        .filter(|path| path.file_name().is_some_and(|name| name != "header.cpp"))
        .collect();
    sources.sort();
    Ok(sources)
}

/// The test for leaks: once, and plain, since the sanitizers and valgrind have heaps of their own.
pub(crate) fn soak(installed: &Installed, long: bool) -> Result<Count> {
    let folder = empty_folder("c-soak")?;
    let program = folder.join("soak");
    let source = root().join("ffi/capi/tests/soak/soak.c");
    installed.compile("gcc", &source, &program, &["-O2", "-D_DEFAULT_SOURCE"])?;
    let mut soak = command(&program);
    if long {
        soak.env(crate::soak::LONG, "1");
    }
    let (succeeded, lines) = tee(soak.arg(&folder))?;
    Ok(Count::of(&lines, succeeded, count::plain))
}

/// The test programs under valgrind alone.
pub(crate) fn valgrind(options: &Options) -> Result<Count> {
    let installed = Installed::from(&libraries(options)?, "c-valgrind-lib")?;
    let programs = empty_folder("c-valgrind")?;
    let mut count = Count::default();
    for source in sources()? {
        let name = source.file_stem().unwrap_or_default().to_string_lossy();
        headline(&format!("{name}, valgrind"));
        let way = WAYS.into_iter().find(|way| way.valgrind).ok_or_else(|| Failed("no such way".into()))?;
        count += one(&installed, &source, &programs.join(&*name), way)?.0;
    }
    Ok(count)
}

struct Way {
    name: &'static str,
    short: &'static str,
    compiler: &'static str,
    flags: &'static [&'static str],
    shared: bool,
    valgrind: bool,
}

const WAYS: [Way; 5] = [
    Way { name: "gcc", short: "gcc", compiler: "gcc", flags: &["-O2"], shared: true, valgrind: false },
    Way { name: "clang", short: "clang", compiler: "clang", flags: &["-O2"], shared: true, valgrind: false },
    Way {
        name: "gcc, static library",
        short: "static",
        compiler: "gcc",
        flags: &[],
        shared: false,
        valgrind: false,
    },
    Way {
        name: "address and undefined behaviour sanitizers",
        short: "sanitizers",
        compiler: "gcc",
        flags: &["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"],
        shared: true,
        valgrind: false,
    },
    Way { name: "valgrind", short: "valgrind", compiler: "gcc", flags: &[], shared: true, valgrind: true },
];

/// What valgrind is told: anything that it finds is an exit with 99; memory that nothing refers to any more is one of them.
pub(crate) const VALGRIND: [&str; 7] = [
    "--quiet",
    "--error-exitcode=99",
    "--leak-check=full",
    "--num-callers=30",
    "--fair-sched=yes",
    "--errors-for-leak-kinds=definite",
    "--show-leak-kinds=definite",
];

pub(crate) fn suppressions() -> String {
    format!("--suppressions={}", root().join("ffi/capi/tests/valgrind.supp").display())
}

/// Builds and runs one test program one way.
fn one(installed: &Installed, source: &Path, program: &Path, way: Way) -> Result<(Count, Ran)> {
    installed.build(source, program, &way)?;
    let command = if way.valgrind {
        let mut valgrind = command("valgrind");
        valgrind.args(VALGRIND).arg(suppressions()).arg(program);
        valgrind
    } else {
        command(program)
    };
    counted(command, program)
}

/// Compiles a program against a static library.
fn link(compiler: &str, source: &Path, flags: &[&str], library: &Path, program: &Path) -> Result<()> {
    run(strict(compiler, source, flags).arg(library).args(STATIC_NEEDS).arg("-o").arg(program))
}

/// Runs a test program in an empty folder of its own, with a small disk of its own.
fn counted(command: Command, program: &Path) -> Result<(Count, Ran)> {
    let scratch = program.with_extension("scratch");
    std::fs::create_dir(&scratch).during("making a folder for the test")?;
    let (succeeded, lines) = tee(with_small_disk(&command)?.arg(&scratch))?;
    std::fs::remove_dir_all(&scratch).during("removing the test's folder")?;
    let count = Count::of(&lines, succeeded, count::plain);
    if count == Count::default() {
        Err(Failed("no test ran".into()))
    } else {
        Ok((count, Ran::plain(&lines)))
    }
}

/// A static library that is built with AddressSanitizer.
pub(crate) struct Instrumented<'a> {
    pub(crate) library: &'a Path,
}

impl Instrumented<'_> {
    /// Builds and runs one test program with it.
    pub(crate) fn run(&self, source: &Path, program: &Path) -> Result<Count> {
        counted(self.built(source, program)?, program).map(|(count, _)| count)
    }

    /// What a program says on its way to a failure.
    pub(crate) fn fails(&self, source: &Path, program: &Path) -> Result<String> {
        let output = self.built(source, program)?.output().during("running a program")?;
        if output.status.success() {
            return Err(Failed("it succeeds".into()));
        }
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn built(&self, source: &Path, program: &Path) -> Result<Command> {
        link("gcc", source, &["-fsanitize=address", "-fno-omit-frame-pointer"], self.library, program)?;
        let mut test = command(program);
        test.env("ASAN_OPTIONS", "detect_odr_violation=0");
        Ok(test)
    }
}

fn readme(installed: &Installed) -> Result<()> {
    let folder = empty_folder("readme-c")?;
    let source = folder.join("example.c");
    std::fs::write(&source, readme_example("c")?).during("writing the example")?;
    let program = folder.join("example");
    installed.compile("gcc", &source, &program, &[])?;
    run(command(&program).current_dir(&folder))
}

fn guide(options: &Options, installed: &Installed) -> Result<()> {
    let desk = empty_folder("guide-c")?;
    let (folder, home) = (desk.join("list"), desk.join("home"));
    std::fs::create_dir(&folder).during("making a folder")?;
    for (number, block) in guides::blocks(GUIDE, "c")?.iter().enumerate() {
        let name = if number == 0 { "list".into() } else { format!("program-{number}") };
        let (source, program) = (folder.join(format!("{name}.c")), folder.join(&name));
        std::fs::write(&source, block).during("writing a program of the guide")?;
        installed.compile("gcc", &source, &program, &[])?;
        if number > 0 {
            run(command(&program).current_dir(&folder))?;
        }
    }
    // The reader's library is built for release, which takes minutes; here it is that of the tests.
    std::fs::remove_file(folder.join("list")).during("removing the program that the reader makes")?;
    install(options, &home.join(".local"))?;
    Typed::of(GUIDE)?
        .with("(cd ../kith && cargo xtask install --prefix ~/.local)", "test -d ~/.local")?
        .run(&desk, "list")?;
    guides::share("guide-c-devices", |directory| {
        let mut list = command(folder.join("list"));
        list.arg(directory).env("LD_LIBRARY_PATH", home.join(".local/lib"));
        Ok(list)
    })
}

/// What the libraries of the tests have beside it, and no header declares.
const PROVOKED: [&str; 2] = ["kith_provoke_panic", "kith_provoke_panic_later"];

fn exports(Installed { folder, .. }: &Installed) -> Result<()> {
    let symbols = capture(command("nm").args(["-D", "--defined-only"]).arg(folder.join("libkith.so")))?;
    let symbols = String::from_utf8_lossy(&symbols);
    let exported: BTreeSet<&str> = symbols
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .map(|name| name.trim())
        .filter(|name| !PROVOKED.contains(name))
        .collect();
    let header = std::fs::read_to_string(root().join("include/kith.h")).during("reading include/kith.h")?;
    let declared = declarations(&header);
    let difference: Vec<_> = exported.symmetric_difference(&declared).collect();
    if declared.is_empty() || !difference.is_empty() {
        return Err(Failed(format!("only in one of library and header: {difference:?}")));
    }
    println!("{} functions, all kith_*", exported.len());
    match exported.iter().find(|name| !name.starts_with("kith_")) {
        Some(stranger) => Err(Failed(format!("{stranger} is exported"))),
        None => Ok(()),
    }
}

/// The names of the functions that a header declares: what stands before the first parenthesis of a line of code.
pub(crate) fn declarations(header: &str) -> BTreeSet<&str> {
    let code = header.lines().filter(|line| !line.trim_start().starts_with(['*', '/', '#']));
    code.filter_map(|line| {
        let (before, _) = line.split_once('(')?;
        let name = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
        (name.starts_with("kith_") && before.len() > name.len() && !before.starts_with("typedef"))
            .then_some(name)
    })
    .collect()
}

fn soname(Installed { folder, .. }: &Installed) -> Result<()> {
    let header = std::fs::read_to_string(root().join("include/kith.h")).during("reading include/kith.h")?;
    let number = header
        .lines()
        .find_map(|line| line.strip_prefix("#define KITH_ABI_VERSION "))
        .ok_or_else(|| Failed("the header has no KITH_ABI_VERSION".into()))?;
    let dynamic = capture(command("readelf").arg("-d").arg(folder.join("libkith.so")))?;
    let wanted = format!("[libkith.so.{number}]");
    let dynamic = String::from_utf8_lossy(&dynamic);
    let found = dynamic.lines().find(|line| line.contains("(SONAME)")).unwrap_or("no SONAME");
    if found.contains(&wanted) {
        println!("{wanted}");
        Ok(())
    } else {
        Err(Failed(format!("wanted {wanted}, found {}", found.trim())))
    }
}

fn unloading(Installed { folder, .. }: &Installed) -> Result<()> {
    let program = empty_folder("c-unload")?.join("unload");
    let source = root().join("ffi/capi/tests/unload/unload.c");
    // Not linked with the library: it loads it itself.
    run(strict("gcc", &source, &["-O2", "-D_GNU_SOURCE"]).args(["-ldl", "-o"]).arg(&program))?;
    run(command(&program).arg(folder.join("libkith.so")))
}

/// The program that has the library panic.
const PANIC: &str = "ffi/capi/tests/panic/panic.c";

/// Rust unwinds as far as the border: in the shared library, in the static one, and where gcc's sanitizers look on. That it does so in the
/// static library as it is installed, the clean room shows.
fn panics(installed: &Installed, way: &Way) -> Result<(Count, Ran)> {
    let program = empty_folder("c-panic")?.join(way.short);
    installed.build(&root().join(PANIC), &program, way)?;
    quietly(&program)
}

/// The same with a static library.
fn panics_in(library: &Path, program: &Path) -> Result<()> {
    link("gcc", &root().join(PANIC), &[], library, program)?;
    match quietly(program)?.0 {
        count if count.failed == 0 => Ok(()),
        count => Err(Failed(format!("{}: {count}", program.display()))),
    }
}

/// Runs a test program whose panics are on purpose.
fn quietly(program: &Path) -> Result<(Count, Ran)> {
    let mut quietly = command(program);
    quietly.env("RUST_BACKTRACE", "0");
    counted(quietly, program)
}

/// The table of ffi/capi/tests/null.c has every function that takes anything.
fn null_table(_: &Installed) -> Result<()> {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).during(format!("reading {path}"));
    let (header, table) = (read("include/kith.h")?, read("ffi/capi/tests/null.c")?);
    let takes_nothing = |name: &str| header.contains(&format!("{name}(void)"));
    let takes_a_number = |name: &str| name == "kith_status_name";
    let missing: Vec<_> = declarations(&header)
        .into_iter()
        .filter(|name| !takes_nothing(name) && !takes_a_number(name) && !table.contains(&format!("{name}(")))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Failed(format!("not in null.c: {missing:?}"))) }
}

fn cpp(_: &Installed) -> Result<()> {
    for compiler in ["g++", "clang++"] {
        run(command(compiler)
            .args(["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"])
            .args(["-Iinclude", "-x", "c++", "ffi/capi/tests/header.cpp"]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_told_from_everything_else() {
        let header = "/** See kith_last_error(…). */\n * kith_comment(x)\n#define KITH_X kith_macro(1)\n\
                      const char *kith_version(void);\nenum kith_status kith_two(int a,\n    void (*kith_not)(int));\n\
                      typedef void (*kith_callback)(void *);";
        assert_eq!(declarations(header), BTreeSet::from(["kith_two", "kith_version"]));
    }
}
