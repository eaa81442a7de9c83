//! `include/kith.h`: written from the source of kith-capi, committed, and compared with it in CI.

use std::path::PathBuf;

use crate::tools::{During, Failed, Result, capture, cargo, headline, root};

fn path() -> PathBuf {
    root().join("include/kith.h")
}

fn generate() -> Result<Vec<u8>> {
    headline("generating the C header");
    capture(cargo("run").args(["--quiet", "--package", "kith-header", "--", "ffi/capi"]))
}

/// Writes the header.
pub(crate) fn write() -> Result<()> {
    let header = generate()?;
    std::fs::write(path(), &header).during("writing include/kith.h")?;
    println!("include/kith.h: {} lines", header.iter().filter(|byte| **byte == b'\n').count());
    Ok(())
}

/// Fails if the committed header is not what the source gives.
pub(crate) fn check() -> Result<()> {
    let fresh = generate()?;
    let committed = std::fs::read(path()).during("reading include/kith.h")?;
    if fresh == committed {
        println!("include/kith.h is what the source gives");
        return Ok(());
    }
    let (fresh, committed) = (String::from_utf8_lossy(&fresh), String::from_utf8_lossy(&committed));
    let line = fresh.lines().zip(committed.lines()).take_while(|(a, b)| a == b).count();
    Err(Failed(format!(
        "include/kith.h is out of date from line {} on: run `cargo xtask bindings`\n  source:    {}\n  committed: {}",
        line + 1,
        fresh.lines().nth(line).unwrap_or("(ends)"),
        committed.lines().nth(line).unwrap_or("(ends)"),
    )))
}
