//! Programs that R8 and ProGuard have shrunk, whose names they have changed and whose packages they have made one, by the rules that the package
//! and what it needs bring along (`META-INF/proguard`): they do what they did. Without the package's rules they do not.

use std::path::{Path, PathBuf};

use super::{Pieces, consumer, install, java, maven, pieces};
use crate::tools::{self, During, Failed, Options, Result, capture, command, empty_folder, headline, run};

/// What fetches ProGuard and R8.
const TOOLS: &str = "bindings/kotlin/shrink/pom.xml";

/// What programs say by themselves: where they begin, that names and packages matter to nobody, and what coroutines want of Android only.
const PROGRAMS: &str = "\
-keepclasseswithmembers public class * { public static void main(java.lang.String[]); }
-repackageclasses shrunk
-dontwarn android.annotation.SuppressLint
";

/// ProGuard's optimiser is not what is tried; R8's cannot be told apart from its shrinking.
const PROGUARD: &str = "-dontoptimize\n-dontnote **\n";

/// What programs need of Java itself.
const MODULES: [&str; 4] = ["java.base", "java.desktop", "java.logging", "jdk.unsupported"];

/// Where the rules of the package are in its jar.
const OWN: &str = "META-INF/proguard/kith.pro";

/// Prints the rules of all these jars, each file behind a line with its name.
const RULES: &str = "
import sys, zipfile
for jar in sys.argv[1:]:
    with zipfile.ZipFile(jar) as jar:
        for name in jar.namelist():
            if name.startswith('META-INF/proguard/') and name.endswith('.pro'):
                print('# ' + name + chr(10) + jar.read(name).decode())
";

/// Copies a jar without one of its files, which has to be there.
const WITHOUT: &str = "
import sys, zipfile
source, copy, without = sys.argv[1:]
with zipfile.ZipFile(source) as source, zipfile.ZipFile(copy, 'w') as copy:
    source.getinfo(without)
    for entry in source.infolist():
        if entry.filename != without:
            copy.writestr(entry, source.read(entry))
";

/// Shrinks the programs of README and guide and runs those that end by themselves.
pub(crate) fn check(options: &Options) -> Result<()> {
    install(options)?;
    let Pieces { sources, mut classes } = pieces()?;
    classes.push("ReadmeKt".into());
    let program = Program::of(&consumer("kotlin-shrunk", &sources)?)?;
    for (name, shrink) in [
        ("ProGuard", Program::by_proguard as fn(&Program, &Path, bool) -> Result<String>),
        ("R8", Program::by_r8),
    ] {
        headline(&format!("programs that {name} has shrunk"));
        let folder = empty_folder(&format!("kotlin-{}", name.to_lowercase()))?;
        let shrunk = shrink(&program, &folder, true)?;
        let in_scratch = |class_path: &str, class: &str| -> Result<std::process::Command> {
            let mut java = java(class_path, class);
            java.current_dir(empty_folder("kotlin-shrunk-run")?);
            Ok(java)
        };
        for class in &classes {
            run(&mut in_scratch(&shrunk, class)?)?;
        }
        println!("{} programs run, shrunk by {name} and with other names", classes.len());
        let bare = shrink(&program, &folder, false)?;
        for class in &classes {
            let mut fails = in_scratch(&bare, class)?;
            if fails.stderr(std::process::Stdio::null()).status().during("running a program")?.success() {
                return Err(Failed(format!(
                    "{class} runs without the package's rules, too: nothing is shown"
                )));
            }
        }
    }
    Ok(())
}

struct Program {
    classes: PathBuf,
    jars: Vec<PathBuf>,
}

impl Program {
    /// From its class path: the folder of its own classes, and one with jars.
    fn of(class_path: &str) -> Result<Self> {
        let (classes, dependency) =
            class_path.split_once(':').ok_or_else(|| Failed("no class path".into()))?;
        let dependency = dependency.trim_end_matches("/*");
        let mut jars = Vec::new();
        for entry in std::fs::read_dir(dependency).during("reading what the programs need")? {
            jars.push(entry.during("reading what the programs need")?.path());
        }
        jars.sort();
        Ok(Self { classes: classes.into(), jars })
    }

    /// The jar that ProGuard makes of it. It has to be given the rules.
    fn by_proguard(&self, folder: &Path, with_rules: bool) -> Result<String> {
        let rules = capture(command("python3").args(["-c", RULES]).args(&self.jars))?;
        let mut rules = String::from_utf8_lossy(&rules).into_owned();
        if !with_rules {
            let (before, own) = rules
                .split_once(&format!("# {OWN}\n"))
                .ok_or_else(|| Failed("the package has no rules".into()))?;
            let behind =
                own.split_once("# META-INF/").map_or("", |(_, rest)| rest.trim_start_matches(|c| c != '\n'));
            rules = format!("{before}\n{behind}\n-dontwarn **\n");
        }
        let mut text = format!("-injars '{}'\n", self.classes.display());
        for jar in &self.jars {
            text += &format!(
                "-injars '{}'(!META-INF/versions/**,!META-INF/LICENSE*,!META-INF/MANIFEST.MF,!module-info.class)\n",
                jar.display()
            );
        }
        let shrunk = folder.join(if with_rules { "shrunk.jar" } else { "bare.jar" });
        text += &format!("-outjars '{}'\n", shrunk.display());
        for module in MODULES {
            text += &format!("-libraryjars <java.home>/jmods/{module}.jmod(!**.jar;!module-info.class)\n");
        }
        let settings = shrunk.with_extension("pro");
        std::fs::write(&settings, text + PROGRAMS + PROGUARD + &rules)
            .during("writing what ProGuard is told")?;
        run(java(&tool("proguard", folder)?, "proguard.ProGuard").arg(format!("@{}", settings.display())))?;
        Ok(shrunk.display().to_string())
    }

    /// The jar that R8 makes of it: classes, as ProGuard's, so that they run here. It finds the rules in the jars by itself.
    fn by_r8(&self, folder: &Path, with_rules: bool) -> Result<String> {
        let own = folder.join("classes.jar");
        run(command("jar").arg("cf").arg(&own).arg("-C").arg(&self.classes).arg("."))?;
        let mut jars = self.jars.clone();
        if !with_rules {
            let package = jars
                .iter_mut()
                .find(|jar| jar.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kith-")))
                .ok_or_else(|| Failed("the programs do not have the package".into()))?;
            let copy = folder.join("without-rules.jar");
            run(command("python3").args(["-c", WITHOUT]).args([&*package, &copy]).arg(OWN))?;
            *package = copy;
        }
        let shrunk = folder.join(if with_rules { "shrunk.jar" } else { "bare.jar" });
        let settings = shrunk.with_extension("pro");
        std::fs::write(&settings, PROGRAMS).during("writing what R8 is told")?;
        let home = capture(command("sh").args(["-c", "java -XshowSettings:properties -version 2>&1"]))?;
        let home = String::from_utf8_lossy(&home);
        let home = home
            .lines()
            .find_map(|line| line.trim().strip_prefix("java.home = "))
            .ok_or_else(|| Failed("java does not say where it is".into()))?;
        run(java(&tool("r8", folder)?, "com.android.tools.r8.R8")
            .args(["--release", "--classfile", "--lib", home, "--output"])
            .arg(&shrunk)
            .arg("--pg-conf")
            .arg(&settings)
            .arg(&own)
            .args(&jars))?;
        Ok(shrunk.display().to_string())
    }
}

/// Fetches what shrinks; the class path to run it with.
fn tool(profile: &str, folder: &Path) -> Result<String> {
    let tool = folder.join("tool");
    run(maven(&tools::root().join(TOOLS))
        .args(["--quiet", "--activate-profiles", profile])
        .arg(format!("-DoutputDirectory={}", tool.display()))
        .arg("dependency:copy-dependencies"))?;
    Ok(format!("{}/*", tool.display()))
}
