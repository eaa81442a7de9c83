//! Transactions as they travel: runs of one author's chain, each covered by the signature at its end, which may be on a header alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use super::session::Stop;
use super::{Failure, History, Priority};
use crate::limits;
use crate::replica::payload::SignedRun;
use crate::replica::{ContextId, Cover, Header, Transaction, TransactionId};

/// Below this, compressing is not worth it.
const COMPRESS_FROM: usize = 512;

/// Why a batch is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) enum Purpose {
    CatchUp,
    Push,
    Wanted,
}

/// Runs, encoded and perhaps compressed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Batch {
    pub(super) purpose: Purpose,
    /// Length of the runs before compression.
    pub(super) length: u32,
    compressed: bool,
    bytes: Vec<u8>,
}

/// Part of one author's chain.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct Run {
    /// Each the `previous` of the next: at least one, and with `cover` at most [`limits::RUN`].
    pub(super) transactions: Vec<(Header, Vec<u8>)>,
    /// What follows them, where the last of them is not signed itself.
    pub(super) cover: Vec<Header>,
    /// On the last of all.
    pub(super) signature: [u8; 64],
}

/// About as many bytes as the transaction takes in a run.
pub(super) fn size(transaction: &Transaction) -> usize {
    let cover = transaction.cover.as_ref().map_or(0, Cover::size);
    400 + 72 * transaction.header.parents.len() + transaction.payload.len() + cover
}

/// Groups transactions into runs that end with what proves them, of about [`limits::SYNC_RUN`] where there are signatures
/// enough. Gives back those that nothing among them covers.
pub(super) fn runs(
    transactions: Vec<(TransactionId, Transaction)>,
) -> (Vec<Run>, Vec<(TransactionId, Transaction)>) {
    // Those first whose signature comes first: so each transaction goes with the nearest signature that covers it, and what
    // fitted into a run when it came does so again.
    let mut ends: Vec<(u64, TransactionId, usize)> = transactions
        .iter()
        .filter_map(|(id, transaction)| {
            let distance = transaction.distance()?;
            Some((transaction.header.sequence + distance as u64, *id, distance))
        })
        .collect();
    ends.sort_unstable();
    let mut left: HashMap<TransactionId, Transaction> = transactions.into_iter().collect();
    let mut all: Vec<Run> = Vec::new();
    // Runs that may grow, by the last transaction in them.
    let mut open: HashMap<TransactionId, usize> = HashMap::new();
    for (_, last, distance) in ends {
        let (mut walked, mut at) = (Vec::new(), last);
        while let Some(transaction) = left.get(&at) {
            walked.push(at);
            at = transaction.header.previous;
        }
        if walked.is_empty() || walked.len() + distance > limits::RUN {
            continue;
        }
        let grows = open.remove(&at).filter(|run| {
            all.get(*run)
                .is_some_and(|run| run.transactions.len() + walked.len() + distance <= limits::SYNC_RUN)
        });
        let index = grows.unwrap_or(all.len());
        if grows.is_none() {
            all.push(Run {
                transactions: Vec::with_capacity(walked.len()),
                cover: Vec::new(),
                signature: [0; 64],
            });
        }
        let Some(run) = all.get_mut(index) else { continue };
        for id in walked.iter().rev() {
            let Some(Transaction { header, payload, signature, cover, .. }) = left.remove(id) else {
                continue;
            };
            run.transactions.push((header, payload));
            if *id == last {
                run.cover = cover.as_ref().map(|cover| cover.headers().to_vec()).unwrap_or_default();
                run.signature = signature.or(cover.map(|cover| *cover.signature())).unwrap_or(run.signature);
            }
        }
        if distance == 0 {
            open.insert(last, index);
        }
    }
    (all, left.into_iter().collect())
}

impl Batch {
    pub(super) fn encode(purpose: Purpose, runs: &[Run]) -> Self {
        // Writing into a vector cannot fail.
        let plain = borsh::to_vec(runs).unwrap_or_default();
        let length = u32::try_from(plain.len()).unwrap_or(u32::MAX);
        if plain.len() >= COMPRESS_FROM {
            let bytes = lz4_flex::block::compress(&plain);
            if bytes.len() < plain.len() {
                return Self { purpose, length, compressed: true, bytes };
            }
        }
        Self { purpose, length, compressed: false, bytes: plain }
    }

    pub(super) fn priority(&self) -> Priority {
        match self.purpose {
            Purpose::CatchUp => Priority::Bulk,
            Purpose::Push | Purpose::Wanted => Priority::Live,
        }
    }

    fn plain(self) -> Option<Vec<u8>> {
        let length = self.length as usize;
        if !self.compressed {
            return (self.bytes.len() == length).then_some(self.bytes);
        }
        let mut plain = vec![0; length];
        let written = lz4_flex::block::decompress_into(&self.bytes, &mut plain).ok()?;
        (written == length).then_some(plain)
    }

    /// The transactions that are not in the history, ascending by (lamport, id) and without repetitions, every one of this context and
    /// covered by its author's signature. The length is to be within [`limits::SYNC_BATCH_MOST`].
    pub(super) fn decode(
        self,
        context: &ContextId,
        history: &dyn History,
    ) -> Result<Vec<(TransactionId, Transaction)>, Stop> {
        if self.length as usize > limits::SYNC_BATCH_MOST {
            return Err(Failure::Garbage.into());
        }
        let plain = self.plain().ok_or(Failure::Garbage)?;
        let runs: Vec<Run> = borsh::from_slice(&plain).map_err(|_| Failure::Garbage)?;
        if runs.is_empty() {
            return Err(Failure::Garbage.into());
        }
        let mut all = Vec::new();
        for run in runs {
            all.extend(run.check(context, history)?);
        }
        all.sort_by_key(|(id, transaction)| (transaction.header.lamport, *id, transaction.distance()));
        all.dedup_by_key(|(id, _)| *id);
        Ok(all)
    }
}

impl Run {
    /// Those that are new. A run without any costs no more than the hashes of its headers: nothing else of it is looked at.
    fn check(
        self,
        context: &ContextId,
        history: &dyn History,
    ) -> Result<Vec<(TransactionId, Transaction)>, Stop> {
        let count = self.transactions.len();
        if count == 0 || count + self.cover.len() > limits::RUN {
            return Err(Failure::Garbage.into());
        }
        let mut ids = Vec::with_capacity(count + self.cover.len());
        let mut author = None;
        for header in self.transactions.iter().map(|(header, _)| header).chain(&self.cover) {
            header.check().map_err(|_| Failure::BadTransaction)?;
            let linked = ids.last().is_none_or(|previous| header.previous == *previous)
                && author.replace(header.author).is_none_or(|author| author == header.author);
            if !linked || header.belongs_to() != *context {
                return Err(Failure::BadTransaction.into());
            }
            ids.push(header.id());
        }
        let mut wanted = Vec::with_capacity(count);
        for ((header, _), id) in self.transactions.iter().zip(&ids) {
            let held = history.reaches(&header.author, header.sequence)? && history.has(id)?;
            wanted.push(!held);
        }
        if !wanted.contains(&true) {
            return Ok(Vec::new());
        }
        let (Some((last, _)), Some(id)) = (self.transactions.last(), ids.last()) else {
            return Ok(Vec::new());
        };
        let signer = self.cover.last().unwrap_or(last);
        history.verify(signer, id, &self.signature).map_err(|_| Failure::BadTransaction)?;
        let signed = self.cover.is_empty().then_some(self.signature);
        let headers = self.transactions.iter().map(|(header, _)| header.clone()).chain(self.cover).collect();
        let run = Arc::new(SignedRun { headers, signature: self.signature });
        let mut checked = Vec::with_capacity(count);
        for (index, (header, payload)) in self.transactions.into_iter().enumerate() {
            if !wanted[index] {
                continue;
            }
            let signature = signed.filter(|_| index + 1 == count);
            let cover = Cover::new(Arc::clone(&run), index + 1);
            let transaction = Transaction { header, payload, signature, cover, key: None };
            transaction.check_payload().map_err(|_| Failure::BadTransaction)?;
            checked.push((ids[index], transaction));
        }
        Ok(checked)
    }
}

/// Which of a growing set of transactions nothing among them proves yet.
#[derive(Default)]
pub(super) struct Uncovered {
    /// id → sequence, `previous`.
    waiting: HashMap<TransactionId, (u64, TransactionId)>,
}

impl Uncovered {
    pub(super) fn add(&mut self, id: TransactionId, transaction: &Transaction) {
        let Header { sequence, mut previous, .. } = transaction.header;
        let Some(distance) = transaction.distance() else {
            self.waiting.insert(id, (sequence, previous));
            return;
        };
        let signed_at = sequence + distance as u64;
        while let Some((sequence, before)) = self.waiting.get(&previous).copied() {
            if signed_at - sequence >= limits::RUN as u64 {
                return;
            }
            self.waiting.remove(&previous);
            previous = before;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn ids(self) -> HashSet<TransactionId> {
        self.waiting.into_keys().collect()
    }
}
