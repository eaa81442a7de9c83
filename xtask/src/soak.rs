//! The long form of the tests that look for leaks.

use crate::tools::{Failed, Result, cargo, headline};

/// 100,000 calls and subscriptions, hundreds of joins and nodes; prints what they cost.
pub(crate) fn run() -> Result<()> {
    headline("soak");
    let mut tests = cargo("test");
    tests.args(["--package", "kith-core", "--profile", "demo", "--test", "soak", "--", "--nocapture"]);
    let status = tests.env("KITH_SOAK", "1").status();
    let status = status.map_err(|error| Failed(format!("running cargo: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failed("something leaks".into())) }
}
