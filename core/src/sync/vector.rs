//! Comparing all tips of two histories: what the other side lacks for certain, and what it names that is unknown here.

use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

use super::{History, Tips};
use crate::limits;
use crate::replica::faults::{self, Fault};
use crate::replica::payload::Tip;
use crate::replica::{MemberId, TransactionId};
use crate::{Error, Result};

/// Authors read from the history at once.
const PAGE: usize = 256;

/// One branch of an author's chain is to be sent, up to and with sequence `last`; where it forks, the one with the smallest
/// id (the others have starts of their own).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) author: MemberId,
    pub(super) from: From,
    pub(super) last: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// What descends from this one, without it; sequence 0 and zeros: everything.
    After(Tip),
    /// This one and what descends from it.
    At(Tip),
}

/// What comes out of a comparison.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) starts: Vec<Start>,
    /// How many transactions that is.
    pub(super) transactions: u64,
    /// Tips of the other side that are not in this history.
    pub(super) unknown: Vec<TransactionId>,
}

/// The whole vector of this side, in pages.
pub(super) fn read(history: &dyn History) -> Result<Vec<Vec<Tips>>> {
    let (mut pages, mut page, mut in_page, mut all) = (Vec::new(), Vec::new(), 0, 0);
    let mut after = None;
    loop {
        let authors = history.tips(after.as_ref(), PAGE)?;
        let Some(last) = authors.last() else { break };
        after = Some(last.author);
        for author in authors {
            if all + author.tips.len() > limits::SYNC_VECTOR {
                continue;
            }
            all += author.tips.len();
            if in_page + author.tips.len() > limits::SYNC_VECTOR_PAGE && !page.is_empty() {
                pages.push(std::mem::take(&mut page));
                in_page = 0;
            }
            in_page += author.tips.len();
            page.push(author);
        }
    }
    pages.push(page);
    Ok(pages)
}

/// Compares this history with the other side's tips. Nothing in `theirs` is trusted: what it claims decides only what is sent
/// to the one that claims it. `patient`: of an author of whom they seem to be ahead nothing is sent; two sides that wait for
/// each other in that way, for two forked authors, come out of it in the next round, without patience.
pub(super) fn plan(
    history: &dyn History,
    theirs: &BTreeMap<MemberId, Vec<Tip>>,
    patient: bool,
) -> Result<Plan> {
    let mut plan = Plan::default();
    for (author, tips) in theirs {
        for tip in tips {
            if !is_at(history, author, tip)? {
                plan.unknown.push(tip.id);
            }
        }
    }
    let unknown: HashSet<TransactionId> = plan.unknown.iter().copied().collect();
    let mut after = None;
    loop {
        let page = history.tips(after.as_ref(), PAGE)?;
        let Some(last) = page.last() else { return Ok(plan) };
        after = Some(last.author);
        for own in page {
            let theirs = theirs.get(&own.author).map_or(&[][..], Vec::as_slice);
            let last = own.tips.iter().map(|tip| tip.sequence).max().unwrap_or(0);
            // Nothing they name is known, and all of it is ahead: most likely on our branch, and they will send what
            // follows our tip, which they know. Else the author forked at a place that neither side knows.
            let ahead = !theirs.is_empty()
                && theirs.iter().all(|tip| tip.sequence > last && unknown.contains(&tip.id));
            let trusted = !theirs.is_empty() && faults::is(Fault::TrustVector);
            if theirs != own.tips && !(patient && ahead) && !trusted {
                compare(history, &own, theirs, &unknown, &mut plan)?;
            }
        }
    }
}

fn is_at(history: &dyn History, author: &MemberId, tip: &Tip) -> Result<bool> {
    let position = history.position(&tip.id)?;
    Ok(position.is_some_and(|position| position.author == *author && position.sequence == tip.sequence))
}

fn compare(
    history: &dyn History,
    own: &Tips,
    theirs: &[Tip],
    unknown: &HashSet<TransactionId>,
    plan: &mut Plan,
) -> Result<()> {
    let author = own.author;
    let last = own.tips.iter().map(|tip| tip.sequence).max().unwrap_or(0);
    let known: Vec<Tip> = theirs.iter().filter(|tip| !unknown.contains(&tip.id)).copied().collect();
    if let [only] = own.tips[..] {
        // One branch here, and the known ones are on it.
        let nothing = Tip { sequence: 0, id: TransactionId::default() };
        let greatest = known.iter().max().copied().unwrap_or(nothing);
        if greatest.sequence < only.sequence {
            plan.starts.push(Start { author, from: From::After(greatest), last });
            plan.transactions += only.sequence - greatest.sequence;
        }
        return Ok(());
    }
    branches(history, own, &known, last, plan)
}

/// Of an author with several tips here: all that is not in the chains of the known ones. Walks back from all tips at once,
/// highest sequence first, until every branch has met one that the other side has.
fn branches(history: &dyn History, own: &Tips, known: &[Tip], last: u64, plan: &mut Plan) -> Result<()> {
    let mut had: HashMap<TransactionId, bool> = HashMap::new();
    let mut next: BinaryHeap<Tip> = BinaryHeap::new();
    for (tips, theirs) in [(known, true), (&own.tips[..], false)] {
        for tip in tips {
            had.entry(tip.id).or_insert_with(|| {
                next.push(*tip);
                theirs
            });
        }
    }
    let mut lacking = had.values().filter(|had| !**had).count();
    // Those that are lacking, under their `previous`, which was not looked at yet.
    let mut children: HashMap<TransactionId, Vec<Tip>> = HashMap::new();
    while lacking > 0 || !children.is_empty() {
        let Some(at) = next.pop() else { break };
        let theirs = had.remove(&at.id).unwrap_or(false);
        // From one that is sent itself, its cursor goes on to the smallest.
        let mut firsts = children.remove(&at.id).unwrap_or_default();
        firsts.sort_unstable();
        let begins = firsts.into_iter().skip(usize::from(!theirs));
        plan.starts.extend(begins.map(|first| Start { author: own.author, from: From::At(first), last }));
        if !theirs {
            lacking -= 1;
            plan.transactions += 1;
        }
        let transaction = history
            .transaction(&at.id)?
            .ok_or_else(|| Error::corrupt(format!("transaction {} of the history is not kept", at.id)))?;
        if at.sequence == 1 {
            if !theirs {
                plan.starts.push(Start { author: own.author, from: From::At(at), last });
            }
            continue;
        }
        let previous = transaction.header.previous;
        if !theirs {
            children.entry(previous).or_default().push(at);
        }
        match had.get_mut(&previous) {
            Some(before) => {
                if theirs && !*before {
                    *before = true;
                    lacking -= 1;
                }
            }
            None => {
                had.insert(previous, theirs);
                next.push(Tip { sequence: at.sequence - 1, id: previous });
                lacking += usize::from(!theirs);
            }
        }
    }
    Ok(())
}
