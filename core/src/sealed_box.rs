//! HPKE (RFC 9180) with HKDF-SHA256 and ChaCha20-Poly1305: seals for whoever has a private key, and leaves both ends with a secret for the next time.

use std::convert::Infallible;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, PskBundle, Serializable as _};
use zeroize::Zeroizing;

/// What a box leaves both ends with.
pub(crate) type Next = Zeroizing<[u8; 32]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A key does not decode, is of small order, or is none to which one can seal.
    Key,
    /// What was sealed does not open.
    Sealed,
}

/// What the two ends agree on beforehand.
pub(crate) struct Terms<'a> {
    pub(crate) info: Vec<u8>,
    pub(crate) aad: Vec<u8>,
    /// Name and bytes of a secret that both have from before.
    pub(crate) psk: Option<([u8; 4], &'a [u8; 32])>,
}

/// Hands out given bytes, 32 at a time by their number: HPKE asks for a generator, and entropy comes from outside here.
struct Given<F>(F, u32);

impl<F: FnMut(u32) -> Zeroizing<[u8; 32]>> TryRng for Given<F> {
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
            let block = (self.0)(self.1);
            part.copy_from_slice(&block[..part.len()]);
            self.1 += 1;
        }
        Ok(())
    }
}
impl<F: FnMut(u32) -> Zeroizing<[u8; 32]>> TryCryptoRng for Given<F> {}

/// The pair of keys that follows from a secret: the private one, the public one.
pub(crate) fn pair<K: Kem>(from: &[u8; 32]) -> (Zeroizing<[u8; 32]>, Vec<u8>) {
    let (private, public) = K::derive_keypair(from);
    let mut bytes = Zeroizing::new([0; 32]);
    private.write_exact(bytes.as_mut());
    (bytes, public.to_bytes().to_vec())
}

pub(crate) fn public<K: Kem>(private: &[u8; 32]) -> Result<Vec<u8>, Refused> {
    let private = K::PrivateKey::from_bytes(private).map_err(|_| Refused::Key)?;
    Ok(K::sk_to_pk(&private).to_bytes().to_vec())
}

/// Whether this is a public key to which one may seal: of the KEM's length, decodable, and of no small order (of X-Wing, its half on the curve, which
/// comes last).
pub(crate) fn check_key<K: Kem>(key: &[u8]) -> Result<(), Refused> {
    K::PublicKey::from_bytes(key).map_err(|_| Refused::Key)?;
    let curve = key.len().checked_sub(32).and_then(|from| key.get(from..)).ok_or(Refused::Key)?;
    // Sealing to a point of small order fails, whatever is sealed; nothing of this is used.
    let terms = Terms { info: Vec::new(), aad: Vec::new(), psk: None };
    seal::<X25519HkdfSha256>(curve, &terms, &[], |_| Zeroizing::new([1; 32])).map(drop)
}

/// Encapsulation ‖ ciphertext ‖ tag.
pub(crate) fn seal<K: Kem>(
    key: &[u8],
    terms: &Terms<'_>,
    plaintext: &[u8],
    entropy: impl FnMut(u32) -> Zeroizing<[u8; 32]>,
) -> Result<(Vec<u8>, Next), Refused> {
    let refused = |_| Refused::Key;
    let key = K::PublicKey::from_bytes(key).map_err(refused)?;
    let mode = match &terms.psk {
        None => OpModeS::Base,
        Some((id, psk)) => OpModeS::Psk(PskBundle::new(*psk, id).map_err(refused)?),
    };
    let mut random = Given(entropy, 0);
    let (encapsulated, mut context) =
        hpke::setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, K>(&mode, &key, &terms.info, &mut random)
            .map_err(refused)?;
    let mut sealed = encapsulated.to_bytes().to_vec();
    sealed.extend(context.seal(plaintext, &terms.aad).map_err(refused)?);
    let mut next = Next::new([0; 32]);
    context.export(b"next", next.as_mut()).map_err(refused)?;
    Ok((sealed, next))
}

/// Opens what was sealed, of whose bytes so many are the encapsulation. `Key`: one's own keys are no keys.
pub(crate) fn open<K: Kem>(
    private: &[u8; 32],
    terms: &Terms<'_>,
    sealed: &[u8],
    encapsulation: usize,
) -> Result<(Zeroizing<Vec<u8>>, Next), Refused> {
    let refused = |_| Refused::Sealed;
    let (encapsulated, ciphertext) = sealed.split_at_checked(encapsulation).ok_or(Refused::Sealed)?;
    let encapsulated = K::EncappedKey::from_bytes(encapsulated).map_err(refused)?;
    let private = K::PrivateKey::from_bytes(private).map_err(|_| Refused::Key)?;
    let mode = match &terms.psk {
        None => OpModeR::Base,
        Some((id, psk)) => OpModeR::Psk(PskBundle::new(*psk, id).map_err(|_| Refused::Key)?),
    };
    let mut context =
        hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, K>(&mode, &private, &encapsulated, &terms.info)
            .map_err(refused)?;
    let plaintext = context.open(ciphertext, &terms.aad).map_err(refused)?;
    let mut next = Next::new([0; 32]);
    context.export(b"next", next.as_mut()).map_err(refused)?;
    Ok((plaintext.into(), next))
}
