//! One coarse, stable error kind for every language; the text is for people.

use std::fmt;

/// What went wrong, coarsely. Names and numbers are the same in every language and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u32)]
pub enum ErrorKind {
    /// An argument has the wrong shape or size; the message says which.
    InvalidArgument = 1,
    /// The thing that was named does not exist.
    NotFound = 2,
    /// The caller, or the member that was named, is no member of the context.
    NotMember = 3,
    /// The member's role does not allow this.
    PermissionDenied = 4,
    /// The application refused the call.
    Rejected = 5,
    /// The invitation is damaged, or is not for this.
    InvitationInvalid = 6,
    /// The invitation's time is over.
    InvitationExpired = 7,
    /// The invitation's uses are used up.
    InvitationUsed = 8,
    /// An admin has revoked the invitation.
    InvitationRevoked = 9,
    /// No peer that could answer was reached.
    Unreachable = 10,
    /// It took longer than the caller allowed.
    Timeout = 11,
    /// The node, context or stream has been closed.
    Closed = 12,
    /// Somebody else holds what is needed (another process has the directory), or a queue is full.
    Busy = 13,
    /// The store failed; the message has the cause.
    Storage = 14,
    /// Stored data does not verify.
    Corrupt = 15,
    /// Two sides, or the store and this build, do not speak the same version.
    VersionMismatch = 16,
    /// This build cannot do that.
    Unsupported = 17,
    /// A member has signed two histories.
    Equivocation = 18,
    /// The caller cancelled.
    Cancelled = 19,
    /// Applying stands still after a local fault; the message has the cause.
    Blocked = 20,
    /// No space is left where the store lives.
    StorageFull = 21,
    /// The store is sealed and the key is missing or wrong.
    KeyRequired = 22,
    /// A limit of `limits` was passed; the message says which.
    LimitExceeded = 23,
    /// The cursor is older than what is kept.
    CursorExpired = 24,
    /// The host has not registered the application of this context.
    ApplicationMissing = 25,
    /// A defect in Kith.
    Internal = 26,
}

impl ErrorKind {
    /// Every kind, in the order of the numbers.
    pub const ALL: [ErrorKind; 26] = [
        Self::InvalidArgument,
        Self::NotFound,
        Self::NotMember,
        Self::PermissionDenied,
        Self::Rejected,
        Self::InvitationInvalid,
        Self::InvitationExpired,
        Self::InvitationUsed,
        Self::InvitationRevoked,
        Self::Unreachable,
        Self::Timeout,
        Self::Closed,
        Self::Busy,
        Self::Storage,
        Self::Corrupt,
        Self::VersionMismatch,
        Self::Unsupported,
        Self::Equivocation,
        Self::Cancelled,
        Self::Blocked,
        Self::StorageFull,
        Self::KeyRequired,
        Self::LimitExceeded,
        Self::CursorExpired,
        Self::ApplicationMissing,
        Self::Internal,
    ];

    /// The stable number of this kind (`KITH_…` in C).
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An [`ErrorKind`] for programs with a message for people.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What went wrong, coarsely.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What went wrong, in words.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

macro_rules! constructors {
    ($($name:ident => $kind:ident),* $(,)?) => {
        impl Error {
            $(
                #[doc = concat!("An error of kind [`ErrorKind::", stringify!($kind), "`].")]
                pub fn $name(message: impl Into<String>) -> Self {
                    Self::new(ErrorKind::$kind, message)
                }
            )*
        }
    };
}

constructors! {
    invalid_argument => InvalidArgument,
    not_found => NotFound,
    not_member => NotMember,
    permission_denied => PermissionDenied,
    rejected => Rejected,
    closed => Closed,
    busy => Busy,
    storage => Storage,
    corrupt => Corrupt,
    unsupported => Unsupported,
    blocked => Blocked,
    limit_exceeded => LimitExceeded,
    internal => Internal,
}

/// A result with Kith's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_positions_and_never_change() {
        for (index, kind) in ErrorKind::ALL.iter().enumerate() {
            assert_eq!(kind.code() as usize, index + 1);
        }
        assert_eq!(ErrorKind::Internal.code(), 26);
    }
}
