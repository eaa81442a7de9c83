//! Where programs keep a node when nobody says otherwise.

use std::path::PathBuf;

use crate::{Error, ErrorKind, Result};

/// The directory for a program's node on this system, for [`super::Options::path`]. Nothing is made there.
///
/// | system | directory |
/// | --- | --- |
/// | Linux and other Unix | `$XDG_DATA_HOME/NAME`, else `~/.local/share/NAME` |
/// | macOS | `~/Library/Application Support/NAME` |
/// | Windows | `%LOCALAPPDATA%\NAME` |
/// | Android, iOS | none: the host knows its own ([`ErrorKind::Unsupported`]) |
///
/// The name is the program's: 1 to 64 bytes without `/`, `\`, `:` or control characters, and not beginning with a dot.
pub fn default_directory(name: &str) -> Result<PathBuf> {
    directory(std::env::consts::OS, name, |variable| std::env::var_os(variable).map(PathBuf::from))
}

fn directory(system: &str, name: &str, variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    let strange = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':');
    if name.is_empty() || name.len() > 64 || name.starts_with('.') || name.contains(strange) {
        return Err(Error::invalid_argument("a program's name has 1 to 64 bytes and can be a folder's name"));
    }
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    let home = || absolute("HOME");
    let base = match system {
        "android" | "ios" => {
            return Err(Error::unsupported("on this system the host knows where its data are kept"));
        }
        // Paths are judged by the rules of the system that runs this, so this one is not asked to be absolute.
        "windows" => variable("LOCALAPPDATA"),
        "macos" => home().map(|home| home.join("Library/Application Support")),
        _ => absolute("XDG_DATA_HOME").or_else(|| home().map(|home| home.join(".local/share"))),
    };
    base.map(|base| base.join(name)).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "the environment does not say where data are kept (HOME is not set)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(system: &str, name: &str, variables: &[(&str, &str)]) -> Result<String> {
        let found = directory(system, name, |wanted| {
            variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| PathBuf::from(value))
        });
        found.map(|path| path.display().to_string())
    }

    #[test]
    fn each_system_has_its_place() {
        let home = [("HOME", "/home/a")];
        let both = [("HOME", "/home/a"), ("XDG_DATA_HOME", "/data")];
        assert_eq!(at("linux", "notes", &home).unwrap(), "/home/a/.local/share/notes");
        assert_eq!(at("linux", "notes", &both).unwrap(), "/data/notes");
        assert_eq!(at("freebsd", "notes", &both).unwrap(), "/data/notes");
        assert_eq!(at("macos", "notes", &both).unwrap(), "/home/a/Library/Application Support/notes");
        let windows = at("windows", "notes", &[("LOCALAPPDATA", "/local")]).unwrap();
        assert_eq!(PathBuf::from(windows), PathBuf::from("/local").join("notes"));
    }

    #[test]
    fn what_cannot_be_a_place_is_named() {
        let kind = |system, name: &str, variables: &[_]| at(system, name, variables).unwrap_err().kind();
        assert_eq!(kind("linux", "notes", &[]), ErrorKind::NotFound);
        // A relative one is to be ignored, says the specification.
        assert_eq!(kind("linux", "notes", &[("XDG_DATA_HOME", "data")]), ErrorKind::NotFound);
        assert_eq!(kind("ios", "notes", &[("HOME", "/home/a")]), ErrorKind::Unsupported);
        for name in ["", ".", "..", ".hidden", "a/b", "a\\b", "c:", "a\0", &"x".repeat(65)] {
            assert_eq!(kind("linux", name, &[("HOME", "/home/a")]), ErrorKind::InvalidArgument, "{name:?}");
        }
        assert!(at("linux", &"x".repeat(64), &[("HOME", "/home/a")]).is_ok());
    }
}
