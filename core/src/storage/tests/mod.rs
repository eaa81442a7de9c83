//! One suite for every engine, and what each engine has to show besides.

mod conformance;
#[cfg(unix)]
mod crash;
mod memory;
#[cfg(unix)]
mod power_loss;
mod sled;
#[cfg(unix)]
mod workload;
