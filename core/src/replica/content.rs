//! What a sealed transaction says: the 32-byte key of the commitment, then the plaintext. Whoever holds a signed header can check it, whatever way it
//! came. And the rows of those that say it.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::tables::damaged;
use super::transaction::{Header, Malformed, Transaction, commitment};
use crate::Result;

/// Bytes that sealing adds to a plaintext.
pub(crate) const TAG: usize = 16;
/// Bytes of the commitment's key.
const KEY: usize = 32;

/// What one message is sealed with. It opens nothing else; it is kept beside the content, so that the message can be passed on as it was sent.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct MessageKey(pub(crate) [u8; 32]);

impl std::fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MessageKey")
    }
}

impl Header {
    /// Length of the content of a sealed payload; no length of what is sealed.
    #[must_use]
    pub const fn content_len(&self) -> usize {
        self.payload_len as usize + KEY - TAG
    }

    /// Whether this is what a sealed transaction says.
    pub fn check_content(&self, content: &[u8]) -> std::result::Result<(), Malformed> {
        if content.len() != self.content_len() {
            return Err(Malformed::Payload);
        }
        if commitment(content) != self.commitment { Err(Malformed::Commitment) } else { Ok(()) }
    }
}

impl Transaction {
    /// As a row: its bytes, and the key of its message if there is one.
    pub(crate) fn to_row(&self) -> Vec<u8> {
        let mut row = self.encode();
        row.extend(self.key.iter().flat_map(|key| key.0));
        row
    }

    pub(crate) fn from_row(row: &[u8]) -> Result<Self> {
        let mut rest = row;
        let wrong = || damaged("a transaction");
        let mut transaction: Self = borsh::BorshDeserialize::deserialize(&mut rest).map_err(|_| wrong())?;
        if !rest.is_empty() {
            transaction.key = Some(MessageKey(rest.try_into().map_err(|_| wrong())?));
        }
        Ok(transaction)
    }
}
