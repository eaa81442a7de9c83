//! Nodes that are connected and have proved no membership: counted, since there may be any number of them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::info::Strangers;
use super::parting::Parting;
use crate::network::Unlinked;

/// Links with strangers, and why they ended.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    linked: AtomicU64,
    ended: AtomicU64,
    misbehaved: AtomicU64,
    version: AtomicU64,
    timeout: AtomicU64,
}

impl Counts {
    /// Whoever is new is a stranger.
    pub(crate) fn came(&self) {
        self.linked.fetch_add(1, Ordering::Relaxed);
    }

    /// It has proved to be a member.
    pub(crate) fn proved(&self) {
        self.linked.fetch_sub(1, Ordering::Relaxed);
    }

    /// Its link is over, and it was a stranger to the end.
    pub(crate) fn left(&self, parting: Parting) {
        self.linked.fetch_sub(1, Ordering::Relaxed);
        let count = match parting {
            Parting::Misbehaved | Parting::Limit => &self.misbehaved,
            Parting::Version => &self.version,
            Parting::Timeout => &self.timeout,
            Parting::Closed | Parting::Gone | Parting::Refused => &self.ended,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Together with those that never had a link.
    pub(crate) fn with(&self, unlinked: Unlinked) -> Strangers {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Strangers {
            linked: read(&self.linked),
            ended: read(&self.ended),
            refused: unlinked.refused,
            unfinished: unlinked.unfinished,
            misbehaved: read(&self.misbehaved) + unlinked.misbehaved,
            version: read(&self.version) + unlinked.version,
            timeout: read(&self.timeout) + unlinked.timeout,
        }
    }
}
