//! The 32-byte names of things, and the roles.

use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

use crate::{Error, Result};

macro_rules! name_of_32_bytes {
    ($(#[$meta:meta])* $name:ident, $what:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Default)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// From raw bytes: exactly 32, or [`crate::ErrorKind::InvalidArgument`].
            pub fn from_slice(bytes: &[u8]) -> Result<Self> {
                <[u8; 32]>::try_from(bytes).map(Self).map_err(|_| {
                    Error::invalid_argument(format!(concat!($what, " has 32 bytes, not {}"), bytes.len()))
                })
            }

            /// From 64 hexadecimal digits, or [`crate::ErrorKind::InvalidArgument`].
            pub fn from_hex(text: &str) -> Result<Self> {
                let wrong = || Error::invalid_argument(concat!($what, " has 64 hexadecimal digits"));
                if text.len() != 64 || !text.is_ascii() {
                    return Err(wrong());
                }
                let mut bytes = [0; 32];
                for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
                    *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
                }
                Ok(Self(bytes))
            }

            /// The raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "("))?;
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("…)")
            }
        }
    };
}

name_of_32_bytes! {
    /// Names a context: the id of its first transaction, hence random and self-certifying.
    ContextId, "a context id"
}
name_of_32_bytes! {
    /// Names a member in a context: its Ed25519 public key.
    MemberId, "a member id"
}
name_of_32_bytes! {
    /// Names a transaction: the hash of its header.
    TransactionId, "a transaction id"
}
name_of_32_bytes! {
    /// Names an entry of the state.
    StateKey, "a state key"
}

impl StateKey {
    /// The key of an item of a collection: 16 bytes of the hash of the collection's name, then 16 bytes of the hash of the
    /// item's name. So a collection is one prefix ([`StateKey::collection`]).
    #[must_use]
    pub fn of(collection: &str, name: &str) -> Self {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&Self::collection(collection));
        bytes[16..].copy_from_slice(
            &blake3::derive_key("kith 2026 state key: name in a collection", name.as_bytes())[..16],
        );
        Self(bytes)
    }

    /// The prefix that all keys of a collection share.
    #[must_use]
    pub fn collection(collection: &str) -> [u8; 16] {
        let hash = blake3::derive_key("kith 2026 state key: collection", collection.as_bytes());
        let mut prefix = [0; 16];
        prefix.copy_from_slice(&hash[..16]);
        prefix
    }

    /// A fresh random key. Fails only if the system has no randomness to give.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|e| Error::internal(format!("no randomness: {e}")))?;
        Ok(Self(bytes))
    }
}

/// What a member may do. Each role may do what those below may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Role {
    /// Reads, and admits those who hold an invitation.
    Reader = 1,
    /// Calls the application's methods.
    Writer = 2,
    /// Invites, removes, sets roles.
    Admin = 3,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Admin => "admin",
        })
    }
}

impl std::str::FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "reader" => Ok(Self::Reader),
            "writer" => Ok(Self::Writer),
            "admin" => Ok(Self::Admin),
            _ => Err(Error::invalid_argument(format!("`{text}` is no role: reader, writer or admin"))),
        }
    }
}
