//! One author's chain of keys in one epoch: a key for each message, gone once it was used.

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::SigningKey;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::secret::Source;
use super::{MESSAGES, Scope, Secret, Trouble};
use crate::aead::XChaCha20Poly1305;
use crate::limits;
use crate::replica::faults::{self, Fault};
use crate::replica::{Header, MemberId, MessageKey, Transaction, TransactionId, transaction};

/// Bytes that sealing adds to a plaintext.
const TAG: usize = 16;

/// Where a chain stands. Holds what is still to come, and the keys of messages that were passed over; never what was used.
#[derive(Clone, Debug, ZeroizeOnDrop, BorshSerialize, BorshDeserialize)]
pub struct Chain {
    next: u32,
    key: Option<Secret>,
    skipped: Vec<(u32, Secret)>,
}

/// What a message says, with the key of its commitment: together they are what history is shared as.
#[derive(Clone, Debug, PartialEq, Eq, ZeroizeOnDrop)]
pub struct Opened {
    /// 32-byte key of the commitment ‖ plaintext: the payload of an unsealed transaction.
    pub payload: Vec<u8>,
}

impl Opened {
    fn of(message: &Source<'_>, plaintext: &[u8]) -> Self {
        let mut payload = Vec::with_capacity(32 + plaintext.len());
        payload.extend_from_slice(message.derive::<32>("commit", &[]).as_ref());
        payload.extend_from_slice(plaintext);
        Self { payload }
    }

    /// The plaintext.
    #[must_use]
    pub fn plaintext(&self) -> &[u8] {
        self.payload.get(32..).unwrap_or_default()
    }

    /// Whether this is what the header commits to.
    pub fn check(&self, header: &Header) -> Result<(), Trouble> {
        header.check_content(&self.payload).map_err(|_| Trouble::Commitment)
    }
}

impl Chain {
    pub(crate) fn start(scope: &Scope, seed: &Secret, epoch: &TransactionId, author: &MemberId) -> Self {
        let key = scope.secret(seed, "sender", &[&epoch.0, &author.0]);
        Self { next: 0, key: Some(key), skipped: Vec::new() }
    }

    /// The counter of the next message, if there can be one more.
    #[must_use]
    pub const fn next(&self) -> Option<u32> {
        if self.key.is_some() { Some(self.next) } else { None }
    }

    /// Whether it can have come of the operations here. Of a number that is passed twice, or is still to come, a key would be there twice.
    pub(crate) fn within_limits(&self) -> bool {
        let mut numbers: Vec<u32> = self.skipped.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        self.next <= MESSAGES
            && self.key.is_some() == (self.next < MESSAGES)
            && numbers.last().is_none_or(|last| *last < self.next)
            && numbers.windows(2).all(|pair| pair[0] < pair[1])
    }

    /// The key of one message, and the chain without it.
    fn take(&self, scope: &Scope, counter: u32) -> Result<(Secret, Self), Trouble> {
        if counter >= MESSAGES {
            return Err(Trouble::Counter);
        }
        let mut after = self.clone();
        if counter < self.next {
            let at = after.skipped.iter().position(|(number, _)| *number == counter).ok_or(Trouble::Used)?;
            return Ok((after.skipped.swap_remove(at).1, after));
        }
        loop {
            let key = after.key.take().ok_or(Trouble::Counter)?;
            let source = scope.from(&key);
            let message = source.secret("msg", &[]);
            let number = after.next;
            after.next += 1;
            if after.next < MESSAGES {
                after.key = Some(source.secret("chain", &[]));
            }
            if number == counter {
                return Ok((message, after));
            }
            after.skipped.push((number, message));
        }
    }

    /// Seals and signs one's own next message. Of the header, everything is given but epoch, counter and what follows from the plaintext.
    pub(crate) fn seal(
        &self,
        scope: &Scope,
        epoch: TransactionId,
        mut header: Header,
        plaintext: &[u8],
        signer: &SigningKey,
    ) -> Result<(Transaction, Opened, Self), Trouble> {
        if header.belongs_to() != scope.context || header.author.0 != signer.verifying_key().to_bytes() {
            return Err(Trouble::Elsewhere);
        }
        if plaintext.len() + 32 > limits::PAYLOAD {
            return Err(Trouble::TooLarge);
        }
        let counter = self.next().ok_or(Trouble::Counter)?;
        let (message, after) = self.take(scope, counter)?;
        let source = scope.from(&message);
        let opened = Opened::of(&source, plaintext);
        header.epoch = epoch.0;
        header.counter = counter;
        header.commitment = transaction::commitment(&opened.payload);
        header.payload_len = u32::try_from(plaintext.len() + TAG).map_err(|_| Trouble::TooLarge)?;
        let (aad, nonce, cipher) = keys(&source, &header);
        let payload = cipher.seal(&nonce, &aad, plaintext).map_err(|_| Trouble::TooLarge)?;
        header.payload_hash = transaction::payload_hash(&payload);
        let signature = Some(header.sign(signer));
        let key = Some(MessageKey(*message.expose()));
        Ok((Transaction { header, payload, signature, cover: None, key }, opened, after))
    }

    /// This chain without the key of a message that became known by another way; none if it has no such key.
    pub(crate) fn pass(&self, scope: &Scope, counter: u32) -> Option<Self> {
        self.take(scope, counter).ok().map(|(_, after)| after)
    }

    /// Opens a message, whose signature has been verified; gives also what it can be sealed with again.
    pub(crate) fn open(
        &self,
        scope: &Scope,
        sealed: &Transaction,
    ) -> Result<(Opened, MessageKey, Self), Trouble> {
        let header = &sealed.header;
        if header.belongs_to() != scope.context {
            return Err(Trouble::Elsewhere);
        }
        if sealed.payload.len() != header.payload_len as usize
            || sealed.payload.len() > limits::PAYLOAD
            || transaction::payload_hash(&sealed.payload) != header.payload_hash
        {
            return Err(Trouble::Payload);
        }
        let (message, after) = self.take(scope, header.counter)?;
        let source = scope.from(&message);
        let (aad, nonce, cipher) = keys(&source, header);
        let plaintext =
            Zeroizing::new(cipher.open(&nonce, &aad, &sealed.payload).map_err(|_| Trouble::Sealed)?);
        let opened = Opened::of(&source, &plaintext);
        opened.check(header)?;
        Ok((opened, MessageKey(*message.expose()), after))
    }
}

/// The payload of a message as it is sent, from what it says and its key. Who made it is bound to it by the header alone, so this signs nothing.
pub fn seal_again(
    scope: &Scope,
    header: &Header,
    plaintext: &[u8],
    key: &MessageKey,
) -> Result<Vec<u8>, Trouble> {
    let (aad, nonce, cipher) = keys(&scope.from(&Secret::new(key.0)), header);
    cipher.seal(&nonce, &aad, plaintext).map_err(|_| Trouble::TooLarge)
}

/// Associated data, nonce and cipher of a message. The nonce hangs on the commitment, so that two texts under one key, as a restored backup writes
/// them, have two nonces.
fn keys(message: &Source<'_>, header: &Header) -> (Vec<u8>, Zeroizing<[u8; 24]>, XChaCha20Poly1305) {
    let aad = borsh::to_vec(&Header { payload_hash: [0; 32], ..header.clone() }).unwrap_or_default();
    let of: &[&[u8]] = if faults::is(Fault::SameNonce) { &[] } else { &[&aad] };
    let nonce = message.derive::<24>("nonce", of);
    let key = message.derive::<32>("aead", &[]);
    (aad, nonce, XChaCha20Poly1305::new(&key))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::encryption::Suite;
    use crate::replica::ContextId;

    #[test]
    fn a_million_messages_have_a_million_keys() {
        let scope = Scope { suite: Suite::X25519, context: ContextId([9; 32]) };
        let mut seen = HashSet::new();
        for epoch in 0..64 {
            // Every fourth epoch has its predecessor's seed: the id alone sets them apart.
            let seed = Secret::new([epoch / 4; 32]);
            for author in 0..64 {
                let mut chain =
                    Chain::start(&scope, &seed, &TransactionId([epoch; 32]), &MemberId([author; 32]));
                while let Some(counter) = chain.next() {
                    let (message, after) = chain.take(&scope, counter).unwrap();
                    assert!(seen.insert(*message.expose()), "epoch {epoch}, author {author}, {counter}");
                    chain = after;
                }
            }
        }
        assert_eq!(seen.len(), 1 << 20);
        // The control: a chain that begins twice would be seen.
        let again = Chain::start(&scope, &Secret::new([0; 32]), &TransactionId([2; 32]), &MemberId([5; 32]));
        let (message, _) = again.take(&scope, 0).unwrap();
        assert!(!seen.insert(*message.expose()));
    }
}
