//! Sealed calls, as replicas without keys see them: each is delivered as it was sent, and what it says comes later, or at once and instead. What
//! stands for the ciphertext follows from the commitment; whoever has no keys does not look into it.

use ed25519_dalek::SigningKey;
use kith_core::encryption::{RatchetKey, Scope, Secret, Suite, Trouble};
use kith_core::keyring::{Key, Ring, Rows};
use kith_core::replica::payload::KeyPackage;
use kith_core::replica::{ContextId, Header, MemberId, Payload, Transaction, TransactionId};
use zeroize::Zeroizing;

use super::deliver::Dice;
use super::words;
use super::world::sign_again;

const COMMITMENT_KEY: usize = 32;
const TAG: usize = 16;

struct Nothing;

impl Rows for Nothing {
    fn row(&self, _: &Key) -> Result<Option<Zeroizing<Vec<u8>>>, Trouble> {
        Ok(None)
    }
}

/// First keys of this number: empty where nothing is sealed.
pub fn package(suite: u8, number: usize) -> KeyPackage {
    let Some(known) = Suite::from_number(suite) else { return KeyPackage::default() };
    let entropy = blake3::derive_key("kith tests package", &number.to_le_bytes());
    let scope = Scope { suite: known, context: ContextId::default() };
    let ring = Ring { scope, me: MemberId::default(), rows: &Nothing };
    let RatchetKey { key, .. } = ring.start(&Secret::new(entropy)).0;
    KeyPackage { suite, ratchet_key: key, not_after: 0 }
}

/// An epoch that no keys follow from.
pub fn epoch() -> Payload {
    Payload::Epoch(vec![1, 2, 3])
}

fn stand_in(header: &Header) -> Vec<u8> {
    let mut bytes = vec![0; header.payload_len as usize];
    blake3::Hasher::new_keyed(&header.commitment).finalize_xof().fill(&mut bytes);
    bytes
}

/// Makes a signed call one that is sealed under an epoch. It keeps its content.
pub fn seal(mut call: Transaction, epoch: TransactionId, author: &SigningKey) -> Transaction {
    let header = &mut call.header;
    header.epoch = epoch.0;
    header.counter = (header.sequence % 256) as u32;
    header.payload_len = u32::try_from(call.payload.len() - COMMITMENT_KEY + TAG).expect("a call is short");
    header.payload_hash = words::payload_hash(&stand_in(header));
    sign_again(call, author)
}

/// A transaction as it was sent.
pub fn as_sent(transaction: &Transaction) -> Transaction {
    let mut sent = transaction.clone();
    if sent.header.is_sealed() {
        sent.payload = stand_in(&sent.header);
    }
    sent
}

/// What somebody hears who has not the keys of everything: each second sealed call or so as it was sent.
pub fn as_heard(all: &[Transaction], dice: &mut Dice) -> Vec<Transaction> {
    let mut heard = |transaction: &Transaction| match transaction.header.is_sealed() && dice.below(2) == 0 {
        true => as_sent(transaction),
        false => transaction.clone(),
    };
    all.iter().map(&mut heard).collect()
}
