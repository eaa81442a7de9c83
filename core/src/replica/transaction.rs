//! Transactions: signed entries of a context's history, and what can be said of one without looking at any other.

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::content::{MessageKey, TAG};
use super::covers::Cover;
use super::domain::Domain;
use super::faults::{self, Fault};
use super::{ContextId, MemberId, TransactionId};
use crate::limits;

/// The version of the header's layout. The layout is frozen: another one would be another version.
pub const HEADER_VERSION: u8 = 1;

static ID_DOMAIN: Domain = Domain::new("kith 2026 transaction id");
const SIGNATURE_DOMAIN: &[u8] = b"kith 2026 transaction signature";
static PAYLOAD_DOMAIN: Domain = Domain::new("kith 2026 payload");
static COMMITMENT_DOMAIN: Domain = Domain::new("kith 2026 payload commitment");

/// What a transaction is. The number is in the header; an unknown number is a transaction like any other, rejected at its
/// place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// The first transaction of a context.
    Genesis = 1,
    /// A method call.
    Call = 2,
    /// Lets somebody join.
    Invite = 3,
    /// Takes an invitation back.
    RevokeInvite = 4,
    /// Admits a member.
    Add = 5,
    /// Removes a member.
    Remove = 6,
    /// The author leaves.
    Leave = 7,
    /// Gives a member another role.
    SetRole = 8,
    /// Proves that a member signed two histories.
    Fork = 9,
    /// Rejects a call for all, after a local fault.
    Skip = 10,
    /// Starts an epoch of keys.
    Epoch = 11,
    /// Replaces a member's ratchet key.
    RefreshKey = 12,
    /// A vote on a checkpoint.
    Vote = 13,
    /// Changes the policy.
    SetPolicy = 14,
    /// Raises the format version.
    Upgrade = 15,
    /// Says nothing; covers heads.
    Note = 16,
    /// Gives the context, or the author itself, a name for people.
    SetName = 17,
}

impl Kind {
    /// The kind with this number, if this build knows it.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Genesis,
            2 => Self::Call,
            3 => Self::Invite,
            4 => Self::RevokeInvite,
            5 => Self::Add,
            6 => Self::Remove,
            7 => Self::Leave,
            8 => Self::SetRole,
            9 => Self::Fork,
            10 => Self::Skip,
            11 => Self::Epoch,
            12 => Self::RefreshKey,
            13 => Self::Vote,
            14 => Self::SetPolicy,
            15 => Self::Upgrade,
            16 => Self::Note,
            17 => Self::SetName,
            _ => return None,
        })
    }

    /// Whether the transactions of this kind decide who may do what, or under which keys. They are few, and are judged together.
    #[must_use]
    pub const fn governs(self) -> bool {
        matches!(
            self,
            Self::Genesis
                | Self::Invite
                | Self::RevokeInvite
                | Self::Add
                | Self::Remove
                | Self::Leave
                | Self::SetRole
                | Self::Fork
                | Self::Skip
                | Self::SetName
                | Self::Epoch
                | Self::RefreshKey
        )
    }
}

/// A head of another author that a transaction has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Parent {
    /// Who signed it.
    pub author: MemberId,
    /// Its number in that author's chain.
    pub sequence: u64,
    /// Its id.
    pub id: TransactionId,
}

/// The signed part. Everything that can change the outcome is in here, directly or by its hash.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// [`HEADER_VERSION`].
    pub version: u8,
    /// The context; zeros in genesis only.
    pub context: ContextId,
    /// The signer.
    pub author: MemberId,
    /// 1, 2, 3 … without gaps for each author.
    pub sequence: u64,
    /// The author's own previous transaction; zeros exactly when `sequence` is 1.
    pub previous: TransactionId,
    /// Other heads seen, sorted by author, authors distinct and not the author itself.
    pub parents: Vec<Parent>,
    /// 1 + the greatest lamport of `previous` and `parents`.
    pub lamport: u64,
    /// The author's clock in ms since 1970: shown to people, never used for ordering.
    pub timestamp: u64,
    /// A [`Kind`]'s number.
    pub kind: u8,
    /// The epoch under whose keys the payload is sealed: the id of an `Epoch` transaction. Zeros where it is not sealed.
    pub epoch: [u8; 32],
    /// Where in the author's key chain the payload is sealed; zero where it is not sealed.
    pub counter: u32,
    /// Hiding commitment to the payload's plaintext.
    pub commitment: [u8; 32],
    /// Hash of the payload as it travels.
    pub payload_hash: [u8; 32],
    /// Length of the payload as it travels.
    pub payload_len: u32,
}

/// Why bytes are no transaction. It never depends on what else is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Malformed {
    #[error("the bytes do not decode")]
    Undecodable,
    #[error("the header has another version")]
    Version,
    #[error("sequence and previous do not agree")]
    Chain,
    #[error("the parents are unsorted, repeated, too many, or the author's own")]
    Parents,
    #[error("genesis belongs to no context and has no parents; nothing else may be like that")]
    Genesis,
    #[error("the payload's length or hash is not the header's")]
    Payload,
    #[error("the payload does not open the commitment")]
    Commitment,
    #[error("only calls are sealed, and what is not sealed has no counter")]
    Sealed,
    #[error("the lamport number is zero or too large")]
    Lamport,
    #[error("the signature does not verify")]
    Signature,
}

impl Header {
    /// The id: the hash of the header's bytes.
    #[must_use]
    pub fn id(&self) -> TransactionId {
        let mut bytes = Vec::with_capacity(300 + 72 * self.parents.len());
        // Writing into a vector cannot fail.
        let _ = borsh::to_writer(&mut bytes, self);
        TransactionId(ID_DOMAIN.hash(&bytes))
    }

    /// The context this belongs to: its own id for genesis.
    #[must_use]
    pub fn belongs_to(&self) -> ContextId {
        if self.is_genesis() { ContextId(self.id().0) } else { self.context }
    }

    /// Whether this claims to be the first transaction of a context.
    #[must_use]
    pub const fn is_genesis(&self) -> bool {
        self.kind == Kind::Genesis as u8
    }

    /// Checks all that needs no other transaction and no signature.
    pub fn check(&self) -> Result<(), Malformed> {
        self.check_shape()?;
        let (least, right) =
            if self.is_sealed() { (TAG, self.kind == Kind::Call as u8) } else { (32, self.counter == 0) };
        if !right {
            return Err(Malformed::Sealed);
        }
        if (self.payload_len as usize) < least {
            return Err(Malformed::Payload);
        }
        Ok(())
    }

    /// Whether the payload is sealed under an epoch's keys.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.epoch != [0; 32]
    }

    /// The same of a header whose payload may be sealed.
    pub(crate) fn check_shape(&self) -> Result<(), Malformed> {
        if self.version != HEADER_VERSION {
            return Err(Malformed::Version);
        }
        let zeros = self.previous == TransactionId::default();
        if self.sequence == 0 || (self.sequence == 1) != zeros {
            return Err(Malformed::Chain);
        }
        let sorted = self.parents.windows(2).all(|pair| pair[0].author < pair[1].author);
        let own = self.parents.iter().any(|parent| parent.author == self.author || parent.sequence == 0);
        if self.parents.len() > limits::PARENTS || !sorted || own {
            return Err(Malformed::Parents);
        }
        let nowhere = self.context == ContextId::default();
        let rootless = self.sequence == 1 && self.parents.is_empty();
        if self.is_genesis() != nowhere || self.is_genesis() != rootless {
            return Err(Malformed::Genesis);
        }
        if self.lamport == 0 || self.lamport == u64::MAX || (self.is_genesis() && self.lamport != 1) {
            return Err(Malformed::Lamport);
        }
        if self.payload_len as usize > limits::PAYLOAD {
            return Err(Malformed::Payload);
        }
        Ok(())
    }

    pub(crate) fn sign(&self, key: &SigningKey) -> [u8; 64] {
        key.sign(&signed_bytes(&self.id())).to_bytes()
    }

    /// Verifies a signature on this header, strictly.
    pub fn verify(&self, id: &TransactionId, signature: &[u8; 64]) -> Result<(), Malformed> {
        if faults::is(Fault::TakeSignatures) {
            return Ok(());
        }
        verify(&self.author, &signed_bytes(id), signature).ok_or(Malformed::Signature)
    }
}

/// Strict verification of an Ed25519 signature.
pub(crate) fn verify(key: &MemberId, message: &[u8], signature: &[u8; 64]) -> Option<()> {
    let key = VerifyingKey::from_bytes(&key.0).ok()?;
    key.verify_strict(message, &Signature::from_bytes(signature)).ok()
}

fn signed_bytes(id: &TransactionId) -> [u8; SIGNATURE_DOMAIN.len() + 32] {
    let mut bytes = [0; SIGNATURE_DOMAIN.len() + 32];
    bytes[..SIGNATURE_DOMAIN.len()].copy_from_slice(SIGNATURE_DOMAIN);
    bytes[SIGNATURE_DOMAIN.len()..].copy_from_slice(&id.0);
    bytes
}

/// A header, what it carries, and its author's signature.
///
/// The payload is the *content*, the 32-byte key of the commitment followed by the plaintext; or, where the header names an epoch, what that
/// was sealed to. Their lengths tell them apart. Either proves itself by the header.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Transaction {
    /// The signed part.
    pub header: Header,
    /// What it carries, as it travels.
    pub payload: Vec<u8>,
    /// The author's signature on the id. `None` where a later signature in the author's chain covers this one.
    pub signature: Option<[u8; 64]>,
    /// Without a signature: what covers it, where that is not in the history itself. No part of the bytes.
    #[borsh(skip)]
    pub cover: Option<Cover>,
    /// Of a sealed call whose payload is the content: what it can be sealed with again, for those who have the epoch's keys. No part of the
    /// bytes: it never leaves the node.
    #[borsh(skip)]
    pub key: Option<MessageKey>,
}

/// What the author decides about a new transaction; the rest follows.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The context; zeros for genesis.
    pub context: ContextId,
    /// See [`Header::sequence`].
    pub sequence: u64,
    /// See [`Header::previous`].
    pub previous: TransactionId,
    /// See [`Header::parents`]; sorted here.
    pub parents: Vec<Parent>,
    /// See [`Header::lamport`].
    pub lamport: u64,
    /// See [`Header::timestamp`].
    pub timestamp: u64,
    /// See [`Kind`].
    pub kind: Kind,
    /// What it says.
    pub plaintext: Vec<u8>,
    /// 32 random bytes that hide the plaintext behind the commitment.
    pub commitment_key: [u8; 32],
}

impl Draft {
    /// Its header, but for what follows from the payload.
    pub(crate) fn header(mut self, key: &SigningKey) -> Header {
        self.parents.sort();
        Header {
            version: HEADER_VERSION,
            context: self.context,
            author: MemberId(key.verifying_key().to_bytes()),
            sequence: self.sequence,
            previous: self.previous,
            parents: self.parents,
            lamport: self.lamport,
            timestamp: self.timestamp,
            kind: self.kind as u8,
            epoch: [0; 32],
            counter: 0,
            commitment: [0; 32],
            payload_hash: [0; 32],
            payload_len: 0,
        }
    }

    /// Signs the draft.
    #[must_use]
    pub fn sign(self, key: &SigningKey) -> Transaction {
        let mut payload = Vec::with_capacity(32 + self.plaintext.len());
        payload.extend_from_slice(&self.commitment_key);
        payload.extend_from_slice(&self.plaintext);
        let header = Header {
            commitment: commitment(&payload),
            payload_hash: payload_hash(&payload),
            payload_len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            ..self.header(key)
        };
        let signature = header.sign(key);
        Transaction { header, payload, signature: Some(signature), cover: None, key: None }
    }
}

/// Of the commitment's key ‖ plaintext.
pub(crate) fn commitment(payload: &[u8]) -> [u8; 32] {
    COMMITMENT_DOMAIN.hash(payload)
}

pub(crate) fn payload_hash(payload: &[u8]) -> [u8; 32] {
    PAYLOAD_DOMAIN.hash(payload)
}

impl Transaction {
    /// Decodes one transaction that fills `bytes` exactly.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        borsh::from_slice(bytes).map_err(|_| Malformed::Undecodable)
    }

    /// The bytes that [`Self::decode`] takes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(400 + self.payload.len());
        // Writing into a vector cannot fail.
        let _ = borsh::to_writer(&mut bytes, self);
        bytes
    }

    /// Whether what it says is here: it is not sealed, or was opened.
    #[must_use]
    pub fn is_opened(&self) -> bool {
        !self.header.is_sealed() || self.payload.len() == self.header.content_len()
    }

    /// What the transaction says; nothing if it is not opened.
    #[must_use]
    pub fn plaintext(&self) -> &[u8] {
        if self.is_opened() { self.payload.get(32..).unwrap_or_default() } else { &[] }
    }

    /// How many headers behind this one the signature is that proves it: 0 for its own. `None` if it takes others of the
    /// history to prove it.
    #[must_use]
    pub fn distance(&self) -> Option<usize> {
        match &self.signature {
            Some(_) => Some(0),
            None => self.cover.as_ref().map(|cover| cover.headers().len()),
        }
    }

    /// Checks all that needs no other transaction and no signature; gives the id.
    pub fn check(&self) -> Result<TransactionId, Malformed> {
        self.header.check()?;
        self.check_payload()?;
        Ok(self.header.id())
    }

    /// Checks that it carries what its header says.
    pub(crate) fn check_payload(&self) -> Result<(), Malformed> {
        let as_sent = self.payload.len() == self.header.payload_len as usize;
        if self.header.is_sealed() && !as_sent {
            return self.header.check_content(&self.payload);
        }
        if !as_sent || payload_hash(&self.payload) != self.header.payload_hash {
            return Err(Malformed::Payload);
        }
        if !self.header.is_sealed() && commitment(&self.payload) != self.header.commitment {
            return Err(Malformed::Commitment);
        }
        Ok(())
    }

    /// Checks all that needs no other transaction, the signature included; gives the id.
    pub fn check_signed(&self) -> Result<TransactionId, Malformed> {
        let id = self.check()?;
        let signature = self.signature.as_ref().ok_or(Malformed::Signature)?;
        self.header.verify(&id, signature)?;
        Ok(id)
    }
}
