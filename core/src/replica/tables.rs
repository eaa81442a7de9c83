//! The replica's tables: keys that sort as they should, and the records under them.

use borsh::{BorshDeserialize, BorshSerialize};

use super::payload::Tip;
use super::receipt::{Place, Receipt};
use super::state_read::{StateRead, Table};
use super::transaction::Transaction;
use super::view::{View, prefix_end};
use super::{MemberId, Role, StateKey, TransactionId};
use crate::{Error, Result};

/// Where a transaction stands in the graph; kept apart from its payload, which may be large.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Position {
    pub(crate) author: MemberId,
    pub(crate) sequence: u64,
    pub(crate) previous: TransactionId,
    pub(crate) lamport: u64,
    pub(crate) kind: u8,
    /// The maximal governing transactions of its causal past, itself included, by local number.
    pub(crate) frontier: Vec<u32>,
}

/// What executing a transaction did, so that it can be undone and compared.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Effects {
    /// The standing that it was judged by.
    pub(crate) standing: Option<Role>,
    pub(crate) receipt: Receipt,
    pub(crate) reads: Vec<Read>,
    pub(crate) writes: Vec<StateKey>,
}

/// Something that a call's outcome depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub(crate) enum Read {
    /// One key.
    Key(StateKey),
    /// All keys from the first to the last, both included.
    Range(StateKey, StateKey),
}

impl Read {
    /// How many leading bytes the keys of a range share.
    pub(crate) fn shared(from: &StateKey, to: &StateKey) -> usize {
        from.0.iter().zip(to.0.iter()).take_while(|(a, b)| a == b).count()
    }

    /// The row in `Readers` for a reader at a place.
    pub(crate) fn row(&self, place: &Place) -> Vec<u8> {
        let mut row = match self {
            Self::Key(key) => reader_prefix(key),
            Self::Range(from, to) => range_prefix(&from.0[..Self::shared(from, to)]),
        };
        row.extend_from_slice(&place.key());
        if let Self::Range(from, to) = self {
            row.extend_from_slice(&from.0);
            row.extend_from_slice(&to.0);
        }
        row
    }
}

pub(crate) fn reader_prefix(key: &StateKey) -> Vec<u8> {
    let mut row = Vec::with_capacity(1 + 32 + Place::LENGTH);
    row.push(0);
    row.extend_from_slice(&key.0);
    row
}

/// Ranges are filed under the bytes that all their keys share, so that those that may hold a key are in at most 33 places.
pub(crate) fn range_prefix(shared: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(2 + 32 + Place::LENGTH + 64);
    row.push(1);
    // At most 32.
    row.push(shared.len() as u8);
    row.extend_from_slice(shared);
    row
}

pub(crate) fn add_reader(view: &mut View<'_>, read: &Read, place: &Place) {
    view.put(Table::Readers, read.row(place), Vec::new());
}

pub(crate) fn remove_reader(view: &mut View<'_>, read: &Read, place: &Place) {
    view.delete(Table::Readers, read.row(place));
}

pub(crate) fn transaction_key(author: &MemberId, sequence: u64, id: &TransactionId) -> Vec<u8> {
    let mut key = Vec::with_capacity(72);
    key.extend_from_slice(&author.0);
    key.extend_from_slice(&sequence.to_be_bytes());
    key.extend_from_slice(&id.0);
    key
}

/// The id at the end of a transaction's key.
pub(crate) fn id_of_transaction_key(key: &[u8]) -> Result<TransactionId> {
    key.get(40..)
        .and_then(|id| TransactionId::from_slice(id).ok())
        .ok_or_else(|| damaged("a transaction's key"))
}

/// Author, sequence and id out of a transaction's key.
pub(crate) fn of_transaction_key(key: &[u8]) -> Result<(MemberId, u64, TransactionId)> {
    let wrong = || damaged("a transaction's key");
    let author = key.get(..32).and_then(|id| MemberId::from_slice(id).ok()).ok_or_else(wrong)?;
    let sequence =
        key.get(32..40).and_then(|n| n.try_into().ok()).map(u64::from_be_bytes).ok_or_else(wrong)?;
    Ok((author, sequence, id_of_transaction_key(key)?))
}

pub(crate) fn cover_key((author, sequence, id): &(MemberId, u64, TransactionId)) -> Vec<u8> {
    [COVERS, &transaction_key(author, *sequence, id)].concat()
}

pub(crate) fn version_key(key: &StateKey, place: &Place) -> Vec<u8> {
    let mut row = Vec::with_capacity(32 + Place::LENGTH);
    row.extend_from_slice(&key.0);
    row.extend_from_slice(&place.key());
    row
}

pub(crate) fn tip_key(author: &MemberId, tip: &Tip) -> Vec<u8> {
    let mut key = b"tip/".to_vec();
    key.extend_from_slice(&transaction_key(author, tip.sequence, &tip.id));
    key
}

pub(crate) const CORE: &[u8] = b"core";
/// The running hash of the application's entries.
pub(crate) const STATE_HASH: &[u8] = b"hash/state";
pub(crate) const TIPS: &[u8] = b"tip/";
pub(crate) const ACTS: &[u8] = b"act/";
pub(crate) const COVERS: &[u8] = b"cover/";
pub(crate) const PENDING: &[u8] = b"pending/";
/// What a context that is sealed needs in addition to its core.
pub(crate) const SEALED: &[u8] = b"sealed";
pub(crate) const UNOPENED: &[u8] = b"unopened/";

pub(crate) fn act_key(number: u32) -> Vec<u8> {
    [ACTS, &number.to_be_bytes()].concat()
}

pub(crate) fn pending_key(place: &Place) -> Vec<u8> {
    [PENDING, &place.key()].concat()
}

pub(crate) fn unopened_key(place: &Place) -> Vec<u8> {
    [UNOPENED, &place.key()].concat()
}

pub(crate) fn damaged(what: &str) -> Error {
    Error::corrupt(format!("{what} does not decode"))
}

pub(crate) fn decode<T: BorshDeserialize>(bytes: &[u8], what: &str) -> Result<T> {
    borsh::from_slice(bytes).map_err(|_| damaged(what))
}

pub(crate) fn encode(value: &impl BorshSerialize) -> Vec<u8> {
    // Writing into a vector cannot fail.
    borsh::to_vec(value).unwrap_or_default()
}

pub(crate) fn position(tables: &dyn StateRead, id: &TransactionId) -> Result<Option<Position>> {
    tables.get(Table::Ids, &id.0)?.map(|bytes| decode(&bytes, "a transaction's position")).transpose()
}

pub(crate) fn known_position(tables: &dyn StateRead, id: &TransactionId) -> Result<Position> {
    position(tables, id)?.ok_or_else(|| Error::corrupt(format!("transaction {id} has no position")))
}

pub(crate) fn transaction(tables: &dyn StateRead, id: &TransactionId) -> Result<Option<Transaction>> {
    let Some(position) = position(tables, id)? else { return Ok(None) };
    let key = transaction_key(&position.author, position.sequence, id);
    let bytes = tables.get(Table::Transactions, &key)?.ok_or_else(|| damaged("a transaction"))?;
    Transaction::from_row(&bytes).map(Some)
}

/// The row of a place in the order: what kind of transaction is there, and what it did once it was executed. One row for both, since
/// rows in order are much cheaper to the store than rows under ids, which lie scattered.
pub(crate) fn put_order(view: &mut View<'_>, place: &Place, kind: u8, effects: Option<&Effects>) {
    let mut row = vec![kind];
    row.extend(effects.map(encode).unwrap_or_default());
    view.put(Table::Order, place.key(), row);
}

pub(crate) fn effects(tables: &dyn StateRead, place: &Place) -> Result<Option<Effects>> {
    let Some(row) = tables.get(Table::Order, &place.key())? else { return Ok(None) };
    match row.split_first() {
        Some((_, [])) => Ok(None),
        Some((_, effects)) => decode(effects, "a receipt").map(Some),
        None => Err(damaged("a place in the order")),
    }
}

/// A version of a key: where it was written, and the value (`None`: deleted). The latest one is in `State`, those before it in
/// `Versions`.
pub(crate) struct Version {
    pub(crate) place: Place,
    pub(crate) value: Option<Vec<u8>>,
}

impl Version {
    pub(crate) fn encode(place: &Place, value: Option<&[u8]>) -> Vec<u8> {
        let mut row = Vec::with_capacity(Place::LENGTH + 1 + value.map_or(0, <[u8]>::len));
        row.extend_from_slice(&place.key());
        row.extend_from_slice(&encode_value(value));
        row
    }

    pub(crate) fn decode(row: &[u8]) -> Result<Self> {
        let wrong = || damaged("a current value");
        let (place, value) = row.split_at_checked(Place::LENGTH).ok_or_else(wrong)?;
        Ok(Self { place: Place::from_key(place).ok_or_else(wrong)?, value: decode_value(value)? })
    }
}

pub(crate) fn encode_value(value: Option<&[u8]>) -> Vec<u8> {
    let mut row = vec![u8::from(value.is_some())];
    row.extend_from_slice(value.unwrap_or_default());
    row
}

pub(crate) fn decode_value(row: &[u8]) -> Result<Option<Vec<u8>>> {
    match row.split_first() {
        Some((0, [])) => Ok(None),
        Some((1, value)) => Ok(Some(value.to_vec())),
        _ => Err(damaged("a version")),
    }
}

/// What was written under a key at a place.
pub(crate) fn version_at(
    tables: &dyn StateRead,
    key: &StateKey,
    place: &Place,
) -> Result<Option<Option<Vec<u8>>>> {
    let current = tables.get(Table::State, &key.0)?.map(|row| Version::decode(&row)).transpose()?;
    if let Some(current) = current.filter(|current| current.place == *place) {
        return Ok(Some(current.value));
    }
    tables.get(Table::Versions, &version_key(key, place))?.map(|row| decode_value(&row)).transpose()
}

/// The last one of those that are not the latest, before a place if one is given.
pub(crate) fn last_version_before(
    tables: &dyn StateRead,
    key: &StateKey,
    place: Option<&Place>,
) -> Result<Option<Version>> {
    let end = place.map_or_else(|| prefix_end(&key.0), |place| Some(version_key(key, place)));
    let found = tables.scan(Table::Versions, &key.0, end.as_deref(), true, 1)?;
    let Some((row, value)) = found.into_iter().next() else { return Ok(None) };
    let place = row.get(32..).and_then(Place::from_key).ok_or_else(|| damaged("a version's key"))?;
    Ok(Some(Version { place, value: decode_value(&value)? }))
}
