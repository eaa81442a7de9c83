//! What a context's thread is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;

use super::info::{ContextSecurity, ContextStatus, Executed, IssuedInvitation, MemberInfo};
use super::options::InviteOptions;
use crate::invitation::Invitation;
use crate::network::{LinkId, PeerId};
use crate::replica::payload::CallPayload;
use crate::replica::{MemberId, Payload, Role, TransactionId, Verification};
use crate::sync::{Binding, Channel};
use crate::{Error, Result};

pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

/// What a context's thread is told.
pub(crate) enum Command {
    /// By a caller.
    Call {
        call: CallPayload,
        reply: Reply<Executed>,
    },
    Author {
        payload: Payload,
        reply: Reply<TransactionId>,
    },
    SetRole {
        member: MemberId,
        role: Role,
        reply: Reply<TransactionId>,
    },
    Remove {
        member: MemberId,
        reply: Reply<TransactionId>,
    },
    Invite {
        options: InviteOptions,
        addresses: Vec<String>,
        reply: Reply<Invitation>,
    },
    Leave {
        reply: Reply<()>,
    },
    Query {
        method: String,
        arguments: Vec<u8>,
        reply: Reply<Vec<u8>>,
    },
    Members {
        reply: Reply<Vec<MemberInfo>>,
    },
    Invitations {
        reply: Reply<Vec<IssuedInvitation>>,
    },
    Status {
        reply: Reply<ContextStatus>,
    },
    Commitment {
        reply: Reply<[u8; 32]>,
    },
    Verify {
        reply: Reply<Verification>,
    },
    RotateKeys {
        reply: Reply<()>,
    },
    Security {
        reply: Reply<ContextSecurity>,
    },
    /// The host has registered an application: what waited for it may run.
    ApplicationRegistered,
    /// By the switchboard.
    Opened {
        link: LinkId,
        peer: PeerId,
        channel: Channel,
        binding: Binding,
    },
    Message {
        link: LinkId,
        channel: Channel,
        message: Vec<u8>,
        load: Load,
    },
    Closed {
        link: LinkId,
        channel: Channel,
        why: String,
    },
    /// What was in an envelope that was gossiped; `None`: one did not open.
    Gossip {
        content: Option<Vec<u8>>,
        load: Load,
    },
    /// Ends the thread, once everything before is done.
    Stop,
}

impl Command {
    /// Answers a caller with an error; what nobody waits for is dropped.
    pub(crate) fn refuse(self, error: &Error) {
        fn tell<T>(reply: Reply<T>, error: &Error) {
            // A caller who went away has lost interest.
            let _ = reply.send(Err(error.clone()));
        }
        match self {
            Self::Call { reply, .. } => tell(reply, error),
            Self::Author { reply, .. } | Self::SetRole { reply, .. } | Self::Remove { reply, .. } => {
                tell(reply, error);
            }
            Self::Invite { reply, .. } => tell(reply, error),
            Self::Leave { reply } | Self::RotateKeys { reply } => tell(reply, error),
            Self::Security { reply } => tell(reply, error),
            Self::Query { reply, .. } => tell(reply, error),
            Self::Members { reply } => tell(reply, error),
            Self::Invitations { reply } => tell(reply, error),
            Self::Status { reply } => tell(reply, error),
            Self::Commitment { reply } => tell(reply, error),
            Self::Verify { reply } => tell(reply, error),
            Self::ApplicationRegistered
            | Self::Opened { .. }
            | Self::Message { .. }
            | Self::Gossip { .. }
            | Self::Closed { .. }
            | Self::Stop => {}
        }
    }
}

/// Most bytes of messages from peers that wait for one context's thread.
const WAITING: usize = 64 << 20;

/// Room that a message takes up in a context's queue until the thread has dealt with it.
pub(crate) struct Load {
    taken: Arc<AtomicUsize>,
    bytes: usize,
}

impl Load {
    /// For who counts by itself.
    pub(crate) fn none() -> Self {
        Self { taken: Arc::default(), bytes: 0 }
    }

    /// Room for so many bytes, if there is any.
    pub(crate) fn take(taken: &Arc<AtomicUsize>, bytes: usize) -> Option<Self> {
        let load = Self { taken: Arc::clone(taken), bytes };
        let before = taken.fetch_add(bytes, Ordering::Relaxed);
        (before + bytes <= WAITING).then_some(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_to_the_edge_and_given_back() {
        let taken = Arc::new(AtomicUsize::new(0));
        let most = Load::take(&taken, WAITING - 1);
        let last = Load::take(&taken, 1);
        assert!(most.is_some() && last.is_some());
        assert!(Load::take(&taken, 1).is_none());
        drop(last);
        assert!(Load::take(&taken, 2).is_none());
        assert!(Load::take(&taken, 1).is_some());
        drop(most);
        assert_eq!(taken.load(Ordering::Relaxed), 0);
    }
}
