//! The programs that the tasks need. On Debian and its kin, as root, what is missing is installed.

use std::time::Duration;

use crate::tools::{Failed, Result, command, found, headline, run};

/// A program, and Debian's package that has it.
const PROGRAMS: [(&str, &str); 15] = [
    ("gcc", "gcc"),
    ("g++", "g++"),
    ("clang", "clang"),
    ("valgrind", "valgrind"),
    ("nm", "binutils"),
    ("readelf", "binutils"),
    ("objcopy", "binutils"),
    ("abidw", "abigail-tools"),
    ("abidiff", "abigail-tools"),
    ("doxygen", "doxygen"),
    ("ip", "iproute2"),
    ("pkg-config", "pkg-config"),
    ("cmake", "cmake"),
    ("make", "make"),
    ("python3", "python3"),
];

/// What those need who only make a package.
const FOR_PACKAGES: [(&str, &str); 2] = [("python3", "python3"), ("strip", "binutils")];

/// What Kotlin needs beside that.
const FOR_KOTLIN: [(&str, &str); 2] = [("javac", "default-jdk-headless"), ("mvn", "maven")];

/// What makes a root with Swift in it, where the machine has none.
const FOR_SWIFT: [(&str, &str); 2] = [("debootstrap", "debootstrap"), ("unshare", "util-linux")];

/// Makes sure that every program is there.
pub(crate) fn programs() -> Result<()> {
    install(missing)
}

/// Makes sure that what makes a package is there: much less than what tests it.
pub(crate) fn for_packages() -> Result<()> {
    install(|| packages_of(&FOR_PACKAGES))
}

/// Makes sure that what makes Kotlin's is there.
pub(crate) fn for_kotlin() -> Result<()> {
    for_packages()?;
    install(|| packages_of(&FOR_KOTLIN))
}

/// Makes sure that what makes a root is there too; only root may use it.
pub(crate) fn for_swift() -> Result<()> {
    if !can_install() {
        return Err(Failed(
            "Swift 6 or later is needed in PATH (or root, on Debian: then it is fetched)".into(),
        ));
    }
    install(|| packages_of(&FOR_SWIFT))
}

fn packages_of(programs: &[(&str, &'static str)]) -> Vec<&'static str> {
    programs.iter().filter(|(program, _)| !found(program)).map(|(_, package)| *package).collect()
}

fn install(wanted: impl Fn() -> Vec<&'static str>) -> Result<()> {
    let missing = wanted();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !can_install() {
        return Err(Failed(format!(
            "these Debian packages (or what your system calls them) are needed: {list}\n\
             On Debian or Ubuntu: apt-get install {list}"
        )));
    }
    headline(&format!("installing {list}"));
    fetched(|| {
        run(command("apt-get").args(["-q", "update"]))?;
        run(command("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-q", "install", "-y", "--no-install-recommends"])
            .args(&missing))
    })?;
    let missing = wanted();
    if missing.is_empty() { Ok(()) } else { Err(Failed(format!("still missing: {}", missing.join(" ")))) }
}

/// Does what fetches from a mirror; one that does not answer, or not wholly, is asked again.
pub(crate) fn fetched(fetch: impl FnMut() -> Result<()>) -> Result<()> {
    fetched_with(PAUSES, fetch)
}

fn fetched_with(pauses: [Duration; 3], mut fetch: impl FnMut() -> Result<()>) -> Result<()> {
    for pause in pauses {
        match fetch() {
            Ok(()) => return Ok(()),
            Err(Failed(message)) => println!("{message}; once more in {} s", pause.as_secs()),
        }
        std::thread::sleep(pause);
    }
    fetch()
}

/// How long a mirror is left alone, each time that it has failed.
const PAUSES: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(20), Duration::from_secs(60)];

fn missing() -> Vec<&'static str> {
    let mut packages = packages_of(&PROGRAMS);
    if !python_has_venv() {
        packages.push("python3-venv");
    }
    packages.dedup();
    packages
}

/// Debian keeps the modules for virtual environments in a package of their own.
fn python_has_venv() -> bool {
    found("python3")
        && command("python3")
            .args(["-c", "import venv, ensurepip"])
            .output()
            .is_ok_and(|o| o.status.success())
}

fn can_install() -> bool {
    let root = command("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    root && found("apt-get")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_that_fails_is_asked_again_and_not_for_ever() {
        for (failing, asked, right) in [(0, 1, true), (3, 4, true), (4, 4, false), (9, 4, false)] {
            let mut times = 0;
            let outcome = fetched_with([Duration::ZERO; 3], || {
                times += 1;
                if times > failing { Ok(()) } else { Err(Failed("away".into())) }
            });
            assert_eq!((times, outcome.is_ok()), (asked, right), "{failing}");
        }
    }
}
