//! The signed causal graph: what may enter it, and where its ends are.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};

use super::acts::{Act, Acts, What};
use super::commitment::SetHash;
use super::covers::Covers;
use super::payload::{Payload, Tip};
use super::receipt::Place;
use super::state_read::{StateRead, Table};
use super::tables::{self, Position};
use super::transaction::{Header, Kind, Malformed, Transaction};
use super::view::View;
use super::{ContextId, MemberId, TransactionId, faults};
use crate::Result;

/// What can be said of a transaction, given its causal past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is part of the history now.
    Valid,
    /// It has been part of the history before.
    Known,
    /// It never can be.
    Invalid(Invalid),
    /// These are missing, and nothing can be said before they are here.
    NotYet(Vec<TransactionId>),
}

/// Why a transaction can never be part of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Invalid {
    #[error("malformed: {0}")]
    Malformed(#[from] super::transaction::Malformed),
    #[error("of another context")]
    Context,
    #[error("a genesis that does not begin this context, or says what is not in force")]
    Genesis,
    #[error("the previous transaction is not the author's last one")]
    Previous,
    #[error("a parent is not what it is said to be")]
    Parent,
    #[error("the lamport number does not follow from the parents")]
    Lamport,
    #[error("the author's first transaction does not follow its own admission")]
    NotAdmitted,
    #[error("an admission without proof")]
    Proof,
    #[error("sealed in a context that is not, or the other way round, or keys of another suite")]
    Suite,
    #[error("an admission with keys that are none, are past their time, or were handed in before")]
    Keys,
    #[error("it refers to what cannot be meant")]
    Reference,
}

/// The greatest suite that there is.
const SUITES: u8 = 2;

/// A transaction that no other one follows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub(crate) struct Head {
    pub(crate) author: MemberId,
    pub(crate) sequence: u64,
    pub(crate) id: TransactionId,
    pub(crate) lamport: u64,
    pub(crate) frontier: Vec<u32>,
    pub(crate) governs: bool,
}

/// What is always in memory: small, and the same whatever the length of the history.
#[derive(Clone, Debug, Default, BorshSerialize, BorshDeserialize)]
pub(crate) struct Core {
    pub(crate) transactions: u64,
    pub(crate) heads: Vec<Head>,
    pub(crate) last: Option<Place>,
    pub(crate) application: String,
    pub(crate) name: String,
    pub(crate) access_key: [u8; 32],
    pub(crate) creator: Option<MemberId>,
    /// Has a row of its own, written only when it changes: with it, this one would be a large value to the store.
    #[borsh(skip)]
    pub(crate) state: SetHash,
    /// Follows from the governing transactions.
    #[borsh(skip)]
    pub(crate) governance: SetHash,
    /// How many range reads are filed under so many shared bytes.
    pub(crate) ranges: Vec<u64>,
}

/// The tips of each author's chain: one, or several after an equivocation.
pub(crate) type Tips = BTreeMap<MemberId, BTreeSet<Tip>>;

/// Whether an author's chains go so far. Each of its transactions is in the chain of some tip, so without that there is none there.
pub(crate) fn reaches(tips: &Tips, author: &MemberId, sequence: u64) -> bool {
    // Tips sort by sequence first.
    tips.get(author).and_then(BTreeSet::last).is_some_and(|tip| tip.sequence >= sequence)
}

/// A valid transaction on its way in.
pub(crate) struct Admission {
    pub(crate) id: TransactionId,
    pub(crate) place: Place,
    pub(crate) position: Position,
    pub(crate) payload: Option<Payload>,
}

pub(crate) struct History<'a> {
    pub(crate) context: ContextId,
    pub(crate) core: &'a mut Core,
    pub(crate) tips: &'a mut Tips,
    pub(crate) covers: &'a mut Covers,
    pub(crate) acts: &'a mut Acts,
}

impl History<'_> {
    /// The verdict on a transaction whose signature has been checked, and what is needed to let it in.
    pub(crate) fn verdict(
        &self,
        view: &View<'_>,
        transaction: &Transaction,
    ) -> Result<(TransactionId, std::result::Result<Admission, Verdict>)> {
        let id = transaction.header.id();
        if let Err(malformed) = transaction.header.check().and_then(|()| transaction.check_payload()) {
            return Ok((id, Err(Verdict::Invalid(malformed.into()))));
        }
        let Header { author, sequence, .. } = &transaction.header;
        if reaches(self.tips, author, *sequence) && tables::position(view, &id)?.is_some() {
            return Ok((id, Err(Verdict::Known)));
        }
        if transaction.distance().is_none() {
            return Ok((id, Err(Verdict::Invalid(Malformed::Signature.into()))));
        }
        Ok((id, self.admission(view, transaction, id)?))
    }

    fn admission(
        &self,
        view: &View<'_>,
        transaction: &Transaction,
        id: TransactionId,
    ) -> Result<std::result::Result<Admission, Verdict>> {
        let header = &transaction.header;
        let payload = Payload::decode(header.kind, transaction.plaintext());
        if header.belongs_to() != self.context {
            return Ok(Err(Verdict::Invalid(Invalid::Context)));
        }
        // Said before anything is waited for: nothing that may come could change it.
        let call = header.kind == Kind::Call as u8 && self.acts.next() > 0;
        if call && header.is_sealed() != (self.acts.suite() != 0) {
            return Ok(Err(Verdict::Invalid(Invalid::Suite)));
        }
        let mut named = Named::default();
        if !header.is_genesis() && header.sequence > 1 {
            named.look_up(view, header.previous)?;
        }
        for parent in &header.parents {
            named.look_up(view, parent.id)?;
        }
        let edges = named.found.len();
        for reference in references(header, payload.as_ref()) {
            // Each call that is sealed names its epoch, and these are in memory.
            match Known::epoch(self.acts, &reference) {
                Some(epoch) => named.found.push(epoch),
                None => named.look_up(view, reference)?,
            }
        }
        if !named.missing.is_empty() {
            return Ok(Err(Verdict::NotYet(named.missing)));
        }
        if let Err(invalid) = self.follows(transaction, payload.as_ref(), &named.found, edges) {
            return Ok(Err(Verdict::Invalid(invalid)));
        }
        let mut frontier = self.acts.join(named.found.iter().map(|position| position.frontier.as_slice()));
        if Kind::from_number(header.kind).is_some_and(Kind::governs) {
            frontier = vec![self.acts.next()];
        }
        let position = Position {
            author: header.author,
            sequence: header.sequence,
            previous: header.previous,
            lamport: header.lamport,
            kind: header.kind,
            frontier,
        };
        let place = if faults::is(faults::Fault::TieBreakByArrival) {
            Place::tail(header.lamport << 24 | self.core.transactions, id)
        } else {
            Place::tail(header.lamport, id)
        };
        Ok(Ok(Admission { id, place, position, payload }))
    }

    /// The rules 3 to 8 of `docs/replica.md`, when everything that is named is known.
    fn follows(
        &self,
        transaction: &Transaction,
        payload: Option<&Payload>,
        found: &[Known],
        edges: usize,
    ) -> std::result::Result<(), Invalid> {
        let header = &transaction.header;
        if header.is_genesis() {
            let known = |genesis: &super::payload::Genesis| {
                genesis.format == 1 && genesis.suite <= SUITES && genesis.key_package.suite == genesis.suite
            };
            let in_force = matches!(payload, Some(Payload::Genesis(genesis)) if known(genesis));
            return if in_force { Ok(()) } else { Err(Invalid::Genesis) };
        }
        let (edges, references) = found.split_at_checked(edges).ok_or(Invalid::Reference)?;
        let first = header.sequence == 1;
        let parents = if first { edges } else { edges.get(1..).unwrap_or_default() };
        if !first {
            let previous = edges.first().ok_or(Invalid::Previous)?;
            if previous.author != header.author || previous.sequence.checked_add(1) != Some(header.sequence) {
                return Err(Invalid::Previous);
            }
        }
        let as_named = |(parent, position): (&super::Parent, &Known)| {
            position.author == parent.author && position.sequence == parent.sequence
        };
        let named =
            header.parents.iter().zip(parents).all(as_named) || faults::is(faults::Fault::ForgetParent);
        if parents.len() != header.parents.len() || !named {
            return Err(Invalid::Parent);
        }
        let greatest = edges.iter().map(|position| position.lamport).max();
        let follows = greatest.and_then(|lamport| lamport.checked_add(1)) == Some(header.lamport);
        let above = references.iter().all(|position| position.lamport < header.lamport);
        if !(follows && above || faults::is(faults::Fault::ForgetLamport)) {
            return Err(Invalid::Lamport);
        }
        if first && !self.admitted(header.author, &header.parents) {
            return Err(Invalid::NotAdmitted);
        }
        if let Some(Payload::Add(add)) = payload {
            let past = self.acts.join(found.iter().map(|position| position.frontier.as_slice()));
            self.acts.admits(&add.key_package, header.timestamp, &self.acts.past(&past))?;
        }
        if header.is_sealed() {
            let epoch = references.first().is_some_and(|position| position.kind == Kind::Epoch as u8);
            return if epoch { Ok(()) } else { Err(Invalid::Reference) };
        }
        self.refers(header.kind, payload, references)
    }

    /// Whether the only parent is the author's own admission.
    fn admitted(&self, author: MemberId, parents: &[super::Parent]) -> bool {
        let [parent] = parents else { return false };
        let what = self.acts.by_id(&parent.id).map(|act| &act.what);
        matches!(what, Some(What::Add { member, .. }) if *member == author)
    }

    fn refers(
        &self,
        kind: u8,
        payload: Option<&Payload>,
        references: &[Known],
    ) -> std::result::Result<(), Invalid> {
        let require = |holds, invalid| if holds { Ok(()) } else { Err(invalid) };
        let invite = |id: &TransactionId| match self.acts.by_id(id).map(|act| &act.what) {
            Some(What::Invite(invite)) => Some(invite),
            _ => None,
        };
        let of = |member: &MemberId, last: &[Tip], references: &[Known]| {
            let same = |(tip, position): (&Tip, &Known)| {
                position.author == *member && position.sequence == tip.sequence
            };
            last.len() == references.len() && last.iter().zip(references).all(same)
        };
        let is = |wanted: Kind| references.first().is_some_and(|position| position.kind == wanted as u8);
        match payload {
            Some(Payload::Add(add)) => {
                let redeems = match &add.redeemed {
                    None => true,
                    Some(redeemed) => {
                        invite(&redeemed.invite).is_some_and(|invite| add.redeems(&self.context, invite))
                    }
                };
                require(redeems && add.consents(&self.context), Invalid::Proof)
            }
            Some(Payload::RevokeInvite(_)) => require(is(Kind::Invite), Invalid::Reference),
            Some(Payload::Remove(remove)) => {
                require(of(&remove.member, &remove.last, references), Invalid::Reference)
            }
            Some(Payload::SetRole(set)) => require(
                of(&set.member, set.last.as_deref().unwrap_or_default(), references),
                Invalid::Reference,
            ),
            Some(Payload::Fork(fork)) => {
                require(fork.proves(&self.context), Invalid::Proof)?;
                // The first two are those at which the histories part; the proof says whose they are.
                let last = references.get(2..).unwrap_or_default();
                require(of(&fork.member, &fork.last, last), Invalid::Reference)
            }
            Some(Payload::Skip(_)) => require(is(Kind::Call), Invalid::Reference),
            None if kind == Kind::Add as u8 => Err(Invalid::Proof),
            _ => Ok(()),
        }
    }

    /// Lets a valid transaction in. Gives the ids of those that its author signed with the same sequence.
    pub(crate) fn insert(
        &mut self,
        view: &mut View<'_>,
        transaction: &Transaction,
        admission: &Admission,
    ) -> Result<Vec<TransactionId>> {
        let Admission { id, place, position, payload } = admission;
        let header = &transaction.header;
        let rivals = self.with_sequence(view, &header.author, header.sequence)?;

        let key = tables::transaction_key(&header.author, header.sequence, id);
        let found = match transaction.signature {
            None => self.covers.signature(view, id, header)?,
            Some(_) => None,
        };
        let signed = found.map(|signature| Transaction {
            signature: Some(signature),
            cover: None,
            ..transaction.clone()
        });
        let kept = signed.as_ref().unwrap_or(transaction);
        self.covers.admitted(view, *id, kept)?;
        view.put(Table::Transactions, key, kept.to_row());
        view.put(Table::Ids, id.0, tables::encode(position));
        tables::put_order(view, place, header.kind, None);

        let tips = self.tips.entry(header.author).or_default();
        let tip = Tip { sequence: header.sequence, id: *id };
        let before = Tip { sequence: header.sequence.wrapping_sub(1), id: header.previous };
        if tips.remove(&before) {
            view.delete(Table::Meta, tables::tip_key(&header.author, &before));
        }
        tips.insert(tip);
        view.put(Table::Meta, tables::tip_key(&header.author, &tip), Vec::new());

        let governs = Kind::from_number(header.kind).is_some_and(Kind::governs);
        let covered =
            |head: &Head| head.id == header.previous || header.parents.iter().any(|p| p.id == head.id);
        self.core.heads.retain(|head| !covered(head));
        self.core.heads.push(Head {
            author: header.author,
            sequence: header.sequence,
            id: *id,
            lamport: header.lamport,
            frontier: position.frontier.clone(),
            governs,
        });
        self.core.transactions += 1;
        self.core.last = self.core.last.max(Some(*place));
        if let Some(Payload::Genesis(genesis)) = payload {
            self.core.application.clone_from(&genesis.application);
            self.core.name.clone_from(&genesis.name);
            self.core.access_key = genesis.access_key;
            self.core.creator = Some(header.author);
        }
        if governs {
            view.put(Table::Meta, tables::act_key(self.acts.next()), id.0.to_vec());
            self.remember_act(view, transaction, admission)?;
        }
        Ok(rivals)
    }

    /// The ids of an author's transactions with this sequence.
    fn with_sequence(&self, view: &View<'_>, author: &MemberId, sequence: u64) -> Result<Vec<TransactionId>> {
        // The usual case needs no look at the tables.
        if !reaches(self.tips, author, sequence) {
            return Ok(Vec::new());
        }
        let prefix = [&author.0[..], &sequence.to_be_bytes()].concat();
        let end = super::view::prefix_end(&prefix);
        let found = view.scan(Table::Transactions, &prefix, end.as_deref(), false, usize::from(u8::MAX))?;
        found.iter().map(|(key, _)| tables::id_of_transaction_key(key)).collect()
    }

    fn remember_act(
        &mut self,
        view: &View<'_>,
        transaction: &Transaction,
        admission: &Admission,
    ) -> Result<()> {
        let mut named = Named::default();
        if transaction.header.sequence > 1 {
            named.look_up(view, transaction.header.previous)?;
        }
        for parent in &transaction.header.parents {
            named.look_up(view, parent.id)?;
        }
        for reference in references(&transaction.header, admission.payload.as_ref()) {
            named.look_up(view, reference)?;
        }
        let mut past = super::acts::Numbers::default();
        for position in &named.found {
            past.extend(&self.acts.past(&position.frontier));
        }
        past.insert(self.acts.next());
        self.acts.push(Act {
            id: admission.id,
            place: admission.place,
            author: admission.position.author,
            sequence: admission.position.sequence,
            what: What::from(admission.payload.clone()),
            past,
        });
        Ok(())
    }
}

/// Loads all governing transactions, in the order in which they arrived.
pub(crate) fn load_acts(view: &View<'_>, context: ContextId) -> Result<Acts> {
    let mut acts = Acts::default();
    let mut from = tables::ACTS.to_vec();
    let end = super::view::prefix_end(tables::ACTS);
    loop {
        let page = view.scan(Table::Meta, &from, end.as_deref(), false, 256)?;
        let Some((last, _)) = page.last() else { return Ok(acts) };
        from = super::view::successor(last);
        for (_, id) in &page {
            let id =
                TransactionId::from_slice(id).map_err(|_| tables::damaged("a governing transaction's id"))?;
            let transaction =
                tables::transaction(view, &id)?.ok_or_else(|| tables::damaged("a governing transaction"))?;
            let position = tables::known_position(view, &id)?;
            let payload = Payload::decode(transaction.header.kind, transaction.plaintext());
            let place = Place::tail(position.lamport, id);
            let admission = Admission { id, place, position, payload };
            let (mut core, mut tips, mut covers) = (Core::default(), Tips::new(), Covers::default());
            let mut history =
                History { context, core: &mut core, tips: &mut tips, covers: &mut covers, acts: &mut acts };
            history.remember_act(view, &transaction, &admission)?;
        }
    }
}

/// What header and payload refer to, beside the header's edges.
pub(crate) fn references(header: &Header, payload: Option<&Payload>) -> Vec<TransactionId> {
    if header.is_sealed() {
        // Of what is sealed nothing is to hang on what it says.
        return vec![TransactionId(header.epoch)];
    }
    let tips = |last: &[Tip]| last.iter().map(|tip| tip.id).collect();
    match payload {
        Some(Payload::Add(add)) => add.redeemed.iter().map(|redeemed| redeemed.invite).collect(),
        Some(Payload::RevokeInvite(revoke)) => vec![revoke.invite],
        Some(Payload::Remove(remove)) => tips(&remove.last),
        Some(Payload::SetRole(set)) => tips(set.last.as_deref().unwrap_or_default()),
        Some(Payload::Fork(fork)) => {
            let parted = [&fork.one, &fork.other].into_iter().filter_map(|run| run.headers.first());
            parted.map(Header::id).chain(fork.last.iter().map(|tip| tip.id)).collect()
        }
        Some(Payload::Skip(skip)) => vec![skip.transaction],
        _ => Vec::new(),
    }
}

/// What judging needs of a transaction that another one names.
struct Known {
    author: MemberId,
    sequence: u64,
    lamport: u64,
    kind: u8,
    frontier: Vec<u32>,
}

impl Known {
    /// The same as of its row, for an epoch.
    fn epoch(acts: &Acts, id: &TransactionId) -> Option<Self> {
        let number = acts.number(id)?;
        let act = acts.get(number).filter(|act| matches!(act.what, What::Epoch))?;
        Some(Self {
            author: act.author,
            sequence: act.sequence,
            lamport: act.place.lamport,
            kind: Kind::Epoch as u8,
            frontier: vec![number],
        })
    }
}

impl From<Position> for Known {
    fn from(position: Position) -> Self {
        let Position { author, sequence, lamport, kind, frontier, .. } = position;
        Self { author, sequence, lamport, kind, frontier }
    }
}

#[derive(Default)]
struct Named {
    found: Vec<Known>,
    missing: Vec<TransactionId>,
}

impl Named {
    fn look_up(&mut self, tables: &dyn StateRead, id: TransactionId) -> Result<()> {
        match tables::position(tables, &id)? {
            Some(position) => self.found.push(position.into()),
            None => self.missing.push(id),
        }
        Ok(())
    }
}
