//! How a batch becomes durable as one.
//!
//! One sled transaction is atomic, and a batch that fits between two barriers is one. A larger one is first written down
//! whole, in chunks that nothing refers to; then one small transaction notes the **intent** to carry it out; after the
//! barrier behind that, the batch is decided. It is carried out in transactions that fit, while no snapshot can look, and
//! the last of them removes the intent. A crash before the intent leaves nothing, a crash after it is made good at open.

use borsh::{BorshDeserialize, BorshSerialize};

use super::chunks::{self, ChunkRef, PIECE};
use super::engine::{ENGINE_TREE, Engine, Op, WINDOW};
use super::marker::Marker;
use crate::storage::record::{self, Kind, Nonces};
use crate::storage::sealing::StoredWrites;
use crate::storage::view_lock::ViewLock;
use crate::{Error, Result};

const INTENT: &[u8] = b"intent";

/// What only one commit at a time may touch.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) marker: Marker,
}

/// A batch, worked out.
struct Plan {
    ops: Vec<Op>,
    garbage: Vec<ChunkRef>,
    marker: Marker,
}

/// The part of an [`Op`] that is written down in an intent.
#[derive(BorshSerialize, BorshDeserialize)]
pub(super) struct IntentOp {
    pub(super) tree: u8,
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

impl Writer {
    /// Carries out the batch. On an error either nothing has happened, or the engine has failed and says so from then on.
    pub(super) fn commit(
        &mut self,
        engine: &Engine,
        view: &ViewLock,
        writes: &StoredWrites<'_>,
    ) -> Result<()> {
        let mut written = Vec::new();
        let plan = match self.plan(engine, writes, &mut written) {
            Ok(plan) => plan,
            Err(error) => {
                // Nothing refers to these. If they cannot be removed now, the first error is still the one to tell.
                let _ = written.iter().try_for_each(|reference| chunks::remove(engine, reference));
                return Err(error);
            }
        };
        let cost: u64 = plan.ops.iter().map(|op| op.cost).sum();
        let mut garbage = plan.garbage;
        if cost <= WINDOW || !engine.rules.one_transaction || !engine.rules.barriers {
            engine.make_room(cost)?;
            let alone = if engine.rules.snapshot_lock { Some(view.change()?) } else { None };
            engine.apply(&plan.ops)?;
            drop(alone);
        } else {
            garbage.push(self.commit_by_intent(engine, view, plan.ops)?);
        }
        self.marker = plan.marker;
        engine.set_applied(&self.marker);
        for reference in &garbage {
            chunks::remove(engine, reference)?;
        }
        Ok(())
    }

    fn plan(
        &mut self,
        engine: &Engine,
        writes: &StoredWrites<'_>,
        written: &mut Vec<ChunkRef>,
    ) -> Result<Plan> {
        let mut marker = self.marker.clone();
        let mut ops = Vec::with_capacity(writes.len() + 1);
        let mut garbage = Vec::new();
        let mut nonces = Nonces::default();
        let mut digest = blake3::Hasher::new_keyed(engine.sealer.mac());
        digest.update(&marker.digest);
        for ((keyspace, key), value) in writes {
            let tree = *keyspace as usize;
            let sum = &mut marker.sums[tree];
            let old = engine.get_raw(tree, key)?;
            let old_length = old.as_ref().map_or(0, |old| old.len());
            if let Some(old) = &old {
                // A damaged record may be replaced: that is how it is repaired.
                match record::decode(&engine.sealer, &super::engine::place(tree, key), old) {
                    Ok(record) => {
                        sum.remove(record.checksum);
                        if record.kind == Kind::Chunked {
                            garbage.push(ChunkRef::decode(&record.payload)?);
                        }
                    }
                    Err(_) => sum.unknown = true,
                }
            } else if value.is_none() {
                continue;
            }
            let record = match value {
                Some(value) if value.len() > PIECE && engine.rules.chunks => {
                    let reference = self.write_chunks(engine, value)?;
                    written.push(reference);
                    Some(engine.encode(&mut nonces, tree, key, Kind::Chunked, &reference.encode())?)
                }
                Some(value) => Some(engine.encode(&mut nonces, tree, key, Kind::Inline, value)?),
                None => None,
            };
            digest.update(&[tree as u8]).update(&(key.len() as u32).to_le_bytes()).update(key);
            if let Some(record) = &record {
                let checksum = record::checksum_of(&super::engine::place(tree, key), record)?;
                sum.add(checksum);
                digest.update(&checksum);
            }
            ops.push(Op::new(tree, key.to_vec(), record, old_length));
        }
        for reference in &garbage {
            ops.push(chunks::garbage_op(engine, reference)?);
        }
        marker.batch += 1;
        marker.digest = *digest.finalize().as_bytes();
        // Room for an intent's own id.
        marker.next_chunk = self.marker.next_chunk + 1;
        ops.push(engine.marker_op(&marker)?);
        Ok(Plan { ops, garbage, marker })
    }

    fn write_chunks(&mut self, engine: &Engine, value: &[u8]) -> Result<ChunkRef> {
        let id = self.marker.next_chunk;
        self.marker.next_chunk += 1;
        chunks::write(engine, id, value)
    }

    /// Returns where the intent was written down, which is garbage by then.
    fn commit_by_intent(&mut self, engine: &Engine, view: &ViewLock, ops: Vec<Op>) -> Result<ChunkRef> {
        let written = ops.iter().map(|op| IntentOp {
            tree: op.tree as u8,
            key: op.key.clone(),
            value: op.value.clone(),
        });
        let bytes = borsh::to_vec(&written.collect::<Vec<_>>());
        let bytes = bytes.map_err(|error| Error::internal(format!("encoding an intent: {error}")))?;
        let reference = self.write_chunks(engine, &bytes)?;
        drop(bytes);
        let intent = engine.engine_op(INTENT, Some(&reference.encode()))?;
        engine.make_room(intent.cost)?;
        engine.apply(&[intent])?;
        engine.barrier(engine.ticket())?;
        let _alone = view.change()?;
        carry_out(engine, &reference, ops)?;
        Ok(reference)
    }
}

/// Sets every value of the intent (again, if a crash came between) and removes it with the last of them.
fn carry_out(engine: &Engine, reference: &ChunkRef, mut ops: Vec<Op>) -> Result<()> {
    ops.push(chunks::garbage_op(engine, reference)?);
    ops.push(engine.engine_op(INTENT, None)?);
    engine.apply_in_groups(&ops)
}

/// Makes good a crash between an intent and its end.
pub(super) fn finish_intent(engine: &Engine) -> Result<()> {
    let Some(payload) = engine.engine_get(INTENT)? else { return Ok(()) };
    let reference = ChunkRef::decode(&payload)?;
    let bytes = chunks::read(engine, &reference)?;
    let ops: Vec<IntentOp> =
        borsh::from_slice(&bytes).map_err(|_| Error::corrupt("the intent of a batch is damaged"))?;
    if ops.iter().any(|op| usize::from(op.tree) > ENGINE_TREE) {
        return Err(Error::corrupt("the intent of a batch names an unknown key space"));
    }
    let ops = ops.into_iter().map(|op| Op::new(usize::from(op.tree), op.key, op.value, PIECE));
    carry_out(engine, &reference, ops.collect())
}
