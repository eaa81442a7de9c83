//! One place of the order: the transaction, where it stands, and what it did.

use std::collections::{BTreeMap, BTreeSet};

use super::before::Before;
use super::{Difference, Found, Part, Phase, SLICE, Verifier, at, compare};
use crate::application::{Application, Call, guarded};
use crate::replica::engine::{Replica, stored_tips};
use crate::replica::execution::{Executed, StateAt};
use crate::replica::faults::{self, Fault};
use crate::replica::history::references;
use crate::replica::payload::{Payload, Tip};
use crate::replica::receipt::{Place, Receipt};
use crate::replica::state_read::{StateRead, Table};
use crate::replica::tables::{self, Effects, Position, Read, damaged};
use crate::replica::transaction::{Kind, Transaction};
use crate::replica::view::{View, successor};
use crate::replica::{Role, StateKey, TransactionId};
use crate::{Error, Result};

type Compared = Result<std::result::Result<(), Found>>;

impl Verifier {
    /// The next few places of the order.
    pub(super) fn order(
        &mut self,
        replica: &Replica,
        tables: &dyn StateRead,
        application: Option<&dyn Application>,
    ) -> Result<Option<Difference>> {
        // A place may hold as much as a transaction can write; a few of them at a time.
        const PLACES: usize = SLICE / 4;
        let page = tables.scan(Table::Order, &self.next, None, false, PLACES)?;
        let Some((last, _)) = page.last() else {
            self.moved = false;
            self.begin_sums();
            return Ok(None);
        };
        self.next = successor(last);
        for (key, row) in page {
            let place = Place::from_key(&key).ok_or_else(|| damaged("a place"))?;
            self.report.transactions += 1;
            if let Err(found) = self.place(replica, tables, application, &place, &row)? {
                return Ok(Some(at(Some(place), found)));
            }
        }
        Ok(None)
    }

    fn place(
        &mut self,
        replica: &Replica,
        tables: &dyn StateRead,
        application: Option<&dyn Application>,
        place: &Place,
        row: &[u8],
    ) -> Compared {
        let Some(position) = tables::position(tables, &place.id)? else {
            return Ok(compare(Part::Position, None, None, Some(&place.key())));
        };
        let key = tables::transaction_key(&position.author, position.sequence, &place.id);
        let Some(bytes) = tables.get(Table::Transactions, &key)? else {
            return Ok(compare(Part::Transaction, None, None, Some(&place.id.0)));
        };
        let transaction = Transaction::from_row(&bytes)?;
        let payload = Payload::decode(transaction.header.kind, transaction.plaintext());
        if let Err(found) = signed(&transaction, place) {
            return Ok(Err(found));
        }
        let anew = stands(replica, tables, &transaction, payload.as_ref(), place)?;
        let (kept, recomputed) = (tables::encode(&position), tables::encode(&anew));
        if let Err(found) = compare(Part::Position, None, Some(&kept), Some(&recomputed)) {
            return Ok(Err(found));
        }
        let right = Place::tail(transaction.header.lamport, transaction.header.id());
        if let Err(found) = compare(Part::Order, None, Some(&place.key()), Some(&right.key())) {
            return Ok(Err(found));
        }
        if let Err(found) = compare(Part::Order, None, row.get(..1), Some(&[position.kind])) {
            return Ok(Err(found));
        }
        if replica.pending.contains_key(place) {
            return Ok(Ok(()));
        }
        let unopened = tables.get(Table::Meta, &tables::unopened_key(place))?.is_some();
        if unopened == transaction.is_opened() {
            return Ok(compare(Part::Transaction, None, Some(&[u8::from(unopened)]), None));
        }
        if unopened {
            return Ok(compare(Part::Receipt, None, row.get(1..).filter(|row| !row.is_empty()), None));
        }
        let effects = match row.get(1..) {
            None | Some([]) => None,
            Some(effects) => Some(tables::decode::<Effects>(effects, "a receipt")?),
        };
        let anew = match again(replica, tables, &transaction, payload, &position, place, application)? {
            Some(anew) => anew,
            // What a call did is not to be recomputed.
            None => return Ok(Ok(())),
        };
        self.report.executed += 1;
        did(tables, effects.as_ref(), &anew.0, &anew.1, place)
    }
}

/// The transaction is the one that its id names, and the signature that it has is its author's.
fn signed(transaction: &Transaction, place: &Place) -> std::result::Result<(), Found> {
    let id = transaction.header.id();
    compare(Part::Transaction, None, Some(&id.0), Some(&place.id.0))?;
    if transaction.check().is_err() {
        return Err(Found {
            part: Part::Transaction,
            key: None,
            kept: Some(*blake3::hash(&transaction.encode()).as_bytes()),
            recomputed: None,
        });
    }
    match &transaction.signature {
        Some(signature) if transaction.header.verify(&id, signature).is_err() => {
            compare(Part::Signature, None, Some(signature), None)
        }
        _ => Ok(()),
    }
}

/// Where a transaction stands, by what it names.
fn stands(
    replica: &Replica,
    tables: &dyn StateRead,
    transaction: &Transaction,
    payload: Option<&Payload>,
    place: &Place,
) -> Result<Position> {
    let header = &transaction.header;
    let mut named = Vec::new();
    if header.sequence > 1 {
        named.push(header.previous);
    }
    named.extend(header.parents.iter().map(|parent| parent.id));
    let edges = named.len();
    named.extend(references(header, payload));
    let mut frontiers = Vec::new();
    let mut lamport = 0;
    for (number, id) in named.iter().enumerate() {
        let position = tables::known_position(tables, id)?;
        if number < edges {
            lamport = lamport.max(position.lamport);
        }
        frontiers.push(position.frontier);
    }
    let mut frontier = replica.acts.join(frontiers.iter().map(Vec::as_slice));
    if Kind::from_number(header.kind).is_some_and(Kind::governs) {
        frontier = replica.acts.number(&place.id).into_iter().collect();
    }
    Ok(Position {
        author: header.author,
        sequence: header.sequence,
        previous: header.previous,
        lamport: lamport.saturating_add(1),
        kind: header.kind,
        frontier,
    })
}

type Did = (Effects, BTreeMap<StateKey, Option<Vec<u8>>>);

/// What a transaction does on the state just before its place; `None` where that is for an application to say that is not asked.
fn again(
    replica: &Replica,
    tables: &dyn StateRead,
    transaction: &Transaction,
    payload: Option<Payload>,
    position: &Position,
    place: &Place,
    application: Option<&dyn Application>,
) -> Result<Option<Did>> {
    let before = Before { tables, place: *place };
    let mut state = StateAt::new(&before, None);
    let silent = |receipt: Receipt, standing: Option<Role>| {
        let effects = Effects { standing, receipt, reads: Vec::new(), writes: Vec::new() };
        Ok(Some((effects, BTreeMap::new())))
    };
    let executed = match payload {
        Some(Payload::Genesis(genesis)) => {
            let Some(application) = application else { return Ok(None) };
            let answer = guarded(|| application.initialise(&genesis.arguments, &mut state));
            state.finish(answer.map(|()| Vec::new()), Some(Role::Admin))?
        }
        payload => {
            if let Some(number) = replica.acts.number(&place.id) {
                return silent(
                    match replica.governance.verdict(number) {
                        None => Receipt::accepted_silently(),
                        Some(rejection) => Receipt::rejected(rejection.clone()),
                    },
                    None,
                );
            }
            let standing = match &payload {
                None => Err(crate::replica::Rejection::NotInForce),
                Some(_) => replica.standing(tables, position, &place.id, place)?,
            };
            match (standing, payload) {
                (Err(rejection), _) => return silent(Receipt::rejected(rejection), None),
                (Ok(role), Some(Payload::Call(call))) => {
                    let Some(application) = application else { return Ok(None) };
                    let call = Call {
                        method: &call.method,
                        arguments: &call.arguments,
                        member: position.author,
                        role,
                        transaction: place.id,
                        timestamp: transaction.header.timestamp,
                    };
                    let answer = guarded(|| application.execute(&call, &mut state));
                    state.finish(answer, Some(role))?
                }
                (Ok(role), _) => return silent(Receipt::accepted_silently(), Some(role)),
            }
        }
    };
    match executed {
        Executed::Done(effects, writes) => Ok(Some((effects, writes))),
        Executed::Fault(cause) => {
            Err(Error::blocked(format!("transaction {} could not be executed: {cause}", place.id)))
        }
    }
}

/// What is kept of what a transaction did is what it did again.
fn did(
    tables: &dyn StateRead,
    kept: Option<&Effects>,
    anew: &Effects,
    writes: &BTreeMap<StateKey, Option<Vec<u8>>>,
    place: &Place,
) -> Compared {
    let Some(kept) = kept else {
        return Ok(compare(Part::Receipt, None, None, Some(&tables::encode(&anew.receipt))));
    };
    let row = |standing: &Option<Role>| tables::encode(standing);
    if let Err(found) = compare(Part::Standing, None, Some(&row(&kept.standing)), Some(&row(&anew.standing)))
    {
        return Ok(Err(found));
    }
    // The texts of rejections are for people, and no part of what a transaction did.
    if kept.receipt != anew.receipt {
        let (kept, anew) = (tables::encode(&kept.receipt), tables::encode(&anew.receipt));
        return Ok(compare(Part::Receipt, None, Some(&kept), Some(&anew)));
    }
    if let Err(found) = reads(tables, kept, anew, place)? {
        return Ok(Err(found));
    }
    let all: BTreeSet<&StateKey> = kept.writes.iter().chain(writes.keys()).collect();
    let listed: BTreeSet<&StateKey> = kept.writes.iter().collect();
    for key in all {
        let value =
            tables::version_at(tables, key, place)?.map(|value| tables::encode_value(value.as_deref()));
        let value = value.filter(|_| listed.contains(key));
        let anew = writes.get(key).map(|value| tables::encode_value(value.as_deref()));
        if let Err(found) = compare(Part::Value, Some(*key), value.as_deref(), anew.as_deref()) {
            return Ok(Err(found));
        }
    }
    Ok(Ok(()))
}

/// What was read is noted, and filed where a late write looks for it. How far a range goes is not compared: it may go on over keys that
/// were only written later.
fn reads(tables: &dyn StateRead, kept: &Effects, anew: &Effects, place: &Place) -> Compared {
    let firsts = |effects: &Effects| -> BTreeSet<(u8, StateKey)> {
        let first = |read: &Read| match read {
            Read::Key(key) => (0, *key),
            Read::Range(from, _) => (1, *from),
        };
        effects.reads.iter().map(first).collect()
    };
    let (kept_firsts, anew) = (tables::encode(&firsts(kept)), tables::encode(&firsts(anew)));
    if let Err(found) = compare(Part::Reads, None, Some(&kept_firsts), Some(&anew)) {
        return Ok(Err(found));
    }
    for read in &kept.reads {
        let row = read.row(place);
        if tables.get(Table::Readers, &row)?.is_none() {
            return Ok(compare(Part::Reads, None, None, Some(&row)));
        }
    }
    Ok(Ok(()))
}

impl Verifier {
    /// Every signed transaction has its place, and there are as many as are counted.
    pub(super) fn transactions(
        &mut self,
        replica: &Replica,
        tables: &dyn StateRead,
    ) -> Result<Option<Difference>> {
        let page = tables.scan(Table::Transactions, &self.next, None, false, SLICE / 4)?;
        let Some((last, _)) = page.last() else {
            self.enter(Phase::Ids);
            let (kept, found) = (replica.core.transactions, self.sum.transactions);
            let found = tables::encode(&found);
            let count = compare(Part::Count, None, Some(&tables::encode(&kept)), Some(&found));
            let tips = std::mem::take(&mut self.sum.tips);
            let stored = stored_tips(&View::new(tables))?;
            let ends = [&replica.tips, &stored].into_iter().try_for_each(|kept| {
                compare(Part::Position, None, Some(&tables::encode(kept)), Some(&tables::encode(&tips)))
            });
            let ends = if faults::is(Fault::LookAtNoIds) { Ok(()) } else { ends };
            return Ok(super::whole(count.and(ends)));
        };
        self.next = successor(last);
        for (key, bytes) in &page {
            let transaction = Transaction::from_row(bytes)?;
            let place = Place::tail(transaction.header.lamport, tables::id_of_transaction_key(key)?);
            self.sum.transactions += 1;
            let header = &transaction.header;
            let tips = self.sum.tips.entry(header.author).or_default();
            tips.remove(&Tip { sequence: header.sequence.saturating_sub(1), id: header.previous });
            tips.insert(Tip { sequence: header.sequence, id: place.id });
            if tables.get(Table::Order, &place.key())?.is_none() {
                return Ok(compare(Part::Order, None, None, Some(&place.key()))
                    .err()
                    .map(|f| at(Some(place), f)));
            }
        }
        Ok(None)
    }

    /// Whatever the history is said to hold has its place.
    pub(super) fn ids(&mut self, tables: &dyn StateRead) -> Result<Option<Difference>> {
        let page = tables.scan(Table::Ids, &self.next, None, false, SLICE / 4)?;
        let Some((last, _)) = page.last().filter(|_| !faults::is(Fault::LookAtNoIds)) else {
            self.enter(Phase::Versions);
            return Ok(None);
        };
        self.next = successor(last);
        for (key, row) in &page {
            let position: Position = tables::decode(row, "a position")?;
            let id = key.as_slice().try_into().map_err(|_| damaged("an id"))?;
            let place = Place::tail(position.lamport, TransactionId(id));
            if tables.get(Table::Order, &place.key())?.is_none() {
                return Ok(compare(Part::Position, None, Some(row), None).err().map(|f| at(Some(place), f)));
            }
        }
        Ok(None)
    }
}
