//! Worlds of nodes in virtual time that try to break the engine.
//!
//! A world runs the very code that a node's context thread runs ([`kith_core::node::machine`]: replica, sessions, rounds, what is
//! flushed before what is sent) on a simulated network, disk, clock and host. A whole run is a function of its seed: the plan of what
//! happens ([`plan`]), the randomness of the network, and every key. The invariants ([`judge`]) are looked at after each round, and all
//! of the state is compared with a replay from genesis at samples and at the end; once the faults stop, the honest members have
//! to become equal and then fall silent.

mod acts;
pub mod application;
pub mod astray;
mod booty;
pub mod calls;
mod creating;
#[cfg(feature = "fault-switches")]
pub mod defects;
pub mod dice;
pub mod disk;
mod ending;
mod joining;
pub mod judge;
mod ledger;
pub mod liar;
pub mod network;
pub mod node;
mod parted;
pub mod plan;
mod replays;
mod report;
pub mod shrink;
mod superseded;
pub mod thief;
mod torn;
mod wiring;
mod world;

/// The first byte of a session's `Lacking`; that of the answer, `Shares`, is the next.
const LACKING: u8 = 14;

pub use booty::Stolen;
pub use judge::Violation;
pub use report::Report;
pub use world::run;
