//! Who can open what, on whole nodes: removals, leaving, a copied device and partitions. All nodes keep running, those that were removed too, and
//! whoever is to open nothing pools all that its disk ever held and tries it on all that was ever sent.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod attack;
mod copied;
#[path = "../nodes/hoarder.rs"]
mod hoarder;
#[path = "../nodes/mod.rs"]
mod nodes;
mod parted;
mod party;
mod removed;
