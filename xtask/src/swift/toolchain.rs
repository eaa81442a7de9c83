//! Swift 6: the one of the machine, or else the one of Debian 13 in a root of its own below the target folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::setup;
use crate::tools::{self, During, Failed, Result, capture, command, found, headline, run};

const SUITE: &str = "trixie";
const PACKAGES: [&str; 5] = ["swiftlang", "swiftlang-dev", "libswiftlang", "libc6-dev", "libstdc++-14-dev"];
/// Written when the root is whole.
const READY: &str = "kith-swift-is-ready";

/// Enters the root (the first argument) with the folder where the tasks work (the second), and what is mounted in it, at its own path. The mounts are in a name
/// space of their own and end with the program.
const ENTER: &str = "\
root=$1; work=$2; folder=$3; shift 3
mkdir -p \"$root$work\" &&
mount -t proc proc \"$root/proc\" && mount --rbind /dev \"$root/dev\" && mount --rbind \"$work\" \"$root$work\" &&
exec chroot \"$root\" env HOME=/root LD_LIBRARY_PATH=/usr/libexec/swift/lib/swift/linux:/usr/libexec/swift/lib/swift/host \
PATH=/usr/libexec/swift/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -c 'cd \"$0\" && exec \"$@\"' \"$folder\" \"$@\"";

/// What runs `swift` and what it built.
pub(super) enum Toolchain {
    OfTheMachine,
    Root(PathBuf),
}

impl Toolchain {
    /// The one of the machine if it is new enough; else the root, which is made if it is not there.
    pub(super) fn find() -> Result<Self> {
        if found("swift") && is_new(&String::from_utf8_lossy(&capture(command("swift").arg("--version"))?)) {
            return Ok(Self::OfTheMachine);
        }
        let root = tools::target().join("swift-root");
        if !root.join(READY).is_file() {
            make(&root)?;
        }
        Ok(Self::Root(root))
    }

    /// `swift VERB` in a folder.
    pub(super) fn swift(&self, verb: &str, folder: &Path) -> Result<Command> {
        let mut swift = self.program(folder, Path::new("swift"))?;
        swift.arg(verb);
        Ok(swift)
    }

    /// A program in a folder below the one where the tasks work.
    pub(super) fn program(&self, folder: &Path, program: &Path) -> Result<Command> {
        let mut command = match self {
            Self::OfTheMachine => {
                let mut own = command(program);
                own.current_dir(folder);
                return Ok(own);
            }
            Self::Root(root) => enter(root)?,
        };
        command.arg(folder).arg(program);
        Ok(command)
    }
}

fn enter(root: &Path) -> Result<Command> {
    let work = tools::target().join("xtask");
    std::fs::create_dir_all(&work).during("making a folder to work in")?;
    let mut enter = command("unshare");
    enter.args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "enter"]).arg(root).arg(&work);
    Ok(enter)
}

/// Swift 6 or later, from what `swift --version` says.
fn is_new(version: &str) -> bool {
    let number = version.split_once("Swift version ").and_then(|(_, rest)| rest.split('.').next());
    number.and_then(|number| number.parse::<u32>().ok()).is_some_and(|major| major >= 6)
}

fn make(root: &Path) -> Result<()> {
    setup::for_swift()?;
    let mirror = mirror()?;
    headline("making a root with Debian 13 and Swift in it");
    setup::fetched(|| {
        if root.exists() {
            std::fs::remove_dir_all(root).during("removing a root that was not finished")?;
        }
        let made = run(command("debootstrap").args(["--variant=minbase", SUITE]).arg(root).arg(&mirror));
        // It says no more than where it says more.
        if made.is_err()
            && let Ok(log) = std::fs::read_to_string(root.join("debootstrap/debootstrap.log"))
        {
            let lines: Vec<&str> = log.lines().collect();
            println!("{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
        made
    })?;
    let mut install = enter(root)?;
    install.args([
        "/",
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-q",
        "install",
        "-y",
        "--no-install-recommends",
    ]);
    install.args(PACKAGES);
    setup::fetched(|| run(&mut install))?;
    run(enter(root)?.args(["/", "apt-get", "clean"]))?;
    run(enter(root)?.args(["/", "swift", "--version"]))?;
    std::fs::write(root.join(READY), "").during("finishing the root")
}

/// Where this machine has its own packages from.
fn mirror() -> Result<String> {
    let mut asked = 0;
    loop {
        let printed = capture(command("apt-get").args([
            "indextargets",
            "--format",
            "$(REPO_URI) $(ORIGIN) $(LABEL)",
            "Created-By: Packages",
        ]))?;
        if let Some(mirror) = first_of_debian(&String::from_utf8_lossy(&printed)) {
            return Ok(mirror.to_owned());
        }
        if asked == 1 {
            return Err(Failed("apt has no source of Debian's packages".into()));
        }
        run(command("apt-get").args(["-q", "update"]))?;
        asked += 1;
    }
}

/// The first source that has Debian itself, and not only its security updates.
fn first_of_debian(sources: &str) -> Option<&str> {
    sources.lines().find_map(|line| line.strip_suffix(" Debian Debian"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_swift_is_taken_from_version_6_on() {
        assert!(is_new("Swift version 6.0.3 (swift-6.0.3-RELEASE)\nTarget: x86_64"));
        assert!(is_new("Apple Swift version 10.1 (swiftlang)"));
        assert!(!is_new("Swift version 5.10 (swift-5.10-RELEASE)") && !is_new("swift: an object store"));
    }

    #[test]
    fn the_mirror_is_the_one_of_debian_itself() {
        let sources = "http://a.example/sec/ Debian Debian-Security\nhttp://b.example/cloud/ other cloud\n\
                       http://c.example/debian/ Debian Debian\nhttp://d.example/debian/ Debian Debian\n";
        assert_eq!(first_of_debian(sources), Some("http://c.example/debian/"));
        assert_eq!(first_of_debian("http://b.example/cloud/ other cloud\n"), None);
    }
}
