//! A context's history in order, and who had seen what.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use kith_core::Result;
use kith_core::node::inspection::{Held, Inspection};
use kith_core::replica::payload::Tip;
use kith_core::replica::{self, Header, Kind, Place, Rejection, Replica, TransactionId};
use kith_core::storage::ContextTables;
use serde::Serialize;

/// So many places of the order are read at once.
const PAGE: usize = 1000;

#[derive(Debug, Serialize)]
pub(crate) struct History {
    pub(crate) context: String,
    pub(crate) transactions: u64,
    /// How many of them sort before the first one that is shown.
    pub(crate) before: u64,
    /// Names that members gave themselves.
    pub(crate) names: BTreeMap<String, String>,
    pub(crate) shown: Vec<Shown>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) author: String,
    pub(crate) sequence: u64,
    pub(crate) lamport: u64,
    /// The author's clock, ms since 1970.
    pub(crate) timestamp: u64,
    pub(crate) kind: String,
    pub(crate) payload_bytes: usize,
    pub(crate) outcome: Outcome,
    /// Why it was rejected, for people.
    pub(crate) why: Option<String>,
    /// How many of those that are shown sort before it and had not been seen by its author.
    pub(crate) unseen: usize,
    /// Its author signed another one of this number.
    pub(crate) forked: bool,
    /// `previous` and the parents.
    pub(crate) edges: Vec<String>,
    /// Those of `edges` that are shown, by their index in `shown`.
    #[serde(skip)]
    pub(crate) from: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Accepted,
    Pending,
    NotMember,
    NotPermitted,
    Cut,
    NotInForce,
    UnknownMember,
    NotSenior,
    InvitationInvalid,
    InvitationRevoked,
    InvitationUsed,
    AlreadyMember,
    RemovedKey,
    Full,
    Skipped,
    Limit,
    Application,
    Rejected,
}

impl Outcome {
    pub(crate) const fn rejected(self) -> bool {
        !matches!(self, Self::Accepted | Self::Pending)
    }

    const fn of(rejection: &Rejection) -> Self {
        match rejection {
            Rejection::NotMember => Self::NotMember,
            Rejection::NotPermitted => Self::NotPermitted,
            Rejection::Cut => Self::Cut,
            Rejection::NotInForce => Self::NotInForce,
            Rejection::UnknownMember => Self::UnknownMember,
            Rejection::NotSenior => Self::NotSenior,
            Rejection::InvitationInvalid => Self::InvitationInvalid,
            Rejection::InvitationRevoked => Self::InvitationRevoked,
            Rejection::InvitationUsed => Self::InvitationUsed,
            Rejection::AlreadyMember => Self::AlreadyMember,
            Rejection::RemovedKey => Self::RemovedKey,
            Rejection::Full => Self::Full,
            Rejection::Skipped => Self::Skipped,
            Rejection::Limit(_) => Self::Limit,
            Rejection::Application(_) => Self::Application,
            _ => Self::Rejected,
        }
    }
}

fn kind(number: u8) -> String {
    Kind::from_number(number).map_or_else(|| format!("kind {number}"), |kind| format!("{kind:?}"))
}

/// The last transactions of the order.
pub(crate) fn read(inspection: &Inspection, held: &Held, last: usize) -> Result<History> {
    let snapshot = inspection.store().snapshot()?;
    let tables = ContextTables::new(&*snapshot, held.number);
    let replica = Replica::open(held.id, &tables)?;
    let mut places: VecDeque<Place> = VecDeque::new();
    let mut transactions = 0;
    let mut after = None;
    loop {
        let page = replica::order(&tables, after.as_ref(), PAGE)?;
        after = page.last().copied();
        transactions += page.len() as u64;
        let done = page.len() < PAGE;
        places.extend(page);
        places.drain(..places.len().saturating_sub(last));
        if done {
            break;
        }
    }
    let index: HashMap<TransactionId, usize> =
        places.iter().enumerate().map(|(i, place)| (place.id, i)).collect();
    let mut seen = Seen::default();
    let mut shown = Vec::new();
    for place in &places {
        let transaction = replica::transaction(&tables, &place.id)?.ok_or_else(|| {
            kith_core::Error::corrupt(format!(
                "transaction {} is in the order and not in the history",
                place.id
            ))
        })?;
        let receipt = replica::receipt(&tables, &place.id)?;
        let header = &transaction.header;
        let previous = (header.sequence > 1).then_some(header.previous);
        let edges: Vec<TransactionId> =
            previous.into_iter().chain(header.parents.iter().map(|parent| parent.id)).collect();
        let from: Vec<usize> = edges.iter().filter_map(|id| index.get(id).copied()).collect();
        let rejection = receipt.as_ref().and_then(|receipt| receipt.outcome.as_ref().err());
        shown.push(Shown {
            id: place.id.to_string(),
            author: header.author.to_string(),
            sequence: header.sequence,
            lamport: header.lamport,
            timestamp: header.timestamp,
            kind: kind(header.kind),
            payload_bytes: transaction.payload.len(),
            outcome: match (&receipt, rejection) {
                (None, _) => Outcome::Pending,
                (_, None) => Outcome::Accepted,
                (_, Some(rejection)) => Outcome::of(rejection),
            },
            why: rejection.map(ToString::to_string),
            unseen: seen.add(&from),
            forked: is_forked(&replica, &tables, header)?,
            edges: edges.iter().map(TransactionId::to_string).collect(),
            from,
        });
    }
    let authors: BTreeSet<&str> = shown.iter().map(|shown| shown.author.as_str()).collect();
    let names = replica.members().map(|(id, member)| (id.to_string(), member.name.clone()));
    let names = names.filter(|(id, name)| !name.is_empty() && authors.contains(id.as_str())).collect();
    let before = transactions - places.len() as u64;
    Ok(History { context: held.id.to_string(), transactions, before, names, shown })
}

/// Whether the history has another one of this author and number, shown or not. Branches never meet again, so who has one tip has forked nowhere.
fn is_forked(replica: &Replica, tables: &ContextTables<'_>, header: &Header) -> Result<bool> {
    if replica.tips_of(&header.author).len() < 2 {
        return Ok(false);
    }
    let before = Tip { sequence: header.sequence.saturating_sub(1), id: TransactionId([255; 32]) };
    let found = replica.chain(tables, &header.author, before, 2)?;
    Ok(found.iter().filter(|(_, other)| other.header.sequence == header.sequence).count() > 1)
}

/// Which transactions are in the causal past of which, within a piece of the order. The order is a linear extension of the
/// graph, so a path between two of the piece never leaves it.
#[derive(Default)]
struct Seen {
    past: Vec<Vec<u64>>,
}

impl Seen {
    /// Adds the next one of the order: how many before it are not in its causal past.
    fn add(&mut self, from: &[usize]) -> usize {
        let mine = self.past.len();
        let mut past = vec![0u64; mine / 64 + 1];
        for &edge in from.iter().filter(|edge| **edge < mine) {
            for (word, theirs) in past.iter_mut().zip(&self.past[edge]) {
                *word |= theirs;
            }
            past[edge / 64] |= 1 << (edge % 64);
        }
        let seen: usize = past.iter().map(|word| word.count_ones() as usize).sum();
        self.past.push(past);
        mine - seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_causal_past_is_counted() {
        let mut seen = Seen::default();
        let unseen: Vec<usize> =
            [&[][..], &[0], &[0], &[1], &[2, 3], &[4]].iter().map(|from| seen.add(from)).collect();
        // 2 has not seen 1; 3 has not seen 2; 4 joins both lines.
        assert_eq!(unseen, [0, 0, 1, 1, 0, 0]);
    }

    #[test]
    fn long_lines_are_seen_whole() {
        let mut seen = Seen::default();
        seen.add(&[]);
        for i in 0..300 {
            assert_eq!(seen.add(&[i]), 0);
        }
        assert_eq!(seen.add(&[]), 301);
    }
}
