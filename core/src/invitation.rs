//! Invitations as they travel: a token that fits a QR code, as text (`kith1…`) or bytes.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod qr;

use bech32::{Bech32m, Hrp};
use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::{Signer, SigningKey};
use zeroize::Zeroizing;

use crate::replica::{ContextId, MemberId, Role, TransactionId};
use crate::{Error, ErrorKind, Result, limits};

pub use qr::qr_text;

const SIGNATURE_DOMAIN: &str = "kith 2026 invitation token";
const PREFIX: &str = "kith";
const VERSION: u8 = 2;

/// Everything that somebody needs to join a context. Whoever holds it can join: keep it like a key.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Invitation {
    version: u8,
    /// The context.
    pub context: ContextId,
    /// Proves to members that one may know that the context exists.
    pub access_key: [u8; 32],
    /// The admin who invites.
    pub inviter: MemberId,
    /// The `Invite` transaction.
    pub invite: TransactionId,
    /// Private half of the invite key.
    pub secret: [u8; 32],
    /// The suite of the context's encryption, for the joiner's first keys; 0: payloads are not sealed.
    pub suite: u8,
    /// The application of the context.
    pub application: String,
    /// The role that it gives.
    pub role: Role,
    /// ms since 1970; 0: no end.
    pub not_after: u64,
    /// For people.
    pub note: String,
    /// Where members can be reached, as multiaddresses with `/p2p/…`.
    pub addresses: Vec<String>,
    signature: [u8; 64],
}

impl std::fmt::Debug for Invitation {
    /// Without its secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invitation")
            .field("context", &self.context)
            .field("inviter", &self.inviter)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// What an invitation says, before the inviter has signed it.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Unsigned {
    pub context: ContextId,
    pub access_key: [u8; 32],
    pub invite: TransactionId,
    pub secret: [u8; 32],
    pub suite: u8,
    pub application: String,
    pub role: Role,
    pub not_after: u64,
    pub note: String,
    pub addresses: Vec<String>,
}

impl Invitation {
    /// Signs an invitation. Addresses for which there is no room within [`limits::INVITATION`] are left out; those that come first are
    /// worth most.
    pub fn sign(unsigned: Unsigned, inviter: &SigningKey) -> Result<Self> {
        let mut invitation = Self {
            version: VERSION,
            context: unsigned.context,
            access_key: unsigned.access_key,
            inviter: MemberId(inviter.verifying_key().to_bytes()),
            invite: unsigned.invite,
            secret: unsigned.secret,
            suite: unsigned.suite,
            application: unsigned.application,
            role: unsigned.role,
            not_after: unsigned.not_after,
            note: unsigned.note,
            addresses: Vec::new(),
            signature: [0; 64],
        };
        if invitation.to_bytes().len() > limits::INVITATION {
            return Err(Error::limit_exceeded("an invitation has at most 600 bytes"));
        }
        for address in unsigned.addresses {
            invitation.addresses.push(address);
            if invitation.to_bytes().len() > limits::INVITATION {
                invitation.addresses.pop();
            }
        }
        invitation.signature = inviter.sign(&invitation.signed_bytes()).to_bytes();
        Ok(invitation)
    }

    fn signed_bytes(&self) -> [u8; 32] {
        let bytes = Zeroizing::new(self.to_bytes());
        blake3::derive_key(SIGNATURE_DOMAIN, &bytes[..bytes.len().saturating_sub(64)])
    }

    /// The token as bytes, at most [`limits::INVITATION`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Writing into a vector cannot fail.
        borsh::to_vec(self).unwrap_or_default()
    }

    /// From the bytes of a token. Damaged ones are [`ErrorKind::InvitationInvalid`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let invalid = |why: &str| Error::new(ErrorKind::InvitationInvalid, format!("the invitation {why}"));
        if bytes.len() > limits::INVITATION {
            return Err(invalid("is too long"));
        }
        if bytes.first().is_some_and(|version| *version != VERSION) {
            return Err(Error::new(
                ErrorKind::VersionMismatch,
                "the invitation was made by another version of Kith",
            ));
        }
        let invitation: Self = borsh::from_slice(bytes).map_err(|_| invalid("is damaged"))?;
        let message = invitation.signed_bytes();
        crate::replica::verify(&invitation.inviter, &message, &invitation.signature)
            .ok_or_else(|| invalid("is damaged: its signature does not verify"))?;
        Ok(invitation)
    }

    /// The token as text: `kith1…`, at most 1,000 characters, lower case, with a checksum.
    #[must_use]
    pub fn to_text(&self) -> String {
        let bytes = Zeroizing::new(self.to_bytes());
        Hrp::parse(PREFIX)
            .ok()
            .and_then(|prefix| bech32::encode::<Bech32m>(prefix, &bytes).ok())
            .unwrap_or_default()
    }

    /// From the text of a token, in upper or lower case, with blanks around it. Damaged ones are [`ErrorKind::InvitationInvalid`].
    pub fn from_text(text: &str) -> Result<Self> {
        let invalid = |why: &str| Error::new(ErrorKind::InvitationInvalid, format!("the invitation {why}"));
        let text = text.trim();
        if text.len() > 2 * limits::INVITATION {
            return Err(invalid("is too long"));
        }
        let checked = bech32::primitives::decode::CheckedHrpstring::new::<Bech32m>(text)
            .map_err(|e| invalid(&format!("is damaged: {e}")))?;
        if !checked.hrp().as_str().eq_ignore_ascii_case(PREFIX) {
            return Err(invalid("does not begin with `kith1`"));
        }
        let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(checked.byte_iter().collect());
        Self::from_bytes(&bytes)
    }

    /// The invite key.
    #[must_use]
    pub fn key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::fuzzing::addressed as invitation;
    use super::*;

    #[test]
    fn text_and_bytes_come_back() {
        let made = invitation(2, "for Ben").unwrap();
        assert_eq!(Invitation::from_bytes(&made.to_bytes()).unwrap(), made);
        assert_eq!(Invitation::from_text(&made.to_text()).unwrap(), made);
        assert_eq!(Invitation::from_text(&format!(" {}\n", made.to_text().to_uppercase())).unwrap(), made);
        assert!(made.to_text().starts_with("kith1"));
    }

    #[test]
    fn damage_at_each_character_is_found() {
        let text = invitation(1, "").unwrap().to_text();
        for at in 0..text.len() {
            for other in ['q', 'p', 'l', '1', 'b', ' '] {
                let mut damaged: Vec<char> = text.chars().collect();
                if damaged[at] == other {
                    continue;
                }
                damaged[at] = other;
                let damaged: String = damaged.into_iter().collect();
                if damaged.trim() == text {
                    continue;
                }
                let error = Invitation::from_text(&damaged).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvitationInvalid, "at {at}: {error}");
            }
            let cut = Invitation::from_text(&text[..at]).unwrap_err();
            assert_eq!(cut.kind(), ErrorKind::InvitationInvalid);
        }
    }

    #[test]
    fn damage_at_each_byte_is_found() {
        let bytes = invitation(1, "").unwrap().to_bytes();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x20;
            let error = Invitation::from_bytes(&damaged).unwrap_err();
            let expected = if at == 0 { ErrorKind::VersionMismatch } else { ErrorKind::InvitationInvalid };
            assert_eq!(error.kind(), expected, "at {at}");
        }
    }

    #[test]
    fn stays_within_its_size() {
        let made = invitation(10, &"n".repeat(limits::NOTE)).unwrap();
        assert!(made.to_bytes().len() <= limits::INVITATION);
        assert!(!made.addresses.is_empty() && made.addresses.len() < 10);
        assert!(made.to_text().len() <= 1000);
        let mut long = made.to_bytes();
        long.resize(limits::INVITATION + 1, 0);
        assert_eq!(Invitation::from_bytes(&long).unwrap_err().kind(), ErrorKind::InvitationInvalid);
    }
}
