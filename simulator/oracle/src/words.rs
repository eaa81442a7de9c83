//! What bytes say, looked at alone: which are a transaction, what it says, and who has signed what. Written from the words of `docs/replica.md` and
//! of the headers' fields; of the engine there are only the types, with the decoding that is derived from them.

use borsh::BorshDeserialize;
use ed25519_dalek::{Signature, VerifyingKey};
use kith_core::replica::payload::{
    Add, CallPayload, Fork, Genesis, Invite, KeyPackage, Remove, RevokeInvite, SetName, SetRole, SignedRun,
    Skip, Tip,
};
use kith_core::replica::{ContextId, Header, MemberId, Payload, Transaction, TransactionId};

const PARENTS: usize = 16;
const RUN: usize = 256;
const TIPS: usize = 64;
const NAME: usize = 128;
const APPLICATION_NAME: usize = 64;
const VOTERS: usize = 1024;
const METHOD: usize = 255;
const ARGUMENTS: usize = 1_048_576 + 4096;
const PAYLOAD: usize = ARGUMENTS + METHOD + 64;
const EPOCH: usize = 32_768 + 4096;
const RATCHET_KEY: usize = 2048;
/// What sealing adds, and the key of a commitment.
const TAG: usize = 16;
const KEY: usize = 32;

/// The numbers of the kinds.
pub mod kinds {
    pub const GENESIS: u8 = 1;
    pub const CALL: u8 = 2;
    pub const INVITE: u8 = 3;
    pub const REVOKE_INVITE: u8 = 4;
    pub const ADD: u8 = 5;
    pub const REMOVE: u8 = 6;
    pub const LEAVE: u8 = 7;
    pub const SET_ROLE: u8 = 8;
    pub const FORK: u8 = 9;
    pub const SKIP: u8 = 10;
    pub const EPOCH: u8 = 11;
    pub const REFRESH_KEY: u8 = 12;
    pub const NOTE: u8 = 16;
    pub const SET_NAME: u8 = 17;
}

/// Whether transactions of this kind are judged together.
pub const fn governs(kind: u8) -> bool {
    matches!(kind, kinds::GENESIS | kinds::INVITE..=kinds::REFRESH_KEY | kinds::SET_NAME)
}

pub fn id(header: &Header) -> TransactionId {
    let bytes = borsh::to_vec(header).expect("a header encodes");
    TransactionId(blake3::derive_key("kith 2026 transaction id", &bytes))
}

fn is_sealed(header: &Header) -> bool {
    header.epoch != [0; 32]
}

/// Whether `payload` is what a sealed transaction says, and not what it was sealed to.
pub fn is_opened(transaction: &Transaction) -> bool {
    let header = &transaction.header;
    !is_sealed(header) || transaction.payload.len() == header.payload_len as usize + KEY - TAG
}

/// What it says; nothing if it is not opened.
pub fn plaintext(transaction: &Transaction) -> &[u8] {
    if is_opened(transaction) { transaction.payload.get(KEY..).unwrap_or_default() } else { &[] }
}

/// What a header says of what was sent.
pub fn payload_hash(payload: &[u8]) -> [u8; 32] {
    blake3::derive_key("kith 2026 payload", payload)
}

/// Whether a header is one at all.
pub fn header_is_sound(header: &Header) -> bool {
    let genesis = header.kind == kinds::GENESIS;
    let first = header.sequence == 1;
    let distinct = header.parents.windows(2).all(|two| two[0].author < two[1].author);
    let others = header.parents.iter().all(|parent| parent.author != header.author && parent.sequence > 0);
    let length = header.payload_len as usize;
    let carries = if is_sealed(header) {
        header.kind == kinds::CALL && length >= TAG
    } else {
        header.counter == 0 && length >= KEY
    };
    header.version == 1
        && header.sequence >= 1
        && first == (header.previous.0 == [0; 32])
        && header.parents.len() <= PARENTS
        && distinct
        && others
        && genesis == (header.context.0 == [0; 32])
        && genesis == (first && header.parents.is_empty())
        && (1..u64::MAX).contains(&header.lamport)
        && (!genesis || header.lamport == 1)
        && length <= PAYLOAD
        && carries
}

/// The id of what is a transaction, but for its signature.
pub fn unsigned(transaction: &Transaction) -> Option<TransactionId> {
    let header = &transaction.header;
    let payload = &transaction.payload;
    let as_sent =
        payload.len() == header.payload_len as usize && payload_hash(payload) == header.payload_hash;
    let opens = blake3::derive_key("kith 2026 payload commitment", payload) == header.commitment;
    let right = match (is_sealed(header), is_opened(transaction)) {
        (false, _) => as_sent && opens,
        (true, true) => opens,
        (true, false) => as_sent,
    };
    (header_is_sound(header) && right).then(|| id(header))
}

/// The same with its signature, if it has one of its own.
pub fn signed(transaction: &Transaction) -> Option<TransactionId> {
    let id = unsigned(transaction)?;
    let right = transaction
        .signature
        .as_ref()
        .is_none_or(|signature| has_signed(&transaction.header.author, &id, signature));
    right.then_some(id)
}

/// Whether a member has signed the header with this id.
pub fn has_signed(author: &MemberId, id: &TransactionId, signature: &[u8; 64]) -> bool {
    verifies(author, &[b"kith 2026 transaction signature", &id.0[..]].concat(), signature)
}

fn verifies(key: &MemberId, message: &[u8], signature: &[u8; 64]) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(&key.0) else { return false };
    key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
}

/// Whether who is added wants that.
pub fn consents(context: &ContextId, add: &Add) -> bool {
    let package = borsh::to_vec(&add.key_package).expect("a key package encodes");
    let bytes = [&context.0[..], &add.member.0, &package].concat();
    let message = blake3::derive_key("kith 2026 member consents to be added", &bytes);
    verifies(&add.member, &message, &add.consent)
}

/// Whether who is added came with this invitation.
pub fn redeems(context: &ContextId, add: &Add, invite: &Invite) -> bool {
    let Some(redeemed) = &add.redeemed else { return false };
    let bytes = [&context.0[..], &redeemed.invite.0, &add.member.0].concat();
    let message = blake3::derive_key("kith 2026 invitation is redeemed", &bytes);
    add.role == invite.role && verifies(&invite.key, &message, &redeemed.signature)
}

/// Whether a member has signed two transactions with one sequence.
pub fn is_forked(context: &ContextId, fork: &Fork) -> bool {
    let (one, other) = (&fork.one, &fork.other);
    let whole = |run: &SignedRun| is_a_run(context, &fork.member, run);
    whole(one)
        && whole(other)
        && one.headers[0].sequence == other.headers[0].sequence
        && id(&one.headers[0]) != id(&other.headers[0])
}

/// Headers of a member's, each the one before the next, of which it has signed the last.
fn is_a_run(context: &ContextId, member: &MemberId, run: &SignedRun) -> bool {
    let belongs = |header: &Header| {
        let home = if header.kind == kinds::GENESIS { id(header).0 } else { header.context.0 };
        header.author == *member && home == context.0 && header_is_sound(header)
    };
    let linked = run.headers.windows(2).all(|two| two[1].previous == id(&two[0]));
    let last = run.headers.last().is_some_and(|last| has_signed(member, &id(last), &run.signature));
    run.headers.len() <= RUN && run.headers.iter().all(belongs) && linked && last
}

/// All of the bytes, as this type.
fn whole<T: BorshDeserialize>(mut bytes: &[u8]) -> Option<T> {
    T::deserialize(&mut bytes).ok().filter(|_| bytes.is_empty())
}

/// What a transaction of a kind says; `None` if that is nothing that is in force.
pub fn says(kind: u8, bytes: &[u8]) -> Option<Payload> {
    let tips = |last: &[Tip]| last.len() <= TIPS && last.windows(2).all(|two| two[0] <= two[1]);
    let package = |package: &KeyPackage| {
        package.ratchet_key.len() <= RATCHET_KEY && (package.suite == 0) == package.ratchet_key.is_empty()
    };
    match kind {
        kinds::GENESIS => whole::<Genesis>(bytes)
            .filter(|genesis| {
                (1..=APPLICATION_NAME).contains(&genesis.application.len())
                    && genesis.arguments.len() <= ARGUMENTS
                    && genesis.name.len() <= NAME
                    && genesis.policy.voters.len() <= VOTERS
                    && package(&genesis.key_package)
            })
            .map(Payload::Genesis),
        kinds::CALL => whole::<CallPayload>(bytes)
            .filter(|call| (1..=METHOD).contains(&call.method.len()) && call.arguments.len() <= ARGUMENTS)
            .map(Payload::Call),
        kinds::INVITE => whole::<Invite>(bytes)
            .filter(|invite| invite.max_uses > 0 && invite.note.len() <= NAME)
            .map(Payload::Invite),
        kinds::REVOKE_INVITE => whole::<RevokeInvite>(bytes).map(Payload::RevokeInvite),
        kinds::ADD => whole::<Add>(bytes).filter(|add| package(&add.key_package)).map(Payload::Add),
        kinds::REMOVE => whole::<Remove>(bytes).filter(|remove| tips(&remove.last)).map(Payload::Remove),
        kinds::LEAVE => bytes.is_empty().then_some(Payload::Leave),
        kinds::SET_ROLE => whole::<SetRole>(bytes)
            .filter(|set| set.last.as_ref().is_none_or(|last| tips(last)))
            .map(Payload::SetRole),
        kinds::FORK => whole::<Fork>(bytes).filter(|fork| tips(&fork.last)).map(Payload::Fork),
        kinds::SKIP => whole::<Skip>(bytes).map(Payload::Skip),
        kinds::EPOCH => (bytes.len() <= EPOCH).then(|| Payload::Epoch(bytes.to_vec())),
        kinds::REFRESH_KEY => (bytes.len() <= RATCHET_KEY).then(|| Payload::RefreshKey(bytes.to_vec())),
        kinds::NOTE => bytes.is_empty().then_some(Payload::Note),
        kinds::SET_NAME => whole::<SetName>(bytes).filter(|set| set.name.len() <= NAME).map(Payload::SetName),
        _ => None,
    }
}
