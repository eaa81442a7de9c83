//! A process that was forked from one with nodes has none of their threads, and shares their files and locks with it. There every call
//! that would wait for such a thread is refused, and letting a node go touches nothing.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Error, ErrorKind, Result};

/// The process that opened the first node; 0: none has.
static OPENED_IN: AtomicU32 = AtomicU32::new(0);

/// To be called before a node is opened.
pub(super) fn opening() -> Result<()> {
    // Whoever is first, the others are of the same process or of one that was forked from it.
    let _ = OPENED_IN.compare_exchange(0, std::process::id(), Ordering::Relaxed, Ordering::Relaxed);
    check()
}

/// Refuses what is called in a forked process.
pub(super) fn check() -> Result<()> {
    if is_forked() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "this process was forked from one that has opened a node: open nodes in processes that are started anew",
        ));
    }
    Ok(())
}

/// Whether this process was forked from the one that opened the first node.
pub(super) fn is_forked() -> bool {
    let opened_in = OPENED_IN.load(Ordering::Relaxed);
    opened_in != 0 && opened_in != std::process::id()
}
