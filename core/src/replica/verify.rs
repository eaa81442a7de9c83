//! Checking a context's tables against its history, and naming the first difference.
//!
//! Each transaction is executed once more on what the tables hold of the state just before its place, and what it did is compared
//! with what is kept of it. The first one has nothing before it; so if none differs, all of the tables are what a replay from
//! genesis gives, and no second copy of the state is needed for it. Then what no transaction accounts for is looked for, and the
//! running hash, the counters and where each author's chain ends are compared with those of the rows.
//!
//! It is done in slices, between which the history may grow: what is compared of one transaction holds whatever comes after
//! it. Sums over all rows begin anew if something was written meanwhile.

mod before;
mod place;
mod rows;

use super::commitment::SetHash;
use super::engine::Replica;
use super::history::Tips;
use super::receipt::Place;
use super::state_read::StateRead;
use super::{StateKey, TransactionId};
use crate::application::Application;
use crate::{Error, ErrorKind, Result};

/// How many transactions or rows one slice looks at.
const SLICE: usize = 64;
/// So often sums begin anew because the context has moved on; then they are taken in one go.
const ATTEMPTS: usize = 3;

/// What a check has looked at and found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// How many transactions were looked at, in order.
    pub transactions: u64,
    /// How many of them were executed once more.
    pub executed: u64,
    /// How many are in the order and were not looked at, since they are still to be executed.
    pub pending: u64,
    /// How many keys of the state were looked at, deleted ones included.
    pub keys: u64,
    /// The first difference; `None`: the tables are what a replay of the history gives.
    pub difference: Option<Difference>,
}

/// Where the tables are not what the history gives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part} differs at {}: {} is kept, {} was recomputed", self.site(), short(.kept), short(.recomputed))]
#[non_exhaustive]
pub struct Difference {
    /// What differs.
    pub part: Part,
    /// At which place of the order; `None`: of the context as a whole.
    pub place: Option<Place>,
    /// Of which key.
    pub key: Option<StateKey>,
    /// The BLAKE3 hash of what is kept; `None`: nothing is.
    pub kept: Option<[u8; 32]>,
    /// The BLAKE3 hash of what was recomputed; `None`: nothing should be there.
    pub recomputed: Option<[u8; 32]>,
}

impl Difference {
    /// The transaction at the place.
    #[must_use]
    pub fn transaction(&self) -> Option<TransactionId> {
        self.place.map(|place| place.id)
    }

    fn site(&self) -> String {
        match (&self.place, &self.key) {
            (None, None) => "the end of the order".into(),
            (Some(place), None) => format!("transaction {}", place.id),
            (None, Some(key)) => format!("key {key}"),
            (Some(place), Some(key)) => format!("key {key} of transaction {}", place.id),
        }
    }
}

fn short(hash: &Option<[u8; 32]>) -> String {
    hash.map_or_else(|| "nothing".into(), |hash| blake3::Hash::from_bytes(hash).to_hex()[..16].to_string())
}

/// What can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Part {
    /// The signed transaction itself: it is not what its id says, or is not there.
    #[error("the transaction")]
    Transaction,
    /// Its signature.
    #[error("the signature")]
    Signature,
    /// Where it stands in the graph.
    #[error("the position in the graph")]
    Position,
    /// Its row in the order.
    #[error("the order")]
    Order,
    /// Which role it was judged by.
    #[error("the standing")]
    Standing,
    /// What it answered, emitted, or was rejected for.
    #[error("the receipt")]
    Receipt,
    /// What is noted of its reads.
    #[error("the reads")]
    Reads,
    /// A value that it wrote.
    #[error("the value")]
    Value,
    /// The members, roles and invitations.
    #[error("the membership")]
    Membership,
    /// The running hash of the state.
    #[error("the state commitment")]
    Commitment,
    /// How many transactions there are.
    #[error("the number of transactions")]
    Count,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Transaction,
        Self::Signature,
        Self::Position,
        Self::Order,
        Self::Standing,
        Self::Receipt,
        Self::Reads,
        Self::Value,
        Self::Membership,
        Self::Commitment,
        Self::Count,
    ];

    /// Its name, the same in all languages: `transaction`, `signature`, …
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Signature => "signature",
            Self::Position => "position",
            Self::Order => "order",
            Self::Standing => "standing",
            Self::Receipt => "receipt",
            Self::Reads => "reads",
            Self::Value => "value",
            Self::Membership => "membership",
            Self::Commitment => "commitment",
            Self::Count => "count",
        }
    }
}

/// A difference before it is known where.
pub(super) struct Found {
    part: Part,
    key: Option<StateKey>,
    kept: Option<[u8; 32]>,
    recomputed: Option<[u8; 32]>,
}

/// Two things that should be the same; `None` for what is not there.
pub(super) fn compare(
    part: Part,
    key: Option<StateKey>,
    kept: Option<&[u8]>,
    recomputed: Option<&[u8]>,
) -> std::result::Result<(), Found> {
    if kept == recomputed {
        return Ok(());
    }
    let hash = |bytes: &[u8]| *blake3::hash(bytes).as_bytes();
    Err(Found { part, key, kept: kept.map(hash), recomputed: recomputed.map(hash) })
}

/// A check under way.
#[derive(Debug)]
pub struct Verifier {
    calls: bool,
    phase: Phase,
    /// Where the phase goes on.
    next: Vec<u8>,
    report: Verification,
    sum: Sum,
    moved: bool,
    attempts: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Membership,
    Order,
    Transactions,
    Ids,
    Versions,
    State,
    Done,
}

#[derive(Debug, Default)]
struct Sum {
    transactions: u64,
    keys: u64,
    state: SetHash,
    /// Of what was looked at, what no later transaction of its author follows.
    tips: Tips,
}

impl Verifier {
    /// A check of everything. Without `calls` the application is not asked: what calls did is taken as it is kept.
    #[must_use]
    pub fn new(calls: bool) -> Self {
        Self {
            calls,
            phase: Phase::Membership,
            next: Vec::new(),
            report: Verification { transactions: 0, executed: 0, pending: 0, keys: 0, difference: None },
            sum: Sum::default(),
            moved: false,
            attempts: 0,
        }
    }

    /// Something of the context was written since the last slice.
    pub const fn moved(&mut self) {
        self.moved = true;
    }

    /// Looks at the next few rows; gives the report once there are no more, or something differs. The tables are those that the replica
    /// was opened on, with all that it has written.
    pub fn step(
        &mut self,
        replica: &Replica,
        tables: &dyn StateRead,
        application: Option<&dyn Application>,
    ) -> Result<Option<Verification>> {
        if self.calls && application.is_none() && !replica.application().is_empty() {
            let name = replica.application();
            let text = format!("the application `{name}` is not registered");
            return Err(Error::new(ErrorKind::ApplicationMissing, text));
        }
        if self.sums() && std::mem::take(&mut self.moved) {
            self.attempts += 1;
            self.begin_sums();
        }
        let difference = match self.phase {
            Phase::Membership => self.membership(replica, tables)?,
            Phase::Order => self.order(replica, tables, application)?,
            Phase::Transactions => self.transactions(replica, tables)?,
            Phase::Ids => self.ids(tables)?,
            Phase::Versions => self.versions(tables)?,
            Phase::State => self.state(replica, tables)?,
            Phase::Done => None,
        };
        if difference.is_none() && self.phase != Phase::Done {
            return Ok(None);
        }
        self.report.difference = difference;
        self.report.pending = replica.pending.len() as u64;
        self.report.keys = self.sum.keys;
        Ok(Some(self.report.clone()))
    }

    /// Whether the context moves on too fast for the sums: the slices that are left have to follow each other at once.
    #[must_use]
    pub const fn hurries(&self) -> bool {
        self.attempts >= ATTEMPTS
    }

    const fn sums(&self) -> bool {
        matches!(self.phase, Phase::Transactions | Phase::Ids | Phase::Versions | Phase::State)
    }

    fn begin_sums(&mut self) {
        self.phase = Phase::Transactions;
        self.next.clear();
        self.sum = Sum::default();
    }

    /// A phase has come to its end.
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.next.clear();
    }

    /// The membership that the replica goes by is that of the governing transactions in the tables.
    fn membership(&mut self, replica: &Replica, tables: &dyn StateRead) -> Result<Option<Difference>> {
        let anew = Replica::open(replica.context, tables)?;
        self.enter(Phase::Order);
        let (kept, recomputed) = (replica.core.governance.collapse(), anew.core.governance.collapse());
        Ok(whole(compare(Part::Membership, None, Some(&kept), Some(&recomputed))))
    }
}

/// A difference of the context as a whole.
fn whole(compared: std::result::Result<(), Found>) -> Option<Difference> {
    compared.err().map(|found| at(None, found))
}

fn at(place: Option<Place>, found: Found) -> Difference {
    let Found { part, key, kept, recomputed } = found;
    Difference { part, place, key, kept, recomputed }
}
