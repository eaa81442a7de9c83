//! The checks of what this engine keeps for itself.

use super::chunks::ChunkRef;
use super::commit::IntentOp;
use crate::fuzzing::{Input, encoded};
use crate::storage::MAX_BATCH;

pub(crate) fn reference(input: &Input<'_>) {
    let found =
        input.canonical(|bytes| ChunkRef::decode(bytes).ok(), |reference| reference.encode().to_vec());
    assert!(found.is_none_or(|found| u64::from(found.length) <= 4 * MAX_BATCH as u64));
}

pub(crate) fn intent(input: &Input<'_>) {
    input.borsh::<Vec<IntentOp>>();
}

pub(crate) fn references() -> Vec<Vec<u8>> {
    vec![ChunkRef { id: 1, length: 8_001, hash: [2; 16] }.encode().to_vec()]
}

pub(crate) fn intents() -> Vec<Vec<u8>> {
    let op = |value| IntentOp { tree: 5, key: vec![1, 2], value };
    vec![encoded(&vec![op(Some(vec![3])), op(None)])]
}
