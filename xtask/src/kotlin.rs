//! The Kotlin package: generated code and library laid where Maven takes them, its tests, its pages, and a project that has nothing
//! but the installed package.

mod generated;
pub(crate) mod shrunk;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::count::{self, Count};
use crate::guides::{self, Typed};
use crate::scenarios::{self, Language, Ran};
use crate::setup;
use crate::small_disk::with_small_disk;
use crate::tools::{
    self, During, Failed, Options, Result, capture, command, empty_folder, headline, library_of_packages,
    run, tee,
};

const PACKAGE: &str = "bindings/kotlin/pom.xml";
const EXAMPLE: &str = "examples/kotlin";
const GUIDE: &str = "docs/guide/kotlin.md";

/// Generates the code and strips the library; the arguments that tell Maven where they are.
fn prepare(options: &Options) -> Result<Vec<String>> {
    setup::for_kotlin()?;
    same_version()?;
    let output = library_of_packages(options)?;
    headline("generating the Kotlin code");
    let folder = empty_folder("kotlin")?;
    let (library, sources) = (output.join("libkith_uniffi.so"), folder.join("generated"));
    run(command(output.join("kith-bindgen"))
        .args(["generate", "--language", "kotlin", "--no-format", "--config", "bindings/kotlin/uniffi.toml"])
        .arg("--out-dir")
        .arg(&sources)
        .arg(&library))?;
    let module = sources.join("org/kith/internal/kith_native.kt");
    let text = std::fs::read_to_string(&module).during("reading the generated code")?;
    if !text.contains("errorKinds") {
        return Err(Failed("the bindings came out empty".into()));
    }
    std::fs::write(&module, generated::changed(&text).map_err(Failed)?)
        .during("writing the generated code")?;
    // Where JNA looks for it in the jar.
    let natives = folder.join("natives");
    let system = natives.join(format!("linux-{}", std::env::consts::ARCH.replace('_', "-")));
    std::fs::create_dir_all(&system).during("making a folder for the library")?;
    run(command("strip")
        .args(["--strip-unneeded", "-o"])
        .arg(system.join("libkith_uniffi.so"))
        .arg(&library))?;
    let setting = |name: &str, path: &Path| format!("-Dkith.{name}={}", path.display());
    Ok(vec![
        setting("build", &folder.join("build")),
        setting("generated", &sources),
        setting("natives", &natives),
    ])
}

/// Maven, with a local repository below the target folder: what these tests install is nobody else's.
fn maven(project: &Path) -> Command {
    let mut maven = command("mvn");
    maven.args(["--batch-mode", "--no-transfer-progress", "--file"]).arg(project);
    maven.arg(format!("-Dmaven.repo.local={}", repository().display()));
    maven
}

fn repository() -> PathBuf {
    tools::target().join("maven")
}

/// The manifests name the package with the version of the workspace.
fn same_version() -> Result<()> {
    for page in [PACKAGE.to_owned(), format!("{EXAMPLE}/pom.xml")] {
        let text = std::fs::read_to_string(tools::root().join(&page)).during(format!("reading {page}"))?;
        let named = version_of_kith(&text);
        if named != Some(env!("CARGO_PKG_VERSION")) {
            return Err(Failed(format!(
                "{page} names {named:?}, and the workspace is {}",
                env!("CARGO_PKG_VERSION")
            )));
        }
    }
    Ok(())
}

/// The version that stands behind the package's name.
fn version_of_kith(manifest: &str) -> Option<&str> {
    let (_, behind) = manifest.split_once("<artifactId>kith</artifactId>")?;
    let (_, version) = behind.split_once("<version>")?;
    version.split('<').next()
}

/// Installs the package; the repository that it is in then.
pub(crate) fn installed(options: &Options) -> Result<PathBuf> {
    install(options)?;
    Ok(repository())
}

/// Installs the package, without its tests.
fn install(options: &Options) -> Result<()> {
    let settings = prepare(options)?;
    headline("installing the Kotlin package");
    run(maven(&tools::root().join(PACKAGE))
        .args(["--quiet", "-Dmaven.test.skip=true"])
        .args(settings)
        .arg("install"))
}

/// A copy of the example outside of its place, built with the installed package; the class path to run it with.
fn consumer(name: &str, extra: &[(String, String)]) -> Result<String> {
    let folder = project(name, extra)?;
    run(maven(&folder.join("pom.xml")).args(["--quiet", "package"]).current_dir(&folder))?;
    Ok(class_path(&folder))
}

fn class_path(folder: &Path) -> String {
    let target = folder.join("target");
    format!("{}:{}", target.join("classes").display(), target.join("dependency/*").display())
}

/// The sources of such a project.
fn project(name: &str, extra: &[(String, String)]) -> Result<PathBuf> {
    headline("building a project with nothing but the installed package");
    let folder = empty_folder(name)?;
    let sources = folder.join("src/main/kotlin");
    std::fs::create_dir_all(&sources).during("making a project")?;
    let example = tools::root().join(EXAMPLE);
    for file in ["pom.xml", "src/main/kotlin/Notes.kt", "src/main/kotlin/Board.kt"] {
        std::fs::copy(example.join(file), folder.join(file)).during(format!("copying {file}"))?;
    }
    for (file, text) in extra {
        std::fs::write(sources.join(file), text).during(format!("writing {file}"))?;
    }
    Ok(folder)
}

/// The examples in Kotlin, as commands that lack only their directory.
pub(crate) struct Examples {
    class_path: String,
}

impl Examples {
    pub(crate) fn build(options: &Options) -> Result<Self> {
        install(options)?;
        Ok(Self { class_path: consumer("kotlin-examples", &[])? })
    }

    /// `class`: "NotesKt" or "BoardKt".
    pub(crate) fn command(&self, class: &str) -> Command {
        java(&self.class_path, class)
    }
}

/// One program with nothing but the installed package, run as the JVM does by itself.
pub(crate) fn program(options: &Options, source: &Path, class: &str) -> Result<Command> {
    install(options)?;
    let name = source.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(source).during(format!("reading {name}"))?;
    let class_path = consumer("kotlin-program", &[(name, text)])?;
    let mut java = command("java");
    java.args(["-cp", &class_path, class]);
    Ok(java)
}

fn java(class_path: &str, class: &str) -> Command {
    let mut java = command("java");
    java.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", class_path, class]);
    java
}

pub(crate) fn test(options: &Options) -> Result<Count> {
    let settings = prepare(options)?;
    headline("the tests in Kotlin and Java, and installing the package");
    let mut maven = maven(&tools::root().join(PACKAGE));
    let (succeeded, lines) = tee(&mut with_small_disk(maven.args(&settings).arg("install"))?)?;
    scenarios::keep(Language::Kotlin, &reports()?)?;
    let mut count = count::surefire(&lines, succeeded);
    if !succeeded {
        return Ok(count);
    }
    for (name, check) in [
        ("the pages by Dokka", pages as fn(&[String]) -> Result<()>),
        ("the programs of README and guide, in a project with nothing but the installed package", programs),
    ] {
        headline(name);
        count.check(name, check(&settings));
    }
    Ok(count)
}

/// The long form of the test for leaks.
pub(crate) fn soak(options: &Options) -> Result<()> {
    let settings = prepare(options)?;
    let mut maven = maven(&tools::root().join(PACKAGE));
    run(maven.args(&settings).args(["-Dtest=LeakTest", "test"]).env(crate::soak::LONG, "1"))
}

/// What Surefire has written of the tests that ran.
fn reports() -> Result<Ran> {
    let mut ran = Ran::default();
    let folder = tools::target().join("xtask/kotlin/build/surefire-reports");
    // Without the folder nothing ran: it did not compile.
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.during("reading Surefire's reports")?.path();
        if path.extension().is_some_and(|ending| ending == "xml") {
            let report = std::fs::read_to_string(&path).during(format!("reading {}", path.display()))?;
            ran.add(Ran::surefire(&report));
        }
    }
    Ok(ran)
}

/// Every public class has a page, and the generated layer has none.
fn pages(settings: &[String]) -> Result<()> {
    run(maven(&tools::root().join(PACKAGE)).arg("--quiet").args(settings).arg("dokka:dokka"))?;
    let folder = tools::target().join("xtask/kotlin/build/dokka");
    let has = |page: &str| folder.join(page).is_file();
    let wanted = [
        "kith/org.kith/-node/index.html",
        "kith/org.kith/-context/events.html",
        "kith/org.kith.testing/index.html",
    ];
    if let Some(missing) = wanted.iter().find(|page| !has(page)) {
        return Err(Failed(format!("{} has no {missing}", folder.display())));
    }
    if folder.join("kith/org.kith.internal").exists() {
        return Err(Failed("the generated layer has pages".into()));
    }
    Ok(())
}

/// The programs of README and guide.
#[derive(Default)]
struct Pieces {
    /// Their files, with what is in them.
    sources: Vec<(String, String)>,
    /// The classes to run of those that end by themselves, but for the README's.
    classes: Vec<String>,
}

fn pieces() -> Result<Pieces> {
    let readme = tools::example_in("bindings/kotlin/README.md", "kotlin")?;
    let mut pieces = Pieces::default();
    pieces.sources.push(("Readme.kt".into(), readme));
    for (number, block) in guides::blocks(GUIDE, "kotlin")?.into_iter().enumerate() {
        // The program is as the guide has it; each of the others is in a package of its own: what they declare is theirs.
        if number == 0 {
            pieces.sources.push(("List.kt".into(), block));
        } else {
            pieces.sources.push((format!("Guide{number}.kt"), format!("package guide{number}\n\n{block}")));
            pieces.classes.push(format!("guide{number}.Guide{number}Kt"));
        }
    }
    Ok(pieces)
}

fn programs(_: &[String]) -> Result<()> {
    let Pieces { sources, classes } = pieces()?;
    let folder = project("kotlin-consumer", &sources)?;
    let here = repository().display().to_string();
    Typed::of(GUIDE)?
        .with("../kith/target/maven", &here)?
        .with("mvn ", "mvn --batch-mode --no-transfer-progress --quiet ")?
        .run(&folder, "")?;
    let class_path = class_path(&folder);
    let folder: PathBuf = empty_folder("readme-kotlin")?;
    let printed = capture(java(&class_path, "ReadmeKt").current_dir(&folder))?;
    let printed = String::from_utf8_lossy(&printed);
    if printed.trim() != "buy milk" {
        return Err(Failed(format!("the example said {printed}")));
    }
    for class in &classes {
        run(java(&class_path, class).current_dir(&folder))?;
    }
    guides::share("guide-kotlin", |directory| {
        let mut list = java(&class_path, "ListKt");
        list.arg(directory);
        Ok(list)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_behind_the_packages_name_is_found() {
        let own =
            "<artifactId>kith</artifactId>\n<!-- x -->\n<version>1.2.3</version><x><version>9</version></x>";
        let other = "<version>9</version><artifactId>notes</artifactId>\n<artifactId>kith</artifactId><version>1.2.3</version>";
        assert_eq!((version_of_kith(own), version_of_kith(other)), (Some("1.2.3"), Some("1.2.3")));
        assert_eq!(version_of_kith("<artifactId>notes</artifactId><version>1</version>"), None);
    }
}
