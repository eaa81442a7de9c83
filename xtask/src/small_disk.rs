//! A small file system for the tests of a full disk. It is mounted in a name space of the program that runs them, and ends with it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use crate::tools::{During, Result, command, run_by, target};

/// Where the tests find it.
const PLACE: &str = "KITH_TEST_SMALL_DISK";

/// A store leaves 32 MiB of it free (docs/storage.md); what is beyond that is soon filled.
const MOUNT: &str = r#"mount -t tmpfs -o size=48m kith "$KITH_TEST_SMALL_DISK" && exec "$0" "$@""#;

/// Who may mount: root, or anybody who is root in a name space of its own.
const WAYS: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];

/// The way that is allowed here, or why none is.
static ALLOWED: LazyLock<Result<&'static [&'static str], String>> = LazyLock::new(|| {
    let mut why = String::new();
    for way in WAYS {
        let tried = place()
            .and_then(|place| {
                let mut unshare = command("unshare");
                unshare.args(way).args(["sh", "-c", MOUNT, "true"]).env(PLACE, place);
                unshare.stdout(Stdio::null()).output().during("starting unshare")
            })
            .map_err(|failed| failed.0);
        match tried {
            Ok(output) if output.status.success() => return Ok(way),
            Ok(output) => why = String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(failed) => why = failed,
        }
    }
    println!("SKIPPED: no small disk can be made for the tests of a full one: {why}");
    Err(why)
});

fn place() -> Result<PathBuf> {
    let place = target().join("xtask/small-disk");
    std::fs::create_dir_all(&place).during(format!("making {}", place.display()))?;
    Ok(place)
}

/// The same command, with a small disk where that can be made. Where it cannot, its test counts as skipped.
pub(crate) fn with_small_disk(inner: &Command) -> Result<Command> {
    let mut outer;
    match &*ALLOWED {
        Ok(way) => {
            outer = command("unshare");
            outer.args(*way).args(["sh", "-c", MOUNT]).env(PLACE, place()?);
        }
        // Does nothing but run it.
        Err(_) => outer = command("env"),
    }
    Ok(run_by(outer, inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_what_it_was_and_has_a_disk_that_is_full_soon() {
        let mut inner = command("sh");
        inner.args([
            "-c",
            "echo \"$WORD $1 $PWD\"; head -c 100M /dev/zero >\"$KITH_TEST_SMALL_DISK/file\"",
            "sh",
        ]);
        inner.arg("an argument").env("WORD", "kept").env("LC_ALL", "C").current_dir("/");
        let output = with_small_disk(&inner).unwrap().output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "kept an argument /\n");
        let said = String::from_utf8_lossy(&output.stderr);
        if let Err(why) = &*ALLOWED {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
            return;
        }
        assert!(!output.status.success() && said.contains("No space left on device"), "{said}");
        assert_eq!(place().unwrap().read_dir().unwrap().count(), 0, "others see nothing of it");
    }
}
