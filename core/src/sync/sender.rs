//! What is to be sent in a comparison, in causal order, batch by batch: a merge of the authors' chains by (lamport, id).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};

use super::History;
use super::batch::{Run, Uncovered, runs, size};
use super::proof::covering_run;
use super::vector::{From, Start};
use crate::limits;
use crate::replica::payload::Tip;
use crate::replica::{MemberId, Transaction, TransactionId};
use crate::{Error, Result};

/// How much is read ahead over all chains, in bytes; beyond, one transaction at a time.
const READ_AHEAD: usize = 8 << 20;
const LAST_ID: TransactionId = TransactionId([0xff; 32]);

type Named = (TransactionId, Transaction);

/// Reads one branch of one author's chain.
struct Cursor {
    author: MemberId,
    last: u64,
    /// Where reading goes on.
    read: Tip,
    /// The branch so far ends here; sequence 0 and zeros: before the first.
    end: Tip,
    /// To begin at this one.
    at: Option<Tip>,
    buffer: VecDeque<(TransactionId, Option<Transaction>)>,
}

impl Cursor {
    fn new(start: &Start) -> Self {
        let (end, at) = match start.from {
            From::After(tip) => (tip, None),
            From::At(tip) => (Tip { sequence: tip.sequence - 1, id: TransactionId::default() }, Some(tip)),
        };
        let read = Tip { sequence: end.sequence, id: LAST_ID };
        Self { author: start.author, last: start.last, read, end, at, buffer: VecDeque::new() }
    }

    /// Reads on until something is in the buffer or the branch has ended.
    fn fill(&mut self, history: &dyn History, limit: usize, bytes: usize) -> Result<()> {
        while self.buffer.is_empty() {
            let page = history.chain(&self.author, self.read, limit, bytes)?;
            if page.is_empty() {
                break;
            }
            for (id, transaction) in page {
                let header = &transaction.header;
                let here = Tip { sequence: header.sequence, id };
                if here.sequence > self.last || here.sequence > self.end.sequence + 1 {
                    return Ok(());
                }
                self.read = here;
                let follows = match self.at {
                    Some(at) => id == at.id,
                    None => here.sequence == self.end.sequence + 1 && header.previous == self.end.id,
                };
                if follows {
                    self.at = None;
                    self.end = here;
                    self.buffer.push_back((id, Some(transaction)));
                }
            }
        }
        Ok(())
    }
}

/// As they are to go to a member.
pub(super) fn shown(history: &dyn History, to: &MemberId, items: Vec<Named>) -> Result<Vec<Named>> {
    let show =
        |(id, transaction)| Ok(history.show(to, &id, transaction)?.map(|transaction| (id, transaction)));
    items.into_iter().filter_map(|item| show(item).transpose()).collect()
}

/// See the module's text.
pub(super) struct Sender {
    cursors: Vec<Option<Cursor>>,
    heads: BinaryHeap<Reverse<(u64, TransactionId, usize)>>,
    buffered: usize,
    /// Read already, but left for the next batch.
    ahead: VecDeque<Named>,
    /// Sent before their turn.
    early: HashSet<TransactionId>,
}

impl Sender {
    pub(super) fn new(history: &dyn History, starts: &[Start]) -> Result<Self> {
        let mut sender = Self {
            cursors: Vec::with_capacity(starts.len()),
            heads: BinaryHeap::new(),
            buffered: 0,
            ahead: VecDeque::new(),
            early: HashSet::new(),
        };
        for start in starts {
            sender.cursors.push(Some(Cursor::new(start)));
            sender.fill(history, sender.cursors.len() - 1)?;
        }
        Ok(sender)
    }

    fn fill(&mut self, history: &dyn History, index: usize) -> Result<()> {
        let Some(cursor) = self.cursors.get_mut(index).and_then(Option::as_mut) else { return Ok(()) };
        let tight = self.buffered > READ_AHEAD;
        let (limit, bytes) = if tight { (1, 1) } else { (limits::RUN, limits::SYNC_BATCH / 4) };
        cursor.fill(history, limit, bytes)?;
        let Some((id, head)) = cursor.buffer.front_mut() else {
            self.cursors[index] = None;
            return Ok(());
        };
        let lamport = head.as_ref().map_or(0, |head| head.header.lamport);
        self.heads.push(Reverse((lamport, *id, index)));
        if tight {
            *head = None;
        }
        self.buffered +=
            cursor.buffer.iter().filter_map(|(_, transaction)| transaction.as_ref()).map(size).sum::<usize>();
        Ok(())
    }

    fn next(&mut self, history: &dyn History) -> Result<Option<Named>> {
        while let Some((id, transaction)) = self.merged(history)? {
            if !self.early.remove(&id) {
                return Ok(Some((id, transaction)));
            }
        }
        Ok(None)
    }

    fn merged(&mut self, history: &dyn History) -> Result<Option<Named>> {
        if let Some(next) = self.ahead.pop_front() {
            return Ok(Some(next));
        }
        let Some(Reverse((_, id, index))) = self.heads.pop() else { return Ok(None) };
        let cursor = self.cursors.get_mut(index).and_then(Option::as_mut);
        let head = cursor.and_then(|cursor| {
            let head = cursor.buffer.pop_front();
            if let Some((id, Some(next))) = cursor.buffer.front() {
                self.heads.push(Reverse((next.header.lamport, *id, index)));
            }
            head
        });
        let transaction = match head {
            Some((_, Some(transaction))) => {
                self.buffered -= size(&transaction);
                transaction
            }
            _ => history
                .transaction(&id)?
                .ok_or_else(|| Error::corrupt(format!("transaction {id} of the history is not kept")))?,
        };
        if self.cursors.get(index).and_then(Option::as_ref).is_some_and(|cursor| cursor.buffer.is_empty()) {
            self.fill(history, index)?;
        }
        Ok(Some((id, transaction)))
    }

    /// The next batch as runs, and how many transactions are in it; `None` once there is nothing more. Up to
    /// `aim` bytes where signatures allow, never more than [`limits::SYNC_BATCH_MOST`].
    ///
    /// A batch is a piece of the merged order, cut where every chain in it ends with a signature. Where there is no such
    /// place, what is covered goes and the rest waits; where nothing is, one author's run goes before its turn; what nothing
    /// at all covers is left out.
    pub(super) fn batch(
        &mut self,
        history: &dyn History,
        to: &MemberId,
        aim: usize,
    ) -> Result<Option<(Vec<Run>, u64)>> {
        loop {
            let (items, more) = self.piece(history, aim)?;
            if items.is_empty() && more {
                continue;
            }
            if items.is_empty() {
                return Ok(None);
            }
            let (runs, _) = runs(shown(history, to, items)?);
            if runs.is_empty() {
                continue;
            }
            let count = runs.iter().map(|run| run.transactions.len() as u64).sum();
            return Ok(Some((runs, count)));
        }
    }

    /// What goes into the next batch, and whether there may be more if that is nothing.
    fn piece(&mut self, history: &dyn History, aim: usize) -> Result<(Vec<Named>, bool)> {
        let (mut items, mut bytes, mut cut) = (Vec::new(), 0, 0);
        let mut uncovered = Uncovered::default();
        let mut full = false;
        while let Some((id, transaction)) = self.next(history)? {
            let size = size(&transaction);
            full = bytes + size > limits::SYNC_BATCH_MOST && !items.is_empty();
            if full || (cut > 0 && bytes + size > aim) {
                self.ahead.push_front((id, transaction));
                break;
            }
            bytes += size;
            uncovered.add(id, &transaction);
            items.push((id, transaction));
            if uncovered.is_empty() {
                cut = items.len();
            }
        }
        if cut > 0 {
            for item in items.drain(cut..).rev() {
                self.ahead.push_front(item);
            }
        } else {
            let uncovered = uncovered.ids();
            let rest: Vec<Named> = items.extract_if(.., |(id, _)| uncovered.contains(id)).collect();
            if full {
                let mut rest = rest.into_iter();
                if items.is_empty()
                    && let Some(first) = rest.next()
                {
                    items = self.run_ahead(history, first)?;
                }
                for item in rest.rev() {
                    self.ahead.push_front(item);
                }
            }
        }
        Ok((items, full))
    }

    /// One author's run, to its signature, before its turn. What in it names others has to wait at the receiver; but the
    /// first can be admitted there, so that catch-up never stands still. Nothing, if nothing covers the first.
    fn run_ahead(&mut self, history: &dyn History, first: Named) -> Result<Vec<Named>> {
        let mut run = covering_run(history, &first.0, &first.1.header)?;
        run.insert(0, first);
        let bytes: usize = run.iter().map(|(_, transaction)| size(transaction)).sum();
        if run.len() == 1 || bytes > limits::SYNC_BATCH_MOST {
            return Ok(Vec::new());
        }
        self.early.extend(run[1..].iter().map(|(id, _)| *id));
        Ok(run)
    }
}
