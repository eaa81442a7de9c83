//! Switches that break single rules on purpose, so that the tests can show that they would notice.

#[cfg(feature = "fault-switches")]
use std::sync::atomic::{AtomicU8, Ordering};

/// A rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// All rules hold.
    None = 0,
    /// Ties in the order are broken by arrival, not by id.
    TieBreakByArrival = 1,
    /// Calls that read a changed entry do not run again.
    SkipRerun = 2,
    /// A removal does not count against what sorts before it.
    RemovalWithoutLast = 3,
}

#[cfg(feature = "fault-switches")]
static CURRENT: AtomicU8 = AtomicU8::new(0);

#[cfg(feature = "fault-switches")]
/// Breaks a rule, for the whole process.
pub fn set(fault: Fault) {
    CURRENT.store(fault as u8, Ordering::SeqCst);
}

#[cfg(not(feature = "fault-switches"))]
pub(crate) const fn is(_: Fault) -> bool {
    false
}

#[cfg(feature = "fault-switches")]
pub(crate) fn is(fault: Fault) -> bool {
    CURRENT.load(Ordering::SeqCst) == fault as u8
}
