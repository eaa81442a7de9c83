//! The name of a node in the network.

use std::fmt;
use std::str::FromStr;

use libp2p::identity::{Keypair, PublicKey};

use crate::{Error, Result};

/// Names a node in the network: its Ed25519 public key in the form that libp2p gives it. As text: base58, `12D3Koo…`.
///
/// It has nothing to do with any [`crate::replica::MemberId`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub(super) libp2p::PeerId);

impl PeerId {
    /// The longest text that is looked at.
    const TEXT: usize = 128;

    /// The name that belongs to this Ed25519 secret.
    #[must_use]
    pub fn of_identity(secret: &[u8; 32]) -> Self {
        Self(keypair(secret).public().to_peer_id())
    }

    /// From the raw bytes that [`Self::to_bytes`] gives.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let peer = libp2p::PeerId::from_bytes(bytes)
            .map_err(|_| Error::invalid_argument("these bytes are no peer id"))?;
        Self::checked(peer).ok_or_else(|| Error::invalid_argument("this peer id is not of an Ed25519 key"))
    }

    /// The raw bytes: 38, a multihash that holds the public key.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// Only ids that hold an Ed25519 key are let in: no node of ours has another.
    pub(super) fn checked(peer: libp2p::PeerId) -> Option<Self> {
        const IDENTITY_HASH: u64 = 0;
        let hash = peer.as_ref();
        if hash.code() != IDENTITY_HASH {
            return None;
        }
        let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?;
        key.try_into_ed25519().ok().map(|_| Self(peer))
    }
}

/// The key pair of an Ed25519 secret.
pub(super) fn keypair(secret: &[u8; 32]) -> Keypair {
    let mut copy = *secret;
    Keypair::ed25519_from_bytes(&mut copy).expect("32 bytes are always an Ed25519 secret")
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.0)
    }
}

impl FromStr for PeerId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            || Error::invalid_argument("this text is no peer id: base58 of an Ed25519 key, `12D3Koo…`");
        if text.len() > Self::TEXT {
            return Err(wrong());
        }
        text.parse().ok().and_then(Self::checked).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_bytes_come_back(secret: [u8; 32]) {
            let peer = PeerId::of_identity(&secret);
            prop_assert_eq!(peer.to_string().parse::<PeerId>().unwrap(), peer);
            prop_assert_eq!(PeerId::from_bytes(&peer.to_bytes()).unwrap(), peer);
            prop_assert_eq!(peer.to_bytes().len(), 38);
            prop_assert!(peer.to_string().starts_with("12D3Koo"));
        }

        #[test]
        fn nothing_panics(text in ".{0,200}", bytes: Vec<u8>) {
            let _ = text.parse::<PeerId>();
            let _ = PeerId::from_bytes(&bytes);
        }
    }

    #[test]
    fn a_hash_of_another_key_is_refused() {
        assert!("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".parse::<libp2p::PeerId>().is_ok());
        assert!("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".parse::<PeerId>().is_err());
    }
}
