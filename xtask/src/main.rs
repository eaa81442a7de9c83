//! Builds, tests and shows Kith.
fn main() {}
