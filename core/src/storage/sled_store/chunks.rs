//! Large values, in pieces that sled keeps in its log: larger ones would go to files that it never syncs.
//!
//! A value's pieces lie under a fresh id that is never used again: `id (u64 BE) | index (u32 BE)`. They are written
//! first, in as many transactions as the barriers ask for. Nothing refers to them until the batch does, in its one small
//! transaction; so after a crash before that, they are found by their id (not below the marker's `next_chunk`) and
//! removed. What a batch replaces is noted in that same transaction as garbage, and removed afterwards.

use super::Keyspace;
use super::engine::{Engine, Op};
use crate::storage::MAX_BATCH;
use crate::storage::record::{Kind, Nonces};
use crate::{Error, Result};

/// Largest value, and largest piece, that goes into one record.
pub(super) const PIECE: usize = 4_000;
pub(super) const CHUNKS: usize = Keyspace::Chunks as usize;

/// Where the pieces of a value are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkRef {
    pub(super) id: u64,
    pub(super) length: u32,
    pub(super) hash: [u8; 16],
}

impl ChunkRef {
    pub(super) fn encode(&self) -> [u8; 28] {
        let mut bytes = [0; 28];
        bytes[..8].copy_from_slice(&self.id.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..].copy_from_slice(&self.hash);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let damaged = || Error::corrupt("a reference to chunks has the wrong shape");
        let (id, rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
        let (length, hash) = rest.split_first_chunk().ok_or_else(damaged)?;
        let reference = Self {
            id: u64::from_be_bytes(*id),
            length: u32::from_le_bytes(*length),
            hash: hash.try_into().map_err(|_| damaged())?,
        };
        // The largest there is, is the intent of a large batch: its keys and values, and a frame for each.
        if u64::from(reference.length) > 4 * MAX_BATCH as u64 { Err(damaged()) } else { Ok(reference) }
    }

    fn pieces(&self) -> u32 {
        self.length.div_ceil(PIECE as u32)
    }

    fn key(&self, index: u32) -> Vec<u8> {
        let mut key = self.id.to_be_bytes().to_vec();
        key.extend_from_slice(&index.to_be_bytes());
        key
    }
}

fn hash(engine: &Engine, value: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_keyed(engine.sealer.mac());
    hasher.update(b"chunked value").update(value);
    let mut hash = [0; 16];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    hash
}

/// Writes the pieces under this id.
pub(super) fn write(engine: &Engine, id: u64, value: &[u8]) -> Result<ChunkRef> {
    let length =
        u32::try_from(value.len()).map_err(|_| Error::limit_exceeded("a value has 4 GiB or more"))?;
    let reference = ChunkRef { id, length, hash: hash(engine, value) };
    let mut nonces = Nonces::default();
    let pieces = (0..).zip(value.chunks(PIECE)).map(|(index, piece)| {
        let key = reference.key(index);
        let record = engine.encode(&mut nonces, CHUNKS, &key, Kind::Inline, piece)?;
        Ok(Op::new(CHUNKS, key, Some(record), 0))
    });
    engine.apply_in_groups(&pieces.collect::<Result<Vec<_>>>()?)?;
    Ok(reference)
}

/// Reads the value back and verifies every piece and the whole.
pub(super) fn read(engine: &Engine, reference: &ChunkRef) -> Result<Vec<u8>> {
    let mut value = Vec::new();
    for index in 0..reference.pieces() {
        let key = reference.key(index);
        let Some(bytes) = engine.get_raw(CHUNKS, &key)? else {
            return Err(super::engine::place(CHUNKS, &key).corrupt("it is missing"));
        };
        value.extend_from_slice(&engine.decode(CHUNKS, &key, &bytes)?.payload);
    }
    let whole = value.len() as u64 == u64::from(reference.length)
        && (!engine.rules.verify_records || hash(engine, &value) == reference.hash);
    if whole {
        Ok(value)
    } else {
        Err(super::engine::place(CHUNKS, &reference.key(0)).corrupt("its pieces do not make up the value"))
    }
}

fn garbage_key(id: u64) -> Vec<u8> {
    let mut key = b"garbage".to_vec();
    key.extend_from_slice(&id.to_be_bytes());
    key
}

/// The change that notes the pieces as garbage.
pub(super) fn garbage_op(engine: &Engine, reference: &ChunkRef) -> Result<Op> {
    engine.engine_op(&garbage_key(reference.id), Some(&reference.encode()))
}

/// Removes pieces that are noted as garbage, then the note.
pub(super) fn remove(engine: &Engine, reference: &ChunkRef) -> Result<()> {
    let pieces = (0..reference.pieces()).map(|index| Op::new(CHUNKS, reference.key(index), None, PIECE));
    let mut ops: Vec<Op> = pieces.collect();
    ops.push(engine.engine_op(&garbage_key(reference.id), None)?);
    engine.apply_in_groups(&ops)
}

/// Removes what a crash has left: all that is noted as garbage, and pieces that no batch has ever referred to.
pub(super) fn clean_up(engine: &Engine, next_chunk: u64) -> Result<()> {
    let noted = engine.read("listing garbage", || {
        engine.tree(super::engine::ENGINE_TREE).scan_prefix(b"garbage").collect::<sled::Result<Vec<_>>>()
    })?;
    for (key, record) in noted {
        let record = engine.decode(super::engine::ENGINE_TREE, &key, &record)?;
        remove(engine, &ChunkRef::decode(&record.payload)?)?;
    }
    loop {
        let from = next_chunk.to_be_bytes();
        let orphans = engine.read("listing unused chunks", || {
            let range = engine.tree(CHUNKS).range(from.as_slice()..).keys();
            range.take(256).collect::<sled::Result<Vec<_>>>()
        })?;
        if orphans.is_empty() {
            return Ok(());
        }
        let ops = orphans.iter().map(|key| Op::new(CHUNKS, key.to_vec(), None, PIECE));
        engine.apply_in_groups(&ops.collect::<Vec<_>>())?;
    }
}
