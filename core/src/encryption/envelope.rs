//! What those who are no members see of a transaction: a tag that tells members which key opens it, and bytes in few sizes.

use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;

use super::{Scope, Secret, Trouble};
use crate::aead::XChaCha20Poly1305;
use crate::limits;
use crate::padding::Buckets;

/// 512, 640, 768, 896, 1024, 1280 …
const SIZES: Buckets = Buckets { smallest: 512, largest_step: usize::MAX };
/// Largest content: a transaction with the largest payload and the most parents.
const LARGEST: usize = limits::PAYLOAD + limits::PARENTS * 72 + 1024;

/// A transaction for the eyes of anybody. Sealed once, by its author, and forwarded byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Envelope {
    /// The same for all envelopes of an epoch.
    pub tag: [u8; 16],
    /// Nonce and ciphertext.
    pub sealed: Vec<u8>,
}

/// The key of the first envelopes, before there is an epoch: it follows from the context's access key.
#[must_use]
pub fn first_key(scope: &Scope, access_key: &Secret) -> Secret {
    scope.secret(access_key, "envelope", &[&[0; 32]])
}

/// The tag by which members find the key.
#[must_use]
pub fn tag(scope: &Scope, key: &Secret) -> [u8; 16] {
    *scope.derive(key, "envelope-tag", &[])
}

/// The topic on which members gossip envelopes under this key. Whoever knows the context's id and not the key cannot tell it from any other.
#[must_use]
pub fn gossip_topic(scope: &Scope, key: &Secret) -> [u8; 32] {
    *scope.derive(key, "gossip-topic", &[])
}

impl Envelope {
    /// Seals an encoded transaction. The same content gives the same bytes.
    pub fn seal(scope: &Scope, key: &Secret, content: &[u8]) -> Result<Self, Trouble> {
        if content.len() > LARGEST {
            return Err(Trouble::TooLarge);
        }
        let mut padded = Zeroizing::new(vec![0; SIZES.size(content.len() + 4)]);
        padded[..4].copy_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
        padded[4..4 + content.len()].copy_from_slice(content);
        let tag = tag(scope, key);
        let nonce = scope.derive::<24>(key, "envelope-nonce", &[&scope.hash("envelope-content", &[content])]);
        let sealed = cipher(scope, key).seal(&nonce, &tag, &padded).map_err(|_| Trouble::TooLarge)?;
        Ok(Self { tag, sealed: [&nonce[..], &sealed].concat() })
    }

    /// The encoded transaction.
    pub fn open(&self, scope: &Scope, key: &Secret) -> Result<Vec<u8>, Trouble> {
        let (nonce, sealed) = self.sealed.split_at_checked(24).ok_or(Trouble::Envelope)?;
        if sealed.len() > SIZES.size(LARGEST + 4) + 16 {
            return Err(Trouble::TooLarge);
        }
        let nonce = <[u8; 24]>::try_from(nonce).map_err(|_| Trouble::Envelope)?;
        let padded = cipher(scope, key).open(&nonce, &self.tag, sealed).map_err(|_| Trouble::Envelope)?;
        let (length, rest) = padded.split_first_chunk::<4>().ok_or(Trouble::Envelope)?;
        let content = rest.get(..u32::from_le_bytes(*length) as usize).ok_or(Trouble::Envelope)?;
        let zeros = rest[content.len()..].iter().all(|byte| *byte == 0);
        if !zeros || padded.len() != SIZES.size(content.len() + 4) {
            return Err(Trouble::Envelope);
        }
        Ok(content.to_vec())
    }
}

fn cipher(scope: &Scope, key: &Secret) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&scope.derive::<32>(key, "envelope-key", &[]))
}
