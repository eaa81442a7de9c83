//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): HChaCha20 makes a key of the key and the first 16 bytes of the nonce, under which
//! AWS-LC's ChaCha20-Poly1305 seals with the other 8.
//!
//! AWS-LC is in every build, since QUIC brings it. For 100 bytes it takes a quarter of the time of the `chacha20poly1305` crate, whose
//! Poly1305 is made for long messages. What it holds of a key is on its own heap, which it wipes when it frees.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use chacha20::R20;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

pub(crate) const NONCE: usize = 24;
pub(crate) const TAG: usize = 16;

/// It does not open; or it is too long to be sealed, which nothing is that fits into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// A key; wiped when it is dropped. A nonce is used once under it.
#[derive(ZeroizeOnDrop)]
pub(crate) struct XChaCha20Poly1305 {
    key: [u8; 32],
}

impl XChaCha20Poly1305 {
    pub(crate) const fn new(key: &[u8; 32]) -> Self {
        Self { key: *key }
    }

    /// The ciphertext, and the tag behind it.
    pub(crate) fn seal(&self, nonce: &[u8; NONCE], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, Refused> {
        let (key, nonce) = self.part(nonce)?;
        let mut sealed = Vec::with_capacity(plaintext.len() + TAG);
        sealed.extend_from_slice(plaintext);
        match key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut sealed) {
            Ok(()) => Ok(sealed),
            Err(_) => {
                sealed.zeroize();
                Err(Refused)
            }
        }
    }

    /// What was sealed, if nothing of it was changed and key, nonce and associated data are the same.
    pub(crate) fn open(&self, nonce: &[u8; NONCE], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Refused> {
        if sealed.len() < TAG {
            return Err(Refused);
        }
        let (key, nonce) = self.part(nonce)?;
        let mut opened = sealed.to_vec();
        let length = key.open_in_place(nonce, Aad::from(aad), &mut opened).map_err(|_| Refused)?.len();
        opened.truncate(length);
        Ok(opened)
    }

    /// Key and nonce of the cipher below.
    fn part(&self, nonce: &[u8; NONCE]) -> Result<(LessSafeKey, Nonce), Refused> {
        let [first @ .., _, _, _, _, _, _, _, _] = *nonce;
        let mut rest = [0; 12];
        rest[4..].copy_from_slice(&nonce[16..]);
        let input: [u8; 16] = first;
        let key =
            Zeroizing::new(<[u8; 32]>::from(chacha20::hchacha::<R20>((&self.key).into(), (&input).into())));
        let key = UnboundKey::new(&CHACHA20_POLY1305, &*key).map_err(|_| Refused)?;
        Ok((LessSafeKey::new(key), Nonce::assume_unique_for_key(rest)))
    }
}

#[cfg(test)]
mod tests {
    use chacha20poly1305::aead::{Aead as _, Payload};
    use chacha20poly1305::{KeyInit as _, XNonce};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_another_implementation_makes(
            key: [u8; 32], nonce: [u8; NONCE], aad: Vec<u8>, plaintext in proptest::collection::vec(any::<u8>(), 0..2_000), at: usize, bit in 0u8..8,
        ) {
            let other = chacha20poly1305::XChaCha20Poly1305::new((&key).into());
            let cipher = XChaCha20Poly1305::new(&key);
            let sealed = cipher.seal(&nonce, &aad, &plaintext).unwrap();
            let expected = other.encrypt(&XNonce::from(nonce), Payload { msg: &plaintext, aad: &aad }).unwrap();
            prop_assert_eq!(&sealed, &expected);
            prop_assert_eq!(cipher.open(&nonce, &aad, &sealed), Ok(plaintext));
            let mut changed = sealed;
            let at = at % changed.len();
            changed[at] ^= 1 << bit;
            prop_assert_eq!(cipher.open(&nonce, &aad, &changed), Err(Refused));
            changed[at] ^= 1 << bit;
            prop_assert_eq!(cipher.open(&nonce, &aad, &changed[..at.min(TAG - 1)]), Err(Refused));
            prop_assert_eq!(cipher.open(&nonce, &[&aad[..], &[0]].concat(), &changed), Err(Refused));
            let mut elsewhere = nonce;
            elsewhere[at % NONCE] ^= 1 << bit;
            prop_assert_eq!(cipher.open(&elsewhere, &aad, &changed), Err(Refused));
        }
    }

    #[test]
    fn keys_are_wiped() {
        fn wiped<T: ZeroizeOnDrop>() {}
        wiped::<XChaCha20Poly1305>();
    }

    #[test]
    fn the_drafts_example() {
        let bytes = |text: &str| -> Vec<u8> {
            let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
            digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
        };
        let key: [u8; 32] = std::array::from_fn(|at| 0x80 + at as u8);
        let nonce: [u8; NONCE] = std::array::from_fn(|at| 0x40 + at as u8);
        let aad = bytes("50515253c0c1c2c3c4c5c6c7");
        let plaintext = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let sealed = XChaCha20Poly1305::new(&key).seal(&nonce, &aad, plaintext).unwrap();
        let expected = bytes(
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52e\
             c0875924c1c7987947deafd8780acf49",
        );
        assert_eq!(sealed, expected);
    }
}
