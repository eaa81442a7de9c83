//! The two suites: HPKE (RFC 9180) over X25519, and over X-Wing, which also withstands quantum computers.

use std::convert::Infallible;

use borsh::{BorshDeserialize, BorshSerialize};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::{X25519HkdfSha256, XWing};
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, PskBundle, Serializable};

use super::{Scope, Secret, Trouble};

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

/// What the two ends of a sealed box agree on beforehand.
pub(super) struct Terms<'a> {
    pub(super) info: Vec<u8>,
    pub(super) aad: Vec<u8>,
    /// Number and secret of the step; none for a first step.
    pub(super) psk: Option<([u8; 4], &'a Secret)>,
}

/// Hands out what is derived from one secret: HPKE asks for a generator.
struct Drawn<'a>(&'a Scope, &'a Secret, u32);

impl TryRng for Drawn<'_> {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for part in out.chunks_mut(32) {
            let block = self.0.derive::<32>(self.1, "drawn", &[&self.2.to_le_bytes()]);
            part.copy_from_slice(&block[..part.len()]);
            self.2 += 1;
        }
        Ok(())
    }
}
impl TryCryptoRng for Drawn<'_> {}

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
        fn of<K: Kem>(from: &Secret) -> (Secret, Vec<u8>) {
            let (private, public) = K::derive_keypair(from.expose());
            let mut bytes = zeroize::Zeroizing::new([0; 32]);
            private.write_exact(bytes.as_mut());
            (Secret::new(*bytes), public.to_bytes().to_vec())
        }
        match self {
            Self::X25519 => of::<X25519HkdfSha256>(from),
            Self::XWing => of::<XWing>(from),
        }
    }

    pub(crate) fn public(self, private: &Secret) -> Result<Vec<u8>, Trouble> {
        fn of<K: Kem>(private: &Secret) -> Result<Vec<u8>, Trouble> {
            let private = K::PrivateKey::from_bytes(private.expose()).map_err(|_| Trouble::State)?;
            Ok(K::sk_to_pk(&private).to_bytes().to_vec())
        }
        match self {
            Self::X25519 => of::<X25519HkdfSha256>(private),
            Self::XWing => of::<XWing>(private),
        }
    }

    /// Whether this is a public key to which one may seal: of the suite's length, decodable, and of no small order.
    pub fn check_key(self, key: &[u8]) -> Result<(), Trouble> {
        fn decodes<K: Kem>(key: &[u8]) -> Result<(), Trouble> {
            K::PublicKey::from_bytes(key).map(drop).map_err(|_| Trouble::Key)
        }
        let curve = match self {
            Self::X25519 => key,
            Self::XWing => {
                decodes::<XWing>(key)?;
                &key[key.len() - 32..]
            }
        };
        decodes::<X25519HkdfSha256>(curve)?;
        // Sealing to a point of small order fails, whatever is sealed; nothing of this is used.
        let scope = Scope { suite: Self::X25519, context: crate::replica::ContextId([0; 32]) };
        let terms = Terms { info: Vec::new(), aad: Vec::new(), psk: None };
        seal_to::<X25519HkdfSha256>(&scope, curve, &terms, &[], &Secret::new([1; 32])).map(drop)
    }
}

fn seal_to<K: Kem>(
    scope: &Scope,
    key: &[u8],
    terms: &Terms<'_>,
    plaintext: &[u8],
    entropy: &Secret,
) -> Result<(Vec<u8>, Secret), Trouble> {
    let key = K::PublicKey::from_bytes(key).map_err(|_| Trouble::Key)?;
    let mode = match &terms.psk {
        None => OpModeS::Base,
        Some((id, psk)) => OpModeS::Psk(PskBundle::new(psk.expose(), id).map_err(|_| Trouble::Key)?),
    };
    let mut random = Drawn(scope, entropy, 0);
    let (encapsulated, mut context) =
        hpke::setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, K>(&mode, &key, &terms.info, &mut random)
            .map_err(|_| Trouble::Key)?;
    let mut sealed = encapsulated.to_bytes().to_vec();
    sealed.extend(context.seal(plaintext, &terms.aad).map_err(|_| Trouble::Key)?);
    let mut next = zeroize::Zeroizing::new([0; 32]);
    context.export(b"next", next.as_mut()).map_err(|_| Trouble::Key)?;
    Ok((sealed, Secret::new(*next)))
}

fn open_with<K: Kem>(
    private: &Secret,
    terms: &Terms<'_>,
    sealed: &[u8],
    encapsulation: usize,
) -> Result<(zeroize::Zeroizing<Vec<u8>>, Secret), Trouble> {
    let (encapsulated, ciphertext) = sealed.split_at_checked(encapsulation).ok_or(Trouble::Wrap)?;
    let encapsulated = K::EncappedKey::from_bytes(encapsulated).map_err(|_| Trouble::Wrap)?;
    let private = K::PrivateKey::from_bytes(private.expose()).map_err(|_| Trouble::State)?;
    let mode = match &terms.psk {
        None => OpModeR::Base,
        Some((id, psk)) => OpModeR::Psk(PskBundle::new(psk.expose(), id).map_err(|_| Trouble::State)?),
    };
    let mut context =
        hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, K>(&mode, &private, &encapsulated, &terms.info)
            .map_err(|_| Trouble::Wrap)?;
    let plaintext = context.open(ciphertext, &terms.aad).map_err(|_| Trouble::Wrap)?;
    let mut next = zeroize::Zeroizing::new([0; 32]);
    context.export(b"next", next.as_mut()).map_err(|_| Trouble::Wrap)?;
    Ok((plaintext.into(), Secret::new(*next)))
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
        match self.suite {
            Suite::X25519 => seal_to::<X25519HkdfSha256>(self, key, terms, plaintext, entropy),
            Suite::XWing => seal_to::<XWing>(self, key, terms, plaintext, entropy),
        }
    }

    pub(super) fn open_with(
        &self,
        private: &Secret,
        terms: &Terms<'_>,
        sealed: &[u8],
    ) -> Result<(zeroize::Zeroizing<Vec<u8>>, Secret), Trouble> {
        let length = self.suite.encapsulation();
        match self.suite {
            Suite::X25519 => open_with::<X25519HkdfSha256>(private, terms, sealed, length),
            Suite::XWing => open_with::<XWing>(private, terms, sealed, length),
        }
    }
}
