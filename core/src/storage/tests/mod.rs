//! One suite for every engine.

mod conformance;
mod memory;
mod sled;
