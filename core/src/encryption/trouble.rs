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

impl Trouble {
    /// Whether what its author seals next begins anew once the author has heard of this, so that it opens again.
    #[must_use]
    pub(super) const fn heals(self) -> bool {
        matches!(self, Self::Wrap | Self::WrapStep { .. } | Self::WrapKey | Self::WrapForeign | Self::Seed)
    }

    /// What is wrong, and what whoever reads it is to do, for people.
    #[must_use]
    pub(crate) fn advice(self) -> String {
        let now = "What was said comes from whoever could open it; nothing is to be done.";
        let then = if self.heals() {
            "That member makes keys for this one anew. If it goes on all the same, rotate the keys here, and see whether that member's app is up to date"
        } else {
            "If it goes on with this member, its device or its app is at fault: have the app updated, or remove the member"
        };
        format!("{self}. {now} {then}.")
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_comes_with_what_to_do() {
        let heals = Trouble::WrapStep { expected: 0, found: 3 };
        let said = heals.advice();
        assert!(heals.heals() && said.starts_with("the wrap is of step 3, and 0 is due. "), "{said}");
        assert!(said.contains("rotate the keys"), "{said}");
        let said = Trouble::Commitment.advice();
        assert!(!Trouble::Commitment.heals() && said.contains("remove the member."), "{said}");
    }
}
