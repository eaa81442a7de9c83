//! Hashes of one purpose each, in BLAKE3's derive-key mode.

use std::sync::OnceLock;

use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt as _, hash_derive_key_context};

/// A purpose. What follows from its name alone is computed once: for short input that is a fifth of the hash.
pub(super) struct Domain {
    name: &'static str,
    key: OnceLock<ContextKey>,
}

impl Domain {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, key: OnceLock::new() }
    }

    /// As [`Hasher::new_derive_key`].
    pub(super) fn hasher(&self) -> Hasher {
        Hasher::new_from_context_key(self.key.get_or_init(|| hash_derive_key_context(self.name)))
    }

    /// As [`blake3::derive_key`].
    pub(super) fn hash(&self, bytes: &[u8]) -> [u8; 32] {
        *self.hasher().update(bytes).finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hash_of_the_derive_key_mode() {
        static DOMAIN: Domain = Domain::new("kith test domain");
        for length in [0, 1, 64, 1024, 5000] {
            let bytes = vec![7; length];
            let derived = blake3::derive_key("kith test domain", &bytes);
            assert_eq!(DOMAIN.hash(&bytes), derived);
            assert_eq!(DOMAIN.hash(&bytes), derived, "also the second time");
            assert_ne!(DOMAIN.hash(&bytes), blake3::derive_key("kith another domain", &bytes));
        }
    }
}
