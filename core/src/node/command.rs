//! What a context's thread is told.

use tokio::sync::oneshot;

use super::info::{ContextStatus, Executed, IssuedInvitation, MemberInfo};
use super::options::InviteOptions;
use crate::Result;
use crate::invitation::Invitation;
use crate::network::{LinkId, PeerId};
use crate::replica::payload::CallPayload;
use crate::replica::{MemberId, Payload, Role, TransactionId};
use crate::sync::{Binding, Channel};

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
    },
    Closed {
        link: LinkId,
        channel: Channel,
    },
    /// Ends the thread, once everything before is done.
    Stop,
}
