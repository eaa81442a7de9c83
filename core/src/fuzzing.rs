//! What the fuzzer calls (`fuzz/`, `cargo xtask fuzz`), and nobody else: every decoder of bytes that come from outside, with what has to
//! hold of whatever decodes. Nothing here is promised to stay.

pub use crate::network::fuzzing::{framed, unframed};
pub use crate::sync::fuzzing as sync;

/// One decoder, and what has to hold of it. A check that does not hold panics.
#[derive(Clone, Copy)]
pub struct Decoder {
    /// Its name: of the seeds in the corpus, and in messages.
    pub name: &'static str,
    /// Decodes and checks.
    pub check: fn(&Input<'_>),
    /// Encodings of real values, from which the fuzzer begins.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The decoders of each target. In an input of a target, the first byte chooses the decoder.
pub const TARGETS: [(&str, &[Decoder]); 5] = [
    ("replica", crate::replica::fuzzing::DECODERS),
    ("sync", crate::sync::fuzzing::DECODERS),
    ("outside", crate::network::fuzzing::DECODERS),
    ("storage", crate::storage::fuzzing::DECODERS),
    ("encryption", crate::encryption::fuzzing::DECODERS),
];

/// Runs an input of a target.
pub fn run(target: &str, input: &[u8], lenient: bool) {
    let Some((_, decoders)) = TARGETS.iter().find(|(name, _)| *name == target) else {
        panic!("no target has the name {target}");
    };
    let Some((choice, bytes)) = input.split_first() else { return };
    let decoder = &decoders[usize::from(*choice) % decoders.len()];
    (decoder.check)(&Input { bytes, lenient });
}

/// What a target begins from: a name for each, and the input.
#[must_use]
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let decoders = TARGETS.iter().find(|(name, _)| *name == target).map_or(&[][..], |(_, decoders)| decoders);
    let mut all = Vec::new();
    for (choice, decoder) in (0u8..).zip(decoders) {
        for (number, seed) in (decoder.seeds)().into_iter().enumerate() {
            all.push((format!("seed-{}-{number}", decoder.name), [&[choice][..], &seed].concat()));
        }
    }
    all
}

/// Bytes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// A control: the decoder under test is one that does not look at the last byte.
    pub lenient: bool,
}

impl Input<'_> {
    /// The input's rest, and its first byte as a choice.
    pub(crate) fn choose(&self) -> (u8, Self) {
        match self.bytes.split_first() {
            Some((choice, bytes)) => (*choice, Self { bytes, ..*self }),
            None => (0, *self),
        }
    }

    /// Whatever decodes encodes to the very bytes it came from: no two encodings mean the same, and none is longer than it has to be.
    pub(crate) fn canonical<T>(
        &self,
        decode: impl Fn(&[u8]) -> Option<T>,
        encode: impl Fn(&T) -> Vec<u8>,
    ) -> Option<T> {
        let value = decode(self.seen())?;
        let encoded = encode(&value);
        assert!(
            encoded == self.bytes,
            "{} bytes decode, and encode to {} others",
            self.bytes.len(),
            encoded.len()
        );
        Some(value)
    }

    /// The same with the derived encoding.
    pub(crate) fn borsh<T: borsh::BorshSerialize + borsh::BorshDeserialize>(&self) -> Option<T> {
        self.canonical(|bytes| borsh::from_slice(bytes).ok(), encoded)
    }

    /// Where later versions may say more, or writing is free: whatever decodes comes back when it is encoded and decoded again.
    pub(crate) fn comes_back<T: PartialEq + std::fmt::Debug>(
        &self,
        decode: impl Fn(&[u8]) -> Option<T>,
        encode: impl Fn(&T) -> Vec<u8>,
    ) -> Option<T> {
        let value = decode(self.bytes)?;
        let encoded = encode(&value);
        let again = decode(Input { bytes: &encoded, ..*self }.seen());
        assert_eq!(again.as_ref(), Some(&value), "what decodes does not come back");
        Some(value)
    }

    fn seen(&self) -> &[u8] {
        &self.bytes[..self.bytes.len() - usize::from(self.lenient && !self.bytes.is_empty())]
    }
}

/// The derived encoding.
pub(crate) fn encoded<T: borsh::BorshSerialize>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("writing into a vector cannot fail")
}

/// A key that the checks sign with, where an input without a right signature would not come far.
pub(crate) fn signing_key(number: u8) -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[number; 32])
}

#[cfg(test)]
mod tests;
