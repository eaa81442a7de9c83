//! What of a commit can be done before its turn.

use super::record::{self, Kind, Nonces, Place};
use super::sealing::Sealer;
use super::{Batch, Keyspace, LastWrites};
use crate::Result;

/// A batch, sealed already where the engine can do that beforehand: the store that made it carries it out with
/// [`super::Store::commit_ready`].
#[derive(Debug)]
pub struct Ready(pub(crate) Inner);

#[derive(Debug)]
pub(crate) enum Inner {
    /// Nothing is done yet.
    Batch(Batch),
    Sealed(SealedBatch),
}

/// The records of a batch, as they are stored.
#[derive(Debug)]
pub(crate) struct SealedBatch {
    /// In the order of the key spaces; none is empty.
    pub(crate) parts: Vec<SealedPart>,
    /// Of keys and values, and some more for each.
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(crate) struct SealedPart {
    pub(crate) keyspace: Keyspace,
    /// In the order of the keys as they are stored.
    pub(crate) rows: Vec<Row>,
}

/// One change.
#[derive(Debug)]
pub(crate) struct Row {
    /// As it is stored.
    pub(crate) key: Vec<u8>,
    /// The checksum and the record; `None` removes.
    pub(crate) record: Option<([u8; 8], Vec<u8>)>,
}

/// About what a row takes besides its key and its value.
const ROW: usize = 64;

impl SealedBatch {
    pub(crate) fn new(sealer: &Sealer, writes: LastWrites<'_>) -> Result<Self> {
        let mut sealed = Self { parts: Vec::new(), bytes: 0 };
        let mut nonces = Nonces::default();
        for ((keyspace, key), value) in sealer.stored_writes(writes) {
            sealed.bytes += key.len() + value.map_or(0, <[u8]>::len) + ROW;
            let place = Place { number: keyspace as u8, name: keyspace.name(), key: &key };
            let mut record = None;
            if let Some(value) = value {
                let bytes = record::encode(sealer, &mut nonces, Kind::Inline, &place, value)?;
                record = Some((record::checksum_of(&place, &bytes)?, bytes));
            }
            let row = Row { key: key.into_owned(), record };
            match sealed.parts.last_mut().filter(|part| part.keyspace == keyspace) {
                Some(part) => part.rows.push(row),
                None => sealed.parts.push(SealedPart { keyspace, rows: vec![row] }),
            }
        }
        Ok(sealed)
    }
}
