//! What can be wrong with keys. Nothing of it changes a state.

use crate::{Error, ErrorKind};

/// Why something was not opened, made or accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Trouble {
    #[error("the public key does not decode, has another length or is of small order")]
    Key,
    #[error("the key package is past its time")]
    PackageExpired,
    #[error("the key package was used before")]
    PackageUsed,
    #[error("the suite is unknown, or lower than the context's")]
    Suite,
    #[error("the ratchet key has an index that does not follow its predecessor's")]
    KeyIndex,
    #[error("the epoch does not decode, or is larger than an epoch can be")]
    EpochMalformed,
    #[error("the epoch is not for the members that its author saw")]
    Recipients,
    #[error("this member is no recipient of the epoch")]
    NoRecipient,
    #[error("the wrap is not part of the transaction; it is to be asked for")]
    WrapElsewhere,
    #[error("the wrap is not the one that the epoch commits to")]
    WrapForeign,
    #[error("the wrap does not open")]
    Wrap,
    #[error("the wrap is of step {found}, and {expected} is due")]
    WrapStep { expected: u32, found: u32 },
    #[error("the wrap is sealed to a ratchet key that is gone or unknown")]
    WrapKey,
    #[error("the seed in the wrap is not the one that the epoch commits to")]
    Seed,
    #[error("no keys of this author in this epoch are here")]
    NoKeys,
    #[error("the key of this counter was used and is gone")]
    Used,
    #[error("an author has no more than {} messages in an epoch", super::MESSAGES)]
    Counter,
    #[error("the transaction belongs to another context, epoch or author")]
    Elsewhere,
    #[error("the payload is not the one that the header names")]
    Payload,
    #[error("the payload does not open")]
    Sealed,
    #[error("the plaintext does not open the commitment")]
    Commitment,
    #[error("the signature does not verify")]
    Signature,
    #[error("the envelope does not open with any key that is here")]
    Envelope,
    #[error("it is larger than allowed")]
    TooLarge,
    #[error("stored keys do not decode")]
    State,
    #[error("stored keys are of another version")]
    StateVersion,
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        let kind = match trouble {
            Trouble::State => ErrorKind::Corrupt,
            Trouble::StateVersion => ErrorKind::VersionMismatch,
            Trouble::TooLarge | Trouble::Counter => ErrorKind::LimitExceeded,
            Trouble::NoRecipient => ErrorKind::NotMember,
            Trouble::Suite => ErrorKind::Unsupported,
            Trouble::NoKeys | Trouble::Used | Trouble::WrapElsewhere => ErrorKind::NotFound,
            _ => ErrorKind::InvalidArgument,
        };
        Self::new(kind, trouble.to_string())
    }
}
