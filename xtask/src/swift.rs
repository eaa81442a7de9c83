//! The Swift package: put together from the hand-written layer, the generated one and the library; its tests, and programs that have
//! nothing but the package.

mod generated;
mod pages;
mod toolchain;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::count::{self, Count};
use crate::guides;
use crate::scenarios::{self, Language, Ran};
use crate::small_disk::with_small_disk;
use crate::tools::{
    self, During, Failed, Options, Result, capture, command, empty_folder, headline, library_of_packages,
    root, run, tee,
};
use toolchain::Toolchain;

/// Puts the package together; where it is.
pub(crate) fn package(options: &Options) -> Result<PathBuf> {
    let output = library_of_packages(options)?;
    headline("putting the Swift package together");
    let (library, generated) = (output.join(LIBRARY), empty_folder("swift-generated")?);
    // From the library as cargo left it: a stripped one gives empty bindings.
    run(command(output.join("kith-bindgen"))
        .args(["generate", "--language", "swift", "--no-format", "--out-dir"])
        .arg(&generated)
        .arg(&library))?;
    let text =
        std::fs::read_to_string(generated.join("kith_native.swift")).during("reading the generated code")?;
    if !text.contains("errorKinds") {
        return Err(Failed("the bindings came out empty".into()));
    }
    // What is beside it may be somebody's own: the guide's program is there.
    let package = empty_folder("swift/Kith")?;
    copy(&root().join("bindings/swift"), &package)?;
    if options.provoked().is_none() {
        let panics = package.join("Tests/KithTests/PanicTests.swift");
        std::fs::remove_file(&panics).during(format!("removing {}", panics.display()))?;
    }
    let write = |path: &str, text: &str| {
        let path = package.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(&package))
            .and_then(|()| std::fs::write(&path, text))
            .during(format!("writing {}", path.display()))
    };
    write("Sources/KithNative/kith_native.swift", &generated::cancellable(&text).map_err(Failed)?)?;
    write("Sources/kith_nativeFFI/module.modulemap", generated::MODULE_MAP)?;
    write(
        "Sources/Kith/Version.swift",
        &format!(
            "/// Written when the package was put together.\nlet packageVersion = \"{}\"\n",
            env!("CARGO_PKG_VERSION")
        ),
    )?;
    let header = "kith_nativeFFI.h";
    std::fs::copy(generated.join(header), package.join("Sources/kith_nativeFFI").join(header))
        .during("copying the header")?;
    // Elsewhere it is linked from what `make-xcframework.sh` makes.
    if cfg!(target_os = "linux") {
        std::fs::create_dir(package.join("lib")).during("making a folder for the library")?;
        run(command("strip")
            .args(["--strip-unneeded", "-o"])
            .arg(package.join("lib").join(LIBRARY))
            .arg(&library))?;
    }
    Ok(package)
}

/// What cargo calls the library on this system.
const LIBRARY: &str =
    if cfg!(target_vendor = "apple") { "libkith_uniffi.dylib" } else { "libkith_uniffi.so" };

/// Copies a folder, without what was built in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let doing = || format!("copying {}", from.display());
    std::fs::create_dir_all(to).during(doing())?;
    for entry in std::fs::read_dir(from).during(doing())? {
        let entry = entry.during(doing())?;
        let (path, name) = (entry.path(), entry.file_name());
        if name == ".build" {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name))?;
        } else {
            std::fs::copy(&path, to.join(name)).during(doing())?;
        }
    }
    Ok(())
}

/// Says that warnings are errors, also those in the generated code.
const STRICT: [&str; 2] = ["-Xswiftc", "-warnings-as-errors"];

pub(crate) fn test(options: &Options) -> Result<Count> {
    let toolchain = Toolchain::find()?;
    let package = package(options)?;
    // What the tests of all languages read: the toolchain may see nothing but the package.
    copy(&root().join("bindings/events"), &package.join("events"))?;
    headline("building the Swift package and its tests");
    run(toolchain.swift("build", &package)?.arg("--build-tests").args(STRICT))?;
    headline("the tests in Swift");
    let mut tests = toolchain.swift("test", &package)?;
    let (succeeded, lines) = tee(&mut with_small_disk(tests.arg("--skip-build").args(STRICT))?)?;
    scenarios::keep(Language::Swift, &Ran::swift_testing(&lines))?;
    let mut count = count::swift_testing(&lines, succeeded);
    for (name, check) in [
        ("the pages by DocC", pages::check as fn(&Toolchain, &Path) -> Result<()>),
        (
            "the programs of README and guide and the test for leaks, in a project with nothing but the package",
            programs,
        ),
    ] {
        headline(name);
        count.check(name, check(&toolchain, &package));
    }
    Ok(count)
}

/// Writes the package's pages and says where they are.
pub(crate) fn docs(options: &Options) -> Result<()> {
    let toolchain = Toolchain::find()?;
    for archive in pages::write(&toolchain, &package(options)?)? {
        println!("{}", archive.display());
    }
    Ok(())
}

fn programs(toolchain: &Toolchain, package: &Path) -> Result<()> {
    let folder = beside(package, "programs");
    let mut names = vec!["readme".to_owned()];
    let mut texts = vec![tools::example_in("bindings/swift/README.md", "swift")?];
    let mut blocks = guides::blocks(GUIDE, "swift")?.into_iter();
    let list = blocks.next().unwrap_or_default();
    for (number, block) in blocks.enumerate() {
        names.push(format!("guide{number}"));
        texts.push(block);
    }
    names.push("soak".to_owned());
    texts.push(std::fs::read_to_string(root().join(SOAK)).during(format!("reading {SOAK}"))?);
    for (name, text) in names.iter().zip(texts) {
        let sources = folder.join("Sources").join(name);
        std::fs::create_dir_all(&sources).during("making a project")?;
        std::fs::write(sources.join("main.swift"), text).during("writing the example")?;
    }
    std::fs::write(folder.join("Package.swift"), manifest(&names)).during("writing a manifest")?;
    run(toolchain.swift("build", &folder)?.args(STRICT))?;
    let program = |name: &str| toolchain.program(&folder, &folder.join(".build/debug").join(name));
    let printed = capture(&mut program("readme")?)?;
    let printed = String::from_utf8_lossy(&printed);
    if !(printed.contains("changed: 1\n") && printed.contains("kith1")) {
        return Err(Failed(format!("the example said {printed}")));
    }
    for name in names.iter().filter(|name| name.starts_with("guide")) {
        run(&mut program(name)?)?;
    }
    run(program("soak")?.arg("1000"))?;
    share(toolchain, package, &list)
}

/// The guide's own project, with the manifest that its reader writes, run as the reader runs it.
fn share(toolchain: &Toolchain, package: &Path, list: &str) -> Result<()> {
    let folder = beside(package, "list");
    let sources = folder.join("Sources/list");
    std::fs::create_dir_all(&sources).during("making the guide's project")?;
    std::fs::write(sources.join("main.swift"), list).during("writing the guide's program")?;
    std::fs::write(folder.join("Package.swift"), guides::only_block(GUIDE, "swift-manifest")?)
        .during("writing the guide's manifest")?;
    // What the programs beside it have built of the package serves here too.
    let built = ["--scratch-path", "../programs/.build"];
    run(toolchain.swift("build", &folder)?.args(built).args(STRICT))?;
    guides::share("guide-swift", |directory| {
        let mut run = toolchain.swift("run", &folder)?;
        run.args(built).args(STRICT).args(["--skip-build", "list"]).arg(directory);
        Ok(run)
    })
}

const GUIDE: &str = "docs/guide/swift.md";

/// The test for leaks, which runs alone.
const SOAK: &str = "bindings/swift/soak/main.swift";

/// Its long form.
pub(crate) fn soak(options: &Options) -> Result<()> {
    run(program(options, &root().join(SOAK), "soak")?.arg("100000"))
}

/// One program with nothing but the package, built for release.
pub(crate) fn program(options: &Options, source: &Path, name: &str) -> Result<Command> {
    let toolchain = Toolchain::find()?;
    let package = package(options)?;
    let folder = beside(&package, name);
    let sources = folder.join("Sources").join(name);
    std::fs::create_dir_all(&sources).during("making a project")?;
    std::fs::copy(source, sources.join("main.swift")).during(format!("copying {}", source.display()))?;
    std::fs::write(folder.join("Package.swift"), manifest(&[name.to_owned()]))
        .during("writing a manifest")?;
    run(toolchain.swift("build", &folder)?.args(["--configuration", "release"]).args(STRICT))?;
    toolchain.program(&folder, &folder.join(".build/release").join(name))
}

/// What a project says that has these programs, and nothing but the package beside it.
fn manifest(names: &[String]) -> String {
    format!(
        "// swift-tools-version: 6.0\nimport PackageDescription\n\nlet kith = [\"Kith\", \"KithTesting\"].map {{ \
         Target.Dependency.product(name: $0, package: \"Kith\") }}\nlet package = Package(\n    name: \"programs\",\n    \
         platforms: [.macOS(.v13)],\n    dependencies: [.package(path: \"../Kith\")],\n    targets: {names:?}.map {{ \
         .executableTarget(name: $0, dependencies: kith) }},\n    swiftLanguageModes: [.v6]\n)\n"
    )
}

fn beside(package: &Path, name: &str) -> PathBuf {
    package.parent().unwrap_or(package).join(name)
}

/// The examples in Swift, as commands that lack only their directory.
pub(crate) struct Examples {
    toolchain: Toolchain,
    folder: PathBuf,
}

impl Examples {
    pub(crate) fn build(options: &Options) -> Result<Self> {
        let toolchain = Toolchain::find()?;
        let package = package(options)?;
        headline("building examples/swift");
        let folder = beside(&package, "examples");
        copy(&root().join("examples/swift"), &folder)?;
        run(toolchain.swift("build", &folder)?.args(STRICT))?;
        Ok(Self { toolchain, folder })
    }

    /// `program`: "notes" or "board".
    pub(crate) fn command(&self, program: &str) -> Result<Command> {
        self.toolchain.program(&self.folder, &self.folder.join(".build/debug").join(program))
    }
}
