//! The two suites: sealed boxes over X25519, and over X-Wing, which also withstands quantum computers.

use borsh::{BorshDeserialize, BorshSerialize};
use hpke::kem::{X25519HkdfSha256, XWing};
use zeroize::Zeroizing;

use super::{Scope, Secret, Trouble};
use crate::sealed_box::{self, Refused, Terms};

/// How keys are agreed on. A context has one; a member's never goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Suite {
    /// DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
    X25519 = 1,
    /// X-Wing (ML-KEM-768 and X25519), HKDF-SHA256, ChaCha20-Poly1305.
    XWing = 2,
}

/// A member's current public ratchet key.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RatchetKey {
    /// 0 in the key package, then 1, 2, 3 …
    pub index: u32,
    /// The public key of the suite's KEM.
    pub key: Vec<u8>,
}

impl Suite {
    /// The suite with this number, if this build knows it.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::X25519),
            2 => Some(Self::XWing),
            _ => None,
        }
    }

    /// Length of a sealed seed: encapsulation, ciphertext, tag.
    pub(super) const fn sealed_seed(self) -> usize {
        self.encapsulation() + 48
    }

    const fn encapsulation(self) -> usize {
        if matches!(self, Self::X25519) { 32 } else { 1120 }
    }

    /// The pair of keys that follows from a secret: the private one, the public one.
    pub(crate) fn pair(self, from: &Secret) -> (Secret, Vec<u8>) {
        let (private, public) = match self {
            Self::X25519 => sealed_box::pair::<X25519HkdfSha256>(from.expose()),
            Self::XWing => sealed_box::pair::<XWing>(from.expose()),
        };
        (Secret::new(*private), public)
    }

    pub(crate) fn public(self, private: &Secret) -> Result<Vec<u8>, Trouble> {
        let public = match self {
            Self::X25519 => sealed_box::public::<X25519HkdfSha256>(private.expose()),
            Self::XWing => sealed_box::public::<XWing>(private.expose()),
        };
        public.map_err(|_| Trouble::State)
    }

    /// Whether this is a public key to which one may seal: of the suite's length, decodable, and of no small order.
    pub fn check_key(self, key: &[u8]) -> Result<(), Trouble> {
        let checked = match self {
            Self::X25519 => sealed_box::check_key::<X25519HkdfSha256>(key),
            Self::XWing => sealed_box::check_key::<XWing>(key),
        };
        checked.map_err(|_| Trouble::Key)
    }
}

impl Scope {
    /// Seals to a public key; gives the sealed bytes and the secret of the next step.
    pub(super) fn seal_to(
        &self,
        key: &[u8],
        terms: &Terms<'_>,
        plaintext: &[u8],
        entropy: &Secret,
    ) -> Result<(Vec<u8>, Secret), Trouble> {
        let drawn = |number: u32| self.derive::<32>(entropy, "drawn", &[&number.to_le_bytes()]);
        let sealed = match self.suite {
            Suite::X25519 => sealed_box::seal::<X25519HkdfSha256>(key, terms, plaintext, drawn),
            Suite::XWing => sealed_box::seal::<XWing>(key, terms, plaintext, drawn),
        };
        let (sealed, next) = sealed.map_err(|_| Trouble::Key)?;
        Ok((sealed, Secret::new(*next)))
    }

    pub(super) fn open_with(
        &self,
        private: &Secret,
        terms: &Terms<'_>,
        sealed: &[u8],
    ) -> Result<(Zeroizing<Vec<u8>>, Secret), Trouble> {
        let (private, length) = (private.expose(), self.suite.encapsulation());
        let opened = match self.suite {
            Suite::X25519 => sealed_box::open::<X25519HkdfSha256>(private, terms, sealed, length),
            Suite::XWing => sealed_box::open::<XWing>(private, terms, sealed, length),
        };
        let (opened, next) = opened.map_err(|refused| match refused {
            Refused::Key => Trouble::State,
            Refused::Sealed => Trouble::Wrap,
        })?;
        Ok((opened, Secret::new(*next)))
    }
}
