//! The Rust tests of the whole workspace.

use crate::count::{self, Count};
use crate::tools::{Options, Result, cargo, tee};

pub(crate) fn test(_options: &Options) -> Result<Count> {
    let (succeeded, lines) = tee(cargo("test").args(["--workspace", "--no-fail-fast"]))?;
    Ok(Count::of(&lines, succeeded, count::cargo))
}
