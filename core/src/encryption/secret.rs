//! Secrets that wipe themselves, and the one way in which keys are derived.

use borsh::{BorshDeserialize, BorshSerialize};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::Suite;
use crate::replica::ContextId;

const DOMAIN: &[u8] = b"kith 2026 encryption";

/// 32 secret bytes: shown to nobody, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop, BorshSerialize, BorshDeserialize)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes the bytes over; what they were copied from is the caller's to wipe.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What every derived key, every `info` and every `aad` begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The suite of the context.
    pub suite: Suite,
    /// The context.
    pub context: ContextId,
}

impl Scope {
    /// domain ‖ suite (u8) ‖ context ‖ length of the label (u8) ‖ label ‖ parts. All parts but the last have a length of their own.
    pub(super) fn info(&self, label: &str, parts: &[&[u8]]) -> Vec<u8> {
        let mut info = DOMAIN.to_vec();
        info.push(self.suite as u8);
        info.extend_from_slice(&self.context.0);
        info.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        info.extend_from_slice(label.as_bytes());
        parts.iter().for_each(|part| info.extend_from_slice(part));
        info
    }

    /// What is derived from one secret: HKDF-SHA256 without salt.
    pub(super) fn from(&self, secret: &Secret) -> Source<'_> {
        Source { scope: self, hkdf: Hkdf::new(None, &secret.0) }
    }

    /// One thing alone.
    pub(super) fn derive<const N: usize>(
        &self,
        from: &Secret,
        label: &str,
        parts: &[&[u8]],
    ) -> Zeroizing<[u8; N]> {
        self.from(from).derive(label, parts)
    }

    pub(crate) fn secret(&self, from: &Secret, label: &str, parts: &[&[u8]]) -> Secret {
        self.from(from).secret(label, parts)
    }

    pub(super) fn hash(&self, label: &str, parts: &[&[u8]]) -> [u8; 32] {
        Sha256::digest(self.info(label, parts)).into()
    }
}

/// A secret whose first half of the derivation is done, which is the same for all that is derived from it.
pub(super) struct Source<'a> {
    scope: &'a Scope,
    hkdf: Hkdf<Sha256>,
}

impl Source<'_> {
    pub(super) fn derive<const N: usize>(&self, label: &str, parts: &[&[u8]]) -> Zeroizing<[u8; N]> {
        let mut out = Zeroizing::new([0; N]);
        let info = self.scope.info(label, parts);
        self.hkdf.expand(&info, out.as_mut()).expect("N is far below 255 hashes");
        out
    }

    pub(super) fn secret(&self, label: &str, parts: &[&[u8]]) -> Secret {
        Secret(*self.derive::<32>(label, parts))
    }
}
