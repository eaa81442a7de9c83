//! One suite for every engine, and what each engine has to show besides.

mod conformance;
#[cfg(unix)]
mod crash;
#[cfg(unix)]
mod export;
#[cfg(unix)]
mod kill;
mod memory;
#[cfg(unix)]
mod power_loss;
mod redb;
#[cfg(all(unix, feature = "fault-switches"))]
mod rules;
mod sealed;
mod sled;
mod workload;
