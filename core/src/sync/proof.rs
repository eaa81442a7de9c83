//! What is signed and keyed to show who one is, tied to one channel of one connection.

use std::collections::HashMap;
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use ed25519_dalek::{Signer, SigningKey};

use super::History;
use super::link::Channel;
use crate::Result;
use crate::limits;
use crate::replica::payload::{SignedRun, Tip};
use crate::replica::{ContextId, Cover, Header, MemberId, Transaction, TransactionId};

const MAC_DOMAIN: &str = "kith 2026 channel mac";
const PROOF_DOMAIN: &str = "kith 2026 proof of a member key";

/// Who shows the access key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Direction {
    Open = 0,
    Answer = 1,
}

/// What makes a channel this one and no other: nothing that was shown on one is good on another, or for the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The context.
    pub context: ContextId,
    /// Names the channel on its link.
    pub channel: Channel,
    /// Whether this side opened it.
    pub opener: bool,
    /// Random, of the side that opened it.
    pub opener_nonce: [u8; 32],
    /// Random, of the other side.
    pub answerer_nonce: [u8; 32],
    /// Peer id of the side that opened it.
    pub opener_peer: Vec<u8>,
    /// Peer id of the other side.
    pub answerer_peer: Vec<u8>,
    /// Whether the link goes through a relay, which may cut it soon. Each side sees to its own batches; nothing is proved by it.
    pub narrow: bool,
}

impl Binding {
    fn transcript(&self, hasher: &mut blake3::Hasher) {
        hasher.update(&self.opener_nonce).update(&self.answerer_nonce);
        for peer in [&self.opener_peer, &self.answerer_peer] {
            hasher.update(&(peer.len() as u64).to_le_bytes()).update(peer);
        }
        hasher.update(&self.channel.to_le_bytes());
    }

    /// Shows knowledge of the access key.
    pub(super) fn mac(&self, access_key: &[u8; 32], direction: Direction) -> [u8; 32] {
        let key = blake3::derive_key(MAC_DOMAIN, access_key);
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(&[direction as u8]).update(&self.context.0);
        self.transcript(&mut hasher);
        *hasher.finalize().as_bytes()
    }

    fn proof_bytes(&self, by_opener: bool, joiner: bool, member: &MemberId) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(PROOF_DOMAIN);
        hasher.update(&[u8::from(by_opener), u8::from(joiner)]).update(&self.context.0).update(&member.0);
        self.transcript(&mut hasher);
        *hasher.finalize().as_bytes()
    }

    /// Shows that this side holds the member key.
    pub(super) fn prove(&self, key: &SigningKey, joiner: bool) -> [u8; 64] {
        let member = MemberId(key.verifying_key().to_bytes());
        key.sign(&self.proof_bytes(self.opener, joiner, &member)).to_bytes()
    }

    /// Whether the other side holds the member key.
    pub(super) fn proves(&self, member: &MemberId, joiner: bool, signature: &[u8; 64]) -> bool {
        crate::replica::verify(member, &self.proof_bytes(!self.opener, joiner, member), signature).is_some()
    }
}

/// A transaction with the headers of its author's chain up to one that is signed, so that it can be checked alone.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Covered {
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
    /// What follows it, up to the signed one; none if it is signed itself.
    pub(super) cover: Vec<Header>,
    pub(super) signature: [u8; 64],
}

impl Covered {
    /// From the history. `None` if it is not there, or nothing that is kept covers it.
    pub(super) fn read(history: &dyn History, id: &TransactionId) -> Result<Option<Self>> {
        let Some(transaction) = history.transaction(id)? else { return Ok(None) };
        let run = match transaction.distance() {
            Some(_) => Vec::new(),
            None => covering_run(history, id, &transaction.header)?,
        };
        let last = run.last().map_or(&transaction, |(_, last)| last);
        let kept = last.cover.as_ref().filter(|_| last.signature.is_none());
        let Some(signature) = last.signature.or_else(|| kept.map(|cover| *cover.signature())) else {
            return Ok(None);
        };
        let kept = kept.map(|cover| cover.headers().to_vec()).unwrap_or_default();
        let cover = run.into_iter().map(|(_, transaction)| transaction.header).chain(kept).collect();
        let Transaction { header, payload, .. } = transaction;
        Ok(Some(Self { header, payload, cover, signature }))
    }

    /// As many of `ids` as fit into one message, without those that cannot be shown; and how many ids that took.
    pub(super) fn read_all(history: &dyn History, ids: &[TransactionId]) -> Result<(Vec<Self>, usize)> {
        let (mut all, mut bytes) = (Vec::new(), 0);
        for (index, id) in ids.iter().enumerate() {
            if let Some(covered) = Self::read(history, id)? {
                bytes += covered.length();
                if bytes > limits::SYNC_COVERED {
                    return Ok((all, index));
                }
                all.push(covered);
            }
        }
        Ok((all, ids.len()))
    }

    /// About as many bytes as it takes.
    pub(super) fn length(&self) -> usize {
        let headers = std::iter::once(&self.header).chain(&self.cover);
        let headers: usize = headers.map(|header| 300 + 72 * header.parents.len()).sum();
        headers + self.payload.len()
    }

    /// The transaction, if it is one of this context and its author's signature covers it.
    pub(super) fn check(self, context: &ContextId) -> Option<Transaction> {
        if self.cover.len() >= limits::RUN {
            return None;
        }
        let direct = self.cover.is_empty().then_some(self.signature);
        let (header, payload) = (self.header, self.payload);
        let mut transaction = Transaction { header, payload, signature: direct, cover: None, key: None };
        let mut id = transaction.check().ok()?;
        let header = &transaction.header;
        if header.belongs_to() != *context {
            return None;
        }
        for next in &self.cover {
            next.check().ok()?;
            if next.previous != id || next.author != header.author || next.belongs_to() != *context {
                return None;
            }
            id = next.id();
        }
        self.cover.last().unwrap_or(header).verify(&id, &self.signature).ok()?;
        transaction.cover =
            Cover::new(Arc::new(SignedRun { headers: self.cover, signature: self.signature }), 0);
        Some(transaction)
    }
}

/// What proves that a transaction is its author's: its header and those behind it, up to a signed one.
pub(crate) fn signed_run(history: &dyn History, id: &TransactionId) -> Result<Option<SignedRun>> {
    let covered = Covered::read(history, id)?;
    Ok(covered.map(|Covered { header, cover, signature, .. }| SignedRun {
        headers: std::iter::once(header).chain(cover).collect(),
        signature,
    }))
}

/// What follows `id` in its author's chain, up to the next one that is proved (signed, or with a cover of its own), that
/// included. Empty if nothing that is kept covers `id`. On branches, the first found.
pub(super) fn covering_run(
    history: &dyn History,
    id: &TransactionId,
    header: &Header,
) -> Result<Vec<(TransactionId, Transaction)>> {
    // So many that no branches which a liar has signed hide the one that is looked for, and no more.
    const PAGES: usize = 8;
    let mut after = Tip { sequence: header.sequence, id: TransactionId([0xff; 32]) };
    let mut descendants: HashMap<TransactionId, Transaction> = HashMap::new();
    for _ in 0..PAGES {
        let page = history.chain(&header.author, after, 2 * limits::RUN, limits::SYNC_BATCH_MOST)?;
        let Some((last, end)) = page.last() else { break };
        after = Tip { sequence: end.header.sequence, id: *last };
        for (next, transaction) in page {
            let Header { sequence, previous, .. } = transaction.header;
            let distance = transaction.distance();
            let signed_at = sequence + distance.unwrap_or(0) as u64;
            if sequence - header.sequence >= limits::RUN as u64 {
                return Ok(Vec::new());
            }
            if previous != *id && !descendants.contains_key(&previous) {
                continue;
            }
            descendants.insert(next, transaction);
            if distance.is_some() && signed_at - header.sequence < limits::RUN as u64 {
                let (mut run, mut at) = (Vec::new(), next);
                while let Some(transaction) = descendants.remove(&at) {
                    let previous = transaction.header.previous;
                    run.push((at, transaction));
                    at = previous;
                }
                run.reverse();
                return Ok(run);
            }
        }
    }
    Ok(Vec::new())
}
