//! Transactions as they travel: runs of one author's chain, each covered by the signature at its end.

use std::collections::{HashMap, HashSet};

use borsh::{BorshDeserialize, BorshSerialize};

use super::{Failure, Priority};
use crate::limits;
use crate::replica::{ContextId, Header, Transaction, TransactionId};

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
    /// Each the `previous` of the next: 1 to [`limits::RUN`].
    pub(super) transactions: Vec<(Header, Vec<u8>)>,
    /// On the last.
    pub(super) signature: [u8; 64],
}

/// About as many bytes as the transaction takes in a run.
pub(super) fn size(transaction: &Transaction) -> usize {
    400 + 72 * transaction.header.parents.len() + transaction.payload.len()
}

/// Groups transactions into runs that end with a signature, as few as there can be. Gives back those that nothing among
/// them covers.
pub(super) fn runs(
    transactions: Vec<(TransactionId, Transaction)>,
) -> (Vec<Run>, Vec<(TransactionId, Transaction)>) {
    let mut order: Vec<(u64, TransactionId, bool)> = transactions
        .iter()
        .map(|(id, transaction)| (transaction.header.sequence, *id, transaction.signature.is_some()))
        .collect();
    order.sort_unstable_by(|a, b| b.cmp(a));
    let mut left: HashMap<TransactionId, Transaction> = transactions.into_iter().collect();
    let mut all = Vec::new();
    for (_, last, signed) in order {
        if !signed || !left.contains_key(&last) {
            continue;
        }
        // Walk back; a run may begin only after a signed one (or where there is nothing to walk to), or that one's
        // predecessors would stay uncovered.
        let (mut walked, mut at, mut good) = (Vec::new(), last, 0);
        while walked.len() < limits::RUN
            && let Some(transaction) = left.get(&at)
        {
            walked.push(at);
            at = transaction.header.previous;
            match left.get(&at) {
                Some(previous) if previous.signature.is_none() => {}
                _ => good = walked.len(),
            }
        }
        if good == 0 {
            continue;
        }
        let mut run = Run { transactions: Vec::with_capacity(good), signature: [0; 64] };
        for id in walked[..good].iter().rev() {
            if let Some(Transaction { header, payload, signature }) = left.remove(id) {
                run.transactions.push((header, payload));
                run.signature = signature.unwrap_or(run.signature);
            }
        }
        all.push(run);
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

    /// The transactions, ascending by (lamport, id) and without repetitions, every one of this context and covered by its
    /// author's signature. The length is to be within [`limits::SYNC_BATCH_MOST`].
    pub(super) fn decode(self, context: &ContextId) -> Result<Vec<(TransactionId, Transaction)>, Failure> {
        if self.length as usize > limits::SYNC_BATCH_MOST {
            return Err(Failure::Garbage);
        }
        let plain = self.plain().ok_or(Failure::Garbage)?;
        let runs: Vec<Run> = borsh::from_slice(&plain).map_err(|_| Failure::Garbage)?;
        if runs.is_empty() {
            return Err(Failure::Garbage);
        }
        let mut all = Vec::new();
        for run in runs {
            all.extend(run.check(context)?);
        }
        all.sort_by_key(|(id, transaction)| {
            (transaction.header.lamport, *id, transaction.signature.is_none())
        });
        all.dedup_by_key(|(id, _)| *id);
        Ok(all)
    }
}

impl Run {
    fn check(self, context: &ContextId) -> Result<Vec<(TransactionId, Transaction)>, Failure> {
        let count = self.transactions.len();
        if count == 0 || count > limits::RUN {
            return Err(Failure::Garbage);
        }
        let mut checked: Vec<(TransactionId, Transaction)> = Vec::with_capacity(count);
        for (header, payload) in self.transactions {
            let transaction = Transaction { header, payload, signature: None };
            let id = transaction.check().map_err(|_| Failure::BadTransaction)?;
            let linked = checked.last().is_none_or(|(previous, before)| {
                transaction.header.previous == *previous && transaction.header.author == before.header.author
            });
            if !linked || transaction.header.belongs_to() != *context {
                return Err(Failure::BadTransaction);
            }
            checked.push((id, transaction));
        }
        if let Some((id, last)) = checked.last_mut() {
            last.header.verify(id, &self.signature).map_err(|_| Failure::BadTransaction)?;
            last.signature = Some(self.signature);
        }
        Ok(checked)
    }
}

/// Which of a growing set of transactions no signature covers yet.
#[derive(Default)]
pub(super) struct Uncovered {
    /// id → `previous`.
    waiting: HashMap<TransactionId, TransactionId>,
}

impl Uncovered {
    pub(super) fn add(&mut self, id: TransactionId, transaction: &Transaction) {
        let mut previous = transaction.header.previous;
        if transaction.signature.is_none() {
            self.waiting.insert(id, previous);
            return;
        }
        while let Some(before) = self.waiting.remove(&previous) {
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
