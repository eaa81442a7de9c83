//! Connections that others have made and that came to no link. Anybody may connect, and as often as it likes: they are counted, and nothing
//! else is kept of them.

use std::sync::atomic::{AtomicU64, Ordering};

use libp2p::swarm::ListenError;

use crate::{Error, ErrorKind};

/// How many connections others have made that came to no link, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unlinked {
    /// There was no room.
    pub refused: u64,
    /// The other side went, or is no node of Kith.
    pub unfinished: u64,
    /// What it sent breaks the protocol or its limits.
    pub misbehaved: u64,
    /// It speaks no version that this node speaks.
    pub version: u64,
    /// It did not say in time what it wants.
    pub timeout: u64,
}

/// Why a connection came to no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Refused,
    Unfinished,
    Misbehaved,
    Version,
    Timeout,
}

impl Why {
    /// By what a stream ended with before it carried a link.
    pub(super) fn of(reason: &Error) -> Self {
        match reason.kind() {
            ErrorKind::Busy => Self::Refused,
            ErrorKind::InvalidArgument | ErrorKind::LimitExceeded => Self::Misbehaved,
            ErrorKind::VersionMismatch => Self::Version,
            ErrorKind::Timeout => Self::Timeout,
            _ => Self::Unfinished,
        }
    }

    /// Of a connection that was never set up; `None`: this node closes, or has dialled itself.
    pub(super) fn of_listening(error: &ListenError) -> Option<Self> {
        match error {
            ListenError::Denied { .. } => Some(Self::Refused),
            ListenError::Transport(_) | ListenError::WrongPeerId { .. } => Some(Self::Unfinished),
            ListenError::Aborted | ListenError::LocalPeerId { .. } => None,
        }
    }
}

/// The same, counted.
#[derive(Debug, Default)]
pub(super) struct Counts([AtomicU64; 5]);

impl Counts {
    pub(super) fn add(&self, why: Why) {
        self.0[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Unlinked {
        let count = |why: Why| self.0[why as usize].load(Ordering::Relaxed);
        Unlinked {
            refused: count(Why::Refused),
            unfinished: count(Why::Unfinished),
            misbehaved: count(Why::Misbehaved),
            version: count(Why::Version),
            timeout: count(Why::Timeout),
        }
    }
}
