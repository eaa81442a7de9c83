//! Places in the order, and what a transaction did at its place.

use borsh::{BorshDeserialize, BorshSerialize};

use super::TransactionId;

/// A place in the order. Lamport numbers grow along every edge of the history, so this is a linear extension of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Place {
    /// Height of the checkpoint that made it final; the tail has the certified height + 1.
    pub height: u64,
    /// The header's lamport number.
    pub lamport: u64,
    /// The transaction.
    pub id: TransactionId,
}

/// The height of everything that is not final.
pub const TAIL: u64 = 1;

impl Place {
    /// Length of [`Self::key`].
    pub const LENGTH: usize = 48;

    /// A place in the tail.
    #[must_use]
    pub const fn tail(lamport: u64, id: TransactionId) -> Self {
        Self { height: TAIL, lamport, id }
    }

    /// Bytes that sort like places.
    #[must_use]
    pub fn key(&self) -> [u8; Self::LENGTH] {
        let mut key = [0; Self::LENGTH];
        key[..8].copy_from_slice(&self.height.to_be_bytes());
        key[8..16].copy_from_slice(&self.lamport.to_be_bytes());
        key[16..].copy_from_slice(&self.id.0);
        key
    }

    /// From [`Self::key`].
    #[must_use]
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let key: &[u8; Self::LENGTH] = key.try_into().ok()?;
        let number = |at: usize| key[at..at + 8].try_into().map(u64::from_be_bytes).ok();
        Some(Self {
            height: number(0)?,
            lamport: number(8)?,
            id: TransactionId::from_slice(&key[16..]).ok()?,
        })
    }
}

/// Why a transaction does nothing at its place. Part of what all members agree on, but for the application's text.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The author is no member at this place.
    #[error("the author is no member at this place")]
    NotMember,
    /// The author's role does not allow it.
    #[error("the author's role does not allow it")]
    NotPermitted,
    /// The author was removed or demoted by somebody who had not seen this.
    #[error("written beyond what counts of a member that was removed or demoted")]
    Cut,
    /// The payload does not decode or passes a limit, or the kind is not in force.
    #[error("nothing that is in force")]
    NotInForce,
    /// The member that is named is none.
    #[error("the member that is named is none")]
    UnknownMember,
    /// An admin gives way only to a senior one.
    #[error("an admin gives way only to a senior one")]
    NotSenior,
    /// The invitation does not count, or its author is no admin at this place.
    #[error("the invitation does not count")]
    InvitationInvalid,
    /// The invitation was revoked.
    #[error("the invitation was revoked")]
    InvitationRevoked,
    /// The invitation is used up.
    #[error("the invitation is used up")]
    InvitationUsed,
    /// The subject is a member already.
    #[error("a member already")]
    AlreadyMember,
    /// A removed key returns only by an admin's own word.
    #[error("a removed member returns only by an admin's own word")]
    RemovedKey,
    /// The context is full.
    #[error("the context has as many members as it can have")]
    Full,
    /// An admin skipped the call.
    #[error("skipped by an admin")]
    Skipped,
    /// A counted limit was passed.
    #[error("a limit was passed: {0}")]
    Limit(String),
    /// The application refused; the text is for people.
    #[error("refused by the application: {0}")]
    Application(String),
}

impl PartialEq for Rejection {
    /// Texts take no part.
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Eq for Rejection {}

/// What a transaction did at its place.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// The application's answer, or why there is none.
    pub outcome: Result<Vec<u8>, Rejection>,
    /// What the application emitted, in order: name and data.
    pub emitted: Vec<(String, Vec<u8>)>,
}

impl Receipt {
    /// Whether it counts.
    #[must_use]
    pub const fn accepted(&self) -> bool {
        self.outcome.is_ok()
    }

    pub(crate) const fn rejected(rejection: Rejection) -> Self {
        Self { outcome: Err(rejection), emitted: Vec::new() }
    }

    pub(crate) const fn accepted_silently() -> Self {
        Self { outcome: Ok(Vec::new()), emitted: Vec::new() }
    }
}
