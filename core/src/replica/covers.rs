//! What proves a transaction that has no signature of its own, as long as no signed one of the history follows it.
//!
//! In a run only the last transaction is signed. Those before it may be let in without those behind them: what follows is
//! invalid, waits for its past, or has gone with the process. They could be passed on to nobody then. So the headers behind
//! them, up to the signed one, are kept until the history itself covers them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::payload::SignedRun;
use super::state_read::{StateRead, Table};
use super::tables;
use super::transaction::{Header, Transaction};
use super::view::{View, prefix_end, successor};
use super::{MemberId, TransactionId, faults};
use crate::{Result, limits};

/// The headers that follow a transaction in its author's chain, up to a signed one, and that signature.
#[derive(Clone, Debug)]
pub struct Cover {
    run: Arc<SignedRun>,
    /// Where in the run what follows begins.
    next: usize,
}

impl PartialEq for Cover {
    fn eq(&self, other: &Self) -> bool {
        self.headers() == other.headers() && self.signature() == other.signature()
    }
}

impl Eq for Cover {}

impl Cover {
    /// Of a run whose links and signature have been checked: what comes from `next` on. `None` if that is nothing.
    #[must_use]
    pub fn new(run: Arc<SignedRun>, next: usize) -> Option<Self> {
        (next < run.headers.len()).then_some(Self { run, next })
    }

    /// What follows; at least one.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        self.run.headers.get(self.next..).unwrap_or_default()
    }

    /// On the last of them.
    #[must_use]
    pub fn signature(&self) -> &[u8; 64] {
        &self.run.signature
    }

    /// The same, without the rest of the run.
    #[must_use]
    pub fn alone(&self) -> Self {
        let run = SignedRun { headers: self.headers().to_vec(), signature: *self.signature() };
        Self { run: Arc::new(run), next: 0 }
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.headers().iter().map(|header| 300 + 72 * header.parents.len()).sum()
    }
}

/// Whose, and of which transaction.
type Key = (MemberId, u64, TransactionId);

#[derive(Clone, Copy, Debug)]
struct Kept {
    /// How many headers.
    distance: usize,
    /// The last of them, which is signed.
    last: TransactionId,
}

impl Kept {
    fn new(headers: &[Header]) -> Self {
        Self { distance: headers.len(), last: headers.last().map(Header::id).unwrap_or_default() }
    }
}

/// The covers that are kept: one for each transaction without a signature that nothing better in the history covers.
#[derive(Debug, Default)]
pub(crate) struct Covers {
    kept: BTreeMap<Key, Kept>,
    /// Of this step, and not written yet: most are covered by the next transaction of the same step.
    fresh: BTreeMap<Key, Cover>,
}

impl Covers {
    pub(crate) fn load(tables: &dyn StateRead) -> Result<Self> {
        let mut covers = Self::default();
        let (mut from, end) = (tables::COVERS.to_vec(), prefix_end(tables::COVERS));
        loop {
            let page = tables.scan(Table::Meta, &from, end.as_deref(), false, 16)?;
            let Some((last, _)) = page.last() else { return Ok(covers) };
            from = successor(last);
            for (row, value) in &page {
                let run: SignedRun = tables::decode(value, "a cover")?;
                let key = tables::of_transaction_key(row.get(tables::COVERS.len()..).unwrap_or_default())?;
                covers.kept.insert(key, Kept::new(&run.headers));
            }
        }
    }

    /// A transaction is let in: keeps its cover if it needs one, and drops those of its ancestors that it makes needless.
    ///
    /// One is needless if the signature is no farther away without it. So no transaction's distance from what proves it ever
    /// grows, and what fitted into one run when it came does so for ever.
    pub(crate) fn admitted(
        &mut self,
        view: &mut View<'_>,
        id: TransactionId,
        transaction: &Transaction,
    ) -> Result<()> {
        if faults::is(faults::Fault::ForgetCover) {
            return Ok(());
        }
        let Some(distance) = transaction.distance() else { return Ok(()) };
        let Header { author, sequence, previous, .. } = transaction.header;
        let signed_at = sequence + distance as u64;
        let needless = |(key, kept): &(&Key, &Kept)| key.1 + kept.distance as u64 >= signed_at;
        let candidates: BTreeSet<Key> =
            self.before(&author, sequence).filter(needless).map(|(key, _)| *key).collect();
        if let Some(lowest) = candidates.first().map(|key| key.1) {
            let (mut at, mut number) = (previous, sequence - 1);
            loop {
                let key = (author, number, at);
                if candidates.contains(&key) {
                    self.kept.remove(&key);
                    if self.fresh.remove(&key).is_none() {
                        view.delete(Table::Meta, tables::cover_key(&key));
                    }
                }
                if number <= lowest {
                    break;
                }
                at = tables::known_position(view, &at)?.previous;
                number -= 1;
            }
        }
        if let Some(cover) = transaction.cover.as_ref().filter(|_| transaction.signature.is_none()) {
            let key = (author, sequence, id);
            self.kept.insert(key, Kept::new(cover.headers()));
            self.fresh.insert(key, cover.clone());
        }
        Ok(())
    }

    /// Those of an author from which a signature at a sequence can be reached in one run.
    fn before(&self, author: &MemberId, sequence: u64) -> impl Iterator<Item = (&Key, &Kept)> {
        let start = |sequence| (*author, sequence, TransactionId::default());
        self.kept.range(start(sequence.saturating_sub(limits::RUN as u64))..start(sequence))
    }

    /// The signature of a transaction that came without, if it is at the end of a cover that is kept.
    pub(crate) fn signature(
        &self,
        tables: &dyn StateRead,
        id: &TransactionId,
        header: &Header,
    ) -> Result<Option<[u8; 64]>> {
        let mut before = self.before(&header.author, header.sequence);
        let Some((key, _)) = before.find(|(_, kept)| kept.last == *id) else { return Ok(None) };
        if let Some(cover) = self.fresh.get(key) {
            return Ok(Some(*cover.signature()));
        }
        Ok(Some(read(tables, key)?.signature))
    }

    /// Writes what the step has left to be kept.
    pub(crate) fn write(&mut self, view: &mut View<'_>) {
        for (key, cover) in std::mem::take(&mut self.fresh) {
            let run = SignedRun { headers: cover.headers().to_vec(), signature: *cover.signature() };
            view.put(Table::Meta, tables::cover_key(&key), tables::encode(&run));
        }
    }

    /// A transaction of the history, with its cover if one is kept.
    pub(crate) fn attach(
        &self,
        tables: &dyn StateRead,
        id: &TransactionId,
        mut transaction: Transaction,
    ) -> Result<Transaction> {
        let key = (transaction.header.author, transaction.header.sequence, *id);
        if transaction.signature.is_none() && self.kept.contains_key(&key) {
            transaction.cover = Cover::new(Arc::new(read(tables, &key)?), 0);
        }
        Ok(transaction)
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }
}

fn read(tables: &dyn StateRead, key: &Key) -> Result<SignedRun> {
    let row = tables.get(Table::Meta, &tables::cover_key(key))?;
    tables::decode(&row.unwrap_or_default(), "a cover")
}
