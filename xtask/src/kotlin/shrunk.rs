//! Programs that ProGuard has shrunk, whose names it has changed and whose packages it has made one, by the rules that the package and what it
//! needs bring along (`META-INF/proguard`): they do what they did. R8 takes the same rules from the same place.

use std::path::{Path, PathBuf};

use super::{Pieces, consumer, install, java, maven, pieces};
use crate::tools::{self, During, Failed, Options, Result, capture, command, empty_folder, headline, run};

/// What fetches ProGuard.
const PROGUARD: &str = "bindings/kotlin/shrink/pom.xml";

/// What programs say by themselves: where they begin, that names and packages matter to nobody, and what coroutines want of Android only.
const PROGRAMS: &str = "\
-keepclasseswithmembers public class * { public static void main(java.lang.String[]); }
-repackageclasses shrunk
-dontoptimize
-dontnote **
-dontwarn android.annotation.SuppressLint
";

/// What they need of Java itself.
const MODULES: [&str; 4] = ["java.base", "java.desktop", "java.logging", "jdk.unsupported"];

/// The rules of the package, among those that are printed.
const OWN: &str = "# META-INF/proguard/kith.pro\n";

/// Prints the rules of all these jars, each file behind a line with its name.
const RULES: &str = "
import sys, zipfile
for jar in sys.argv[1:]:
    with zipfile.ZipFile(jar) as jar:
        for name in jar.namelist():
            if name.startswith('META-INF/proguard/') and name.endswith('.pro'):
                print('# ' + name + chr(10) + jar.read(name).decode())
";

/// Shrinks the programs of README and guide and runs those that end by themselves; the control: without the package's rules they do not run.
pub(crate) fn check(options: &Options) -> Result<()> {
    install(options)?;
    let Pieces { sources, mut classes } = pieces()?;
    classes.push("ReadmeKt".into());
    let class_path = consumer("kotlin-shrunk", &sources)?;
    headline("shrinking them");
    let folder = empty_folder("kotlin-proguard")?;
    let program = Program::of(&class_path, &folder)?;
    let rules = capture(command("python3").args(["-c", RULES]).args(&program.jars))?;
    let rules = String::from_utf8_lossy(&rules).into_owned();
    let (before, own) = rules.split_once(OWN).ok_or_else(|| Failed("the package has no rules".into()))?;
    let behind =
        own.split_once("# META-INF/").map_or("", |(_, behind)| behind.trim_start_matches(|c| c != '\n'));

    let shrunk = program.shrink("shrunk", &rules)?;
    for class in &classes {
        run(java(&shrunk, class).current_dir(empty_folder("kotlin-proguard/run")?))?;
    }
    println!("{} programs run, shrunk and with other names", classes.len());
    let bare = program.shrink("bare", &format!("{before}\n{behind}\n-dontwarn **\n"))?;
    for class in &classes {
        let mut fails = java(&bare, class);
        fails.current_dir(empty_folder("kotlin-proguard/run")?).stderr(std::process::Stdio::null());
        if fails.status().during("running a program")?.success() {
            return Err(Failed(format!("{class} runs without the package's rules, too: nothing is shown")));
        }
    }
    Ok(())
}

struct Program {
    classes: PathBuf,
    jars: Vec<PathBuf>,
    folder: PathBuf,
}

impl Program {
    /// From its class path: the folder of its own classes, and one with jars.
    fn of(class_path: &str, folder: &Path) -> Result<Self> {
        let (classes, dependency) =
            class_path.split_once(':').ok_or_else(|| Failed("no class path".into()))?;
        let dependency = dependency.trim_end_matches("/*");
        let mut jars = Vec::new();
        for entry in std::fs::read_dir(dependency).during("reading what the programs need")? {
            jars.push(entry.during("reading what the programs need")?.path());
        }
        jars.sort();
        run(maven(&tools::root().join(PROGUARD))
            .arg("--quiet")
            .arg(format!("-DoutputDirectory={}", folder.join("tool").display()))
            .arg("dependency:copy-dependencies"))?;
        Ok(Self { classes: classes.into(), jars, folder: folder.to_owned() })
    }

    /// The jar that ProGuard makes of it by these rules.
    fn shrink(&self, name: &str, rules: &str) -> Result<String> {
        let mut text = format!("-injars '{}'\n", self.classes.display());
        for jar in &self.jars {
            text += &format!(
                "-injars '{}'(!META-INF/versions/**,!META-INF/LICENSE*,!META-INF/MANIFEST.MF,!module-info.class)\n",
                jar.display()
            );
        }
        let shrunk = self.folder.join(format!("{name}.jar"));
        text += &format!("-outjars '{}'\n", shrunk.display());
        for module in MODULES {
            text += &format!("-libraryjars <java.home>/jmods/{module}.jmod(!**.jar;!module-info.class)\n");
        }
        let settings = self.folder.join(format!("{name}.pro"));
        std::fs::write(&settings, text + PROGRAMS + rules).during("writing what ProGuard is told")?;
        let tool = format!("{}/*", self.folder.join("tool").display());
        run(java(&tool, "proguard.ProGuard").arg(format!("@{}", settings.display())))?;
        Ok(shrunk.display().to_string())
    }
}
