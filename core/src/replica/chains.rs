//! Whether a transaction is before a tip in its author's chain, without walking the chain for each question.
//!
//! Of an author with one tip everything is before it. One that has signed two histories must be looked at closely, and may
//! write a lot: what was walked once is kept. The ancestors of a transaction are named by its id, so nothing that is kept ever
//! becomes wrong; it is bounded by keeping only every so many of them, and more of them apart each time there is no room.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::governance::Chains;
use super::history::Tips;
use super::payload::Tip;
use super::state_read::StateRead;
use super::{MemberId, TransactionId, faults, tables};
use crate::Result;

/// The most transactions that are kept: about 4 MiB.
const KEPT: usize = 1 << 15;

/// Answers from the tables.
pub(crate) struct StoredChains<'a> {
    pub(crate) tables: &'a dyn StateRead,
    pub(crate) tips: &'a Tips,
    pub(crate) walked: &'a Walked,
}

impl Chains for StoredChains<'_> {
    fn covered(&self, author: &MemberId, sequence: u64, id: &TransactionId, last: &[Tip]) -> Result<bool> {
        if faults::is(faults::Fault::RemovalWithoutLast) {
            return Ok(true);
        }
        let forked = self.tips.get(author).is_some_and(|tips| tips.len() > 1);
        for tip in last.iter().filter(|tip| tip.sequence >= sequence) {
            if !forked || self.walked.ancestor(self.tables, *tip, sequence)? == *id {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What was walked of chains that part.
#[derive(Debug, Default)]
pub(crate) struct Walked(Mutex<Branches>);

impl Walked {
    /// The transaction with this sequence in the chain that ends at a tip; the tip's is not smaller.
    fn ancestor(&self, tables: &dyn StateRead, tip: Tip, sequence: u64) -> Result<TransactionId> {
        // Each change leaves what is kept in order, so a thread that died has spoilt nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).ancestor(tables, tip, sequence)
    }
}

#[derive(Debug)]
struct Branches {
    most: usize,
    /// Kept are the tips that were asked about, and what has a sequence that is a multiple of this.
    apart: u64,
    list: Vec<Branch>,
    /// In which branch each one is that is kept.
    found: HashMap<TransactionId, usize>,
}

/// A chain from a tip downwards, as far as it was walked or up to where it meets another one.
#[derive(Debug)]
struct Branch {
    /// The tip and what is kept below it, downwards.
    marks: Vec<Tip>,
    /// The branch that holds the next mark.
    on: Option<usize>,
}

impl Default for Branches {
    fn default() -> Self {
        Self::new(KEPT)
    }
}

impl Branches {
    fn new(most: usize) -> Self {
        Self { most, apart: 1, list: Vec::new(), found: HashMap::new() }
    }

    fn ancestor(&mut self, tables: &dyn StateRead, tip: Tip, sequence: u64) -> Result<TransactionId> {
        let mut at = self.branch_of(tip);
        loop {
            let branch = &self.list[at];
            let lowest = branch.marks.last().copied().unwrap_or(tip);
            let next = lowest.sequence.saturating_sub(1) / self.apart * self.apart;
            if sequence >= lowest.sequence {
                let above = branch.marks.partition_point(|mark| mark.sequence >= sequence);
                let mark = above.checked_sub(1).and_then(|above| branch.marks.get(above));
                return Ok(walk(tables, *mark.unwrap_or(&tip), sequence)?.id);
            }
            if sequence > next {
                return Ok(walk(tables, lowest, sequence)?.id);
            }
            if let Some(on) = branch.on {
                at = on;
                continue;
            }
            let mark = walk(tables, lowest, next)?;
            if let Some(on) = self.found.get(&mark.id) {
                self.list[at].on = Some(*on);
            } else if self.found.len() < self.most {
                self.found.insert(mark.id, at);
                self.list[at].marks.push(mark);
            } else {
                self.apart = self.apart.saturating_mul(2);
                self.forget();
                at = self.branch_of(tip);
            }
        }
    }

    fn branch_of(&mut self, tip: Tip) -> usize {
        if let Some(at) = self.found.get(&tip.id) {
            return *at;
        }
        if self.found.len() >= self.most {
            self.forget();
        }
        let at = self.list.len();
        self.list.push(Branch { marks: vec![tip], on: None });
        self.found.insert(tip.id, at);
        at
    }

    fn forget(&mut self) {
        self.list.clear();
        self.found.clear();
    }
}

/// Down a chain, one by one.
fn walk(tables: &dyn StateRead, from: Tip, sequence: u64) -> Result<Tip> {
    let mut at = from;
    while at.sequence > sequence {
        let position = tables::known_position(tables, &at.id)?;
        at = Tip { sequence: at.sequence - 1, id: position.previous };
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::memory::MemoryTables;
    use super::super::state_read::Table;
    use super::super::tables::Position;
    use super::*;
    use proptest::prelude::*;

    /// Counts what is read.
    #[derive(Default)]
    struct Counting {
        tables: MemoryTables,
        reads: Cell<usize>,
    }

    impl Counting {
        fn insert(&mut self, previous: TransactionId, tip: Tip) {
            let position = Position {
                author: MemberId([7; 32]),
                sequence: tip.sequence,
                previous,
                lamport: tip.sequence,
                kind: 0,
                frontier: Vec::new(),
            };
            self.tables.apply(vec![(Table::Ids, tip.id.0.to_vec(), Some(tables::encode(&position)))]);
        }

        fn reads_of<T>(&self, what: impl FnOnce() -> T) -> (usize, T) {
            let before = self.reads.get();
            let outcome = what();
            (self.reads.get() - before, outcome)
        }
    }

    impl StateRead for Counting {
        fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
            self.reads.set(self.reads.get() + 1);
            self.tables.get(table, key)
        }

        fn scan(
            &self,
            _: Table,
            _: &[u8],
            _: Option<&[u8]>,
            _: bool,
            _: usize,
        ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
            panic!("nothing is read but positions")
        }
    }

    fn id(number: usize) -> TransactionId {
        TransactionId(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    proptest! {
        /// Whatever the tree, whatever was asked before and however little is kept: the answer is that of a plain walk.
        #[test]
        fn the_ancestors_are_those_of_a_plain_walk(
            parents in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..80),
            questions in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..40),
            most in 1usize..40,
        ) {
            let mut counting = Counting::default();
            let mut tips = vec![Tip { sequence: 1, id: id(0) }];
            counting.insert(TransactionId::default(), tips[0]);
            for (n, (parent, grow)) in parents.iter().enumerate() {
                let parent = if *grow { tips[tips.len() - 1] } else { tips[parent.index(tips.len())] };
                let tip = Tip { sequence: parent.sequence + 1, id: id(n + 1) };
                counting.insert(parent.id, tip);
                tips.push(tip);
            }
            let mut branches = Branches::new(most);
            for (tip, sequence) in &questions {
                let tip = tips[tip.index(tips.len())];
                let sequence = 1 + sequence.index(usize::try_from(tip.sequence).unwrap()) as u64;
                let plain = walk(&counting, tip, sequence).unwrap().id;
                prop_assert_eq!(branches.ancestor(&counting, tip, sequence).unwrap(), plain);
                prop_assert!(branches.found.len() <= most);
                prop_assert!(branches.list.iter().map(|branch| branch.marks.len()).sum::<usize>() <= most);
            }
        }
    }

    const LENGTH: usize = 1000;

    /// A chain that parts after its tenth transaction, into two of equal length.
    fn parted() -> (Counting, Tips, Vec<Tip>) {
        let mut counting = Counting::default();
        let mut all = Vec::new();
        let mut ends = Vec::new();
        for branch in 0..2 {
            let mut previous = if branch == 0 { TransactionId::default() } else { all[9] };
            let first = if branch == 0 { 1 } else { 11 };
            for sequence in first..=LENGTH {
                let own = id(branch * LENGTH + sequence);
                counting.insert(previous, Tip { sequence: sequence as u64, id: own });
                all.push(own);
                previous = own;
            }
            ends.push(Tip { sequence: LENGTH as u64, id: previous });
        }
        let tips = Tips::from([(MemberId([7; 32]), ends.iter().copied().collect())]);
        (counting, tips, ends)
    }

    /// Asks about every transaction on both branches, whether the first branch's tip covers it: the reads, and how many it covers.
    fn pass(counting: &Counting, tips: &Tips, last: &[Tip], walked: &Walked) -> (usize, usize) {
        let chains = StoredChains { tables: counting, tips, walked };
        let covered = |number: usize| {
            let sequence = if number > LENGTH { number - LENGTH } else { number } as u64;
            chains.covered(&MemberId([7; 32]), sequence, &id(number), last).unwrap()
        };
        counting.reads_of(|| (1..=LENGTH).chain(LENGTH + 11..=2 * LENGTH).filter(|n| covered(*n)).count())
    }

    #[test]
    fn a_pass_over_a_forked_chain_reads_each_transaction_once_and_the_next_pass_none() {
        let (counting, tips, ends) = parted();
        let walked = Walked::default();
        assert_eq!(pass(&counting, &tips, &ends[..1], &walked), (LENGTH - 1, LENGTH));
        assert_eq!(pass(&counting, &tips, &ends[..1], &walked), (0, LENGTH));
        // The other branch is new; what both share is covered by the first already.
        assert_eq!(pass(&counting, &tips, &ends, &walked), (LENGTH - 11, 2 * LENGTH - 10));
        // The control: walking anew for each question.
        let (plain, _) = counting.reads_of(|| {
            (1..=LENGTH as u64)
                .map(|sequence| walk(&counting, ends[0], sequence).unwrap().id)
                .collect::<Vec<_>>()
        });
        assert_eq!(plain, LENGTH * (LENGTH - 1) / 2);
    }

    #[test]
    fn where_not_all_is_kept_a_question_reads_no_more_than_lies_between_two_that_are() {
        let (counting, tips, ends) = parted();
        let walked = Walked(Mutex::new(Branches::new(100)));
        let _ = pass(&counting, &tips, &ends, &walked);
        let apart = walked.0.lock().unwrap().apart;
        assert_eq!(apart, 32, "two branches of 1,000 in 100 places");
        let chains = StoredChains { tables: &counting, tips: &tips, walked: &walked };
        for number in 1..=LENGTH {
            let covered =
                || chains.covered(&MemberId([7; 32]), number as u64, &id(number), &ends[..1]).unwrap();
            let (reads, covered) = counting.reads_of(covered);
            assert!(covered && reads < 32, "{reads} reads for {number}");
        }
    }

    #[test]
    fn of_an_author_with_one_tip_nothing_is_read() {
        let (counting, _, ends) = parted();
        let tips = Tips::from([(MemberId([7; 32]), [ends[0]].into())]);
        assert_eq!(pass(&counting, &tips, &ends[..1], &Walked::default()).0, 0);
    }
}
